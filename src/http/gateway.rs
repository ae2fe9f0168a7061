//! What the doors share: the parts they call and the settings they go by. One per gateway.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::Auth;
use crate::auth::live_secrets::Secrets;
use crate::base::error::Result;
use crate::base::limited::{Limited, Scope};
use crate::base::names::{BucketName, TenantId};
use crate::base::object::Ownership;
use crate::cluster::seal::Seals;
use crate::http::console::{self, Console};
use crate::http::document::Room;
use crate::http::edge::site::Sites;
use crate::http::s3::cors::rules::Rules;
use crate::http::s3::website::rules::Website;
use crate::http::sts::keys::ProviderKeys;
use crate::ops::Ops;
use crate::ops::compiled::Compiled;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::audit::AuditLog;
use crate::telemetry::bucket_logs::BucketLogs;
use crate::telemetry::metrics::Metrics;
use crate::usage::Usage;
use crate::usage::sheet::Sheet;

#[derive(Debug, Clone)]
pub struct Settings {
    /// What the edge door shows.
    pub sites: Sites,
    /// Of new buckets of tenants, where their maker says nothing. None: as it was before S3 had this setting.
    pub object_ownership: Option<Ownership>,
    /// New buckets let every page read.
    pub default_cors: bool,
    pub encryption: Encrypting,
    /// Names of the admin door, in lower case, beside addresses and `localhost`.
    pub admin_hosts: Vec<String>,
    /// Other gateways stand over buckets of this one: what is reserved for a gateway is theirs. Only on the embedded store.
    pub gateways_above: bool,
    /// The longest life of a link that is not S3's: path tokens, CloudFront's URLs and cookies.
    pub link_max: Duration,
    /// How long a link works, where the request for it says nothing.
    pub presign_expires: Duration,
    pub console: console::Settings,
}

/// What is set of server-side encryption.
#[derive(Debug, Clone)]
pub struct Encrypting {
    /// New buckets encrypt what is written into them (SSE-S3).
    pub new_buckets: bool,
    /// Keys of clients may come over plain HTTP.
    pub customer_keys_over_http: bool,
    /// Buckets that say nothing of it refuse them.
    pub block_customer_keys: bool,
}

impl Default for Encrypting {
    fn default() -> Self {
        Encrypting { new_buckets: false, customer_keys_over_http: false, block_customer_keys: true }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            sites: Sites::default(),
            object_ownership: None,
            default_cors: true,
            encryption: Encrypting::default(),
            admin_hosts: Vec::new(),
            gateways_above: false,
            link_max: Duration::from_secs(7 * 24 * 3600),
            presign_expires: Duration::from_secs(3600),
            console: console::Settings::default(),
        }
    }
}

impl Settings {
    /// The secrets of the sites' callers, one for each header that is asked for. Loaded at the start, and when they change.
    pub fn caller_secrets(&self) -> Vec<Arc<Secrets>> {
        self.sites.list().iter().filter_map(|s| Some(s.callers.header.as_ref()?.secrets.clone())).collect()
    }
}

pub struct Gateway {
    pub auth: Arc<Auth>,
    pub ops: Ops,
    pub metrics: Arc<Metrics>,
    pub access_log: Option<AccessLog>,
    pub audit: Option<AuditLog>,
    pub bucket_logs: BucketLogs,
    pub settings: Settings,
    /// Of messages from peers. None: there are none.
    pub seals: Option<Arc<Seals>>,
    /// Buckets' CORS rules, ready for use.
    pub cors: Compiled<Rules>,
    pub websites: Compiled<Website>,
    /// For the large documents of all connections.
    pub documents: Room,
    /// Of those who sign tokens for roles.
    pub provider_keys: ProviderKeys,
    /// None: only tests go without.
    pub usage: Option<Usage>,
    pub console: Console,
}

impl Gateway {
    /// Whether bytes of the tenant's may still go out of the bucket this month.
    pub fn require_egress(&self, tenant: &TenantId, bucket: &BucketName) -> Result<()> {
        let (of_tenant, of_bucket) = (self.auth.egress_limit(tenant), self.auth.bucket_limits().of(bucket));
        if of_tenant.is_none() && of_bucket.is_none() {
            return Ok(());
        }
        let Some(usage) = &self.usage else { return Ok(()) };
        let scope = if of_tenant.is_some_and(|limit| usage.egress(tenant.as_str()) >= limit) {
            Scope::Tenant
        } else if of_bucket
            .and_then(|(limits, _)| limits.egress_per_month)
            .is_some_and(|limit| usage.egress_of_bucket(bucket.as_str()) >= limit)
        {
            Scope::Bucket
        } else {
            return Ok(());
        };
        let e = Limited::EgressPerMonth.exceeded(scope);
        self.ops.note_limit(&e, Some(tenant), Some(bucket));
        Err(e)
    }
}

/// The gateway as one worker holds it. The worker's requests count references to this, in an `Rc`: a count that all cores
/// share is too dear for each of them.
pub struct WorkersGateway {
    gateway: Arc<Gateway>,
    /// What the worker's requests are counted on. None: usage is not kept.
    pub sheet: Option<Rc<Sheet>>,
}

impl WorkersGateway {
    /// Within the worker's runtime.
    pub fn new(gateway: Arc<Gateway>) -> Self {
        let sheet = gateway.usage.clone().map(Sheet::start);
        WorkersGateway { gateway, sheet }
    }
}

impl std::ops::Deref for WorkersGateway {
    type Target = Gateway;

    fn deref(&self) -> &Gateway {
        &self.gateway
    }
}
