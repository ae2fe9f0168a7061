//! `tidegate repair NAME`: compares a replica with the origin from the beginning, and brings what differs.

use clap::Args;
use http::Method;
use serde_json::Value;

use super::Failure;
use super::admin_client::AdminClient;
use crate::config::Config;

#[derive(Args)]
pub struct Repair {
    /// The name of a [[replica]]
    name: String,
}

pub async fn run(command: Repair, config: Config) -> Result<(), Failure> {
    let client = AdminClient::reach(config).await?;
    let answer = client.ask(Method::POST, "/-/admin/v1/repair", Some(serde_json::json!({ "replica": command.name }))).await;
    client.close().await;
    let answer: Value = serde_json::from_str(&answer?).map_err(|e| Failure::Failed(format!("no answer that can be read: {e}")))?;
    println!(
        "job {} compares {} with the origin; `GET /-/v1/jobs/JOB` tells how far it is",
        answer["job"].as_str().unwrap_or_default(),
        command.name
    );
    Ok(())
}
