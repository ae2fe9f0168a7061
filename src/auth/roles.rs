//! The files of `policies/roles/*.toml` and `policies/identity-providers/*.toml`.
//!
//! ```toml
//! # roles/uploader.toml
//! name = "uploader"
//! tenant = "acme"                             # whose its sessions are; or tenant_claim = "…", for tokens alone
//! policies = ["upload-only"]                  # all that a session may do
//! max_seconds = 43200                         # 3600 without it
//! tenants = ["acme"]                          # who may take it by AssumeRole
//!
//! [[web_identity]]                            # who may by AssumeRoleWithWebIdentity
//! issuer = "https://token.example.com"
//! claims = { sub = "repo:acme/*", environment = ["prod", "stage"] }
//!
//! # identity-providers/example.toml
//! issuer = "https://token.example.com"
//! audiences = ["sts.amazonaws.com"]
//! keys_url = "https://token.example.com/keys" # without it, as its /.well-known/openid-configuration says
//! local = false                               # true: plain HTTP and addresses that are not public are allowed
//! ```
//!
//! Part of the reading of the policies folder: all of it or nothing, every fault at once. `auth` hands it to `tenants::read`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use http::Uri;
use toml::{Table, Value};

use crate::auth::fault::Fault;
use crate::auth::policy::Policy;
use crate::auth::policy::pattern::Pattern;
use crate::auth::role::{Owner, Provider, Role, WebTrust};
use crate::auth::tenants::{Folder, IDENTITY_PROVIDERS, ROLES, Reader};
use crate::base::names::TenantId;

/// S3's.
pub const MIN_SECONDS: u64 = 15 * 60;
pub const MAX_SECONDS: u64 = 12 * 3600;
const DEFAULT_SECONDS: u64 = 3600;
/// Of a list in one of these files.
const MAX_ITEMS: usize = 100;
const MAX_TEXT_BYTES: usize = 2048;

pub fn read(reader: &mut Reader<'_>, dir: &Path, policies: &BTreeMap<String, Arc<Policy>>) {
    for file in reader.list_if_there(&dir.join(IDENTITY_PROVIDERS)) {
        reader.provider(&file);
    }
    for file in reader.list_if_there(&dir.join(ROLES)) {
        reader.role(&file, policies);
    }
    let faults = contradictions(dir, &reader.folder);
    reader.faults.extend(faults);
}

/// What no file shows alone.
fn contradictions(dir: &Path, folder: &Folder) -> Vec<Fault> {
    let fault = |at: String, text: String| Fault::new(&dir.join(ROLES), at, text);
    let mut faults = Vec::new();
    let (mut names, mut issuers) = (BTreeSet::new(), BTreeSet::new());
    let is_tenant = |id: &TenantId| folder.tenants.iter().any(|tenant| tenant.id == *id);
    for provider in &folder.providers {
        if !issuers.insert(&*provider.issuer) {
            faults.push(fault("issuer".into(), format!("the identity provider {} is there more than once", provider.issuer)));
        }
    }
    for role in &folder.roles {
        if !names.insert(&*role.name) {
            faults.push(fault("name".into(), format!("the role {} is there more than once", role.name)));
        }
        if let Owner::Tenant(tenant) = &role.owner
            && !is_tenant(tenant)
        {
            faults.push(fault("tenant".into(), format!("role {}: there is no usable tenant {tenant}", role.name)));
        }
        for trust in role.web.iter().filter(|trust| !issuers.contains(&*trust.issuer)) {
            let text = format!("role {}: no file in {IDENTITY_PROVIDERS}/ has the issuer {}", role.name, trust.issuer);
            faults.push(fault("web_identity.issuer".into(), text));
        }
    }
    faults
}

impl Reader<'_> {
    fn role(&mut self, file: &Path, known: &BTreeMap<String, Arc<Policy>>) {
        let Some(table) = self.table(file) else { return };
        let before = self.faults.len();
        self.unknown_names(file, "", &table, &["name", "tenant", "tenant_claim", "policies", "max_seconds", "tenants", "web_identity"]);
        let is_name =
            |name: &String| (1..=64).contains(&name.len()) && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"+=,.@_-".contains(&c));
        let name = self.text(file, "name", table.get("name")).filter(is_name);
        if name.is_none() {
            self.fault(file, "name", "a name of 1 to 64 of A-Z a-z 0-9 + = , . @ _ - is needed here");
        }
        let owner = self.owner(file, &table);
        let policies = self.tenant_policies(file, table.get("policies"), known);
        let max_seconds = match table.get("max_seconds") {
            None => DEFAULT_SECONDS,
            Some(Value::Integer(n)) if u64::try_from(*n).is_ok_and(|n| (MIN_SECONDS..=MAX_SECONDS).contains(&n)) => *n as u64,
            Some(_) => {
                self.fault(file, "max_seconds", format!("{MIN_SECONDS} to {MAX_SECONDS} are possible"));
                DEFAULT_SECONDS
            }
        };
        let tenants = self.texts(file, "tenants", table.get("tenants"));
        let tenants: Vec<TenantId> = tenants.iter().filter_map(|id| self.known_tenant(file, "tenants", id)).collect();
        let web = match table.get("web_identity") {
            None => Vec::new(),
            Some(Value::Array(list)) if list.len() <= MAX_ITEMS => {
                list.iter().enumerate().filter_map(|(i, one)| self.web_trust(file, &format!("web_identity[{i}]"), one)).collect()
            }
            Some(_) => {
                self.fault(file, "web_identity", format!("at most {MAX_ITEMS} tables [[web_identity]] are possible"));
                Vec::new()
            }
        };
        if matches!(owner, Some(Owner::Claim(_))) && !tenants.is_empty() {
            self.fault(file, "tenants", "a role whose tenant is that of a claim is taken by tokens alone");
        }
        if let (Some(name), Some(owner)) = (name, owner)
            && self.faults.len() == before
        {
            self.folder.roles.push(Arc::new(Role { name: name.into(), owner, policies, max_seconds, tenants, web }));
        }
    }

    fn owner(&mut self, file: &Path, table: &Table) -> Option<Owner> {
        let tenant = self.text(file, "tenant", table.get("tenant"));
        let claim = self.text(file, "tenant_claim", table.get("tenant_claim")).filter(|claim| !claim.is_empty());
        match (tenant, claim) {
            (Some(tenant), None) => self.known_tenant(file, "tenant", &tenant).map(Owner::Tenant),
            (None, Some(claim)) => Some(Owner::Claim(claim.into())),
            _ => {
                self.fault(file, "tenant", "either tenant = \"…\" is needed, or tenant_claim = \"…\"");
                None
            }
        }
    }

    fn known_tenant(&mut self, file: &Path, at: &str, id: &str) -> Option<TenantId> {
        let parsed = TenantId::parse(id).ok().filter(|t| !t.is_operator() && *t != TenantId::anonymous());
        if parsed.is_none() {
            self.fault(file, at, "the id of a tenant is needed here");
        }
        parsed
    }

    fn web_trust(&mut self, file: &Path, at: &str, value: &Value) -> Option<WebTrust> {
        let Value::Table(table) = value else {
            self.fault(file, at, "a table is needed here");
            return None;
        };
        self.unknown_names(file, &format!("{at}."), table, &["issuer", "claims"]);
        let issuer = self.text(file, &format!("{at}.issuer"), table.get("issuer"));
        let wanted = match table.get("claims") {
            Some(Value::Table(claims)) if (1..=MAX_ITEMS).contains(&claims.len()) => claims,
            _ => {
                self.fault(file, format!("{at}.claims"), "which of the issuer's tokens? claims = { sub = \"…\" } is needed here");
                return None;
            }
        };
        let mut claims = Vec::new();
        for (name, value) in wanted {
            let at = format!("{at}.claims.{name}");
            let texts = match value {
                Value::String(text) => vec![text.clone()],
                _ => self.texts(file, &at, Some(value)),
            };
            if texts.is_empty() || texts.iter().any(|text| text.is_empty() || text.len() > MAX_TEXT_BYTES) {
                self.fault(file, at, "a text, or a list of them, is needed here; * and ? stand for anything");
                continue;
            }
            claims.push((name.as_str().into(), texts.iter().map(|text| Pattern::glob(text)).collect()));
        }
        Some(WebTrust { issuer: issuer?.into(), claims })
    }

    fn provider(&mut self, file: &Path) {
        let Some(table) = self.table(file) else { return };
        let before = self.faults.len();
        self.unknown_names(file, "", &table, &["issuer", "audiences", "keys_url", "local"]);
        let local = table.contains_key("local") && self.flag(file, "local", table.get("local"));
        let mut url = |name: &str| {
            let text = self.text(file, name, table.get(name))?;
            let scheme = text.parse::<Uri>().ok().filter(|uri| uri.host().is_some()).and_then(|uri| uri.scheme_str().map(str::to_owned));
            match scheme.as_deref() {
                Some("https") => Some(text),
                Some("http") if local => Some(text),
                _ => {
                    self.fault(file, name, "an address that begins with https:// is needed here (http:// only with local = true)");
                    None
                }
            }
        };
        let (issuer, keys_url) = (url("issuer"), url("keys_url"));
        if !table.contains_key("issuer") {
            self.fault(file, "issuer", "missing: tokens name it");
        }
        let audiences = self.texts(file, "audiences", table.get("audiences"));
        if audiences.is_empty() {
            self.fault(file, "audiences", "for whom tokens are: a list is needed here, such as [\"sts.amazonaws.com\"]");
        }
        if let Some(issuer) = issuer
            && self.faults.len() == before
        {
            let provider = Provider { issuer: issuer.into(), audiences, keys_url: keys_url.map(Into::into), local };
            self.folder.providers.push(Arc::new(provider));
        }
    }

    /// A list of texts; none where it is not given.
    fn texts(&mut self, file: &Path, at: &str, value: Option<&Value>) -> Vec<String> {
        match value {
            None => Vec::new(),
            Some(Value::Array(list)) if list.len() <= MAX_ITEMS && list.iter().all(Value::is_str) => {
                list.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect()
            }
            Some(_) => {
                self.fault(file, at, format!("a list of at most {MAX_ITEMS} texts is needed here"));
                Vec::new()
            }
        }
    }
}
