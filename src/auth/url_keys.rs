//! The files of `policies/cdn-keys/*.toml`: key pairs whose signatures on URLs and cookies are believed, and for whom they speak.
//!
//! ```toml
//! id = "K2JCJMDEHXQW5F"                       # the Key-Pair-Id
//! tenant = "acme"                             # what a signature opens is what this tenant may read; "*": the operator
//! public_key = { file = "acme.pem" }
//! private_key = { file = "acme.key" }         # only where this gateway mints
//! prefixes = ["media/acme/"]                  # bucket/prefix; without it: all that the tenant may read
//! ```
//!
//! Part of the reading of the policies folder: all of it or nothing, every fault at once. Called by `tenants::read`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::{Table, Value};

use crate::auth::identity::{Reach, Within};
use crate::auth::tenants::{Reader, article};
use crate::auth::url_key::UrlKey;
use crate::base::names::{AccessKeyId, BucketName, TenantId};

pub const FOLDER: &str = "cdn-keys";
/// Places that one key is held to: each request looks through them.
const MAX_PREFIXES: usize = 100;

pub struct UrlKeyFile {
    pub file: PathBuf,
    pub id: AccessKeyId,
    pub tenant: TenantId,
    pub key: Arc<UrlKey>,
    pub reach: Option<Arc<Reach>>,
    pub enabled: bool,
}

impl Reader<'_> {
    pub(super) fn url_key(&mut self, file: &Path) {
        let Some(table) = self.table(file) else { return };
        let before = self.faults.len();
        self.unknown_names(file, "", &table, &["id", "tenant", "public_key", "private_key", "prefixes", "enabled"]);
        let id = self.text(file, "id", table.get("id")).and_then(|s| AccessKeyId::parse(&s).ok());
        if id.is_none() {
            self.fault(file, "id", "a Key-Pair-Id of 3 to 128 of A-Z a-z 0-9 - _ . is needed here");
        }
        let tenant = match self.text(file, "tenant", table.get("tenant")).as_deref() {
            Some("*") => Some(TenantId::operator()),
            Some(name) => TenantId::parse(name).ok().filter(|t| !t.is_operator() && *t != TenantId::anonymous()),
            None => None,
        };
        if tenant.is_none() {
            self.fault(file, "tenant", "the id of a tenant is needed here, or \"*\" for a key that opens what the operator may read");
        }
        let enabled = self.flag(file, "enabled", table.get("enabled"));
        let reach = table.get("prefixes").and_then(|v| self.prefixes(file, v));
        let key = self.key_pair(file, &table);
        if let (Some(id), Some(tenant), Some(key)) = (id, tenant, key)
            && self.faults.len() == before
        {
            let reach = reach.map(Arc::new);
            self.folder.url_keys.push(UrlKeyFile { file: file.to_owned(), id, tenant, key: Arc::new(key), reach, enabled });
        }
    }

    /// The private half alone is enough; where both are given they must belong together.
    fn key_pair(&mut self, file: &Path, table: &Table) -> Option<UrlKey> {
        let public = table.get("public_key").map(|v| {
            let (pem, _) = self.source(file, "public_key", Some(v), false)?;
            self.parsed(file, "public_key", UrlKey::from_public_pem(&pem))
        });
        let private = table.get("private_key").map(|v| {
            let (pem, inline) = self.source(file, "private_key", Some(v), true)?;
            self.warn_inline(file, inline);
            self.parsed(file, "private_key", UrlKey::from_private_pem(&pem))
        });
        match (public, private) {
            (None, None) => {
                self.fault(file, "public_key", "missing: a public key in PEM is needed, or a private_key");
                None
            }
            (Some(public), Some(private)) => {
                let (public, private) = (public?, private?);
                if !private.is_pair_of(&public) {
                    self.fault(file, "private_key", "does not belong to the public_key");
                }
                Some(private)
            }
            (one, None) | (None, one) => one?,
        }
    }

    fn parsed(&mut self, file: &Path, at: &str, key: Result<UrlKey, String>) -> Option<UrlKey> {
        key.map_err(|e| self.fault(file, at, e)).ok()
    }

    fn prefixes(&mut self, file: &Path, value: &Value) -> Option<Reach> {
        let Value::Array(items) = value else {
            self.fault(file, "prefixes", format!("a list of bucket/prefix is needed here, not {}", article(value)));
            return None;
        };
        if items.is_empty() || items.len() > MAX_PREFIXES {
            self.fault(file, "prefixes", format!("1 to {MAX_PREFIXES} of bucket/prefix are needed here; leave it out for no limit"));
        }
        let mut within = Vec::new();
        for (i, item) in items.iter().enumerate() {
            // Without the slash `media` would be `media-private` too.
            let place = item.as_str().filter(|s| s.split_once('/').is_some_and(|(bucket, _)| BucketName::parse(bucket).is_ok()));
            match place {
                Some(place) => within.push(Within::Prefix(place.to_owned())),
                None => self.fault(file, format!("prefixes[{i}]"), "bucket/prefix is needed here, such as \"media/acme/\" or \"media/\""),
            }
        }
        Some(Reach::new(within))
    }
}
