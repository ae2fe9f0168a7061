//! `tidegate compare`: draws two models from all sides and tells how alike they look, by a worker and under its limits.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use super::inspect::{made, read_whole};
use crate::config::Config;
use crate::media::pool::Pool;
use crate::media::render::{Likeness, VIEWS};
use crate::media::wire::Task;

#[derive(Args)]
pub struct Compare {
    original: PathBuf,
    /// What was made of it
    result: PathBuf,
    /// Width and height of the views in pixels
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(16..=1024))]
    size: u32,
    /// Fail where a view is less alike than so many decibels
    #[arg(long, value_name = "DB")]
    psnr: Option<f64>,
    /// Fail where a view has a lower SSIM
    #[arg(long, value_name = "SSIM")]
    ssim: Option<f64>,
    /// A line of JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(command: Compare, config: Config) -> Result<(), Failure> {
    let Compare { original, result, size, psnr, ssim, json } = command;
    let pool = Pool::start(config.media.pool)?;
    let mut both = read_whole(&pool, &original)?;
    let first = both.len() as u64;
    both.extend(read_whole(&pool, &result)?);
    let files = format!("{} and {}", original.display(), result.display());
    let told = made(&pool, Task::Compare { first, side: size }, both, &files).await?;
    let views: Vec<Likeness> =
        serde_json::from_slice(&told).map_err(|_| Failure::Failed("the worker answered what can't be read".into()))?;
    let least = |of: fn(&Likeness) -> f64| views.iter().map(of).fold(f64::INFINITY, f64::min);
    let worst = Likeness { psnr: least(|l| l.psnr), ssim: least(|l| l.ssim) };
    if json {
        println!("{}", serde_json::json!({ "psnr": worst.psnr, "ssim": worst.ssim, "views": views }));
    } else {
        for (n, Likeness { psnr, ssim }) in views.iter().enumerate() {
            let pose = if n < VIEWS.len() { "at rest" } else { "moved" };
            println!("view {:<2} {pose:<8} {psnr:6.2} dB   SSIM {ssim:.4}", n % VIEWS.len() + 1);
        }
        println!("least            {:6.2} dB   SSIM {:.4}", worst.psnr, worst.ssim);
    }
    let fails = psnr.is_some_and(|bound| worst.psnr < bound) || ssim.is_some_and(|bound| worst.ssim < bound);
    if fails { Err(Failure::Failed("the result does not look enough like the original".into())) } else { Ok(()) }
}
