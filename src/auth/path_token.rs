//! Path tokens: `/_t/<token>/<path…>`. What stands before the path opens it, so that the relative URLs in a glTF, or in a whole
//! HTML bundle, work for private objects where a signature in the query would cover the first file only.
//!
//! Not here: the door that takes it off the path. A token names its tenant and where it reaches (a prefix of keys in a bucket, or
//! one key), until when and for which addresses, under an HMAC of a secret that only this gateway has.
//! Invariants: nothing in a token is looked at before its HMAC was compared, in constant time; one secret and the one before it
//! are good, so that a change of secret cuts off nobody, and two changes cut off everybody; a token is bounded and has one form.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::auth::Auth;
use crate::auth::facts::RequestFacts;
use crate::auth::identity::{Caller, Identity, Reach, Via, Within};
use crate::auth::keys::hmac_sha256;
use crate::auth::payload::Payload;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::TenantId;
use crate::base::network::Network;
use crate::base::timestamp::Timestamp;

/// The first byte: a later form gets another one.
const FORM: u8 = 1;
const MAC_BYTES: usize = 16;
/// The longest names there are (a tenant's 64, a bucket's 63, a key's 1,024) and the rest, in base64.
const MAX_TOKEN_CHARS: usize = 1700;
const EXACT: u8 = 1;
const IPV4: u8 = 2;
const IPV6: u8 = 4;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathToken {
    pub tenant: TenantId,
    pub within: Within,
    /// Whole seconds.
    pub expires: Timestamp,
    pub source: Option<Network>,
}

/// The live secrets, as they are stored: the newest, and the one before.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSecrets {
    current: TokenSecret,
    previous: Option<TokenSecret>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenSecret {
    /// Which one it is, in the token: counts up.
    id: u8,
    /// 32 random bytes in hex.
    secret: String,
}

impl fmt::Debug for TokenSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[token secrets {} {:?}]", self.current.id, self.previous.as_ref().map(|p| p.id))
    }
}

impl TokenSecrets {
    pub fn new() -> Result<Self> {
        Ok(TokenSecrets { current: TokenSecret::random(0)?, previous: None })
    }

    /// A new secret; the newest until now stays good, the one before it goes.
    pub fn rotated(self) -> Result<Self> {
        Ok(TokenSecrets { current: TokenSecret::random(self.current.id.wrapping_add(1))?, previous: Some(self.current) })
    }

    /// For what else is made with them: which one, and the secret.
    pub(super) fn newest(&self) -> (u8, &str) {
        (self.current.id, &self.current.secret)
    }

    pub(super) fn secret(&self, id: u8) -> Option<&str> {
        self.of(id).map(|secret| secret.secret.as_str())
    }

    fn of(&self, id: u8) -> Option<&TokenSecret> {
        std::iter::once(&self.current).chain(&self.previous).find(|s| s.id == id)
    }
}

impl TokenSecret {
    fn random(id: u8) -> Result<Self> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|e| Error::internal(e.to_string()))?;
        Ok(TokenSecret { id, secret: hex::encode(bytes) })
    }

    fn mac(&self, message: &[u8]) -> [u8; MAC_BYTES] {
        // A key for this use alone, should the secret get another one.
        let key = hmac_sha256(self.secret.as_bytes(), b"tidegate path token 1");
        let mut mac = [0; MAC_BYTES];
        mac.copy_from_slice(hmac_sha256(&key, message).get(..MAC_BYTES).unwrap_or_default());
        mac
    }
}

impl Auth {
    /// At start, and after a change: the secrets as they are stored.
    pub fn set_token_secrets(&self, secrets: TokenSecrets) {
        // What was sealed under another secret of that number opens no more.
        if self.token_secrets.load().as_deref() != Some(&secrets) {
            self.sessions.forget_all();
        }
        self.token_secrets.store(Some(Arc::new(secrets)));
    }

    pub fn token_secrets(&self) -> Option<TokenSecrets> {
        self.token_secrets.load().as_deref().cloned()
    }

    pub fn mint_path_token(&self, token: &PathToken) -> Result<String> {
        let secrets = self.token_secrets.load();
        let secrets = secrets.as_deref().ok_or_else(|| Error::internal("no secret for path tokens was loaded"))?;
        let mut bytes = vec![FORM, secrets.current.id];
        token.write(&mut bytes);
        bytes.extend_from_slice(&secrets.current.mac(&bytes));
        let text = URL_SAFE_NO_PAD.encode(bytes);
        if text.len() > MAX_TOKEN_CHARS {
            return Err(Error::new(ErrorKind::InvalidArgument, "The prefix is too long for a path token."));
        }
        Ok(text)
    }

    pub(super) fn authenticate_path_token(&self, facts: &RequestFacts<'_>, text: &str) -> Result<Caller> {
        let token = self.read_path_token(text).ok_or_else(|| refused("The path token is not valid."))?;
        if facts.now >= token.expires {
            return Err(refused("The path token has expired.")
                .detail("Expires", token.expires.iso8601())
                .detail("ServerTime", facts.now.iso8601()));
        }
        let source = facts.source_ip(&self.settings.trusted_proxies);
        if token.source.is_some_and(|net| !net.contains(source)) {
            return Err(refused("The path token is not for this client's address."));
        }
        let identity = match token.tenant.is_operator() {
            true => Identity::Operator,
            // A tenant that is gone opens nothing.
            false => Identity::Tenant(self.tenant(&token.tenant).ok_or_else(|| refused("The path token is not valid."))?),
        };
        Ok(Caller {
            identity,
            access_key: None,
            session: None,
            via: Via::PathToken { expires: token.expires },
            payload: Payload::Unsigned,
            reach: Some(Arc::new(Reach::new(vec![token.within]))),
            signed_for: None,
        })
    }

    /// None: not made here, or with a secret that is gone.
    fn read_path_token(&self, text: &str) -> Option<PathToken> {
        if text.len() > MAX_TOKEN_CHARS {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (message, mac) = bytes.split_at_checked(bytes.len().checked_sub(MAC_BYTES)?)?;
        let [form, id, said @ ..] = message else { return None };
        let secrets = self.token_secrets.load();
        let expected = secrets.as_deref()?.of(*id)?.mac(message);
        if *form != FORM || !bool::from(expected.ct_eq(mac)) {
            return None;
        }
        PathToken::read(said)
    }
}

impl PathToken {
    /// flags, end, [address and bits], length and tenant, `bucket/prefix`
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let (exact, place) = match &self.within {
            Within::Prefix(place) => (0, place),
            Within::Exactly(place) => (EXACT, place),
        };
        let family = match self.source.map(|net| net.address()) {
            None => 0,
            Some(IpAddr::V4(_)) => IPV4,
            Some(IpAddr::V6(_)) => IPV6,
        };
        out.push(exact | family);
        out.extend_from_slice(&self.expires.secs().to_be_bytes());
        if let Some(net) = self.source {
            match net.address() {
                IpAddr::V4(address) => out.extend(address.octets()),
                IpAddr::V6(address) => out.extend(address.octets()),
            }
            out.push(net.bits());
        }
        // At most 64 characters.
        out.push(self.tenant.as_str().len() as u8);
        out.extend_from_slice(self.tenant.as_str().as_bytes());
        out.extend_from_slice(place.as_bytes());
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (flags, rest) = bytes.split_first()?;
        let (seconds, rest) = rest.split_first_chunk::<8>()?;
        let (address, rest) = match flags & (IPV4 | IPV6) {
            0 => (None, rest),
            IPV4 => rest.split_first_chunk::<4>().map(|(octets, rest)| (Some(IpAddr::from(*octets)), rest))?,
            IPV6 => rest.split_first_chunk::<16>().map(|(octets, rest)| (Some(IpAddr::from(*octets)), rest))?,
            _ => return None,
        };
        let (source, rest) = match address {
            None => (None, rest),
            Some(address) => {
                let (bits, rest) = rest.split_first()?;
                (Some(Network::new(address, *bits)?), rest)
            }
        };
        let (len, rest) = rest.split_first()?;
        let (tenant, place) = rest.split_at_checked(usize::from(*len))?;
        let tenant = TenantId::parse(std::str::from_utf8(tenant).ok()?).ok()?;
        let place = std::str::from_utf8(place).ok()?.to_owned();
        let within = if flags & EXACT != 0 { Within::Exactly(place) } else { Within::Prefix(place) };
        Some(PathToken { tenant, within, expires: Timestamp::from_secs(u64::from_be_bytes(*seconds)), source })
    }
}

fn refused(text: &'static str) -> Error {
    Error::new(ErrorKind::AccessDenied, text)
}
