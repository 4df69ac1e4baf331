//! Everything that is shipped has a licence that lets us ship it under ours.

use std::path::Path;

use super::Finding;
use super::arrows::cargo_tree;
use crate::tree::File;

const ALLOWED: [&str; 11] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unlicense",
    "CC0-1.0",
    "Unicode-3.0",
];

pub fn check(root: &Path) -> Result<Vec<Finding>, String> {
    let tree = cargo_tree(root, &["--workspace", "--format", "{p}\t{l}"])?;
    Ok(findings(&tree))
}

fn findings(tree: &str) -> Vec<Finding> {
    let lock = File { path: "Cargo.lock".into(), text: String::new() };
    let mut found: Vec<Finding> = Vec::new();
    for line in tree.lines().map(|it| it.trim_end_matches(" (*)")) {
        let Some((package, licence)) = line.split_once('\t') else { continue };
        if !is_allowed(licence) {
            let message =
                format!("{package} is under `{licence}`, which is not on the list of licences");
            found.push(Finding::new(&lock, 1, "licence", message));
        }
    }
    found.dedup();
    found
}

/// Reads `A OR (B AND C)` as far as the registry writes it: one alternative must be allowed whole.
fn is_allowed(licence: &str) -> bool {
    let plain = licence.replace(['(', ')'], " ").replace('/', " OR ");
    let joined = licence.contains('(') && licence.contains(") AND");
    let one = |it: &str| ALLOWED.contains(&it.trim());
    if joined {
        return plain.split(" AND ").all(|part| part.split(" OR ").any(one));
    }
    plain.split(" OR ").any(|alternative| alternative.split(" AND ").all(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_that_binds_us_is_found() {
        let tree = "a v1\tMIT OR Apache-2.0\nb v1\tGPL-3.0-only\nb v1\tGPL-3.0-only (*)\nc v1\t\n";
        let found: Vec<_> = findings(tree).into_iter().map(|it| it.message).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("b v1 is under `GPL-3.0-only`"));
    }

    #[test]
    fn alternatives_and_conjunctions_are_read() {
        for fine in [
            "MIT/Apache-2.0",
            "Unlicense OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "GPL-2.0 OR MIT",
        ] {
            assert!(is_allowed(fine), "{fine}");
        }
        for bad in ["GPL-2.0", "MIT AND GPL-2.0", "(MIT OR Apache-2.0) AND GPL-2.0", ""] {
            assert!(!is_allowed(bad), "{bad}");
        }
    }
}
