//! Rows with a checksum of the five that came later, as the first release that knows them writes them (tests/golden/checksums.txt):
//! read and written byte for byte.

use std::fmt::Write as _;
use std::path::Path;

use super::*;
use crate::base::checksum::{Checksum, ChecksumType};
use crate::base::digest::Sha256;
use crate::base::etag::ETag;
use crate::base::fields::Fields;
use crate::base::lock::Lock;
use crate::base::names::UploadId;
use crate::base::object::{PartInfo, Upload, UploadedPart};
use crate::base::timestamp::Timestamp;
use crate::local::rows::{
    BodyPlace, CompletedRow, Manifest, ObjectHead, ObjectRow, ObjectTail, PartFile, PartRow, PartsRef, Standing, UploadRow,
};
use crate::local::scope::KeyId;
use crate::local::stored::{self, Row};

fn value(algorithm: ChecksumAlgorithm, byte: u8, parts: u16) -> Option<Checksum> {
    Some(Checksum::new(algorithm, &vec![byte; algorithm.value_len()]).unwrap().composite(parts))
}

fn head(checksum: Option<Checksum>) -> ObjectHead {
    ObjectHead {
        size: 70_000,
        etag: ETag::multipart(crate::base::digest::Md5([3; 16]), 2),
        modified: Timestamp::from_millis(1_700_000_000_000),
        owner: tenant("acme"),
        checksum,
    }
}

fn object() -> ObjectRow {
    let tail = ObjectTail {
        generation: 300,
        standing: Standing::default(),
        key: KeyId::None,
        envelope: None,
        acl: CannedAcl::PublicRead.into(),
        headers: ObjectHeaders { content_type: "text/plain".into(), ..ObjectHeaders::default() },
        lock: Lock::default(),
        tags: Default::default(),
        sha256: None,
        place: BodyPlace::Parts { manifest: 7 },
        parts: Some(PartsRef { manifest: 7, count: 2 }),
        inspection: None,
        unknown: Fields::default(),
    };
    ObjectRow { head: head(value(ChecksumAlgorithm::Xxhash128, 1, 2)), tail }
}

fn part() -> PartRow {
    let etag = ETag::single(crate::base::digest::Md5([4; 16]));
    let checksum = value(ChecksumAlgorithm::Sha512, 5, 0);
    let part = UploadedPart { number: 9, size: 10, etag, modified: Timestamp::from_millis(1), checksum };
    PartRow { part, owner: tenant("acme"), key: KeyId::None, file: 11, part_key: None }
}

fn manifest() -> Manifest {
    let part = |number, algorithm| PartInfo { number, size: 35_000, checksum: value(algorithm, number as u8, 0) };
    Manifest {
        parts: vec![part(2, ChecksumAlgorithm::Md5), part(3, ChecksumAlgorithm::Crc32), part(300, ChecksumAlgorithm::Md5)],
        files: vec![PartFile { id: 1, size: 35_000 }, PartFile { id: 2, size: 35_000 }, PartFile { id: 3, size: 35_000 }],
        keys: Vec::new(),
    }
}

fn upload() -> UploadRow {
    let upload = Upload {
        id: UploadId::parse("0123456789ab").unwrap(),
        bucket: bucket_name("media"),
        key: object_key("k"),
        owner: tenant("acme"),
        initiated: Timestamp::from_millis(2),
        acl: CannedAcl::Private.into(),
        headers: ObjectHeaders::default(),
        checksum: Some((ChecksumAlgorithm::Xxhash3, ChecksumType::Composite)),
        lock: Lock::default(),
        tags: Default::default(),
        encryption: None,
        initiator: Some(tenant("bravo")),
    };
    UploadRow { upload, key: KeyId::None, envelope: None }
}

fn completed() -> CompletedRow {
    CompletedRow {
        bucket: bucket_name("media"),
        key: object_key("k"),
        generation: 300,
        named: false,
        at: Timestamp::from_millis(3),
        request: Sha256([7; 32]),
        head: Some(head(value(ChecksumAlgorithm::Xxhash64, 8, 2))),
    }
}

fn line<T: Row + PartialEq + std::fmt::Debug>(name: &str, row: &T) -> String {
    let bytes = stored::encode(row).unwrap();
    assert_eq!(&stored::decode::<T>(&bytes).unwrap(), row);
    format!("{name} {}\n", hex::encode(bytes))
}

#[test]
fn rows_with_a_later_checksum_are_written_as_ever() {
    let mut all = String::new();
    let rows = [
        line("object", &object()),
        line("part", &part()),
        line("manifest", &manifest()),
        line("upload", &upload()),
        line("completed", &completed()),
    ];
    rows.iter().for_each(|row| all.write_str(row).unwrap());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/checksums.txt");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), all);
    // A listing sees it without the rest of the row.
    let object = object();
    assert_eq!(stored::decode_head(&stored::encode(&object).unwrap()).unwrap(), object.head);
}
