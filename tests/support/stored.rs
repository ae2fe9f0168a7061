//! What is stored, by listings alone, and as the gateway counts it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;
use tidegate::http::xml::Element;

use crate::support::client::{Client, Request, Sign};
use crate::support::signer::Key;

/// Bytes, objects, versions and markers by bucket and artifact type.
pub type Recount = BTreeMap<(String, String), (u64, u64, u64, u64)>;

pub fn recount(s3: SocketAddr, key: &Key, buckets: &[&str]) -> Recount {
    listed(s3, key, buckets, |key| Some(artifact_of(key).to_owned()))
}

/// The same by artifact type and run, of keys that say one.
pub fn recount_runs(s3: SocketAddr, key: &Key, buckets: &[&str]) -> Recount {
    listed(s3, key, buckets, |key| {
        let artifact = Some(artifact_of(key)).filter(|artifact| !artifact.is_empty())?;
        Some(format!("{artifact} {}", key.split('/').nth(1)?))
    })
}

fn artifact_of(key: &str) -> &str {
    key.split('/').nth(2).filter(|artifact| ["image", "video"].contains(artifact)).unwrap_or_default()
}

fn listed(s3: SocketAddr, key: &Key, buckets: &[&str], place: impl Fn(&str) -> Option<String>) -> Recount {
    let mut found = Recount::new();
    for bucket in buckets {
        let mut next: Option<(String, String)> = None;
        loop {
            let mut request = Request::new("GET", &format!("/{bucket}")).query("versions", "");
            if let Some((key, version)) = &next {
                request = request.query("key-marker", key).query("version-id-marker", version);
            }
            let page = Client::new(s3).send(&request, Sign::Header(key)).expect(200).xml("ListVersionsResult");
            page.children.iter().for_each(|entry| add(&mut found, bucket, entry, &place));
            let text = |name: &str| page.text_of(name).map(str::to_owned);
            next = text("NextKeyMarker").zip(text("NextVersionIdMarker"));
            if next.is_none() {
                assert_eq!(page.text_of("IsTruncated"), Some("false"));
                break;
            }
        }
    }
    found
}

fn add(found: &mut Recount, bucket: &str, entry: &Element, place: &impl Fn(&str) -> Option<String>) {
    let Some(place) = entry.text_of("Key").and_then(place) else { return };
    let (bytes, objects, versions, markers) = found.entry((bucket.into(), place)).or_default();
    if &*entry.name == "DeleteMarker" {
        *markers += 1;
        return;
    }
    *bytes += entry.text_of("Size").unwrap().parse::<u64>().unwrap();
    *versions += 1;
    *objects += u64::from(entry.text_of("IsLatest") == Some("true"));
}

/// Of an answer of `stored`, by type or by run, over all tenants in it.
pub fn counted(stored: &Value) -> Recount {
    let mut sums = Recount::new();
    for place in stored["places"].as_array().unwrap() {
        let number = |name: &str| place[name].as_u64().unwrap();
        let text = |name: &str| place[name].as_str().unwrap_or_default().to_owned();
        let of_run = |run: String| if run.is_empty() { text("type") } else { format!("{} {run}", text("type")) };
        let (bytes, objects, versions, markers) = sums.entry((text("bucket"), of_run(text("run")))).or_default();
        *bytes += number("bytes");
        *objects += number("objects");
        *versions += number("versions");
        *markers += number("delete_markers");
    }
    sums.retain(|_, counts| *counts != (0, 0, 0, 0));
    sums
}
