//! `tidegate providers check`: proves the files of providers against the exchanges that are recorded in them.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Failure;
use crate::config::Config;
use crate::vault::{Vault, examples};

#[derive(Subcommand)]
pub enum ProvidersCommand {
    /// Read all files, replay their examples, and say which have their keys
    Check(Check),
}

#[derive(Args)]
pub struct Check {
    /// The folder of the files [default: generate.providers]
    folder: Option<PathBuf>,
}

pub fn run(command: ProvidersCommand, config: Config) -> Result<(), Failure> {
    let ProvidersCommand::Check(check) = command;
    let vault = Vault::load(&check.folder.unwrap_or(config.generate.folder)).map_err(Failure::Usage)?;
    let mut wrong = Vec::new();
    for provider in vault.all() {
        match examples::check(provider) {
            Ok(count) => {
                let key = provider.signer.has_keys().err().map(|e| format!("; {e}")).unwrap_or_default();
                println!("{}: {} models, {count} examples hold{key}", provider.name, provider.models.len());
            }
            Err(faults) => wrong.extend(faults.into_iter().map(|fault| format!("{}: {fault}", provider.name))),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Failure::Failed(wrong.join("\n"))) }
}
