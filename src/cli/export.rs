//! `tidegate export s3://bucket/prefix DIR`: a bucket into a folder.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::Failure;
use super::moves::{self, Moves};
use super::side::{S3Folder, Side};
use crate::config::Config;
use crate::moving::export::{self, Export as Work};

#[derive(Args)]
pub struct Export {
    /// s3://bucket/prefix
    source: S3Folder,
    /// Made where it is missing
    dir: PathBuf,
    #[command(flatten)]
    side: Side,
    #[command(flatten)]
    moves: Moves,
    /// Write the tags of all objects to this file, which `import --tags` reads
    #[arg(long, value_name = "FILE")]
    tags: Option<PathBuf>,
}

pub async fn run(command: Export, config: Config) -> Result<(), Failure> {
    let source = command.side.open(&command.source, None, &config).await?;
    let run = command.moves.run();
    let unusable = |e: std::io::Error| Failure::Usage(vec![format!("{}: {e}", command.dir.display())]);
    if !run.dry_run {
        std::fs::create_dir_all(&command.dir).map_err(unusable)?;
    }
    let dir = std::path::absolute(&command.dir).map_err(unusable)?;
    let work = Work { run: run.clone(), source: Arc::new(source), dir, tags: command.tags };
    moves::carry_out(&run, export::export(Arc::new(work))).await
}
