//! `tidegate inspect`: looks into files on this machine, as the gateway does with uploads, by the same worker and under the same limits.

use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use serde_json::json;

use super::Failure;
use crate::base::inspection::{Inspection, Verdict};
use crate::config::Config;
use crate::media::INSPECTOR;
use crate::media::pool::{self, Pool};
use crate::media::wire::{Task, read_inspection};
use crate::origin::Body;

#[derive(Args)]
pub struct Inspect {
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The content type that they are declared with [default: by their names]
    #[arg(long, default_value = "")]
    content_type: String,
    /// A line of JSON for each
    #[arg(long)]
    json: bool,
}

pub async fn run(command: Inspect, config: Config) -> Result<(), Failure> {
    let pool = Pool::start(config.media.pool)?;
    let mut refused = 0;
    for file in &command.files {
        let inspection = look(&pool, file, &command.content_type).await?;
        refused += u32::from(matches!(inspection.verdict, Verdict::Refused | Verdict::Failed));
        if command.json {
            let mut shown = inspection.as_json();
            shown["file"] = json!(file.display().to_string());
            println!("{shown}");
        } else {
            print!("{}", text(file, &inspection));
        }
    }
    if refused > 0 { Err(Failure::Failed(format!("{refused} of {} files would be refused", command.files.len()))) } else { Ok(()) }
}

async fn look(pool: &Pool, file: &Path, content_type: &str) -> Result<Inspection, Failure> {
    let content = read(pool, file)?;
    let length = content.len() as u64;
    if length > pool.settings().max_bytes {
        return Ok(Inspection::without_a_look(INSPECTOR, Verdict::Skipped, &too_large(pool)));
    }
    let task = Task::Inspect { content_type: content_type.to_owned(), name: file.display().to_string() };
    match pool.run(task, Body::Memory(Bytes::from(content)), length).await {
        Ok(told) => read_inspection(&told).ok_or_else(|| Failure::Failed("the worker answered what can't be read".into())),
        Err(pool::Failure::OfFile(why)) => Ok(Inspection::without_a_look(INSPECTOR, Verdict::Failed, &why)),
        Err(pool::Failure::OfUs(e)) => Err(e.into()),
    }
}

/// One byte more than may be tells that it is larger.
fn read(pool: &Pool, file: &Path) -> Result<Vec<u8>, Failure> {
    let unreadable = |e: std::io::Error| Failure::Failed(format!("{}: can't be read: {e}", file.display()));
    let mut content = Vec::new();
    let most = pool.settings().max_bytes.saturating_add(1);
    std::fs::File::open(file).map_err(unreadable)?.take(most).read_to_end(&mut content).map_err(unreadable)?;
    Ok(content)
}

fn too_large(pool: &Pool) -> String {
    format!("it is larger than media.max_size ({} bytes)", pool.settings().max_bytes)
}

/// A file that a worker is to do something with.
pub fn read_whole(pool: &Pool, file: &Path) -> Result<Vec<u8>, Failure> {
    let content = read(pool, file)?;
    if content.len() as u64 > pool.settings().max_bytes {
        return Err(Failure::Failed(format!("{}: {}", file.display(), too_large(pool))));
    }
    Ok(content)
}

/// What a worker made of it.
pub async fn made(pool: &Pool, task: Task, content: Vec<u8>, files: &str) -> Result<Vec<u8>, Failure> {
    let length = content.len() as u64;
    pool.run(task, Body::Memory(Bytes::from(content)), length).await.map_err(|failure| match failure {
        pool::Failure::OfFile(why) => Failure::Failed(format!("{files}: {why}")),
        pool::Failure::OfUs(e) => e.into(),
    })
}

fn text(file: &Path, inspection: &Inspection) -> String {
    let facts: Vec<String> = inspection.known_facts().map(|(fact, value)| format!("{} {value}", fact.name())).collect();
    let mut out = format!("{}: {} {}\n", file.display(), inspection.verdict.name(), inspection.format);
    for line in [facts.join(", "), inspection.names.join(", ")].into_iter().filter(|line| !line.is_empty()) {
        out.push_str(&format!("  {line}\n"));
    }
    for finding in &inspection.findings {
        out.push_str(&format!("  {} {}\n", if finding.fault { "fault:" } else { "note:" }, finding.text));
    }
    out
}
