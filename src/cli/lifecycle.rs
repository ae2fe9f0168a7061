//! `tidegate lifecycle`: carries out what is due now, and says what went; with `--dry-run`, what would go.

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::Failure;
use super::admin_client::AdminClient;
use crate::config::Config;

#[derive(Args)]
pub struct Lifecycle {
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    /// The report of the last run, without another one
    #[arg(long, conflicts_with = "dry_run")]
    last: bool,
    /// The report as JSON
    #[arg(long)]
    json: bool,
}

/// Of one question, in seconds: then it is told how far it is.
const PATIENCE: u64 = 5;
const PATH: &str = "/-/admin/v1/lifecycle";

pub async fn run(command: Lifecycle, config: Config) -> Result<(), Failure> {
    let client = AdminClient::reach(config).await?;
    let report = report(&command, &client).await;
    client.close().await;
    let report = report?;
    if command.json {
        println!("{report}");
    } else {
        print!("{}", shown(&report));
    }
    let failed = report["failed"].as_u64().unwrap_or_default();
    if failed > 0 { Err(Failure::Failed(format!("{failed} things could not be looked at or let go"))) } else { Ok(()) }
}

async fn report(command: &Lifecycle, client: &AdminClient) -> Result<Value, Failure> {
    if command.last {
        return ask(client, Method::GET, None).await;
    }
    let begun = ask(client, Method::POST, Some(json!({ "dry_run": command.dry_run }))).await?;
    loop {
        let answer = ask(client, Method::POST, Some(json!({ "dry_run": command.dry_run, "job": begun["job"], "wait": PATIENCE }))).await?;
        match answer["state"].as_str() {
            Some("done") => return Ok(answer["report"].clone()),
            Some("waiting" | "running") => eprintln!("{}", answer["note"].as_str().unwrap_or("waiting for its turn")),
            _ => return Err(Failure::Failed(format!("the run failed: {}", answer["reason"].as_str().unwrap_or("it was cancelled")))),
        }
    }
}

async fn ask(client: &AdminClient, method: Method, document: Option<Value>) -> Result<Value, Failure> {
    let answer = client.ask(method, PATH, document).await?;
    serde_json::from_str(&answer).map_err(|e| Failure::Failed(format!("no answer that can be read: {e}")))
}

/// A line for each rule, the sum, and what stayed.
fn shown(report: &Value) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    let (would, dry) = match report["dry_run"].as_bool() {
        Some(true) => ("would go", true),
        _ => ("went", false),
    };
    for line in report["rules"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let text = |name: &str| line[name].as_str().unwrap_or_default();
        let examples: Vec<&str> = line["examples"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let _ = writeln!(out, "{}  rule {:?}: {}  such as {}", text("bucket"), text("rule"), counted(&line["count"]), examples.join(", "));
    }
    let _ = writeln!(out, "{would} in all: {}; {} keys looked at", counted(&report["total"]), report["looked_at"]);
    let held = &report["held"];
    let kept =
        ["locked", "on_its_way", "read", "unmovable", "changed"].map(|why| (why.replace('_', " "), held[why].as_u64().unwrap_or_default()));
    for (why, count) in kept.iter().filter(|(_, count)| *count > 0) {
        let _ = writeln!(out, "{count} due and kept: {why}");
    }
    if report["transitions_left_out"].as_u64().unwrap_or_default() > 0 {
        let _ = writeln!(
            out,
            "{} rules move objects to another class, which is not (all) done here: see docs/lifecycle.md",
            report["transitions_left_out"]
        );
    }
    for fault in report["faults"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let _ = writeln!(out, "failed: {fault}");
    }
    if dry {
        let _ = writeln!(out, "nothing was changed");
    }
    out
}

fn counted(count: &Value) -> String {
    let of = |name: &str| count[name].as_u64().unwrap_or_default();
    let names = [
        ("objects", "objects"),
        ("hidden", "objects under a new delete marker"),
        ("versions", "noncurrent versions"),
        ("markers", "delete markers"),
        ("uploads", "uploads"),
        ("moved", "objects to a colder class"),
    ];
    let parts: Vec<String> = names.iter().filter(|(name, _)| of(name) > 0).map(|(name, shown)| format!("{} {shown}", of(name))).collect();
    if parts.is_empty() { "nothing".into() } else { format!("{}, {} bytes", parts.join(", "), of("bytes")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_in_words() {
        let report = json!({
            "dry_run": true,
            "looked_at": 9,
            "rules": [{ "bucket": "media", "rule": "old", "count": { "objects": 2, "bytes": 10 }, "examples": ["a", "b"] }],
            "total": { "objects": 2, "bytes": 10 },
            "held": { "locked": 1 },
            "faults": ["media: no"],
        });
        let text = shown(&report);
        for line in [
            "media  rule \"old\": 2 objects, 10 bytes  such as a, b\n",
            "would go in all: 2 objects, 10 bytes; 9 keys looked at\n",
            "1 due and kept: locked\n",
            "failed: media: no\n",
            "nothing was changed\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
