//! Events, in the real binary: told to webhooks that are well, down, slow, lying or malicious, and to clients that watch.

mod deliveries;
mod examples;
mod kills;
mod letters;
mod limits;
mod troubles;
mod watching;

use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::binary::{ACCESS, Place, Running, SECRET};
use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::gateway::acme;
use crate::support::signer::Key;
use crate::support::webhook::Receiver;

/// `whsec_` and base64, and the bytes that it stands for.
const HOOK_SECRET: &str = "whsec_dGhlLXNlY3JldC1vZi10aGUtaG9vaw==";
const HOOK_BYTES: &[u8] = b"the-secret-of-the-hook";

fn operator() -> Key {
    Key::new(ACCESS, SECRET)
}

/// A gateway with two tenants, and this in its configuration.
struct World {
    place: Place,
}

impl World {
    fn new(configuration: &str) -> Self {
        let place = Place::new();
        place.write("gateway.toml", configuration);
        for (tenant, secret) in [("acme", "acme-secret-1"), ("bravo", "bravo-secret")] {
            let id = tenant.to_ascii_uppercase();
            let text = format!(
                "id = \"{tenant}\"\npolicies = [\"tenant-default\"]\nkeys = [{{ access_key = \"AK{id}\", secret = {{ value = \"{secret}\" }} }}]\n"
            );
            place.write(&format!("policies/tenants/{tenant}.toml"), &text);
        }
        World { place }
    }

    fn serve(&self) -> Running {
        let mut command = self.place.command(&["serve"]);
        command.env("HOOK_SECRET", HOOK_SECRET);
        self.place.serve_by(command)
    }

    /// A command of the operator's, against the running gateway. What it printed.
    fn run(&self, running: &Running, arguments: &[&str]) -> String {
        let mut command = self.place.command(arguments);
        command.env("HOOK_SECRET", HOOK_SECRET).env("TIDEGATE_ADMIN_LISTEN", running.admin.to_string());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A table of a webhook at a receiver of the test's own.
fn hook(name: &str, receiver: &Receiver, more: &str) -> String {
    let url = receiver.url();
    format!("[[webhook]]\nname = \"{name}\"\nurl = \"{url}\"\nsecrets = [{{ env = \"HOOK_SECRET\" }}]\nlocal = true\n{more}\n")
}

fn configuration(name: &str, events: &[&str], rest: &str) -> String {
    let events: String = events.iter().map(|e| format!("<Event>{e}</Event>")).collect();
    format!(
        "<NotificationConfiguration><QueueConfiguration><Id>{name}-all</Id><Queue>arn:aws:sqs:us-east-1:123456789012:{name}</Queue>{events}{rest}\
         </QueueConfiguration></NotificationConfiguration>"
    )
}

fn configure(client: &mut Client, bucket: &str, document: String) -> Answer {
    let request = Request::new("PUT", &format!("/{bucket}")).query("notification", "").body(document);
    client.send(&request, Sign::Header(&acme()))
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What lies in the data folder, as text as far as it is any.
fn bytes_under(dir: &Path) -> Vec<u8> {
    crate::support::gateway::files_under(dir).iter().flat_map(|file| std::fs::read(file).unwrap_or_default()).collect()
}
