//! Who is calling, and may they. Every request is made by a known tenant, allowed to anyone by a policy, or refused.
//!
//! Not here: XML, responses, storage. Keys and tenants that are made while serving are stored by the caller, which hands them in.
//! Called by the doors (`authenticate`, then `authorize`), by jobs (`for_jobs`) and by the command line (`presign`).
//! Invariants: only this folder makes a `Grant`; secrets show in no log, error or `Debug`; a reload replaces everything or
//! nothing; what one tenant's policy says never opens another tenant's bucket.

pub mod acl;
pub mod action;
pub mod authenticate;
pub mod authorize;
pub mod bearer;
pub mod candidates;
pub mod canonical;
pub mod cloudfront;
pub mod copy_source;
pub mod directory;
mod evp;
pub mod facts;
pub mod fault;
pub mod for_jobs;
pub mod form;
pub mod grant;
pub mod identity;
pub mod in_session;
pub mod keys;
pub mod limit_values;
pub mod limits;
pub mod live_secrets;
pub mod log_delivery;
pub mod made;
pub mod made_tenants;
pub mod operator;
pub mod ownership;
pub mod path_token;
pub mod payload;
pub mod policy;
pub mod presign;
pub mod query;
pub mod reader;
pub mod role;
pub mod roles;
pub mod rules;
pub mod session;
pub mod settings;
pub mod sigv2;
pub mod sigv4;
mod sigv4_parts;
pub mod streaming;
pub mod target;
pub mod tenants;
pub mod url_key;
mod url_keys;
pub mod web_identity;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};

pub use action::Action;
pub use facts::{Reading, RequestFacts, TagFacts};
pub use fault::Fault;
pub use grant::Grant;
pub use identity::{Caller, Carrier, Identity, Reach, Tenant, Via, Within};
pub use made::{StoredKey, StoredTenant};
pub use operator::OperatorKey;
pub use path_token::{PathToken, TokenSecrets};
pub use payload::Payload;
pub use policy::{BucketPolicy, Context, TagsOf};
pub use settings::Settings;
pub use streaming::ChunkedForm;
pub use target::Target;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{AccessKeyId, BucketName, TenantId};
use crate::base::object::Bucket;
use crate::origin::Quota;
use directory::{Directory, Source};
use limits::{BucketLimits, ByteRate, Meters};
use made::Made;
use rules::RulesCache;

pub struct Auth {
    settings: Settings,
    directory: ArcSwap<Directory>,
    rules: RulesCache,
    /// None until they were read from the store.
    token_secrets: ArcSwapOption<TokenSecrets>,
    sessions: session::Opened,
    /// Taken by whoever changes the directory, never by requests.
    sources: Mutex<Sources>,
    /// For the meters: a clock that only goes forward.
    started: Instant,
    bucket_limits: BucketLimits,
}

struct Sources {
    source: Source,
    made: Made,
}

/// What a reload found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    pub tenants: usize,
    pub keys: usize,
    pub policies: usize,
    pub warnings: Vec<String>,
    /// Files that were read again and are not as they were.
    pub changes: Vec<String>,
}

impl Auth {
    /// Reads the folder; Err holds every fault in it.
    pub fn new(settings: Settings, policies_dir: PathBuf, operator: OperatorKey) -> Result<Auth, Vec<Fault>> {
        settings.check()?;
        let bucket_limits = BucketLimits::new(&settings.bucket_limits);
        let folder = tenants::read(&policies_dir, &environment, roles::read)?;
        let source = Source { folder, operator, dir: policies_dir };
        let directory = Directory::build(&source, &Made::default(), &Directory::default())?;
        Ok(Auth {
            settings,
            directory: ArcSwap::from_pointee(directory),
            rules: RulesCache::default(),
            token_secrets: ArcSwapOption::empty(),
            sessions: session::Opened::default(),
            sources: Mutex::new(Sources { source, made: Made::default() }),
            started: Instant::now(),
            bucket_limits,
        })
    }

    /// Reads the folder again. All or nothing: with any fault, what was loaded before stays.
    pub fn reload(&self) -> Result<Summary, Vec<Fault>> {
        let mut sources = self.sources();
        let folder = tenants::read(&sources.source.dir, &environment, roles::read)?;
        let source = Source { folder, operator: sources.source.operator.clone(), dir: sources.source.dir.clone() };
        let directory = Directory::build(&source, &sources.made, &self.directory.load())?;
        let changes = source.folder.changes_since(&sources.source.folder, &source.dir);
        sources.source = source;
        self.directory.store(Arc::new(directory));
        drop(sources);
        Ok(Summary { changes, ..self.summary() })
    }

    pub fn summary(&self) -> Summary {
        let sources = self.sources();
        let (tenants, keys) = self.directory.load().counts();
        let mut warnings = sources.source.folder.warnings.clone();
        let orphans = sources.made.keys.len() - self.made_in_use(&sources);
        if orphans > 0 {
            warnings.push(format!(
                "{orphans} keys made by `tidegate key` are of tenants that are not there, or are disabled: they open nothing"
            ));
        }
        for tenant in sources.made.tenants.values().filter(|tenant| tenant.enabled) {
            if let Some(name) = sources.source.missing_policy(tenant) {
                warnings.push(format!("the tenant {} needs the policy {name:?}, which is not there: it opens nothing", tenant.tenant));
            }
        }
        Summary { tenants, keys, policies: sources.source.folder.policies.len(), warnings, changes: Vec::new() }
    }

    fn made_in_use(&self, sources: &Sources) -> usize {
        let directory = self.directory.load();
        sources.made.keys.keys().filter(|id| directory.key(id.as_str()).is_some()).count()
    }

    /// Changes when a reload may find something new. Cheap enough to ask every second.
    pub fn fingerprint(&self) -> u64 {
        let (dir, secret_files) = {
            let sources = self.sources();
            (sources.source.dir.clone(), sources.source.folder.secret_files.clone())
        };
        tenants::fingerprint(&dir, &secret_files)
    }

    /// All that was made, as the caller stored it: at start, and when another node changed something. What is derived from keys in use
    /// is not made anew where nothing changed.
    pub fn set_made(&self, now: Made) -> Result<(), Vec<Fault>> {
        if self.sources().made == now {
            return Ok(());
        }
        self.change_made(|made| *made = now)
    }

    /// Adds a key, or replaces the one of that id (to disable it, or to give it an end). Store it first.
    pub fn add_key(&self, key: StoredKey) -> Result<()> {
        self.check_new_key(&key)?;
        self.change_made(|made| {
            made.keys.insert(key.access_key.clone(), key);
        })
        .map_err(|_| Error::new(ErrorKind::InvalidArgument, "The key can't be added: its id is in use."))
    }

    /// What `add_key` would refuse, before the key is stored.
    pub fn check_new_key(&self, key: &StoredKey) -> Result<()> {
        if !key.tenant.is_operator() && self.directory.load().tenant(&key.tenant).is_none() {
            let message = format!(
                "There is no tenant {0}: make one by `tidegate tenant add {0}`, or write policies/tenants/{0}.toml, first.",
                key.tenant
            );
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let taken = self.directory.load().key(key.access_key.as_str()).is_some();
        if taken && !self.sources().made.keys.contains_key(&key.access_key) {
            return Err(Error::new(ErrorKind::InvalidArgument, "The access key is in use already, in a file or as the operator's."));
        }
        Ok(())
    }

    /// False: no such key was made.
    pub fn remove_key(&self, id: &AccessKeyId) -> bool {
        let mut found = false;
        // Taking one away can make no fault.
        let _ = self.change_made(|made| found = made.keys.remove(id).is_some());
        found
    }

    /// Without secrets being looked at by more than who asks: for `tidegate key list`.
    pub fn made_keys(&self) -> Vec<StoredKey> {
        self.sources().made.keys.values().cloned().collect()
    }

    fn change_made(&self, change: impl FnOnce(&mut Made)) -> Result<(), Vec<Fault>> {
        let mut sources = self.sources();
        let mut made = sources.made.clone();
        change(&mut made);
        let directory = Directory::build(&sources.source, &made, &self.directory.load())?;
        sources.made = made;
        self.directory.store(Arc::new(directory));
        Ok(())
    }

    pub fn tenant(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.directory.load().tenant(id).cloned()
    }

    pub fn role(&self, name: &str) -> Option<Arc<role::Role>> {
        self.directory.load().role(name).cloned()
    }

    pub fn identity_provider(&self, issuer: &str) -> Option<Arc<role::Provider>> {
        self.directory.load().provider(issuer).cloned()
    }

    pub fn tenants(&self) -> Vec<Arc<Tenant>> {
        self.directory.load().tenants().cloned().collect()
    }

    /// What the tenant who pays for a write must stay inside, whoever sends it. A tenant that is gone gets nothing more.
    pub fn quota_of(&self, tenant: &TenantId) -> Quota {
        if tenant.is_operator() || *tenant == TenantId::anonymous() {
            return Quota::default();
        }
        self.directory.load().tenant(tenant).map_or(Quota { bytes: Some(0), objects: Some(0) }, |t| t.limits.quota())
    }

    /// For owners and grantees in answers; a tenant that is gone is called by its id.
    pub fn display_name(&self, tenant: &TenantId) -> Arc<str> {
        match self.directory.load().tenant(tenant) {
            Some(t) => Arc::clone(&t.display),
            None => tenant.as_str().into(),
        }
    }

    /// One request of the tenant's allowance for this second.
    pub fn take_token(&self, caller: &Caller) -> Result<()> {
        let Identity::Tenant(tenant) = &caller.identity else { return Ok(()) };
        tenant.meters.take_token(self.nanos())
    }

    /// One request of the bucket's.
    pub fn take_token_of(&self, bucket: &BucketName) -> Result<()> {
        self.bucket_limits.of(bucket).map_or(Ok(()), |(_, meters)| meters.take_token(self.nanos()))
    }

    /// Those that the caller's bodies are held to, sent into this bucket.
    pub fn meters<'m>(&'m self, caller: &'m Caller, bucket: Option<&BucketName>) -> impl Iterator<Item = &'m Meters> + use<'m> {
        let of_tenant = match &caller.identity {
            Identity::Tenant(tenant) => Some(&tenant.meters),
            Identity::Operator | Identity::Anonymous => None,
        };
        let of_bucket = bucket.and_then(|bucket| self.bucket_limits.of(bucket)).map(|(_, meters)| meters);
        of_tenant.into_iter().chain(of_bucket)
    }

    pub fn bucket_limits(&self) -> &BucketLimits {
        &self.bucket_limits
    }

    /// How fast a body may go out to the caller; where nobody signed, by the limit of the tenant whose object it is.
    pub fn rate_out(&self, caller: Option<&Caller>, owner: Option<&TenantId>) -> Option<Arc<ByteRate>> {
        match caller.map(|caller| &caller.identity) {
            Some(Identity::Tenant(tenant)) => tenant.meters.bytes_out().cloned(),
            Some(Identity::Operator) => None,
            Some(Identity::Anonymous) | None => {
                let directory = self.directory.load();
                let owner = owner.filter(|_| directory.limits_out)?;
                directory.tenant(owner)?.meters.bytes_out().cloned()
            }
        }
    }

    /// What may go out of the tenant's in a month.
    pub fn egress_limit(&self, tenant: &TenantId) -> Option<u64> {
        let directory = self.directory.load();
        if directory.limits_out { directory.tenant(tenant)?.limits.egress_per_month } else { None }
    }

    /// By the clock that the meters go by.
    pub fn nanos(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    /// A policy that is to be set: MalformedPolicy names the place.
    pub fn policy_to_set(&self, bucket: &Bucket, json: &[u8]) -> Result<BucketPolicy> {
        let policy = self.compile_bucket_policy(&bucket.name, json)?;
        if self.rules.of(bucket).public_access.block_public_policy && policy.is_public() {
            let text = "Access Denied: the bucket's setting BlockPublicPolicy takes no policy that is public.";
            return Err(Error::new(ErrorKind::AccessDenied, text));
        }
        Ok(policy)
    }

    pub fn compile_bucket_policy(&self, bucket: &BucketName, json: &[u8]) -> Result<BucketPolicy> {
        BucketPolicy::compile(bucket, json)
    }

    /// One that is stored.
    pub fn open_bucket_policy(&self, bucket: &BucketName, json: &[u8]) -> Result<BucketPolicy> {
        BucketPolicy::open(bucket, json)
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    fn sources(&self) -> MutexGuard<'_, Sources> {
        // Every change is made on a copy: a panic in between leaves the old state, which is whole.
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
