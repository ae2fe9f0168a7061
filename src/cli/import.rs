//! `tidegate import DIR s3://bucket/prefix`: a folder into a bucket.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::Failure;
use super::moves::{self, Moves};
use super::side::{S3Folder, Side};
use crate::config::Config;
use crate::moving::import::{self, Import as Work};
use crate::moving::manifest;
use crate::moving::tree::Tree;

#[derive(Args)]
pub struct Import {
    dir: PathBuf,
    /// s3://bucket/prefix
    target: S3Folder,
    #[command(flatten)]
    side: Side,
    #[command(flatten)]
    moves: Moves,
    /// Folder names in keys as my-topic instead of `My Topic`
    #[arg(long)]
    kebab_case: bool,
    /// The Cache-Control of what is sent
    #[arg(long, value_name = "VALUE")]
    cache_control: Option<String>,
    /// Write path, key, size, SHA-256, type and URL of each file to this one
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Put the manifest under this key below the prefix as well
    #[arg(long, value_name = "KEY", requires = "manifest")]
    manifest_key: Option<String>,
    /// Give objects the tags of this file, as `export --tags` writes it
    #[arg(long, value_name = "FILE", conflicts_with = "kebab_case")]
    tags: Option<PathBuf>,
    /// What the manifest's URLs begin with [default: the endpoint and the bucket]
    #[arg(long, value_name = "URL", env = "S3_PUBLIC_BASE_URL")]
    public_base_url: Option<String>,
}

pub async fn run(command: Import, config: Config) -> Result<(), Failure> {
    let except: Vec<PathBuf> = command.manifest.iter().chain(&command.tags).flat_map(|m| [m.clone(), manifest::half(m)]).collect();
    let tree = Tree::open(&command.dir, command.kebab_case, &except)
        .map_err(|e| Failure::Usage(vec![format!("{}: {e}", command.dir.display())]))?;
    let target = command.side.open(&command.target, command.public_base_url, &config).await?;
    let run = command.moves.run();
    let work = Work {
        run: run.clone(),
        tree: Arc::new(tree),
        target: Arc::new(target),
        cache_control: command.cache_control,
        memory: moves::memory(),
        tags: command.tags,
        manifest: command.manifest,
        manifest_name: command.manifest_key,
    };
    moves::carry_out(&run, import::import(Arc::new(work))).await
}
