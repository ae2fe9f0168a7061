//! A folder of a bucket of some S3, in the few calls that moving needs. Beside `upstream/` the only file, with `fault`, that
//! speaks the SDK; the SDK repeats what failed, with backoff, and a body that breaks off is taken up again here.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart, ServerSideEncryption, Tag, Tagging,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};

use super::fault::{Fault, Result};
use super::hashes::Claims;
use crate::base::storable::SEALED;
use crate::base::tags::Tags;

/// What is sent and read at once; a body of more than this goes in parts of at least this. One slot holds one.
pub const PIECE: u64 = 16 * 1024 * 1024;
/// S3's limit. Objects of more than PIECE times this (156 GiB) have larger parts.
const MAX_PARTS: u64 = 10_000;
/// A body that breaks off without a single byte of progress is asked for so often.
const ATTEMPTS: u32 = 10;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

pub struct Remote {
    pub client: Client,
    pub bucket: String,
    /// Empty, or with a slash at its end.
    pub prefix: String,
    /// Which server and bucket: names the other side in the notes of uploads that have begun.
    pub at: String,
    /// What the URLs of objects begin with; no slash at its end.
    pub public_base: String,
}

/// The headers that belong to an object, apart from its content's own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Headers {
    pub content_type: Option<String>,
    pub cache_control: Option<String>,
    pub content_disposition: Option<String>,
    pub content_encoding: Option<String>,
    pub content_language: Option<String>,
    pub expires: Option<DateTime>,
    pub metadata: HashMap<String, String>,
    /// Tags that the object is made with, as `x-amz-tagging` has them. What is read of an object has none: see `Remote::tags`.
    pub tagging: Option<String>,
}

impl Headers {
    /// The same text for the same headers.
    pub fn identity(&self) -> String {
        let mut metadata: Vec<_> = self.metadata.iter().collect();
        metadata.sort();
        let fixed = [&self.content_type, &self.cache_control, &self.content_disposition, &self.content_encoding, &self.content_language];
        let tagging = self.tagging.as_ref().map(|tags| format!(" {tags}")).unwrap_or_default();
        format!("{fixed:?} {:?} {metadata:?}{tagging}", self.expires)
    }
}

#[derive(Debug, Clone)]
pub struct Stat {
    pub claims: Claims,
    pub headers: Headers,
    /// None: the server does not say how many there are.
    pub tag_count: Option<i32>,
}

/// A part that is at the other side.
#[derive(Debug, Clone)]
pub struct Part {
    pub number: i32,
    pub size: u64,
    pub md5: [u8; 16],
    /// As the server said it.
    pub etag: String,
    pub crc64: u64,
}

/// Whether the server takes a CRC64NVME over a whole multipart object, and so proves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    Crc64,
    /// It refused: the parts are proven one by one, by their MD5.
    Parts,
}

pub fn part_size(size: u64) -> u64 {
    let least = size.div_ceil(MAX_PARTS);
    least.div_ceil(1024 * 1024).saturating_mul(1024 * 1024).max(PIECE)
}

pub fn unquoted(etag: Option<&str>) -> String {
    etag.unwrap_or_default().trim_matches('"').to_owned()
}

fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

impl Remote {
    pub fn key(&self, relative: &str) -> String {
        format!("{}{relative}", self.prefix)
    }

    pub fn url(&self, key: &str) -> String {
        format!("{}/{}", self.public_base, encode_path(key))
    }

    /// None: there is no such object.
    pub async fn stat(&self, key: &str) -> Result<Option<Stat>> {
        let asked = self.client.head_object().bucket(&self.bucket).key(key).checksum_mode(ChecksumMode::Enabled).send().await;
        let head = match asked {
            Ok(head) => head,
            Err(e) if e.as_service_error().is_some_and(|e| e.is_not_found()) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        // A composite checksum is none of the body's.
        let composite = head.checksum_type() == Some(&ChecksumType::Composite);
        let whole = |sum: Option<&str>| sum.filter(|s| !composite && !s.contains('-')).map(str::to_owned);
        let kms = matches!(head.server_side_encryption(), Some(ServerSideEncryption::AwsKms | ServerSideEncryption::AwsKmsDsse));
        let claims = Claims {
            size: head.content_length().and_then(|n| u64::try_from(n).ok()).unwrap_or_default(),
            etag: unquoted(head.e_tag()),
            etag_is_opaque: kms || head.sse_customer_algorithm().is_some(),
            sha256: whole(head.checksum_sha256()),
            crc64: whole(head.checksum_crc64_nvme()),
        };
        let tag_count = head.tag_count();
        // The SDK reads a date that is none as nothing.
        let headers = Headers {
            expires: head.expires_string().and_then(|e| DateTime::from_str(e, aws_sdk_s3::primitives::DateTimeFormat::HttpDate).ok()),
            content_type: head.content_type,
            cache_control: head.cache_control,
            content_disposition: head.content_disposition,
            content_encoding: head.content_encoding,
            content_language: head.content_language,
            // What a gateway sealed of an object speaks of that bucket alone, and no other gateway takes it.
            metadata: head.metadata.unwrap_or_default().into_iter().filter(|(name, _)| !name.eq_ignore_ascii_case(SEALED)).collect(),
            tagging: None,
        };
        Ok(Some(Stat { claims, headers, tag_count }))
    }

    /// Of the object as it is now. A server that knows no tags has none.
    pub async fn tags(&self, key: &str) -> Result<Tags> {
        let told = match self.client.get_object_tagging().bucket(&self.bucket).key(key).send().await.map_err(Fault::from) {
            Ok(told) => told,
            Err(fault) if fault.is(&["NotImplemented", "MethodNotAllowed", "501", "405"]) => return Ok(Tags::default()),
            Err(fault) => return Err(Fault::new(format!("its tags can't be read: {fault}; --no-tags leaves tags alone"))),
        };
        Ok(Tags::told(told.tag_set().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect()))
    }

    /// In place of those that it has.
    pub async fn set_tags(&self, key: &str, tags: &Tags) -> Result<()> {
        if tags.is_empty() {
            self.client.delete_object_tagging().bucket(&self.bucket).key(key).send().await?;
            return Ok(());
        }
        let tag = |(key, value): (&str, &str)| Tag::builder().key(key).value(value).build().map_err(|e| Fault::new(e.to_string()));
        let set = tags.iter().map(tag).collect::<Result<Vec<Tag>>>()?;
        let tagging = Tagging::builder().set_tag_set(Some(set)).build().map_err(|e| Fault::new(e.to_string()))?;
        self.client.put_object_tagging().bucket(&self.bucket).key(key).tagging(tagging).send().await?;
        Ok(())
    }

    /// The size of the first part of a multipart object; None where the server does not tell.
    pub async fn first_part(&self, key: &str, etag: &str) -> Result<Option<u64>> {
        let head = self.client.head_object().bucket(&self.bucket).key(key).part_number(1).if_match(quoted(etag)).send().await?;
        let told = head.parts_count().is_some_and(|n| n > 1);
        Ok(head.content_length().filter(|_| told).and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0))
    }

    /// Of the version with this ETag, or a fault; taken up again where it broke off.
    pub async fn read(&self, key: &str, etag: &str, from: u64, len: u64) -> Result<Bytes> {
        let capacity = usize::try_from(len).map_err(|_| Fault::new("a piece is too large for this machine"))?;
        if len == 0 {
            return Ok(Bytes::new());
        }
        let mut body = BytesMut::with_capacity(capacity);
        let mut attempt = 0;
        while body.len() < capacity {
            let had = body.len();
            let broke = self.read_into(&mut body, key, etag, from, len).await;
            attempt = if body.len() > had { 0 } else { attempt + 1 };
            match broke {
                Ok(()) => {}
                // An answer, or another version: asking again changes nothing (the SDK has asked often enough).
                Err((fault, true)) => return Err(fault),
                Err((fault, false)) if attempt >= ATTEMPTS => return Err(fault),
                Err(_) => wait(attempt).await,
            }
        }
        Ok(body.freeze())
    }

    /// A fault, and whether it is final.
    async fn read_into(&self, body: &mut BytesMut, key: &str, etag: &str, from: u64, len: u64) -> std::result::Result<(), (Fault, bool)> {
        let first = from + body.len() as u64;
        let range = format!("bytes={first}-{}", from + len - 1);
        let get = self.client.get_object().bucket(&self.bucket).key(key).if_match(quoted(etag)).range(range);
        let mut answer = get.send().await.map_err(|e| (changed(e.into()), true))?;
        if unquoted(answer.e_tag()) != etag {
            return Err((Fault::new("it was replaced while it was read"), true));
        }
        let expected = format!("bytes {first}-");
        if !answer.content_range().is_some_and(|r| r.starts_with(&expected)) {
            return Err((Fault::new("the server does not answer with the range that was asked for"), true));
        }
        loop {
            match answer.body.next().await {
                None if (body.len() as u64) < len => return Err((Fault::new("the body broke off"), false)),
                None => return Ok(()),
                Some(Ok(bytes)) if body.len() as u64 + bytes.len() as u64 > len => {
                    return Err((Fault::new("the server sent more than was asked for"), true));
                }
                Some(Ok(bytes)) => body.extend_from_slice(&bytes),
                Some(Err(e)) => return Err((Fault::new(e.to_string()), false)),
            }
        }
    }

    pub async fn put(&self, key: &str, headers: &Headers, body: Bytes, md5: [u8; 16], sha256: &str) -> Result<()> {
        let put = self.client.put_object().bucket(&self.bucket).key(key);
        let put = put
            .set_content_type(headers.content_type.clone())
            .set_cache_control(headers.cache_control.clone())
            .set_content_disposition(headers.content_disposition.clone())
            .set_content_encoding(headers.content_encoding.clone())
            .set_content_language(headers.content_language.clone())
            .set_expires(headers.expires)
            .set_metadata(Some(headers.metadata.clone()))
            .set_tagging(headers.tagging.clone())
            .content_md5(STANDARD.encode(md5))
            .checksum_sha256(sha256)
            .body(ByteStream::from(body));
        // Both hashes are signed with the headers: hashing the body once more for the signature proves nothing new.
        put.customize().disable_payload_signing().send().await?;
        Ok(())
    }

    pub async fn delete(&self, key: &str) -> Result<()> {
        self.client.delete_object().bucket(&self.bucket).key(key).send().await?;
        Ok(())
    }

    pub async fn begin(&self, key: &str, headers: &Headers, proof: Proof) -> Result<String> {
        let create = self.client.create_multipart_upload().bucket(&self.bucket).key(key);
        let create = create
            .set_content_type(headers.content_type.clone())
            .set_cache_control(headers.cache_control.clone())
            .set_content_disposition(headers.content_disposition.clone())
            .set_content_encoding(headers.content_encoding.clone())
            .set_content_language(headers.content_language.clone())
            .set_expires(headers.expires)
            .set_metadata(Some(headers.metadata.clone()))
            .set_tagging(headers.tagging.clone());
        let create = match proof {
            Proof::Crc64 => create.checksum_algorithm(ChecksumAlgorithm::Crc64Nvme).checksum_type(ChecksumType::FullObject),
            Proof::Parts => create,
        };
        create.send().await?.upload_id.ok_or_else(|| Fault::new("the server began an upload without an id"))
    }

    pub async fn send_part(&self, key: &str, upload: &str, part: Part, body: Bytes, proof: Proof) -> Result<Part> {
        let send = self.client.upload_part().bucket(&self.bucket).key(key).upload_id(upload).part_number(part.number);
        let send = match proof {
            Proof::Crc64 => send.checksum_crc64_nvme(super::hashes::crc64_base64(part.crc64)),
            Proof::Parts => send,
        };
        let send = send.content_md5(STANDARD.encode(part.md5)).body(ByteStream::from(body));
        let sent = send.customize().disable_payload_signing().send().await?;
        let etag = sent.e_tag.ok_or_else(|| Fault::new("the server took a part and gave it no ETag"))?;
        Ok(Part { etag, ..part })
    }

    /// Number, size and ETag of each part that is there; None: there is no such upload.
    pub async fn parts(&self, key: &str, upload: &str) -> Result<Option<HashMap<i32, (u64, String)>>> {
        let mut pages = self.client.list_parts().bucket(&self.bucket).key(key).upload_id(upload).into_paginator().send();
        let mut found = HashMap::new();
        while let Some(page) = pages.next().await {
            let page = match page.map_err(Fault::from) {
                Ok(page) => page,
                Err(fault) if fault.is(&["NoSuchUpload", "404"]) => return Ok(None),
                Err(fault) => return Err(fault),
            };
            for part in page.parts() {
                if let (Some(number), Some(size), Some(etag)) = (part.part_number(), part.size(), part.e_tag()) {
                    found.insert(number, (u64::try_from(size).unwrap_or_default(), etag.to_owned()));
                }
            }
        }
        Ok(Some(found))
    }

    /// Answers with the object's ETag.
    pub async fn complete(&self, key: &str, upload: &str, parts: &[Part], proof: Proof, crc64: &str) -> Result<String> {
        let completed = parts.iter().map(|p| {
            let part = CompletedPart::builder().part_number(p.number).e_tag(&p.etag);
            match proof {
                Proof::Crc64 => part.checksum_crc64_nvme(super::hashes::crc64_base64(p.crc64)).build(),
                Proof::Parts => part.build(),
            }
        });
        let list = CompletedMultipartUpload::builder().set_parts(Some(completed.collect())).build();
        let complete = self.client.complete_multipart_upload().bucket(&self.bucket).key(key).upload_id(upload).multipart_upload(list);
        let complete = match proof {
            Proof::Crc64 => complete.checksum_type(ChecksumType::FullObject).checksum_crc64_nvme(crc64),
            Proof::Parts => complete,
        };
        Ok(unquoted(complete.send().await?.e_tag()))
    }

    pub async fn abort(&self, key: &str, upload: &str) -> Result<()> {
        self.client.abort_multipart_upload().bucket(&self.bucket).key(key).upload_id(upload).send().await?;
        Ok(())
    }
}

fn changed(fault: Fault) -> Fault {
    if fault.is(&["PreconditionFailed", "412"]) { Fault::new("it was replaced while it was read") } else { fault }
}

/// With jitter, so that many readers don't come back at once.
async fn wait(attempt: u32) {
    let longest = FIRST_WAIT.saturating_mul(1 << attempt.min(10)).min(LONGEST_WAIT);
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    tokio::time::sleep(longest.mul_f64(0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0)).await;
}

/// As it stands in a URL's path.
pub fn encode_path(key: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const SAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');
    utf8_percent_encode(key, SAFE).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_whole_mebibytes_and_few_enough() {
        assert_eq!(part_size(0), PIECE);
        assert_eq!(part_size(PIECE * MAX_PARTS), PIECE);
        for size in [PIECE * MAX_PARTS + 1, 5 << 40] {
            assert!(part_size(size) > PIECE);
            assert!(size.div_ceil(part_size(size)) <= MAX_PARTS);
        }
    }

    #[test]
    fn urls_name_the_key() {
        assert_eq!(encode_path("a b/ü+%?.glb"), "a%20b/%C3%BC%2B%25%3F.glb");
    }
}
