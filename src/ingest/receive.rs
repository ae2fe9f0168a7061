//! Receives one body: pieces come in on the reactor, are hashed and written on blocking threads while the next
//! piece arrives. Memory per body: two pieces.
//!
//! Not here: aws-chunked framing (`chunked`), names and records (the origin).
//! Called by the S3 door and by jobs, with a body whose errors are already ours.

use std::future::poll_fn;
use std::pin::Pin;

use bytes::Bytes;
use http_body::Body;
use sha2::Digest as _;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::base::checksum::{Checksum, ChecksumAlgorithm};
use crate::base::digest::{Md5, Sha256, VerifiedSha256};
use crate::base::error::{Error, ErrorKind, Result};
use crate::ingest::chunked::Decoder;
use crate::ingest::hasher::ChecksumHasher;
use crate::ingest::md5::Md5Hasher;
use crate::ingest::writer::Writer;
use crate::ingest::{Content, Staging};

/// A piece is handed to the blocking threads when it reaches this size: large enough that the hand-over (20 µs)
/// is lost in the hashing (500 µs), small enough that 64 uploads hold 64 MiB.
const PIECE_BYTES: usize = 512 * 1024;
/// ... or this many slices: each may keep a read buffer of the connection alive.
const PIECE_SLICES: usize = 256;
/// Bodies up to this size are hashed where they are (25 µs); larger ones off the reactor.
const HASH_INLINE_BYTES: usize = 16 * 1024;

/// What the client promised of the body. All of it is checked before a `Received` exists.
#[derive(Debug, Default, Clone)]
pub struct Expect {
    /// The decoded length, where the client said it.
    pub length: Option<u64>,
    pub max: u64,
    pub md5: Option<Md5>,
    /// `x-amz-content-sha256` where it is a hash.
    pub sha256: Option<Sha256>,
    /// `x-amz-checksum-*` from the headers.
    pub checksum: Option<Checksum>,
    /// Announced by `x-amz-trailer`: the value comes after the body.
    pub trailer: Option<ChecksumAlgorithm>,
    /// Compute and keep this one where the client sent no value.
    pub compute: Option<ChecksumAlgorithm>,
}

impl Expect {
    /// The checksum that will be kept.
    pub fn algorithm(&self) -> Option<ChecksumAlgorithm> {
        self.checksum.as_ref().map(|c| c.algorithm).or(self.trailer).or(self.compute)
    }

    /// The hash that the body must have, if the client said it before.
    pub fn declared_sha256(&self) -> Option<Sha256> {
        let checksum = self.checksum.as_ref().filter(|c| c.algorithm == ChecksumAlgorithm::Sha256 && c.parts == 0);
        self.sha256.or_else(|| Some(Sha256(checksum?.bytes().try_into().ok()?)))
    }
}

/// A body that arrived whole and is what the client said it is.
#[derive(Debug)]
pub struct Received {
    pub size: u64,
    /// None: neither the client nor the staging asked for it.
    pub md5: Option<Md5>,
    pub sha256: VerifiedSha256,
    pub checksum: Option<Checksum>,
    pub content: Content,
}

impl Received {
    /// As far as they can be had: they were just written.
    pub fn first_bytes(&self, most: usize) -> Vec<u8> {
        match &self.content {
            Content::Memory(bytes) => bytes.get(..most.min(bytes.len())).unwrap_or_default().to_vec(),
            Content::File(file) => file.body().and_then(|body| body.read(0, most)).unwrap_or_default(),
        }
    }

    /// For a store that names bodies by it: its `Staging` says so.
    pub fn named_md5(&self) -> Result<Md5> {
        self.md5.ok_or_else(|| Error::internal("a body came without the MD5 that its store needs"))
    }
}

/// Reads `body` to its end. With a decoder, `body` is aws-chunked and the decoder verifies the chunks.
pub async fn receive<B>(mut body: Pin<&mut B>, mut decoder: Option<Decoder>, expect: &Expect, staging: &Staging) -> Result<Received>
where
    B: Body<Data = Bytes, Error = Error> + ?Sized,
{
    if expect.length.is_some_and(|l| l > expect.max) {
        return Err(too_large(expect.max));
    }
    let mut intake = Intake::new(staging.clone(), expect);
    let mut size = 0u64;
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(mut data) = frame?.into_data() else { continue };
        match &mut decoder {
            None => {
                size += data.len() as u64;
                check_size(size, expect)?;
                intake.push(data).await?;
            }
            Some(decoder) => {
                while let Some(payload) = decoder.push(&mut data)? {
                    size += payload.len() as u64;
                    check_size(size, expect)?;
                    intake.push(payload).await?;
                }
            }
        }
    }
    if expect.length.is_some_and(|l| l != size) {
        return Err(Error::new(
            ErrorKind::IncompleteBody,
            "You did not provide the number of bytes specified by the Content-Length HTTP header.",
        ));
    }
    let promised = match decoder {
        None => expect.checksum.clone(),
        Some(decoder) => trailing_checksum(decoder, expect)?,
    };
    let (md5, sha256, checksum, content) = intake.finish().await?;
    verify(expect, promised.as_ref(), md5.as_ref(), &sha256, checksum.as_ref())?;
    Ok(Received { size, md5, sha256: VerifiedSha256::proven(sha256), checksum, content })
}

fn check_size(size: u64, expect: &Expect) -> Result<()> {
    if size > expect.max {
        return Err(too_large(expect.max));
    }
    // More than announced can never be right: stop here instead of taking in the rest.
    if expect.length.is_some_and(|l| size > l) {
        return Err(Error::new(ErrorKind::IncompleteBody, "The body is longer than the request announced."));
    }
    Ok(())
}

fn too_large(max: u64) -> Error {
    Error::new(ErrorKind::EntityTooLarge, "Your proposed upload exceeds the maximum allowed size; use multipart upload.")
        .detail("MaxSizeAllowed", max.to_string())
}

/// The trailer's checksum must be there if it was announced, be the one that was announced, and be all that comes: of another one
/// nobody knows what it promises.
fn trailing_checksum(decoder: Decoder, expect: &Expect) -> Result<Option<Checksum>> {
    let trailers = decoder.finish()?;
    let announced = |name: &str| expect.trailer.is_some_and(|a| name == a.header());
    if let Some((name, _)) = trailers.iter().find(|(name, _)| !announced(name)) {
        let e = Error::new(ErrorKind::MalformedTrailer, "The body ends with a trailer that x-amz-trailer did not announce.");
        return Err(e.detail("Trailer", name.clone()));
    }
    let Some(algorithm) = expect.trailer else { return Ok(expect.checksum.clone()) };
    let Some((_, value)) = trailers.first() else {
        return Err(Error::new(ErrorKind::MalformedTrailer, "The trailer that x-amz-trailer announced did not come."));
    };
    match Checksum::parse(algorithm, value) {
        Some(checksum) => Ok(Some(checksum)),
        None => Err(Error::new(ErrorKind::InvalidRequest, format!("Value for {} trailing header is invalid.", algorithm.header()))),
    }
}

fn verify(expect: &Expect, promised: Option<&Checksum>, md5: Option<&Md5>, sha256: &Sha256, checksum: Option<&Checksum>) -> Result<()> {
    if expect.md5.is_some() && expect.md5.as_ref() != md5 {
        return Err(Error::new(ErrorKind::BadDigest, "The Content-MD5 you specified did not match what we received."));
    }
    if let Some(expected) = expect.sha256.filter(|s| s != sha256) {
        return Err(Error::new(
            ErrorKind::ContentSha256Mismatch,
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )
        .detail("ClientComputedContentSHA256", expected.hex())
        .detail("S3ComputedContentSHA256", sha256.hex()));
    }
    if let Some(promised) = promised
        && Some(promised.bytes()) != checksum.map(|c| c.bytes())
    {
        return Err(Error::new(
            ErrorKind::BadDigest,
            format!("The {} you specified did not match the calculated checksum.", promised.algorithm.name()),
        ));
    }
    Ok(())
}

/// Bytes on their way to memory or to a staged file.
struct Intake {
    staging: Staging,
    algorithm: Option<ChecksumAlgorithm>,
    with_md5: bool,
    piece: Vec<Bytes>,
    piece_bytes: usize,
    /// Begun when the body outgrew memory.
    file: Option<FileIntake>,
}

/// Two hashings at once, so that one large upload uses both cores; each goes on only when its last piece is done.
struct FileIntake {
    write: JoinHandle<Result<Writer>>,
    md5: Option<JoinHandle<Md5Hasher>>,
}

impl Intake {
    fn new(staging: Staging, expect: &Expect) -> Self {
        let algorithm = expect.algorithm();
        let with_md5 = staging.with_md5 || expect.md5.is_some() || algorithm == Some(ChecksumAlgorithm::Md5);
        Intake { staging, algorithm, with_md5, piece: Vec::new(), piece_bytes: 0, file: None }
    }

    async fn push(&mut self, data: Bytes) -> Result<()> {
        self.piece_bytes += data.len();
        self.piece.push(data);
        if self.piece_bytes < PIECE_BYTES && self.piece.len() < PIECE_SLICES {
            return Ok(());
        }
        if self.fits_memory() {
            // In many slices: one copy frees the buffers behind them.
            let whole = Bytes::from(self.piece.concat());
            self.piece.clear();
            self.piece.push(whole);
            return Ok(());
        }
        let (writer, hasher) = self.settled().await?;
        let (piece, for_md5, begin) = self.take_piece();
        self.file = Some(FileIntake {
            write: spawn_blocking(move || writer.map_or_else(begin, Ok)?.write_all(&piece)),
            md5: hasher.map(|hasher| spawn_blocking(move || hash_md5(hasher, &for_md5))),
        });
        Ok(())
    }

    fn fits_memory(&self) -> bool {
        self.file.is_none() && self.piece_bytes <= self.staging.memory_limit
    }

    /// Where the piece before left off; no writer yet before the first.
    async fn settled(&mut self) -> Result<(Option<Writer>, Option<Md5Hasher>)> {
        let Some(FileIntake { write, md5 }) = self.file.take() else {
            return Ok((None, self.with_md5.then(Md5Hasher::new)));
        };
        let writer = join(write).await??;
        let hasher = match md5 {
            Some(md5) => Some(join(md5).await?),
            None => None,
        };
        Ok((Some(writer), hasher))
    }

    /// The piece at hand, twice, and how a writer begins.
    fn take_piece(&mut self) -> (Vec<Bytes>, Vec<Bytes>, impl FnOnce() -> Result<Writer> + use<>) {
        let piece = std::mem::take(&mut self.piece);
        self.piece_bytes = 0;
        let (staging, algorithm) = (self.staging.clone(), hashed_apart(self.algorithm));
        (piece.clone(), piece, move || Writer::begin(staging, algorithm))
    }

    async fn finish(mut self) -> Result<(Option<Md5>, Sha256, Option<Checksum>, Content)> {
        if self.fits_memory() {
            return self.finish_in_memory().await;
        }
        let (writer, hasher) = self.settled().await?;
        let (piece, for_md5, begin) = self.take_piece();
        let md5 = hasher.map(|hasher| spawn_blocking(move || hash_md5(hasher, &for_md5).finish()));
        let (sha256, checksum, file) = join(spawn_blocking(move || writer.map_or_else(begin, Ok)?.write_all(&piece)?.finish())).await??;
        let md5 = match md5 {
            Some(md5) => Some(join(md5).await?),
            None => None,
        };
        let checksum = kept(self.algorithm, checksum, md5.as_ref(), &sha256);
        Ok((md5, sha256, checksum, Content::File(file)))
    }

    async fn finish_in_memory(mut self) -> Result<(Option<Md5>, Sha256, Option<Checksum>, Content)> {
        let body = match self.piece.len() {
            1 => self.piece.swap_remove(0),
            _ => Bytes::from(self.piece.concat()),
        };
        let (algorithm, with_md5) = (self.algorithm, self.with_md5);
        let hash = move |body: &Bytes| {
            let sha256 = Sha256(sha2::Sha256::digest(body).into());
            let md5 = with_md5.then(|| Md5Hasher::digest(body));
            let checksum = hashed_apart(algorithm).and_then(|a| ChecksumHasher::digest(a, body));
            (md5, sha256, kept(algorithm, checksum, md5.as_ref(), &sha256))
        };
        let (md5, sha256, checksum) = if body.len() <= HASH_INLINE_BYTES {
            hash(&body)
        } else {
            let body = body.clone();
            join(spawn_blocking(move || hash(&body))).await?
        };
        // What is kept must not keep a connection's larger read buffer alive.
        Ok((md5, sha256, checksum, Content::Memory(Bytes::copy_from_slice(&body))))
    }
}

/// What is not hashed anyway.
fn hashed_apart(algorithm: Option<ChecksumAlgorithm>) -> Option<ChecksumAlgorithm> {
    algorithm.filter(|a| !matches!(a, ChecksumAlgorithm::Md5 | ChecksumAlgorithm::Sha256))
}

/// The checksum of `algorithm`, of which `apart` was computed where nothing else gives it.
fn kept(algorithm: Option<ChecksumAlgorithm>, apart: Option<Checksum>, md5: Option<&Md5>, sha256: &Sha256) -> Option<Checksum> {
    match algorithm? {
        a @ ChecksumAlgorithm::Md5 => Checksum::new(a, &md5?.0),
        a @ ChecksumAlgorithm::Sha256 => Checksum::new(a, &sha256.0),
        _ => apart,
    }
}

fn hash_md5(mut hasher: Md5Hasher, piece: &[Bytes]) -> Md5Hasher {
    piece.iter().for_each(|b| hasher.update(b));
    hasher
}

async fn join<T>(handle: JoinHandle<T>) -> Result<T> {
    handle.await.map_err(Error::internal)
}
