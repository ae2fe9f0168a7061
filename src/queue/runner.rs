//! Runs jobs: claims as many as there is room for, gives each attempt a task of its own, and records how it ended.
//!
//! One thread with a runtime of its own, so that background work never holds up a request. A panic ends its attempt alone.
//! A lease is kept in memory, since no attempt outlives the process: an attempt that shows no sign of life is cut off.
//! Stop: nothing more is begun; what runs may end until the deadline, and is handed back then.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::timestamp::Timestamp;
use crate::queue::Queue;
use crate::queue::changes::Following;
use crate::queue::job::{Job, Outcome};
use crate::queue::kind::{Attempt, Fault, Kind};
use crate::queue::lease::{self, Held, Leases, Turn};
use crate::queue::shared::{Live, became_true};
use crate::telemetry::metrics::Metrics;

/// How often what has ended is looked through, and the journal's length.
const UPKEEP: Duration = Duration::from_secs(5);
/// The queue can't be written (a full disk): how long until it is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// Attempts that take no worker, over all tenants: some kilobytes each.
const MOST_THAT_WAIT: usize = 4096;
/// Handing back is one write; a disk that does not take it keeps the stop no longer than this.
const HAND_BACK: Duration = Duration::from_secs(2);

#[derive(Debug, Clone)]
pub struct Settings {
    /// Attempts at once. They wait for others most of the time.
    pub workers: usize,
    /// Of these, for one tenant and for one kind. 0: all.
    pub per_tenant: u32,
    pub per_kind: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { workers: 8, per_tenant: 4, per_kind: 0 }
    }
}

pub type TenantLimit = Arc<dyn Fn(&str) -> Option<u32> + Send + Sync>;
/// Told how long an attempt of a tenant's job took.
pub type Spent = Arc<dyn Fn(&str, Duration) + Send + Sync>;
/// What follows from a job that has ended.
pub type Follows = Arc<dyn Fn(&Job) -> Vec<Following> + Send + Sync>;

#[derive(Clone)]
pub struct Limits {
    pub settings: Settings,
    /// A tenant's own limit, where it has one.
    pub of_tenant: TenantLimit,
    pub spent: Spent,
    pub follows: Follows,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Serving,
    Draining(Instant),
}

pub struct Runner {
    stage: watch::Sender<Stage>,
    thread: Option<JoinHandle<usize>>,
}

impl Runner {
    /// `leases`: of what recurs, where several nodes could do it. None: this one does it.
    pub fn start(queue: Queue, kinds: Vec<Arc<dyn Kind>>, limits: Limits, leases: Option<Leases>, metrics: Arc<Metrics>) -> Result<Runner> {
        let (stage, stages) = watch::channel(Stage::Serving);
        let kinds: BTreeMap<&'static str, Arc<dyn Kind>> = kinds.into_iter().map(|k| (k.name(), k)).collect();
        let names: Vec<&'static str> = kinds.keys().copied().collect();
        let crew = Arc::new(Crew { queue, kinds, names, limits, leases, metrics });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(crew.limits.settings.workers.max(1) + 2)
            .thread_name("jobs-blocking")
            .build()
            .map_err(Error::internal)?;
        let thread = std::thread::Builder::new().name("jobs".into()).spawn(move || {
            let handed_back = runtime.block_on(crew.run(stages));
            runtime.shutdown_timeout(PAUSE);
            handed_back
        });
        Ok(Runner { stage, thread: Some(thread.map_err(Error::internal)?) })
    }

    /// Begins nothing more, waits for what runs until `deadline`, and hands the rest back. Blocks; returns their number.
    pub fn drain(mut self, deadline: Duration) -> usize {
        self.stop(deadline)
    }

    /// Cuts a drain short, from elsewhere.
    pub fn cutter(&self) -> impl Fn() + Send + 'static {
        let stage = self.stage.clone();
        move || {
            stage.send_replace(Stage::Draining(Instant::now()));
        }
    }

    fn stop(&mut self, deadline: Duration) -> usize {
        self.stage.send_replace(Stage::Draining(Instant::now() + deadline));
        self.thread.take().and_then(|t| t.join().ok()).unwrap_or(0)
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.stop(Duration::ZERO);
        }
    }
}

/// What the tasks share.
struct Crew {
    queue: Queue,
    kinds: BTreeMap<&'static str, Arc<dyn Kind>>,
    names: Vec<&'static str>,
    limits: Limits,
    leases: Option<Leases>,
    metrics: Arc<Metrics>,
}

impl Crew {
    async fn run(self: Arc<Self>, mut stages: watch::Receiver<Stage>) -> usize {
        let (cut, cuts) = watch::channel(false);
        let (mut tasks, mut waiting): (JoinSet<bool>, JoinSet<bool>) = Default::default();
        let some_wait = self.kinds.values().any(|kind| kind.waits());
        let upkeep = tokio::spawn(self.clone().upkeep());
        let mut wait = Duration::ZERO;
        loop {
            let free = self.limits.settings.workers.saturating_sub(tasks.len());
            if free > 0 {
                wait = self.begin(free, false, &mut tasks, &cuts).await;
            }
            let free = MOST_THAT_WAIT.saturating_sub(waiting.len());
            if some_wait && free > 0 {
                wait = self.begin(free, true, &mut waiting, &cuts).await.min(wait);
            }
            tokio::select! {
                () = self.queue.shared.work.notified() => {}
                Some(_) = tasks.join_next() => {}
                Some(_) = waiting.join_next() => {}
                () = tokio::time::sleep(wait) => {}
                _ = stages.changed() => {}
            }
            if *stages.borrow_and_update() != Stage::Serving {
                break;
            }
        }
        upkeep.abort();
        tasks.spawn(async move {
            while waiting.join_next().await.is_some() {}
            false
        });
        loop {
            let stage = *stages.borrow_and_update();
            let Stage::Draining(deadline) = stage else { break };
            tokio::select! {
                ended = tasks.join_next() => if ended.is_none() { return 0 },
                () = tokio::time::sleep_until(deadline.into()) => break,
                _ = stages.changed() => {}
            }
        }
        cut.send_replace(true);
        let mut handed_back = 0;
        while let Some(back) = tasks.join_next().await {
            handed_back += usize::from(back.unwrap_or(false));
        }
        handed_back
    }

    /// Begins as many attempts as there is room for. Answers how long to wait where nothing happens.
    async fn begin(self: &Arc<Self>, free: usize, that_wait: bool, tasks: &mut JoinSet<bool>, cuts: &watch::Receiver<bool>) -> Duration {
        match self.claim(free, that_wait).await {
            Ok((jobs, next)) => {
                for job in jobs {
                    tasks.spawn(self.clone().attend(job, cuts.clone()));
                }
                next
            }
            Err(e) => {
                tracing::warn!(error = %e, "no job can be claimed at the moment");
                PAUSE
            }
        }
    }

    /// The claimed jobs, and how long to wait where nothing happens.
    async fn claim(&self, free: usize, that_wait: bool) -> Result<(Vec<Job>, Duration)> {
        let (limits, at_once) = (self.limits.clone(), self.at_once(that_wait));
        let or_all = |n: u32| if n == 0 { u32::MAX } else { n };
        let of_tenant = move |tenant: &str| match that_wait {
            true => u32::MAX,
            false => (limits.of_tenant)(tenant).unwrap_or(u32::MAX).min(or_all(limits.settings.per_tenant)),
        };
        let of_kind = move |kind: &str| at_once.get(kind).copied().unwrap_or(0);
        let own: BTreeMap<&'static str, u32> = self.kinds.iter().map(|(name, kind)| (*name, kind.of_tenant())).collect();
        let of_both = move |kind: &str| own.get(kind).copied().unwrap_or(0);
        let (jobs, due) = self.queue.claim(free, of_tenant, of_kind, of_both).await?;
        // A clock may be set back: looked at anew in a while, whatever it said.
        let wait = due.map_or(UPKEEP, |due| due.since(self.queue.shared.now()).clamp(Duration::from_millis(1), UPKEEP));
        Ok((jobs, wait))
    }

    fn at_once(&self, that_wait: bool) -> BTreeMap<&'static str, u32> {
        let configured = if self.limits.settings.per_kind == 0 || that_wait { u32::MAX } else { self.limits.settings.per_kind };
        let kinds = self.kinds.iter().filter(|(_, kind)| kind.waits() == that_wait);
        kinds.map(|(name, kind)| (*name, kind.at_once().min(configured))).collect()
    }

    async fn upkeep(self: Arc<Self>) {
        loop {
            if let Err(e) = self.queue.upkeep().await {
                tracing::warn!(error = %e, "upkeep of the queue failed; it is tried again");
            }
            match self.queue.depths(&self.names).await {
                Ok((depths, oldest)) => self.metrics.jobs.set_depths(&depths, oldest),
                Err(e) => tracing::debug!(error = %e, "the queue's depth is not known"),
            }
            tokio::time::sleep(UPKEEP).await;
        }
    }

    /// One attempt, from its claim to its record. True: it was handed back.
    async fn attend(self: Arc<Self>, job: Job, mut cuts: watch::Receiver<bool>) -> bool {
        // Claims ask for these names only.
        let Some(kind) = self.kinds.get(job.kind.as_str()).cloned() else { return false };
        let name = kind.name();
        let (id, number) = (job.id, job.attempts);
        let running = self.metrics.jobs.begin(name);
        // From here on a cancel is heard; one that came before is seen in the record that is loaded next.
        let live = self.queue.shared.begin(id, number);
        let begun = Instant::now();
        let outcome = match self.queue.attempt(id, number, live.clone()).await {
            Ok(Some(attempt)) => match self.turn(&job, kind.as_ref()).await {
                Ok(held) => self.run_attempt(kind.clone(), attempt, held, &live, &mut cuts).await,
                Err(not_now) => Some(not_now),
            },
            Ok(None) => None,
            Err(e) => Some(retry_at(kind.as_ref(), number, e.message().to_owned(), None)),
        };
        self.queue.shared.end(&id);
        drop(running);
        let Some(outcome) = outcome else { return false };
        let handed_back = outcome == Outcome::HandedBack;
        let recorded = self.record(&job, outcome, &mut cuts).await;
        if let Some(phase) = recorded {
            self.metrics.jobs.ended(name, phase, begun.elapsed());
            (self.limits.spent)(job.tenant.as_str(), begun.elapsed());
        }
        handed_back && recorded.is_some()
    }

    /// The lease of what recurs and could be done by several nodes; None: there is none to hold. Err: this is not the time.
    async fn turn(&self, job: &Job, rules: &dyn Kind) -> Result<Option<Held>, Outcome> {
        let (Some(leases), Some(name), Some(recurs)) = (&self.leases, job.recurring(), &job.recurs) else { return Ok(None) };
        match leases.take(name, recurs.every, self.queue.shared.now()).await {
            Ok(Turn::Ours(held)) => {
                tracing::debug!(lease = name, fence = held.fence(), "a lease was taken");
                Ok(Some(held))
            }
            Ok(Turn::Others { again: after } | Turn::Done { due: after }) => Err(Outcome::NotNow { after }),
            Err(e) => Err(retry_at(rules, job.attempts, format!("its lease can't be taken: {:?}: {}", e.kind(), e.message()), None)),
        }
    }

    async fn run_attempt(
        &self,
        kind: Arc<dyn Kind>,
        attempt: Attempt,
        mut held: Option<Held>,
        live: &Live,
        cuts: &mut watch::Receiver<bool>,
    ) -> Option<Outcome> {
        let lost = async {
            match &mut held {
                Some(held) => held.keep().await,
                None => std::future::pending().await,
            }
        };
        let outcome = watch_over(kind, attempt, live, cuts, lost).await;
        if let Some(held) = held {
            let done = matches!(outcome, Some(Outcome::Done(_))).then(|| self.queue.shared.now());
            give_back(held, done).await;
        }
        outcome
    }

    /// Until it is durable: a job that has ended must not run again. What became of it; None: it was not this attempt's.
    async fn record(&self, job: &Job, outcome: Outcome, cuts: &mut watch::Receiver<bool>) -> Option<&'static str> {
        let mut tries_left = 1 + HAND_BACK.as_millis() / 100;
        loop {
            let follows = self.limits.follows.clone();
            match self.queue.finish_and(job.id, job.attempts, outcome.clone(), move |job| follows(job)).await {
                Ok(now) => {
                    let label = match (&outcome, now.state.phase().name()) {
                        (Outcome::HandedBack, _) => "handed_back",
                        (Outcome::NotNow { .. }, _) => "not_now",
                        // It recurs.
                        (Outcome::Done(_), "waiting") => "done",
                        (Outcome::Dead { .. }, "waiting") => "failed",
                        (Outcome::Retry { .. }, "waiting") => "failed",
                        (_, phase) => phase,
                    };
                    log_end(&now, label);
                    return Some(label);
                }
                Err(e) if matches!(e.kind(), ErrorKind::OperationAborted | ErrorKind::NotFound) => return None,
                Err(e) => tracing::warn!(job = %job.id, error = %e, "the end of a job can't be recorded; it is tried again"),
            }
            if *cuts.borrow() {
                tries_left -= 1;
                if tries_left == 0 {
                    tracing::error!(job = %job.id, "the end of a job was not recorded: it is begun again at the next start");
                    return None;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            } else {
                let _ = tokio::time::timeout(PAUSE, became_true(cuts)).await;
            }
        }
    }
}

fn log_end(job: &Job, label: &'static str) {
    let reason = job.reason.as_deref().unwrap_or_default();
    match label {
        "dead" => {
            tracing::warn!(job = %job.id, kind = job.kind, tenant = %job.tenant, attempts = job.attempts, reason, "a job was given up")
        }
        "failed" => {
            tracing::info!(job = %job.id, kind = job.kind, tenant = %job.tenant, attempts = job.attempts, reason, "an attempt failed")
        }
        _ => tracing::debug!(job = %job.id, kind = job.kind, tenant = %job.tenant, label, "an attempt ended"),
    }
}

/// A stop waits for it no longer than for any other write.
async fn give_back(held: Held, done: Option<Timestamp>) {
    let name = held.name().to_owned();
    match tokio::time::timeout(HAND_BACK, held.give_back(done)).await {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) => tracing::warn!(lease = name, "a lease was lost while its work was done: another node goes on with it"),
        Ok(Err(e)) => tracing::warn!(lease = name, error = %e, "a lease could not be given back: it ends by itself"),
        Err(_) => tracing::warn!(lease = name, "a lease could not be given back in time: it ends by itself"),
    }
}

/// Runs the attempt in a task of its own, until it ends, is cut off, or the lease that it runs under is `lost`.
/// None: the job is no longer this attempt's.
async fn watch_over(
    kind: Arc<dyn Kind>,
    attempt: Attempt,
    live: &Live,
    cuts: &mut watch::Receiver<bool>,
    lost: impl Future<Output = ()>,
) -> Option<Outcome> {
    let (number, rules) = (live.attempt, kind.clone());
    tokio::pin!(lost);
    let mut progress = live.progress.subscribe();
    let mut work = tokio::spawn(async move { kind.run(&attempt).await });
    let outcome = loop {
        tokio::select! {
            ended = &mut work => return Some(match ended {
                Ok(Ok(result)) => Outcome::Done(result.map(|r| r.to_string())),
                Ok(Err(Fault::Retry { reason, after })) => retry_at(rules.as_ref(), number, reason, after),
                Ok(Err(Fault::Dead { reason })) => Outcome::Dead { reason },
                Ok(Err(Fault::NotNow { after })) => Outcome::NotNow { after },
                Err(e) => retry_at(rules.as_ref(), number, panic_text(e), None),
            }),
            () = &mut lost => break Some(Outcome::NotNow { after: lease::TTL }),
            () = live.revoked.notified() => break None,
            () = became_true(cuts) => break Some(Outcome::HandedBack),
            moved = tokio::time::timeout(rules.patience(), progress.changed()) => {
                if moved.is_err() {
                    let reason = format!("it showed no sign of life for {} s", rules.patience().as_secs());
                    break Some(retry_at(rules.as_ref(), number, reason, None));
                }
            }
        }
    };
    work.abort();
    // It ends at its next await; what it did until then is done.
    let _ = work.await;
    outcome
}

fn retry_at(rules: &dyn Kind, attempts: u32, reason: String, after: Option<Duration>) -> Outcome {
    let mut chance = [0; 8];
    // Without a random number all wait equally long, which does no harm to one.
    let _ = getrandom::fill(&mut chance);
    let delay = rules.backoff().delay(attempts, u64::from_le_bytes(chance)).max(after.unwrap_or_default());
    Outcome::Retry { reason, after: delay }
}

fn panic_text(e: tokio::task::JoinError) -> String {
    let Ok(panic) = e.try_into_panic() else { return "it was cut off".to_owned() };
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("it panicked: {}", text.unwrap_or("without a text"))
}
