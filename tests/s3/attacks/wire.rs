//! Requests inside requests, and requests without end.

use tidegate::telemetry::metrics::Door;

use crate::s3::attacks::gateway;
use crate::support::client::{Answer, Request, Sign};
use crate::support::gateway::{acme, bravo, operator};
use crate::support::raw;

/// All that comes back until the server closes, or has been silent for a while after its first answer.
fn everything(address: std::net::SocketAddr, bytes: &[u8]) -> String {
    use std::io::Read as _;
    let mut connection = raw::connect(address);
    let _ = connection.try_send(bytes);
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(n @ 1..) = connection.stream.read(&mut piece) {
        answer.extend_from_slice(&piece[..n]);
        connection.stream.set_read_timeout(Some(std::time::Duration::from_millis(150))).unwrap();
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn no_request_hides_in_another() {
    let (gateway, mut client) = gateway();
    let policy = r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:*Object","Resource":"arn:aws:s3:::acme-bucket/*"},"Version":"2012-10-17"}"#;
    client.send(&Request::new("PUT", "/acme-bucket").query("policy", "").body(policy), Sign::Header(&acme())).expect(204);
    let hidden = "DELETE /acme-bucket/secret HTTP/1.1\r\nhost: h\r\n\r\n";
    let long = hidden.len();
    let shapes = [
        format!("content-length: {long}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n{hidden}"),
        format!("content-length: 0\r\ncontent-length: {long}\r\n\r\n{hidden}"),
        format!("content-length: {long}\r\ncontent-length: 0\r\n\r\n{hidden}"),
        format!("content-length: 0, {long}\r\n\r\n{hidden}"),
        format!("content-length: +0\r\n\r\n{hidden}"),
        format!("content-length: -1\r\n\r\n{hidden}"),
        format!("content-length: 0x0\r\n\r\n{hidden}"),
        format!("content-length : 0\r\n\r\n{hidden}"),
        format!("transfer-encoding: identity\r\n\r\n{hidden}"),
        format!("transfer-encoding: chunked, identity\r\ncontent-length: 0\r\n\r\n{hidden}"),
        format!("transfer-encoding: xchunked\r\ncontent-length: 0\r\n\r\n{hidden}"),
        format!("transfer-encoding : chunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("transfer-encoding: chunked\r\n\r\n0x0\r\n\r\n{hidden}"),
        format!("transfer-encoding: chunked\r\n\r\n-0\r\n\r\n{hidden}"),
        format!("transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n\r\n{hidden}"),
        format!("x: y\r\n folded: z\r\ncontent-length: 0\r\n\r\n{hidden}"),
        format!("x: y\r\n\tcontent-length: 0\r\n\r\n{hidden}"),
    ];
    for door in [Door::S3, Door::Edge] {
        for shape in &shapes {
            let answer = everything(gateway.address(door), format!("PUT /acme-bucket/new HTTP/1.1\r\nhost: h\r\n{shape}").as_bytes());
            let answers = answer.matches("HTTP/1.1 ").count();
            let refused = answer.starts_with("HTTP/1.1 4");
            // A server may take a body with both framings by its chunks, if it then closes: what follows is never read.
            assert!(answers == 1 && (refused || !answer.contains(" 204 ")), "{door:?} {shape:?}: {answer}");
            assert_eq!(client.get(&acme(), "acme-bucket", "secret").status, 200, "{shape:?}");
        }
    }
    // The hidden request alone would have worked.
    assert!(everything(gateway.address(Door::S3), hidden.as_bytes()).starts_with("HTTP/1.1 204"));
}

#[test]
fn heads_are_bounded() {
    let (gateway, mut client) = gateway();
    for door in [Door::S3, Door::Edge, Door::Admin] {
        let huge = format!("GET / HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "a".repeat(64 * 1024));
        let many = format!("GET / HTTP/1.1\r\nhost: h\r\n{}\r\n", "x: y\r\n".repeat(5000));
        let long = format!("GET /{} HTTP/1.1\r\nhost: h\r\n\r\n", "a".repeat(20 * 1024));
        let parameters = format!("GET /?{} HTTP/1.1\r\nhost: h\r\n\r\n", "a=b&".repeat(2000));
        for request in [&huge, &many, &long, &parameters] {
            let answer = everything(gateway.address(door), request.as_bytes());
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{door:?}: {}", &answer[..answer.len().min(300)]);
        }
    }
    client.get(&acme(), "acme-bucket", "secret").expect(200);
}

#[test]
fn documents_are_bounded() {
    let (_gateway, mut client) = gateway();
    let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]>";
    let documents = [
        format!("{bomb}<Delete><Object><Key>&b;</Key></Object></Delete>"),
        "<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><Delete><Object><Key>&e;</Key></Object></Delete>".to_owned(),
        "<Delete><Object><Key>&b;</Key></Object></Delete>".to_owned(),
        format!("{}{}", "<Delete>".repeat(100_000), "</Delete>".repeat(100_000)),
        format!("<Delete>{}</Delete>", "<Object><Key>k</Key></Object>".repeat(1001)),
        format!("<Delete>{}</Delete>", "<a/>".repeat(500_000)),
        "<Delete><Object><Key>k</Key></Object>".to_owned(),
        "\u{0}\u{1}".to_owned(),
        String::new(),
    ];
    for document in documents {
        let shown = document[..document.len().min(60)].to_owned();
        for request in [
            Request::new("POST", "/acme-bucket").query("delete", ""),
            Request::on("POST", "acme-bucket", "k").query("uploadId", "0123456789abcdef"),
            Request::new("PUT", "/acme-bucket").query("acl", ""),
            Request::new("PUT", "/acme-bucket").query("policy", ""),
        ] {
            let answer = client.send(&request.body(document.clone()), Sign::Header(&acme()));
            assert!((400..500).contains(&answer.status), "{shown:?}: {} {}", answer.status, answer.text());
            assert!(!answer.text().contains("root:"));
        }
    }
    // More than any document may have.
    let request = Request::new("POST", "/acme-bucket").query("delete", "").body(vec![b' '; 5 * 1024 * 1024]);
    let answer = client.send(&request, Sign::Header(&acme()));
    assert!((400..500).contains(&answer.status), "{}", answer.text());
    client.get(&acme(), "acme-bucket", "secret").expect(200);
}

#[test]
fn metadata_and_keys_are_bounded() {
    let (_gateway, mut client) = gateway();
    let put = |name: &str, value: &str| Request::on("PUT", "acme-bucket", "k").header(name, value).body("x");
    client.send(&put("x-amz-meta-a", &"v".repeat(2048)), Sign::Header(&acme())).refused(400, "MetadataTooLarge");
    client.send(&put("x-amz-meta-a", &"v".repeat(1640)), Sign::Header(&acme())).expect(200);
    client.put(&acme(), "acme-bucket", &"k".repeat(1025), b"x").refused(400, "KeyTooLongError");
    client.put(&acme(), "acme-bucket", &"k".repeat(1024), b"x").expect(200);
    client.put(&acme(), "acme-bucket", "nul\0", b"x").expect(400);
}

#[test]
fn equal_content_of_another_tenant_is_no_hit() {
    let (_gateway, mut client) = gateway();
    client.make_bucket(&operator(), "shared");
    let body = vec![3u8; 200_000];
    let dedup = |a: Answer| a.expect(200).header("x-tidegate-dedup").unwrap().to_owned();
    assert_eq!(dedup(client.put(&acme(), "shared", "acme/one", &body)), "miss");
    assert_eq!(dedup(client.put(&acme(), "shared", "acme/two", &body)), "hit");
    // A hit would tell bravo that somebody has this content.
    assert_eq!(dedup(client.put(&bravo(), "shared", "bravo/one", &body)), "miss");
    assert_eq!(dedup(client.put(&bravo(), "bravo-bucket", "one", b"acme's secret")), "miss");
}

/// RFC 9112 2.2, 5.2 and 7.1: what a proxy in front may read in another way is read in none.
#[test]
fn what_ends_a_line_is_two_bytes() {
    let (gateway, mut client) = gateway();
    let heads = [
        "GET /-/health HTTP/1.1\nhost: h\r\n\r\n",
        "GET /-/health HTTP/1.1\r\nhost: h\n\r\n",
        "GET /-/health HTTP/1.1\r\nhost: h\r\n\n",
        "GET /-/health HTTP/1.1\nhost: h\n\n",
        "\nGET /-/health HTTP/1.1\r\nhost: h\r\n\r\n",
        "GET /-/health HTTP/1.1\r\nhost: h\r\nx: a\nb: c\r\n\r\n",
        "GET /-/health HTTP/1.1\r\nhost: h\r\nx: a\rb: c\r\n\r\n",
        "GET /-/health HTTP/1.1\r\nhost: h\r\nx: a\r\n folded\r\n\r\n",
        "GET /-/health HTTP/1.1\r\nhost: h\r\nx: a\0b\r\n\r\n",
        "GET /-/health HTTP/1.1\r\nhost: h\r\nx : a\r\n\r\n",
        "GET /-/health HTTP/1.1\r\n host: h\r\n\r\n",
        "GET  /-/health  HTTP/1.1\r\nhost: h\r\n\r\n",
        "GET /-/health\0 HTTP/1.1\r\nhost: h\r\n\r\n",
    ];
    for door in [Door::S3, Door::Edge, Door::Admin] {
        for head in heads {
            let head = head.replace("host: h", "host: 127.0.0.1");
            let answer = everything(gateway.address(door), head.as_bytes());
            assert!(answer.starts_with("HTTP/1.1 400"), "{door:?} {head:?}: {answer}");
            assert!(!answer.contains("HTTP/1.1 200"), "{door:?} {head:?}: nothing else is answered on that connection");
        }
    }
    // In pieces, and as the second request of a connection.
    let mut connection = raw::connect(gateway.address(Door::S3));
    let good = "GET /-/health HTTP/1.1\r\nhost: h\r\n\r\n";
    for _ in 0..2 {
        assert_eq!(connection.exchange(good).0.status, 200);
    }
    connection.send("GET /-/health HTTP/1.1\r\nhost");
    let (head, _) = connection.exchange(": h\n\r\n");
    assert_eq!((head.status, head.header("connection")), (400, Some("close")));
    // Bodies are bytes; the lines between chunks are not.
    let body = "many\nlines\n\n".repeat(1000);
    client.put(&acme(), "acme-bucket", "lines", body.as_bytes()).expect(200);
    client.put(&acme(), "acme-bucket", "lines", body.as_bytes()).expect(200);
    let chunked = |body: &str| {
        let mut put = Request::on("PUT", "acme-bucket", "chunked").header("transfer-encoding", "chunked").payload_hash("UNSIGNED-PAYLOAD");
        put.unsigned.push("transfer-encoding".into());
        let (head, _) = put.body(body).head(&gateway.client().host, Sign::Header(&acme()));
        everything(gateway.address(Door::S3), format!("{head}{body}").as_bytes())
    };
    for bad in ["3\nabc\r\n0\r\n\r\n", "3\r\nabc\n0\r\n\r\n", "3\r\nabc\r\n0\n\n", "3;x=\ny\r\nabc\r\n0\r\n\r\n", "3\r\nabcd\r\n0\r\n\r\n"]
    {
        let answer = chunked(bad);
        assert!(answer.starts_with("HTTP/1.1 4") && !answer.contains(" 200 "), "{bad:?}: {answer}");
    }
    assert!(chunked("3\r\na\nc\r\n0\r\n\r\n").starts_with("HTTP/1.1 200"));
    assert_eq!(client.get(&acme(), "acme-bucket", "lines").expect(200).body, body.as_bytes());
}
