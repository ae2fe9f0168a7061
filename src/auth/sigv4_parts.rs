//! What a signature of Version 4 says of itself, in a header, in a query, or in the fields of a form: read, and not believed.
//!
//! Pure. Not here: whether it is genuine (`sigv4`).

use std::borrow::Cow;

use crate::auth::canonical::ALGORITHM;
use crate::auth::facts::query_pairs;
use crate::auth::settings::Settings;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::header::trim;
use crate::base::limits::{MAX_CLOCK_SKEW_SECONDS, MAX_PRESIGN_SECONDS};
use crate::base::timestamp::Timestamp;

pub struct HeaderFields<'a> {
    pub credential: &'a str,
    pub signed_headers: &'a str,
    pub signature: &'a str,
}

impl<'a> HeaderFields<'a> {
    pub fn parse(authorization: &'a str) -> Result<Self> {
        let rest = authorization.strip_prefix(ALGORITHM).unwrap_or(authorization);
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for field in rest.split(',') {
            let Some((name, value)) = trim(field).split_once('=') else {
                return Err(header_malformed("a field is not of the form name=value.".into()));
            };
            let slot = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(header_malformed(format!("{name} is there twice.")));
            }
        }
        match (credential, signed_headers, signature) {
            (Some(credential), Some(signed_headers), Some(signature)) => Ok(HeaderFields { credential, signed_headers, signature }),
            _ => Err(header_malformed("Credential, SignedHeaders and Signature are needed.".into())),
        }
    }
}

pub struct QueryFields<'a> {
    pub credential: Cow<'a, str>,
    pub signed_headers: Cow<'a, str>,
    pub signature: Cow<'a, str>,
    pub date: Cow<'a, str>,
    pub expires: Cow<'a, str>,
    pub content_sha256: Option<Cow<'a, str>>,
    pub token: Option<Cow<'a, str>>,
}

impl<'a> QueryFields<'a> {
    pub fn parse(query: &'a str) -> Result<Self> {
        const NAMES: [&str; 8] = [
            "X-Amz-Algorithm",
            "X-Amz-Credential",
            "X-Amz-Signature",
            "X-Amz-Date",
            "X-Amz-SignedHeaders",
            "X-Amz-Expires",
            "X-Amz-Content-Sha256",
            "X-Amz-Security-Token",
        ];
        let mut values: [Option<Cow<'a, str>>; 8] = Default::default();
        for (name, value) in query_pairs(query) {
            let Some((i, known)) = NAMES.iter().enumerate().find(|(_, n)| **n == name) else { continue };
            if values[i].replace(value).is_some() {
                return Err(query_error(format!("{known} is there more than once.")));
            }
        }
        let [algorithm, credential, signature, date, signed_headers, expires, content_sha256, token] = values;
        match algorithm.as_deref() {
            Some(ALGORITHM) => {}
            Some("AWS4-ECDSA-P256-SHA256") => return Err(no_sigv4a()),
            Some(_) => return Err(query_error("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"".into())),
            None => return Err(missing_parameters()),
        }
        match (credential, signature, date, signed_headers, expires) {
            (Some(credential), Some(signature), Some(date), Some(signed_headers), Some(expires)) => {
                Ok(QueryFields { credential, signed_headers, signature, date, expires, content_sha256, token })
            }
            _ => Err(missing_parameters()),
        }
    }

    /// When it was signed and when it ends; an error where `now` is not in between.
    pub fn validity(&self, now: Timestamp) -> Result<(Timestamp, Timestamp)> {
        let signed = Timestamp::parse_amz_date(&self.date)
            .ok_or_else(|| query_error("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"".into()))?;
        let seconds = match self.expires.parse::<i64>() {
            Err(_) => return Err(query_error("X-Amz-Expires should be a number".into())),
            Ok(n) if n < 0 => return Err(query_error("X-Amz-Expires must be non-negative".into())),
            Ok(0) => return Err(query_error("X-Amz-Expires must be at least 1 second".into())),
            Ok(n) if n as u64 > MAX_PRESIGN_SECONDS => {
                return Err(query_error(format!(
                    "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than {MAX_PRESIGN_SECONDS} seconds"
                )));
            }
            Ok(n) => n as u64,
        };
        let expires = Timestamp::from_secs(signed.secs() + seconds);
        if signed.secs() > now.secs() + MAX_CLOCK_SKEW_SECONDS {
            return Err(Error::new(ErrorKind::AccessDenied, "Request is not valid yet")
                .detail("X-Amz-Date", self.date.clone())
                .detail("ServerTime", now.iso8601()));
        }
        if now > expires {
            return Err(expired(expires, now).detail("X-Amz-Expires", seconds.to_string()));
        }
        Ok((signed, expires))
    }
}

pub struct Credential<'a> {
    pub access_key: &'a str,
    pub date: &'a str,
    pub region: &'a str,
    service: &'a str,
    pub scope: &'a str,
}

impl<'a> Credential<'a> {
    pub fn parse(credential: &'a str) -> Option<Self> {
        let (access_key, scope) = credential.split_once('/')?;
        let mut fields = scope.split('/');
        let (date, region, service, end) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let date_is_legal = date.len() == 8 && date.bytes().all(|c| c.is_ascii_digit());
        // A line feed here would move the lines of the string to sign.
        let region_is_legal = !region.is_empty() && region.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'));
        let legal = !access_key.is_empty() && date_is_legal && region_is_legal && end == "aws4_request" && fields.next().is_none();
        legal.then_some(Credential { access_key, date, region, service, scope })
    }

    /// One that stands in a parameter, or in a field of a form.
    pub fn of_query(credential: &'a str, amz_date: &str, settings: &Settings, service: &str) -> Result<Self> {
        let error = |text| query_error(format!("Error parsing the X-Amz-Credential parameter; {text}"));
        let parsed = Self::parse(credential)
            .ok_or_else(|| error("the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".".into()))?;
        parsed.check(amz_date, settings, service, error)?;
        Ok(parsed)
    }

    pub fn check(&self, amz_date: &str, settings: &Settings, service: &str, error: impl Fn(String) -> Error) -> Result<()> {
        if self.service != service {
            return Err(error(format!("incorrect service \"{}\". This endpoint belongs to \"{service}\".", printable(self.service))));
        }
        if settings.strict_region && self.region != settings.region {
            let text = format!("the region '{}' is wrong; expecting '{}'", self.region, settings.region);
            return Err(error(text).detail("Region", settings.region.clone()));
        }
        if !amz_date.starts_with(self.date) {
            return Err(error(format!(
                "Invalid credential date \"{}\". This date is not the same as X-Amz-Date: \"{}\".",
                self.date,
                printable(amz_date.get(..8).unwrap_or_default())
            )));
        }
        Ok(())
    }
}

/// Only what can be in a credential; the rest would be quoted back into an XML document.
pub fn printable(s: &str) -> String {
    s.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).take(64).collect()
}

pub fn expired(expires: Timestamp, now: Timestamp) -> Error {
    Error::new(ErrorKind::AccessDenied, "Request has expired").detail("Expires", expires.iso8601()).detail("ServerTime", now.iso8601())
}

pub fn header_malformed(text: String) -> Error {
    Error::new(ErrorKind::AuthorizationHeaderMalformed, format!("The authorization header is malformed; {text}"))
}

pub fn query_error(text: String) -> Error {
    Error::new(ErrorKind::AuthorizationQueryParametersError, text)
}

pub fn missing_parameters() -> Error {
    query_error("Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.".into())
}

pub fn no_sigv4a() -> Error {
    Error::new(
        ErrorKind::NotImplemented,
        "SigV4A (AWS4-ECDSA-P256-SHA256) is not supported. Sign with AWS4-HMAC-SHA256; any region is accepted.",
    )
}
