//! A body that is a range of one sealed file, or of several in a row, in pieces.
//!
//! For the kernel: slices of the map, each known to be in the page cache before it is handed out. For user space:
//! buffers filled by `preadv2(RWF_NOWAIT)`. What is cold is read by a blocking thread first.

use std::ops::Range;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::base::error::{Error, Result};
use crate::base::mapped_file::MappedFile;
use crate::files::open::{Files, OpenFile, unreadable};
use crate::files::sys;

/// One slice of a map: an object of 1 MiB goes out whole, and asking `mincore` about it (512 pages) costs little.
const SLICE: u64 = 2 * 1024 * 1024;
/// One buffer: stays in the CPU's cache until TLS has encrypted it.
const BUFFER: usize = 256 * 1024 - sys::LEAD;
/// Less than that is not worth a read.
const LEAST: usize = 512;

/// A range of one file.
#[derive(Debug, Clone)]
pub struct Span {
    pub id: u64,
    pub path: PathBuf,
    /// Of the whole file, checked when it is opened.
    pub file_len: u64,
    pub range: Range<u64>,
}

pub struct FileBody {
    files: Arc<Files>,
    spans: std::vec::IntoIter<Span>,
    current: Option<(Arc<OpenFile>, Range<u64>)>,
    /// Only the kernel will touch the bytes.
    mapped: bool,
    /// The most that a buffer may hold.
    buffer: usize,
    remaining: u64,
    state: State,
}

enum State {
    Ready,
    Opening(JoinHandle<Result<Option<Arc<OpenFile>>>>, Range<u64>),
    /// The slice at hand is being read into the page cache.
    Warming(JoinHandle<std::io::Result<()>>, u64),
    /// So much of it.
    Reading(JoinHandle<std::io::Result<Bytes>>, usize),
    Failed,
}

/// A slice of a map, which it keeps alive. Made only of files that have one.
struct Slice {
    file: Arc<OpenFile>,
    range: Range<usize>,
}

impl AsRef<[u8]> for Slice {
    fn as_ref(&self) -> &[u8] {
        self.file.map().and_then(|m| m.bytes().get(self.range.clone())).unwrap_or_default()
    }
}

impl FileBody {
    /// `first` is the first span's file where it is open already.
    pub fn new(files: Arc<Files>, spans: Vec<Span>, first: Option<Arc<OpenFile>>, mapped: bool) -> Self {
        let remaining = spans.iter().map(|s| s.range.end - s.range.start).sum();
        let mut spans = spans.into_iter();
        let current = first.and_then(|file| spans.next().map(|s| (file, s.range)));
        FileBody { files, spans, current, mapped, buffer: BUFFER, remaining, state: State::Ready }
    }

    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Bounds the buffers that are read from now on.
    pub fn at_most(&mut self, bytes: usize) {
        self.buffer = bytes.saturating_sub(sys::LEAD).clamp(LEAST, BUFFER);
    }

    /// Memory for what is being read.
    pub fn at_hand(&self) -> usize {
        if let State::Reading(_, len) = &self.state { *len } else { 0 }
    }

    /// The file that the piece which came last is a slice of.
    pub fn mapped(&self) -> Option<MappedFile> {
        let (file, _) = self.current.as_ref().filter(|_| self.mapped)?;
        Some(MappedFile::new(file.clone(), file.map()?.bytes()))
    }

    pub fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let polled = ready!(self.poll_piece(cx));
        Poll::Ready(match polled {
            Ok(Some(piece)) => {
                self.remaining -= piece.len() as u64;
                Some(Ok(piece))
            }
            Ok(None) => None,
            Err(e) => {
                self.state = State::Failed;
                Some(Err(e))
            }
        })
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        loop {
            match &mut self.state {
                State::Failed => return Poll::Ready(Err(Error::internal("the body failed before"))),
                State::Opening(task, range) => {
                    let opened = ready!(Pin::new(task).poll(cx)).map_err(Error::internal)??;
                    let file = opened.ok_or_else(|| unreadable(std::io::ErrorKind::NotFound.into()))?;
                    self.current = Some((file, range.clone()));
                    self.state = State::Ready;
                }
                State::Warming(task, len) => {
                    let len = *len;
                    ready!(Pin::new(task).poll(cx)).map_err(Error::internal)?.map_err(unreadable)?;
                    self.state = State::Ready;
                    return Poll::Ready(self.take_slice(len).map(Some));
                }
                State::Reading(task, _) => {
                    let read = ready!(Pin::new(task).poll(cx)).map_err(Error::internal)?.map_err(unreadable)?;
                    self.state = State::Ready;
                    return Poll::Ready(Ok(Some(self.take_read(read))));
                }
                State::Ready => {
                    if self.remaining == 0 {
                        return Poll::Ready(Ok(None));
                    }
                    if let Some(piece) = self.next_piece()? {
                        return Poll::Ready(Ok(Some(piece)));
                    }
                }
            }
        }
    }

    /// A piece that is at hand. None: something was started, see `state`.
    fn next_piece(&mut self) -> Result<Option<Bytes>> {
        let Some((file, range)) = self.current.as_ref().filter(|(_, range)| !range.is_empty()) else {
            self.next_span()?;
            return Ok(None);
        };
        let left = range.end - range.start;
        if self.mapped
            && let Some(map) = file.map()
        {
            let len = left.min(SLICE);
            let (start, size) = (range.start as usize, len as usize);
            if map.is_resident(start, size) {
                return self.take_slice(len).map(Some);
            }
            let file = file.clone();
            self.state = State::Warming(
                spawn_blocking(move || {
                    let Some(map) = file.map() else { return Err(std::io::ErrorKind::NotFound.into()) };
                    // The disk reads on while this slice is sent.
                    map.will_need(start + size, SLICE as usize);
                    match map.populate(start, size) {
                        // Kernels before 5.14 don't know the advice: reading the file fills the same pages.
                        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => sys::read_exact(&file.file, size, start as u64).map(drop),
                        answer => answer,
                    }
                }),
                len,
            );
            return Ok(None);
        }
        let len = left.min(self.buffer as u64) as usize;
        match sys::read_resident(&file.file, len, range.start) {
            Ok(read) if !read.is_empty() => return Ok(Some(self.take_read(read))),
            Ok(_) => return Err(unreadable(std::io::ErrorKind::UnexpectedEof.into())),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(unreadable(e)),
        }
        let (file, start) = (file.clone(), range.start);
        self.state = State::Reading(spawn_blocking(move || sys::read_exact(&file.file, len, start)), len);
        Ok(None)
    }

    fn next_span(&mut self) -> Result<()> {
        let span = self.spans.next().ok_or_else(|| Error::internal("a body is shorter than its spans"))?;
        if let Some(file) = self.files.get(span.id) {
            self.current = Some((file, span.range));
            return Ok(());
        }
        let files = self.files.clone();
        let range = span.range.clone();
        self.state = State::Opening(spawn_blocking(move || files.open(span.id, &span.path, span.file_len)), range);
        Ok(())
    }

    fn take_slice(&mut self, len: u64) -> Result<Bytes> {
        let Some((file, range)) = &mut self.current else { return Err(Error::internal("no file is open")) };
        let slice = Slice { file: file.clone(), range: range.start as usize..(range.start + len) as usize };
        range.start += len;
        Ok(Bytes::from_owner(slice))
    }

    fn take_read(&mut self, read: Bytes) -> Bytes {
        if let Some((_, range)) = &mut self.current {
            range.start += read.len() as u64;
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    async fn collect(mut body: FileBody) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        while let Some(piece) = poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await {
            out.extend_from_slice(&piece?);
        }
        assert_eq!(body.remaining(), 0);
        Ok(out)
    }

    #[tokio::test]
    async fn several_files_are_one_body_both_ways() {
        let dir = tempfile::tempdir().unwrap();
        let files = Arc::new(Files::new(&Settings { open_files: 2 }));
        let (mut spans, mut whole) = (Vec::new(), Vec::new());
        for (id, len) in [(1u64, 3_000_000u64), (2, 0), (3, 1), (4, 700_000)] {
            let data: Vec<u8> = (0..len).map(|i| (i.wrapping_mul(id + 6) >> 3) as u8).collect();
            let path = dir.path().join(id.to_string());
            std::fs::write(&path, &data).unwrap();
            spans.push(Span { id, path, file_len: len, range: 0..len });
            whole.extend_from_slice(&data);
        }
        for mapped in [true, false] {
            assert_eq!(collect(FileBody::new(files.clone(), spans.clone(), None, mapped)).await.unwrap(), whole);
            let mut part = vec![spans[0].clone()];
            part[0].range = 2_999_990..2_999_995;
            assert_eq!(collect(FileBody::new(files.clone(), part, files.get(1), mapped)).await.unwrap(), whole[2_999_990..2_999_995]);
        }
    }

    #[tokio::test]
    async fn a_shorter_file_is_an_error_and_an_unlinked_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let files = Arc::new(Files::new(&Settings::default()));
        let path = dir.path().join("f");
        std::fs::write(&path, b"hello").unwrap();
        let span = |file_len| Span { id: 1, path: path.clone(), file_len, range: 0..5 };
        assert!(collect(FileBody::new(files.clone(), vec![span(6)], None, true)).await.is_err());
        let open = files.open(1, &path, 5).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(collect(FileBody::new(files.clone(), vec![span(5)], open, true)).await.unwrap(), b"hello");
        files.forget(1);
        assert!(collect(FileBody::new(files, vec![span(5)], None, true)).await.is_err());
    }

    use crate::files::open::Settings;
}
