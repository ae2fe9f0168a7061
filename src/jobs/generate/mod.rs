//! Generates one piece of media: asks the providers that can make it, in order, until one has, and brings its result under the tenant's key.
//!
//! In the name of the tenant who asked, by grants made when it is claimed. An attempt waits for its provider most of the time, and stops where it
//! can go on when the gateway stops. Begun again after a crash it goes by the book (`ops::generate::book`): what a provider took is asked for and
//! not sent once more; what may have been taken, and can't be looked up, is held for a decision.
//! A provider that fails is followed by the next; what moderation refuses is not asked of another.

mod case;
mod made;
mod provider;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::jobs::generate::case::{Case, Generate};
use crate::jobs::generate::provider::{End, Work};
use crate::jobs::landing::{Hands, fault};
use crate::ops::fetch::Settings as FetchSettings;
use crate::ops::generate::book::{Entry, State};
use crate::ops::generate::{Document, Generation, VERSION};
use crate::queue::kind::{Backoff, Work as Pending};
use crate::queue::{Attempt, Fault, Kind};
use crate::vault::kind::MediaKind;

impl Kind for Generate {
    fn name(&self) -> &'static str {
        self.kind.job()
    }

    fn waits(&self) -> bool {
        true
    }

    fn of_tenant(&self) -> u32 {
        self.kind.at_once()
    }

    fn patience(&self) -> Duration {
        self.kind.deadline() + self.fetch.time
    }

    fn backoff(&self) -> Backoff {
        Backoff { first: Duration::from_secs(1), most: Duration::from_secs(120) }
    }

    fn run<'a>(&'a self, attempt: &'a Attempt) -> Pending<'a> {
        Box::pin(async move {
            let document: Document = attempt.document(VERSION)?;
            let case = self.case(attempt, document).await?;
            self.by_providers(&case).await.map(Some)
        })
    }
}

impl Generate {
    async fn by_providers(&self, case: &Case<'_>) -> Result<Value, Fault> {
        let (job, document) = (&case.attempt.job, &case.document);
        let before = self.generation.book().of(&job.id);
        let candidates = self.generation.candidates(&document.wanted);
        let mut candidates = candidates.map_err(Fault::dead)?;
        // What is under way, and paid, is gone on with before anything else is asked for.
        if let Some(open) = before.iter().rev().find(|entry| !matches!(entry.state, State::Failed | State::Void)) {
            let place = candidates.iter().position(|(provider, model)| open.provider == provider.name && open.model == model.name);
            let gone = || Fault::retry(format!("{} ({}), which is at it, is not among the providers any more", open.provider, open.model));
            candidates[..=place.ok_or_else(gone)?].rotate_right(1);
        }
        // Begun anew by hand, all are asked again.
        let counts = |entry: &&Entry| entry.state == State::Failed && job.attempts > 1;
        let mut reasons: Vec<String> = Vec::new();
        for (provider, model) in candidates {
            let failed = before.iter().filter(counts).find(|entry| entry.provider == provider.name && entry.model == model.name);
            if let Some(failed) = failed {
                reasons.push(format!("{}: {}", provider.name, failed.reason.as_deref().unwrap_or("failed")));
                continue;
            }
            case.attempt.progress(0, 100, format!("waiting for {}", provider.name));
            let _seat = self.generation.seat(&job.tenant, &provider.name, self.kind).await.map_err(fault)?;
            let mut work = Work { of: self, case, provider: &provider, model: &model, entries: self.generation.book().of(&job.id) };
            match work.run().await {
                Ok(made) => return Ok(made),
                Err(End::Next(reason)) => {
                    tracing::warn!(job = %job.id, provider = provider.name, model = model.name, reason, "a provider failed");
                    reasons.push(format!("{}: {reason}", provider.name));
                }
                Err(End::Stop(fault)) => return Err(fault),
            }
        }
        Err(Fault::dead(format!("every provider failed: {}", reasons.join("; "))))
    }
}

/// All kinds, over one book.
pub fn kinds(hands: &Hands, generation: &Generation, fetch: &FetchSettings) -> Vec<Arc<dyn Kind>> {
    let kind = |kind| Generate { kind, hands: hands.clone(), generation: generation.clone(), fetch: fetch.clone() };
    MediaKind::ALL.into_iter().map(|media| Arc::new(kind(media)) as Arc<dyn Kind>).collect()
}
