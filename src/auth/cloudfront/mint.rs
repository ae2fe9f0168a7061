//! Making signed URLs and cookies in the name of a tenant that has a key pair with its private half here.

use super::fields::{COOKIES, PARAMETERS, to_url_safe};
use super::statement::{self, Statement};
use crate::auth::Auth;
use crate::auth::directory::UrlKeyEntry;
use crate::auth::identity::Identity;
use crate::auth::url_key::Hash;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey};

/// A signature over a statement, not yet in a URL or cookies.
pub struct Signature {
    /// In the order of `PARAMETERS`.
    values: [Option<String>; 5],
}

/// What is to be signed.
pub struct Wanted<'a> {
    /// Of the object itself: what the URL shows must be in the key's reach.
    pub bucket: &'a BucketName,
    pub key: &'a ObjectKey,
    /// Its `resource` is the URL, or a pattern of URLs.
    pub statement: &'a Statement,
    pub hash: Hash,
}

impl Auth {
    /// Whoever opens the URL has the rights of `identity`, so the key must be one that speaks for `identity` and nobody else.
    pub fn sign_cloudfront(&self, identity: &Identity, wanted: &Wanted<'_>) -> Result<Signature> {
        let directory = self.directory.load();
        let usable = |e: &&UrlKeyEntry| {
            let in_reach = e.reach.as_ref().is_none_or(|r| r.holds(wanted.bucket, wanted.key));
            e.key.can_sign() && e.identity.id() == identity.id() && in_reach
        };
        let entry = directory.url_keys().find(usable).ok_or_else(|| {
            let text = format!(
                "No key here can sign URLs of this object for {}: policies/cdn-keys/*.toml needs one with its private_key.",
                identity.id()
            );
            Error::new(ErrorKind::InvalidRequest, text)
        })?;
        let Statement { resource, expires, starts, source } = wanted.statement;
        let (expires_at, policy, signed) = match (resource, starts, source) {
            // What a canned policy can say it says in a shorter URL. A wildcard would only be a character there.
            (Some(url), None, None) if !url.contains('*') => {
                (Some(expires.secs().to_string()), None, statement::canned(url, expires.secs()))
            }
            _ => {
                let text = wanted.statement.to_json();
                (None, Some(to_url_safe(text.as_bytes())), text)
            }
        };
        let signature = entry.key.sign(wanted.hash, signed.as_bytes()).ok_or_else(|| Error::internal("a URL could not be signed"))?;
        let hash = (wanted.hash == Hash::Sha256).then(|| "SHA256".to_owned());
        Ok(Signature { values: [expires_at, policy, Some(to_url_safe(&signature)), Some(entry.id.to_string()), hash] })
    }
}

impl Signature {
    pub fn on_url(&self, url: &str) -> String {
        let mut out = url.to_owned();
        for (name, value) in self.pairs(&PARAMETERS) {
            out.push(if out.contains('?') { '&' } else { '?' });
            out.push_str(&format!("{name}={value}"));
        }
        out
    }

    /// Names and values.
    pub fn cookies(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.pairs(&COOKIES)
    }

    fn pairs(&self, names: &'static [&'static str; 5]) -> impl Iterator<Item = (&'static str, &str)> {
        names.iter().zip(&self.values).filter_map(|(name, value)| Some((*name, value.as_deref()?)))
    }
}
