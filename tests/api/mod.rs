//! The tenants' API for artifacts, and MCP: over the store of the gateway itself, and over another S3.

mod artifacts;
mod mcp;

use serde_json::Value;

use crate::support::binary::{self, Place, Running};
use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::signer::Key;

pub fn acme() -> Key {
    Key::new("AKACME", "acme-secret-1")
}

pub fn bravo() -> Key {
    Key::new("AKBRAVO", "bravo-secret-1")
}

/// A gateway with two tenants: `media` is acme's, `shared` the operator's.
pub struct World {
    _place: Place,
    pub running: Running,
}

/// `over`: an S3 that it stands over.
pub fn world(settings: &str, over: Option<&World>) -> World {
    let place = Place::new();
    let upstream = over.map_or(String::new(), |w| format!("[upstream]\nbucket = \"home\"\nendpoint = \"http://{}\"\n", w.running.s3));
    let access = if over.is_none() { "[s3]\ngateways_above = true\n" } else { "" };
    place.write("gateway.toml", &format!("{access}{settings}{upstream}[store]\nreserve = \"0B\"\n"));
    for key in [acme(), bravo()] {
        let id = key.access.strip_prefix("AK").unwrap().to_lowercase();
        let keys = format!("{{ access_key = \"{}\", secret = {{ value = \"{}\" }} }}", key.access, key.secret);
        place.write(&format!("policies/tenants/{id}.toml"), &format!("id = \"{id}\"\npolicies = [\"tenant-default\"]\nkeys = [{keys}]\n"));
    }
    let mut command = place.command(&["serve"]);
    command.env("AWS_ACCESS_KEY_ID", binary::ACCESS).env("AWS_SECRET_ACCESS_KEY", binary::SECRET).env("AWS_REGION", "us-east-1");
    let running = place.serve_by(command);
    let world = World { _place: place, running };
    let mut client = Client::new(world.running.s3);
    client.make_bucket(&acme(), "media");
    client.make_bucket(&Key::new(binary::ACCESS, binary::SECRET), if over.is_none() { "home" } else { "shared" });
    world
}

impl World {
    pub fn send(&self, key: &Key, request: Request) -> Answer {
        Client::new(self.running.s3).send(&request, Sign::Header(key))
    }

    #[track_caller]
    pub fn ask(&self, key: &Key, request: Request, status: u16) -> Value {
        json(&self.send(key, request).expect(status))
    }

    /// What a link shows whoever has it.
    pub fn open(&self, url: &str) -> Answer {
        let (_, path) = url.split_once("://").unwrap().1.split_once('/').unwrap();
        let head = format!("GET /{path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.running.s3);
        Client::new(self.running.s3).send_as_is("GET", head.as_bytes())
    }
}

#[track_caller]
pub fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|e| panic!("{e}: {} {}", answer.status, answer.text()))
}
