//! The five checksums of S3: their names, lengths, headers, and the two ways a multipart object carries one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChecksumAlgorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl ChecksumAlgorithm {
    pub const ALL: [ChecksumAlgorithm; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// As in `x-amz-checksum-algorithm` and in XML.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
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
        }
    }

    pub const fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// The value of an empty body.
    pub const fn of_nothing(self) -> &'static str {
        match self {
            Self::Crc32 | Self::Crc32c => "AAAAAA==",
            Self::Crc64Nvme => "AAAAAAAAAAA=",
            Self::Sha1 => "2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
            Self::Sha256 => "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.name().eq_ignore_ascii_case(s))
    }

    /// Bytes of a value.
    pub const fn value_len(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    pub const fn is_crc(self) -> bool {
        matches!(self, Self::Crc32 | Self::Crc32c | Self::Crc64Nvme)
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
    value: [u8; 32],
    pub parts: u16,
}

impl Checksum {
    /// `value` must have the algorithm's length.
    pub fn new(algorithm: ChecksumAlgorithm, value: &[u8]) -> Option<Self> {
        if value.len() != algorithm.value_len() {
            return None;
        }
        let mut v = [0; 32];
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
