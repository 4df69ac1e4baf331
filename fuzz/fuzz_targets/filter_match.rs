//! Any two texts as filter and topic: matching never panics and agrees with the standard's rules
//! written level by level.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ternmq_proto::{TopicFilter, TopicName};

fuzz_target!(|texts: (&str, &str)| {
    let (Ok(filter), Ok(topic)) = (TopicFilter::parse(texts.0), TopicName::parse(texts.1)) else {
        return;
    };
    let filter_levels: Vec<_> = filter.levels().collect();
    let topic_levels: Vec<_> = topic.levels().collect();
    let hidden = texts.1.starts_with('$') && ["+", "#"].contains(&filter_levels[0]);
    let expected = !hidden && matches_levels(&filter_levels, &topic_levels);
    assert_eq!(filter.matches(topic.as_str()), expected);
});

fn matches_levels(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) => true,
        ([first, rest @ ..], [level, levels @ ..]) => {
            (*first == "+" || first == level) && matches_levels(rest, levels)
        }
        ([], []) => true,
        _ => false,
    }
}
