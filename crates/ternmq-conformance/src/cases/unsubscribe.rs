//! UNSUBSCRIBE and UNSUBACK.

use super::{ALL, FROM_311, ONLY_5};
use crate::case::Case;
use crate::check::{Check, equal, expect, failed, listed};
use crate::client::is;
use crate::codec::{Ack, Packet, Publish, unsubscribe};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case::new("unsubscribe::unsuback_repeats_the_identifier", ALL, repeats_the_identifier)
        .v5(&["2.2.1-6", "3.10.4-4", "3.10.4-5"])
        .v311(&["2.3.1-7", "3.10.4-4", "3.10.4-5"]),
    Case::new("unsubscribe::stops_the_messages", ALL, stops_the_messages)
        .v5(&["3.10.4-1", "3.10.4-2"])
        .v311(&["3.10.4-1", "3.10.4-2"]),
    Case::new("unsubscribe::compares_character_by_character", ALL, compares_characters)
        .v5(&["3.10.4-1"])
        .v311(&["3.10.4-1"]),
    Case::new("unsubscribe::begun_deliveries_are_completed", ALL, begun_are_completed)
        .v5(&["3.10.4-3"])
        .v311(&["3.10.4-3"]),
    Case::new("unsubscribe::several_filters_at_once", ALL, several_filters)
        .v5(&["3.10.4-6"])
        .v311(&["3.10.4-6"]),
    Case::new("unsubscribe::codes_are_in_order", ONLY_5, codes_are_in_order)
        .v5(&["3.11.3-1", "3.11.3-2", "3.10.4-5"]),
    Case::new("unsubscribe::without_filters", FROM_311, without_filters)
        .v5(&["3.10.3-2"])
        .v311(&["3.10.3-2"]),
    Case::new("unsubscribe::packet_identifier_0", FROM_311, packet_identifier_0)
        .v5(&["2.2.1-3"])
        .v311(&["2.3.1-1"]),
];

fn repeats_the_identifier(scene: &Scene) -> Check {
    let mut client = scene.join("a")?;
    client.subscribe(scene.topic("t"), 1)?;
    for packet_id in [300, 301, 65_535] {
        client.send(&unsubscribe(scene.version, packet_id, &[scene.topic("t").as_bytes()]));
        match client.answer()? {
            Packet::UnsubAck { packet_id: seen, .. } => equal("identifier", seen, packet_id)?,
            other => return failed(format!("UNSUBACK #{packet_id}"), other),
        }
    }
    Ok(())
}

fn stops_the_messages(scene: &Scene) -> Check {
    let (gone, kept) = (scene.topic("gone"), scene.topic("kept"));
    let (mut publisher, mut client) = scene.pair(&gone, 2)?;
    client.subscribe(&kept, 2)?;
    publisher.publish(&Publish::new(&gone, "before", 1))?;
    is(&client.take()?, &gone, b"before", 1)?;
    client.unsubscribe(&[gone.as_bytes()])?;
    for qos in 0..=2 {
        publisher.publish(&Publish::new(&gone, "after", qos))?;
        publisher.mark(&kept, qos)?;
        let before = client.until_marker()?;
        expect(before.is_empty(), "nothing after the UNSUBACK", listed(&before))?;
    }
    Ok(())
}

fn compares_characters(scene: &Scene) -> Check {
    let filter = scene.topic("a/+");
    let (mut publisher, mut client) = scene.pair(&filter, 1)?;
    let others = ["a/b", "a/#", "A/+", "a/+/", "a", "+/+", "#"].map(|rest| scene.topic(rest));
    for other in &others {
        let codes = client.unsubscribe(&[other.as_bytes()])?;
        if scene.version.is_v5() {
            equal(&format!("code for {other}"), codes, vec![0x11])?;
        }
        publisher.publish(&Publish::new(scene.topic("a/b"), "still", 1))?;
        is(&client.take()?, scene.topic("a/b"), b"still", 1)?;
    }
    let codes = client.unsubscribe(&[filter.as_bytes()])?;
    if scene.version.is_v5() {
        equal("code for the filter itself", codes, vec![0x00])?;
    }
    Ok(())
}

fn begun_are_completed(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut publisher = scene.join("pub")?;
    let mut client = scene.join_with(&scene.stay("a"))?;
    client.subscribe(&topic, 2)?;
    for qos in 1..=2 {
        publisher.publish(&Publish::new(&topic, "begun", qos))?;
    }
    let (one, two) = (client.publication()?, client.publication()?);
    client.unsubscribe(&[topic.as_bytes()])?;
    client.cut();
    let mut client = scene.join_with(&scene.stay("a"))?;
    for first in [one, two] {
        let again = client.publication()?;
        is(&again, &topic, b"begun", first.qos)?;
        equal("DUP", again.dup, true)?;
        equal("packet identifier", again.packet_id, first.packet_id)?;
        if first.qos == 1 {
            client.ack(Ack::PubAck, first.packet_id, 0);
        } else {
            client.finish(&again)?;
        }
    }
    client.ping()
}

fn several_filters(scene: &Scene) -> Check {
    let topics = ["a", "b", "c"].map(|rest| scene.topic(rest));
    let mut publisher = scene.join("pub")?;
    let mut client = scene.join("sub")?;
    for topic in &topics {
        client.subscribe(topic, 1)?;
    }
    client.unsubscribe(&[topics[0].as_bytes(), b"never/was", topics[1].as_bytes()])?;
    for topic in &topics[..2] {
        publisher.publish(&Publish::new(topic, "after", 1))?;
    }
    publisher.mark(&topics[2], 1)?;
    let before = client.until_marker()?;
    expect(before.is_empty(), "nothing for the filters that went", listed(&before))?;
    client.ping()
}

fn codes_are_in_order(scene: &Scene) -> Check {
    let topics = ["a", "b", "c", "d", "e"].map(|rest| scene.topic(rest));
    let mut client = scene.join("sub")?;
    for at in [1, 3] {
        client.subscribe(&topics[at], 1)?;
    }
    let filters: Vec<&[u8]> = topics.iter().map(String::as_bytes).collect();
    equal("codes", client.unsubscribe(&filters)?, vec![0x11, 0, 0x11, 0, 0x11])
}

fn without_filters(scene: &Scene) -> Check {
    let mut client = scene.join("a")?;
    client.send(&unsubscribe(scene.version, 1, &[]));
    client.ended(&[0x81, 0x82])?;
    Ok(())
}

fn packet_identifier_0(scene: &Scene) -> Check {
    let mut client = scene.join("a")?;
    client.send(&unsubscribe(scene.version, 0, &[scene.topic("t").as_bytes()]));
    client.ended(&[0x81, 0x82])?;
    Ok(())
}
