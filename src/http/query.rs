//! The query string and the path, decoded once. The raw forms stay with the request: signatures are over those.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::base::error::{Error, ErrorKind, Result};

/// Parameters in one request: more than any SDK sends, few enough to search through one by one.
const MAX_PARAMETERS: usize = 100;

#[derive(Debug, Default)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub fn parse(raw: Option<&str>) -> Result<Self> {
        let raw = raw.unwrap_or("");
        let mut pairs = Vec::new();
        for pair in raw.split('&').filter(|p| !p.is_empty()) {
            if pairs.len() == MAX_PARAMETERS {
                return Err(Error::new(ErrorKind::InvalidRequest, "The request has too many query parameters."));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((decode_form(name)?, decode_form(value)?));
        }
        Ok(Query { pairs })
    }

    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().map(|(n, _)| n.as_str())
    }

    /// A parameter that is there and not empty.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|v| !v.is_empty())
    }

    /// A whole number, or InvalidArgument naming the parameter.
    pub fn number<T: std::str::FromStr>(&self, name: &'static str) -> Result<Option<T>> {
        match self.value(name) {
            None => Ok(None),
            Some(v) => match v.parse() {
                Ok(n) => Ok(Some(n)),
                Err(_) => Err(Error::new(ErrorKind::InvalidArgument, format!("Provided {name} not an integer or within integer range"))
                    .detail("ArgumentName", name)
                    .detail("ArgumentValue", v)),
            },
        }
    }
}

/// `+` is a space in a query, and only there.
fn decode_form(raw: &str) -> Result<String> {
    if raw.contains('+') { decode(&raw.replace('+', " ")) } else { decode(raw) }
}

/// Percent-decoding; what isn't UTF-8 then is refused, since no key can be.
pub fn decode(raw: &str) -> Result<String> {
    // As a rule there is nothing to decode.
    if !raw.as_bytes().contains(&b'%') {
        return Ok(raw.to_owned());
    }
    match percent_decode_str(raw).decode_utf8() {
        Ok(s) => Ok(s.into_owned()),
        Err(_) => Err(Error::new(ErrorKind::InvalidUri, "Couldn't parse the specified URI: after percent-decoding it is not UTF-8.")),
    }
}

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
    fn parses() {
        let q = Query::parse(Some("list-type=2&prefix=a%2Fb+c&&empty=&flag&max-keys=x")).unwrap();
        assert_eq!(q.get("prefix"), Some("a/b c"));
        assert_eq!(q.get("flag"), Some(""));
        assert_eq!(q.value("empty"), None);
        assert!(q.number::<u32>("max-keys").is_err());
        assert_eq!(q.number::<u32>("list-type").unwrap(), Some(2));
        assert!(Query::parse(Some("a=%ff")).is_err());
    }

    #[test]
    fn encodes_as_s3_does() {
        assert_eq!(encode_listed("quux ab/thud+b*"), "quux%20ab/thud%2Bb*");
        assert_eq!(encode_listed("\u{e9}"), "%C3%A9");
    }
}
