//! All tenants and access keys at one moment: immutable, replaced whole.
//!
//! Three sources come together: the operator's key, the `policies` folder (tenants, and keys that sign URLs), and what was made while serving: tenants by
//! `tidegate tenant` and keys by `tidegate key` (which the caller stores). A made key works only while its tenant is there: taking its file away, or
//! disabling it, shuts the tenant out at once. So does a made tenant's policy that is missing: fewer statements could allow more.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use crate::auth::fault::Fault;
use crate::auth::identity::{Identity, Reach, Tenant};
use crate::auth::keys::{AccessKey, Holder, Secret};
use crate::auth::limits::Meters;
use crate::auth::made::{Made, StoredTenant};
use crate::auth::operator::OperatorKey;
use crate::auth::policy::Policy;
use crate::auth::role::{Provider, Role};
use crate::auth::tenants::{Folder, TenantFile};
use crate::auth::url_key::UrlKey;
use crate::base::limited::Scope;
use crate::base::names::{AccessKeyId, TenantId};

pub struct Entry {
    pub key: Arc<AccessKey>,
    pub identity: Identity,
}

/// A key pair that signs URLs, and for whom it speaks.
pub struct UrlKeyEntry {
    pub id: AccessKeyId,
    pub key: Arc<UrlKey>,
    pub identity: Identity,
    pub reach: Option<Arc<Reach>>,
}

#[derive(Default)]
pub struct Directory {
    tenants: HashMap<TenantId, Arc<Tenant>>,
    keys: HashMap<Box<str>, Entry>,
    /// In order, so that it is always the same one that mints.
    url_keys: BTreeMap<Box<str>, UrlKeyEntry>,
    roles: HashMap<Box<str>, Arc<Role>>,
    /// By issuer.
    providers: HashMap<Box<str>, Arc<Provider>>,
    /// What goes out is limited for some tenant: only then it is asked for whom a body goes out that nobody signed for.
    pub limits_out: bool,
}

/// What the folder says, kept so that made keys can change without reading it again.
pub struct Source {
    pub folder: Folder,
    pub operator: OperatorKey,
    pub dir: PathBuf,
}

impl Source {
    /// The first of its policies that this node does not have.
    pub fn missing_policy(&self, tenant: &StoredTenant) -> Option<String> {
        tenant.policies.iter().find(|name| !self.folder.policies.contains_key(*name)).cloned()
    }

    fn policies_of(&self, tenant: &StoredTenant) -> Option<Vec<Arc<Policy>>> {
        tenant.policies.iter().map(|name| self.folder.policies.get(name).cloned()).collect()
    }
}

impl Directory {
    pub fn tenant(&self, id: &TenantId) -> Option<&Arc<Tenant>> {
        self.tenants.get(id)
    }

    pub fn tenants(&self) -> impl Iterator<Item = &Arc<Tenant>> {
        self.tenants.values()
    }

    pub fn key(&self, id: &str) -> Option<&Entry> {
        self.keys.get(id)
    }

    pub fn url_key(&self, id: &str) -> Option<&UrlKeyEntry> {
        self.url_keys.get(id)
    }

    pub fn url_keys(&self) -> impl Iterator<Item = &UrlKeyEntry> {
        self.url_keys.values()
    }

    pub fn role(&self, name: &str) -> Option<&Arc<Role>> {
        self.roles.get(name)
    }

    pub fn provider(&self, issuer: &str) -> Option<&Arc<Provider>> {
        self.providers.get(issuer)
    }

    pub fn counts(&self) -> (usize, usize) {
        (self.tenants.len(), self.keys.len())
    }

    /// `before` gives its running meters to the tenants that stay.
    pub fn build(source: &Source, made: &Made, before: &Directory) -> Result<Directory, Vec<Fault>> {
        let mut new = Directory::default();
        let mut faults = Vec::new();
        new.add(AccessKey::new(source.operator.access_key.clone(), source.operator.secret.clone(), Holder::Operator));
        for file in &source.folder.tenants {
            new.take_in(file, before);
            for (i, k) in file.keys.iter().enumerate() {
                if new.keys.contains_key(k.id.as_str()) {
                    let message = format!("{} is the operator's access key", k.id);
                    faults.push(Fault::new(&file.file, format!("keys[{i}].access_key"), message));
                    continue;
                }
                let mut key = AccessKey::new(k.id.clone(), k.secret.clone(), Holder::Tenant(file.id.clone()));
                (key.enabled, key.expires) = (k.enabled, k.expires);
                new.add(key);
            }
        }
        // A file counts more than what was made.
        for made in made.tenants.values().filter(|t| t.enabled) {
            if let (Some(policies), false) = (source.policies_of(made), new.tenants.contains_key(&made.tenant)) {
                new.take_in(&as_file(made, policies), before);
            }
        }
        for file in source.folder.url_keys.iter().filter(|f| f.enabled) {
            let identity = match new.tenants.get(&file.tenant) {
                Some(tenant) => Identity::Tenant(Arc::clone(tenant)),
                None if file.tenant.is_operator() => Identity::Operator,
                None => continue,
            };
            let entry = UrlKeyEntry { id: file.id.clone(), key: Arc::clone(&file.key), identity, reach: file.reach.clone() };
            new.url_keys.insert(file.id.as_str().into(), entry);
        }
        new.roles = source.folder.roles.iter().map(|role| (role.name.clone(), Arc::clone(role))).collect();
        new.providers = source.folder.providers.iter().map(|p| (p.issuer.clone(), Arc::clone(p))).collect();
        for stored in made.keys.values() {
            if new.keys.contains_key(stored.access_key.as_str()) {
                let message = format!("the access key {} was made by `tidegate key` and is in a file as well", stored.access_key);
                faults.push(Fault::new(&source.dir, "", message));
                continue;
            }
            let holder = if stored.tenant.is_operator() { Holder::Operator } else { Holder::Tenant(stored.tenant.clone()) };
            let mut key = AccessKey::new(stored.access_key.clone(), Secret::new(&stored.secret), holder);
            (key.enabled, key.expires) = (stored.enabled, stored.expires);
            new.add(key);
        }
        if faults.is_empty() { Ok(new) } else { Err(faults) }
    }

    fn take_in(&mut self, file: &TenantFile, before: &Directory) {
        let tenant = Arc::new(tenant(file, before.tenants.get(&file.id)));
        self.limits_out |= tenant.limits.bytes_out_per_second.is_some() || tenant.limits.egress_per_month.is_some();
        self.tenants.insert(file.id.clone(), tenant);
    }

    fn add(&mut self, key: AccessKey) {
        let identity = match &key.holder {
            Holder::Operator => Identity::Operator,
            // A key without its tenant opens nothing: it is as if it were not there.
            Holder::Tenant(id) => match self.tenants.get(id) {
                Some(tenant) => Identity::Tenant(Arc::clone(tenant)),
                None => return,
            },
        };
        self.keys.insert(key.id.as_str().into(), Entry { key: Arc::new(key), identity });
    }
}

/// As if a file said it.
fn as_file(made: &StoredTenant, policies: Vec<Arc<Policy>>) -> TenantFile {
    TenantFile {
        file: PathBuf::new(),
        id: made.tenant.clone(),
        display: made.display.clone(),
        policies,
        limits: made.limits.clone(),
        keys: Vec::new(),
        tokens_valid_after: None,
    }
}

fn tenant(file: &TenantFile, before: Option<&Arc<Tenant>>) -> Tenant {
    Tenant {
        id: file.id.clone(),
        display: file.display.as_deref().unwrap_or(file.id.as_str()).into(),
        limits: file.limits.clone(),
        policies: file.policies.clone(),
        tokens_valid_after: file.tokens_valid_after,
        meters: Meters::new(Scope::Tenant, &file.limits, before.map(|tenant| &tenant.meters)),
    }
}
