//! Work that outlives its client: once a write reached the origin it runs to its end, and the stop waits for it.
//!
//! Called by `ops` (spawn) and by the stop (wait). Runs on the worker where it was started.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How far the stop is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Serving,
    Draining,
    Cut,
}

#[derive(Debug, Clone, Default)]
pub struct Tracker(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    running: AtomicUsize,
    ended: Notify,
}

impl Tracker {
    /// Runs `work` to its end, whoever waits for it. Dropping the handle changes nothing.
    pub fn spawn<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let guard = self.guard();
        tokio::spawn(async move {
            let _until_the_end = guard;
            work.await
        })
    }

    pub fn guard(&self) -> TaskGuard {
        self.0.running.fetch_add(1, Ordering::SeqCst);
        TaskGuard(self.0.clone())
    }

    pub fn running(&self) -> usize {
        self.0.running.load(Ordering::SeqCst)
    }

    /// Resolves when nothing runs.
    pub async fn idle(&self) {
        loop {
            let ended = self.0.ended.notified();
            tokio::pin!(ended);
            // Registered before the count is looked at, so that no end is missed.
            ended.as_mut().enable();
            if self.running() == 0 {
                return;
            }
            ended.await;
        }
    }
}

#[derive(Debug)]
pub struct TaskGuard(Arc<Inner>);

impl Drop for TaskGuard {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.ended.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_for_work_that_nobody_waits_for() {
        let tracker = Tracker::default();
        tracker.idle().await;
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let done = Arc::new(AtomicUsize::new(0));
        let counted = done.clone();
        drop(tracker.spawn(async move {
            let _ = gone.await;
            counted.fetch_add(1, Ordering::SeqCst);
        }));
        assert_eq!(tracker.running(), 1);
        let waiting = tokio::spawn({
            let tracker = tracker.clone();
            async move { tracker.idle().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        go.send(()).unwrap();
        waiting.await.unwrap();
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_panic_counts_as_an_end() {
        let tracker = Tracker::default();
        let failed = tracker.spawn(async { panic!("as asked") }).await;
        assert!(failed.is_err());
        tracker.idle().await;
    }
}
