//! AUTH and authentication methods, as far as a broker without any can show them.

use super::ONLY_5;
use crate::case::Case;
use crate::check::{Check, expect, failed, listed};
use crate::codec::{Prop, Props, Publish, auth, id};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case::new("auth::unknown_method_is_refused", ONLY_5, unknown_method).v5(&["4.12.0-1"]),
    Case::new("auth::nothing_is_processed_before_connack", ONLY_5, nothing_before_connack)
        .v5(&["3.1.2-30"]),
    Case::new("auth::none_without_a_method", ONLY_5, none_without_a_method).v5(&["4.12.0-6"]),
    Case::new("auth::packet_without_a_method", ONLY_5, packet_without_a_method)
        .v5(&["4.12.0-7", "4.13.1-1"]),
    Case::new("auth::data_without_a_method", ONLY_5, data_without_a_method).v5(&["3.1.4-1"]),
];

fn with_method(scene: &Scene) -> crate::codec::Connect {
    scene.hello("a").prop(Prop::bytes(id::AUTHENTICATION_METHOD, "NO-SUCH-METHOD"))
}

fn unknown_method(scene: &Scene) -> Check {
    let mut client = scene.dial()?;
    client.send_connect(&with_method(scene));
    client.turned_away(&[0x87, 0x8C])?;
    Ok(())
}

fn nothing_before_connack(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let (mut publisher, mut subscriber) = scene.pair(&topic, 0)?;
    let mut client = scene.dial()?;
    let early = Publish::new(&topic, "before CONNACK", 0).encode(scene.version);
    client.send(&[with_method(scene).encode(), early].concat());
    client.raw_until_closed()?;
    publisher.mark(&topic, 0)?;
    let before = subscriber.until_marker()?;
    expect(before.is_empty(), "nothing of what came before CONNACK", listed(&before))
}

fn none_without_a_method(scene: &Scene) -> Check {
    let client = scene.join("a")?;
    let named = client.connack.has(id::AUTHENTICATION_METHOD)
        || client.connack.has(id::AUTHENTICATION_DATA);
    expect(!named, "a CONNACK without authentication", &client.connack.0)
}

fn packet_without_a_method(scene: &Scene) -> Check {
    let method = Prop::bytes(id::AUTHENTICATION_METHOD, "NO-SUCH-METHOD");
    for code in [0x18, 0x19] {
        let mut client = scene.join("a")?;
        client.send(&auth(code, &Props(vec![method.clone()])));
        client.ended(&[0x81, 0x82, 0x87, 0x8C])?;
    }
    Ok(())
}

fn data_without_a_method(scene: &Scene) -> Check {
    let mut client = scene.dial()?;
    client.send_connect(&scene.hello("a").prop(Prop::bytes(id::AUTHENTICATION_DATA, "data")));
    match client.turned_away(&[0x81, 0x82, 0x87, 0x8C])? {
        None | Some(0x81..) => Ok(()),
        Some(code) => failed("a refusal", code),
    }
}
