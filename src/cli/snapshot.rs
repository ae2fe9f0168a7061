//! `tidegate snapshot DIR`: a consistent copy of the store, made by the running gateway or by one started for it.

use std::path::PathBuf;

use clap::Args;
use http::Method;

use super::Failure;
use super::admin_client::AdminClient;
use crate::config::Config;

#[derive(Args)]
pub struct Snapshot {
    /// An empty or new directory; on the data's own file system the copy costs next to no space
    dir: PathBuf,
}

pub async fn run(command: Snapshot, config: Config) -> Result<(), Failure> {
    // The gateway may have been started elsewhere: it gets the whole path.
    let dir = std::path::absolute(&command.dir).map_err(|e| Failure::Usage(vec![format!("{}: {e}", command.dir.display())]))?;
    let Some(text) = dir.to_str() else { return Err(Failure::Usage(vec!["the directory's name must be UTF-8".into()])) };
    let client = AdminClient::reach(config).await?;
    let made = client.ask(Method::POST, "/-/admin/v1/snapshot", Some(serde_json::json!({ "dir": text }))).await;
    client.close().await;
    made?;
    println!("{text} holds a copy: start from it with TIDEGATE_DATA={text}");
    Ok(())
}
