//! Which way a request says who it is, and the one answer: a `Caller`, or why not.
//!
//! Pure: no I/O, no waiting. A request without any sign of credentials is anonymous and costs next to nothing here.

use http::Method;
use http::header::AUTHORIZATION;

use crate::auth::Auth;
use crate::auth::canonical::ALGORITHM;
use crate::auth::facts::RequestFacts;
use crate::auth::identity::Caller;
use crate::auth::payload::Payload;
use crate::auth::query::QueryForm;
use crate::auth::{sigv4, sigv4_parts};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::header::trim;

impl Auth {
    pub fn authenticate(&self, facts: &RequestFacts<'_>) -> Result<Caller> {
        let header = facts.parts.headers.get(AUTHORIZATION);
        match (header, facts.query.form()) {
            (None, QueryForm::None) => anonymous(facts),
            (None, QueryForm::SigV4) => self.authenticate_query(facts),
            (None, QueryForm::SigV2) => self.authenticate_sigv2(facts),
            (Some(header), QueryForm::None) => self.authenticate_by_header(facts, trim(header.to_str().unwrap_or_default())),
            (Some(_), _) => Err(Error::new(
                ErrorKind::InvalidArgument,
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified",
            )
            .detail("ArgumentName", "Authorization")),
        }
    }

    fn authenticate_by_header(&self, facts: &RequestFacts<'_>, authorization: &str) -> Result<Caller> {
        let (scheme, rest) = authorization.split_once(' ').unwrap_or((authorization, ""));
        let unsupported = |text: &'static str| Error::new(ErrorKind::InvalidArgument, text).detail("ArgumentName", "Authorization");
        match scheme {
            ALGORITHM => self.authenticate_header(facts, authorization),
            "AWS4-ECDSA-P256-SHA256" => Err(sigv4_parts::no_sigv4a()),
            // Never a stranger by mistake: who sends the header meant to be known.
            "" => Err(Error::new(ErrorKind::AccessDenied, "The Authorization header is empty or not readable.")),
            "AWS" if rest.contains(':') => Err(Error::new(
                ErrorKind::InvalidRequest,
                "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
            )),
            "AWS" => Err(unsupported("AWS authorization header is invalid. Please use AWS4-HMAC-SHA256.")),
            _ => Err(unsupported("Unsupported Authorization Type")),
        }
    }
}

fn anonymous(facts: &RequestFacts<'_>) -> Result<Caller> {
    let payload = match facts.parts.method {
        Method::GET | Method::HEAD => Payload::Unsigned,
        _ => sigv4::unsigned_payload(facts)?,
    };
    Ok(Caller { payload, ..Caller::anonymous() })
}
