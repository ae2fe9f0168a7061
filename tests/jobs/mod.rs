//! Background jobs of the real binary: the tenants' API, the purge outbox, and a kill in the middle of both.

mod api;
mod kills;
mod purge;
mod uploads;

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::binary::{self, Place, Running};
use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::invalidations::Invalidations;
use crate::support::signer::Key;

pub const DISTRIBUTION: &str = "E2EXAMPLE1AB2C";

pub fn operator() -> Key {
    Key::new(binary::ACCESS, binary::SECRET)
}

pub fn acme() -> Key {
    Key::new("AKACME", "acme-secret-1")
}

pub fn bravo() -> Key {
    Key::new("AKBRAVO", "bravo-secret-1")
}

/// A gateway whose site shows `public/` of the bucket `media` behind the stand-in.
pub struct World {
    pub place: Place,
    pub cdn: Invalidations,
}

impl World {
    pub fn new(delay: &str) -> Self {
        let place = Place::new();
        let cdn = Invalidations::start();
        place.write(
            "gateway.toml",
            &format!(
                "[cdn]\nendpoint = \"http://{}\"\n[[site]]\nbucket = \"media\"\nprefix = \"public/\"\n\
                 cdn = {{ kind = \"cloudfront\", distribution = \"{DISTRIBUTION}\", delay = \"{delay}\" }}\n",
                cdn.address
            ),
        );
        for key in [acme(), bravo()] {
            let id = key.access.strip_prefix("AK").unwrap().to_lowercase();
            let keys = format!("{{ access_key = \"{}\", secret = {{ value = \"{}\" }} }}", key.access, key.secret);
            place.write(
                &format!("policies/tenants/{id}.toml"),
                &format!("id = \"{id}\"\npolicies = [\"tenant-default\"]\nkeys = [{keys}]\n"),
            );
        }
        World { place, cdn }
    }

    pub fn serve(&self) -> Running {
        self.serve_with(&[("AWS_ACCESS_KEY_ID", "AKCDN"), ("AWS_SECRET_ACCESS_KEY", "cdn-secret")])
    }

    /// With these variables, and none of AWS's beside them.
    pub fn serve_with(&self, variables: &[(&str, &str)]) -> Running {
        let mut command = self.place.command(&["serve"]);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
            command.env_remove(name);
        }
        command.env("HOME", self.place.path("home")).env("AWS_EC2_METADATA_DISABLED", "true").envs(variables.iter().copied());
        self.place.serve_by(command)
    }
}

pub fn api(running: &Running, key: &Key, method: &str, path: &str, query: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::new(method, path).body(body);
    for (name, value) in query {
        request = request.query(name, value);
    }
    Client::new(running.s3).send(&request, Sign::Header(key))
}

pub fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|e| panic!("{e}: {} {}", answer.status, answer.text()))
}

#[track_caller]
pub fn denied(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, json(answer)["code"].as_str()), (status, Some(code)), "{}", answer.text());
    assert!(json(answer)["request_id"].is_string());
}

/// Without what recurs: it waits for its next time, whatever a test does.
pub fn jobs(running: &Running, key: &Key, query: &[(&str, &str)]) -> Vec<Value> {
    let mut all = json(&api(running, key, "GET", "/-/v1/jobs", query, "").expect(200))["jobs"].as_array().unwrap().clone();
    all.retain(|job| job["recurring"].is_null() && job["kind"] != "lifecycle");
    all
}

/// Until every job has ended. Looked at twice: a job on its way from one state to another may be missing from a list.
pub fn wait_until_idle(running: &Running) {
    let begun = Instant::now();
    let mut before = None;
    loop {
        let all = jobs(running, &operator(), &[("max", "1000")]);
        let ended = all.iter().all(|j| j["ended"].is_string());
        if ended && before.as_ref() == Some(&all) {
            return;
        }
        assert!(begun.elapsed().as_secs() < 120, "{all:#?}\n{}", running.log());
        before = Some(all);
        std::thread::sleep(Duration::from_millis(50));
    }
}
