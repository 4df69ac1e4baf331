//! Strings: well-formed UTF-8, no U+0000, no byte changed.

use super::{ALL, FROM_311, ONLY_5};
use crate::case::Case;
use crate::check::{Check, equal, failed, listed, same_bytes};
use crate::client::is;
use crate::codec::{Connect, Prop, Publish, Subscribe, Will, id, unsubscribe};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case::new("text::ill_formed_topic_name", FROM_311, ill_formed_topic_name)
        .v5(&["1.5.4-1", "3.3.2-1"])
        .v311(&["1.5.3-1", "3.3.2-1"]),
    Case::new("text::ill_formed_topic_filter", FROM_311, ill_formed_topic_filter)
        .v5(&["1.5.4-1", "3.8.3-1"])
        .v311(&["1.5.3-1", "3.8.3-1"]),
    Case::new("text::ill_formed_filter_to_unsubscribe", FROM_311, ill_formed_unsubscribe)
        .v5(&["1.5.4-1", "3.10.3-1"])
        .v311(&["1.5.3-1", "3.10.3-1"]),
    Case::new("text::nul_in_a_topic_name", FROM_311, nul_in_a_topic_name)
        .v5(&["1.5.4-2", "4.7.3-2"])
        .v311(&["1.5.3-2", "4.7.3-2"]),
    Case::new("text::nul_in_a_topic_filter", FROM_311, nul_in_a_topic_filter)
        .v5(&["1.5.4-2", "4.7.3-2"])
        .v311(&["1.5.3-2", "4.7.3-2"]),
    Case::new("text::ill_formed_client_identifier", FROM_311, ill_formed_client_identifier)
        .v5(&["3.1.3-4", "1.5.4-1", "1.5.4-2"])
        .v311(&["3.1.3-4", "1.5.3-1", "1.5.3-2"]),
    Case::new("text::ill_formed_will_topic", FROM_311, ill_formed_will_topic)
        .v5(&["3.1.3-11", "1.5.4-1", "1.5.4-2"])
        .v311(&["3.1.3-10", "1.5.3-1", "1.5.3-2"]),
    Case::new("text::ill_formed_user_name", FROM_311, ill_formed_user_name)
        .v5(&["3.1.3-12", "1.5.4-1", "1.5.4-2"])
        .v311(&["3.1.3-11", "1.5.3-1", "1.5.3-2"]),
    Case::new("text::ill_formed_user_property", ONLY_5, ill_formed_user_property)
        .v5(&["1.5.7-1", "1.5.4-1", "1.5.4-2"]),
    Case::new("text::ill_formed_response_topic", ONLY_5, ill_formed_response_topic)
        .v5(&["3.3.2-13"]),
    Case::new("text::ill_formed_content_type", ONLY_5, ill_formed_content_type).v5(&["3.3.2-19"]),
    Case::new("text::byte_order_mark_is_data", ALL, byte_order_mark_is_data)
        .v5(&["1.5.4-3"])
        .v311(&["1.5.3-3"]),
    Case::new("text::all_of_unicode_passes", ALL, all_of_unicode_passes)
        .v5(&["4.7.3-4"])
        .v311(&["4.7.3-4"]),
    Case::new("text::binary_fields_are_not_strings", FROM_311, binary_fields).v5(&["3.3.2-16"]),
];

/// Byte strings that are not UTF-8: surrogates, too long forms, cut off, too large, no beginning.
const ILL_FORMED: &[&[u8]] = &[
    b"a\xED\xA0\x80",
    b"a\xED\xBF\xBFb",
    b"a\xC0\x80",
    b"a\xC1\xBF",
    b"a\xE0\x80\xAF",
    b"a\xC3",
    b"a\xE2\x82",
    b"a\xF4\x90\x80\x80",
    b"a\xF8\x88\x80\x80\x80",
    b"a\x80",
    b"a\xFF",
];
const WITH_NUL: &[&[u8]] = &[b"\0", b"a\0", b"a\0b"];

/// After CONNECT, sends what is made of each bad string and expects the end each time.
fn refused(scene: &Scene, bad: &[&[u8]], packet: impl Fn(&[u8]) -> Vec<u8>) -> Check {
    for text in bad {
        let mut client = scene.join("a")?;
        client.send(&packet(text));
        client.ended(&[0x81, 0x82, 0x8F, 0x90, 0x99])?;
    }
    Ok(())
}

/// Sends a CONNECT with each bad string in it, and expects to be turned away.
fn turned_away(scene: &Scene, connect: impl Fn(&[u8]) -> Connect) -> Check {
    for text in ILL_FORMED.iter().chain(WITH_NUL) {
        let mut client = scene.dial()?;
        client.send_connect(&connect(text));
        let v5 = &[0x81, 0x82, 0x85, 0x86, 0x90, 0x99];
        client.turned_away(if scene.version.is_v5() { v5 } else { &[] })?;
    }
    Ok(())
}

fn ill_formed_topic_name(scene: &Scene) -> Check {
    refused(scene, ILL_FORMED, |bad| Publish::new(bad, "x", 0).encode(scene.version))
}

fn ill_formed_topic_filter(scene: &Scene) -> Check {
    refused(scene, ILL_FORMED, |bad| Subscribe::one(1, bad, 0).encode(scene.version))
}

fn ill_formed_unsubscribe(scene: &Scene) -> Check {
    refused(scene, ILL_FORMED, |bad| unsubscribe(scene.version, 1, &[bad]))?;
    refused(scene, WITH_NUL, |bad| unsubscribe(scene.version, 1, &[bad]))
}

fn nul_in_a_topic_name(scene: &Scene) -> Check {
    refused(scene, WITH_NUL, |bad| Publish::new(bad, "x", 0).encode(scene.version))
}

fn nul_in_a_topic_filter(scene: &Scene) -> Check {
    refused(scene, WITH_NUL, |bad| Subscribe::one(1, bad, 0).encode(scene.version))
}

fn ill_formed_client_identifier(scene: &Scene) -> Check {
    turned_away(scene, |bad| Connect::new(scene.version, bad))
}

fn ill_formed_will_topic(scene: &Scene) -> Check {
    turned_away(scene, |bad| scene.hello("a").will(Will::new(bad, "x", 0)))
}

fn ill_formed_user_name(scene: &Scene) -> Check {
    turned_away(scene, |bad| {
        let mut connect = scene.hello("a");
        connect.user_name = Some(bad.to_vec());
        connect
    })
}

/// After CONNECT, sends PUBLISH packets with bad strings in a property.
fn refused_in_publish(scene: &Scene, prop: impl Fn(&[u8]) -> Prop) -> Check {
    for bad in [ILL_FORMED, WITH_NUL] {
        refused(scene, bad, |text| {
            Publish::new(scene.topic("t"), "x", 0).prop(prop(text)).encode(scene.version)
        })?;
    }
    Ok(())
}

fn ill_formed_user_property(scene: &Scene) -> Check {
    refused_in_publish(scene, |bad| Prop::user(bad, "value"))?;
    refused_in_publish(scene, |bad| Prop::user("name", bad))
}

fn ill_formed_response_topic(scene: &Scene) -> Check {
    refused_in_publish(scene, |bad| Prop::bytes(id::RESPONSE_TOPIC, bad))
}

fn ill_formed_content_type(scene: &Scene) -> Check {
    refused_in_publish(scene, |bad| Prop::bytes(id::CONTENT_TYPE, bad))
}

fn byte_order_mark_is_data(scene: &Scene) -> Check {
    let (plain, marked) = (scene.topic("t"), scene.topic("\u{feff}t"));
    let mut publisher = scene.join("pub")?;
    for (filter, expected) in [(&plain, &plain), (&marked, &marked)] {
        let mut subscriber = scene.join("sub")?;
        subscriber.subscribe(filter, 1)?;
        for topic in [&marked, &plain] {
            publisher.publish(&Publish::new(topic, topic, 1))?;
        }
        publisher.mark(filter, 1)?;
        match subscriber.until_marker()?.as_slice() {
            [one] => is(one, expected, expected.as_bytes(), 1)?,
            other => return failed("the message with exactly that topic name", listed(other)),
        }
    }
    // At the very beginning of the string too, where some decoders swallow it.
    let first = format!("\u{feff}{plain}");
    let mut subscriber = scene.join("sub")?;
    subscriber.subscribe(&first, 1)?;
    publisher.publish(&Publish::new(&first, "x", 1))?;
    same_bytes("topic", &subscriber.take()?.topic, first.as_bytes())
}

fn all_of_unicode_passes(scene: &Scene) -> Check {
    let (mut publisher, mut subscriber) = scene.pair(&scene.topic("+"), 0)?;
    // Control characters and non-characters may be refused, so there are none among these.
    for sample in [" ", "~", "\u{a0}", "\u{7ff}", "\u{800}", "\u{d7ff}", "\u{e000}", "\u{10000}"] {
        let topic = scene.topic(sample);
        publisher.publish(&Publish::new(&topic, sample, 0))?;
        is(&subscriber.take()?, &topic, sample.as_bytes(), 0)?;
    }
    Ok(())
}

fn binary_fields(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let (mut publisher, mut subscriber) = scene.pair(&topic, 1)?;
    let every_byte: Vec<u8> = (0..=255).collect();
    let mut publish = Publish::new(&topic, &every_byte, 1);
    if scene.version.is_v5() {
        publish = publish.prop(Prop::bytes(id::CORRELATION_DATA, &every_byte));
    }
    publisher.publish(&publish)?;
    let seen = subscriber.take()?;
    is(&seen, &topic, &every_byte, 1)?;
    let expected = scene.version.is_v5().then_some(every_byte.as_slice());
    equal("correlation data", seen.props.bytes(id::CORRELATION_DATA), expected)
}
