//! The ten checksums through the door, on the embedded store and over another gateway: verified, kept, told, and refused where
//! nobody could check them.

use tidegate::base::checksum::{Checksum, ChecksumAlgorithm};
use tidegate::ingest::hasher::ChecksumHasher;

use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::gateway::{Gateway, acme};
use crate::support::signer::unsigned_chunks;

const ALL: [ChecksumAlgorithm; 10] = ChecksumAlgorithm::ALL;

fn sum(algorithm: ChecksumAlgorithm, body: &[u8]) -> String {
    ChecksumHasher::digest(algorithm, body).unwrap().to_string()
}

/// Over the parts' checksums.
fn composite(algorithm: ChecksumAlgorithm, parts: &[&[u8]]) -> String {
    let sums: Vec<u8> = parts.iter().flat_map(|part| ChecksumHasher::digest(algorithm, part).unwrap().bytes().to_vec()).collect();
    ChecksumHasher::digest(algorithm, &sums).unwrap().composite(parts.len() as u16).to_string()
}

fn body(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 % 251) as u8).collect()
}

fn both(test: impl Fn(&mut Client)) {
    for gateway in [Gateway::start(), Gateway::start_over_another()] {
        let mut client = gateway.client();
        client.make_bucket(&acme(), "media");
        test(&mut client);
    }
}

fn send(client: &mut Client, request: &Request) -> Answer {
    client.send(request, Sign::Header(&acme()))
}

fn head(client: &mut Client, key: &str) -> Answer {
    send(client, &Request::on("HEAD", "media", key).header("x-amz-checksum-mode", "ENABLED")).expect(200)
}

fn told(answer: &Answer) -> Vec<(String, String)> {
    let sums = answer.headers.iter().filter(|(name, _)| name.starts_with("x-amz-checksum-"));
    sums.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn one(algorithm: ChecksumAlgorithm, value: &str, kind: &str) -> Vec<(String, String)> {
    let of = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    vec![of(algorithm.header(), value), of("x-amz-checksum-type", kind)]
}

fn attributes(client: &mut Client, key: &str) -> String {
    let ask = Request::on("GET", "media", key).query("attributes", "").header("x-amz-object-attributes", "Checksum,ObjectParts");
    send(client, &ask).expect(200).text()
}

fn wrong(algorithm: ChecksumAlgorithm) -> String {
    Checksum::new(algorithm, &vec![1; algorithm.value_len()]).unwrap().to_string()
}

#[test]
fn of_a_whole_object_it_is_verified_kept_and_told() {
    both(|client| {
        for (algorithm, len) in ALL.into_iter().flat_map(|a| [(a, 0), (a, 100), (a, 300_000)]) {
            let (key, body) = (format!("{}-{len}", algorithm.name()), body(len));
            let (name, value) = (algorithm.header(), sum(algorithm, &body));
            let put = |value: &str| Request::on("PUT", "media", &key).header(name, value).body(body.clone());
            for malformed in ["bad", "AAAA", &format!("{value}-2"), &format!("{value}A")] {
                send(client, &put(malformed)).refused(400, "InvalidRequest");
            }
            send(client, &put(&wrong(algorithm))).refused(400, "BadDigest");
            let named = put(&value).header("x-amz-sdk-checksum-algorithm", &algorithm.name().to_lowercase());
            let expected = one(algorithm, &value, "FULL_OBJECT");
            assert_eq!(told(&send(client, &named).expect(200)), expected);
            assert_eq!(told(&head(client, &key)), expected);
            assert_eq!(told(&send(client, &Request::on("HEAD", "media", &key)).expect(200)), []);
            let element = algorithm.element();
            let said = format!("<Checksum><{element}>{value}</{element}><ChecksumType>FULL_OBJECT</ChecksumType></Checksum>");
            assert!(attributes(client, &key).contains(&said), "{said}");
            let listed = send(client, &Request::new("GET", "/media").query("list-type", "2").query("prefix", &key)).expect(200).text();
            let said = format!("<ChecksumAlgorithm>{}</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>", algorithm.name());
            assert!(listed.contains(&said), "{listed}");
            let copy = Request::on("PUT", "media", "copy").header("x-amz-copy-source", &format!("/media/{key}"));
            assert!(send(client, &copy).expect(200).text().contains(&value), "a copy keeps the checksum of its source");
            assert_eq!(told(&head(client, "copy")), expected);
        }
    });
}

#[test]
fn in_a_trailer_it_is_verified_too() {
    both(|client| {
        let body = body(70_000);
        for algorithm in ALL {
            let put = |trailer: &str| {
                Request::on("PUT", "media", "trailed")
                    .header("content-encoding", "aws-chunked")
                    .header("x-amz-decoded-content-length", &body.len().to_string())
                    .header("x-amz-trailer", algorithm.header())
                    .payload_hash("STREAMING-UNSIGNED-PAYLOAD-TRAILER")
                    .body(unsigned_chunks(&[&body], &[(algorithm.header(), trailer)]))
            };
            send(client, &put(&wrong(algorithm))).refused(400, "BadDigest");
            send(client, &put("bad")).refused(400, "InvalidRequest");
            let value = sum(algorithm, &body);
            assert_eq!(told(&send(client, &put(&value)).expect(200)), one(algorithm, &value, "FULL_OBJECT"));
            assert_eq!(told(&head(client, "trailed")), one(algorithm, &value, "FULL_OBJECT"));
        }
    });
}

#[test]
fn what_nobody_can_check_is_refused() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    client.make_bucket(&acme(), "media");
    let put = |name: &str, value: &str| Request::on("PUT", "media", "k").header(name, value).body("hello");
    for unknown in ["x-amz-checksum-sha3", "x-amz-checksum-xxhash", "x-amz-checksum-sha-512", "x-amz-checksum-of-tomorrow"] {
        let refused = send(&mut client, &put(unknown, "AAAAAAAAAAA=")).refused(400, "InvalidRequest").text();
        assert!(refused.contains("XXHASH128") && refused.contains(unknown), "what is known is named: {refused}");
        let trailing = put("x-amz-trailer", unknown)
            .header("content-encoding", "aws-chunked")
            .header("x-amz-decoded-content-length", "5")
            .payload_hash("STREAMING-UNSIGNED-PAYLOAD-TRAILER");
        let trailing = trailing.body(unsigned_chunks(&[b"hello"], &[(unknown, "AAAAAAAAAAA=")]));
        assert!(send(&mut client, &trailing).refused(400, "InvalidRequest").text().contains("XXHASH128"));
    }
    let md5 = sum(ChecksumAlgorithm::Md5, b"hello");
    let two = put("x-amz-checksum-md5", &md5).header("x-amz-checksum-crc32", &sum(ChecksumAlgorithm::Crc32, b"hello"));
    send(&mut client, &two).refused(400, "InvalidRequest");
    let other = put("x-amz-checksum-md5", &md5).header("x-amz-sdk-checksum-algorithm", "SHA512");
    send(&mut client, &other).refused(400, "InvalidRequest");
    client.get(&acme(), "media", "k").refused(404, "NoSuchKey");
    // These two speak of checksums and are none.
    let neither = put("x-amz-checksum-algorithm", "CRC32").header("x-amz-checksum-type", "COMPOSITE").header("x-amz-checksum-md5", &md5);
    assert_eq!(told(&send(&mut client, &neither).expect(200)), one(ChecksumAlgorithm::Md5, &md5, "FULL_OBJECT"));
}

fn create(key: &str, algorithm: &str) -> Request {
    Request::on("POST", "media", key).query("uploads", "").header("x-amz-checksum-algorithm", algorithm)
}

/// With the checksum of each part, as SDKs send them.
fn complete(key: &str, upload: &str, parts: &[(String, String)], algorithm: ChecksumAlgorithm) -> Request {
    let element = algorithm.element();
    let part = |(n, (etag, sum)): (usize, &(String, String))| {
        format!("<Part><PartNumber>{}</PartNumber><ETag>{etag}</ETag><{element}>{sum}</{element}></Part>", n + 1)
    };
    let parts: String = parts.iter().enumerate().map(part).collect();
    let document = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
    Request::on("POST", "media", key).query("uploadId", upload).body(document)
}

#[test]
fn of_an_upload_in_parts_it_is_of_the_parts_or_of_the_whole() {
    both(|client| {
        for algorithm in ALL {
            let key = algorithm.name();
            let bodies = if algorithm == ChecksumAlgorithm::Xxhash3 { vec![body(5 << 20), body(99)] } else { vec![body(1000)] };
            for (kind, can) in [("FULL_OBJECT", algorithm.is_crc()), ("COMPOSITE", algorithm != ChecksumAlgorithm::Crc64Nvme)] {
                let create = create(key, algorithm.name()).header("x-amz-checksum-type", kind);
                if !can {
                    send(client, &create).refused(400, "InvalidRequest");
                    continue;
                }
                let answer = send(client, &create).expect(200);
                let upload = answer.xml("InitiateMultipartUploadResult").text_of("UploadId").unwrap().to_owned();
                assert_eq!(answer.header("x-amz-checksum-algorithm"), Some(algorithm.name()));
                let parts = upload_parts(client, key, &upload, algorithm, &bodies);
                listed(client, key, &upload, algorithm, kind, &parts);
                let slices: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
                let whole = if kind == "COMPOSITE" { composite(algorithm, &slices) } else { sum(algorithm, &bodies.concat()) };
                let finish = complete(key, &upload, &parts, algorithm);
                send(client, &finish.clone().header(algorithm.header(), "bad")).refused(400, "InvalidRequest");
                send(client, &finish.clone().header(algorithm.header(), &wrong(algorithm))).refused(400, "BadDigest");
                let other = if kind == "COMPOSITE" { "FULL_OBJECT" } else { "COMPOSITE" };
                send(client, &finish.clone().header("x-amz-checksum-type", other)).refused(400, "InvalidRequest");
                let done = send(client, &finish.header(algorithm.header(), &whole).header("x-amz-checksum-type", kind)).expect(200).text();
                assert!(done.contains(&format!("<{0}>{whole}</{0}><ChecksumType>{kind}<", algorithm.element())), "{done}");
                assert_eq!(told(&head(client, key)), one(algorithm, &whole, kind));
                let first = Request::on("GET", "media", key).query("partNumber", "1").header("x-amz-checksum-mode", "ENABLED");
                assert_eq!(told(&send(client, &first).expect(206)), one(algorithm, &parts[0].1, kind));
                let said = attributes(client, key);
                assert!(parts.iter().all(|(_, sum)| said.contains(&format!("<{0}>{sum}</{0}>", algorithm.element()))), "{said}");
            }
        }
    });
}

fn upload_parts(client: &mut Client, key: &str, upload: &str, algorithm: ChecksumAlgorithm, bodies: &[Vec<u8>]) -> Vec<(String, String)> {
    let mut parts = Vec::new();
    for (number, body) in (1..).zip(bodies) {
        let part = |name: &str, value: &str| {
            let request = Request::on("PUT", "media", key).query("partNumber", &i32::to_string(&number)).query("uploadId", upload);
            request.header(name, value).body(body.clone())
        };
        let other = if algorithm == ChecksumAlgorithm::Md5 { ChecksumAlgorithm::Crc32 } else { ChecksumAlgorithm::Md5 };
        send(client, &part(other.header(), &sum(other, body))).refused(400, "InvalidRequest");
        send(client, &part(algorithm.header(), &wrong(algorithm))).refused(400, "BadDigest");
        let value = sum(algorithm, body);
        let put = send(client, &part(algorithm.header(), &value)).expect(200);
        assert_eq!(put.header(algorithm.header()), Some(&*value));
        parts.push((put.header("etag").unwrap().to_owned(), value));
    }
    parts
}

fn listed(client: &mut Client, key: &str, upload: &str, algorithm: ChecksumAlgorithm, kind: &str, parts: &[(String, String)]) {
    let announced = format!("<ChecksumAlgorithm>{}</ChecksumAlgorithm><ChecksumType>{kind}</ChecksumType>", algorithm.name());
    let uploads = send(client, &Request::new("GET", "/media").query("uploads", "").query("prefix", key)).expect(200).text();
    assert!(uploads.contains(&announced), "{uploads}");
    let list = send(client, &Request::on("GET", "media", key).query("uploadId", upload)).expect(200).text();
    assert!(list.contains(&announced), "{list}");
    assert!(parts.iter().all(|(_, sum)| list.contains(&format!("<{0}>{sum}</{0}>", algorithm.element()))), "{list}");
}

#[test]
fn a_restart_forgets_none() {
    let mut gateway = Gateway::start();
    let mut client = gateway.client();
    client.make_bucket(&acme(), "media");
    let mut uploads = Vec::new();
    for algorithm in ALL {
        let put = Request::on("PUT", "media", algorithm.name()).header(algorithm.header(), &sum(algorithm, b"hello")).body("hello");
        send(&mut client, &put).expect(200);
        let answer = send(&mut client, &create("parts", algorithm.name())).expect(200);
        let upload = answer.xml("InitiateMultipartUploadResult").text_of("UploadId").unwrap().to_owned();
        uploads.push((algorithm, upload.clone(), upload_parts(&mut client, "parts", &upload, algorithm, &[body(10)])));
    }
    gateway.restart(|_| {});
    let mut client = gateway.client();
    for (algorithm, upload, parts) in &uploads {
        assert_eq!(told(&head(&mut client, algorithm.name())), one(*algorithm, &sum(*algorithm, b"hello"), "FULL_OBJECT"));
        listed(&mut client, "parts", upload, *algorithm, algorithm.default_type().name(), parts);
        let done = send(&mut client, &complete("parts", upload, parts, *algorithm)).expect(200).text();
        // And the answer to the same request again.
        assert_eq!(send(&mut client, &complete("parts", upload, parts, *algorithm)).expect(200).text(), done);
        assert!(done.contains(algorithm.element()), "{done}");
    }
}

#[test]
fn a_copy_gets_the_checksum_that_is_asked_for() {
    both(|client| {
        let source = body(300_000);
        let put = Request::on("PUT", "media", "source").header("x-amz-checksum-crc32", &sum(ChecksumAlgorithm::Crc32, &source));
        send(client, &put.body(source.clone())).expect(200);
        client.put(&acme(), "media", "small", b"small").expect(200);
        client.put(&acme(), "media", "empty", b"").expect(200);
        let upload = send(client, &create("parts", "CRC32").header("x-amz-checksum-type", "COMPOSITE")).expect(200);
        let upload = upload.xml("InitiateMultipartUploadResult").text_of("UploadId").unwrap().to_owned();
        let parts = upload_parts(client, "parts", &upload, ChecksumAlgorithm::Crc32, std::slice::from_ref(&source));
        send(client, &complete("parts", &upload, &parts, ChecksumAlgorithm::Crc32)).expect(200);
        for algorithm in ALL {
            for (from, bytes) in [("source", &source[..]), ("small", b"small"), ("empty", b""), ("parts", &source)] {
                let copy = Request::on("PUT", "media", "copy").header("x-amz-copy-source", &format!("/media/{from}"));
                let copy = copy.header("x-amz-checksum-algorithm", algorithm.name());
                let (done, value) = (send(client, &copy).expect(200).text(), sum(algorithm, bytes));
                let said = format!("<{0}>{value}</{0}><ChecksumType>FULL_OBJECT</ChecksumType>", algorithm.element());
                assert!(done.contains(&said), "{from} {said}: {done}");
                assert_eq!(told(&head(client, "copy")), one(algorithm, &value, "FULL_OBJECT"), "{from}");
                assert_eq!(client.get(&acme(), "media", "copy").expect(200).body, bytes);
            }
        }
        // What is not asked for stays as it was.
        let copy = Request::on("PUT", "media", "copy").header("x-amz-copy-source", "/media/source");
        assert!(send(client, &copy).expect(200).text().contains(&sum(ChecksumAlgorithm::Crc32, &source)));
    });
}

#[test]
fn a_copied_part_gets_the_checksum_of_its_upload() {
    both(|client| {
        client.put(&acme(), "media", "source", b"source").expect(200);
        let created = send(client, &create("parts", "XXHASH64")).expect(200);
        let announced = created.xml("InitiateMultipartUploadResult").text_of("UploadId").unwrap().to_owned();
        let silent = client.create_upload(&acme(), "media", "parts");
        let copy = |upload: &str| {
            let part = Request::on("PUT", "media", "parts").query("partNumber", "1").query("uploadId", upload);
            part.header("x-amz-copy-source", "/media/source").header("x-amz-copy-source-range", "bytes=1-3")
        };
        let ask = |upload: &str, algorithm: ChecksumAlgorithm| copy(upload).header("x-amz-checksum-algorithm", algorithm.name());
        let said = |algorithm: ChecksumAlgorithm| format!("<{0}>{1}</{0}>", algorithm.element(), sum(algorithm, b"our"));
        assert!(send(client, &copy(&announced)).expect(200).text().contains(&said(ChecksumAlgorithm::Xxhash64)));
        assert!(send(client, &ask(&silent, ChecksumAlgorithm::Sha512)).expect(200).text().contains(&said(ChecksumAlgorithm::Sha512)));
        send(client, &ask(&announced, ChecksumAlgorithm::Sha512)).refused(400, "InvalidRequest");
    });
}
