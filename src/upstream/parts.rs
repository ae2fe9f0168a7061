//! One object that goes up in parts, in parallel. Whatever ends it before it is complete aborts it upstream.
//!
//! Each part is read from the staged file when it is sent, and again when it is sent again: memory does not grow with the
//! object. Retries, their backoff and budget are the SDK's. The upstream gets a checksum of each part and of the whole.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::types::{ChecksumType as UpstreamType, CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};

use crate::base::checksum::{Checksum, ChecksumAlgorithm};
use crate::base::conditions::WriteConditions;
use crate::base::digest::Md5;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::etag::ETag;
use crate::base::limits::MAX_PARTS;
use crate::ingest::Content;
use crate::ingest::hasher::{ChecksumHasher, crc_algorithm};
use crate::ingest::md5::Md5Hasher;
use crate::upstream::conditions::{self, Held, LOOKS};
use crate::upstream::fault;
use crate::upstream::info::{self, seal_place, with_checksum, with_headers, with_keeping};
use crate::upstream::open::Inner;
use crate::upstream::write::{Sending, busy, insert_raw, part_of_file};

/// Read at once to compute a part's checksum.
const READ: usize = 256 * 1024;
/// Parts grow until so many hold the object: some of the 10,000 are left for bodies whose size is not known when they begin.
const PARTS: u64 = 5_000;
const _: () = assert!(PARTS < MAX_PARTS as u64);

struct SentPart {
    number: i32,
    etag: String,
    checksum: Option<Checksum>,
    size: u64,
}

/// An error waits so long for the upload to be aborted, so that as a rule nothing is left upstream when the client hears of it.
const ABORT_PATIENCE: Duration = Duration::from_secs(1);

/// Aborts the upload unless it was completed.
struct Guard {
    inner: Arc<Inner>,
    bucket: Arc<str>,
    key: String,
    id: Option<String>,
}

impl Guard {
    fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }

    /// Goes on by itself, also where nobody waits for it; what it leaves where it fails is found by a lifecycle rule.
    fn abort(&mut self) -> Option<JoinHandle<()>> {
        let id = self.id.take()?;
        let (inner, bucket, key) = (self.inner.clone(), self.bucket.clone(), std::mem::take(&mut self.key));
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        Some(runtime.spawn(async move {
            match inner.client.abort_multipart_upload().bucket(&*bucket).key(key).upload_id(id).send().await {
                Ok(_) => {}
                Err(e) if fault::status(&e) == Some(404) => {}
                Err(e) => tracing::warn!(error = %fault::of(e), "an upload could not be aborted upstream: its parts are left there"),
            }
        }))
    }
}

/// The request was given up.
impl Drop for Guard {
    fn drop(&mut self) {
        self.abort();
    }
}

impl Inner {
    pub async fn put_in_parts(self: &Arc<Self>, sending: &Sending, conditions: &WriteConditions) -> Result<ETag> {
        let Content::File(file) = &sending.received.content else {
            return Err(Error::internal("a body in memory is larger than the threshold of uploads in parts"));
        };
        // Decided before anything is sent, and by the upstream again when it is completed.
        let held = self.held(conditions, &sending.place.bucket, &sending.key).await?;
        self.can_complete(&held)?;
        let algorithm = self.abilities().checksums.then(|| match &sending.received.checksum {
            Some(checksum) if checksum.algorithm.is_crc() => checksum.algorithm,
            _ => ChecksumAlgorithm::Crc64Nvme,
        });
        let sealed = self.sealed(&sending.known, &seal_place(&sending.place.bucket, &sending.key, None))?;
        let mut guard = self.begin(sending, &sealed, algorithm).await?;
        let done = match self.send_all(&guard, file.path().to_owned(), file.len(), algorithm).await {
            Ok(parts) => self.finish(&mut guard, sending, &sealed, parts, algorithm, conditions, held).await,
            Err(e) => Err(e),
        };
        if let Some(aborting) = guard.abort() {
            let _ = tokio::time::timeout(ABORT_PATIENCE, aborting).await;
        }
        done
    }

    /// Err: the upstream can't decide such a condition of an upload in parts.
    pub fn can_complete(&self, held: &Held) -> Result<()> {
        if held.is_any() && !self.abilities().conditional_completes {
            let text = "The storage behind this gateway does not decide conditions when an upload in parts is completed, so the gateway takes none.";
            return Err(Error::new(ErrorKind::NotImplemented, text));
        }
        Ok(())
    }

    async fn begin(self: &Arc<Self>, sending: &Sending, sealed: &str, algorithm: Option<ChecksumAlgorithm>) -> Result<Guard> {
        let create = self.client.create_multipart_upload().bucket(&*sending.place.bucket).key(&sending.key);
        let create = with_headers!(create, &sending.headers).set_metadata(Some(info::metadata(&sending.headers, sealed)?));
        let create = with_keeping!(create, &self.settings)
            .set_checksum_algorithm(algorithm.map(|a| a.name().into()))
            .set_checksum_type(algorithm.map(|_| UpstreamType::FullObject));
        let raw = info::raw_headers(&sending.headers);
        let created = create.customize().mutate_request(move |r| insert_raw(r, &raw)).send().await.map_err(fault::of)?;
        let id = created.upload_id().map(str::to_owned);
        if id.is_none() {
            return Err(Error::new(ErrorKind::BadGateway, "The storage behind this gateway began an upload without an id."));
        }
        Ok(Guard { inner: self.clone(), bucket: sending.place.bucket.clone(), key: sending.key.clone(), id })
    }

    async fn send_all(
        self: &Arc<Self>,
        guard: &Guard,
        path: PathBuf,
        size: u64,
        algorithm: Option<ChecksumAlgorithm>,
    ) -> Result<Vec<SentPart>> {
        let part_bytes = self.settings.part_bytes.max(size.div_ceil(PARTS));
        let mut sending: JoinSet<Result<SentPart>> = JoinSet::new();
        let mut sent = Vec::new();
        let (mut at, mut number) = (0, 1);
        while at < size {
            let part = FilePart { path: path.clone(), offset: at, length: part_bytes.min(size - at), number, algorithm };
            // Before the task: no more tasks than turns.
            let turn = self.parts_at_once.clone().acquire_owned().await.map_err(Error::internal)?;
            let (inner, bucket, key, id) = (self.clone(), guard.bucket.clone(), guard.key.clone(), guard.id().to_owned());
            at += part.length;
            number += 1;
            sending.spawn(async move {
                let _turn = turn;
                inner.send_part(&bucket, &key, &id, part).await
            });
            while let Some(done) = sending.try_join_next() {
                sent.push(done.map_err(Error::internal)??);
            }
        }
        while let Some(done) = sending.join_next().await {
            sent.push(done.map_err(Error::internal)??);
        }
        sent.sort_by_key(|p| p.number);
        Ok(sent)
    }

    async fn send_part(&self, bucket: &str, key: &str, id: &str, part: FilePart) -> Result<SentPart> {
        let FilePart { path, offset, length, number, algorithm } = part;
        let body = part_of_file(&path, offset, length).await?;
        let (checksum, md5) = spawn_blocking(move || sums(&path, offset, length, algorithm)).await.map_err(Error::internal)??;
        let send = self.client.upload_part().bucket(bucket).key(key).upload_id(id).part_number(number).body(body);
        let send = match (&checksum, md5) {
            (Some(checksum), _) => with_checksum!(send, checksum),
            (None, md5) => send.set_content_md5(md5.map(|m| STANDARD.encode(m.0))),
        };
        let sent = send.customize().disable_payload_signing().send().await.map_err(fault::of)?;
        let etag = sent.e_tag().unwrap_or_default().to_owned();
        Ok(SentPart { number, etag, checksum, size: length })
    }

    #[allow(clippy::too_many_arguments)]
    async fn finish(
        &self,
        guard: &mut Guard,
        sending: &Sending,
        sealed: &str,
        parts: Vec<SentPart>,
        algorithm: Option<ChecksumAlgorithm>,
        conditions: &WriteConditions,
        mut held: Held,
    ) -> Result<ETag> {
        let whole = algorithm.and_then(|a| combined(a, &parts));
        if let (Some(whole), Some(received)) = (&whole, &sending.received.checksum)
            && whole.algorithm == received.algorithm
            && whole != received
        {
            return Err(Error::storage(std::io::Error::other("a staged file reads differently than it was written")));
        }
        let listed = parts.iter().map(|p| {
            let part = CompletedPart::builder().part_number(p.number).e_tag(&p.etag);
            match &p.checksum {
                Some(checksum) => with_checksum!(part, checksum).build(),
                None => part.build(),
            }
        });
        let list = CompletedMultipartUpload::builder().set_parts(Some(listed.collect())).build();
        for _ in 0..LOOKS {
            let complete = self.client.complete_multipart_upload().bucket(&*guard.bucket).key(&guard.key).upload_id(guard.id());
            let complete = complete.multipart_upload(list.clone());
            let complete = complete.set_if_match(held.if_match.clone()).set_if_none_match(held.if_none_match.clone());
            let complete = match &whole {
                Some(whole) => with_checksum!(complete, whole).checksum_type(UpstreamType::FullObject),
                None => complete,
            };
            match complete.send().await {
                Ok(done) => {
                    guard.id = None;
                    return info::etag(done.e_tag());
                }
                // An answer that was lost, and the same request again.
                Err(e) if matches!(fault::status(&e), Some(404 | 409 | 412)) => {
                    if let Some(etag) = self.was_it_this(&sending.place, &sending.key, sealed).await? {
                        guard.id = None;
                        return Ok(etag);
                    }
                    if !held.looked || !fault::is_precondition_failed(&e) {
                        let is_condition = held.is_any() && fault::is_precondition_failed(&e);
                        return Err(if is_condition { conditions::failed(&held) } else { fault::of(e) });
                    }
                    held = self.held(conditions, &sending.place.bucket, &sending.key).await?;
                }
                Err(e) => return Err(fault::of(e)),
            }
        }
        Err(busy())
    }
}

struct FilePart {
    path: PathBuf,
    offset: u64,
    length: u64,
    number: i32,
    algorithm: Option<ChecksumAlgorithm>,
}

/// The checksum of a range of a file, or its MD5 where no checksum is taken upstream. Blocks.
pub fn sums(
    path: &std::path::Path,
    offset: u64,
    length: u64,
    algorithm: Option<ChecksumAlgorithm>,
) -> Result<(Option<Checksum>, Option<Md5>)> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::open(path).map_err(Error::storage)?;
    let mut checksum = algorithm.map(ChecksumHasher::new);
    let mut md5 = algorithm.is_none().then(Md5Hasher::new);
    let mut buffer = vec![0; READ];
    let mut at = 0;
    while at < length {
        let want = buffer.len().min((length - at) as usize);
        let piece = &mut buffer[..want];
        file.read_exact_at(piece, offset + at).map_err(Error::storage)?;
        if let Some(checksum) = &mut checksum {
            checksum.update(piece);
        }
        if let Some(md5) = &mut md5 {
            md5.update(piece);
        }
        at += want as u64;
    }
    // A CRC has no use for a SHA-256, and only CRCs are asked for here.
    Ok((checksum.and_then(|c| c.finish(&[0; 32])), md5.map(Md5Hasher::finish)))
}

/// CRCs are linear: that of the whole follows from those of the parts and their lengths.
fn combined(algorithm: ChecksumAlgorithm, parts: &[SentPart]) -> Option<Checksum> {
    let crc = crc_algorithm(algorithm)?;
    let number = |c: &Checksum| c.bytes().iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
    let mut parts = parts.iter();
    let mut whole = number(parts.next()?.checksum.as_ref()?);
    for part in parts {
        whole = crc_fast::checksum_combine(crc, whole, number(part.checksum.as_ref()?), part.size);
    }
    let bytes = whole.to_be_bytes();
    Checksum::new(algorithm, bytes.get(bytes.len() - algorithm.value_len()..)?)
}
