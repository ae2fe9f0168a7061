//! Takes out of a text what opens something: signatures and tokens of URLs, tokens in paths, credentials of headers.
//!
//! The one function through which everything goes that is written about a request: the access log, the log (all of its lines, at
//! every level), error documents. A client writes a secret in any encoding, twice over, inside another URL, in a header of its
//! choice: so it is looked for after decoding, in any letter case, by what stands before it.
//! Not here: secrets of our own, which nobody hands to a log (`Secret` shows none).
//! Limits: what was encoded more than `ROUNDS` times is not decoded further; nobody takes that for a URL either.

use std::borrow::Cow;
use std::io;
use std::sync::OnceLock;

const HIDDEN: &str = "REDACTED";
/// A URL, inside a URL's query, inside another one's, and one more.
const ROUNDS: u8 = 4;

/// What stands before a value that opens something, in lower case.
const NAMES: [&[u8]; 7] = [
    b"x-amz-signature",
    b"x-amz-security-token",
    b"signature",
    b"cloudfront-signature",
    b"x-amz-server-side-encryption-customer-key",
    b"x-amz-copy-source-server-side-encryption-customer-key",
    b"webidentitytoken",
];
/// Headers of which nothing is shown.
const HEADERS: [&[u8]; 3] = [b"authorization", b"cookie", b"set-cookie"];

/// The segments behind which tokens stand. Set once at the start, since whoever logs knows no site.
static TOKEN_PATHS: OnceLock<Vec<Vec<Vec<u8>>>> = OnceLock::new();
const DEFAULT_TOKEN_PATH: &str = "/_t/";

/// Tells at the start what path tokens stand behind on the sites that there are.
pub fn set_token_paths<'p>(paths: impl Iterator<Item = &'p str>) {
    let mut all: Vec<_> = paths.chain([DEFAULT_TOKEN_PATH]).map(segments).filter(|p| !p.is_empty()).collect();
    all.sort();
    all.dedup();
    // A second start in one process (tests) has the same sites.
    let _ = TOKEN_PATHS.set(all);
}

fn segments(path: &str) -> Vec<Vec<u8>> {
    path.split('/').filter(|s| !s.is_empty()).map(|s| s.to_ascii_lowercase().into_bytes()).collect()
}

/// The text without what opens something.
pub fn redact(text: &str) -> Cow<'_, str> {
    let seen = decoded(text);
    let found = secrets(&seen);
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut shown = 0;
    for (from, to) in found {
        let place = |at: usize| seen.get(at).map_or(text.len(), |b| b.from);
        out.push_str(text.get(shown..place(from)).unwrap_or_default());
        out.push_str(HIDDEN);
        shown = place(to);
    }
    out.push_str(text.get(shown..).unwrap_or_default());
    Cow::Owned(out)
}

/// Every line that goes through it is redacted. A line comes in one piece.
pub struct Redacted<W>(pub W);

impl<W: io::Write> io::Write for Redacted<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(redact(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A byte as it is read after decoding.
#[derive(Clone, Copy)]
struct Seen {
    /// In lower case.
    byte: u8,
    /// Where it begins in the text.
    from: usize,
    /// How often it was encoded.
    depth: u8,
}

fn decoded(text: &str) -> Vec<Seen> {
    let mut seen: Vec<Seen> = text.bytes().enumerate().map(|(from, b)| Seen { byte: b.to_ascii_lowercase(), from, depth: 0 }).collect();
    for depth in 1..=ROUNDS {
        let (mut next, mut at) = (Vec::with_capacity(seen.len()), 0);
        while let Some(one) = seen.get(at) {
            let digit = |n: usize| seen.get(at + n).and_then(|b| char::from(b.byte).to_digit(16));
            match (one.byte, digit(1), digit(2)) {
                (b'%', Some(high), Some(low)) => {
                    let byte = (high * 16 + low) as u8;
                    next.push(Seen { byte: byte.to_ascii_lowercase(), from: one.from, depth });
                    at += 3;
                }
                _ => {
                    next.push(*one);
                    at += 1;
                }
            }
        }
        let done = next.len() == seen.len();
        seen = next;
        if done {
            break;
        }
    }
    seen
}

/// The places of secrets, in order.
fn secrets(seen: &[Seen]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < seen.len() {
        match secret_behind(seen, at) {
            Some((from, to)) => {
                found.push((from, to));
                at = to;
            }
            None => at += 1,
        }
    }
    found
}

/// The secret that follows what begins here.
fn secret_behind(seen: &[Seen], at: usize) -> Option<(usize, usize)> {
    let before = at.checked_sub(1).and_then(|n| seen.get(n)).map(|b| b.byte);
    let starts_word = before.is_none_or(|b| !b.is_ascii_alphanumeric() && !matches!(b, b'-' | b'_'));
    if !starts_word {
        return None;
    }
    let named = NAMES.iter().find_map(|name| value_of(seen, at, name, ends_value));
    let header = || HEADERS.iter().find_map(|name| value_of(seen, at, name, |b| matches!(b, b'"' | b'\\' | b'\r' | b'\n')));
    named.or_else(header).or_else(|| token(seen, at))
}

/// Of `name=value`, `name: value` and `"name": "value"`.
fn value_of(seen: &[Seen], at: usize, name: &[u8], ends: impl Fn(u8) -> bool) -> Option<(usize, usize)> {
    let after = strip(seen, at, name)?;
    let sign = skip(seen, after, |b| matches!(b, b'"' | b'\'' | b'\\' | b' '));
    let depth = seen.get(sign).filter(|b| matches!(b.byte, b'=' | b':'))?.depth;
    let from = skip(seen, sign + 1, |b| matches!(b, b'"' | b'\'' | b'\\' | b' '));
    // What was encoded once more than the name's own sign is part of the value.
    let to = seen.iter().skip(from).position(|b| ends(b.byte) && b.depth <= depth).map_or(seen.len(), |n| from + n);
    (from < to).then_some((from, to))
}

fn ends_value(b: u8) -> bool {
    b <= b' ' || matches!(b, b'&' | b';' | b',' | b'#' | b'"' | b'\'' | b'\\' | b'<' | b'>' | b')' | b'}' | b']')
}

/// `/_t/<token>`, with any number of slashes, also at the beginning of a key.
fn token(seen: &[Seen], at: usize) -> Option<(usize, usize)> {
    static DEFAULT: OnceLock<Vec<Vec<Vec<u8>>>> = OnceLock::new();
    let paths = TOKEN_PATHS.get().unwrap_or_else(|| DEFAULT.get_or_init(|| vec![segments(DEFAULT_TOKEN_PATH)]));
    let is_slash = |b: u8| matches!(b, b'/' | b'\\');
    paths.iter().find_map(|path| {
        let mut at = at;
        for segment in path {
            let end = strip(seen, at, segment)?;
            at = skip(seen, end, is_slash);
            // Segments that mean nothing.
            while let Some(end) = strip(seen, at, b"../").or_else(|| strip(seen, at, b"./")) {
                at = skip(seen, end, is_slash);
            }
            if at == end {
                return None;
            }
        }
        let to = seen.iter().skip(at).position(|b| ends_value(b.byte) || is_slash(b.byte) || b.byte == b'?');
        let to = to.map_or(seen.len(), |n| at + n);
        (at < to).then_some((at, to))
    })
}

/// Where it goes on behind `word`.
fn strip(seen: &[Seen], at: usize, word: &[u8]) -> Option<usize> {
    let there = seen.get(at..at + word.len())?;
    there.iter().map(|b| b.byte).eq(word.iter().copied()).then_some(at + word.len())
}

fn skip(seen: &[Seen], at: usize, over: impl Fn(u8) -> bool) -> usize {
    at + seen.iter().skip(at).take_while(|b| over(b.byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As clients may write a byte: itself, encoded, in the other case.
    fn written(text: &str, how: &[u8]) -> String {
        let mut hows = how.iter().cycle();
        let one = |c: char| match hows.next().unwrap_or(&0) {
            1 => format!("%{:02X}", u32::from(c)),
            2 => format!("%{:02x}", u32::from(c)),
            3 => format!("%25{:02x}", u32::from(c)),
            4 => c.to_ascii_uppercase().to_string(),
            _ => c.to_string(),
        };
        text.chars().map(one).collect()
    }

    #[test]
    fn what_opens_something_is_taken_out_and_the_rest_stays() {
        for (text, want) in [
            ("/b/k?X-Amz-Signature=abc&x=1", "/b/k?X-Amz-Signature=REDACTED&x=1"),
            ("/b/k?x-amz-Security-Token=a%2Bb/c==&x=1", "/b/k?x-amz-Security-Token=REDACTED&x=1"),
            ("/?Action=A&WebIdentityToken=a.b.c&Version=1", "/?Action=A&WebIdentityToken=REDACTED&Version=1"),
            ("/b/k?Signature=a%26b&Expires=1", "/b/k?Signature=REDACTED&Expires=1"),
            ("/b/k?%58-Amz%2DSignature=abc", "/b/k?%58-Amz%2DSignature=REDACTED"),
            (
                "/b/k?url=https%3A%2F%2Fx%2Fk%3FX-Amz-Signature%3Dabc%26a%3Db&c=d",
                "/b/k?url=https%3A%2F%2Fx%2Fk%3FX-Amz-Signature%3DREDACTED%26a%3Db&c=d",
            ),
            ("/_t/abc/d/e?f=g", "/_t/REDACTED/d/e?f=g"),
            ("/%5ft/abc/d", "/%5ft/REDACTED/d"),
            ("/%5F%54%2fabc%2fd", "/%5F%54%2fREDACTED%2fd"),
            ("//_t///abc//d", "//_t///REDACTED//d"),
            ("/_t/./abc/d", "/_t/./REDACTED/d"),
            ("_t/abc/d", "_t/REDACTED/d"),
            ("https://any.host/_t/abc", "https://any.host/_t/REDACTED"),
            ("https://h/?u=%252F_t%252Fabc%252Fd", "https://h/?u=%252F_t%252FREDACTED%252Fd"),
            ("CloudFront-Policy=p; CloudFront-Signature=s~_-; a=b", "CloudFront-Policy=p; CloudFront-Signature=REDACTED; a=b"),
            ("authorization: AWS4-HMAC-SHA256 Credential=A, Signature=b\nx: y", "authorization: REDACTED\nx: y"),
            ("{\"authorization\": \"Bearer b\", \"x\": \"y\"}", "{\"authorization\": \"REDACTED\", \"x\": \"y\"}"),
            ("x-amz-security-token:abc", "x-amz-security-token:REDACTED"),
        ] {
            assert_eq!(redact(text), want);
        }
        for text in [
            "",
            "%",
            "%4",
            "/b/a_t/x",
            "/b/_tx/y",
            "/_t",
            "/_t/",
            "?mysignature=1",
            "?Signature",
            "?X-Amz-SignedHeaders=host&X-Amz-Credential=AK",
            "The Authorization header is malformed",
            "é%C3%A9",
        ] {
            assert!(matches!(redact(text), Cow::Borrowed(t) if t == text), "{text}");
        }
    }

    #[test]
    fn lines_are_redacted_on_their_way() {
        let mut out = Vec::new();
        io::Write::write_all(&mut Redacted(&mut out), b"WARN \xff uri=/_t/abc/d\n").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "WARN \u{fffd} uri=/_t/REDACTED/d\n");
    }

    proptest! {
        #[test]
        fn no_encoding_hides_a_secret(
            name in prop::sample::select(vec!["X-Amz-Signature=", "signature=", "X-Amz-Security-Token=", "CloudFront-Signature=", "/_t/", "//_t//"]),
            how in prop::collection::vec(0u8..5, 1..20),
            before in prop::sample::select(vec!["", "/b/k?", "/b/k?a=b&", "https://h/p?url="]),
            after in prop::sample::select(vec!["", "&a=b", "#f", " HTTP/1.1", "\""]),
        ) {
            let text = format!("{before}{}TheSecret0{after}", written(name, &how));
            let shown = redact(&text).into_owned();
            prop_assert!(!shown.contains("TheSecret0"), "{} -> {}", text, shown);
        }

        #[test]
        fn any_text_is_taken(text in "\\PC{0,60}", more in "[%/_tT0-9a-f=&?:;X\\-]{0,60}") {
            let text = format!("{text}{more}");
            let once = redact(&text).into_owned();
            prop_assert_eq!(redact(&once).into_owned(), once);
        }
    }
}
