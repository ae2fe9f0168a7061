//! How what is made will be encrypted: as its writer asks, or as the bucket says, with the keys that he may use.
//!
//! Not here: what a request says (`http::s3::encryption`), how bytes are sealed (the origin). Called by the door before a body is
//! taken in, so that the body is staged as it will lie.

use crate::auth::action::Action;
use crate::auth::grant::{Grant, OperatorGrant};
use crate::base::bucket_encryption::BucketEncryption;
use crate::base::crypt::ring::NamedKeys;
use crate::base::encryption::{Encryption, KeyName, KeyStates, Kms};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::TenantId;
use crate::base::object::{BucketDocument, ObjectInfo, SharedObject};
use crate::base::range::ByteRange;
use crate::ops::changes::What;
use crate::ops::read::Shown;
use crate::ops::{Ops, bucket, object};
use crate::origin::{EncryptionKeys, ReadBy};

/// What is asked of a new object, as far as its request says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// As the bucket has it.
    Nothing,
    With(Encryption),
    /// With the key that the bucket names.
    DefaultKey {
        context: Option<String>,
        bucket_key: bool,
    },
}

/// What holds for all buckets.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// None: the store is an S3, and encrypts as it is asked to.
    pub keys: Option<NamedKeys>,
    /// Where a bucket does not say whether objects under customers' keys are refused.
    pub blocks_customer_keys: bool,
}

impl Rules {
    fn require(&self, key: &KeyName, tenant: &TenantId) -> Result<()> {
        self.keys.as_ref().map_or(Ok(()), |keys| keys.require(key, tenant))
    }
}

impl Ops {
    /// False: an S3 below does it, and what is asked is passed on to it.
    pub fn encrypts(&self) -> bool {
        self.encryption.keys.is_some()
    }

    /// Whether other forms of the object, which lie in the clear, would show what its owner had encrypted. What an S3 below encrypts lies in
    /// the clear in the cache.
    pub fn seals(&self, object: &ObjectInfo) -> bool {
        object.encryption.as_ref().is_some_and(|of| self.encrypts() || of.is_customers())
    }

    pub async fn encryption_of_new(&self, grant: &Grant, asked: Asked) -> Result<Option<Encryption>> {
        let of = object(grant, &[Action::PutObject])?;
        if !self.encrypts() && asked == Asked::Nothing {
            return Ok(None);
        }
        let found = self.origin.buckets.bucket(of.bucket).await?;
        let set = found.as_ref().map(|bucket| bucket.encryption()).transpose()?.unwrap_or_default();
        let encryption = match asked {
            // The key is one that the bucket's owner may use, or was when he set it.
            Asked::Nothing => return Ok(set.default),
            Asked::With(encryption) => encryption,
            Asked::DefaultKey { context, bucket_key } => match set.default {
                Some(Encryption::Kms(kms)) => Encryption::Kms(Kms { key: kms.key.clone(), context, bucket_key }.into()),
                _ if !self.encrypts() => Encryption::Kms(Kms { key: KeyName::of_store(), context, bucket_key }.into()),
                _ => return Err(no_key_named()),
            },
        };
        match &encryption {
            Encryption::Kms(_) if !self.encrypts() => {}
            Encryption::Kms(kms) => self.encryption.require(&kms.key, grant.tenant())?,
            Encryption::Customer(_) if set.blocks_customer_keys.unwrap_or(self.encryption.blocks_customer_keys) => {
                let text = "The bucket blocks server-side encryption with customer-provided keys (SSE-C). PutBucketEncryption with \
                            BlockedEncryptionTypes NONE allows it.";
                return Err(Error::new(ErrorKind::AccessDenied, text));
            }
            Encryption::S3 | Encryption::Customer(_) => {}
        }
        Ok(Some(encryption))
    }

    /// None: nothing is said any more.
    pub async fn set_bucket_encryption(&self, grant: &Grant, set: Option<BucketEncryption>) -> Result<()> {
        let (buckets, name) = (self.origin.buckets.clone(), bucket(grant, Action::PutEncryptionConfiguration)?.clone());
        if let Some(Encryption::Kms(kms)) = set.as_ref().and_then(|set| set.default.as_ref())
            && self.encrypts()
        {
            if kms.key.is_of_store() {
                return Err(no_key_named());
            }
            self.encryption.require(&kms.key, grant.tenant())?;
        }
        let value = set.map(|set| set.document().into_bytes());
        self.change(grant, What::Bucket, async move { buckets.set_bucket_document(&name, BucketDocument::Encryption, value).await }).await
    }

    pub async fn key_states(&self, _: &OperatorGrant) -> Result<KeyStates> {
        self.own_keys()?.key_states().await
    }

    /// Answers the number of the new version.
    pub async fn rotate_own_key(&self, _: &OperatorGrant) -> Result<u32> {
        self.own_keys()?.rotate_own().await
    }

    fn own_keys(&self) -> Result<&dyn EncryptionKeys> {
        let text = "This gateway stands over an S3, which encrypts with keys of its own: look at them and rotate them there.";
        self.origin.encryption_keys.as_deref().ok_or_else(|| Error::new(ErrorKind::NotImplemented, text))
    }

    /// Whether whoever looks at the version has brought the key that it is encrypted with. False: it was replaced meanwhile; stat again.
    pub async fn proves_key(&self, grant: &Grant, version: &SharedObject) -> Result<bool> {
        let of = object(grant, &[Action::GetObject, Action::GetObjectAttributes])?;
        let nothing = ByteRange { start: 0, end: 0 };
        Ok(self.origin.reads.open(of, Shown::stored(version).info, nothing, ReadBy::UserSpace).await?.is_some())
    }
}

pub fn no_key_named() -> Error {
    let text = "x-amz-server-side-encryption-aws-kms-key-id must name a key: this gateway has none of its own for aws:kms.";
    Error::new(ErrorKind::KmsNotFound, text)
}
