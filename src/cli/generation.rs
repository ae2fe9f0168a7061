//! `tidegate generation`: what was spent on providers of media, and requests to them of which nobody knows whether they were taken.

use clap::{Subcommand, ValueEnum};
use http::Method;
use serde_json::{Value, json};

use super::Failure;
use super::admin_client::AdminClient;
use super::table::{aligned, text};
use crate::config::Config;
use crate::queue::JobId;

#[derive(Subcommand)]
pub enum GenerationCommand {
    /// What was spent in a month: a line for each tenant, run, provider, kind and model
    Spent {
        /// A month of UTC, such as 2026-11 [default: this one]
        #[arg(long)]
        month: Option<String>,
        /// Only of this tenant, with its budget
        #[arg(long)]
        tenant: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List requests whose answer was lost: the provider may have taken them, and been paid
    Held {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Decide what becomes of a request that is held
    Decide {
        job: String,
        #[arg(value_enum)]
        decision: Decision,
        /// With taken: the provider's name for it, as its own page shows it
        #[arg(long, required_if_eq("decision", "taken"))]
        task: Option<String>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Decision {
    /// It is sent once more; the first counts as paid
    Again,
    /// The job ends; it counts as paid
    GiveUp,
    /// The provider took it: the job goes on with it
    Taken,
}

impl Decision {
    fn name(self) -> &'static str {
        match self {
            Decision::Again => "again",
            Decision::GiveUp => "give_up",
            Decision::Taken => "taken",
        }
    }
}

const GENERATION: &str = "/-/admin/v1/generation";
const SPENT: &str = "/-/admin/v1/generation/spent";

pub async fn run(command: GenerationCommand, config: Config) -> Result<(), Failure> {
    if let GenerationCommand::Decide { job, decision, task } = &command {
        // Before anything is reached or started: ids go into a path.
        JobId::parse(job).map_err(|e| Failure::Usage(vec![format!("{job}: {}", e.message())]))?;
        if task.is_some() && *decision != Decision::Taken {
            return Err(Failure::Usage(vec!["--task goes with taken alone".into()]));
        }
    }
    let client = AdminClient::reach(config).await?;
    let done = carry_out(command, &client).await;
    client.close().await;
    done
}

async fn carry_out(command: GenerationCommand, client: &AdminClient) -> Result<(), Failure> {
    match command {
        GenerationCommand::Spent { month, tenant, json } => {
            let answer = ask(client, Method::POST, SPENT, Some(json!({ "month": month, "tenant": tenant }))).await?;
            if json { println!("{answer}") } else { print!("{}", spent(&answer)) }
        }
        GenerationCommand::Held { json } => {
            let answer = ask(client, Method::GET, GENERATION, None).await?;
            if json { println!("{answer}") } else { print!("{}", held(&answer)) }
        }
        GenerationCommand::Decide { job, decision, task } => {
            let document = json!({ "decision": decision.name(), "task": task });
            let answer = ask(client, Method::POST, &format!("{GENERATION}/{job}"), Some(document)).await?;
            println!("{job} of {}: {}", text(&answer["tenant"]), text(&answer["state"]));
        }
    }
    Ok(())
}

async fn ask(client: &AdminClient, method: Method, path: &str, document: Option<Value>) -> Result<Value, Failure> {
    let answer = client.ask(method, path, document).await?;
    serde_json::from_str(&answer).map_err(|e| Failure::Failed(format!("no answer that can be read: {e}")))
}

const NAMES: [&str; 5] = ["tenant", "run", "provider", "kind", "model"];

fn spent(answer: &Value) -> String {
    let numbers = |line: &Value| {
        let mut cells = vec![text(&line["requests"]), text(&line["failed"])];
        cells.extend(["estimated", "billed", "cost"].map(|name| dollars(&line[name])));
        cells
    };
    let mut rows =
        vec![[&NAMES[..], &["requests", "failed", "estimated", "billed", "cost"]].concat().into_iter().map(str::to_owned).collect()];
    for line in answer["lines"].as_array().into_iter().flatten() {
        rows.push(NAMES.iter().map(|name| text(&line[*name])).chain(numbers(line)).collect());
    }
    let total = (0..NAMES.len()).map(|n| if n == 0 { "total".to_owned() } else { String::new() });
    rows.push(total.chain(numbers(&answer["total"])).collect());
    let budget = if answer["budget"].is_null() { String::new() } else { format!(", of a budget of {}", dollars(&answer["budget"])) };
    format!("{}, in US dollars{budget}\n{}", text(&answer["month"]), aligned(&rows, NAMES.len()))
}

fn held(answer: &Value) -> String {
    const COLUMNS: [&str; 6] = ["job", "tenant", "run", "provider", "model", "at"];
    let entries: Vec<&Value> = answer["undecided"].as_array().into_iter().flatten().collect();
    if entries.is_empty() {
        return "no request waits for a decision\n".to_owned();
    }
    let mut rows = vec![COLUMNS.iter().copied().chain(["may have cost"]).map(str::to_owned).collect::<Vec<_>>()];
    for entry in entries {
        rows.push(COLUMNS.iter().map(|name| text(&entry[*name])).chain([dollars(&entry["estimated"])]).collect());
    }
    aligned(&rows, COLUMNS.len())
}

/// Of millionths.
fn dollars(millionths: &Value) -> String {
    millionths.as_u64().map_or_else(|| "-".to_owned(), |n| format!("{}.{:06}", n / 1_000_000, n % 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown() {
        let sum = json!({ "requests": 2, "failed": 1, "estimated": 350_000, "billed": 1_200_000, "cost": 1_200_000 });
        let mut line = sum.clone();
        for (name, value) in [("tenant", "acme"), ("run", "r\u{1b}"), ("provider", "meshy"), ("kind", "model_3d"), ("model", "m")] {
            line[name] = json!(value);
        }
        let shown = spent(&json!({ "month": "2026-11", "lines": [line], "total": sum, "budget": 5_000_000 }));
        assert!(shown.starts_with("2026-11, in US dollars, of a budget of 5.000000\ntenant  run  provider  kind"), "{shown}");
        assert!(shown.contains("acme    r?   meshy") && shown.contains("0.350000  1.200000  1.200000"), "{shown}");
        assert!(held(&json!({ "undecided": [] })).starts_with("no request"));
        let entry = json!({ "job": "J", "tenant": "acme", "run": "r", "provider": "fal", "model": "m", "at": "T", "estimated": 7 });
        assert!(held(&json!({ "undecided": [entry] })).ends_with("J    acme    r    fal       m      T        0.000007\n"));
    }
}
