//! Rules about one Rust file: its header, its name, its length, and what must not stand in it.

use super::Finding;
use super::rust_text::RustText;
use crate::tree::File;

/// A file of this length is asked for its second reason to exist.
pub const LINES_SOFT_MAX: usize = 600;
/// No file is longer, except those that the list of exceptions names.
pub const LINES_HARD_MAX: usize = 1_000;

/// Names of drawers: a thing lives with its owner.
const DRAWERS: [&str; 6] = ["utils", "common", "helpers", "types", "misc", "shared"];

/// Words that stand nowhere, each with the reason.
const BANNED: [(&str, &str); 8] = [
    ("todo!", "git holds what is finished; a todo! is a panic that waits"),
    ("unimplemented!", "a public door that panics is not a door"),
    ("dbg!", "left over from debugging"),
    ("thread::sleep", "nothing waits by sleeping, tests least of all: await the event"),
    ("sleep_ms", "nothing waits by sleeping, tests least of all: await the event"),
    ("static mut", "no global state: a function's parameters are its reach"),
    ("thread_local!", "no global state: a function's parameters are its reach"),
    ("lazy_static!", "no global state: a function's parameters are its reach"),
];

const PRINTING: [&str; 4] = ["print!", "println!", "eprint!", "eprintln!"];
/// Where printing is the job: programs, never libraries. A folder, or a file.
const MAY_PRINT: [&str; 5] = [
    "crates/ternmq/",
    "crates/ternmq-conformance/",
    "crates/ternmq-sim/src/main.rs",
    "xtask/",
    "fuzz/",
];

/// Everything that is wrong with one Rust file.
pub fn check(file: &File) -> Vec<Finding> {
    let rust = RustText::new(&file.text);
    let mut found = Vec::new();
    header(file, &mut found);
    name(file, &mut found);
    length(file, &mut found);
    banned_words(file, &rust, &mut found);
    printing(file, &rust, &mut found);
    no_unsafe(file, &rust, &mut found);
    idle_matches(file, &rust, &mut found);
    commented_out_code(file, &rust, &mut found);
    found
}

fn header(file: &File, found: &mut Vec<Finding>) {
    if !file.text.starts_with("//! ") {
        let message =
            "begins without a `//!` header that says what the file owns and what it is not";
        found.push(Finding::new(file, 1, "header", message));
    }
}

fn name(file: &File, found: &mut Vec<Finding>) {
    let stem = file.name().trim_end_matches(".rs");
    let folder = file.path.rsplit('/').nth(1).unwrap_or_default();
    if let Some(drawer) = [stem, folder].into_iter().find(|it| DRAWERS.contains(it)) {
        let message = format!("`{drawer}` is a drawer: name the file after the thing that it owns");
        found.push(Finding::new(file, 1, "name", message));
    }
}

fn length(file: &File, found: &mut Vec<Finding>) {
    let lines = file.text.lines().count();
    if lines > LINES_HARD_MAX {
        let message = format!("{lines} lines; {LINES_HARD_MAX} at most: split it by state");
        found.push(Finding::new(file, 1, "length", message).measured(lines));
    } else if lines > LINES_SOFT_MAX {
        let message = format!("{lines} lines: what is its second reason to exist?");
        found.push(Finding::new(file, 1, "length", message).warning());
    }
}

fn banned_words(file: &File, rust: &RustText, found: &mut Vec<Finding>) {
    for (word, reason) in BANNED {
        for at in rust.words(word) {
            found.push(Finding::new(file, rust.line_at(at), "ban", format!("`{word}`: {reason}")));
        }
    }
}

fn printing(file: &File, rust: &RustText, found: &mut Vec<Finding>) {
    let inside = |it: &&str| file.path.starts_with(*it);
    let is_program_part = file.path.contains("/tests/")
        || file.path.contains("/examples/")
        || file.path.contains("/benches/")
        || file.path.contains("/src/bin/");
    if is_program_part || MAY_PRINT.iter().any(inside) {
        return;
    }
    for word in PRINTING {
        for at in rust.words(word) {
            let message = format!("`{word}` in a library: return it, or log it");
            found.push(Finding::new(file, rust.line_at(at), "print", message));
        }
    }
}

fn no_unsafe(file: &File, rust: &RustText, found: &mut Vec<Finding>) {
    for at in rust.words("unsafe") {
        let message = "there is no `unsafe` here: a well-kept library has it (docs/decisions/0006)";
        found.push(Finding::new(file, rust.line_at(at), "unsafe", message));
    }
}

/// `matches!(..);` as a statement: a test that cannot fail.
fn idle_matches(file: &File, rust: &RustText, found: &mut Vec<Finding>) {
    for at in rust.words("matches!") {
        let before = rust.code[..at].trim_end().chars().next_back();
        let begins = before.is_none_or(|it| [';', '{', '}'].contains(&it));
        if begins && ends_as_statement(&rust.code[at..]) {
            let message = "the result of `matches!` goes nowhere: assert it";
            found.push(Finding::new(file, rust.line_at(at), "idle-matches", message));
        }
    }
}

/// Whether the parenthesis that opens first in `code` is followed, once closed, by a semicolon.
fn ends_as_statement(code: &str) -> bool {
    let mut depth = 0;
    for (at, it) in code.char_indices() {
        match it {
            '(' => depth += 1,
            ')' if depth == 1 => return code[at + 1..].trim_start().starts_with(';'),
            ')' => depth -= 1,
            _ => {}
        }
    }
    false
}

fn commented_out_code(file: &File, rust: &RustText, found: &mut Vec<Finding>) {
    for (line, comment) in &rust.comments {
        let is_doc = comment.starts_with("///") || comment.starts_with("//!");
        let Some(body) = comment.strip_prefix("//").filter(|_| !is_doc) else { continue };
        if is_code(body.trim()) {
            let message = format!("commented-out code: `{}`; git remembers it", body.trim());
            found.push(Finding::new(file, *line, "fossil", message));
        }
    }
}

/// Prose seldom ends in a semicolon or a brace; code that does also begins or looks like code.
fn is_code(text: &str) -> bool {
    const CODE_WORDS: [&str; 9] =
        ["let ", "fn ", "pub ", "impl ", "struct ", "enum ", "mod ", "const ", "self."];
    const PROSE_WORDS_TOO: [&str; 6] = ["if ", "for ", "while ", "match ", "return ", "use "];
    let begins = |words: &[&str]| words.iter().any(|it| text.starts_with(it));
    let words = text.split_whitespace().count();
    let closing = ["}", "};", "})", "});", "},"].contains(&text);
    let item = begins(&CODE_WORDS) && text.ends_with([';', '{']);
    let control =
        begins(&PROSE_WORDS_TOO) && (text.ends_with('{') || (text.ends_with(';') && words < 3));
    let call = text.ends_with(");") && !text.contains(": ") && words < 7;
    let assignment = text.ends_with(';') && text.contains(" = ");
    let attribute = text.starts_with("#[") && text.ends_with(']');
    closing || item || control || call || assignment || attribute
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<&'static str> {
        let file = File { path: path.to_owned(), text: text.to_owned() };
        check(&file).iter().map(|it| it.rule).collect()
    }

    fn rules_in_library(body: &str) -> Vec<&'static str> {
        rules("crates/ternmq-engine/src/share.rs", &format!("//! Shares.\n{body}\n"))
    }

    #[test]
    fn a_file_without_header_is_found() {
        assert_eq!(rules("crates/x/src/lib.rs", "fn f() {}\n"), ["header"]);
        assert_eq!(rules_in_library("fn f() {}"), [""; 0]);
    }

    #[test]
    fn a_drawer_is_found_as_file_and_as_folder() {
        assert_eq!(rules("crates/x/src/utils.rs", "//! Things.\n"), ["name"]);
        assert_eq!(rules("crates/x/src/common/mod.rs", "//! Things.\n"), ["name"]);
    }

    #[test]
    fn every_banned_word_is_found_in_code_and_not_in_text() {
        for (word, _) in BANNED {
            assert_eq!(rules_in_library(&format!("fn f() {{ {word}(1) }}")), ["ban"], "{word}");
            assert_eq!(
                rules_in_library(&format!("// {word}\nconst A: &str = \"{word}\";")),
                [""; 0]
            );
        }
    }

    #[test]
    fn printing_is_for_programs() {
        for word in PRINTING {
            let text = format!("//! A file.\nfn f() {{ {word}(\"x\") }}\n");
            assert_eq!(rules("crates/ternmq-broker/src/lobby.rs", &text), ["print"], "{word}");
            assert_eq!(rules("crates/ternmq/src/output.rs", &text), [""; 0], "{word}");
        }
    }

    #[test]
    fn unsafe_code_is_found() {
        assert_eq!(rules_in_library("fn f() { unsafe { g() } }"), ["unsafe"]);
        assert_eq!(rules_in_library("#![deny(unsafe_op_in_unsafe_fn)]"), [""; 0]);
    }

    #[test]
    fn matches_as_a_statement_is_found() {
        assert_eq!(rules_in_library("fn f() { matches!(a, B(_)); }"), ["idle-matches"]);
        assert_eq!(
            rules_in_library("fn f() { g();\n    matches!(\n a,\n B(_)\n ) ; }"),
            ["idle-matches"]
        );
        assert_eq!(rules_in_library("fn f() -> bool { matches!(a, B(_)) }"), [""; 0]);
        assert_eq!(rules_in_library("fn f() { assert!(matches!(a, B(_))); }"), [""; 0]);
        assert_eq!(rules_in_library("fn f() { let it = matches!(a, B(_)); }"), [""; 0]);
    }

    #[test]
    fn commented_out_code_is_found_and_prose_is_not() {
        for code in ["let a = 1;", "}", "if a {", "f(a, b);", "self.x += y;", "#[test]", "x = y;"] {
            assert_eq!(rules_in_library(&format!("// {code}")), ["fossil"], "{code}");
        }
        for prose in [
            "the peer owns it now;",
            "return to the caller: nothing (yet);",
            "a = b",
            "for each {x}",
        ] {
            assert_eq!(rules_in_library(&format!("// {prose}")), [""; 0], "{prose}");
        }
        assert_eq!(rules_in_library("/// let a = 1;\nfn f() {}"), [""; 0]);
    }

    #[test]
    fn a_long_file_is_warned_of_and_a_longer_one_is_an_error() {
        let lines = |count: usize| format!("//! Long.\n{}", "\n".repeat(count - 1));
        let check_lines =
            |count| check(&File { path: "crates/x/src/a.rs".into(), text: lines(count) });
        assert!(check_lines(LINES_SOFT_MAX).is_empty());
        assert!(check_lines(LINES_SOFT_MAX + 1)[0].is_warning);
        assert!(!check_lines(LINES_HARD_MAX + 1)[0].is_warning);
    }
}
