//! The system calls that std has no safe form of, each wrapped so that it can't be misused from outside.

#![allow(unsafe_code, reason = "system calls that std has no safe form of")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

use bytes::Bytes;

/// From now on nothing that this process makes can be opened by others on the machine, whatever mode a library asks for.
pub fn make_files_private() {
    // SAFETY: it only replaces a number of the process, and can't fail.
    unsafe { libc::umask(0o077) };
}

/// A whole file, mapped read-only and shared.
pub struct Map(memmap2::Mmap);

impl Map {
    /// The file must be sealed: nobody writes or cuts it from now on.
    pub fn new(file: &File) -> io::Result<Map> {
        // SAFETY: our files are immutable once they have their final name, and are only ever unlinked; nothing in this
        // program reads through the map, it is only passed to system calls, which answer EFAULT where a page is gone.
        unsafe { memmap2::Mmap::map(file) }.map(Map)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether every page of the range is in the page cache. A "no" may be wrong a moment later, and so may a "yes":
    /// then the reader waits for the disk once.
    pub fn is_resident(&self, start: usize, len: usize) -> bool {
        let Some((address, len)) = self.pages(start, len) else { return false };
        let mut answers = [0u8; 1024];
        let (mut address, mut left) = (address, len.div_ceil(PAGE));
        while left > 0 {
            let count = left.min(answers.len());
            // SAFETY: the range lies inside the map (`pages` checked), and `answers` has room for one byte per page.
            if unsafe { libc::mincore(address as *mut libc::c_void, count * PAGE, answers.as_mut_ptr()) } != 0 {
                return false;
            }
            if answers.iter().take(count).any(|a| a & 1 == 0) {
                return false;
            }
            address += count * PAGE;
            left -= count;
        }
        true
    }

    /// Reads the range into the page cache. Blocks; an error of the disk is an error here.
    pub fn populate(&self, start: usize, len: usize) -> io::Result<()> {
        self.advise(start, len, libc::MADV_POPULATE_READ)
    }

    /// Asks the kernel to read the range soon. Does not block.
    pub fn will_need(&self, start: usize, len: usize) {
        let len = len.min(self.0.len().saturating_sub(start));
        let _ = self.advise(start, len, libc::MADV_WILLNEED);
    }

    fn advise(&self, start: usize, len: usize, advice: libc::c_int) -> io::Result<()> {
        let Some((address, len)) = self.pages(start, len) else { return Ok(()) };
        // SAFETY: the range lies inside the map, and neither advice changes what is mapped.
        match unsafe { libc::madvise(address as *mut libc::c_void, len, advice) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The address of the page where the range begins, and the bytes from there. None: empty, or not inside the map.
    fn pages(&self, start: usize, len: usize) -> Option<(usize, usize)> {
        let end = start.checked_add(len)?;
        if len == 0 || end > self.0.len() {
            return None;
        }
        let aligned = start & !(PAGE - 1);
        Some((self.0.as_ptr() as usize + aligned, end - aligned))
    }
}

/// What `mincore` counts in. Larger pages (some ARM kernels) make it answer EINVAL, and all is read as if cold.
const PAGE: usize = 4096;

/// What is read begins so far behind the start of its buffer, and large buffers begin where a page does. TLS copies record by record to
/// a place just behind a page's start: there is a header before it. From one page's start to just behind another's, the `rep movsb` of
/// AMD's processors takes seven times as long as otherwise (glibc bug 30994), which was a third of all CPU time of large answers.
pub const LEAD: usize = 64;

fn buffer(len: usize) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(LEAD + len);
    buffer.resize(LEAD, 0);
    buffer
}

/// Reads up to `len` bytes at `offset`, only what is in the page cache. `WouldBlock`: the disk would be asked, or the file system can't
/// tell.
pub fn read_resident(file: &File, len: usize, offset: u64) -> io::Result<Bytes> {
    let mut out = buffer(len);
    let iov = libc::iovec { iov_base: out.spare_capacity_mut().as_mut_ptr().cast(), iov_len: len };
    // SAFETY: `out` has room for `len` bytes more, and the kernel writes no more than it answers.
    let n = unsafe { libc::preadv2(file.as_raw_fd(), &iov, 1, offset as libc::off_t, libc::RWF_NOWAIT) };
    if n < 0 {
        let e = io::Error::last_os_error();
        // Not every file system knows the flag.
        let unknown = matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EINVAL | libc::ENOSYS));
        return Err(if unknown { io::ErrorKind::WouldBlock.into() } else { e });
    }
    // SAFETY: the kernel wrote `n` bytes more.
    unsafe { out.set_len(LEAD + n as usize) };
    Ok(Bytes::from(out).slice(LEAD..))
}

/// Reads exactly `len` bytes into memory that is not zeroed first. Blocks.
pub fn read_exact(file: &File, len: usize, offset: u64) -> io::Result<Bytes> {
    let mut out = buffer(len);
    let mut filled = 0;
    while filled < len {
        let spare = out.spare_capacity_mut();
        let want = spare.len().min(len - filled);
        // SAFETY: `spare` is memory of our own of at least `want` bytes, and the kernel writes no more than it answers.
        let n = unsafe { libc::pread(file.as_raw_fd(), spare.as_mut_ptr().cast(), want, (offset + filled as u64) as libc::off_t) };
        match n {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n if n > 0 => {
                filled += n as usize;
                // SAFETY: the kernel wrote `n` bytes more.
                unsafe { out.set_len(LEAD + filled) };
            }
            _ => {
                let e = io::Error::last_os_error();
                if e.kind() != io::ErrorKind::Interrupted {
                    return Err(e);
                }
            }
        }
    }
    Ok(Bytes::from(out).slice(LEAD..))
}

/// Free bytes of the file system, for an ordinary user.
pub fn free_bytes(fd: RawFd) -> io::Result<u64> {
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the kernel fills the struct where it answers 0.
    if unsafe { libc::fstatvfs(fd, stat.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above.
    let stat = unsafe { stat.assume_init() };
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The calling thread gives way to others from now on. Where that is refused, it goes on as it is.
pub fn lower_priority() {
    // SAFETY: a plain system call without pointers; on Linux process 0 is the calling thread.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 10) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn reads_and_maps_what_is_there() {
        let mut file = tempfile::tempfile().unwrap();
        let data: Vec<u8> = (0..100_000u32).map(|i| i as u8).collect();
        file.write_all(&data).unwrap();
        assert_eq!(read_exact(&file, 5000, 90_000).unwrap(), data[90_000..95_000]);
        assert!(read_exact(&file, 0, 0).unwrap().is_empty());
        assert_eq!(read_exact(&file, 2, 99_999).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        match read_resident(&file, 200_000, 10) {
            Ok(read) => assert_eq!(read, data[10..10 + read.len()]),
            Err(e) => assert_eq!(e.kind(), io::ErrorKind::WouldBlock),
        }
        let map = Map::new(&file).unwrap();
        map.populate(4097, 50_000).unwrap();
        assert!(map.is_resident(4097, 50_000));
        assert!(!map.is_resident(99_999, 2), "beyond the end");
        assert_eq!(map.bytes(), data);
        assert!(free_bytes(file.as_raw_fd()).unwrap() > 0);
    }
}
