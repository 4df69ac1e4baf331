//! What the tests need from outside Rust, installed where that is allowed.
//!
//! Debian packages only: `tests/run.py` looks after its own Python and Node packages. A missing
//! program is an error, never a skipped test.

use crate::process::{Run, is_installed};

/// A program that a test starts, and the Debian package that brings it.
const PROGRAMS: [(&str, &str); 7] = [
    ("c++", "g++"),
    ("mosquitto", "mosquitto"),
    ("mosquitto_pub", "mosquitto-clients"),
    ("mosquitto_sub", "mosquitto-clients"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("python3", "python3-venv"),
];

/// Installs what is missing.
///
/// # Errors
/// A sentence with the names of the packages, if they cannot be installed from here.
pub fn run() -> Result<(), String> {
    let packages = missing(is_installed);
    if packages.is_empty() {
        return Ok(());
    }
    let names = packages.join(" ");
    let advice = format!("install these packages: {names}\n       sudo apt-get install -y {names}");
    if !is_installed("apt-get") || !is_root() {
        return Err(format!("the tests need programs that are missing; {advice}"));
    }
    println!("installing {names}");
    let apt = |arguments: &[&str]| {
        Run::new("apt-get", arguments).env("DEBIAN_FRONTEND", "noninteractive").check()
    };
    apt(&["update", "-qq"])
        .and_then(|()| {
            apt(&[&["install", "-y", "-qq", "--no-install-recommends"], &*packages].concat())
        })
        .map_err(|error| format!("{error}; {advice}"))?;
    if packages.contains(&"mosquitto") {
        stop_service();
    }
    match missing(is_installed).as_slice() {
        [] => Ok(()),
        rest => Err(format!("still missing after the installation: {}", rest.join(" "))),
    }
}

/// The packages whose programs are not there, each once, in a fixed order.
fn missing(has: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let mut packages: Vec<_> = PROGRAMS.iter().filter(|it| !has(it.0)).map(|it| it.1).collect();
    packages.dedup();
    packages
}

/// Debian starts mosquitto as a service on port 1883 when it is installed: `make run` needs that
/// port, and the tests start their own. Where there is no systemd, nothing was started either.
fn stop_service() {
    if is_installed("systemctl") && std::path::Path::new("/run/systemd/system").exists() {
        let stopped = Run::new("systemctl", &["disable", "--now", "--quiet", "mosquitto"]).check();
        if let Err(error) = stopped {
            eprintln!("note: mosquitto's own service may hold port 1883: {error}");
        }
    }
}

fn is_root() -> bool {
    Run::new("id", &["-u"]).read().is_ok_and(|it| it.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_package_is_named_once() {
        assert_eq!(missing(|_| true), [""; 0]);
        assert_eq!(missing(|it| !it.starts_with("mosquitto")), ["mosquitto", "mosquitto-clients"]);
        assert_eq!(missing(|it| it != "npm"), ["npm"]);
    }
}
