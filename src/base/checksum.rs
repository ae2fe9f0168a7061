//! The ten checksums of S3: their names, lengths, headers, and the two ways a multipart object carries one.
//! https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChecksumAlgorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
    Md5,
    Sha512,
    Xxhash64,
    /// The 64 bits of XXH3.
    Xxhash3,
    /// The 128 bits of XXH3.
    Xxhash128,
}

/// Of the longest value.
const MAX_BYTES: usize = 64;

impl ChecksumAlgorithm {
    pub const ALL: [ChecksumAlgorithm; 10] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
        Self::Md5,
        Self::Sha512,
        Self::Xxhash64,
        Self::Xxhash3,
        Self::Xxhash128,
    ];

    /// All names, for those who asked for another.
    pub const NAMES: &'static str = "CRC32, CRC32C, CRC64NVME, SHA1, SHA256, MD5, SHA512, XXHASH64, XXHASH3, XXHASH128";

    /// As in `x-amz-checksum-algorithm` and in XML.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Md5 => "MD5",
            Self::Sha512 => "SHA512",
            Self::Xxhash64 => "XXHASH64",
            Self::Xxhash3 => "XXHASH3",
            Self::Xxhash128 => "XXHASH128",
        }
    }

    /// The element of XML documents.
    pub const fn element(self) -> &'static str {
        match self {
            Self::Crc32 => "ChecksumCRC32",
            Self::Crc32c => "ChecksumCRC32C",
            Self::Crc64Nvme => "ChecksumCRC64NVME",
            Self::Sha1 => "ChecksumSHA1",
            Self::Sha256 => "ChecksumSHA256",
            Self::Md5 => "ChecksumMD5",
            Self::Sha512 => "ChecksumSHA512",
            Self::Xxhash64 => "ChecksumXXHASH64",
            Self::Xxhash3 => "ChecksumXXHASH3",
            Self::Xxhash128 => "ChecksumXXHASH128",
        }
    }

    pub const fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
            Self::Md5 => "x-amz-checksum-md5",
            Self::Sha512 => "x-amz-checksum-sha512",
            Self::Xxhash64 => "x-amz-checksum-xxhash64",
            Self::Xxhash3 => "x-amz-checksum-xxhash3",
            Self::Xxhash128 => "x-amz-checksum-xxhash128",
        }
    }

    /// The value of an empty body.
    pub const fn of_nothing(self) -> &'static str {
        match self {
            Self::Crc32 | Self::Crc32c => "AAAAAA==",
            Self::Crc64Nvme => "AAAAAAAAAAA=",
            Self::Sha1 => "2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
            Self::Sha256 => "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
            Self::Md5 => "1B2M2Y8AsgTpgAmY7PhCfg==",
            Self::Sha512 => "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==",
            Self::Xxhash64 => "70bbN1HY6Zk=",
            Self::Xxhash3 => "LQaABTjTlMI=",
            Self::Xxhash128 => "maoG0wFHmNhgAcMkRo1Jfw==",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.name().eq_ignore_ascii_case(s))
    }

    /// Bytes of a value.
    pub const fn value_len(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme | Self::Xxhash64 | Self::Xxhash3 => 8,
            Self::Md5 | Self::Xxhash128 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => MAX_BYTES,
        }
    }

    pub const fn is_crc(self) -> bool {
        matches!(self, Self::Crc32 | Self::Crc32c | Self::Crc64Nvme)
    }

    /// Those that stores of before 2026 know.
    pub const fn is_of_the_first_five(self) -> bool {
        matches!(self, Self::Crc32 | Self::Crc32c | Self::Crc64Nvme | Self::Sha1 | Self::Sha256)
    }

    /// Whether a multipart object can have it so. Only CRCs of parts make that of the whole; S3 takes CRC64NVME no other way.
    pub const fn allows(self, kind: ChecksumType) -> bool {
        match kind {
            ChecksumType::FullObject => self.is_crc(),
            ChecksumType::Composite => !matches!(self, Self::Crc64Nvme),
        }
    }

    /// Of a multipart object whose client named the algorithm alone.
    pub const fn default_type(self) -> ChecksumType {
        if matches!(self, Self::Crc64Nvme) { ChecksumType::FullObject } else { ChecksumType::Composite }
    }
}

/// How the checksum of a multipart object is made: over the whole body, or over the parts' checksums (`…-N`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChecksumType {
    FullObject,
    Composite,
}

impl ChecksumType {
    pub const fn name(self) -> &'static str {
        match self {
            Self::FullObject => "FULL_OBJECT",
            Self::Composite => "COMPOSITE",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        match s {
            "FULL_OBJECT" => Some(Self::FullObject),
            "COMPOSITE" => Some(Self::Composite),
            _ => None,
        }
    }
}

/// A checksum's value. `parts` is the `-N` of a composite one, 0 otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    pub algorithm: ChecksumAlgorithm,
    /// Zeros behind the algorithm's own length.
    value: [u8; MAX_BYTES],
    pub parts: u16,
}

impl Checksum {
    /// `value` must have the algorithm's length.
    pub fn new(algorithm: ChecksumAlgorithm, value: &[u8]) -> Option<Self> {
        if value.len() != algorithm.value_len() {
            return None;
        }
        let mut v = [0; MAX_BYTES];
        v[..value.len()].copy_from_slice(value);
        Some(Checksum { algorithm, value: v, parts: 0 })
    }

    pub fn composite(mut self, parts: u16) -> Self {
        self.parts = parts;
        self
    }

    /// The base64 of headers and XML; a composite one may carry its `-N`.
    pub fn parse(algorithm: ChecksumAlgorithm, s: &str) -> Option<Self> {
        let (b64, parts) = match s.rsplit_once('-') {
            Some((b, n)) => (b, n.parse().ok()?),
            None => (s, 0),
        };
        Self::new(algorithm, &STANDARD.decode(b64).ok()?).map(|c| c.composite(parts))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.value[..self.algorithm.value_len()]
    }

    pub fn kind(&self) -> ChecksumType {
        if self.parts > 0 { ChecksumType::Composite } else { ChecksumType::FullObject }
    }
}

impl std::fmt::Display for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&STANDARD.encode(self.bytes()))?;
        if self.parts > 0 {
            write!(f, "-{}", self.parts)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_algorithm_is_known_by_all_its_names() {
        assert_eq!(ChecksumAlgorithm::ALL.map(ChecksumAlgorithm::name).join(", "), ChecksumAlgorithm::NAMES);
        for algorithm in ChecksumAlgorithm::ALL {
            let name = algorithm.name();
            assert_eq!(ChecksumAlgorithm::parse(&name.to_lowercase()), Some(algorithm));
            assert_eq!(algorithm.element(), format!("Checksum{name}"));
            assert_eq!(algorithm.header(), format!("x-amz-checksum-{}", name.to_lowercase()));
            let nothing = Checksum::parse(algorithm, algorithm.of_nothing()).unwrap();
            assert_eq!((nothing.to_string().as_str(), nothing.kind()), (algorithm.of_nothing(), ChecksumType::FullObject));
            assert_eq!(Checksum::parse(algorithm, &format!("{nothing}-7")).unwrap(), nothing.composite(7));
            assert!(Checksum::new(algorithm, &vec![0; algorithm.value_len() + 1]).is_none());
            assert!(algorithm.allows(algorithm.default_type()));
        }
    }
}
