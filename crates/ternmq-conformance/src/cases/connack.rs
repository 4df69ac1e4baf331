//! The CONNACK: its place, its flags, its codes, and what it must leave out.

use super::{ALL, FROM_311, ONLY_5};
use crate::case::Case;
use crate::check::{Check, equal, expect, failed, not_applicable};
use crate::codec::{Connect, Packet, Prop, Publish, id};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case::new("connack::is_the_first_packet", ALL, is_the_first_packet)
        .v5(&["3.2.0-1", "3.2.0-2", "3.2.2-1"])
        .v311(&["3.2.0-1"]),
    Case::new("connack::refusal_is_from_the_table_and_last", ONLY_5, refusal)
        .v5(&["3.2.2-6", "3.2.2-7", "3.2.2-8", "4.13.2-1"]),
    Case::new("connack::refusal_with_a_session_at_hand", FROM_311, refusal_with_a_session)
        .v5(&["3.2.2-6", "3.2.2-7"])
        .v311(&["3.1.4-1"]),
    Case::new("connack::fits_the_maximum_packet_size", ONLY_5, fits_the_maximum_packet_size)
        .v5(&["3.2.2-19", "3.2.2-20", "3.1.2-24"]),
    Case::new("connack::response_information_only_on_request", ONLY_5, response_information)
        .v5(&["3.1.2-28"]),
    Case::new("connack::problem_information_only_on_request", ONLY_5, problem_information)
        .v5(&["3.1.2-29"]),
];

fn is_the_first_packet(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut sleeper = scene.join_with(&scene.stay("sleeper"))?;
    sleeper.subscribe(&topic, 1)?;
    sleeper.leave()?;
    let mut publisher = scene.join("pub")?;
    for number in 0..10 {
        publisher.publish(&Publish::new(&topic, number.to_string(), 1))?;
    }
    let mut sleeper = scene.dial()?;
    sleeper.send_connect(&scene.stay("sleeper"));
    match sleeper.packet()? {
        Packet::ConnAck { code: 0, .. } => {}
        other => return failed("CONNACK with code 0x00, before the queued messages", other),
    }
    for number in 0..10 {
        equal("payload", sleeper.take()?.payload, number.to_string().into_bytes())?;
    }
    Ok(())
}

/// A CONNECT that a broker without authentication methods has to refuse.
fn unacceptable(scene: &Scene, who: &str) -> Connect {
    scene.stay(who).prop(Prop::bytes(id::AUTHENTICATION_METHOD, "NO-SUCH-METHOD"))
}

fn refusal(scene: &Scene) -> Check {
    let mut client = scene.dial()?;
    client.send_connect(&unacceptable(scene, "a"));
    match client.turned_away(&[0x87, 0x8C])? {
        Some(_) => Ok(()),
        None => not_applicable("the broker closes without a CONNACK, as it may"),
    }
}

fn refusal_with_a_session(scene: &Scene) -> Check {
    let topic = scene.topic("t");
    let mut client = scene.join_with(&scene.stay("a"))?;
    client.subscribe(&topic, 1)?;
    client.leave()?;
    let mut client = scene.dial()?;
    if scene.version.is_v5() {
        client.send_connect(&unacceptable(scene, "a"));
        client.turned_away(&[0x87, 0x8C])?;
    } else {
        let mut bytes = scene.stay("a").encode();
        bytes[9] |= 1;
        client.send(&bytes);
        client.turned_away(&[])?;
    }
    // The refused connection has not touched the session.
    let client = scene.join_with(&scene.stay("a"))?;
    expect(client.session_present, "the session still there after a refused CONNECT", false)
}

fn fits_the_maximum_packet_size(scene: &Scene) -> Check {
    let limit = 64;
    let limited = scene.hello("a").prop(Prop::four(id::MAXIMUM_PACKET_SIZE, limit));
    scene.join_with(&limited)?.ping()?;
    let mut client = scene.dial()?;
    let refused = unacceptable(scene, "b").prop(Prop::four(id::MAXIMUM_PACKET_SIZE, 24)).encode();
    client.send(&refused);
    let said = client.raw_until_closed()?;
    expect(said.len() <= 24, "a refusal of at most 24 bytes", said.len())
}

fn response_information(scene: &Scene) -> Check {
    let asked_not = Prop::byte(id::REQUEST_RESPONSE_INFORMATION, 0);
    for connect in [scene.hello("a"), scene.hello("b").prop(asked_not)] {
        let client = scene.join_with(&connect)?;
        let told = client.connack.has(id::RESPONSE_INFORMATION);
        expect(!told, "no Response Information", &client.connack.0)?;
    }
    Ok(())
}

fn problem_information(scene: &Scene) -> Check {
    let connect = scene.hello("a").prop(Prop::byte(id::REQUEST_PROBLEM_INFORMATION, 0));
    let mut client = scene.join_with(&connect)?;
    // The client holds every acknowledgement to the request; these are the ones with something
    // to explain: nobody matches, an unknown identifier, a filter that nobody can subscribe to.
    client.publish(&Publish::new(scene.topic("nobody"), "x", 1))?;
    client.publish(&Publish::new(scene.topic("nobody"), "x", 2))?;
    client.ack(crate::codec::Ack::PubRel, 4711, 0);
    client.answered(crate::codec::Ack::PubComp, 4711)?;
    client.unsubscribe(&[scene.topic("never").as_bytes()])?;
    client.subscribe(scene.topic("t"), 1)?;
    client.ping()
}
