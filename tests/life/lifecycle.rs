//! The lifecycle in the real binary: what is due goes by itself, also when a run is killed; the operator's command and its dry run.

use std::process::Output;
use std::time::{Duration, Instant};

use crate::support::binary::{ACCESS, Place, Running, SECRET};
use crate::support::client::{Client, Request, Sign};
use crate::support::raw::connect;
use crate::support::signer::Key;

/// Seconds that a day has.
const SHORT_DAY: (&str, &str) = ("TIDEGATE_LIFECYCLE_DAY", "1");

struct Asker {
    client: Client,
    key: Key,
}

impl Asker {
    fn of(running: &Running) -> Self {
        Asker { client: Client::new(running.s3), key: Key::new(ACCESS, SECRET) }
    }

    fn send(&mut self, request: &Request) -> crate::support::client::Answer {
        self.client.send(request, Sign::Header(&self.key))
    }

    fn put(&mut self, key: &str) {
        self.send(&Request::on("PUT", "media", key).body("x")).expect(200);
    }

    fn set(&mut self, expiration: &str) {
        let document = format!(
            "<LifecycleConfiguration><Rule><ID>old</ID><Filter><Prefix>tmp/</Prefix></Filter><Status>Enabled</Status>\
             <Expiration>{expiration}</Expiration></Rule></LifecycleConfiguration>"
        );
        self.send(&Request::new("PUT", "/media").query("lifecycle", "").body(document)).expect(200);
    }

    fn listed(&mut self, prefix: &str) -> usize {
        let list = Request::new("GET", "/media").query("list-type", "2").query("prefix", prefix);
        self.send(&list).expect(200).text().matches("<Key>").count()
    }

    fn wait_for(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let started = Instant::now();
        while !is_so(self) {
            assert!(started.elapsed() < Duration::from_secs(60), "never: {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn out(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn what_is_due_goes_by_itself() {
    let place = Place::new();
    let mut command = place.command(&["serve"]);
    command.env(SHORT_DAY.0, SHORT_DAY.1);
    let running = place.serve_by(command);
    let mut asker = Asker::of(&running);
    asker.send(&Request::new("PUT", "/media")).expect(200);
    asker.put("tmp/a");
    asker.put("kept");
    asker.set("<Days>1</Days>");
    asker.wait_for("tmp/a goes", |asker| asker.listed("tmp/") == 0);
    assert_eq!(asker.listed(""), 1);
    asker.wait_for("it is counted", |_| {
        let (_, metrics) = connect(running.admin).exchange("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
        String::from_utf8(metrics).unwrap().contains("tidegate_lifecycle_gone_total{what=\"object\"} 1\n")
    });
    assert!(running.stop().success());
}

#[test]
fn a_run_that_is_killed_is_gone_on_with() {
    const KEYS: usize = 300;
    let place = Place::new();
    let serve = || {
        let mut command = place.command(&["serve"]);
        command.env(SHORT_DAY.0, SHORT_DAY.1);
        place.serve_by(command)
    };
    let mut running = serve();
    let mut asker = Asker::of(&running);
    asker.send(&Request::new("PUT", "/media")).expect(200);
    (0..KEYS).for_each(|n| asker.put(&format!("tmp/{n}")));
    asker.put("kept");
    asker.set("<Days>1</Days>");
    asker.wait_for("the first goes", |asker| asker.listed("tmp/") < KEYS);
    running.signal("KILL");
    running.wait();
    let running = serve();
    let mut asker = Asker::of(&running);
    asker.wait_for("the last goes", |asker| asker.listed("tmp/") == 0);
    assert_eq!(asker.listed(""), 1);
    assert!(running.stop().success());
}

#[test]
fn the_operator_asks_what_would_go_and_lets_it_go() {
    let place = Place::new();
    let running = place.serve();
    let command = |arguments: &[&str]| {
        let mut command = place.command(&[&["lifecycle"], arguments].concat());
        command.env("TIDEGATE_ADMIN_LISTEN", running.admin.to_string()).output().unwrap()
    };
    let mut asker = Asker::of(&running);
    asker.send(&Request::new("PUT", "/media")).expect(200);
    for key in ["tmp/a", "tmp/b", "kept"] {
        asker.put(key);
    }
    // Of before: what is there is due at once, and a day is a day.
    asker.set("<Date>2020-01-01T00:00:00Z</Date>");
    let dry = out(&command(&["--dry-run"]));
    for line in [
        "media  rule \"old\": 2 objects, 2 bytes  such as tmp/",
        "would go in all: 2 objects, 2 bytes; 2 keys looked at",
        "nothing was changed",
    ] {
        assert!(dry.contains(line), "{line}\nnot in\n{dry}");
    }
    assert_eq!(asker.listed("tmp/"), 2);
    let done = out(&command(&[]));
    assert!(done.contains("went in all: 2 objects, 2 bytes"), "{done}");
    assert_eq!((asker.listed("tmp/"), asker.listed("")), (0, 1));
    assert_eq!(out(&command(&["--last"])), done);
    assert!(out(&command(&["--json"])).contains("\"complete\":true"));
    assert!(running.stop().success());
}

#[test]
fn what_nobody_reads_goes_and_what_is_read_or_copied_stays() {
    let place = Place::new();
    place.write("gateway.toml", "[[lifecycle_rule]]\nname = \"cold\"\nprefix = \"a/\"\nunread_days = 2\n");
    let serve = || {
        let mut command = place.command(&["serve"]);
        command.env("TIDEGATE_LIFECYCLE_DAY", "3");
        place.serve_by(command)
    };
    let mut running = serve();
    let mut asker = Asker::of(&running);
    asker.send(&Request::new("PUT", "/media")).expect(200);
    ["a/read", "a/copied", "a/cold", "other"].into_iter().for_each(|key| asker.put(key));
    let look = |asker: &mut Asker| {
        asker.send(&Request::on("GET", "media", "a/read")).expect(200);
        asker.send(&Request::on("PUT", "media", "copy").header("x-amz-copy-source", "/media/a/copied")).expect(200);
    };
    asker.wait_for("a/cold goes", |asker| {
        look(asker);
        asker.listed("a/") == 2
    });
    look(&mut asker);
    running.signal("KILL");
    running.wait();
    let running = serve();
    let mut asker = Asker::of(&running);
    assert_eq!(asker.listed(""), 4);
    asker.wait_for("nobody reads the others any more", |asker| asker.listed("a/") == 0);
    assert_eq!(asker.listed(""), 2);
    assert!(running.stop().success());
}
