//! One object that goes up in parts, in parallel. Whatever ends it before it is complete aborts it upstream.
//!
//! A body is cut (`Cutter`) while it arrives (`ahead`), or from the file that it is in. Each part is read from that file when it is
//! sent, and again when it is sent again: memory does not grow with the object. Retries, their backoff and budget are the SDK's.
//! The upstream gets a checksum of each part and of the whole; what it is given is never a body of other bytes than were hashed.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::operation::complete_multipart_upload::CompleteMultipartUploadOutput;
use aws_sdk_s3::types::{ChecksumType as UpstreamType, CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};

use crate::base::checksum::{Checksum, ChecksumAlgorithm};
use crate::base::encryption::{CustomerKey, Encryption};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::{MAX_PARTS, MAX_PUT_BYTES, MIN_PART_BYTES};
use crate::base::lock::Lock;
use crate::base::object::ObjectHeaders;
use crate::base::tags::Tags;
use crate::ingest::hasher::crc_algorithm;
use crate::ingest::{Content, StagedFile};
use crate::upstream::ahead::Ahead;
use crate::upstream::client;
use crate::upstream::conditions::{self, Held, LOOKS};
use crate::upstream::counting::Watch;
use crate::upstream::cutter::{Cutter, FilePart, Told, cut_file};
use crate::upstream::fault;
use crate::upstream::info::{self, seal_place, with_checksum, with_headers, with_keeping, with_lock};
use crate::upstream::known::Known;
use crate::upstream::open::Inner;
use crate::upstream::place::Place;
use crate::upstream::sse::{encryption_of, with_key};
use crate::upstream::write::{Made, Sending, busy, insert_raw, part_of_file};

const _: () = assert!(MAX_PUT_BYTES / MIN_PART_BYTES < MAX_PARTS as u64, "a PUT never has too many parts");

/// What is begun upstream before the body is whole.
#[derive(Clone)]
pub struct PartedObject {
    pub place: Place,
    pub key: String,
    pub headers: ObjectHeaders,
    pub tags: Tags,
    pub encryption: Option<Encryption>,
    pub known: Known,
    pub lock: Lock,
    pub algorithm: Option<ChecksumAlgorithm>,
}

/// All parts of one, upstream, not completed. Dropped, it is aborted.
pub struct Sent {
    guard: Guard,
    sealed: String,
    object: PartedObject,
    parts: Vec<SentPart>,
}

struct SentPart {
    number: i32,
    etag: String,
    checksum: Option<Checksum>,
    size: u64,
}

/// An error waits so long for the upload to be aborted, so that as a rule nothing is left upstream when the client hears of it.
pub const ABORT_PATIENCE: Duration = Duration::from_secs(1);

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

    /// Waits a little until it is aborted, unless it was completed.
    async fn settle(&mut self) {
        if let Some(aborting) = self.abort() {
            let _ = tokio::time::timeout(ABORT_PATIENCE, aborting).await;
        }
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
    /// Of the whole of an object in parts: a CRC, the client's own where it chose one.
    pub fn algorithm_of_parts(&self, kept: Option<ChecksumAlgorithm>) -> Option<ChecksumAlgorithm> {
        let algorithm = kept.filter(|a| a.is_crc()).unwrap_or(ChecksumAlgorithm::Crc64Nvme);
        self.abilities().checksums.then_some(algorithm)
    }

    /// `ahead`: what went up while the body arrived.
    pub async fn put_in_parts(self: &Arc<Self>, sending: &Sending, watch: &Watch<'_>, ahead: Option<Arc<Ahead>>) -> Result<Made> {
        let Content::File(file) = &sending.received.content else {
            return Err(Error::internal("a body in memory is larger than the threshold of uploads in parts"));
        };
        // Decided before anything more is sent, and by the upstream again when it is completed.
        let held = self.held(watch.conditions, &sending.place.bucket, &sending.key).await.and_then(|held| self.can_complete(&held));
        if let (Err(_), Some(ahead)) = (&held, &ahead) {
            ahead.give_up().await;
        }
        held?;
        let went = match ahead {
            Some(ahead) => match ahead.finish(file.path()).await {
                Ok(sent) if sent.object.is_of(sending) => Some(sent),
                Ok(_other) => None,
                // The client waited for its whole body to arrive: one more try, as if nothing had gone ahead.
                Err(e) => {
                    tracing::warn!(error = %e, "parts could not be sent while their body arrived; it is sent again from the start");
                    None
                }
            },
            None => None,
        };
        let mut sent = match went {
            Some(sent) => sent,
            None => self.send_file(sending, file).await?,
        };
        let done = self.finish(&mut sent, watch).await;
        sent.guard.settle().await;
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

    async fn begin(self: &Arc<Self>, object: &PartedObject, sealed: &str) -> Result<Guard> {
        let PartedObject { place, key, headers, tags, algorithm, .. } = object;
        let create = self.client.create_multipart_upload().bucket(&*place.bucket).key(key);
        let create = with_headers!(create, headers).set_metadata(Some(info::metadata(headers, sealed)));
        let create = with_keeping!(create, &self.settings, headers, object.encryption.as_ref())
            .set_checksum_algorithm(algorithm.map(|a| a.name().into()))
            .set_checksum_type(algorithm.map(|_| UpstreamType::FullObject))
            .set_tagging(self.tagging(tags)?);
        let create = with_lock!(create, &object.lock);
        let raw = info::raw_headers(headers);
        let created = create.customize().mutate_request(move |r| insert_raw(r, &raw)).send().await.map_err(fault::of_lock)?;
        let id = created.upload_id().map(str::to_owned);
        if id.is_none() {
            return Err(Error::new(ErrorKind::BadGateway, "The storage behind this gateway began an upload without an id."));
        }
        Ok(Guard { inner: self.clone(), bucket: place.bucket.clone(), key: key.clone(), id })
    }

    /// Sends each part that it is told of, some at once, until the end is told. Where `told` closes before, the body was given up.
    pub async fn send_parts(self: &Arc<Self>, object: PartedObject, mut told: UnboundedReceiver<Told>) -> Result<Sent> {
        let sealed = self.sealed(&object.known, &seal_place(&object.place.bucket, &object.key, None))?;
        let mut guard = self.begin(&object, &sealed).await?;
        let mut sending = JoinSet::new();
        let unlock = object.encryption.as_ref().and_then(Encryption::customer_key).cloned();
        let parts = self.send_told(&guard, unlock, &mut sending, &mut told).await;
        // None of them may reach the upstream after the abort.
        sending.shutdown().await;
        if parts.is_err() {
            guard.settle().await;
        }
        Ok(Sent { guard, sealed, object, parts: parts? })
    }

    async fn send_told(
        self: &Arc<Self>,
        guard: &Guard,
        unlock: Option<Arc<CustomerKey>>,
        sending: &mut JoinSet<Result<SentPart>>,
        told: &mut UnboundedReceiver<Told>,
    ) -> Result<Vec<SentPart>> {
        let given_up = || Error::new(ErrorKind::IncompleteBody, "The body was given up.");
        let mut sent = Vec::new();
        loop {
            tokio::select! {
                Some(done) = sending.join_next() => sent.push(done.map_err(Error::internal)??),
                next = told.recv() => match next.ok_or_else(given_up)? {
                    Told::End => break,
                    Told::Part(part) => {
                        // Before the task: no more tasks than turns.
                        let turn = self.parts_at_once.clone().acquire_owned().await.map_err(Error::internal)?;
                        if told.is_closed() {
                            return Err(given_up());
                        }
                        let (inner, bucket, key, id) = (self.clone(), guard.bucket.clone(), guard.key.clone(), guard.id().to_owned());
                        let unlock = unlock.clone();
                        sending.spawn(async move {
                            let _turn = turn;
                            inner.send_part(&bucket, &key, &id, part, unlock.as_deref()).await
                        });
                    }
                },
            }
        }
        while let Some(done) = sending.join_next().await {
            sent.push(done.map_err(Error::internal)??);
        }
        sent.sort_by_key(|p| p.number);
        Ok(sent)
    }

    async fn send_part(&self, bucket: &str, key: &str, id: &str, part: FilePart, unlock: Option<&CustomerKey>) -> Result<SentPart> {
        let FilePart { path, offset, length, number, checksum, md5 } = part;
        let body = part_of_file(&path, offset, length).await?;
        let send = self.client.upload_part().bucket(bucket).key(key).upload_id(id).part_number(number).body(body);
        let send = with_key!(send, unlock);
        let send = match &checksum {
            Some(checksum) => with_checksum!(send, checksum),
            None => send.set_content_md5(md5.map(|m| STANDARD.encode(m.0))),
        };
        let sent = send.customize().config_override(client::sending(length)).disable_payload_signing().send().await.map_err(fault::of)?;
        let etag = sent.e_tag().unwrap_or_default().to_owned();
        Ok(SentPart { number, etag, checksum, size: length })
    }

    /// A body that lies whole in its file.
    async fn send_file(self: &Arc<Self>, sending: &Sending, file: &StagedFile) -> Result<Sent> {
        let object = PartedObject::of(sending, self.algorithm_of_parts(sending.received.checksum.as_ref().map(|c| c.algorithm)));
        let cutter = Cutter::new(self.settings.part_bytes, object.algorithm);
        let (path, sha256) = (file.path().to_owned(), *sending.received.sha256.digest());
        let (tell, told) = unbounded_channel();
        let cut = spawn_blocking(move || cut_file(&path, cutter, &tell, &sha256).map(|()| tell));
        let sent = self.send_parts(object, told).await;
        // A file that reads otherwise than it was written is the better reason.
        cut.await.map_err(Error::internal)??;
        sent
    }

    async fn finish(&self, sent: &mut Sent, watch: &Watch<'_>) -> Result<Made> {
        let is_conditional = watch.is_conditional && self.abilities().conditional_completes;
        let watch = Watch { is_conditional, ..*watch };
        let Sent { guard, sealed, object, parts } = sent;
        let whole = object.algorithm.and_then(|a| combined(a, parts));
        let listed = parts.iter().map(|p| {
            let part = CompletedPart::builder().part_number(p.number).e_tag(&p.etag);
            match &p.checksum {
                Some(checksum) => with_checksum!(part, checksum).build(),
                None => part.build(),
            }
        });
        let list = CompletedMultipartUpload::builder().set_parts(Some(listed.collect())).build();
        for _ in 0..LOOKS {
            let (held, ticket) = self.watched(&watch).await?;
            let complete = self.client.complete_multipart_upload().bucket(&*guard.bucket).key(&guard.key).upload_id(guard.id());
            let complete = with_key!(complete.multipart_upload(list.clone()), object.unlock());
            let complete = complete.set_if_match(held.if_match.clone()).set_if_none_match(held.if_none_match.clone());
            let complete = match &whole {
                Some(whole) => with_checksum!(complete, whole).checksum_type(UpstreamType::FullObject),
                None => complete,
            };
            let done = match complete.send().await {
                Ok(done) => Made::of(done.e_tag(), done.version_id()).map(|made| Made { encryption: told_completed(&done), ..made }),
                // An answer that was lost, and the same request again.
                Err(e) if matches!(fault::status(&e), Some(404 | 409 | 412)) => {
                    let failed = conditions::of_answer(&held, &e).unwrap_or_else(|| fault::of(e));
                    self.was_it_this(&object.place, &object.key, sealed, object.unlock()).await.and_then(|made| made.ok_or(failed))
                }
                Err(e) => Err(fault::of(e)),
            };
            match ticket.end(done) {
                Err(e) if held.is_outdated(&e) => continue,
                Ok(made) => {
                    guard.id = None;
                    return Ok(made);
                }
                failed => return failed,
            }
        }
        Err(busy())
    }
}

impl PartedObject {
    fn of(sending: &Sending, algorithm: Option<ChecksumAlgorithm>) -> Self {
        let Sending { place, key, headers, tags, encryption, known, lock, .. } = sending;
        let known = Known::new(known.owner.clone(), known.acl.clone(), headers);
        let (place, key, headers, tags) = (place.clone(), key.clone(), headers.clone(), tags.clone());
        PartedObject { place, key, headers, tags, encryption: encryption.clone(), known, lock: *lock, algorithm }
    }

    fn unlock(&self) -> Option<&CustomerKey> {
        self.encryption.as_ref().and_then(Encryption::customer_key).map(|key| &**key)
    }

    fn is_of(&self, sending: &Sending) -> bool {
        let (mine, theirs) = (&self.known, &sending.known);
        (&self.place, &self.key, &self.headers, &self.tags) == (&sending.place, &sending.key, &sending.headers, &sending.tags)
            && (self.lock, &self.encryption) == (sending.lock, &sending.encryption)
            && (&mine.owner, &mine.acl) == (&theirs.owner, &theirs.acl)
    }
}

/// An answer that tells nothing of clients' keys.
pub fn told_completed(done: &CompleteMultipartUploadOutput) -> Option<Encryption> {
    encryption_of(done.server_side_encryption(), done.ssekms_key_id(), done.bucket_key_enabled(), None)
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
