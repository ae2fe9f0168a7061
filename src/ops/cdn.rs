//! Purges: our own cache, those of the peers, and the CDN in front of the gateway are asked to forget.

use std::collections::HashSet;
use std::sync::Arc;

use crate::auth::action::Action;
use crate::auth::grant::Grant;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{AccessKeyId, BucketName, ObjectKey, TenantId};
use crate::base::object_ref::ObjectRef;
use crate::cache::purge::{Meant, Purged};
use crate::ops::peers::PeerPurged;
use crate::ops::{Ops, object, wrong_grant};
use crate::origin::Pending;
use crate::queue::JobId;

/// What stands between the gateway and those who look at it. `jobs::purge` implements it; what changes it hears as a `Follower`.
pub trait Cdn: Send + Sync + 'static {
    /// Jobs that will make it forget. Fails with InvalidRequest where there is nothing to forget.
    /// `asked_by`: the access key of whoever asks.
    fn purge<'a>(&'a self, tenant: &'a TenantId, asked_by: Option<AccessKeyId>, wanted: Wanted) -> Pending<'a, Vec<JobId>>;
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub keys: Vec<(BucketName, ObjectKey)>,
    pub prefixes: Vec<(BucketName, String)>,
    pub tags: Vec<String>,
}

/// What became of a purge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgeBegun {
    /// Of those who tell the CDN.
    pub jobs: Vec<JobId>,
    /// What our own cache forgot; None: it was not asked.
    pub cached: Option<Purged>,
    /// What the other nodes forgot, or will.
    pub peers: Vec<PeerPurged>,
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

    /// `prefixes` are grants for the key `PREFIX*`. Our own cache and those of the
    /// peers forget first, so that a CDN which asks anew gets what is there.
    pub async fn purge(
        &self,
        keys: &[Grant],
        prefixes: &[Grant],
        tags: Option<TagGrant>,
        soft: bool,
        asked_by: Option<AccessKeyId>,
    ) -> Result<PurgeBegun> {
        let mut wanted = Wanted::default();
        for grant in keys {
            let ObjectRef { bucket, key, .. } = object(grant, &[Action::Purge])?;
            wanted.keys.push((bucket.clone(), key.clone()));
        }
        for grant in prefixes {
            let ObjectRef { bucket, key: pattern, .. } = object(grant, &[Action::Purge])?;
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
        let cached = self.purge_cache(&wanted, soft).await;
        let peers = match (&self.peers, &tenant) {
            (Some(peers), Some(tenant)) => {
                let mut purged = peers.purge(tenant, &wanted, soft).await?;
                if !tenant.is_operator() {
                    purged.iter_mut().for_each(|p| p.peer = None);
                }
                purged
            }
            _ => Vec::new(),
        };
        let jobs = match (&self.cdn, tenant) {
            (Some(cdn), Some(tenant)) => cdn.purge(&tenant, asked_by, wanted).await,
            _ => Err(Error::new(
                ErrorKind::InvalidRequest,
                "There is nothing to purge: no site of this gateway has a CDN, or nothing was named.",
            )),
        };
        match jobs {
            Ok(jobs) => Ok(PurgeBegun { jobs, cached, peers }),
            // No CDN shows it, but here it was kept.
            Err(e) if e.kind() == ErrorKind::InvalidRequest && cached.is_some() => Ok(PurgeBegun { jobs: Vec::new(), cached, peers }),
            Err(e) => Err(e),
        }
    }

    /// None: there is no cache, or nothing was named.
    pub(super) async fn purge_cache(&self, wanted: &Wanted, soft: bool) -> Option<Purged> {
        let cache = self.layers.cache.as_ref()?;
        let keys = wanted.keys.iter().map(|(bucket, key)| Meant::Key(bucket.clone(), key.clone()));
        let prefixes = wanted.prefixes.iter().map(|(bucket, prefix)| Meant::Prefix(bucket.clone(), prefix.clone()));
        let tags: HashSet<String> = wanted.tags.iter().map(|t| t.to_ascii_lowercase()).collect();
        let tags = (!tags.is_empty()).then_some(Meant::Tags(tags));
        let mut sum: Option<Purged> = None;
        for meant in keys.chain(prefixes).chain(tags) {
            let purged = if soft { cache.soften(meant).await } else { cache.forget(meant).await };
            let sum = sum.get_or_insert_default();
            sum.objects += purged.objects;
            sum.blocks += purged.blocks;
        }
        sum
    }
}
