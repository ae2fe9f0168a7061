//! A data folder as the first release with stored forms found it (tests/golden/store): every row of it is read and written byte for
//! byte, and the store opens, reads and proves it.

use std::collections::BTreeSet;
use std::path::Path;

use super::model::copy_tree;
use super::*;
use crate::base::etag::ETag;
use crate::base::fields::Fields;
use crate::base::inspection::{Fact, Finding, Inspection, Verdict};
use crate::base::lock::{Lock, Retention, RetentionMode};
use crate::base::names::UploadId;
use crate::base::object::{BucketDocument, SharedObject, Upload};
use crate::base::object_ref::ObjectRef;
use crate::base::tags::Tags;
use crate::journal::Journal;
use crate::journal::op::parse_ops;
use crate::journal::segment::{self, Contents};
use crate::local::fsck::{self, Options};
use crate::local::rows::{
    BodyPlace, CompletedRow, DropRow, Manifest, MarkerRow, ObjectHead, ObjectRow, ObjectTail, PartRow, RehashRow, Standing, Table,
    UploadRow, VersionRow,
};
use crate::local::scope::KeyId;
use crate::local::sealed::Sealing;
use crate::local::stored::{self, Row};
use crate::origin::OwnSettings;

fn golden(dir: &Path) -> Settings {
    copy_tree(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/store"), &dir.join("data"));
    Settings { inline_limit: 1024, sealing: Sealing::new(b"operator-secret", None).unwrap(), ..settings(dir) }
}

fn again<T: Row>(bytes: &[u8]) -> Vec<u8> {
    stored::encode(&stored::decode::<T>(bytes).unwrap()).unwrap()
}

/// The value as this program writes it.
fn written_again(table: Table, value: &[u8]) -> Vec<u8> {
    match table {
        Table::Meta => again::<u64>(value),
        Table::Buckets => again::<Bucket>(value),
        Table::Objects => again::<ObjectRow>(value),
        Table::Uploads => again::<UploadRow>(value),
        Table::Parts => again::<PartRow>(value),
        Table::Manifests => again::<Manifest>(value),
        Table::Completed => again::<CompletedRow>(value),
        Table::Settings => again::<Vec<u8>>(value),
        Table::Drops => again::<DropRow>(value),
        Table::Rehash => again::<RehashRow>(value),
        Table::Versions => again::<VersionRow>(value),
        Table::Hashes | Table::ManifestRefs | Table::Usage | Table::NullVersions | Table::Due | Table::KeyUses => {
            panic!("a derived row in the journal")
        }
    }
}

#[test]
fn every_row_is_read_and_written_as_it_lies_there() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, recovered) = Journal::open(golden(dir.path()).journal()).unwrap();
    let mut seen = BTreeSet::new();
    for sealed in &recovered.segments {
        segment::walk(journal.dir(), &recovered.log, *sealed, segment::first_batch(), Contents::Prove, &mut |_, ops| {
            for op in parse_ops(ops).unwrap() {
                let table = Table::of(op.table)?;
                let Some(value) = op.value else { continue };
                assert_eq!(written_again(table, value), value, "{table:?} {:?}", String::from_utf8_lossy(op.key));
                seen.insert(table);
            }
            Ok(())
        })
        .unwrap();
    }
    // Versions came later: their rows are below.
    let truth: BTreeSet<Table> = Table::ALL.into_iter().filter(|t| t.is_truth() && *t != Table::Versions).collect();
    assert_eq!(seen, truth, "the folder has a row of each");
}

/// A row of tests/golden/rows: a kind of which the folder has none, or what came to one later.
fn row(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/rows").join(name)).unwrap()
}

#[test]
fn every_document_of_a_bucket_has_its_number() {
    let bytes = row("bucket");
    let bucket = Bucket::decode(&bytes).unwrap();
    for document in BucketDocument::ALL {
        assert_eq!(bucket.documents[&document], format!("<{document:?}/>").into_bytes());
    }
    assert_eq!(bucket.encode().unwrap(), bytes);
}

/// A version as one is kept in a bucket that keeps them.
fn version(noncurrent_since: Option<Timestamp>) -> ObjectRow {
    let until = Timestamp::from_millis(1_900_000_000_000);
    ObjectRow {
        head: ObjectHead {
            size: 5,
            etag: ETag::single(Md5Hasher::digest(b"bytes")),
            modified: Timestamp::from_millis(1_800_000_000_123),
            owner: tenant("acme"),
            checksum: None,
        },
        tail: ObjectTail {
            generation: 77 << 20 | 3,
            standing: Standing { named: true, noncurrent_since },
            key: KeyId::None,
            envelope: None,
            acl: CannedAcl::PublicRead.into(),
            headers: ObjectHeaders { content_type: "text/plain".into(), ..ObjectHeaders::default() },
            lock: Lock { retention: Some(Retention { mode: RetentionMode::Compliance, until }), legal_hold: true },
            tags: Default::default(),
            sha256: None,
            place: BodyPlace::File { id: 9 },
            parts: None,
            inspection: None,
            unknown: Fields::default(),
        },
    }
}

fn marker(standing: Standing) -> MarkerRow {
    let modified = Timestamp::from_millis(1_800_000_000_456);
    MarkerRow { generation: 78 << 20 | 1, modified, owner: tenant("acme"), standing, unknown: Fields::default() }
}

#[test]
fn rows_of_versions_are_read_and_written_as_they_lie_there() {
    fn holds<T: Row + PartialEq + std::fmt::Debug>(name: &str, expected: &T) {
        assert_eq!(T::decode(&row(name)).unwrap(), *expected, "{name}");
        assert_eq!(expected.encode().unwrap(), row(name), "{name}");
    }
    let since = Some(Timestamp::from_millis(1_800_000_000_456));
    holds("object-version", &version(None));
    holds("noncurrent-version", &VersionRow::Object(Arc::new(version(since))));
    holds("marker", &VersionRow::Marker(marker(Standing { named: true, noncurrent_since: None })));
    holds("noncurrent-null-marker", &VersionRow::Marker(marker(Standing { named: false, noncurrent_since: since })));
    let tags = Tags::parse("class=draft&empty=&team=film%20%2B%20tv%20%C3%BC").unwrap();
    let mut tagged = version(None);
    tagged.tail.tags = tags.clone();
    holds("tagged-version", &tagged);
    let mut inspected = version(None);
    inspected.tail.inspection = Some(Arc::new(Inspection {
        inspector: 1,
        verdict: Verdict::Flagged,
        format: "glb".into(),
        // The second is of a newer inspector.
        facts: vec![(Fact::Triangles.number(), 60_000), (500, 7)],
        names: vec!["KHR_materials_unlit".into()],
        findings: vec![Finding { fault: false, text: "it has 60000 triangles: more than 50000".into() }],
    }));
    holds("inspected-version", &inspected);
    let upload = Upload {
        id: UploadId::parse("00112233445566778899aabbccddeeff").unwrap(),
        bucket: bucket_name("media"),
        key: object_key("k"),
        owner: tenant("acme"),
        initiated: Timestamp::from_millis(1_800_000_000_123),
        acl: CannedAcl::Private.into(),
        headers: tagged.tail.headers.clone(),
        checksum: None,
        lock: tagged.tail.lock,
        tags,
        encryption: None,
        initiator: Some(tenant("bravo")),
    };
    holds("tagged-upload", &UploadRow { upload, key: KeyId::None, envelope: None });
    let version = version(None);
    let completed = CompletedRow {
        bucket: bucket_name("media"),
        key: object_key("k"),
        generation: version.tail.generation,
        named: true,
        at: version.head.modified,
        request: Sha256([7; 32]),
        head: Some(version.head.clone()),
    };
    holds("completed-version", &completed);
    assert_eq!(version.id().as_str(), "01a3185c507b0000000004d00003");
}

async fn stat(local: &Local, key: &str) -> SharedObject {
    local.stat(ObjectRef::current(&bucket_name("media"), &object_key(key)), Freshness::Current).await.unwrap().unwrap()
}

#[tokio::test]
async fn the_store_opens_reads_and_proves_it() {
    let dir = tempfile::tempdir().unwrap();
    let settings = golden(dir.path());
    let report = fsck::fsck(&settings, Options { verify: true, repair: false }).unwrap();
    assert!(report.is_clean(), "{report:?}");
    let local = Local::open(settings.clone()).unwrap();
    for (key, body) in [
        ("empty", Vec::new()),
        ("inline", b"inline body".to_vec()),
        ("file", vec![b'f'; 2000]),
        ("copy", vec![b'f'; 2000]),
        ("multipart", vec![b'm'; 3000]),
        ("bravo/object", b"of another tenant".to_vec()),
    ] {
        assert_eq!(get(&local, "media", key).await.unwrap().as_ref(), Some(&body), "{key}");
    }
    let inline = stat(&local, "inline").await;
    assert_eq!((inline.owner.as_str(), inline.acl.clone()), ("acme", CannedAcl::PublicRead.into()));
    assert_eq!(inline.headers.content_type, "text/plain; charset=utf-8");
    assert_eq!(inline.headers.user["title"], b"a title");
    assert_eq!(inline.headers.website_redirect.as_deref(), Some("/elsewhere"));
    assert_eq!(inline.checksum.as_ref().unwrap().algorithm, ChecksumAlgorithm::Sha256);
    let bravo = stat(&local, "bravo/object").await;
    assert_eq!((bravo.owner.as_str(), bravo.acl.clone()), ("bravo", CannedAcl::BucketOwnerRead.into()));
    assert_eq!(stat(&local, "multipart").await.parts.len(), 1);
    let bucket = local.bucket(&bucket_name("media")).await.unwrap().unwrap();
    assert_eq!(bucket.acl, CannedAcl::PublicRead);
    for document in [BucketDocument::Location, BucketDocument::Policy, BucketDocument::Cors, BucketDocument::Ownership] {
        assert!(bucket.documents.contains_key(&document), "{document:?}");
    }
    let uploads = local.uploads(&bucket_name("enforced"), &crate::origin::UploadsQuery { max: 9, ..Default::default() }).await.unwrap();
    assert_eq!((uploads.uploads[0].owner.as_str(), uploads.uploads[0].initiator().as_str()), ("acme", "bravo"));
    let keys = local.settings("keys").await.unwrap();
    assert!(keys.len() == 1 && String::from_utf8_lossy(&keys[0].1).contains("acme"), "the sealed key opens");
    local.close();
    assert!(fsck::fsck(&settings, Options { verify: true, repair: false }).unwrap().is_clean());
}
