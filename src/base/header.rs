//! What a request's header says: read here and nowhere else, so that a condition of a policy, a signing rule, a handler and an
//! upstream never read two things in one line.
//!
//! Rules: only the optional white space of RFC 9110 (space and tab, at the ends) is taken off. A header of one value that is there
//! twice, or holds anything but visible ASCII and spaces, is refused by its name: it is never "absent" to one reader and "present"
//! to another. Empty is absent, for everyone; who must tell the two apart asks `one`.
//! Not here: what a value means; lists of which HTTP says that unreadable members are ignored (`Accept-Encoding`).
//! Called by identity, policies, and the doors.

use http::header::{AsHeaderName, HeaderMap, HeaderValue};

use super::error::{Error, ErrorKind, Result};

/// Begins the names of S3's own headers.
const S3: &str = "x-amz-";
/// The bytes of these are the client's.
const METADATA: &str = "x-amz-meta-";
/// Some SDKs send a line for each member.
const LIST: &str = "x-amz-object-attributes";

/// Without the optional white space around it (RFC 9110 5.6.3).
pub fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// The one value, without white space around it. None: there is no such header, or it is empty.
pub fn text<N: AsHeaderName + AsRef<str> + Copy>(headers: &HeaderMap, name: N) -> Result<Option<&str>> {
    Ok(one(headers, name)?.filter(|t| !t.is_empty()))
}

/// As `text`, where an empty value is one.
pub fn one<N: AsHeaderName + AsRef<str> + Copy>(headers: &HeaderMap, name: N) -> Result<Option<&str>> {
    match single(headers, name)? {
        None => Ok(None),
        Some(value) => plain(value).map(Some).ok_or_else(|| unreadable(name.as_ref())),
    }
}

/// As `text`, of what is stored and shown again as it is: any UTF-8.
pub fn stored<N: AsHeaderName + AsRef<str> + Copy>(headers: &HeaderMap, name: N) -> Result<Option<&str>> {
    let Some(value) = single(headers, name)? else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| unreadable(name.as_ref()))?;
    Ok(Some(trim(text)).filter(|t| !t.is_empty()))
}

/// As `stored`, of a list: its lines are one, as they would be after any proxy (RFC 9110 5.3).
pub fn stored_list<N: AsHeaderName + AsRef<str> + Copy>(headers: &HeaderMap, name: N) -> Result<Option<String>> {
    let mut lines = Vec::new();
    for value in headers.get_all(name) {
        lines.push(trim(std::str::from_utf8(value.as_bytes()).map_err(|_| unreadable(name.as_ref()))?));
    }
    lines.retain(|l| !l.is_empty());
    Ok((!lines.is_empty()).then(|| lines.join(", ")))
}

/// The members of a list, of all its lines. None is empty.
pub fn members<N: AsHeaderName + AsRef<str> + Copy>(headers: &HeaderMap, name: N) -> Result<Vec<&str>> {
    let mut members = Vec::new();
    for value in headers.get_all(name) {
        let line = plain_or_tabs(value).ok_or_else(|| unreadable(name.as_ref()))?;
        members.extend(line.split(',').map(trim).filter(|m| !m.is_empty()));
    }
    Ok(members)
}

/// Refuses what `text` would, in every header of S3's own, asked for or not: a handler that only looks whether one is there, and
/// one that nobody knows yet, give no other reading.
/// Whether there is any.
pub fn check(headers: &HeaderMap) -> Result<bool> {
    let mut found = false;
    for name in headers.keys().map(|name| name.as_str()).filter(|name| is_s3(name)) {
        found = true;
        if !name.starts_with(METADATA) && name != LIST {
            one(headers, name)?;
        }
    }
    Ok(found)
}

/// Whether the name is of a header of S3's own.
pub fn is_s3(name: &str) -> bool {
    name.starts_with(S3)
}

/// Whether a value of that name may stand in a header, as `check` sees it.
pub fn check_value(name: &str, value: &HeaderValue) -> Result<()> {
    if name.starts_with(METADATA) || plain(value).is_some() { Ok(()) } else { Err(unreadable(name)) }
}

fn single<N: AsHeaderName + AsRef<str> + Copy>(headers: &HeaderMap, name: N) -> Result<Option<&HeaderValue>> {
    // Most are not there, and one look tells.
    let Some(value) = headers.get(name) else { return Ok(None) };
    if headers.get_all(name).iter().nth(1).is_some() {
        return Err(invalid(name.as_ref(), "The header is there more than once."));
    }
    Ok(Some(value))
}

/// Visible ASCII and spaces, or nothing.
fn plain(value: &HeaderValue) -> Option<&str> {
    plain_or_tabs(value).map(trim).filter(|t| !t.contains('\t'))
}

/// `HeaderValue` has let in no other control character than the tab.
fn plain_or_tabs(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

fn unreadable(name: &str) -> Error {
    invalid(name, "The header holds characters that it can't: only visible ASCII characters and spaces are possible.")
}

/// A header whose value is not one of its own.
pub fn invalid(name: &str, text: &'static str) -> Error {
    Error::new(ErrorKind::InvalidArgument, text).detail("ArgumentName", name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;
    use proptest::prelude::*;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let name = HeaderName::from_static("x-amz-acl");
        values.iter().map(|v| (name.clone(), HeaderValue::from_bytes(v).unwrap())).collect()
    }

    #[test]
    fn what_a_header_says() {
        let of = |values: &[&[u8]]| text(&headers(values), "x-amz-acl").map(|t| t.map(str::to_owned)).map_err(|e| e.kind());
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[b""]), Ok(None));
        assert_eq!(of(&[b" \t "]), Ok(None));
        assert_eq!(of(&[b"\t public read "]), Ok(Some("public read".into())));
        for refused in [&b"a\tb"[..], b"\xe9", "a\u{a0}".as_bytes(), "\u{3000}a".as_bytes(), b"a\xff"] {
            assert_eq!(of(&[refused]), Err(ErrorKind::InvalidArgument), "{refused:?}");
        }
        assert_eq!(of(&[b"a", b"a"]), Err(ErrorKind::InvalidArgument));
        assert_eq!(of(&[b"", b""]), Err(ErrorKind::InvalidArgument));
        let e = text(&headers(&[b"\xe9"]), "x-amz-acl").unwrap_err();
        assert_eq!(e.details(), [("ArgumentName", "x-amz-acl".to_owned())]);
    }

    #[test]
    fn lists_and_what_is_stored() {
        let of = |values: &[&[u8]]| members(&headers(values), "x-amz-acl").map(|m| m.join("|")).map_err(|e| e.kind());
        assert_eq!(of(&[b"a,\tb ,,c", b"d"]), Ok("a|b|c|d".into()));
        assert_eq!(of(&[b"a", b"\xe9"]), Err(ErrorKind::InvalidArgument));
        let of = |values: &[&[u8]]| stored(&headers(values), "x-amz-acl").map(|t| t.map(str::to_owned)).map_err(|e| e.kind());
        assert_eq!(of(&["\t\u{e9}\u{a0} ".as_bytes()]), Ok(Some("\u{e9}\u{a0}".into())));
        assert_eq!(of(&[b"\xe9"]), Err(ErrorKind::InvalidArgument));
    }

    #[test]
    fn headers_that_nobody_asks_for() {
        let of = |name: &'static str, values: &[&[u8]]| {
            let name = HeaderName::from_static(name);
            check(&values.iter().map(|v| (name.clone(), HeaderValue::from_bytes(v).unwrap())).collect()).is_ok()
        };
        assert!(of("x-amz-of-tomorrow", &[b"a"]) && !of("x-amz-of-tomorrow", &[b"a", b"a"]) && !of("x-amz-of-tomorrow", &[b"\xe9"]));
        assert!(of("x-amz-meta-a", &[b"\xe9", b"\xff"]) && of("x-amz-object-attributes", &[b"a", b"b"]) && of("cookie", &[b"\xe9", b"a"]));
    }

    proptest! {
        /// Whatever is read without fault is what was sent, but for space and tab around it.
        #[test]
        fn nothing_but_white_space_goes(value in prop::collection::vec(prop_oneof![Just(b' '), Just(b'\t'), 32u8..127, 128u8..=255], 0..8)) {
            let map = headers(&[&value]);
            let sent: &[u8] = {
                let start = value.iter().position(|c| !matches!(c, b' ' | b'\t')).unwrap_or(value.len());
                let end = value.iter().rposition(|c| !matches!(c, b' ' | b'\t')).map_or(start, |at| at + 1);
                &value[start..end]
            };
            match text(&map, "x-amz-acl") {
                Ok(read) => prop_assert_eq!(read.unwrap_or_default().as_bytes(), sent),
                Err(_) => prop_assert!(sent.iter().any(|c| !(32..127).contains(c))),
            }
        }
    }
}
