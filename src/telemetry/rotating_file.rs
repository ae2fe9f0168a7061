//! An append-only file that is renamed away when it is full: `access.log`, `access.log.1`, … up to a number kept.
//!
//! Called by the access log's thread only. Limits: size of one file and number of files, so the space is bounded.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    file: File,
    len: u64,
    max_bytes: u64,
    keep: u32,
}

impl RotatingFile {
    /// Continues the file that is there. `keep` counts the files besides the current one.
    pub fn open(path: &Path, max_bytes: u64, keep: u32) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let len = file.metadata()?.len();
        Ok(RotatingFile { path: path.to_owned(), file, len, max_bytes, keep })
    }

    /// `lines` end up in one file: it is rotated before them, never inside.
    pub fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.len > 0 && self.len + lines.len() as u64 > self.max_bytes {
            self.rotate()?;
        }
        self.file.write_all(lines)?;
        self.len += lines.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        for n in (1..self.keep).rev() {
            match std::fs::rename(self.numbered(n), self.numbered(n + 1)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        if self.keep > 0 {
            std::fs::rename(&self.path, self.numbered(1))?;
        } else {
            std::fs::remove_file(&self.path)?;
        }
        *self = Self::open(&self.path, self.max_bytes, self.keep)?;
        Ok(())
    }

    fn numbered(&self, n: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{n}"));
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_a_bounded_number_of_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let mut file = RotatingFile::open(&path, 10, 2).unwrap();
        for i in 0..6 {
            file.append(format!("line{i}\n").as_bytes()).unwrap();
        }
        let read = |p: &Path| std::fs::read_to_string(p).unwrap();
        assert_eq!(read(&path), "line5\n");
        assert_eq!(read(&dir.path().join("access.log.1")), "line4\n");
        assert_eq!(read(&dir.path().join("access.log.2")), "line3\n");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
        drop(file);
        let mut file = RotatingFile::open(&path, 100, 2).unwrap();
        file.append(b"more\n").unwrap();
        assert_eq!(read(&path), "line5\nmore\n");
    }
}
