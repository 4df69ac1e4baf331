//! The broker's edge: reads along what a node takes from a client and what is written to it, and
//! puts it into the history. It has a table of aliases and a memory for halves of packets of its
//! own, and no influence on anything.

use std::collections::VecDeque;

use ternmq_proto::packet::{Ack, Packet, Publish};
use ternmq_proto::{PacketId, Properties, ReasonCode, Version, frame};

use crate::history::{
    self, ConnectionNo, Ending, Event, Flow, IdentifierSet, Request, TopicNo, Written,
};
use crate::record::Record;

/// One connection, watched.
#[derive(Debug)]
pub struct Edge {
    connection: ConnectionNo,
    version: Version,
    aliases_up: Vec<TopicNo>,
    aliases_down: Vec<TopicNo>,
    /// The beginning of a packet whose rest has not been written.
    partial: Vec<u8>,
    /// Up to which byte of the stream to the client the output was filled, and when.
    encoded: VecDeque<(u64, u64)>,
    /// Bytes written to the client in whole packets.
    written: u64,
    /// Bytes written to the client.
    passed: u64,
}

/// A topic that nobody in the run uses.
const UNKNOWN: TopicNo = TopicNo(u16::MAX);

impl Edge {
    /// Watches a connection.
    pub fn new(connection: ConnectionNo, version: Version) -> Self {
        Edge {
            connection,
            version,
            aliases_up: Vec::new(),
            aliases_down: Vec::new(),
            partial: Vec::new(),
            encoded: VecDeque::new(),
            written: 0,
            passed: 0,
        }
    }

    /// Which.
    pub fn connection(&self) -> ConnectionNo {
        self.connection
    }

    /// The node has taken these bytes, whole packets. Returns how the connection ended if a
    /// DISCONNECT was among them.
    pub fn taken(&mut self, record: &mut Record, at: u64, bytes: &[u8]) -> Option<Ending> {
        let mut rest = bytes;
        let mut ending = None;
        while let Ok(Some((length, frame))) = frame::split(rest, u32::MAX) {
            rest = &rest[length..];
            let Ok(packet) = Packet::decode(self.version, frame) else { continue };
            let flow = self.flow(record, &packet, true);
            record.push(at, Event::Up(self.connection, flow));
            if let Packet::Disconnect(disconnect) = packet {
                let expiry_seconds = disconnect.properties.session_expiry_interval();
                ending = Some(match disconnect.code {
                    ReasonCode::Success => Ending::Normal { expiry_seconds },
                    _ => Ending::WithWill { expiry_seconds },
                });
            }
        }
        if !rest.is_empty() {
            let what = format!("{:?}: half a packet was taken", self.connection);
            record.violated(at, "whole-packets", what);
        }
        ending
    }

    /// The node's output for this connection has this many bytes now.
    pub fn output_has(&mut self, at: u64, waiting: usize) {
        let end = self.passed + waiting as u64;
        if self.encoded.back().is_none_or(|(last, _)| *last < end) {
            self.encoded.push_back((end, at));
        }
    }

    /// These bytes were written to the client.
    pub fn written(&mut self, record: &mut Record, at: u64, bytes: &[u8]) {
        self.passed += bytes.len() as u64;
        let mut partial = std::mem::take(&mut self.partial);
        let whole = if partial.is_empty() {
            let whole = self.read_written(record, at, bytes);
            partial.extend_from_slice(&bytes[whole..]);
            0
        } else {
            partial.extend_from_slice(bytes);
            self.read_written(record, at, &partial)
        };
        partial.drain(..whole);
        self.partial = partial;
    }

    fn read_written(&mut self, record: &mut Record, at: u64, bytes: &[u8]) -> usize {
        let mut whole = 0;
        while let Ok(Some((length, frame))) = frame::split(&bytes[whole..], u32::MAX) {
            whole += length;
            while self.encoded.front().is_some_and(|(end, _)| *end <= self.written) {
                self.encoded.pop_front();
            }
            let encoded_at = self.encoded.front().map_or(at, |(_, encoded_at)| *encoded_at);
            self.written += length as u64;
            match Packet::decode(self.version, frame) {
                Ok(packet) => {
                    let flow = self.flow(record, &packet, false);
                    let written = Written { bytes: length as u32, encoded_at };
                    record.push(at, Event::Down(self.connection, flow, written));
                }
                Err(error) => {
                    let what = format!("{:?}: {error}", self.connection);
                    record.violated(at, "well-formed", what);
                }
            }
        }
        whole
    }

    fn flow(&mut self, record: &mut Record, packet: &Packet<'_>, up: bool) -> Flow {
        let history = &mut record.history;
        let pair = |ack: &Ack<'_>| -> (PacketId, ReasonCode) { (ack.packet_id, ack.code) };
        match packet {
            Packet::Publish(publish) => Flow::Publish(self.publish(history, publish, up)),
            Packet::Puback(ack) => Flow::Puback(pair(ack).0, pair(ack).1),
            Packet::Pubrec(ack) => Flow::Pubrec(pair(ack).0, pair(ack).1),
            Packet::Pubrel(ack) => Flow::Pubrel(pair(ack).0, pair(ack).1),
            Packet::Pubcomp(ack) => Flow::Pubcomp(pair(ack).0, pair(ack).1),
            Packet::Subscribe(subscribe) => {
                let identifier = subscribe.properties.subscription_identifiers().next();
                let requests: Vec<Request> = subscribe
                    .filters()
                    .filter_map(|(text, options)| {
                        let filter = history.filter_no(text)?;
                        Some(Request { filter, options, identifier: identifier.unwrap_or(0) })
                    })
                    .collect();
                Flow::Subscribe(subscribe.packet_id, history.add_requests(requests.into_iter()))
            }
            Packet::Unsubscribe(unsubscribe) => {
                let requests: Vec<Request> = unsubscribe
                    .filters()
                    .filter_map(|text| {
                        let filter = history.filter_no(text)?;
                        Some(Request { filter, options: Default::default(), identifier: 0 })
                    })
                    .collect();
                let span = history.add_requests(requests.into_iter());
                Flow::Unsubscribe(unsubscribe.packet_id, span)
            }
            Packet::Suback(suback) => {
                Flow::Suback(suback.packet_id, history.add_codes(suback.codes))
            }
            Packet::Unsuback(unsuback) => Flow::Unsuback(unsuback.packet_id),
            Packet::Connack(connack) => {
                Flow::Connack { session_present: connack.session_present, code: connack.code }
            }
            Packet::Disconnect(disconnect) => Flow::Disconnect(disconnect.code),
            _ => Flow::Other,
        }
    }

    fn publish(
        &mut self,
        history: &history::History,
        publish: &Publish<'_>,
        up: bool,
    ) -> history::Publish {
        let aliases = if up { &mut self.aliases_up } else { &mut self.aliases_down };
        let named = history.topic_no(publish.topic).unwrap_or(UNKNOWN);
        let topic = match publish.properties.topic_alias().map(usize::from) {
            None => named,
            Some(alias) if publish.topic.is_empty() => {
                aliases.get(alias).copied().unwrap_or(UNKNOWN)
            }
            Some(alias) => {
                if aliases.len() <= alias {
                    aliases.resize(alias + 1, UNKNOWN);
                }
                aliases[alias] = named;
                named
            }
        };
        history::Publish {
            packet_id: publish.packet_id,
            message: history::message_in(publish.payload, publish.properties),
            topic,
            qos: publish.qos,
            dup: publish.dup,
            retain: publish.retain,
            expiry_seconds: publish.properties.message_expiry_interval(),
            identifiers: identifiers(publish.properties),
        }
    }
}

fn identifiers(properties: Properties<'_>) -> IdentifierSet {
    let bits = properties.subscription_identifiers().fold(0, |bits, it| bits | 1 << (it % 32));
    IdentifierSet(bits)
}
