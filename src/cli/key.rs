//! `tidegate key`: makes, lists, disables, enables and removes tenants' access keys; changes the secret of path tokens.

use clap::Subcommand;
use http::Method;
use serde::Deserialize;

use super::Failure;
use super::admin_client::AdminClient;
use crate::base::names::{AccessKeyId, TenantId};
use crate::config::Config;

const KEYS: &str = "/-/admin/v1/keys";

#[derive(Subcommand)]
pub enum KeyCommand {
    /// Make a key for a tenant; its secret is shown this once
    Make {
        tenant: String,
        /// When it ends, such as 2027-01-01T00:00:00Z
        #[arg(long, value_name = "DATE")]
        expires: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List the keys that were made (those in policies/tenants/*.toml are listed by their files)
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Refuse a key from now on
    Disable { access_key: String },
    /// Accept a disabled key again
    Enable { access_key: String },
    /// Forget a key
    Remove { access_key: String },
    /// Sign path tokens with a new secret. Those of the secret before stay good, older ones do not: twice ends them all
    RotateTokens,
}

#[derive(Deserialize)]
struct Key {
    access_key: String,
    secret_key: Option<String>,
    tenant: String,
    enabled: bool,
    created: String,
    expires: Option<String>,
}

pub async fn run(command: KeyCommand, config: Config) -> Result<(), Failure> {
    check(&command)?;
    let client = AdminClient::reach(config).await?;
    let done = carry_out(&client, command).await;
    client.close().await;
    done
}

/// Before anything is reached or started: ids go into a path.
fn check(command: &KeyCommand) -> Result<(), Failure> {
    let usage = |e: crate::base::error::Error| Failure::Usage(vec![e.message().to_owned()]);
    match command {
        KeyCommand::Make { tenant, .. } => TenantId::parse(tenant).map(drop).map_err(usage),
        KeyCommand::Disable { access_key } | KeyCommand::Enable { access_key } | KeyCommand::Remove { access_key } => {
            AccessKeyId::parse(access_key).map(drop).map_err(usage)
        }
        KeyCommand::List { .. } | KeyCommand::RotateTokens => Ok(()),
    }
}

async fn carry_out(client: &AdminClient, command: KeyCommand) -> Result<(), Failure> {
    match command {
        KeyCommand::Make { tenant, expires, json } => {
            let wanted = serde_json::json!({ "tenant": tenant, "expires": expires });
            let text = client.ask(Method::POST, KEYS, Some(wanted)).await?;
            if json {
                print!("{text}");
            } else {
                let key: Key = read(&text)?;
                println!("AWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}", key.access_key, key.secret_key.unwrap_or_default());
            }
        }
        KeyCommand::List { json } => {
            let text = client.ask(Method::GET, KEYS, None).await?;
            if json { print!("{text}") } else { print_table(&read::<Vec<Key>>(&text)?) }
        }
        KeyCommand::Disable { access_key } => set_enabled(client, &access_key, false).await?,
        KeyCommand::Enable { access_key } => set_enabled(client, &access_key, true).await?,
        KeyCommand::Remove { access_key } => {
            client.ask(Method::DELETE, &format!("{KEYS}/{access_key}"), None).await?;
            println!("{access_key} is removed");
        }
        KeyCommand::RotateTokens => {
            client.ask(Method::POST, "/-/admin/v1/path-tokens/rotate", None).await?;
            println!("path tokens have a new secret");
        }
    }
    Ok(())
}

async fn set_enabled(client: &AdminClient, access_key: &str, enabled: bool) -> Result<(), Failure> {
    client.ask(Method::PATCH, &format!("{KEYS}/{access_key}"), Some(serde_json::json!({ "enabled": enabled }))).await?;
    println!("{access_key} is {}", if enabled { "enabled" } else { "disabled" });
    Ok(())
}

fn print_table(keys: &[Key]) {
    println!("{:<24} {:<24} {:<9} {:<25} expires", "access key", "tenant", "state", "created");
    for k in keys {
        let state = if k.enabled { "enabled" } else { "disabled" };
        println!("{:<24} {:<24} {state:<9} {:<25} {}", k.access_key, k.tenant, k.created, k.expires.as_deref().unwrap_or("never"));
    }
}

fn read<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|e| Failure::Failed(format!("the gateway's answer is not understood: {e}")))
}
