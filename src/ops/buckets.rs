//! Buckets: make, list, remove, their documents and ACL, and the listings of what is in them.

use std::collections::BTreeMap;

use crate::auth::action::Action;
use crate::auth::grant::Grant;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::MAX_BUCKETS_PER_TENANT;
use crate::base::names::{BucketName, TenantId};
use crate::base::object::{Bucket, BucketDocument, CannedAcl, ListPage, ListQuery, SharedBucket};
use crate::base::timestamp::Timestamp;
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

    pub async fn create_bucket(&self, grant: &Grant, acl: CannedAcl, documents: BTreeMap<BucketDocument, Vec<u8>>) -> Result<SharedBucket> {
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
        self.change_policy(grant, bucket(grant, Action::PutBucketPolicy)?, Some(policy)).await
    }

    pub async fn delete_bucket_policy(&self, grant: &Grant) -> Result<()> {
        self.change_policy(grant, bucket(grant, Action::DeleteBucketPolicy)?, None).await
    }

    /// What was public may be kept by a CDN. Which keys that are is not asked, since a policy may depend on anything; nor
    /// whether this is a change at all: it may be the repetition of one whose purge could not be recorded.
    async fn change_policy(&self, grant: &Grant, bucket: &BucketName, policy: Option<Vec<u8>>) -> Result<()> {
        let (buckets, bucket) = (self.origin.buckets.clone(), bucket.clone());
        let write = async move { buckets.set_bucket_document(&bucket, BucketDocument::Policy, policy).await };
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

    pub async fn set_bucket_acl(&self, grant: &Grant, acl: CannedAcl) -> Result<()> {
        let (buckets, bucket) = (self.origin.buckets.clone(), bucket(grant, Action::PutBucketAcl)?.clone());
        grant.becomes(acl)?;
        self.change(grant, What::Rights, async move { buckets.set_bucket_acl(&bucket, acl).await }).await
    }

    /// For ListObjects and ListObjectVersions, which differ in what they may see, not in what there is.
    pub async fn list(&self, grant: &Grant, query: &ListQuery) -> Result<ListPage> {
        let action = if grant.action() == Action::ListBucketVersions { Action::ListBucketVersions } else { Action::ListBucket };
        self.origin.reads.list(bucket(grant, action)?, query).await
    }

    pub async fn list_uploads(&self, grant: &Grant, query: &UploadsQuery) -> Result<UploadsPage> {
        self.origin.uploads.uploads(bucket(grant, Action::ListBucketMultipartUploads)?, query).await
    }
}
