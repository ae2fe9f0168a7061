//! `tidegate encryption`: the keys that the store encrypts with and how much needs each; a new version of the store's own.

use std::time::Duration;

use clap::Subcommand;
use http::Method;
use serde_json::Value;

use super::Failure;
use super::admin_client::AdminClient;
use crate::config::Config;

#[derive(Subcommand)]
pub enum EncryptionCommand {
    /// List keys and their versions, how much needs each, and how many data keys wait to be wrapped anew
    Keys {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Give the store's own key (SSE-S3) a new version; data keys are wrapped under it in the background
    Rotate {
        /// Until all of them are
        #[arg(long)]
        wait: bool,
    },
}

const KEYS: &str = "/-/admin/v1/encryption";
const ROTATE: &str = "/-/admin/v1/encryption/rotate";
const LOOK_AGAIN: Duration = Duration::from_millis(500);

pub async fn run(command: EncryptionCommand, config: Config) -> Result<(), Failure> {
    let client = AdminClient::reach(config).await?;
    let done = carry_out(&command, &client).await;
    client.close().await;
    done
}

async fn carry_out(command: &EncryptionCommand, client: &AdminClient) -> Result<(), Failure> {
    match command {
        EncryptionCommand::Keys { json: true } => println!("{}", ask(client, Method::GET, KEYS).await?),
        EncryptionCommand::Keys { json: false } => print!("{}", table(&ask(client, Method::GET, KEYS).await?)),
        EncryptionCommand::Rotate { wait } => {
            let version = &ask(client, Method::POST, ROTATE).await?["version"];
            println!("the store's own key has version {version}");
            if *wait {
                wait_for_rewrap(client).await?;
            }
        }
    }
    Ok(())
}

async fn wait_for_rewrap(client: &AdminClient) -> Result<(), Failure> {
    let mut shown = None;
    loop {
        let rewrap = &ask(client, Method::GET, KEYS).await?["rewrap"];
        let number = |name: &str| rewrap[name].as_u64().unwrap_or_default();
        let (left, unreadable) = (number("left"), number("unreadable"));
        if left == 0 {
            println!("nothing needs an older version of a key");
            return Ok(());
        }
        if rewrap["running"] == false && left == unreadable {
            return Err(Failure::Failed(format!("{left} data keys are damaged and stay as they are: run `tidegate fsck --verify`")));
        }
        if shown.replace(left) != Some(left) {
            println!("{left} data keys are to be wrapped");
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn ask(client: &AdminClient, method: Method, path: &str) -> Result<Value, Failure> {
    let answer = client.ask(method, path, None).await?;
    serde_json::from_str(&answer).map_err(|e| Failure::Failed(format!("no answer that can be read: {e}")))
}

fn table(answer: &Value) -> String {
    let mut out = String::from("key                             version   needed by  state\n");
    for key in answer["keys"].as_array().into_iter().flatten() {
        let name = key["name"].as_str().unwrap_or("(the store's own)");
        for version in key["versions"].as_array().into_iter().flatten() {
            let state = match (version["is_there"].as_bool(), version["wraps"].as_bool(), version["needed_by"].as_u64()) {
                (Some(true), Some(true), _) => "wraps what is new",
                (Some(true), _, Some(0)) => "not needed",
                (Some(true), ..) => "being replaced",
                _ => "MISSING",
            };
            let number = |name: &str| version[name].as_u64().unwrap_or_default();
            out.push_str(&format!("{name:<30}  {:>7}  {:>10}  {state}\n", number("number"), number("needed_by")));
        }
    }
    let rewrap = &answer["rewrap"];
    if rewrap["left"] != 0 {
        let unreadable = rewrap["unreadable"].as_u64().filter(|n| *n > 0).map(|n| format!("; {n} are damaged")).unwrap_or_default();
        out.push_str(&format!("{} data keys are to be wrapped under newer versions{unreadable}\n", rewrap["left"]));
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_shown() {
        let version = |number: u32, is_there: bool, wraps: bool, needed_by: u64| json!({ "number": number, "is_there": is_there, "wraps": wraps, "needed_by": needed_by });
        let shown = table(&json!({
            "keys": [
                { "name": null, "versions": [version(1, true, false, 0), version(2, true, true, 7)] },
                { "name": "media", "versions": [version(1, false, false, 3), version(2, true, false, 1), version(3, true, true, 0)] },
            ],
            "rewrap": { "left": 1, "running": true, "unreadable": 1 },
        }));
        let lines: Vec<_> = shown.lines().collect();
        assert!(lines[1].starts_with("(the store's own)") && lines[1].ends_with("1           0  not needed"), "{shown}");
        assert!(lines[2].ends_with("7  wraps what is new") && lines[3].ends_with("3  MISSING"), "{shown}");
        assert!(lines[4].ends_with("1  being replaced"), "{shown}");
        assert_eq!(lines[6], "1 data keys are to be wrapped under newer versions; 1 are damaged");
    }
}
