//! Properties (section 2.2.2): a borrowed, validated section, and a buffer to build one.
//!
//! A section is checked once, when its packet is decoded, and read lazily afterwards; it can be
//! passed on as it is, byte by byte, so that what a publisher wrote arrives unchanged and in its
//! order (MQTT-3.3.2-17, MQTT-3.3.2-18). It is not a map: a look-up walks the section.

use alloc::vec::Vec;

use crate::error::{Forbidden, Malformed, Violation};
use crate::version::Version;
use crate::wire::Reader;

mod table;

pub(crate) use table::{Place, Seen, name};
use table::{SPECS, Value, id};

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

/// No property has this identifier: it stands in a section for what could not be written.
const UNWRITABLE: u8 = 0;
