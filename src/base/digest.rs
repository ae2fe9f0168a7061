//! MD5 and SHA-256 as values, and the type that says a SHA-256 was proven.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sha256(pub [u8; 32]);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Md5(pub [u8; 16]);

impl Sha256 {
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    pub fn from_hex(s: &str) -> Option<Self> {
        let mut out = [0; 32];
        hex::decode_to_slice(s, &mut out).ok()?;
        Some(Sha256(out))
    }
}

impl Md5 {
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl std::fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.hex())
    }
}

impl std::fmt::Debug for Md5 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.hex())
    }
}

/// The SHA-256 of a whole body that this gateway hashed itself (or that an upstream vouched for as FULL_OBJECT).
/// Only such a hash may decide that two bodies are the same: one taken from a client's claim would let it
/// read another's bytes by naming their hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VerifiedSha256(Sha256);

impl VerifiedSha256 {
    /// Call this only with a digest computed over every byte of the body.
    pub fn proven(digest: Sha256) -> Self {
        VerifiedSha256(digest)
    }

    pub fn digest(&self) -> &Sha256 {
        &self.0
    }
}
