//! `tidegate poster`: draws a model on this machine as a square picture, by a worker and under its limits.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use super::inspect::{made, read_whole};
use crate::config::Config;
use crate::media::optimize::recipe::{self, Picture, parse_colour};
use crate::media::pool::Pool;
use crate::media::wire::Task;

#[derive(Args)]
pub struct Poster {
    /// A GLB, or a glTF that holds its own bytes
    model: PathBuf,
    /// The PNG to write, or the WebP
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Its width and height in pixels
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=1024))]
    size: u32,
    /// What is behind the model, as #rrggbb [default: nothing: it is clear]
    #[arg(long, value_name = "COLOUR", value_parser = parse_colour)]
    background: Option<[u8; 3]>,
}

pub async fn run(command: Poster, config: Config) -> Result<(), Failure> {
    let Poster { model, output, size, background } = command;
    let pool = Pool::start(config.media.pool)?;
    let content = read_whole(&pool, &model)?;
    let is_webp = output.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("webp"));
    let picture = if is_webp { Picture::WebP } else { Picture::Png };
    let task = Task::Poster(recipe::Poster { side: size, background, picture });
    let drawn = made(&pool, task, content, &model.display().to_string()).await?;
    std::fs::write(&output, drawn).map_err(|e| Failure::Failed(format!("{}: can't be written: {e}", output.display())))
}
