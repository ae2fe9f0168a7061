//! Records of uploads: kept as long as they are of use, and removed when they are not, by whichever node.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tidegate::base::timestamp::Timestamp;
use tidegate::ops::shared_upkeep::SharedUpkeep;
use tidegate::queue::lease::{Held, Leases, Turn};
use tidegate::telemetry::metrics::Door;
use tidegate::upstream::sweep::Swept;
use tidegate::upstream::{Settings, Upstream};
use tokio::runtime::Runtime;

use crate::support::client::{Client, Request, Sign};
use crate::support::faulty_s3::{ALWAYS, Fault, FaultyS3};
use crate::support::gateway::{Gateway, HOME, acme, operator, over};
use crate::support::signer::Key;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Another node over the same bucket, which answers no requests.
struct Node {
    runtime: Runtime,
    upstream: Upstream,
    _dir: tempfile::TempDir,
}

impl Node {
    fn over(address: std::net::SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { dir: dir.path().into(), ..over(address, HOME) };
        let upstream = runtime.block_on(Upstream::start(settings, operator().secret.as_bytes())).unwrap();
        Node { runtime, upstream, _dir: dir }
    }

    /// As if it were so much later.
    fn sweep(&self, later: Duration) -> Swept {
        self.runtime.block_on(self.upstream.sweep(Timestamp::now().plus(later))).unwrap()
    }

    fn leases(&self, name: &str) -> Leases {
        Leases::new(Arc::new(SharedUpkeep::new(self.upstream.clone())), name.to_owned())
    }

    fn take(&self, leases: &Leases, now: Timestamp) -> Option<Held> {
        match self.runtime.block_on(leases.take("sweep", DAY / 4, now)).unwrap() {
            Turn::Ours(held) => Some(held),
            Turn::Others { .. } | Turn::Done { .. } => None,
        }
    }
}

fn records(below: &Gateway) -> usize {
    below.client().list(&operator(), HOME, &[("prefix", ".tidegate/uploads/")]).keys.len()
}

/// With one part.
fn begin(client: &mut Client, bucket: &str, key: &str) -> (String, [(u16, String); 1]) {
    let id = client.create_upload(&acme(), bucket, key);
    let part = client.upload_part(&acme(), bucket, key, &id, 1, key.as_bytes()).expect(200).etag();
    (id, [(1, part)])
}

fn abort(client: &mut Client, key: &Key, bucket: &str, name: &str, id: &str) {
    client.send(&Request::on("DELETE", bucket, name).query("uploadId", id), Sign::Header(key)).expect(204);
}

#[test]
fn records_go_when_their_uploads_have_ended() {
    let mut above = Gateway::start_over_another();
    let mut client = above.client();
    client.make_bucket(&acme(), "media");
    client.make_bucket(&acme(), "old");
    let (done, parts) = begin(&mut client, "media", "done");
    let etag = client.complete(&acme(), "media", "done", &done, &parts).expect(200).xml("CompleteMultipartUploadResult");
    let etag = etag.text_of("ETag").unwrap().to_owned();
    let (live, live_parts) = begin(&mut client, "media", "live");
    let (aborted, _) = begin(&mut client, "media", "aborted");
    abort(&mut client, &acme(), "media", "aborted", &aborted);
    assert_eq!(records(above.below()), 2);
    // By a lifecycle rule, or by an abort whose second half was lost.
    let (left, _) = begin(&mut client, "media", "left");
    abort(&mut above.below().client(), &operator(), HOME, "media/left", &left);
    begin(&mut client, "old", "k");
    client.send(&Request::new("DELETE", "/old"), Sign::Header(&acme())).expect(204);
    // Nobody here knows of it.
    let foreign = above.below().client().create_upload(&operator(), HOME, "media/foreign");
    assert_eq!(records(above.below()), 4);

    let node = Node::over(above.below().address(Door::S3));
    assert_eq!(node.sweep(Duration::ZERO), Swept::default(), "all are young");
    assert_eq!(node.sweep(DAY + HOUR), Swept { marked: 3, in_use: 1, ..Swept::default() });
    assert_eq!(node.sweep(HOUR), Swept::default(), "a mark begins the time anew");
    assert_eq!(records(above.below()), 4);
    // Read from the record, not remembered.
    above.restart(|_| {});
    let mut client = above.client();
    let again = client.complete(&acme(), "media", "done", &done, &parts).expect(200).xml("CompleteMultipartUploadResult");
    assert_eq!(again.text_of("ETag").unwrap(), etag);

    assert_eq!(node.sweep(DAY + HOUR), Swept { removed: 3, in_use: 1, ..Swept::default() });
    assert_eq!(node.sweep(DAY + HOUR), Swept { in_use: 1, ..Swept::default() });
    assert_eq!(records(above.below()), 1);
    above.restart(|_| {});
    let mut client = above.client();
    client.complete(&acme(), "media", "done", &done, &parts).refused(404, "NoSuchUpload");
    assert_eq!(client.get(&acme(), "media", "done").expect(200).body, b"done");
    client.complete(&acme(), "media", "live", &live, &live_parts).expect(200);
    assert_eq!(client.get(&acme(), "media", "live").expect(200).body, b"live");
    abort(&mut above.below().client(), &operator(), HOME, "media/foreign", &foreign);
}

/// Only the word that there is no such upload counts, and only said twice.
#[test]
fn what_is_not_certain_stays() {
    let above = Gateway::start_over_another();
    let mut client = above.client();
    client.make_bucket(&acme(), "media");
    let (live, parts) = begin(&mut client, "media", "live");
    let between = FaultyS3::start(above.below().address(Door::S3));
    let node = Node::over(between.address);
    for (status, code) in [(403, "AccessDenied"), (404, "NoSuchBucket"), (400, "InvalidRequest")] {
        between.plan(Method::GET, "uploadId=", ALWAYS, Fault::Answer(status, code));
        assert_eq!(node.sweep(DAY + HOUR), Swept { unclear: 1, ..Swept::default() }, "{code}");
        between.heal();
    }
    between.plan(Method::GET, "uploadId=", 1, Fault::Answer(404, "NoSuchUpload"));
    assert_eq!(node.sweep(DAY + HOUR), Swept { marked: 1, ..Swept::default() });
    assert_eq!(node.sweep(DAY + HOUR), Swept { in_use: 1, ..Swept::default() });
    assert_eq!(records(above.below()), 1);
    // Of somebody else's making.
    above.below().client().put(&operator(), HOME, ".tidegate/uploads/x", b"forged").expect(200);
    assert_eq!(node.sweep(DAY + HOUR), Swept { in_use: 1, unclear: 1, ..Swept::default() });
    client.complete(&acme(), "media", "live", &live, &parts).expect(200);
}

#[test]
fn one_node_does_it_for_all() {
    let above = Gateway::start_over_another();
    let (one, two) = (Node::over(above.below().address(Door::S3)), Node::over(above.below().address(Door::S3)));
    let (first, second) = (one.leases("one"), two.leases("two"));
    let now = Timestamp::now();
    let held = one.take(&first, now).expect("nobody has it");
    assert_eq!(held.fence(), 1);
    assert!(two.take(&second, now).is_none(), "it is held");
    assert!(one.runtime.block_on(held.give_back(Some(now))).unwrap());
    assert!(two.take(&second, now).is_none() && one.take(&first, now.plus(HOUR)).is_none(), "it was done");
    // A clock that was wrong does not end it.
    let held = two.take(&second, now.plus(DAY)).expect("it is due");
    assert!(two.runtime.block_on(held.give_back(Some(now.plus(DAY)))).unwrap());
    let held = one.take(&first, now).expect("it is due by this clock");
    assert_eq!(held.fence(), 3);
    assert!(one.runtime.block_on(held.give_back(None)).unwrap());
    let both = std::thread::scope(|scope| {
        let other = scope.spawn(|| two.take(&second, now).is_some());
        [one.take(&first, now).is_some(), other.join().unwrap()]
    });
    assert_eq!(both.iter().filter(|took| **took).count(), 1);
}
