//! Tokens of other identity providers (OpenID Connect): is one genuine, still good, and meant for here; and what does it say?
//!
//! Pure: the provider's keys are given. RS256 and ES256, as providers sign. The kind of the key decides how a signature is checked, never
//! the token alone; a token without a signature is none.
//! Not here: how keys are got (`http::sts::provider_keys`), which role a token opens (`roles`).

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::timestamp::Timestamp;

/// S3's own bound on a token, and ours on a set of keys.
pub const MAX_TOKEN_CHARS: usize = 20_000;
const MAX_KEYS: usize = 64;
const COORDINATE_BYTES: usize = 32;
/// Between the provider's clock and this one.
const SKEW_SECONDS: u64 = 60;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Public {
    /// Modulus and exponent.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// On P-256, uncompressed.
    Ec(Vec<u8>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    id: Option<String>,
    public: Public,
}

/// The keys of one provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys(Vec<Key>);

impl Keys {
    /// A JWK set. Keys that are of no use here are passed over. None: it is none.
    pub fn parse(document: &[u8]) -> Option<Self> {
        let document: Value = serde_json::from_slice(document).ok()?;
        Some(Keys(document.get("keys")?.as_array()?.iter().take(MAX_KEYS).filter_map(key).collect()))
    }

    pub fn knows(&self, id: Option<&str>) -> bool {
        self.0.iter().any(|key| id.is_none() || key.id.as_deref() == id)
    }
}

fn key(jwk: &Value) -> Option<Key> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?.trim_end_matches('=')).ok();
    if text("use").is_some_and(|of| of != "sig") {
        return None;
    }
    let coordinate = |name: &str| bytes(name).filter(|b| b.len() == COORDINATE_BYTES);
    let public = match (text("kty")?, text("alg")) {
        ("RSA", None | Some("RS256")) => Public::Rsa { n: bytes("n")?, e: bytes("e")? },
        ("EC", None | Some("ES256")) if text("crv") == Some("P-256") => Public::Ec([vec![4], coordinate("x")?, coordinate("y")?].concat()),
        _ => return None,
    };
    Some(Key { id: text("kid").map(str::to_owned), public })
}

impl Public {
    fn verifies(&self, algorithm: &str, signed: &[u8], signature: &[u8]) -> bool {
        match (self, algorithm) {
            (Public::Rsa { n, e }, "RS256") => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature).is_ok()
            }
            (Public::Ec(point), "ES256") => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature).is_ok(),
            _ => false,
        }
    }
}

/// A token as it came. Nothing of it is believed before `verified`.
#[derive(Debug)]
pub struct Token<'t> {
    signed: &'t str,
    signature: Vec<u8>,
    algorithm: String,
    key: Option<String>,
    claims: Map<String, Value>,
}

impl<'t> Token<'t> {
    pub fn parse(text: &'t str) -> Result<Self> {
        let malformed = || invalid("The web identity token is not a signed JSON Web Token.");
        if text.len() > MAX_TOKEN_CHARS {
            return Err(invalid("The web identity token is too long."));
        }
        let (signed, signature) = text.rsplit_once('.').ok_or_else(malformed)?;
        let (head, claims) = signed.split_once('.').ok_or_else(malformed)?;
        let object = |part: &str| match serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()? {
            Value::Object(object) => Some(object),
            _ => None,
        };
        let (head, claims) = object(head).zip(object(claims)).ok_or_else(malformed)?;
        let text = |name: &str| head.get(name).and_then(Value::as_str).map(str::to_owned);
        // What must be understood and is not known here.
        if head.contains_key("crit") {
            return Err(malformed());
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| malformed())?;
        Ok(Token { signed, signature, algorithm: text("alg").ok_or_else(malformed)?, key: text("kid"), claims })
    }

    /// Who says that it made the token: which keys to look at.
    pub fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }

    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// What it says, if one of `keys` signed it, it is good now and for one of `audiences`.
    pub fn verified(self, keys: &Keys, audiences: &[String], now: Timestamp) -> Result<Claims> {
        let may_be = |key: &&Key| self.key.is_none() || key.id == self.key;
        let genuine = |key: &Key| key.public.verifies(&self.algorithm, self.signed.as_bytes(), &self.signature);
        if !keys.0.iter().filter(may_be).any(genuine) {
            return Err(invalid("The web identity token is not signed by a key of its issuer (RS256 and ES256 are taken)."));
        }
        let claims = Claims(self.claims);
        let expires = claims.seconds("exp").ok_or_else(|| invalid("The web identity token does not say when it expires."))?;
        if expires.saturating_add(SKEW_SECONDS) <= now.secs() {
            return Err(Error::new(ErrorKind::ExpiredToken, "The web identity token has expired."));
        }
        let starts = ["nbf", "iat"].into_iter().filter_map(|name| claims.seconds(name)).max();
        if starts.is_some_and(|starts| starts > now.secs() + SKEW_SECONDS) {
            return Err(invalid("The web identity token is not valid yet."));
        }
        if claims.subject().is_none() {
            return Err(invalid("The web identity token names no subject."));
        }
        if !claims.texts("aud").iter().any(|audience| audiences.contains(audience)) {
            return Err(invalid("The web identity token is for another audience."));
        }
        Ok(claims)
    }
}

/// What a genuine token says.
#[derive(Debug, Clone)]
pub struct Claims(Map<String, Value>);

impl Claims {
    pub fn subject(&self) -> Option<&str> {
        self.0.get("sub").and_then(Value::as_str).filter(|s| !s.is_empty())
    }

    /// All values of a claim, as text.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        match self.0.get(name) {
            Some(Value::Array(values)) => values.iter().filter_map(text).collect(),
            Some(value) => text(value).into_iter().collect(),
            None => Vec::new(),
        }
    }

    fn seconds(&self, name: &str) -> Option<u64> {
        let value = self.0.get(name)?;
        value.as_u64().or_else(|| value.as_f64().filter(|s| *s >= 0.0).map(|s| s as u64))
    }
}

fn invalid(text: &'static str) -> Error {
    Error::new(ErrorKind::InvalidIdentityToken, text)
}
