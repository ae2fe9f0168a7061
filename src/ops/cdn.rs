//! What stands between the gateway and those who look at it, as far as `ops` knows: it is told what has changed, and asked
//! to forget. `jobs::purge` implements it.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;

use crate::auth::action::Action;
use crate::auth::grant::Grant;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{AccessKeyId, BucketName, ObjectKey, TenantId};
use crate::cache::purge::{Meant, Purged};
use crate::net::drain::Tracker;
use crate::ops::peers::PeerPurged;
use crate::ops::{Ops, object, wrong_grant};
use crate::origin::Pending;
use crate::queue::JobId;

pub trait Cdn: Send + Sync + 'static {
    /// Whether anybody but this gateway may hold a copy of what the key shows; without a key: of anything in the bucket.
    fn shows(&self, bucket: &BucketName, key: Option<&ObjectKey>) -> bool;

    /// Ok: there is room for one more change of the tenant's.
    fn require_room(&self, tenant: &TenantId) -> Result<()>;

    /// The key has another content now, or none; without a key: who may read what is in the bucket has changed.
    /// Ok: it is durable that the CDN will be told.
    fn changed<'a>(&'a self, tenant: &'a TenantId, bucket: &'a BucketName, key: Option<&'a ObjectKey>) -> Pending<'a, ()>;

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
    /// The stop waits for what `tracker` tracks.
    pub fn with_cdn(self, cdn: Option<Arc<dyn Cdn>>, tracker: Tracker) -> Self {
        Ops { cdn, tracker, ..self }
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
        let cache = self.cache.as_ref()?;
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

    /// Carries out a write of the grant's key, or of who may read its bucket. Where a CDN shows that, the write is answered
    /// when it is durable that the CDN will be told; and once begun both happen, also if the client goes away between the two.
    pub(super) async fn and_tell<T: Send + 'static>(
        &self,
        grant: &Grant,
        write: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (Some(cdn), Some(bucket)) = (&self.cdn, grant.bucket()) else { return write.await };
        if !cdn.shows(bucket, grant.key()) {
            return write.await;
        }
        // Afterwards it would be too late to refuse.
        cdn.require_room(grant.tenant())?;
        let (cdn, tenant, bucket, key) = (cdn.clone(), grant.tenant().clone(), bucket.clone(), grant.key().cloned());
        let both = self.tracker.spawn(async move {
            let done = write.await?;
            cdn.changed(&tenant, &bucket, key.as_ref()).await?;
            Ok(done)
        });
        both.await.map_err(Error::internal)?
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;
    use crate::local::{Local, Settings as StoreSettings};
    use crate::queue::{self, Queue};
    use crate::variants::Variants;
    use crate::variants::settings::Settings as VariantSettings;

    /// Records a change when it is told to.
    #[derive(Default)]
    struct Slow(Notify);

    impl Cdn for Slow {
        fn shows(&self, _: &BucketName, _: Option<&ObjectKey>) -> bool {
            true
        }

        fn require_room(&self, _: &TenantId) -> Result<()> {
            Ok(())
        }

        fn changed<'a>(&'a self, _: &'a TenantId, _: &'a BucketName, _: Option<&'a ObjectKey>) -> Pending<'a, ()> {
            Box::pin(async {
                self.0.notified().await;
                Ok(())
            })
        }

        fn purge<'a>(&'a self, _: &'a TenantId, _: Option<AccessKeyId>, _: Wanted) -> Pending<'a, Vec<JobId>> {
            Box::pin(async { Ok(Vec::new()) })
        }
    }

    #[tokio::test]
    async fn the_stop_waits_for_a_purge_whose_client_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Local::open(StoreSettings { dir: dir.path().join("data"), ..StoreSettings::default() }).unwrap();
        let queue = Queue::open(queue::Settings { dir: dir.path().join("queue"), ..queue::Settings::default() }).unwrap();
        let variants = Variants::start(VariantSettings { dir: dir.path().join("variants"), ..VariantSettings::default() }).unwrap();
        let (cdn, tracker) = (Arc::new(Slow::default()), Tracker::default());
        let ops = Ops::new(store.clone(), variants, queue.clone()).with_cdn(Some(cdn.clone()), tracker.clone());
        let grant = Grant::for_test(
            Action::PutObject,
            &TenantId::parse("acme").unwrap(),
            Some(&BucketName::parse("media").unwrap()),
            Some(&ObjectKey::parse("k").unwrap()),
        );
        tokio::select! {
            biased;
            _ = ops.and_tell(&grant, async { Ok(()) }) => panic!("answered before the purge was recorded"),
            _ = tokio::task::yield_now() => {}
        }
        assert_eq!(tracker.running(), 1);
        cdn.0.notify_one();
        tracker.idle().await;
        queue.close();
        store.close();
    }
}
