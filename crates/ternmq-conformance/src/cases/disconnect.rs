//! DISCONNECT, from either side.

use super::{ALL, FROM_311, ONLY_5};
use crate::case::Case;
use crate::check::{Check, failed, not_applicable};
use crate::client::Incoming;
use crate::codec::{Packet, Props, disconnect};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case::new("disconnect::of_a_client_ends_the_connection", ALL, of_a_client)
        .v5(&["3.14.4-3"])
        .v311(&["3.14.4-3"]),
    Case::new("disconnect::of_the_broker_is_well_formed_and_last", ONLY_5, of_the_broker)
        .v5(&["3.14.2-1", "3.14.2-2", "3.14.4-1", "3.14.4-2", "4.13.2-1"]),
    Case::new("disconnect::reserved_bits", FROM_311, reserved_bits)
        .v5(&["3.14.1-1", "2.1.3-1"])
        .v311(&["3.14.1-1", "2.2.2-1", "2.2.2-2"]),
    Case::new("disconnect::unknown_reason_code", ONLY_5, unknown_reason_code).v5(&["4.13.1-1"]),
];

fn of_a_client(scene: &Scene) -> Check {
    scene.join("a")?.leave()?;
    let mut client = scene.join("a")?;
    if scene.version.is_v5() {
        for code in [0x00, 0x04, 0x80, 0x83] {
            client.leave_with(code, &Props::default())?;
            client = scene.join("a")?;
        }
    }
    client.leave()
}

fn of_the_broker(scene: &Scene) -> Check {
    // Each of these makes a broker that sends DISCONNECT at all send one; the codec holds it to
    // its tables, and the client to being the last packet.
    let mut told = 0;
    let provoked: [&[u8]; 4] =
        [&[0x36, 4, 0, 1, b'a', 0], &[0x30, 0], &[0x82, 3, 0, 1, 0], &[0xF0, 0]];
    for bytes in provoked {
        let mut client = scene.join("a")?;
        client.send(bytes);
        let codes = [0x80, 0x81, 0x82, 0x83, 0x87, 0x8C, 0x90];
        told += usize::from(client.ended(&codes)?.is_some());
    }
    let mut old = scene.join("b")?;
    let _new = scene.join("b")?;
    told += usize::from(old.ended(&[0x8E])?.is_some());
    if told == 0 {
        return not_applicable("the broker never says DISCONNECT");
    }
    Ok(())
}

fn reserved_bits(scene: &Scene) -> Check {
    for first in [0xE1, 0xE2, 0xE8, 0xEF] {
        let mut client = scene.join("a")?;
        client.send(&[first, 0]);
        if !scene.version.is_v5() {
            client.ended(&[])?;
            continue;
        }
        match client.incoming(scene.patience)? {
            Incoming::Packet(Packet::Disconnect { code: 0x81, .. }) => client.ended(&[])?,
            other => return failed("DISCONNECT 0x81", format!("{other:?}")),
        };
    }
    Ok(())
}

fn unknown_reason_code(scene: &Scene) -> Check {
    for code in [0x01, 0x7F, 0xFF] {
        let mut client = scene.join("a")?;
        client.send(&disconnect(scene.version, code, &Props::default()));
        client.ended(&[0x81, 0x82])?;
    }
    Ok(())
}
