//! The proof that a request may be done. `ops` functions demand one, and only `auth` can make it, so a forgotten check
//! does not compile.

use std::net::IpAddr;
use std::sync::Arc;

use crate::auth::action::Action;
use crate::auth::identity::Identity;
use crate::auth::ownership::Becomes;
use crate::base::acl::Acl;
use crate::base::error::{Error, Result};
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::SharedBucket;
use crate::base::object_ref::{ObjectRef, VersionId, VersionSelector};
use crate::origin::Quota;
use crate::telemetry::request_id::RequestId;

#[derive(Debug, Clone)]
pub struct Grant {
    action: Action,
    tenant: TenantId,
    display: Arc<str>,
    bucket: Option<BucketName>,
    key: Option<ObjectKey>,
    /// Of what is under the key. None: the current one.
    version: Option<VersionId>,
    /// None: the action makes nothing.
    becomes: Option<Box<Becomes>>,
    /// None: it changes no object, or no request asked for it.
    asked: Option<Box<Asked>>,
}

/// The request that asked for a change of an object, for those who are told of it.
#[derive(Debug, Clone)]
pub struct Asked {
    pub id: RequestId,
    /// Where it came from.
    pub address: IpAddr,
    /// It was a browser's form.
    pub by_form: bool,
    /// As it was when this was granted.
    pub bucket: SharedBucket,
}

impl Grant {
    pub(super) fn new(
        action: Action,
        identity: &Identity,
        display: Arc<str>,
        bucket: Option<&BucketName>,
        key: Option<&ObjectKey>,
        version: VersionSelector<'_>,
        becomes: Option<Becomes>,
    ) -> Self {
        let (bucket, key, version, becomes) = (bucket.cloned(), key.cloned(), version.id().cloned(), becomes.map(Box::new));
        Grant { action, tenant: identity.id().clone(), display, bucket, key, version, becomes, asked: None }
    }

    /// Asked of changes of objects only: a read costs nothing more.
    pub fn asked_by(self, asked: impl FnOnce() -> Asked) -> Self {
        use Action::*;
        match self.action {
            PutObject
            | DeleteObject
            | DeleteObjectVersion
            | PutObjectAcl
            | PutObjectVersionAcl
            | PutObjectTagging
            | PutObjectVersionTagging
            | DeleteObjectTagging
            | DeleteObjectVersionTagging => Grant { asked: Some(Box::new(asked())), ..self },
            _ => self,
        }
    }

    pub fn asked(&self) -> Option<&Asked> {
        self.asked.as_deref()
    }

    /// For tests and benches of what lies above.
    #[cfg(any(test, feature = "test-util"))]
    pub fn for_test(action: Action, tenant: &TenantId, bucket: Option<&BucketName>, key: Option<&ObjectKey>) -> Self {
        Grant {
            action,
            tenant: tenant.clone(),
            display: tenant.as_str().into(),
            bucket: bucket.cloned(),
            key: key.cloned(),
            version: None,
            becomes: Some(Box::new(Becomes::own(tenant))),
            asked: None,
        }
    }

    pub fn action(&self) -> Action {
        self.action
    }

    /// Who acts.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    pub fn display(&self) -> &str {
        &self.display
    }

    pub fn bucket(&self) -> Option<&BucketName> {
        self.bucket.as_ref()
    }

    pub fn key(&self) -> Option<&ObjectKey> {
        self.key.as_ref()
    }

    pub fn version(&self) -> VersionSelector<'_> {
        self.version.as_ref().into()
    }

    /// None: it is for a bucket, or for none.
    pub fn object(&self) -> Option<ObjectRef<'_>> {
        Some(ObjectRef { bucket: self.bucket.as_ref()?, key: self.key.as_ref()?, version: self.version(), unlock: None })
    }

    /// Whose what is made under this ACL will be, and the limits that it must stay inside. Fails where the bucket takes no such ACL.
    pub fn becomes(&self, acl: &Acl) -> Result<(&TenantId, Quota)> {
        self.made()?.under(acl)
    }

    /// The ACL of what is made, where the request asks for this one, or for none.
    pub fn acl_asked(&self, acl: Option<Acl>) -> Result<Acl> {
        self.made()?.asked(acl)
    }

    /// Fails where ACLs do not count.
    pub fn require_acls(&self) -> Result<()> {
        self.made()?.require_acls()
    }

    fn made(&self) -> Result<&Becomes> {
        self.becomes.as_deref().ok_or_else(|| Error::internal(format!("a grant for {:?} makes nothing", self.action)))
    }
}

/// The proof that work is the gateway's own. It follows from what was acknowledged already, such as bringing a write to where else it
/// must be, and goes on when whoever asked for that has lost the right, or is gone. It opens nothing to anybody.
#[derive(Debug, Clone)]
pub struct GatewayGrant(());

impl GatewayGrant {
    pub(super) fn new() -> Self {
        GatewayGrant(())
    }

    #[cfg(any(test, feature = "test-util"))]
    pub fn for_test() -> Self {
        GatewayGrant(())
    }
}

/// The proof that the operator itself asks.
#[derive(Debug)]
pub struct OperatorGrant(());

impl OperatorGrant {
    pub(super) fn new() -> Self {
        OperatorGrant(())
    }

    #[cfg(any(test, feature = "test-util"))]
    pub fn for_test() -> Self {
        OperatorGrant(())
    }
}
