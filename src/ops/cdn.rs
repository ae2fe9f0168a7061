//! What stands between the gateway and those who look at it, as far as `ops` knows: it is told what has changed, and asked
//! to forget. `jobs::purge` implements it.

use std::future::Future;
use std::sync::Arc;

use crate::auth::action::Action;
use crate::auth::grant::Grant;
use crate::base::error::{Error, Result};
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::ops::{Ops, object, wrong_grant};
use crate::origin::Answer;
use crate::queue::JobId;

pub trait Cdn: Send + Sync + 'static {
    /// Whether anybody but this gateway may hold a copy of what the key shows.
    fn shows(&self, bucket: &BucketName, key: &ObjectKey) -> bool;

    /// The key has another content now, or none. Ok: it is durable that the CDN will be told.
    fn changed<'a>(&'a self, tenant: &'a TenantId, bucket: &'a BucketName, key: &'a ObjectKey) -> Answer<'a, ()>;

    /// Jobs that will make it forget. Fails with InvalidRequest where there is nothing to forget.
    fn purge<'a>(&'a self, tenant: &'a TenantId, wanted: Wanted) -> Answer<'a, Vec<JobId>>;
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub keys: Vec<(BucketName, ObjectKey)>,
    pub prefixes: Vec<(BucketName, String)>,
    pub tags: Vec<String>,
}

/// The right to purge a list of tags: `auth` was asked for it, and whether each tag is one of the tenant's was too.
pub struct TagGrant {
    pub grant: Grant,
    pub tags: Vec<String>,
}

impl Ops {
    pub fn with_cdn(self, cdn: Option<Arc<dyn Cdn>>) -> Self {
        Ops { cdn, ..self }
    }

    /// `prefixes` are grants for the key `PREFIX*`.
    pub async fn purge(&self, keys: &[Grant], prefixes: &[Grant], tags: Option<TagGrant>) -> Result<Vec<JobId>> {
        let mut wanted = Wanted::default();
        for grant in keys {
            let (bucket, key) = object(grant, &[Action::Purge])?;
            wanted.keys.push((bucket.clone(), key.clone()));
        }
        for grant in prefixes {
            let (bucket, pattern) = object(grant, &[Action::Purge])?;
            let prefix = pattern.as_str().strip_suffix('*').ok_or_else(|| Error::internal("a prefix without its star"))?;
            wanted.prefixes.push((bucket.clone(), prefix.to_owned()));
        }
        let tenant = keys.iter().chain(prefixes).chain(tags.as_ref().map(|t| &t.grant)).next().map(|g| g.tenant().clone());
        if let Some(TagGrant { grant, tags }) = tags {
            if grant.action() != Action::PurgeTags {
                return Err(wrong_grant(&grant, Action::PurgeTags));
            }
            wanted.tags = tags;
        }
        match (&self.cdn, tenant) {
            (Some(cdn), Some(tenant)) => cdn.purge(&tenant, wanted).await,
            _ => Err(Error::new(
                crate::base::error::ErrorKind::InvalidRequest,
                "There is nothing to purge: no site of this gateway has a CDN, or nothing was named.",
            )),
        }
    }

    /// Carries out a write of the grant's key. Where a CDN shows the key, the write is answered when it is durable that
    /// the CDN will be told; and once begun both happen, also if the client goes away between the two.
    pub(super) async fn and_tell<T: Send + 'static>(
        &self,
        grant: &Grant,
        write: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (Some(cdn), Some(bucket), Some(key)) = (&self.cdn, grant.bucket(), grant.key()) else { return write.await };
        if !cdn.shows(bucket, key) {
            return write.await;
        }
        let (cdn, tenant, bucket, key) = (cdn.clone(), grant.tenant().clone(), bucket.clone(), key.clone());
        let both = tokio::spawn(async move {
            let done = write.await?;
            cdn.changed(&tenant, &bucket, &key).await?;
            Ok(done)
        });
        both.await.map_err(Error::internal)?
    }
}
