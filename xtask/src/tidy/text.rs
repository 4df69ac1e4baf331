//! Rules about any text file: no path of somebody's machine, and a Makefile that only calls.

use super::Finding;
use crate::tree::File;

/// Beginnings of paths that exist on one machine only. Written in two parts, so that this file
/// does not hold what it looks for.
const PRIVATE_PATHS: [&str; 6] = [
    concat!("/wo", "rk/"),
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/Us", "ers/"),
    concat!("/t", "mp/"),
    concat!("C:", "\\"),
];

pub fn check(file: &File) -> Vec<Finding> {
    let mut found = private_paths(file);
    if file.name() == "Makefile" {
        found.extend(one_line_targets(file));
    }
    found
}

fn private_paths(file: &File) -> Vec<Finding> {
    let mut found = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let holds =
            |path: &&&str| line.match_indices(**path).any(|(at, _)| begins_a_path(line, at));
        if let Some(path) = PRIVATE_PATHS.iter().find(holds) {
            let message = format!("a path under `{path}` exists on one machine only");
            found.push(Finding::new(file, index + 1, "absolute-path", message));
        }
    }
    found
}

/// Not in the middle of a longer path (`docs/home/x`) and not in an address.
fn begins_a_path(line: &str, at: usize) -> bool {
    let before = line[..at].chars().next_back();
    !before
        .is_some_and(|it| it.is_alphanumeric() || ['.', '_', '-', '*', '}', ')', '~'].contains(&it))
}

/// A target is a rule and one recipe line: anything more belongs into `xtask`, where it is tested.
fn one_line_targets(file: &File) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut recipe_lines = 1;
    for (index, line) in file.text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with(['#', '.']) {
            continue;
        }
        if line.starts_with('\t') || recipe_lines == 0 {
            recipe_lines += 1;
        } else {
            recipe_lines = usize::from(line.contains(';'));
        }
        if recipe_lines > 1
            || line.ends_with('\\')
            || line.matches(';').count() > 1
            || line.contains("&&")
        {
            let message =
                "a target is one line that calls cargo or npm: the rest belongs into xtask";
            found.push(Finding::new(file, index + 1, "makefile", message));
        }
    }
    found
}

/// The names of the targets of a Makefile.
pub fn makefile_targets(text: &str) -> Vec<&str> {
    let rules = text.lines().filter(|it| !it.starts_with(['#', '.', '\t']));
    rules.filter_map(|it| it.split_once(':')).map(|(name, _)| name.trim()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<&'static str> {
        check(&File { path: path.into(), text: text.into() }).iter().map(|it| it.rule).collect()
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        for path in PRIVATE_PATHS {
            assert_eq!(rules("a.toml", &format!("x = \"{path}y\"")), ["absolute-path"], "{path}");
        }
        for fine in ["docs/home/x", "https://example.org/home/x", "./tmp/x", "/etc/ternmq.toml"] {
            assert_eq!(rules("a.md", fine), [""; 0], "{fine}");
        }
    }

    #[test]
    fn a_makefile_target_of_two_lines_is_found() {
        assert_eq!(rules("Makefile", "a: ; cargo b\n\n# c\nd:\n\tcargo e\n"), [""; 0]);
        assert_eq!(rules("Makefile", "a:\n\tcargo b\n\tcargo c\n"), ["makefile"]);
        assert_eq!(rules("Makefile", "a: ; cargo b\n\tcargo c\n"), ["makefile"]);
        assert_eq!(rules("Makefile", "a: ; cargo b && cargo c\n"), ["makefile"]);
    }

    #[test]
    fn makefile_targets_are_read() {
        assert_eq!(makefile_targets(".PHONY: a b\n# x: y\na: ; c\nb:\n\td: e\n"), ["a", "b"]);
    }
}
