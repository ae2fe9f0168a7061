//! Tags of an object or a bucket: pairs of key and value, checked once as S3 checks them.
//!
//! Pure. Written as S3's URL query form (`a=1&b=2`): in the header `x-amz-tagging`, and in stored fields.
//! Not here: the XML document (`http::s3::tagging`), and who may see or set them.
//! Invariants: in order of key, each key once; what came from a client holds to S3's limits.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::error::{Error, ErrorKind, Result};
use super::fields::{Fields, Tag};

pub const TAGGING: &str = "x-amz-tagging";

/// In UTF-16, as AWS counts.
const MAX_KEY: usize = 128;
const MAX_VALUE: usize = 256;
/// Keys that begin so, in any case, are AWS's own.
const RESERVED: &str = "aws:";
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What has the tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tagged {
    Object,
    Bucket,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags(Vec<(String, String)>);

impl Tagged {
    const fn most(self) -> (usize, &'static str) {
        match self {
            Tagged::Object => (10, "Object tags cannot be greater than 10"),
            Tagged::Bucket => (50, "Bucket tag count cannot be greater than 50"),
        }
    }
}

impl Tags {
    pub fn new(mut pairs: Vec<(String, String)>, of: Tagged) -> Result<Self> {
        let (most, text) = of.most();
        if pairs.len() > most {
            return Err(Error::new(ErrorKind::BadRequest, text));
        }
        pairs.iter().try_for_each(|(key, value)| check(key, value))?;
        pairs.sort();
        match repeated(&pairs) {
            None => Ok(Tags(pairs)),
            Some(key) => Err(invalid("Cannot provide multiple Tags with the same key", key)),
        }
    }

    /// Of an object, as the header `x-amz-tagging` has them.
    pub fn parse(text: &str) -> Result<Self> {
        let malformed = || {
            let message =
                "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.";
            Error::new(ErrorKind::InvalidArgument, message).detail("ArgumentName", TAGGING).detail("ArgumentValue", text)
        };
        let mut pairs = pairs(text).ok_or_else(malformed)?;
        pairs.sort();
        if repeated(&pairs).is_some() || pairs.iter().any(|(key, _)| key.is_empty()) {
            return Err(malformed());
        }
        Tags::new(pairs, Tagged::Object)
    }

    /// The form that `parse` reads.
    pub fn query(&self) -> String {
        let encoded = |text| utf8_percent_encode(text, PLAIN);
        let pairs: Vec<String> = self.iter().map(|(key, value)| format!("{}={}", encoded(key), encoded(value))).collect();
        pairs.join("&")
    }

    /// As another store tells them: whatever it has is what they are.
    pub fn told(mut pairs: Vec<(String, String)>) -> Self {
        pairs.sort();
        pairs.dedup_by(|b, a| a.0 == b.0);
        Tags(pairs)
    }

    /// Behind a stored form. No tags are no field.
    pub fn append_to(&self, fields: Fields) -> Fields {
        if self.is_empty() { fields } else { fields.with(Tag::TAGS, self.query().into_bytes()) }
    }

    pub fn take_from(fields: &mut Fields) -> Result<Self> {
        let Some(bytes) = fields.take(Tag::TAGS) else { return Ok(Tags::default()) };
        // They were checked when they were set, by rules that may have changed since.
        let stored = std::str::from_utf8(&bytes).ok().and_then(pairs);
        stored.map(Tags::told).ok_or_else(|| Error::internal("stored tags can't be read"))
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(k, _)| k.as_str().cmp(key)).ok()?;
        self.0.get(at).map(|(_, value)| value.as_str())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For `x-amz-tagging-count`.
    pub fn count(&self) -> u16 {
        u16::try_from(self.0.len()).unwrap_or(u16::MAX)
    }
}

/// None: it is not UTF-8 when decoded. `+` is a space, and a value may hold `=`.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8().ok().map(|t| t.into_owned());
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decoded(key)?, decoded(value)?))
    };
    text.split('&').filter(|p| !p.is_empty()).map(pair).collect()
}

/// The pairs are in order.
fn repeated(pairs: &[(String, String)]) -> Option<&str> {
    pairs.windows(2).find_map(|two| match two {
        [(a, _), (b, _)] if a == b => Some(a.as_str()),
        _ => None,
    })
}

fn check(key: &str, value: &str) -> Result<()> {
    let fits = |text: &str, most: usize| text.encode_utf16().count() <= most && text.chars().all(is_allowed);
    if key.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED)) {
        return Err(invalid("Your TagKey cannot be prefixed with aws:", key));
    }
    if key.is_empty() || !fits(key, MAX_KEY) {
        return Err(invalid("The TagKey you have provided is invalid", key));
    }
    if !fits(value, MAX_VALUE) {
        return Err(invalid("The TagValue you have provided is invalid", key).detail("TagValue", value));
    }
    Ok(())
}

/// Letters, digits and spaces of any language, and these signs.
fn is_allowed(c: char) -> bool {
    c.is_alphanumeric() || (c.is_whitespace() && !c.is_control()) || matches!(c, '_' | '.' | ':' | '/' | '=' | '+' | '-' | '@')
}

fn invalid(text: &'static str, key: &str) -> Error {
    Error::new(ErrorKind::InvalidTag, text).detail("TagKey", key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kind(text: &str) -> std::result::Result<String, ErrorKind> {
        Tags::parse(text).map(|tags| tags.query()).map_err(|e| e.kind())
    }

    #[test]
    fn as_the_header_has_them() {
        for (text, expected) in [
            ("", ""),
            ("foo=bar&bar", "bar=&foo=bar"),
            ("a=b=c%3Dd", "a=b%3Dc%3Dd"),
            ("a+b=%2B+%C3%A9&", "a%20b=%2B%20%C3%A9"),
            ("k=/:._-@", "k=%2F%3A._-%40"),
        ] {
            assert_eq!(kind(text).as_deref(), Ok(expected), "{text}");
        }
        for (text, refused) in [
            ("a=1&a=2", ErrorKind::InvalidArgument),
            ("a=1&%61=1", ErrorKind::InvalidArgument),
            ("=1", ErrorKind::InvalidArgument),
            ("a=%ff", ErrorKind::InvalidArgument),
            ("a=%0a", ErrorKind::InvalidTag),
            ("a=%zz", ErrorKind::InvalidTag),
            ("a,b=1", ErrorKind::InvalidTag),
            ("a=*", ErrorKind::InvalidTag),
            ("aws:a=1", ErrorKind::InvalidTag),
            ("AWS%3Aa=1", ErrorKind::InvalidTag),
        ] {
            assert_eq!(kind(text), Err(refused), "{text}");
        }
    }

    #[test]
    fn limits() {
        let of = |n: usize, of| Tags::new((0..n).map(|i| (format!("k{i}"), String::new())).collect(), of).map_err(|e| e.kind());
        assert!(of(10, Tagged::Object).is_ok() && of(50, Tagged::Bucket).is_ok());
        assert_eq!(of(11, Tagged::Object).unwrap_err(), ErrorKind::BadRequest);
        assert_eq!(of(51, Tagged::Bucket).unwrap_err(), ErrorKind::BadRequest);
        let one = |key: &str, value: &str| Tags::new(vec![(key.into(), value.into())], Tagged::Object).map_err(|e| e.kind());
        assert!(one(&"é".repeat(128), &"é".repeat(256)).is_ok());
        // Outside of the first 65,536 a character counts twice.
        assert!(one(&"\u{1d400}".repeat(64), &"\u{1d400}".repeat(128)).is_ok());
        for (key, value) in [("", ""), (&"k".repeat(129), ""), ("k", &"v".repeat(257)), (&"\u{1d400}".repeat(65), "")] {
            assert_eq!(one(key, value), Err(ErrorKind::InvalidTag), "{key} {value}");
        }
        let twice = vec![("k".to_owned(), "1".to_owned()), ("k".to_owned(), "2".to_owned())];
        assert_eq!(Tags::new(twice, Tagged::Bucket).unwrap_err().kind(), ErrorKind::InvalidTag);
    }

    #[test]
    fn a_value_by_its_key() {
        let tags = Tags::parse("b=2&a=1&B=3").unwrap();
        assert_eq!((tags.get("a"), tags.get("b"), tags.get("B"), tags.get("c")), (Some("1"), Some("2"), Some("3"), None));
        assert_eq!(tags.count(), 3);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(pairs in prop::collection::btree_map("[a-zA-Zé0-9 _.:/=+@-]{1,12}", "[a-zé0-9 _.:/=+@-]{0,12}", 0..10)) {
            let Ok(tags) = Tags::new(pairs.into_iter().collect(), Tagged::Object) else { return Ok(()) };
            prop_assert_eq!(&Tags::parse(&tags.query()).unwrap(), &tags);
            let mut fields = tags.append_to(Fields::default());
            prop_assert_eq!(fields.is_empty(), tags.is_empty());
            prop_assert_eq!(Tags::take_from(&mut fields).unwrap(), tags);
        }
    }
}
