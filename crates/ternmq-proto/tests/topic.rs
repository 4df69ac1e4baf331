//! Topic names, filters and shared subscriptions, against a matcher that is plainly right.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use ternmq_proto::topic::{ShareName, TopicError, TopicFilter, TopicName, parse_subscription};

/// Section 4.7, sentence by sentence, over lists of levels.
fn wanted(filter: &[&str], topic: &[&str]) -> bool {
    let reserved = topic[0].starts_with('$');
    if reserved && (filter[0] == "#" || filter[0] == "+") {
        return false;
    }
    levels_match(filter, topic)
}

fn levels_match(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) => true,
        ([], []) => true,
        ([], _) | (_, []) => false,
        ([first, filter @ ..], [name, topic @ ..]) => {
            (*first == "+" || first == name) && levels_match(filter, topic)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn filters_match_as_the_standard_says(
        filter in vec(select(vec!["+", "a", "b", "", "$SYS", "#", "aa"]), 1..5),
        topic in vec(select(vec!["a", "b", "", "$SYS", "aa"]), 1..5),
    ) {
        let (filter_text, topic_text) = (filter.join("/"), topic.join("/"));
        let last_only = filter[..filter.len() - 1].iter().all(|it| *it != "#");
        match TopicFilter::parse(&filter_text) {
            Ok(parsed) => {
                prop_assert!(last_only && !filter_text.is_empty());
                prop_assert_eq!(parsed.matches(&topic_text), wanted(&filter, &topic));
                prop_assert!(parsed.levels().eq(filter.iter().copied()));
                let wild = filter.iter().any(|it| matches!(*it, "+" | "#"));
                prop_assert_eq!(parsed.has_wildcard(), wild);
            }
            Err(TopicError::Empty) => prop_assert!(filter_text.is_empty()),
            Err(error) => prop_assert!(!last_only && error == TopicError::Wildcard),
        }
    }

    #[test]
    fn parsing_arbitrary_text_says_why_not(text in "[$a+#/\0ä]{0,8}|\\$share/[$a+#/]{0,8}") {
        let levels = || text.split('/');
        let well_formed = !text.is_empty() && !text.contains('\0');
        let name = well_formed && !text.contains(['+', '#']);
        prop_assert_eq!(TopicName::parse(&text).is_ok(), name);

        let whole = |it: &str| it == "+" || !it.contains(['+', '#']);
        let count = levels().count();
        let filter = well_formed
            && levels().zip(1..).all(|(it, at)| whole(it) || (it == "#" && at == count));
        prop_assert_eq!(TopicFilter::parse(&text).is_ok(), filter);
        if !text.starts_with("$share/") {
            prop_assert_eq!(parse_subscription(&text).is_ok(), filter);
        }
    }
}

#[test]
fn examples_of_the_standard() {
    for (filter, topic, expected) in [
        ("sport/tennis/player1/#", "sport/tennis/player1", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
        ("sport/#", "sport", true),
        ("#", "a/b/c", true),
        ("sport/tennis/+", "sport/tennis/player1", true),
        ("sport/tennis/+", "sport/tennis/player1/ranking", false),
        ("sport/+", "sport", false),
        ("sport/+", "sport/", true),
        ("+/+", "/finance", true),
        ("/+", "/finance", true),
        ("+", "/finance", false),
        ("#", "$SYS/uptime", false),
        ("+/monitor/Clients", "$SYS/monitor/Clients", false),
        ("$SYS/#", "$SYS/uptime", true),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
        ("ACCOUNTS", "Accounts", false),
        ("\u{c5}", "A\u{30a}", false),
        ("a//b", "a/b", false),
        ("a", "a/", false),
    ] {
        assert_eq!(
            TopicFilter::parse(filter).unwrap().matches(topic),
            expected,
            "{filter} {topic}"
        );
    }
}

#[test]
fn filters_that_the_standard_calls_invalid() {
    for filter in ["sport/tennis#", "sport/tennis/#/ranking", "sport+", "+a", "#/", "##", "a/#b"] {
        assert_eq!(TopicFilter::parse(filter), Err(TopicError::Wildcard), "{filter}");
    }
}

#[test]
fn names_and_filters_have_a_length() {
    assert_eq!(TopicName::parse(""), Err(TopicError::Empty));
    assert_eq!(TopicFilter::parse(""), Err(TopicError::Empty));
    let long = "x".repeat(65_535);
    assert_eq!(TopicName::parse(&long).unwrap().as_str(), long);
    let longer = "x".repeat(65_536);
    let too_long = TopicError::TooLong { bytes: 65_536 };
    assert_eq!(TopicName::parse(&longer), Err(too_long));
    assert_eq!(TopicFilter::parse(&longer), Err(too_long));
    assert_eq!(parse_subscription(&longer), Err(too_long));
}

#[test]
fn shared_subscriptions_have_a_name_and_a_filter() {
    let (name, filter) = parse_subscription("$share/consumer/sport/+").unwrap();
    assert_eq!(name.map(|it| it.as_str()), Some("consumer"));
    assert_eq!(filter.as_str(), "sport/+");
    let (name, filter) = parse_subscription("$share/c//finance").unwrap();
    assert_eq!((name.map(|it| it.as_str()), filter.as_str()), (Some("c"), "/finance"));
}

#[test]
fn shared_subscriptions_that_are_none() {
    for (text, error) in [
        ("$share/", TopicError::ShareName),
        ("$share//a", TopicError::ShareName),
        ("$share/group", TopicError::ShareName),
        ("$share/gr+up/a", TopicError::ShareName),
        ("$share/#/a", TopicError::ShareName),
        ("$share/group/", TopicError::Empty),
        ("$share/group/a#", TopicError::Wildcard),
        ("$share/g\0/a", TopicError::NulCharacter),
    ] {
        assert_eq!(parse_subscription(text), Err(error), "{text}");
    }
    assert_eq!(ShareName::parse("a/b"), Err(TopicError::ShareName));
}

#[test]
fn what_only_looks_like_a_shared_subscription_is_a_filter() {
    for text in ["$share", "$shared/a/b", "$SHARE/a/b", "share/a/b"] {
        let (name, filter) = parse_subscription(text).unwrap();
        assert_eq!((name, filter.as_str()), (None, text));
    }
}
