//! Collections against the references of every table: what a row of any table refers to stays, and all else goes in the end.
//!
//! What each table refers to is said here once more, by hand and without looking at the collection's own answer: a table that is
//! added does not compile before it is said.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::model::{collect_garbage, files};
use super::*;
use crate::base::etag::ETag;
use crate::base::fields::Fields;
use crate::base::lock::Lock;
use crate::base::names::UploadId;
use crate::base::object::{Upload, UploadedPart};
use crate::local::blobs::parse_path;
use crate::local::rows::{
    BodyPlace, CompletedRow, DropKind, HashRow, Id, Manifest, MarkerRow, ObjectHead, ObjectRow, ObjectTail, PartFile, PartRow, RehashRow,
    Standing, Table, UploadRow, UsageRow, VersionRow, key,
};
use crate::local::scope::{KeyId, Scope};
use crate::local::txn::Txn;

/// Of each kind of thing there are so many.
const THINGS: u8 = 4;

/// A row of the table about thing number `a`, which speaks of number `b` too where it can speak of two.
#[derive(Debug, Clone, Copy)]
struct Said {
    table: Table,
    a: u8,
    b: u8,
    /// The row goes.
    unsaid: bool,
}

fn said() -> impl Strategy<Value = Said> {
    (proptest::sample::select(Table::ALL.to_vec()), 0..THINGS, 0..THINGS, any::<bool>()).prop_map(|(table, a, b, unsaid)| Said {
        table,
        a,
        b,
        unsaid,
    })
}

/// What the rows may refer to: files of content, files of parts, manifests.
#[derive(Clone)]
struct Things {
    blobs: Vec<(VerifiedSha256, Id)>,
    parts: Vec<Id>,
    manifests: Vec<Id>,
}

fn scope() -> Scope {
    Scope::new(&tenant("acme"), KeyId::None)
}

fn content(n: u8) -> Vec<u8> {
    bytes_of(u64::from(n) + 50, 700)
}

impl Things {
    fn make(local: &Local) -> Self {
        let placed = |body: &[u8], is_part: bool| {
            let shared = &local.shared;
            let content = Content::Memory(Bytes::copy_from_slice(body));
            let sha256 = VerifiedSha256::proven(Sha256(sha2::Sha256::digest(body).into()));
            let mut placed = match is_part {
                true => shared.place_part(&scope(), content).unwrap(),
                false => shared.place_blob(&scope(), &sha256, shared.as_file(content).unwrap()).unwrap(),
            };
            placed.handed_over();
            let id = placed.id();
            assert!(placed.settled().is_none());
            (sha256, id)
        };
        Things {
            blobs: (0..THINGS).map(|n| placed(&content(n), false)).collect(),
            parts: (0..THINGS).map(|n| placed(&content(n + THINGS), true).1).collect(),
            manifests: (0..THINGS).map(|_| local.shared.ids.next()).collect(),
        }
    }

    /// Of the row of `Versions` about thing `a`.
    const GENERATION: u64 = 7;

    fn version(&self, txn: &mut Txn<'_>, a: u8, b: u8) -> Result<VersionRow> {
        let mut row = self.object(txn, a, b)?;
        row.tail.generation = Self::GENERATION;
        Ok(VersionRow::Object(Arc::new(row)))
    }

    fn object(&self, txn: &mut Txn<'_>, a: u8, b: u8) -> Result<ObjectRow> {
        let (sha256, id) = self.blobs[usize::from(a)];
        let (place, sha256) = match b {
            0 => (BodyPlace::Empty, None),
            1 => (BodyPlace::File { id }, Some(sha256)),
            2 => (BodyPlace::Parts { manifest: self.manifests[usize::from(a)] }, None),
            _ => (txn.add_content(Bytes::from(content(a)))?, Some(sha256)),
        };
        let size = if b == 0 { 0 } else { content(a).len() as u64 };
        let etag = ETag::single(Md5Hasher::digest(&[a]));
        Ok(ObjectRow {
            head: ObjectHead { size, etag, modified: txn.now(), owner: tenant("acme"), checksum: None },
            tail: ObjectTail {
                generation: txn.next_generation(),
                standing: Standing::default(),
                key: KeyId::None,
                envelope: None,
                acl: CannedAcl::Private.into(),
                headers: ObjectHeaders::default(),
                lock: Lock::default(),
                tags: Default::default(),
                sha256,
                place,
                parts: None,
                inspection: None,
                unknown: Fields::default(),
            },
        })
    }

    fn say(&self, txn: &mut Txn<'_>, Said { table, a, b, unsaid }: Said) -> Result<()> {
        let name = object_key(&format!("k{a}"));
        let upload_id = UploadId::parse(&format!("upload{a}")).unwrap();
        let row_key = match table {
            Table::Meta | Table::Buckets | Table::Completed | Table::Settings | Table::Usage | Table::Due | Table::KeyUses => {
                format!("{table:?}{a}").to_lowercase().into_bytes()
            }
            Table::Objects | Table::NullVersions => key::object(&bucket_name("media"), &name),
            Table::Versions => key::version(&bucket_name("media"), &name, Self::GENERATION),
            Table::Uploads => key::upload(&bucket_name("media"), &name, upload_id.as_str()),
            Table::Parts => key::part(upload_id.as_str(), u16::from(b) + 1),
            Table::Manifests | Table::ManifestRefs => key::id(self.manifests[usize::from(a)]),
            Table::Drops => key::id(self.parts[usize::from(a)]),
            Table::Rehash => key::id(Id::from(a)),
            Table::Hashes => key::hash(&scope(), self.blobs[usize::from(a)].0.digest()),
        };
        if unsaid {
            return txn.del_row(table, row_key);
        }
        let part = |n: u8| PartFile { id: self.parts[usize::from(n)], size: 700 };
        let rehash = RehashRow { bucket: bucket_name("media"), key: name.clone() };
        match table {
            // A marker refers to nothing, as do versions without bytes.
            Table::Versions if b == 0 => {
                let (generation, modified, owner) = (Self::GENERATION, txn.now(), tenant("acme"));
                let marker = MarkerRow { generation, modified, owner, standing: Standing::default(), unknown: Fields::default() };
                txn.set_version(&bucket_name("media"), &name, VersionRow::Marker(marker))
            }
            Table::Versions => {
                let row = self.version(txn, a, b)?;
                txn.set_version(&bucket_name("media"), &name, row)
            }
            Table::Meta | Table::ManifestRefs | Table::NullVersions => txn.set_row(table, row_key, &u64::from(b)),
            Table::Buckets => txn.set_bucket(bucket_of(std::str::from_utf8(&row_key).unwrap())),
            Table::Objects => {
                let row = self.object(txn, a, b)?;
                txn.set_object(&bucket_name("media"), &name, Arc::new(row))
            }
            Table::Uploads => {
                txn.set_row(table, row_key, &UploadRow { upload: upload_of(upload_id, name), key: KeyId::None, envelope: None })
            }
            Table::Parts => txn.set_row(table, row_key, &part_of(b, self.parts[usize::from(a)])),
            Table::Manifests => {
                txn.set_row(table, row_key, &Manifest { parts: Vec::new(), files: vec![part(a), part(b)], keys: Vec::new() })
            }
            Table::Completed => txn.set_row(table, row_key, &completed_of(name)),
            Table::Settings => txn.set_row(table, row_key, &vec![b]),
            Table::Drops => txn.drop_later(&scope(), DropKind::Part, self.parts[usize::from(a)]),
            Table::Rehash => txn.set_row(table, row_key, &rehash),
            Table::Hashes => {
                let (sha256, id) = self.blobs[usize::from(a)];
                let newest = key::object(&bucket_name("media"), &name).into();
                txn.set_content(&scope(), &sha256, Some(HashRow { place: BodyPlace::File { id }, refs: 1, held: None, newest }));
                Ok(())
            }
            Table::Usage => txn.set_row(table, row_key, &UsageRow { bytes: 1, objects: 1, ..UsageRow::default() }),
            Table::Due => txn.set_row(table, row_key, &vec![b]),
            // A count, which a start asks what it counts.
            Table::KeyUses => Ok(()),
        }
    }

    /// Everything is a candidate, also what is referred to.
    fn suspect_all(&self, txn: &mut Txn<'_>) -> Result<()> {
        let scope = scope();
        self.blobs.iter().try_for_each(|(sha256, id)| txn.drop_later(&scope, DropKind::Blob(*sha256), *id))?;
        self.parts.iter().try_for_each(|id| txn.drop_later(&scope, DropKind::Part, *id))?;
        self.manifests.iter().try_for_each(|id| txn.drop_later(&scope, DropKind::Manifest, *id))
    }

    /// The files that rows refer to. `there`: the rows by table, `a`, and `b` where it is part of the key.
    fn referred(&self, there: &BTreeMap<(Table, u8, u8), Said>) -> BTreeSet<Id> {
        let mut manifests = BTreeSet::new();
        let mut found = BTreeSet::new();
        for Said { table, a, b, .. } in there.values().copied() {
            match table {
                Table::Objects | Table::Versions if b == 1 => drop(found.insert(self.blobs[usize::from(a)].1)),
                Table::Objects | Table::Versions if b == 2 => drop(manifests.insert(a)),
                // Without bytes, or with bytes in the journal.
                Table::Objects | Table::Versions => {}
                Table::Parts => drop(found.insert(self.parts[usize::from(a)])),
                // Only what an object refers to: below.
                Table::Manifests => {}
                Table::Meta | Table::Buckets | Table::Uploads | Table::Completed | Table::Settings | Table::Drops | Table::Rehash => {}
                // Hints. A file is never kept for their sake, nor let go.
                Table::Hashes | Table::ManifestRefs | Table::Usage | Table::NullVersions | Table::Due | Table::KeyUses => {}
            }
        }
        for Said { a, b, .. } in there.values().filter(|s| s.table == Table::Manifests && manifests.contains(&s.a)) {
            found.extend([self.parts[usize::from(*a)], self.parts[usize::from(*b)]]);
        }
        found
    }
}

fn bucket_of(name: &str) -> Bucket {
    Bucket {
        name: bucket_name(name),
        owner: tenant("acme"),
        created: Timestamp::now(),
        acl: CannedAcl::Private.into(),
        documents: Default::default(),
        generation: 0,
        unknown: Default::default(),
    }
}

fn upload_of(id: UploadId, key: ObjectKey) -> Upload {
    Upload {
        id,
        bucket: bucket_name("media"),
        key,
        owner: tenant("acme"),
        initiated: Timestamp::now(),
        acl: CannedAcl::Private.into(),
        headers: ObjectHeaders::default(),
        lock: Lock::default(),
        tags: Default::default(),
        encryption: None,
        checksum: None,
        initiator: None,
    }
}

fn part_of(number: u8, file: Id) -> PartRow {
    let etag = ETag::single(Md5Hasher::digest(b""));
    let part = UploadedPart { number: u16::from(number) + 1, size: 700, etag, modified: Timestamp::now(), checksum: None };
    PartRow { part, owner: tenant("acme"), key: KeyId::None, file, part_key: None }
}

fn completed_of(key: ObjectKey) -> CompletedRow {
    CompletedRow {
        bucket: bucket_name("media"),
        key,
        generation: 1,
        named: false,
        at: Timestamp::now(),
        request: Sha256([0; 32]),
        head: None,
    }
}

/// The files that are left, by number.
fn kept(local: &Local) -> BTreeSet<Id> {
    files(local).iter().map(|path| parse_path(&local.shared.layout, path).unwrap().2).collect()
}

async fn say_all(local: &Arc<Local>, things: &Things, rows: &[Said]) {
    let (things, rows) = (things.clone(), rows.to_vec());
    let say = move |txn: &mut Txn<'_>| {
        rows.iter().try_for_each(|said| things.say(txn, *said))?;
        things.suspect_all(txn)
    };
    local.shared.queue.submit(say).await.unwrap();
    collect_garbage(local);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn what_a_row_refers_to_stays_and_all_else_goes(rows in proptest::collection::vec(said(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let local = Local::open(Settings { inline_limit: 512, segment_bytes: 2048, ..settings(dir.path()) }).unwrap();
            let things = Things::make(&local);
            let mut there = BTreeMap::new();
            for said in &rows {
                let name = (said.table, said.a, if said.table == Table::Parts { said.b } else { 0 });
                if said.unsaid { there.remove(&name) } else { there.insert(name, *said) };
            }
            say_all(&local, &things, &rows).await;
            assert_eq!(kept(&local), things.referred(&there), "{there:?}");
            for Said { table, a, .. } in there.values().filter(|s| s.b == 3) {
                let (shared, bucket, key) = (&local.shared, bucket_name("media"), object_key(&format!("k{a}")));
                let entry = match table {
                    Table::Objects => shared.load_entry(&bucket, &key).unwrap().unwrap(),
                    Table::Versions => shared.load_version(&bucket, &key, Things::GENERATION).unwrap().unwrap(),
                    _ => continue,
                };
                let body = local.shared.read_whole(&entry).unwrap();
                assert_eq!(body.unwrap(), content(*a), "its segment stays");
            }
            let none: Vec<Said> = there.values().map(|said| Said { unsaid: true, ..*said }).collect();
            say_all(&local, &things, &none).await;
            assert_eq!(kept(&local), BTreeSet::new());
            local.close();
        });
    }
}
