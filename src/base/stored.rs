//! How values that both stores keep are written: version 1 of each, apart from the values themselves.
//!
//! A value of the domain that gains a field or a variant does not compile until it is said here what becomes of it. These types
//! never change: what is new is a field (`Fields`) or another version of the form that it stands in.
//! Not here: names, ETags, hashes and times, which have one written form and keep it (their own files test it).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::acl::{self, CannedAcl, Grants, Permissions};
use super::digest::VerifiedSha256;
use super::error::{Error, Result};
use super::etag::ETag;
use super::fields::{Fields, Tag, Unknown};
use super::listed::listed;
use super::lock::Lock;
use super::names::{BucketName, ObjectKey, TenantId, UploadId};
use super::object::{self, BucketDocument, Layer, ObjectHeaders};
use super::object_ref::VersionId;
use super::tags::Tags;
use super::timestamp::Timestamp;

mod checksums;
mod encryption;
mod inspection;

use checksums::{Algorithm, OfParts};
pub use checksums::{Checksum, checksum_of, in_slot, take_checksums, with_checksums};
pub use encryption::{take_encryption, with_encryption};
pub use inspection::{inspection_bytes, inspection_of, take_inspection, with_inspection};

listed! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    pub enum Acl {
        Private,
        PublicRead,
        PublicReadWrite,
        AuthenticatedRead,
        BucketOwnerRead,
        BucketOwnerFullControl,
    }
}

impl From<CannedAcl> for Acl {
    fn from(acl: CannedAcl) -> Self {
        match acl {
            CannedAcl::Private => Acl::Private,
            CannedAcl::PublicRead => Acl::PublicRead,
            CannedAcl::PublicReadWrite => Acl::PublicReadWrite,
            CannedAcl::AuthenticatedRead => Acl::AuthenticatedRead,
            CannedAcl::BucketOwnerRead => Acl::BucketOwnerRead,
            CannedAcl::BucketOwnerFullControl => Acl::BucketOwnerFullControl,
        }
    }
}

impl From<Acl> for CannedAcl {
    fn from(acl: Acl) -> Self {
        match acl {
            Acl::Private => CannedAcl::Private,
            Acl::PublicRead => CannedAcl::PublicRead,
            Acl::PublicReadWrite => CannedAcl::PublicReadWrite,
            Acl::AuthenticatedRead => CannedAcl::AuthenticatedRead,
            Acl::BucketOwnerRead => CannedAcl::BucketOwnerRead,
            Acl::BucketOwnerFullControl => CannedAcl::BucketOwnerFullControl,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Grantee {
    AllUsers,
    AuthenticatedUsers,
    LogDelivery,
    Tenant(TenantId),
}

impl From<&acl::Grantee> for Grantee {
    fn from(grantee: &acl::Grantee) -> Self {
        match grantee {
            acl::Grantee::AllUsers => Grantee::AllUsers,
            acl::Grantee::AuthenticatedUsers => Grantee::AuthenticatedUsers,
            acl::Grantee::LogDelivery => Grantee::LogDelivery,
            acl::Grantee::Tenant(tenant) => Grantee::Tenant(tenant.clone()),
        }
    }
}

impl From<Grantee> for acl::Grantee {
    fn from(grantee: Grantee) -> Self {
        match grantee {
            Grantee::AllUsers => acl::Grantee::AllUsers,
            Grantee::AuthenticatedUsers => acl::Grantee::AuthenticatedUsers,
            Grantee::LogDelivery => acl::Grantee::LogDelivery,
            Grantee::Tenant(tenant) => acl::Grantee::Tenant(tenant),
        }
    }
}

/// An ACL as the number that every form has for it, and the fields with what none of the numbers says.
pub fn acl_and_fields(acl: &object::Acl, fields: Fields) -> Result<(Acl, Fields)> {
    let grants = match acl {
        object::Acl::Canned(canned) => return Ok(((*canned).into(), fields)),
        object::Acl::Grants(grants) => grants,
    };
    let form: Vec<(Grantee, u8)> = grants.sets().iter().map(|(grantee, permissions)| (grantee.into(), permissions.bits())).collect();
    Ok((Acl::Private, fields.with(Tag::GRANTS, postcard::to_stdvec(&form).map_err(Error::internal)?)))
}

pub fn take_acl(acl: Acl, fields: &mut Fields) -> Result<object::Acl> {
    Ok(take_grants(fields)?.unwrap_or_else(|| CannedAcl::from(acl).into()))
}

/// None: it is the one that the form has a number for.
pub fn take_grants(fields: &mut Fields) -> Result<Option<object::Acl>> {
    let Some(bytes) = fields.take(Tag::GRANTS) else { return Ok(None) };
    let unreadable = || Error::internal("stored grants can't be read");
    let form: Vec<(Grantee, u8)> = postcard::from_bytes(&bytes).map_err(Error::internal)?;
    let sets = form.into_iter().map(|(grantee, bits)| Some((grantee.into(), Permissions::from_bits(bits)?))).collect::<Option<_>>();
    Ok(Some(sets.and_then(Grants::of_sets).ok_or_else(unreadable)?.into()))
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headers {
    content_type: String,
    cache_control: Option<String>,
    content_disposition: Option<String>,
    content_encoding: Option<String>,
    content_language: Option<String>,
    expires: Option<String>,
    website_redirect: Option<String>,
    storage_class: Option<String>,
    user: BTreeMap<String, Vec<u8>>,
}

impl From<ObjectHeaders> for Headers {
    fn from(headers: ObjectHeaders) -> Self {
        let ObjectHeaders {
            content_type,
            cache_control,
            content_disposition,
            content_encoding,
            content_language,
            expires,
            website_redirect,
            storage_class,
            user,
        } = headers;
        Headers {
            content_type,
            cache_control,
            content_disposition,
            content_encoding,
            content_language,
            expires,
            website_redirect,
            storage_class,
            user,
        }
    }
}

impl From<Headers> for ObjectHeaders {
    fn from(headers: Headers) -> Self {
        ObjectHeaders {
            content_type: headers.content_type,
            cache_control: headers.cache_control,
            content_disposition: headers.content_disposition,
            content_encoding: headers.content_encoding,
            content_language: headers.content_language,
            expires: headers.expires,
            website_redirect: headers.website_redirect,
            storage_class: headers.storage_class,
            user: headers.user,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartInfo {
    number: u16,
    size: u64,
    checksum: Option<Checksum>,
}

impl From<&object::PartInfo> for PartInfo {
    fn from(part: &object::PartInfo) -> Self {
        let object::PartInfo { number, size, checksum } = part;
        PartInfo { number: *number, size: *size, checksum: in_slot(checksum.as_ref()) }
    }
}

impl TryFrom<PartInfo> for object::PartInfo {
    type Error = Error;

    fn try_from(part: PartInfo) -> Result<Self> {
        Ok(object::PartInfo { number: part.number, size: part.size, checksum: checksum_of(part.checksum)? })
    }
}

/// A version of an object, where it is kept whole. Its layer and the fields behind it are its keeper's to write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectInfo {
    size: u64,
    etag: ETag,
    modified: Timestamp,
    generation: u64,
    owner: TenantId,
    acl: Acl,
    headers: Headers,
    sha256: Option<VerifiedSha256>,
    checksum: Option<Checksum>,
    parts: Vec<PartInfo>,
    restore: Option<String>,
}

impl ObjectInfo {
    pub fn of(info: object::ObjectInfo) -> Result<(Self, Layer, Unknown)> {
        let object::ObjectInfo {
            size,
            etag,
            modified,
            generation,
            owner,
            acl,
            headers,
            sha256,
            checksum,
            parts,
            restore,
            version,
            lock,
            // Asked for anew: it changes while the version stays.
            tag_count: _,
            encryption,
            // The same.
            inspection: _,
            unknown,
            layer,
        } = info;
        let fields = with_encryption(with_checksums(unknown.fields, checksum.as_ref(), &parts)?, encryption.as_ref());
        let (headers, checksum) = (headers.into(), in_slot(checksum.as_ref()));
        let parts = parts.iter().map(PartInfo::from).collect();
        let (acl, fields) = acl_and_fields(&acl, lock.append_to(with_version(fields, &version)))?;
        let form = ObjectInfo { size, etag, modified, generation, owner, acl, headers, sha256, checksum, parts, restore };
        Ok((form, layer, Unknown { fields, newer: unknown.newer }))
    }

    pub fn with(self, layer: Layer, mut unknown: Unknown) -> Result<object::ObjectInfo> {
        let ObjectInfo { size, etag, modified, generation, owner, acl, headers, sha256, checksum, parts, restore } = self;
        let (acl, headers, mut checksum) = (take_acl(acl, &mut unknown.fields)?, headers.into(), checksum_of(checksum)?);
        let mut parts = parts.into_iter().map(object::PartInfo::try_from).collect::<Result<Vec<_>>>()?;
        take_checksums(&mut unknown.fields, &mut checksum, &mut parts)?;
        let (version, lock) = (take_version(&mut unknown.fields)?, Lock::take_from(&mut unknown.fields)?);
        let encryption = take_encryption(&mut unknown.fields)?;
        Ok(object::ObjectInfo {
            size,
            etag,
            modified,
            generation,
            owner,
            acl,
            headers,
            sha256,
            checksum,
            parts,
            restore,
            version,
            lock,
            tag_count: None,
            encryption,
            inspection: None,
            unknown,
            layer,
        })
    }
}

fn with_version(fields: Fields, version: &VersionId) -> Fields {
    match version {
        VersionId::Null => fields,
        VersionId::Named(name) => fields.with(Tag::VERSION, name.as_bytes().to_vec()),
    }
}

fn take_version(fields: &mut Fields) -> Result<VersionId> {
    let Some(name) = fields.take(Tag::VERSION) else { return Ok(VersionId::Null) };
    std::str::from_utf8(&name).map_err(Error::internal).and_then(VersionId::parse)
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadedPart {
    number: u16,
    size: u64,
    etag: ETag,
    modified: Timestamp,
    checksum: Option<Checksum>,
}

impl From<&object::UploadedPart> for UploadedPart {
    fn from(part: &object::UploadedPart) -> Self {
        let object::UploadedPart { number, size, etag, modified, checksum } = part;
        UploadedPart { number: *number, size: *size, etag: *etag, modified: *modified, checksum: in_slot(checksum.as_ref()) }
    }
}

impl TryFrom<UploadedPart> for object::UploadedPart {
    type Error = Error;

    fn try_from(part: UploadedPart) -> Result<Self> {
        let UploadedPart { number, size, etag, modified, checksum } = part;
        Ok(object::UploadedPart { number, size, etag, modified, checksum: checksum_of(checksum)? })
    }
}

/// Without its initiator, its lock and its tags, which stand behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    id: UploadId,
    bucket: BucketName,
    key: ObjectKey,
    owner: TenantId,
    initiated: Timestamp,
    acl: Acl,
    headers: Headers,
    checksum: Option<(Algorithm, OfParts)>,
}

impl Upload {
    /// With the initiator, the lock, and the fields of the upload itself: its tags too.
    pub fn of(upload: object::Upload) -> Result<(Self, Option<TenantId>, Lock, Fields)> {
        // How it is encrypted is its keeper's to write.
        let object::Upload { id, bucket, key, owner, initiated, acl, headers, checksum, lock, tags, encryption: _, initiator } = upload;
        let (checksum, fields) = checksums::announced(checksum)?;
        let (acl, fields) = acl_and_fields(&acl, tags.append_to(fields))?;
        Ok((Upload { id, bucket, key, owner, initiated, acl, headers: headers.into(), checksum }, initiator, lock, fields))
    }

    /// Takes out of `fields` what is of the upload itself.
    pub fn begun_by(self, initiator: Option<TenantId>, lock: Lock, fields: &mut Fields) -> Result<object::Upload> {
        Ok(object::Upload {
            id: self.id,
            bucket: self.bucket,
            key: self.key,
            owner: self.owner,
            initiated: self.initiated,
            acl: take_acl(self.acl, fields)?,
            headers: self.headers.into(),
            checksum: checksums::take_announced(self.checksum, fields)?,
            lock,
            tags: Tags::take_from(fields)?,
            encryption: None,
            initiator,
        })
    }
}

/// The documents by number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    name: BucketName,
    owner: TenantId,
    created: Timestamp,
    acl: Acl,
    documents: BTreeMap<u32, Vec<u8>>,
    generation: u64,
}

/// The number that stands for a document.
const fn number(document: BucketDocument) -> u32 {
    match document {
        BucketDocument::Location => 0,
        BucketDocument::Policy => 1,
        BucketDocument::Cors => 2,
        BucketDocument::Ownership => 3,
        BucketDocument::PublicAccessBlock => 4,
        BucketDocument::Versioning => 5,
        BucketDocument::Tagging => 6,
        BucketDocument::Lifecycle => 7,
        BucketDocument::ObjectLock => 8,
        BucketDocument::Website => 9,
        BucketDocument::Encryption => 10,
        BucketDocument::Logging => 11,
        BucketDocument::Notification => 12,
    }
}

impl Bucket {
    /// With the fields that stand behind it.
    pub fn of(bucket: object::Bucket) -> Result<(Self, Fields)> {
        let object::Bucket { name, owner, created, acl, documents, generation, unknown } = bucket;
        let object::UnknownOfBucket { documents: mut numbered, fields } = unknown;
        numbered.extend(documents.into_iter().map(|(document, text)| (number(document), text)));
        let (acl, fields) = acl_and_fields(&acl, fields)?;
        Ok((Bucket { name, owner, created, acl, documents: numbered, generation }, fields))
    }

    pub fn with(self, mut fields: Fields) -> Result<object::Bucket> {
        let acl = take_acl(self.acl, &mut fields)?;
        fields.require_known()?;
        let mut numbered = self.documents;
        let known = BucketDocument::ALL.into_iter().filter_map(|d| Some((d, numbered.remove(&number(d))?))).collect();
        Ok(object::Bucket {
            name: self.name,
            owner: self.owner,
            created: self.created,
            acl,
            documents: known,
            generation: self.generation,
            unknown: object::UnknownOfBucket { documents: numbered, fields },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::acl::{Grantee, Permission};

    #[test]
    fn grants_are_a_field_of_these_bytes() {
        let acme = Grantee::Tenant(TenantId::parse("acme").unwrap());
        let list = [
            (Grantee::AllUsers, Permission::Read),
            (Grantee::LogDelivery, Permission::Write),
            (Grantee::LogDelivery, Permission::ReadAcp),
            (acme, Permission::FullControl),
        ];
        let acl = object::Acl::from(Grants::of(list).unwrap());
        let (number, fields) = acl_and_fields(&acl, Fields::default()).unwrap();
        let bytes = hex::decode("03".to_owned() + "0001" + "0206" + "0304" + &hex::encode("acme") + "10").unwrap();
        assert_eq!((number, &fields), (Acl::Private, &Fields::default().with(Tag::GRANTS, bytes)));
        assert!(acl.stored_bytes() >= fields.append(Vec::new()).unwrap().len());
        assert!(fields.require_known().is_err(), "who does not know it must not take it for private");
        let mut read = fields;
        assert_eq!(take_acl(number, &mut read).unwrap(), acl);
        assert!(read.is_empty());
        for canned in CannedAcl::ALL {
            let (number, fields) = acl_and_fields(&canned.into(), Fields::default()).unwrap();
            assert!(fields.is_empty() && take_acl(number, &mut Fields::default()).unwrap() == canned);
        }
        let strange = [hex::decode("010020").unwrap(), hex::decode("0202010001").unwrap(), vec![9]];
        for bytes in strange {
            assert!(take_acl(Acl::Private, &mut Fields::default().with(Tag::GRANTS, bytes)).is_err());
        }
    }
}
