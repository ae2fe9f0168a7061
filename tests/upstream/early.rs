//! Large bodies go up in parts while they arrive; what does not arrive whole and true leaves nothing upstream.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tidegate::ingest::md5::Md5Hasher;
use tidegate::telemetry::metrics::Door;
use tidegate::upstream::Settings;

use crate::support::alone;
use crate::support::client::{Client, Request, Sign};
use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::gateway::{Gateway, HOME, Setup, acme, bravo, operator, over};
use crate::support::raw::{self, Raw};
use crate::support::signer::sha256_hex;

const PART: usize = 5 * 1024 * 1024;
/// More than ingest keeps back before it writes.
const MORE: usize = 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(20);

/// Parts and threshold of 5 MiB, and a bucket `media` of acme's; `address` is the upstream's, or of what stands before it.
pub fn start_over(below: &Gateway, address: SocketAddr) -> Gateway {
    below.client().make_bucket(&operator(), HOME);
    let mut setup = Setup::new();
    let size = PART as u64;
    setup.upstream = Some(Settings { part_bytes: size, multipart_threshold: size, ..over(address, HOME) });
    let gateway = setup.start();
    gateway.client().make_bucket(&acme(), "media");
    gateway
}

pub fn both() -> (Gateway, Gateway) {
    let below = Gateway::start();
    let gateway = start_over(&below, below.address(Door::S3));
    (below, gateway)
}

pub fn noise(size: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    (0..size)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 24) as u8
        })
        .collect()
}

/// As S3 makes it of an object in parts.
fn etag_in_parts(body: &[u8]) -> String {
    let digests: Vec<u8> = body.chunks(PART).flat_map(|part| Md5Hasher::digest(part).0).collect();
    format!("\"{}-{}\"", Md5Hasher::digest(&digests).hex(), body.len().div_ceil(PART))
}

/// The head of a PUT whose body is sent by and by.
fn begin(client: &Client, key: &str, length: usize, more: &[(&str, &str)]) -> Raw {
    let mut request = Request::on("PUT", "media", key).header("content-length", &length.to_string()).payload_hash("UNSIGNED-PAYLOAD");
    for (name, value) in more {
        request = request.header(name, value);
    }
    let mut connection = raw::connect(client.address);
    connection.send(request.head(&client.host, Sign::Header(&acme())).0);
    connection
}

/// Parts upstream of uploads in progress: their sizes, of the first upload. None: there is no upload.
pub fn parts_upstream(below: &Gateway) -> Option<Vec<usize>> {
    let mut client = below.client();
    let uploads = client.send(&Request::on("GET", HOME, "").query("uploads", ""), Sign::Header(&operator())).expect(200);
    let uploads = uploads.xml("ListMultipartUploadsResult");
    let upload = uploads.children.iter().find(|c| c.name == "Upload")?;
    let (key, id) = (upload.text_of("Key").unwrap(), upload.text_of("UploadId").unwrap());
    let parts = client.send(&Request::on("GET", HOME, key).query("uploadId", id), Sign::Header(&operator()));
    if parts.status == 404 {
        return None;
    }
    let parts = parts.expect(200).xml("ListPartsResult");
    Some(parts.children.iter().filter(|c| c.name == "Part").map(|p| p.text_of("Size").unwrap().parse().unwrap()).collect())
}

#[track_caller]
pub fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < PATIENCE, "never: {what}");
        sleep(Duration::from_millis(20));
    }
}

#[track_caller]
fn assert_nothing_left(below: &Gateway, gateway: &Gateway, key: &str) {
    wait_for("the upload is aborted", || parts_upstream(below).is_none());
    below.client().get(&operator(), HOME, &format!("media/{key}")).expect(404);
    let staging = gateway.data().join("upstream/staging");
    wait_for("nothing is staged", || std::fs::read_dir(&staging).unwrap().next().is_none());
}

#[test]
fn parts_are_upstream_before_the_body_ended() {
    let (below, gateway) = both();
    let body = noise(4 * PART + 77, 1);
    let mut connection = begin(&gateway.client(), "slow", body.len(), &[("x-amz-meta-a", "b")]);
    connection.send(&body[..3 * PART + MORE]);
    wait_for("three parts", || parts_upstream(&below) == Some(vec![PART; 3]));
    gateway.client().get(&acme(), "media", "slow").expect(404);
    let (head, _) = connection.exchange(&body[3 * PART + MORE..]);
    assert_eq!((head.status, head.header("etag")), (200, Some(etag_in_parts(&body).as_str())));
    assert_eq!(head.header("x-tidegate-dedup"), Some("miss"));
    let plain = Request::on("GET", HOME, "media/slow").header("x-amz-checksum-mode", "ENABLED");
    let plain = below.client().send(&plain, Sign::Header(&operator())).expect(200);
    assert!(plain.body == body);
    assert_eq!((plain.header("etag"), plain.header("x-amz-meta-a")), (head.header("etag"), Some("b")));
    assert_eq!(plain.header("x-amz-checksum-type"), Some("FULL_OBJECT"));
    assert_eq!(plain.header("x-amz-checksum-crc64nvme"), head.header("x-amz-checksum-crc64nvme"));
    assert_eq!(parts_upstream(&below), None);
}

#[test]
fn the_type_of_a_body_that_is_yet_to_come() {
    let (below, gateway) = both();
    let body = [b"\x89PNG\r\n\x1a\n".to_vec(), noise(2 * PART, 2)].concat();
    let mut connection = begin(&gateway.client(), "picture", body.len(), &[]);
    connection.send(&body[..3]);
    // The type is in bytes that come one by one.
    sleep(Duration::from_millis(50));
    let (head, _) = connection.exchange(&body[3..]);
    assert_eq!((head.status, head.header("etag")), (200, Some(etag_in_parts(&body).as_str())));
    let plain = below.client().send(&Request::on("HEAD", HOME, "media/picture"), Sign::Header(&operator())).expect(200);
    assert_eq!(plain.header("content-type"), Some("image/png"));
}

#[test]
fn a_body_that_is_not_what_was_promised_leaves_nothing() {
    let (below, gateway) = both();
    let body = noise(2 * PART + 1, 3);
    let sha256 = sha256_hex(b"another body");
    for (name, value, code) in [
        ("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==", "BadDigest"),
        ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=", "BadDigest"),
        ("x-amz-content-sha256", &*sha256, "XAmzContentSHA256Mismatch"),
    ] {
        let mut client = gateway.client();
        let put = Request::on("PUT", "media", "wrong").body(&body[..]);
        let put = match name {
            "x-amz-content-sha256" => put.payload_hash(value),
            _ => put.payload_hash("UNSIGNED-PAYLOAD").header(name, value),
        };
        client.send(&put, Sign::Header(&acme())).refused(400, code);
        assert_nothing_left(&below, &gateway, "wrong");
    }
    // The checksum comes last.
    let chunk = format!("{:x}\r\n", body.len()).into_bytes();
    let chunked = [&chunk[..], &body, b"\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"].concat();
    let put = Request::on("PUT", "media", "wrong")
        .header("content-encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", &body.len().to_string())
        .header("x-amz-trailer", "x-amz-checksum-crc32")
        .payload_hash("STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    gateway.client().send(&put.body(chunked), Sign::Header(&acme())).refused(400, "BadDigest");
    assert_nothing_left(&below, &gateway, "wrong");
}

#[test]
fn a_client_that_goes_away_leaves_nothing() {
    let (below, gateway) = both();
    let body = noise(2 * PART + MORE, 4);
    let mut connection = begin(&gateway.client(), "gone", 4 * PART, &[]);
    connection.send(&body);
    wait_for("two parts", || parts_upstream(&below) == Some(vec![PART; 2]));
    drop(connection);
    assert_nothing_left(&below, &gateway, "gone");
}

#[test]
fn a_condition_that_fails_leaves_what_was_there() {
    let (below, gateway) = both();
    let (mut client, body) = (gateway.client(), noise(2 * PART, 5));
    client.put(&acme(), "media", "kept", b"before").expect(200);
    let mut connection = begin(&client, "kept", body.len(), &[("if-none-match", "*")]);
    assert_eq!(connection.exchange(&body).0.status, 412);
    wait_for("the upload is aborted", || parts_upstream(&below).is_none());
    assert_eq!(client.get(&acme(), "media", "kept").expect(200).body, b"before");
}

#[test]
fn parts_that_fail_are_sent_again() {
    let below = Gateway::start();
    let proxy = FaultProxy::start(below.address(Door::S3));
    let gateway = start_over(&below, proxy.address);
    let body = noise(4 * PART, 6);
    for (key, fault) in [("busy", Fault::Answer503), ("cut", Fault::Refuse)] {
        let mut connection = begin(&gateway.client(), key, body.len(), &[]);
        connection.send(&body[..PART + MORE]);
        wait_for("a part", || parts_upstream(&below) == Some(vec![PART]));
        let before = proxy.met();
        proxy.set(fault);
        connection.send(&body[PART + MORE..3 * PART]);
        wait_for("the fault is met", || proxy.met() > before);
        proxy.set(Fault::None);
        let (head, _) = connection.exchange(&body[3 * PART..]);
        assert_eq!((head.status, head.header("etag")), (200, Some(etag_in_parts(&body).as_str())), "{key}");
        assert!(below.client().get(&operator(), HOME, &format!("media/{key}")).expect(200).body == body);
        assert_eq!(parts_upstream(&below), None);
    }
}

#[test]
fn an_upload_that_is_aborted_upstream_is_begun_again() {
    let (below, gateway) = both();
    let body = noise(3 * PART, 7);
    let mut connection = begin(&gateway.client(), "again", body.len(), &[]);
    connection.send(&body[..2 * PART + MORE]);
    wait_for("two parts", || parts_upstream(&below) == Some(vec![PART; 2]));
    let mut client = below.client();
    let uploads = client.send(&Request::on("GET", HOME, "").query("uploads", ""), Sign::Header(&operator())).expect(200).text();
    let id = uploads.split("<UploadId>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let abort = Request::on("DELETE", HOME, "media/again").query("uploadId", &id);
    client.send(&abort, Sign::Header(&operator())).expect(204);
    let (head, _) = connection.exchange(&body[2 * PART + MORE..]);
    assert_eq!((head.status, head.header("etag")), (200, Some(etag_in_parts(&body).as_str())));
    assert!(client.get(&operator(), HOME, "media/again").expect(200).body == body);
}

#[test]
fn every_size_around_the_borders_of_parts() {
    let (below, gateway) = both();
    let mut client = gateway.client();
    for (n, size) in [PART - 1, PART, PART + 1, 2 * PART - 1, 2 * PART, 2 * PART + 1, 3 * PART + 4321].into_iter().enumerate() {
        let (key, body) = (format!("size-{size}"), noise(size, 10 + n as u32));
        let etag = if size > PART { etag_in_parts(&body) } else { format!("\"{}\"", Md5Hasher::digest(&body).hex()) };
        // Of a length that is announced, and of one that is not.
        let announced = Request::on("PUT", "media", &key).payload_hash("UNSIGNED-PAYLOAD").body(&body[..]);
        let pieces = body.chunks(300_001).flat_map(|c| [format!("{:x}\r\n", c.len()).into_bytes(), c.to_vec(), b"\r\n".to_vec()]);
        let mut unknown = Request::on("PUT", "media", &format!("{key}-x")).header("transfer-encoding", "chunked");
        unknown.unsigned.push("transfer-encoding".into());
        let unknown = unknown.payload_hash("UNSIGNED-PAYLOAD").body([pieces.flatten().collect(), b"0\r\n\r\n".to_vec()].concat());
        for (put, key) in [(announced, key.clone()), (unknown, format!("{key}-x"))] {
            let put = client.send(&put, Sign::Header(&acme())).expect(200);
            let got = client.get(&acme(), "media", &key).expect(200);
            assert!(got.body == body, "{key}");
            // The same content again may be copied; its ETag stays.
            assert_eq!((put.header("etag"), got.header("etag")), (Some(etag.as_str()), Some(etag.as_str())), "{key}");
        }
    }
    assert_eq!(parts_upstream(&below), None);
}

#[test]
fn memory_does_not_grow_with_the_body() {
    if !alone::is_alone("upstream::early::memory_does_not_grow_with_the_body") {
        return;
    }
    const PIECES: usize = 160;
    let (below, gateway) = both();
    let piece = noise(MORE, 8);
    let mut connection = begin(&gateway.client(), "long", PIECES * piece.len(), &[]);
    let (start, mut most) = (alone::anonymous_memory_kib(), 0);
    for _ in 0..PIECES {
        connection.send(&piece);
        most = most.max(alone::anonymous_memory_kib());
    }
    assert_eq!(connection.head().status, 200);
    most = most.max(alone::anonymous_memory_kib());
    // Of the upstream too, which is in this process.
    let grown = most.saturating_sub(start);
    assert!(grown < 80 * 1024, "{grown} KiB more for {PIECES} MiB");
    assert_eq!(parts_upstream(&below), None);
}

fn crc32_of(body: &[u8]) -> String {
    use tidegate::base::checksum::ChecksumAlgorithm;
    tidegate::ingest::hasher::ChecksumHasher::digest(ChecksumAlgorithm::Crc32, body).unwrap().to_string()
}

#[test]
fn content_that_is_there_is_not_sent_again() {
    let (below, gateway) = both();
    let mut client = gateway.client();
    let put = |client: &mut Client, key: &str, colour: &str, body: &[u8]| {
        let put = Request::on("PUT", "media", key).header("x-amz-meta-colour", colour).header("content-type", "text/x");
        client.send(&put.body(body), Sign::Header(&acme())).expect(200)
    };
    for (n, size) in [(0, 300_000), (1, 2 * PART + 3)] {
        let (body, key) = (noise(size, 30 + n), |name: &str| format!("{n}-{name}"));
        let first = put(&mut client, &key("first"), "red", &body);
        assert_eq!(first.header("x-tidegate-dedup"), Some("miss"));
        let found = Request::new("HEAD", &format!("/-/v1/content/{}", sha256_hex(&body)));
        let found = client.send(&found, Sign::Header(&acme()));
        // Of an object in parts the hash can't be proven later.
        assert_eq!(found.status, if n == 0 { 200 } else { 404 });
        // The body's hash was declared: it is what the signature covers.
        let second = put(&mut client, &key("second"), "blue", &body);
        assert_eq!(second.header("x-tidegate-dedup"), Some("hit"), "{n}");
        assert_eq!(second.header("x-amz-checksum-crc64nvme"), first.header("x-amz-checksum-crc64nvme"));
        let plain = below.client().get(&operator(), HOME, &format!("media/{}", key("second"))).expect(200);
        assert!(plain.body == body);
        assert_eq!((plain.header("x-amz-meta-colour"), plain.header("content-type")), (Some("blue"), Some("text/x")));
        assert_eq!(plain.header("etag"), second.header("etag"));
        // The newest copy was changed behind the gateway's back: it is not taken for the content any more.
        below.client().put(&operator(), HOME, &format!("media/{}", key("second")), &noise(size, 99)).expect(200);
        assert_eq!(put(&mut client, &key("third"), "red", &body).header("x-tidegate-dedup"), Some("miss"));
        assert!(client.get(&acme(), "media", &key("third")).expect(200).body == body);
        below.client().delete(&operator(), HOME, &format!("media/{}", key("third"))).expect(204);
        assert_eq!(put(&mut client, &key("fourth"), "red", &body).header("x-tidegate-dedup"), Some("miss"));
        assert!(client.get(&acme(), "media", &key("fourth")).expect(200).body == body);
        // Over itself, with other metadata.
        assert_eq!(put(&mut client, &key("fourth"), "green", &body).header("x-tidegate-dedup"), Some("hit"));
        assert_eq!(client.get(&acme(), "media", &key("fourth")).expect(200).header("x-amz-meta-colour"), Some("green"));
        // Copied upstream or sent again: it has the checksum that is asked for now, not its source's.
        let crc = crc32_of(&body);
        let chosen = Request::on("PUT", "media", &key("crc32")).header("x-amz-checksum-crc32", &crc).body(body.as_slice());
        client.send(&chosen, Sign::Header(&acme())).expect(200);
        let head = Request::on("HEAD", "media", &key("crc32")).header("x-amz-checksum-mode", "ENABLED");
        assert_eq!(client.send(&head, Sign::Header(&acme())).expect(200).header("x-amz-checksum-crc32"), Some(crc.as_str()));
        // What another tenant has is not there.
        let mut other = gateway.client();
        if n == 0 {
            other.make_bucket(&bravo(), "others");
        }
        assert_eq!(other.put(&bravo(), "others", "k", &body).expect(200).header("x-tidegate-dedup"), Some("miss"));
    }
}
