//! The flags of a CONNECT against its payload: will, user name, password.

use super::{ALL, FROM_311, ONLY_5, ONLY_311};
use crate::case::Case;
use crate::check::Check;
use crate::codec::{Connect, Props, Will, field, raw_connect};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case::new("connect_fields::will_flag_without_fields", FROM_311, will_flag_without_fields)
        .v5(&["3.1.2-9"])
        .v311(&["3.1.2-9"]),
    Case::new("connect_fields::will_qos_without_will", FROM_311, will_qos_without_will)
        .v5(&["3.1.2-11"])
        .v311(&["3.1.2-11", "3.1.2-13"]),
    Case::new("connect_fields::will_retain_without_will", FROM_311, will_retain_without_will)
        .v5(&["3.1.2-13"])
        .v311(&["3.1.2-11", "3.1.2-15"]),
    Case::new("connect_fields::will_fields_without_flag", FROM_311, will_fields_without_flag)
        .v5(&["3.1.4-1"])
        .v311(&["3.1.2-11"]),
    Case::new("connect_fields::will_qos_3", FROM_311, will_qos_3)
        .v5(&["3.1.2-12"])
        .v311(&["3.1.2-14"]),
    Case::new("connect_fields::user_name_without_flag", FROM_311, user_name_without_flag)
        .v5(&["3.1.2-16"])
        .v311(&["3.1.2-18"]),
    Case::new("connect_fields::user_name_flag_without_name", FROM_311, user_name_missing)
        .v5(&["3.1.2-17"])
        .v311(&["3.1.2-19"]),
    Case::new("connect_fields::password_without_flag", FROM_311, password_without_flag)
        .v5(&["3.1.2-18"])
        .v311(&["3.1.2-20"]),
    Case::new("connect_fields::password_flag_without_password", FROM_311, password_missing)
        .v5(&["3.1.2-19"])
        .v311(&["3.1.2-21"]),
    Case::new("connect_fields::password_without_user_name", ONLY_311, password_alone)
        .v311(&["3.1.2-22"]),
    Case::new("connect_fields::password_without_user_name_v5", ONLY_5, password_alone_v5)
        .v5(&["3.1.2-19"]),
    Case::new("connect_fields::user_name_and_password", ALL, user_name_and_password)
        .v5(&["3.1.2-17", "3.1.2-19"])
        .v311(&["3.1.2-19", "3.1.2-21"]),
    Case::new("connect_fields::empty_will_payload", ALL, empty_will_payload),
];

const CLEAN: u8 = 0x02;
const WILL: u8 = 0x04;
const USER: u8 = 0x80;
const PASSWORD: u8 = 0x40;

/// Sends a CONNECT with these flags and these fields after the client identifier, and expects
/// that it is malformed.
fn refused(scene: &Scene, flags: u8, fields: &[Vec<u8>]) -> Check {
    let payload = [field(scene.id("a")), fields.concat()].concat();
    let head = (scene.version.protocol_name(), scene.version.level());
    let mut client = scene.dial()?;
    client.send(&raw_connect(scene.version, head, (flags, 60), &Props::default(), &payload));
    client.turned_away(if scene.version.is_v5() { &[0x81, 0x82] } else { &[] })?;
    Ok(())
}

/// The empty will properties of 5.0, nothing before.
fn no_will_props(scene: &Scene) -> Vec<u8> {
    if scene.version.is_v5() { vec![0] } else { Vec::new() }
}

fn will_flag_without_fields(scene: &Scene) -> Check {
    refused(scene, CLEAN | WILL, &[])?;
    refused(scene, CLEAN | WILL, &[no_will_props(scene), field(scene.topic("w"))])
}

fn will_qos_without_will(scene: &Scene) -> Check {
    refused(scene, CLEAN | 0x08, &[])?;
    refused(scene, CLEAN | 0x10, &[])
}

fn will_retain_without_will(scene: &Scene) -> Check {
    refused(scene, CLEAN | 0x20, &[])
}

fn will_fields_without_flag(scene: &Scene) -> Check {
    refused(scene, CLEAN, &[no_will_props(scene), field(scene.topic("w")), field("gone")])
}

fn will_qos_3(scene: &Scene) -> Check {
    let fields = [no_will_props(scene), field(scene.topic("w")), field("gone")];
    refused(scene, CLEAN | WILL | 0x18, &fields)
}

fn user_name_without_flag(scene: &Scene) -> Check {
    refused(scene, CLEAN, &[field("somebody")])
}

fn user_name_missing(scene: &Scene) -> Check {
    refused(scene, CLEAN | USER, &[])
}

fn password_without_flag(scene: &Scene) -> Check {
    refused(scene, CLEAN | USER, &[field("somebody"), field("secret")])
}

fn password_missing(scene: &Scene) -> Check {
    refused(scene, CLEAN | USER | PASSWORD, &[field("somebody")])
}

fn password_alone(scene: &Scene) -> Check {
    refused(scene, CLEAN | PASSWORD, &[field("secret")])
}

fn password_alone_v5(scene: &Scene) -> Check {
    let mut connect = Connect::new(scene.version, scene.id("a"));
    connect.password = Some(b"secret".to_vec());
    scene.join_with(&connect)?.ping()
}

fn user_name_and_password(scene: &Scene) -> Check {
    let mut connect = Connect::new(scene.version, scene.id("a"));
    connect.user_name = Some(b"somebody".to_vec());
    connect.password = Some(vec![0, 1, 2, 0xFF]);
    scene.join_with(&connect)?.ping()?;
    connect.password = None;
    scene.join_with(&connect)?.ping()
}

fn empty_will_payload(scene: &Scene) -> Check {
    let topic = scene.topic("w");
    let mut subscriber = scene.join("sub")?;
    subscriber.subscribe(&topic, 0)?;
    scene.join_with(&scene.hello("a").will(Will::new(&topic, b"", 0)))?.cut();
    crate::client::is(&subscriber.take()?, &topic, b"", 0)
}
