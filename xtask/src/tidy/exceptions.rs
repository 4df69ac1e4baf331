//! What is excused for now: `xtask/tidy-exceptions.txt`, a list that only shrinks.
//!
//! A line is `rule path allowed`: how many findings of that rule the file may have (for `length`,
//! how many lines). If the file has become better than its line, the line must follow.

use std::collections::BTreeMap;

use super::Finding;
use crate::tree::{File, Tree};

const LIST: &str = "xtask/tidy-exceptions.txt";

/// Removes what the list excuses and adds what is wrong with the list.
pub fn apply(tree: &Tree, found: Vec<Finding>) -> Vec<Finding> {
    match tree.get(LIST) {
        Some(list) => excuse(list, found),
        None => found,
    }
}

fn excuse(list: &File, mut found: Vec<Finding>) -> Vec<Finding> {
    let mut amounts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for it in found.iter().filter(|it| !it.is_warning) {
        *amounts.entry((it.rule.to_owned(), it.path.clone())).or_default() += it.measure;
    }
    for (index, line) in list.text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let complain = |message: String| Finding::new(list, index + 1, "exception", message);
        let words: Vec<_> = line.split_whitespace().collect();
        let &[rule, path, allowed] = words.as_slice() else {
            found.push(complain(format!("`{line}` is not `rule path allowed`")));
            continue;
        };
        let Ok(allowed) = allowed.parse::<usize>() else {
            found.push(complain(format!("`{allowed}` is not a number")));
            continue;
        };
        let actual = amounts.get(&(rule.to_owned(), path.to_owned())).copied().unwrap_or(0);
        if actual == 0 {
            found.push(complain(format!(
                "{path} no longer needs its exception from {rule}: remove it"
            )));
        } else if actual < allowed {
            found.push(complain(format!(
                "{path} has shrunk: lower its exception from {rule} to {actual}"
            )));
        }
        if actual <= allowed {
            found.retain(|it| it.is_warning || it.rule != rule || it.path != path);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remaining(list: &str, measure: usize) -> Vec<String> {
        let file = File { path: "a.rs".into(), text: String::new() };
        let list = File { path: LIST.into(), text: list.into() };
        let found = vec![Finding::new(&file, 1, "length", "too long").measured(measure)];
        excuse(&list, found).iter().map(|it| format!("{} {}", it.rule, it.message)).collect()
    }

    #[test]
    fn an_exception_excuses_exactly_what_it_names() {
        assert_eq!(remaining("# a comment\nlength a.rs 1200\n", 1200), [""; 0]);
        assert_eq!(remaining("length a.rs 1200", 1201), ["length too long"]);
        assert_eq!(remaining("header a.rs 1200", 1200).len(), 2);
    }

    #[test]
    fn an_exception_that_is_too_large_is_found() {
        assert!(
            remaining("length a.rs 1300", 1200)[0]
                .contains("lower its exception from length to 1200")
        );
    }

    #[test]
    fn an_exception_that_is_no_longer_needed_is_found() {
        let left = remaining("length a.rs 1200\nlength b.rs 2000", 1200);
        assert_eq!(left, ["exception b.rs no longer needs its exception from length: remove it"]);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_found() {
        assert!(remaining("length a.rs", 1)[1].contains("is not `rule path allowed`"));
        assert!(remaining("length a.rs many", 1)[1].contains("is not a number"));
    }
}
