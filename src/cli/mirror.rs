//! `tidegate mirror s3://bucket/prefix s3://other/prefix`: a bucket into another, of this S3 or any.

use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::Failure;
use super::moves::{self, Moves};
use super::side::{S3Folder, Sides};
use crate::config::Config;
use crate::moving::mirror::{self, Mirror as Work};

#[derive(Args)]
pub struct Mirror {
    /// s3://bucket/prefix
    source: S3Folder,
    /// s3://bucket/prefix
    target: S3Folder,
    #[command(flatten)]
    sides: Sides,
    #[command(flatten)]
    moves: Moves,
    /// Delete from the target what the source does not have
    #[arg(long)]
    delete: bool,
    /// Leave tags alone
    #[arg(long)]
    no_tags: bool,
    /// How it is known that both sides are the same
    #[arg(long, default_value = "checksums")]
    verify: Verify,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Verify {
    /// By what both sides say: ETags and checksums
    Checksums,
    /// Read both sides, and what was written
    Full,
}

pub async fn run(command: Mirror, config: Config) -> Result<(), Failure> {
    let source = command.sides.source().open(&command.source, None, &config).await?;
    let target = command.sides.target().open(&command.target, None, &config).await?;
    if source.at == target.at && (source.prefix.starts_with(&target.prefix) || target.prefix.starts_with(&source.prefix)) {
        return Err(Failure::Usage(vec!["source and target are the same, or one lies in the other".into()]));
    }
    let run = command.moves.run();
    let work = Work {
        run: run.clone(),
        source: Arc::new(source),
        target: Arc::new(target),
        delete: command.delete,
        verify_full: command.verify == Verify::Full,
        tags: !command.no_tags,
        memory: moves::memory(),
    };
    moves::carry_out(&run, mirror::mirror(Arc::new(work))).await
}
