//! The stored forms of rows: version 1 of each, with the fields that may stand behind it, and the way from and to the rows.
//!
//! Every value begins with the version of its form; a newer one is refused, never guessed. A row that is written anew from what it
//! was (objects and buckets) takes along the fields that are not known here; the others are only made and removed.
//! Called by `rows` and whoever reads and writes them. The rules for a change are in docs/architecture.md, and the files under
//! tests/golden/store hold each form to its bytes.

use std::num::NonZeroU64;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::base::crypt::{Envelope, PartKey, Place};
use crate::base::digest::{Sha256, VerifiedSha256};
use crate::base::error::{Error, Result};
use crate::base::etag::ETag;
use crate::base::fields::{Fields, Tag};
use crate::base::lock::Lock;
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::{self, Bucket};
use crate::base::stored::{
    self, Acl, Checksum, Headers, acl_and_fields, checksum_of, in_slot, take_acl, take_checksums, take_inspection, with_checksums,
    with_inspection,
};
use crate::base::tags::Tags;
use crate::base::timestamp::Timestamp;
use crate::local::rows::{
    BodyPlace, CompletedRow, DropRow, HashRow, Held, Id, Manifest, MarkerRow, MeterRow, ObjectHead, ObjectRow, ObjectTail, PartFile,
    PartRow, PartsRef, RehashRow, Standing, UploadRow, UsageRow, VersionRow,
};
use crate::local::scope::KeyId;

const VERSION: u8 = 1;

/// What can be a row's value.
pub trait Row: Sized {
    fn encode(&self) -> Result<Vec<u8>>;
    fn decode(bytes: &[u8]) -> Result<Self>;
}

pub fn encode(row: &impl Row) -> Result<Vec<u8>> {
    row.encode()
}

pub fn decode<T: Row>(bytes: &[u8]) -> Result<T> {
    T::decode(bytes)
}

pub fn write(form: &impl Serialize) -> Result<Vec<u8>> {
    postcard::to_extend(form, vec![VERSION]).map_err(Error::internal)
}

/// The form, and what stands behind it.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, &[u8])> {
    match bytes.split_first() {
        Some((&VERSION, body)) => postcard::take_from_bytes(body).map_err(Error::internal),
        Some((v, _)) => Err(Error::internal(format!("a row has form {v}: it was written by a newer tidegate"))),
        None => Err(Error::internal("a row is empty")),
    }
}

/// All that stands behind a form. Who takes none of it asks that nothing there must be known.
pub fn behind(bytes: &[u8]) -> Result<Fields> {
    let (found, rest) = Fields::parse(bytes)?;
    if rest.is_empty() { Ok(found) } else { Err(Error::internal("a row is longer than its form")) }
}

/// Behind a form that has no field of its own.
fn fields(bytes: &[u8]) -> Result<Fields> {
    let found = behind(bytes)?;
    found.require_known()?;
    Ok(found)
}

fn take_key(found: &mut Fields) -> Result<KeyId> {
    let Some(bytes) = found.take(Tag::KEY) else { return Ok(KeyId::None) };
    let number = bytes.try_into().ok().map(u64::from_le_bytes).and_then(NonZeroU64::new);
    number.map(KeyId::Number).ok_or_else(|| Error::internal("a row's key has no number"))
}

fn with_key(fields: Fields, key: KeyId) -> Fields {
    match key {
        KeyId::None => fields,
        KeyId::Number(number) => fields.with(Tag::KEY, number.get().to_le_bytes().to_vec()),
    }
}

fn take_envelope(found: &mut Fields) -> Result<Option<Envelope>> {
    found.take(Tag::ENVELOPE).map(|bytes| Envelope::decode(&bytes)).transpose()
}

fn with_envelope(fields: Fields, envelope: Option<&Envelope>) -> Result<Fields> {
    Ok(match envelope {
        Some(envelope) => fields.with(Tag::ENVELOPE, envelope.encode()?),
        None => fields,
    })
}

fn take_part_keys(found: &mut Fields) -> Result<Vec<PartKey>> {
    let keys = found.take(Tag::PART_KEYS).map(|bytes| postcard::from_bytes(&bytes).map_err(Error::internal)).transpose()?;
    Ok(keys.unwrap_or_default())
}

fn with_part_keys(fields: Fields, keys: &[PartKey]) -> Result<Fields> {
    if keys.is_empty() {
        return Ok(fields);
    }
    Ok(fields.with(Tag::PART_KEYS, postcard::to_stdvec(keys).map_err(Error::internal)?))
}

/// Where a version has a name it follows from the row: the field says no more than that.
fn with_standing(mut fields: Fields, Standing { named, noncurrent_since }: Standing) -> Fields {
    if named {
        fields = fields.with(Tag::VERSION, Vec::new());
    }
    match noncurrent_since {
        Some(since) => fields.with(Tag::NONCURRENT_SINCE, since.millis().to_le_bytes().to_vec()),
        None => fields,
    }
}

fn take_standing(found: &mut Fields) -> Result<Standing> {
    let named = found.take(Tag::VERSION).is_some();
    let millis = found.take(Tag::NONCURRENT_SINCE).map(|bytes| bytes.try_into().map(u64::from_le_bytes)).transpose();
    let millis = millis.map_err(|_| Error::internal("a row's time is no number"))?;
    if found.take(Tag::NONCURRENT_SINCE).is_some() {
        return Err(Error::internal("a row says two times since when it is not the newest"));
    }
    Ok(Standing { named, noncurrent_since: millis.map(Timestamp::from_millis) })
}

/// Of rows that hold no value of the domain but such as have one written form.
macro_rules! as_they_are {
    ($($row:ty),+) => {$(
        impl Row for $row {
            fn encode(&self) -> Result<Vec<u8>> {
                write(self)
            }

            fn decode(bytes: &[u8]) -> Result<Self> {
                let (row, rest) = read(bytes)?;
                fields(rest)?;
                Ok(row)
            }
        }
    )+};
}

as_they_are!(DropRow, RehashRow, UsageRow, MeterRow, u64, Vec<u8>);

/// Of before there were keys. It lives in the index alone.
#[derive(Serialize, Deserialize)]
struct HashForm {
    place: BodyPlace,
    refs: u64,
    newest: Box<[u8]>,
}

impl Row for HashRow {
    fn encode(&self) -> Result<Vec<u8>> {
        let HashRow { place, refs, held, newest } = self.clone();
        let form = write(&HashForm { place, refs, newest })?;
        let Some(Held { envelope, place }) = held else { return Ok(form) };
        let held = postcard::to_stdvec(&(envelope.encode()?, place)).map_err(Error::internal)?;
        Fields::default().with(Tag::ENVELOPE, held).append(form)
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let (HashForm { place, refs, newest }, rest) = read(bytes)?;
        let mut found = behind(rest)?;
        let held = found.take(Tag::ENVELOPE).map(|bytes| {
            let (envelope, place): (Vec<u8>, Place) = postcard::from_bytes(&bytes).map_err(Error::internal)?;
            Ok::<_, Error>(Held { envelope: Envelope::decode(&envelope)?, place })
        });
        found.require_known()?;
        Ok(HashRow { place, refs, held: held.transpose()?, newest })
    }
}

/// First in an object's row, so that listings as a rule decode nothing else.
#[derive(Serialize, Deserialize)]
struct HeadForm {
    size: u64,
    etag: ETag,
    modified: Timestamp,
    owner: TenantId,
    checksum: Option<Checksum>,
}

impl From<&ObjectHead> for HeadForm {
    fn from(head: &ObjectHead) -> Self {
        let ObjectHead { size, etag, modified, owner, checksum } = head;
        HeadForm { size: *size, etag: *etag, modified: *modified, owner: owner.clone(), checksum: in_slot(checksum.as_ref()) }
    }
}

impl TryFrom<HeadForm> for ObjectHead {
    type Error = Error;

    fn try_from(form: HeadForm) -> Result<Self> {
        let HeadForm { size, etag, modified, owner, checksum } = form;
        Ok(ObjectHead { size, etag, modified, owner, checksum: checksum_of(checksum)? })
    }
}

#[derive(Serialize, Deserialize)]
struct TailForm {
    generation: u64,
    acl: Acl,
    headers: Headers,
    sha256: Option<VerifiedSha256>,
    place: BodyPlace,
    parts: Option<PartsRef>,
}

impl Row for ObjectRow {
    fn encode(&self) -> Result<Vec<u8>> {
        let ObjectTail { generation, standing, key, envelope, acl, headers, lock, tags, sha256, place, parts, inspection, unknown } =
            self.tail.clone();
        let unknown = with_inspection(unknown, inspection.as_deref())?;
        let fields = tags.append_to(lock.append_to(with_standing(with_key(unknown, key), standing)));
        let fields = with_envelope(fields, envelope.as_ref())?;
        let (acl, fields) = acl_and_fields(&acl, fields)?;
        let tail = TailForm { generation, acl, headers: headers.into(), sha256, place, parts };
        let form = postcard::to_extend(&tail, write(&HeadForm::from(&self.head))?).map_err(Error::internal)?;
        with_checksums(fields, self.head.checksum.as_ref(), &[])?.append(form)
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let (head, rest) = read::<HeadForm>(bytes)?;
        let (tail, rest) = postcard::take_from_bytes(rest).map_err(Error::internal)?;
        let TailForm { generation, acl, headers, sha256, place, parts } = tail;
        let (mut unknown, mut head) = (behind(rest)?, ObjectHead::try_from(head)?);
        let (standing, key, lock) = (take_standing(&mut unknown)?, take_key(&mut unknown)?, Lock::take_from(&mut unknown)?);
        take_checksums(&mut unknown, &mut head.checksum, &mut [])?;
        let envelope = take_envelope(&mut unknown)?;
        let (tags, acl) = (Tags::take_from(&mut unknown)?, take_acl(acl, &mut unknown)?);
        let inspection = take_inspection(&mut unknown);
        unknown.require_known()?;
        let headers = headers.into();
        let tail = ObjectTail { generation, standing, key, envelope, acl, headers, lock, tags, sha256, place, parts, inspection, unknown };
        Ok(ObjectRow { head, tail })
    }
}

pub fn decode_head(bytes: &[u8]) -> Result<ObjectHead> {
    let (head, rest) = read::<HeadForm>(bytes)?;
    let mut head = ObjectHead::try_from(head)?;
    // Nearly every object has one, and nearly every one stands in the head: only for the others the tail is passed over.
    if head.checksum.is_none() {
        let (_, rest) = postcard::take_from_bytes::<TailForm>(rest).map_err(Error::internal)?;
        take_checksums(&mut Fields::parse(rest)?.0, &mut head.checksum, &mut [])?;
    }
    Ok(head)
}

/// What a row of `Versions` is. An object's own row follows, or a marker's form.
#[derive(Serialize, Deserialize)]
enum VersionForm {
    Object,
    Marker,
}

#[derive(Serialize, Deserialize)]
struct MarkerForm {
    generation: u64,
    modified: Timestamp,
    owner: TenantId,
}

impl Row for VersionRow {
    fn encode(&self) -> Result<Vec<u8>> {
        match self {
            VersionRow::Object(row) => {
                let mut bytes = write(&VersionForm::Object)?;
                bytes.extend_from_slice(&row.encode()?);
                Ok(bytes)
            }
            VersionRow::Marker(row) => {
                let MarkerRow { generation, modified, owner, standing, unknown } = row.clone();
                let form = MarkerForm { generation, modified, owner };
                let bytes = postcard::to_extend(&form, write(&VersionForm::Marker)?).map_err(Error::internal)?;
                with_standing(unknown, standing).append(bytes)
            }
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let (form, rest) = read(bytes)?;
        match form {
            VersionForm::Object => ObjectRow::decode(rest).map(|row| VersionRow::Object(Arc::new(row))),
            VersionForm::Marker => {
                let (MarkerForm { generation, modified, owner }, rest) = postcard::take_from_bytes(rest).map_err(Error::internal)?;
                let mut unknown = behind(rest)?;
                let standing = take_standing(&mut unknown)?;
                unknown.require_known()?;
                Ok(VersionRow::Marker(MarkerRow { generation, modified, owner, standing, unknown }))
            }
        }
    }
}

impl Row for Bucket {
    fn encode(&self) -> Result<Vec<u8>> {
        let (form, fields) = stored::Bucket::of(self.clone())?;
        fields.append(write(&form)?)
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let (form, rest) = read::<stored::Bucket>(bytes)?;
        form.with(behind(rest)?)
    }
}

/// With who began it, which rows of before that could be another than the owner do not have.
#[derive(Serialize, Deserialize)]
struct UploadForm {
    upload: stored::Upload,
    #[serde(deserialize_with = "none_at_the_end")]
    initiator: Option<TenantId>,
}

impl Row for UploadRow {
    fn encode(&self) -> Result<Vec<u8>> {
        let (upload, initiator, lock, fields) = stored::Upload::of(self.upload.clone())?;
        let fields = with_envelope(lock.append_to(with_key(fields, self.key)), self.envelope.as_ref())?;
        fields.append(write(&UploadForm { upload, initiator })?)
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let (UploadForm { upload, initiator }, rest) = read(bytes)?;
        let mut found = behind(rest)?;
        let (key, lock) = (take_key(&mut found)?, Lock::take_from(&mut found)?);
        let envelope = take_envelope(&mut found)?;
        let upload = upload.begun_by(initiator, lock, &mut found)?;
        found.require_known()?;
        let encryption = envelope.as_ref().map(|envelope| envelope.of.clone());
        Ok(UploadRow { upload: object::Upload { encryption, ..upload }, key, envelope })
    }
}

#[derive(Serialize, Deserialize)]
struct PartForm {
    part: stored::UploadedPart,
    owner: TenantId,
    file: Id,
}

impl Row for PartRow {
    fn encode(&self) -> Result<Vec<u8>> {
        let PartRow { part, owner, key, file, part_key } = self;
        let form = write(&PartForm { part: part.into(), owner: owner.clone(), file: *file })?;
        let fields = with_part_keys(with_key(Fields::default(), *key), part_key.as_slice())?;
        with_checksums(fields, part.checksum.as_ref(), &[])?.append(form)
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let (PartForm { part, owner, file }, rest) = read(bytes)?;
        let (mut found, mut part) = (behind(rest)?, object::UploadedPart::try_from(part)?);
        let key = take_key(&mut found)?;
        take_checksums(&mut found, &mut part.checksum, &mut [])?;
        let part_key = take_part_keys(&mut found)?.pop();
        found.require_known()?;
        Ok(PartRow { part, owner, key, file, part_key })
    }
}

#[derive(Serialize, Deserialize)]
struct ManifestForm {
    parts: Vec<stored::PartInfo>,
    files: Vec<PartFile>,
}

impl Row for Manifest {
    fn encode(&self) -> Result<Vec<u8>> {
        let Manifest { parts, files, keys } = self;
        let form = write(&ManifestForm { parts: parts.iter().map(stored::PartInfo::from).collect(), files: files.clone() })?;
        with_checksums(with_part_keys(Fields::default(), keys)?, None, parts)?.append(form)
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let (ManifestForm { parts, files }, rest) = read(bytes)?;
        let mut parts = parts.into_iter().map(object::PartInfo::try_from).collect::<Result<Vec<_>>>()?;
        let mut found = behind(rest)?;
        take_checksums(&mut found, &mut None, &mut parts)?;
        let keys = take_part_keys(&mut found)?;
        found.require_known()?;
        Ok(Manifest { parts, files, keys })
    }
}

#[derive(Serialize, Deserialize)]
struct CompletedForm {
    bucket: BucketName,
    key: ObjectKey,
    generation: u64,
    at: Timestamp,
    request: Sha256,
    #[serde(deserialize_with = "none_at_the_end")]
    head: Option<HeadForm>,
}

impl Row for CompletedRow {
    fn encode(&self) -> Result<Vec<u8>> {
        let CompletedRow { bucket, key, generation, named, at, request, head } = self.clone();
        let form = write(&CompletedForm { bucket, key, generation, at, request, head: head.as_ref().map(HeadForm::from) })?;
        let fields = with_standing(Fields::default(), Standing { named, noncurrent_since: None });
        with_checksums(fields, head.as_ref().and_then(|head| head.checksum.as_ref()), &[])?.append(form)
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let (CompletedForm { bucket, key, generation, at, request, head }, rest) = read(bytes)?;
        let (mut found, mut head) = (behind(rest)?, head.map(ObjectHead::try_from).transpose()?);
        let named = take_standing(&mut found)?.named;
        if let Some(head) = &mut head {
            take_checksums(&mut found, &mut head.checksum, &mut [])?;
        }
        found.require_known()?;
        Ok(CompletedRow { bucket, key, generation, named, at, request, head })
    }
}

/// For a last field that older rows don't have.
fn none_at_the_end<'de, D: Deserializer<'de>, T: Deserialize<'de>>(row: D) -> std::result::Result<Option<T>, D::Error> {
    Ok(Option::deserialize(row).unwrap_or(None))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a newer program would have put behind the form.
    fn with_field(row: &impl Row, tag: Tag) -> Vec<u8> {
        Fields::default().with(tag, b"of a later version".to_vec()).append(row.encode().unwrap()).unwrap()
    }

    fn bucket() -> Bucket {
        Bucket {
            name: BucketName::parse("media").unwrap(),
            owner: TenantId::parse("acme").unwrap(),
            created: Timestamp::from_millis(1),
            acl: object::CannedAcl::PublicRead.into(),
            documents: [(object::BucketDocument::Policy, b"{}".to_vec())].into(),
            generation: 9,
            unknown: object::UnknownOfBucket::default(),
        }
    }

    #[test]
    fn a_completed_row_of_before_it_kept_its_answer_is_read() {
        let row = CompletedRow {
            bucket: BucketName::parse("media").unwrap(),
            key: ObjectKey::parse("k").unwrap(),
            generation: 300,
            named: false,
            at: Timestamp::now(),
            request: Sha256([7; 32]),
            head: None,
        };
        let mut old = row.encode().unwrap();
        assert_eq!(old.pop(), Some(0), "the field that was not there");
        assert_eq!(CompletedRow::decode(&old).unwrap(), row);
    }

    #[test]
    fn what_a_newer_program_wrote_of_a_bucket_is_written_back() {
        let (known, mut numbered) = (bucket(), bucket());
        numbered.unknown.documents.insert(77, b"<Lifecycle/>".to_vec());
        let newer = with_field(&numbered, Tag::new(500));
        let mut read = Bucket::decode(&newer).unwrap();
        assert_eq!(read.documents, known.documents);
        assert_eq!(read.unknown.documents, numbered.unknown.documents);
        assert_eq!(read.encode().unwrap(), newer);
        read.documents.clear();
        let again = Bucket::decode(&read.encode().unwrap()).unwrap();
        assert_eq!(again.unknown, read.unknown);
    }

    #[test]
    fn what_must_be_known_is_refused() {
        let row = RehashRow { bucket: BucketName::parse("media").unwrap(), key: ObjectKey::parse("k").unwrap() };
        assert_eq!(RehashRow::decode(&with_field(&row, Tag::new(500))).unwrap(), row);
        assert!(RehashRow::decode(&with_field(&row, Tag::new(500).needed())).is_err());
        assert!(Bucket::decode(&with_field(&bucket(), Tag::new(500).needed())).is_err());
        assert!(RehashRow::decode(&[row.encode().unwrap(), vec![0, 0]].concat()).is_err(), "not fields");
    }

    #[test]
    fn another_version_is_refused() {
        let newer = [&[2], &bucket().encode().unwrap()[1..]].concat();
        assert!(Bucket::decode(&newer).unwrap_err().to_string().contains("newer tidegate"));
        assert!(Bucket::decode(b"").is_err());
    }
}
