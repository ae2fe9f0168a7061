//! `manifest.json`: what an import has put where. Written in the order of keys as the answers come, so it takes no memory;
//! the same files give the same bytes.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::fault::{Fault, Result};

#[derive(Debug, Serialize)]
pub struct Line<'l> {
    pub path: &'l str,
    pub key: &'l str,
    pub size: u64,
    pub sha256: &'l str,
    #[serde(rename = "type")]
    pub media_type: &'l str,
    pub url: &'l str,
}

/// A half-written one has another name, and goes away with this.
pub struct Manifest {
    file: BufWriter<File>,
    half: PathBuf,
    first: bool,
}

impl Manifest {
    /// At `to` once it is finished, in a folder that is there.
    pub fn begin(to: &Path, target: &str) -> Result<Self> {
        let half = half(to);
        let fault = |e: std::io::Error| Fault::new(format!("{}: {e}", half.display()));
        let mut file = BufWriter::new(File::create(&half).map_err(fault)?);
        let target = serde_json::to_string(target).map_err(|e| Fault::new(e.to_string()))?;
        write!(file, "{{\"target\":{target},\"files\":[").map_err(fault)?;
        Ok(Manifest { file, half, first: true })
    }

    pub fn add(&mut self, line: &Line<'_>) -> Result<()> {
        let text = serde_json::to_string(line).map_err(|e| Fault::new(e.to_string()))?;
        let comma = if std::mem::take(&mut self.first) { "" } else { "," };
        Ok(write!(self.file, "{comma}\n{text}")?)
    }

    pub fn finish(mut self, to: &Path) -> Result<()> {
        self.file.write_all(b"\n]}\n")?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        Ok(fs::rename(&self.half, to)?)
    }
}

impl Drop for Manifest {
    fn drop(&mut self) {
        // Gone already, where it was finished.
        let _ = fs::remove_file(&self.half);
    }
}

/// Where it is while it is written.
pub fn half(of: &Path) -> PathBuf {
    let mut name = of.as_os_str().to_owned();
    name.push(".tidegate-new");
    name.into()
}
