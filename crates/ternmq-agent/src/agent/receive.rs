//! What arrives: bytes become packets, and packets news of the session. What there is no room for
//! waits in [`Input`], and the server with it.

use ternmq_proto::packet::{self, Packet};
use ternmq_proto::{Error, PropertyBuf, Qos, Version, Violation, frame};

use super::{Agent, Link};
use crate::event::{Cause, Event};
use crate::live::Live;
use crate::session::Presence;

/// Bytes that were received and not understood yet.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) bytes: Vec<u8>,
    /// How many of them are done with.
    used: usize,
    /// Whether reading stopped with whole packets left, for want of room.
    pub(super) stopped: bool,
}

/// What became of the front of the input.
enum Taken {
    /// A packet of this length was understood.
    Packet(usize),
    /// There is a part of one.
    Part,
    /// There is a message, and as many as the receive maximum says are not acknowledged.
    NoRoom,
}

impl Agent {
    /// Takes packets off `bytes` while there is room for what they cause. Returns how many bytes.
    pub(super) fn take_packets(&mut self, now: u64, bytes: &[u8]) -> usize {
        let mut used = 0;
        while self.has_link() && self.has_room() {
            match self.take_packet(now, &bytes[used..]) {
                Ok(Taken::Packet(length)) => used += length,
                Ok(Taken::Part) => return used,
                Ok(Taken::NoRoom) => break,
                Err(cause) => {
                    self.abort(now, cause);
                    return used;
                }
            }
        }
        self.input.stopped = self.has_link();
        used
    }

    /// The same with what was received before.
    pub(super) fn take_input(&mut self, now: u64) {
        let mut input = std::mem::take(&mut self.input);
        input.used += self.take_packets(now, &input.bytes[input.used..]);
        if !self.has_link() {
            return;
        }
        input.stopped = self.input.stopped;
        // Moving the rest to the front only when that is the smaller part keeps this linear.
        if input.used * 2 >= input.bytes.len() {
            input.bytes.drain(..input.used);
            input.used = 0;
        }
        self.input = input;
    }

    /// There may be room again for packets that were left lying.
    pub(super) fn go_on_reading(&mut self, now: u64) {
        if !self.input.stopped || !self.has_link() || !self.has_room() {
            return;
        }
        self.input.stopped = false;
        self.take_input(now);
        if let (Link::Live(live), false) = (&mut self.link, self.input.stopped) {
            live.keep_alive.reading_again(now);
        }
    }

    fn take_packet(&mut self, now: u64, bytes: &[u8]) -> Result<Taken, Cause> {
        if let Link::Live(live) = &self.link {
            let Some((length, packet)) = live.connection.decode(bytes)? else {
                return Ok(Taken::Part);
            };
            if let Packet::Publish(publish) = &packet
                && publish.qos != Qos::AtMostOnce
                && self.session.inbox.unanswered() >= usize::from(self.options.receive_maximum)
            {
                return Ok(Taken::NoRoom);
            }
            self.on_packet(now, packet)?;
            return Ok(Taken::Packet(length));
        }
        let Some((length, frame)) = frame::split(bytes, self.options.packet_bytes_max)? else {
            return Ok(Taken::Part);
        };
        match Packet::decode(self.options.version, frame)? {
            Packet::Connack(connack) => self.on_connack(now, connack)?,
            Packet::Auth(auth) => self.on_auth(auth),
            other => return Err(Violation::UnexpectedPacket(other.kind()).into()),
        }
        Ok(Taken::Packet(length))
    }

    fn on_connack(&mut self, now: u64, connack: packet::Connack<'_>) -> Result<(), Cause> {
        let properties = connack.properties;
        if connack.code.is_error() {
            return Err(Cause::Refused {
                code: connack.code,
                reason: properties.reason_string().map(str::to_owned),
                server_reference: properties.server_reference().map(str::to_owned),
            });
        }
        let Link::Greeting { clean_start, .. } = self.link else { return Ok(()) };
        if connack.session_present && clean_start {
            return Err(Cause::UnexpectedSession);
        }
        let presence = match (connack.session_present, self.options.version) {
            (true, _) => Presence::Present,
            (false, Version::V31) if !clean_start => Presence::Unknown,
            (false, _) => Presence::Gone,
        };
        if let Some(assigned) = properties.assigned_client_identifier() {
            self.session.client_id = assigned.to_owned();
        }
        let live = Live::new(now, &self.options, properties);
        let mut kept = PropertyBuf::new();
        kept.extend(properties);
        let session_present = presence == Presence::Present;
        self.events.push_back(Event::Connected { session_present, properties: kept });
        let window = self.options.window(live.offer.receive_maximum);
        let policy = self.options.session_lost;
        self.session.start(presence, window, policy, &mut self.events);
        self.link = Link::Live(Box::new(live));
        Ok(())
    }

    fn on_auth(&mut self, auth: packet::Auth<'_>) {
        let mut properties = PropertyBuf::new();
        properties.extend(auth.properties);
        self.events.push_back(Event::Auth { code: auth.code, properties });
    }

    fn on_packet(&mut self, now: u64, packet: Packet<'_>) -> Result<(), Cause> {
        let Agent { link: Link::Live(live), session, events, output, options, .. } = self else {
            return Ok(());
        };
        match packet {
            Packet::Publish(publish) => {
                session.on_publish(&publish, live, events)?;
                session.send_answers(live, output);
            }
            Packet::Puback(ack) => session.on_puback(ack, events),
            Packet::Pubrec(ack) => session.on_pubrec(ack, live, output, events),
            Packet::Pubrel(ack) => session.on_pubrel(ack.packet_id, live, output),
            Packet::Pubcomp(ack) => {
                session.on_pubcomp(now, ack.packet_id, live, output, events);
            }
            Packet::Suback(packet::Suback { packet_id, codes, .. })
            | Packet::Unsuback(packet::Unsuback { packet_id, codes, .. }) => session
                .on_answer(packet_id, codes, options.version, events)
                .map_err(|_| Cause::AnswerMismatch)?,
            Packet::Pingresp => {}
            Packet::Auth(auth) => self.on_auth(auth),
            Packet::Disconnect(disconnect) => {
                let properties = disconnect.properties;
                return Err(Cause::ServerDisconnect {
                    code: disconnect.code,
                    reason: properties.reason_string().map(str::to_owned),
                    server_reference: properties.server_reference().map(str::to_owned),
                });
            }
            other => return Err(Violation::UnexpectedPacket(other.kind()).into()),
        }
        Ok(())
    }
}

impl From<Error> for Cause {
    fn from(error: Error) -> Self {
        Cause::Protocol(error)
    }
}

impl From<Violation> for Cause {
    fn from(violation: Violation) -> Self {
        Cause::Protocol(Error::PeerMisbehaved(violation))
    }
}
