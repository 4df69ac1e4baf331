//! The house rules that the compiler does not know, checked over the whole tree.
//!
//! Run by `cargo xtask tidy` and as a test of this crate. A rule is a function from files to
//! findings; its unit test plants a violation. What is excused is listed in `tidy-exceptions.txt`,
//! and that list only shrinks: an entry that is larger than needed is itself a finding.

mod arrows;
mod exceptions;
mod licences;
mod links;
mod named_commands;
mod rust_text;
mod source;
mod text;

use std::fmt;
use std::path::Path;

use crate::tree::{File, Tree};

/// One thing that is against a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub path: String,
    pub line: usize,
    pub rule: &'static str,
    pub message: String,
    pub is_warning: bool,
    /// For rules with a number: how much was found, which an exception may allow.
    pub measure: usize,
}

impl Finding {
    fn new(file: &File, line: usize, rule: &'static str, message: impl Into<String>) -> Finding {
        let (path, message) = (file.path.clone(), message.into());
        Finding { path, line, rule, message, is_warning: false, measure: 1 }
    }

    fn warning(mut self) -> Finding {
        self.is_warning = true;
        self
    }

    fn measured(mut self, measure: usize) -> Finding {
        self.measure = measure;
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_warning { "warning: " } else { "" };
        write!(f, "{}:{}: {kind}{} [{}]", self.path, self.line, self.message, self.rule)
    }
}

/// Everything found in the tree at `root`, warnings included.
///
/// # Errors
/// A sentence, if the tree cannot be read or cargo cannot be asked about it.
pub fn check(root: &Path) -> Result<Vec<Finding>, String> {
    let tree = Tree::read(root).map_err(|error| format!("cannot read the tree: {error}"))?;
    let mut found: Vec<Finding> = tree.ending(".rs").flat_map(source::check).collect();
    found.extend(tree.files.iter().flat_map(text::check));
    found.extend(links::check(&tree));
    found.extend(named_commands::check(&tree));
    found.extend(arrows::check(&tree));
    found.extend(arrows::check_with_cargo(root)?);
    found.extend(licences::check(root)?);
    Ok(exceptions::apply(&tree, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let found = check(&crate::tree::root()).expect("the tree can be read");
        let errors: Vec<_> =
            found.iter().filter(|it| !it.is_warning).map(|it| it.to_string()).collect();
        assert!(errors.is_empty(), "\n{}\n", errors.join("\n"));
    }
}
