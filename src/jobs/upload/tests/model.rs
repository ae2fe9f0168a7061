//! Random histories against a map: what was acknowledged is what is read, listed, and in the end stored upstream, after faults,
//! lost answers, late requests and crashes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::base::error::ErrorKind;
use crate::base::lock::Lock;
use crate::base::object::{ListEntry, ListQuery};
use crate::base::object_ref::ObjectRef;
use crate::origin::{CopyObject, Deleted, Freshness, Reads};

const KEYS: [&str; 7] = ["a", "a/1", "a/2", "b/x/1", "b/x/2", "b/y", "c"];

#[derive(Debug, Clone)]
enum When {
    Always,
    Absent,
    Unchanged,
}

#[derive(Debug, Clone)]
enum Step {
    Put { key: usize, large: bool, when: When },
    Delete { key: usize, when: When },
    Copy { from: usize, to: usize },
    Run,
    Upstream(Mode),
    Land,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..KEYS.len();
    let when = || prop_oneof![4 => Just(When::Always), 1 => Just(When::Absent), 1 => Just(When::Unchanged)];
    prop_oneof![
        8 => (key(), any::<bool>(), when()).prop_map(|(key, large, when)| Step::Put { key, large, when }),
        5 => (key(), when()).prop_map(|(key, when)| Step::Delete { key, when }),
        2 => (key(), key()).prop_map(|(from, to)| Step::Copy { from, to }),
        4 => Just(Step::Run),
        4 => prop_oneof![
            3 => Just(Mode::Fine), 1 => Just(Mode::Away), 1 => Just(Mode::Forgetful), 1 => Just(Mode::Late), 1 => Just(Mode::Moody)
        ].prop_map(Step::Upstream),
        1 => Just(Step::Land),
        1 => Just(Step::Crash),
    ]
}

struct History {
    world: World,
    model: BTreeMap<&'static str, Vec<u8>>,
    writes: u64,
    mode: Mode,
}

impl History {
    async fn apply(&mut self, step: Step) {
        match step {
            Step::Put { key, large, when } => self.put(KEYS[key], large, when).await,
            Step::Delete { key, when } => self.delete(KEYS[key], when).await,
            Step::Copy { from, to } => self.copy(KEYS[from], KEYS[to]).await,
            Step::Run => {
                self.world.run_jobs().await;
            }
            Step::Upstream(mode) => {
                self.mode = mode;
                self.world.upstream.set(mode);
            }
            Step::Land => self.world.upstream.land().await,
            Step::Crash => self.world.crash().await,
        }
    }

    fn may_be_away(&self, e: &crate::base::error::Error) {
        assert!(self.mode != Mode::Fine && e.kind() == ErrorKind::UpstreamUnavailable, "{e}");
    }

    async fn conditions(&self, key: &str, when: When) -> Option<WriteConditions> {
        Some(match when {
            When::Always => WriteConditions::default(),
            When::Absent => WriteConditions::absent(),
            When::Unchanged => {
                let etag = match self.model.get(key) {
                    Some(body) => crate::base::etag::ETag::single(crate::ingest::md5::Md5Hasher::digest(body)),
                    None => return None,
                };
                WriteConditions::only_over(Some(etag))
            }
        })
    }

    async fn put(&mut self, key: &'static str, large: bool, when: When) {
        // No two bodies are the same: an upstream's ETag tells each from any other.
        self.writes += 1;
        let mut body = format!("write {}", self.writes).into_bytes();
        body.resize(if large { 700 } else { 40 }, b'.');
        let refused = matches!(when, When::Absent) && self.model.contains_key(key);
        let Some(conditions) = self.conditions(key, when).await else { return };
        match self.world.put("media", key, &body, conditions).await {
            Ok(_) => {
                assert!(!refused);
                self.model.insert(key, body);
            }
            Err(e) if e.kind() == ErrorKind::PreconditionFailed => assert!(refused),
            Err(e) => self.may_be_away(&e),
        }
    }

    async fn delete(&mut self, key: &'static str, when: When) {
        let refused = matches!(when, When::Absent) && self.model.contains_key(key);
        let Some(conditions) = self.conditions(key, when).await else { return };
        match self.world.back().delete(ObjectRef::current(&media(), &object_key(key)), conditions.into()).await {
            Ok(Deleted { existed, .. }) => {
                assert!(!refused);
                // Away: what may be there will be deleted.
                assert!(existed == Some(self.model.contains_key(key)) || self.mode != Mode::Fine);
                self.model.remove(key);
                self.world.upstream.lose_late(key);
            }
            Err(e) if e.kind() == ErrorKind::PreconditionFailed => assert!(refused),
            Err(e) => self.may_be_away(&e),
        }
    }

    async fn copy(&mut self, from: &'static str, to: &'static str) {
        // A copy that is done upstream and whose answer is lost may have been made or not: a client would look.
        if self.mode != Mode::Fine {
            return;
        }
        let Some(source) = self.world.back().stat(ObjectRef::current(&media(), &object_key(from)), Freshness::Current).await.unwrap()
        else {
            return;
        };
        let copy = CopyObject {
            source_bucket: media(),
            source_key: object_key(from),
            source_version: None,
            source,
            bucket: media(),
            key: object_key(to),
            owner: tenant("acme"),
            acl: CannedAcl::Private.into(),
            headers: ObjectHeaders { content_type: "text/plain".into(), ..ObjectHeaders::default() },
            lock: Lock::default(),
            checksum: None,
            tags: Default::default(),
            encryption: None,
            conditions: WriteConditions::default(),
        };
        match self.world.back().copy(copy, Quota::default()).await {
            Ok(_) => {
                let body = self.model[from].clone();
                self.model.insert(to, body);
            }
            // Onto itself, and it was stored on the way: a client is told to look again.
            Err(e) => assert!(e.kind() == ErrorKind::OperationAborted && from == to, "{e}"),
        }
    }

    async fn check(&self) {
        if self.mode != Mode::Fine {
            return;
        }
        for key in KEYS {
            assert_eq!(self.world.get(key).await.unwrap(), self.model.get(key).cloned(), "{key}");
        }
        for (prefix, delimiter) in [("", ""), ("", "/"), ("a", "/"), ("b/", "/"), ("b/", ""), ("z", "/")] {
            for max in [1, 2, 1000] {
                let listed = list_all(self.world.back(), prefix, delimiter, max).await;
                assert_eq!(listed, self.listing(prefix, delimiter), "{prefix:?} {delimiter:?} by {max}");
            }
        }
    }

    fn listing(&self, prefix: &str, delimiter: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for key in self.model.keys().filter(|k| k.starts_with(prefix)) {
            let common = key[prefix.len()..].find(delimiter).filter(|_| !delimiter.is_empty());
            let name = common.map_or((*key).to_owned(), |at| key[..prefix.len() + at + 1].to_owned());
            if names.last() != Some(&name) {
                names.push(name);
            }
        }
        names
    }
}

async fn list_all(reads: &dyn Reads, prefix: &str, delimiter: &str, max: usize) -> Vec<String> {
    let mut query = ListQuery { prefix: prefix.into(), delimiter: delimiter.into(), after: String::new(), max };
    let mut names = Vec::new();
    loop {
        let page = reads.list(&media(), &query).await.unwrap();
        assert!(page.entries.len() <= max && (page.next.is_none() || page.entries.len() == max));
        names.extend(page.entries.into_iter().map(|e| match e {
            ListEntry::Object(o) => o.key.to_string(),
            ListEntry::CommonPrefix(p) => p,
        }));
        match page.next {
            Some(next) => query.after = next,
            None => return names,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn an_acknowledged_write_is_never_lost(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut history = History { world: World::new().await, model: BTreeMap::new(), writes: 0, mode: Mode::Fine };
            for step in steps {
                history.apply(step).await;
                history.check().await;
            }
            history.mode = Mode::Fine;
            history.world.settle().await;
            history.world.upstream.land().await;
            history.check().await;
            // All of it is upstream, and nothing is left here.
            let upstream = &history.world.upstream.inner;
            for key in KEYS {
                assert_eq!(get(&**upstream, key).await.unwrap(), history.model.get(key).cloned(), "{key}");
            }
        });
    }
}
