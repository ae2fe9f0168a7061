//! The folder of kept variants: `variants/<scope>/ab/<content>.<form>`, and what is being made in `variants/.making/`.
//!
//! All of it is derived and may be deleted at any time. A file gets its name when it is complete; what a power failure or
//! a stranger left of it is found out by its checksums, and any doubt is a miss. Nothing is synced: nobody waits for it.
//! Invariants: a file is only found under the name of its content and form; the folder stays inside its limit, as far as
//! one variant can tell; the oldest by last use go first.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};

use crate::private::{self, make_dir};
use crate::variants::key::Key;

/// Before the body: magic, kind, lengths, the body's checksum, the checksum of all that and of the file's name.
pub const HEADER: u64 = 64;
const MAGIC: &[u8; 8] = b"TGVAR\0\0\x01";
const MAKING: &str = ".making";
const CHECKSUM: CrcAlgorithm = CrcAlgorithm::Crc64Nvme;
/// Small files cost a block of the disk.
const BLOCK: u64 = 4096;
/// Down to this percentage of the limit: the folder is walked seldom.
const SWEPT: u64 = 90;
/// Ages are told apart by the hour, up to a quarter of a year.
const AGES: usize = 24 * 91;

#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    limit: u64,
    /// Other files of the same disk shall have this much.
    reserve: u64,
    used: AtomicU64,
    next: AtomicU64,
}

/// What the folder knows of a variant.
#[derive(Debug)]
pub enum Kept {
    Nothing,
    /// It was tried, and is not to be.
    Never,
    Small(Bytes),
    /// Read through and proven, or not yet.
    File {
        path: PathBuf,
        size: u64,
    },
    Unproven,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    never: bool,
    size: u64,
    checksum: u64,
}

impl Header {
    fn encode(&self, name: &str) -> [u8; HEADER as usize] {
        let mut out = [0; HEADER as usize];
        let fields = [u64::from_le_bytes(*MAGIC), u64::from(self.never), self.size, self.checksum];
        for (to, field) in out.chunks_exact_mut(8).zip(fields) {
            to.copy_from_slice(&field.to_le_bytes());
        }
        let seal = seal(&out, name).to_le_bytes();
        if let Some(end) = out.last_chunk_mut::<8>() {
            *end = seal;
        }
        out
    }

    /// None: not one of ours, or not under its own name.
    fn decode(bytes: &[u8; HEADER as usize], name: &str) -> Option<Self> {
        let mut fields = bytes.chunks_exact(8).filter_map(|c| Some(u64::from_le_bytes(c.try_into().ok()?)));
        let (magic, never, size, checksum) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let sealed = bytes.last_chunk::<8>() == Some(&seal(bytes, name).to_le_bytes());
        (magic.to_le_bytes() == *MAGIC && sealed && never <= 1).then_some(Header { never: never == 1, size, checksum })
    }
}

fn seal(header: &[u8; HEADER as usize], name: &str) -> u64 {
    let mut digest = Digest::new(CHECKSUM);
    digest.update(header.get(..header.len() - 8).unwrap_or_default());
    digest.update(name.as_bytes());
    digest.finalize()
}

/// A variant on its way into the folder. Dropped before it is kept, it leaves nothing behind.
pub struct Making {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    size: u64,
    checksum: Digest,
}

impl Write for Making {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let file = self.file.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let written = file.write(bytes)?;
        self.size += written as u64;
        self.checksum.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Folder {
    pub fn new(root: PathBuf, limit: u64, reserve: u64) -> Self {
        Folder { root, limit, reserve, used: AtomicU64::new(0), next: AtomicU64::new(1) }
    }

    /// Nothing is kept.
    pub fn is_off(&self) -> bool {
        self.limit == 0
    }

    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// A number for a file that is to be opened: used once.
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// What an earlier run left half made goes; what it left complete is counted. Blocks.
    pub fn start(&self) {
        let _ = std::fs::remove_dir_all(self.root.join(MAKING));
        let mut used = 0;
        self.each_file(&mut |_, cost, _| used += cost);
        self.used.fetch_add(used, Ordering::Relaxed);
    }

    /// Blocks. Bodies up to `small` are read and proven at once; larger ones when `prove` says so.
    pub fn find(&self, key: &Key, small: u64, prove: bool) -> Kept {
        if self.is_off() {
            return Kept::Nothing;
        }
        let path = self.path(key);
        match read(&path, small, prove) {
            Ok(found) => found,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Kept::Nothing,
            Err(e) => {
                tracing::warn!(error = %e, "a kept variant is of no use and will be made anew");
                self.remove(&path);
                Kept::Nothing
            }
        }
    }

    /// Blocks. Fails where the disk would get too full.
    pub fn begin(&self, expected: u64) -> io::Result<Making> {
        let making = self.root.join(MAKING);
        make_dir(&making)?;
        let free = crate::files::sys::free_bytes(std::os::fd::AsRawFd::as_raw_fd(&File::open(&making)?))?;
        if free < self.reserve.saturating_add(expected) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let path = making.join(self.number().to_string());
        let mut file = private::create(&path)?;
        file.write_all(&[0; HEADER as usize])?;
        Ok(Making { path, file: Some(BufWriter::with_capacity(256 * 1024, file)), size: 0, checksum: Digest::new(CHECKSUM) })
    }

    /// It is complete, and gets its name. Blocks.
    pub fn keep(&self, mut making: Making, key: &Key) -> io::Result<(PathBuf, u64)> {
        let header = Header { never: false, size: making.size, checksum: making.checksum.finalize() };
        self.name(&mut making, key, header).map(|path| (path, header.size))
    }

    /// That it is not to be made is kept too: finding out costs as much as making it. Blocks.
    pub fn keep_never(&self, key: &Key) -> io::Result<()> {
        let mut making = self.begin(0)?;
        self.name(&mut making, key, Header { never: true, size: 0, checksum: 0 }).map(drop)
    }

    fn name(&self, making: &mut Making, key: &Key, header: Header) -> io::Result<PathBuf> {
        let path = self.path(key);
        let file = making.file.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        file.flush()?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&header.encode(&key.file_name()))?;
        file.flush()?;
        if let Some(parent) = path.parent() {
            make_dir(parent)?;
        }
        let replaced = std::fs::metadata(&path).map_or(0, |m| cost(m.len()));
        std::fs::rename(&making.path, &path)?;
        making.file = None;
        self.used.fetch_add(cost(HEADER + header.size), Ordering::Relaxed);
        self.less(replaced);
        Ok(path)
    }

    /// It was used: it is not the oldest any more. False: it is gone. Blocks.
    pub fn touch(&self, path: &Path) -> bool {
        match File::options().write(true).open(path).and_then(|f| f.set_modified(SystemTime::now())) {
            Ok(()) => true,
            Err(e) => e.kind() != io::ErrorKind::NotFound,
        }
    }

    /// Brings the folder back inside its limit. How many files went. Blocks.
    pub fn sweep(&self) -> u64 {
        if self.used() <= self.limit {
            return 0;
        }
        // Counted anew: somebody may have deleted files.
        let mut by_age = vec![0u64; AGES];
        let mut used = 0;
        self.each_file(&mut |_, cost, age| {
            used += cost;
            if let Some(bytes) = by_age.get_mut(age) {
                *bytes += cost;
            }
        });
        let mut surplus = used.saturating_sub(self.limit / 100 * SWEPT);
        self.used.store(used, Ordering::Relaxed);
        if used <= self.limit {
            return 0;
        }
        // The youngest age of which something has to go.
        let mut older = 0;
        let cut = by_age.iter().enumerate().rev().find(|(_, bytes)| {
            older += **bytes;
            older >= surplus
        });
        let cut = cut.map_or(0, |(age, _)| age);
        let mut gone = 0;
        self.each_file(&mut |path, cost, age| {
            if age >= cut && surplus > 0 && self.remove(path) {
                surplus = surplus.saturating_sub(cost);
                gone += 1;
            }
        });
        gone
    }

    fn remove(&self, path: &Path) -> bool {
        let size = std::fs::metadata(path).map_or(0, |m| m.len());
        let removed = std::fs::remove_file(path).is_ok();
        if removed {
            self.less(cost(size));
        }
        removed
    }

    fn less(&self, bytes: u64) {
        let _ = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| Some(used.saturating_sub(bytes)));
    }

    pub fn path(&self, key: &Key) -> PathBuf {
        let name = key.file_name();
        let mut path = self.root.join(key.scope.as_str());
        path.push(name.get(..2).unwrap_or_default());
        path.push(name);
        path
    }

    /// Every kept file with its cost and its age in hours. What goes away meanwhile is passed over.
    fn each_file(&self, see: &mut dyn FnMut(&Path, u64, usize)) {
        let now = SystemTime::now();
        let list = |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect::<Vec<_>>();
        for scope in list(&self.root).into_iter().filter(|p| !p.ends_with(MAKING)) {
            for dir in list(&scope) {
                for file in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                    let Ok(metadata) = file.metadata() else { continue };
                    let age = metadata.modified().ok().and_then(|m| now.duration_since(m).ok()).unwrap_or(Duration::ZERO);
                    let hours = usize::try_from(age.as_secs() / 3600).unwrap_or(AGES).min(AGES - 1);
                    see(&file.path(), cost(metadata.len()), hours);
                }
            }
        }
    }
}

fn cost(len: u64) -> u64 {
    len.div_ceil(BLOCK) * BLOCK
}

fn read(path: &Path, small: u64, prove: bool) -> io::Result<Kept> {
    let mut file = File::open(path)?;
    let mut bytes = [0; HEADER as usize];
    file.read_exact(&mut bytes)?;
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a variant's file is damaged");
    let header = Header::decode(&bytes, name).ok_or_else(damaged)?;
    if file.metadata()?.len() != HEADER + header.size {
        return Err(damaged());
    }
    if header.never {
        return Ok(Kept::Never);
    }
    if header.size <= small {
        let body = crate::files::sys::read_exact(&file, header.size as usize, HEADER)?;
        return if crc_fast::checksum(CHECKSUM, &body) == header.checksum { Ok(Kept::Small(body)) } else { Err(damaged()) };
    }
    if !prove {
        return Ok(Kept::Unproven);
    }
    let mut digest = Digest::new(CHECKSUM);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => digest.update(buffer.get(..n).unwrap_or_default()),
        }
    }
    match digest.finalize() == header.checksum {
        true => Ok(Kept::File { path: path.to_owned(), size: header.size }),
        false => Err(damaged()),
    }
}
