//! `tidegate sync`: waits until everything that was written back is stored upstream, and says what is left.

use std::time::{Duration, Instant};

use clap::Args;
use http::Method;
use serde_json::Value;

use super::Failure;
use super::admin_client::AdminClient;
use crate::config::Config;

#[derive(Args)]
pub struct Sync {
    /// Try again what the upstream refused
    #[arg(long)]
    retry: bool,
    /// Give up after this many seconds, and say what is left
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

/// Of one question: then it is told how much is left.
const PATIENCE: u64 = 5;

pub async fn run(command: Sync, config: Config) -> Result<(), Failure> {
    let client = AdminClient::reach(config).await?;
    let left = wait(&command, &client).await;
    client.close().await;
    let left = left?;
    let waiting = left["waiting"].as_u64().unwrap_or_default();
    if waiting == 0 {
        println!("everything is stored upstream");
        return Ok(());
    }
    let failed = left["failed"].as_array().map(Vec::as_slice).unwrap_or_default();
    for one in failed {
        let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
        println!("refused  {}/{}  {}  (job {})", text("bucket"), text("key"), text("reason"), text("job"));
    }
    Err(Failure::Failed(format!("{waiting} writes are not stored upstream, {} of them refused there", failed.len())))
}

async fn wait(command: &Sync, client: &AdminClient) -> Result<Value, Failure> {
    let begun = Instant::now();
    let mut retry = command.retry;
    loop {
        let rest = command.timeout.map(|t| Duration::from_secs(t).saturating_sub(begun.elapsed()));
        let patience = rest.map_or(PATIENCE, |rest| rest.as_secs().min(PATIENCE));
        let wanted = serde_json::json!({ "retry": retry, "wait": patience });
        let answer = client.ask(Method::POST, "/-/admin/v1/sync", Some(wanted)).await?;
        retry = false;
        let left: Value = serde_json::from_str(&answer).map_err(|e| Failure::Failed(format!("no answer that can be read: {e}")))?;
        let waiting = left["waiting"].as_u64().unwrap_or_default();
        let failed = left["failed"].as_array().map_or(0, Vec::len) as u64;
        if waiting <= failed || rest.is_some_and(|rest| rest.is_zero()) {
            return Ok(left);
        }
        eprintln!("{waiting} writes, {} bytes are left", left["bytes"]);
    }
}
