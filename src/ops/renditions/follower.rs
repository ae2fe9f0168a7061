//! Makes a job of every change of a model whose results must follow it.
//!
//! A write costs nothing where no rule fits its key and nothing was ever made in its bucket.

use std::sync::Arc;

use crate::base::error::Result;
use crate::base::names::{ObjectKey, TenantId};
use crate::base::object_ref::ObjectRef;
use crate::ops::changes::{Became, Change, Ended, Follower, What};
use crate::ops::deed::Made;
use crate::ops::renditions::noted::Noted;
use crate::ops::renditions::settings::Rule;
use crate::ops::renditions::{gathering, is_made_here, is_model, is_model_by_name, job, place, source_of, source_of_manifest};
use crate::origin::{Freshness, Origin, Pending};
use crate::queue::Following;

pub struct Follow {
    pub rules: Arc<Vec<Rule>>,
    pub noted: Noted,
    pub origin: Origin,
    /// Looking for results takes a request: a job does it.
    pub is_far: bool,
}

impl Follow {
    fn may_want(&self, change: &Change, key: &ObjectKey) -> bool {
        self.rules.iter().any(|rule| rule.may_want(&change.bucket, key))
    }

    /// Of an earlier version of the key, or of what no rule asked for.
    async fn has_results(&self, change: &Change, key: &ObjectKey) -> Result<bool> {
        if !self.noted.holds(&change.bucket).await {
            return Ok(false);
        }
        let Ok(manifest) = place(key).and_then(|place| place.manifest()) else { return Ok(false) };
        let found = self.origin.reads.stat(ObjectRef::current(&change.bucket, &manifest), Freshness::Current);
        Ok(self.is_far || found.await?.is_some())
    }

    async fn follow_model(&self, change: &Change, ended: &Ended, key: &ObjectKey) -> Result<Vec<Following>> {
        let (concerned, owner) = match &ended.made {
            Made::Object(object) => (is_model(object, key) && self.may_want(change, key), &object.owner),
            Made::Nothing => (self.may_want(change, key), &change.tenant),
            Made::Gone(_) => (false, &change.tenant),
        };
        if !concerned && !self.has_results(change, key).await? {
            return Ok(Vec::new());
        }
        let job = job(owner, &change.bucket, key, None)?;
        Ok(vec![Following::Job { gathers_under: gathering(&change.bucket, key), job }])
    }
}

impl Follower for Follow {
    fn concerns(&self, change: &Change) -> bool {
        let concerns = |key: &ObjectKey| match source_of(key.as_str()) {
            Some(_) => change.what == What::Content && source_of_manifest(key.as_str()).is_some() && !self.noted.is_noted(&change.bucket),
            None => is_model_by_name(key) && (self.may_want(change, key) || self.noted.may_hold(&change.bucket) || self.is_far),
        };
        matches!(change.what, What::Content | What::Tags) && change.key.as_ref().is_some_and(concerns)
    }

    /// A result must not outlive its source. What a rule asks for is asked for once.
    fn must_hear(&self, change: &Change) -> bool {
        change.key.as_ref().is_some_and(|key| {
            source_of_manifest(key.as_str()).is_some() || self.may_want(change, key) || self.noted.may_hold(&change.bucket)
        })
    }

    fn require_room(&self, _: &TenantId) -> Result<()> {
        Ok(())
    }

    fn follow<'a>(&'a self, change: &'a Change, ended: &'a Ended) -> Pending<'a, Vec<Following>> {
        Box::pin(async move {
            let Some(key) = change.key.as_ref().filter(|_| ended.became != Became::KeptHere) else { return Ok(Vec::new()) };
            if source_of(key.as_str()).is_none() {
                return self.follow_model(change, ended, key).await;
            }
            let is_ours = match &ended.made {
                Made::Object(object) => is_made_here(object),
                Made::Nothing => true,
                Made::Gone(_) => false,
            };
            if is_ours {
                self.noted.note(&change.bucket).await?;
            }
            Ok(Vec::new())
        })
    }
}
