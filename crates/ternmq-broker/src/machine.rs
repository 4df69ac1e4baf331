//! What the machine, or the container, gives this process: memory, file descriptors, cores.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Memory that the process may use, in bytes: the smaller of the machine's and the container's.
/// Where neither can be asked, a figure that small machines have.
pub fn memory_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|it| parse_meminfo(&it));
    let container = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .filter_map(|it| fs::read_to_string(it).ok())
        .filter_map(|it| it.trim().parse().ok());
    container.chain(machine).min().unwrap_or(MEMORY_BYTES_ASSUMED)
}

/// Raises the limit of open files as far as the system lets this process, and returns it.
pub fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(OPEN_FILES_ASSUMED).min(OPEN_FILES_MAX);
    let current = limit.current.unwrap_or(wanted);
    if current >= wanted {
        return current;
    }
    let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
    if setrlimit(Resource::Nofile, raised).is_ok() { wanted } else { current }
}

/// Cores that the process may use; 1 where that is not known.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn parse_meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|it| it.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1_024)
}

const MEMORY_BYTES_ASSUMED: u64 = 1 << 30;
const OPEN_FILES_ASSUMED: u64 = 65_536;
/// More than any machine has clients; an unlimited limit must not make tables of this size.
const OPEN_FILES_MAX: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_read_in_bytes() {
        let text = "MemTotal:       24631452 kB\nMemFree:        22000000 kB\n";
        assert_eq!(parse_meminfo(text), Some(24_631_452 * 1_024));
        assert_eq!(parse_meminfo("MemFree: 1 kB\n"), None);
    }

    #[test]
    fn the_machine_has_something() {
        assert!(memory_bytes() > 1 << 20);
        assert!(raise_open_files() > 64);
        assert!(cores() > 0);
    }
}
