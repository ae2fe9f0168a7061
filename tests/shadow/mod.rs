//! A bucket that grew out of another S3's: the real binary, over its own store or over another gateway, with a gateway behind a
//! proxy as the old store.

mod leaving;
mod listings;
mod reads;
mod writes;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tidegate::telemetry::metrics::Door;

use crate::support::binary::{self, Place, Running};
use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::gateway::{Gateway, operator};
use crate::support::signer::Key;

pub const BUCKET: &str = "media";
pub const OLD: &str = "old";
/// In the old bucket, before what is shown.
pub const PREFIX: &str = "www/";

/// Of the gateway under test.
pub fn root() -> Key {
    Key::new(binary::ACCESS, binary::SECRET)
}

/// Whose the bucket is.
pub fn acme() -> Key {
    Key::new("AKACME", "acme-secret-1")
}

/// The old store, and a gateway in front of it.
pub struct World {
    pub old: Gateway,
    pub proxy: FaultProxy,
    place: Place,
    over_s3: bool,
    /// What the gateway stands over, where that is ours.
    _home: Option<Gateway>,
}

impl World {
    pub fn new(over_s3: bool) -> Self {
        let home = over_s3.then(|| {
            let home = Gateway::start();
            home.client().make_bucket(&operator(), "home");
            home
        });
        let address = home.as_ref().map(|home| home.address(Door::S3));
        World { _home: home, ..World::over(address) }
    }

    /// `over`: the address of an S3 with the bucket `home`.
    pub fn over(over: Option<SocketAddr>) -> Self {
        let (old, place) = (Gateway::start(), Place::new());
        old.client().make_bucket(&operator(), OLD);
        let proxy = FaultProxy::start(old.address(Door::S3));
        let mut text = String::new();
        if let Some(address) = over {
            text.push_str(&format!("[upstream]\nbucket = \"home\"\nendpoint = \"http://{address}\"\nregion = \"us-east-1\"\n"));
        }
        // The cache would hide what is to be seen here.
        text.push_str("[cache]\nfresh = \"1ms\"\nnegative = \"1ms\"\nstale_while_revalidate = \"1ms\"\nstale_if_error = \"1ms\"\n");
        text.push_str(&format!(
            "[[shadow]]\nname = \"{BUCKET}\"\nbucket = \"{OLD}\"\nprefix = \"{PREFIX}\"\nendpoint = \"http://{}\"\nregion = \"us-east-1\"\n\
             access_key = \"AKOPERATOR\"\nsecret = {{ env = \"OLD_SECRET\" }}\n",
            proxy.address
        ));
        place.write("gateway.toml", &text);
        let keys = "{ access_key = \"AKACME\", secret = { value = \"acme-secret-1\" } }";
        place.write("policies/tenants/acme.toml", &format!("id = \"acme\"\npolicies = [\"tenant-default\"]\nkeys = [{keys}]\n"));
        World { old, proxy, place, over_s3: over.is_some(), _home: None }
    }

    /// With the bucket.
    pub fn start(over_s3: bool) -> (Self, Running) {
        let world = World::new(over_s3);
        let running = world.serve();
        Client::new(running.s3).make_bucket(&acme(), BUCKET);
        (world, running)
    }

    pub fn serve(&self) -> Running {
        self.serve_in(&self.place)
    }

    /// For another node over the same S3.
    pub fn another_place(&self) -> Place {
        let place = Place::new();
        for file in ["gateway.toml", "policies/tenants/acme.toml"] {
            place.write(file, &std::fs::read_to_string(self.place.path(file)).unwrap());
        }
        place
    }

    pub fn serve_in(&self, place: &Place) -> Running {
        let mut command = place.command(&["serve"]);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
            command.env_remove(name);
        }
        command.env("HOME", place.path("home")).env("AWS_EC2_METADATA_DISABLED", "true");
        if self.over_s3 {
            command.env("AWS_ACCESS_KEY_ID", "AKOPERATOR").env("AWS_SECRET_ACCESS_KEY", "operator-secret");
        }
        command.env("OLD_SECRET", "operator-secret");
        place.serve_by(command)
    }

    /// Without the old store.
    pub fn take_out(&self) {
        let text = std::fs::read_to_string(self.place.path("gateway.toml")).unwrap();
        let (before, _) = text.split_once("[[shadow]]").unwrap();
        self.place.write("gateway.toml", before);
    }

    /// Into the old store, directly.
    pub fn put_old(&self, key: &str, body: &[u8]) -> Answer {
        self.old.client().put(&operator(), OLD, &format!("{PREFIX}{key}"), body).expect(200)
    }

    pub fn old_keys(&self) -> Vec<String> {
        self.old.client().list(&operator(), OLD, &[]).keys
    }

    /// Requests for bodies that the old store has answered.
    pub fn old_gets(&self) -> u64 {
        crate::moving::operations(self.old.address(Door::Admin)).get("GetObject").copied().unwrap_or_default()
    }
}

/// Of the metrics of the bucket's old store.
pub fn metric(running: &Running, name: &str) -> u64 {
    let text = Client::new(running.admin).send(&Request::new("GET", "/metrics"), Sign::No).text();
    let start = format!("tidegate_shadow_{name}{{bucket=\"{BUCKET}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_else(|| panic!("no {start}"));
    line.parse::<f64>().unwrap() as u64
}

#[track_caller]
pub fn eventually(running: &Running, what: &str, mut is_so: impl FnMut() -> Result<(), String>) {
    let begun = Instant::now();
    loop {
        match is_so() {
            Ok(()) => return,
            Err(why) => assert!(begun.elapsed() < Duration::from_secs(60), "{what}: {why}\n{}", running.log()),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[track_caller]
pub fn copied(running: &Running, count: u64) {
    eventually(running, "copies", || match metric(running, "copied_total") {
        n if n == count => Ok(()),
        n => Err(format!("{n} of {count}")),
    });
}

pub fn get(address: SocketAddr, key: &str) -> Answer {
    Client::new(address).get(&acme(), BUCKET, key)
}

pub fn send(address: SocketAddr, request: &Request) -> Answer {
    Client::new(address).send(request, Sign::Header(&acme()))
}

/// Until the old store is found to be back.
pub fn mended(world: &World, running: &Running) {
    world.proxy.set(Fault::None);
    eventually(running, "the old store is back", || match get(running.s3, "no such key").status {
        404 => Ok(()),
        status => Err(status.to_string()),
    });
}
