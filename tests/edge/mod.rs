//! The edge door as a CDN, a browser and an attacker meet it.

mod attacks;
mod cache;
mod checklist;
mod compress;
mod conditions;
mod cors;
mod hosts;
mod isolation;
mod ranges;
mod s3_cors;
mod versions;
mod website;

use tidegate::auth::policy::pattern::{Pattern, Wildcards};
use tidegate::base::names::BucketName;
use tidegate::http::edge::cache::Rule;
use tidegate::http::edge::compress::Rules as Compress;
use tidegate::http::edge::cors::{Cors, OriginPattern};
use tidegate::http::edge::site::{Site, Sites};
use tidegate::telemetry::metrics::Door;

use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::gateway::{Gateway, Setup, acme};
use crate::support::raw;
use crate::support::signer::sha256_hex;

/// Everyone may read `public/*` of `media`, from 127.0.0.1 also `near/*`; that `known/*` is not there everyone may know.
const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":["arn:aws:s3:::media/public/*","arn:aws:s3:::media/known/*"]},
    {"Effect":"Allow","Principal":"*","Action":"s3:ListBucket","Resource":"arn:aws:s3:::media","Condition":{"StringLike":{"s3:prefix":"known/*"}}},
    {"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::media/near/*",
     "Condition":{"IpAddress":{"aws:SourceIp":"127.0.0.0/8"}}}]}"#;

const BODY: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

struct World {
    gateway: Gateway,
    s3: Client,
    edge: Client,
}

/// The shipped site and three with names, over one bucket of acme's.
fn world() -> World {
    world_by(|_| {})
}

fn world_by(change: impl FnOnce(&mut Setup)) -> World {
    let mut setup = Setup::new();
    let media = BucketName::parse("media").ok();
    let pages = ["https://app.test", "https://*.play.test"].map(|o| OriginPattern::parse(o).unwrap());
    let named = |credentials| Cors::Named { origins: pages.to_vec(), credentials };
    let host = |name: &str| Site { hosts: vec![name.into()], bucket: media.clone(), ..Site::default() };
    setup.doors.sites = Sites::new(vec![
        Site::default(),
        Site { cors: named(false), ..host("named.test") },
        Site { cors: named(true), sandbox: false, ..host("credentials.test") },
        Site { prefix: "public/".into(), index: Some("index.html".into()), cdn_verifies: true, cache: rules(), ..host("cdn.test") },
        Site { cache: rules(), ..host("rules.test") },
        Site { compress: Compress::off(), ..host("plain.test") },
    ]);
    change(&mut setup);
    let gateway = setup.start();
    let (mut s3, edge) = (gateway.client(), Client::new(gateway.address(Door::Edge)));
    s3.make_bucket(&acme(), "media");
    s3.send(&Request::new("PUT", "/media").query("policy", "").body(POLICY), Sign::Header(&acme())).expect(204);
    for key in ["public/a.glb", "near/a.glb", "private/a.glb"] {
        s3.put(&acme(), "media", key, BODY).expect(200);
    }
    World { gateway, s3, edge }
}

fn rules() -> Vec<Rule> {
    let glob = |p: &str| Some(Pattern::compile(p, Wildcards::Yes).unwrap());
    let rule =
        |control: &'static str| Rule { key: None, content_type: None, artifact: None, control: http::HeaderValue::from_static(control) };
    vec![
        Rule { key: glob("*/bundle/*.html"), ..rule("no-cache") },
        Rule { content_type: glob("image/*"), ..rule("public, max-age=600") },
        Rule { artifact: Some("model_3d".into()), ..rule("public, max-age=7200") },
    ]
}

impl World {
    /// An edge client that says it wants this host.
    fn host(&self, name: &str) -> Client {
        let mut client = Client::new(self.gateway.address(Door::Edge));
        client.host = name.into();
        client
    }

    fn put(&mut self, key: &str, body: &[u8], headers: &[(&str, &str)]) {
        let put = headers.iter().fold(Request::on("PUT", "media", key).body(body), |r, (n, v)| r.header(n, v));
        self.s3.send(&put, Sign::Header(&acme())).expect(200);
    }

    /// Anonymous, on the shipped site.
    fn get(&mut self, key: &str, headers: &[(&str, &str)]) -> Answer {
        ask(&mut self.edge, "GET", &format!("/media/{key}"), headers)
    }
}

fn ask(client: &mut Client, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = headers.iter().fold(Request::new(method, path), |r, (n, v)| r.header(n, v));
    client.send(&request, Sign::No)
}

/// All values of a header.
fn values<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    answer.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
}

/// One request with its own connection, byte for byte.
fn raw_status(world: &World, request: &str) -> (u16, Vec<u8>) {
    let (head, body) = raw::connect(world.gateway.address(Door::Edge)).exchange(request);
    (head.status, body)
}

fn hash_name(body: &[u8], digits: usize) -> String {
    sha256_hex(body)[..digits].to_owned()
}
