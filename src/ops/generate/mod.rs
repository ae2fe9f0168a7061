//! Generating media by providers: what may be asked for, in which order providers are tried, what it may cost, and what became of it.
//!
//! Not here: the work itself (`jobs/generate`), what providers are (`vault`).

pub mod book;
pub mod spent;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::auth::action::Action;
use crate::auth::grant::Grant;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::layout::artifact_type_of;
use crate::base::names::{AccessKeyId, BucketName, ObjectKey, TenantId};
use crate::base::object::SharedObject;
use crate::base::timestamp::Timestamp;
use crate::ops::generate::book::{Book, Entry, State};
use crate::ops::{Ops, object, wrong_grant};
use crate::outbound::target::Reach;
use crate::queue::job::no_such_job;
use crate::queue::{Enqueued, JobId, NewJob, Payload};
use crate::usage::Usage;
use crate::vault::kind::MediaKind;
use crate::vault::wanted::{Wanted, micros};
use crate::vault::{Candidate, Vault};

pub const VERSION: u16 = 1;
const MAX_RUN_BYTES: usize = 200;
/// Of a picture to go by, which is in memory and in the request.
const MAX_PICTURE_BYTES: u64 = 10 << 20;
/// Tenants and providers whose seats are kept though nobody sits there.
const MAX_IDLE_SEATS: usize = 1000;

#[derive(Debug, Clone)]
pub struct Settings {
    /// Of the providers' files.
    pub folder: PathBuf,
    /// The providers of a kind, in order; a kind that is not here is tried by all.
    pub order: BTreeMap<MediaKind, Vec<String>>,
    /// Dollars of each tenant and month; 0: no budget.
    pub budget: f64,
    /// The same of single tenants: `acme=50`.
    pub budgets: Vec<TenantBudget>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { folder: "providers".into(), order: BTreeMap::new(), budget: 0.0, budgets: Vec::new() }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct TenantBudget {
    tenant: TenantId,
    dollars: f64,
}

impl std::str::FromStr for TenantBudget {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let (tenant, dollars) = text.split_once('=').ok_or(())?;
        let dollars: f64 = dollars.parse().map_err(|_| ())?;
        let tenant = TenantId::parse(tenant).map_err(|_| ())?;
        if dollars.is_finite() && dollars >= 0.0 { Ok(TenantBudget { tenant, dollars }) } else { Err(()) }
    }
}

impl std::fmt::Display for TenantBudget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.tenant, self.dollars)
    }
}

/// Providers, and what is spent on them. Cheap to clone.
#[derive(Clone)]
pub struct Generation(Arc<Inner>);

struct Inner {
    vault: Vault,
    settings: Settings,
    reach: Reach,
    book: Book,
    seats: Mutex<HashMap<(TenantId, String, bool), Arc<Semaphore>>>,
}

/// Of a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Document {
    pub wanted: Wanted,
    pub bucket: BucketName,
    pub run: String,
}

impl Document {
    /// `{tenant}/{run}/{artifactType}/` and a name.
    pub fn key(&self, tenant: &TenantId, artifact: Option<&str>, name: &str) -> Result<ObjectKey> {
        let artifact = artifact.and_then(artifact_type_of).unwrap_or(self.wanted.kind.artifact_type());
        ObjectKey::parse(&format!("{tenant}/{}/{artifact}/{name}", self.run))
    }
}

/// What somebody decided of an entry whose fate nobody knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is sent once more, whatever became of the first.
    Again,
    /// It is given up, and counts as paid.
    GiveUp,
    /// It was taken: this is what the provider calls it.
    Task(String),
}

impl Generation {
    /// Blocks. Err: all that is wrong with the files.
    pub fn open(settings: Settings, reach: Reach, usage: Usage) -> std::result::Result<Generation, Vec<String>> {
        let vault = Vault::load(&settings.folder)?;
        for (kind, order) in &settings.order {
            if let Some(unknown) = vault.unknown(order).first() {
                return Err(vec![format!("generate.{}: there is no provider {unknown:?} in {}", kind.name(), settings.folder.display())]);
            }
        }
        let book = Book::open(usage).map_err(|e| vec![format!("what was spent on providers can't be read: {e}")])?;
        Ok(Generation(Arc::new(Inner { vault, settings, reach, book, seats: Mutex::default() })))
    }

    pub fn book(&self) -> &Book {
        &self.0.book
    }

    pub fn reach(&self) -> &Reach {
        &self.0.reach
    }

    /// Err: what each provider can do.
    pub fn candidates(&self, wanted: &Wanted) -> std::result::Result<Vec<Candidate>, String> {
        let order = self.0.settings.order.get(&wanted.kind).map(Vec::as_slice).unwrap_or_default();
        self.0.vault.candidates(wanted, order, Timestamp::now()).map_err(|cannot| match cannot.is_empty() {
            true => format!("no provider makes {} here", wanted.kind.name()),
            false => format!("no provider can make that: {}", cannot.join("; ")),
        })
    }

    /// Millionths of a dollar. None: there is none.
    pub fn budget(&self, tenant: &TenantId) -> Option<u64> {
        let own = self.0.settings.budgets.iter().find(|budget| budget.tenant == *tenant).map(|budget| budget.dollars);
        own.or_else(|| Some(self.0.settings.budget).filter(|dollars| *dollars > 0.0)).map(micros)
    }

    /// One of the places that a tenant has with a provider, as long as it is held.
    pub async fn seat(&self, tenant: &TenantId, provider: &str, kind: MediaKind) -> Result<OwnedSemaphorePermit> {
        let place = (tenant.clone(), provider.to_owned(), kind.sizes().is_some());
        let semaphore = {
            let mut seats = self.0.seats.lock().unwrap_or_else(PoisonError::into_inner);
            if seats.len() > MAX_IDLE_SEATS {
                seats.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
            }
            seats.entry(place).or_insert_with(|| Arc::new(Semaphore::new(kind.at_once() as usize))).clone()
        };
        semaphore.acquire_owned().await.map_err(Error::internal)
    }
}

impl Ops {
    pub fn with_generation(self, generation: Generation) -> Self {
        Ops { generation: Some(generation), ..self }
    }

    pub fn generation(&self) -> Result<&Generation> {
        self.generation.as_ref().ok_or_else(|| Error::new(ErrorKind::NotImplemented, "Nothing is generated here."))
    }

    /// `grant`: to generate to keys of that run.
    pub async fn generate(
        &self,
        grant: &Grant,
        document: Document,
        idempotency_key: Option<String>,
        asked_by: Option<AccessKeyId>,
    ) -> Result<Enqueued> {
        let of = object(grant, &[Action::Generate])?;
        if *of.bucket != document.bucket {
            return Err(Error::internal("a grant for another bucket"));
        }
        let wrong = |text: String| Error::new(ErrorKind::InvalidRequest, text);
        document.wanted.check().map_err(|e| wrong(format!("{e}.")))?;
        self.generation()?.candidates(&document.wanted).map_err(|e| wrong(format!("{e}.")))?;
        let payload = Payload::of(VERSION, &document)?;
        let job = NewJob::new(grant.tenant().clone(), document.wanted.kind.job(), payload);
        self.jobs.enqueue(NewJob { key: idempotency_key, asked_by, ..job }).await
    }

    /// Those of the tenant's jobs that wait for a decision; the operator sees all.
    pub fn undecided(&self, grant: &Grant) -> Result<Vec<Entry>> {
        if grant.action() != Action::ListJobs {
            return Err(wrong_grant(grant, Action::ListJobs));
        }
        let tenant = Some(grant.tenant()).filter(|tenant| !tenant.is_operator());
        Ok(self.generation()?.book().unknown(tenant))
    }

    /// The job goes on where that makes sense. Answers its entry.
    pub async fn decide(&self, grant: &Grant, id: JobId, decision: Decision) -> Result<Entry> {
        if grant.action() != Action::RetryJob {
            return Err(wrong_grant(grant, Action::RetryJob));
        }
        let book = self.generation()?.book();
        let mine = |entry: &Entry| grant.tenant().is_operator() || entry.tenant == *grant.tenant();
        let found = book.of(&id).into_iter().find(|entry| entry.state == State::Unknown && mine(entry));
        let mut entry = found.ok_or_else(no_such_job)?;
        match &decision {
            // What became of the first is not known: it counts as what it may have cost.
            Decision::Again => (entry.state, entry.billed) = (State::Void, Some(entry.estimated)),
            Decision::GiveUp => (entry.state, entry.billed) = (State::Failed, Some(entry.estimated)),
            Decision::Task(task) => {
                entry.values.insert("task".into(), task.as_str().into());
                entry.state = State::Running;
            }
        }
        entry.reason = Some("decided by hand".into());
        book.set(entry.clone()).await?;
        if decision != Decision::GiveUp {
            self.jobs.retry(id).await?;
        }
        Ok(entry)
    }

    /// A picture to go by. None: it was replaced.
    pub async fn picture(&self, grant: &Grant, found: &SharedObject) -> Result<Option<Bytes>> {
        let of = object(grant, &[Action::GetObject])?;
        if found.size > MAX_PICTURE_BYTES {
            return Err(Error::new(ErrorKind::EntityTooLarge, format!("image_key names more than {MAX_PICTURE_BYTES} bytes.")));
        }
        self.whole(of, found).await
    }

    /// Becomes true when the gateway stops.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.jobs.stopping()
    }
}

/// A run is one segment of a key.
pub fn require_run(run: &str) -> Result<()> {
    let is_good = !run.is_empty()
        && run.len() <= MAX_RUN_BYTES
        && !run.contains('/')
        && !run.chars().any(char::is_control)
        && run != "."
        && run != "..";
    if is_good { Ok(()) } else { Err(Error::new(ErrorKind::InvalidArgument, "run is a name of 1 to 200 bytes without a slash.")) }
}

/// What follows the name of what is made.
pub fn extension_of(content_type: &str) -> &'static str {
    match content_type.split(';').next().unwrap_or_default() {
        "model/gltf-binary" => ".glb",
        "image/png" => ".png",
        "image/jpeg" => ".jpg",
        "image/webp" => ".webp",
        "image/vnd.radiance" => ".hdr",
        "image/x-exr" => ".exr",
        "video/mp4" => ".mp4",
        "video/webm" => ".webm",
        "audio/mpeg" => ".mp3",
        "audio/wav" => ".wav",
        "audio/ogg" => ".ogg",
        "audio/mp4" => ".m4a",
        "application/zip" => ".zip",
        _ => "",
    }
}
