//! Looking at jobs: one, a page of them, changes as they come, and how deep the queue is. Reads go to the index alone.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::TenantId;
use crate::base::timestamp::Timestamp;
use crate::index::{Index, Walk};
use crate::queue::Queue;
use crate::queue::job::{Job, JobId, Payload, Phase, State};
use crate::queue::kind::Attempt;
use crate::queue::rows::{self, Counts, Table, key};
use crate::queue::shared::{Live, Progress, Shared, became_true};
use crate::queue::txn::Txn;
use crate::telemetry::jobs::Depth;

/// Rows that one page may look at: a filter that fits nothing must not read the whole queue.
const MAX_LOOKED_AT: usize = 10_000;

#[derive(Debug, Clone, PartialEq)]
pub struct View {
    pub job: Job,
    pub payload: Payload,
    pub progress: Option<Progress>,
}

#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// None: of all tenants.
    pub tenant: Option<TenantId>,
    pub phase: Option<Phase>,
    pub kind: Option<String>,
    /// Where the page before ended.
    pub after: Option<String>,
    pub max: usize,
}

/// By tenant, phase (`Phase::ALL`) and age. It may hold fewer jobs than asked for and still have a next one.
#[derive(Debug, Default, PartialEq)]
pub struct Page {
    pub jobs: Vec<Job>,
    pub next: Option<String>,
}

impl Queue {
    /// None: there is no such job.
    pub async fn get(&self, id: JobId) -> Result<Option<View>> {
        let shared = self.shared.clone();
        let found = self
            .read(move |index| {
                let Some(row) = index.get(Table::Jobs, id.bytes())? else { return Ok(None) };
                let payload = index.get(Table::Payloads, id.bytes())?;
                Ok(Some((rows::decode_job(&row)?, payload.map_or(Ok(Payload::default()), |row| rows::decode_payload(&row))?)))
            })
            .await?;
        Ok(found.map(|(job, payload)| {
            let live = if job.state.phase() == Phase::Running { shared.live(&id) } else { None };
            let progress = live.and_then(|l| l.progress.borrow().clone());
            View { job, payload, progress }
        }))
    }

    /// Told of each change of the job from now on; not of what.
    pub fn watch(&self, id: JobId) -> Result<watch::Receiver<()>> {
        self.shared.watch(id)
    }

    /// Told of the progress of the attempt that runs now. None: none runs.
    pub fn watch_progress(&self, id: JobId) -> Option<watch::Receiver<Option<Progress>>> {
        self.shared.live(&id).map(|live| live.progress.subscribe())
    }

    /// Waits until the job has ended, for at most `patience`, and says how it is then.
    pub async fn wait(&self, id: JobId, patience: Duration) -> Result<Option<View>> {
        // Watched before it is looked at, so that no change is missed.
        let mut changes = self.watch(id)?;
        let ended = async {
            loop {
                let view = self.get(id).await?;
                if view.as_ref().is_none_or(|v| v.job.state.phase().has_ended()) {
                    return Ok(view);
                }
                if changes.changed().await.is_err() {
                    return Err(Error::internal("a watched job was let go"));
                }
            }
        };
        let mut stopping = self.stopping();
        tokio::select! {
            view = ended => view,
            () = tokio::time::sleep(patience) => self.get(id).await,
            () = became_true(&mut stopping) => self.get(id).await,
        }
    }

    /// Becomes true with `release_waiters`.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.shared.stopping.subscribe()
    }

    /// The gateway stops: whoever waits for a job hears at once how it is.
    pub fn release_waiters(&self) {
        self.shared.stopping.send_replace(true);
    }

    pub async fn list(&self, filter: Filter) -> Result<Page> {
        self.read(move |index| list(index, &filter)).await
    }

    /// Payload and items of an attempt that was just claimed. None: it is no longer the job's.
    pub(crate) async fn attempt(&self, id: JobId, number: u32, live: Arc<Live>) -> Result<Option<Attempt>> {
        self.read(move |index| {
            let txn = Txn::new(index);
            let Some(job) = txn.job(&id)? else { return Ok(None) };
            if !matches!(job.state, State::Running { .. }) || job.attempts != number {
                return Ok(None);
            }
            let payload = txn.get(Table::Payloads, id.bytes())?.map_or(Ok(Payload::default()), |row| rows::decode_payload(&row))?;
            Ok(Some(Attempt { items: txn.items(&id)?, job, payload, live }))
        })
        .await
    }

    /// For each kind, how many jobs are in each phase; and for how long the oldest has been waiting.
    pub async fn depths(&self, kinds: &[&'static str]) -> Result<(Vec<Depth>, Duration)> {
        let (kinds, now) = (kinds.to_vec(), self.shared.now());
        self.read(move |index| {
            let oldest = oldest_waiting(index)?;
            let depth = |kind: &'static str| -> Result<Depth> {
                let counts = counts(index, kind)?;
                Ok(Depth { kind, states: Phase::ALL.map(|p| (p.name(), counts.of(p))) })
            };
            let depths = kinds.into_iter().map(depth).collect::<Result<Vec<Depth>>>()?;
            Ok((depths, oldest.map_or(Duration::ZERO, |made| now.since(made))))
        })
        .await
    }

    pub(super) async fn read<T: Send + 'static>(&self, read: impl FnOnce(&Index) -> Result<T> + Send + 'static) -> Result<T> {
        let shared: Arc<Shared> = self.shared.clone();
        tokio::task::spawn_blocking(move || read(&*shared.index()?)).await.map_err(Error::internal)?
    }
}

fn counts(index: &Index, kind: &str) -> Result<Counts> {
    index.get(Table::Counts, kind.as_bytes())?.map_or(Ok(Counts::default()), |row| Counts::decode(&row))
}

/// Jobs that ended, of all kinds.
pub(super) fn ended(index: &Index) -> Result<u64> {
    let mut ended = 0;
    index.scan(Table::Counts, b"", &mut |_, row| {
        ended += Counts::decode(row)?.ended();
        Ok(Walk::Next)
    })?;
    Ok(ended)
}

/// When the oldest job that waits (also for its time) was made: one look at each tenant.
fn oldest_waiting(index: &Index) -> Result<Option<Timestamp>> {
    let operator = TenantId::operator();
    let mut oldest: Option<Timestamp> = None;
    index.scan(Table::Phases, b"", &mut |k, _| {
        let Some((tenant, phase, id)) = key::split_phase(k) else { return Ok(Walk::Next) };
        if phase.index() < Phase::Waiting.index() {
            return Ok(Walk::Seek(key::phase(tenant, Phase::Waiting)));
        }
        if phase == Phase::Waiting {
            // What recurs waits for its time, and was made at the first start.
            if tenant == operator.as_str()
                && let Some(row) = index.get(Table::Jobs, id.bytes())?
                && rows::decode_job(&row)?.recurs.is_some()
            {
                return Ok(Walk::Next);
            }
            oldest = Some(oldest.map_or(id.made(), |o| o.min(id.made())));
        }
        Ok(Walk::Seek([tenant.as_bytes(), b"\x01"].concat()))
    })?;
    Ok(oldest)
}

fn list(index: &Index, filter: &Filter) -> Result<Page> {
    let prefix = match (&filter.tenant, filter.phase) {
        (Some(tenant), Some(phase)) => key::phase(tenant.as_str(), phase),
        (Some(tenant), None) => [tenant.as_str().as_bytes(), b"\0"].concat(),
        (None, _) => Vec::new(),
    };
    let after = filter.after.as_deref().map(|text| cursor(text, &prefix)).transpose()?;
    let from = after.clone().unwrap_or_else(|| prefix.clone());
    let (mut page, mut looked_at) = (Page::default(), 0);
    let mut last = from.clone();
    index.scan(Table::Phases, &from, &mut |k, kind| {
        if !k.starts_with(&prefix) {
            return Ok(Walk::Stop);
        }
        if after.as_deref() == Some(k) {
            return Ok(Walk::Next);
        }
        let Some((tenant, phase, id)) = key::split_phase(k) else { return Ok(Walk::Next) };
        if page.jobs.len() == filter.max || looked_at == MAX_LOOKED_AT {
            page.next = Some(hex::encode(&last));
            return Ok(Walk::Stop);
        }
        looked_at += 1;
        last = k.to_vec();
        match filter.phase {
            Some(wanted) if phase.index() < wanted.index() => return Ok(Walk::Seek(key::phase(tenant, wanted))),
            Some(wanted) if phase != wanted => return Ok(Walk::Seek([tenant.as_bytes(), b"\x01"].concat())),
            _ => {}
        }
        if filter.kind.as_ref().is_some_and(|wanted| wanted.as_bytes() != kind) {
            return Ok(Walk::Next);
        }
        // It may have moved on since this row was read.
        if let Some(row) = index.get(Table::Jobs, id.bytes())? {
            page.jobs.push(rows::decode_job(&row)?);
        }
        Ok(Walk::Next)
    })?;
    Ok(page)
}

/// A page goes on inside what the filter shows, whatever a client makes of the mark.
fn cursor(text: &str, prefix: &[u8]) -> Result<Vec<u8>> {
    let key = hex::decode(text).ok().filter(|k| k.starts_with(prefix) && k.len() <= 128);
    key.ok_or_else(|| Error::new(ErrorKind::InvalidArgument, "The mark does not belong to this list: begin it anew."))
}
