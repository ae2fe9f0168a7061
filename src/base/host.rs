//! A host as clients name it: `name`, or `name:port`. Parsed once, by one grammar, for `Host`, for addresses that proxies tell,
//! and for the names in the configuration.
//!
//! Not here: which host a request is for (`http::address`), what a name stands for (`auth::settings`, `http::edge::site`).
//! Invariant: what is not wholly a host is none: no user, path, space, control or letter beyond ASCII, nothing behind the port.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use http::HeaderMap;
use http::header::HOST;

/// A name of the DNS has 253 characters; one more for the dot behind it.
const MAX_NAME_BYTES: usize = 254;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host<'a> {
    name: &'a str,
    /// Decimal digits, as they were written.
    port: Option<&'a str>,
}

impl<'a> Host<'a> {
    pub fn parse(text: &'a str) -> Option<Self> {
        let end = match text.strip_prefix('[') {
            Some(inside) => {
                let (address, _) = inside.split_once(']')?;
                address.parse::<Ipv6Addr>().ok()?;
                address.len() + 2
            }
            None => text.bytes().take_while(|c| is_of_name(*c)).count(),
        };
        let (whole, behind) = text.split_at_checked(end)?;
        let port = match behind.strip_prefix(':') {
            Some(port) if is_port(port) => Some(port),
            None if behind.is_empty() => None,
            _ => return None,
        };
        // A name that is written out in full ends with a dot.
        let name = whole.strip_suffix('.').unwrap_or(whole);
        (!name.is_empty() && whole.len() <= MAX_NAME_BYTES).then_some(Host { name, port })
    }

    /// Of a request that went through `http::address`; None: an HTTP/1.0 client named none.
    pub fn of(headers: &'a HeaderMap) -> Option<Self> {
        Host::parse(text_of(headers)?)
    }

    /// As it was written, but for the dot at its end; an IPv6 address in its brackets.
    pub fn name(self) -> &'a str {
        self.name
    }

    pub fn port(self) -> Option<&'a str> {
        self.port
    }

    /// Not the short and numeric ways to write one that only some programs know.
    pub fn is_address(self) -> bool {
        self.name.starts_with('[') || self.name.parse::<Ipv4Addr>().is_ok()
    }

    pub fn has_name(self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Names know no case; a port that is not written is `default`.
    pub fn is_same(self, other: Host<'_>, default: u16) -> bool {
        let port = |host: Host<'_>| host.port.map_or(Some(default), |p| p.parse().ok());
        self.has_name(other.name) && port(self) == port(other)
    }
}

impl fmt::Display for Host<'_> {
    /// In lower case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name.to_ascii_lowercase())?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Of an address such as `https://cdn.example.com`: scheme and host, and nothing more.
pub fn host_of(base: &str) -> Option<Host<'_>> {
    Host::parse(base.strip_prefix("https://").or_else(|| base.strip_prefix("http://"))?)
}

/// The `Host` as it arrived, which is what a signature is for.
pub fn text_of(headers: &HeaderMap) -> Option<&str> {
    headers.get(HOST)?.to_str().ok()
}

fn is_of_name(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_')
}

/// Digits alone: `parse` would take a sign.
fn is_port(text: &str) -> bool {
    !text.starts_with('+') && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (text, name, port) in [
            ("a.test", "a.test", None),
            ("A.Test:9000", "A.Test", Some("9000")),
            ("a.test.", "a.test", None),
            ("a.test.:80", "a.test", Some("80")),
            ("a_b-c", "a_b-c", None),
            ("127.0.0.1:1", "127.0.0.1", Some("1")),
            ("[::1]", "[::1]", None),
            ("[2001:db8::1]:65535", "[2001:db8::1]", Some("65535")),
        ] {
            let host = Host::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((host.name(), host.port()), (name, port), "{text}");
        }
    }

    #[test]
    fn what_is_no_host() {
        let long = "a".repeat(MAX_NAME_BYTES + 1);
        for text in [
            "",
            ".",
            ":",
            ":80",
            "a:",
            "a:x",
            "a:+1",
            "a:65536",
            "a:80:80",
            "a:80 ",
            " a",
            "a b",
            "a\tb",
            "a/b",
            "a?b",
            "a#b",
            "a\\b",
            "u@a",
            "u:p@a",
            "a,b",
            "a;b",
            "a\"b",
            "a%2eb",
            "é.test",
            "a\u{7f}",
            "[::1",
            "[::1]x",
            "[::1]:",
            "[x]",
            "[]",
            "::1",
            "[::1%25eth0]",
            &long,
        ] {
            assert_eq!(Host::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_same_host() {
        let same = |a: &str, b: &str, default| Host::parse(a).unwrap().is_same(Host::parse(b).unwrap(), default);
        assert!(same("a.test", "A.TEST.", 80) && same("a.test:80", "a.test", 80) && same("a.test:080", "a.test:80", 1));
        assert!(!same("a.test:80", "a.test", 443) && !same("a.test", "b.test", 80) && !same("a.test:81", "a.test:80", 80));
    }
}
