//! The stored forms of what lies in the bucket: an object's seal, and the records of buckets, uploads and proven hashes.
//!
//! Nodes of two versions may stand over one bucket. So version 1 of each is written as it always was, and what a newer one adds
//! survives here: fields and bucket documents that are not known are kept and written back, a seal of another version keeps its
//! owner, its ACL and its rest, and a record of another version is refused, never written over.
//! The rules for a change are in docs/architecture.md, and the files under tests/golden/bucket hold each form to its bytes.

use serde::{Deserialize, Serialize};

use crate::base::digest::{Md5, VerifiedSha256};
use crate::base::error::{Error, Result};
use crate::base::etag::ETag;
use crate::base::fields::{Fields, Tag, Unknown, newer};
use crate::base::lock::Lock;
use crate::base::names::TenantId;
use crate::base::object::{Bucket, CannedAcl, Upload};
use crate::base::storable::{SEALED, SEALED_BYTES};
use crate::base::stored::{
    self, Acl, Checksum, acl_and_fields, checksum_of, in_slot, take_checksums, take_encryption, take_grants, with_checksums,
    with_encryption,
};
use crate::base::timestamp::Timestamp;
use crate::upstream::known::{Known, SourceVersion};

const VERSION: u8 = 1;
/// Of the record of an upload: who began it stands behind it, where that is another than the owner.
const WITH_INITIATOR: u8 = 2;
/// In place of a source, where fields follow: as an ETag it is one that can't be read, so that programs of before there were
/// fields find no source either.
const NO_SOURCE: [u8; 19] = [0xff; 19];

fn written(form: &impl Serialize) -> Result<Vec<u8>> {
    postcard::to_stdvec(form).map_err(Error::internal)
}

fn extended(text: Vec<u8>, with: &impl Serialize) -> Result<Vec<u8>> {
    postcard::to_extend(with, text).map_err(Error::internal)
}

fn taken<'t, T: Deserialize<'t>>(text: &'t [u8]) -> Result<(T, &'t [u8])> {
    postcard::take_from_bytes(text).map_err(Error::internal)
}

/// What every version of a seal begins with.
#[derive(Serialize, Deserialize)]
struct SealHead {
    version: u8,
    owner: TenantId,
    /// By number, so that one that is not known does not hide the owner.
    acl: u32,
}

/// The rest of version 1.
#[derive(Serialize, Deserialize)]
struct SealRest {
    sha256: Option<VerifiedSha256>,
    md5: Option<Md5>,
    checksum: Option<Checksum>,
    encoded: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Source {
    etag: ETag,
    modified: Timestamp,
    generation: u64,
}

pub fn write_seal(known: &Known) -> Result<Vec<u8>> {
    let Known { owner, acl, sha256, md5, checksum, encoded, source, unknown } = known.clone();
    let room = MAX_SEAL + encoded.iter().map(String::len).sum::<usize>() + acl.stored_bytes();
    let (acl, fields) = acl_and_fields(&acl, unknown.fields)?;
    let acl = acl as u32;
    if let Some((version, rest)) = unknown.newer {
        // Only what every version begins with can be changed.
        if !fields.is_empty() {
            return Err(newer(&format!("version {version} of an object's seal, which is to have grants,")));
        }
        return Ok([written(&SealHead { version, owner, acl })?, rest].concat());
    }
    let text = written(&SealHead { version: VERSION, owner, acl })?;
    let text = extended(text, &SealRest { sha256, md5, checksum: in_slot(checksum.as_ref()), encoded })?;
    let sealed = behind(text.clone(), source, with_checksums(fields.clone(), checksum.as_ref(), &[])?)?;
    // A SHA-512 beside the longest names there are is left out: a write that was acknowledged must fit everywhere.
    if sealed.len() > room && checksum.is_some() { behind(text, source, fields) } else { Ok(sealed) }
}

/// The seal's room, of which the names of encoded values and grants have their own: `base/storable`.
const MAX_SEAL: usize = (SEALED_BYTES - SEALED.len()) / 4 * 3 - 28;

fn behind(text: Vec<u8>, source: Option<SourceVersion>, fields: Fields) -> Result<Vec<u8>> {
    let text = match source {
        Some(SourceVersion { etag, modified, generation }) => extended(text, &Source { etag, modified, generation })?,
        None if fields.is_empty() => text,
        None => [&text[..], &NO_SOURCE].concat(),
    };
    fields.append(text)
}

/// Err: not even the owner can be read.
pub fn read_seal(text: &[u8]) -> Result<Known> {
    let (head, rest) = taken::<SealHead>(text)?;
    let version_1 = if head.version == VERSION { read_rest(&head, rest).ok() } else { None };
    Ok(version_1.unwrap_or_else(|| {
        let unknown = Unknown { fields: Fields::default(), newer: Some((head.version, rest.to_vec())) };
        Known { unknown, ..head.known() }
    }))
}

impl SealHead {
    /// Nobody is let in by an ACL that is not known.
    fn known(&self) -> Known {
        let acl = usize::try_from(self.acl).ok().and_then(|number| Acl::ALL.get(number));
        Known::of(self.owner.clone(), acl.map_or(CannedAcl::Private, |acl| (*acl).into()).into())
    }
}

impl SealRest {
    fn onto(self, known: Known) -> Result<Known> {
        let SealRest { sha256, md5, checksum, encoded } = self;
        Ok(Known { sha256, md5, checksum: checksum_of(checksum)?, encoded, ..known })
    }
}

fn read_rest(head: &SealHead, text: &[u8]) -> Result<Known> {
    let (rest, behind) = taken::<SealRest>(text)?;
    let (source, behind) = match behind.strip_prefix(&NO_SOURCE) {
        Some(behind) => (None, behind),
        None if behind.is_empty() => (None, behind),
        None => taken::<Source>(behind).map(|(source, behind)| (Some(source), behind))?,
    };
    let source = source.map(|Source { etag, modified, generation }| SourceVersion { etag, modified, generation });
    let mut known = rest.onto(head.known())?;
    let mut fields = Fields::parse(behind)?.0;
    take_checksums(&mut fields, &mut known.checksum, &mut [])?;
    known.acl = take_grants(&mut fields)?.unwrap_or(known.acl);
    Ok(Known { source, unknown: Unknown { fields, newer: None }, ..known })
}

#[derive(Serialize, Deserialize)]
struct BucketRecord {
    version: u8,
    bucket: stored::Bucket,
}

/// `own`: the bucket upstream that it is by itself; none is a folder in home.
pub fn write_bucket(bucket: &Bucket, own: Option<&str>) -> Result<Vec<u8>> {
    let (bucket, fields) = stored::Bucket::of(bucket.clone())?;
    let fields = match own {
        Some(own) => fields.with(Tag::OWN_BUCKET, own.as_bytes().to_vec()),
        None => fields,
    };
    fields.append(written(&BucketRecord { version: VERSION, bucket })?)
}

pub fn read_bucket(text: &[u8]) -> Result<(Bucket, Option<String>)> {
    require_version(text, VERSION, "the record of a bucket")?;
    let (record, rest) = taken::<BucketRecord>(text)?;
    let mut fields = Fields::parse(rest)?.0;
    let own = fields.take(Tag::OWN_BUCKET).map(String::from_utf8).transpose().map_err(Error::internal)?;
    Ok((record.bucket.with(fields)?, own))
}

/// A newer form may be laid out otherwise, so the version is looked at before the rest.
fn require_version(text: &[u8], most: u8, what: &str) -> Result<u8> {
    match text.first() {
        Some(version) if (VERSION..=most).contains(version) => Ok(*version),
        Some(version) => Err(newer(&format!("version {version} of {what}"))),
        None => Err(Error::internal(format!("{what} is empty"))),
    }
}

/// What is recorded of an upload.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub upload: Upload,
    pub known: Known,
    /// As it was sent with the upload: all that is sealed of the object to be, fields that are not known here too.
    pub sealed: String,
    pub unknown: Fields,
}

#[derive(Serialize, Deserialize)]
struct UploadRecord {
    version: u8,
    upload: stored::Upload,
    seal: SealHead,
    rest: SealRest,
    sealed: String,
}

pub fn write_upload(recorded: &Recorded) -> Result<Vec<u8>> {
    let Recorded { upload, known, sealed, unknown } = recorded.clone();
    let encryption = upload.encryption.clone();
    // Its lock is the upstream's to keep; so are its tags, which are here for who asks for the upload.
    let (upload, initiator, _, fields) = stored::Upload::of(upload)?;
    let Known { owner, acl, sha256, md5, checksum, encoded, source: _, unknown: _ } = known;
    // Its grants stand behind the upload, whose they are too.
    let seal = SealHead { version: VERSION, owner, acl: acl_and_fields(&acl, Fields::default())?.0 as u32 };
    // Of an object that goes up in parts no checksum is known before it is whole.
    let rest = SealRest { sha256, md5, checksum: in_slot(checksum.as_ref()), encoded };
    let version = if initiator.is_some() { WITH_INITIATOR } else { VERSION };
    let text = written(&UploadRecord { version, upload, seal, rest, sealed })?;
    let text = match initiator {
        Some(initiator) => extended(text, &initiator)?,
        None => text,
    };
    with_encryption(unknown.and(fields), encryption.as_ref()).append(text)
}

/// With the marks that stand behind it. `is_mark`: one mark and nothing else, which is shorter than any field.
pub fn read_upload(text: &[u8], is_mark: impl Fn(&[u8]) -> bool) -> Result<(Recorded, &[u8])> {
    let version = require_version(text, WITH_INITIATOR, "the record of an upload")?;
    let (UploadRecord { upload, seal, rest, sealed, .. }, mut behind) = taken::<UploadRecord>(text)?;
    let mut initiator = None;
    if version == WITH_INITIATOR {
        (initiator, behind) = taken::<TenantId>(behind).map(|(initiator, behind)| (Some(initiator), behind))?;
    }
    let (mut unknown, marks) = if is_mark(behind) { (Fields::default(), behind) } else { Fields::parse(behind)? };
    let mut known = rest.onto(seal.known())?;
    let encryption = take_encryption(&mut unknown)?;
    let upload = Upload { encryption, ..upload.begun_by(initiator, Lock::default(), &mut unknown)? };
    known.acl = upload.acl.clone();
    Ok((Recorded { upload, known, sealed, unknown }, marks))
}

/// That an object, by ETag and size, has this hash. Made anew for each version, so there is nothing of a newer one to keep.
#[derive(Serialize, Deserialize)]
pub struct Proof {
    pub etag: ETag,
    pub size: u64,
    pub sha256: VerifiedSha256,
}

impl Proof {
    pub fn write(&self) -> Result<Vec<u8>> {
        written(self)
    }

    pub fn read(text: &[u8]) -> Result<Self> {
        Ok(taken(text)?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::checksum::{Checksum, ChecksumAlgorithm};
    use crate::base::names::BucketName;
    use crate::base::object::{BucketDocument, ObjectHeaders, UnknownOfBucket};

    const LABELS: Tag = Tag::new(900).travels();

    fn known() -> Known {
        let headers = ObjectHeaders { user: [("title".to_owned(), "é".as_bytes().to_vec())].into(), ..ObjectHeaders::default() };
        let sha256 = VerifiedSha256::proven(crate::base::digest::Sha256([1; 32]));
        let owner = TenantId::parse("acme").unwrap();
        Known { sha256: Some(sha256), md5: Some(Md5([2; 16])), ..Known::new(owner, CannedAcl::PublicRead.into(), &headers) }
    }

    fn source() -> SourceVersion {
        SourceVersion { etag: ETag::single(Md5([3; 16])), modified: Timestamp::from_millis(4), generation: 5 }
    }

    #[test]
    fn seals_are_written_as_ever() {
        let plain =
            "0104".to_owned() + &hex::encode("acme") + "01" + "01" + &"01".repeat(32) + "01" + &"02".repeat(16) + "00" + "01" + "05";
        let plain = plain + &hex::encode("title");
        assert_eq!(hex::encode(write_seal(&known()).unwrap()), plain);
        let copy = Known { source: Some(source()), ..known() };
        assert_eq!(hex::encode(write_seal(&copy).unwrap()), plain + &"03".repeat(16) + "00" + "04" + "05");
        for seal in [known(), copy] {
            assert_eq!(read_seal(&write_seal(&seal).unwrap()).unwrap(), seal);
        }
    }

    #[test]
    fn a_later_checksum_stands_behind_the_seal() {
        let value = |algorithm: ChecksumAlgorithm, byte| Checksum::new(algorithm, &vec![byte; algorithm.value_len()]).unwrap();
        let seal = Known { checksum: Some(value(ChecksumAlgorithm::Xxhash3, 0xab)), ..known() };
        let plain = write_seal(&known()).unwrap();
        let field = "01".to_owned() + "1e" + "0d" + "010308" + &"ab".repeat(8) + "0000";
        assert_eq!(hex::encode(write_seal(&seal).unwrap()), hex::encode(&plain) + &"ff".repeat(19) + &field);
        assert_eq!(read_seal(&write_seal(&seal).unwrap()).unwrap(), seal);
        // The longest value beside a source still fits. Beside the longest source it is left out.
        let long = |etag: &str| {
            let source = SourceVersion { etag: ETag::of_upstream(etag).unwrap(), ..source() };
            let owner = TenantId::parse(&"t".repeat(64)).unwrap();
            let checksum = Some(value(ChecksumAlgorithm::Sha512, 1));
            write_seal(&Known { owner, source: Some(source), checksum, encoded: Vec::new(), ..known() }).unwrap()
        };
        let (short, longest) = (long(&"f".repeat(32)), long(&"f".repeat(64)));
        assert_eq!(read_seal(&short).unwrap().checksum.map(|c| c.algorithm), Some(ChecksumAlgorithm::Sha512));
        assert!(short.len() <= MAX_SEAL && longest.len() <= MAX_SEAL, "{} {}", short.len(), longest.len());
    }

    #[test]
    fn fields_of_a_newer_seal_survive_and_hide_nothing() {
        for source in [None, Some(source())] {
            let fields = Fields::default().with(LABELS, b"a=b".to_vec());
            let seal = Known { source, unknown: Unknown { fields, newer: None }, ..known() };
            let text = write_seal(&seal).unwrap();
            let read = read_seal(&text).unwrap();
            assert_eq!(read, seal);
            let changed = write_seal(&Known { acl: CannedAcl::Private.into(), ..read }).unwrap();
            assert_eq!(read_seal(&changed).unwrap().unknown, seal.unknown);
            // As programs of before there were fields look for a source.
            let form = write_seal(&Known { source: None, unknown: Unknown::default(), ..seal.clone() }).unwrap();
            let behind = text.strip_prefix(form.as_slice()).unwrap();
            assert_eq!(postcard::from_bytes::<Source>(behind).is_ok(), source.is_some());
        }
    }

    #[test]
    fn a_seal_of_a_newer_version_keeps_owner_acl_and_rest() {
        let head = SealHead { version: 9, owner: TenantId::parse("bravo").unwrap(), acl: Acl::AuthenticatedRead as u32 };
        let text = [written(&head).unwrap(), b"laid out otherwise".to_vec()].concat();
        let read = read_seal(&text).unwrap();
        assert_eq!((read.owner.as_str(), read.acl.clone(), read.sha256), ("bravo", CannedAcl::AuthenticatedRead.into(), None));
        assert_eq!(write_seal(&read).unwrap(), text);
        let changed = read_seal(&write_seal(&Known { acl: CannedAcl::Private.into(), ..read.clone() }).unwrap()).unwrap();
        assert_eq!((changed.acl, changed.unknown), (CannedAcl::Private.into(), read.unknown));
        let strange = written(&SealHead { acl: 200, ..head }).unwrap();
        assert_eq!((read_seal(&strange).unwrap().owner.as_str(), read_seal(&strange).unwrap().acl), ("bravo", CannedAcl::Private.into()));
    }

    #[test]
    fn what_a_newer_program_recorded_of_a_bucket_is_written_back_and_another_version_is_refused() {
        let fields = Fields::default().with(Tag::new(901), vec![1]);
        let unknown = UnknownOfBucket { documents: [(77, b"<Lifecycle/>".to_vec())].into(), fields };
        let bucket = Bucket {
            name: BucketName::parse("media").unwrap(),
            owner: TenantId::parse("acme").unwrap(),
            created: Timestamp::from_millis(1),
            acl: CannedAcl::Private.into(),
            documents: [(BucketDocument::Cors, b"<C/>".to_vec())].into(),
            generation: 2,
            unknown,
        };
        let text = write_bucket(&bucket, None).unwrap();
        assert_eq!(read_bucket(&text).unwrap(), (bucket.clone(), None));
        let own = write_bucket(&bucket, Some("tg-media")).unwrap();
        assert_eq!(read_bucket(&own).unwrap(), (bucket.clone(), Some("tg-media".to_owned())));
        assert!(Fields::parse(taken::<BucketRecord>(&own).unwrap().1).unwrap().0.require_known().is_err(), "an older program refuses it");
        let mut refused = text.clone();
        refused[0] = VERSION + 1;
        assert!(read_bucket(&refused).unwrap_err().to_string().contains("newer"));
        let needed = Fields::default().with(Tag::new(902).needed(), vec![1]);
        let unknown = UnknownOfBucket { fields: needed, ..bucket.unknown.clone() };
        assert!(read_bucket(&write_bucket(&Bucket { unknown, ..bucket }, None).unwrap()).is_err());
    }
}
