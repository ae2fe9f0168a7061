//! Fetches what lies at an address elsewhere, see `ops::fetch`: begun at once, gone on with where its connection broke, tried until the
//! address expires.
//!
//! In the name of the tenant who asked, by grants made when it is claimed. Begun again after a crash it fetches anew, and finds what it stored
//! where the hash was told. A reason never holds the address.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, interval};

use crate::auth::{Action, Target};
use crate::base::digest::Sha256;
use crate::base::error::Error;
use crate::base::object::{SharedBucket, SharedObject};
use crate::base::object_ref::{ObjectRef, VersionSelector};
use crate::jobs::landing::{self, Hands, Landing, Told, fault};
use crate::jobs::{asker, refused};
use crate::ops::fetch::{Document, KIND, Settings, VERSION};
use crate::origin::Freshness;
use crate::outbound::download::{self, Failed, Source};
use crate::outbound::target::Trouble;
use crate::queue::kind::{Backoff, Work};
use crate::queue::{Attempt, Fault, Kind};

const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// What looks as if it would never go well is tried so often all the same: stores show new objects late.
const SECOND_LOOKS: u32 = 4;

pub struct Fetch {
    pub hands: Hands,
    pub settings: Settings,
}

impl Kind for Fetch {
    fn name(&self) -> &'static str {
        KIND
    }

    fn patience(&self) -> Duration {
        SIGN_OF_LIFE * 12
    }

    fn backoff(&self) -> Backoff {
        Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) }
    }

    fn run<'a>(&'a self, attempt: &'a Attempt) -> Work<'a> {
        Box::pin(async move {
            let document: Document = attempt.document(VERSION)?;
            let stop = Instant::now() + self.settings.time;
            let late = format!("it took longer than {} s (fetch.time)", self.settings.time.as_secs());
            tokio::time::timeout_at(stop, self.fetch(attempt, document)).await.unwrap_or_else(|_| Err(Fault::retry(late)))
        })
    }
}

impl Fetch {
    async fn fetch(&self, attempt: &Attempt, document: Document) -> Result<Option<Value>, Fault> {
        let Hands { ops, auth } = &self.hands;
        let asker = asker(auth, &attempt.job)?;
        let bucket = landing::bucket(ops, &document.bucket).await?;
        let target = Target::Object { bucket: &bucket, key: &document.key, version: VersionSelector::Current, object: None };
        auth.grant_for_job(&asker, Action::Fetch, target).map_err(refused)?;
        let landing = Landing::at(ops, auth, &asker, &bucket, &document.key)?;
        let sha256 = document.sha256.as_deref().and_then(Sha256::from_hex);
        if let Some(there) = self.stored_before(attempt, &bucket, &document, sha256).await? {
            return Ok(Some(told(&document, &there)));
        }
        let source = Source {
            url: document.url.clone(),
            headers: HeaderMap::new(),
            reach: self.settings.reach(),
            stall: self.settings.stall,
            max: self.settings.max_bytes,
        };
        let download = download::open(source).await.map_err(|e| why(attempt, e))?;
        let mut new = landing.new_object(landing::headers_of(&download.headers)).await?;
        let staging = landing.staging(&new, download.length, self.settings.max_bytes).await?;
        let (heard, length) = (download.told.clone(), download.length);
        let taking = landing::take_in(download, self.settings.max_bytes, &staging);
        tokio::pin!(taking);
        let mut life = interval(SIGN_OF_LIFE);
        let received = loop {
            tokio::select! {
                taken = &mut taking => break taken,
                _ = life.tick() => attempt.progress(heard.received(), length.unwrap_or(0), "on its way here"),
            }
        };
        let received = received.map_err(|e: Error| heard.failed().map_or_else(|| fault(e), |failed| why(attempt, failed)))?;
        let wanted = Told { content_type: document.content_type.clone(), sha256, bytes: document.bytes };
        let content_type = landing::content_type(&received, &wanted, &new.headers.content_type, document.key.as_str());
        new.headers.content_type = content_type.map_err(|text| perhaps(attempt, text, None))?;
        let stored = landing.store(new, received).await?;
        Ok(Some(told(&document, &stored)))
    }

    /// By an attempt that was cut off after its last step.
    async fn stored_before(
        &self,
        attempt: &Attempt,
        bucket: &SharedBucket,
        document: &Document,
        sha256: Option<Sha256>,
    ) -> Result<Option<SharedObject>, Fault> {
        let Some(sha256) = sha256.filter(|_| attempt.job.attempts > 1) else { return Ok(None) };
        let of = ObjectRef::current(&bucket.name, &document.key);
        let found = self.hands.ops.object_for_decision(of, Freshness::Current).await.map_err(fault)?;
        Ok(found.filter(|found| landing::is_there(Some(found), &attempt.job.tenant, &sha256)))
    }
}

fn told(document: &Document, object: &SharedObject) -> Value {
    json!({
        "bucket": document.bucket,
        "key": document.key,
        "bytes": object.size,
        "etag": object.etag.quoted(),
        "sha256": object.sha256.map(|sha256| sha256.digest().hex()),
        "content_type": object.headers.content_type,
    })
}

fn why(attempt: &Attempt, failed: Failed) -> Fault {
    match failed {
        Failed::Trouble(Trouble::Refused(text)) => Fault::dead(format!("the url can't be fetched: {text}")),
        Failed::Trouble(Trouble::Unsent(text) | Trouble::Unanswered(text)) => Fault::retry(format!("the source: {text}")),
        Failed::TooLarge(max) => Fault::dead(format!("the source has more than {max} bytes (fetch.max_size)")),
        Failed::Anew(text) => Fault::retry(format!("the source: {text}")),
        Failed::Status { status, retry_after } => {
            let text = format!("the source answered {status}");
            match status {
                StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                    Fault::Retry { reason: text, after: retry_after }
                }
                StatusCode::GONE | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_ACCEPTABLE => Fault::dead(text),
                _ if status.is_client_error() => perhaps(attempt, text, retry_after),
                _ => Fault::Retry { reason: text, after: retry_after },
            }
        }
    }
}

fn perhaps(attempt: &Attempt, reason: String, after: Option<Duration>) -> Fault {
    if attempt.job.attempts < SECOND_LOOKS { Fault::Retry { reason, after } } else { Fault::Dead { reason } }
}
