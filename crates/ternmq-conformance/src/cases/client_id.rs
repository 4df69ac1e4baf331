//! Client identifiers: which are accepted, and which the broker assigns.

use super::{ALL, FROM_311, ONLY_5, ONLY_311};
use crate::case::Case;
use crate::check::{Check, expect, failed, same_bytes};
use crate::codec::{Connect, Prop, Publish, id};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case::new("client_id::of_1_to_23_letters_and_digits", ALL, of_1_to_23_letters_and_digits)
        .v5(&["3.1.3-5"])
        .v311(&["3.1.3-5"]),
    Case::new("client_id::empty_is_assigned", ONLY_5, empty_is_assigned)
        .v5(&["3.1.3-6", "3.1.3-7", "3.2.2-16"]),
    Case::new("client_id::empty_with_clean_session", ONLY_311, empty_with_clean_session)
        .v311(&["3.1.3-6", "3.1.3-7"]),
    Case::new("client_id::empty_without_clean_session", ONLY_311, empty_without_clean_session)
        .v311(&["3.1.3-7", "3.1.3-8", "3.2.2-4", "3.2.2-5"]),
    Case::new("client_id::keys_the_session", FROM_311, keys_the_session)
        .v5(&["3.1.3-2"])
        .v311(&["3.1.3-2"]),
];

fn of_1_to_23_letters_and_digits(scene: &Scene) -> Check {
    let ids = [
        "Q",
        "Qz",
        "0123456789",
        "0123456789ABCDEFGHIJKLM",
        "NOPQRSTUVWXYZabcdefghij",
        "klmnopqrstuvwxyz0",
    ];
    for client_id in ids {
        let mut client = scene.dial()?;
        client.send_connect(&Connect::new(scene.version, client_id));
        client.accepted()?;
    }
    Ok(())
}

fn assigned(scene: &Scene) -> Check<(crate::client::Client, Vec<u8>)> {
    let connect = Connect::new(scene.version, "").prop(Prop::four(id::SESSION_EXPIRY_INTERVAL, 30));
    let client = scene.join_with(&connect)?;
    match client.connack.bytes(id::ASSIGNED_CLIENT_IDENTIFIER) {
        Some(assigned) if !assigned.is_empty() => {
            let assigned = assigned.to_vec();
            Ok((client, assigned))
        }
        _ => failed("an Assigned Client Identifier", format!("{:?}", client.connack.0)),
    }
}

fn empty_is_assigned(scene: &Scene) -> Check {
    let (mut first, first_id) = assigned(scene)?;
    let (mut second, second_id) = assigned(scene)?;
    expect(first_id != second_id, "two different identifiers", &first_id)?;
    first.subscribe(scene.topic("a"), 1)?;
    second.ping()?;
    second.leave()?;
    first.leave()?;
    // The broker goes on as if the client had sent that identifier: the session is there.
    let again = Connect::new(scene.version, &first_id).clean(false);
    let mut first = scene.join_with(&again)?;
    expect(first.session_present, "Session Present 1 for the assigned identifier", false)?;
    first.publish(&Publish::new(scene.topic("a"), "to myself", 1))?;
    same_bytes("payload", &first.take()?.payload, b"to myself")?;
    let mut second = scene.join_with(&Connect::new(scene.version, &second_id))?;
    second.leave()?;
    first.leave()
}

fn empty_with_clean_session(scene: &Scene) -> Check {
    let topic = scene.topic("a");
    let mut first = scene.join_with(&Connect::new(scene.version, ""))?;
    first.subscribe(&topic, 0)?;
    let mut second = scene.join_with(&Connect::new(scene.version, ""))?;
    // Were both given the same identifier, the second would have ended the first.
    second.publish(&Publish::new(&topic, "for the first", 0))?;
    same_bytes("payload", &first.take()?.payload, b"for the first")?;
    first.ping()?;
    second.ping()
}

fn empty_without_clean_session(scene: &Scene) -> Check {
    let mut client = scene.dial()?;
    client.send_connect(&Connect::new(scene.version, "").clean(false));
    client.turned_away(&[2])?;
    Ok(())
}

fn keys_the_session(scene: &Scene) -> Check {
    let (topic_a, topic_b) = (scene.topic("a"), scene.topic("b"));
    for (who, topic) in [("A", &topic_a), ("a", &topic_b)] {
        let mut client = scene.join_with(&scene.stay(who))?;
        client.subscribe(topic, 1)?;
        client.leave()?;
    }
    let mut publisher = scene.join("pub")?;
    publisher.publish(&Publish::new(&topic_a, "for A", 1))?;
    publisher.publish(&Publish::new(&topic_b, "for a", 1))?;
    for (who, payload) in [("A", b"for A"), ("a", b"for a")] {
        let mut client = scene.join_with(&scene.stay(who))?;
        expect(client.session_present, "Session Present 1", false)?;
        same_bytes("payload", &client.take()?.payload, payload)?;
        client.mark(scene.topic("none"), 0)?;
        client.quiet(std::time::Duration::from_millis(50))?;
        client.leave()?;
    }
    let client = scene.join_with(&scene.stay("other"))?;
    expect(!client.session_present, "Session Present 0 for an identifier never seen", true)
}
