//! What is known of a body once all of it was seen, and whether that proves it to be the one at the other side. Pure.
//!
//! An ETag is the MD5 of the body, or for a multipart object the MD5 of its parts' MD5s; under SSE-KMS it is neither, so
//! one that differs proves nothing there. A full-object checksum always decides.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use sha2::{Digest, Sha256};

use crate::ingest::md5::Md5Hasher;

/// Which ETag is worth computing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    Whole,
    /// All parts but the last have this size.
    Parts(u64),
    /// Nobody would compare it.
    Untold,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashes {
    pub size: u64,
    pub sha256: [u8; 32],
    pub crc64: u64,
    /// Without quotes.
    pub etag: Option<String>,
}

/// What the other side says of an object.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    pub size: u64,
    /// Without quotes.
    pub etag: String,
    /// Under SSE-KMS and SSE-C an ETag is no MD5.
    pub etag_is_opaque: bool,
    /// Base64, of the whole body.
    pub sha256: Option<String>,
    pub crc64: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Same,
    Different,
    /// Nothing that both sides know can be compared.
    Unknown,
}

impl Hashes {
    pub fn sha256_base64(&self) -> String {
        STANDARD.encode(self.sha256)
    }

    pub fn crc64_base64(&self) -> String {
        crc64_base64(self.crc64)
    }

    pub fn against(&self, claims: &Claims) -> Verdict {
        if self.size != claims.size {
            return Verdict::Different;
        }
        if let Some(sha256) = &claims.sha256 {
            return same(*sha256 == self.sha256_base64());
        }
        if let Some(crc64) = &claims.crc64 {
            return same(*crc64 == self.crc64_base64());
        }
        match &self.etag {
            Some(etag) if *etag == claims.etag => Verdict::Same,
            Some(etag) if !claims.etag_is_opaque && parts(etag) == parts(&claims.etag) && is_md5(&claims.etag) => Verdict::Different,
            _ => Verdict::Unknown,
        }
    }
}

impl Claims {
    /// Two objects, neither of which is read.
    pub fn against(&self, other: &Claims) -> Verdict {
        if self.size != other.size {
            return Verdict::Different;
        }
        if self.etag == other.etag && is_md5(&self.etag) {
            return Verdict::Same;
        }
        match (&self.sha256, &other.sha256, &self.crc64, &other.crc64) {
            (Some(a), Some(b), _, _) => same(a == b),
            (_, _, Some(a), Some(b)) => same(a == b),
            _ if self.etag_is_opaque || other.etag_is_opaque => Verdict::Unknown,
            // MD5s of whole bodies can be compared; those of parts may only be cut differently.
            _ if [self, other].iter().all(|c| is_md5(&c.etag) && parts(&c.etag).is_none()) => Verdict::Different,
            _ => Verdict::Unknown,
        }
    }
}

fn same(equal: bool) -> Verdict {
    if equal { Verdict::Same } else { Verdict::Different }
}

/// The `-N` of a multipart object's ETag.
pub fn parts(etag: &str) -> Option<u64> {
    etag.split_once('-').and_then(|(_, n)| n.parse().ok())
}

fn is_md5(etag: &str) -> bool {
    let hex = etag.split_once('-').map_or(etag, |(hex, _)| hex);
    hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit())
}

pub fn crc64_base64(crc: u64) -> String {
    STANDARD.encode(crc.to_be_bytes())
}

pub fn crc64(bytes: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes)
}

/// The ETag of a multipart object.
pub fn etag_of_parts<'m>(md5s: impl Iterator<Item = &'m [u8; 16]>) -> String {
    let mut all = Md5Hasher::new();
    let mut count = 0;
    for md5 in md5s {
        all.update(md5);
        count += 1;
    }
    format!("{}-{count}", all.finish().hex())
}

/// Takes a body in order.
pub struct Hasher {
    size: u64,
    sha256: Sha256,
    crc64: crc_fast::Digest,
    layout: Layout,
    /// Of the body, or of the part at hand.
    md5: Md5Hasher,
    md5s: Vec<[u8; 16]>,
    /// Bytes of the part at hand.
    in_part: u64,
}

impl Hasher {
    pub fn new(layout: Layout) -> Self {
        Hasher {
            size: 0,
            sha256: Sha256::new(),
            crc64: crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme),
            layout,
            md5: Md5Hasher::new(),
            md5s: Vec::new(),
            in_part: 0,
        }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.sha256.update(bytes);
        self.crc64.update(bytes);
        match self.layout {
            Layout::Untold => {}
            Layout::Whole => self.md5.update(bytes),
            Layout::Parts(part) => self.update_parts(part.max(1), bytes),
        }
    }

    fn update_parts(&mut self, part: u64, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = usize::try_from(part - self.in_part).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.md5.update(now);
            self.in_part += now.len() as u64;
            if self.in_part == part {
                self.end_part();
            }
            bytes = later;
        }
    }

    fn end_part(&mut self) {
        self.md5s.push(std::mem::take(&mut self.md5).finish().0);
        self.in_part = 0;
    }

    pub fn finish(mut self) -> Hashes {
        let etag = match self.layout {
            Layout::Untold => None,
            Layout::Whole => Some(self.md5.finish().hex()),
            Layout::Parts(_) => {
                if self.in_part > 0 || self.md5s.is_empty() {
                    self.end_part();
                }
                Some(etag_of_parts(self.md5s.iter()))
            }
        };
        Hashes { size: self.size, sha256: self.sha256.finalize().into(), crc64: self.crc64.finalize(), etag }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(layout: Layout, pieces: &[&[u8]]) -> Hashes {
        let mut hasher = Hasher::new(layout);
        pieces.iter().for_each(|p| hasher.update(p));
        hasher.finish()
    }

    #[test]
    fn known_answers_in_any_split() {
        let whole = hashes(Layout::Whole, &[b"1234", b"", b"56789"]);
        assert_eq!(whole.etag.as_deref(), Some("25f9e794323b453885f5181f1b624d0b"));
        assert_eq!(whole.crc64, 0xae8b14860a799888);
        assert_eq!(whole, hashes(Layout::Whole, &[b"123456789"]));
        let parts = hashes(Layout::Parts(4), &[b"1", b"2345678", b"9"]);
        let md5s = [&b"1234"[..], b"5678", b"9"].map(|p| Md5Hasher::digest(p).0);
        assert_eq!(parts.etag.unwrap(), etag_of_parts(md5s.iter()));
        assert!(hashes(Layout::Parts(4), &[b"12345678"]).etag.unwrap().ends_with("-2"));
    }

    #[test]
    fn what_proves_and_what_does_not() {
        let ours = hashes(Layout::Whole, &[b"123456789"]);
        let claims =
            |etag: &str, opaque, sha256: Option<String>| Claims { size: 9, etag: etag.into(), etag_is_opaque: opaque, sha256, crc64: None };
        let md5 = "25f9e794323b453885f5181f1b624d0b";
        let other = "00000000000000000000000000000000";
        assert_eq!(ours.against(&claims(md5, false, None)), Verdict::Same);
        assert_eq!(ours.against(&claims(other, false, None)), Verdict::Different);
        assert_eq!(ours.against(&claims(other, true, None)), Verdict::Unknown);
        assert_eq!(ours.against(&claims("abc-2", false, None)), Verdict::Unknown);
        assert_eq!(ours.against(&claims(other, false, Some(ours.sha256_base64()))), Verdict::Same);
        assert_eq!(ours.against(&claims(md5, false, Some("x".into()))), Verdict::Different);
        assert_eq!(ours.against(&Claims { size: 8, ..claims(md5, false, None) }), Verdict::Different);
        assert_eq!(claims(md5, false, None).against(&claims(md5, false, None)), Verdict::Same);
        assert_eq!(claims(md5, false, None).against(&claims(other, false, None)), Verdict::Different);
        assert_eq!(claims(md5, false, None).against(&claims(other, true, None)), Verdict::Unknown);
        assert_eq!(claims(&format!("{md5}-2"), false, None).against(&claims(md5, false, None)), Verdict::Unknown);
    }
}
