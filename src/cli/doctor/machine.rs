//! The machine that the gateway runs on, where that is this one: its disk, and what the process may open. And what the gateway counts.

use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::asking::{Asker, Place};
use super::finding::{Check, Findings};
use crate::config::Config;
use crate::config::units::show_size;
use crate::files::sys;
use crate::net::descriptors::connections_within;
use crate::private;

const SYNCS: usize = 16;
const SYNC_BYTES: usize = 4096;
const BULK_BYTES: usize = 16 << 20;
/// A write waits for one sync at least.
const SLOW_SYNC: Duration = Duration::from_millis(25);
const SLOW_BYTES_PER_SECOND: u64 = 50_000_000;
/// Of free space, in `store.reserve`s: with less, writes are soon refused.
const NEAR_RESERVES: u64 = 16;
const FEW_FILES: usize = 8192;

pub fn disk(findings: &mut Findings, config: &Config) {
    let data = &config.store.dir;
    let folder = match std::fs::File::open(data) {
        Ok(folder) => folder,
        Err(e) => {
            return findings
                .skipped(Check::Disk, format!("{} can't be opened here ({e}): run this where the data is, as its user", data.display()));
        }
    };
    let reserve = config.store.reserve_bytes;
    match sys::free_bytes(folder.as_raw_fd()) {
        Err(e) => findings.skipped(Check::Disk, format!("free space of {} is not known: {e}", data.display())),
        Ok(free) => {
            let what = format!("{} has {} MB free", data.display(), free / 1_000_000);
            if free <= reserve {
                let reserve = show_size(reserve);
                findings.bad(
                    Check::Disk,
                    format!("{what}: writes are refused below {reserve}"),
                    "Give it room, delete, or lower store.reserve",
                );
            } else if free < reserve.saturating_mul(NEAR_RESERVES) {
                findings.warning(Check::Disk, format!("{what}, which is near store.reserve"), "Give it room before writes are refused");
            } else {
                findings.good(Check::Disk, what);
            }
        }
    }
    match measure(data) {
        Err(e) => findings.skipped(Check::Disk, format!("its speed can't be measured in {}: {e}", data.display())),
        Ok((sync, per_second)) => {
            let what =
                format!("a synced write takes {:.1} ms, {} MB/s go to the disk", sync.as_secs_f64() * 1000.0, per_second / 1_000_000);
            if sync > SLOW_SYNC || per_second < SLOW_BYTES_PER_SECOND {
                let todo = "Each PUT waits for such a write: put store.data on a local SSD, and look what else writes there";
                findings.warning(Check::Disk, what, todo);
            } else {
                findings.good(Check::Disk, what);
            }
        }
    }
}

/// The middle one of small synced writes, and bytes a second of a large one.
fn measure(data: &Path) -> std::io::Result<(Duration, u64)> {
    let path = data.join(format!("doctor-{}.tmp", std::process::id()));
    let mut file = private::create_new(&path)?;
    // Its name goes at once: nothing is left, whatever happens.
    std::fs::remove_file(&path)?;
    let small = vec![0x5a; SYNC_BYTES];
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let begun = Instant::now();
        file.write_all(&small)?;
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    times.sort();
    let begun = Instant::now();
    let large = vec![0xa5; BULK_BYTES / 16];
    for _ in 0..16 {
        file.write_all(&large)?;
    }
    file.sync_data()?;
    let per_second = (BULK_BYTES as f64 / begun.elapsed().as_secs_f64().max(1e-6)) as u64;
    Ok((times.get(SYNCS / 2).copied().unwrap_or_default(), per_second))
}

pub fn files(findings: &mut Findings, config: &Config) {
    let Some(process) = holder(&config.store.dir) else {
        return findings.skipped(
            Check::Files,
            format!(
                "no process on this machine is seen to use {}: run this where the gateway runs, as its user",
                config.store.dir.display()
            ),
        );
    };
    let limits = std::fs::read_to_string(process.join("limits")).unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let Some(allowed) = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok()) else {
        return findings.skipped(Check::Files, "the limit of the gateway's process can't be read");
    };
    let open = std::fs::read_dir(process.join("fd")).map_or(0, Iterator::count);
    let what = format!("the gateway may open {allowed} files, has {open}, and takes {} connections at most", connections_within(allowed));
    if allowed < FEW_FILES || open > allowed / 10 * 9 {
        findings.warning(Check::Files, what, "Raise LimitNOFILE (systemd), `ulimit -n`, or the container's nofile");
    } else {
        findings.good(Check::Files, what);
    }
}

/// The folder in /proc of the process that holds the lock of the data folder.
fn holder(data: &Path) -> Option<PathBuf> {
    let lock = data.join("lock").canonicalize().ok()?;
    let mut processes = std::fs::read_dir("/proc").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    processes.find(|process| {
        let files = std::fs::read_dir(process.join("fd"));
        // Those of others can't be looked into, and most names there are no processes.
        files.is_ok_and(|files| files.filter_map(Result::ok).any(|file| std::fs::read_link(file.path()).is_ok_and(|to| to == lock)))
    })
}

/// Samples that should be nothing, or 1: how they begin, what it means, and what to do.
const NOTHING: [(&str, &str, &str); 8] = [
    (
        "tidegate_journal_sync_failures_total",
        "syncs of the journal failed",
        "The disk fails: look at the kernel's log, be ready to restore",
    ),
    ("tidegate_accept_errors_total{reason=\"descriptors\"}", "connections found no file descriptor", "Raise LimitNOFILE"),
    ("tidegate_reload_failures_total", "changed files were refused", "`tidegate check` names what is wrong in them"),
    ("tidegate_audit_log_dropped_total", "lines of the audit log were lost", "Give the disk room, or raise log.audit_size"),
    ("tidegate_usage_write_failures_total", "usage could not be written", "Give the disk room"),
    ("tidegate_cache_faults_total", "blocks of the cache were damaged", "Look at the disk under cache.dir"),
    ("tidegate_faults_total{side=\"us\"}", "faults of the program", "Report them with the lines of the log that have `side=us`"),
    ("tidegate_event_letters{webhook=", "events were given up", "`tidegate events list`"),
];
const ONE: [(&str, &str, &str); 4] = [
    ("tidegate_origin_up", "the S3 below can't be asked", "Look at that S3, and at the gateway's keys for it"),
    ("tidegate_replica_up", "a replica can't be asked", "Look at its S3 and its keys"),
    ("tidegate_peer_up", "another node can't be told of changes", "Look at that node, and whether its admin door can be reached from here"),
    ("tidegate_shadow_up", "an old store can't be asked", "Look at that S3 and its keys"),
];

pub async fn counters(findings: &mut Findings, asker: &Asker, place: &Place) {
    let text = match asker.get(place, "/metrics", &[]).await {
        Ok(answer) if answer.status.is_success() => String::from_utf8_lossy(&answer.body).into_owned(),
        Ok(answer) => {
            let todo = "The admin door refuses names that are not its own: ask by address, or add the name to admin.hosts";
            return findings.bad(Check::Admin, format!("{}/metrics is answered with {}", place.base, answer.told()), todo);
        }
        Err(e) => {
            let todo = "Look whether admin.listen is set; without it there are neither metrics nor the operator's commands";
            return findings.warning(Check::Admin, format!("the admin door at {} does not answer: {e}", place.base), todo);
        }
    };
    let mut found = false;
    let mut tell = |findings: &mut Findings, line: &str, what: &str, todo: &str| {
        found = true;
        findings.warning(Check::Admin, format!("since its start {what}: {line}"), todo);
    };
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let value = line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).unwrap_or_default();
        // Of letters, the dead ones.
        let counts = !line.starts_with("tidegate_event_letters") || line.contains("state=\"dead\"");
        if let Some((_, what, todo)) = NOTHING.iter().find(|(begin, ..)| line.starts_with(begin)).filter(|_| counts && value > 0.0) {
            tell(findings, line, what, todo);
        }
        if let Some((_, what, todo)) = ONE.iter().find(|(begin, ..)| line.starts_with(begin)).filter(|_| value == 0.0) {
            tell(findings, line, what, todo);
        }
    }
    if !found {
        findings.good(Check::Admin, format!("{} counts nothing that should not be", place.base));
    }
}
