//! Which crate may import which, ours and others': the table of ARCHITECTURE.md, as a check.
//!
//! Normal and build dependencies only. A test may use a neighbour (a client is tested against the
//! broker), but what is shipped may not.

use std::path::Path;
use std::process::Command;

use super::Finding;
use crate::tree::{File, Tree};

/// Our crates, from the ground up, and which of ours each may import.
const MAY_IMPORT: [(&str, &[&str]); 9] = [
    ("ternmq-proto", &[]),
    ("ternmq-engine", &["ternmq-proto"]),
    ("ternmq-agent", &["ternmq-proto"]),
    ("ternmq-client", &["ternmq-proto", "ternmq-agent"]),
    ("ternmq-sim", &["ternmq-proto", "ternmq-engine", "ternmq-agent"]),
    ("ternmq-broker", &["ternmq-proto", "ternmq-engine"]),
    ("ternmq", &["ternmq-proto", "ternmq-broker", "ternmq-client", "ternmq-sim"]),
    ("ternmq-conformance", &[]),
    ("xtask", &[]),
];

/// Crates from outside that only their owners may name.
const OWNED: [(&str, &[&str]); 3] = [
    ("mio", &["ternmq-broker"]),
    ("libc", &["ternmq-broker"]),
    ("tokio", &["ternmq-client", "ternmq"]),
];

/// What must not be reachable from a crate, however indirectly: asked of `cargo tree`.
const UNREACHABLE: [(&str, &[&str]); 5] = [
    ("ternmq-proto", &["mio", "tokio", "libc", "getrandom", "rand"]),
    ("ternmq-engine", &["mio", "tokio", "libc", "getrandom", "rand", "serde"]),
    ("ternmq-agent", &["mio", "tokio", "libc", "getrandom", "rand", "serde"]),
    ("ternmq-sim", &["mio", "tokio"]),
    ("ternmq-client", &["ternmq-engine", "ternmq-broker"]),
];

const LIBRARIES_PAGE: &str = "docs/decisions/libraries.md";

pub fn check(tree: &Tree) -> Vec<Finding> {
    let libraries = tree.get(LIBRARIES_PAGE).map_or("", |it| &it.text);
    let manifests = tree.ending("Cargo.toml").filter(|it| it.krate().is_some());
    manifests
        .filter(|it| it.krate() != Some("fuzz"))
        .flat_map(|it| check_manifest(it, libraries))
        .collect()
}

fn check_manifest(manifest: &File, libraries: &str) -> Vec<Finding> {
    let krate = manifest.krate().unwrap_or_default();
    let mut found = Vec::new();
    let Some((_, may_import)) = MAY_IMPORT.iter().find(|(name, _)| *name == krate) else {
        let message =
            format!("`{krate}` is not in the table of crates: say what it may import, and forbids");
        return vec![Finding::new(manifest, 1, "arrow", message)];
    };
    for it in dependencies(&manifest.text) {
        let mut complain = |message| found.push(Finding::new(manifest, it.line, "arrow", message));
        let is_ours = MAY_IMPORT.iter().any(|(name, _)| *name == it.name);
        let owners = OWNED.iter().find(|(name, _)| *name == it.name).map(|(_, owners)| *owners);
        if is_ours && !it.is_for_tests && !may_import.contains(&it.name) {
            complain(format!("`{krate}` may not import `{}`", it.name));
        }
        if owners.is_some_and(|owners| !it.is_for_tests && !owners.contains(&krate)) {
            complain(format!("`{}` belongs to other crates than `{krate}`", it.name));
        }
        if !is_ours && !names_library(libraries, it.name) {
            complain(format!("`{}` has no line in {LIBRARIES_PAGE}", it.name));
        }
    }
    found
}

struct Dependency<'a> {
    name: &'a str,
    line: usize,
    is_for_tests: bool,
}

/// The dependencies that a manifest names, in all its tables.
fn dependencies(manifest: &str) -> Vec<Dependency<'_>> {
    let mut found = Vec::new();
    let mut table = "";
    for (index, line) in manifest.lines().enumerate() {
        let line = line.trim();
        let is_for_tests = table.contains("dev-dependencies");
        if let Some(header) = line.strip_prefix('[') {
            table = header.trim_end_matches(']');
            if let Some((before, name)) =
                table.rsplit_once('.').filter(|(it, _)| it.ends_with("dependencies"))
            {
                let is_for_tests = before.contains("dev-dependencies");
                found.push(Dependency { name, line: index + 1, is_for_tests });
            }
        } else if table.ends_with("dependencies") && !line.starts_with('#') {
            let name = line.split(['=', '.', ' ']).next().unwrap_or_default().trim_matches('"');
            if !name.is_empty() {
                found.push(Dependency { name, line: index + 1, is_for_tests });
            }
        }
    }
    found
}

/// Whether a row's first cell has the name among others.
fn names_library(page: &str, name: &str) -> bool {
    let cells = page.lines().filter_map(|it| it.strip_prefix('|')?.split('|').next());
    cells.flat_map(|it| it.split([',', ' ', '`'])).any(|it| it == name)
}

/// Asks cargo what each crate really pulls in.
pub fn check_with_cargo(root: &Path) -> Result<Vec<Finding>, String> {
    let mut found = Vec::new();
    for (krate, unreachable) in UNREACHABLE {
        let path = format!("crates/{krate}/Cargo.toml");
        let manifest = File { path, text: String::new() };
        let reached = cargo_tree(root, &["-p", krate, "--format", "{p}"])?;
        for name in reached_names(&reached, unreachable) {
            let message = format!("`cargo tree -p {krate}` must not show `{name}`");
            found.push(Finding::new(&manifest, 1, "arrow", message));
        }
    }
    Ok(found)
}

fn reached_names<'a>(tree: &str, unreachable: &[&'a str]) -> Vec<&'a str> {
    let shows = |name: &&&str| tree.lines().any(|it| it.split(' ').next() == Some(**name));
    unreachable.iter().filter(shows).copied().collect()
}

/// `cargo tree` over what is shipped, one package a line.
pub fn cargo_tree(root: &Path, arguments: &[&str]) -> Result<String, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(root)
        .args(["tree", "--edges", "normal,build", "--prefix", "none"])
        .args(arguments);
    let output = command.output().map_err(|error| format!("cannot run cargo tree: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "cargo tree failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(krate: &str, manifest: &str) -> Vec<String> {
        let path = format!("crates/{krate}/Cargo.toml");
        let page = "| crate | why |\n|---|---|\n| clap, tokio | x |\n| `mio` | y |\n";
        let file = File { path, text: manifest.into() };
        check_manifest(&file, page).into_iter().map(|it| it.message).collect()
    }

    #[test]
    fn an_arrow_upwards_is_found() {
        let upwards = "[dependencies]\nternmq-broker = { workspace = true }\n";
        assert_eq!(
            complaints("ternmq-engine", upwards),
            ["`ternmq-engine` may not import `ternmq-broker`"]
        );
        let table = "[dependencies.ternmq-engine]\nworkspace = true\n";
        assert_eq!(
            complaints("ternmq-client", table),
            ["`ternmq-client` may not import `ternmq-engine`"]
        );
        let target = "[target.'cfg(unix)'.dependencies]\nternmq-sim.workspace = true\n";
        assert_eq!(
            complaints("ternmq-broker", target),
            ["`ternmq-broker` may not import `ternmq-sim`"]
        );
    }

    #[test]
    fn a_test_may_use_a_neighbour() {
        let tests = "[dependencies]\nternmq-proto = { workspace = true }\n[dev-dependencies]\nternmq-engine = \"1\"\n";
        assert_eq!(complaints("ternmq-client", tests), [""; 0]);
    }

    #[test]
    fn a_library_in_the_wrong_crate_is_found() {
        assert_eq!(complaints("ternmq-engine", "[dependencies]\nmio = \"1\"\n").len(), 1);
        assert_eq!(complaints("ternmq-broker", "[dependencies]\nmio = \"1\"\n"), [""; 0]);
    }

    #[test]
    fn a_library_without_its_line_is_found() {
        assert_eq!(complaints("ternmq", "[dependencies]\nclap = \"4\"\n"), [""; 0]);
        let message = format!("`leftpad` has no line in {LIBRARIES_PAGE}");
        assert_eq!(complaints("ternmq", "[dev-dependencies]\nleftpad = \"1\"\n"), [message]);
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        assert!(complaints("ternmq-new", "")[0].contains("not in the table"));
    }

    #[test]
    fn a_forbidden_crate_deep_in_the_tree_is_found() {
        let tree = "ternmq-engine v0.1.0\nserde v1.0.0\nmio v1.0.0 (*)\nmio-extras v1\n";
        assert_eq!(reached_names(tree, &["mio", "tokio"]), ["mio"]);
    }
}
