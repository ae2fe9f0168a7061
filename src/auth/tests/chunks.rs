//! aws-chunked bodies: AWS's two documented examples, and that nothing can be taken from, added to or changed in one.

use bytes::Bytes;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::{NOW, SECRET, ask, auth, parts};
use crate::auth::ChunkedForm;
use crate::auth::keys::{Secret, SigningKey};
use crate::auth::payload::Payload;
use crate::auth::streaming::ChunkSigner;
use crate::base::error::{ErrorKind, Result};

const SCOPE: &str = "20130524/us-east-1/s3/aws4_request";

fn form_of(request: http::request::Builder) -> ChunkedForm {
    match ask(&auth(), &parts(request)).unwrap().payload {
        Payload::Streaming(form) => form,
        other => panic!("{other:?}"),
    }
}

/// The seed requests of the documentation.
fn documented(hash: &str, signed_headers: &str, signature: &str, trailer: bool) -> http::request::Builder {
    let request = http::Request::put("/examplebucket/chunkObject.txt")
        .header("host", "s3.amazonaws.com")
        .header("x-amz-date", "20130524T000000Z")
        .header("x-amz-storage-class", "REDUCED_REDUNDANCY")
        .header("content-encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", "66560")
        .header("x-amz-content-sha256", hash)
        .header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/{SCOPE},SignedHeaders={signed_headers},Signature={signature}"),
        );
    if trailer { request.header("x-amz-trailer", "x-amz-checksum-crc32c") } else { request.header("content-length", "66824") }
}

/// Payload and trailers.
type Decoded = (Vec<u8>, Vec<(String, String)>);

fn decode(form: ChunkedForm, body: &[u8], decoded_length: u64, pieces: &[usize]) -> Result<Decoded> {
    let mut decoder = form.decoder(decoded_length);
    let mut payload = Vec::new();
    let mut rest = Bytes::copy_from_slice(body);
    let mut pieces = pieces.iter().cycle();
    while !rest.is_empty() {
        let n = pieces.next().copied().unwrap_or(usize::MAX).clamp(1, rest.len());
        let mut piece = rest.split_to(n);
        while let Some(slice) = decoder.push(&mut piece)? {
            payload.extend_from_slice(&slice);
        }
        assert!(piece.is_empty());
    }
    Ok((payload, decoder.finish()?))
}

fn documented_body(signatures: [&str; 3]) -> Vec<u8> {
    let a = vec![b'a'; 65536];
    let mut body = format!("10000;chunk-signature={}\r\n", signatures[0]).into_bytes();
    body.extend_from_slice(&a);
    body.extend_from_slice(format!("\r\n400;chunk-signature={}\r\n", signatures[1]).as_bytes());
    body.extend_from_slice(&a[..1024]);
    body.extend_from_slice(format!("\r\n0;chunk-signature={}\r\n", signatures[2]).as_bytes());
    body
}

#[test]
fn documented_upload() {
    let form = form_of(documented(
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class",
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        false,
    ));
    let mut body = documented_body([
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    ]);
    body.extend_from_slice(b"\r\n");
    let (payload, trailers) = decode(form, &body, 66560, &[1000]).unwrap();
    assert!(payload.len() == 66560 && payload.iter().all(|c| *c == b'a') && trailers.is_empty());
}

#[test]
fn documented_trailer() {
    let form = || {
        form_of(documented(
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer",
            "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
            true,
        ))
    };
    let body = documented_body([
        "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
        "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
        "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
    ]);
    let signature = "x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435";
    // As the SDKs write it, and as minio-go does.
    for end in [
        format!("x-amz-checksum-crc32c:sOO8/Q==\r\n{signature}\r\n\r\n"),
        format!("x-amz-checksum-crc32c:sOO8/Q==\n\r\n{signature}\r\n\r\n"),
    ] {
        let whole = [&body[..], end.as_bytes()].concat();
        let (payload, trailers) = decode(form(), &whole, 66560, &[]).unwrap();
        assert_eq!(payload.len(), 66560);
        assert_eq!(trailers, [("x-amz-checksum-crc32c".to_owned(), "sOO8/Q==".to_owned())]);
    }
    let forged = format!("x-amz-checksum-crc32c:AAAAAA==\r\n{signature}\r\n\r\n");
    assert_eq!(decode(form(), &[&body[..], forged.as_bytes()].concat(), 66560, &[]).unwrap_err().kind(), ErrorKind::SignatureDoesNotMatch);
    let unsigned = [&body[..], b"x-amz-checksum-crc32c:sOO8/Q==\r\n\r\n"].concat();
    assert_eq!(decode(form(), &unsigned, 66560, &[]).unwrap_err().kind(), ErrorKind::MalformedTrailer);
}

/// Signs a body by the definition, apart from the verifier: the strings are put together here.
fn signed_body(chunks: &[Vec<u8>], trailer: Option<(&str, &str)>) -> (ChunkedForm, Vec<u8>) {
    let key = SigningKey::derive(&Secret::new(SECRET), "20130524", "us-east-1");
    let date = NOW.amz_date();
    let seed = "5e".repeat(32);
    let hash = |b: &[u8]| hex::encode(Sha256::digest(b));
    let mut previous = seed.clone();
    let mut body = Vec::new();
    for chunk in chunks.iter().map(Vec::as_slice).filter(|c| !c.is_empty()).chain([&b""[..]]) {
        let string = format!("AWS4-HMAC-SHA256-PAYLOAD\n{date}\n{SCOPE}\n{previous}\n{}\n{}", hash(b""), hash(chunk));
        previous = hex::encode(key.sign(string.as_bytes()));
        body.extend_from_slice(format!("{:x};chunk-signature={previous}\r\n", chunk.len()).as_bytes());
        if !chunk.is_empty() {
            body.extend_from_slice(chunk);
            body.extend_from_slice(b"\r\n");
        }
    }
    if let Some((name, value)) = trailer {
        let string = format!("AWS4-HMAC-SHA256-TRAILER\n{date}\n{SCOPE}\n{previous}\n{}", hash(format!("{name}:{value}\n").as_bytes()));
        let signature = hex::encode(key.sign(string.as_bytes()));
        body.extend_from_slice(format!("{name}:{value}\r\nx-amz-trailer-signature:{signature}\r\n").as_bytes());
    }
    body.extend_from_slice(b"\r\n");
    let form = ChunkedForm { signer: Some(ChunkSigner::new(key, &date, SCOPE, &seed)), trailer: trailer.is_some() };
    (form, body)
}

#[test]
fn a_body_cut_after_a_whole_chunk_is_incomplete() {
    // The attack: 131,072 bytes announced, the connection ended cleanly after the first chunk.
    let (form, body) = signed_body(&[vec![1; 65536], vec![2; 65536]], None);
    let first = body.windows(2).position(|w| w == b"\r\n").unwrap() + 2 + 65536 + 2;
    assert_eq!(decode(form.clone(), &body[..first], 131_072, &[]).unwrap_err().kind(), ErrorKind::IncompleteBody);
    // The same with an announced length that fits the rest, and with the last chunk put right behind.
    assert_eq!(decode(form.clone(), &body[..first], 65536, &[]).unwrap_err().kind(), ErrorKind::IncompleteBody);
    let last = body.windows(4).rposition(|w| w == b"\r\n0;").unwrap() + 2;
    let spliced = [&body[..first], &body[last..]].concat();
    assert_eq!(decode(form, &spliced, 65536, &[]).unwrap_err().kind(), ErrorKind::SignatureDoesNotMatch);
}

#[test]
fn chunks_can_not_be_exchanged_or_repeated() {
    let (form, body) = signed_body(&[vec![1; 100], vec![2; 100]], None);
    let chunk = 2 + ";chunk-signature=".len() + 64 + 2 + 100 + 2;
    let (one, rest) = body.split_at(chunk);
    let (two, end) = rest.split_at(chunk);
    assert!(decode(form.clone(), &[one, two, end].concat(), 200, &[]).is_ok());
    for (wrong, length) in [([two, one, end].concat(), 200), ([one, one, end].concat(), 200), ([one, two, two, end].concat(), 300)] {
        assert_eq!(decode(form.clone(), &wrong, length, &[]).unwrap_err().kind(), ErrorKind::SignatureDoesNotMatch);
    }
}

fn bodies() -> impl Strategy<Value = (Vec<Vec<u8>>, bool)> {
    (proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..4), any::<bool>())
}

fn build(chunks: &[Vec<u8>], trailer: bool) -> (ChunkedForm, Vec<u8>, Vec<u8>) {
    let (form, body) = signed_body(chunks, trailer.then_some(("x-amz-checksum-crc32", "AAAAAA==")));
    (form, body, chunks.concat())
}

proptest! {
    #[test]
    fn splits_make_no_difference((chunks, trailer) in bodies(), pieces in proptest::collection::vec(1usize..50, 1..10)) {
        let (form, body, plain) = build(&chunks, trailer);
        let (payload, trailers) = decode(form, &body, plain.len() as u64, &pieces).unwrap();
        prop_assert_eq!(payload, plain);
        prop_assert_eq!(trailers.len(), usize::from(trailer));
    }

    #[test]
    fn a_changed_byte_is_found((chunks, trailer) in bodies(), at in any::<proptest::sample::Index>(), flip in 1u8..=255) {
        let (form, mut body, plain) = build(&chunks, trailer);
        let honest = decode(form.clone(), &body, plain.len() as u64, &[]).unwrap();
        let i = at.index(body.len());
        body[i] ^= flip;
        // Only another spelling of the very same body may pass, such as `A` for `a` in a size.
        if let Ok(read) = decode(form, &body, plain.len() as u64, &[]) {
            prop_assert_eq!(read, honest);
        }
    }

    #[test]
    fn a_cut_is_found((chunks, trailer) in bodies(), at in any::<proptest::sample::Index>()) {
        let (form, body, plain) = build(&chunks, trailer);
        let cut = at.index(body.len());
        prop_assert!(decode(form, &body[..cut], plain.len() as u64, &[]).is_err());
    }

    #[test]
    fn a_wrong_length_is_found((chunks, trailer) in bodies(), length in 0u64..200) {
        let (form, body, plain) = build(&chunks, trailer);
        prop_assert_eq!(decode(form, &body, length, &[]).is_ok(), length == plain.len() as u64);
    }

    #[test]
    fn appended_bytes_are_found((chunks, trailer) in bodies(), more in "[ -~]{1,20}") {
        let (form, mut body, plain) = build(&chunks, trailer);
        body.extend_from_slice(more.as_bytes());
        prop_assert!(decode(form.clone(), &body, plain.len() as u64, &[]).is_err());
        body.extend_from_slice(b"\r\n");
        prop_assert!(decode(form, &body, plain.len() as u64, &[]).is_err());
    }
}
