//! Many regions: the real binary, over its own store or over another gateway, with gateways as its replicas.

mod converge;
mod failover;
mod kills;
mod takeover;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tidegate::telemetry::metrics::Door;

use crate::support::binary::{self, Place, Running};
use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::fault_proxy::FaultProxy;
use crate::support::gateway::{self, Gateway};
use crate::support::raw::connect;
use crate::support::signer::Key;

/// Of the gateway itself.
pub fn root() -> Key {
    Key::new(binary::ACCESS, binary::SECRET)
}

pub fn acme() -> Key {
    Key::new("AKACME", "acme-secret-1")
}

pub fn bravo() -> Key {
    Key::new("AKBRAVO", "bravo-secret-1")
}

/// Another region: a gateway with a bucket of its own, behind a proxy.
pub struct Region {
    pub name: &'static str,
    pub gateway: Gateway,
    pub proxy: FaultProxy,
}

impl Region {
    /// Its bucket has the region's name.
    pub fn start(name: &'static str) -> Self {
        let gateway = Gateway::start();
        gateway.client().make_bucket(&gateway::operator(), name);
        let proxy = FaultProxy::start(gateway.address(Door::S3));
        Region { name, gateway, proxy }
    }

    fn table(&self, more: &str) -> String {
        let (name, address) = (self.name, self.proxy.address);
        format!(
            "[[replica]]\nname = \"{name}\"\nbucket = \"{name}\"\nendpoint = \"http://{address}\"\nregion = \"us-east-1\"\n\
             access_key = \"AKOPERATOR\"\nsecret = {{ env = \"REGION_SECRET\" }}\n{more}\n"
        )
    }

    /// As a direct reader has it.
    pub fn get(&self, bucket: &str, key: &str) -> Answer {
        self.gateway.client().get(&gateway::operator(), self.name, &format!("{bucket}/{key}"))
    }

    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let prefix = format!("{bucket}/");
        let listed = self.gateway.client().list(&gateway::operator(), self.name, &[("prefix", &prefix)]).keys;
        listed.iter().map(|key| key.strip_prefix(&prefix).unwrap().to_owned()).collect()
    }
}

/// The gateway under test.
pub struct World {
    pub place: Place,
    over: bool,
}

impl World {
    /// `over`: the address of an S3 with the bucket `home` that it stands over; None: its own store.
    pub fn new(over: Option<SocketAddr>, regions: &[(&Region, &str)]) -> Self {
        let place = Place::new();
        let mut text = String::new();
        if let Some(address) = over {
            text.push_str(&format!("[upstream]\nbucket = \"home\"\nendpoint = \"http://{address}\"\nregion = \"us-east-1\"\n"));
            text.push_str("multipart_threshold = \"5MiB\"\npart_size = \"5MiB\"\n");
        }
        // The cache would hide what is to be seen here.
        text.push_str("[cache]\nfresh = \"1ms\"\nnegative = \"1ms\"\nstale_while_revalidate = \"1ms\"\nstale_if_error = \"1ms\"\n");
        regions.iter().for_each(|(region, more)| text.push_str(&region.table(more)));
        place.write("gateway.toml", &text);
        for key in [acme(), bravo()] {
            let id = key.access.strip_prefix("AK").unwrap().to_lowercase();
            let keys = format!("{{ access_key = \"{}\", secret = {{ value = \"{}\" }} }}", key.access, key.secret);
            place.write(
                &format!("policies/tenants/{id}.toml"),
                &format!("id = \"{id}\"\npolicies = [\"tenant-default\"]\nkeys = [{keys}]\n"),
            );
        }
        World { place, over: over.is_some() }
    }

    pub fn serve(&self) -> Running {
        let mut command = self.place.command(&["serve"]);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
            command.env_remove(name);
        }
        command.env("HOME", self.place.path("home")).env("AWS_EC2_METADATA_DISABLED", "true");
        if self.over {
            command.env("AWS_ACCESS_KEY_ID", "AKOPERATOR").env("AWS_SECRET_ACCESS_KEY", "operator-secret");
        }
        command.env("REGION_SECRET", "operator-secret");
        self.place.serve_by(command)
    }
}

/// Of the metrics; 0 where it does not stand there.
pub fn metric(running: &Running, name: &str) -> u64 {
    let text = Client::new(running.admin).send(&Request::new("GET", "/metrics"), Sign::No).text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse::<f64>().ok()).unwrap_or_default() as u64
}

#[track_caller]
pub fn eventually(running: &Running, what: &str, mut is_so: impl FnMut() -> Result<(), String>) {
    let begun = Instant::now();
    loop {
        match is_so() {
            Ok(()) => return,
            Err(why) => assert!(begun.elapsed() < Duration::from_secs(90), "{what}: {why}\n{}", running.log()),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Asks for a repair scan, and waits for it.
pub fn repair(running: &Running, replica: &str) {
    let body = format!("{{\"replica\": \"{replica}\"}}");
    let mut client = Client::new(running.admin);
    let answer = client.send(&Request::new("POST", "/-/admin/v1/repair").body(body), Sign::Header(&root())).expect(200);
    let job: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let path = format!("/-/v1/jobs/{}", job["job"].as_str().unwrap());
    eventually(running, "the scan", || {
        let answer = Client::new(running.s3).send(&Request::new("GET", &path), Sign::Header(&root())).expect(200);
        if answer.text().contains("\"state\": \"done\"") { Ok(()) } else { Err(answer.text()) }
    });
}

/// Everything that the gateway shows of the bucket is at the region, and nothing else is.
pub fn same(running: &Running, region: &Region, bucket: &str) -> Result<(), String> {
    let mut client = Client::new(running.s3);
    let keys = client.list(&root(), bucket, &[]).keys;
    let theirs = region.keys(bucket);
    if keys != theirs {
        return Err(format!("here {keys:?}\nthere {theirs:?}"));
    }
    for key in keys {
        let (ours, copy) = (client.get(&root(), bucket, &key).expect(200), region.get(bucket, &key).expect(200));
        if ours.body != copy.body {
            return Err(format!("{key} differs: {} and {} bytes", ours.body.len(), copy.body.len()));
        }
        for header in ["content-type", "cache-control", "x-amz-meta-n"] {
            if ours.header(header) != copy.header(header) {
                return Err(format!("{key}: {header}: {:?} and {:?}", ours.header(header), copy.header(header)));
            }
        }
    }
    Ok(())
}

/// The next number of a simple generator.
pub fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}
