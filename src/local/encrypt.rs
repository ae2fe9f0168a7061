//! Bodies under keys: what is brought in is sealed as it is to lie, and what is read is unlocked.
//!
//! Not here: chunks and envelopes (`base::crypt`), where a body lies (`objects`, `uploads`), how it is read (`reads`).
//! Invariants: a body that is to be encrypted is never in the clear on the disk, staging included, unless whoever brings it staged it
//! elsewhere; a data key is used for one body; a customer's key is held by nobody but the request.

use std::sync::Arc;

use bytes::Bytes;

use crate::base::crypt::{DataKey, Place, Ring};
use crate::base::crypt::{ring, wrap};
use crate::base::digest::Md5;
use crate::base::encryption::{CustomerKey, Encryption, needs_customer_key};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::etag::ETag;
use crate::ingest::writer::Writer;
use crate::ingest::{Content, Staging};
use crate::local::hot::Entry;
use crate::local::rows::{BodyPlace, HashRow, Held, UploadRow};
use crate::local::scope::KeyId;
use crate::local::shared::Shared;

/// Read at once of a body that is brought under a key.
const PIECE: usize = 1024 * 1024;

/// What content that is encrypted so lies under.
pub fn key_id(of: Option<&Encryption>) -> KeyId {
    of.map_or(KeyId::None, |of| KeyId::Number(ring::number(of)))
}

/// As S3 has it: the MD5 where nothing, or the store's own key, encrypts.
pub fn etag(of: Option<&Encryption>, md5: Md5) -> Result<ETag> {
    Ok(ETag::single(if Encryption::shows_md5(of) { md5 } else { Md5(wrap::random()?) }))
}

impl Shared {
    /// Where one body is staged that will lie so.
    pub fn staging_of(&self, of: Option<&Encryption>) -> Result<Staging> {
        Ok(match of {
            Some(_) => self.staging.clone().sealed_by(Arc::new(DataKey::new()?)),
            None => self.staging.clone(),
        })
    }

    /// The content as it is to lie, with the key of it. Blocks.
    pub fn brought_under(&self, content: Content, encrypted: bool) -> Result<(Content, Option<Arc<DataKey>>)> {
        match content {
            Content::Memory(bytes) if encrypted => {
                let key = Arc::new(DataKey::new()?);
                Ok((Content::Memory(key.seal_all(&bytes)?.into()), Some(key)))
            }
            Content::Memory(bytes) => Ok((Content::Memory(bytes), None)),
            Content::File(file) if file.sealed().is_some() == encrypted => {
                let key = file.sealed().cloned();
                Ok((Content::File(file), key))
            }
            // Staged by who did not know.
            Content::File(file) => {
                let (key, body) = (if encrypted { Some(Arc::new(DataKey::new()?)) } else { None }, file.body().map_err(Error::storage)?);
                let staging = key.iter().fold(self.staging.clone(), |staging, key| staging.sealed_by(key.clone()));
                let (mut writer, mut at) = (Writer::begin(staging, None)?, 0);
                while at < body.len() {
                    let piece = body.read(at, PIECE).map_err(Error::storage)?;
                    writer.write(&piece)?;
                    at += piece.len() as u64;
                }
                Ok((Content::File(writer.finish()?.2), key))
            }
        }
    }

    /// The key of the entry's bytes. None: they are as they came.
    pub fn unlock(&self, entry: &Entry, customer: Option<&Arc<CustomerKey>>) -> Result<Option<Arc<DataKey>>> {
        let Some(held) = &entry.held else { return Ok(None) };
        let customer = customer.map(|key| &**key);
        self.ring.load().unwrap(&held.envelope, &held.place, customer).map(|key| Some(Arc::new(key)))
    }

    /// The key that those of an upload's parts lie under.
    pub fn unlock_upload(&self, row: &UploadRow, customer: Option<&Arc<CustomerKey>>) -> Result<Option<Arc<DataKey>>> {
        upload_key(&self.ring.load(), row, customer).map(|key| key.map(Arc::new))
    }

    /// The bytes of a body that is one piece, as they came. Blocks. None: the place is gone.
    pub fn read_opened(&self, entry: &Entry, key: Option<&Arc<DataKey>>) -> Result<Option<Bytes>> {
        let Some(key) = key else { return self.read_whole(entry) };
        let Some(sealed) = self.read_whole(entry)? else { return Ok(None) };
        match key.open_all(entry.info.size, &sealed) {
            Some(bytes) => Ok(Some(bytes.into())),
            None => Err(ring::unreadable("a body's data key")),
        }
    }
}

pub fn upload_key(ring: &Ring, row: &UploadRow, customer: Option<&Arc<CustomerKey>>) -> Result<Option<DataKey>> {
    let Some(envelope) = &row.envelope else { return Ok(None) };
    let upload = &row.upload;
    if envelope.of.is_customers() && customer.is_none() {
        let text = "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate encryption parameters.";
        return Err(Error::new(ErrorKind::InvalidRequest, text));
    }
    let place = Place::of_upload(&upload.bucket, &upload.key, &upload.id);
    let opened = ring.unwrap(envelope, &place, customer.map(|key| &**key)).map(Some);
    opened.map_err(|e| match e.kind() {
        ErrorKind::AccessDenied => {
            Error::new(ErrorKind::InvalidRequest, "The provided encryption parameters did not match the ones used originally.")
        }
        _ => e,
    })
}

/// What finds a new row's place: that of content which is here, with its key. None: it can't be used.
pub fn known(ring: &Ring, of: Option<&Encryption>, content: HashRow) -> Option<(BodyPlace, Option<Arc<DataKey>>)> {
    if of.is_none() {
        return Some((content.place, None));
    }
    let Held { envelope, place } = content.held?;
    match ring.unwrap(&envelope, &place, None) {
        Ok(key) => Some((content.place, Some(Arc::new(key)))),
        Err(e) => {
            tracing::warn!(error = %e, "content that is here already could not be used for another object: it is stored anew");
            None
        }
    }
}

/// A row's envelope, of the key of its bytes. Both are there, or none is.
pub fn envelope(
    ring: &Ring,
    of: Option<&Encryption>,
    key: Option<&DataKey>,
    place: &Place,
) -> Result<Option<crate::base::crypt::Envelope>> {
    match (of, key) {
        (None, None) => Ok(None),
        (Some(of), Some(key)) => ring.wrap(of, key, place).map(Some),
        (Some(_), None) | (None, Some(_)) => Err(Error::internal("a body and its row say different things of its encryption")),
    }
}

/// The client's key must be there where it encrypts.
pub fn require_key(of: Option<&Encryption>) -> Result<()> {
    match of {
        Some(Encryption::Customer(None)) => Err(needs_customer_key()),
        _ => Ok(()),
    }
}
