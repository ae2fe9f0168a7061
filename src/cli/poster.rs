//! `tidegate poster`: draws a model on this machine as a square PNG, by a worker and under its limits.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use super::inspect::{made, read_whole};
use crate::config::Config;
use crate::media::pool::Pool;
use crate::media::wire::Task;

#[derive(Args)]
pub struct Poster {
    /// A GLB, or a glTF that holds its own bytes
    model: PathBuf,
    /// The PNG to write
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Its width and height in pixels
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=1024))]
    size: u32,
    /// What is behind the model, as #rrggbb [default: nothing: it is clear]
    #[arg(long, value_name = "COLOUR", value_parser = colour)]
    background: Option<[u8; 3]>,
}

fn colour(text: &str) -> Result<[u8; 3], String> {
    let digits = text.strip_prefix('#').unwrap_or(text);
    let bytes = hex::decode(digits).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| format!("expected a colour such as #20242a, not {text:?}"))
}

pub async fn run(command: Poster, config: Config) -> Result<(), Failure> {
    let Poster { model, output, size, background } = command;
    let pool = Pool::start(config.media.pool)?;
    let content = read_whole(&pool, &model)?;
    let png = made(&pool, Task::Poster { side: size, background }, content, &model.display().to_string()).await?;
    std::fs::write(&output, png).map_err(|e| Failure::Failed(format!("{}: can't be written: {e}", output.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours() {
        assert_eq!(colour("#20242a"), Ok([0x20, 0x24, 0x2a]));
        assert_eq!(colour("FFFFFF"), Ok([255; 3]));
        for wrong in ["", "#fff", "#20242", "#20242a00", "red", "##20242a"] {
            assert!(colour(wrong).is_err(), "{wrong}");
        }
    }
}
