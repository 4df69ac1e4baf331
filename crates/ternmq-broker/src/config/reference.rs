//! The reference page of the configuration, printed from the declarations.

use std::fmt::Write;

use super::LISTEN_VARIABLE;
use super::setting::{Reload, Setting};
use super::table::{LISTENER_SETTINGS, SETTINGS};

/// Every setting as Markdown: key, type, bounds, default, environment variable, when a change
/// takes effect, and what it does.
pub fn reference() -> String {
    let mut page = String::from(
        "# Settings\n\nA setting is a key in the TOML file (`[section]`, then `name = value`), \
         `--set section.name=value` on the command line, or an environment variable. The command \
         line wins over the environment, the environment over the file.\n",
    );
    let mut section = None;
    for setting in SETTINGS {
        let of_setting = setting.key.split_once('.').map(|(section, _)| section);
        if of_setting != section {
            section = of_setting;
            let _ = writeln!(page, "\n## `[{}]`", section.unwrap_or_default());
        }
        describe(&mut page, setting, Some(setting.environment_variable()));
    }
    let _ = write!(
        page,
        "\n## `[[listener]]`\n\nOne table for each place to listen. `--listen URL` and \
         `{LISTEN_VARIABLE}` (URLs separated by commas) take the place of all of them.\n"
    );
    for setting in LISTENER_SETTINGS {
        describe(&mut page, setting, None);
    }
    page
}

fn describe<T>(page: &mut String, setting: &Setting<T>, variable: Option<String>) {
    let name = setting.key.rsplit('.').next().unwrap_or(setting.key);
    let Reload::Restart = setting.reload;
    let _ = write!(page, "\n### `{name}`\n\n{}\n\n", setting.doc);
    let kind = &setting.kind;
    let _ = writeln!(page, "- {}: {}", kind.type_name(), kind.wanted());
    if !setting.default.is_empty() {
        let _ = writeln!(page, "- default: `{}`", setting.default);
    }
    if let Some(variable) = variable {
        let _ = writeln!(page, "- environment: `{variable}`");
    }
    page.push_str("- a change takes effect after a restart\n");
}
