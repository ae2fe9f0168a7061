//! An append-only file that is renamed away when it is full: `access.log`, `access.log.1`, … up to a number kept.
//!
//! Called by the access log's thread only. Limits: size of one file and number of files, so the space is bounded.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::line_log::Append;
use crate::private;

#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    file: File,
    len: u64,
    max_bytes: u64,
    keep: u32,
}

impl RotatingFile {
    /// Continues the file that is there, and closes it and the full ones to others. `keep` counts the files besides the current one.
    pub fn start(path: &Path, max_bytes: u64, keep: u32) -> io::Result<Self> {
        let log = Self::open(path, max_bytes, keep)?;
        let names = (1..=keep).map(|n| log.numbered(n)).chain([path.to_owned()]);
        let closed = names.map(|name| private::tighten(&name)).sum::<io::Result<usize>>()?;
        if closed > 0 {
            tracing::warn!(files = closed, log = %path.display(), "others on this machine could read the log: its files are private now");
        }
        Ok(log)
    }

    fn open(path: &Path, max_bytes: u64, keep: u32) -> io::Result<Self> {
        let file = private::options().create(true).append(true).open(path)?;
        let len = file.metadata()?.len();
        Ok(RotatingFile { path: path.to_owned(), file, len, max_bytes, keep })
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

impl Append for RotatingFile {
    /// `lines` end up in one file: it is rotated before them, never inside.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.len > 0 && self.len + lines.len() as u64 > self.max_bytes {
            self.rotate()?;
        }
        self.file.write_all(lines)?;
        self.len += lines.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn keeps_a_bounded_number_of_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let mut file = RotatingFile::start(&path, 10, 2).unwrap();
        for i in 0..6 {
            file.append(format!("line{i}\n").as_bytes()).unwrap();
        }
        let read = |p: &Path| std::fs::read_to_string(p).unwrap();
        assert_eq!(read(&path), "line5\n");
        assert_eq!(read(&dir.path().join("access.log.1")), "line4\n");
        assert_eq!(read(&dir.path().join("access.log.2")), "line3\n");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
        drop(file);
        let names = ["access.log", "access.log.1", "access.log.2"].map(|name| dir.path().join(name));
        let modes = || names.clone().map(|p| p.metadata().unwrap().permissions().mode() & 0o777);
        assert_eq!(modes(), [0o600; 3]);
        // As an older version left them.
        names.iter().for_each(|p| std::fs::set_permissions(p, std::fs::Permissions::from_mode(0o644)).unwrap());
        let mut file = RotatingFile::start(&path, 100, 2).unwrap();
        file.append(b"more\n").unwrap();
        assert_eq!(read(&path), "line5\nmore\n");
        assert_eq!(modes(), [0o600; 3]);
    }
}
