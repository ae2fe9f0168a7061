//! Sizes and times as people write them: `64MiB`, `1GB`, `30s`, `5m`. Pure.

use std::time::Duration;

const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

const TIMES: [(&str, u64); 5] = [("ms", 1), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];

pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, f)| *f)?;
    number.checked_mul(factor)
}

/// In the largest binary unit that is exact.
pub fn show_size(bytes: u64) -> String {
    let (unit, factor) = SIZES.iter().find(|(name, f)| bytes > 0 && bytes.is_multiple_of(*f) && name.contains('i')).unwrap_or(&("B", 1));
    format!("{}{unit}", bytes / factor)
}

pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let factor = TIMES.iter().find(|(name, _)| *name == unit).map(|(_, f)| *f)?;
    number.checked_mul(factor).map(Duration::from_millis)
}

pub fn show_duration(time: Duration) -> String {
    let ms = time.as_millis() as u64;
    let exact = ["d", "h", "m", "s"].iter().filter_map(|unit| TIMES.iter().find(|(name, _)| name == unit));
    let (unit, factor) = exact.into_iter().find(|(_, f)| ms > 0 && ms.is_multiple_of(*f)).unwrap_or(&("ms", 1));
    format!("{}{unit}", ms / factor)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '_')?;
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.replace('_', "").parse().ok()?, unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_people_write_them() {
        assert_eq!(parse_size("64MiB"), Some(64 << 20));
        assert_eq!(parse_size("64 mib"), Some(64 << 20));
        assert_eq!(parse_size("1GB"), Some(1_000_000_000));
        assert_eq!(parse_size("10_000B"), Some(10_000));
        for bad in ["", "64", "MiB", "-1MiB", "1.5GB", "64MiBs", "99999999999TiB"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
        assert_eq!(parse_duration("30s"), Some(Duration::from_secs(30)));
        assert_eq!(parse_duration("5m"), Some(Duration::from_secs(300)));
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        for bad in ["", "30", "s", "30 seconds", "1M"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
        assert_eq!(show_size(96 << 20), "96MiB");
        assert_eq!(show_size(0), "0B");
        assert_eq!(show_duration(Duration::from_secs(90)), "90s");
        assert_eq!(show_duration(Duration::from_secs(86_400)), "1d");
        assert_eq!(show_duration(Duration::ZERO), "0ms");
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(n in any::<u64>(), ms in 0u64..1 << 50) {
            prop_assert_eq!(parse_size(&show_size(n)), Some(n));
            prop_assert_eq!(parse_duration(&show_duration(Duration::from_millis(ms))), Some(Duration::from_millis(ms)));
        }
    }
}
