//! The pages under `docs/reference` that the program itself writes.
//!
//! `ternmq reference PAGE` prints a page; this task stores it, or says that the stored one is old.

use std::fs;

use crate::process::Run;
use crate::tree::root;

/// A page, and what it is called on the command line.
const PAGES: [(&str, &str); 2] =
    [("docs/reference/cli.md", "cli"), ("docs/reference/configuration.md", "configuration")];

/// Writes every page.
///
/// # Errors
/// If the program does not build or a page cannot be written.
pub fn write() -> Result<(), String> {
    for (path, name) in PAGES {
        let file = root().join(path);
        let folder = file.parent().expect("a page stands in a folder");
        let page = generate(name)?;
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&file, page));
        written.map_err(|error| format!("cannot write {path}: {error}"))?;
        println!("{path}");
    }
    Ok(())
}

/// Compares every page with what the program says today.
///
/// # Errors
/// If one differs; the message names it and the first line that differs.
pub fn check() -> Result<(), String> {
    for (path, name) in PAGES {
        let stored = fs::read_to_string(root().join(path)).unwrap_or_default();
        if let Some(line) = first_difference(&stored, &generate(name)?) {
            return Err(format!("{path} is not current (line {line}): run `cargo xtask docs`"));
        }
    }
    Ok(())
}

fn generate(name: &str) -> Result<String, String> {
    Run::cargo(&["run", "--quiet", "--package", "ternmq", "--", "reference", name]).read()
}

/// The number of the first line that differs, from 1.
fn first_difference(stored: &str, generated: &str) -> Option<usize> {
    if stored == generated {
        return None;
    }
    let same = stored.lines().zip(generated.lines()).take_while(|(a, b)| a == b).count();
    Some(same + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_not_current_is_found() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some(2));
        assert_eq!(first_difference("", "a\n"), Some(1));
        assert_eq!(first_difference("a\n", "a\nb\n"), Some(2));
    }
}
