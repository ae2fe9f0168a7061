//! The limits of a tenant by their names, and how people write their values: in a tenant's file, on the command line, in the API.

use crate::auth::limits::Limits;

/// In the order in which they are told of.
pub const NAMES: [&str; 8] =
    ["bytes", "objects", "requests_per_second", "jobs", "bytes_in_per_second", "bytes_out_per_second", "uploads", "egress_per_month"];
/// Of them, those that can be written with a unit.
const SIZES: [&str; 4] = ["bytes", "bytes_in_per_second", "bytes_out_per_second", "egress_per_month"];

pub fn is_size(name: &str) -> bool {
    SIZES.contains(&name)
}

/// What a limit of this name is written as.
pub fn expected(name: &str) -> &'static str {
    if is_size(name) { "a size such as \"1TB\" or \"500 MiB\"" } else { "a number" }
}

/// As words on a command line. Err: what is wrong, for its author.
pub fn parse(name: &str, text: &str) -> Result<u64, String> {
    let number = if is_size(name) { parse_bytes(text) } else { text.trim().parse().ok() };
    number.ok_or_else(|| format!("{name}: {} is needed, not {text:?}", expected(name)))
}

impl Limits {
    /// None: no limit. Err: what is expected of this name.
    pub fn set(&mut self, name: &str, value: Option<u64>) -> Result<(), &'static str> {
        let small = || value.map(u32::try_from).transpose().map_err(|_| expected(name));
        match name {
            "bytes" => self.bytes = value,
            "objects" => self.objects = value,
            "requests_per_second" => self.requests_per_second = small()?,
            "jobs" => self.jobs = small()?,
            "bytes_in_per_second" => self.bytes_in_per_second = value,
            "bytes_out_per_second" => self.bytes_out_per_second = value,
            "uploads" => self.uploads = small()?,
            "egress_per_month" => self.egress_per_month = value,
            _ => return Err("another name"),
        }
        Ok(())
    }
}

/// `1TB`, `500 MiB`, `10`: decimal units by 1000, those with an `i` by 1024.
pub fn parse_bytes(s: &str) -> Option<u64> {
    let s = s.trim();
    let digits = s.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = s[..digits].parse().ok()?;
    let unit = s[digits..].trim().to_ascii_lowercase();
    let (base, prefix) = match unit.strip_suffix('b').unwrap_or(&unit) {
        p if p.ends_with('i') => (1024u64, &p[..p.len() - 1]),
        p => (1000, p),
    };
    let power = ["", "k", "m", "g", "t", "p"].iter().position(|p| *p == prefix)?;
    number.checked_mul(base.checked_pow(power as u32)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_a_limit() {
        let mut limits = Limits::default();
        for (n, name) in NAMES.into_iter().enumerate() {
            limits.set(name, Some(n as u64 + 1)).unwrap();
        }
        let shown = serde_json::to_value(&limits).unwrap();
        for (n, name) in NAMES.into_iter().enumerate() {
            assert_eq!(shown[name], n as u64 + 1, "{name}");
            limits.set(name, None).unwrap();
        }
        assert_eq!(limits, Limits::default());
        assert_eq!(serde_json::to_string(&limits).unwrap(), "{}");
        assert!(limits.set("jobs", Some(u64::MAX)).is_err() && limits.set("jbos", Some(1)).is_err());
        assert_eq!((parse("bytes", "1TB"), parse("objects", "7")), (Ok(1_000_000_000_000), Ok(7)));
        assert!(parse("objects", "1TB").is_err() && parse("bytes", "much").is_err());
    }
}
