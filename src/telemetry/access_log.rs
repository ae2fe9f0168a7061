//! The access log: one line per request in the form of S3's server access log, or the same fields as JSON.
//!
//! Not here: which requests are logged (the doors send all), how lines reach the file (`line_log`). Off unless a file is configured.
//! Secrets: all that a client wrote goes through `redact` before it is written.
//! Format: docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::line_log::{Kept, LineLog, Writer};
use super::log::Format;
use super::metrics::Metrics;
use super::redact::redact;
use super::rotating_file::RotatingFile;
use crate::base::timestamp::Timestamp;

#[derive(Debug, Clone)]
pub struct Settings {
    /// None: no access log.
    pub file: Option<PathBuf>,
    pub format: Format,
    pub max_bytes: u64,
    /// Full files kept besides the current one.
    pub keep: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { file: None, format: Format::Text, max_bytes: 64 * 1024 * 1024, keep: 5 }
    }
}

/// One request. `None` becomes the `-` of the text form.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// None where no bucket was found.
    pub bucket_owner: Option<String>,
    pub bucket: Option<String>,
    #[serde(serialize_with = "as_iso8601")]
    pub time: Timestamp,
    pub remote_ip: IpAddr,
    pub requester: Option<String>,
    pub request_id: String,
    /// `REST.GET.OBJECT` and the like.
    pub operation: &'static str,
    pub key: Option<String>,
    pub method: String,
    /// Path and query as the client sent them; redacted when they are written.
    pub uri: String,
    pub protocol: &'static str,
    pub status: u16,
    pub error_code: Option<&'static str>,
    /// Of the answer's body.
    pub bytes_sent: u64,
    /// Of the whole object, or of the part that was sent, as on S3.
    pub object_size: Option<u64>,
    #[serde(rename = "total_ms", serialize_with = "as_millis")]
    pub total: Duration,
    #[serde(rename = "turn_around_ms", serialize_with = "as_millis")]
    pub turn_around: Duration,
    pub referer: Option<String>,
    pub user_agent: Option<String>,
    /// The version that the request asks for; as on S3 none where it names none.
    pub version_id: Option<String>,
    /// The CDN's id of the request.
    pub host_id: Option<String>,
    /// `SigV4`, `SigV2`
    pub signature_version: Option<&'static str>,
    /// `AuthHeader`, `QueryString`
    pub authentication: Option<&'static str>,
    pub host: Option<String>,
    pub secure: bool,
}

fn as_iso8601<S: serde::Serializer>(t: &Timestamp, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&t.iso8601())
}

fn as_millis<S: serde::Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_u64(d.as_millis() as u64)
}

pub type AccessLog = LineLog<Entry>;

/// None: the log is off.
pub fn start(settings: &Settings, metrics: Arc<Metrics>) -> io::Result<Option<(AccessLog, Writer)>> {
    let Some(path) = &settings.file else { return Ok(None) };
    let file = RotatingFile::start(path, settings.max_bytes, settings.keep)?;
    let kept = Kept { name: "access log", dropped: |metrics| &metrics.access_log_dropped };
    let format = settings.format;
    LineLog::start(kept, file, move |out, entry| line(out, entry, format), metrics).map(Some)
}

pub(super) fn line(out: &mut String, mut entry: Entry, format: Format) {
    hide_secrets(&mut entry);
    match format {
        Format::Text => text_line(out, &entry),
        Format::Json => out.push_str(&serde_json::to_string(&entry).unwrap_or_default()),
    }
    out.push('\n');
}

/// In everything that a client wrote.
fn hide_secrets(entry: &mut Entry) {
    let Entry { uri, method, key, referer, user_agent, host, host_id, .. } = entry;
    for text in [uri, method].into_iter().chain([key, referer, user_agent, host, host_id].into_iter().flatten()) {
        if let Cow::Owned(redacted) = redact(text) {
            *text = redacted;
        }
    }
}

const LOG_TIME: &[BorrowedFormatItem<'_>] = format_description!("[[[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000]");

fn text_line(out: &mut String, e: &Entry) {
    let time = OffsetDateTime::from_unix_timestamp(e.time.secs() as i64).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let time = time.format(LOG_TIME).unwrap_or_else(|_| "-".into());
    plain(out, e.bucket_owner.as_deref());
    plain(out, e.bucket.as_deref());
    plain_unescaped(out, &time);
    plain_unescaped(out, &e.remote_ip.to_string());
    plain(out, e.requester.as_deref());
    plain(out, Some(&e.request_id));
    plain(out, Some(e.operation));
    plain(out, e.key.as_deref());
    quoted(out, Some(&format!("{} {} {}", e.method, e.uri, e.protocol)));
    number(out, Some(u64::from(e.status)));
    plain(out, e.error_code);
    number(out, Some(e.bytes_sent).filter(|&n| n > 0));
    number(out, e.object_size);
    number(out, Some(e.total.as_millis() as u64));
    number(out, Some(e.turn_around.as_millis() as u64));
    quoted(out, e.referer.as_deref());
    quoted(out, e.user_agent.as_deref());
    plain(out, e.version_id.as_deref());
    plain(out, e.host_id.as_deref());
    plain(out, e.signature_version);
    // Cipher suite: not kept.
    plain(out, None);
    plain(out, e.authentication);
    plain(out, e.host.as_deref());
    plain(out, e.secure.then_some("TLS"));
    // Access point, ACL required: S3 has them, the gateway does not.
    plain(out, None);
    plain(out, None);
    out.pop();
}

fn plain_unescaped(out: &mut String, value: &str) {
    out.push_str(value);
    out.push(' ');
}

fn number(out: &mut String, value: Option<u64>) {
    match value {
        Some(n) => {
            let _ = write!(out, "{n} ");
        }
        None => out.push_str("- "),
    }
}

/// Spaces and controls would shift the fields: they are percent-encoded.
fn plain(out: &mut String, value: Option<&str>) {
    match value {
        None | Some("") => out.push('-'),
        Some(v) => escape(out, v, |c| c <= ' ' || c == '\u{7f}'),
    }
    out.push(' ');
}

fn quoted(out: &mut String, value: Option<&str>) {
    out.push('"');
    match value {
        None | Some("") => out.push('-'),
        Some(v) => escape(out, v, |c| c < ' ' || c == '\u{7f}' || c == '"'),
    }
    out.push_str("\" ");
}

fn escape(out: &mut String, value: &str, must: fn(char) -> bool) {
    for c in value.chars() {
        if must(c) {
            let _ = write!(out, "%{:02X}", c as u32);
        } else {
            out.push(c);
        }
    }
}

#[cfg(test)]
impl Entry {
    pub fn example() -> Self {
        Entry {
            bucket_owner: Some("acme".into()),
            bucket: Some("media".into()),
            time: Timestamp::from_secs(1_549_411_238),
            remote_ip: IpAddr::from([192, 0, 2, 3]),
            requester: None,
            request_id: "3E57427F3EXAMPLE".into(),
            operation: "REST.GET.OBJECT",
            key: Some("a b.glb".into()),
            method: "GET".into(),
            uri: "/media/a%20b.glb?X-Amz-Signature=abc&x=1".into(),
            protocol: "HTTP/1.1",
            status: 200,
            error_code: None,
            bytes_sent: 0,
            object_size: Some(5),
            total: Duration::from_millis(7),
            turn_around: Duration::from_millis(2),
            referer: None,
            user_agent: Some("say \"hi\"\n".into()),
            version_id: None,
            host_id: Some("cf-id==".into()),
            signature_version: Some("SigV4"),
            authentication: Some("QueryString"),
            host: Some("s3.example".into()),
            secure: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_as_s3_writes_it() {
        let mut out = String::new();
        line(&mut out, Entry::example(), Format::Text);
        assert_eq!(
            out,
            "acme media [06/Feb/2019:00:00:38 +0000] 192.0.2.3 - 3E57427F3EXAMPLE REST.GET.OBJECT a%20b.glb \
             \"GET /media/a%20b.glb?X-Amz-Signature=REDACTED&x=1 HTTP/1.1\" 200 - - 5 7 2 \"-\" \"say %22hi%22%0A\" - cf-id== SigV4 - \
             QueryString s3.example TLS - -\n"
        );
    }

    #[test]
    fn json_has_the_same_fields_and_no_secret() {
        let mut out = String::new();
        line(&mut out, Entry::example(), Format::Json);
        let json: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(json["time"], "2019-02-06T00:00:38.000Z");
        assert_eq!(json["total_ms"], 7);
        assert!(!out.contains("abc"));
    }

    #[test]
    fn lines_reach_the_file_and_finish_waits_for_them() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { file: Some(dir.path().join("access.log")), ..Settings::default() };
        let (log, writer) = start(&settings, Arc::new(Metrics::new())).unwrap().unwrap();
        for _ in 0..100 {
            log.send(Box::new(Entry::example()));
        }
        drop(log);
        writer.finish();
        assert_eq!(std::fs::read_to_string(dir.path().join("access.log")).unwrap().lines().count(), 100);
    }
}
