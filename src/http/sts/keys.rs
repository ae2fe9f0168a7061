//! The public keys of identity providers: fetched when they are needed, kept for a time, one fetch at a time for each provider.
//!
//! A key that is not known is looked for again, once in half a minute at most, whoever asks: what strangers send makes no more requests than
//! that. Keys that can't be brought up to date stay good for a day.
//! Not here: how a document is asked for safely (`outbound`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::auth::role::Provider;
use crate::auth::web_identity::Keys;
use crate::base::error::{Error, ErrorKind, Result};
use crate::outbound;

const FRESH: Duration = Duration::from_secs(3600);
const GOOD: Duration = Duration::from_secs(24 * 3600);
const BETWEEN_TRIES: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Kept {
    keys: Option<(Arc<Keys>, Instant)>,
    tried: Option<Instant>,
}

/// By provider, of which there are as many as the operator named.
#[derive(Default)]
pub struct ProviderKeys(Mutex<HashMap<String, Arc<tokio::sync::Mutex<Kept>>>>);

#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

impl ProviderKeys {
    /// Those of `provider`; with the one of that id, if there is one.
    pub async fn of(&self, provider: &Provider, id: Option<&str>) -> Result<Arc<Keys>> {
        let name = format!("{} {}", provider.issuer, provider.keys_url.as_deref().unwrap_or_default());
        let slot = Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default());
        let mut kept = slot.lock().await;
        let known = kept.keys.clone().filter(|(_, since)| since.elapsed() < GOOD);
        let may_try = kept.tried.is_none_or(|tried| tried.elapsed() >= BETWEEN_TRIES);
        match &known {
            Some((keys, since)) if (since.elapsed() < FRESH && keys.knows(id)) || !may_try => return Ok(Arc::clone(keys)),
            None if !may_try => return Err(unreachable()),
            _ => {}
        }
        kept.tried = Some(Instant::now());
        match fetch(provider).await {
            Ok(keys) => {
                let keys = Arc::new(keys);
                kept.keys = Some((Arc::clone(&keys), Instant::now()));
                Ok(keys)
            }
            Err(e) => {
                tracing::warn!(issuer = %provider.issuer, error = %e, "the keys of an identity provider can't be had");
                known.map(|(keys, _)| keys).ok_or_else(unreachable)
            }
        }
    }
}

async fn fetch(provider: &Provider) -> Result<Keys, String> {
    let url = match &provider.keys_url {
        Some(url) => url.to_string(),
        None => {
            let at = format!("{}/.well-known/openid-configuration", provider.issuer.trim_end_matches('/'));
            let document = outbound::get(&at, provider.local).await?;
            let said: Discovered = serde_json::from_slice(&document).map_err(|e| format!("{at}: {e}"))?;
            if said.issuer != *provider.issuer {
                return Err(format!("{at} is of another issuer"));
            }
            said.jwks_uri
        }
    };
    let document = outbound::get(&url, provider.local).await?;
    Keys::parse(&document).ok_or_else(|| format!("{url} is no set of keys"))
}

fn unreachable() -> Error {
    Error::new(ErrorKind::IdpCommunicationError, "The identity provider's keys can't be had. Please try again.")
}
