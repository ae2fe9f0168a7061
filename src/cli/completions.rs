//! `tidegate completions SHELL`: what completes commands and options, out of what the command line knows of itself.

use std::io::Write as _;

use clap::Args;
use clap_complete::{Shell, generate};

use super::Failure;

#[derive(Args)]
pub struct Completions {
    /// Such as: tidegate completions bash > /etc/bash_completion.d/tidegate
    shell: Shell,
}

pub fn run(wanted: &Completions, mut command: clap::Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    generate(wanted.shell, &mut command, "tidegate", &mut script);
    std::io::stdout().write_all(&script).map_err(|e| Failure::Failed(format!("the script can't be written: {e}")))
}
