//! Makes the bytes of a variant: bounded, in constant memory, and only of the content that it is for.
//!
//! Blocks, and takes its time: called on blocking threads and by the background worker.
//! Invariants: no more comes out than the plan allows, whatever goes in (a decompression bomb ends there); where the
//! content's hash is known, other bytes make nothing.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::rc::Rc;

use sha2::{Digest, Sha256 as Hasher};

use crate::base::digest::Sha256;
use crate::variants::codec::{Change, Codec, Effort};

/// What goes into a codec at once: always the same, because an encoder's output may depend on it.
const BLOCK: usize = 64 * 1024;
/// Less than this saved is not worth a variant: in percent of the original.
const WORTHWHILE: u64 = 95;
/// What unpacks to more than this is no media: real text stays below 100.
const MAX_RATIO: u64 = 1000;

#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub change: Change,
    pub effort: Effort,
    /// Of what goes in.
    pub size: u64,
    /// Of what goes in, where it is known.
    pub sha256: Option<Sha256>,
    /// Of what comes out, in any case.
    pub largest: u64,
}

impl Plan {
    fn limit(&self) -> u64 {
        match self.change {
            Change::Encode(_) => (self.size / 100 * WORTHWHILE + self.size % 100 * WORTHWHILE / 100).min(self.largest),
            Change::Decode(_) => self.size.saturating_mul(MAX_RATIO).min(self.largest),
        }
    }
}

#[derive(Debug)]
pub enum Made<W> {
    Done(W),
    /// Larger than it may be: not worth it, or not to be unpacked.
    TooLarge,
    /// What went in is not what it is said to be.
    Corrupt,
}

/// Takes the original in pieces.
pub struct Maker<W: Write> {
    plan: Plan,
    /// None until there is a first block.
    codec: Option<Codec<Sink<W>>>,
    sink: Option<Sink<W>>,
    state: Rc<SinkState>,
    block: Vec<u8>,
    taken: u64,
    hasher: Hasher,
    /// The codec refused its input.
    refused: bool,
}

impl<W: Write> Maker<W> {
    pub fn new(plan: Plan, to: W) -> Self {
        let state = Rc::new(SinkState { left: Cell::new(plan.limit()), over: Cell::new(false), failed: RefCell::new(None) });
        Maker {
            plan,
            codec: None,
            sink: Some(Sink { to, state: state.clone() }),
            state,
            block: Vec::with_capacity(BLOCK),
            taken: 0,
            hasher: Hasher::new(),
            refused: false,
        }
    }

    /// False: no more is wanted, see `finish`. Err: the sink failed.
    pub fn take(&mut self, mut piece: &[u8]) -> io::Result<bool> {
        self.taken += piece.len() as u64;
        if self.plan.sha256.is_some() {
            self.hasher.update(piece);
        }
        while !piece.is_empty() && !self.is_over() {
            let (now, rest) = piece.split_at(piece.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(now);
            piece = rest;
            if self.block.len() == BLOCK {
                self.pass_block()?;
            }
        }
        Ok(!self.is_over())
    }

    fn is_over(&self) -> bool {
        self.refused || self.state.over.get()
    }

    fn pass_block(&mut self) -> io::Result<()> {
        if let Some(sink) = self.sink.take() {
            self.codec = Some(Codec::new(self.plan.change, self.plan.effort, self.plan.size, &self.block, sink)?);
        }
        let Some(codec) = &mut self.codec else { return Err(io::Error::other("a codec is gone")) };
        let passed = codec.write_all(&self.block);
        self.block.clear();
        passed.or_else(|_| self.refuse())
    }

    /// Whose fault was it? Err: the sink's.
    fn refuse(&mut self) -> io::Result<()> {
        self.refused = true;
        self.state.failed.take().map_or(Ok(()), Err)
    }

    pub fn finish(mut self) -> io::Result<Made<W>> {
        if !self.is_over() {
            self.pass_block()?;
        }
        let finished = match self.codec.take() {
            Some(codec) if !self.is_over() => codec.finish(),
            _ => Err(io::ErrorKind::InvalidData.into()),
        };
        if let Some(failed) = self.state.failed.take() {
            return Err(failed);
        }
        if self.state.over.get() {
            return Ok(Made::TooLarge);
        }
        let Ok(sink) = finished else { return Ok(Made::Corrupt) };
        let hash_is = |expected: Sha256| <[u8; 32]>::from(self.hasher.finalize()) == expected.0;
        match self.taken == self.plan.size && self.plan.sha256.is_none_or(hash_is) {
            true => Ok(Made::Done(sink.to)),
            false => Ok(Made::Corrupt),
        }
    }
}

/// All of it at once.
pub fn whole(plan: Plan, original: &[u8]) -> io::Result<Made<Vec<u8>>> {
    let mut maker = Maker::new(plan, Vec::new());
    maker.take(original)?;
    maker.finish()
}

/// Counts what comes out, and remembers what became of it: codecs keep such things to themselves.
struct Sink<W> {
    to: W,
    state: Rc<SinkState>,
}

struct SinkState {
    left: Cell<u64>,
    over: Cell<bool>,
    failed: RefCell<Option<io::Error>>,
}

impl<W: Write> Write for Sink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(left) = self.state.left.get().checked_sub(bytes.len() as u64).filter(|_| !self.state.over.get()) else {
            self.state.over.set(true);
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        match self.to.write_all(bytes) {
            Ok(()) => {
                self.state.left.set(left);
                Ok(bytes.len())
            }
            Err(e) => {
                let kind = e.kind();
                self.state.failed.replace(Some(e));
                Err(kind.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
