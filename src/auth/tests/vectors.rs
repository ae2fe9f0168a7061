//! AWS's own examples: of the S3 documentation (whole requests), and of the SigV4 test suite (for the service "service",
//! which differs from S3 only in the key).
//!
//! https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html and its neighbours;
//! the suite is Apache-2.0, as shipped with the aws-sigv4 crate.

use super::{NOW, SECRET, ask, auth, parts};
use crate::auth::canonical::{Request, Rewrite, string_to_sign};
use crate::auth::identity::{Identity, Via};
use crate::auth::keys::hmac_sha256;
use crate::auth::payload::Payload;

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const S3_HOST: &str = "examplebucket.s3.amazonaws.com";

fn authorization(signed_headers: &str, signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders={signed_headers},Signature={signature}"
    )
}

#[test]
fn s3_documentation_headers() {
    let auth = auth();
    let get = |uri: &str, hash: &str, extra: &[(&str, &str)], signed: &str, signature: &str| {
        let mut r = http::Request::get(uri)
            .header("host", S3_HOST)
            .header("x-amz-date", "20130524T000000Z")
            .header("x-amz-content-sha256", hash)
            .header("authorization", authorization(signed, signature));
        for (n, v) in extra {
            r = r.header(*n, *v);
        }
        ask(&auth, &parts(r)).unwrap()
    };
    let caller = get(
        "/test.txt",
        EMPTY,
        &[("range", "bytes=0-9")],
        "host;range;x-amz-content-sha256;x-amz-date",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    );
    assert!(matches!(caller.identity, Identity::Operator));
    assert!(matches!(caller.via, Via::Header { signed } if signed == NOW));
    assert!(matches!(caller.payload, Payload::Sha256(h) if h.hex() == EMPTY));
    get(
        "/?lifecycle",
        EMPTY,
        &[],
        "host;x-amz-content-sha256;x-amz-date",
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    );
    get(
        "/?max-keys=2&prefix=J",
        EMPTY,
        &[],
        "host;x-amz-content-sha256;x-amz-date",
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    );
}

#[test]
fn s3_documentation_put() {
    let hash = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    let request = http::Request::put("/test%24file.text")
        .header("host", S3_HOST)
        .header("date", "Fri, 24 May 2013 00:00:00 GMT")
        .header("x-amz-date", "20130524T000000Z")
        .header("x-amz-storage-class", "REDUCED_REDUNDANCY")
        .header("x-amz-content-sha256", hash)
        .header(
            "authorization",
            authorization(
                "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            ),
        );
    let caller = ask(&auth(), &parts(request)).unwrap();
    assert!(matches!(caller.payload, Payload::Sha256(h) if h.hex() == hash));
}

#[test]
fn s3_documentation_presigned() {
    let uri = "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
    let caller = ask(&auth(), &parts(http::Request::get(uri).header("host", S3_HOST))).unwrap();
    assert!(matches!(caller.via, Via::Query { expires, .. } if expires.secs() == NOW.secs() + 86400));
    assert!(matches!(caller.payload, Payload::Unsigned));
}

/// Name, method, path, query, headers beside Host and X-Amz-Date, signed headers, payload hash, signature.
type Vector<'a> = (&'a str, &'a str, &'a str, &'a str, &'a [(&'a str, &'a str)], &'a str, &'a str, &'a str);

#[test]
fn test_suite() {
    const D: &str = "host;x-amz-date";
    const UNRESERVED: &str = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let unreserved_path = format!("/{UNRESERVED}");
    let unreserved_query = format!("{UNRESERVED}={UNRESERVED}");
    let form_hash = "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e";
    let form_headers = [
        ("content-length", "13"),
        ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
        ("x-amz-content-sha256", form_hash),
    ];
    let form_signed = "content-length;content-type;host;x-amz-content-sha256;x-amz-date";
    let same_name = [("my-header1", "value2"), ("my-header1", "value2"), ("my-header1", "value1")];
    let order = [("my-header1", "value4"), ("my-header1", "value1"), ("my-header1", "value3"), ("my-header1", "value2")];
    let trim = [("my-header1", " value1"), ("my-header2", " \"a   b   c\"")];
    let h1 = "host;my-header1;x-amz-date";
    let h12 = "host;my-header1;my-header2;x-amz-date";
    #[rustfmt::skip]
    let vectors: [Vector<'_>; 15] = [
        ("get-header-key-duplicate", "GET", "/", "", &same_name, h1, EMPTY, "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"),
        ("get-header-value-order", "GET", "/", "", &order, h1, EMPTY, "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"),
        ("get-header-value-trim", "GET", "/", "", &trim, h12, EMPTY, "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"),
        ("get-relative-relative-unnormalized", "GET", "/example1/example2/../..", "", &[], D, EMPTY, "dc33e0856fd4baca4d7aa2146c38958283844764f38c74252a333df5e613003b"),
        ("get-slashes-unnormalized", "GET", "//example//", "", &[], D, EMPTY, "87cca117541a147f6df867677d98a7d80dff226d2bfca9e4ffa899665623c7e5"),
        ("get-slash-pointless-dot-unnormalized", "GET", "/./example", "", &[], D, EMPTY, "beb03f223f7deae4146464f06e29eebbee9c8afbe15c290cf07aa8b119e14cff"),
        ("get-space-unnormalized", "GET", "/example space/", "", &[], D, EMPTY, "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"),
        ("get-utf8", "GET", "/\u{1234}", "", &[], D, EMPTY, "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
        ("get-unreserved", "GET", &unreserved_path, "", &[], D, EMPTY, "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"),
        ("get-vanilla-empty-query-key", "GET", "/", "Param1=value1", &[], D, EMPTY, "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"),
        ("get-vanilla-query-order-encoded", "GET", "/", "Param-3=Value3&Param=Value2&%E1%88%B4=Value1", &[], D, EMPTY, "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"),
        ("get-vanilla-query-order-key-case", "GET", "/", "Param2=value2&Param1=value1", &[], D, EMPTY, "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
        ("get-vanilla-query-unreserved", "GET", "/", &unreserved_query, &[], D, EMPTY, "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"),
        ("post-header-value-case", "POST", "/", "", &[("my-header1", "VALUE1")], h1, EMPTY, "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"),
        ("post-x-www-form-urlencoded-parameters", "POST", "/", "", &form_headers, form_signed, form_hash, "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422"),
    ];
    let key = hmac_sha256(format!("AWS4{SECRET}").as_bytes(), b"20150830");
    let key = hmac_sha256(&hmac_sha256(&hmac_sha256(&key, b"us-east-1"), b"service"), b"aws4_request");
    for (name, method, path, query, headers, signed_headers, payload_hash, signature) in vectors {
        let mut request = http::Request::get("/").header("host", "example.amazonaws.com").header("x-amz-date", "20150830T123600Z");
        for (n, v) in headers {
            request = request.header(*n, *v);
        }
        let parts = parts(request);
        let canonical = Request { method, path, query: Some(query), headers: &parts.headers, signed_headers, payload_hash }
            .canonical(&Rewrite::default());
        let string = string_to_sign("20150830T123600Z", "20150830/us-east-1/service/aws4_request", &canonical);
        assert_eq!(hex::encode(hmac_sha256(&key, string.as_bytes())), signature, "{name}\n{}", String::from_utf8_lossy(&canonical));
    }
}
