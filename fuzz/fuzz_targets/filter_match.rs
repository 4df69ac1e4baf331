//! A filter and a topic, separated by a line feed, against a matcher that follows the sentences of
//! section 4.7 over lists of levels.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ternmq_proto::topic::{TopicFilter, TopicName, parse_subscription};

fuzz_target!(|input: &str| {
    let (filter_text, topic) = input.split_once('\n').unwrap_or((input, "a"));
    let filter_levels: Vec<_> = filter_text.split('/').collect();
    let topic_levels: Vec<_> = topic.split('/').collect();

    let name = TopicName::parse(topic);
    assert_eq!(name.is_ok(), is_text(topic) && !topic.contains(['+', '#']));
    let filter = TopicFilter::parse(filter_text);
    assert_eq!(filter.is_ok(), is_text(filter_text) && is_filter(&filter_levels));

    if let (Ok(filter), Ok(name)) = (filter, name) {
        let expected = is_visible(&filter_levels, topic) && wanted(&filter_levels, &topic_levels);
        assert_eq!(filter.matches(name.as_str()), expected);
        assert!(filter.levels().eq(filter_levels.iter().copied()));
        assert!(name.levels().eq(topic_levels.iter().copied()));
    }
    match parse_subscription(filter_text) {
        Ok((None, plain)) => assert_eq!(plain.as_str(), filter_text),
        Ok((Some(share), shared)) => {
            assert_eq!(format!("$share/{}/{}", share.as_str(), shared.as_str()), filter_text);
        }
        Err(_) => assert!(filter.is_err() || filter_text.starts_with("$share/")),
    }
});

fn is_text(text: &str) -> bool {
    !text.is_empty() && text.len() <= 65_535 && !text.contains('\0')
}

fn is_filter(levels: &[&str]) -> bool {
    let whole = |level: &str| level == "+" || !level.contains(['+', '#']);
    match levels {
        [parents @ .., last] => parents.iter().all(|it| whole(it)) && (*last == "#" || whole(last)),
        [] => false,
    }
}

fn is_visible(filter: &[&str], topic: &str) -> bool {
    !(topic.starts_with('$') && matches!(filter[0], "#" | "+"))
}

fn wanted(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) => true,
        ([], []) => true,
        ([], _) | (_, []) => false,
        ([level, filter @ ..], [name, topic @ ..]) => {
            (*level == "+" || level == name) && wanted(filter, topic)
        }
    }
}
