//! Limits of tenants and buckets that are near, or reached, are told of as events: once for each time that they become so.
//!
//! Looked at once a second, beside all requests; a request does nothing for it but note that it was refused.
//! Not here: the limits themselves (`origin::Quota`, `auth::limits`), who is told (`events`).
//! Limits: so many tenants and buckets are looked at in one turn; who has more is looked through in several.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::MissedTickBehavior;

use crate::auth::Auth;
use crate::auth::limits::{Limits, Meters};
use crate::base::error::{Error, Result};
use crate::base::event::EventKind;
use crate::base::limited::{Limited, Scope};
use crate::base::names::{BucketName, TenantId};
use crate::ops::Ops;
use crate::ops::events::Notice;
use crate::origin::Usage;

const LOOK_EVERY: Duration = Duration::from_secs(1);
const AT_ONCE: usize = 500;
/// How far below `near`, as parts of the limit, it is away again: what goes to and fro there is told of once.
const SLACK: f64 = 0.05;
/// What was refused is reached for so long, however much is used.
const CALM: Duration = Duration::from_secs(60);
/// Refusals that wait to be looked at.
const MAX_REFUSED: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Whose {
    Tenant(TenantId),
    Bucket(BucketName),
}

/// What was refused since it was looked at.
#[derive(Debug, Default)]
pub struct Refused(Mutex<HashSet<(Whose, Limited)>>);

impl Refused {
    fn note(&self, whose: Whose, limited: Limited) {
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() < MAX_REFUSED {
            refused.insert((whose, limited));
        }
    }

    fn take(&self, whose: &Whose, limited: Limited) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(whose.clone(), limited))
    }
}

impl Ops {
    /// The error may say that a limit is reached: of this tenant, or of this bucket.
    pub fn note_limit(&self, e: &Error, tenant: Option<&TenantId>, bucket: Option<&BucketName>) {
        let Some((scope, limited)) = Limited::told_by(e) else { return };
        let whose = match scope {
            Scope::Tenant => tenant.cloned().map(Whose::Tenant),
            Scope::Bucket => bucket.cloned().map(Whose::Bucket),
        };
        whose.into_iter().for_each(|whose| self.refused.note(whose, limited));
    }

    /// Runs until it is aborted. `near`: from which part of a limit on it is.
    pub async fn keep_watching_limits(self, auth: Arc<Auth>, near: f64) {
        let mut levels = Levels { near, told: HashMap::new() };
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut from = 0;
        loop {
            ticks.tick().await;
            from = self.look_at_limits(&auth, &mut levels, from).await;
        }
    }

    /// Answers where the next turn begins.
    async fn look_at_limits(&self, auth: &Auth, levels: &mut Levels, from: usize) -> usize {
        let tenants = auth.tenants();
        let of_tenants = tenants.iter().map(|t| (Whose::Tenant(t.id.clone()), &t.limits, &t.meters));
        let of_buckets = auth.bucket_limits().iter().map(|(name, limits, meters)| (Whose::Bucket(name.clone()), limits, meters));
        let all: Vec<_> = of_buckets.chain(of_tenants).filter(|(_, limits, _)| is_watched(limits)).collect();
        let from = if from < all.len() { from } else { 0 };
        for (whose, limits, meters) in all.iter().skip(from).take(AT_ONCE) {
            if let Err(e) = self.look_at(whose, limits, meters, levels).await {
                tracing::debug!(error = %e, "limits could not be looked at; it is done again");
            }
        }
        from + AT_ONCE
    }

    async fn look_at(&self, whose: &Whose, limits: &Limits, meters: &Meters, levels: &mut Levels) -> Result<()> {
        let stored = match (limits.quota().is_some(), whose) {
            (false, _) => None,
            (true, Whose::Tenant(tenant)) => Some(self.origin.control.usage(tenant).await?),
            (true, Whose::Bucket(bucket)) => self.origin.control.usage_of_bucket(bucket).await?,
        };
        let Usage { bytes, objects } = stored.unwrap_or_default();
        let egress = || match (&self.usage, whose) {
            (None, _) => 0,
            (Some(usage), Whose::Tenant(tenant)) => usage.egress(tenant.as_str()),
            (Some(usage), Whose::Bucket(bucket)) => usage.egress_of_bucket(bucket.as_str()),
        };
        let all = [
            (Limited::Bytes, limits.bytes.map(|of| (bytes, of))),
            (Limited::Objects, limits.objects.map(|of| (objects, of))),
            (Limited::Uploads, meters.most_uploads().zip(limits.uploads).map(|(used, of)| (used.into(), of.into()))),
            (Limited::EgressPerMonth, limits.egress_per_month.map(|of| (egress(), of))),
        ];
        for (limited, measured) in all {
            let refused = self.refused.take(whose, limited);
            let Some((used, of)) = measured else { continue };
            if let Some(kind) = levels.look(whose, limited, used, of, refused) {
                self.tell_limit(whose, kind, limited, used, of).await?;
            }
        }
        Ok(())
    }

    async fn tell_limit(&self, whose: &Whose, kind: EventKind, limited: Limited, used: u64, of: u64) -> Result<()> {
        let (tenant, bucket) = match whose {
            Whose::Tenant(tenant) => (tenant.clone(), None),
            Whose::Bucket(bucket) => {
                // The limit of a bucket that is not there yet is nobody's.
                let Some(found) = self.origin.buckets.bucket(bucket).await? else { return Ok(()) };
                (found.owner.clone(), Some(bucket.clone()))
            }
        };
        tracing::info!(tenant = %tenant, bucket = ?bucket.as_ref().map(BucketName::as_str), event = kind.name(), limit = limited.name(), used, of, "a limit");
        self.events()?.emit(Notice { kind, tenant, bucket, key: None, data: json!({ "limit": limited.name(), "used": used, "of": of }) });
        Ok(())
    }
}

fn is_watched(limits: &Limits) -> bool {
    limits.quota().is_some() || limits.uploads.is_some() || limits.egress_per_month.is_some()
}

/// What was told of each limit, as long as it is so.
struct Levels {
    near: f64,
    told: HashMap<(Whose, Limited), Told>,
}

struct Told {
    reached: bool,
    refused: Option<Instant>,
}

impl Levels {
    /// What is to be told now.
    fn look(&mut self, whose: &Whose, limited: Limited, used: u64, of: u64, refused: bool) -> Option<EventKind> {
        let part = used as f64 / of.max(1) as f64;
        let (is_reached, is_near) = (used >= of || refused, part >= self.near);
        let refused = refused.then(Instant::now);
        match self.told.get_mut(&(whose.clone(), limited)) {
            None if is_reached || is_near => {
                self.told.insert((whose.clone(), limited), Told { reached: is_reached, refused });
                Some(if is_reached { EventKind::LimitReached } else { EventKind::LimitNear })
            }
            None => None,
            Some(told) => {
                let is_new = is_reached && !told.reached;
                told.reached |= is_reached;
                told.refused = refused.or(told.refused);
                let is_calm = told.refused.is_none_or(|at| at.elapsed() >= CALM);
                if !is_reached && is_calm {
                    // Below the limit again, and perhaps still near it, which was told.
                    told.reached = false;
                    if part < self.near - SLACK {
                        self.told.remove(&(whose.clone(), limited));
                    }
                }
                is_new.then_some(EventKind::LimitReached)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_crossing_is_told_once() {
        let mut levels = Levels { near: 0.8, told: HashMap::new() };
        let whose = Whose::Tenant(TenantId::parse("acme").unwrap());
        let mut look = |used, refused| levels.look(&whose, Limited::Bytes, used, 100, refused);
        assert_eq!(look(79, false), None);
        assert_eq!(look(80, false), Some(EventKind::LimitNear));
        assert_eq!(look(90, false), None);
        assert_eq!(look(79, false), None);
        assert_eq!(look(80, false), None, "to and fro");
        assert_eq!(look(100, false), Some(EventKind::LimitReached));
        assert_eq!(look(100, true), None);
        assert_eq!(look(10, false), None);
        assert_eq!(look(100, true), None, "it was refused a moment ago");
        let mut calm = Levels { near: 0.8, told: HashMap::new() };
        let mut look = |used, refused| calm.look(&whose, Limited::Bytes, used, 100, refused);
        assert_eq!(look(100, false), Some(EventKind::LimitReached), "near goes without saying");
        assert_eq!(look(90, false), None);
        assert_eq!(look(100, false), Some(EventKind::LimitReached));
        assert_eq!(look(74, false), None);
        assert_eq!(look(85, false), Some(EventKind::LimitNear));
        assert_eq!(look(20, true), Some(EventKind::LimitReached), "too large for what is left");
        assert_eq!(levels.look(&whose, Limited::Uploads, 0, 0, false), Some(EventKind::LimitReached), "nothing at all");
    }

    #[test]
    fn refusals_are_bounded_and_taken_once() {
        let refused = Refused::default();
        let whose = |n: usize| Whose::Tenant(TenantId::parse(&format!("t{n}")).unwrap());
        (0..MAX_REFUSED + 5).for_each(|n| refused.note(whose(n), Limited::Bytes));
        assert!(refused.take(&whose(0), Limited::Bytes) && !refused.take(&whose(0), Limited::Bytes));
        assert!(!refused.take(&whose(MAX_REFUSED), Limited::Bytes));
    }
}
