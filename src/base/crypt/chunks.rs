//! A body under its data key: chunks of 64 KiB, each sealed by itself, so that a range costs the chunks that it touches.
//!
//! The nonce is the number of the chunk. What each is bound to says of which body it is, which number it has, and whether it is the
//! last: none can be left out, put elsewhere, or taken from another body, and what was cut off is missed. A data key seals one body,
//! once; two bodies never share one.
//! A sealed body has 16 bytes more for each chunk, and nothing else. An empty body has no chunk.

use std::fmt;
use std::ops::Range;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use hmac::{KeyInit as _, Mac as _};

use super::wrap::{Secret, WRAPPED_BYTES, random, unwrap, wrap};
use crate::base::digest::Sha256;
use crate::base::error::{Error, Result};

/// Smaller ones cost more calls for each byte, larger ones more bytes for a small range.
pub const CHUNK: usize = 64 * 1024;
pub const TAG_BYTES: usize = 16;
pub const SEALED_CHUNK: usize = CHUNK + TAG_BYTES;
const ID_BYTES: usize = 16;
const LABEL: &[u8; 16] = b"tidegate chunk 1";

pub type BodyId = [u8; ID_BYTES];

/// The key of one body.
pub struct DataKey {
    /// No secret: which body it is.
    id: BodyId,
    secret: Secret,
    key: LessSafeKey,
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[data key]")
    }
}

impl DataKey {
    pub fn new() -> Result<Self> {
        Self::of(random()?, Secret::new(random()?))
    }

    /// Of a secret that somebody else can make too.
    pub fn derived(id: BodyId, secret: [u8; 32]) -> Result<Self> {
        Self::of(id, Secret::new(secret))
    }

    pub(super) fn of(id: BodyId, secret: Secret) -> Result<Self> {
        let key = UnboundKey::new(&AES_256_GCM, &*secret).map(LessSafeKey::new);
        Ok(DataKey { id, secret, key: key.map_err(|_| Error::internal("a data key could not be made"))? })
    }

    pub fn id(&self) -> BodyId {
        self.id
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Another body's, under this one, which seals no body itself.
    pub(super) fn wrap(&self, bound: &[u8], inner: &DataKey) -> Result<[u8; WRAPPED_BYTES]> {
        wrap(&self.secret, bound, &inner.secret)
    }

    pub(super) fn unwrap(&self, bound: &[u8], id: BodyId, wrapped: &[u8]) -> Option<DataKey> {
        DataKey::of(id, unwrap(&self.secret, bound, wrapped)?).ok()
    }

    /// Stands for content of this hash, and tells nothing of it to who has not the key.
    pub fn tag_of(&self, sha256: &Sha256) -> Result<[u8; 16]> {
        let mut hmac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&*self.secret).map_err(Error::internal)?;
        hmac.update(b"tidegate etag 1");
        hmac.update(&sha256.0);
        let full = hmac.finalize().into_bytes();
        full.iter().take(16).copied().collect::<Vec<u8>>().try_into().map_err(|_| Error::internal("a hash is too short"))
    }

    fn bound(&self, number: u64, last: bool) -> Aad<[u8; 41]> {
        let mut bound = [0; 41];
        bound[..16].copy_from_slice(LABEL);
        bound[16..32].copy_from_slice(&self.id);
        bound[32..40].copy_from_slice(&number.to_be_bytes());
        bound[40] = u8::from(last);
        Aad::from(bound)
    }

    /// The text in `chunk` becomes what is kept of it.
    fn seal(&self, number: u64, last: bool, chunk: &mut Vec<u8>) -> Result<()> {
        let sealed = self.key.seal_in_place_append_tag(nonce(number), self.bound(number, last), chunk);
        sealed.map_err(|_| Error::internal("a chunk could not be sealed"))
    }

    /// Opens whole sealed chunks that follow each other from number `first` on, of a body of `size` bytes. None: they are not what was
    /// sealed there.
    pub fn open(&self, size: u64, first: u64, sealed: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let (last, mut number) = (chunks(size).checked_sub(1)?, first);
        let start = out.len();
        out.resize(start + sealed.len().checked_sub(sealed.len().div_ceil(SEALED_CHUNK) * TAG_BYTES)?, 0);
        let mut left = out.get_mut(start..)?;
        for chunk in sealed.chunks(SEALED_CHUNK) {
            let (text, tag) = chunk.split_at_checked(chunk.len().checked_sub(TAG_BYTES)?)?;
            let whole = if number == last { (size - number * CHUNK as u64) as usize } else { CHUNK };
            if number > last || text.len() != whole {
                return None;
            }
            let (here, rest) = left.split_at_mut_checked(text.len())?;
            self.open_into(number, number == last, (text, tag), here)?;
            (left, number) = (rest, number + 1);
        }
        Some(())
    }

    fn open_into(&self, number: u64, last: bool, (text, tag): (&[u8], &[u8]), out: &mut [u8]) -> Option<()> {
        self.key.open_separate_gather(nonce(number), self.bound(number, last), text, tag, out).ok()
    }

    /// Whether it is what was sealed with this number, of a body that may not be whole yet.
    pub fn is_chunk(&self, number: u64, sealed: &[u8]) -> bool {
        let parted = sealed.len().checked_sub(TAG_BYTES).and_then(|at| sealed.split_at_checked(at));
        parted.is_some_and(|parted| {
            let mut out = vec![0; parted.0.len()];
            [false, true].into_iter().any(|last| self.open_into(number, last, parted, &mut out).is_some())
        })
    }

    /// Opens a whole body.
    pub fn open_all(&self, size: u64, sealed: &[u8]) -> Option<Vec<u8>> {
        if sealed_len(size) != sealed.len() as u64 {
            return None;
        }
        let mut out = Vec::with_capacity(size as usize);
        if size > 0 {
            self.open(size, 0, sealed, &mut out)?;
        }
        Some(out)
    }

    /// Seals a whole body that is in memory.
    pub fn seal_all(self: &std::sync::Arc<Self>, text: &[u8]) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(sealed_len(text.len() as u64) as usize);
        let mut sealer = ChunkSealer::new(self.clone());
        let mut keep = |chunk: &[u8]| {
            out.extend_from_slice(chunk);
            Ok(())
        };
        sealer.push(text, &mut keep)?;
        sealer.finish(&mut keep)?;
        Ok(out)
    }
}

fn nonce(number: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[NONCE_LEN - 8..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

pub const fn chunks(size: u64) -> u64 {
    size.div_ceil(CHUNK as u64)
}

/// How long a body is when it is sealed.
pub const fn sealed_len(size: u64) -> u64 {
    size + chunks(size) * TAG_BYTES as u64
}

/// How long the body is that has so many bytes when it is sealed.
pub const fn opened_len(sealed: u64) -> u64 {
    sealed.saturating_sub(sealed.div_ceil(SEALED_CHUNK as u64) * TAG_BYTES as u64)
}

/// Where the chunks lie that hold `range` of a body of `size` bytes; the range is not empty and inside it.
pub fn sealed_range(size: u64, range: &Range<u64>) -> Range<u64> {
    let (first, end) = (range.start / CHUNK as u64, chunks(range.end));
    first * SEALED_CHUNK as u64..(end * SEALED_CHUNK as u64).min(sealed_len(size))
}

/// Seals a body as it comes, in one chunk's memory.
pub struct ChunkSealer {
    key: std::sync::Arc<DataKey>,
    number: u64,
    chunk: Vec<u8>,
}

type Keep<'k> = &'k mut dyn FnMut(&[u8]) -> Result<()>;

impl ChunkSealer {
    pub fn new(key: std::sync::Arc<DataKey>) -> Self {
        ChunkSealer { key, number: 0, chunk: Vec::new() }
    }

    pub fn key(&self) -> &std::sync::Arc<DataKey> {
        &self.key
    }

    pub fn push(&mut self, mut bytes: &[u8], keep: Keep<'_>) -> Result<()> {
        while !bytes.is_empty() {
            // Whether a chunk is the last is known when another byte comes.
            if self.chunk.len() == CHUNK {
                self.hand_on(false, keep)?;
            }
            if self.chunk.capacity() < SEALED_CHUNK {
                self.chunk.reserve_exact(SEALED_CHUNK.min(self.chunk.len() + bytes.len() + TAG_BYTES).max(1024) - self.chunk.len());
            }
            let (now, rest) = bytes.split_at((CHUNK - self.chunk.len()).min(bytes.len()));
            self.chunk.extend_from_slice(now);
            bytes = rest;
        }
        Ok(())
    }

    pub fn finish(&mut self, keep: Keep<'_>) -> Result<()> {
        if !self.chunk.is_empty() {
            self.hand_on(true, keep)?;
        }
        Ok(())
    }

    fn hand_on(&mut self, last: bool, keep: Keep<'_>) -> Result<()> {
        self.key.seal(self.number, last, &mut self.chunk)?;
        keep(&self.chunk)?;
        self.number += 1;
        self.chunk.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn text(size: usize) -> Vec<u8> {
        (0..size).map(|i| (i * 7 + i / 251) as u8).collect()
    }

    const EDGES: [usize; 9] = [0, 1, 15, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 17, 3 * CHUNK - 1];

    #[test]
    fn bodies_of_every_edge_come_back() {
        for size in EDGES {
            let key = Arc::new(DataKey::new().unwrap());
            let sealed = key.seal_all(&text(size)).unwrap();
            assert_eq!(sealed.len() as u64, sealed_len(size as u64));
            assert_eq!(opened_len(sealed.len() as u64), size as u64);
            assert_eq!(key.open_all(size as u64, &sealed).unwrap(), text(size));
            let start = text(size.min(16));
            assert!(size < 16 || !sealed.windows(16).any(|w| w == start));
        }
    }

    #[test]
    fn every_flipped_byte_is_found() {
        let key = Arc::new(DataKey::new().unwrap());
        for size in [1, 100, CHUNK + 40] {
            let sealed = key.seal_all(&text(size)).unwrap();
            // Of long ones the ends of each chunk, and some between.
            let step = if size > 1000 { 97 } else { 1 };
            let ends = [0, CHUNK - 1, CHUNK, SEALED_CHUNK - 1, SEALED_CHUNK, sealed.len() - 1];
            for at in (0..sealed.len()).step_by(step).chain(ends.into_iter().filter(|at| *at < sealed.len())) {
                let mut forged = sealed.clone();
                forged[at] ^= 0x10;
                assert_eq!(key.open_all(size as u64, &forged), None, "byte {at} of {size}");
            }
        }
    }

    #[test]
    fn what_is_cut_off_swapped_or_of_another_body_is_found() {
        let (key, other) = (Arc::new(DataKey::new().unwrap()), Arc::new(DataKey::new().unwrap()));
        let size = 3 * CHUNK as u64;
        let sealed = key.seal_all(&text(size as usize)).unwrap();
        let chunk = |n: usize| &sealed[n * SEALED_CHUNK..(n + 1) * SEALED_CHUNK];
        // Also where whoever cuts says so.
        assert_eq!(key.open_all(2 * CHUNK as u64, &sealed[..2 * SEALED_CHUNK]), None);
        assert_eq!(key.open_all(CHUNK as u64, chunk(2)), None);
        assert_eq!(key.open_all(size, &[chunk(1), chunk(0), chunk(2)].concat()), None);
        assert_eq!(key.open_all(size, &[chunk(0), chunk(0), chunk(2)].concat()), None);
        assert_eq!(key.open_all(size + CHUNK as u64, &[chunk(0), chunk(1), chunk(1), chunk(2)].concat()), None);
        assert_eq!(other.open_all(size, &sealed), None);
        let same_key = DataKey::of(other.id(), key.secret().clone()).unwrap();
        assert_eq!(same_key.open_all(size, &sealed), None, "the body's name counts too");
    }

    proptest! {
        #[test]
        fn a_range_is_opened_from_its_chunks_alone(size in 1..200_000_usize, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(), cut in 1..70_000_usize) {
            let key = Arc::new(DataKey::new().unwrap());
            let (mut sealed, mut sealer) = (Vec::new(), ChunkSealer::new(key.clone()));
            let text = text(size);
            let mut keep = |chunk: &[u8]| { sealed.extend_from_slice(chunk); Ok(()) };
            for piece in text.chunks(cut) {
                sealer.push(piece, &mut keep).unwrap();
            }
            sealer.finish(&mut keep).unwrap();
            let (a, b) = (a.index(size), b.index(size));
            let range = a.min(b) as u64..a.max(b) as u64 + 1;
            let lies = sealed_range(size as u64, &range);
            prop_assert!(lies.end - lies.start <= sealed_len(range.end - range.start) + 2 * SEALED_CHUNK as u64);
            let first = range.start / CHUNK as u64;
            let mut out = Vec::new();
            key.open(size as u64, first, &sealed[lies.start as usize..lies.end as usize], &mut out).unwrap();
            let from = (range.start - first * CHUNK as u64) as usize;
            prop_assert_eq!(&out[from..from + (range.end - range.start) as usize], &text[range.start as usize..range.end as usize]);
        }
    }
}
