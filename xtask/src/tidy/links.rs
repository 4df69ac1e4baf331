//! Every relative link in a page leads somewhere, and every heading that a link names exists.

use super::Finding;
use crate::tree::{File, Tree};

pub fn check(tree: &Tree) -> Vec<Finding> {
    let exists = |path: &str| {
        let folder = format!("{}/", path.trim_end_matches('/'));
        tree.files.iter().any(|it| it.path == path || it.path.starts_with(&folder))
            || crate::tree::root().join(path).exists()
    };
    tree.ending(".md").flat_map(|page| check_page(tree, page, &exists)).collect()
}

fn check_page(tree: &Tree, page: &File, exists: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let mut found = Vec::new();
    for (line, target) in links(&page.text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (path, heading) = target.split_once('#').unwrap_or((&target, ""));
        let resolved = resolve(&page.path, path);
        if !path.is_empty() && !exists(&resolved) {
            found.push(Finding::new(page, line, "link", format!("`{target}` leads nowhere")));
            continue;
        }
        let goal = if path.is_empty() { Some(page) } else { tree.get(&resolved) };
        let has_heading = |it: &File| headings(&it.text).any(|it| it == heading);
        if !heading.is_empty()
            && goal.is_some_and(|it| it.path.ends_with(".md") && !has_heading(it))
        {
            let message = format!("`{target}`: no heading there is called `{heading}`");
            found.push(Finding::new(page, line, "link", message));
        }
    }
    found
}

/// The lines of a page that are not in a code block, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        (!in_code && !is_fence).then_some((index + 1, line))
    })
}

fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        for (at, _) in line.match_indices("](") {
            let rest = &line[at + 2..];
            let target = rest.split([')', ' ']).next().unwrap_or_default();
            let in_inline_code = line[..at].matches('`').count() % 2 == 1;
            if !in_inline_code {
                found.push((number, target.to_owned()));
            }
        }
    }
    found
}

/// The anchors that a page's headings get.
fn headings(text: &str) -> impl Iterator<Item = String> {
    prose(text).filter(|(_, line)| line.starts_with('#')).map(|(_, line)| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|it| it.is_alphanumeric() || [' ', '-', '_'].contains(it));
        kept.map(|it| if it == ' ' { '-' } else { it }).collect()
    })
}

fn resolve(page: &str, link: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> usize {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let tree =
            Tree { files: vec![file("docs/a.md", text), file("b.md", "# One thing: `x`\n")] };
        let exists = |path: &str| tree.get(path).is_some();
        check_page(&tree, &tree.files[0], &exists).len()
    }

    #[test]
    fn a_link_to_nowhere_is_found() {
        assert_eq!(findings("[x](../b.md) [y](https://example.org) [z](a.md)"), 0);
        assert_eq!(findings("[x](b.md)"), 1);
        assert_eq!(findings("fine\n[x](../b.md), [y](../c.md)"), 1);
    }

    #[test]
    fn a_link_to_a_missing_heading_is_found() {
        assert_eq!(findings("[x](../b.md#one-thing-x)"), 0);
        assert_eq!(findings("[x](../b.md#another)"), 1);
        assert_eq!(findings("# Here\n[x](#here) [y](#there)"), 1);
    }

    #[test]
    fn code_holds_no_links() {
        assert_eq!(findings("```rust\na[0](nowhere)\n```\n`a[0](b)`\n"), 0);
    }
}
