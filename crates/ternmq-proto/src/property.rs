//! Properties (section 2.2.2): a borrowed, validated section, and a buffer to build one.
//!
//! A section is checked once, when its packet is decoded, and read lazily afterwards; it can be
//! passed on as it is, byte by byte, so that what a publisher wrote arrives unchanged and in its
//! order (MQTT-3.3.2-17, MQTT-3.3.2-18). It is not a map: a look-up walks the section.

use alloc::vec::Vec;

use crate::error::{Forbidden, Malformed, Violation};
use crate::topic::TopicName;
use crate::version::Version;
use crate::wire::{self, Reader};

/// The property section of a packet, without its length. Nothing is copied out of it.
///
/// One that came out of a decoded packet is valid for that packet. One from elsewhere
/// ([`PropertyBuf`], [`Properties::from_trusted_bytes`]) is checked when a packet with it is encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Properties<'a> {
    raw: &'a [u8],
}

impl<'a> Properties<'a> {
    /// No properties.
    pub const EMPTY: Properties<'static> = Properties { raw: &[] };

    /// Takes bytes that once came from [`Properties::as_bytes`].
    ///
    /// Other bytes do no harm but make no sense either: [`Properties::iter`] ends where they stop
    /// being properties.
    #[inline]
    pub const fn from_trusted_bytes(raw: &'a [u8]) -> Properties<'a> {
        Properties { raw }
    }

    /// Whether there is no property.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// The section as it is on the wire, without its length.
    #[inline]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.raw
    }

    /// All properties in their order.
    pub fn iter(&self) -> PropertyIter<'a> {
        PropertyIter { reader: Reader::new(self.raw) }
    }

    /// Names and values of the user properties in their order.
    pub fn user_properties(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.iter().filter_map(|property| match property {
            Property::UserProperty(name, value) => Some((name, value)),
            _ => None,
        })
    }

    /// All subscription identifiers in their order.
    pub fn subscription_identifiers(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.values().filter_map(|(_, value)| match value {
            Value::Variable(identifier) => Some(identifier),
            _ => None,
        })
    }

    /// Takes the section (and its length) off a packet and checks it.
    #[inline]
    pub(crate) fn decode(
        reader: &mut Reader<'a>,
        version: Version,
        place: Place,
    ) -> Result<Properties<'a>, Violation> {
        if !version.has_properties() {
            return Ok(Properties::EMPTY);
        }
        let count = reader.variable()?;
        if count == 0 {
            return Ok(Properties::EMPTY);
        }
        let properties = Properties { raw: reader.take(count as usize)? };
        properties.check(place)?;
        Ok(properties)
    }

    /// Checks that every property is known, allowed in `place`, in range and not repeated.
    pub(crate) fn check(&self, place: Place) -> Result<(), Violation> {
        let mut seen = Seen::default();
        self.check_onto(place, &mut seen)?;
        if seen.has(id::AUTHENTICATION_DATA)
            && !seen.has(id::AUTHENTICATION_METHOD)
            && place != Place::CONNACK
        {
            return Err(Forbidden::AuthenticationDataWithoutMethod.into());
        }
        Ok(())
    }

    /// The same for a section that continues another.
    pub(crate) fn check_onto(&self, place: Place, seen: &mut Seen) -> Result<(), Violation> {
        let mut reader = Reader::new(self.raw);
        while !reader.is_empty() {
            let (id, value) = Value::read(&mut reader)?;
            let spec = SPECS[usize::from(id)];
            if spec.places & place.0 == 0 {
                return Err(Malformed::PropertyNotAllowed(id).into());
            }
            let repeatable = id == id::USER_PROPERTY
                || (id == id::SUBSCRIPTION_IDENTIFIER && place == Place::PUBLISH);
            if !repeatable && seen.insert(id) {
                return Err(Forbidden::PropertyRepeated(id).into());
            }
            value.check(id)?;
        }
        Ok(())
    }

    fn values(&self) -> Values<'a> {
        Values { reader: Reader::new(self.raw) }
    }

    #[inline]
    fn find(&self, wanted: u8) -> Option<Value<'a>> {
        self.values().find(|(id, _)| *id == wanted).map(|(_, value)| value)
    }
}

/// The first value of each kind of property, `None` where the section has none.
impl<'a> Properties<'a> {
    /// Payload Format Indicator: 0: bytes, 1: UTF-8 text.
    pub fn payload_format_indicator(&self) -> Option<u8> {
        self.find(id::PAYLOAD_FORMAT_INDICATOR).and_then(Value::byte)
    }

    /// Message Expiry Interval: seconds that the message lives.
    pub fn message_expiry_interval(&self) -> Option<u32> {
        self.find(id::MESSAGE_EXPIRY_INTERVAL).and_then(Value::u32)
    }

    /// Content Type: what the payload is, in words of the application.
    pub fn content_type(&self) -> Option<&'a str> {
        self.find(id::CONTENT_TYPE).and_then(Value::text)
    }

    /// Response Topic: topic name for an answer.
    pub fn response_topic(&self) -> Option<&'a str> {
        self.find(id::RESPONSE_TOPIC).and_then(Value::text)
    }

    /// Correlation Data: what tells the requester which request is answered.
    pub fn correlation_data(&self) -> Option<&'a [u8]> {
        self.find(id::CORRELATION_DATA).and_then(Value::binary)
    }

    /// Session Expiry Interval: seconds; 0xFFFF_FFFF is never.
    pub fn session_expiry_interval(&self) -> Option<u32> {
        self.find(id::SESSION_EXPIRY_INTERVAL).and_then(Value::u32)
    }

    /// Assigned Client Identifier: what the server named a client without a name.
    pub fn assigned_client_identifier(&self) -> Option<&'a str> {
        self.find(id::ASSIGNED_CLIENT_IDENTIFIER).and_then(Value::text)
    }

    /// Server Keep Alive: seconds, instead of what the client asked for.
    pub fn server_keep_alive(&self) -> Option<u16> {
        self.find(id::SERVER_KEEP_ALIVE).and_then(Value::u16)
    }

    /// Authentication Method: name of the extended authentication.
    pub fn authentication_method(&self) -> Option<&'a str> {
        self.find(id::AUTHENTICATION_METHOD).and_then(Value::text)
    }

    /// Authentication Data: what the method defines.
    pub fn authentication_data(&self) -> Option<&'a [u8]> {
        self.find(id::AUTHENTICATION_DATA).and_then(Value::binary)
    }

    /// Request Problem Information: whether reason strings are wanted everywhere.
    pub fn request_problem_information(&self) -> Option<bool> {
        self.find(id::REQUEST_PROBLEM_INFORMATION).and_then(Value::flag)
    }

    /// Will Delay Interval: seconds between the loss of the connection and the will.
    pub fn will_delay_interval(&self) -> Option<u32> {
        self.find(id::WILL_DELAY_INTERVAL).and_then(Value::u32)
    }

    /// Request Response Information: whether response information is wanted.
    pub fn request_response_information(&self) -> Option<bool> {
        self.find(id::REQUEST_RESPONSE_INFORMATION).and_then(Value::flag)
    }

    /// Response Information: basis for response topics.
    pub fn response_information(&self) -> Option<&'a str> {
        self.find(id::RESPONSE_INFORMATION).and_then(Value::text)
    }

    /// Server Reference: another server to use.
    pub fn server_reference(&self) -> Option<&'a str> {
        self.find(id::SERVER_REFERENCE).and_then(Value::text)
    }

    /// Reason String: the reason for people.
    pub fn reason_string(&self) -> Option<&'a str> {
        self.find(id::REASON_STRING).and_then(Value::text)
    }

    /// Receive Maximum: QoS 1 and 2 messages in flight, not 0.
    pub fn receive_maximum(&self) -> Option<u16> {
        self.find(id::RECEIVE_MAXIMUM).and_then(Value::u16)
    }

    /// Topic Alias Maximum: highest alias that is accepted.
    pub fn topic_alias_maximum(&self) -> Option<u16> {
        self.find(id::TOPIC_ALIAS_MAXIMUM).and_then(Value::u16)
    }

    /// Topic Alias: a number for a topic name, not 0.
    pub fn topic_alias(&self) -> Option<u16> {
        self.find(id::TOPIC_ALIAS).and_then(Value::u16)
    }

    /// Maximum QoS: 0 or 1.
    pub fn maximum_qos(&self) -> Option<u8> {
        self.find(id::MAXIMUM_QOS).and_then(Value::byte)
    }

    /// Retain Available: whether retained messages are supported.
    pub fn retain_available(&self) -> Option<bool> {
        self.find(id::RETAIN_AVAILABLE).and_then(Value::flag)
    }

    /// Maximum Packet Size: bytes, not 0.
    pub fn maximum_packet_size(&self) -> Option<u32> {
        self.find(id::MAXIMUM_PACKET_SIZE).and_then(Value::u32)
    }

    /// Wildcard Subscription Available: whether wildcards are supported.
    pub fn wildcard_subscription_available(&self) -> Option<bool> {
        self.find(id::WILDCARD_SUBSCRIPTION_AVAILABLE).and_then(Value::flag)
    }

    /// Subscription Identifiers Available: whether subscription identifiers are supported.
    pub fn subscription_identifiers_available(&self) -> Option<bool> {
        self.find(id::SUBSCRIPTION_IDENTIFIERS_AVAILABLE).and_then(Value::flag)
    }

    /// Shared Subscription Available: whether shared subscriptions are supported.
    pub fn shared_subscription_available(&self) -> Option<bool> {
        self.find(id::SHARED_SUBSCRIPTION_AVAILABLE).and_then(Value::flag)
    }
}

impl<'a> IntoIterator for Properties<'a> {
    type Item = Property<'a>;
    type IntoIter = PropertyIter<'a>;

    fn into_iter(self) -> PropertyIter<'a> {
        self.iter()
    }
}

/// One property with its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Property<'a> {
    /// 0x01, Payload Format Indicator: 0: bytes, 1: UTF-8 text.
    PayloadFormatIndicator(u8),
    /// 0x02, Message Expiry Interval: seconds that the message lives.
    MessageExpiryInterval(u32),
    /// 0x03, Content Type: what the payload is, in words of the application.
    ContentType(&'a str),
    /// 0x08, Response Topic: topic name for an answer.
    ResponseTopic(&'a str),
    /// 0x09, Correlation Data: what tells the requester which request is answered.
    CorrelationData(&'a [u8]),
    /// 0x0B, Subscription Identifier: 1 to 268,435,455.
    SubscriptionIdentifier(u32),
    /// 0x11, Session Expiry Interval: seconds; 0xFFFF_FFFF is never.
    SessionExpiryInterval(u32),
    /// 0x12, Assigned Client Identifier: what the server named a client without a name.
    AssignedClientIdentifier(&'a str),
    /// 0x13, Server Keep Alive: seconds, instead of what the client asked for.
    ServerKeepAlive(u16),
    /// 0x15, Authentication Method: name of the extended authentication.
    AuthenticationMethod(&'a str),
    /// 0x16, Authentication Data: what the method defines.
    AuthenticationData(&'a [u8]),
    /// 0x17, Request Problem Information: whether reason strings are wanted everywhere.
    RequestProblemInformation(bool),
    /// 0x18, Will Delay Interval: seconds between the loss of the connection and the will.
    WillDelayInterval(u32),
    /// 0x19, Request Response Information: whether response information is wanted.
    RequestResponseInformation(bool),
    /// 0x1A, Response Information: basis for response topics.
    ResponseInformation(&'a str),
    /// 0x1C, Server Reference: another server to use.
    ServerReference(&'a str),
    /// 0x1F, Reason String: the reason for people.
    ReasonString(&'a str),
    /// 0x21, Receive Maximum: QoS 1 and 2 messages in flight, not 0.
    ReceiveMaximum(u16),
    /// 0x22, Topic Alias Maximum: highest alias that is accepted.
    TopicAliasMaximum(u16),
    /// 0x23, Topic Alias: a number for a topic name, not 0.
    TopicAlias(u16),
    /// 0x24, Maximum QoS: 0 or 1.
    MaximumQos(u8),
    /// 0x25, Retain Available: whether retained messages are supported.
    RetainAvailable(bool),
    /// 0x26, User Property: a name and a value, as often as one likes.
    UserProperty(&'a str, &'a str),
    /// 0x27, Maximum Packet Size: bytes, not 0.
    MaximumPacketSize(u32),
    /// 0x28, Wildcard Subscription Available: whether wildcards are supported.
    WildcardSubscriptionAvailable(bool),
    /// 0x29, Subscription Identifiers Available: whether subscription identifiers are supported.
    SubscriptionIdentifiersAvailable(bool),
    /// 0x2A, Shared Subscription Available: whether shared subscriptions are supported.
    SharedSubscriptionAvailable(bool),
}

impl<'a> Property<'a> {
    /// The identifier on the wire.
    pub fn id(&self) -> u8 {
        match self {
            Property::PayloadFormatIndicator(..) => id::PAYLOAD_FORMAT_INDICATOR,
            Property::MessageExpiryInterval(..) => id::MESSAGE_EXPIRY_INTERVAL,
            Property::ContentType(..) => id::CONTENT_TYPE,
            Property::ResponseTopic(..) => id::RESPONSE_TOPIC,
            Property::CorrelationData(..) => id::CORRELATION_DATA,
            Property::SubscriptionIdentifier(..) => id::SUBSCRIPTION_IDENTIFIER,
            Property::SessionExpiryInterval(..) => id::SESSION_EXPIRY_INTERVAL,
            Property::AssignedClientIdentifier(..) => id::ASSIGNED_CLIENT_IDENTIFIER,
            Property::ServerKeepAlive(..) => id::SERVER_KEEP_ALIVE,
            Property::AuthenticationMethod(..) => id::AUTHENTICATION_METHOD,
            Property::AuthenticationData(..) => id::AUTHENTICATION_DATA,
            Property::RequestProblemInformation(..) => id::REQUEST_PROBLEM_INFORMATION,
            Property::WillDelayInterval(..) => id::WILL_DELAY_INTERVAL,
            Property::RequestResponseInformation(..) => id::REQUEST_RESPONSE_INFORMATION,
            Property::ResponseInformation(..) => id::RESPONSE_INFORMATION,
            Property::ServerReference(..) => id::SERVER_REFERENCE,
            Property::ReasonString(..) => id::REASON_STRING,
            Property::ReceiveMaximum(..) => id::RECEIVE_MAXIMUM,
            Property::TopicAliasMaximum(..) => id::TOPIC_ALIAS_MAXIMUM,
            Property::TopicAlias(..) => id::TOPIC_ALIAS,
            Property::MaximumQos(..) => id::MAXIMUM_QOS,
            Property::RetainAvailable(..) => id::RETAIN_AVAILABLE,
            Property::UserProperty(..) => id::USER_PROPERTY,
            Property::MaximumPacketSize(..) => id::MAXIMUM_PACKET_SIZE,
            Property::WildcardSubscriptionAvailable(..) => id::WILDCARD_SUBSCRIPTION_AVAILABLE,
            Property::SubscriptionIdentifiersAvailable(..) => {
                id::SUBSCRIPTION_IDENTIFIERS_AVAILABLE
            }
            Property::SharedSubscriptionAvailable(..) => id::SHARED_SUBSCRIPTION_AVAILABLE,
        }
    }

    fn from_value(id: u8, value: Value<'a>) -> Option<Property<'a>> {
        Some(match id {
            id::PAYLOAD_FORMAT_INDICATOR => Property::PayloadFormatIndicator(value.byte()?),
            id::MESSAGE_EXPIRY_INTERVAL => Property::MessageExpiryInterval(value.u32()?),
            id::CONTENT_TYPE => Property::ContentType(value.text()?),
            id::RESPONSE_TOPIC => Property::ResponseTopic(value.text()?),
            id::CORRELATION_DATA => Property::CorrelationData(value.binary()?),
            id::SUBSCRIPTION_IDENTIFIER => Property::SubscriptionIdentifier(value.variable()?),
            id::SESSION_EXPIRY_INTERVAL => Property::SessionExpiryInterval(value.u32()?),
            id::ASSIGNED_CLIENT_IDENTIFIER => Property::AssignedClientIdentifier(value.text()?),
            id::SERVER_KEEP_ALIVE => Property::ServerKeepAlive(value.u16()?),
            id::AUTHENTICATION_METHOD => Property::AuthenticationMethod(value.text()?),
            id::AUTHENTICATION_DATA => Property::AuthenticationData(value.binary()?),
            id::REQUEST_PROBLEM_INFORMATION => Property::RequestProblemInformation(value.flag()?),
            id::WILL_DELAY_INTERVAL => Property::WillDelayInterval(value.u32()?),
            id::REQUEST_RESPONSE_INFORMATION => Property::RequestResponseInformation(value.flag()?),
            id::RESPONSE_INFORMATION => Property::ResponseInformation(value.text()?),
            id::SERVER_REFERENCE => Property::ServerReference(value.text()?),
            id::REASON_STRING => Property::ReasonString(value.text()?),
            id::RECEIVE_MAXIMUM => Property::ReceiveMaximum(value.u16()?),
            id::TOPIC_ALIAS_MAXIMUM => Property::TopicAliasMaximum(value.u16()?),
            id::TOPIC_ALIAS => Property::TopicAlias(value.u16()?),
            id::MAXIMUM_QOS => Property::MaximumQos(value.byte()?),
            id::RETAIN_AVAILABLE => Property::RetainAvailable(value.flag()?),
            id::USER_PROPERTY => {
                let (name, value) = value.pair()?;
                Property::UserProperty(name, value)
            }
            id::MAXIMUM_PACKET_SIZE => Property::MaximumPacketSize(value.u32()?),
            id::WILDCARD_SUBSCRIPTION_AVAILABLE => {
                Property::WildcardSubscriptionAvailable(value.flag()?)
            }
            id::SUBSCRIPTION_IDENTIFIERS_AVAILABLE => {
                Property::SubscriptionIdentifiersAvailable(value.flag()?)
            }
            id::SHARED_SUBSCRIPTION_AVAILABLE => {
                Property::SharedSubscriptionAvailable(value.flag()?)
            }
            _ => return None,
        })
    }

    fn value(&self) -> Value<'a> {
        match *self {
            Property::PayloadFormatIndicator(value) | Property::MaximumQos(value) => {
                Value::Byte(value)
            }
            Property::MessageExpiryInterval(value)
            | Property::SessionExpiryInterval(value)
            | Property::WillDelayInterval(value)
            | Property::MaximumPacketSize(value) => Value::U32(value),
            Property::ContentType(value)
            | Property::ResponseTopic(value)
            | Property::AssignedClientIdentifier(value)
            | Property::AuthenticationMethod(value)
            | Property::ResponseInformation(value)
            | Property::ServerReference(value)
            | Property::ReasonString(value) => Value::Text(value.as_bytes()),
            Property::CorrelationData(value) | Property::AuthenticationData(value) => {
                Value::Binary(value)
            }
            Property::SubscriptionIdentifier(value) => Value::Variable(value),
            Property::ServerKeepAlive(value)
            | Property::ReceiveMaximum(value)
            | Property::TopicAliasMaximum(value)
            | Property::TopicAlias(value) => Value::U16(value),
            Property::RequestProblemInformation(value)
            | Property::RequestResponseInformation(value)
            | Property::RetainAvailable(value)
            | Property::WildcardSubscriptionAvailable(value)
            | Property::SubscriptionIdentifiersAvailable(value)
            | Property::SharedSubscriptionAvailable(value) => Value::Byte(value.into()),
            Property::UserProperty(name, value) => Value::Pair(name.as_bytes(), value.as_bytes()),
        }
    }
}

/// The properties of a section, one after the other. Ends early at bytes that are no property.
#[derive(Clone)]
pub struct PropertyIter<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for PropertyIter<'a> {
    type Item = Property<'a>;

    fn next(&mut self) -> Option<Property<'a>> {
        let (id, value) = Value::read(&mut self.reader).ok()?;
        Property::from_value(id, value)
    }
}

/// Builds a property section.
///
/// What is pushed is not judged here: whether a property may stand in a packet, and with this
/// value, is checked when the packet is encoded, which then ends in a `Misuse`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PropertyBuf(Vec<u8>);

impl PropertyBuf {
    /// An empty section.
    pub const fn new() -> PropertyBuf {
        PropertyBuf(Vec::new())
    }

    /// Appends a property.
    ///
    /// A text or binary value that no packet can carry (over 65,535 bytes), or an identifier over
    /// 268,435,455, leaves a mark that makes encoding fail, as another wrong value would.
    pub fn push(&mut self, property: Property<'_>) -> &mut Self {
        let value = property.value();
        if value.fits() {
            self.0.push(property.id());
            value.write(&mut self.0);
        } else {
            self.0.push(UNWRITABLE);
        }
        self
    }

    /// Appends all properties of a section, as they are.
    pub fn extend(&mut self, properties: Properties<'_>) -> &mut Self {
        self.0.extend_from_slice(properties.raw);
        self
    }

    /// Appends the properties of a section that `wanted` says yes to.
    pub fn extend_filtered(
        &mut self,
        properties: Properties<'_>,
        mut wanted: impl FnMut(&Property<'_>) -> bool,
    ) -> &mut Self {
        for property in properties {
            if wanted(&property) {
                self.push(property);
            }
        }
        self
    }

    /// The section, to be put into a packet.
    pub fn as_properties(&self) -> Properties<'_> {
        Properties { raw: &self.0 }
    }

    /// Forgets all properties and keeps the memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether there is no property.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes in the section.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'a> Extend<Property<'a>> for PropertyBuf {
    fn extend<I: IntoIterator<Item = Property<'a>>>(&mut self, properties: I) {
        for property in properties {
            self.push(property);
        }
    }
}

/// Where a property section stands; one bit each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place(u16);

impl Place {
    pub(crate) const CONNECT: Place = Place(1);
    pub(crate) const WILL: Place = Place(1 << 1);
    pub(crate) const CONNACK: Place = Place(1 << 2);
    pub(crate) const PUBLISH: Place = Place(1 << 3);
    pub(crate) const PUBACK: Place = Place(1 << 4);
    pub(crate) const PUBREC: Place = Place(1 << 5);
    pub(crate) const PUBREL: Place = Place(1 << 6);
    pub(crate) const PUBCOMP: Place = Place(1 << 7);
    pub(crate) const SUBSCRIBE: Place = Place(1 << 8);
    pub(crate) const SUBACK: Place = Place(1 << 9);
    pub(crate) const UNSUBSCRIBE: Place = Place(1 << 10);
    pub(crate) const UNSUBACK: Place = Place(1 << 11);
    pub(crate) const DISCONNECT: Place = Place(1 << 12);
    pub(crate) const AUTH: Place = Place(1 << 13);
    const ANY: Place = Place((1 << 14) - 1);

    const fn or(self, other: Place) -> Place {
        Place(self.0 | other.0)
    }
}

/// Which properties a section has had so far; identifiers are below 64.
#[derive(Clone, Copy, Default)]
pub(crate) struct Seen(u64);

impl Seen {
    /// Remembers `id`; says whether it was there before.
    fn insert(&mut self, id: u8) -> bool {
        let bit = 1 << id;
        let before = self.0 & bit != 0;
        self.0 |= bit;
        before
    }

    pub(crate) fn has(&self, id: u8) -> bool {
        self.0 & 1 << id != 0
    }
}

/// The properties of a section with their values as they lie there.
struct Values<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Values<'a> {
    type Item = (u8, Value<'a>);

    #[inline]
    fn next(&mut self) -> Option<(u8, Value<'a>)> {
        Value::read(&mut self.reader).ok()
    }
}

/// A value as it lies on the wire; texts are not known to be UTF-8 yet.
#[derive(Clone, Copy)]
enum Value<'a> {
    Byte(u8),
    U16(u16),
    U32(u32),
    Variable(u32),
    Text(&'a [u8]),
    Binary(&'a [u8]),
    Pair(&'a [u8], &'a [u8]),
}

impl<'a> Value<'a> {
    /// Reads an identifier and its value. Fails at the end, too.
    #[inline]
    fn read(reader: &mut Reader<'a>) -> Result<(u8, Value<'a>), Malformed> {
        // The identifier is a variable byte integer; all that exist have one byte.
        let id = reader.u8()?;
        let kind = SPECS.get(usize::from(id)).map_or(Kind::None, |spec| spec.kind);
        let value = match kind {
            Kind::None => return Err(Malformed::PropertyUnknown(id)),
            Kind::Byte | Kind::Flag => Value::Byte(reader.u8()?),
            Kind::U16 => Value::U16(reader.u16()?),
            Kind::U32 => Value::U32(reader.u32()?),
            Kind::Variable => Value::Variable(reader.variable()?),
            Kind::Text => Value::Text(reader.binary()?),
            Kind::Binary => Value::Binary(reader.binary()?),
            Kind::Pair => Value::Pair(reader.binary()?, reader.binary()?),
        };
        Ok((id, value))
    }

    /// Texts are texts, and numbers are in the range that the standard gives for `id`.
    fn check(&self, id: u8) -> Result<(), Violation> {
        let out_of_range = match *self {
            Value::Byte(value) => value > 1,
            // 0 topics may be aliased, and 0 seconds of keep alive are none; 0 in flight is not.
            Value::U16(value) => match id {
                id::TOPIC_ALIAS if value == 0 => return Err(Violation::TopicAliasInvalid(0)),
                id::RECEIVE_MAXIMUM => value == 0,
                _ => false,
            },
            Value::U32(value) => id == id::MAXIMUM_PACKET_SIZE && value == 0,
            Value::Variable(value) => value == 0,
            Value::Text(bytes) => {
                let text = wire::text(bytes)?;
                if id == id::RESPONSE_TOPIC {
                    TopicName::parse(text).map_err(Malformed::Topic)?;
                }
                false
            }
            Value::Binary(_) => false,
            Value::Pair(name, value) => {
                wire::text(name)?;
                wire::text(value)?;
                false
            }
        };
        if out_of_range {
            return Err(Forbidden::PropertyValue { id, value: self.number() }.into());
        }
        Ok(())
    }

    /// Whether there is a way to write it.
    fn fits(&self) -> bool {
        match self {
            Value::Variable(value) => *value <= crate::frame::REMAINING_LENGTH_MAX,
            Value::Text(bytes) | Value::Binary(bytes) => bytes.len() <= wire::FIELD_BYTES_MAX,
            Value::Pair(name, value) => name.len().max(value.len()) <= wire::FIELD_BYTES_MAX,
            Value::Byte(_) | Value::U16(_) | Value::U32(_) => true,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match *self {
            Value::Byte(value) => out.push(value),
            Value::U16(value) => wire::put_u16(out, value),
            Value::U32(value) => out.extend_from_slice(&value.to_be_bytes()),
            Value::Variable(value) => wire::put_variable(out, value as usize),
            Value::Text(bytes) | Value::Binary(bytes) => wire::put_binary(out, bytes),
            Value::Pair(name, value) => {
                wire::put_binary(out, name);
                wire::put_binary(out, value);
            }
        }
    }

    fn number(self) -> u32 {
        match self {
            Value::Byte(value) => value.into(),
            Value::U16(value) => value.into(),
            Value::U32(value) | Value::Variable(value) => value,
            Value::Text(_) | Value::Binary(_) | Value::Pair(..) => 0,
        }
    }

    fn byte(self) -> Option<u8> {
        if let Value::Byte(value) = self { Some(value) } else { None }
    }

    fn flag(self) -> Option<bool> {
        self.byte().map(|value| value != 0)
    }

    fn u16(self) -> Option<u16> {
        if let Value::U16(value) = self { Some(value) } else { None }
    }

    fn u32(self) -> Option<u32> {
        if let Value::U32(value) = self { Some(value) } else { None }
    }

    fn variable(self) -> Option<u32> {
        if let Value::Variable(value) = self { Some(value) } else { None }
    }

    fn text(self) -> Option<&'a str> {
        if let Value::Text(bytes) = self { core::str::from_utf8(bytes).ok() } else { None }
    }

    fn binary(self) -> Option<&'a [u8]> {
        if let Value::Binary(bytes) = self { Some(bytes) } else { None }
    }

    fn pair(self) -> Option<(&'a str, &'a str)> {
        let Value::Pair(name, value) = self else { return None };
        Some((core::str::from_utf8(name).ok()?, core::str::from_utf8(value).ok()?))
    }
}

/// What a property's value is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// No such property.
    None,
    Byte,
    Flag,
    U16,
    U32,
    Variable,
    Text,
    Binary,
    Pair,
}

#[derive(Clone, Copy)]
struct Spec {
    name: &'static str,
    kind: Kind,
    places: u16,
}

/// The name of a property, for messages to people.
pub(crate) fn name(id: u8) -> &'static str {
    SPECS.get(usize::from(id)).map_or("unknown property", |spec| spec.name)
}

/// No property has this identifier: it stands in a section for what could not be written.
const UNWRITABLE: u8 = 0;

/// The identifiers of table 2-4.
pub(crate) mod id {
    pub(crate) const PAYLOAD_FORMAT_INDICATOR: u8 = 0x01;
    pub(crate) const MESSAGE_EXPIRY_INTERVAL: u8 = 0x02;
    pub(crate) const CONTENT_TYPE: u8 = 0x03;
    pub(crate) const RESPONSE_TOPIC: u8 = 0x08;
    pub(crate) const CORRELATION_DATA: u8 = 0x09;
    pub(crate) const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
    pub(crate) const SESSION_EXPIRY_INTERVAL: u8 = 0x11;
    pub(crate) const ASSIGNED_CLIENT_IDENTIFIER: u8 = 0x12;
    pub(crate) const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub(crate) const AUTHENTICATION_METHOD: u8 = 0x15;
    pub(crate) const AUTHENTICATION_DATA: u8 = 0x16;
    pub(crate) const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
    pub(crate) const WILL_DELAY_INTERVAL: u8 = 0x18;
    pub(crate) const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
    pub(crate) const RESPONSE_INFORMATION: u8 = 0x1A;
    pub(crate) const SERVER_REFERENCE: u8 = 0x1C;
    pub(crate) const REASON_STRING: u8 = 0x1F;
    pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
    pub(crate) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub(crate) const TOPIC_ALIAS: u8 = 0x23;
    pub(crate) const MAXIMUM_QOS: u8 = 0x24;
    pub(crate) const RETAIN_AVAILABLE: u8 = 0x25;
    pub(crate) const USER_PROPERTY: u8 = 0x26;
    pub(crate) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
    pub(crate) const WILDCARD_SUBSCRIPTION_AVAILABLE: u8 = 0x28;
    pub(crate) const SUBSCRIPTION_IDENTIFIERS_AVAILABLE: u8 = 0x29;
    pub(crate) const SHARED_SUBSCRIPTION_AVAILABLE: u8 = 0x2A;
}

/// Table 2-4 of the standard, by identifier: name, type, packets.
const SPECS: [Spec; 43] = {
    use Kind::*;
    const fn row(name: &'static str, kind: Kind, places: Place) -> Spec {
        Spec { name, kind, places: places.0 }
    }
    const MESSAGE: Place = Place::PUBLISH.or(Place::WILL);
    const GREETING: Place = Place::CONNECT.or(Place::CONNACK);
    const EXCHANGE: Place = GREETING.or(Place::AUTH);
    const ACK: Place = Place::PUBACK.or(Place::PUBREC).or(Place::PUBREL).or(Place::PUBCOMP);
    const REASON: Place = ACK
        .or(Place::CONNACK)
        .or(Place::SUBACK)
        .or(Place::UNSUBACK)
        .or(Place::DISCONNECT)
        .or(Place::AUTH);

    let mut specs = [Spec { name: "unknown property", kind: None, places: 0 }; 43];
    specs[0x01] = row("Payload Format Indicator", Byte, MESSAGE);
    specs[0x02] = row("Message Expiry Interval", U32, MESSAGE);
    specs[0x03] = row("Content Type", Text, MESSAGE);
    specs[0x08] = row("Response Topic", Text, MESSAGE);
    specs[0x09] = row("Correlation Data", Binary, MESSAGE);
    specs[0x0B] = row("Subscription Identifier", Variable, Place::PUBLISH.or(Place::SUBSCRIBE));
    specs[0x11] = row("Session Expiry Interval", U32, GREETING.or(Place::DISCONNECT));
    specs[0x12] = row("Assigned Client Identifier", Text, Place::CONNACK);
    specs[0x13] = row("Server Keep Alive", U16, Place::CONNACK);
    specs[0x15] = row("Authentication Method", Text, EXCHANGE);
    specs[0x16] = row("Authentication Data", Binary, EXCHANGE);
    specs[0x17] = row("Request Problem Information", Flag, Place::CONNECT);
    specs[0x18] = row("Will Delay Interval", U32, Place::WILL);
    specs[0x19] = row("Request Response Information", Flag, Place::CONNECT);
    specs[0x1A] = row("Response Information", Text, Place::CONNACK);
    specs[0x1C] = row("Server Reference", Text, Place::CONNACK.or(Place::DISCONNECT));
    specs[0x1F] = row("Reason String", Text, REASON);
    specs[0x21] = row("Receive Maximum", U16, GREETING);
    specs[0x22] = row("Topic Alias Maximum", U16, GREETING);
    specs[0x23] = row("Topic Alias", U16, Place::PUBLISH);
    specs[0x24] = row("Maximum QoS", Byte, Place::CONNACK);
    specs[0x25] = row("Retain Available", Flag, Place::CONNACK);
    specs[0x26] = row("User Property", Pair, Place::ANY);
    specs[0x27] = row("Maximum Packet Size", U32, GREETING);
    specs[0x28] = row("Wildcard Subscription Available", Flag, Place::CONNACK);
    specs[0x29] = row("Subscription Identifiers Available", Flag, Place::CONNACK);
    specs[0x2A] = row("Shared Subscription Available", Flag, Place::CONNACK);
    specs
};
