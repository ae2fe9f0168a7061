//! The SHA-256 of an object that went up in parts, where its name speaks of it.
//!
//! Its metadata were sent before its body was whole, and its ETag is not made of its bytes alone: what was hashed here while it
//! arrived is kept in a record under `.tidegate/hashes/`, so that every node, also after a restart, may call its name true. Not
//! for other names: nobody asks for their hash, and it costs a request.
//!
//! Invariant: a proof counts for the very version that it was made for, by ETag and size; what it can't say is "not proven".

use sha2::{Digest as _, Sha256};

use crate::base::digest::VerifiedSha256;
use crate::base::hash_name;
use crate::base::object::ObjectInfo;
use crate::upstream::open::Inner;
use crate::upstream::records::Over;
use crate::upstream::stored::Proof;

/// `bucket` and `key` as the upstream knows them.
fn path(bucket: &str, key: &str) -> String {
    format!("hashes/{}", hex::encode(Sha256::digest(format!("{bucket}\n{key}"))))
}

impl Inner {
    /// A proof that can't be kept is no reason to refuse what is stored already.
    pub async fn prove(&self, bucket: &str, key: &str, written: &ObjectInfo) {
        let Some(sha256) = written.sha256.filter(|sha256| hash_name::is_true(key, sha256.digest())) else { return };
        let proof = Proof { etag: written.etag, size: written.size, sha256 }.write();
        let kept = match proof {
            Ok(proof) => self.put_record(&path(bucket, key), &proof, Over::Anything).await.map(drop),
            Err(e) => Err(e),
        };
        if let Err(e) = kept {
            tracing::warn!(error = %e, key, "that the name of an object is its hash could not be recorded: it is not served as immutable");
        }
    }

    /// Of what went up in parts through a gateway.
    pub async fn proven(&self, bucket: &str, key: &str, shown: &ObjectInfo) -> Option<VerifiedSha256> {
        if !hash_name::is_possible(key) {
            return None;
        }
        let record = self.record(&path(bucket, key)).await;
        let record =
            record.inspect_err(|e| tracing::warn!(error = %e, key, "whether the name of an object is its hash can't be told")).ok()??;
        let proof = Proof::read(&record.text).ok()?;
        (proof.etag == shown.etag && proof.size == shown.size).then_some(proof.sha256)
    }

    /// The object is deleted. What stays where this fails proves nothing of any other version.
    pub async fn forget_proof(&self, bucket: &str, key: &str) {
        if hash_name::is_possible(key)
            && let Err(e) = self.delete_record(&path(bucket, key)).await
        {
            tracing::debug!(error = %e, key, "the record of an object's hash is left behind");
        }
    }
}
