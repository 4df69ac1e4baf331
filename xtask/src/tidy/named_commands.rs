//! Every command that a page tells the reader to run exists, with the options that it names.
//!
//! `make x` must be a target, `cargo xtask x` a task, and `ternmq x --y` must stand in
//! `docs/reference/cli.md`, which is generated from the program itself.

use super::Finding;
use super::text::makefile_targets;
use crate::tree::{File, Tree};

const CLI_PAGE: &str = "docs/reference/cli.md";
const HEADING: &str = "## ternmq ";

pub fn check(tree: &Tree) -> Vec<Finding> {
    let makefile = tree.get("Makefile").map_or("", |it| &it.text);
    let cli = tree.get(CLI_PAGE).map_or("", |it| &it.text);
    let known = Known { make: makefile_targets(makefile), tasks: &crate::TASKS, cli };
    tree.ending(".md")
        .filter(|it| it.path != CLI_PAGE)
        .flat_map(|it| check_page(it, &known))
        .collect()
}

struct Known<'a> {
    make: Vec<&'a str>,
    tasks: &'a [&'a str],
    cli: &'a str,
}

fn check_page(page: &File, known: &Known<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (line, command) in commands(&page.text) {
        let words: Vec<&str> = command.split_whitespace().collect();
        let complaint = match words.as_slice() {
            ["make", target, ..] if !known.make.contains(target) => {
                format!("the Makefile has no target `{target}`")
            }
            ["cargo", "xtask", task, ..] if !known.tasks.contains(task) => {
                format!("there is no task `cargo xtask {task}`")
            }
            ["ternmq", rest @ ..] => match unknown_in_cli(known.cli, rest) {
                Some(what) => format!("`{command}`: {CLI_PAGE} knows no `{what}`"),
                None => continue,
            },
            _ => continue,
        };
        found.push(Finding::new(page, line, "command", complaint));
    }
    found
}

/// The commands in code blocks and in inline code, with their lines.
fn commands(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
            continue;
        }
        let pieces: Vec<&str> =
            if in_code { vec![line] } else { line.split('`').skip(1).step_by(2).collect() };
        for piece in pieces {
            let command = piece.trim().trim_start_matches("$ ");
            let command = without_the_rest(command).trim_end_matches([',', '.', ' ', '\\']);
            let begins =
                ["make ", "cargo xtask ", "ternmq "].iter().any(|it| command.starts_with(it));
            if begins && !command.contains("...") {
                found.push((index + 1, command.to_owned()));
            }
        }
    }
    found
}

/// A command line up to its pipe, redirection or comment: the rest belongs to somebody else.
fn without_the_rest(line: &str) -> &str {
    let ends = [";", " |", " >", " <", " #", " &"].into_iter().filter_map(|it| line.find(it));
    &line[..ends.min().unwrap_or(line.len())]
}

/// The first word of a `ternmq` command line that its reference page does not have.
fn unknown_in_cli(cli: &str, words: &[&str]) -> Option<String> {
    let subcommand = words.first()?;
    if subcommand.starts_with('-') {
        return None;
    }
    let heading = format!("{HEADING}{subcommand}");
    let mut sections = cli.split("\n## ").map(|it| format!("## {it}"));
    let Some(section) = sections.find(|it| it.lines().next() == Some(heading.as_str())) else {
        return Some((*subcommand).to_owned());
    };
    let options = words.iter().filter(|it| it.starts_with('-') && it.len() > 1);
    let names = options.map(|it| it.split('=').next().unwrap_or(it));
    names.filter(|it| !is_number(it)).find(|it| !has_option(&section, it)).map(str::to_owned)
}

fn is_number(word: &str) -> bool {
    word.parse::<f64>().is_ok()
}

fn has_option(section: &str, option: &str) -> bool {
    section.match_indices(option).any(|(at, _)| {
        let before = section[..at].chars().next_back();
        let after = section[at + option.len()..].chars().next();
        !before.is_some_and(|it| it.is_alphanumeric() || it == '-')
            && !after.is_some_and(|it| it.is_alphanumeric() || it == '-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLI: &str =
        "# ternmq\n\n## ternmq pub\n  -t, --topic <T>\n  --repeat <N>\n\n## ternmq sub\n  -v\n";

    fn complaints(text: &str) -> Vec<String> {
        let known = Known { make: vec!["run", "test"], tasks: &["ci"], cli: CLI };
        let page = File { path: "README.md".into(), text: text.into() };
        check_page(&page, &known).into_iter().map(|it| it.message).collect()
    }

    #[test]
    fn commands_that_exist_are_fine() {
        let text = "`make run`, `cargo xtask ci`\n```sh\nternmq pub -t a/# --repeat 2 | cat -x # -y\n$ make test\n```\n";
        assert_eq!(complaints(text), [""; 0]);
        assert_eq!(complaints("make sense of `ternmq` as `make run ARGS=...`"), [""; 0]);
    }

    #[test]
    fn a_target_or_task_that_does_not_exist_is_found() {
        assert_eq!(complaints("`make coffee`"), ["the Makefile has no target `coffee`"]);
        assert_eq!(complaints("```\ncargo xtask tea\n```"), ["there is no task `cargo xtask tea`"]);
    }

    #[test]
    fn a_subcommand_or_option_that_does_not_exist_is_found() {
        assert_eq!(complaints("`ternmq push -t a`").len(), 1);
        assert_eq!(complaints("`ternmq pub --topics a`").len(), 1);
        assert_eq!(complaints("`ternmq sub -t a`").len(), 1);
    }
}
