//! Brings what is made of one model into line with it: makes what is wanted, and takes away what is of an older version or of nothing.
//!
//! In the name of the object's owner, by grants made when it is claimed; what is taken away is the gateway's own work, since it follows from
//! what was done already. Begun again it finds what it made. The manifest comes last, and until then nobody is shown anything of it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::auth::for_jobs::Asker;
use crate::auth::grant::{GatewayGrant, Grant};
use crate::auth::{Action, Auth, Target};
use crate::base::error::{Error, Side};
use crate::base::inspection::{Verdict, cut};
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::{SharedBucket, SharedObject};
use crate::base::object_ref::{ObjectRef, VersionSelector};
use crate::base::tags::Tags;
use crate::jobs::{asker, refused};
use crate::media::optimize::manifest::MANIFEST;
use crate::media::pool::Failure;
use crate::media::settings::Settings;
use crate::ops::Ops;
use crate::ops::renditions::{Document, KIND, Output, VERSION, Work, is_lost_race, is_made_here, is_model, place};
use crate::origin::Freshness;
use crate::queue::kind::Work as Pending;
use crate::queue::{Attempt, Fault, Kind};

const MAX_NOTE_CHARS: usize = 200;
const NO_ROOM: &str = "the key leaves no room for the names of results behind it";

pub struct Optimize {
    ops: Ops,
    auth: Arc<Auth>,
    gateway: GatewayGrant,
    at_once: usize,
    /// That one model may take.
    time: Duration,
}

/// A model, and the right to read it.
struct Subject<'s> {
    asker: &'s Asker,
    bucket: SharedBucket,
    key: &'s ObjectKey,
    object: SharedObject,
    grant: Grant,
}

impl Optimize {
    pub fn new(ops: Ops, auth: Arc<Auth>, settings: &Settings) -> Self {
        // A worker is left for who waits for an inspection.
        let (at_once, gateway) = (settings.workers.saturating_sub(1).max(1), auth.gateway());
        Optimize { ops, auth, gateway, at_once, time: settings.optimize_time }
    }
}

impl Kind for Optimize {
    fn name(&self) -> &'static str {
        KIND
    }

    fn at_once(&self) -> u32 {
        u32::try_from(self.at_once).unwrap_or(u32::MAX)
    }

    fn patience(&self) -> Duration {
        self.time * 2 + Duration::from_secs(60)
    }

    fn run<'a>(&'a self, attempt: &'a Attempt) -> Pending<'a> {
        Box::pin(async move {
            let document: Document = attempt.document(VERSION)?;
            let Document { bucket, key, .. } = &document;
            let _turn = self.ops.turn_of_renditions(bucket, key).await.map_err(fault)?;
            let found = self.ops.bucket_for_decision(bucket).await.map_err(fault)?;
            let Some(found) = found else { return Ok(Some(json!({ "left": "the bucket is gone" }))) };
            let of = ObjectRef::current(bucket, key);
            let object = self.ops.object_for_decision(of, Freshness::Current).await.map_err(fault)?;
            let Some(object) = object.filter(|object| is_model(object, key)) else { return self.clear(&document).await };
            if object.owner != attempt.job.tenant {
                let job = self.ops.hand_over(&object.owner, document.clone()).await.map_err(fault)?;
                return Ok(Some(json!({ "left": "to its owner", "job": job.to_string() })));
            }
            let asker = asker(&self.auth, &attempt.job)?;
            let target = Target::Object { bucket: &found, key, version: VersionSelector::Current, object: Some(&object) };
            let grant = self.auth.grant_for_job(&asker, Action::GetObject, target).map_err(refused)?;
            let subject = Subject { asker: &asker, bucket: found, key, object, grant };
            match self.bring(attempt, &subject, &document).await {
                // What there is of an older version must not stay because this one can't be optimized.
                Err(Fault::Dead { reason }) => {
                    let current = self.ops.manifest_of(&subject.grant, &subject.object, Freshness::Current).await.map_err(fault)?;
                    if current.is_none() {
                        self.clear(&document).await?;
                    }
                    Err(Fault::Dead { reason })
                }
                done => done,
            }
        })
    }
}

impl Optimize {
    async fn clear(&self, document: &Document) -> Result<Option<Value>, Fault> {
        let Document { bucket, key, .. } = document;
        let gone = self.ops.clear_results(&self.gateway, bucket, key, &[]).await.map_err(fault)?;
        Ok(Some(json!({ "removed": gone })))
    }

    async fn bring(&self, attempt: &Attempt, of: &Subject<'_>, document: &Document) -> Result<Option<Value>, Fault> {
        let (ops, grant, object) = (&self.ops, &of.grant, &of.object);
        place(of.key).map_err(|_| Fault::dead(NO_ROOM))?;
        let recipe = ops.wanted_renditions(grant, object, document.recipe.clone()).await.map_err(fault)?;
        let Some(recipe) = recipe else { return self.clear(document).await };
        self.require_passed(of).await?;
        let Some(work) = ops.begin_work(grant, object, recipe).await.map_err(fault)? else { return Ok(replaced()) };
        if ops.is_made(grant, object, &work).await.map_err(fault)? {
            return self.retag(of).await;
        }
        let (results, was_known) = self.work(attempt, of, work).await?;
        if !self.is_current(of).await? {
            return Ok(replaced());
        }
        self.put(of, &results).await?;
        let gone = ops.clear_results(&self.gateway, &document.bucket, of.key, &results).await.map_err(fault)?;
        ops.end_work(grant, object, &results, was_known).await.map_err(fault)?;
        if !self.is_current(of).await? {
            // The job of what took its place may have looked before these lay there.
            return Err(Fault::retry("the object was replaced"));
        }
        let names: Vec<&str> = results.iter().map(|result| result.name.as_str()).collect();
        Ok(Some(json!({ "made": names, "removed": gone, "known": was_known })))
    }

    async fn require_passed(&self, of: &Subject<'_>) -> Result<(), Fault> {
        let named = ObjectRef::current(&of.bucket.name, of.key);
        let known = self.ops.kept_inspection(named, &of.object).await.map_err(fault)?;
        let found = match known {
            Some(known) => known,
            None => match self.ops.inspect(&of.grant, &of.object).await.map_err(fault)? {
                Some(found) => Arc::new(found),
                // Its own job comes.
                None => return Err(Fault::retry("the object was replaced")),
            },
        };
        match found.verdict {
            Verdict::Passed | Verdict::Flagged => Ok(()),
            Verdict::Refused | Verdict::Skipped | Verdict::Failed => {
                let why = found.findings.first().map_or("", |finding| finding.text.as_str());
                Err(Fault::dead(format!("its inspection ended with {}: {why}", found.verdict.name())))
            }
        }
    }

    async fn work(&self, attempt: &Attempt, of: &Subject<'_>, work: Work) -> Result<(Vec<Output>, bool), Fault> {
        let (tell, mut told) = mpsc::unbounded_channel();
        let working = self.ops.work_on(&of.grant, &of.object, work, tell);
        tokio::pin!(working);
        let ended = loop {
            tokio::select! {
                ended = &mut working => break ended,
                Some(step) = told.recv() => attempt.progress(0, 0, cut(&step, MAX_NOTE_CHARS)),
            }
        };
        ended.map_err(|failure| match failure {
            Failure::OfFile(why) => Fault::dead(why),
            Failure::OfUs(e) => fault(e),
        })
    }

    async fn put(&self, of: &Subject<'_>, results: &[Output]) -> Result<(), Fault> {
        let tags = self.tags(&of.bucket.name, of.key, &of.object).await?;
        for result in results {
            let (_, grant) = self.beside(of, Action::PutObject, &result.name)?;
            self.ops.put_result(&grant, &of.object, &tags, result).await.map_err(put_fault)?;
        }
        Ok(())
    }

    /// What is made has the tags that its source has now.
    async fn retag(&self, of: &Subject<'_>) -> Result<Option<Value>, Fault> {
        let (tags, mut changed) = (self.tags(&of.bucket.name, of.key, &of.object).await?, 0);
        let manifest = self.ops.manifest_of(&of.grant, &of.object, Freshness::Current).await.map_err(fault)?;
        let names = manifest.iter().flat_map(|manifest| &manifest.sources).map(|source| source.url.as_str()).chain([MANIFEST]);
        for name in names {
            let (key, grant) = self.beside(of, Action::PutObjectTagging, name)?;
            let named = ObjectRef::current(&of.bucket.name, &key);
            let found = self.ops.object_for_decision(named, Freshness::Current).await.map_err(fault)?;
            let Some(found) = found.filter(|found| found.owner == of.object.owner && is_made_here(found)) else { continue };
            if self.tags(&of.bucket.name, &key, &found).await? != tags {
                self.ops.set_tags(&grant, tags.clone()).await.map_err(fault)?;
                changed += 1;
            }
        }
        Ok(Some(json!({ "left": "it is made already", "retagged": changed })))
    }

    /// The key of a result, and the right to do it there.
    fn beside(&self, of: &Subject<'_>, action: Action, name: &str) -> Result<(ObjectKey, Grant), Fault> {
        let key = place(of.key).and_then(|at| at.key(name)).map_err(|_| Fault::dead(NO_ROOM))?;
        let target = Target::Object { bucket: &of.bucket, key: &key, version: VersionSelector::Current, object: None };
        let grant = self.auth.grant_for_job(of.asker, action, target).map_err(refused)?;
        Ok((key, grant))
    }

    async fn tags(&self, bucket: &BucketName, key: &ObjectKey, object: &SharedObject) -> Result<Tags, Fault> {
        match object.tag_count {
            Some(0) => Ok(Tags::default()),
            _ => Ok(self.ops.tags_for_decision(ObjectRef::current(bucket, key), object).await.map_err(fault)?.unwrap_or_default()),
        }
    }

    async fn is_current(&self, of: &Subject<'_>) -> Result<bool, Fault> {
        let named = ObjectRef::current(&of.bucket.name, of.key);
        let now = self.ops.object_for_decision(named, Freshness::Current).await.map_err(fault)?;
        Ok(now.is_some_and(|now| now.etag == of.object.etag && now.size == of.object.size))
    }
}

/// What took its place has a job of its own.
fn replaced() -> Option<Value> {
    Some(json!({ "left": "the object was replaced" }))
}

fn put_fault(e: Error) -> Fault {
    if is_lost_race(&e) { Fault::retry("another wrote there meanwhile") } else { fault(e) }
}

fn fault(e: Error) -> Fault {
    match e.side() {
        Side::Caller => Fault::dead(e.message().to_owned()),
        _ => Fault::retry(format!("{:?}: {}", e.kind(), e.message())),
    }
}
