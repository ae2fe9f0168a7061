//! What stands upstream is plain, what is the gateway's own is hidden, and any node sees the same.

use tidegate::telemetry::metrics::Door;

use crate::support::client::{Request, Sign};
use crate::support::gateway::{Gateway, HOME, Setup, acme, bravo, operator, over};
use crate::upstream::early::{parts_upstream, wait_for};

#[test]
fn what_exists_is_readable_at_once() {
    let gateway = Gateway::start_over_another();
    let mut below = gateway.below().client();
    let put = Request::on("PUT", HOME, "old/a b+ü.txt").header("content-type", "text/x-old").header("x-amz-meta-colour", "red");
    below.send(&put.body(b"from before"), Sign::Header(&operator())).expect(200);
    let mut client = gateway.client();
    let got = client.get(&operator(), HOME, "old/a b+ü.txt").expect(200);
    assert_eq!(
        (&got.body[..], got.header("content-type"), got.header("x-amz-meta-colour")),
        (&b"from before"[..], Some("text/x-old"), Some("red"))
    );
    let ranged = Request::on("GET", HOME, "old/a b+ü.txt").header("range", "bytes=5-");
    assert_eq!(client.send(&ranged, Sign::Header(&operator())).expect(206).body, b"before");
    client.get(&acme(), HOME, "old/a b+ü.txt").expect(403);
    client.get(&operator(), HOME, "old/none").expect(404);
    let list = client.send(&Request::on("GET", HOME, "").query("list-type", "2"), Sign::Header(&operator())).expect(200).text();
    assert!(list.contains("<Key>old/a b+ü.txt</Key>") && !list.contains(".tidegate"), "{list}");
}

#[test]
fn what_is_written_is_plain_upstream() {
    let gateway = Gateway::start_over_another();
    let (mut client, mut below) = (gateway.client(), gateway.below().client());
    client.send(&Request::on("PUT", "media", ""), Sign::Header(&acme())).expect(200);
    let put = Request::on("PUT", "media", "k/x.png").header("x-amz-meta-name", "J\u{f6}rg").header("cache-control", "max-age=5");
    let put = put.header("content-disposition", "attachment; filename=\"\u{fc}.png\"").header("x-amz-acl", "public-read");
    let put = client.send(&put.body(b"\x89PNG\r\n\x1a\nbytes"), Sign::Header(&acme())).expect(200);
    let plain = below.get(&operator(), HOME, "media/k/x.png").expect(200);
    assert_eq!(plain.body, b"\x89PNG\r\n\x1a\nbytes");
    assert_eq!((plain.header("cache-control"), plain.header("content-type")), (Some("max-age=5"), Some("image/png")));
    assert_eq!(plain.header("etag"), put.header("etag"));
    assert_eq!(plain.header("x-amz-meta-name"), Some("=?UTF-8?B?SsO2cmc=?="));
    let got = client.get(&acme(), "media", "k/x.png").expect(200);
    assert_eq!(got.header("x-amz-meta-name"), Some("J\u{f6}rg"));
    assert_eq!(got.header("content-disposition"), Some("attachment; filename=\"\u{fc}.png\""));
    assert_eq!(got.header("x-amz-meta-tidegate"), None);
    // The ACL came along, in the sealed value.
    client.send(&Request::on("GET", "media", "k/x.png"), Sign::No).expect(200);
    // Somebody else's bytes under the same sealed value: no longer the gateway's object, and private.
    let sealed = plain.header("x-amz-meta-tidegate").unwrap().to_owned();
    let forged = Request::on("PUT", HOME, "media/k/x.png").header("x-amz-meta-tidegate", &sealed);
    below.send(&forged.body(b"other bytes"), Sign::Header(&operator())).expect(200);
    client.send(&Request::on("GET", "media", "k/x.png"), Sign::No).expect(403);
    assert_eq!(client.get(&acme(), "media", "k/x.png").expect(200).body, b"other bytes");
    // A folder's marker, as consoles make them, has no name in the bucket, and the listing goes on behind it.
    below.put(&operator(), HOME, "media/", b"").expect(200);
    assert_eq!(client.list(&acme(), "media", &[("max-keys", "1")]).keys, ["k/x.png"]);
    let refused = Request::on("PUT", "media", "y").header("x-amz-meta-tidegate", &sealed);
    client.send(&refused.body(b"y"), Sign::Header(&acme())).expect(400);
}

#[test]
fn the_gateways_own_state_is_out_of_reach() {
    let gateway = Gateway::start_over_another();
    let mut client = gateway.client();
    client.send(&Request::on("PUT", "media", ""), Sign::Header(&acme())).expect(200);
    client.put(&acme(), "media", "k", b"acme's").expect(200);
    let own = gateway.below().client().get(&operator(), HOME, ".tidegate/buckets/media").expect(200);
    assert!(!own.body.windows(4).any(|w| w == b"acme"), "sealed");
    for key in [".tidegate/buckets/media", ".tidegate/seal", "media/k"] {
        client.get(&operator(), HOME, key).expect(404);
        client.put(&operator(), HOME, key, b"forged").expect(400);
        client.send(&Request::on("DELETE", HOME, key), Sign::Header(&operator())).expect(204);
        let copy = Request::on("PUT", "media", "copy").header("x-amz-copy-source", &format!("{HOME}/{key}"));
        client.send(&copy, Sign::Header(&operator())).expect(404);
    }
    assert_eq!(client.get(&acme(), "media", "k").expect(200).body, b"acme's");
    for query in
        [vec![("list-type", "2")], vec![("list-type", "2"), ("delimiter", "/")], vec![("prefix", ".tidegate/")], vec![("prefix", "media/")]]
    {
        let mut list = Request::on("GET", HOME, "");
        for (name, value) in &query {
            list = list.query(name, value);
        }
        let text = client.send(&list, Sign::Header(&operator())).expect(200).text();
        assert!(!text.contains("<Contents>") && !text.contains("<CommonPrefixes>"), "{text}");
    }
}

#[test]
fn nodes_share_what_there_is() {
    let one = Gateway::start_over_another();
    let mut setup = Setup::new();
    setup.upstream = Some(over(one.below().address(Door::S3), HOME));
    let two = setup.start();
    let (mut first, mut second) = (one.client(), two.client());
    // Both have looked at what there is, and know of no such bucket.
    second.get(&acme(), "media", "k").expect(404);
    first.send(&Request::on("PUT", "media", ""), Sign::Header(&acme())).expect(200);
    second.put(&acme(), "media", "k", b"by two").expect(200);
    assert_eq!(first.get(&acme(), "media", "k").expect(200).body, b"by two");
    second.send(&Request::on("PUT", "media", ""), Sign::Header(&bravo())).expect(409);
    // Parts of one upload through both.
    let created = first.send(&Request::on("POST", "media", "big").query("uploads", ""), Sign::Header(&acme())).expect(200).text();
    let id = created.split("<UploadId>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let mut etags = Vec::new();
    for (client, number, size) in [(&mut second, "1", 5 << 20), (&mut first, "2", 1000)] {
        let body = vec![number.as_bytes()[0]; size];
        let part = Request::on("PUT", "media", "big").query("partNumber", number).query("uploadId", &id).body(body.clone());
        etags.push(client.send(&part, Sign::Header(&acme())).expect(200).header("etag").unwrap().to_owned());
    }
    let list: String =
        etags.iter().enumerate().map(|(i, e)| format!("<Part><PartNumber>{}</PartNumber><ETag>{e}</ETag></Part>", i + 1)).collect();
    let document = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
    let complete = || Request::on("POST", "media", "big").query("uploadId", &id).body(document.as_bytes());
    second.send(&complete(), Sign::Header(&acme())).expect(200);
    // A client that did not hear asks again, at the other node.
    let again = first.send(&complete(), Sign::Header(&acme())).expect(200).text();
    assert!(again.contains("<ETag>"), "{again}");
    let big = first.get(&acme(), "media", "big").expect(200);
    assert_eq!(big.body, [vec![b'1'; 5 << 20], vec![b'2'; 1000]].concat());
    let part = Request::on("GET", "media", "big").query("partNumber", "2");
    assert_eq!(second.send(&part, Sign::Header(&acme())).expect(206).body, vec![b'2'; 1000]);
}

#[test]
fn a_folder_with_somebodys_objects_is_no_new_bucket() {
    let gateway = Gateway::start_over_another();
    let (mut client, mut below) = (gateway.client(), gateway.below().client());
    below.put(&operator(), HOME, "taken/k", b"before").expect(200);
    client.send(&Request::on("PUT", "taken", ""), Sign::Header(&acme())).expect(409);
    client.send(&Request::on("PUT", HOME, ""), Sign::Header(&acme())).expect(409);
    // Whoever may see it may make a bucket of it.
    client.send(&Request::on("PUT", "taken", ""), Sign::Header(&operator())).expect(200);
    assert_eq!(client.get(&operator(), "taken", "k").expect(200).body, b"before");
    client.send(&Request::on("DELETE", "taken", ""), Sign::Header(&operator())).expect(409);
    client.send(&Request::on("DELETE", "taken", "k"), Sign::Header(&operator())).expect(204);
    client.send(&Request::on("DELETE", "taken", ""), Sign::Header(&operator())).expect(204);
    client.send(&Request::on("DELETE", HOME, ""), Sign::Header(&operator())).expect(405);
}

#[test]
fn large_bodies_go_up_in_parts() {
    let mut setup = Setup::new();
    setup.store.inline_limit = 64 * 1024;
    let gateway = setup.start_over(Gateway::start());
    let mut client = gateway.client();
    client.send(&Request::on("PUT", "media", ""), Sign::Header(&acme())).expect(200);
    let body: Vec<u8> = (0..40_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let put = client.put(&acme(), "media", "large", &body).expect(200);
    let etag = put.header("etag").unwrap().to_owned();
    assert!(etag.ends_with("-3\""), "{etag}");
    let head =
        client.send(&Request::on("HEAD", "media", "large").header("x-amz-checksum-mode", "ENABLED"), Sign::Header(&acme())).expect(200);
    assert_eq!(head.header("etag"), Some(etag.as_str()));
    assert_eq!(head.header("x-amz-checksum-crc64nvme"), put.header("x-amz-checksum-crc64nvme"));
    assert!(client.get(&acme(), "media", "large").expect(200).body == body);
    // A condition that fails leaves nothing behind.
    let refused = Request::on("PUT", "media", "large").header("if-none-match", "*").body(body.clone());
    client.send(&refused, Sign::Header(&acme())).expect(412);
    wait_for("the upload is aborted", || parts_upstream(gateway.below()).is_none());
}
