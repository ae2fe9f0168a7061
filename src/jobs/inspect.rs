//! Looks into one object of a media type and keeps what was found. Begun again it finds the same.
//!
//! In the name of the object's owner, by a grant made when it is claimed. A file that breaks the worker, or goes past its limits, is a
//! dead job with the reason, which stands beside the object too.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::auth::{Action, Auth, Target};
use crate::base::error::Error;
use crate::base::inspection::Verdict;
use crate::base::object_ref::{ObjectRef, VersionSelector};
use crate::jobs::{asker, refused};
use crate::media::INSPECTOR;
use crate::media::settings::Settings;
use crate::ops::Ops;
use crate::ops::media::{Document, KIND, VERSION, is_media};
use crate::origin::Freshness;
use crate::queue::kind::Work;
use crate::queue::{Attempt, Fault, Kind};

pub struct Inspect {
    ops: Ops,
    auth: Arc<Auth>,
    /// As many as there are workers: others would only wait for one.
    workers: usize,
    /// That one file may take.
    time: Duration,
}

impl Inspect {
    pub fn new(ops: Ops, auth: Arc<Auth>, settings: &Settings) -> Self {
        Inspect { ops, auth, workers: settings.workers, time: settings.time }
    }
}

impl Kind for Inspect {
    fn name(&self) -> &'static str {
        KIND
    }

    fn at_once(&self) -> u32 {
        u32::try_from(self.workers).unwrap_or(u32::MAX)
    }

    /// A worker may be waited for by those who write into buckets that demand it.
    fn patience(&self) -> Duration {
        self.time * 4 + Duration::from_secs(60)
    }

    fn run<'a>(&'a self, attempt: &'a Attempt) -> Work<'a> {
        Box::pin(async move {
            let Document { bucket, key } = attempt.document(VERSION)?;
            let again = |e: Error| Fault::retry(format!("{:?}: {}", e.kind(), e.message()));
            let of = ObjectRef::current(&bucket, &key);
            let found = self.ops.bucket_for_decision(&bucket).await.map_err(again)?;
            let object = match &found {
                Some(_) => self.ops.object_for_decision(of, Freshness::Current).await.map_err(again)?,
                None => None,
            };
            let (Some(found), Some(object)) = (found, object) else {
                self.ops.forget_inspection(&bucket, &key).await.map_err(again)?;
                return Ok(Some(json!({ "found": "nothing: the object is gone" })));
            };
            let known = self.ops.kept_inspection(of, &object).await.map_err(again)?;
            if !is_media(&object, &key) || known.is_some_and(|known| known.inspector >= INSPECTOR) {
                return Ok(None);
            }
            let target = Target::Object { bucket: &found, key: &key, version: VersionSelector::Current, object: Some(&object) };
            let asker = asker(&self.auth, &attempt.job)?;
            let grant = self.auth.grant_for_job(&asker, Action::GetObject, target).map_err(refused)?;
            match self.ops.inspect(&grant, &object).await.map_err(again)? {
                // What was written meanwhile has its own job.
                None => Ok(Some(json!({ "found": "nothing: the object was replaced" }))),
                Some(found) if found.verdict == Verdict::Failed => {
                    Err(Fault::dead(found.findings.first().map(|f| f.text.clone()).unwrap_or_default()))
                }
                Some(found) => {
                    Ok(Some(json!({ "verdict": found.verdict.name(), "format": found.format, "findings": found.findings.len() })))
                }
            }
        })
    }
}
