//! Who is reading on a door for browsers and CDNs: S3's own signatures count there, and besides them CloudFront's signed URLs and
//! cookies, and path tokens. The S3 door asks `authenticate` and so never takes one of these.
//!
//! A signature in the URL counts before cookies, as on CloudFront: the URL was meant, cookies come along by themselves. So a
//! cookie that does not open what is asked for leaves its bearer a stranger, where a bad URL is an error.
//! Invariant: a signature that is good for another host than the request's is for the same site.

use http::header::AUTHORIZATION;

use crate::auth::Auth;
use crate::auth::cloudfront::{self, has_query_form};
use crate::auth::facts::{Reading, RequestFacts, query_pairs};
use crate::auth::identity::{Caller, Carrier};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::host::Host;

impl Auth {
    pub fn authenticate_reader(&self, facts: &RequestFacts<'_>, reading: Reading<'_>) -> Result<Caller> {
        let query = facts.parts.uri.query().unwrap_or_default();
        let by_header = facts.parts.headers.contains_key(AUTHORIZATION);
        let (s3, cloudfront) = signatures_in(query);
        if [by_header, s3, cloudfront, reading.path_token.is_some()].into_iter().filter(|given| *given).count() > 1 {
            let text = "Only one auth mechanism allowed: a path token, a signature in the query, or the Authorization header.";
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        if let Some(token) = reading.path_token {
            return self.authenticate_path_token(facts, token);
        }
        if cloudfront {
            let fields = cloudfront::from_query(query)?;
            return self.authenticate_cloudfront(facts, &fields, Carrier::Query, reading);
        }
        if !by_header
            && !s3
            && let Some(fields) = cloudfront::from_cookies(&facts.parts.headers)
        {
            match fields.and_then(|f| self.authenticate_cloudfront(facts, &f, Carrier::Cookie, reading)) {
                Ok(caller) => return Ok(caller),
                Err(e) => tracing::debug!(error = %e, "the signed cookies do not open this URL"),
            }
        }
        let caller = self.authenticate(facts)?;
        if caller.signed_for.as_deref().is_some_and(|host| !Host::parse(host).is_some_and(reading.is_site)) {
            let text = "The request was signed for another site than the one that its Host names here.";
            return Err(Error::new(ErrorKind::SignatureDoesNotMatch, text));
        }
        Ok(caller)
    }
}

/// Does the query speak of a signature as S3 has it, and of one as CloudFront has it? Both have a `Signature`.
fn signatures_in(query: &str) -> (bool, bool) {
    let (mut s3, mut cloudfront, mut signature) = (false, false, false);
    for (name, _) in query_pairs(query) {
        match &*name {
            "X-Amz-Signature" | "X-Amz-Algorithm" | "X-Amz-Credential" | "AWSAccessKeyId" => s3 = true,
            "Signature" => signature = true,
            name => cloudfront |= has_query_form(name),
        }
    }
    (s3, cloudfront || (signature && !s3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_signature_it_is() {
        for (query, s3, cloudfront) in [
            ("", false, false),
            ("v=1&Expires=5", false, false),
            ("X-Amz-Signature=x", true, false),
            ("AWSAccessKeyId=A&Signature=x&Expires=1", true, false),
            ("Expires=1&Signature=x&Key-Pair-Id=K", false, true),
            ("Signature=x", false, true),
            ("Policy=x", false, true),
            ("Key-Pair%2DId=x", false, true),
            ("AWSAccessKeyId=A&Signature=x&Key-Pair-Id=K", true, true),
        ] {
            assert_eq!(signatures_in(query), (s3, cloudfront), "{query}");
        }
    }
}
