//! What a job of optimisation does, step by step: what is wanted, the work, and results that take the place of older ones.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Instant;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::auth::action::Action;
use crate::auth::grant::{GatewayGrant, Grant};
use crate::base::checksum::ChecksumAlgorithm;
use crate::base::conditions::{ETagMatch, WriteConditions};
use crate::base::encryption::Encryption;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::{ListEntry, ListQuery, ObjectHeaders, SharedObject};
use crate::base::object_ref::ObjectRef;
use crate::base::tags::Tags;
use crate::ingest::{Expect, receive};
use crate::media::optimize::manifest::MANIFEST;
use crate::media::optimize::recipe::Recipe;
use crate::media::pool::{Failure, Steps};
use crate::media::wire::Task;
use crate::ops::changes::{Change, What};
use crate::ops::deed::{Act, Deed};
use crate::ops::encryption::Asked;
use crate::ops::keyed::Held;
use crate::ops::reading::Reading;
use crate::ops::renditions::{MADE_HERE, Manifest, digits, is_made_here, is_name_of_result, place};
use crate::ops::write::NewObject;
use crate::ops::{Ops, object};
use crate::origin::{Body, Delete, Freshness};

const PAGE: usize = 1000;
const NAME: &str = "at";

/// The bytes of a source, and what is wanted of them.
pub struct Work {
    content: Bytes,
    recipe: Recipe,
    /// As in a manifest.
    made: String,
}

/// A file beside the source.
pub struct Output {
    pub name: String,
    mime: String,
    bytes: Bytes,
}

/// Where the results of a piece of work were left. A stored form, as JSON.
#[derive(Serialize, Deserialize)]
struct Left {
    bucket: BucketName,
    key: ObjectKey,
    /// Of the manifest: whoever may write there is not believed.
    manifest: String,
}

/// The space of settings that has one of these.
fn space(owner: &TenantId, made: &str) -> String {
    let owned = Sha256::new().chain_update(owner.as_str()).chain_update(b"/").chain_update(made).finalize();
    format!("made-{}", hex::encode(owned))
}

impl Ops {
    /// Until it goes, no other job of this node makes or takes away results of the key.
    pub async fn turn_of_renditions(&self, bucket: &BucketName, key: &ObjectKey) -> Result<Held> {
        Ok(self.renditions()?.0.sources.lock(bucket, key).await)
    }

    /// What is to be made of the version: what was asked for, or what a rule says; and what was made before of the key.
    pub async fn wanted_renditions(&self, grant: &Grant, source: &SharedObject, asked: Option<Recipe>) -> Result<Option<Recipe>> {
        let of = object(grant, &[Action::GetObject])?;
        let renditions = self.renditions()?;
        let before = self.manifest_at(of.bucket, &place(of.key)?.manifest()?, &source.owner, Freshness::Current).await?;
        let before = before.map(|manifest| manifest.recipe.clone()).filter(|_| source.size <= renditions.0.max_bytes);
        let mut wanted = asked;
        if wanted.is_none() {
            let tags = self.origin.reads.tags(of, source).await?.unwrap_or_default();
            let rule = renditions.0.rules.iter().find(|rule| rule.may_want(of.bucket, of.key) && rule.wants(source.size, &tags));
            wanted = rule.map(|rule| rule.recipe.clone());
        }
        Ok(match (wanted, before) {
            (Some(wanted), Some(before)) => Some(wanted.with(&before)),
            (wanted, before) => wanted.or(before),
        })
    }

    /// None: the version was replaced.
    pub async fn begin_work(&self, grant: &Grant, source: &SharedObject, recipe: Recipe) -> Result<Option<Work>> {
        let of = object(grant, &[Action::GetObject])?;
        let Some(content) = self.whole(of, source).await? else { return Ok(None) };
        let sha256 = match &source.sha256 {
            Some(known) => known.digest().0,
            None => {
                let bytes = content.clone();
                tokio::task::spawn_blocking(move || Sha256::digest(&bytes).into()).await.map_err(Error::internal)?
            }
        };
        Ok(Some(Work { made: recipe.fingerprint(&sha256), content, recipe }))
    }

    /// Whether this is made already of the very version, and is there.
    pub async fn is_made(&self, grant: &Grant, source: &SharedObject, work: &Work) -> Result<bool> {
        let of = object(grant, &[Action::GetObject])?;
        let manifest = self.manifest_of(grant, source, Freshness::Current).await?;
        let Some(manifest) = manifest.filter(|manifest| manifest.made == work.made) else { return Ok(false) };
        for result in &manifest.sources {
            let key = place(of.key)?.key(&result.url)?;
            let found = self.look(ObjectRef::current(of.bucket, &key), Freshness::Current).await?;
            if found.is_none_or(|found| found.size != result.size) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The results, and last the manifest: as they were made before of equal content, or by a worker now. True: they were made before.
    /// They hold nothing that the grant does not open.
    pub async fn work_on(
        &self,
        grant: &Grant,
        source: &SharedObject,
        work: Work,
        steps: Steps,
    ) -> std::result::Result<(Vec<Output>, bool), Failure> {
        object(grant, &[Action::GetObject]).map_err(Failure::OfUs)?;
        let renditions = self.renditions().map_err(Failure::OfUs)?;
        let (owner, counts) = (&source.owner, &renditions.0.counts);
        // Whoever waits here finds it done.
        let _turn = renditions.0.works.lock_named(space(owner, &work.made)).await;
        if let Some(results) = self.made_before(owner, &work.made).await.map_err(Failure::OfUs)? {
            counts.rendered("known", results.len() as u64 - 1);
            return for_source(results, source).map(|results| (results, true)).map_err(Failure::OfUs);
        }
        let (length, begun) = (work.content.len() as u64, Instant::now());
        // Equal content has equal results, whatever it is called.
        let task = Task::Optimize { name: String::new(), recipe: work.recipe };
        let done = renditions.0.pool.run_telling(task, Body::Memory(work.content), length, Some(steps)).await;
        counts.worked(begun.elapsed());
        let files = done.inspect_err(|_| counts.rendered("failed", 1))?.files;
        let results = read(files).ok_or_else(|| Failure::OfFile("the worker's manifest can't be read".to_owned()))?;
        for_source(results, source).map(|results| (results, false)).map_err(Failure::OfUs)
    }

    /// None: nobody knows of any, or they are not there any more as they were.
    async fn made_before(&self, owner: &TenantId, made: &str) -> Result<Option<Vec<Output>>> {
        let known = self.origin.settings.settings(&space(owner, made)).await?;
        let Some(left) = known.first().and_then(|(_, left)| serde_json::from_slice::<Left>(left).ok()) else { return Ok(None) };
        let at = place(&left.key)?;
        let mut results = Vec::new();
        let Some(manifest) = self.result_there(owner, &left.bucket, &at.manifest()?, &left.manifest).await? else { return Ok(None) };
        let Some(parsed) = Manifest::parse(&manifest).filter(|parsed| parsed.made == made) else { return Ok(None) };
        for source in &parsed.sources {
            let Some(bytes) = self.result_there(owner, &left.bucket, &at.key(&source.url)?, &source.sha256).await? else { return Ok(None) };
            results.push(Output { name: source.url.clone(), mime: source.mime.clone(), bytes });
        }
        results.push(Output { name: MANIFEST.to_owned(), mime: "application/json".to_owned(), bytes: manifest });
        Ok(Some(results))
    }

    async fn result_there(&self, owner: &TenantId, bucket: &BucketName, key: &ObjectKey, sha256: &str) -> Result<Option<Bytes>> {
        let of = ObjectRef::current(bucket, key);
        let most = self.renditions()?.0.max_bytes;
        let found = match self.look(of, Freshness::Current).await {
            Err(e) if e.is_away() => return Err(e),
            found => found.ok().flatten().filter(|found| found.owner == *owner && found.size <= most),
        };
        let Some(found) = found else { return Ok(None) };
        let bytes = self.whole(of, &found).await?;
        Ok(bytes.filter(|bytes| hex::encode(Sha256::digest(bytes)) == sha256))
    }

    /// Puts one of them beside its source, with the tags and the encryption of that: what opens or closes the one does so with the other.
    pub async fn put_result(&self, grant: &Grant, source: &SharedObject, tags: &Tags, result: &Output) -> Result<()> {
        let of = object(grant, &[Action::PutObject])?;
        let length = result.bytes.len() as u64;
        let there = self.look(of, Freshness::Current).await?;
        let conditions = match &there {
            None => WriteConditions::absent(),
            Some(there) if is_made_here(there) => {
                let hash = Sha256::digest(&result.bytes);
                let is_same = there.sha256.as_ref().is_some_and(|known| known.digest().0[..] == hash[..]);
                if is_same && there.owner == source.owner {
                    return Ok(());
                }
                still(there)
            }
            Some(_) => {
                let text = format!(
                    "{:?} was not made by the gateway and is left alone: what is made of the model would lie there.",
                    of.key.as_str()
                );
                return Err(Error::new(ErrorKind::InvalidRequest, text));
            }
        };
        let asked = match &source.encryption {
            Some(encryption @ (Encryption::S3 | Encryption::Kms(_))) => Asked::With(encryption.clone()),
            Some(Encryption::Customer(_)) | None => Asked::Nothing,
        };
        let user = BTreeMap::from([(MADE_HERE.to_owned(), b"1".to_vec())]);
        let headers = ObjectHeaders { content_type: result.mime.clone(), user, ..ObjectHeaders::default() };
        let (acl, encryption) = (grant.acl_asked(None)?, self.encryption_of_new(grant, asked).await?);
        let new = NewObject { acl, headers, tags: tags.clone(), encryption, ..NewObject::default() };
        let expect = Expect { length: Some(length), max: length, compute: Some(ChecksumAlgorithm::Crc64Nvme), ..Expect::default() };
        let staging = self.staging_encrypted(grant, &new);
        let received = receive(pin!(Reading(Body::Memory(result.bytes.clone()))), None, &expect, &staging).await?;
        self.put(grant, new, conditions, received).await.map(drop)
    }

    /// All of it lies beside the source now: who has equal content takes it from there.
    pub async fn end_work(&self, grant: &Grant, source: &SharedObject, results: &[Output], was_known: bool) -> Result<()> {
        let of = object(grant, &[Action::GetObject])?;
        let Some(manifest) = results.last().and_then(|last| Some((last, Manifest::parse(&last.bytes)?))) else { return Ok(()) };
        let (last, parsed) = manifest;
        if !was_known {
            let counts = &self.renditions()?.0.counts;
            counts.rendered("made", parsed.sources.len() as u64);
            counts.rendered("skipped", parsed.skipped() as u64);
            let smallest = parsed.sources.iter().filter(|s| s.mime.starts_with("model/")).map(|s| s.size).min();
            counts.saved(smallest.map_or(0, |smallest| source.size.saturating_sub(smallest)));
        }
        let manifest = hex::encode(Sha256::digest(&last.bytes));
        let left = serde_json::to_vec(&Left { bucket: of.bucket.clone(), key: of.key.clone(), manifest }).map_err(Error::internal)?;
        self.origin.settings.set_setting(&space(&source.owner, &parsed.made), NAME, Some(left)).await
    }

    /// Takes away what the gateway left beside the key, but for `keep`. Answers how many went.
    pub async fn clear_results(&self, _: &GatewayGrant, bucket: &BucketName, key: &ObjectKey, keep: &[Output]) -> Result<u64> {
        let Ok(at) = place(key) else { return Ok(0) };
        let manifest = at.manifest()?;
        let listed_by = self.look(ObjectRef::current(bucket, &manifest), Freshness::Current).await?;
        let listed_by = listed_by.filter(|found| keep.is_empty() && is_made_here(found));
        if let Some(found) = &listed_by
            && let Some(manifest) = self.manifest_at(bucket, &manifest, &found.owner, Freshness::Current).await?
        {
            self.forget_work(&found.owner, &manifest.made, bucket, key).await?;
        }
        let (mut after, mut gone) = (String::new(), 0);
        loop {
            let query = ListQuery { prefix: at.prefix().to_owned(), after, max: PAGE, ..ListQuery::default() };
            let page = self.origin.reads.list(bucket, &query).await?;
            for entry in page.entries {
                let ListEntry::Object(listed) = entry else { continue };
                let name = listed.key.as_str().strip_prefix(at.prefix()).unwrap_or_default();
                if name == MANIFEST || !is_name_of_result(name) || keep.iter().any(|kept| kept.name == name) {
                    continue;
                }
                let found = self.look(ObjectRef::current(bucket, &listed.key), Freshness::Current).await?;
                if let Some(found) = found.filter(|found| is_made_here(found) && may_be_named(found, name)) {
                    gone += u64::from(self.delete_result(bucket, &listed.key, &found).await?);
                }
            }
            match page.next {
                Some(next) => after = next,
                None => break,
            }
        }
        // Last: until then it says what was made.
        if let Some(found) = listed_by {
            gone += u64::from(self.delete_result(bucket, &manifest, &found).await?);
        }
        Ok(gone)
    }

    /// Exactly what was looked at. False: something else lies there by now.
    async fn delete_result(&self, bucket: &BucketName, key: &ObjectKey, found: &SharedObject) -> Result<bool> {
        let change = || Change {
            tenant: found.owner.clone(),
            bucket: bucket.clone(),
            key: Some(key.clone()),
            what: What::Content,
            deed: Some(Deed::own(Act::Delete, None)),
            seen: None,
        };
        let (writes, at, name, conditions) = (self.origin.writes.clone(), bucket.clone(), key.clone(), still(found));
        let deleting = async move { writes.delete(ObjectRef::current(&at, &name), Delete::from(conditions)).await };
        match self.changes.carry_out(change, deleting).await {
            Ok(_) => Ok(true),
            Err(e) if is_lost_race(&e) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Where it is noted that it lies here.
    async fn forget_work(&self, owner: &TenantId, made: &str, bucket: &BucketName, key: &ObjectKey) -> Result<()> {
        let space = space(owner, made);
        let known = self.origin.settings.settings(&space).await?;
        let left = known.first().and_then(|(_, left)| serde_json::from_slice::<Left>(left).ok());
        match left.filter(|left| left.bucket == *bucket && left.key == *key) {
            Some(_) => self.origin.settings.set_setting(&space, NAME, None).await,
            None => Ok(()),
        }
    }
}

/// As long as it is the same object.
fn still(found: &SharedObject) -> WriteConditions {
    WriteConditions { if_match: Some(ETagMatch::OneOf(vec![found.etag])), ..WriteConditions::default() }
}

/// Whether somebody else wrote there meanwhile.
pub fn is_lost_race(e: &Error) -> bool {
    matches!(e.kind(), ErrorKind::PreconditionFailed | ErrorKind::OperationAborted | ErrorKind::NoSuchKey)
}

/// Whether the digits in its name are those of its content, as far as that is known.
fn may_be_named(object: &SharedObject, name: &str) -> bool {
    object.sha256.as_ref().is_none_or(|known| digits(name).is_some_and(|digits| known.digest().hex().starts_with(digits)))
}

/// What a worker answered. None: its manifest can't be read, or names what is not there.
fn read(files: Vec<(String, Vec<u8>)>) -> Option<Vec<Output>> {
    let manifest = files.iter().find(|(name, _)| name == MANIFEST).map(|(_, bytes)| Bytes::from(bytes.clone()))?;
    let parsed = Manifest::parse(&manifest)?;
    let mut results = Vec::new();
    for (name, bytes) in files.into_iter().filter(|(name, _)| name != MANIFEST) {
        let source = parsed.sources.iter().find(|source| source.url == name && is_name_of_result(&name))?;
        if source.size != bytes.len() as u64 || hex::encode(Sha256::digest(&bytes)) != source.sha256 {
            return None;
        }
        results.push(Output { name, mime: source.mime.clone(), bytes: bytes.into() });
    }
    if results.len() != parsed.sources.len() {
        return None;
    }
    results.push(Output { name: MANIFEST.to_owned(), mime: "application/json".to_owned(), bytes: manifest });
    Some(results)
}

/// With a manifest that says whose results they are.
fn for_source(mut results: Vec<Output>, source: &SharedObject) -> Result<Vec<Output>> {
    let Some(last) = results.last_mut() else { return Ok(results) };
    let manifest = Manifest::parse(&last.bytes).ok_or_else(|| Error::internal("a manifest that was read can't be read"))?;
    last.bytes = manifest.about(source).write()?.into();
    Ok(results)
}
