//! `tidegate fsck`: proves that bodies, records and index agree, offline, and prints what does not.

use clap::Args;

use super::Failure;
use crate::config::Config;
use crate::files::sys::make_files_private;
use crate::local::fsck::{self, Options, Problem, Report};
use crate::local::sealed::Sealing;
use crate::queue;

#[derive(Args)]
pub struct Fsck {
    /// Read every body and compare its hash
    #[arg(long)]
    verify: bool,
    /// Only report: leave files that no record speaks of where they are
    #[arg(long)]
    dry_run: bool,
}

pub fn run(command: &Fsck, config: &Config) -> Result<(), Failure> {
    make_files_private();
    let mut proven = Ok(());
    let store = crate::local::Settings {
        encryption_keys: config.named_keys().map_err(Failure::Usage)?,
        sealing: match super::existing_operator_key(config) {
            Ok(operator) => Sealing::new(operator.secret.expose().as_bytes(), None)?,
            // Without it nothing is opened that lies under the store's own key.
            Err(_) => Sealing::default(),
        },
        ..config.store.clone()
    };
    let back = config.store.dir.join(crate::app::stack::BACK_FOLDER);
    if back.exists() {
        println!("what waits to be stored upstream:");
        let waiting = crate::local::Settings { dir: back, ..store.clone() };
        proven = prove(command, &waiting);
        println!("the store:");
    }
    proven = proven.and(prove(command, &store));
    let broken_jobs = check_queue(config)?;
    if broken_jobs > 0 {
        return proven.and(Err(Failure::Failed(format!("{broken_jobs} problems of the queue"))));
    }
    proven
}

fn prove(command: &Fsck, store: &crate::local::Settings) -> Result<(), Failure> {
    let report = fsck::fsck(store, Options { verify: command.verify, repair: !command.dry_run })?;
    print(&report);
    if report.is_clean() {
        return Ok(());
    }
    // An index that was rebuilt is whole again: only what is left counts.
    let repaired = report.problems.iter().all(|p| matches!(p, Problem::Index { .. })) && report.index_rebuilt;
    let orphans_left = report.orphans.len() as u64 - report.orphans_removed;
    match (repaired, orphans_left) {
        (true, 0) => Ok(()),
        (true, n) => Err(Failure::Failed(format!("{n} files that no record speaks of are left"))),
        (false, _) => Err(Failure::Failed(format!("{} problems", report.problem_count))),
    }
}

/// The journal of the job queue; its index is brought up to date by the next start. Returns the number of problems.
fn check_queue(config: &Config) -> Result<u64, Failure> {
    let Some(report) = queue::compact::check(&config.queue_settings())? else { return Ok(0) };
    for problem in &report.problems {
        println!("queue: {problem}");
    }
    println!("{} jobs, {} of them not ended", report.jobs, report.unfinished);
    Ok(report.problems.len() as u64)
}

fn print(report: &Report) {
    for problem in &report.problems {
        println!("{}", describe(problem));
    }
    if report.problem_count > report.problems.len() as u64 {
        println!("... and {} more", report.problem_count - report.problems.len() as u64);
    }
    for orphan in &report.orphans {
        println!("no record speaks of {}", orphan.display());
    }
    if report.orphans_removed > 0 {
        println!("{} of them removed", report.orphans_removed);
    }
    if report.index_rebuilt {
        println!("the index was rebuilt from the journal");
    }
    println!(
        "{} objects, {} files, {} bytes; {} bytes hashed again",
        report.objects, report.files, report.file_bytes, report.verified_bytes
    );
}

fn describe(problem: &Problem) -> String {
    match problem {
        Problem::Journal(text) => format!("journal: {text}"),
        Problem::Missing { what } => format!("missing: the body of {what}"),
        Problem::WrongSize { what, expected, found } => format!("wrong size: {what} has {found} bytes instead of {expected}"),
        Problem::Damaged { what } => format!("damaged: the bytes of {what} are not those that were stored"),
        Problem::KeyMissing { key, needed_by } => format!("key missing: {key}, which {needed_by} objects and uploads need"),
        Problem::Versions { what } => format!("versions: {what}"),
        Problem::Index { rows } => format!("index: {rows} rows differ from the journal"),
        Problem::Foreign { path } => format!("foreign: {} is none of the store's files; it is left alone", path.display()),
    }
}
