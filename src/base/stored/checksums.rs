//! How checksums are written. A form has a place for the five algorithms of its first days; any other's stands in the field CHECKSUM
//! behind it, and the place is empty then. A program of before there were more than five sees no checksum there, and keeps the field.
//!
//! Used by every form that holds a checksum. Invariant: `take_checksums` of what `in_slot` and `with_checksums` wrote gives the same.

use serde::{Deserialize, Serialize};

use crate::base::checksum::{self, ChecksumAlgorithm, ChecksumType};
use crate::base::error::{Error, Result};
use crate::base::fields::{Fields, Tag};
use crate::base::object::PartInfo;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum LaterAlgorithm {
    Md5,
    Sha512,
    Xxhash64,
    Xxhash3,
    Xxhash128,
}

/// Where a checksum of the algorithm stands.
enum Place {
    Slot(Algorithm),
    Field(LaterAlgorithm),
}

fn place(algorithm: ChecksumAlgorithm) -> Place {
    match algorithm {
        ChecksumAlgorithm::Crc32 => Place::Slot(Algorithm::Crc32),
        ChecksumAlgorithm::Crc32c => Place::Slot(Algorithm::Crc32c),
        ChecksumAlgorithm::Crc64Nvme => Place::Slot(Algorithm::Crc64Nvme),
        ChecksumAlgorithm::Sha1 => Place::Slot(Algorithm::Sha1),
        ChecksumAlgorithm::Sha256 => Place::Slot(Algorithm::Sha256),
        ChecksumAlgorithm::Md5 => Place::Field(LaterAlgorithm::Md5),
        ChecksumAlgorithm::Sha512 => Place::Field(LaterAlgorithm::Sha512),
        ChecksumAlgorithm::Xxhash64 => Place::Field(LaterAlgorithm::Xxhash64),
        ChecksumAlgorithm::Xxhash3 => Place::Field(LaterAlgorithm::Xxhash3),
        ChecksumAlgorithm::Xxhash128 => Place::Field(LaterAlgorithm::Xxhash128),
    }
}

impl From<Algorithm> for ChecksumAlgorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Crc32 => ChecksumAlgorithm::Crc32,
            Algorithm::Crc32c => ChecksumAlgorithm::Crc32c,
            Algorithm::Crc64Nvme => ChecksumAlgorithm::Crc64Nvme,
            Algorithm::Sha1 => ChecksumAlgorithm::Sha1,
            Algorithm::Sha256 => ChecksumAlgorithm::Sha256,
        }
    }
}

impl From<LaterAlgorithm> for ChecksumAlgorithm {
    fn from(algorithm: LaterAlgorithm) -> Self {
        match algorithm {
            LaterAlgorithm::Md5 => ChecksumAlgorithm::Md5,
            LaterAlgorithm::Sha512 => ChecksumAlgorithm::Sha512,
            LaterAlgorithm::Xxhash64 => ChecksumAlgorithm::Xxhash64,
            LaterAlgorithm::Xxhash3 => ChecksumAlgorithm::Xxhash3,
            LaterAlgorithm::Xxhash128 => ChecksumAlgorithm::Xxhash128,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OfParts {
    FullObject,
    Composite,
}

impl From<ChecksumType> for OfParts {
    fn from(kind: ChecksumType) -> Self {
        match kind {
            ChecksumType::FullObject => OfParts::FullObject,
            ChecksumType::Composite => OfParts::Composite,
        }
    }
}

impl From<OfParts> for ChecksumType {
    fn from(kind: OfParts) -> Self {
        match kind {
            OfParts::FullObject => ChecksumType::FullObject,
            OfParts::Composite => ChecksumType::Composite,
        }
    }
}

/// The value in the first bytes, zeros behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    algorithm: Algorithm,
    value: [u8; 32],
    parts: u16,
}

impl TryFrom<Checksum> for checksum::Checksum {
    type Error = Error;

    fn try_from(stored: Checksum) -> Result<Self> {
        let algorithm = ChecksumAlgorithm::from(stored.algorithm);
        let value = stored.value.get(..algorithm.value_len()).and_then(|value| checksum::Checksum::new(algorithm, value));
        value.map(|c| c.composite(stored.parts)).ok_or_else(wrong_length)
    }
}

fn wrong_length() -> Error {
    Error::internal("a stored checksum is of another length")
}

/// In the form's own place. None: there is none, or it stands in the field.
pub fn in_slot(checksum: Option<&checksum::Checksum>) -> Option<Checksum> {
    let checksum = checksum?;
    let Place::Slot(algorithm) = place(checksum.algorithm) else { return None };
    let mut value = [0; 32];
    value.iter_mut().zip(checksum.bytes()).for_each(|(to, from)| *to = *from);
    Some(Checksum { algorithm, value, parts: checksum.parts })
}

/// Of a place that may be empty.
pub fn checksum_of(stored: Option<Checksum>) -> Result<Option<checksum::Checksum>> {
    stored.map(checksum::Checksum::try_from).transpose()
}

#[derive(Serialize, Deserialize)]
struct LaterChecksum {
    algorithm: LaterAlgorithm,
    value: Vec<u8>,
    parts: u16,
}

impl LaterChecksum {
    fn of(checksum: &checksum::Checksum) -> Option<Self> {
        let Place::Field(algorithm) = place(checksum.algorithm) else { return None };
        Some(LaterChecksum { algorithm, value: checksum.bytes().to_vec(), parts: checksum.parts })
    }

    fn known(self) -> Result<checksum::Checksum> {
        checksum::Checksum::new(self.algorithm.into(), &self.value).map(|c| c.composite(self.parts)).ok_or_else(wrong_length)
    }
}

/// The field's value: of the whole, and of parts by number.
#[derive(Serialize, Deserialize)]
struct Later {
    whole: Option<LaterChecksum>,
    parts: Vec<(u16, LaterChecksum)>,
}

/// `fields` with those of the checksums that have no place in the form itself.
pub fn with_checksums(fields: Fields, whole: Option<&checksum::Checksum>, parts: &[PartInfo]) -> Result<Fields> {
    let of_part = |part: &PartInfo| Some((part.number, LaterChecksum::of(part.checksum.as_ref()?)?));
    let later = Later { whole: whole.and_then(LaterChecksum::of), parts: parts.iter().filter_map(of_part).collect() };
    if later.whole.is_none() && later.parts.is_empty() {
        return Ok(fields);
    }
    Ok(fields.with(Tag::CHECKSUM, postcard::to_stdvec(&later).map_err(Error::internal)?))
}

/// The other way: takes them out of `fields`, to where nothing stood in the form. `parts` are in order of number.
pub fn take_checksums(fields: &mut Fields, whole: &mut Option<checksum::Checksum>, parts: &mut [PartInfo]) -> Result<()> {
    let Some(value) = fields.take(Tag::CHECKSUM) else { return Ok(()) };
    let later: Later = postcard::from_bytes(&value).map_err(Error::internal)?;
    if let (None, Some(checksum)) = (&whole, later.whole) {
        *whole = Some(checksum.known()?);
    }
    for (number, checksum) in later.parts {
        let part = parts.binary_search_by_key(&number, |p| p.number).ok().and_then(|at| parts.get_mut(at));
        if let Some(part) = part {
            part.checksum = Some(checksum.known()?);
        }
    }
    Ok(())
}

/// What an upload announced: in the form's own place, or in a field.
pub(super) fn announced(checksum: Option<(ChecksumAlgorithm, ChecksumType)>) -> Result<(Option<(Algorithm, OfParts)>, Fields)> {
    let none = Fields::default();
    let Some((algorithm, kind)) = checksum else { return Ok((None, none)) };
    let kind = OfParts::from(kind);
    match place(algorithm) {
        Place::Slot(algorithm) => Ok((Some((algorithm, kind)), none)),
        Place::Field(algorithm) => Ok((None, none.with(Tag::CHECKSUM, postcard::to_stdvec(&(algorithm, kind)).map_err(Error::internal)?))),
    }
}

pub(super) fn take_announced(slot: Option<(Algorithm, OfParts)>, fields: &mut Fields) -> Result<Option<(ChecksumAlgorithm, ChecksumType)>> {
    let Some(value) = fields.take(Tag::CHECKSUM) else {
        return Ok(slot.map(|(algorithm, kind)| (algorithm.into(), kind.into())));
    };
    let (algorithm, kind): (LaterAlgorithm, OfParts) = postcard::from_bytes(&value).map_err(Error::internal)?;
    Ok(Some((algorithm.into(), kind.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(algorithm: ChecksumAlgorithm, byte: u8) -> checksum::Checksum {
        checksum::Checksum::new(algorithm, &vec![byte; algorithm.value_len()]).unwrap()
    }

    #[test]
    fn every_checksum_comes_back_from_its_place() {
        for algorithm in ChecksumAlgorithm::ALL {
            let whole = Some(value(algorithm, 7).composite(2));
            let parts = [1u16, 9].map(|number| PartInfo { number, size: 1, checksum: Some(value(algorithm, number as u8)) });
            let mut fields = with_checksums(Fields::default(), whole.as_ref(), &parts).unwrap();
            assert_eq!(fields.is_empty(), in_slot(whole.as_ref()).is_some(), "one of both: {algorithm:?}");
            let mut whole_again = checksum_of(in_slot(whole.as_ref())).unwrap();
            let of_slot = |p: &PartInfo| PartInfo { checksum: checksum_of(in_slot(p.checksum.as_ref())).unwrap(), ..p.clone() };
            let mut parts_again: Vec<PartInfo> = parts.iter().map(of_slot).collect();
            take_checksums(&mut fields, &mut whole_again, &mut parts_again).unwrap();
            assert_eq!((whole_again, parts_again.as_slice(), fields.is_empty()), (whole, &parts[..], true));
            for kind in [ChecksumType::FullObject, ChecksumType::Composite] {
                let (slot, mut fields) = announced(Some((algorithm, kind))).unwrap();
                assert_eq!(slot.is_none(), !fields.is_empty());
                assert_eq!(take_announced(slot, &mut fields).unwrap(), Some((algorithm, kind)));
                assert!(fields.is_empty());
            }
        }
    }

    /// As this release writes it, for those that come.
    #[test]
    fn the_field_as_it_is_written() {
        let bytes = |fields: Fields| hex::encode(fields.append(Vec::new()).unwrap());
        let whole = value(ChecksumAlgorithm::Xxhash3, 0xab).composite(3);
        let parts = [PartInfo { number: 300, size: 1, checksum: Some(value(ChecksumAlgorithm::Md5, 1)) }];
        let written = with_checksums(Fields::default(), Some(&whole), &parts).unwrap();
        // One field of number 7, which travels, and its length; XXHASH3 with its 8 bytes, of 3 parts; part 300: MD5 with its 16, of none.
        let expected = format!("01{}{}{}01ac020010{}00", "1e", "22", "010308abababababababab03", "01".repeat(16));
        assert_eq!(bytes(written), expected);
        assert_eq!(bytes(announced(Some((ChecksumAlgorithm::Sha512, ChecksumType::Composite))).unwrap().1), "011e020101");
        let mut damaged = Fields::default().with(Tag::CHECKSUM, vec![1, 3, 2, 7, 7, 0, 0]);
        assert!(take_checksums(&mut damaged, &mut None, &mut []).is_err(), "a value of another length");
    }
}
