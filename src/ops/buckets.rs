//! Buckets: make, list, remove, their documents and ACL, and the listings of what is in them.

use std::collections::BTreeMap;

use crate::auth::action::Action;
use crate::auth::grant::{GatewayGrant, Grant};
use crate::base::bucket_lock::BucketLock;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::MAX_BUCKETS_PER_TENANT;
use crate::base::names::{BucketName, TenantId};
use crate::base::notification::Notifications;
use crate::base::object::{Acl, Bucket, BucketDocument, ListPage, ListQuery, SharedBucket};
use crate::base::timestamp::Timestamp;
use crate::base::versions::{Versioning, VersionsPage, VersionsQuery};
use crate::ops::changes::What;
use crate::ops::{Ops, bucket, wrong_grant};
use crate::origin::{UploadsPage, UploadsQuery};

impl Ops {
    /// The caller's own buckets; the operator sees all.
    pub async fn list_buckets(&self, grant: &Grant, prefix: &str, after: &str, max: usize) -> Result<Vec<SharedBucket>> {
        if grant.action() != Action::ListAllMyBuckets {
            return Err(wrong_grant(grant, Action::ListAllMyBuckets));
        }
        let owner = grant.tenant();
        let owner: Option<&TenantId> = if owner.is_operator() { None } else { Some(owner) };
        self.origin.buckets.buckets(owner, prefix, after, max).await
    }

    pub async fn create_bucket(&self, grant: &Grant, acl: Acl, documents: BTreeMap<BucketDocument, Vec<u8>>) -> Result<SharedBucket> {
        let name: &BucketName = bucket(grant, Action::CreateBucket)?;
        let owner = grant.tenant();
        if self.origin.buckets.buckets(Some(owner), "", "", MAX_BUCKETS_PER_TENANT).await?.len() >= MAX_BUCKETS_PER_TENANT
            && self.origin.buckets.bucket(name).await?.is_none()
        {
            return Err(Error::new(ErrorKind::TooManyBuckets, "You have attempted to create more buckets than allowed."));
        }
        let fresh = Bucket {
            name: name.clone(),
            owner: owner.clone(),
            created: Timestamp::now(),
            acl,
            documents,
            generation: 0,
            unknown: Default::default(),
        };
        let buckets = self.origin.buckets.clone();
        self.change(grant, What::Bucket, async move { buckets.create_bucket(fresh).await }).await
    }

    pub async fn delete_bucket(&self, grant: &Grant) -> Result<()> {
        let (buckets, name) = (self.origin.buckets.clone(), bucket(grant, Action::DeleteBucket)?.clone());
        self.change(grant, What::Bucket, async move { buckets.delete_bucket(&name).await }).await
    }

    pub async fn set_bucket_policy(&self, grant: &Grant, policy: Vec<u8>) -> Result<()> {
        self.set_rights(bucket(grant, Action::PutBucketPolicy)?, grant, BucketDocument::Policy, Some(policy)).await
    }

    pub async fn delete_bucket_policy(&self, grant: &Grant) -> Result<()> {
        self.set_rights(bucket(grant, Action::DeleteBucketPolicy)?, grant, BucketDocument::Policy, None).await
    }

    /// What was public may be kept by a CDN. Which keys that are is not asked, since a policy may depend on anything; nor
    /// whether this is a change at all: it may be the repetition of one whose purge could not be recorded.
    async fn set_rights(&self, bucket: &BucketName, grant: &Grant, document: BucketDocument, value: Option<Vec<u8>>) -> Result<()> {
        let (buckets, bucket) = (self.origin.buckets.clone(), bucket.clone());
        let write = async move { buckets.set_bucket_document(&bucket, document, value).await };
        self.change(grant, What::Rights, write).await
    }

    /// None: there are no rules any more.
    pub async fn set_bucket_cors(&self, grant: &Grant, rules: Option<Vec<u8>>) -> Result<()> {
        let (buckets, name) = (self.origin.buckets.clone(), bucket(grant, Action::PutBucketCORS)?.clone());
        self.change(grant, What::Bucket, async move { buckets.set_bucket_document(&name, BucketDocument::Cors, rules).await }).await
    }

    /// As a document. None: there are no tags any more.
    pub async fn set_bucket_tags(&self, grant: &Grant, tags: Option<Vec<u8>>) -> Result<()> {
        let (buckets, name) = (self.origin.buckets.clone(), bucket(grant, Action::PutBucketTagging)?.clone());
        self.change(grant, What::Bucket, async move { buckets.set_bucket_document(&name, BucketDocument::Tagging, tags).await }).await
    }

    /// The document of rules. None: there are none any more.
    pub async fn set_bucket_lifecycle(&self, grant: &Grant, rules: Option<Vec<u8>>) -> Result<()> {
        let (buckets, name) = (self.origin.buckets.clone(), bucket(grant, Action::PutLifecycleConfiguration)?.clone());
        self.change(grant, What::Bucket, async move { buckets.set_bucket_document(&name, BucketDocument::Lifecycle, rules).await }).await
    }

    /// None: none is chosen any more.
    pub async fn set_bucket_ownership(&self, grant: &Grant, ownership: Option<Vec<u8>>) -> Result<()> {
        self.set_rights(bucket(grant, Action::PutBucketOwnershipControls)?, grant, BucketDocument::Ownership, ownership).await
    }

    /// None: nothing is blocked any more.
    pub async fn set_public_access_block(&self, grant: &Grant, block: Option<Vec<u8>>) -> Result<()> {
        self.set_rights(bucket(grant, Action::PutBucketPublicAccessBlock)?, grant, BucketDocument::PublicAccessBlock, block).await
    }

    /// None: it is no website any more. What a site shows of the bucket is another then, under every path.
    pub async fn set_bucket_website(&self, grant: &Grant, website: Option<Vec<u8>>) -> Result<()> {
        let action = if website.is_some() { Action::PutBucketWebsite } else { Action::DeleteBucketWebsite };
        self.set_rights(bucket(grant, action)?, grant, BucketDocument::Website, website).await
    }

    /// Whether there is a bucket whose requests are logged to a bucket.
    pub async fn some_bucket_is_logged(&self, _: &GatewayGrant) -> Result<bool> {
        let mut after = String::new();
        loop {
            let page = self.origin.buckets.buckets(None, "", &after, MAX_BUCKETS_PER_TENANT).await?;
            if page.iter().any(|bucket| bucket.documents.contains_key(&BucketDocument::Logging)) {
                return Ok(true);
            }
            match page.last() {
                Some(last) if page.len() >= MAX_BUCKETS_PER_TENANT => after = last.name.to_string(),
                _ => return Ok(false),
            }
        }
    }

    /// None: its requests are logged to no bucket any more.
    pub async fn set_bucket_logging(&self, grant: &Grant, logging: Option<Vec<u8>>) -> Result<()> {
        let (buckets, name) = (self.origin.buckets.clone(), bucket(grant, Action::PutBucketLogging)?.clone());
        self.change(grant, What::Bucket, async move { buckets.set_bucket_document(&name, BucketDocument::Logging, logging).await }).await
    }

    /// Without any, nobody is told of what happens in the bucket. `owner` is the bucket's; `test`: the id of the request, where each webhook is to be
    /// told of the configuration itself.
    pub async fn set_bucket_notifications(
        &self,
        grant: &Grant,
        owner: &TenantId,
        notifications: Notifications,
        test: Option<&str>,
    ) -> Result<()> {
        let (buckets, name) = (self.origin.buckets.clone(), bucket(grant, Action::PutBucketNotification)?.clone());
        let events = self.events()?;
        events.check(owner, &notifications)?;
        let value = if notifications.0.is_empty() { None } else { Some(notifications.stored()?) };
        let of = name.clone();
        let write = async move { buckets.set_bucket_document(&name, BucketDocument::Notification, value).await };
        self.change(grant, What::Bucket, write).await?;
        match test {
            Some(request) => events.send_test(&of, &notifications, request).await,
            None => Ok(()),
        }
    }

    pub async fn set_bucket_acl(&self, grant: &Grant, acl: Acl) -> Result<()> {
        let (buckets, bucket) = (self.origin.buckets.clone(), bucket(grant, Action::PutBucketAcl)?.clone());
        grant.becomes(&acl)?;
        self.change(grant, What::Rights, async move { buckets.set_bucket_acl(&bucket, acl).await }).await
    }

    pub async fn list(&self, grant: &Grant, query: &ListQuery) -> Result<ListPage> {
        self.origin.reads.list(bucket(grant, Action::ListBucket)?, query).await
    }

    pub async fn list_versions(&self, grant: &Grant, query: &VersionsQuery) -> Result<VersionsPage> {
        self.origin.reads.list_versions(bucket(grant, Action::ListBucketVersions)?, query).await
    }

    /// A bucket that locks objects keeps their versions for good.
    pub async fn set_versioning(&self, grant: &Grant, enabled: bool) -> Result<()> {
        let name = bucket(grant, Action::PutBucketVersioning)?.clone();
        let _alone = self.settings.lock().await;
        if !enabled && self.origin.buckets.bucket(&name).await?.is_some_and(|b| b.documents.contains_key(&BucketDocument::ObjectLock)) {
            let text = "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.";
            return Err(Error::new(ErrorKind::InvalidBucketState, text));
        }
        let (buckets, state) = (self.origin.buckets.clone(), if enabled { Versioning::Enabled } else { Versioning::Suspended });
        let value = state.name().map(|name| name.as_bytes().to_vec());
        self.change(grant, What::Bucket, async move { buckets.set_bucket_document(&name, BucketDocument::Versioning, value).await }).await
    }

    /// What is locked needs a bucket that keeps versions.
    pub async fn set_bucket_lock(&self, grant: &Grant, lock: BucketLock) -> Result<()> {
        let name = bucket(grant, Action::PutBucketObjectLockConfiguration)?.clone();
        let _alone = self.settings.lock().await;
        if self.origin.buckets.bucket(&name).await?.is_none_or(|b| b.versioning() != Versioning::Enabled) {
            let text = "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration";
            return Err(Error::new(ErrorKind::InvalidBucketState, text));
        }
        let (buckets, value) = (self.origin.buckets.clone(), Some(lock.document().into_bytes()));
        self.change(grant, What::Bucket, async move { buckets.set_bucket_document(&name, BucketDocument::ObjectLock, value).await }).await
    }

    pub async fn list_uploads(&self, grant: &Grant, query: &UploadsQuery) -> Result<UploadsPage> {
        self.origin.uploads.uploads(bucket(grant, Action::ListBucketMultipartUploads)?, query).await
    }
}
