//! `tidegate tenant`: tenants without a file: makes, lists, limits, disables, enables and removes them.

use std::collections::BTreeMap;

use clap::Subcommand;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Failure;
use super::admin_client::AdminClient;
use crate::base::names::TenantId;
use crate::config::Config;

const TENANTS: &str = "/-/admin/v1/tenants";
const KEYS: &str = "/-/admin/v1/keys";

#[derive(Subcommand)]
pub enum TenantCommand {
    /// Make a tenant
    Add {
        tenant: String,
        /// What it is called in answers [default: its id]
        #[arg(long, value_name = "NAME")]
        display: Option<String>,
        /// A file in policies/ without its .json; more than one is possible [default: tenant-default]
        #[arg(long = "policy", value_name = "NAME")]
        policies: Vec<String>,
        /// Such as bytes=1TB, objects=1000000, requests_per_second=2000; more than one is possible
        #[arg(long = "limit", value_name = "LIMIT=VALUE", value_parser = limit)]
        limits: Vec<(String, Value)>,
        /// Make a key for it too; its secret is shown this once
        #[arg(long)]
        key: bool,
    },
    /// List all tenants: those of files, and those that were made
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the limits of a tenant, or change some
    Limits {
        tenant: String,
        /// Such as bytes=2TB, or bytes=none. Also objects, requests_per_second, jobs, bytes_in_per_second, bytes_out_per_second, uploads, egress_per_month
        #[arg(value_name = "LIMIT=VALUE", value_parser = limit)]
        limits: Vec<(String, Value)>,
    },
    /// From now on it is as if it were not there: its keys open nothing. What it stored stays
    Disable { tenant: String },
    /// Take it in again
    Enable { tenant: String },
    /// Forget it. What it stored stays, and is the operator's to delete
    Remove { tenant: String },
}

#[derive(Deserialize)]
struct Tenant {
    tenant: String,
    policies: Vec<String>,
    limits: BTreeMap<String, u64>,
    enabled: bool,
    file: Option<String>,
    fault: Option<String>,
}

#[derive(Deserialize)]
struct Key {
    access_key: String,
    secret_key: String,
}

fn limit(text: &str) -> Result<(String, Value), String> {
    let (name, value) =
        text.split_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty()).ok_or("LIMIT=VALUE is expected")?;
    Ok((name.to_owned(), if value == "none" { Value::Null } else { Value::String(value.to_owned()) }))
}

fn document(limits: Vec<(String, Value)>) -> Value {
    Value::Object(limits.into_iter().collect())
}

pub async fn run(command: TenantCommand, config: Config) -> Result<(), Failure> {
    if let TenantCommand::Add { tenant, .. }
    | TenantCommand::Limits { tenant, .. }
    | TenantCommand::Disable { tenant }
    | TenantCommand::Enable { tenant }
    | TenantCommand::Remove { tenant } = &command
    {
        // Before anything is reached or started: ids go into a path.
        TenantId::parse(tenant).map_err(|e| Failure::Usage(vec![e.message().to_owned()]))?;
    }
    let client = AdminClient::reach(config).await?;
    let done = carry_out(&client, command).await;
    client.close().await;
    done
}

async fn carry_out(client: &AdminClient, command: TenantCommand) -> Result<(), Failure> {
    match command {
        TenantCommand::Add { tenant, display, policies, limits, key } => {
            let policies = Some(policies).filter(|p| !p.is_empty());
            let wanted = json!({ "tenant": tenant, "display": display, "policies": policies, "limits": document(limits) });
            client.ask(Method::POST, TENANTS, Some(wanted)).await?;
            if key {
                let text = client.ask(Method::POST, KEYS, Some(json!({ "tenant": tenant }))).await?;
                let made: Key = read(&text)?;
                println!("AWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}", made.access_key, made.secret_key);
            } else {
                println!("{tenant} is made; `tidegate key make {tenant}` makes a key");
            }
        }
        TenantCommand::List { json } => {
            let text = client.ask(Method::GET, TENANTS, None).await?;
            if json { print!("{text}") } else { print_table(&read::<Vec<Tenant>>(&text)?) }
        }
        TenantCommand::Limits { tenant, limits } if limits.is_empty() => {
            let all: Vec<Tenant> = read_owned(&client.ask(Method::GET, TENANTS, None).await?)?;
            let found =
                all.into_iter().find(|t| t.tenant == tenant).ok_or_else(|| Failure::Failed(format!("there is no tenant {tenant}")))?;
            found.limits.iter().for_each(|(name, value)| println!("{name}={value}"));
        }
        TenantCommand::Limits { tenant, limits } => {
            let changed = change(client, &tenant, json!({ "limits": document(limits) })).await?;
            changed.limits.iter().for_each(|(name, value)| println!("{name}={value}"));
        }
        TenantCommand::Disable { tenant } => {
            change(client, &tenant, json!({ "enabled": false })).await?;
            println!("{tenant} is disabled");
        }
        TenantCommand::Enable { tenant } => {
            change(client, &tenant, json!({ "enabled": true })).await?;
            println!("{tenant} is enabled");
        }
        TenantCommand::Remove { tenant } => {
            client.ask(Method::DELETE, &format!("{TENANTS}/{tenant}"), None).await?;
            println!("{tenant} is removed");
        }
    }
    Ok(())
}

async fn change(client: &AdminClient, tenant: &str, wanted: Value) -> Result<Tenant, Failure> {
    read_owned(&client.ask(Method::PATCH, &format!("{TENANTS}/{tenant}"), Some(wanted)).await?)
}

fn print_table(tenants: &[Tenant]) {
    println!("{:<24} {:<9} {:<28} {:<28} limits", "tenant", "state", "from", "policies");
    for t in tenants {
        let state = if !t.enabled {
            "disabled"
        } else if t.fault.is_some() {
            "fault"
        } else {
            "enabled"
        };
        let limits = t.limits.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
        println!("{:<24} {state:<9} {:<28} {:<28} {limits}", t.tenant, t.file.as_deref().unwrap_or("made"), t.policies.join(","));
        if let Some(fault) = &t.fault {
            println!("{:<24} -> {fault}", "");
        }
    }
}

fn read<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|e| Failure::Failed(format!("the gateway's answer is not understood: {e}")))
}

fn read_owned<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Failure> {
    read(text)
}
