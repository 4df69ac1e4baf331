//! SUBSCRIBE and UNSUBSCRIBE: those that wait to be sent, those that wait for their answer, and the
//! subscriptions that have to be made again when the server has lost the session.
//!
//! A request that its connection could not finish is sent again on the next one.
//!
//! # Limits
//! `REQUESTS_MAX` requests that are not answered.

use std::collections::{BTreeMap, VecDeque};

use ternmq_proto::inflight::Inflight;
use ternmq_proto::packet::{self, Packet, SubscriptionOptions};
use ternmq_proto::topic::parse_subscription;
use ternmq_proto::{Misuse, PacketId, PropertyBuf, ReasonCode, Version};

use crate::event::{CommandError, Event, Lost};
use crate::live::Offer;
use crate::message::RequestId;
use crate::outbox::Stored;

#[derive(Debug, Default)]
pub(crate) struct Requests {
    waiting: VecDeque<Request>,
    sent: Vec<(PacketId, Request)>,
    /// Subscriptions that the server has granted, by filter.
    granted: BTreeMap<String, (SubscriptionOptions, PropertyBuf)>,
}

#[derive(Debug)]
pub(crate) struct Request {
    /// `None`: nobody asked, it restores a session.
    id: Option<RequestId>,
    what: What,
    properties: PropertyBuf,
}

#[derive(Debug)]
enum What {
    Subscribe(Vec<(String, SubscriptionOptions)>),
    Unsubscribe(Vec<String>),
}

impl Requests {
    /// Asks for subscriptions.
    pub(crate) fn subscribe(
        &mut self,
        id: RequestId,
        filters: Vec<(String, SubscriptionOptions)>,
        properties: PropertyBuf,
        version: Version,
    ) -> Result<(), CommandError> {
        check_filters(filters.iter().map(|(filter, _)| filter))?;
        self.add(Request { id: Some(id), what: What::Subscribe(filters), properties }, version)
    }

    /// Asks for the end of subscriptions. They are not restored from here on.
    pub(crate) fn unsubscribe(
        &mut self,
        id: RequestId,
        filters: Vec<String>,
        properties: PropertyBuf,
        version: Version,
    ) -> Result<(), CommandError> {
        check_filters(filters.iter())?;
        let what = What::Unsubscribe(filters.clone());
        self.add(Request { id: Some(id), what, properties }, version)?;
        for filter in &filters {
            self.granted.remove(filter);
        }
        Ok(())
    }

    fn add(&mut self, request: Request, version: Version) -> Result<(), CommandError> {
        if self.len() >= REQUESTS_MAX {
            return Err(CommandError::TooMany);
        }
        request.encode(PacketId::MIN, version, &mut Vec::new())?;
        self.waiting.push_back(request);
        Ok(())
    }

    /// A connection began, with or without the session of the one before.
    pub(crate) fn start(&mut self, session_present: bool) {
        for (_, request) in self.sent.drain(..).rev() {
            self.waiting.push_front(request);
        }
        if !session_present {
            self.waiting.retain(|request| request.id.is_some());
            self.restore();
        }
    }

    /// Puts the granted subscriptions in front of everything that waits, those with the same
    /// properties together.
    fn restore(&mut self) {
        let mut groups: Vec<Group> = Vec::new();
        for (filter, (options, properties)) in &self.granted {
            let found = groups.iter_mut().rev().find(|group| group.takes(filter, properties));
            let group = match found {
                Some(group) => group,
                None => groups.push_mut(Group::new(properties)),
            };
            group.bytes += filter.len();
            group.filters.push((filter.clone(), *options));
        }
        for Group { filters, properties, .. } in groups.into_iter().rev() {
            let what = What::Subscribe(filters);
            self.waiting.push_front(Request { id: None, what, properties });
        }
    }

    /// Appends the next request to `out`. `false`: there is none, or no identifier for it.
    pub(crate) fn send_next(
        &mut self,
        offer: &Offer,
        inflight: &mut Inflight<Stored>,
        out: &mut Vec<u8>,
        events: &mut VecDeque<Event>,
    ) -> bool {
        let Some(request) = self.waiting.front() else { return false };
        if let Some(lost) = request.refused_by(offer) {
            if let Some(request) = self.waiting.pop_front() {
                self.fail(request, lost, events);
            }
            return true;
        }
        let Some(packet_id) = inflight.reserve() else { return false };
        let start = out.len();
        let written = request.encode(packet_id, offer.version, out);
        let bytes = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
        let Some(request) = self.waiting.pop_front() else { return false };
        if written.is_ok() && bytes <= offer.send_bytes_max {
            self.sent.push((packet_id, request));
        } else {
            out.truncate(start);
            inflight.release(packet_id);
            self.fail(request, Lost::TooLarge { bytes, max: offer.send_bytes_max }, events);
        }
        true
    }

    /// SUBACK or UNSUBACK came. `Err`: it has not as many codes as the request had filters.
    pub(crate) fn answered(
        &mut self,
        packet_id: PacketId,
        codes: &[u8],
        version: Version,
        events: &mut VecDeque<Event>,
    ) -> Result<(), AnswerMismatch> {
        let Some(index) = self.sent.iter().position(|(id, _)| *id == packet_id) else {
            return Ok(());
        };
        let (_, request) = self.sent.remove(index);
        let mut codes: Vec<_> = codes.iter().filter_map(|&it| ReasonCode::from_byte(it)).collect();
        if let (What::Unsubscribe(filters), true) = (&request.what, !version.has_properties()) {
            codes = vec![ReasonCode::Success; filters.len()];
        }
        if codes.len() != request.filters() {
            // Nobody may wait for ever because of it: it goes back and is sent again.
            self.waiting.push_front(request);
            return Err(AnswerMismatch);
        }
        self.settle(request, codes, events);
        Ok(())
    }

    fn settle(&mut self, request: Request, codes: Vec<ReasonCode>, events: &mut VecDeque<Event>) {
        match &request.what {
            What::Subscribe(filters) => {
                for ((filter, options), &code) in filters.iter().zip(&codes) {
                    if !code.is_error() {
                        let granted = (*options, request.properties.clone());
                        self.granted.insert(filter.clone(), granted);
                        continue;
                    }
                    // A refused SUBSCRIBE leaves an earlier one to the same filter as it was,
                    // unless that one was to be restored.
                    if request.id.is_none() {
                        self.granted.remove(filter);
                        events.push_back(Event::SubscriptionLost { filter: filter.clone(), code });
                    }
                }
            }
            What::Unsubscribe(filters) => {
                for filter in filters {
                    self.granted.remove(filter);
                }
            }
        }
        if let Some(request) = request.id {
            events.push_back(Event::Answered { request, result: Ok(codes) });
        }
    }

    /// Ends everything that waits or is under way.
    pub(crate) fn abandon(&mut self, lost: &Lost, events: &mut VecDeque<Event>) {
        let sent = std::mem::take(&mut self.sent).into_iter().map(|(_, request)| request);
        for request in sent.chain(std::mem::take(&mut self.waiting)) {
            if let Some(request) = request.id {
                events.push_back(Event::Answered { request, result: Err(lost.clone()) });
            }
        }
    }

    /// Requests that are not answered.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.sent.len()
    }

    fn fail(&mut self, request: Request, lost: Lost, events: &mut VecDeque<Event>) {
        let code = match lost {
            Lost::NotSupported(code) => code,
            _ => ReasonCode::PacketTooLarge,
        };
        match (request.id, request.what) {
            (Some(request), _) => events.push_back(Event::Answered { request, result: Err(lost) }),
            (None, What::Subscribe(filters)) => {
                for (filter, _) in filters {
                    self.granted.remove(&filter);
                    events.push_back(Event::SubscriptionLost { filter, code });
                }
            }
            (None, What::Unsubscribe(_)) => {}
        }
    }
}

/// Subscriptions that go into one SUBSCRIBE.
struct Group {
    properties: PropertyBuf,
    filters: Vec<(String, SubscriptionOptions)>,
    bytes: usize,
}

impl Group {
    fn new(properties: &PropertyBuf) -> Self {
        Group { properties: properties.clone(), filters: Vec::new(), bytes: 0 }
    }

    fn takes(&self, filter: &str, properties: &PropertyBuf) -> bool {
        self.properties == *properties
            && self.filters.len() < RESTORE_FILTERS_MAX
            && self.bytes + filter.len() <= RESTORE_BYTES_MAX
    }
}

/// An answer has not as many codes as its request had filters.
#[derive(Debug)]
pub(crate) struct AnswerMismatch;

impl Request {
    fn encode(
        &self,
        packet_id: PacketId,
        version: Version,
        out: &mut Vec<u8>,
    ) -> Result<(), Misuse> {
        let properties = self.properties.as_properties();
        match &self.what {
            What::Subscribe(filters) => {
                let filters: Vec<_> = filters.iter().map(|(it, how)| (it.as_str(), *how)).collect();
                let subscribe = packet::Subscribe::new(packet_id, properties, &filters);
                Packet::Subscribe(subscribe).encode(version, out)
            }
            What::Unsubscribe(filters) => {
                let filters: Vec<_> = filters.iter().map(String::as_str).collect();
                let unsubscribe = packet::Unsubscribe::new(packet_id, properties, &filters);
                Packet::Unsubscribe(unsubscribe).encode(version, out)
            }
        }
    }

    fn filters(&self) -> usize {
        match &self.what {
            What::Subscribe(filters) => filters.len(),
            What::Unsubscribe(filters) => filters.len(),
        }
    }

    /// Why the server would end the connection over this.
    fn refused_by(&self, offer: &Offer) -> Option<Lost> {
        let What::Subscribe(filters) = &self.what else { return None };
        let properties = self.properties.as_properties();
        if !offer.subscription_identifiers && properties.subscription_identifiers().next().is_some()
        {
            return Some(Lost::NotSupported(ReasonCode::SubscriptionIdentifiersNotSupported));
        }
        filters.iter().find_map(|(filter, _)| {
            let (share, filter) = parse_subscription(filter).ok()?;
            let code = if share.is_some() && !offer.shared_subscriptions {
                ReasonCode::SharedSubscriptionsNotSupported
            } else if filter.has_wildcard() && !offer.wildcard_subscriptions {
                ReasonCode::WildcardSubscriptionsNotSupported
            } else {
                return None;
            };
            Some(Lost::NotSupported(code))
        })
    }
}

fn check_filters<'a>(filters: impl Iterator<Item = &'a String>) -> Result<(), CommandError> {
    for filter in filters {
        parse_subscription(filter)
            .map_err(|error| CommandError::Filter { filter: filter.clone(), error })?;
    }
    Ok(())
}

const REQUESTS_MAX: usize = 1_024;
const RESTORE_FILTERS_MAX: usize = 100;
const RESTORE_BYTES_MAX: usize = 4 * 1_024;
