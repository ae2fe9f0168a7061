//! How keys are written in listings. What a query says is `auth::query`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What `encoding-type=url` leaves as it is.
const LIST_SAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b'/').remove(b'~');

/// A key or prefix in a listing with `encoding-type=url`.
pub fn encode_listed(key: &str) -> String {
    utf8_percent_encode(key, LIST_SAFE).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_as_s3_does() {
        assert_eq!(encode_listed("quux ab/thud+b*"), "quux%20ab/thud%2Bb*");
        assert_eq!(encode_listed("\u{e9}"), "%C3%A9");
    }
}
