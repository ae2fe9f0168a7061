//! The audit log: who changed what may be done by whom, and who was refused. One JSON object in each line, on the disk within moments.
//!
//! Not here: which requests are of these kinds (each door's operations say it), how lines reach the files (`line_log`, `daily_files`).
//! Limits: refusals, which anybody can bring about, have `REFUSALS_PER_SECOND` lines; the next line tells how many were left out.
//! Secrets: what a client wrote goes through `redact`.

use std::borrow::Cow;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use super::daily_files::DailyFiles;
use super::line_log::{Kept, LineLog, Writer};
use super::metrics::Metrics;
use super::redact::redact;
use crate::base::timestamp::Timestamp;

const REFUSALS_PER_SECOND: u64 = 100;

#[derive(Debug, Clone)]
pub struct Settings {
    pub on: bool,
    pub dir: PathBuf,
    pub keep: Duration,
    /// Of all files.
    pub max_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { on: true, dir: "data/audit".into(), keep: Duration::from_secs(400 * 86_400), max_bytes: 1 << 30 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An access key, a session or the secret of tokens was made, changed or ended.
    Key,
    /// Who may do what with a bucket or an object.
    Policy,
    /// Files of tenants, roles, policies.
    Tenant,
    /// A link was signed.
    Presign,
    /// Other settings of a bucket, locks, and what the operator ordered.
    Setting,
    Refusal,
}

#[derive(Debug, Clone, Serialize)]
pub struct Event {
    #[serde(serialize_with = "as_iso8601")]
    pub time: Timestamp,
    pub kind: Kind,
    /// The access log's word for what was asked; `RELOAD` where files changed.
    pub operation: &'static str,
    #[serde(flatten)]
    pub asked: Option<Asked>,
    /// What it was about beside bucket and key: the key that was made, the role, the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Refusals since the last one with a line of its own.
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: u64,
}

/// Of an event that is a request.
#[derive(Debug, Clone, Serialize)]
pub struct Asked {
    pub request_id: String,
    pub door: &'static str,
    pub remote_ip: IpAddr,
    /// A tenant or the operator. None: nobody that is known.
    pub requester: Option<String>,
    pub access_key: Option<String>,
    /// The name of a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    pub authentication: Option<&'static str>,
    pub bucket: Option<String>,
    pub key: Option<String>,
    pub status: u16,
    pub error_code: Option<&'static str>,
}

fn as_iso8601<S: serde::Serializer>(t: &Timestamp, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&t.iso8601())
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[derive(Debug, Clone)]
pub struct AuditLog {
    lines: LineLog<Event>,
    refusals: Arc<Refusals>,
}

#[derive(Debug, Default)]
struct Refusals {
    second: AtomicU64,
    in_second: AtomicU64,
    left_out: AtomicU64,
}

/// None: the log is off.
pub fn start(settings: &Settings, metrics: Arc<Metrics>) -> io::Result<Option<(AuditLog, Writer)>> {
    if !settings.on {
        return Ok(None);
    }
    let files = DailyFiles::start(&settings.dir, settings.keep, settings.max_bytes)?;
    let kept = Kept { name: "audit log", dropped: |metrics| &metrics.audit_log_dropped };
    let (lines, writer) = LineLog::start(kept, files, line, metrics)?;
    Ok(Some((AuditLog { lines, refusals: Arc::default() }, writer)))
}

impl AuditLog {
    pub fn tell(&self, mut event: Box<Event>) {
        if event.kind == Kind::Refusal {
            let Some(left_out) = self.refusals.one_more(event.time) else { return };
            event.left_out = left_out;
        }
        self.lines.send(event);
    }

    /// Files of tenants, roles or policies were read again.
    pub fn reloaded(&self, changes: &[String]) {
        let about = (!changes.is_empty()).then(|| changes.join("; "));
        let event = Event { time: Timestamp::now(), kind: Kind::Tenant, operation: "RELOAD", asked: None, about, left_out: 0 };
        self.tell(Box::new(event));
    }
}

impl Refusals {
    /// How many had no line since the last that had one. None: nor has this one. Workers that count at one moment may let a few more through.
    fn one_more(&self, now: Timestamp) -> Option<u64> {
        if self.second.swap(now.secs(), Ordering::Relaxed) != now.secs() {
            self.in_second.store(0, Ordering::Relaxed);
        }
        if self.in_second.fetch_add(1, Ordering::Relaxed) < REFUSALS_PER_SECOND {
            return Some(self.left_out.swap(0, Ordering::Relaxed));
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        None
    }
}

fn line(out: &mut String, mut event: Event) {
    let asked = event.asked.as_mut();
    for text in asked.into_iter().flat_map(|asked| [&mut asked.key, &mut asked.access_key]).chain([&mut event.about]).flatten() {
        if let Cow::Owned(redacted) = redact(text) {
            *text = redacted;
        }
    }
    out.push_str(&serde_json::to_string(&event).unwrap_or_default());
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(secs: u64) -> Box<Event> {
        let asked = Asked {
            request_id: "3E57427F3EXAMPLE".into(),
            door: "s3",
            remote_ip: IpAddr::from([192, 0, 2, 3]),
            requester: None,
            access_key: None,
            session: None,
            authentication: None,
            bucket: Some("media".into()),
            key: Some("a?X-Amz-Signature=abc".into()),
            status: 403,
            error_code: Some("AccessDenied"),
        };
        let time = Timestamp::from_secs(secs);
        Box::new(Event { time, kind: Kind::Refusal, operation: "REST.GET.OBJECT", asked: Some(asked), about: None, left_out: 0 })
    }

    #[test]
    fn refusals_have_a_bounded_number_of_lines_and_the_rest_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { dir: dir.path().join("audit"), ..Settings::default() };
        let (log, writer) = start(&settings, Arc::new(Metrics::new())).unwrap().unwrap();
        (0..150).for_each(|_| log.tell(refusal(7)));
        log.reloaded(&["tenants/acme.toml changed".into()]);
        log.tell(refusal(8));
        drop(log);
        writer.finish();
        let file = std::fs::read_dir(dir.path().join("audit")).unwrap().next().unwrap().unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 102);
        assert_eq!(lines[0]["kind"], "refusal");
        assert_eq!(lines[0]["remote_ip"], "192.0.2.3");
        assert_eq!((&lines[100]["kind"], &lines[100]["about"]), (&"tenant".into(), &"tenants/acme.toml changed".into()));
        assert_eq!(lines[101]["left_out"], 50);
        assert!(!text.contains("abc"), "{text}");
    }
}
