//! The query string, decoded once: conditions, routing and handlers read this one. The raw form stays with the request, because
//! signatures are over that.
//!
//! Here parameters become headers, too: SDKs hoist `x-amz-*` headers into the query of a presigned URL, whose signature covers
//! them there. What stands for a header is taken out of the parameters, and once the signature was found genuine it is a header
//! like any other (`unhoist`). Afterwards nobody looks for it in the query.
//! Rules: of parameters with one name the first counts, for everyone; two that would be the same header are refused.

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

use crate::base::checksum::ChecksumAlgorithm;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::header;

/// Parameters in one request: more than any SDK sends, few enough to search through one by one.
const MAX_PARAMETERS: usize = 100;

/// Which signature of S3 the query speaks of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum QueryForm {
    #[default]
    None,
    SigV4,
    SigV2,
}

#[derive(Debug, Default)]
pub struct Query {
    pairs: Vec<(String, String)>,
    form: QueryForm,
    hoisted: Vec<(HeaderName, HeaderValue)>,
}

impl Query {
    pub fn parse(raw: Option<&str>) -> Result<Self> {
        let mut query = Query::default();
        for pair in raw.unwrap_or("").split('&').filter(|p| !p.is_empty()) {
            if query.pairs.len() == MAX_PARAMETERS {
                return Err(Error::new(ErrorKind::InvalidRequest, "The request has too many query parameters."));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            query.pairs.push((decode_form(name)?, decode_form(value)?));
        }
        query.form = form(query.names());
        if query.form != QueryForm::None {
            query.take_hoisted()?;
        }
        Ok(query)
    }

    /// Of what is asked without one, as if it were.
    pub fn of<const N: usize>(pairs: [(&str, String); N]) -> Self {
        Query { pairs: pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(), ..Query::default() }
    }

    pub fn form(&self) -> QueryForm {
        self.form
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

    /// Whether a parameter stands for that header, `name` in lower case.
    pub fn hoists(&self, name: &str) -> bool {
        self.hoisted.iter().any(|(n, _)| n == name)
    }

    /// Makes headers of the parameters that stand for them. Only after the signature was found genuine that covers both.
    pub fn unhoist(&mut self, headers: &mut HeaderMap) -> Result<()> {
        for (name, value) in std::mem::take(&mut self.hoisted) {
            match headers.get(&name) {
                None => drop(headers.insert(name, value)),
                Some(same) if *same == value => {}
                Some(_) => return Err(header::invalid(name.as_str(), "The header and the parameter that stands for it differ.")),
            }
        }
        Ok(())
    }

    fn take_hoisted(&mut self) -> Result<()> {
        let form = self.form;
        for (name, value) in self.pairs.extract_if(.., |(name, value)| is_hoisted(name, value, form)) {
            let unfit = || header::invalid(&name, "The parameter stands for a header, and that can't be one.");
            let header = HeaderName::try_from(name.to_ascii_lowercase()).map_err(|_| unfit())?;
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| unfit())?;
            header::check_value(header.as_str(), &value)?;
            if self.hoisted.iter().any(|(other, _)| *other == header) {
                return Err(header::invalid(&name, "The parameter stands for a header, and is there more than once."));
            }
            self.hoisted.push((header, value));
        }
        Ok(())
    }
}

/// Any sign of a signature counts, so that a broken one is refused and not taken for anonymous.
fn form<'n>(names: impl Iterator<Item = &'n str>) -> QueryForm {
    let mut form = QueryForm::None;
    for name in names {
        match name {
            "X-Amz-Signature" | "X-Amz-Algorithm" | "X-Amz-Credential" => return QueryForm::SigV4,
            "AWSAccessKeyId" | "Signature" => form = QueryForm::SigV2,
            _ => {}
        }
    }
    form
}

fn is_hoisted(name: &str, value: &str, form: QueryForm) -> bool {
    // SigV2 signs these two by name, so written, and boto3 hoists them like the rest.
    if form == QueryForm::SigV2 && matches!(name, "content-type" | "content-md5") {
        return true;
    }
    name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("x-amz-")) && !stays_parameter(&name.to_ascii_lowercase(), value)
}

/// Parameters of a presigned URL that are not headers in disguise: the signature's own, and the checksum of nothing, which some
/// SDKs put there for a body they don't know yet. Any other checksum is a promise.
fn stays_parameter(name: &str, value: &str) -> bool {
    const OWN: [&str; 9] = [
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-signedheaders",
        "x-amz-signature",
        "x-amz-security-token",
        "x-amz-content-sha256",
        "x-amz-sdk-checksum-algorithm",
    ];
    OWN.contains(&name) || ChecksumAlgorithm::ALL.iter().any(|a| a.header() == name && value == a.of_nothing())
}

/// `+` is a space in a query, and in a copy source.
pub fn decode_form(raw: &str) -> Result<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses() {
        let q = Query::parse(Some("list-type=2&prefix=a%2Fb+c&&empty=&flag&max-keys=x&prefix=d")).unwrap();
        assert_eq!(q.get("prefix"), Some("a/b c"));
        assert_eq!(q.get("flag"), Some(""));
        assert_eq!(q.value("empty"), None);
        assert!(q.number::<u32>("max-keys").is_err());
        assert_eq!(q.number::<u32>("list-type").unwrap(), Some(2));
        assert!(Query::parse(Some("a=%ff")).is_err());
    }

    #[test]
    fn what_stands_for_a_header() {
        let of = |query: &str| {
            let mut query = Query::parse(Some(query))?;
            let left = query.names().collect::<Vec<_>>().join(" ");
            let mut headers = HeaderMap::new();
            query.unhoist(&mut headers)?;
            assert!(!query.hoists("x-amz-acl"), "once");
            let mut made: Vec<String> = headers.iter().map(|(n, v)| format!("{n}={}", v.to_str().unwrap())).collect();
            made.sort();
            Ok::<_, Error>((left, made.join(" ")))
        };
        let both = |left: &str, made: &str| (left.to_owned(), made.to_owned());
        assert_eq!(of("x-amz-acl=private").unwrap(), both("x-amz-acl", ""), "no signature, no header");
        assert_eq!(of("X-Amz-Acl=a+b&X-Amz-Signature=s&v=1").unwrap(), both("X-Amz-Signature v", "x-amz-acl=a b"));
        assert_eq!(
            of("X-Amz-Date=d&x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-checksum-crc32c=BBBBBB%3D%3D&X-AMZ-META-A=1&X-Amz-Algorithm=x&X-Amz-Content-Sha256=y").unwrap(),
            both("X-Amz-Date x-amz-checksum-crc32 X-Amz-Algorithm X-Amz-Content-Sha256", "x-amz-checksum-crc32c=BBBBBB== x-amz-meta-a=1")
        );
        assert_eq!(
            of("Signature=s&content-type=t&Content-MD5=u&x-amz-acl=private").unwrap(),
            both("Signature Content-MD5", "content-type=t x-amz-acl=private")
        );
        for refused in
            ["X-Amz-Acl=a&x-amz-acl=a", "x-amz-a%20b=c", "x-amz-acl=a%0Ab", "x-amz-acl=%C3%A9", "x-amz-acl=a%09b", "x-amz-meta-a=%0D"]
        {
            assert_eq!(of(&format!("{refused}&X-Amz-Signature=s")).unwrap_err().kind(), ErrorKind::InvalidArgument, "{refused}");
        }
        let mut query = Query::parse(Some("x-amz-acl=private&X-Amz-Signature=s")).unwrap();
        let mut headers = HeaderMap::from_iter([(HeaderName::from_static("x-amz-acl"), HeaderValue::from_static("public-read"))]);
        assert_eq!(query.unhoist(&mut headers).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}
