//! What a kind of background work implements, and what one attempt of it is given.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::queue::job::{Job, Payload};
use crate::queue::shared::{Live, Progress};

/// Ok: what there is to tell, as a JSON document.
pub type Work<'a> = Pin<Box<dyn Future<Output = Result<Option<serde_json::Value>, Fault>> + Send + 'a>>;

pub trait Kind: Send + Sync + 'static {
    /// Also its name in the API and in metrics. Never changed: stored jobs go by it.
    fn name(&self) -> &'static str;

    /// Attempts at once, over all tenants; the configuration may allow fewer.
    fn at_once(&self) -> u32 {
        u32::MAX
    }

    /// Its attempts do nothing but wait for somebody else most of their time: they take no worker, and count for no limit but its own.
    fn waits(&self) -> bool {
        false
    }

    /// Attempts of one tenant at once, beside what the configuration allows.
    fn of_tenant(&self) -> u32 {
        u32::MAX
    }

    /// An attempt that neither ends nor reports progress for this long is cut off, and counts as failed.
    fn patience(&self) -> Duration {
        Duration::from_secs(300)
    }

    fn backoff(&self) -> Backoff {
        Backoff { first: Duration::from_secs(2), most: Duration::from_secs(600) }
    }

    /// One attempt. It may be dropped at any await (cancel, stop), may panic, and may be begun again after its last step
    /// was done. Work that fills a core belongs on `spawn_blocking`.
    fn run<'a>(&'a self, attempt: &'a Attempt) -> Work<'a>;
}

/// Why an attempt failed. The texts are shown to the job's tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Another attempt may do better; not before `after`, where the other side said so.
    Retry { reason: String, after: Option<Duration> },
    /// Another attempt would fail the same way.
    Dead { reason: String },
    /// It stopped where it can go on later, and does not count.
    NotNow { after: Duration },
}

impl Fault {
    pub fn retry(reason: impl Into<String>) -> Self {
        Fault::Retry { reason: reason.into(), after: None }
    }

    pub fn dead(reason: impl Into<String>) -> Self {
        Fault::Dead { reason: reason.into() }
    }
}

pub struct Attempt {
    pub job: Job,
    pub payload: Payload,
    pub items: Vec<String>,
    pub(super) live: Arc<Live>,
}

impl Attempt {
    /// The payload, where it has the version that the caller reads.
    pub fn document<T: DeserializeOwned>(&self, version: u16) -> Result<T, Fault> {
        if self.payload.version != version {
            return Err(Fault::dead(format!("its payload has version {}; this program reads {version}", self.payload.version)));
        }
        serde_json::from_slice(&self.payload.document).map_err(|e| Fault::dead(format!("its payload can't be read: {e}")))
    }

    /// Also the sign of life that `Kind::patience` waits for.
    pub fn progress(&self, done: u64, total: u64, note: impl Into<String>) {
        self.live.progress.send_replace(Some(Progress { done, total, note: note.into() }));
    }
}

/// Twice as long after each attempt, and up to half of it less, so that what failed together does not come back together.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    pub first: Duration,
    pub most: Duration,
}

impl Backoff {
    /// After `attempts` failed ones. `chance` is any number: a random one, outside tests.
    pub fn delay(&self, attempts: u32, chance: u64) -> Duration {
        let doubled = self.first.saturating_mul(1u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX));
        let whole = doubled.min(self.most);
        let spread = (whole.as_millis() as u64 / 2).max(1);
        whole.saturating_sub(Duration::from_millis(chance % spread))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_spread() {
        let backoff = Backoff { first: Duration::from_secs(2), most: Duration::from_secs(60) };
        let longest: Vec<u64> = (1..=8).map(|n| backoff.delay(n, 0).as_secs()).collect();
        assert_eq!(longest, [2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(backoff.delay(u32::MAX, 0).as_secs(), 60);
        for chance in 0..5000 {
            let delay = backoff.delay(3, chance);
            assert!(delay > Duration::from_secs(4) && delay <= Duration::from_secs(8), "{delay:?}");
        }
    }
}
