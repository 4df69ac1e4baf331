//! What shards say to each other, as bytes: a bag is a row of envelopes. A shard decodes only what
//! another shard of the same process encoded, so anything that does not parse is a bug and panics.

use ternmq_proto::packet::SubscriptionOptions;
use ternmq_proto::{Properties, Qos, ReasonCode};

use crate::gate::SlotId;
use crate::interest::Level;
use crate::message::{Origin, Publication, Publisher, Stamp};
use crate::placement::{PartitionId, ShardId};
use crate::slab::Key;

/// Who waits for the receipt of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A connection of the sending shard: pressure and receipts go to it. Without a slot it waits
    /// for no receipt.
    Connection { key: Key, slot: Option<SlotId> },
    /// An entry of its outbox.
    Outbox { number: u64, receipt: bool },
}

/// A message of a shard to another. Requests need credit, replies do not.
#[derive(Debug, Clone, Copy)]
pub enum Envelope<'a> {
    // -- requests --
    Publish {
        sender: Sender,
        publication: Publication<'a>,
    },
    /// Keep it as the retained message of its topic; always answered by a receipt.
    Retain {
        sender: Sender,
        publication: Publication<'a>,
    },
    Interest {
        waiter: Option<Key>,
        filter: &'a str,
        level: Level,
    },
    /// Retained messages of a filter after a topic, for a subscription that opens.
    RetainedQuery {
        opening: Key,
        filter: &'a str,
        after: &'a str,
    },
    Join(Join<'a>),
    Leave {
        share: &'a str,
        filter: &'a str,
        member: Key,
    },
    Presence {
        share: &'a str,
        filter: &'a str,
        member: Key,
        online: bool,
        durable: bool,
    },
    ShareDeliver {
        member: Key,
        membership: u64,
        group: Key,
        number: u64,
        qos: Qos,
        retain: bool,
        identifier: u32,
        publication: Publication<'a>,
    },
    Settle {
        group: Key,
        number: u64,
        returned: bool,
    },
    // -- replies --
    Credit {
        requests: u32,
    },
    Receipt {
        sender: Sender,
        code: ReasonCode,
        retained: bool,
    },
    InterestDone {
        waiter: Key,
        stamp: u64,
        sent: u64,
    },
    RetainedItem {
        opening: Key,
        publication: Publication<'a>,
    },
    RetainedPage {
        opening: Key,
        more: bool,
        last: &'a str,
    },
    /// The home of a shared group has taken a member.
    JoinDone {
        waiter: Key,
    },
    Pressure {
        connection: Key,
    },
}

/// A member joins a shared group, or changes its subscription.
#[derive(Debug, Clone, Copy)]
pub struct Join<'a> {
    pub waiter: Key,
    pub share: &'a str,
    pub filter: &'a str,
    pub member: Key,
    /// Names the membership on the member's shard.
    pub membership: u64,
    pub identifier: u32,
    pub options: SubscriptionOptions,
    pub durable: bool,
}

const PUBLISH: u8 = 1;
const RETAIN: u8 = 2;
const INTEREST: u8 = 3;
const RETAINED_QUERY: u8 = 4;
const JOIN: u8 = 6;
const LEAVE: u8 = 7;
const PRESENCE: u8 = 8;
const SHARE_DELIVER: u8 = 9;
const SETTLE: u8 = 10;
const CREDIT: u8 = 11;
const RECEIPT: u8 = 12;
const INTEREST_DONE: u8 = 13;
const RETAINED_ITEM: u8 = 14;
const RETAINED_PAGE: u8 = 15;
const JOIN_DONE: u8 = 5;
const PRESSURE: u8 = 17;

impl<'a> Envelope<'a> {
    #[expect(clippy::too_many_lines, reason = "one arm for each envelope, beside its decoding")]
    pub fn encode(&self, bag: &mut Vec<u8>) {
        match *self {
            Envelope::Publish { sender, publication } => {
                bag.push(PUBLISH);
                put_sender(bag, sender);
                put_publication(bag, &publication);
            }
            Envelope::Retain { sender, publication } => {
                bag.push(RETAIN);
                put_sender(bag, sender);
                put_publication(bag, &publication);
            }
            Envelope::Interest { waiter, filter, level } => {
                bag.extend_from_slice(&[INTEREST, level as u8, u8::from(waiter.is_some())]);
                put_key(bag, waiter.unwrap_or(Key { index: 0, generation: 0 }));
                put_text(bag, filter);
            }
            Envelope::RetainedQuery { opening, filter, after } => {
                bag.push(RETAINED_QUERY);
                put_key(bag, opening);
                put_text(bag, filter);
                put_text(bag, after);
            }
            Envelope::Join(join) => put_join(bag, &join),
            Envelope::Leave { share, filter, member } => {
                bag.push(LEAVE);
                put_member(bag, share, filter, member);
            }
            Envelope::Presence { share, filter, member, online, durable } => {
                bag.extend_from_slice(&[PRESENCE, u8::from(online), u8::from(durable)]);
                put_member(bag, share, filter, member);
            }
            Envelope::ShareDeliver {
                member,
                membership,
                group,
                number,
                qos,
                retain,
                identifier,
                publication,
            } => {
                bag.extend_from_slice(&[SHARE_DELIVER, qos.bits(), u8::from(retain)]);
                put_key(bag, member);
                put_u64(bag, membership);
                put_key(bag, group);
                put_u64(bag, number);
                put_u32(bag, identifier);
                put_publication(bag, &publication);
            }
            Envelope::Settle { group, number, returned } => {
                bag.extend_from_slice(&[SETTLE, u8::from(returned)]);
                put_key(bag, group);
                put_u64(bag, number);
            }
            Envelope::Credit { requests } => {
                bag.push(CREDIT);
                put_u32(bag, requests);
            }
            Envelope::Receipt { sender, code, retained } => {
                bag.extend_from_slice(&[RECEIPT, code.byte(), u8::from(retained)]);
                put_sender(bag, sender);
            }
            Envelope::InterestDone { waiter, stamp, sent } => {
                bag.push(INTEREST_DONE);
                put_key(bag, waiter);
                put_u64(bag, stamp);
                put_u64(bag, sent);
            }
            Envelope::RetainedItem { opening, publication } => {
                bag.push(RETAINED_ITEM);
                put_key(bag, opening);
                put_publication(bag, &publication);
            }
            Envelope::RetainedPage { opening, more, last } => {
                bag.extend_from_slice(&[RETAINED_PAGE, u8::from(more)]);
                put_key(bag, opening);
                put_text(bag, last);
            }
            Envelope::JoinDone { waiter } => {
                bag.push(JOIN_DONE);
                put_key(bag, waiter);
            }
            Envelope::Pressure { connection } => {
                bag.push(PRESSURE);
                put_key(bag, connection);
            }
        }
    }

    /// Takes the first envelope off a bag; `None` at its end.
    pub fn decode(bag: &mut &'a [u8]) -> Option<Envelope<'a>> {
        if bag.is_empty() {
            return None;
        }
        Some(match take_u8(bag) {
            PUBLISH => {
                Envelope::Publish { sender: take_sender(bag), publication: take_publication(bag) }
            }
            RETAIN => {
                Envelope::Retain { sender: take_sender(bag), publication: take_publication(bag) }
            }
            INTEREST => take_interest(bag),
            RETAINED_QUERY => Envelope::RetainedQuery {
                opening: take_key(bag),
                filter: take_text(bag),
                after: take_text(bag),
            },
            JOIN => Envelope::Join(take_join(bag)),
            LEAVE => Envelope::Leave {
                share: take_text(bag),
                filter: take_text(bag),
                member: take_key(bag),
            },
            PRESENCE => {
                let (online, durable) = (take_u8(bag) != 0, take_u8(bag) != 0);
                let (share, filter, member) = (take_text(bag), take_text(bag), take_key(bag));
                Envelope::Presence { share, filter, member, online, durable }
            }
            SHARE_DELIVER => take_share_deliver(bag),
            SETTLE => {
                let returned = take_u8(bag) != 0;
                Envelope::Settle { group: take_key(bag), number: take_u64(bag), returned }
            }
            CREDIT => Envelope::Credit { requests: take_u32(bag) },
            RECEIPT => {
                let code = take_code(bag);
                let retained = take_u8(bag) != 0;
                Envelope::Receipt { sender: take_sender(bag), code, retained }
            }
            INTEREST_DONE => Envelope::InterestDone {
                waiter: take_key(bag),
                stamp: take_u64(bag),
                sent: take_u64(bag),
            },
            RETAINED_ITEM => Envelope::RetainedItem {
                opening: take_key(bag),
                publication: take_publication(bag),
            },
            RETAINED_PAGE => {
                let more = take_u8(bag) != 0;
                Envelope::RetainedPage { opening: take_key(bag), more, last: take_text(bag) }
            }
            JOIN_DONE => Envelope::JoinDone { waiter: take_key(bag) },
            PRESSURE => Envelope::Pressure { connection: take_key(bag) },
            tag => panic!("no envelope has tag {tag}: shards of one process disagree"),
        })
    }
}

fn put_u32(bag: &mut Vec<u8>, value: u32) {
    bag.extend_from_slice(&value.to_le_bytes());
}

fn put_u64(bag: &mut Vec<u8>, value: u64) {
    bag.extend_from_slice(&value.to_le_bytes());
}

fn put_key(bag: &mut Vec<u8>, key: Key) {
    put_u32(bag, key.index);
    put_u32(bag, key.generation);
}

fn put_text(bag: &mut Vec<u8>, text: &str) {
    put_u32(bag, text.len() as u32);
    bag.extend_from_slice(text.as_bytes());
}

fn put_member(bag: &mut Vec<u8>, share: &str, filter: &str, member: Key) {
    put_text(bag, share);
    put_text(bag, filter);
    put_key(bag, member);
}

fn put_join(bag: &mut Vec<u8>, join: &Join<'_>) {
    bag.extend_from_slice(&[JOIN, join.options.byte(), u8::from(join.durable)]);
    put_key(bag, join.waiter);
    put_u32(bag, join.identifier);
    put_u64(bag, join.membership);
    put_member(bag, join.share, join.filter, join.member);
}

fn put_sender(bag: &mut Vec<u8>, sender: Sender) {
    match sender {
        Sender::Connection { key, slot } => {
            bag.push(u8::from(slot.is_some()));
            put_key(bag, key);
            put_u32(bag, slot.map_or(0, |slot| slot.0));
        }
        Sender::Outbox { number, receipt } => {
            bag.push(2 | u8::from(receipt));
            put_u64(bag, number);
        }
    }
}

/// | bytes | what |
/// |------:|------|
/// | 1 | QoS, bit 2 retain, bit 3 origin |
/// | 2 + 8 | stamp |
/// | 8 + 8 | publisher, expiry |
/// | 2 + 8 | origin, if there is one |
/// | 4 + 4 + 4 | lengths of topic, properties, payload |
/// | ... | topic, properties, payload |
fn put_publication(bag: &mut Vec<u8>, publication: &Publication<'_>) {
    let properties = publication.properties.as_bytes();
    let flags = publication.qos.bits()
        | u8::from(publication.retain) << 2
        | u8::from(publication.origin.is_some()) << 3;
    bag.reserve(56 + publication.topic.len() + properties.len() + publication.payload.len());
    bag.push(flags);
    bag.extend_from_slice(&publication.stamp.shard.0.to_le_bytes());
    put_u64(bag, publication.stamp.number);
    put_u64(bag, publication.publisher.0);
    put_u64(bag, publication.expires);
    if let Some(origin) = publication.origin {
        bag.extend_from_slice(&origin.partition.0.to_le_bytes());
        put_u64(bag, origin.number);
    }
    put_u32(bag, publication.topic.len() as u32);
    put_u32(bag, properties.len() as u32);
    put_u32(bag, publication.payload.len() as u32);
    bag.extend_from_slice(publication.topic.as_bytes());
    bag.extend_from_slice(properties);
    bag.extend_from_slice(publication.payload);
}

fn take<'a>(bag: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bag.split_at(count);
    *bag = rest;
    taken
}

fn take_array<const N: usize>(bag: &mut &[u8]) -> [u8; N] {
    let (taken, rest) = bag.split_first_chunk().expect("an envelope is whole");
    let taken = *taken;
    *bag = rest;
    taken
}

fn take_u8(bag: &mut &[u8]) -> u8 {
    let [byte] = take_array(bag);
    byte
}

fn take_u16(bag: &mut &[u8]) -> u16 {
    u16::from_le_bytes(take_array(bag))
}

fn take_u32(bag: &mut &[u8]) -> u32 {
    u32::from_le_bytes(take_array(bag))
}

fn take_u64(bag: &mut &[u8]) -> u64 {
    u64::from_le_bytes(take_array(bag))
}

fn take_key(bag: &mut &[u8]) -> Key {
    Key { index: take_u32(bag), generation: take_u32(bag) }
}

fn take_text<'a>(bag: &mut &'a [u8]) -> &'a str {
    let count = take_u32(bag) as usize;
    std::str::from_utf8(take(bag, count)).expect("it was a str when it was put in")
}

fn take_code(bag: &mut &[u8]) -> ReasonCode {
    ReasonCode::from_byte(take_u8(bag)).expect("it was a reason code when it was put in")
}

fn take_qos(bits: u8) -> Qos {
    Qos::from_bits(bits & 3).expect("it was a QoS when it was put in")
}

fn take_sender(bag: &mut &[u8]) -> Sender {
    match take_u8(bag) {
        kind @ (0 | 1) => {
            let key = take_key(bag);
            let slot = SlotId(take_u32(bag));
            Sender::Connection { key, slot: (kind == 1).then_some(slot) }
        }
        kind => Sender::Outbox { number: take_u64(bag), receipt: kind == 3 },
    }
}

fn take_interest<'a>(bag: &mut &'a [u8]) -> Envelope<'a> {
    let level = match take_u8(bag) {
        0 => Level::None,
        1 => Level::Live,
        _ => Level::Durable,
    };
    let waits = take_u8(bag) != 0;
    let waiter = take_key(bag);
    Envelope::Interest { waiter: waits.then_some(waiter), filter: take_text(bag), level }
}

fn take_join<'a>(bag: &mut &'a [u8]) -> Join<'a> {
    let options = SubscriptionOptions::from_byte(take_u8(bag), ternmq_proto::Version::V5)
        .expect("they were options when they were put in");
    let durable = take_u8(bag) != 0;
    let waiter = take_key(bag);
    let (identifier, membership) = (take_u32(bag), take_u64(bag));
    let (share, filter, member) = (take_text(bag), take_text(bag), take_key(bag));
    Join { waiter, share, filter, member, membership, identifier, options, durable }
}

fn take_share_deliver<'a>(bag: &mut &'a [u8]) -> Envelope<'a> {
    let qos = take_qos(take_u8(bag));
    let retain = take_u8(bag) != 0;
    Envelope::ShareDeliver {
        member: take_key(bag),
        membership: take_u64(bag),
        group: take_key(bag),
        number: take_u64(bag),
        identifier: take_u32(bag),
        qos,
        retain,
        publication: take_publication(bag),
    }
}

fn take_publication<'a>(bag: &mut &'a [u8]) -> Publication<'a> {
    let flags = take_u8(bag);
    let stamp = Stamp { shard: ShardId(take_u16(bag)), number: take_u64(bag) };
    let publisher = Publisher(take_u64(bag));
    let expires = take_u64(bag);
    let origin = (flags & 8 != 0)
        .then(|| Origin { partition: PartitionId(take_u16(bag)), number: take_u64(bag) });
    let topic_bytes = take_u32(bag) as usize;
    let property_bytes = take_u32(bag) as usize;
    let payload_bytes = take_u32(bag) as usize;
    Publication {
        topic: std::str::from_utf8(take(bag, topic_bytes)).expect("a topic is UTF-8"),
        properties: Properties::from_trusted_bytes(take(bag, property_bytes)),
        payload: take(bag, payload_bytes),
        qos: take_qos(flags),
        retain: flags & 4 != 0,
        expires,
        publisher,
        stamp,
        origin,
    }
}
