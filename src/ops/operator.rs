//! What only the operator may: tenants' access keys, the secret of path tokens, a copy of all that is stored, and waiting for
//! what is written back.
//!
//! Keys made here live in the origin's settings (so every node and every restart sees them) and, once stored, in `auth`.

use std::path::Path;
use std::time::Duration;

use crate::auth::grant::OperatorGrant;
use crate::auth::made::Made;
use crate::auth::operator::generate_pair;
use crate::auth::{Auth, StoredKey, TokenSecrets};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{AccessKeyId, TenantId};
use crate::base::timestamp::Timestamp;
use crate::ops::Ops;
use crate::ops::write_back::Left;

/// Where made keys are kept: one JSON document for each, by access key.
const KEYS: &str = "keys";
/// Where the gateway keeps secrets of its own.
const SECRETS: &str = "secrets";
const PATH_TOKENS: &str = "path-tokens";
/// More keys than this are a script gone wild; all of them are held in memory.
const MAX_MADE_KEYS: usize = 100_000;

impl Ops {
    /// At start, and again where other nodes may have changed them: hands the stored keys, tenants and secrets to `auth`.
    pub async fn load_settings(&self, auth: &Auth) -> Result<()> {
        let _alone = self.settings.lock().await;
        self.load_made(auth).await?;
        self.load_token_secrets(auth).await
    }

    async fn load_made(&self, auth: &Auth) -> Result<()> {
        let stored = self.origin.settings.settings(KEYS).await?;
        let keys = stored
            .iter()
            .map(|(_, document)| serde_json::from_slice(document))
            .collect::<Result<Vec<StoredKey>, _>>()
            .map_err(Error::internal)?;
        auth.set_made(Made::new(keys, self.stored_tenants().await?)).map_err(|faults| {
            let text: Vec<String> = faults.iter().map(ToString::to_string).collect();
            Error::new(ErrorKind::InvalidArgument, format!("the stored access keys don't fit the tenants: {}", text.join("; ")))
        })
    }

    /// The first start makes one. Of nodes that start at once one is first, and the others take what it made.
    async fn load_token_secrets(&self, auth: &Auth) -> Result<()> {
        let secrets = match self.stored_token_secrets().await? {
            Some(secrets) => secrets,
            None => {
                let made = TokenSecrets::new()?;
                let document = serde_json::to_vec(&made).map_err(Error::internal)?;
                match self.origin.settings.add_setting(SECRETS, PATH_TOKENS, document).await? {
                    true => made,
                    false => {
                        self.stored_token_secrets().await?.ok_or_else(|| Error::internal("the secret of path tokens came and went"))?
                    }
                }
            }
        };
        auth.set_token_secrets(secrets);
        Ok(())
    }

    async fn stored_token_secrets(&self) -> Result<Option<TokenSecrets>> {
        let stored = self.origin.settings.settings(SECRETS).await?;
        let document = stored.iter().find(|(name, _)| name == PATH_TOKENS).map(|(_, document)| document);
        document.map(|document| serde_json::from_slice(document)).transpose().map_err(Error::internal)
    }

    /// A new secret from now on. Tokens of the one before stay good; those of the one before that are not any more.
    pub async fn rotate_token_secret(&self, _: &OperatorGrant, auth: &Auth) -> Result<()> {
        let _alone = self.settings.lock().await;
        // As it is stored: another node may have changed it.
        let now = self.stored_token_secrets().await?.ok_or_else(|| Error::internal("no secret for path tokens was stored"))?;
        let secrets = now.rotated()?;
        let document = serde_json::to_vec(&secrets).map_err(Error::internal)?;
        self.origin.settings.set_setting(SECRETS, PATH_TOKENS, Some(document)).await?;
        auth.set_token_secrets(secrets);
        Ok(())
    }

    pub async fn make_key(&self, _: &OperatorGrant, auth: &Auth, tenant: TenantId, expires: Option<Timestamp>) -> Result<StoredKey> {
        if auth.made_keys().len() >= MAX_MADE_KEYS {
            return Err(Error::new(ErrorKind::InvalidArgument, "There are too many keys: remove some first."));
        }
        let (access_key, secret) = generate_pair().map_err(Error::internal)?;
        let key = StoredKey { access_key, secret: secret.expose().to_owned(), tenant, enabled: true, created: Timestamp::now(), expires };
        auth.check_new_key(&key)?;
        let _alone = self.settings.lock().await;
        self.store_key(&key).await?;
        auth.add_key(key.clone())?;
        Ok(key)
    }

    pub async fn set_key_enabled(&self, _: &OperatorGrant, auth: &Auth, id: &AccessKeyId, enabled: bool) -> Result<StoredKey> {
        let _alone = self.settings.lock().await;
        let mut key = auth.made_keys().into_iter().find(|k| k.access_key == *id).ok_or_else(no_such_key)?;
        key.enabled = enabled;
        self.store_key(&key).await?;
        auth.add_key(key.clone())?;
        Ok(key)
    }

    pub async fn remove_key(&self, _: &OperatorGrant, auth: &Auth, id: &AccessKeyId) -> Result<()> {
        let _alone = self.settings.lock().await;
        if !auth.made_keys().iter().any(|k| k.access_key == *id) {
            return Err(no_such_key());
        }
        // Shut it first: a key that is refused but still stored does less harm than the other way round.
        auth.remove_key(id);
        self.origin.settings.set_setting(KEYS, id.as_str(), None).await
    }

    pub async fn snapshot(&self, _: &OperatorGrant, directory: &Path) -> Result<()> {
        if !directory.is_absolute() {
            return Err(Error::new(ErrorKind::InvalidArgument, "The directory of a snapshot must be an absolute path."));
        }
        // The jobs afterwards: what a write in the copy asked for is then in the copy too.
        let queue = directory.join("queue");
        let rest = async {
            self.jobs.backup(&queue).await?;
            self.back_up_usage(directory.join("usage")).await
        };
        self.origin.control.snapshot(directory, Box::pin(rest)).await
    }

    /// Waits until all that was written back is upstream, or refused there, and says what is left. `retry`: what was refused
    /// is tried again first.
    pub async fn sync(&self, _: &OperatorGrant, retry: bool, patience: Duration) -> Result<Left> {
        match &self.layers.back {
            Some(back) => back.sync(retry, patience).await,
            None => Ok(Left::default()),
        }
    }

    async fn store_key(&self, key: &StoredKey) -> Result<()> {
        let document = serde_json::to_vec(key).map_err(Error::internal)?;
        self.origin.settings.set_setting(KEYS, key.access_key.as_str(), Some(document)).await
    }
}

fn no_such_key() -> Error {
    Error::new(ErrorKind::NotFound, "No key of that id was made here. Keys in policies/tenants/*.toml are changed in their file.")
}
