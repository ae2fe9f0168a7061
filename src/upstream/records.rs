//! The gateway's own state in home: small sealed records under `.tidegate/`, written under conditions.
//!
//! A record is bound to its path: one that was moved, copied from another place or written by somebody else does not open.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use aws_sdk_s3::primitives::ByteStream;

use crate::base::error::{Error, ErrorKind, Result};
use crate::upstream::fault;
use crate::upstream::open::Inner;

/// A record is a bucket with its documents, at most.
const MAX_RECORD_BYTES: i64 = 1024 * 1024;
/// Each is one small request: more at once would only queue.
pub const READ_AT_ONCE: usize = 16;

/// Of a folder, by name.
pub type Records = BTreeMap<String, Record>;

#[derive(Clone)]
pub struct Record {
    pub etag: String,
    pub text: Vec<u8>,
}

/// What must hold of the record that is written over.
pub enum Over {
    Anything,
    Nothing,
    /// By its ETag.
    This(String),
}

impl Inner {
    pub fn record_key(&self, path: &str) -> String {
        format!("{}{path}", self.map.state())
    }

    pub async fn record(&self, path: &str) -> Result<Option<Record>> {
        let got = self.reader.get_object().bucket(self.map.home()).key(self.record_key(path)).send().await;
        let got = match got {
            Ok(got) => got,
            Err(e) if fault::is_no_such_key(&e) => return Ok(None),
            Err(e) => return Err(fault::of(e)),
        };
        if got.content_length().is_some_and(|n| n > MAX_RECORD_BYTES) {
            return Err(unreadable(path, "is too large"));
        }
        let etag = got.e_tag().unwrap_or_default().to_owned();
        let sealed = got.body.collect().await.map_err(|e| Error::new(ErrorKind::BadGateway, BROKEN).caused_by(e))?.into_bytes();
        match self.sealer.open(path, &sealed) {
            Some(text) => Ok(Some(Record { etag, text })),
            None => Err(unreadable(path, "was not sealed with this operator's key")),
        }
    }

    /// Its ETag. Fails with PreconditionFailed.
    pub async fn put_record(&self, path: &str, text: &[u8], over: Over) -> Result<String> {
        let sealed = self.sealer.seal(path, text)?;
        if !self.abilities().conditional_writes {
            self.look_before(path, &over).await?;
        }
        let mut put = self.client.put_object().bucket(self.map.home()).key(self.record_key(path));
        put = match &over {
            _ if !self.abilities().conditional_writes => put,
            Over::Anything => put,
            Over::Nothing => put.if_none_match("*"),
            Over::This(etag) => put.if_match(etag),
        };
        if let Some(key) = &self.settings.kms_key {
            put = put.server_side_encryption(aws_sdk_s3::types::ServerSideEncryption::AwsKms).ssekms_key_id(key);
        }
        let sent = put.content_type("application/octet-stream").body(ByteStream::from(sealed.clone())).send().await;
        match sent {
            Ok(put) => Ok(put.e_tag().unwrap_or_default().to_owned()),
            Err(e) if fault::is_no_such_key(&e) && matches!(over, Over::This(_)) => Err(changed(path)),
            Err(e) if fault::is_precondition_failed(&e) || fault::is_conflict(&e) => self.was_it_us(path, &sealed).await,
            Err(e) => Err(fault::of(e)),
        }
    }

    /// A first try whose answer was lost makes the second one fail. No two seals are alike.
    async fn was_it_us(&self, path: &str, sealed: &[u8]) -> Result<String> {
        let got = self.reader.get_object().bucket(self.map.home()).key(self.record_key(path)).send().await;
        let Ok(got) = got else { return Err(changed(path)) };
        let etag = got.e_tag().unwrap_or_default().to_owned();
        let there = got.body.collect().await.map(|b| b.into_bytes());
        if there.is_ok_and(|t| *t == *sealed) { Ok(etag) } else { Err(changed(path)) }
    }

    /// Where the upstream has no conditions: as good as it can be for nodes that do not race.
    async fn look_before(&self, path: &str, over: &Over) -> Result<()> {
        let there = match over {
            Over::Anything => return Ok(()),
            Over::Nothing | Over::This(_) => self.record(path).await?,
        };
        match (over, there) {
            (Over::Nothing, Some(_)) | (Over::This(_), None) => Err(changed(path)),
            (Over::This(etag), Some(there)) if there.etag != *etag => Err(changed(path)),
            _ => Ok(()),
        }
    }

    pub async fn delete_record(&self, path: &str) -> Result<()> {
        self.client.delete_object().bucket(self.map.home()).key(self.record_key(path)).send().await.map(drop).map_err(fault::of)
    }

    /// Names under `folder` (which ends with a slash), in order, with their ETags.
    pub async fn record_names(&self, folder: &str) -> Result<Vec<(String, String)>> {
        let prefix = self.record_key(folder);
        let mut names = Vec::new();
        let mut token = None;
        loop {
            let list = self.reader.list_objects_v2().bucket(self.map.home()).prefix(&prefix).set_continuation_token(token.take());
            let page = list.send().await.map_err(fault::of)?;
            for object in page.contents() {
                if let Some(name) = object.key().and_then(|k| k.strip_prefix(&prefix)) {
                    names.push((name.to_owned(), object.e_tag().unwrap_or_default().to_owned()));
                }
            }
            token = page.next_continuation_token().map(str::to_owned).filter(|_| page.is_truncated() == Some(true));
            if token.is_none() {
                return Ok(names);
            }
        }
    }

    /// All records under `folder`, with their names. Those that are as they were the last time are not read again.
    pub async fn records(self: &Arc<Self>, folder: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let names = self.record_names(folder).await?;
        let before = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(folder).cloned().unwrap_or_default();
        let mut found = Records::new();
        let mut changed = Vec::new();
        for (name, etag) in names {
            match before.get(&name) {
                // Some stores leave it out of listings.
                Some(known) if known.etag == etag && !etag.is_empty() => drop(found.insert(name, known.clone())),
                _ => changed.push(name),
            }
        }
        for some in changed.chunks(READ_AT_ONCE) {
            let mut reads = tokio::task::JoinSet::new();
            for name in some {
                let (inner, name, path) = (self.clone(), name.clone(), format!("{folder}{name}"));
                reads.spawn(async move { (name, inner.record(&path).await) });
            }
            while let Some(read) = reads.join_next().await {
                let (name, record) = read.map_err(Error::internal)?;
                if let Some(record) = record? {
                    found.insert(name, record);
                }
            }
        }
        let all = found.iter().map(|(name, record)| (name.clone(), record.text.clone())).collect();
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned(), Arc::new(found));
        Ok(all)
    }
}

pub const BROKEN: &str = "The storage behind this gateway broke off its answer. Please try again.";

fn changed(path: &str) -> Error {
    Error::new(ErrorKind::PreconditionFailed, "The gateway's own record was changed by somebody else meanwhile. Please try again.")
        .caused_by(format!("the record {path} in the upstream bucket"))
}

fn unreadable(path: &str, why: &str) -> Error {
    let text = "The gateway can't read its own state in the storage behind it. Please tell its operator.";
    Error::new(ErrorKind::UpstreamUnavailable, text).caused_by(format!("the record {path} in the upstream bucket {why}"))
}
