//! `Authorization: Bearer KEY.SECRET.TOKEN`: temporary credentials by themselves, for clients that can carry a text and can't sign.
//!
//! Not here: where that is taken (`http::mcp`), and how credentials are had (`session`). Only temporary ones are: what goes over the wire as it is
//! must end by itself. The token alone opens nothing: it stands in every request and link of the session.
//! Invariants: the secret is compared in constant time; who is refused is not told which of the three was wrong.

use http::header::AUTHORIZATION;
use subtle::ConstantTimeEq as _;

use crate::auth::Auth;
use crate::auth::facts::RequestFacts;
use crate::auth::identity::{Caller, Via};
use crate::auth::payload::Payload;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::header;

const SCHEME: &str = "Bearer ";

impl Auth {
    /// As `authenticate`, where temporary credentials may come as a bearer as well.
    pub fn authenticate_with_bearer(&self, facts: &RequestFacts<'_>) -> Result<Caller> {
        match header::one(&facts.parts.headers, AUTHORIZATION.as_str())?.and_then(bearer) {
            Some(text) => self.by_bearer(facts, text),
            None => self.authenticate(facts),
        }
    }

    fn by_bearer(&self, facts: &RequestFacts<'_>, text: &str) -> Result<Caller> {
        let mut parts = text.splitn(3, '.');
        let (Some(key), Some(secret), Some(token)) = (parts.next(), parts.next(), parts.next()) else { return Err(invalid()) };
        let directory = self.directory.load();
        let signer = self.signer(&directory, key, Some(token), facts.now)?;
        if !bool::from(signer.key.secret.expose().as_bytes().ct_eq(secret.as_bytes())) {
            return Err(invalid());
        }
        let expires = signer.session.as_ref().map(|of| of.session.expires).ok_or_else(invalid)?;
        Ok(Caller {
            identity: signer.identity,
            access_key: Some(signer.key.id.clone()),
            session: signer.session,
            via: Via::Bearer { expires },
            payload: Payload::Unsigned,
            reach: None,
            signed_for: None,
        })
    }
}

/// None: the header is of another scheme.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, text) = authorization.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| text.trim_ascii())
}

fn invalid() -> Error {
    Error::new(ErrorKind::InvalidToken, "The bearer is KEY.SECRET.TOKEN of temporary credentials that this gateway gave.")
}
