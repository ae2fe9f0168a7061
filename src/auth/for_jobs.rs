//! Grants for work that no request waits for: in the name of the tenant who asked for it, or the gateway's own.
//!
//! Called by `jobs` when a job is claimed, so that a tenant who lost a right meanwhile has lost it for what it had queued as well.
//! There is no request then: what a policy demands of one (an address, TLS, a header) is not given. The refusals are for the
//! job's owner to read.

use crate::auth::Auth;
use crate::auth::action::Action;
use crate::auth::grant::{GatewayGrant, Grant};
use crate::auth::identity::{Caller, Identity};
use crate::auth::target::Target;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{AccessKeyId, BucketName, ObjectKey, TenantId};
use crate::base::object::Bucket;
use crate::base::timestamp::Timestamp;

/// Who asked for a job, as the tenant is now.
#[derive(Debug)]
pub struct Asker(Caller);

impl Auth {
    /// `key`: what the request was signed with, where that is known.
    pub fn asker(&self, tenant: &TenantId, key: Option<&AccessKeyId>, now: Timestamp) -> Result<Asker> {
        let identity = if tenant.is_operator() {
            Identity::Operator
        } else if *tenant == TenantId::anonymous() {
            Identity::Anonymous
        } else {
            Identity::Tenant(self.tenant(tenant).ok_or_else(|| refused("the tenant is gone".into()))?)
        };
        if let Some(id) = key {
            self.require_key(tenant, id, now)?;
        }
        Ok(Asker(Caller { identity, access_key: key.cloned(), ..Caller::anonymous() }))
    }

    fn require_key(&self, tenant: &TenantId, id: &AccessKeyId, now: Timestamp) -> Result<()> {
        let directory = self.directory.load();
        let entry = directory.key(id.as_str()).filter(|entry| entry.identity.id() == tenant);
        match entry.map(|entry| entry.key.refusal(now)) {
            Some(None) => Ok(()),
            Some(Some(_)) => Err(refused(format!("the access key {id} that asked for it is disabled, or has expired"))),
            None => Err(refused(format!("the access key {id} that asked for it is gone"))),
        }
    }

    pub fn grant_for_job(&self, asker: &Asker, action: Action, target: Target<'_>) -> Result<Grant> {
        self.decide(&asker.0, action, target, None).map_err(|_| {
            let (bucket, key) = target.names();
            let place = [bucket.map(BucketName::as_str), key.map(ObjectKey::as_str)].into_iter().flatten().collect::<Vec<_>>().join("/");
            refused(format!("the tenant has no right to {action} {place}").trim_end().to_owned())
        })
    }

    /// Whether there may be a key of the bucket for which it has the right: for a job that knows no keys.
    pub fn may_job_with_some_key(&self, asker: &Asker, action: Action, bucket: &Bucket) -> Result<()> {
        self.decide_for_some_key(&asker.0, action, bucket, None)
            .map_err(|_| refused(format!("the tenant has no right to {action} anything in {}", bucket.name)))
    }

    /// The one place where work becomes the gateway's own. Taken when the kinds of such work are built.
    pub fn gateway(&self) -> GatewayGrant {
        GatewayGrant::new()
    }
}

fn refused(why: String) -> Error {
    Error::new(ErrorKind::AccessDenied, why)
}
