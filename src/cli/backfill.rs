//! `tidegate backfill BUCKET`: copies what only the bucket's old store has, so that the old store can be given up.

use clap::Args;
use http::Method;
use serde_json::Value;

use super::Failure;
use super::admin_client::AdminClient;
use crate::config::Config;

#[derive(Args)]
pub struct Backfill {
    /// The name of a [[shadow]]
    bucket: String,
}

pub async fn run(command: Backfill, config: Config) -> Result<(), Failure> {
    let client = AdminClient::reach(config).await?;
    let answer = client.ask(Method::POST, "/-/admin/v1/backfill", Some(serde_json::json!({ "bucket": command.bucket }))).await;
    client.close().await;
    let answer: Value = serde_json::from_str(&answer?).map_err(|e| Failure::Failed(format!("no answer that can be read: {e}")))?;
    println!(
        "job {} copies what only the old store of {} has; `GET /-/v1/jobs/JOB` tells how far it is",
        answer["job"].as_str().unwrap_or_default(),
        command.bucket
    );
    Ok(())
}
