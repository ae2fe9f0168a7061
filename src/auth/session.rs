//! Temporary credentials: an access key, its secret, and a token that says whose session it is, under which role, until when and with which
//! policy of its own.
//!
//! A token is sealed (AES-GCM) under the secret that all nodes of one store share, bound to its access key; the key's secret is derived from
//! both. So nothing is kept anywhere, every node takes every token, and a new shared secret twice ends all of them.
//! Invariants: nothing of a token is looked at that did not open; a session is never more than its tenant, its role and the key that asked
//! for it are now; secrets and tokens show in no log and no `Debug`.
//! Not here: how sessions are asked for (`http::sts`).

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};

use crate::auth::Auth;
use crate::auth::directory::Directory;
use crate::auth::identity::Identity;
use crate::auth::in_session::{InSession, Session};
use crate::auth::keys::{AccessKey, Holder, Secret, hmac_sha256};
use crate::auth::path_token::TokenSecrets;
use crate::auth::policy::Policy;
use crate::auth::sigv4::known_key;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{AccessKeyId, TenantId};
use crate::base::seal::{Purpose, Sealer};
use crate::base::timestamp::Timestamp;

/// The first byte: a later form gets another one.
const FORM: u8 = 1;
/// The longest policy and the longest names, sealed, in base64.
const MAX_TOKEN_CHARS: usize = 6000;
/// S3's, of the policy of a session.
const MAX_POLICY_CHARS: usize = 2048;
/// S3's temporary keys begin so.
const KEY_BEGINS: &str = "ASIA";
const KEY_CHARS: usize = 16;
/// Opened tokens that are kept, each with its compiled policy.
const KEPT: usize = 2048;

/// What a token says. A field that is added needs a default: nodes of two releases take each other's tokens.
#[derive(Serialize, Deserialize)]
struct Sealed {
    tenant: TenantId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    name: String,
    issued: Timestamp,
    expires: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    /// The key that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<AccessKeyId>,
}

/// What a session is to be.
#[derive(Debug)]
pub struct Wanted {
    pub tenant: TenantId,
    pub role: Option<Box<str>>,
    pub name: String,
    pub seconds: u64,
    pub policy: Option<String>,
    pub by: Option<AccessKeyId>,
}

pub struct Temporary {
    pub access_key: AccessKeyId,
    pub secret: Secret,
    pub token: String,
    pub expires: Timestamp,
}

/// Who signs, by the key that a request names and the token beside it.
pub struct Signer {
    pub key: Arc<AccessKey>,
    pub identity: Identity,
    pub session: Option<InSession>,
}

/// Tokens that opened, by their text.
pub struct Opened(Cache<Box<str>, Arc<Session>>);

impl Default for Opened {
    fn default() -> Self {
        Opened(Cache::new(KEPT))
    }
}

impl Opened {
    pub fn forget_all(&self) {
        self.0.clear();
    }
}

impl Auth {
    pub(super) fn signer(&self, directory: &Directory, access_key: &str, token: Option<&str>, now: Timestamp) -> Result<Signer> {
        let Some(token) = token else {
            let entry = known_key(directory.key(access_key), access_key, now)?;
            return Ok(Signer { key: Arc::clone(&entry.key), identity: entry.identity.clone(), session: None });
        };
        let session = self.opened(access_key, token)?;
        if session.expires <= now {
            return Err(expired("The provided token has expired."));
        }
        let tenant = directory.tenant(&session.tenant).ok_or_else(invalid)?;
        if tenant.tokens_valid_after.is_some_and(|after| session.issued < after) {
            return Err(expired("The provided token was revoked: the tenant's sessions are good from a later time on."));
        }
        // A key that was taken away takes its sessions with it.
        if let Some(by) = &session.by {
            let holder = known_key(directory.key(by.as_str()), by.as_str(), now).map_err(|_| invalid())?;
            if session.role.is_none() && holder.identity.id() != &session.tenant {
                return Err(invalid());
            }
        }
        let role = match &session.role {
            Some(name) => Some(directory.role(name).cloned().ok_or_else(invalid)?),
            None => None,
        };
        let identity = Identity::Tenant(Arc::clone(tenant));
        Ok(Signer { key: Arc::clone(&session.key), identity, session: Some(InSession { session, role }) })
    }

    fn opened(&self, access_key: &str, token: &str) -> Result<Arc<Session>> {
        let secrets = self.token_secrets.load();
        let secrets = secrets.as_deref().ok_or_else(invalid)?;
        let is_of_now = |session: &Arc<Session>| secrets.secret(session.secret).is_some() && session.key.id.as_str() == access_key;
        if let Some(session) = self.sessions.0.get(token).filter(is_of_now) {
            return Ok(session);
        }
        let session = Arc::new(open(secrets, access_key, token).ok_or_else(invalid)?);
        self.sessions.0.insert(token.into(), Arc::clone(&session));
        Ok(session)
    }

    /// New credentials. Whoever calls has found that they may be had.
    pub fn begin_session(&self, wanted: Wanted, now: Timestamp) -> Result<Temporary> {
        if let Some(policy) = &wanted.policy {
            check_policy(policy)?;
        }
        let secrets = self.token_secrets.load();
        let (id, secret) = secrets.as_deref().ok_or_else(no_secret)?.newest();
        let access_key = new_access_key()?;
        let issued = Timestamp::from_secs(now.secs());
        let expires = Timestamp::from_secs(now.secs() + wanted.seconds);
        let Wanted { tenant, role, name, policy, by, .. } = wanted;
        let sealed = Sealed { tenant, role: role.map(Into::into), name, issued, expires, policy, by };
        let text = serde_json::to_vec(&sealed).map_err(Error::internal)?;
        let mut token = vec![FORM, id];
        token.extend(Sealer::new(secret.as_bytes(), Purpose::Session)?.seal(access_key.as_str(), &text)?);
        let token = URL_SAFE_NO_PAD.encode(token);
        if token.len() > MAX_TOKEN_CHARS {
            return Err(Error::new(ErrorKind::PackedPolicyTooLarge, "The session's policy and names are too long together."));
        }
        let secret = secret_of(secret, &access_key);
        Ok(Temporary { access_key, secret, token, expires })
    }
}

/// None: it was not sealed here for this key, or is no form that is known.
fn open(secrets: &TokenSecrets, access_key: &str, token: &str) -> Option<Session> {
    if token.len() > MAX_TOKEN_CHARS || !access_key.starts_with(KEY_BEGINS) {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (&[FORM, id], sealed) = bytes.split_first_chunk()? else { return None };
    let secret = secrets.secret(id)?;
    let text = Sealer::new(secret.as_bytes(), Purpose::Session).ok()?.open(access_key, sealed)?;
    let Sealed { tenant, role, name, issued, expires, policy, by } = serde_json::from_slice(&text).ok()?;
    // What can't be read would be left out of what is held against the session.
    let policy = policy.map(|text| Policy::compile(Path::new(""), text.as_bytes())).transpose().ok()?;
    let (access_key, token) = (AccessKeyId::parse(access_key).ok()?, token.into());
    let key = AccessKey::new(access_key.clone(), secret_of(secret, &access_key), Holder::Tenant(tenant.clone()));
    let (role, name) = (role.map(Into::into), name.into());
    Some(Session { tenant, role, name, issued, expires, policy, by, key: Arc::new(key), token, secret: id })
}

fn secret_of(shared: &str, access_key: &AccessKeyId) -> Secret {
    // A key for this use alone.
    let key = hmac_sha256(shared.as_bytes(), b"tidegate session secret 1");
    Secret::new(&STANDARD_NO_PAD.encode(hmac_sha256(&key, access_key.as_str().as_bytes())))
}

fn new_access_key() -> Result<AccessKeyId> {
    const DIGITS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut random = [0; KEY_CHARS];
    getrandom::fill(&mut random).map_err(|e| Error::internal(e.to_string()))?;
    let digits = random.iter().map(|byte| char::from(DIGITS[usize::from(byte % 32)]));
    AccessKeyId::parse(&KEY_BEGINS.chars().chain(digits).collect::<String>())
}

fn check_policy(policy: &str) -> Result<()> {
    if policy.chars().count() > MAX_POLICY_CHARS {
        let text = format!("The policy of a session has {MAX_POLICY_CHARS} characters at most.");
        return Err(Error::new(ErrorKind::PackedPolicyTooLarge, text));
    }
    Policy::compile(Path::new(""), policy.as_bytes()).map(drop).map_err(|faults| {
        let text: Vec<String> = faults.iter().take(5).map(ToString::to_string).collect();
        Error::new(ErrorKind::MalformedPolicy, format!("The session's policy can't be read: {}", text.join("; ")))
    })
}

fn invalid() -> Error {
    Error::new(ErrorKind::InvalidToken, "The provided token is malformed or otherwise invalid.")
}

fn expired(text: &'static str) -> Error {
    Error::new(ErrorKind::ExpiredToken, text)
}

fn no_secret() -> Error {
    Error::internal("no secret for tokens was loaded")
}
