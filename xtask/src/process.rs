//! Running other programs from the root of the workspace, and saying which one failed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::tree::root;

/// A command line that will run in the root of the workspace.
pub struct Run {
    command: Command,
    line: String,
}

impl Run {
    pub fn new(program: impl Into<OsString>, arguments: &[&str]) -> Run {
        let program = program.into();
        let mut command = Command::new(&program);
        command.current_dir(root());
        // What cargo sets for this program must not reach the cargo that this program starts.
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            if name_text.starts_with("CARGO_PKG_") || name_text.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&name);
            }
        }
        let name = program.to_string_lossy().rsplit('/').next().unwrap_or_default().to_owned();
        Run { command, line: name }.and(arguments)
    }

    pub fn cargo(arguments: &[&str]) -> Run {
        Run::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), arguments)
    }

    pub fn python(arguments: &[&str]) -> Run {
        Run::new("python3", arguments)
    }

    pub fn and(mut self, arguments: &[&str]) -> Run {
        self.command.args(arguments);
        for it in arguments {
            self.line.push(' ');
            self.line.push_str(it);
        }
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Run {
        self.command.env(name, value);
        self
    }

    /// The command line, to be shown.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// Runs it with this program's output.
    ///
    /// # Errors
    /// If it cannot be started or does not end with 0.
    pub fn check(mut self) -> Result<(), String> {
        let status = self.command.status();
        let status = status.map_err(|error| format!("cannot run `{}`: {error}", self.line))?;
        if status.success() { Ok(()) } else { Err(format!("`{}` failed: {status}", self.line)) }
    }

    /// Runs it and returns what it printed on standard error; shows that only if it fails.
    ///
    /// # Errors
    /// If it cannot be started or does not end with 0.
    pub fn read_errors(mut self) -> Result<String, String> {
        let output = self.command.stdout(Stdio::inherit()).output();
        let output = output.map_err(|error| format!("cannot run `{}`: {error}", self.line))?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            eprint!("{text}");
            return Err(format!("`{}` failed: {}", self.line, output.status));
        }
        Ok(text)
    }

    /// Runs it and returns what it printed on standard output.
    ///
    /// # Errors
    /// If it cannot be started or does not end with 0.
    pub fn read(mut self) -> Result<String, String> {
        let output = self.command.stderr(Stdio::inherit()).output();
        let output = output.map_err(|error| format!("cannot run `{}`: {error}", self.line))?;
        if !output.status.success() {
            return Err(format!("`{}` failed: {}", self.line, output.status));
        }
        String::from_utf8(output.stdout).map_err(|_| format!("`{}` printed no text", self.line))
    }
}

/// Where cargo builds.
pub fn target_folder() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// Whether a program is on the path, or where Debian puts daemons.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.into_iter().any(|it| it.join(program).is_file())
}
