//! Bodies that are cut, changed, or not what was promised of them.

use crate::s3::attacks::{assert_absent, assert_nothing_staged, gateway};
use crate::support::alone;
use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::gateway::acme;
use crate::support::raw;
use crate::support::signer::{Scope, signed_chunks, unsigned_chunks};

/// A PUT of aws-chunked pieces: what `spoil` made of the signed chunks is sent.
fn chunked_put(client: &mut Client, key: &str, pieces: &[&[u8]], spoil: impl Fn(&mut Vec<Vec<u8>>)) -> Answer {
    let length: usize = pieces.iter().map(|p| p.len()).sum();
    let mut request = Request::on("PUT", "acme-bucket", key)
        .header("content-encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", &length.to_string())
        .payload_hash("STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
    // The length of the body depends on the signature only in what it says, not in how long it is.
    let scope = Scope::at(0);
    let mut chunks = signed_chunks(&acme(), &scope, &"0".repeat(64), pieces);
    spoil(&mut chunks);
    let wire: usize = chunks.iter().map(Vec::len).sum();
    request = request.header("content-length", &wire.to_string());
    request.unsigned.push("content-length".into());
    let (head, signature) = request.head(&client.host, Sign::Header(&acme()));
    let date = head.lines().find_map(|l| l.strip_prefix("x-amz-date: ")).unwrap();
    let scope = Scope { amz_date: date.to_owned(), region: "us-east-1".into(), service: "s3" };
    let mut chunks = signed_chunks(&acme(), &scope, &signature.unwrap(), pieces);
    spoil(&mut chunks);
    client.send_as_is("PUT", &[head.into_bytes(), chunks.concat()].concat())
}

#[test]
fn chunks_can_be_neither_cut_moved_nor_changed() {
    let (gateway, mut client) = gateway();
    let (a, b) = (vec![b'a'; 65_536], vec![b'b'; 65_536]);
    let pieces = [&a[..], &b[..]];
    let put = |client: &mut Client, spoil: &dyn Fn(&mut Vec<Vec<u8>>)| chunked_put(client, "chunked", &pieces, spoil);
    let cut = put(&mut client, &|chunks| chunks.truncate(1));
    assert_eq!((cut.status, &*cut.code()), (400, "IncompleteBody"), "after the first chunk: {}", cut.text());
    let cut = put(&mut client, &|chunks| chunks.truncate(2));
    assert_eq!((cut.status, &*cut.code()), (400, "IncompleteBody"), "before the final chunk: {}", cut.text());
    put(&mut client, &|chunks| chunks.swap(0, 1)).refused(403, "SignatureDoesNotMatch");
    put(&mut client, &|chunks| drop(chunks.remove(1))).refused(403, "SignatureDoesNotMatch");
    put(&mut client, &|chunks| *chunks[1].last_chunk_mut::<3>().unwrap() = *b"c\r\n").refused(403, "SignatureDoesNotMatch");
    put(&mut client, &|chunks| {
        let text = String::from_utf8(chunks[0].clone()).unwrap().replacen("chunk-signature=", "chunk-signature=0", 1);
        chunks[0] = text.into_bytes();
    })
    .refused(403, "SignatureDoesNotMatch");
    let longer = put(&mut client, &|chunks| chunks.insert(1, chunks[0].clone()));
    assert!(matches!(longer.status, 400 | 403), "{}", longer.text());
    let after = put(&mut client, &|chunks| chunks.push(b"5\r\nmore!\r\n".to_vec()));
    assert_eq!(after.status, 400, "{}", after.text());
    assert_absent(&mut client, "acme-bucket", "chunked");
    assert_nothing_staged(&gateway);
    put(&mut client, &|_| {}).expect(200);
    assert_eq!(client.get(&acme(), "acme-bucket", "chunked").expect(200).body, [a.clone(), b.clone()].concat());
}

#[test]
fn a_connection_cut_in_a_body_stores_nothing() {
    let (gateway, mut client) = gateway();
    let body = vec![b'x'; 300_000];
    let requests = [
        Request::on("PUT", "acme-bucket", "cut").body(body.clone()),
        Request::on("PUT", "acme-bucket", "cut").payload_hash("UNSIGNED-PAYLOAD").body(body.clone()),
        Request::on("PUT", "acme-bucket", "cut")
            .header("transfer-encoding", "chunked")
            .payload_hash("UNSIGNED-PAYLOAD")
            .body([b"493e0\r\n", &body[..]].concat()),
    ];
    for mut request in requests {
        request.unsigned.push("transfer-encoding".into());
        let (head, _) = request.head(&client.host, Sign::Header(&acme()));
        let mut connection = raw::connect(client.address);
        connection.send(head.as_bytes()).send(&request.body[..200_000]);
        drop(connection);
        assert_nothing_staged(&gateway);
        assert_absent(&mut client, "acme-bucket", "cut");
    }
}

#[test]
fn a_wrong_hash_is_the_clients_fault() {
    let (gateway, mut client) = gateway();
    let put = |body: &[u8]| Request::on("PUT", "acme-bucket", "k").body(body);
    for body in [&b"small"[..], &vec![7; 200_000]] {
        let wrong = crate::support::signer::sha256_hex(b"another body");
        client.send(&put(body).payload_hash(&wrong), Sign::Header(&acme())).refused(400, "XAmzContentSHA256Mismatch");
        client.send(&put(body).header("content-md5", "AAAAAAAAAAAAAAAAAAAAAA=="), Sign::Header(&acme())).refused(400, "BadDigest");
        client.send(&put(body).header("x-amz-checksum-crc32", "AAAAAA=="), Sign::Header(&acme())).refused(400, "BadDigest");
    }
    let trailer = |trailers: &[(&str, &str)]| {
        let body = unsigned_chunks(&[b"hello"], trailers);
        Request::on("PUT", "acme-bucket", "k")
            .header("content-encoding", "aws-chunked")
            .header("x-amz-decoded-content-length", "5")
            .header("x-amz-trailer", "x-amz-checksum-crc32")
            .payload_hash("STREAMING-UNSIGNED-PAYLOAD-TRAILER")
            .body(body)
    };
    let send = |client: &mut Client, trailers: &[(&str, &str)]| client.send(&trailer(trailers), Sign::Header(&acme()));
    send(&mut client, &[("x-amz-checksum-crc32", "AAAAAA==")]).refused(400, "BadDigest");
    send(&mut client, &[]).refused(400, "MalformedTrailerError");
    send(&mut client, &[("x-amz-checksum-sha256", "AAAAAA==")]).refused(400, "MalformedTrailerError");
    assert_absent(&mut client, "acme-bucket", "k");
    assert_nothing_staged(&gateway);
    send(&mut client, &[("x-amz-checksum-crc32", "NhCmhg==")]).expect(200);
}

#[test]
fn a_stranger_cannot_use_streaming_forms_to_make_faults() {
    let (_gateway, mut client) = gateway();
    for hash in
        ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "x"]
    {
        let put = Request::on("PUT", "acme-bucket", "k").header("x-amz-content-sha256", hash).body("5\r\nhello\r\n0\r\n\r\n");
        let answer = client.send(&put, Sign::No);
        assert!(matches!(answer.status, 400 | 403 | 501), "{hash}: {} {}", answer.status, answer.text());
    }
    assert_absent(&mut client, "acme-bucket", "k");
}

/// One chunk of 512 MiB is announced. In a process of its own, since memory is counted for the whole process.
#[test]
fn a_giant_chunk_takes_no_memory() {
    if !alone::is_alone("s3::attacks::bodies::a_giant_chunk_takes_no_memory") {
        return;
    }
    const CHUNK: usize = 512 * 1024 * 1024;
    const SENT: usize = 192 * 1024 * 1024;
    let (gateway, mut client) = gateway();
    let request = Request::on("PUT", "acme-bucket", "giant")
        .header("content-encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", &CHUNK.to_string())
        .header("content-length", &(CHUNK + 100).to_string())
        .payload_hash("STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    let (head, _) = request.head(&client.host, Sign::Header(&acme()));
    let mut connection = raw::connect(client.address);
    connection.send(head).send(format!("{CHUNK:x}\r\n"));
    let piece = vec![9u8; 1024 * 1024];
    let (start, mut most) = (alone::anonymous_memory_kib(), 0);
    for _ in 0..SENT / piece.len() {
        connection.send(&piece);
        most = most.max(alone::anonymous_memory_kib());
    }
    let grown = most.saturating_sub(start);
    assert!(grown < 32 * 1024, "{grown} KiB more for {SENT} bytes of a chunk");
    drop(connection);
    assert_nothing_staged(&gateway);
    assert_absent(&mut client, "acme-bucket", "giant");
}
