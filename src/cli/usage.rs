//! `tidegate usage`: what tenants used, as a table, CSV or JSON; with `--stored`, what they store now.

use clap::{Args, ValueEnum};
use http::Method;
use serde_json::{Value, json};

use super::Failure;
use super::admin_client::AdminClient;
use super::table::{aligned, text};
use crate::config::Config;

#[derive(Args)]
pub struct Usage {
    /// A month of UTC, such as 2026-11 [default: this one]
    #[arg(long)]
    month: Option<String>,
    /// One day in it, such as 2026-11-29
    #[arg(long)]
    day: Option<String>,
    /// Only of this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// A line for each: tenant, day, hour, bucket, type, run; separated by commas
    #[arg(long)]
    by: Option<String>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// What is stored now instead; by is tenant, type or run
    #[arg(long, conflicts_with_all = ["month", "day"])]
    stored: bool,
    /// Over an S3: counts anew what is stored, by listing it, and waits for the end of that
    #[arg(long, conflicts_with_all = ["month", "day", "tenant", "by", "stored"])]
    recount: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Csv,
    Json,
}

const USAGE: &str = "/-/admin/v1/usage";
const STORED: &str = "/-/admin/v1/stored";
const RECOUNT: &str = "/-/admin/v1/recount";

pub async fn run(command: Usage, config: Config) -> Result<(), Failure> {
    if command.stored && command.format == Format::Csv {
        return Err(Failure::Usage(vec!["--stored is shown as a table or as JSON".into()]));
    }
    let client = AdminClient::reach(config).await?;
    if command.recount {
        let counted = recount(&client).await;
        client.close().await;
        return counted;
    }
    let answer = ask(&command, &client).await;
    client.close().await;
    let answer = answer?;
    if command.format != Format::Table {
        println!("{}", answer.trim_end());
        return Ok(());
    }
    let document: Value = serde_json::from_str(&answer).map_err(|e| Failure::Failed(format!("no answer that can be read: {e}")))?;
    print!("{}", if command.stored { stored(&document) } else { table(&document) });
    Ok(())
}

async fn recount(client: &AdminClient) -> Result<(), Failure> {
    let read =
        |answer: String| serde_json::from_str::<Value>(&answer).map_err(|e| Failure::Failed(format!("no answer that can be read: {e}")));
    let begun = read(client.ask(Method::POST, RECOUNT, Some(json!({}))).await?)?;
    loop {
        let told = read(client.ask(Method::POST, RECOUNT, Some(json!({ "job": begun["job"], "wait": 20 }))).await?)?;
        match told["state"].as_str() {
            Some("done") => {
                let result = |name: &str| text(&told["result"][name]);
                println!("{} versions were counted, {} counts were set right", result("versions"), result("set_right"));
                return Ok(());
            }
            Some("waiting" | "running") => eprintln!("{}", text(&told["note"])),
            _ => return Err(Failure::Failed(format!("the recount has failed: {}", text(&told["reason"])))),
        }
    }
}

async fn ask(command: &Usage, client: &AdminClient) -> Result<String, Failure> {
    let Usage { month, day, tenant, by, format, .. } = command;
    if command.stored {
        return client.ask(Method::POST, STORED, Some(json!({ "tenant": tenant, "by": by }))).await;
    }
    let format = if *format == Format::Csv { "csv" } else { "json" };
    let asked = json!({ "month": month, "day": day, "tenant": tenant, "by": by, "format": format });
    client.ask(Method::POST, USAGE, Some(asked)).await
}

const COLUMNS: [(&str, &[&str]); 12] = [
    ("put", &["requests", "put"]),
    ("get", &["requests", "get"]),
    ("list", &["requests", "list"]),
    ("delete", &["requests", "delete"]),
    ("other", &["requests", "other"]),
    ("bytes in", &["bytes_in"]),
    ("out s3", &["bytes_out", "s3"]),
    ("out edge", &["bytes_out", "edge"]),
    ("out cdn", &["bytes_out", "cdn"]),
    ("job ms", &["job_milliseconds"]),
    ("byte hours", &["byte_hours"]),
    ("cost", &["cost"]),
];

fn table(report: &Value) -> String {
    let by: Vec<&str> = report["by"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut rows = vec![by.iter().copied().chain(COLUMNS.map(|(name, _)| name)).map(str::to_owned).collect::<Vec<_>>()];
    let cells = |line: &Value| COLUMNS.iter().map(|(_, path)| text(path.iter().fold(line, |at, name| &at[*name]))).collect::<Vec<_>>();
    for line in report["lines"].as_array().into_iter().flatten() {
        rows.push(by.iter().map(|name| text(&line[*name])).chain(cells(line)).collect());
    }
    let total = (0..by.len()).map(|n| if n == 0 { "total".to_owned() } else { String::new() });
    rows.push(total.chain(cells(&report["total"])).collect());
    let period = report["day"].as_str().or(report["month"].as_str()).unwrap_or_default();
    let currency = report["currency"].as_str().map(|c| format!(", costs in {c}")).unwrap_or_default();
    format!("{period}, as of {}{currency}\n{}", text(&report["at"]), aligned(&rows, by.len()))
}

const PLACES: [&str; 12] = [
    "tenant",
    "bucket",
    "type",
    "run",
    "bytes",
    "physical_bytes",
    "uploading_bytes",
    "objects",
    "versions",
    "delete_markers",
    "shared_bytes",
    "byte_hours",
];

fn stored(document: &Value) -> String {
    let mut rows = vec![PLACES.map(|name| name.replace('_', " ")).to_vec()];
    for place in document["places"].as_array().into_iter().flatten() {
        rows.push(PLACES.map(|name| text(&place[name])).to_vec());
    }
    let more = if document["more"].as_bool() == Some(true) { "there are more: ask for one tenant\n" } else { "" };
    format!("{}{more}", aligned(&rows, 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_as_a_table() {
        let counts = json!({ "requests": { "put": 3, "get": 12 }, "bytes_in": 10, "byte_hours": "7", "cost": "0.5" });
        let mut line = counts.clone();
        line["tenant"] = json!("acme\u{1b}[2J");
        let report = json!({ "month": "2026-11", "currency": "USD", "at": "T", "by": ["tenant"], "lines": [line], "total": counts });
        let shown = table(&report);
        assert!(shown.starts_with("2026-11, as of T, costs in USD\ntenant"), "{shown}");
        assert!(shown.contains("acme?[2J") && shown.contains("  3   12"), "{shown}");
        assert_eq!(shown.lines().count(), 4);
    }
}
