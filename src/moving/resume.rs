//! Notes of multipart uploads that have begun, so that a run that was killed goes on inside a large file.
//!
//! A note is a small file named after the hash of where the object goes and of its headers: an upload that was begun for
//! something else is never found. It holds the upload's id, no secret. A note that is lost costs only sending from the start.

use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::remote::Proof;
use super::run::blocking;

pub struct Memory {
    /// None: nothing is noted.
    pub dir: Option<PathBuf>,
}

#[derive(Clone)]
pub struct Note {
    file: Option<PathBuf>,
}

impl Memory {
    pub fn note(&self, identity: &[&str]) -> Note {
        let mut hash = Sha256::new();
        for part in identity {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let name = hex::encode(hash.finalize());
        Note { file: self.dir.as_ref().map(|dir| dir.join(name)) }
    }
}

impl Note {
    pub fn is_kept(&self) -> bool {
        self.file.as_ref().is_some_and(|f| f.exists())
    }

    pub async fn read(&self) -> Option<(String, Proof)> {
        let file = self.file.clone()?;
        let text = blocking(move || std::fs::read_to_string(file)).await.ok()?.ok()?;
        let (proof, upload) = text.trim_end().split_once(' ')?;
        let proof = match proof {
            "crc64" => Proof::Crc64,
            "parts" => Proof::Parts,
            _ => return None,
        };
        Some((upload.to_owned(), proof)).filter(|(upload, _)| !upload.is_empty())
    }

    /// Not worth failing for.
    pub async fn write(&self, upload: &str, proof: Proof) {
        let Some(file) = self.file.clone() else { return };
        let word = match proof {
            Proof::Crc64 => "crc64",
            Proof::Parts => "parts",
        };
        let text = format!("{word} {upload}\n");
        let _ = blocking(move || {
            if let Some(dir) = file.parent() {
                std::fs::create_dir_all(dir)?;
            }
            let half = file.with_extension("new");
            std::fs::write(&half, text)?;
            std::fs::rename(half, file)
        })
        .await;
    }

    pub async fn forget(&self) {
        if let Some(file) = self.file.clone() {
            let _ = blocking(move || std::fs::remove_file(file)).await;
        }
    }
}
