//! Reads while the origin can't be asked. The replicas that may be read are asked in their order, until one has an answer.
//!
//! A copy is shown as the version of the origin that it is sealed to be, with that version's ETag and time, and marked with the
//! replica's name. That a replica does not have a key says nothing: such an answer is the origin's failure, never a 404.
//! What it shows may be older than what was acknowledged last: by the lag that the metrics tell of.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::{Layer, ListPage, ListQuery, ObjectInfo, SharedBucket, SharedObject};
use crate::base::object_ref::ObjectRef;
use crate::base::range::ByteRange;
use crate::base::tags::Tags;
use crate::ops::breaker::is_silent;
use crate::ops::replicas::target::Target;
use crate::ops::replicas::{Inner, Replicas};
use crate::origin::{Body, Buckets, Freshness, ReadBy, Reads};
use crate::upstream::known::SourceVersion;

/// How long the origin, or a replica, is waited for where another may answer: less than a CDN's patience.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where no replica answered: so long is waited for what the cache in front of the origin may still know.
const BY_HEART: Duration = Duration::from_millis(1500);

fn unreachable() -> Error {
    Error::new(ErrorKind::UpstreamUnavailable, "The storage behind this gateway can't be reached at the moment. Please try again.")
}

impl Inner {
    fn readers(&self, bucket: &BucketName, key: Option<&ObjectKey>) -> Vec<&Target> {
        self.targets.iter().filter(|t| t.settings.read && t.covers(bucket, key)).collect()
    }

    fn has_readers(&self) -> bool {
        self.targets.iter().any(|t| t.settings.read)
    }

    /// A write waits for nobody who is known to be away.
    pub(super) fn require_origin(self: &Arc<Self>) -> Result<()> {
        if self.breaker.is_open() {
            self.probe();
            return Err(Error::new(
                ErrorKind::UpstreamUnavailable,
                "The storage behind this gateway can't be written at the moment: reads are answered from a replica. Please try again.",
            ));
        }
        Ok(())
    }

    /// A failure to answer is one of the origin's. An answer says nothing of it, as the cache may have given it: the probe
    /// alone closes the breaker.
    pub(super) fn judged<T>(&self, answer: Result<T>) -> Result<T> {
        if let Err(e) = &answer
            && is_silent(e)
            && self.has_readers()
        {
            self.failed(e);
        }
        answer
    }

    fn failed(&self, e: &Error) {
        if self.breaker.failed() {
            self.gauges.set_origin_up(false);
            tracing::warn!(error = %e, "the origin can't be asked: reads are answered from replicas, writes are refused");
        }
    }

    /// While the breaker is open the origin is asked how it is, by one task at a time.
    fn probe(self: &Arc<Self>) {
        if !self.breaker.is_open() || self.breaker.leave_alone().is_some() {
            return;
        }
        let inner = self.clone();
        tokio::spawn(async move {
            match timeout(PATIENCE, inner.origin.control.ready()).await {
                Ok(Ok(())) => {
                    if inner.breaker.well() {
                        inner.gauges.set_origin_up(true);
                        tracing::info!("the origin answers again: reads and writes go there");
                    }
                }
                Ok(Err(e)) => inner.failed(&e),
                Err(_) => inner.failed(&unreachable()),
            }
        });
    }

    /// The origin's answer. Err: whether somebody else may be asked is for `Error::is_away` to say.
    async fn asked<T>(self: &Arc<Self>, question: impl Future<Output = Result<T>>) -> Result<T> {
        if self.breaker.is_open() {
            self.probe();
            return Err(unreachable());
        }
        match timeout(PATIENCE, question).await {
            Ok(answer) => self.judged(answer),
            Err(_) => self.judged(Err(Error::new(ErrorKind::GatewayTimeout, "The storage behind this gateway took too long."))),
        }
    }

    pub(super) async fn stat(self: &Arc<Self>, of: ObjectRef<'_>, freshness: Freshness) -> Result<Option<SharedObject>> {
        let readers = self.readers(of.bucket, Some(of.key));
        if readers.is_empty() {
            return self.origin.reads.stat(of, freshness).await;
        }
        let failure = match self.asked(self.origin.reads.stat(of, freshness)).await {
            Err(e) if e.is_away() => e,
            answer => return answer,
        };
        for target in readers {
            let copy = from(target, async { target.upstream().await?.stat_copy(of.bucket, of.key).await }).await.flatten();
            if let Some(copy) = copy
                && let Some(source) = copy.source
            {
                target.gauges.reads.inc();
                return Ok(Some(shown(&copy.object, source, target)));
            }
        }
        if freshness == Freshness::Cached
            && let Ok(Ok(Some(found))) = timeout(BY_HEART, self.origin.reads.stat(of, freshness)).await
        {
            return Ok(Some(found));
        }
        Err(failure)
    }

    pub(super) async fn open(
        self: &Arc<Self>,
        of: ObjectRef<'_>,
        object: &SharedObject,
        range: ByteRange,
        by: ReadBy,
    ) -> Result<Option<Body>> {
        let readers = self.readers(of.bucket, Some(of.key));
        if readers.is_empty() {
            return self.origin.reads.open(of, object, range, by).await;
        }
        let failure = match self.asked(self.origin.reads.open(of, object, range, by)).await {
            Err(e) if e.is_away() => e,
            answer => return answer,
        };
        for target in readers {
            let body = from(target, async {
                let upstream = target.upstream().await?;
                let copy = upstream.stat_copy(of.bucket, of.key).await?;
                // That version, or none.
                match copy.filter(|copy| copy.source == Some(SourceVersion::of(object))) {
                    Some(copy) => upstream.open(of, &copy.object, range, by).await,
                    None => Ok(None),
                }
            });
            if let Some(body) = body.await.flatten() {
                return Ok(Some(body));
            }
        }
        match timeout(BY_HEART, self.origin.reads.open(of, object, range, by)).await {
            Ok(Ok(Some(body))) => Ok(Some(body)),
            _ => Err(failure),
        }
    }

    /// Of a copy they are the replica's.
    pub(super) async fn tags(&self, of: ObjectRef<'_>, object: &SharedObject) -> Result<Option<Tags>> {
        let Layer::Replica(name) = &object.layer else { return self.origin.reads.tags(of, object).await };
        let Some(target) = self.targets.iter().find(|t| t.name == *name) else { return Ok(None) };
        let upstream = target.upstream().await?;
        let copy = upstream.stat_copy(of.bucket, of.key).await?;
        match copy.filter(|copy| copy.source == Some(SourceVersion::of(object))) {
            Some(copy) => upstream.tags(of, &copy.object).await,
            None => Ok(None),
        }
    }

    pub(super) async fn list(self: &Arc<Self>, bucket: &BucketName, query: &ListQuery) -> Result<ListPage> {
        // A replica that has only a part of the bucket has no listing of it.
        let whole = |t: &&Target| t.prefixes(bucket).first().is_some_and(String::is_empty);
        let readers: Vec<&Target> = self.readers(bucket, None).into_iter().filter(whole).collect();
        if readers.is_empty() {
            return self.origin.reads.list(bucket, query).await;
        }
        let failure = match self.asked(self.origin.reads.list(bucket, query)).await {
            Err(e) if e.is_away() => e,
            answer => return answer,
        };
        for target in readers {
            if let Some(page) = from(target, async { target.upstream().await?.list(bucket, query).await }).await {
                target.gauges.reads.inc();
                return Ok(ListPage { replica: Some(target.name.clone()), ..page });
            }
        }
        Err(failure)
    }

    /// What is known of it at the origin, however old, before what a replica says: who may read is the origin's to say.
    pub(super) async fn bucket(self: &Arc<Self>, name: &BucketName) -> Result<Option<SharedBucket>> {
        let readers = self.readers(name, None);
        if readers.is_empty() {
            return self.origin.buckets.bucket(name).await;
        }
        let asked = if self.breaker.is_open() {
            self.probe();
            timeout(BY_HEART, self.origin.buckets.bucket(name)).await.unwrap_or_else(|_| Err(unreachable()))
        } else {
            self.asked(self.origin.buckets.bucket(name)).await
        };
        let failure = match asked {
            Err(e) if e.is_away() => e,
            answer => return answer,
        };
        for target in readers {
            if let Some(Some(found)) = from(target, async { target.upstream().await?.bucket(name).await }).await {
                return Ok(Some(found));
            }
        }
        Err(failure)
    }

    pub(super) async fn buckets(
        self: &Arc<Self>,
        owner: Option<&TenantId>,
        prefix: &str,
        after: &str,
        max: usize,
    ) -> Result<Vec<SharedBucket>> {
        let whole = |t: &&Target| t.settings.read && t.settings.only.is_empty();
        let readers: Vec<&Target> = self.targets.iter().filter(whole).collect();
        if readers.is_empty() {
            return self.origin.buckets.buckets(owner, prefix, after, max).await;
        }
        let failure = match self.asked(self.origin.buckets.buckets(owner, prefix, after, max)).await {
            Err(e) if e.is_away() => e,
            answer => return answer,
        };
        for target in readers {
            let found = from(target, async { target.upstream().await?.buckets(owner, prefix, after, max).await });
            if let Some(found) = found.await {
                return Ok(found);
            }
        }
        Err(failure)
    }
}

/// What the replica answers; None: nothing, or not in time.
async fn from<T>(target: &Target, question: impl Future<Output = Result<T>>) -> Option<T> {
    if target.breaker.leave_alone().is_some() {
        return None;
    }
    match timeout(PATIENCE, question).await {
        Ok(Ok(answer)) => {
            target.well();
            Some(answer)
        }
        Ok(Err(e)) => {
            tracing::debug!(replica = %target.name, error = %e, "a replica could not answer a read");
            target.failed(&e);
            None
        }
        Err(_) => {
            target.failed(&unreachable());
            None
        }
    }
}

/// The copy as the version of the origin that it is.
fn shown(copy: &ObjectInfo, source: SourceVersion, target: &Target) -> SharedObject {
    Arc::new(ObjectInfo {
        etag: source.etag,
        modified: source.modified,
        generation: source.generation,
        layer: Layer::Replica(target.name.clone()),
        ..copy.clone()
    })
}

impl Replicas {
    /// Whether reads go to replicas at the moment.
    pub fn has_failed_over(&self) -> bool {
        self.0.breaker.is_open()
    }
}
