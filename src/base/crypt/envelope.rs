//! What stands in a row of the key of its body: how it is encrypted, and the data key, wrapped and bound to the row.
//!
//! Bound are: the way of encryption with key, version and context, the body's name, and the place: bucket, key, generation and size of
//! an object. A row that was put in the place of another does not open. The parts of an object lie under data keys of their own, each
//! wrapped under the object's, and bound to the part's number and file.
//! Called by `local` for rows of objects and uploads. Invariant: neither a customer's key nor a data key is ever in a stored form.

use serde::{Deserialize, Serialize};

use super::chunks::{BodyId, DataKey};
use super::wrap::WRAPPED_BYTES;
use crate::base::encryption::{Encryption, KeyName, Kms};
use crate::base::error::{Error, Result};
use crate::base::names::{BucketName, ObjectKey, UploadId};

/// What an envelope is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place(Box<[u8]>);

impl Place {
    pub fn of_version(bucket: &BucketName, key: &ObjectKey, generation: u64, size: u64) -> Self {
        Self::of(b'v', bucket, key, &[generation.to_be_bytes(), size.to_be_bytes()].concat())
    }

    pub fn of_upload(bucket: &BucketName, key: &ObjectKey, upload: &UploadId) -> Self {
        Self::of(b'u', bucket, key, upload.as_str().as_bytes())
    }

    /// Names hold no NUL.
    fn of(kind: u8, bucket: &BucketName, key: &ObjectKey, rest: &[u8]) -> Self {
        Place([&[kind], bucket.as_str().as_bytes(), &[0], key.as_str().as_bytes(), &[0], rest].concat().into())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Without a customer's key.
    pub of: Encryption,
    /// Of the named key. 0: the customer's.
    pub version: u32,
    pub body: BodyId,
    pub(super) wrapped: Box<[u8]>,
}

#[derive(Serialize, Deserialize)]
enum KindForm {
    S3,
    Kms,
    Customer,
}

#[derive(Serialize, Deserialize)]
struct EnvelopeForm {
    kind: KindForm,
    key: String,
    context: Option<String>,
    bucket_key: bool,
    version: u32,
    body: BodyId,
    wrapped: Vec<u8>,
}

impl Envelope {
    /// What the data key is bound to beside the name of the key: all but what is wrapped.
    pub(super) fn bound(of: &Encryption, version: u32, body: &BodyId, place: &Place) -> Vec<u8> {
        let mut bound = b"tidegate envelope 1".to_vec();
        let mut add = |field: &[u8]| {
            bound.extend_from_slice(&(field.len() as u64).to_be_bytes());
            bound.extend_from_slice(field);
        };
        match of {
            Encryption::S3 => add(b"s3"),
            Encryption::Kms(kms) => {
                add(b"kms");
                add(kms.key.as_str().as_bytes());
                add(kms.context.as_deref().unwrap_or_default().as_bytes());
            }
            Encryption::Customer(_) => add(b"customer"),
        }
        add(&version.to_be_bytes());
        add(body);
        add(&place.0);
        bound
    }

    pub fn encode(&self) -> Result<Vec<u8>> {
        let (kind, kms) = match &self.of {
            Encryption::S3 => (KindForm::S3, None),
            Encryption::Kms(kms) => (KindForm::Kms, Some(kms)),
            Encryption::Customer(_) => (KindForm::Customer, None),
        };
        let form = EnvelopeForm {
            kind,
            key: kms.map_or_else(String::new, |kms| kms.key.as_str().to_owned()),
            context: kms.and_then(|kms| kms.context.clone()),
            bucket_key: kms.is_some_and(|kms| kms.bucket_key),
            version: self.version,
            body: self.body,
            wrapped: self.wrapped.to_vec(),
        };
        postcard::to_stdvec(&form).map_err(Error::internal)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let EnvelopeForm { kind, key, context, bucket_key, version, body, wrapped } =
            postcard::from_bytes(bytes).map_err(Error::internal)?;
        let of = match kind {
            KindForm::S3 => Encryption::S3,
            KindForm::Kms => Encryption::Kms(Kms { key: KeyName::parse(&key)?, context, bucket_key }.into()),
            KindForm::Customer => Encryption::Customer(None),
        };
        if wrapped.len() != WRAPPED_BYTES {
            return Err(Error::internal("a row's data key has another length than data keys have"));
        }
        Ok(Envelope { of, version, body, wrapped: wrapped.into() })
    }
}

/// The data key of a part, under that of its object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartKey {
    body: BodyId,
    wrapped: Box<[u8]>,
}

impl PartKey {
    /// `file`: the number of the part's file.
    pub fn wrap(under: &DataKey, number: u16, file: u64, key: &DataKey) -> Result<Self> {
        let wrapped = under.wrap(&bound(under, number, file, &key.id()), key)?;
        Ok(PartKey { body: key.id(), wrapped: wrapped.into() })
    }

    /// None: it is not the key of this part of this object.
    pub fn unwrap(&self, under: &DataKey, number: u16, file: u64) -> Option<DataKey> {
        under.unwrap(&bound(under, number, file, &self.body), self.body, &self.wrapped)
    }
}

fn bound(under: &DataKey, number: u16, file: u64, body: &BodyId) -> Vec<u8> {
    [&b"tidegate part 1"[..], &under.id(), &number.to_be_bytes(), &file.to_be_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands in rows stays as it is.
    #[test]
    fn forms_as_they_are_written() {
        let kms = Kms { key: KeyName::parse("k1").unwrap(), context: Some("e30=".into()), bucket_key: true };
        let (body, wrapped) = ([7; 16], [9; WRAPPED_BYTES]);
        let tail = [&[3], &body[..], &[64], &wrapped[..]].concat();
        for (of, head) in [
            (Encryption::S3, b"\x00\x00\x00\x00".to_vec()),
            (Encryption::Kms(kms.into()), b"\x01\x02k1\x01\x04e30=\x01".to_vec()),
            (Encryption::Customer(None), b"\x02\x00\x00\x00".to_vec()),
        ] {
            let (bytes, envelope) = ([head, tail.clone()].concat(), Envelope { of, version: 3, body, wrapped: wrapped.into() });
            assert_eq!(Envelope::decode(&bytes).unwrap(), envelope);
            assert_eq!(envelope.encode().unwrap(), bytes);
            assert!(Envelope::decode(&bytes[..bytes.len() - 1]).is_err());
        }
        let keys = vec![PartKey { body, wrapped: wrapped.into() }];
        assert_eq!(postcard::to_stdvec(&keys).unwrap(), [&[1], &body[..], &[64], &wrapped[..]].concat());
    }
}
