//! Results of optimisation: smaller models and a poster, as objects of their own beside the object that they are made of.
//!
//! ```text
//! run-17/car.glb                                              the source
//! run-17/car.glb.variants/draco-d15f983b0bfaab6d.glb          a result: named by its content, so it never changes
//! run-17/car.glb.variants/manifest.json                       lists them, with figures; written last
//! ```
//! They are ordinary objects of the source's owner: listed, replicated, billed, opened by policies. Read as `?variant=` of their source they
//! are opened by the right to read that.
//! Not here: how they are made (`media::optimize`), the job (`jobs::optimize`).
//!
//! Invariants: a result is shown as a variant only where the manifest of the very version that the key shows names it, and it is whole; what
//! is not of that version goes. What the gateway did not make is never written over and never taken away: see `is_made_here`. Equal content
//! of one owner with an equal recipe is worked on once.

mod follower;
mod make;
mod manifest;
pub mod noted;
pub mod settings;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::auth::action::Action;
use crate::auth::grant::Grant;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::{ObjectInfo, SharedObject};
use crate::base::object_ref::ObjectRef;
use crate::base::range::ByteRange;
use crate::media::format::{Format, declared};
use crate::media::optimize::manifest::MANIFEST;
use crate::media::optimize::recipe::{Recipe, Step};
use crate::media::pool::Pool;
use crate::ops::keyed::Keyed;
use crate::ops::read::Shown;
use crate::ops::{Ops, object};
use crate::origin::{Body, Freshness, ReadBy};
use crate::queue::job::Phase;
use crate::queue::view::Filter;
use crate::queue::{JobId, NewJob, Payload};
use crate::telemetry::media::Media as Counts;

pub use follower::Follow;
pub use make::{Output, Work, is_lost_race};
pub use manifest::{Manifest, Source};
use settings::{Rule, Settings};

pub const KIND: &str = "optimize";
pub const VERSION: u16 = 1;
const ATTEMPTS: u32 = 10;
/// Open jobs of one owner, among which that of an object is looked for.
const LOOKED_AT: usize = 1000;
/// Between the key of a source and the names of its results.
const FOLDER: &str = ".variants/";
/// The user metadata of each result and manifest.
const MADE_HERE: &str = "tidegate-rendition";
/// Manifests that were read.
const KNOWN: u64 = 10_000;
const KNOWN_FOR: Duration = Duration::from_secs(300);

/// What a job is about.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Document {
    pub bucket: BucketName,
    pub key: ObjectKey,
    /// None: as the rules say, or as it was made before.
    pub recipe: Option<Recipe>,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Renditions(Arc<Inner>);

struct Inner {
    pool: Pool,
    rules: Arc<Vec<Rule>>,
    max_bytes: u64,
    counts: Counts,
    /// By bucket, key and version of the manifest.
    manifests: Cache<(BucketName, ObjectKey, u64), Option<Arc<Manifest>>>,
    /// One job at a time for each source.
    sources: Keyed,
    /// And one for each piece of work.
    works: Keyed<String>,
}

impl Renditions {
    pub fn new(settings: &Settings, pool: Pool, counts: Counts) -> Self {
        let manifests = Cache::builder().max_capacity(KNOWN).time_to_live(KNOWN_FOR).build();
        let (rules, max_bytes) = (Arc::new(settings.rules.clone()), settings.max_bytes);
        Renditions(Arc::new(Inner { pool, rules, max_bytes, counts, manifests, sources: Keyed::default(), works: Keyed::default() }))
    }

    pub fn rules(&self) -> Arc<Vec<Rule>> {
        self.0.rules.clone()
    }
}

/// Where the results of a key lie.
pub struct Place(String);

/// Err: the key is so long that there is none.
pub fn place(key: &ObjectKey) -> Result<Place> {
    let place = Place(format!("{key}{FOLDER}"));
    place.key(MANIFEST).map(|_| place)
}

impl Place {
    pub fn key(&self, name: &str) -> Result<ObjectKey> {
        ObjectKey::parse(&format!("{}{name}", self.0))
    }

    pub fn manifest(&self) -> Result<ObjectKey> {
        self.key(MANIFEST)
    }

    pub fn prefix(&self) -> &str {
        &self.0
    }
}

/// The key whose results lie there. None: it is no place of results.
pub fn source_of(key: &str) -> Option<&str> {
    let (source, _) =
        key.rsplit_once(FOLDER).filter(|(source, name)| !source.is_empty() && !source.ends_with('/') && !name.contains('/'))?;
    Some(source)
}

/// The key whose results it lists.
pub fn source_of_manifest(key: &str) -> Option<&str> {
    source_of(key).filter(|_| key.rsplit('/').next() == Some(MANIFEST))
}

/// The digits of its hash in the name of a result: `draco-d15f983b0bfaab6d.glb`. None: the gateway gives no result this name.
fn digits(name: &str) -> Option<&str> {
    let (step, hash) = name.split_once('.')?.0.rsplit_once('-')?;
    let is_hash = hash.len() == 16 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (is_hash && Step::parse(step).is_some()).then_some(hash)
}

fn is_name_of_result(name: &str) -> bool {
    digits(name).is_some()
}

/// Whether it is declared to be a model, and named like one: whoever hears of a delete knows the name alone.
pub fn is_model(object: &ObjectInfo, key: &ObjectKey) -> bool {
    is_model_by_name(key) && declared(&object.headers.content_type, key.as_str()).is_some_and(Format::is_model)
}

pub fn is_model_by_name(key: &ObjectKey) -> bool {
    Format::of_name(key.as_str()).is_some_and(Format::is_model)
}

/// Whether the gateway wrote it as a result, or somebody copied such a one.
pub fn is_made_here(object: &ObjectInfo) -> bool {
    object.headers.user.contains_key(MADE_HERE)
}

/// The work, in the name of whose object it is.
fn job(tenant: &TenantId, bucket: &BucketName, key: &ObjectKey, recipe: Option<Recipe>) -> Result<NewJob> {
    let payload = Payload::of(VERSION, &Document { bucket: bucket.clone(), key: key.clone(), recipe })?;
    Ok(NewJob { max_attempts: ATTEMPTS, ..NewJob::new(tenant.clone(), KIND, payload) })
}

/// What waiting jobs of one key are gathered under.
fn gathering(bucket: &BucketName, key: &ObjectKey) -> String {
    hex::encode(Sha256::new().chain_update(bucket.as_str()).chain_update(b"/").chain_update(key.as_str()).finalize())
}

/// A result as it is read. Made under the grant for its source alone.
pub struct Rendition {
    key: ObjectKey,
    object: SharedObject,
}

impl Rendition {
    pub fn shown(&self) -> Shown<'_> {
        Shown::beside(&self.object, &self.key)
    }
}

impl Ops {
    /// None: nothing is made.
    pub fn with_renditions(self, renditions: Option<Renditions>) -> Self {
        Ops { renditions, ..self }
    }

    fn renditions(&self) -> Result<&Renditions> {
        let off = || Error::new(ErrorKind::InvalidRequest, "This gateway makes nothing of models: media.inspect is off.");
        self.renditions.as_ref().ok_or_else(off)
    }

    /// What was made of the version that the grant is for. None: nothing.
    pub async fn manifest_of(&self, grant: &Grant, source: &SharedObject, freshness: Freshness) -> Result<Option<Arc<Manifest>>> {
        let of = object(grant, &[Action::GetObject])?;
        let Ok(at) = place(of.key).and_then(|place| place.manifest()) else { return Ok(None) };
        let found = self.manifest_at(of.bucket, &at, &source.owner, freshness).await?;
        Ok(found.filter(|manifest| manifest.is_of(source)))
    }

    /// Of an owner: nobody else can say what was made of his objects.
    async fn manifest_at(&self, bucket: &BucketName, at: &ObjectKey, owner: &TenantId, fresh: Freshness) -> Result<Option<Arc<Manifest>>> {
        let Some(renditions) = &self.renditions else { return Ok(None) };
        let of = ObjectRef::current(bucket, at);
        let is_manifest = |found: &SharedObject| found.owner == *owner && is_made_here(found) && found.size <= manifest::MAX_BYTES;
        let Some(found) = self.look(of, fresh).await?.filter(is_manifest) else { return Ok(None) };
        let named = (bucket.clone(), at.clone(), found.generation);
        if let Some(known) = renditions.0.manifests.get(&named) {
            return Ok(known);
        }
        let Some(bytes) = self.whole(of, &found).await? else { return Ok(None) };
        let read = Manifest::parse(&bytes).map(Arc::new);
        renditions.0.manifests.insert(named, read.clone());
        Ok(read)
    }

    /// All its bytes, of which there are few. None: it was replaced.
    pub(super) async fn whole(&self, of: ObjectRef<'_>, object: &SharedObject) -> Result<Option<Bytes>> {
        if object.size == 0 {
            return Ok(Some(Bytes::new()));
        }
        let range = ByteRange { start: 0, end: object.size };
        match self.origin.reads.open(of, object, range, ReadBy::UserSpace).await? {
            None => Ok(None),
            Some(Body::Memory(bytes)) => Ok(Some(bytes)),
            Some(Body::Stream(mut source)) => {
                let mut all = Vec::new();
                while let Some(piece) = std::future::poll_fn(|cx| source.as_mut().poll_next(cx)).await {
                    all.extend_from_slice(&piece?);
                }
                Ok(Some(all.into()))
            }
        }
    }

    /// The result of this name of the version that the grant is for; or what there is.
    pub async fn rendition(&self, grant: &Grant, source: &SharedObject, variant: &str, freshness: Freshness) -> Result<Rendition> {
        match self.look_for_rendition(grant, source, variant, freshness).await {
            // It may have been made since a cache looked.
            Err(e) if e.kind() == ErrorKind::NoSuchKey && freshness == Freshness::Cached => {
                self.look_for_rendition(grant, source, variant, Freshness::Current).await
            }
            found => found,
        }
    }

    async fn look_for_rendition(&self, grant: &Grant, source: &SharedObject, variant: &str, freshness: Freshness) -> Result<Rendition> {
        let of = object(grant, &[Action::GetObject])?;
        let manifest = self.manifest_of(grant, source, freshness).await?;
        if let Some(manifest) = &manifest
            && let Some(named) = manifest.source(variant)
        {
            let key = place(of.key)?.key(&named.url)?;
            let found = self.look(ObjectRef::current(of.bucket, &key), freshness).await?;
            let same = |found: &SharedObject| {
                let same_bytes = found.sha256.as_ref().is_none_or(|hash| hash.digest().hex() == named.sha256);
                found.owner == source.owner && found.size == named.size && same_bytes
            };
            if let Some(object) = found.filter(same) {
                return Ok(Rendition { key, object });
            }
        }
        Err(no_such_variant(of, variant, manifest.as_deref()))
    }

    /// A job that makes what is asked for, in the name of the object's owner: who asks may read the object, and must be that owner or the
    /// operator.
    pub async fn ask_for_renditions(&self, grant: &Grant, source: &SharedObject, recipe: Recipe) -> Result<JobId> {
        let of = object(grant, &[Action::GetObject])?;
        let max = self.renditions()?.0.max_bytes;
        if !grant.tenant().is_operator() && *grant.tenant() != source.owner {
            return Err(Error::new(
                ErrorKind::AccessDenied,
                "Only the owner of an object can have it optimized: the results are his, too.",
            ));
        }
        if !is_model(source, of.key) || source_of(of.key.as_str()).is_some() {
            return Err(Error::new(
                ErrorKind::InvalidRequest,
                "Models are optimized: what is named .glb or .gltf, is not declared to be something else, and is no result itself.",
            ));
        }
        if source.size > max {
            let text = format!("It has {} bytes, and media.optimize_max_size is {max}.", source.size);
            return Err(Error::new(ErrorKind::InvalidRequest, text));
        }
        place(of.key).map_err(|_| Error::new(ErrorKind::KeyTooLong, "The key leaves no room for the names of results behind it."))?;
        self.jobs.require_room(&source.owner)?;
        let asked = hex::encode(Sha256::digest(serde_json::to_vec(&recipe).map_err(Error::internal)?));
        let job = job(&source.owner, of.bucket, of.key, Some(recipe))?;
        // One that has not begun does the same.
        Ok(self.jobs.gather(format!("{}-{asked}", gathering(of.bucket, of.key)), job).await?.id)
    }

    /// The job that makes something of the object now, or is about to. None: there is none.
    pub async fn optimization_of(&self, grant: &Grant, source: &SharedObject) -> Result<Option<JobId>> {
        let of = object(grant, &[Action::GetObject])?;
        if self.renditions.is_none() || !is_model(source, of.key) {
            return Ok(None);
        }
        let is_of =
            |document: &[u8]| serde_json::from_slice::<Document>(document).is_ok_and(|d| d.bucket == *of.bucket && d.key == *of.key);
        // In the order that a job takes.
        for phase in [Phase::Waiting, Phase::Running] {
            let (tenant, kind) = (Some(source.owner.clone()), Some(KIND.to_owned()));
            let open = self.jobs.list(Filter { tenant, phase: Some(phase), kind, after: None, max: LOOKED_AT }).await?;
            for job in open.jobs {
                if self.jobs.get(job.id).await?.is_some_and(|view| is_of(&view.payload.document)) {
                    return Ok(Some(job.id));
                }
            }
        }
        Ok(None)
    }

    /// As the owner would be told: the follower's job found that the object is another's.
    pub async fn hand_over(&self, owner: &TenantId, document: Document) -> Result<JobId> {
        let Document { bucket, key, recipe } = document;
        Ok(self.jobs.gather(gathering(&bucket, &key), job(owner, &bucket, &key, recipe)?).await?.id)
    }
}

fn no_such_variant(of: ObjectRef<'_>, variant: &str, manifest: Option<&Manifest>) -> Error {
    let there: Vec<&str> = manifest.map_or(Vec::new(), |m| m.sources.iter().map(|source| source.variant.as_str()).collect());
    let shown: String = variant.chars().filter(|c| !c.is_control()).take(64).collect();
    let text = match there.is_empty() {
        true => format!("The object has no variant {shown:?}, and no other: POST /-/v1/assets/<bucket>/<key>:optimize makes them."),
        false => format!("The object has no variant {shown:?}. It has: {}.", there.join(", ")),
    };
    Error::new(ErrorKind::NoSuchKey, text).detail("Key", of.key.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_results() {
        let key = ObjectKey::parse("a/car.glb").unwrap();
        let manifest = place(&key).unwrap().manifest().unwrap();
        assert_eq!((manifest.as_str(), source_of(manifest.as_str())), ("a/car.glb.variants/manifest.json", Some("a/car.glb")));
        for other in ["a/car.glb", ".variants/a", "a/.variants/b", "a.variants/b/c", "a.variants"] {
            assert_eq!(source_of(other), None, "{other}");
        }
        for ours in ["draco-d15f983b0bfaab6d.glb", "poster-0123456789abcdef.webp"] {
            assert!(is_name_of_result(ours), "{ours}");
        }
        for other in [
            "notes.txt",
            "manifest.json",
            "notes-d15f983b0bfaab6d.glb",
            "draco-D15F983B0BFAAB6D.glb",
            "car.draco.glb",
            "car.draco-d15f983b0bfaab6.glb",
            "draco-d15f983b0bfaab6d",
            "d15f983b0bfaab6d.glb",
            "manifest.json.bak",
        ] {
            assert!(!is_name_of_result(other), "{other}");
        }
        assert!(place(&ObjectKey::parse(&"x".repeat(1020)).unwrap()).is_err());
    }
}
