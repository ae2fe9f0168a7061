//! Makes a job of every upload of media, off the way of its writer.

use crate::base::error::Result;
use crate::base::names::TenantId;
use crate::media::format::Format;
use crate::ops::changes::{Became, Change, Ended, Follower, What};
use crate::ops::deed::Made;
use crate::ops::media::{is_media, job, name};
use crate::origin::Pending;
use crate::queue::Following;

/// Need not hear of every change: what was missed is looked into when somebody asks for it.
pub struct Inspections {
    /// What was found does not go by itself with what is deleted.
    pub is_far: bool,
}

impl Follower for Inspections {
    fn concerns(&self, change: &Change) -> bool {
        change.what == What::Content && change.key.is_some()
    }

    fn must_hear(&self, _: &Change) -> bool {
        false
    }

    fn require_room(&self, _: &TenantId) -> Result<()> {
        Ok(())
    }

    fn follow<'a>(&'a self, change: &'a Change, ended: &'a Ended) -> Pending<'a, Vec<Following>> {
        Box::pin(async move {
            let Some(key) = change.key.as_ref().filter(|_| ended.became != Became::KeptHere) else { return Ok(Vec::new()) };
            let by_name = Format::of_name(key.as_str()).is_some();
            let (wanted, owner) = match &ended.made {
                Made::Object(object) => (object.inspection.is_none() && is_media(object, key), &object.owner),
                Made::Nothing => (by_name, &change.tenant),
                Made::Gone(_) => (by_name && self.is_far, &change.tenant),
            };
            if !wanted {
                return Ok(Vec::new());
            }
            Ok(vec![Following::Job { gathers_under: name(&change.bucket, key), job: job(owner, &change.bucket, key)? }])
        })
    }
}
