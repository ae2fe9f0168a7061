//! The command line: one file for each subcommand. Without one it serves.
//!
//! Not here: what the commands do; they start an `App`, or ask a running one over its admin door.
//! Exit status: 0 done, 1 failed, 64 (EX_USAGE) for arguments and configuration that can't be used.

mod admin_client;
mod backfill;
mod check;
mod compare;
mod completions;
mod doctor;
mod encryption;
mod events;
mod export;
mod fsck;
mod generation;
mod import;
mod inspect;
mod key;
mod lifecycle;
mod man;
mod mcp;
mod mirror;
mod moves;
mod optimize;
mod poster;
mod presign;
mod providers;
mod repair;
mod serve;
mod side;
mod snapshot;
mod sync;
mod table;
mod tenant;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::config::fault::Fault;
use crate::config::{Config, load};
use crate::media::worker;

/// EX_USAGE of sysexits.h: a supervisor need not try again.
const USAGE: u8 = 64;

/// An S3-compatible edge gateway and CDN origin.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// The configuration [default: ./gateway.toml, where there is one]
    #[arg(long, short, global = true, value_name = "FILE", env = "TIDEGATE_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve (the default)
    Serve,
    /// Read the configuration, policies, tenants and certificates, and name everything that is wrong
    Check,
    /// Ask a running gateway as its users do, and say what is right and what to do
    Doctor(doctor::Doctor),
    /// Tenants without a file
    #[command(subcommand)]
    Tenant(tenant::TenantCommand),
    /// Tenants' access keys
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Make a consistent copy of everything that is stored, also while serving
    Snapshot(snapshot::Snapshot),
    /// Wait until everything that was written back is stored upstream, and say what is left
    Sync(sync::Sync),
    /// Compare a replica with the origin from the beginning, and bring what differs
    Repair(repair::Repair),
    /// Copy what only the old store of a bucket has, so that it can be given up
    Backfill(backfill::Backfill),
    /// Let go now what lifecycle rules say, or say what would go
    Lifecycle(lifecycle::Lifecycle),
    /// What tenants used, for bills: requests, bytes, and what was stored for how long
    Usage(usage::Usage),
    /// Events that wait for webhooks or were given up: look, bring again, forget
    #[command(subcommand)]
    Events(events::EventsCommand),
    /// Keys that the store encrypts with: what there is, what is needed, a new version of the store's own
    #[command(subcommand)]
    Encryption(encryption::EncryptionCommand),
    /// Prove that bodies, records and index agree, and repair the index; the gateway must not be running
    Fsck(fsck::Fsck),
    /// A link to an object in the operator's name: a presigned URL, CloudFront's URL or cookies, or a path token
    Presign(presign::Presign),
    /// Generated media: what was spent on it, and requests to providers that wait for a decision
    #[command(subcommand)]
    Generation(generation::GenerationCommand),
    /// Files of providers of generated media
    #[command(subcommand)]
    Providers(providers::ProvidersCommand),
    /// Look into files of media: what they are, and what is wrong with them
    Inspect(inspect::Inspect),
    /// Draw a model, as a PNG or a WebP
    Poster(poster::Poster),
    /// Tell how alike two models look, from all sides, at rest and moved
    Compare(compare::Compare),
    /// Make a model smaller: without loss, and under Draco where it looks the same
    Optimize(optimize::Optimize),
    /// Bring a folder into a bucket of a gateway or of any S3; what is there already is not sent again
    Import(import::Import),
    /// Bring a bucket into a folder
    Export(export::Export),
    /// Bring a bucket into another one
    Mirror(mirror::Mirror),
    /// Print what completes this command's words in a shell
    Completions(completions::Completions),
    /// Write the manual pages into a folder
    Man(man::Man),
    /// Speak MCP over stdio for an agent, with a gateway and its key in AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    Mcp(mcp::Mcp),
    /// Look into one file of a media type: started by the gateway for each
    #[command(hide = true)]
    MediaWorker,
}

/// Why a command ends badly.
enum Failure {
    /// Arguments or configuration: every fault, one to a line.
    Usage(Vec<String>),
    Failed(String),
}

impl From<crate::base::error::Error> for Failure {
    fn from(e: crate::base::error::Error) -> Self {
        Failure::Failed(e.message().to_owned())
    }
}

impl From<crate::app::StartError> for Failure {
    fn from(e: crate::app::StartError) -> Self {
        match e {
            crate::app::StartError::Faults(faults) => Failure::Usage(faults),
            crate::app::StartError::Failed(why) => Failure::Failed(why),
        }
    }
}

pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(e) => {
            // Help and version are errors to clap, and go to stdout.
            let _ = e.print();
            return if e.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    // Reads neither configuration nor environment: it has no part in what the gateway is.
    if let Some(Command::MediaWorker) = arguments.command {
        return worker::run();
    }
    let done = match &arguments.command {
        Some(Command::Completions(command)) => completions::run(command, Arguments::command()),
        Some(Command::Man(command)) => man::run(command, Arguments::command()),
        // The gateway that it speaks with is somewhere: no configuration stands where an agent starts it.
        Some(Command::Mcp(command)) => mcp::run(command),
        _ => carry_out(arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(faults)) => {
            faults.iter().for_each(|f| eprintln!("tidegate: {f}"));
            ExitCode::from(USAGE)
        }
        Err(Failure::Failed(why)) => {
            eprintln!("tidegate: {why}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(arguments: Arguments) -> Result<(), Failure> {
    let environment: Vec<(String, String)> =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect();
    let loaded = load::load(arguments.config.as_deref(), &environment);
    if let Some(Command::Check) = arguments.command {
        return check::run(loaded, &environment);
    }
    let config = loaded.map_err(|faults| Failure::Usage(faults.iter().map(Fault::to_string).collect()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::Failed(format!("the runtime can't be started: {e}")))?;
    runtime.block_on(async {
        match arguments.command {
            None | Some(Command::Serve) => serve::run(config, &environment).await,
            Some(Command::Key(command)) => key::run(command, config).await,
            Some(Command::Tenant(command)) => tenant::run(command, config).await,
            Some(Command::Doctor(command)) => doctor::run(command, config).await,
            Some(Command::Snapshot(command)) => snapshot::run(command, config).await,
            Some(Command::Sync(command)) => sync::run(command, config).await,
            Some(Command::Repair(command)) => repair::run(command, config).await,
            Some(Command::Backfill(command)) => backfill::run(command, config).await,
            Some(Command::Lifecycle(command)) => lifecycle::run(command, config).await,
            Some(Command::Usage(command)) => usage::run(command, config).await,
            Some(Command::Events(command)) => events::run(command, config).await,
            Some(Command::Encryption(command)) => encryption::run(command, config).await,
            Some(Command::Fsck(command)) => fsck::run(&command, &config),
            Some(Command::Presign(command)) => presign::run(command, config).await,
            Some(Command::Inspect(command)) => inspect::run(command, config).await,
            Some(Command::Generation(command)) => generation::run(command, config).await,
            Some(Command::Providers(command)) => providers::run(command, config),
            Some(Command::Poster(command)) => poster::run(command, config).await,
            Some(Command::Compare(command)) => compare::run(command, config).await,
            Some(Command::Optimize(command)) => optimize::run(command, config).await,
            Some(Command::Import(command)) => import::run(command, config).await,
            Some(Command::Export(command)) => export::run(command, config).await,
            Some(Command::Mirror(command)) => mirror::run(command, config).await,
            // Done above, before the faults were taken for an end.
            Some(Command::Check | Command::Completions(_) | Command::Man(_) | Command::MediaWorker | Command::Mcp(_)) => Ok(()),
        }
    })
}

/// The operator's key of a store that has been started before, or of the environment. Never makes one: a command in the
/// wrong folder must not leave a store behind.
fn existing_operator_key(config: &Config) -> Result<crate::auth::operator::OperatorKey, Failure> {
    use crate::auth::operator::{FILE_NAME, OperatorKey};
    let given = std::env::var_os("TIDEGATE_ROOT_ACCESS_KEY").is_some_and(|v| !v.is_empty());
    let file = config.store.dir.join(FILE_NAME);
    if !given && !file.exists() {
        return Err(Failure::Failed(format!(
            "there is no operator's key: {} is made at the first start; or set TIDEGATE_ROOT_ACCESS_KEY and TIDEGATE_ROOT_SECRET_KEY",
            file.display()
        )));
    }
    OperatorKey::load_or_create(&config.store.dir, |name| std::env::var(name).ok()).map_err(Failure::Failed)
}
