//! The old store of one bucket, asked with little patience: while it is away, that is found out once for many readers.

use std::time::Duration;

use tokio::time::timeout;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{ObjectKey, TenantId};
use crate::base::object::{ListPage, ListQuery, SharedObject};
use crate::base::range::ByteRange;
use crate::base::tags::Tags;
use crate::ops::breaker::Breaker;
use crate::origin::Body;
use crate::telemetry::shadows::Shadow as Gauges;
use crate::upstream::old::{OldObject, OldStore};

/// Until an answer begins; less than a CDN's.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Old {
    pub gauges: Gauges,
    store: OldStore,
    breaker: Breaker,
    bucket: String,
}

impl Old {
    /// `bucket`: the gateway's.
    pub fn new(store: OldStore, bucket: &str, gauges: Gauges) -> Self {
        gauges.up.set(1);
        Old { gauges, store, breaker: Breaker::default(), bucket: bucket.to_owned() }
    }

    pub async fn stat(&self, key: &ObjectKey, owner: &TenantId) -> Result<Option<OldObject>> {
        self.asked(self.store.stat(key, owner)).await
    }

    pub async fn open(&self, key: &ObjectKey, object: &SharedObject, range: ByteRange) -> Result<Option<Body>> {
        self.asked(self.store.open(key, object, range)).await
    }

    pub async fn with_parts(&self, key: &ObjectKey, object: &SharedObject) -> Result<SharedObject> {
        self.asked(self.store.with_parts(key, object)).await
    }

    pub async fn tags(&self, key: &ObjectKey) -> Result<Tags> {
        self.asked(self.store.tags(key)).await
    }

    pub async fn list(&self, owner: &TenantId, query: &ListQuery) -> Result<ListPage> {
        self.asked(self.store.list(owner, query)).await
    }

    async fn asked<T>(&self, question: impl Future<Output = Result<T>>) -> Result<T> {
        if self.breaker.leave_alone().is_some() {
            return Err(away());
        }
        match timeout(PATIENCE, question).await {
            Ok(Err(e)) if e.is_away() => Err(self.failed(e)),
            Ok(answer) => {
                self.gauges.up.set(1);
                if self.breaker.well() {
                    tracing::info!(bucket = self.bucket, "the old store answers again");
                }
                answer
            }
            Err(_) => Err(self.failed(Error::new(ErrorKind::GatewayTimeout, "it took too long"))),
        }
    }

    fn failed(&self, e: Error) -> Error {
        self.gauges.up.set(0);
        if self.breaker.failed() {
            tracing::warn!(bucket = self.bucket, error = %e, "the old store can't be asked: what only it has is answered 503");
        }
        away().caused_by(e)
    }
}

fn away() -> Error {
    Error::new(ErrorKind::UpstreamUnavailable, "The old store that this bucket grew out of can't be asked at the moment. Please try again.")
}
