//! Two requests that mean different things never share a string to sign. Requests are made of few parts, so that many come
//! near each other; of each form all that are taken are put side by side.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;
use crate::auth::canonical::{PathForm, Request, Rewrite};
use crate::auth::facts::{each_once, query_pairs};
use crate::auth::sigv2::{Message, PathAs, check_parameters, signs_header};
use crate::auth::sigv4::check_signed_headers;
use crate::auth::{PathToken, Within};
use crate::base::host::Host;
use crate::base::names::TenantId;

/// Joined, they make what others of them are.
const PIECES: &[&str] =
    &["a", "b", "/", "%2F", "%252F", "+", "%20", "%2B", "%0A", "%26", "%3D", "%3F", "=", ":", ",", "%2C", "%C3%A9", "."];
const NAMES: &[&str] = &[
    "uploadId",
    "partNumber",
    "versionId",
    "response-content-type",
    "x-amz-acl",
    "X-Amz-Acl",
    "x-amz-meta-a",
    "x-amz-meta-a%3Ab",
    "content-type",
    "Content-Type",
    "%75ploadId",
];
const HEADERS: &[&str] = &["x-amz-acl", "x-amz-meta-a", "content-type", "content-md5", "range"];
const VALUES: &[&str] = &["a", "b", "a,b", "", "a b", "a  b", " a", "a:b", "x-amz-meta-a:b"];
const HOSTS: &[&str] = &["s3.test", "aaa.s3.test", "aaa.s3.test:80", "AAA.s3.test", "bbb.s3.test"];

#[derive(Debug, Clone)]
struct Sample {
    parts: Parts,
    signed: Vec<&'static str>,
}

fn sample() -> impl Strategy<Value = Sample> {
    let pieces = |most| proptest::collection::vec(proptest::sample::select(PIECES), 0..most).prop_map(|p| p.concat());
    let pair = (proptest::sample::select(NAMES), any::<bool>(), pieces(4));
    let pair = pair.prop_map(|(name, bare, value)| if bare && value.is_empty() { name.to_owned() } else { format!("{name}={value}") });
    let query = proptest::collection::vec(pair, 0..4);
    let header = (proptest::sample::select(HEADERS), proptest::sample::select(VALUES));
    let headers = proptest::collection::vec(header, 0..4);
    let path = (proptest::sample::select(&["/aaa/", "/", "/bbb/aaa/"][..]), pieces(4));
    let signed = proptest::sample::subsequence(HEADERS, 0..=HEADERS.len());
    (proptest::sample::select(&["GET", "PUT"][..]), proptest::sample::select(HOSTS), path, query, headers, signed).prop_map(
        |(method, host, (start, path), query, headers, signed)| {
            let question = if query.is_empty() { "" } else { "?" };
            let request =
                http::Request::builder().method(method).uri(format!("{start}{path}{question}{}", query.join("&"))).header("host", host);
            let request = headers.into_iter().fold(request, |r, (n, v)| r.header(n, v));
            Sample { parts: parts(request), signed }
        },
    )
}

fn settings() -> Settings {
    Settings { domains: vec!["s3.test".into()], ..Settings::default() }
}

fn decoded(text: &str) -> Vec<u8> {
    percent_encoding::percent_decode_str(text).collect()
}

type Meaning = BTreeMap<String, Vec<u8>>;

/// What doors and handlers make of it: method, the object, the first parameter of each name, the first header of each name. `counts`
/// are the parameters and headers that the form signs; in lower case those that stand for a header.
fn meaning(sample: &Sample, counts: impl Fn(&str) -> bool) -> Meaning {
    let parts = &sample.parts;
    let bucket = settings().bucket_in_host(&parts.headers).map(|b| format!("/{b}")).unwrap_or_default();
    let mut of = Meaning::from([
        ("method".to_owned(), parts.method.as_str().as_bytes().to_vec()),
        ("object".to_owned(), [bucket.as_bytes(), &decoded(parts.uri.path())].concat()),
    ]);
    for (name, value) in query_pairs(parts.uri.query().unwrap_or_default()).filter(|(n, _)| counts(n)) {
        let name = if signs_header(&name.to_ascii_lowercase()) { name.to_ascii_lowercase() } else { name.into_owned() };
        of.entry(format!("header or parameter {name}")).or_insert_with(|| value.trim_ascii().as_bytes().to_vec());
    }
    for name in parts.headers.keys().map(|n| n.as_str()).filter(|n| *n != "host" && counts(n)) {
        // A header of one's own stands before a parameter.
        of.insert(format!("header or parameter {name}"), parts.headers[name].as_bytes().trim_ascii().to_vec());
    }
    of
}

/// Runs of spaces are one: SigV4 and those who sign with it make no difference.
fn spaces_folded(mut of: Meaning) -> Meaning {
    for value in of.values_mut() {
        *value = String::from_utf8_lossy(value).split(' ').filter(|p| !p.is_empty()).collect::<Vec<_>>().join(" ").into_bytes();
    }
    of
}

fn alone(strings: &mut HashMap<Vec<u8>, (Meaning, Sample)>, string: Vec<u8>, meaning: Meaning, sample: &Sample) {
    let (known, first) = strings.entry(string.clone()).or_insert_with(|| (meaning.clone(), sample.clone()));
    assert_eq!(*known, meaning, "{first:?} and {sample:?} share {:?}", String::from_utf8_lossy(&string));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn sigv2_strings(samples in proptest::collection::vec(sample(), 400)) {
        let mut strings = HashMap::new();
        let mut taken = 0;
        for sample in &samples {
            let query = sample.parts.uri.query().unwrap_or_default();
            let Ok(message) = Message::new(&facts(&sample.parts), &settings(), "4000000000") else { continue };
            if check_parameters(query).is_err() {
                continue;
            }
            taken += 1;
            let counts = |name: &str| signs_header(&name.to_ascii_lowercase()) || NAMES[..4].contains(&name);
            for form in [PathAs::Sent, PathAs::Canonical] {
                alone(&mut strings, message.string_to_sign(form), meaning(sample, counts), sample);
            }
        }
        prop_assert!(taken > 20, "{taken} of {}", samples.len());
    }

    #[test]
    fn sigv4_strings(samples in proptest::collection::vec(sample(), 400)) {
        let mut strings = HashMap::new();
        let mut taken = 0;
        for sample in &samples {
            let names = std::iter::once("host").chain(sample.signed.iter().copied()).collect::<Vec<_>>().join(";");
            let query = sample.parts.uri.query().unwrap_or_default();
            if check_signed_headers(&names, &sample.parts.headers).is_err() || each_once(query).is_err() {
                continue;
            }
            taken += 1;
            let is_header = |name: &str| sample.parts.headers.contains_key(name);
            let counts = |name: &str| if is_header(name) { sample.signed.contains(&name) } else { true };
            let mut meaning = meaning(sample, counts);
            let host = Host::of(&sample.parts.headers).unwrap();
            meaning.insert("host".into(), format!("{host}").into_bytes());
            // An empty header is an absent one where it is none that S3 gives a meaning.
            meaning.retain(|name, value| !value.is_empty() || !name.ends_with("range") && !name.ends_with("content-md5") && !name.ends_with("content-type"));
            let request = Request::new(&sample.parts, &names, "UNSIGNED-PAYLOAD");
            for path in [PathForm::Encoded, PathForm::AsSent] {
                let string = request.canonical(&Rewrite { path, ..Rewrite::default() });
                alone(&mut strings, string, spaces_folded(meaning.clone()), sample);
            }
        }
        prop_assert!(taken > 20, "{taken} of {}", samples.len());
    }

    /// A token is read as it was written, and so no two that say different things have one text under the seal.
    #[test]
    fn path_tokens(
        tenant in "[a-z]{1,3}",
        place in "[a-c/]{1,6}",
        exact in any::<bool>(),
        seconds in 0u64..3,
        source in proptest::option::of((0u8..3, 0u8..=32)),
    ) {
        let source = source.map(|(a, bits)| crate::base::network::Network::new([a, 97, 98, 99].into(), bits).unwrap());
        let within = if exact { Within::Exactly(place) } else { Within::Prefix(place) };
        let Ok(tenant) = TenantId::parse(&tenant) else { return Ok(()) };
        let token = PathToken { tenant, within, expires: Timestamp::from_secs(seconds), source };
        let mut said = Vec::new();
        token.write(&mut said);
        prop_assert_eq!(PathToken::read(&said), Some(token));
    }
}
