//! The checksum that a client may choose, computed piece by piece.
//!
//! Of a body that is received, MD5 and SHA-256 come from what is hashed anyway: see `receive`.

use crc_fast::CrcAlgorithm;
use sha2::Digest as _;
use twox_hash::{XxHash3_64, XxHash3_128, XxHash64};

use crate::base::checksum::{Checksum, ChecksumAlgorithm};
use crate::ingest::md5::Md5Hasher;

pub struct ChecksumHasher {
    algorithm: ChecksumAlgorithm,
    state: State,
}

// One lives in each upload: a box would buy nothing.
#[allow(clippy::large_enum_variant)]
enum State {
    Crc(crc_fast::Digest),
    Md5(Md5Hasher),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
    Xxhash64(XxHash64),
    Xxhash3(XxHash3_64),
    Xxhash128(XxHash3_128),
}

/// None: no CRC.
pub fn crc_algorithm(algorithm: ChecksumAlgorithm) -> Option<CrcAlgorithm> {
    match algorithm {
        ChecksumAlgorithm::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
        ChecksumAlgorithm::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
        ChecksumAlgorithm::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
        ChecksumAlgorithm::Sha1
        | ChecksumAlgorithm::Sha256
        | ChecksumAlgorithm::Md5
        | ChecksumAlgorithm::Sha512
        | ChecksumAlgorithm::Xxhash64
        | ChecksumAlgorithm::Xxhash3
        | ChecksumAlgorithm::Xxhash128 => None,
    }
}

impl ChecksumHasher {
    pub fn new(algorithm: ChecksumAlgorithm) -> Self {
        let crc = |crc| State::Crc(crc_fast::Digest::new(crc));
        let state = match algorithm {
            ChecksumAlgorithm::Crc32 => crc(CrcAlgorithm::Crc32IsoHdlc),
            ChecksumAlgorithm::Crc32c => crc(CrcAlgorithm::Crc32Iscsi),
            ChecksumAlgorithm::Crc64Nvme => crc(CrcAlgorithm::Crc64Nvme),
            ChecksumAlgorithm::Md5 => State::Md5(Md5Hasher::new()),
            ChecksumAlgorithm::Sha1 => State::Sha1(sha1::Sha1::new()),
            ChecksumAlgorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            ChecksumAlgorithm::Sha512 => State::Sha512(sha2::Sha512::new()),
            // S3 takes xxHash with the seed 0.
            ChecksumAlgorithm::Xxhash64 => State::Xxhash64(XxHash64::with_seed(0)),
            ChecksumAlgorithm::Xxhash3 => State::Xxhash3(XxHash3_64::new()),
            ChecksumAlgorithm::Xxhash128 => State::Xxhash128(XxHash3_128::new()),
        };
        ChecksumHasher { algorithm, state }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        use std::hash::Hasher as _;
        match &mut self.state {
            State::Crc(crc) => crc.update(bytes),
            State::Md5(md5) => md5.update(bytes),
            State::Sha1(sha) => sha.update(bytes),
            State::Sha256(sha) => sha.update(bytes),
            State::Sha512(sha) => sha.update(bytes),
            State::Xxhash64(xxh) => xxh.write(bytes),
            State::Xxhash3(xxh) => xxh.write(bytes),
            State::Xxhash128(xxh) => xxh.write(bytes),
        }
    }

    /// Numbers in network order, as S3 writes them.
    pub fn finish(self) -> Option<Checksum> {
        use std::hash::Hasher as _;
        let Self { algorithm, state } = self;
        let of = |value: &[u8]| Checksum::new(algorithm, value);
        match state {
            State::Crc(crc) => of(last(&crc.finalize().to_be_bytes(), algorithm.value_len())),
            State::Md5(md5) => of(&md5.finish().0),
            State::Sha1(sha) => of(&sha.finalize()),
            State::Sha256(sha) => of(&sha.finalize()),
            State::Sha512(sha) => of(&sha.finalize()),
            State::Xxhash64(xxh) => of(&xxh.finish().to_be_bytes()),
            State::Xxhash3(xxh) => of(&xxh.finish().to_be_bytes()),
            State::Xxhash128(xxh) => of(&xxh.finish_128().to_be_bytes()),
        }
    }

    pub fn digest(algorithm: ChecksumAlgorithm, bytes: &[u8]) -> Option<Checksum> {
        let mut hasher = Self::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }
}

fn last(bytes: &[u8], len: usize) -> &[u8] {
    bytes.get(bytes.len().saturating_sub(len)..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        // Check values of "123456789": the CRC catalogue, FIPS 180, and xxHash 0.8.4.
        for (algorithm, hex) in [
            (ChecksumAlgorithm::Crc32, "cbf43926"),
            (ChecksumAlgorithm::Crc32c, "e3069283"),
            (ChecksumAlgorithm::Crc64Nvme, "ae8b14860a799888"),
            (ChecksumAlgorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            (ChecksumAlgorithm::Sha256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
            (ChecksumAlgorithm::Md5, "25f9e794323b453885f5181f1b624d0b"),
            (
                ChecksumAlgorithm::Sha512,
                "d9e6762dd1c8eaf6d61b3c6192fc408d4d6d5f1176d0c29169bc24e71c3f274ad27fcd5811b313d681f7e55ec02d73d499c95455b6b5bb503acf574fba8ffe85",
            ),
            (ChecksumAlgorithm::Xxhash64, "8cb841db40e6ae83"),
            (ChecksumAlgorithm::Xxhash3, "72dcb18b67a17dff"),
            (ChecksumAlgorithm::Xxhash128, "33119477ede5dcd5e9716427681d5860"),
        ] {
            let mut h = ChecksumHasher::new(algorithm);
            h.update(b"1234");
            h.update(b"56789");
            assert_eq!(hex::encode(h.finish().unwrap().bytes()), hex, "{algorithm:?}");
        }
    }

    #[test]
    fn the_value_of_nothing_and_any_split_of_a_long_body() {
        let body: Vec<u8> = (0..5000u32).map(|i| (i * 31) as u8).collect();
        for algorithm in ChecksumAlgorithm::ALL {
            assert_eq!(ChecksumHasher::digest(algorithm, b"").unwrap().to_string(), algorithm.of_nothing(), "{algorithm:?}");
            let whole = ChecksumHasher::digest(algorithm, &body);
            for cut in [1, 239, 240, 241, 1024, 4999] {
                let mut split = ChecksumHasher::new(algorithm);
                body.chunks(cut).for_each(|piece| split.update(piece));
                assert_eq!(split.finish(), whole, "{algorithm:?} by {cut}");
            }
        }
    }
}
