//! Topic names against topic filters.

use super::{ALL, FROM_311};
use crate::case::Case;
use crate::check::{Check, expect, failed, listed};
use crate::client::Incoming;
use crate::codec::{Packet, Publish, Subscribe};
use crate::scene::Scene;

pub(super) const CASES: &[Case] = &[
    Case::new("matching::wildcards", ALL, wildcards)
        .v5(&["3.3.2-3", "4.7.1-1", "4.7.1-2"])
        .v311(&["3.3.2-3", "4.7.1-2", "4.7.1-3"]),
    Case::new("matching::nothing_is_normalised", ALL, nothing_is_normalised)
        .v5(&["4.7.3-4"])
        .v311(&["4.7.3-4"]),
    Case::new("matching::dollar_topics", FROM_311, dollar_topics)
        .v5(&["4.7.2-1"])
        .v311(&["4.7.2-1"]),
    Case::new("matching::hash_out_of_place", FROM_311, hash_out_of_place)
        .v5(&["4.7.1-1"])
        .v311(&["4.7.1-2"]),
    Case::new("matching::plus_out_of_place", FROM_311, plus_out_of_place)
        .v5(&["4.7.1-2"])
        .v311(&["4.7.1-3"]),
    Case::new("matching::empty_filter", FROM_311, empty_filter).v5(&["4.7.3-1"]).v311(&["4.7.3-1"]),
    Case::new("matching::filter_of_65535_bytes", FROM_311, longest_filter)
        .v5(&["4.7.3-3"])
        .v311(&["4.7.3-3"]),
];

/// Filters, topic names that they match, and some that they do not.
const TABLE: &[(&str, &[&str], &[&str])] = &[
    ("a", &["a"], &["a/", "/a", "A", "b", "aa"]),
    ("a/#", &["a", "a/", "a/b", "a/b/c", "a//c"], &["b", "ab", "aa/b"]),
    ("a/+", &["a/b", "a/"], &["a", "a/b/c", "a/b/"]),
    ("a/+/c", &["a/b/c", "a//c"], &["a/c", "a/b/b/c", "a/b"]),
    ("+/+", &["a/b", "/b", "a/", "/"], &["a", "a/b/c"]),
    ("+", &["a", "b"], &["a/b", "/a"]),
    ("/+", &["/a", "/"], &["a", "/a/b"]),
    ("+/b/#", &["a/b", "a/b/c", "/b"], &["b", "a/c/b"]),
    ("a/+/#", &["a/b", "a/", "a/b/c"], &["a", "b/a"]),
    ("a/b c/d", &["a/b c/d"], &["a/bc/d", "a/b%20c/d"]),
];

fn wildcards(scene: &Scene) -> Check {
    let mut publisher = scene.join("pub")?;
    for (at, (filter, matching, others)) in TABLE.iter().enumerate() {
        let under = |rest: &str| scene.topic(&format!("{at}/{rest}"));
        let mut subscriber = scene.join("sub")?;
        subscriber.subscribe(under(filter), 1)?;
        for name in others.iter().chain(*matching) {
            publisher.publish(&Publish::new(under(name), name, 1))?;
        }
        publisher.mark(under(matching[0]), 1)?;
        let seen = subscriber.until_marker()?;
        let mut names: Vec<_> =
            seen.iter().map(|publish| String::from_utf8_lossy(&publish.payload)).collect();
        names.sort();
        let mut expected = matching.to_vec();
        expected.sort_unstable();
        expect(names == expected, format!("{filter} matches {expected:?}"), &names)?;
        let kept = seen.iter().all(|publish| {
            publish.topic == under(&String::from_utf8_lossy(&publish.payload)).into_bytes()
        });
        expect(kept, "topic names as they were published", listed(&seen))?;
    }
    Ok(())
}

fn nothing_is_normalised(scene: &Scene) -> Check {
    let names = [
        "caf\u{e9}",
        "cafe\u{301}",
        "CAFE\u{301}",
        "Caf\u{e9}",
        "caf\u{e9}/",
        "/caf\u{e9}",
        "caf\u{e9} ",
        " caf\u{e9}",
        "./caf\u{e9}",
        "caf\u{e9}//",
        "\u{212b}",
        "\u{c5}",
        "A\u{30a}",
        "\u{fb01}",
        "fi",
        "\u{feff}fi",
        "%66i",
    ];
    let mut publisher = scene.join("pub")?;
    for wanted in names {
        let mut subscriber = scene.join("sub")?;
        subscriber.subscribe(scene.topic(wanted), 1)?;
        for name in names {
            publisher.publish(&Publish::new(scene.topic(name), name, 1))?;
        }
        publisher.mark(scene.topic(wanted), 1)?;
        match subscriber.until_marker()?.as_slice() {
            [one] if one.payload == wanted.as_bytes() => {}
            other => return failed(format!("{wanted:?} and nothing else"), listed(other)),
        }
    }
    Ok(())
}

fn dollar_topics(scene: &Scene) -> Check {
    let hidden = format!("${}", scene.topic("t"));
    let plain = scene.topic("t");
    let mut publisher = scene.join("pub")?;
    let mut direct = scene.join("direct")?;
    direct.subscribe(&hidden, 0)?;
    for filter in ["#", "+/t", "+/#", "+/+"] {
        let mut subscriber = scene.join("sub")?;
        subscriber.subscribe(filter, 0)?;
        publisher.publish(&Publish::new(&hidden, "hidden", 0))?;
        publisher.publish(&Publish::new(&plain, "plain", 0))?;
        // Other cases publish at the same time, and their topics match '#' as well.
        loop {
            let seen = subscriber.take()?;
            let dollar = seen.topic.first() == Some(&b'$');
            expect(
                !dollar,
                format!("no topic with '$' for {filter}"),
                listed(std::slice::from_ref(&seen)),
            )?;
            if seen.topic == plain.as_bytes() {
                break;
            }
        }
    }
    // The broker may keep topics with '$' to itself; if it takes them, the filter finds them.
    match direct.incoming(std::time::Duration::from_millis(100))? {
        Incoming::Packet(Packet::Publish(seen)) if seen.topic == hidden.as_bytes() => Ok(()),
        Incoming::Silence => Ok(()),
        other => failed("the hidden message or nothing", format!("{other:?}")),
    }
}

/// Expects that a filter is refused: by a failure in the SUBACK or the end of the connection.
fn filter_is_refused(scene: &Scene, filter: &str) -> Check {
    let mut client = scene.join("a")?;
    client.send(&Subscribe::one(1, filter, 0).encode(scene.version));
    match client.incoming(scene.patience)? {
        Incoming::Closed => Ok(()),
        Incoming::Packet(Packet::Disconnect { code: 0x81 | 0x82 | 0x8F, .. }) => {
            client.ended(&[]).map(|_| ())
        }
        Incoming::Packet(Packet::SubAck { codes, .. }) if codes == [0x80] || codes == [0x8F] => {
            Ok(())
        }
        other => failed(format!("the filter {filter:?} refused"), format!("{other:?}")),
    }
}

fn hash_out_of_place(scene: &Scene) -> Check {
    for filter in ["a#", "a/#/b", "a/b#", "#/a", "a/#b", "##", "a/##"] {
        filter_is_refused(scene, &scene.topic(filter))?;
    }
    filter_is_refused(scene, "#a")
}

fn plus_out_of_place(scene: &Scene) -> Check {
    for filter in ["a+", "a/b+/c", "a/+b", "++", "a/+#", "+a/b"] {
        filter_is_refused(scene, &scene.topic(filter))?;
    }
    Ok(())
}

fn empty_filter(scene: &Scene) -> Check {
    filter_is_refused(scene, "")
}

fn longest_filter(scene: &Scene) -> Check {
    let head = scene.topic("");
    let topic = format!("{head}{}", "x".repeat(65_535 - head.len()));
    let mut client = scene.join("a")?;
    match client.subscribe_with(&Subscribe::one(1, &topic, 0))?.as_slice() {
        [0] => {
            client.publish(&Publish::new(&topic, "long", 0))?;
            crate::client::is(&client.take()?, &topic, b"long", 0)
        }
        // A broker may have a limit of its own, and then says so.
        [0x80 | 0x8F | 0x97] => client.ping(),
        other => failed("the filter granted or refused", format!("{other:?}")),
    }
}
