//! The AWS SDK for Rust with its default settings over TLS, against the program itself: there it signs no body, and sends
//! its checksums as trailers.

use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Region};
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart};
use aws_smithy_http_client::Builder as HttpBuilder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};

use crate::support::binary::{ACCESS, Place, Running, SECRET};

struct Secure {
    place: Place,
    gateway: Running,
    authority: String,
}

fn start() -> Secure {
    let place = Place::new();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let trusted = authority.self_signed(&key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, key);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    std::fs::create_dir_all(place.path("certs")).unwrap();
    place.write("certs/default.crt", &certificate.pem());
    place.write("certs/default.key", &key.serialize_pem());
    let mut command = place.command(&["serve"]);
    command.env("TIDEGATE_S3_TLS_LISTEN", "127.0.0.1:0");
    let gateway = place.serve_by(command);
    Secure { place, gateway, authority: trusted }
}

fn client(secure: &Secure, secret: &str) -> Client {
    let trust = TrustStore::empty().with_pem_certificate(secure.authority.as_bytes());
    let tls = TlsContext::builder().with_trust_store(trust).build().unwrap();
    let config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(format!("https://{}", secure.gateway.s3_tls.unwrap()))
        .http_client(HttpBuilder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(tls).build_https())
        .credentials_provider(Credentials::new(ACCESS, secret, None, None, "test"));
    Client::from_conf(config.build())
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_checksums_and_parts() {
    let secure = start();
    let s3 = client(&secure, SECRET);
    s3.create_bucket().bucket("sdk").send().await.unwrap();
    use ChecksumAlgorithm::{Crc32, Crc32C, Crc64Nvme, Sha1, Sha256};
    for algorithm in [None, Some(Crc32), Some(Crc32C), Some(Crc64Nvme), Some(Sha1), Some(Sha256)] {
        for size in [0, 1, 4096, 3_000_000] {
            // From a file: a body that is not in memory is sent in chunks, with a trailer.
            std::fs::write(secure.place.path("body"), bytes(size)).unwrap();
            let body = ByteStream::from_path(secure.place.path("body")).await.unwrap();
            let put = s3.put_object().bucket("sdk").key("a+b c/ü").set_checksum_algorithm(algorithm.clone()).body(body);
            let put = put.send().await.unwrap();
            let got = s3.get_object().bucket("sdk").key("a+b c/ü").checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
            assert_eq!(got.e_tag(), put.e_tag());
            assert_eq!(got.body.collect().await.unwrap().to_vec(), bytes(size), "{algorithm:?} {size}");
        }
    }
    let created = s3.create_multipart_upload().bucket("sdk").key("parts").send().await.unwrap();
    let (id, pieces) = (created.upload_id().unwrap(), [bytes(5 * 1024 * 1024), bytes(777)]);
    let mut parts = Vec::new();
    for (number, piece) in (1..).zip(&pieces) {
        let part = s3.upload_part().bucket("sdk").key("parts").upload_id(id).part_number(number);
        let part = part.body(ByteStream::from(piece.clone())).send().await.unwrap();
        let completed = CompletedPart::builder().part_number(number).set_e_tag(part.e_tag().map(str::to_owned));
        parts.push(completed.set_checksum_crc32(part.checksum_crc32().map(str::to_owned)).build());
    }
    let plan = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    s3.complete_multipart_upload().bucket("sdk").key("parts").upload_id(id).multipart_upload(plan).send().await.unwrap();
    let range = s3.get_object().bucket("sdk").key("parts").range("bytes=5242879-5242881").send().await.unwrap();
    assert_eq!(range.body.collect().await.unwrap().to_vec(), pieces.concat()[5_242_879..5_242_882]);
    assert!(secure.gateway.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals() {
    let secure = start();
    let s3 = client(&secure, SECRET);
    s3.create_bucket().bucket("sdk").send().await.unwrap();
    let body = ByteStream::from(bytes(100_000));
    let put = s3.put_object().bucket("sdk").key("k").checksum_sha256("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").body(body);
    assert_eq!(put.send().await.unwrap_err().code(), Some("BadDigest"));
    assert!(s3.get_object().bucket("sdk").key("k").send().await.unwrap_err().into_service_error().is_no_such_key());
    let put = client(&secure, "wrong").put_object().bucket("sdk").key("k").body(ByteStream::from(bytes(100_000)));
    assert_eq!(put.send().await.unwrap_err().code(), Some("SignatureDoesNotMatch"));
    let once = || s3.put_object().bucket("sdk").key("k").if_none_match("*").body(ByteStream::from_static(b"once"));
    once().send().await.unwrap();
    assert_eq!(once().send().await.unwrap_err().code(), Some("PreconditionFailed"));
    s3.delete_bucket().bucket("sdk").send().await.expect_err("it is not empty");
}
