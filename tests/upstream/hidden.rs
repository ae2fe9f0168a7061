//! What is hidden in a bucket that stands for a whole one upstream: no listing shows a part of its name.

use std::collections::BTreeSet;

use crate::support::client::{Client, Request, Sign};
use crate::support::gateway::{Gateway, HOME, Setup, acme, bravo, operator, over};
use crate::support::plain_s3::PlainS3;

const SHOWN: [&str; 5] = [".tidy", "media/own", "mine", "model", "z"];

/// Home with some objects, and beside them the gateway's own state and a bucket that acme made.
fn world() -> (Gateway, Client) {
    let gateway = Setup::new().start_over(Gateway::start());
    let mut client = gateway.client();
    client.make_bucket(&acme(), "made");
    client.put(&acme(), "made", "secret/x", b"x").expect(200);
    for key in SHOWN {
        client.put(&operator(), HOME, key, b"x").expect(200);
    }
    (gateway, client)
}

/// By the definition: what of `SHOWN` begins with the prefix, and the parts of it that end with the delimiter.
fn expected(prefix: &str, delimiter: &str, after: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut keys, mut prefixes) = (BTreeSet::new(), BTreeSet::new());
    for key in SHOWN.iter().filter(|k| **k > after) {
        let Some(rest) = key.strip_prefix(prefix) else { continue };
        match rest.find(delimiter).filter(|_| !delimiter.is_empty()) {
            Some(at) => prefixes.insert(key[..prefix.len() + at + delimiter.len()].to_owned()),
            None => keys.insert((*key).to_owned()),
        };
    }
    (keys, prefixes)
}

#[test]
fn no_delimiter_shows_a_part_of_a_hidden_name() {
    let (_gateway, mut client) = world();
    for delimiter in ["", "/", "e", ".", "t", "a", "d", "de", "gate", "ade/", "e/", "te/b", "m", "\u{e9}"] {
        for prefix in ["", ".", ".t", ".tide", ".tidegate", ".tidegate/", ".tidegate/buckets/m", "m", "mad", "made", "made/", "made/s"] {
            for max in ["1", "1000"] {
                let query = [("delimiter", delimiter), ("prefix", prefix), ("max-keys", max)];
                let listed = client.list(&operator(), HOME, &query);
                let got = (BTreeSet::from_iter(listed.keys), BTreeSet::from_iter(listed.prefixes));
                assert_eq!(got, expected(prefix, delimiter, ""), "{query:?}");
            }
        }
    }
    for after in [".tidegate/buckets/made", ".tide", "made/secret", "made"] {
        let listed = client.list(&operator(), HOME, &[("start-after", after), ("max-keys", "1")]);
        assert_eq!(BTreeSet::from_iter(listed.keys), expected("", "", after).0, "{after}");
    }
    for sub in ["", "versions"] {
        let request = Request::on("GET", HOME, "").query("delimiter", "e").query("prefix", ".");
        let request = if sub.is_empty() { request } else { request.query(sub, "") };
        let text = client.send(&request, Sign::Header(&operator())).expect(200).text();
        assert!(text.contains(".tidy") && !text.contains(".tide"), "{text}");
    }
}

#[test]
fn no_listing_of_uploads_shows_a_part_of_a_hidden_name() {
    let (_gateway, mut client) = world();
    for key in ["secret-1", "secret-2", "zecret"] {
        client.create_upload(&acme(), "made", key);
    }
    for key in ["early", "mine", "zz"] {
        client.create_upload(&operator(), HOME, key);
    }
    for delimiter in ["", "a", "e", "/"] {
        for max in ["1", "2", "1000"] {
            let (mut keys, mut prefixes, mut markers) = (Vec::new(), Vec::new(), (String::new(), String::new()));
            loop {
                let request = Request::on("GET", HOME, "").query("uploads", "").query("delimiter", delimiter).query("max-uploads", max);
                let request = request.query("key-marker", &markers.0).query("upload-id-marker", &markers.1);
                let answer = client.send(&request, Sign::Header(&operator())).expect(200);
                assert!(!answer.text().contains("made") && !answer.text().contains(">ma<"), "{delimiter} {max}: {}", answer.text());
                let page = answer.xml("ListMultipartUploadsResult");
                for child in &page.children {
                    match &*child.name {
                        "Upload" => keys.push(child.text_of("Key").unwrap().to_owned()),
                        "CommonPrefixes" => prefixes.push(child.text_of("Prefix").unwrap().to_owned()),
                        _ => {}
                    }
                }
                let Some(key) = page.text_of("NextKeyMarker").filter(|_| page.text_of("IsTruncated") == Some("true")) else { break };
                markers = (key.to_owned(), page.text_of("NextUploadIdMarker").unwrap_or_default().to_owned());
            }
            let grouped: (&[&str], &[&str]) = match delimiter {
                "a" => (&["mine", "zz"], &["ea"]),
                "e" => (&["zz"], &["e", "mine"]),
                _ => (&["early", "mine", "zz"], &[]),
            };
            assert_eq!(
                (keys, prefixes),
                (grouped.0.iter().map(|s| (*s).to_owned()).collect(), grouped.1.iter().map(|s| (*s).to_owned()).collect()),
                "{delimiter} {max}"
            );
        }
    }
}

/// A store that keeps keys as paths of files.
#[test]
fn no_path_leads_into_what_is_hidden() {
    let below = PlainS3::start(true);
    let mut setup = Setup::new();
    setup.upstream = Some(over(below.address, HOME));
    let gateway = setup.start();
    let mut client = gateway.client();
    client.make_bucket(&acme(), "made");
    client.make_bucket(&bravo(), "other");
    client.put(&acme(), "made", "secret", b"acme's secret").expect(200);
    for (who, bucket, way) in [(operator(), HOME, ""), (bravo(), "other", "../"), (bravo(), "other", "x/../../")] {
        for key in ["x/../made/secret", "./made/secret", "/made/secret", "made//secret", "x/../.tidegate/buckets/made"] {
            let key = format!("{way}{key}");
            let got = client.get(&who, bucket, &key);
            assert!(got.status >= 400 && !got.text().contains("acme's secret"), "{bucket} {key}: {}", got.status);
            let put = client.put(&who, bucket, &key, b"of bravo");
            assert!((400..500).contains(&put.status), "{bucket} {key}: {} {}", put.status, put.text());
            client.delete(&who, bucket, &key);
        }
    }
    assert_eq!(client.get(&acme(), "made", "secret").expect(200).body, b"acme's secret");
    client.put(&acme(), "made", "still", b"a bucket").expect(200);
}
