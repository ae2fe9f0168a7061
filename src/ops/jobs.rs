//! Jobs as their tenant sees them: list, look, wait, cancel, retry. The operator sees those of all tenants.
//!
//! Another tenant's job is one that does not exist; where the other nodes are stands in no job that a tenant sees.

use std::time::Duration;

use tokio::sync::watch;

use crate::auth::action::Action;
use crate::auth::grant::Grant;
use crate::base::error::{Error, ErrorKind, Result};
use crate::ops::{Ops, peers, write_back, wrong_grant};
use crate::queue::job::{Job, JobId, no_such_job};
use crate::queue::shared::Progress;
use crate::queue::view::{Filter, Page, View};

/// What tells of a job's changes.
pub struct JobChanges {
    pub record: watch::Receiver<()>,
    /// None: nothing runs now.
    pub progress: Option<watch::Receiver<Option<Progress>>>,
    /// Becomes true when the gateway stops: nobody should wait any longer.
    pub stopping: watch::Receiver<bool>,
}

impl Ops {
    /// `filter.tenant` is what the operator asked for; a tenant sees its own jobs whatever it says.
    pub async fn list_jobs(&self, grant: &Grant, filter: Filter) -> Result<Page> {
        asked_for(grant, Action::ListJobs)?;
        let tenant = if grant.tenant().is_operator() { filter.tenant } else { Some(grant.tenant().clone()) };
        let page = self.jobs.list(Filter { tenant, ..filter }).await?;
        Ok(Page { jobs: page.jobs.into_iter().map(|job| seen_by(grant, job)).collect(), ..page })
    }

    pub async fn job(&self, grant: &Grant, id: JobId) -> Result<View> {
        asked_for(grant, Action::GetJob)?;
        self.own(grant, id).await
    }

    /// As `job`, as soon as it has ended or `patience` has.
    pub async fn wait_for_job(&self, grant: &Grant, id: JobId, patience: Duration) -> Result<View> {
        asked_for(grant, Action::GetJob)?;
        self.own(grant, id).await?;
        // A job that is forgotten meanwhile had ended.
        self.jobs.wait(id, patience).await?.map(|view| view_seen_by(grant, view)).ok_or_else(no_such_job)
    }

    pub async fn watch_job(&self, grant: &Grant, id: JobId) -> Result<JobChanges> {
        asked_for(grant, Action::GetJob)?;
        self.own(grant, id).await?;
        Ok(JobChanges { record: self.jobs.watch(id)?, progress: self.jobs.watch_progress(id), stopping: self.jobs.stopping() })
    }

    pub async fn cancel_job(&self, grant: &Grant, id: JobId) -> Result<Job> {
        asked_for(grant, Action::CancelJob)?;
        if self.own(grant, id).await?.job.kind == write_back::KIND {
            let text = "What was acknowledged is stored upstream: it can't be cancelled. Delete the object.";
            return Err(Error::new(ErrorKind::InvalidRequest, text));
        }
        self.jobs.cancel(id).await.map(|job| seen_by(grant, job))
    }

    pub async fn retry_job(&self, grant: &Grant, id: JobId) -> Result<Job> {
        asked_for(grant, Action::RetryJob)?;
        self.own(grant, id).await?;
        self.jobs.retry(id).await.map(|job| seen_by(grant, job))
    }

    async fn own(&self, grant: &Grant, id: JobId) -> Result<View> {
        let found = self.jobs.get(id).await?;
        let own = found.filter(|v| grant.tenant().is_operator() || v.job.tenant == *grant.tenant());
        own.map(|view| view_seen_by(grant, view)).ok_or_else(no_such_job)
    }
}

fn seen_by(grant: &Grant, job: Job) -> Job {
    if grant.tenant().is_operator() { job } else { peers::without_address(job) }
}

fn view_seen_by(grant: &Grant, mut view: View) -> View {
    if !grant.tenant().is_operator() && view.job.kind == peers::KIND {
        view.payload.document = peers::document_without_address(&view.payload.document);
    }
    View { job: seen_by(grant, view.job), ..view }
}

fn asked_for(grant: &Grant, action: Action) -> Result<()> {
    if grant.action() == action { Ok(()) } else { Err(wrong_grant(grant, action)) }
}
