//! Several gateways of the real binary over one bucket of another gateway, told of each other through proxies that can fail.

mod blocks;
mod encryption;
mod events;
mod history;
mod peers;
mod sessions;
mod stored;
mod tenants;
mod usage;
mod versions;
mod warm;
mod week;

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::binary::{self, Place, Running};
use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::fault_proxy::FaultProxy;
use crate::support::signer::Key;

pub fn operator() -> Key {
    Key::new(binary::ACCESS, binary::SECRET)
}

/// The bucket of the upstream that all nodes stand over.
const HOME: &str = "home";
/// Anyone may read what is in it.
const MEDIA: &str = "media";
const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Effect":"Allow","Principal":"*","Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::media","arn:aws:s3:::media/*"]}]}"#;

/// A node; what others tell it comes through its proxy.
pub struct Node {
    pub place: Place,
    pub running: Option<Running>,
    pub proxy: FaultProxy,
}

pub struct World {
    pub nodes: Vec<Node>,
    settings: String,
    upstream: Running,
    /// Goes last.
    below: Place,
}

impl World {
    /// `settings`: more of each node's gateway.toml, from its `[cluster]` on. `HERE` in it is the node's address.
    pub fn new(count: usize, settings: &str) -> Self {
        let below = Place::new();
        below.write("gateway.toml", "[s3]\ngateways_above = true\n[store]\nreserve = \"0B\"\n[encryption]\ncustomer_keys_over_http = true\nblock_customer_keys = false\n[log]\naccess_file = \"access.log\"\naccess_format = \"json\"\n");
        let upstream = below.serve();
        Client::new(upstream.s3).make_bucket(&operator(), HOME);
        // Nobody listens there until the node is told where it is.
        let nobody = "127.0.0.1:1".parse().unwrap();
        let node = |_| Node { place: Place::new(), running: None, proxy: FaultProxy::start(nobody) };
        let mut world = World { nodes: (0..count).map(node).collect(), settings: settings.into(), upstream, below };
        (0..count).for_each(|n| world.start(n));
        let mut client = world.client(0);
        client.make_bucket(&operator(), MEDIA);
        client.send(&Request::new("PUT", "/media").query("policy", "").body(POLICY), Sign::Header(&operator())).expect(204);
        for n in 0..count {
            until("each node knows the bucket", || {
                let document = world.client(n).send(&Request::new("GET", "/media").query("policy", ""), Sign::Header(&operator()));
                document.status == 200
            });
        }
        world
    }

    pub fn start(&mut self, n: usize) {
        let peers: Vec<String> = self
            .nodes
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != n || self.settings.contains("HERE"))
            .map(|(_, o)| format!("\"http://{}\"", o.proxy.address))
            .collect();
        let node = &mut self.nodes[n];
        node.place.write(
            "gateway.toml",
            &format!(
                "[upstream]\nbucket = \"{HOME}\"\nendpoint = \"http://{}\"\nregion = \"us-east-1\"\n[store]\nreserve = \"0B\"\n\
                 [cluster]\npeers = [{}]\n{}",
                self.upstream.s3,
                peers.join(", "),
                self.settings.replace("HERE", &format!("http://{}", node.proxy.address))
            ),
        );
        let mut command = node.place.command(&["serve"]);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_") || name.starts_with("S3_")) {
            command.env_remove(name);
        }
        let key = operator();
        command.env("AWS_ACCESS_KEY_ID", &key.access).env("AWS_SECRET_ACCESS_KEY", &key.secret);
        command.env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", node.place.path("home"));
        let running = node.place.serve_by(command);
        node.proxy.target(running.admin);
        node.running = Some(running);
    }

    /// `kill -9`.
    pub fn kill(&mut self, n: usize) {
        let mut running = self.nodes[n].running.take().unwrap();
        running.signal("KILL");
        running.wait();
    }

    pub fn node(&self, n: usize) -> &Running {
        self.nodes[n].running.as_ref().unwrap()
    }

    pub fn client(&self, n: usize) -> Client {
        Client::new(self.node(n).s3)
    }

    pub fn put(&self, n: usize, key: &str, body: &str) {
        self.client(n).put(&operator(), MEDIA, key, body.as_bytes()).expect(200);
    }

    /// As anyone, through the edge door.
    pub fn shown(&self, n: usize, key: &str) -> Answer {
        Client::new(self.node(n).edge).send(&Request::on("GET", MEDIA, key), Sign::No)
    }

    /// Shown until it is out of the cache.
    #[track_caller]
    pub fn keep(&self, n: usize, key: &str, body: &str) {
        assert_eq!(self.shown(n, key).expect(200).text(), body);
        until("it is kept", || self.shown(n, key).expect(200).header("x-cache") == Some("HIT"));
    }

    pub fn api(&self, n: usize, method: &str, path: &str, query: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::new(method, path).body(body);
        for (name, value) in query {
            request = request.query(name, value);
        }
        self.client(n).send(&request, Sign::Header(&operator()))
    }

    /// Jobs of this kind on a node.
    pub fn jobs(&self, n: usize, kind: &str) -> Vec<Value> {
        let page: Value = serde_json::from_slice(&self.api(n, "GET", "/-/v1/jobs", &[("kind", kind)], "").expect(200).body).unwrap();
        page["jobs"].as_array().unwrap().clone()
    }
}

#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|e| panic!("{e}: {}", answer.text()))
}
