//! The signatures of aws-chunked bodies: each chunk signs its data and the chunk before it, starting from the request's own
//! signature, so that no chunk can be dropped, repeated, moved or cut off.
//!
//! Not here: the framing (`ingest::chunked`), which calls back for each signature.

use sha2::{Digest as _, Sha256};

use crate::auth::keys::SigningKey;
use crate::base::error::{Error, ErrorKind, Result};
use crate::ingest::chunked::{ChunkVerifier, Decoder};

pub const SIGNED: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
pub const SIGNED_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
pub const UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

/// What a decoder needs to know of an aws-chunked body.
#[derive(Debug, Clone)]
pub struct ChunkedForm {
    /// None: the chunks are not signed.
    pub(super) signer: Option<ChunkSigner>,
    /// A trailer section follows the last chunk.
    pub(super) trailer: bool,
}

impl ChunkedForm {
    pub fn unsigned_trailer() -> Self {
        ChunkedForm { signer: None, trailer: true }
    }

    /// The word for it in `x-amz-content-sha256`.
    pub fn payload_hash(&self) -> &'static str {
        match (self.is_signed(), self.trailer) {
            (true, false) => SIGNED,
            (true, true) => SIGNED_TRAILER,
            (false, _) => UNSIGNED_TRAILER,
        }
    }

    pub fn has_trailer(&self) -> bool {
        self.trailer
    }

    pub fn is_signed(&self) -> bool {
        self.signer.is_some()
    }

    /// `decoded_length` is `x-amz-decoded-content-length`.
    pub fn decoder(self, decoded_length: u64) -> Decoder {
        let verifier = self.signer.map(|s| Box::new(s) as Box<dyn ChunkVerifier>);
        Decoder::new(verifier, self.trailer, decoded_length)
    }
}

#[derive(Debug, Clone)]
pub struct ChunkSigner {
    key: SigningKey,
    /// `20130524T000000Z` and `20130524/us-east-1/s3/aws4_request`, as in the request.
    amz_date: String,
    scope: String,
    /// Hex; of the request first, then of each chunk.
    previous: String,
}

impl ChunkSigner {
    pub fn new(key: SigningKey, amz_date: &str, scope: &str, seed_signature: &str) -> Self {
        ChunkSigner { key, amz_date: amz_date.into(), scope: scope.into(), previous: seed_signature.into() }
    }

    fn chunk_string(&self, sha256: &[u8; 32]) -> String {
        let empty = hex::encode(Sha256::digest(b""));
        format!("AWS4-HMAC-SHA256-PAYLOAD\n{}\n{}\n{}\n{empty}\n{}", self.amz_date, self.scope, self.previous, hex::encode(sha256))
    }

    fn trailer_string(&self, sha256: &[u8; 32]) -> String {
        format!("AWS4-HMAC-SHA256-TRAILER\n{}\n{}\n{}\n{}", self.amz_date, self.scope, self.previous, hex::encode(sha256))
    }

    fn check(&mut self, string_to_sign: String, signature: &str) -> Result<()> {
        // Only the canonical spelling: the next string to sign repeats it.
        let canonical = signature.bytes().all(|c| c.is_ascii_digit() || matches!(c, b'a'..=b'f'));
        if !canonical || !self.key.verify(string_to_sign.as_bytes(), signature) {
            return Err(Error::new(
                ErrorKind::SignatureDoesNotMatch,
                "The signature of a chunk of the body does not match what we calculated. Check your key and signing method.",
            )
            .detail("SignatureProvided", signature)
            .detail("StringToSign", string_to_sign));
        }
        self.previous.clear();
        self.previous.push_str(signature);
        Ok(())
    }
}

impl ChunkVerifier for ChunkSigner {
    fn chunk(&mut self, sha256: &[u8; 32], signature: &str) -> Result<()> {
        self.check(self.chunk_string(sha256), signature)
    }

    fn trailer(&mut self, sha256: &[u8; 32], signature: &str) -> Result<()> {
        self.check(self.trailer_string(sha256), signature)
    }
}
