//! Access keys: the secret, what it opens, and the signing keys derived from it.
//!
//! Deriving a signing key costs four HMACs, half of a verification, and is the same all day: each key keeps the few that were
//! proven useful. They live and die with the key, so a changed secret leaves no old signing key behind.
//! Invariant: no secret is ever written by `Debug`.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::base::names::{AccessKeyId, TenantId};
use crate::base::timestamp::Timestamp;

/// Two dates (around midnight) of two regions: what one key's clients use at a time.
const DERIVED_PER_KEY: usize = 4;

#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    pub fn new(secret: &str) -> Self {
        Secret(secret.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

pub fn hmac_sha256(key: &[u8], data: &[u8]) -> [u8; 32] {
    let mut mac = keyed(key);
    mac.update(data);
    mac.finalize().into_bytes().into()
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length")
}

/// Signs strings for one date and region.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    /// `date` is `20130524`.
    pub fn derive(secret: &Secret, date: &str, region: &str) -> Self {
        Self::derive_for(secret, date, region, "s3")
    }

    pub fn derive_for(secret: &Secret, date: &str, region: &str, service: &str) -> Self {
        let k = hmac_sha256(&[b"AWS4", secret.expose().as_bytes()].concat(), date.as_bytes());
        let k = hmac_sha256(&k, region.as_bytes());
        let k = hmac_sha256(&k, service.as_bytes());
        SigningKey(keyed(&hmac_sha256(&k, b"aws4_request")))
    }

    pub fn sign(&self, string_to_sign: &[u8]) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(string_to_sign);
        mac.finalize().into_bytes().into()
    }

    /// In constant time; `signature` is hex.
    pub fn verify(&self, string_to_sign: &[u8], signature: &str) -> bool {
        let mut given = [0; 32];
        hex::decode_to_slice(signature, &mut given).is_ok() && bool::from(self.sign(string_to_sign).ct_eq(&given))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[signing key]")
    }
}

#[derive(Clone)]
struct Derived {
    date: Box<str>,
    region: Box<str>,
    key: SigningKey,
}

/// Whom a key speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    Operator,
    Tenant(TenantId),
}

pub struct AccessKey {
    pub id: AccessKeyId,
    pub secret: Secret,
    pub holder: Holder,
    pub enabled: bool,
    pub expires: Option<Timestamp>,
    derived: ArcSwap<Vec<Arc<Derived>>>,
}

impl AccessKey {
    pub fn new(id: AccessKeyId, secret: Secret, holder: Holder) -> Self {
        AccessKey { id, secret, holder, enabled: true, expires: None, derived: ArcSwap::default() }
    }

    /// From memory if it is there. `true`: it was just derived; `remember` it once the signature proved genuine,
    /// so that a stranger who knows only the key's id can't push the useful ones out.
    pub fn signing_key(&self, date: &str, region: &str) -> (SigningKey, bool) {
        let known = self.derived.load();
        match known.iter().find(|d| &*d.date == date && &*d.region == region) {
            Some(d) => (d.key.clone(), false),
            None => (SigningKey::derive(&self.secret, date, region), true),
        }
    }

    pub fn remember(&self, date: &str, region: &str, key: &SigningKey) {
        let new = Arc::new(Derived { date: date.into(), region: region.into(), key: key.clone() });
        self.derived.rcu(|known| {
            let mut next = Vec::with_capacity(DERIVED_PER_KEY);
            next.push(Arc::clone(&new));
            next.extend(known.iter().filter(|d| *d.date != *new.date || *d.region != *new.region).take(DERIVED_PER_KEY - 1).cloned());
            next
        });
    }

    /// Why the key opens nothing now, in words for its owner.
    pub fn refusal(&self, now: Timestamp) -> Option<&'static str> {
        if !self.enabled {
            return Some("The AWS access key Id you provided is disabled.");
        }
        if self.expires.is_some_and(|t| t <= now) {
            return Some("The AWS access key Id you provided has expired.");
        }
        None
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.id).field("holder", &self.holder).field("enabled", &self.enabled).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> AccessKey {
        AccessKey::new(AccessKeyId::parse("AKIDEXAMPLE").unwrap(), Secret::new("top-secret"), Holder::Operator)
    }

    #[test]
    fn derives_as_aws_documents() {
        // The signing key example of AWS's SigV4 guide, for the service "iam", with our service: both from the same chain.
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let k = hmac_sha256(b"AWS4wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", b"20150830");
        let k = hmac_sha256(&hmac_sha256(&hmac_sha256(&k, b"us-east-1"), b"iam"), b"aws4_request");
        assert_eq!(hex::encode(k), "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
        assert_ne!(SigningKey::derive(&secret, "20150830", "us-east-1").sign(b""), hmac_sha256(&k, b""));
    }

    #[test]
    fn keeps_a_bounded_number_of_signing_keys() {
        let key = key();
        for day in 10..30 {
            let date = format!("202601{day}");
            let (k, fresh) = key.signing_key(&date, "r");
            assert!(fresh);
            key.remember(&date, "r", &k);
            assert!(!key.signing_key(&date, "r").1);
        }
        assert_eq!(key.derived.load().len(), DERIVED_PER_KEY);
        assert!(key.signing_key("20260110", "r").1);
    }

    #[test]
    fn secrets_do_not_show() {
        let key = key();
        let (signing, _) = key.signing_key("20260101", "r");
        assert!(!format!("{key:?} {:?} {signing:?}", key.secret).contains("top-secret"));
    }

    #[test]
    fn disabled_and_expired_keys_say_so() {
        let mut key = key();
        let now = Timestamp::from_secs(100);
        assert_eq!(key.refusal(now), None);
        key.expires = Some(now);
        assert!(key.refusal(now).unwrap().contains("expired"));
        key.enabled = false;
        assert!(key.refusal(now).unwrap().contains("disabled"));
    }
}
