//! SUBSCRIBE and SUBACK.

use super::{ALL, FROM_311, ONLY_5};
use crate::case::Case;
use crate::check::{Check, equal, failed, listed};
use crate::client::{Client, is};
use crate::codec::{Publish, Subscribe, id};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case::new("subscribe::suback_repeats_the_identifier", ALL, suback_repeats_the_identifier)
        .v5(&["2.2.1-6", "3.8.4-1", "3.8.4-2"])
        .v311(&["2.3.1-7", "3.8.4-1", "3.8.4-2"]),
    Case::new("subscribe::one_code_per_filter_in_order", ALL, one_code_per_filter_in_order)
        .v5(&["3.8.4-5", "3.8.4-6", "3.8.4-7", "3.9.3-1", "3.9.3-2"])
        .v311(&["3.8.4-4", "3.8.4-5", "3.9.3-1", "3.9.3-2"]),
    Case::new("subscribe::each_filter_takes_effect", ALL, each_filter_takes_effect)
        .v5(&["3.8.4-5"])
        .v311(&["3.8.4-4"]),
    Case::new("subscribe::again_replaces", ALL, again_replaces).v5(&["3.8.4-3"]).v311(&["3.8.4-3"]),
    Case::new("subscribe::replacing_loses_nothing", FROM_311, replacing_loses_nothing)
        .v5(&["3.8.4-4"])
        .v311(&["3.8.4-3"]),
    Case::new("subscribe::without_filters", FROM_311, without_filters)
        .v5(&["3.8.3-2"])
        .v311(&["3.8.3-3"]),
    Case::new("subscribe::reserved_option_bits", FROM_311, reserved_option_bits)
        .v5(&["3.8.3-5"])
        .v311(&["3.8.3-4"]),
    Case::new("subscribe::packet_identifier_0", FROM_311, packet_identifier_0)
        .v5(&["2.2.1-3"])
        .v311(&["2.3.1-1"]),
    Case::new("subscribe::no_local", ONLY_5, no_local).v5(&["3.8.3-3"]),
    Case::new("subscribe::no_local_on_a_shared_subscription", ONLY_5, no_local_shared)
        .v5(&["3.8.3-4"]),
    Case::new("subscribe::identifier_0", ONLY_5, identifier_0).v5(&["4.13.1-1"]),
    Case::new("subscribe::after_the_suback_every_message_comes", ALL, after_the_suback)
        .v5(&["3.8.4-1", "4.5.0-1"])
        .v311(&["3.8.4-1", "4.5.0-1"]),
];

const NO_LOCAL: u8 = 0x04;

fn suback_repeats_the_identifier(scene: &Scene) -> Check {
    let mut client = scene.join("a")?;
    for packet_id in [1, 256, 65_535] {
        for qos in 0..=2 {
            let subscribe = Subscribe::one(packet_id, scene.topic("t"), qos);
            equal("granted QoS", client.subscribe_with(&subscribe)?, vec![qos])?;
        }
    }
    Ok(())
}

fn one_code_per_filter_in_order(scene: &Scene) -> Check {
    let mut client = scene.join("a")?;
    let order = [2, 0, 1, 1, 2, 0, 2];
    let mut subscribe = Subscribe::one(9, scene.topic("first"), 1);
    for (at, qos) in order.into_iter().enumerate() {
        subscribe = subscribe.and(scene.topic(&at.to_string()), qos);
    }
    let expected = [&[1][..], &order].concat();
    equal("codes", client.subscribe_with(&subscribe)?, expected)
}

fn each_filter_takes_effect(scene: &Scene) -> Check {
    let mut client = scene.join("a")?;
    let mut publisher = scene.join("pub")?;
    let topics = ["zero", "one", "two"].map(|rest| scene.topic(rest));
    let subscribe = Subscribe::one(9, &topics[0], 0).and(&topics[1], 1).and(&topics[2], 2);
    equal("codes", client.subscribe_with(&subscribe)?, vec![0, 1, 2])?;
    for (qos, topic) in (0..).zip(&topics) {
        publisher.publish(&Publish::new(topic, "x", 2))?;
        is(&client.take()?, topic, b"x", qos)?;
    }
    Ok(())
}

fn again_replaces(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let (mut publisher, mut client) = scene.pair(&topic, 0)?;
    for qos in [2, 1, 0] {
        client.subscribe(&topic, qos)?;
        publisher.publish(&Publish::new(&topic, "one copy", 2))?;
        publisher.mark(&topic, 2)?;
        match client.until_marker()?.as_slice() {
            [one] => is(one, &topic, b"one copy", qos)?,
            other => return failed("one copy with the new QoS", listed(other)),
        }
    }
    Ok(())
}

fn replacing_loses_nothing(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let (mut publisher, mut client) = scene.pair(&topic, 1)?;
    for number in 0..50u32 {
        // The message and the SUBSCRIBE are on their way at the same time.
        let packet_id = publisher.fresh_id();
        let publish = Publish::new(&topic, number.to_string(), 1).id(packet_id);
        publisher.send(&publish.encode(scene.version));
        client.subscribe(&topic, 1)?;
        publisher.answered(crate::codec::Ack::PubAck, packet_id)?;
    }
    for number in 0..50u32 {
        is(&client.take()?, &topic, number.to_string().as_bytes(), 1)?;
    }
    Ok(())
}

/// Sends a SUBSCRIBE that is malformed, and expects the end.
fn refused(scene: &Scene, bytes: &[u8], codes: &[u8]) -> Check {
    let mut client = scene.join("a")?;
    client.send(bytes);
    client.ended(codes)?;
    Ok(())
}

fn without_filters(scene: &Scene) -> Check {
    let mut subscribe = Subscribe::one(1, "", 0);
    subscribe.filters.clear();
    refused(scene, &subscribe.encode(scene.version), &[0x81, 0x82])
}

fn reserved_option_bits(scene: &Scene) -> Check {
    let bad: &[u8] = if scene.version.is_v5() {
        &[0x03, 0x30, 0x31, 0x40, 0x80]
    } else {
        &[0x03, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80]
    };
    for options in bad {
        let subscribe = Subscribe::one(1, scene.topic("t"), *options);
        refused(scene, &subscribe.encode(scene.version), &[0x81, 0x82])?;
    }
    Ok(())
}

fn packet_identifier_0(scene: &Scene) -> Check {
    let subscribe = Subscribe::one(0, scene.topic("t"), 0);
    refused(scene, &subscribe.encode(scene.version), &[0x81, 0x82])
}

fn no_local(scene: &Scene) -> Check {
    let (own, all) = (scene.topic("own"), scene.topic("all"));
    let mut client = scene.join("a")?;
    client.subscribe(&own, NO_LOCAL | 1)?;
    client.subscribe(&all, 1)?;
    client.publish(&Publish::new(&own, "my own", 1))?;
    client.publish(&Publish::new(&all, "mine, wanted", 1))?;
    is(&client.take()?, &all, b"mine, wanted", 1)?;
    let mut other = scene.join("b")?;
    other.publish(&Publish::new(&own, "of another", 1))?;
    is(&client.take()?, &own, b"of another", 1)
}

fn no_local_shared(scene: &Scene) -> Check {
    let client = scene.join("b")?;
    scene.needs(&client, id::SHARED_AVAILABLE, "shared subscriptions")?;
    let filter = format!("$share/{}/{}", scene.id("g"), scene.topic("t"));
    let subscribe = Subscribe::one(1, filter, NO_LOCAL | 1);
    refused(scene, &subscribe.encode(scene.version), &[0x82])
}

fn identifier_0(scene: &Scene) -> Check {
    let subscribe = Subscribe::one(1, scene.topic("t"), 0).identifier(0);
    refused(scene, &subscribe.encode(scene.version), &[0x82, 0x81])?;
    let twice = Subscribe::one(1, scene.topic("t"), 0).identifier(1).identifier(2);
    refused(scene, &twice.encode(scene.version), &[0x82, 0x81])
}

fn after_the_suback(scene: &Scene) -> Check {
    let mut publisher = scene.join("pub")?;
    for number in 0..20 {
        let topic = scene.topic(&number.to_string());
        let mut client: Client = scene.join(&format!("s{number}"))?;
        client.subscribe(&topic, 1)?;
        publisher.publish(&Publish::new(&topic, "right after", 1))?;
        is(&client.take()?, &topic, b"right after", 1)?;
    }
    Ok(())
}
