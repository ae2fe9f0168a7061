//! `tidegate optimize`: makes a model on this machine smaller, by the worker that looks into uploads and under its limits.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tokio::sync::mpsc;

use super::Failure;
use crate::config::Config;
use crate::media::optimize::manifest::MANIFEST;
use crate::media::optimize::recipe::{Bounds, Lods, MAX_TEXTURE, Poster, Recipe, Step, Textures, parse_colour};
use crate::media::pool::{self, Answer, Pool};
use crate::media::wire::Task;
use crate::origin::Body;

#[derive(Args)]
pub struct Optimize {
    /// A binary glTF (.glb), or a document that has its buffers inside
    file: PathBuf,
    /// The folder that results and manifest.json are written into
    #[arg(short, long)]
    output: PathBuf,
    /// What to make [default: lossless and draco]
    #[arg(long, value_name = "STEPS", value_delimiter = ',', value_parser = step, default_values = ["lossless", "draco"], hide_default_value = true)]
    steps: Vec<Step>,
    /// Use nothing that looks less like the original, from any side, than so many decibels
    #[arg(long, value_name = "DB", default_value_t = Bounds::default().psnr)]
    psnr: f64,
    /// Nor than this SSIM
    #[arg(long, value_name = "SSIM", default_value_t = Bounds::default().ssim)]
    ssim: f64,
    /// How far lod1 may lie from the original, in parts of its longest side; lod2 twice, lod3 four times
    #[arg(long, value_name = "PART", default_value_t = Lods::default().error)]
    lod_error: f64,
    /// As --psnr, of levels of detail
    #[arg(long, value_name = "DB", default_value_t = Lods::default().bounds.psnr)]
    lod_psnr: f64,
    /// As --ssim, of levels of detail
    #[arg(long, value_name = "SSIM", default_value_t = Lods::default().bounds.ssim)]
    lod_ssim: f64,
    /// Sides of textures in pixels, at most
    #[arg(long, value_name = "PIXELS", default_value_t = Textures::default().max, value_parser = clap::value_parser!(u32).range(4..=i64::from(MAX_TEXTURE)))]
    texture_max: u32,
    /// As --psnr, of the step ktx2
    #[arg(long, value_name = "DB", default_value_t = Textures::default().bounds.psnr)]
    texture_psnr: f64,
    /// As --ssim, of the step ktx2
    #[arg(long, value_name = "SSIM", default_value_t = Textures::default().bounds.ssim)]
    texture_ssim: f64,
    /// Pack by KHR_meshopt_compression, which fewer programs read than EXT_meshopt_compression
    #[arg(long)]
    khr_meshopt: bool,
    /// Of the poster: width and height in pixels
    #[arg(long, default_value_t = Poster::default().side, value_parser = clap::value_parser!(u32).range(1..=1024))]
    size: u32,
    /// What is behind the model on its poster, as #rrggbb [default: nothing: it is clear]
    #[arg(long, value_name = "COLOUR", value_parser = parse_colour)]
    background: Option<[u8; 3]>,
    /// The manifest in the place of a table
    #[arg(long)]
    json: bool,
}

const TURN: Duration = Duration::from_millis(120);

pub async fn run(command: Optimize, config: Config) -> Result<(), Failure> {
    let content = read(&command.file, config.media.pool.max_bytes)?;
    let pool = Pool::start(config.media.pool)?;
    let answer = work(&pool, &command, content).await?;
    let manifest = answer.files.iter().find(|(name, _)| name == MANIFEST).map(|(_, bytes)| bytes.clone()).unwrap_or_default();
    let shown: Value =
        serde_json::from_slice(&manifest).map_err(|e| Failure::Failed(format!("the worker's manifest can't be read: {e}")))?;
    let failed = |path: &Path, e: std::io::Error| Failure::Failed(format!("{}: can't be written: {e}", path.display()));
    std::fs::create_dir_all(&command.output).map_err(|e| failed(&command.output, e))?;
    for (name, bytes) in &answer.files {
        let path = command.output.join(name);
        std::fs::write(&path, bytes).map_err(|e| failed(&path, e))?;
    }
    if command.json {
        print!("{}", String::from_utf8_lossy(&manifest));
    } else {
        print!("{}", table(&command.file, &shown));
    }
    Ok(())
}

fn step(text: &str) -> Result<Step, String> {
    let all = || Step::ALL.map(Step::name).join(", ");
    Step::parse(text).ok_or_else(|| format!("expected some of {}", all()))
}

fn read(file: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    let unreadable = |e: std::io::Error| Failure::Failed(format!("{}: can't be read: {e}", file.display()));
    let mut content = Vec::new();
    std::fs::File::open(file).map_err(unreadable)?.take(most.saturating_add(1)).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > most {
        return Err(Failure::Failed(format!("{}: is larger than media.max_size ({most} bytes)", file.display())));
    }
    Ok(content)
}

async fn work(pool: &Pool, command: &Optimize, content: Vec<u8>) -> Result<Answer, Failure> {
    let file = &command.file;
    let poster = Poster { side: command.size, background: command.background, ..Poster::default() };
    let mut recipe = Recipe::new(command.steps.clone(), Bounds { psnr: command.psnr, ssim: command.ssim }, poster);
    recipe.lods = Lods { error: command.lod_error, bounds: Bounds { psnr: command.lod_psnr, ssim: command.lod_ssim } };
    recipe.textures = Textures { max: command.texture_max, bounds: Bounds { psnr: command.texture_psnr, ssim: command.texture_ssim } };
    recipe.khr_meshopt = command.khr_meshopt;
    let task = Task::Optimize { name: file.file_stem().unwrap_or_default().to_string_lossy().into_owned(), recipe };
    let (tell, mut told) = mpsc::unbounded_channel::<String>();
    // Shown on a terminal alone.
    let bar = ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner());
    bar.enable_steady_tick(TURN);
    let length = content.len() as u64;
    let working = pool.run_telling(task, Body::Memory(Bytes::from(content)), length, Some(tell));
    tokio::pin!(working);
    let ended = loop {
        tokio::select! {
            ended = &mut working => break ended,
            Some(step) = told.recv() => bar.set_message(step),
        }
    };
    bar.finish_and_clear();
    ended.map_err(|failure| match failure {
        pool::Failure::OfFile(why) => Failure::Failed(format!("{}: {why}", file.display())),
        pool::Failure::OfUs(e) => e.into(),
    })
}

fn table(file: &Path, manifest: &Value) -> String {
    let size = |of: &Value| of["size"].as_u64().unwrap_or_default();
    let before = size(&manifest["source"]);
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let mut out = format!("{name:<60} {before:>12} bytes  {:>9} triangles\n", manifest["source"]["triangles"]);
    for source in manifest["sources"].as_array().into_iter().flatten() {
        let won = before.saturating_sub(size(source)) as f64 * 100.0 / before.max(1) as f64;
        let url = source["url"].as_str().unwrap_or_default();
        out.push_str(&format!("{url:<60} {:>12} bytes", size(source)));
        if source["triangles"].is_u64() {
            out.push_str(&format!("  {:>9} triangles  {won:>5.1} % less", source["triangles"]));
        }
        if let Some(psnr) = source["psnr"].as_f64() {
            out.push_str(&format!("  {psnr:>5.1} dB"));
        }
        if let Some(error) = source["error"].as_f64() {
            out.push_str(&format!("  error {error:.5}"));
        }
        out.push('\n');
    }
    for skipped in manifest["skipped"].as_array().into_iter().flatten() {
        let text = |name: &str| skipped[name].as_str().unwrap_or_default();
        out.push_str(&format!("skipped {} of {}: {}\n", text("step"), text("what"), text("why")));
    }
    out
}
