//! A gateway with its client, over its own store or over another gateway.

use serde_json::Value;

use crate::support::binary::{ACCESS, Place, Running, SECRET};
use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::signer::Key;

pub struct World {
    pub place: Place,
    pub running: Running,
    pub key: Key,
}

/// `over`: an S3 that it stands over.
pub fn world(settings: &str, over: Option<&World>) -> World {
    let place = Place::new();
    let upstream = over.map_or(String::new(), |w| format!("[upstream]\nbucket = \"home\"\nendpoint = \"http://{}\"\n", w.running.s3));
    let access = if over.is_none() { "[s3]\ngateways_above = true\n" } else { "" };
    place.write("gateway.toml", &format!("{access}{settings}{upstream}[store]\nreserve = \"0B\"\n"));
    let mut command = place.command(&["serve"]);
    command.env("AWS_ACCESS_KEY_ID", ACCESS).env("AWS_SECRET_ACCESS_KEY", SECRET).env("AWS_REGION", "us-east-1");
    let running = place.serve_by(command);
    let world = World { place, running, key: Key::new(ACCESS, SECRET) };
    for bucket in ["media", "strict"] {
        assert_eq!(world.send(Request::new("PUT", &format!("/{bucket}"))).status, 200);
    }
    world
}

/// Buckets of the gateway over it lie in this one.
pub fn below() -> World {
    let world = world("", None);
    assert_eq!(world.send(Request::new("PUT", "/home")).status, 200);
    world
}

impl World {
    pub fn send(&self, request: Request) -> Answer {
        Client::new(self.running.s3).send(&request, Sign::Header(&self.key))
    }

    pub fn put(&self, bucket: &str, key: &str, content_type: &str, body: Vec<u8>) -> Answer {
        self.send(Request::on("PUT", bucket, key).header("content-type", content_type).body(body))
    }

    /// What is known of it, as soon as it was looked into.
    pub fn asset(&self, bucket: &str, key: &str) -> Value {
        let answer = self.send(Request::new("GET", &format!("/-/v1/assets/{bucket}/{key}")).query("wait", "50s"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_slice(&answer.body).unwrap()
    }

    pub fn head(&self, bucket: &str, key: &str) -> Answer {
        self.send(Request::on("HEAD", bucket, key))
    }
}
