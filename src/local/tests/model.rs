//! Random histories against a map: what is read is what was written, after collections, restarts, crashes, and with the
//! index gone; and nothing that is still referred to is ever unlinked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::base::lock::Lock;
use crate::base::object::{ListEntry, ListQuery};
use crate::base::object_ref::ObjectRef;
use crate::local::gc::Collector;
use crate::origin::{CopyObject, Usage};

/// All that can go, goes: two passes, since a manifest's files are proven after it.
pub fn collect_garbage(local: &Local) {
    let shared = local.shared.clone();
    std::thread::spawn(move || {
        let mut passes = Collector::default();
        for _ in 0..4 {
            let due = shared.due_candidates().unwrap();
            passes.run(&shared, due, true).unwrap();
        }
    })
    .join()
    .unwrap();
}

pub fn files(local: &Local) -> Vec<PathBuf> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    walk(&local.shared.layout.blobs(), &mut found);
    found
}

pub fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else if let Err(e) = std::fs::copy(entry.path(), target) {
            assert_eq!(e.kind(), std::io::ErrorKind::NotFound, "only sled removes files meanwhile");
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Put {
        key: u8,
        content: u8,
    },
    Delete {
        key: u8,
    },
    Copy {
        from: u8,
        to: u8,
    },
    Collect,
    Restart,
    /// The folder as it is on the disk at this moment, opened elsewhere.
    Crash {
        without_index: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u8..8, 0u8..6).prop_map(|(key, content)| Step::Put { key, content }),
        4 => (0u8..8).prop_map(|key| Step::Delete { key }),
        3 => (0u8..8, 0u8..8).prop_map(|(from, to)| Step::Copy { from, to }),
        2 => Just(Step::Collect),
        1 => Just(Step::Restart),
        1 => any::<bool>().prop_map(|without_index| Step::Crash { without_index }),
    ]
}

/// Half of them inline, half of them files.
pub fn content(n: u8) -> Vec<u8> {
    bytes_of(u64::from(n) + 1, if n.is_multiple_of(2) { 200 } else { 700 })
}

pub fn small(dir: &Path) -> Settings {
    Settings { inline_limit: 512, segment_bytes: 2048, ..settings(dir) }
}

struct World {
    root: tempfile::TempDir,
    lives: usize,
    local: Arc<Local>,
    model: BTreeMap<String, Vec<u8>>,
}

impl World {
    fn folder(&self) -> PathBuf {
        self.root.path().join(self.lives.to_string())
    }

    async fn apply(&mut self, step: Step) {
        match step {
            Step::Put { key, content: n } => {
                let key = format!("k{key}");
                put(&self.local, "media", &key, &content(n)).await.unwrap();
                self.model.insert(key, content(n));
            }
            Step::Delete { key } => {
                let key = format!("k{key}");
                let there = self.model.remove(&key).is_some();
                assert_eq!(delete(&self.local, "media", &key).await.unwrap(), there);
            }
            Step::Copy { from, to } => self.copy(&format!("k{from}"), &format!("k{to}")).await,
            Step::Collect => collect_garbage(&self.local),
            Step::Restart => {
                self.local.close();
                self.local = Local::open(small(&self.folder())).unwrap();
            }
            Step::Crash { without_index } => {
                // A crash leaves the folder as of one moment, a copy only if nothing moves meanwhile: no pass, and sled at rest.
                let shared = self.local.shared.clone();
                let hold = shared.hold.lock().unwrap();
                if let Some(index) = &*self.local.shared.index.load() {
                    index.flush().unwrap();
                }
                let old = self.folder();
                self.lives += 1;
                copy_tree(&old, &self.folder());
                drop(hold);
                if without_index {
                    std::fs::remove_dir_all(self.folder().join("data/index")).unwrap();
                }
                self.local = Local::open(small(&self.folder())).unwrap();
            }
        }
    }

    async fn copy(&mut self, from: &str, to: &str) {
        let Some(source) = self.local.stat(ObjectRef::current(&bucket_name("media"), &object_key(from)), Freshness::Current).await.unwrap()
        else {
            return;
        };
        let copy = CopyObject {
            source_bucket: bucket_name("media"),
            source_key: object_key(from),
            source_version: None,
            source,
            bucket: bucket_name("media"),
            key: object_key(to),
            owner: tenant("acme"),
            acl: CannedAcl::Private.into(),
            headers: ObjectHeaders::default(),
            lock: Lock::default(),
            checksum: None,
            tags: Default::default(),
            encryption: None,
            conditions: WriteConditions::default(),
        };
        assert_eq!(self.local.copy(copy, Quota::default()).await.unwrap().dedup, Dedup::Hit);
        let body = self.model[from].clone();
        self.model.insert(to.to_owned(), body);
    }

    async fn check(&self) {
        for n in 0..8 {
            let key = format!("k{n}");
            assert_eq!(get(&self.local, "media", &key).await.unwrap(), self.model.get(&key).cloned(), "{key}");
        }
        let query = ListQuery { max: 1000, ..ListQuery::default() };
        let page = self.local.list(&bucket_name("media"), &query).await.unwrap();
        let names: Vec<String> = page
            .entries
            .iter()
            .map(|e| match e {
                ListEntry::Object(o) => o.key.to_string(),
                ListEntry::CommonPrefix(p) => p.clone(),
            })
            .collect();
        assert_eq!(names, self.model.keys().cloned().collect::<Vec<_>>());
        let bytes = self.model.values().map(|v| v.len() as u64).sum();
        let usage = Usage { bytes, objects: self.model.len() as u64 };
        assert_eq!(self.local.usage(&tenant("acme")).await.unwrap(), usage);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_a_map(steps in proptest::collection::vec(step(), 1..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let root = tempfile::tempdir().unwrap();
            let local = Local::open(small(&root.path().join("0"))).unwrap();
            make_bucket(&local, "media").await;
            let mut world = World { root, lives: 0, local, model: BTreeMap::new() };
            for step in steps {
                world.apply(step).await;
                world.check().await;
            }
            // At rest: one file for each different content that is live and too large to be inline, and no more.
            collect_garbage(&world.local);
            let live: std::collections::BTreeSet<_> = world.model.values().filter(|v| v.len() > 512).collect();
            assert_eq!(files(&world.local).len(), live.len());
            world.check().await;
        });
    }
}
