//! How an object is encrypted, as its headers say it, and the key that a client brings with it.
//!
//! Not here: the keys behind names (`crypt::ring`), how bytes are sealed (`crypt`), what a bucket says of its new objects
//! (`bucket_encryption`). Called by whoever speaks of objects.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq as _;

use super::crypt::wrap::Secret;
use super::digest::Md5;
use super::error::{Error, ErrorKind, Result};

/// S3's names of algorithms.
pub const AES256: &str = "AES256";
pub const KMS: &str = "aws:kms";
pub const KMS_DSSE: &str = "aws:kms:dsse";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// Under the store's own key (SSE-S3).
    S3,
    /// Under a key that has a name (SSE-KMS).
    Kms(Arc<Kms>),
    /// Under the client's key (SSE-C). None: who looks at it does not have the key.
    Customer(Option<Arc<CustomerKey>>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kms {
    pub key: KeyName,
    /// As it was sent: JSON in base64. The data key is bound to it.
    pub context: Option<String>,
    /// It means nothing here, and is said again.
    pub bucket_key: bool,
}

impl Encryption {
    pub fn is_customers(&self) -> bool {
        matches!(self, Encryption::Customer(_))
    }

    pub fn customer_key(&self) -> Option<&Arc<CustomerKey>> {
        match self {
            Encryption::Customer(key) => key.as_ref(),
            Encryption::S3 | Encryption::Kms(_) => None,
        }
    }

    pub fn kms(&self) -> Option<&Kms> {
        match self {
            Encryption::Kms(kms) => Some(kms),
            Encryption::S3 | Encryption::Customer(_) => None,
        }
    }

    /// As it is kept: no key of a client's is.
    pub fn without_key(&self) -> Encryption {
        match self {
            Encryption::Customer(_) => Encryption::Customer(None),
            other => other.clone(),
        }
    }

    /// Whether an ETag is the MD5 of the bytes, as S3 has it.
    pub fn shows_md5(this: Option<&Encryption>) -> bool {
        matches!(this, None | Some(Encryption::S3))
    }
}

/// The name of a key: what a client says, and `[[encryption_key]]` in gateway.toml.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyName(Arc<str>);

/// An ARN of KMS has some 80.
const MAX_NAME_BYTES: usize = 256;

impl KeyName {
    pub fn parse(text: &str) -> Result<Self> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/' | b':');
        if text.is_empty() || text.len() > MAX_NAME_BYTES || !text.bytes().all(legal) {
            return Err(Error::new(ErrorKind::KmsNotFound, "Invalid keyId: no key can have this name."));
        }
        Ok(KeyName(text.into()))
    }

    /// The one that an S3 has of its own, where nobody names one.
    pub fn of_store() -> Self {
        KeyName("".into())
    }

    /// As another store tells it.
    pub fn told(text: &str) -> Result<Self> {
        if text.is_empty() { Ok(Self::of_store()) } else { Self::parse(text) }
    }

    pub fn is_of_store(&self) -> bool {
        self.0.is_empty()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A version of a key that a store has, or that something in it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyVersion {
    pub number: u32,
    pub is_there: bool,
    /// How many versions of objects, and uploads, can't be read without it.
    pub needed_by: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyState {
    /// None: the store's own.
    pub name: Option<KeyName>,
    /// From the oldest to the newest; the newest that is there wraps what is new.
    pub versions: Vec<KeyVersion>,
}

impl KeyState {
    pub fn newest(&self) -> Option<u32> {
        self.versions.iter().filter(|version| version.is_there).map(|version| version.number).max()
    }

    /// How many data keys are still to be wrapped under the newest version.
    pub fn stale(&self) -> u64 {
        let newest = self.newest();
        self.versions.iter().filter(|version| version.is_there && Some(version.number) != newest).map(|version| version.needed_by).sum()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStates {
    pub keys: Vec<KeyState>,
    /// Data keys are being wrapped anew at the moment.
    pub is_wrapping: bool,
    /// Data keys that did not open when that was tried last: they are damaged.
    pub unreadable: u64,
}

/// A key that a client brings with each request, and that is nowhere kept.
pub struct CustomerKey {
    pub(super) secret: Secret,
    md5: Md5,
}

impl CustomerKey {
    /// `md5`: computed over it.
    pub fn new(secret: [u8; 32], md5: Md5) -> Self {
        CustomerKey { secret: Secret::new(secret), md5 }
    }

    pub fn md5(&self) -> &Md5 {
        &self.md5
    }

    /// As requests say it, and its MD5: for the S3 that the request is passed on to.
    pub fn in_base64(&self) -> (String, String) {
        (STANDARD.encode(&self.secret[..]), STANDARD.encode(self.md5.0))
    }
}

impl PartialEq for CustomerKey {
    fn eq(&self, other: &Self) -> bool {
        self.secret.ct_eq(&*other.secret).into()
    }
}

impl Eq for CustomerKey {}

impl fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[customer key]")
    }
}

/// It can't be read or written without the key that it was encrypted with.
pub fn needs_customer_key() -> Error {
    let text =
        "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object.";
    Error::new(ErrorKind::InvalidRequest, text)
}

/// Headers of encryption for something that has none of that kind.
pub fn not_applicable() -> Error {
    Error::new(ErrorKind::InvalidRequest, "The encryption parameters are not applicable to this object.")
}
