//! A listing is both stores in order: checked against a model, with random keys, prefixes, delimiters and pages.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::regions::random;

/// What a listing of these keys is.
fn expected(keys: &BTreeMap<String, Vec<u8>>, prefix: &str, delimiter: &str) -> (Vec<String>, Vec<String>) {
    let (mut plain, mut common) = (Vec::new(), BTreeSet::new());
    for key in keys.keys().filter(|k| k.starts_with(prefix)) {
        match key[prefix.len()..].find(delimiter).filter(|_| !delimiter.is_empty()) {
            Some(at) => drop(common.insert(key[..prefix.len() + at + delimiter.len()].to_owned())),
            None => plain.push(key.clone()),
        }
    }
    (plain, common.into_iter().collect())
}

fn key_at_random(seed: &mut u64) -> String {
    const PARTS: [&str; 7] = ["a", "b", "a-", "é", "z z", "+", "0"];
    let depth = 1 + random(seed) % 3;
    let parts: Vec<&str> = (0..depth).map(|_| PARTS[(random(seed) % 7) as usize]).collect();
    format!("{}{}", parts.join("/"), if random(seed).is_multiple_of(8) { "/" } else { "" })
}

fn model(over_s3: bool, seed: u64, rounds: usize) {
    let (world, running) = World::start(over_s3);
    let (mut client, mut seed) = (Client::new(running.s3), seed);
    let mut shown: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for n in 0..120u32 {
        let (key, body) = (key_at_random(&mut seed), format!("old {n}").into_bytes());
        world.put_old(&key, &body);
        shown.insert(key, body);
    }
    for round in 0..rounds {
        for _ in 0..12 {
            let key = key_at_random(&mut seed);
            match random(&mut seed) % 4 {
                0 => {
                    let body = format!("new {round}").into_bytes();
                    client.put(&acme(), BUCKET, &key, &body).expect(200);
                    shown.insert(key, body);
                }
                1 | 2 => {
                    client.delete(&acme(), BUCKET, &key).expect(204);
                    shown.remove(&key);
                }
                _ => match shown.get(&key) {
                    Some(body) => assert_eq!(client.get(&acme(), BUCKET, &key).expect(200).body, *body),
                    None => drop(client.get(&acme(), BUCKET, &key).expect(404)),
                },
            }
        }
        // A folder that loses all that the old store has in it.
        if round % 4 == 3 {
            let folder = format!("{}/", key_at_random(&mut seed));
            let inside: Vec<String> = shown.keys().filter(|k| k.starts_with(&folder)).cloned().collect();
            for key in inside {
                client.delete(&acme(), BUCKET, &key).expect(204);
                shown.remove(&key);
            }
        }
        for (prefix, delimiter) in [("", ""), ("", "/"), ("a", "/"), ("a/", "/"), ("b/", ""), ("", "a"), ("é/", "/"), ("no", "/")] {
            let max = [1, 2, 3, 7, 1000][(random(&mut seed) % 5) as usize].to_string();
            let listed = client.list(&acme(), BUCKET, &[("prefix", prefix), ("delimiter", delimiter), ("max-keys", &max)]);
            let wanted = expected(&shown, prefix, delimiter);
            assert_eq!((listed.keys, listed.prefixes), wanted, "prefix {prefix:?}, delimiter {delimiter:?}, pages of {max}");
        }
        // From anywhere on.
        let after = key_at_random(&mut seed);
        let listed = client.list(&acme(), BUCKET, &[("start-after", &after), ("max-keys", "5")]);
        let wanted: Vec<&String> = shown.keys().filter(|k| **k > after).collect();
        assert_eq!(listed.keys.iter().collect::<Vec<_>>(), wanted, "after {after:?}");
    }
    for (key, body) in &shown {
        assert_eq!(client.get(&acme(), BUCKET, key).expect(200).body, *body, "{key}");
    }
    assert!(running.stop().success());
}

#[test]
fn both_stores_as_one_alone() {
    model(false, 0x9e37_79b9_7f4a_7c15, 24);
}

#[test]
fn both_stores_as_one_over_s3() {
    model(true, 0x2545_f491_4f6c_dd1d, 8);
}

/// More than a page of each, and pages full of what is deleted.
#[test]
fn many_keys() {
    let (world, running) = World::start(false);
    let mut client = Client::new(running.s3);
    let mut wanted = Vec::new();
    for n in 0..1300 {
        let key = format!("d{}/{n:04}", n % 3);
        world.put_old(&key, b"x");
        if n % 13 == 0 {
            client.delete(&acme(), BUCKET, &key).expect(204);
        } else if n % 3 == 1 {
            client.put(&acme(), BUCKET, &key, b"own").expect(200);
            wanted.push(key);
        } else if n % 3 == 2 {
            client.delete(&acme(), BUCKET, &key).expect(204);
        } else {
            wanted.push(key);
        }
    }
    wanted.sort();
    assert_eq!(client.list(&acme(), BUCKET, &[]).keys, wanted);
    let folders = client.list(&acme(), BUCKET, &[("delimiter", "/")]);
    assert_eq!(folders.prefixes, ["d0/", "d1/"]);
    assert!(running.stop().success());
}
