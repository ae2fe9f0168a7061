//! `tidegate man DIR`: a manual page for each command, out of what the command line knows of itself.

use std::path::PathBuf;

use clap::Args;

use super::Failure;

#[derive(Args)]
pub struct Man {
    /// Such as /usr/local/share/man/man1. It is made where it is not there
    dir: PathBuf,
}

pub fn run(wanted: &Man, command: clap::Command) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::Failed(format!("{}: {e}", wanted.dir.display()));
    std::fs::create_dir_all(&wanted.dir).map_err(failed)?;
    clap_mangen::generate_to(command, &wanted.dir).map_err(failed)
}
