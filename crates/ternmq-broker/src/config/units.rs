//! Sizes and times as people write them: `64MiB`, `10s`, `1h30m`.
//!
//! Only whole numbers; a unit is never guessed, except that a bare number is a size in bytes.

use std::time::Duration;

/// Parses a size in bytes: `65536`, `64KiB`, `1MB`. Units of 1024 carry an `i`, units of 1000 do
/// not. `None` if it is not one, or over `u64::MAX`.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split_number(text.trim())?;
    let factor: u64 = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Parses a time: one or more whole numbers with a unit, `ms`, `s`, `m`, `h` or `d`, the larger
/// first (`1h30m`). `None` if it is not one, or too long to count in milliseconds.
pub fn parse_time(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total_ms = 0u64;
    let mut previous_ms = u64::MAX;
    while !rest.is_empty() {
        let (number, tail) = split_number(rest)?;
        let unit_len = tail.find(|it: char| !it.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, after) = tail.split_at(unit_len);
        let unit_ms: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        if unit_ms >= previous_ms {
            return None;
        }
        previous_ms = unit_ms;
        total_ms = total_ms.checked_add(number.checked_mul(unit_ms)?)?;
        rest = after;
    }
    (previous_ms != u64::MAX).then(|| Duration::from_millis(total_ms))
}

/// Writes a size the way `parse_bytes` reads it, in the largest unit that keeps it whole.
pub fn show_bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(factor, _)| bytes >= *factor && bytes.is_multiple_of(*factor)) {
        Some((factor, unit)) => format!("{}{unit}", bytes / factor),
        None => format!("{bytes}B"),
    }
}

/// Writes a time the way `parse_time` reads it, in the largest unit that keeps it whole.
pub fn show_time(time: Duration) -> String {
    const UNITS: [(u64, &str); 4] =
        [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    match UNITS.iter().find(|(factor, _)| ms.is_multiple_of(*factor) && ms >= *factor) {
        Some((factor, unit)) => format!("{}{unit}", ms / factor),
        None if ms == 0 => "0s".to_owned(),
        None => format!("{ms}ms"),
    }
}

/// A leading whole number (`_` between digits is allowed) and what follows it.
fn split_number(text: &str) -> Option<(u64, &str)> {
    let len = text.find(|it: char| !it.is_ascii_digit() && it != '_').unwrap_or(text.len());
    let (digits, rest) = text.split_at(len);
    Some((parse_count(digits)?, rest.trim_start()))
}

/// Parses a whole number; `_` is allowed between digits.
pub fn parse_count(text: &str) -> Option<u64> {
    if text.starts_with('_') || text.ends_with('_') || text.contains("__") {
        return None;
    }
    if !text.bytes().all(|it| it.is_ascii_digit() || it == b'_') {
        return None;
    }
    text.replace('_', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_unit() {
        assert_eq!(parse_bytes("64MiB"), Some(64 << 20));
        assert_eq!(parse_bytes("1 MB"), Some(1_000_000));
        assert_eq!(parse_bytes("65_536"), Some(65_536));
        for wrong in ["", "MiB", "1.5MiB", "-1", "1 parsec", "18446744073709551615KiB", "1_", "_1"]
        {
            assert_eq!(parse_bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times_need_a_unit_and_the_larger_comes_first() {
        assert_eq!(parse_time("10s"), Some(Duration::from_secs(10)));
        assert_eq!(parse_time("1h30m"), Some(Duration::from_secs(5_400)));
        assert_eq!(parse_time("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_time("0s"), Some(Duration::ZERO));
        for wrong in ["", "10", "s", "30m1h", "1s1s", "1.5s", "-1s", "99999999999999999999d"] {
            assert_eq!(parse_time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for bytes in [0, 1, 1023, 1024, 64 << 20, 3 << 30, u64::MAX] {
            assert_eq!(parse_bytes(&show_bytes(bytes)), Some(bytes));
        }
        for ms in [0, 1, 999, 1_000, 90_000, 3_600_000, 86_400_000] {
            let time = Duration::from_millis(ms);
            assert_eq!(parse_time(&show_time(time)), Some(time));
        }
    }
}
