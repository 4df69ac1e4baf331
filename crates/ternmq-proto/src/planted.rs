//! Planted bugs: each breaks one rule on purpose, so that a proof of that rule can be seen to fail.
//!
//! They exist only with the feature `planted`, which no release is built with; without it
//! [`is`] is a constant `false` and the branches behind it are gone.

macro_rules! bugs {
    ($($variant:ident $name:literal $what:literal,)*) => {
        /// A rule that is broken while its bug is planted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Bug {
            $(#[doc = $what] $variant,)*
        }

        impl Bug {
            /// All of them.
            pub const ALL: &'static [Bug] = &[$(Bug::$variant,)*];

            /// The name on a command line.
            pub fn name(self) -> &'static str {
                match self { $(Bug::$variant => $name,)* }
            }

            /// What is wrong while it is planted.
            pub fn what(self) -> &'static str {
                match self { $(Bug::$variant => $what,)* }
            }

            /// The bug of that name.
            pub fn from_name(name: &str) -> Option<Bug> {
                match name { $($name => Some(Bug::$variant),)* _ => None }
            }
        }
    };
}

bugs! {
    // Codec and connection.
    AcceptBadUtf8 "accept-bad-utf8" "Strings that are not UTF-8 are taken.",
    AcceptNul "accept-nul" "Strings with U+0000 are taken.",
    AcceptWrongFlags "accept-wrong-flags" "Reserved flags of the first byte are not looked at.",
    AcceptLongVarint "accept-long-varint" "Variable byte integers need not be in their shortest form.",
    AcceptPacketIdZero "accept-packet-id-zero" "Packet identifier 0 is taken as 1.",
    AcceptSecondConnect "accept-second-connect" "A second CONNECT is ignored.",
    IgnoreReceiveMaximum "ignore-receive-maximum" "A client may have any number of messages in flight.",
    IgnoreAliasMaximum "ignore-alias-maximum" "A topic alias over the maximum is taken for the maximum.",
    IgnorePacketSize "ignore-packet-size" "Packets larger than the client takes are sent all the same.",
    // Sessions and connections.
    ForgetWill "forget-will" "A will is not published when the connection is lost.",
    WillAfterDisconnect "will-after-disconnect" "A will is published after DISCONNECT 0x00 too.",
    SessionPresentAlways "session-present-always" "CONNACK always says that there was a session.",
    KeepSessionOnCleanStart "keep-session-on-clean-start" "Clean start resumes what was there.",
    NoTakeoverNotice "no-takeover-notice" "A connection that is taken over is not told 0x8E.",
    KeepAliveForever "keep-alive-forever" "Silence does not end a connection.",
    // Publishing and delivering.
    DeliverPublishedQos "deliver-published-qos" "The granted QoS does not lower the delivered one.",
    NoDupOnResume "no-dup-on-resume" "What is sent again does not say DUP.",
    CopyRetainFlag "copy-retain-flag" "Live messages carry the publisher's RETAIN.",
    DollarMatchesWildcard "dollar-matches-wildcard" "# and + at the front match topics that begin with $.",
    NoLocalIgnored "no-local-ignored" "A client gets its own messages with No Local too.",
    KeepEmptyRetained "keep-empty-retained" "An empty retained message does not clear the topic.",
    ExpiryNotReduced "expiry-not-reduced" "The time in the queue is not subtracted from the expiry.",
    DeliverExpired "deliver-expired" "Expired messages are delivered.",
    OneIdentifier "one-identifier" "Only one subscription identifier is sent along.",
    ShareToAll "share-to-all" "Every member of a shared group gets every message.",
    SubackReversed "suback-reversed" "The codes of SUBACK stand in reverse order.",
    UnsubscribeKeeps "unsubscribe-keeps" "UNSUBSCRIBE is answered and changes nothing.",
    // Exactly once, order, durability: found by the simulator.
    DeliverQos2Again "deliver-qos2-again" "A QoS 2 PUBLISH that is sent again is delivered again.",
    AckBeforeCommit "ack-before-commit" "PUBACK and PUBREC do not wait for the commit.",
    ForgetPubrel "forget-pubrel" "A resumed session does not repeat PUBREL.",
    ForgetInboundOnTakeover "forget-inbound-on-takeover" "QoS 2 identifiers are forgotten when a session is resumed.",
    ReverseQueueOnResume "reverse-queue-on-resume" "A resumed session sends its newest queued message first.",
    KeepIdAfterPubrecError "keep-id-after-pubrec-error" "A refused QoS 2 message keeps its identifier.",
    SubackBeforeInterest "suback-before-interest" "SUBACK does not wait for the other shards.",
    DropHeldBack "drop-held-back" "Live messages held back for retained ones are forgotten.",
    ShowRetainedAgain "show-retained-again" "A held back message is sent although it was shown as retained.",
    LoseReturnedShare "lose-returned-share" "What a member of a group gives back is forgotten.",
    LeakCredit "leak-credit" "Credit for every sixteenth request is not given back.",
    QueueOvertaken "queue-overtaken" "A new message does not wait behind the queue.",
    QueueWithoutBound "queue-without-bound" "Queues grow over their bound.",
}

/// Whether this bug is planted.
#[inline(always)]
pub fn is(bug: Bug) -> bool {
    #[cfg(feature = "planted")]
    return ACTIVE.load(core::sync::atomic::Ordering::Relaxed) == bug as u8 + 1;
    #[cfg(not(feature = "planted"))]
    {
        let _ = bug;
        false
    }
}

#[cfg(feature = "planted")]
static ACTIVE: core::sync::atomic::AtomicU8 = core::sync::atomic::AtomicU8::new(0);

/// Plants a bug for the whole process; `None` takes it out again.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    let number = bug.map_or(0, |bug| bug as u8 + 1);
    ACTIVE.store(number, core::sync::atomic::Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_bugs() {
        for bug in Bug::ALL {
            assert_eq!(Bug::from_name(bug.name()), Some(*bug));
            assert!(!is(*bug), "nothing is planted by itself");
        }
    }
}
