//! Server-sent events: a tenant watches its own, now and from where it was.

use super::*;
use crate::support::gateway::bravo;
use crate::support::raw::{Raw, connect};

/// A stream of events, message by message.
struct Stream {
    connection: Raw,
    rest: String,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Message {
    id: String,
    event: String,
    data: String,
}

impl Stream {
    fn open(running: &Running, request: Request, sign: Sign<'_>) -> Self {
        let mut connection = connect(running.s3);
        let (head, _) = request.head(&running.s3.to_string(), sign);
        connection.send(head.as_bytes());
        let head = connection.head();
        assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")), "{head:?}");
        Stream { connection, rest: String::new() }
    }

    /// The next one with data.
    fn next(&mut self) -> Message {
        loop {
            while let Some((text, rest)) = self.rest.split_once("\n\n") {
                let mut message = Message::default();
                for line in text.lines() {
                    match line.split_once(": ") {
                        Some(("id", id)) => message.id = id.to_owned(),
                        Some(("event", event)) => message.event = event.to_owned(),
                        Some(("data", data)) => message.data = data.to_owned(),
                        _ => {}
                    }
                }
                self.rest = rest.to_owned();
                if !message.data.is_empty() || !message.id.is_empty() {
                    return message;
                }
            }
            let chunk = self.connection.chunk();
            assert!(!chunk.is_empty(), "the stream ended");
            self.rest.push_str(&String::from_utf8(chunk).unwrap());
        }
    }

    fn next_key(&mut self) -> (String, Message) {
        let message = self.next();
        let record: serde_json::Value = serde_json::from_str(&message.data).unwrap_or_else(|e| panic!("{e}: {message:?}"));
        (record["s3"]["object"]["key"].as_str().unwrap_or_default().to_owned(), message)
    }
}

#[test]
fn a_tenant_watches_what_happens_in_its_buckets() {
    let world = World::new("");
    let running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    client.make_bucket(&acme(), "other");
    client.make_bucket(&bravo(), "bravos");
    // As a browser does it: by a link alone.
    let mut all = Stream::open(&running, Request::new("GET", "/-/v1/events"), Sign::Presigned(&acme()));
    let begin = all.next();
    assert!(begin.data.is_empty() && !begin.id.is_empty());
    let some = Request::new("GET", "/-/v1/events").query("bucket", "media").query("prefix", "run/");
    let mut some = Stream::open(&running, some, Sign::Header(&acme()));
    some.next();
    let mut operators = Stream::open(&running, Request::new("GET", "/-/v1/events").query("tenant", "acme"), Sign::Header(&operator()));
    operators.next();
    // A tenant can't ask for another's.
    let mut bravos = Stream::open(&running, Request::new("GET", "/-/v1/events").query("tenant", "acme"), Sign::Header(&bravo()));
    bravos.next();

    client.put(&acme(), "other", "run/x", b"1").expect(200);
    client.put(&bravo(), "bravos", "b", b"1").expect(200);
    client.put(&acme(), "media", "run/y", b"1").expect(200);
    client.delete(&acme(), "media", "run/y").expect(204);
    let (key, first) = all.next_key();
    assert_eq!(key, "run/x");
    assert_eq!([all.next_key().0, all.next_key().0], ["run/y", "run/y"]);
    assert_eq!([some.next_key().0, some.next_key().0], ["run/y", "run/y"]);
    assert_eq!(operators.next_key().0, "run/x");
    assert_eq!(bravos.next_key().0, "b");

    // The connection is lost: it goes on where it was.
    drop(all);
    client.put(&acme(), "media", "z", b"1").expect(200);
    let again = Request::new("GET", "/-/v1/events").unsigned_header("last-event-id", &first.id);
    let mut all = Stream::open(&running, again, Sign::Presigned(&acme()));
    all.next();
    assert_eq!([all.next_key().0, all.next_key().0, all.next_key().0], ["run/y", "run/y", "z"]);
    let unknown = Request::new("GET", "/-/v1/events").unsigned_header("last-event-id", "0000000000000000-7");
    let mut late = Stream::open(&running, unknown, Sign::Presigned(&acme()));
    late.next();
    assert_eq!(late.next().event, "gap");
    // A stop waits for nobody who watches.
    let begun = Instant::now();
    assert!(running.stop().success());
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn who_may_not_watch_does_not() {
    let world = World::new("");
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
    world.place.write("policies/only-s3.json", policy);
    let tenant = std::fs::read_to_string(world.place.path("policies/tenants/bravo.toml")).unwrap();
    world.place.write("policies/tenants/bravo.toml", &tenant.replace("tenant-default", "only-s3"));
    let running = world.serve();
    let mut client = Client::new(running.s3);
    let request = Request::new("GET", "/-/v1/events");
    assert_eq!(client.send(&request, Sign::Header(&bravo())).status, 403);
    assert_eq!(client.send(&request, Sign::No).status, 403);
    assert!(running.stop().success());
}
