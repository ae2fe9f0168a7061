//! What was spent on providers in a month, added up: a tenant's own, all of it for the operator.

use std::collections::BTreeMap;

use serde::Serialize;
use tokio::task::spawn_blocking;

use crate::auth::action::Action;
use crate::auth::grant::Grant;
use crate::base::error::{Error, Result};
use crate::base::names::TenantId;
use crate::ops::generate::book::{Entry, State};
use crate::ops::{Ops, wrong_grant};
use crate::usage::period::Month;

/// Lines of one answer.
const MAX_LINES: usize = 100_000;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Line {
    pub tenant: String,
    pub run: String,
    pub provider: String,
    pub kind: &'static str,
    pub model: String,
}

/// In millionths of a dollar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    pub requests: u64,
    pub failed: u64,
    pub estimated: u64,
    /// As far as providers said it, or it is surely so.
    pub billed: u64,
    /// Billed, and estimated of what is not billed.
    pub cost: u64,
}

impl Sum {
    fn add(&mut self, entry: &Entry) {
        self.requests += 1;
        self.failed += u64::from(matches!(entry.state, State::Failed | State::Void));
        self.estimated += entry.estimated;
        self.billed += entry.billed.unwrap_or(0);
        self.cost += entry.cost();
    }
}

pub struct Spent {
    pub lines: Vec<(Line, Sum)>,
    pub total: Sum,
    /// Of the one tenant that it is of: what may be spent this month.
    pub budget: Option<u64>,
}

impl Ops {
    /// `tenant`: what the operator asks for; a tenant sees its own whatever it says.
    pub async fn spent(&self, grant: &Grant, tenant: Option<TenantId>, month: Month) -> Result<Spent> {
        if grant.action() != Action::GetUsage {
            return Err(wrong_grant(grant, Action::GetUsage));
        }
        let tenant = if grant.tenant().is_operator() { tenant } else { Some(grant.tenant().clone()) };
        let generation = self.generation()?.clone();
        let budget = tenant.as_ref().and_then(|tenant| generation.budget(tenant));
        let read = move || {
            let (mut lines, mut total): (BTreeMap<Line, Sum>, Sum) = Default::default();
            let days = month.first_day()..month.first_day() + month.days();
            generation.book().read(days, &mut |entry| {
                if tenant.as_ref().is_some_and(|tenant| *tenant != entry.tenant) {
                    return;
                }
                total.add(entry);
                let line = Line {
                    tenant: entry.tenant.to_string(),
                    run: entry.run.clone(),
                    provider: entry.provider.clone(),
                    kind: entry.kind.name(),
                    model: entry.model.clone(),
                };
                if lines.len() < MAX_LINES || lines.contains_key(&line) {
                    lines.entry(line).or_default().add(entry);
                }
            })?;
            Ok(Spent { lines: lines.into_iter().collect(), total, budget })
        };
        spawn_blocking(read).await.map_err(Error::internal)?
    }
}
