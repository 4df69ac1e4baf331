//! `ternmq reference PAGE`: the pages of `docs/reference`, from the declarations themselves.

use std::fmt::Write;

use clap::{Command, CommandFactory};

use crate::args::{Cli, ReferenceArgs, ReferencePage};
use crate::output::{self, Failure};

/// Columns of the help texts in the page.
const COLUMNS: usize = 100;

pub fn run(args: &ReferenceArgs) -> Result<(), Failure> {
    let page = match args.page {
        ReferencePage::Cli => command_line(),
        ReferencePage::Configuration => ternmq_broker::config::reference(),
    };
    output::line(page.trim_end())
}

fn command_line() -> String {
    let mut page = "# The command line\n\nThis page is written by `cargo xtask docs`.\n".to_owned();
    let mut cli = Cli::command().term_width(COLUMNS);
    cli.build();
    section(&mut page, "# ternmq", &mut cli);
    for command in
        cli.get_subcommands_mut().filter(|it| !it.is_hide_set() && it.get_name() != "help")
    {
        let heading = format!("## ternmq {}", command.get_name());
        section(&mut page, &heading, command);
    }
    page
}

fn section(page: &mut String, heading: &str, command: &mut Command) {
    let help = command.render_long_help().to_string();
    let lines: Vec<_> = help.lines().map(str::trim_end).collect();
    writeln!(page, "\n{heading}\n\n```text\n{}\n```", lines.join("\n"))
        .expect("a String takes everything that is written to it");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_a_section_for_each_command_that_is_shown() {
        let page = command_line();
        for command in ["broker", "pub", "sub", "completions"] {
            assert!(page.contains(&format!("\n## ternmq {command}\n")), "{command}");
        }
        assert!(!page.contains("## ternmq reference"));
    }
}
