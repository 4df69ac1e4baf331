//! Which subscription a message goes to, and what waits there for the application.
//!
//! QoS 1 and 2 messages always find room: the receive maximum bounds those that are not
//! acknowledged, and they are acknowledged when the application takes them. What is bounded here is
//! QoS 0.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use ternmq_agent::{AckToken, Lost, Message, RequestId};
use ternmq_proto::topic::parse_subscription;
use ternmq_proto::{Qos, ReasonCode};

use crate::subscription::OnFull;

/// All subscriptions of a client, by a number of their own.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    list: BTreeMap<u64, Stream>,
    last: u64,
    /// Kept for its memory.
    targets: Vec<u64>,
}

/// One subscription.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) filters: Vec<String>,
    /// Subscription Identifier, if the application set one.
    pub(crate) identifier: Option<u32>,
    pub(crate) request: RequestId,
    pub(crate) answer: Option<Result<Vec<ReasonCode>, Lost>>,
    pub(crate) queue: VecDeque<Delivery>,
    pub(crate) buffer: usize,
    pub(crate) on_full: OnFull,
    /// Nothing more will come.
    pub(crate) ended: bool,
    pub(crate) waker: Option<Waker>,
    pub(crate) dropped: u64,
}

/// A message in a queue. Several subscriptions may share its token: the last one that acknowledges
/// does it.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) message: Message,
    pub(crate) token: Option<Arc<AckToken>>,
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Routed {
    /// It waits for the application, except in as many subscriptions, whose buffers are full.
    Delivered { dropped: u64 },
    /// No subscription wants it; its token is given back.
    Nowhere(Option<AckToken>),
}

impl Streams {
    pub(crate) fn add(&mut self, stream: Stream) -> u64 {
        self.last += 1;
        self.list.insert(self.last, stream);
        self.last
    }

    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut Stream> {
        self.list.get_mut(&id)
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<Stream> {
        self.list.remove(&id)
    }

    /// Those of `filters` that no subscription has.
    pub(crate) fn unused<'a>(&self, filters: &'a [String]) -> Vec<&'a String> {
        let used = |filter: &String| self.list.values().any(|it| it.filters.contains(filter));
        filters.iter().filter(|filter| !used(filter)).collect()
    }

    /// Whether the transport should not be read because a consumer is slow.
    pub(crate) fn paused(&self) -> bool {
        self.list.values().any(|it| it.on_full == OnFull::Pause && it.is_full() && !it.ended)
    }

    pub(crate) fn route(&mut self, message: Message, token: Option<AckToken>) -> Routed {
        let mut targets = std::mem::take(&mut self.targets);
        targets.clear();
        self.find(&message, &mut targets);
        let Some((&last, others)) = targets.split_last() else {
            self.targets = targets;
            return Routed::Nowhere(token);
        };
        let token = token.map(Arc::new);
        let mut dropped = 0;
        for id in others {
            let delivery = Delivery { message: message.clone(), token: token.clone() };
            dropped += self.deliver(*id, delivery);
        }
        dropped += self.deliver(last, Delivery { message, token });
        self.targets = targets;
        Routed::Delivered { dropped }
    }

    /// The server's word (subscription identifiers) goes before our own reading of the filters; but
    /// an identifier may stem from an earlier run of the program, so the filter has to fit as well.
    fn find(&self, message: &Message, targets: &mut Vec<u64>) {
        let matching =
            || self.list.iter().filter(|(_, it)| !it.ended && it.matches(&message.topic));
        let properties = message.properties.as_properties();
        if !properties.is_empty() {
            let named = |it: &Stream| {
                it.identifier.is_some_and(|own| {
                    properties.subscription_identifiers().any(|identifier| identifier == own)
                })
            };
            targets.extend(matching().filter(|(_, it)| named(it)).map(|(&id, _)| id));
        }
        if targets.is_empty() {
            targets.extend(matching().map(|(&id, _)| id));
        }
    }

    fn deliver(&mut self, id: u64, delivery: Delivery) -> u64 {
        let Some(stream) = self.list.get_mut(&id) else { return 0 };
        let may_drop = delivery.message.qos == Qos::AtMostOnce;
        if may_drop && stream.on_full == OnFull::DropQos0 && stream.is_full() {
            stream.dropped += 1;
            return 1;
        }
        stream.queue.push_back(delivery);
        stream.wake();
        0
    }

    /// A SUBSCRIBE was answered.
    pub(crate) fn answered(&mut self, request: RequestId, answer: &Result<Vec<ReasonCode>, Lost>) {
        for stream in self.list.values_mut().filter(|it| it.request == request) {
            let granted = |codes: &Vec<ReasonCode>| codes.iter().any(|code| !code.is_error());
            if !answer.as_ref().is_ok_and(granted) {
                stream.end();
            }
            stream.answer = Some(answer.clone());
            // Whoever polls for messages may want to look at the answer now.
            stream.wake();
        }
    }

    /// The server will not send anything for this filter any more.
    pub(crate) fn filter_lost(&mut self, filter: &str) {
        for stream in self.list.values_mut() {
            stream.filters.retain(|it| it != filter);
            if stream.filters.is_empty() {
                stream.end();
            }
        }
    }

    /// Nothing more will come for anybody.
    pub(crate) fn end(&mut self) {
        for stream in self.list.values_mut() {
            stream.answer.get_or_insert(Err(Lost::Closed));
            stream.end();
        }
    }
}

impl Stream {
    fn matches(&self, topic: &str) -> bool {
        self.filters
            .iter()
            .any(|it| parse_subscription(it).is_ok_and(|(_, filter)| filter.matches(topic)))
    }

    fn is_full(&self) -> bool {
        self.queue.len() >= self.buffer
    }

    fn end(&mut self) {
        self.ended = true;
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}
