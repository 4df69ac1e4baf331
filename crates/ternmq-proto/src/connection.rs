//! One MQTT connection after its handshake, seen from either side: what may arrive, how large, with
//! which alias and within which quota. What was sent and not acknowledged is in
//! [`Inflight`](crate::inflight::Inflight) and [`Inbound`](crate::inbound::Inbound), which outlive
//! the connection.

use alloc::boxed::Box;

use crate::error::Forbidden;
use crate::frame::{self, PacketKind};
use crate::packet::{Packet, Publish};
use crate::planted::{self, Bug};
use crate::topic_alias::{AliasOut, AliasesIn, AliasesOut};
use crate::{Error, Qos, Version, Violation};

/// Who we are on this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// We sent CONNECT.
    Client,
    /// We answered it.
    Server,
}

/// What both sides agreed on in CONNECT and CONNACK. `receive_*` binds the peer, `send_*` us.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// The version both speak.
    pub version: Version,
    /// The largest packet that we take, in bytes.
    pub receive_bytes_max: u32,
    /// The largest packet that the peer takes, in bytes.
    pub send_bytes_max: u32,
    /// How many unacknowledged QoS > 0 PUBLISH packets we take.
    pub receive_maximum: u16,
    /// Aliases that we take.
    pub receive_alias_maximum: u16,
    /// Aliases that we may use.
    pub send_alias_maximum: u16,
}

/// The state of one connection. It decodes, and keeps the receive quota and the aliases.
#[derive(Debug)]
pub struct Connection {
    side: Side,
    version: Version,
    /// QoS > 0 PUBLISH packets received and not yet answered for good. Below zero after PUBCOMP for
    /// identifiers of an earlier connection: section 4.9 lets the peer count these as room.
    unanswered: i32,
    receive_maximum: u16,
    receive_bytes_max: u32,
    send_bytes_max: u32,
    aliases_in: Option<Box<AliasesIn>>,
    aliases_out: Option<Box<AliasesOut>>,
}

impl Connection {
    /// A connection whose handshake is done.
    pub fn new(side: Side, terms: Terms) -> Self {
        let table_in = (terms.receive_alias_maximum > 0)
            .then(|| Box::new(AliasesIn::new(terms.receive_alias_maximum)));
        let table_out = (terms.send_alias_maximum > 0)
            .then(|| Box::new(AliasesOut::new(terms.send_alias_maximum)));
        Connection {
            side,
            version: terms.version,
            unanswered: 0,
            receive_maximum: terms.receive_maximum,
            receive_bytes_max: terms.receive_bytes_max,
            send_bytes_max: terms.send_bytes_max,
            aliases_in: table_in,
            aliases_out: table_out,
        }
    }

    /// The version of the protocol.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The largest packet that the peer takes, in bytes.
    pub fn send_bytes_max(&self) -> u32 {
        self.send_bytes_max
    }

    /// Decodes the packet at the front of `bytes`; `None` until it is whole. Nothing is changed, so
    /// a caller that cannot act on the packet now may come back with the same bytes.
    ///
    /// # Errors
    /// Whatever a peer of the other side must not send.
    pub fn decode<'b>(&self, bytes: &'b [u8]) -> Result<Option<(usize, Packet<'b>)>, Error> {
        let Some((length, frame)) = frame::split(bytes, self.receive_bytes_max)? else {
            return Ok(None);
        };
        let packet = Packet::decode(self.version, frame)?;
        let tolerated =
            packet.kind() == PacketKind::Connect && planted::is(Bug::AcceptSecondConnect);
        if !self.may_arrive(packet.kind()) && !tolerated {
            return Err(Error::PeerMisbehaved(Violation::UnexpectedPacket(packet.kind())));
        }
        if let Packet::Publish(publish) = &packet
            && self.side == Side::Server
            && publish.properties.subscription_identifiers().next().is_some()
        {
            return Err(Forbidden::SubscriptionIdentifierFromClient.into());
        }
        Ok(Some((length, packet)))
    }

    /// The topic that a PUBLISH means, through its alias where it has one.
    ///
    /// # Errors
    /// An alias that the peer must not use (0x94).
    pub fn topic<'a>(&'a mut self, publish: &Publish<'a>) -> Result<&'a str, Error> {
        if publish.properties.is_empty() {
            return Ok(publish.topic);
        }
        let Some(alias) = publish.properties.topic_alias() else { return Ok(publish.topic) };
        match &mut self.aliases_in {
            Some(aliases) => aliases.resolve(publish.topic, alias),
            None => Err(Error::PeerMisbehaved(Violation::TopicAliasInvalid(alias))),
        }
    }

    /// The alias to send a topic with; `None`: without.
    pub fn alias_for(&mut self, topic: &str) -> Option<AliasOut> {
        self.aliases_out.as_mut()?.assign(topic)
    }

    /// A PUBLISH of this QoS arrived and takes its place in the receive quota until
    /// [`Connection::answered`].
    ///
    /// # Errors
    /// More than the receive maximum are unanswered (0x93, MQTT-3.3.4-7).
    pub fn arrived(&mut self, qos: Qos) -> Result<(), Error> {
        if qos == Qos::AtMostOnce {
            return Ok(());
        }
        if self.unanswered >= i32::from(self.receive_maximum)
            && !planted::is(Bug::IgnoreReceiveMaximum)
        {
            return Err(Error::PeerMisbehaved(Violation::ReceiveMaximumExceeded));
        }
        self.unanswered = self.unanswered.saturating_add(1);
        Ok(())
    }

    /// A PUBACK, a refusing PUBREC or the PUBCOMP of an identifier that was held was sent.
    pub fn answered(&mut self) {
        self.unanswered = self.unanswered.saturating_sub(1);
    }

    fn may_arrive(&self, kind: PacketKind) -> bool {
        use PacketKind as K;
        match kind {
            K::Publish | K::Puback | K::Pubrec | K::Pubrel | K::Pubcomp => true,
            K::Auth => self.version == Version::V5,
            K::Disconnect => self.side == Side::Server || self.version == Version::V5,
            // A second CONNECT is a protocol error (MQTT-3.1.0-2).
            K::Connect => false,
            K::Subscribe | K::Unsubscribe | K::Pingreq => self.side == Side::Server,
            K::Connack | K::Suback | K::Unsuback | K::Pingresp => self.side == Side::Client,
        }
    }
}
