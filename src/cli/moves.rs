//! What `import`, `export` and `mirror` have in common: how much at once, an end in good order, and the last word.

use std::future::Future;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use crate::moving::fault::{Fault, Result};
use crate::moving::progress::{self, Progress};
use crate::moving::resume::Memory;
use crate::moving::run::Run;

#[derive(Args)]
pub struct Moves {
    /// Files or parts that are moved at once; each takes up to 16 MiB of memory
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

impl Moves {
    pub fn run(&self) -> Arc<Run> {
        Run::new(self.jobs.into(), self.dry_run, Progress::new(std::io::stderr().is_terminal() && !self.dry_run))
    }
}

/// Where uploads that have begun are noted; without a home they are not.
pub fn memory() -> Arc<Memory> {
    let folder = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let state = folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")));
    Arc::new(Memory { dir: state.map(|dir| dir.join("tidegate/uploads")) })
}

pub async fn carry_out(run: &Run, work: impl Future<Output = Result<()>>) -> std::result::Result<(), Failure> {
    let catch = |kind| signal(kind).map_err(|e| Failure::Failed(format!("signals can't be caught: {e}")));
    let (mut interrupt, mut terminate) = (catch(SignalKind::interrupt())?, catch(SignalKind::terminate())?);
    let interrupted = || Err(Fault::new("interrupted; the same command goes on where this one was"));
    // What is under way is dropped with `work`: half files go, parts that were sent stay and are found again.
    let ended = tokio::select! {
        ended = work => ended,
        _ = interrupt.recv() => interrupted(),
        _ = terminate.recv() => interrupted(),
    };
    run.progress.end();
    let summary = run.summary();
    run.progress.tell(&progress::result(summary, run.dry_run));
    match ended {
        Err(fault) => Err(Failure::Failed(fault.to_string())),
        Ok(()) if summary.failed > 0 => Err(Failure::Failed(format!("{} could not be moved", summary.failed))),
        Ok(()) => Ok(()),
    }
}
