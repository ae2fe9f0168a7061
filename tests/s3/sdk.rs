//! The AWS SDK for Rust with its default settings, over plain HTTP.

use std::future::Future;

use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Region};
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::{ByteStream, DateTime, DateTimeFormat};
use aws_sdk_s3::types::{
    BucketVersioningStatus, ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier,
    ObjectLockRetention, ObjectLockRetentionMode,
};
use tidegate::telemetry::metrics::Door;

use crate::support::client::Sign;
use crate::support::gateway::{Gateway, acme};
use crate::support::signer::Key;

fn client(gateway: &Gateway, key: &Key) -> Client {
    let credentials = Credentials::new(&key.access, &key.secret, None, None, "test");
    let config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(format!("http://{}", gateway.address(Door::S3)))
        .credentials_provider(credentials);
    Client::from_conf(config.build())
}

/// Over the embedded store, and over another gateway.
fn run(test: impl AsyncFn(Gateway, Client)) {
    for gateway in [Gateway::start(), Gateway::start_over_another()] {
        let client = client(&gateway, &acme());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            client.create_bucket().bucket("sdk").send().await.unwrap();
            test(gateway, client).await;
        });
    }
}

async fn read(body: impl Future<Output = Result<aws_sdk_s3::operation::get_object::GetObjectOutput, impl std::fmt::Debug>>) -> Vec<u8> {
    body.await.unwrap().body.collect().await.unwrap().to_vec()
}

#[test]
fn objects() {
    run(async |_gateway, s3| {
        for (key, size) in [("small", 10), ("a b/ü+%&?#", 100_000), ("empty", 0), ("large", 3_000_000)] {
            let body: Vec<u8> = (0..size).map(|i: usize| (i % 251) as u8).collect();
            let put = s3.put_object().bucket("sdk").key(key).metadata("colour", "blue").content_type("image/png");
            let put = put.body(ByteStream::from(body.clone())).send().await.unwrap();
            assert!(put.checksum_crc32().is_some() || put.checksum_crc64_nvme().is_some(), "the SDK's default checksum comes back");
            let got = s3.get_object().bucket("sdk").key(key).checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
            assert_eq!(got.e_tag(), put.e_tag());
            assert_eq!(got.content_type(), Some("image/png"));
            assert_eq!(got.metadata().unwrap()["colour"], "blue");
            assert_eq!(got.body.collect().await.unwrap().to_vec(), body, "{key}");
            if size > 100 {
                assert_eq!(read(s3.get_object().bucket("sdk").key(key).range("bytes=7-99").send()).await, body[7..100]);
            }
            let head = s3.head_object().bucket("sdk").key(key).send().await.unwrap();
            assert_eq!(head.content_length(), Some(size as i64));
        }
        let missing = s3.get_object().bucket("sdk").key("missing").send().await.unwrap_err().into_service_error();
        assert!(missing.is_no_such_key());
        assert!(s3.head_object().bucket("sdk").key("missing").send().await.unwrap_err().into_service_error().is_not_found());
        let exists = s3.put_object().bucket("sdk").key("small").if_none_match("*").send().await.unwrap_err();
        assert_eq!(exists.into_service_error().code(), Some("PreconditionFailed"));
        s3.delete_object().bucket("sdk").key("small").send().await.unwrap();
        let keys = ["empty", "large", "never"].map(|k| ObjectIdentifier::builder().key(k).build().unwrap());
        let delete = Delete::builder().set_objects(Some(keys.to_vec())).build().unwrap();
        let deleted = s3.delete_objects().bucket("sdk").delete(delete).send().await.unwrap();
        assert_eq!((deleted.deleted().len(), deleted.errors().len()), (3, 0));
        let left = s3.list_objects_v2().bucket("sdk").send().await.unwrap();
        assert_eq!(left.contents().iter().filter_map(|o| o.key()).collect::<Vec<_>>(), ["a b/ü+%&?#"]);
    });
}

#[test]
fn every_checksum() {
    run(async |_gateway, s3| {
        let algorithms = [
            ChecksumAlgorithm::Crc32,
            ChecksumAlgorithm::Crc32C,
            ChecksumAlgorithm::Crc64Nvme,
            ChecksumAlgorithm::Sha1,
            ChecksumAlgorithm::Sha256,
        ];
        for algorithm in algorithms {
            let key = algorithm.as_str();
            let put = s3.put_object().bucket("sdk").key(key).checksum_algorithm(algorithm.clone());
            put.body(ByteStream::from(vec![5; 100_000])).send().await.unwrap();
            // The SDK checks what comes back itself.
            let got = s3.get_object().bucket("sdk").key(key).checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
            let sums =
                [got.checksum_crc32(), got.checksum_crc32_c(), got.checksum_crc64_nvme(), got.checksum_sha1(), got.checksum_sha256()];
            assert_eq!(sums.iter().flatten().count(), 1, "{key}: {sums:?}");
            assert_eq!(got.body.collect().await.unwrap().to_vec(), vec![5; 100_000]);
        }
        let wrong = s3.put_object().bucket("sdk").key("wrong").checksum_sha256("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        let wrong = wrong.body(ByteStream::from_static(b"x")).send().await.unwrap_err();
        assert_eq!(wrong.into_service_error().code(), Some("BadDigest"));
    });
}

#[test]
fn listings_and_copies() {
    run(async |_gateway, s3| {
        for i in 0..25 {
            s3.put_object().bucket("sdk").key(format!("dir{}/k{i:02}", i % 3)).body(ByteStream::from_static(b"x")).send().await.unwrap();
        }
        let mut pages = s3.list_objects_v2().bucket("sdk").max_keys(7).into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            keys.extend(page.unwrap().contents().iter().map(|o| o.key().unwrap().to_owned()));
        }
        assert_eq!(keys.len(), 25);
        assert!(keys.is_sorted());
        let top = s3.list_objects_v2().bucket("sdk").delimiter("/").send().await.unwrap();
        assert_eq!(top.common_prefixes().iter().filter_map(|p| p.prefix()).collect::<Vec<_>>(), ["dir0/", "dir1/", "dir2/"]);
        s3.copy_object().bucket("sdk").key("copy").copy_source("sdk/dir1/k01").send().await.unwrap();
        assert_eq!(read(s3.get_object().bucket("sdk").key("copy").send()).await, b"x");
        let buckets = s3.list_buckets().send().await.unwrap();
        assert_eq!(buckets.buckets().iter().filter_map(|b| b.name()).collect::<Vec<_>>(), ["sdk"]);
        s3.head_bucket().bucket("sdk").send().await.unwrap();
        assert!(s3.head_bucket().bucket("nowhere").send().await.unwrap_err().into_service_error().is_not_found());
    });
}

#[test]
fn multipart() {
    run(async |_gateway, s3| {
        let pieces: [Vec<u8>; 2] = [vec![1; 5 * 1024 * 1024], vec![2; 12_345]];
        let created = s3.create_multipart_upload().bucket("sdk").key("parts").send().await.unwrap();
        let id = created.upload_id().unwrap();
        let mut parts = Vec::new();
        for (number, piece) in (1..).zip(&pieces) {
            let part = s3.upload_part().bucket("sdk").key("parts").upload_id(id).part_number(number);
            let part = part.body(ByteStream::from(piece.clone())).send().await.unwrap();
            let completed = CompletedPart::builder().part_number(number).set_e_tag(part.e_tag().map(str::to_owned));
            parts.push(completed.set_checksum_crc32(part.checksum_crc32().map(str::to_owned)).build());
        }
        let listed = s3.list_parts().bucket("sdk").key("parts").upload_id(id).send().await.unwrap();
        assert_eq!(listed.parts().len(), 2);
        let complete = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = s3.complete_multipart_upload().bucket("sdk").key("parts").upload_id(id).multipart_upload(complete);
        let done = complete.clone().send().await.unwrap();
        assert!(done.e_tag().unwrap().ends_with("-2\""));
        assert_eq!(complete.send().await.unwrap().e_tag(), done.e_tag(), "once more, as after a lost answer");
        let got = s3.get_object().bucket("sdk").key("parts").checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
        assert_eq!(got.body.collect().await.unwrap().to_vec(), pieces.concat());
        assert_eq!(read(s3.get_object().bucket("sdk").key("parts").part_number(2).send()).await, pieces[1]);
        let other = s3.create_multipart_upload().bucket("sdk").key("other").send().await.unwrap();
        let copied = s3.upload_part_copy().bucket("sdk").key("other").upload_id(other.upload_id().unwrap()).part_number(1);
        let copied = copied.copy_source("sdk/parts").copy_source_range("bytes=5242870-5242889").send().await.unwrap();
        assert!(copied.copy_part_result().unwrap().e_tag().is_some());
        s3.abort_multipart_upload().bucket("sdk").key("other").upload_id(other.upload_id().unwrap()).send().await.unwrap();
        let uploads = s3.list_multipart_uploads().bucket("sdk").send().await.unwrap();
        assert!(uploads.uploads().is_empty());
    });
}

#[test]
fn presigned() {
    run(async |gateway, s3| {
        let minute = PresigningConfig::expires_in(std::time::Duration::from_secs(60)).unwrap();
        let mut http = gateway.client();
        let mut ask = |request: &aws_sdk_s3::presigning::PresignedRequest, body: &[u8]| {
            let target = request.uri().split_once("://").unwrap().1.split_once('/').unwrap().1;
            let mut head = format!("{} /{target} HTTP/1.1\r\nhost: {}\r\n", request.method(), http.host);
            for (name, value) in request.headers() {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            if !request.headers().any(|(n, _)| n.eq_ignore_ascii_case("content-length")) {
                head.push_str(&format!("content-length: {}\r\n", body.len()));
            }
            http.send_as_is(request.method(), &[format!("{head}\r\n").as_bytes(), body].concat())
        };
        let put = s3.put_object().bucket("sdk").key("a b+c").presigned(minute.clone()).await.unwrap();
        ask(&put, b"presigned body").expect(200);
        let get = s3.get_object().bucket("sdk").key("a b+c").response_content_type("text/x").presigned(minute.clone()).await.unwrap();
        let got = ask(&get, b"").expect(200);
        assert_eq!((&got.body[..], got.header("content-type")), (&b"presigned body"[..], Some("text/x")));
        let delete = s3.delete_object().bucket("sdk").key("a b+c").presigned(minute).await.unwrap();
        ask(&delete, b"").expect(204);
        let mut plain = gateway.client();
        plain.send(&crate::support::client::Request::on("GET", "sdk", "a b+c"), Sign::Header(&acme())).expect(404);
    });
}

#[test]
fn versions_and_locks() {
    let gateway = Gateway::start();
    let s3 = client(&gateway, &acme());
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        s3.create_bucket().bucket("kept").object_lock_enabled_for_bucket(true).send().await.unwrap();
        let state = s3.get_bucket_versioning().bucket("kept").send().await.unwrap();
        assert_eq!(state.status(), Some(&BucketVersioningStatus::Enabled));
        let mut ids = Vec::new();
        for body in ["one", "two"] {
            let put = s3.put_object().bucket("kept").key("k").body(ByteStream::from_static(body.as_bytes())).send().await.unwrap();
            ids.push(put.version_id().unwrap().to_owned());
        }
        assert_eq!(read(s3.get_object().bucket("kept").key("k").version_id(&ids[0]).send()).await, b"one");
        let deleted = s3.delete_object().bucket("kept").key("k").send().await.unwrap();
        assert_eq!(deleted.delete_marker(), Some(true));
        let listed = s3.list_object_versions().bucket("kept").send().await.unwrap();
        assert_eq!(listed.versions().iter().filter_map(|v| v.version_id()).collect::<Vec<_>>(), [&*ids[1], &*ids[0]]);
        assert_eq!(
            listed.delete_markers().iter().map(|m| (m.version_id(), m.is_latest())).collect::<Vec<_>>(),
            [(deleted.version_id(), Some(true))]
        );
        let until = DateTime::from_str("2099-01-01T00:00:00Z", DateTimeFormat::DateTime).unwrap();
        let retention = ObjectLockRetention::builder().mode(ObjectLockRetentionMode::Governance).retain_until_date(until).build();
        let put = s3.put_object_retention().bucket("kept").key("k").version_id(&ids[0]).retention(retention.clone());
        put.send().await.unwrap();
        let got = s3.get_object_retention().bucket("kept").key("k").version_id(&ids[0]).send().await.unwrap();
        assert_eq!(got.retention(), Some(&retention));
        let refused = s3.delete_object().bucket("kept").key("k").version_id(&ids[0]).send().await.unwrap_err();
        assert_eq!(refused.into_service_error().code(), Some("AccessDenied"));
        let of = |id: &str| ObjectIdentifier::builder().key("k").version_id(id).build().unwrap();
        let all = Delete::builder().objects(of(&ids[0])).objects(of(&ids[1])).objects(of(deleted.version_id().unwrap())).build().unwrap();
        let gone = s3.delete_objects().bucket("kept").delete(all).bypass_governance_retention(true).send().await.unwrap();
        assert_eq!((gone.deleted().len(), gone.errors().len()), (3, 0));
        s3.delete_bucket().bucket("kept").send().await.unwrap();
    });
}
