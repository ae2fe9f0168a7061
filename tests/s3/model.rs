//! Random operations over the door against a plain map, compared after each; the gateway is stopped and started, and
//! its index deleted, in between. A run prints its seed when it fails; `TIDEGATE_MODEL_SEED=n` repeats it, and
//! `TIDEGATE_MODEL_STEPS` makes it longer. What it finds is kept as a named test at the end.

use std::collections::{BTreeMap, BTreeSet};

use tidegate::ingest::md5::Md5Hasher;

use crate::support::client::{Client, Listed, Request, Sign};
use crate::support::gateway::{Gateway, acme};

const BUCKET: &str = "model";

pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn one<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        &of[self.below(of.len())]
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Sizes at which something changes: empty, in the journal, at the border, files.
    fn body(&mut self) -> Vec<u8> {
        let size = *self.one(&[0, 1, 100, 100, 4_000, 65_536, 65_537, 150_000]);
        // Few different contents, so that they meet.
        let seed = self.below(6) as u8;
        (0..size).map(|i: usize| seed.wrapping_add((i % 253) as u8)).collect()
    }
}

/// Names that sort, nest and encode awkwardly.
const KEYS: &[&str] = &[
    "a",
    "a/",
    "a/b",
    "a/b/c",
    "a//",
    "a/b!",
    "a b",
    "a+b",
    "a%2Fb",
    "aa",
    "b",
    "b/1",
    "b/2",
    "ü",
    "u",
    "z/\u{10ffff}",
    "\u{1}",
    ".",
    "..",
    "a/../b",
    "~",
    "é/ñ",
    "A",
];
const PREFIXES: &[&str] = &["", "", "a", "a/", "a/b", "b/", "z", "ü", "a//", "nothing", "."];
const DELIMITERS: &[&str] = &["", "/", "/", "b", "//", "ü"];

#[derive(Debug, Clone, PartialEq, Eq)]
struct Object {
    body: Vec<u8>,
    etag: String,
    note: String,
}

struct Upload {
    key: String,
    id: String,
    parts: BTreeMap<u16, (Vec<u8>, String)>,
    note: String,
}

struct Run {
    gateway: Gateway,
    client: Client,
    random: Random,
    objects: BTreeMap<String, Object>,
    uploads: Vec<Upload>,
}

fn etag(body: &[u8]) -> String {
    hex::encode(Md5Hasher::digest(body).0)
}

impl Run {
    fn new(seed: u64) -> Self {
        let gateway = Gateway::start();
        let mut client = gateway.client();
        client.make_bucket(&acme(), BUCKET);
        Run { gateway, client, random: Random(seed), objects: BTreeMap::new(), uploads: Vec::new() }
    }

    fn key(&mut self) -> String {
        self.random.one(KEYS).to_string()
    }

    fn send(&mut self, request: &Request) -> crate::support::client::Answer {
        self.client.send(request, Sign::Header(&acme()))
    }

    fn step(&mut self) -> String {
        match self.random.below(100) {
            0..=21 => self.put(),
            22..=33 => self.conditional_put(),
            34..=43 => self.delete(),
            44..=49 => self.batch_delete(),
            50..=59 => self.copy(),
            60..=64 => self.create_upload(),
            65..=74 => self.part(),
            75..=81 => self.complete(),
            82..=84 => self.abort(),
            85..=92 => self.read(),
            93..=97 => self.list(),
            _ => self.restart(),
        }
    }

    fn put(&mut self) -> String {
        let (key, body, note) = (self.key(), self.random.body(), self.random.below(1000).to_string());
        let put = Request::on("PUT", BUCKET, &key).header("x-amz-meta-note", &note).body(body.clone());
        let answer = self.send(&put).expect(200);
        assert_eq!(answer.etag(), etag(&body));
        self.objects.insert(key.clone(), Object { etag: etag(&body), body, note });
        format!("put {key:?}")
    }

    fn conditional_put(&mut self) -> String {
        let (key, body) = (self.key(), self.random.body());
        let current = self.objects.get(&key).map(|o| o.etag.clone());
        let put = Request::on("PUT", BUCKET, &key).body(body.clone());
        let other = "\"00000000000000000000000000000000\"";
        let (put, expected) = match self.random.below(5) {
            0 => (put.header("if-none-match", "*"), if current.is_some() { 412 } else { 200 }),
            1 => {
                let tag = current.clone().unwrap_or_else(|| etag(b"x"));
                (put.header("if-match", &format!("\"{tag}\"")), if current.is_some() { 200 } else { 404 })
            }
            2 => {
                let tag = current.clone().unwrap_or_else(|| etag(b"x"));
                (put.header("if-none-match", &format!("{other}, \"{tag}\"")), if current.is_some() { 412 } else { 200 })
            }
            3 => (put.header("if-none-match", other), 200),
            _ => (put.header("if-match", other), if current.is_some() { 412 } else { 404 }),
        };
        self.send(&put).expect(expected);
        if expected == 200 {
            self.objects.insert(key.clone(), Object { etag: etag(&body), body, note: String::new() });
        }
        format!("conditional put {key:?}: {expected}")
    }

    fn delete(&mut self) -> String {
        let key = self.key();
        self.client.delete(&acme(), BUCKET, &key).expect(204);
        self.objects.remove(&key);
        format!("delete {key:?}")
    }

    fn batch_delete(&mut self) -> String {
        let keys: BTreeSet<String> = (0..3).map(|_| self.key()).filter(|k| k != "\u{1}").collect();
        let listed: String = keys.iter().map(|k| format!("<Object><Key>{k}</Key></Object>")).collect();
        let request = Request::new("POST", &format!("/{BUCKET}")).query("delete", "").body(format!("<Delete>{listed}</Delete>"));
        let answer = self.send(&request).expect(200).xml("DeleteResult");
        assert_eq!(answer.children.iter().filter(|c| c.name == "Deleted").count(), keys.len());
        keys.iter().for_each(|k| drop(self.objects.remove(k)));
        format!("delete {keys:?}")
    }

    fn copy(&mut self) -> String {
        let (from, to) = (self.key(), self.key());
        let source = format!("/{BUCKET}/{}", crate::support::signer::encode_path(&from));
        let copy = Request::on("PUT", BUCKET, &to).header("x-amz-copy-source", &source);
        let replace = self.random.below(2) == 0;
        let copy = if replace { copy.header("x-amz-metadata-directive", "REPLACE").header("x-amz-meta-note", "copied") } else { copy };
        let answer = self.send(&copy);
        let expected = match self.objects.get(&from).cloned() {
            _ if from == to && !replace => 400,
            None => 404,
            Some(mut object) => {
                if replace {
                    object.note = "copied".into();
                }
                self.objects.insert(to.clone(), object);
                200
            }
        };
        answer.expect(expected);
        format!("copy {from:?} to {to:?}: {expected}")
    }

    fn create_upload(&mut self) -> String {
        let (key, note) = (self.key(), self.random.below(1000).to_string());
        let create = Request::on("POST", BUCKET, &key).query("uploads", "").header("x-amz-meta-note", &note);
        let answer = self.send(&create).expect(200);
        let id = answer.xml("InitiateMultipartUploadResult").text_of("UploadId").unwrap().to_owned();
        self.uploads.push(Upload { key: key.clone(), id, parts: BTreeMap::new(), note });
        format!("create upload {key:?}")
    }

    /// Also the same number again, with the same or another body, once or twice at once.
    fn part(&mut self) -> String {
        if self.uploads.is_empty() {
            return "no upload".into();
        }
        let number = *self.random.one(&[1u16, 1, 2, 10_000]);
        // All but the last part must be large: now and then one is.
        let body = if self.random.below(12) == 0 { vec![number as u8; 5 * 1024 * 1024] } else { self.random.body() };
        let index = self.random.below(self.uploads.len());
        let (key, id) = (self.uploads[index].key.clone(), self.uploads[index].id.clone());
        if self.random.below(4) == 0 {
            // A retry while the first try is still under way.
            let mut other = self.gateway.client();
            std::thread::scope(|scope| {
                let first = scope.spawn(|| other.upload_part(&acme(), BUCKET, &key, &id, number, &body).expect(200));
                self.client.upload_part(&acme(), BUCKET, &key, &id, number, &body).expect(200);
                first.join().unwrap();
            });
        } else {
            let answer = self.client.upload_part(&acme(), BUCKET, &key, &id, number, &body).expect(200);
            assert_eq!(answer.etag(), etag(&body));
        }
        let tag = etag(&body);
        self.uploads[index].parts.insert(number, (body, tag));
        format!("part {number} of {key:?}")
    }

    fn complete(&mut self) -> String {
        if self.uploads.is_empty() {
            return "no upload".into();
        }
        let index = self.random.below(self.uploads.len());
        let upload = &self.uploads[index];
        let (key, id, note) = (upload.key.clone(), upload.id.clone(), upload.note.clone());
        let parts: Vec<(u16, Vec<u8>, String)> = upload.parts.iter().map(|(n, (b, t))| (*n, b.clone(), t.clone())).collect();
        let named: Vec<(u16, String)> = parts.iter().map(|(n, _, t)| (*n, t.clone())).collect();
        if parts.is_empty() {
            self.client.complete(&acme(), BUCKET, &key, &id, &[(1, etag(b"never"))]).refused(400, "InvalidPart");
            return format!("complete {key:?} without parts");
        }
        match self.random.below(5) {
            0 => {
                let mut wrong = named.clone();
                wrong[0].1 = etag(b"another");
                self.client.complete(&acme(), BUCKET, &key, &id, &wrong).refused(400, "InvalidPart");
                return format!("complete {key:?} with a wrong part");
            }
            1 if named.len() > 1 => {
                let backwards: Vec<_> = named.iter().rev().cloned().collect();
                self.client.complete(&acme(), BUCKET, &key, &id, &backwards).refused(400, "InvalidPartOrder");
                return format!("complete {key:?} in the wrong order");
            }
            _ => {}
        }
        let small = parts[..parts.len() - 1].iter().any(|(_, body, _)| body.len() < 5 * 1024 * 1024);
        let answer = self.client.complete(&acme(), BUCKET, &key, &id, &named);
        if small {
            answer.refused(400, "EntityTooSmall");
            return format!("complete {key:?}: too small");
        }
        answer.expect(200);
        let digests: Vec<u8> = parts.iter().flat_map(|(_, _, tag)| hex::decode(tag).unwrap()).collect();
        let whole = format!("{}-{}", etag(&digests), parts.len());
        let body = parts.iter().flat_map(|(_, body, _)| body.iter().copied()).collect();
        self.objects.insert(key.clone(), Object { body, etag: whole, note });
        if self.random.below(2) == 0 {
            // The answer was lost, so it is asked again.
            self.client.complete(&acme(), BUCKET, &key, &id, &named).expect(200);
        }
        self.uploads.remove(index);
        self.client.upload_part(&acme(), BUCKET, &key, &id, 1, b"late").refused(404, "NoSuchUpload");
        format!("complete {key:?} of {} parts", parts.len())
    }

    fn abort(&mut self) -> String {
        if self.uploads.is_empty() {
            return "no upload".into();
        }
        let index = self.random.below(self.uploads.len());
        let upload = self.uploads.remove(index);
        let abort = Request::on("DELETE", BUCKET, &upload.key).query("uploadId", &upload.id);
        self.send(&abort).expect(204);
        self.send(&abort).refused(404, "NoSuchUpload");
        format!("abort {:?}", upload.key)
    }

    fn read(&mut self) -> String {
        let key = self.key();
        let whole = self.client.get(&acme(), BUCKET, &key);
        let Some(object) = self.objects.get(&key).cloned() else {
            whole.refused(404, "NoSuchKey");
            return format!("read {key:?}: nothing");
        };
        check_object(&whole.expect(200), &object);
        let size = object.body.len();
        let (from, to) = (self.random.below(size + 2), self.random.below(size + 2));
        let (range, expected) = match self.random.below(3) {
            0 if from <= to => (format!("bytes={from}-{to}"), object.body.get(from..(to + 1).min(size)).map(<[u8]>::to_vec)),
            1 => (format!("bytes={from}-"), object.body.get(from..).map(<[u8]>::to_vec)),
            _ => (format!("bytes=-{to}"), Some(object.body[size - to.min(size)..].to_vec())),
        };
        let answer = self.send(&Request::on("GET", BUCKET, &key).header("range", &range));
        match expected.filter(|part| !part.is_empty()) {
            Some(part) => assert!(answer.expect(206).body == part, "{range}"),
            None => drop(answer.refused(416, "InvalidRange")),
        }
        format!("read {key:?} {range}")
    }

    fn list(&mut self) -> String {
        let (prefix, delimiter) = (*self.random.one(PREFIXES), *self.random.one(DELIMITERS));
        let max = self.random.one(&["1", "2", "3", "7", "1000"]).to_string();
        let after = if self.random.below(3) == 0 { self.key() } else { String::new() };
        // Names that XML can't carry need it.
        let encoded = [("prefix", prefix), ("delimiter", delimiter), ("max-keys", &max), ("start-after", &after), ("encoding-type", "url")];
        let mut listed = self.client.list(&acme(), BUCKET, &encoded);
        let decode = |names: &mut Vec<String>| names.iter_mut().for_each(|n| *n = tidegate::auth::query::decode(n).unwrap());
        decode(&mut listed.keys);
        decode(&mut listed.prefixes);
        let expected = self.expected(prefix, delimiter, &after, max.parse().unwrap());
        assert_eq!(listed, expected, "prefix {prefix:?} delimiter {delimiter:?} after {after:?} max {max}");
        format!("list {prefix:?} {delimiter:?} {after:?} {max}")
    }

    fn expected(&self, prefix: &str, delimiter: &str, after: &str, max: usize) -> Listed {
        let (mut keys, mut prefixes) = (Vec::new(), BTreeSet::new());
        for key in self.objects.keys().filter(|k| k.starts_with(prefix)) {
            let rest = &key[prefix.len()..];
            match rest.find(delimiter).filter(|_| !delimiter.is_empty()) {
                Some(at) => {
                    let common = &key[..prefix.len() + at + delimiter.len()];
                    // What `after` lies in was summed up before it.
                    if common > after && !after.starts_with(common) {
                        prefixes.insert(common.to_owned());
                    }
                }
                None if key.as_str() > after => keys.push(key.clone()),
                None => {}
            }
        }
        let entries = keys.len() + prefixes.len();
        Listed { keys, prefixes: prefixes.into_iter().collect(), pages: entries.div_ceil(max).max(1) }
    }

    fn restart(&mut self) -> String {
        let damage = self.random.below(3);
        self.gateway.restart(|data| match damage {
            0 => {}
            1 => std::fs::remove_dir_all(data.join("index")).unwrap(),
            _ => {
                // Some file of it cut in the middle.
                let files = crate::support::gateway::files_under(&data.join("index"));
                let longest = files.iter().max_by_key(|f| f.metadata().map_or(0, |m| m.len())).unwrap();
                let file = std::fs::OpenOptions::new().write(true).open(longest).unwrap();
                file.set_len(longest.metadata().unwrap().len() / 2).unwrap();
            }
        });
        self.client = self.gateway.client();
        self.check_all();
        format!("restart {damage}")
    }

    fn check_all(&mut self) {
        for (key, object) in self.objects.clone() {
            check_object(&self.client.get(&acme(), BUCKET, &key).expect(200), &object);
        }
        let mut listed = self.client.list(&acme(), BUCKET, &[("encoding-type", "url")]);
        listed.keys.iter_mut().for_each(|k| *k = tidegate::auth::query::decode(k).unwrap());
        assert!(listed.keys.iter().eq(self.objects.keys()), "{:?}", listed.keys);
        for upload in &self.uploads {
            let list = Request::on("GET", BUCKET, &upload.key).query("uploadId", &upload.id);
            let parts = self.client.send(&list, Sign::Header(&acme())).expect(200).xml("ListPartsResult");
            let parts: Vec<(u16, String)> = parts
                .children
                .iter()
                .filter(|c| c.name == "Part")
                .map(|p| (p.text_of("PartNumber").unwrap().parse().unwrap(), p.text_of("ETag").unwrap().trim_matches('"').to_owned()))
                .collect();
            let expected: Vec<(u16, String)> = upload.parts.iter().map(|(n, (_, t))| (*n, t.clone())).collect();
            assert_eq!(parts, expected);
        }
    }
}

fn check_object(answer: &crate::support::client::Answer, object: &Object) {
    assert!(answer.body == object.body, "{} bytes for {}", answer.body.len(), object.body.len());
    assert_eq!(answer.etag(), object.etag);
    assert_eq!(answer.header("x-amz-meta-note").unwrap_or_default(), object.note);
}

fn run(seed: u64, steps: usize) {
    let mut run = Run::new(seed);
    let mut last = Vec::new();
    for step in 0..steps {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.step()));
        match done {
            Ok(what) => last.push(format!("{step}: {what}")),
            Err(panic) => {
                eprintln!("seed {seed}, step {step}, after:\n{}", last[last.len().saturating_sub(12)..].join("\n"));
                std::panic::resume_unwind(panic);
            }
        }
    }
    run.restart();
}

#[test]
fn random_operations_are_those_of_a_map() {
    let number = |name| std::env::var(name).ok().map(|v: String| v.parse::<u64>().unwrap());
    let steps = number("TIDEGATE_MODEL_STEPS").unwrap_or(300) as usize;
    match number("TIDEGATE_MODEL_SEED") {
        Some(seed) => run(seed, steps),
        None => {
            let seed = Random(std::process::id().into()).next() % 1_000_000;
            // Three that are always the same, and one that is new.
            for seed in [1, 2, 3, seed] {
                run(seed, steps);
            }
        }
    }
}

// What was found

#[test]
fn regression_a_first_start_set_its_own_new_index_aside() {
    let mut gateway = Gateway::start();
    assert!(!gateway.data().join("index.broken").exists());
    gateway.restart(|data| std::fs::remove_dir_all(data.join("index")).unwrap());
    assert!(!gateway.data().join("index.broken").exists());
}
