//! What was received at QoS 1 and 2 and still needs an answer: in which order answers leave, and
//! which messages are repetitions.
//!
//! Answers leave in the order in which the messages came, each kind for itself (MQTT-4.6.0-2),
//! whatever order the application acknowledges in. A QoS 2 identifier is held (and so survives a
//! restart) from its PUBREC on: before that the application may not have seen the message, and the
//! server sends it again.
//!
//! ```text
//!  QoS 1:  PUBLISH ─▶ unanswered ──acknowledge──▶ PUBACK
//!  QoS 2:  PUBLISH ─▶ unanswered ──acknowledge──▶ PUBREC, held ──PUBREL──▶ PUBCOMP, absent
//!                        │  ▲
//!         connection lost▼  │the same identifier again: the same message, not delivered twice
//!                        carried
//! ```

use std::collections::VecDeque;

use ternmq_proto::inbound::Inbound;
use ternmq_proto::{PacketId, Qos, ReasonCode};

/// Acknowledges one received message; see [`Agent::acknowledge`](crate::Agent::acknowledge).
///
/// It can be used once. A token that outlives the session (QoS 2) or the connection (QoS 1) of its
/// message does nothing: the server sends the message again, with another token.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a message that is not acknowledged holds back the acknowledgements of later ones"]
pub struct AckToken(u64);

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    held: Inbound,
    qos1: VecDeque<Unanswered>,
    qos2: VecDeque<Unanswered>,
    /// QoS 2 messages of earlier connections of this session that were delivered and not answered.
    carried: Vec<Unanswered>,
    next_token: u64,
}

#[derive(Debug)]
struct Unanswered {
    packet_id: PacketId,
    token: u64,
    /// What the application said.
    code: Option<ReasonCode>,
}

/// What a QoS 1 or 2 PUBLISH means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// A message to be delivered.
    New(AckToken),
    /// The application has it already.
    Repeated,
}

/// PUBACK or PUBREC, to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) qos: Qos,
    pub(crate) packet_id: PacketId,
    pub(crate) code: ReasonCode,
}

impl Inbox {
    /// What an earlier process had answered with PUBREC.
    pub(crate) fn restore(held: Inbound) -> Self {
        Inbox { held, ..Inbox::default() }
    }

    /// What has to be kept over a restart: what was answered, and what the application was done
    /// with although the turn of its answer had not come.
    pub(crate) fn into_held(mut self) -> Inbound {
        for unanswered in self.qos2.into_iter().chain(self.carried) {
            if unanswered.code.is_some_and(|code| !code.is_error()) {
                self.held.hold(unanswered.packet_id);
            }
        }
        self.held
    }

    /// A connection began, with or without the session of the one before.
    pub(crate) fn start(&mut self, session_present: bool) {
        self.qos1.clear();
        if session_present {
            // What is held has been answered once, and that is all there is to know about it.
            let held = &self.held;
            self.carried.extend(self.qos2.drain(..).filter(|it| !held.holds(it.packet_id)));
        } else {
            self.qos2.clear();
            self.carried.clear();
            self.held.clear();
        }
    }

    /// A QoS 1 or 2 PUBLISH came.
    pub(crate) fn arrive(&mut self, qos: Qos, packet_id: PacketId, dup: bool) -> Arrival {
        if qos != Qos::ExactlyOnce {
            let token = self.new_token();
            self.qos1.push_back(Unanswered { packet_id, token, code: None });
            return Arrival::New(AckToken(token));
        }
        if self.held.holds(packet_id) {
            // Answered before: only the PUBREC is repeated, in its turn.
            let token = self.new_token();
            let code = Some(ReasonCode::Success);
            self.qos2.push_back(Unanswered { packet_id, token, code });
            return Arrival::Repeated;
        }
        if let Some(index) = self.carried.iter().position(|it| it.packet_id == packet_id) {
            let carried = self.carried.swap_remove(index);
            // Without DUP the server has given up the old message, and this is another.
            if dup {
                self.qos2.push_back(carried);
                return Arrival::Repeated;
            }
        }
        if self.qos2.iter().any(|it| it.packet_id == packet_id) {
            return Arrival::Repeated;
        }
        let token = self.new_token();
        self.qos2.push_back(Unanswered { packet_id, token, code: None });
        Arrival::New(AckToken(token))
    }

    /// The application is done with a message. `false`: the token is stale.
    pub(crate) fn acknowledge(&mut self, token: &AckToken, code: ReasonCode) -> bool {
        let all = self.qos1.iter_mut().chain(&mut self.qos2).chain(&mut self.carried);
        for unanswered in all {
            if unanswered.token == token.0 {
                unanswered.code = Some(code);
                return true;
            }
        }
        false
    }

    /// The next answer whose turn has come.
    pub(crate) fn poll_answer(&mut self) -> Option<Answer> {
        if let Some((packet_id, code)) = pop_ready(&mut self.qos1) {
            return Some(Answer { qos: Qos::AtLeastOnce, packet_id, code });
        }
        let (packet_id, code) = pop_ready(&mut self.qos2)?;
        if !code.is_error() {
            self.held.hold(packet_id);
        }
        Some(Answer { qos: Qos::ExactlyOnce, packet_id, code })
    }

    /// PUBREL came. `false`: the identifier was not held.
    pub(crate) fn release(&mut self, packet_id: PacketId) -> bool {
        self.held.release(packet_id)
    }

    /// Messages of this connection that wait for PUBACK or PUBREC.
    pub(crate) fn unanswered(&self) -> usize {
        self.qos1.len() + self.qos2.len()
    }

    /// QoS 2 identifiers that wait for PUBREL.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    fn new_token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }
}

fn pop_ready(list: &mut VecDeque<Unanswered>) -> Option<(PacketId, ReasonCode)> {
    let first = list.front()?;
    let ready = (first.packet_id, first.code?);
    list.pop_front();
    Some(ready)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(value: u16) -> PacketId {
        PacketId::new(value).unwrap()
    }

    fn arrive(inbox: &mut Inbox, qos: Qos, packet_id: u16) -> AckToken {
        match inbox.arrive(qos, id(packet_id), false) {
            Arrival::New(token) => token,
            Arrival::Repeated => panic!("{packet_id} is taken for a repetition"),
        }
    }

    fn answers(inbox: &mut Inbox) -> Vec<u16> {
        std::iter::from_fn(|| inbox.poll_answer()).map(|it| it.packet_id.get()).collect()
    }

    #[test]
    fn answers_leave_in_the_order_of_arrival() {
        let mut inbox = Inbox::default();
        let tokens: Vec<_> = (1..=3).map(|n| arrive(&mut inbox, Qos::AtLeastOnce, n)).collect();
        assert!(inbox.acknowledge(&tokens[2], ReasonCode::Success));
        assert!(inbox.acknowledge(&tokens[1], ReasonCode::Success));
        assert_eq!(answers(&mut inbox), []);
        assert!(inbox.acknowledge(&tokens[0], ReasonCode::Success));
        assert_eq!(answers(&mut inbox), [1, 2, 3]);
    }

    #[test]
    fn a_manual_acknowledgement_does_not_cross_connections() {
        let mut inbox = Inbox::default();
        let stale = arrive(&mut inbox, Qos::AtLeastOnce, 1);
        inbox.start(true);
        let fresh = arrive(&mut inbox, Qos::AtLeastOnce, 1);
        assert!(!inbox.acknowledge(&stale, ReasonCode::Success));
        assert_eq!(answers(&mut inbox), []);
        assert!(inbox.acknowledge(&fresh, ReasonCode::Success));
        assert_eq!(answers(&mut inbox), [1]);
    }

    #[test]
    fn a_qos_2_message_is_delivered_once_and_its_late_acknowledgement_leaves() {
        let mut inbox = Inbox::default();
        let token = arrive(&mut inbox, Qos::ExactlyOnce, 7);
        inbox.start(true);
        assert_eq!(inbox.arrive(Qos::ExactlyOnce, id(7), true), Arrival::Repeated);
        assert_eq!(answers(&mut inbox), []);
        assert!(inbox.acknowledge(&token, ReasonCode::Success));
        assert_eq!(answers(&mut inbox), [7]);
    }

    #[test]
    fn an_acknowledgement_between_connections_answers_the_repetition() {
        let mut inbox = Inbox::default();
        let token = arrive(&mut inbox, Qos::ExactlyOnce, 7);
        inbox.start(true);
        assert!(inbox.acknowledge(&token, ReasonCode::Success));
        assert_eq!(answers(&mut inbox), [], "nothing to answer on this connection yet");
        assert_eq!(inbox.arrive(Qos::ExactlyOnce, id(7), true), Arrival::Repeated);
        assert_eq!(answers(&mut inbox), [7]);
        assert_eq!(inbox.held(), 1);
    }

    #[test]
    fn an_identifier_is_free_for_another_message_when_its_exchange_is_over() {
        let mut inbox = Inbox::default();
        let first = arrive(&mut inbox, Qos::ExactlyOnce, 6);
        let token = arrive(&mut inbox, Qos::ExactlyOnce, 7);
        inbox.start(true);
        assert_eq!(inbox.arrive(Qos::ExactlyOnce, id(7), true), Arrival::Repeated);
        assert!(inbox.acknowledge(&token, ReasonCode::Success));
        assert_eq!(answers(&mut inbox), [7]);
        // The PUBREC was lost, and is about to be repeated when the connection is lost again.
        inbox.start(true);
        assert_eq!(inbox.arrive(Qos::ExactlyOnce, id(6), true), Arrival::Repeated);
        assert_eq!(inbox.arrive(Qos::ExactlyOnce, id(7), true), Arrival::Repeated);
        inbox.start(true);
        assert!(inbox.release(id(7)));
        assert!(matches!(inbox.arrive(Qos::ExactlyOnce, id(7), true), Arrival::New(_)));
        assert!(inbox.acknowledge(&first, ReasonCode::Success));
    }

    #[test]
    fn a_message_that_the_server_gave_up_does_not_hide_the_next() {
        let mut inbox = Inbox::default();
        let stale = arrive(&mut inbox, Qos::ExactlyOnce, 7);
        inbox.start(true);
        assert!(matches!(inbox.arrive(Qos::ExactlyOnce, id(7), false), Arrival::New(_)));
        assert!(!inbox.acknowledge(&stale, ReasonCode::Success));
    }

    #[test]
    fn a_refused_qos_2_message_is_not_held() {
        let mut inbox = Inbox::default();
        let token = arrive(&mut inbox, Qos::ExactlyOnce, 7);
        assert!(inbox.acknowledge(&token, ReasonCode::QuotaExceeded));
        assert_eq!(answers(&mut inbox), [7]);
        assert_eq!(inbox.held(), 0);
        assert!(!inbox.release(id(7)));
    }

    #[test]
    fn a_lost_session_forgets_its_identifiers() {
        let mut inbox = Inbox::default();
        let token = arrive(&mut inbox, Qos::ExactlyOnce, 7);
        assert!(inbox.acknowledge(&token, ReasonCode::Success));
        assert_eq!(answers(&mut inbox), [7]);
        inbox.start(false);
        assert!(matches!(inbox.arrive(Qos::ExactlyOnce, id(7), true), Arrival::New(_)));
    }
}
