//! One body up: in one request, or in parts that are sent at once. Visible only when whole, and only when proven.
//!
//! A small one carries its MD5 and SHA-256, each part its MD5; over a multipart object the server is given the CRC64NVME
//! of the whole. A server that refuses that proves the parts alone.

use std::collections::HashMap;
use std::sync::Arc;

use super::content::{Content, Piece, Pieces, hash};
use super::fault::{Fault, Result};
use super::hashes::{self, Hasher, Hashes, Layout};
use super::remote::{Headers, PIECE, Part, Proof, Remote};
use super::resume::{Memory, Note};
use super::run::{Ordered, Run, blocking};
use crate::ingest::md5::Md5Hasher;

pub struct Upload {
    pub run: Arc<Run>,
    pub target: Arc<Remote>,
    pub key: String,
    pub headers: Headers,
    pub content: Content,
    pub part: u64,
    /// Which ETag of the whole is to be computed.
    pub layout: Layout,
    pub memory: Arc<Memory>,
}

impl Upload {
    /// `check` sees the hashes of all that was read, before any of it becomes visible.
    pub async fn send(&self, check: impl Fn(&Hashes) -> Result<()>) -> Result<Hashes> {
        if self.content.size() <= PIECE.min(self.part) { self.send_at_once(check).await } else { self.send_in_parts(check).await }
    }

    async fn send_at_once(&self, check: impl Fn(&Hashes) -> Result<()>) -> Result<Hashes> {
        let mut pieces = Pieces::new(self.run.clone(), self.content.clone(), PIECE);
        let piece = pieces.next().await?;
        let bytes = piece.as_ref().map(|p| p.bytes.clone()).unwrap_or_default();
        let hashes = hash(Hasher::new(self.layout), &bytes).await?.finish();
        let body = bytes.clone();
        let md5 = blocking(move || Md5Hasher::digest(&body)).await?;
        self.content.check_unchanged().await?;
        check(&hashes)?;
        // The slot is held until the body has gone.
        let sent = self.target.put(&self.key, &self.headers, bytes, md5.0, &hashes.sha256_base64()).await;
        drop(piece);
        sent.map(|()| hashes)
    }

    async fn send_in_parts(&self, check: impl Fn(&Hashes) -> Result<()>) -> Result<Hashes> {
        // Not what is in it: each part that is there is compared with ours.
        let note = self.memory.note(&[&self.target.at, &self.key, &self.part.to_string(), &self.headers.identity()]);
        let (upload, proof, there) = self.begin(&note).await?;
        let ended = self.send_parts(&upload, proof, there, check).await;
        match &ended {
            // Whole, and the upload is no more.
            Ok(_) => note.forget().await,
            // What the other side or the disk did may be over next time.
            Err(fault) if fault.is(&["NoSuchUpload"]) => note.forget().await,
            Err(_) if note.is_kept() => {}
            Err(_) => {
                // Nobody would find it again. The fault before is the one to tell.
                let _ = self.target.abort(&self.key, &upload).await;
            }
        }
        ended
    }

    /// The upload that was broken off, or a new one.
    async fn begin(&self, note: &Note) -> Result<(String, Proof, HashMap<i32, (u64, String)>)> {
        if let Some((upload, proof)) = note.read().await
            && let Some(there) = self.target.parts(&self.key, &upload).await?
        {
            return Ok((upload, proof, there));
        }
        let (upload, proof) = match self.target.begin(&self.key, &self.headers, Proof::Crc64).await {
            Ok(upload) => (upload, Proof::Crc64),
            Err(fault) if fault.is(&["InvalidRequest", "InvalidArgument", "NotImplemented", "400", "501"]) => {
                (self.target.begin(&self.key, &self.headers, Proof::Parts).await?, Proof::Parts)
            }
            Err(fault) => return Err(fault),
        };
        note.write(&upload, proof).await;
        Ok((upload, proof, HashMap::new()))
    }

    async fn send_parts(
        &self,
        upload: &str,
        proof: Proof,
        mut there: HashMap<i32, (u64, String)>,
        check: impl Fn(&Hashes) -> Result<()>,
    ) -> Result<Hashes> {
        let mut pieces = Pieces::new(self.run.clone(), self.content.clone(), self.part);
        let mut hasher = Hasher::new(self.layout);
        let mut sending = Ordered::new(self.run.jobs);
        let mut parts: Vec<Part> = Vec::new();
        let mut number = 0;
        while let Some(piece) = pieces.next().await? {
            number += 1;
            hasher = hash(hasher, &piece.bytes).await?;
            let one = send_part(self.target.clone(), self.key.clone(), upload.to_owned(), number, proof, there.remove(&number), piece);
            parts.extend(sending.push(one).await?.transpose()?);
        }
        while let Some(part) = sending.next().await? {
            parts.push(part?);
        }
        let hashes = hasher.finish();
        self.content.check_unchanged().await?;
        check(&hashes)?;
        let etag = self.target.complete(&self.key, upload, &parts, proof, &hashes.crc64_base64()).await?;
        let expected = hashes::etag_of_parts(parts.iter().map(|p| &p.md5));
        // Each part was proven; without a checksum of the whole, this shows that none was left out.
        if proof == Proof::Parts && hashes::parts(&etag).is_some_and(|n| n != parts.len() as u64) {
            return Err(Fault::new(format!("the server put it together otherwise: its ETag is {etag}, not {expected}")));
        }
        Ok(hashes)
    }
}

async fn send_part(
    target: Arc<Remote>,
    key: String,
    upload: String,
    number: i32,
    proof: Proof,
    there: Option<(u64, String)>,
    piece: Piece,
) -> Result<Part> {
    let body = piece.bytes.clone();
    let size = body.len() as u64;
    let (md5, crc64) = blocking(move || (Md5Hasher::digest(&body), hashes::crc64(&body))).await?;
    let part = Part { number, size, md5: md5.0, etag: String::new(), crc64 };
    if let Some((there_size, etag)) = there
        && there_size == size
        && etag.trim_matches('"') == md5.hex()
    {
        return Ok(Part { etag, ..part });
    }
    let sent = target.send_part(&key, &upload, part, piece.bytes, proof).await;
    drop(piece.slot);
    sent
}
