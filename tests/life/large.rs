//! Bodies that the kernel sends from their files: whole and in order however they are asked for and read, and never more than there is.

use crate::support::client::{Request, Sign};
use crate::support::gateway::{Gateway, acme};
use crate::support::raw::connect;
use tidegate::telemetry::metrics::Door;

const LARGE: usize = 5_000_003;

fn content(length: usize, salt: usize) -> Vec<u8> {
    (0..length).map(|i| (i.wrapping_mul(salt + 7) >> 4) as u8).collect()
}

#[test]
fn they_are_whole_beside_others_on_one_connection() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    client.make_bucket(&acme(), "media");
    let (large, small, edge) = (content(LARGE, 1), content(900, 2), content(32 * 1024, 3));
    for (name, body) in [("large", &large), ("small", &small), ("edge", &edge)] {
        client.put(&acme(), "media", name, body).expect(200);
    }
    // A body of several files.
    let upload = client.create_upload(&acme(), "media", "parts");
    let pieces: Vec<_> = (1..=3).map(|n| content(5 * 1024 * 1024 + n, n + 10)).collect();
    let parts: Vec<_> = (1u16..)
        .zip(&pieces)
        .map(|(n, piece)| (n, client.upload_part(&acme(), "media", "parts", &upload, n, piece).expect(200).etag()))
        .collect();
    client.complete(&acme(), "media", "parts", &upload, &parts).expect(200);
    let joined = pieces.concat();

    let address = gateway.address(Door::S3);
    let host = address.to_string();
    let ask = |name: &str, range: Option<&str>| {
        let request = Request::on("GET", "media", name);
        let request = if let Some(range) = range { request.header("range", range) } else { request };
        request.head(&host, Sign::Header(&acme())).0
    };
    let across = 5 * 1024 * 1024 - 10..10 * 1024 * 1024 + 50;
    let expected: [(String, &[u8]); 7] = [
        (ask("large", None), &large),
        (ask("small", None), &small),
        (ask("large", Some("bytes=4097-3000000")), &large[4097..=3_000_000]),
        (ask("parts", None), &joined),
        (ask("edge", None), &edge),
        (ask("parts", Some(&format!("bytes={}-{}", across.start, across.end - 1))), &joined[across]),
        (ask("large", Some("bytes=-40000")), &large[LARGE - 40_000..]),
    ];
    // All of it is asked for before anything is read: each socket is full in the middle of something.
    let mut clients: Vec<_> = (0..8).map(|_| connect(address)).collect();
    for client in &mut clients {
        client.send(expected.iter().map(|(request, _)| request.as_str()).collect::<String>());
    }
    for client in &mut clients {
        for (request, body) in &expected {
            let head = client.head();
            assert!(matches!(head.status, 200 | 206), "{request}: {head:?}");
            assert!(client.body(&head) == *body, "{request}");
        }
    }
}

#[test]
fn a_file_that_was_cut_breaks_off_its_answer_and_nothing_else() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    client.make_bucket(&acme(), "media");
    client.put(&acme(), "media", "cut", &content(LARGE, 1)).expect(200);
    client.put(&acme(), "media", "whole", &content(2_000_000, 2)).expect(200);
    client.get(&acme(), "media", "cut").expect(200);
    let blob = gateway.blobs("acme").into_iter().find(|blob| blob.metadata().unwrap().len() == LARGE as u64).unwrap();
    std::fs::File::options().write(true).open(blob).unwrap().set_len(LARGE as u64 / 2).unwrap();
    let address = gateway.address(Door::S3);
    for _ in 0..3 {
        let mut raw = connect(address);
        raw.send(Request::on("GET", "media", "cut").head(&address.to_string(), Sign::Header(&acme())).0);
        // The first stretch may be refused before the head is out.
        if let Ok(head) = raw.try_head()
            && head.status == 200
        {
            assert!(raw.try_body(&head).is_err(), "what is not there was sent");
        }
        assert!(client.get(&acme(), "media", "whole").expect(200).body == content(2_000_000, 2));
    }
}
