//! What a gateway of before there were stored forms left in a bucket (tests/golden/bucket): every record and every seal is read
//! and written byte for byte.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::base::object::BucketDocument;
use crate::base::seal::{Purpose, Sealer};
use crate::upstream::info::seal_place;
use crate::upstream::stored::{self, Proof};
use crate::upstream::sweep::is_mark;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/bucket")
}

fn sealer() -> Sealer {
    Sealer::new(b"operator-secret", Purpose::Upstream).unwrap()
}

/// The records of a folder, opened.
fn records(of: &str) -> Vec<Vec<u8>> {
    let files = std::fs::read_dir(folder().join(of)).unwrap().map(|entry| entry.unwrap().path());
    let open = |path: PathBuf| {
        let place = format!("{of}/{}", path.file_name().unwrap().to_str().unwrap());
        sealer().open(&place, &std::fs::read(path).unwrap()).unwrap()
    };
    let records: Vec<_> = files.map(open).collect();
    assert!(!records.is_empty());
    records
}

/// A bucket's record with a document of each kind.
#[test]
fn every_document_has_its_number() {
    let text = sealer().open("buckets/settings", &std::fs::read(folder().join("buckets/settings")).unwrap()).unwrap();
    let (bucket, _) = stored::read_bucket(&text).unwrap();
    for document in BucketDocument::ALL {
        assert_eq!(bucket.documents[&document], format!("<{document:?}/>").into_bytes());
    }
}

#[test]
fn records_are_written_as_they_lie_there() {
    let mut own_buckets = Vec::new();
    for text in records("buckets") {
        let (bucket, own) = stored::read_bucket(&text).unwrap();
        assert_eq!(stored::write_bucket(&bucket, own.as_deref()).unwrap(), text, "{}", bucket.name);
        assert!(bucket.documents.len() >= 3 && bucket.unknown == Default::default());
        own_buckets.extend(own);
    }
    assert_eq!(own_buckets, ["tg-pictures"]);
    let mut initiators = 0;
    for text in records("uploads") {
        let (recorded, marks) = stored::read_upload(&text, is_mark).unwrap();
        assert_eq!(stored::write_upload(&recorded).unwrap(), text, "{}", recorded.upload.key);
        assert!(marks.is_empty());
        initiators += usize::from(recorded.upload.initiator.is_some());
        // As a sweep leaves it.
        let marked = [text.as_slice(), &[1]].concat();
        assert_eq!(stored::read_upload(&marked, is_mark).unwrap().1, [1]);
    }
    assert_eq!(initiators, 1);
    for text in records("hashes") {
        assert_eq!(Proof::read(&text).unwrap().write().unwrap(), text);
    }
}

#[test]
fn seals_are_written_as_they_lie_there() {
    let objects: serde_json::Value = serde_json::from_slice(&std::fs::read(folder().join("objects.json")).unwrap()).unwrap();
    let mut proven = 0;
    for object in objects.as_array().unwrap() {
        let key = object["key"].as_str().unwrap();
        let sealed = URL_SAFE_NO_PAD.decode(object["metadata"]["tidegate"].as_str().unwrap()).unwrap();
        let open = |size| sealer().open(&seal_place("home", key, size), &sealed);
        let text = open(object["size"].as_u64()).or_else(|| open(None)).unwrap();
        let known = stored::read_seal(&text).unwrap();
        assert_eq!(stored::write_seal(&known).unwrap(), text, "{key}");
        proven += usize::from(known.md5.is_some());
    }
    assert!(proven >= 4);
}
