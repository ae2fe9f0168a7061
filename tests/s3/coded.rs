//! Documents of the gateway's own are compressed for clients that accept it; what clients stored is not touched.

use std::io::Read;

use crate::support::client::{Request, Sign};
use crate::support::gateway::{Gateway, acme, operator};

fn unpacked(body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(body).read_to_end(&mut plain).unwrap();
    plain
}

#[test]
fn a_listing_is_sent_in_less() {
    let gateway = Gateway::start();
    let mut s3 = gateway.client();
    s3.make_bucket(&operator(), "media");
    for n in 0..50 {
        s3.put(&acme(), "media", &format!("acme/models/{n}.glb"), &[b'x'; 3000]).expect(200);
    }
    for list in [Request::new("GET", "/media").query("list-type", "2"), Request::new("GET", "/media").query("versions", "")] {
        let plain = s3.send(&list, Sign::Header(&operator())).expect(200);
        assert_eq!(plain.header("content-encoding"), None);
        let coded = s3.send(&list.header("accept-encoding", "gzip, deflate"), Sign::Header(&operator())).expect(200);
        assert_eq!((coded.header("content-encoding"), coded.header("content-length")), (Some("gzip"), None));
        assert!(coded.body.len() * 5 < plain.body.len(), "{} of {}", coded.body.len(), plain.body.len());
        assert_eq!(unpacked(&coded.body), plain.body);
    }
    let get = Request::on("GET", "media", "acme/models/1.glb").header("accept-encoding", "gzip");
    let got = s3.send(&get, Sign::Header(&acme())).expect(200);
    assert_eq!((got.header("content-encoding"), &*got.body), (None, &[b'x'; 3000][..]));
}
