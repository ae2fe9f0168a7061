//! The checksum that a client may choose, computed piece by piece; and the sum of parts' checksums.

use crc_fast::CrcAlgorithm;
use sha1::Digest as _;

use crate::base::checksum::{Checksum, ChecksumAlgorithm};

// One lives in each upload: a box would buy nothing.
#[allow(clippy::large_enum_variant)]
pub enum ChecksumHasher {
    Crc {
        algorithm: ChecksumAlgorithm,
        digest: crc_fast::Digest,
    },
    Sha1(sha1::Sha1),
    /// The SHA-256 of every body is computed anyway: nothing to do twice.
    Sha256,
}

pub fn crc_algorithm(algorithm: ChecksumAlgorithm) -> Option<CrcAlgorithm> {
    match algorithm {
        ChecksumAlgorithm::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
        ChecksumAlgorithm::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
        ChecksumAlgorithm::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
        ChecksumAlgorithm::Sha1 | ChecksumAlgorithm::Sha256 => None,
    }
}

impl ChecksumHasher {
    pub fn new(algorithm: ChecksumAlgorithm) -> Self {
        match crc_algorithm(algorithm) {
            Some(crc) => Self::Crc { algorithm, digest: crc_fast::Digest::new(crc) },
            None if algorithm == ChecksumAlgorithm::Sha1 => Self::Sha1(sha1::Sha1::new()),
            None => Self::Sha256,
        }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc { digest, .. } => digest.update(bytes),
            Self::Sha1(h) => h.update(bytes),
            Self::Sha256 => {}
        }
    }

    pub fn finish(self, sha256: &[u8; 32]) -> Option<Checksum> {
        match self {
            Self::Crc { algorithm, digest } => {
                let value = digest.finalize().to_be_bytes();
                Checksum::new(algorithm, &value[8 - algorithm.value_len()..])
            }
            Self::Sha1(h) => Checksum::new(ChecksumAlgorithm::Sha1, &h.finalize()),
            Self::Sha256 => Checksum::new(ChecksumAlgorithm::Sha256, sha256),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        // From the S3 documents and the CRC catalogue: check values of "123456789".
        for (algorithm, hex) in [
            (ChecksumAlgorithm::Crc32, "cbf43926"),
            (ChecksumAlgorithm::Crc32c, "e3069283"),
            (ChecksumAlgorithm::Crc64Nvme, "ae8b14860a799888"),
            (ChecksumAlgorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
        ] {
            let mut h = ChecksumHasher::new(algorithm);
            h.update(b"1234");
            h.update(b"56789");
            assert_eq!(hex::encode(h.finish(&[0; 32]).unwrap().bytes()), hex, "{algorithm:?}");
        }
    }
}
