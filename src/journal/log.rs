//! The log as its one writer sees it: recovered at start, appended to batch by batch, sealed and rolled.
//!
//! Called by `local`'s writer thread alone; nothing here is shared. Readers of sealed segments use `segment` by themselves.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::base::error::{Error, ErrorKind, Result};
use crate::journal::format::{
    ALIGN, BATCH_HEADER, BatchHeader, LogId, MAX_SECTION, Previous, SEGMENT_HEADER, SegmentHeader, chained, crc32c,
};
use crate::journal::segment::{self, Sealed, Tail};
use crate::journal::{ContentAt, Position, Settings, Step, sorted};
use crate::private;

/// New files tried for one batch before its writers are told.
const TRIES: usize = 3;
/// Files of failed tries that are remembered; the next start finds them all.
const MAX_ABANDONED: usize = 1000;

pub struct Journal {
    settings: Settings,
    log: LogId,
    current: Option<Current>,
    /// The end of the log where no segment is open: what the next segment's header records.
    tail: Option<Previous>,
    next_number: u64,
    next_sequence: u64,
    /// Segments that a replay after the snapshot needs, without the current one.
    sealed: Vec<Sealed>,
    snapshot: Option<Snapshot>,
    /// Files of failed tries: removed once a segment that passes them over is proven.
    abandoned: Vec<PathBuf>,
    buffer: Vec<u8>,
}

struct Current {
    number: u64,
    file: File,
    /// All of it is durable.
    len: u64,
    chain: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub path: PathBuf,
    pub stamp: sorted::Stamp,
    pub entries: u64,
    pub bytes: u64,
}

/// What start-up found: enough to replay from the snapshot, or from anywhere after it.
#[derive(Debug, Clone)]
pub struct Recovered {
    pub log: LogId,
    pub snapshot: Option<Snapshot>,
    /// In order; the last one ends where the log ends.
    pub segments: Vec<Sealed>,
    pub end: Position,
    pub next_sequence: u64,
    /// Bytes of an unacknowledged batch that were left behind.
    pub cut: u64,
}

impl Journal {
    /// Recovers the log in the folder (made if missing). Nothing is changed but leftovers removed: the log goes on in a
    /// new segment, whose header says how far this one is valid.
    pub fn open(settings: Settings) -> Result<(Journal, Recovered)> {
        private::make_dir(&settings.dir).map_err(Error::internal)?;
        let recovered = recover(&settings.dir)?;
        let head = recovered.segments.last().map(|s| s.number);
        let tail = match &recovered.tail {
            Some((header, tail)) => {
                // Adopted as part of the log, so it must be durable: a killed process may have left it in the page cache.
                let file = File::open(segment::path(&settings.dir, header.number)).map_err(Error::internal)?;
                file.sync_all().map_err(Error::internal)?;
                Some(Previous { number: header.number, valid_len: tail.valid_len, chain: tail.chain })
            }
            // All segments after the snapshot are gone or were never made: the log goes on from what it stands for.
            None => recovered.snapshot.as_ref().map(|s| Previous { number: s.stamp.upto, valid_len: 0, chain: 0 }),
        };
        sync_dir(&settings.dir).map_err(Error::internal)?;
        let stamp = recovered.snapshot.as_ref().map(|s| s.stamp);
        let next_sequence = recovered.tail.as_ref().map(|(_, t)| t.next_sequence).or(stamp.map(|s| s.next_sequence)).unwrap_or(1);
        let answer = Recovered {
            log: recovered.log,
            snapshot: recovered.snapshot.clone(),
            segments: recovered.segments.clone(),
            end: tail.map_or(Position::default(), |t| Position { segment: t.number, offset: t.valid_len }),
            next_sequence,
            cut: recovered.tail.as_ref().map_or(0, |(_, t)| t.cut),
        };
        let journal = Journal {
            log: recovered.log,
            current: None,
            tail,
            next_number: head.unwrap_or(0).max(stamp.map_or(0, |s| s.upto)).max(recovered.highest) + 1,
            next_sequence,
            sealed: recovered.segments,
            snapshot: recovered.snapshot,
            abandoned: recovered.leftovers,
            buffer: Vec::new(),
            settings,
        };
        Ok((journal, answer))
    }

    pub fn log_id(&self) -> LogId {
        self.log
    }

    /// The number of the next batch. A batch that failed gives its number back.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// The end of the log: everything below is durable.
    pub fn end(&self) -> Position {
        match (&self.current, &self.tail) {
            (Some(c), _) => Position { segment: c.number, offset: c.len },
            (None, Some(t)) => Position { segment: t.number, offset: t.valid_len },
            (None, None) => Position::default(),
        }
    }

    /// Segments to be replayed after the snapshot, in order; the current one with what is durable of it.
    pub fn segments(&self) -> Vec<Sealed> {
        let mut all = self.sealed.clone();
        all.extend(self.current.as_ref().map(|c| Sealed { number: c.number, valid_len: c.len }));
        all
    }

    pub fn sealed(&self) -> &[Sealed] {
        &self.sealed
    }

    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    pub fn dir(&self) -> &Path {
        &self.settings.dir
    }

    /// Writes one batch and makes it durable. `encode` turns the places of the bodies into the operations' bytes; it is
    /// called again where the batch has to move to another file.
    pub fn append(&mut self, contents: &[Bytes], encode: &mut dyn FnMut(&[ContentAt]) -> Result<Vec<u8>>) -> Result<Position> {
        let mut last = None;
        for _ in 0..TRIES {
            match self.try_append(contents, encode) {
                Ok(position) => {
                    self.after_success();
                    return Ok(position);
                }
                Err(Failure::Disk(e)) => {
                    tracing::warn!(error = %e, "a journal write failed; the segment is left and the batch tried in a new file");
                    last = Some(e);
                }
                Err(Failure::Ours(e)) => return Err(e),
            }
        }
        Err(disk_error(last.unwrap_or_else(|| io::Error::other("no try was made"))))
    }

    fn after_success(&mut self) {
        // A leftover does no harm, since no header leads to it; it is tried again after the next batch.
        self.abandoned.retain(|path| remove_if_there(path).is_err());
        if self.current.as_ref().is_some_and(|c| c.len >= self.settings.segment_bytes) {
            self.roll();
        }
    }

    /// Ends the current segment; the next batch starts another.
    pub fn roll(&mut self) {
        let Some(current) = self.current.take() else { return };
        self.sealed.push(Sealed { number: current.number, valid_len: current.len });
        self.tail = Some(Previous { number: current.number, valid_len: current.len, chain: current.chain });
    }

    /// A snapshot stands for the segments up to its stamp: they are no longer replayed.
    pub fn install(&mut self, snapshot: Snapshot) {
        self.sealed.retain(|s| s.number > snapshot.stamp.upto);
        self.snapshot = Some(snapshot);
    }

    fn try_append(&mut self, contents: &[Bytes], encode: &mut dyn FnMut(&[ContentAt]) -> Result<Vec<u8>>) -> Result<Position, Failure> {
        let mut current = match self.current.take() {
            Some(c) => c,
            None => self.create_segment()?,
        };
        let had_batches = current.len > SEGMENT_HEADER as u64;
        let header = match self.fill_buffer(&current, contents, encode) {
            Ok(h) => h,
            Err(e) => {
                self.current = Some(current);
                return Err(Failure::Ours(e));
            }
        };
        let written = self
            .fault(Step::Write)
            .and_then(|()| current.file.write_all_at(&self.buffer, current.len))
            .and_then(|()| self.fault(Step::Sync))
            .and_then(|()| current.file.sync_data());
        // One huge batch must not hold its memory for ever.
        self.buffer.clear();
        self.buffer.shrink_to(16 * 1024 * 1024);
        if let Err(e) = written {
            if had_batches {
                self.current = Some(current);
                self.roll();
            } else if self.abandoned.len() < MAX_ABANDONED {
                self.abandoned.push(segment::path(&self.settings.dir, current.number));
            }
            return Err(Failure::Disk(e));
        }
        current.len += header.total_len();
        current.chain = chained(current.chain, &header);
        let position = Position { segment: current.number, offset: current.len };
        self.current = Some(current);
        self.next_sequence += 1;
        Ok(position)
    }

    /// Lays the whole batch out in `self.buffer`: header, bodies, operations, padding.
    fn fill_buffer(
        &mut self,
        current: &Current,
        contents: &[Bytes],
        encode: &mut dyn FnMut(&[ContentAt]) -> Result<Vec<u8>>,
    ) -> Result<BatchHeader> {
        let too_long = || Error::internal("a journal batch is longer than its format allows");
        self.buffer.clear();
        self.buffer.resize(BATCH_HEADER, 0);
        let mut places = Vec::with_capacity(contents.len());
        for content in contents {
            let len = u32::try_from(content.len()).map_err(|_| too_long())?;
            let offset = current.len + self.buffer.len() as u64;
            places.push(ContentAt { segment: current.number, offset, len, crc: crc32c(content) });
            self.buffer.extend_from_slice(content);
        }
        let content_len = self.buffer.len() - BATCH_HEADER;
        self.buffer.extend_from_slice(&encode(&places)?);
        let ops_len = self.buffer.len() - BATCH_HEADER - content_len;
        let section = |len: usize| u32::try_from(len).ok().filter(|l| *l <= MAX_SECTION).ok_or_else(too_long);
        let (content, ops) = self.buffer[BATCH_HEADER..].split_at(content_len);
        let mut header = BatchHeader {
            sequence: self.next_sequence,
            offset: current.len,
            durable: current.len,
            content_len: section(content_len)?,
            ops_len: section(ops_len)?,
            content_crc: crc32c(content),
            ops_crc: crc32c(ops),
            crc: 0,
        };
        let head = header.encode(&self.log, current.number);
        self.buffer[..BATCH_HEADER].copy_from_slice(&head);
        self.buffer.resize(self.buffer.len().next_multiple_of(ALIGN as usize), 0);
        Ok(header)
    }

    /// A new file, proven by an fsync of itself and of the folder before anything is written into it.
    fn create_segment(&mut self) -> Result<Current, Failure> {
        let number = self.next_number;
        // A number is used once, also when the file could not be made: the disk may have kept some of it.
        self.next_number += 1;
        let path = segment::path(&self.settings.dir, number);
        let header = SegmentHeader { log: self.log, number, first_sequence: self.next_sequence, previous: self.tail };
        let make = || -> io::Result<File> {
            self.fault(Step::Create)?;
            let file = private::options().read(true).create_new(true).open(&path)?;
            self.fault(Step::Write)?;
            file.write_all_at(&header.encode(), 0)?;
            self.fault(Step::Sync)?;
            file.sync_all()?;
            sync_dir(&self.settings.dir)?;
            Ok(file)
        };
        match make() {
            Ok(file) => Ok(Current { number, file, len: SEGMENT_HEADER as u64, chain: 0 }),
            Err(e) => {
                // Not proven, so no log goes on from it: at a start it is passed over.
                if remove_if_there(&path).is_err() && self.abandoned.len() < MAX_ABANDONED {
                    self.abandoned.push(path);
                }
                Err(Failure::Disk(e))
            }
        }
    }

    fn fault(&self, step: Step) -> io::Result<()> {
        self.settings.fault.as_ref().map_or(Ok(()), |fault| (fault.0)(step))
    }
}

enum Failure {
    Disk(io::Error),
    Ours(Error),
}

/// What a client hears when the disk would not take a write.
pub fn disk_error(e: io::Error) -> Error {
    let full = matches!(e.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT));
    if full {
        Error::new(ErrorKind::StorageFull, "The storage is full. Nothing was written.").caused_by(e)
    } else {
        Error::new(ErrorKind::LocalUnavailable, "The storage can't be written at the moment. Please try again.").caused_by(e)
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

struct OnDisk {
    log: LogId,
    snapshot: Option<Snapshot>,
    segments: Vec<Sealed>,
    tail: Option<(SegmentHeader, Tail)>,
    leftovers: Vec<PathBuf>,
    highest: u64,
}

fn recover(dir: &Path) -> Result<OnDisk> {
    let mut snapshot: Option<Snapshot> = None;
    let mut numbers = Vec::new();
    let mut leftovers = Vec::new();
    let mut snapshots = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::internal)? {
        let entry = entry.map_err(Error::internal)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if let Some(n) = segment::parse_name(&name, ".seg") {
            numbers.push(n);
        } else if let Some(n) = segment::parse_name(&name, ".snap") {
            snapshots.push((n, entry.path()));
        } else if name.ends_with(".tmp") {
            leftovers.push(entry.path());
        }
    }
    snapshots.sort();
    if let Some((_, path)) = snapshots.pop() {
        let mut reader = sorted::Reader::open(&path)?;
        let entries = reader.check_footer()?;
        let bytes = std::fs::metadata(&path).map_err(Error::internal)?.len();
        snapshot = Some(Snapshot { stamp: reader.stamp(), path, entries, bytes });
    }
    leftovers.extend(snapshots.into_iter().map(|(_, p)| p));
    numbers.sort_unstable();
    let highest = numbers.last().copied().unwrap_or(0);
    let upto = snapshot.as_ref().map_or(0, |s| s.stamp.upto);
    numbers.retain(|n| *n > upto);
    let Some(head) = find_head(dir, &mut numbers, &mut leftovers, snapshot.as_ref().map(|s| s.stamp.log))? else {
        let log = match &snapshot {
            Some(s) => s.stamp.log,
            None => new_log_id()?,
        };
        return Ok(OnDisk { log, snapshot, segments: Vec::new(), tail: None, leftovers, highest });
    };
    if snapshot.as_ref().is_some_and(|s| s.stamp.log != head.log) {
        return Err(Error::new(ErrorKind::InternalError, "the journal's snapshot and segments are of different logs"));
    }
    let tail = segment::scan_tail(dir, &head)?;
    let mut segments = vec![Sealed { number: head.number, valid_len: tail.valid_len }];
    let mut previous = head.previous;
    while let Some(p) = previous.filter(|p| p.number > upto) {
        let header = header_of(dir, p.number)?.filter(|h| h.log == head.log && h.number == p.number);
        let Some(header) = header else {
            return Err(segment::damage(p.number, 0, "it is missing, or its header is not valid"));
        };
        segments.push(Sealed { number: p.number, valid_len: p.valid_len });
        previous = header.previous;
    }
    if previous.is_none() && upto > 0 {
        return Err(Error::new(ErrorKind::InternalError, "the journal's segments do not go on from its snapshot"));
    }
    segments.reverse();
    // A proven header passes these over: failed tries, whose writers were told so.
    leftovers.extend(numbers.iter().filter(|n| !segments.iter().any(|s| s.number == **n)).map(|n| segment::path(dir, *n)));
    Ok(OnDisk { log: head.log, snapshot, segments, tail: Some((head, tail)), leftovers, highest })
}

/// The last segment with a header. One without was never proven, and so holds nothing: passed over, unless batches are in it.
fn find_head(dir: &Path, numbers: &mut Vec<u64>, leftovers: &mut Vec<PathBuf>, log: Option<LogId>) -> Result<Option<SegmentHeader>> {
    let mut log = log;
    let mut headless = Vec::new();
    let mut head = None;
    while let Some(number) = numbers.pop() {
        if let Some(header) = header_of(dir, number)? {
            if header.number != number {
                return Err(segment::damage(number, 0, "its header is that of another segment"));
            }
            log = log.or(Some(header.log));
            numbers.push(number);
            head = Some(header);
            break;
        }
        headless.push(number);
    }
    for number in headless {
        let path = segment::path(dir, number);
        let bytes = std::fs::read(&path).map_err(Error::internal)?;
        let holds_batches = match &log {
            Some(log) => crate::journal::format::proves_durable(&bytes, log, number, 0, 0),
            None => bytes.len() > SEGMENT_HEADER,
        };
        if holds_batches {
            return Err(segment::damage(number, 0, "its header is not valid, but batches are in it"));
        }
        leftovers.push(path);
    }
    Ok(head)
}

fn header_of(dir: &Path, number: u64) -> Result<Option<SegmentHeader>> {
    match File::open(segment::path(dir, number)) {
        Ok(mut file) => segment::read_header(&mut file),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::internal(e)),
    }
}

fn new_log_id() -> Result<LogId> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|e| Error::internal(e.to_string()))?;
    Ok(id)
}
