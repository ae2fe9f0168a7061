//! What S3 answers to requests that are nearly right, on the embedded store and over another gateway: codes that clients tell apart.

use tidegate::base::timestamp::Timestamp;

use crate::s3::races::together;
use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::gateway::{Gateway, acme};

fn both(test: impl Fn(&Gateway, &mut Client)) {
    for gateway in [Gateway::start(), Gateway::start_over_another()] {
        let mut client = gateway.client();
        client.make_bucket(&acme(), "media");
        test(&gateway, &mut client);
    }
}

fn send(client: &mut Client, request: &Request) -> Answer {
    client.send(request, Sign::Header(&acme()))
}

#[test]
fn parts_that_an_object_does_not_have() {
    both(|_, client| {
        client.put(&acme(), "media", "whole", b"whole").expect(200);
        let upload = client.create_upload(&acme(), "media", "parts");
        let parts: Vec<(u16, String)> = [(2, vec![2; 5 << 20]), (7, vec![7; 10])]
            .map(|(number, body)| (number, client.upload_part(&acme(), "media", "parts", &upload, number, &body).expect(200).etag()))
            .into();
        client.complete(&acme(), "media", "parts", &upload, &parts).expect(200);
        let part = |method: &str, key: &str, number: &str| Request::on(method, "media", key).query("partNumber", number);
        for (key, last) in [("whole", 1), ("parts", 2)] {
            send(client, &part("GET", key, &last.to_string())).expect(206);
            let beyond = (last + 1).to_string();
            let refused = send(client, &part("GET", key, &beyond)).refused(416, "InvalidPartNumber").text();
            assert!(refused.contains(&format!("<ActualPartCount>{last}</ActualPartCount>")), "{refused}");
            assert!(refused.contains(&format!("<PartNumberRequested>{beyond}</PartNumberRequested>")), "{refused}");
            send(client, &part("HEAD", key, &beyond)).expect(416);
            for number in ["0", "10001", "-1", "x"] {
                send(client, &part("GET", key, number)).refused(400, "InvalidArgument");
            }
            send(client, &part("GET", key, "1").header("range", "bytes=0-1")).refused(400, "InvalidRequest");
            send(client, &part("HEAD", key, "1").header("range", "bytes=0-1")).expect(400);
        }
    });
}

#[test]
fn writes_that_must_not_find_a_version() {
    both(|_, client| {
        client.put(&acme(), "media", "other", b"other").expect(200);
        let upload = client.create_upload(&acme(), "media", "k");
        let part = client.upload_part(&acme(), "media", "k", &upload, 1, b"of parts").expect(200).etag();
        let complete = Request::on("POST", "media", "k").query("uploadId", &upload);
        let complete = complete.body(crate::support::client::complete_document(&[(1, part)]));
        let put = Request::on("PUT", "media", "k").body("put");
        let copy = Request::on("PUT", "media", "k").header("x-amz-copy-source", "/media/other");
        let long = Request::on("PUT", "media", "k").body(vec![7; 17 << 20]);
        let first = client.put(&acme(), "media", "k", b"first").expect(200).etag();
        let other = "\"00000000000000000000000000000001\"";
        for write in [&put, &copy, &complete, &long] {
            for tags in [format!("\"{first}\""), format!("{other}, \"{first}\""), format!("W/\"{first}\""), first.clone(), "*".to_owned()] {
                send(client, &write.clone().header("if-none-match", &tags)).refused(412, "PreconditionFailed");
            }
        }
        assert_eq!(client.get(&acme(), "media", "k").expect(200).body, b"first");
        for write in [&put, &copy, &complete, &long] {
            send(client, &write.clone().header("if-none-match", &format!("{other}, \"not-one-of-ours\""))).expect(200);
            client.put(&acme(), "media", "k", b"first").expect(200);
        }
        client.delete(&acme(), "media", "k").expect(204);
        send(client, &put.clone().header("if-none-match", &first)).expect(200);
        // Both conditions count.
        let second = client.get(&acme(), "media", "k").expect(200).etag();
        let held = |unwanted: &str| put.clone().header("if-match", &format!("\"{second}\"")).header("if-none-match", unwanted);
        send(client, &held(&second)).refused(412, "PreconditionFailed");
        send(client, &held(&first)).expect(200);
    });
}

#[test]
fn attributes_that_nobody_names() {
    both(|_, client| {
        client.put(&acme(), "media", "k", b"k").expect(200);
        let ask = Request::on("GET", "media", "k").query("attributes", "");
        send(client, &ask).refused(400, "InvalidRequest");
        send(client, &ask.clone().header("x-amz-object-attributes", "")).refused(400, "InvalidRequest");
        send(client, &ask.clone().header("x-amz-object-attributes", "Colour")).refused(400, "InvalidArgument");
        send(client, &ask.header("x-amz-object-attributes", "ObjectSize")).expect(200);
    });
}

#[test]
fn regions_that_there_are_not() {
    both(|_, client| {
        let create = |region: &str| {
            let document =
                format!("<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>");
            Request::new("PUT", "/placed").body(document)
        };
        for nowhere in ["nowhere", "eu-nowhere-1", "us-east-99"] {
            send(client, &create(nowhere)).refused(400, "InvalidLocationConstraint");
        }
        send(client, &Request::new("HEAD", "/placed")).expect(404);
        send(client, &create("eu-central-1")).expect(200);
        let asked = send(client, &Request::new("GET", "/placed").query("location", "")).expect(200).text();
        assert!(asked.contains("eu-central-1"), "{asked}");
    });
}

#[test]
fn uploads_of_one_key_are_listed_as_they_were_begun() {
    both(|_, client| {
        let mut begun = Vec::new();
        for _ in 0..6 {
            begun.push(client.create_upload(&acme(), "media", "key"));
            // In the next millisecond.
            let now = Timestamp::now();
            while Timestamp::now() == now {
                std::thread::yield_now();
            }
        }
        client.create_upload(&acme(), "media", "another");
        client.create_upload(&acme(), "media", "key too");
        for max in ["1", "2", "4", "1000"] {
            let (mut seen, mut markers) = (Vec::new(), None::<(String, String)>);
            loop {
                let mut list = Request::new("GET", "/media").query("uploads", "").query("max-uploads", max);
                if let Some((key, id)) = &markers {
                    list = list.query("key-marker", key).query("upload-id-marker", id);
                }
                let page = send(client, &list).expect(200).xml("ListMultipartUploadsResult");
                for upload in page.children.iter().filter(|c| c.name == "Upload" && c.text_of("Key") == Some("key")) {
                    seen.push(upload.text_of("UploadId").unwrap().to_owned());
                }
                if page.text_of("IsTruncated") != Some("true") {
                    break;
                }
                let next = |name: &str| page.text_of(name).unwrap().to_owned();
                markers = Some((next("NextKeyMarker"), next("NextUploadIdMarker")));
            }
            assert_eq!(seen, begun, "pages of {max}");
        }
    });
}

#[test]
fn a_completion_that_says_wrong_checksums() {
    both(|_, client| {
        let create = Request::on("POST", "media", "key").query("uploads", "").header("x-amz-checksum-algorithm", "CRC32");
        let upload = send(client, &create).expect(200).xml("InitiateMultipartUploadResult").text_of("UploadId").unwrap().to_owned();
        let etag = client.upload_part(&acme(), "media", "key", &upload, 1, b"hello").expect(200).etag();
        let complete = |sums: &str| {
            let part = format!("<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag>{sums}</Part>");
            let document = format!("<CompleteMultipartUpload>{part}</CompleteMultipartUpload>");
            Request::on("POST", "media", "key").query("uploadId", &upload).body(document)
        };
        let (right, wrong) = ("<ChecksumCRC32>NhCmhg==</ChecksumCRC32>", "<ChecksumCRC32>AAAAAQ==</ChecksumCRC32>");
        send(client, &complete(wrong)).refused(400, "InvalidPart");
        send(client, &complete("<ChecksumCRC32>bad</ChecksumCRC32>")).refused(400, "InvalidPart");
        send(client, &complete("<ChecksumSHA1>qvTGHdzF6KLavt4PO0gs2a6pQ00=</ChecksumSHA1>")).refused(400, "BadDigest");
        send(client, &complete(&format!("{right}<ChecksumSHA1>qvTGHdzF6KLavt4PO0gs2a6pQ00=</ChecksumSHA1>"))).refused(400, "InvalidPart");
        send(client, &complete(right).header("x-amz-checksum-type", "FULL_OBJECT")).refused(400, "InvalidRequest");
        send(client, &complete(right).header("x-amz-checksum-crc32", "AAAAAQ==")).refused(400, "BadDigest");
        send(client, &complete(right).header("x-amz-checksum-crc32", "x")).refused(400, "InvalidRequest");
        send(client, &complete(right)).expect(200);
    });
}

#[test]
fn fifty_change_the_acl_of_a_bucket_at_once() {
    both(|gateway, _| {
        let answers = together(gateway, 50, |n, client| {
            let acl = if n % 2 == 0 { "private" } else { "public-read" };
            let put = Request::new("PUT", "/media").query("acl", "").header("x-amz-acl", acl);
            send(client, &put).status
        });
        assert_eq!(answers, vec![200; 50]);
    });
}
