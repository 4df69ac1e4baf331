//! Will delay and session end, which only MQTT 5.0 has.

use super::ONLY_5;
use crate::case::Case;
use crate::check::{Check, expect, listed};
use crate::client::{Client, is};
use crate::clock;
use crate::codec::{Prop, Props, Will, id};
use crate::scene::Scene;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    Case::new("will_delay::runs_before_the_will", ONLY_5, runs_before_the_will)
        .v5(&["3.1.2-7", "3.1.2-8"])
        .slow(),
    Case::new("will_delay::reconnect_in_time_removes_the_will", ONLY_5, reconnect_in_time)
        .v5(&["3.1.3-9", "3.1.2-8"])
        .slow(),
    Case::new("will_delay::ends_with_the_session", ONLY_5, ends_with_the_session)
        .v5(&["3.1.2-8"])
        .slow(),
    Case::new("will_delay::ends_when_a_clean_start_ends_the_session", ONLY_5, clean_start)
        .v5(&["3.1.2-8"]),
    Case::new("will_delay::takeover_in_time_removes_the_will", ONLY_5, takeover_in_time)
        .v5(&["3.1.3-9"])
        .slow(),
    Case::new("will_delay::without_a_session_there_is_none", ONLY_5, without_a_session)
        .v5(&["3.1.2-8"]),
    Case::new("will_delay::disconnect_removes_the_will", ONLY_5, disconnect_removes)
        .v5(&["3.14.4-3"])
        .slow(),
];

fn watcher(scene: &Scene) -> Check<Client> {
    let mut watcher = scene.join("watch")?;
    watcher.subscribe(scene.topic("#"), 1)?;
    Ok(watcher)
}

fn delayed(scene: &Scene, seconds: u32) -> Will {
    Will::new(scene.topic("will"), "gone", 1).prop(Prop::four(id::WILL_DELAY_INTERVAL, seconds))
}

fn runs_before_the_will(scene: &Scene) -> Check {
    let mut watcher = watcher(scene)?;
    scene.join_with(&scene.stay("a").will(delayed(scene, 2)))?.cut();
    let started = clock::now();
    is(&watcher.take()?, scene.topic("will"), b"gone", 1)?;
    let waited = started.elapsed();
    let due = Duration::from_millis(1_000);
    expect(waited >= due, "a delay of 2 s (in whole seconds of the broker's clock)", waited)
}

fn reconnect_in_time(scene: &Scene) -> Check {
    let mut watcher = watcher(scene)?;
    scene.join_with(&scene.stay("a").will(delayed(scene, 2)))?.cut();
    let mut back = scene.join_with(&scene.stay("a"))?;
    scene.let_pass(Duration::from_millis(3_500))?;
    back.mark(scene.topic("marker"), 1)?;
    let before = watcher.until_marker()?;
    expect(before.is_empty(), "no will, since the client came back in time", listed(&before))
}

fn ends_with_the_session(scene: &Scene) -> Check {
    let mut watcher = watcher(scene)?;
    let connect = scene.hello("a").persistent(1).will(delayed(scene, 600));
    scene.join_with(&connect)?.cut();
    is(&watcher.take()?, scene.topic("will"), b"gone", 1)
}

fn clean_start(scene: &Scene) -> Check {
    let mut watcher = watcher(scene)?;
    scene.join_with(&scene.stay("a").will(delayed(scene, 600)))?.cut();
    let _clean = scene.join("a")?;
    is(&watcher.take()?, scene.topic("will"), b"gone", 1)
}

fn takeover_in_time(scene: &Scene) -> Check {
    let mut watcher = watcher(scene)?;
    let mut old = scene.join_with(&scene.stay("a").will(delayed(scene, 1)))?;
    let mut new = scene.join_with(&scene.stay("a"))?;
    old.ended(&[0x8E])?;
    scene.let_pass(Duration::from_millis(2_500))?;
    new.mark(scene.topic("marker"), 1)?;
    let before = watcher.until_marker()?;
    expect(before.is_empty(), "no will, since the session went on in time", listed(&before))
}

fn without_a_session(scene: &Scene) -> Check {
    let mut watcher = watcher(scene)?;
    scene.join_with(&scene.hello("a").will(delayed(scene, 600)))?.cut();
    is(&watcher.take()?, scene.topic("will"), b"gone", 1)
}

fn disconnect_removes(scene: &Scene) -> Check {
    let mut watcher = watcher(scene)?;
    let mut client = scene.join_with(&scene.stay("a").will(delayed(scene, 1)))?;
    client.leave_with(0, &Props::default())?;
    scene.let_pass(Duration::from_millis(2_500))?;
    scene.join("a")?.mark(scene.topic("marker"), 1)?;
    let before = watcher.until_marker()?;
    expect(before.is_empty(), "no will after DISCONNECT 0x00", listed(&before))
}
