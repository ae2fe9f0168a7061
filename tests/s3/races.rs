//! Writers that meet on one key or one content: what was promised to each holds for all together.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::gateway::{Gateway, acme};

pub const WRITERS: usize = 8;

/// Runs `each` on as many threads, all let go at once, each with a connection of its own.
pub fn together<T: Send>(gateway: &Gateway, writers: usize, each: impl Fn(usize, &mut Client) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(writers);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..writers)
            .map(|n| {
                let (barrier, each, gateway) = (&barrier, &each, &gateway);
                scope.spawn(move || {
                    let mut client = gateway.client();
                    barrier.wait();
                    each(n, &mut client)
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

/// Bodies that are rows of the journal, and bodies that are files.
pub fn body(n: usize, size: usize) -> Vec<u8> {
    let mut body = format!("writer {n};").into_bytes();
    body.resize(size, n as u8);
    body
}

#[test]
fn one_of_many_creators_wins() {
    let gateway = Gateway::start();
    gateway.client().make_bucket(&acme(), "races");
    for round in 0..12 {
        let (key, size) = (format!("key-{round}"), if round % 2 == 0 { 100 } else { 100_000 });
        let answers = together(&gateway, WRITERS, |n, client| {
            // Alternating ways to create one key.
            match n % 2 {
                0 => {
                    client.send(&Request::on("PUT", "races", &key).header("if-none-match", "*").body(body(n, size)), Sign::Header(&acme()))
                }
                _ => {
                    let upload = client.create_upload(&acme(), "races", &key);
                    let etag = client.upload_part(&acme(), "races", &key, &upload, 1, &body(n, size)).expect(200).etag();
                    let complete = Request::on("POST", "races", &key).query("uploadId", &upload).header("if-none-match", "*");
                    client.send(&complete.body(crate::support::client::complete_document(&[(1, etag)])), Sign::Header(&acme()))
                }
            }
        });
        let winners: Vec<usize> = (0..WRITERS).filter(|n| answers[*n].status == 200).collect();
        assert_eq!(winners.len(), 1, "{:?}", answers.iter().map(|a| (a.status, a.code())).collect::<Vec<_>>());
        let lost = |a: &Answer| matches!((a.status, &*a.code()), (412, "PreconditionFailed") | (409, "ConditionalRequestConflict"));
        assert!(answers.iter().filter(|a| a.status != 200).all(lost));
        assert_eq!(gateway.client().get(&acme(), "races", &key).expect(200).body, body(winners[0], size));
    }
}

#[test]
fn no_update_is_lost_in_a_chain_of_if_match() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    client.make_bucket(&acme(), "races");
    client.put(&acme(), "races", "counter", b"0").expect(200);
    const EACH: usize = 12;
    let retries = AtomicUsize::new(0);
    together(&gateway, 4, |_, client| {
        for _ in 0..EACH {
            loop {
                let now = client.get(&acme(), "races", "counter").expect(200);
                let next = now.text().parse::<usize>().unwrap() + 1;
                let put = Request::on("PUT", "races", "counter").header("if-match", &format!("\"{}\"", now.etag()));
                let answer = client.send(&put.body(next.to_string()), Sign::Header(&acme()));
                match answer.status {
                    200 => break,
                    412 => retries.fetch_add(1, Ordering::Relaxed),
                    _ => panic!("{}", answer.text()),
                };
            }
        }
    });
    assert_eq!(client.get(&acme(), "races", "counter").expect(200).text(), (4 * EACH).to_string());
    println!("{} updates came too late and were told so", retries.into_inner());
}

#[test]
fn one_of_many_conditional_deletes_and_writes_wins() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    client.make_bucket(&acme(), "races");
    for round in 0..10 {
        let etag = client.put(&acme(), "races", "key", format!("round {round}").as_bytes()).expect(200).etag();
        let quoted = format!("\"{etag}\"");
        let answers = together(&gateway, WRITERS, |n, client| {
            let copy = || Request::on("PUT", "races", "key").header("x-amz-copy-source", "/races/other").header("if-match", &quoted);
            let request = match n % 2 {
                0 => Request::on("PUT", "races", "key").header("if-match", &quoted).body(body(n, 50)),
                _ if n == 1 => Request::on("DELETE", "races", "key").header("if-match", &quoted),
                _ => copy(),
            };
            client.send(&request, Sign::Header(&acme())).status
        });
        if round == 0 {
            client.put(&acme(), "races", "other", b"other").expect(200);
        }
        // A delete that comes last finds nothing to do only if another deleted: here it alone deletes.
        let won = answers.iter().filter(|s| matches!(s, 200 | 204)).count();
        assert_eq!(won, 1, "round {round}: {answers:?}");
    }
}

#[test]
fn equal_bodies_end_as_one_file() {
    let gateway = Gateway::start();
    gateway.client().make_bucket(&acme(), "races");
    for round in 0..4 {
        let body = body(round, 300_000);
        let answers = together(&gateway, WRITERS, |n, client| {
            let answer = client.put(&acme(), "races", &format!("r{round}-{n}"), &body).expect(200);
            answer.header("x-tidegate-dedup").unwrap().to_owned()
        });
        let misses = answers.iter().filter(|d| *d == "miss").count();
        assert_eq!(misses, 1, "exactly one is the first: {answers:?}");
        wait_for_files(&gateway, round + 1);
    }
    let mut client = gateway.client();
    // Delete all names but one: it keeps its content. Then the last: the content goes.
    for round in 0..4 {
        for n in 1..WRITERS {
            client.delete(&acme(), "races", &format!("r{round}-{n}")).expect(204);
        }
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    for round in 0..4 {
        assert_eq!(client.get(&acme(), "races", &format!("r{round}-0")).expect(200).body, body(round, 300_000));
    }
    wait_for_files(&gateway, 4);
}

/// Files that lost a race are removed a moment later.
fn wait_for_files(gateway: &Gateway, expected: usize) {
    for _ in 0..500 {
        if gateway.blobs("acme").len() == expected {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("expected {expected} files: {:#?}", gateway.blobs("acme"));
}

#[test]
fn deleting_and_writing_the_same_content_loses_none_of_it() {
    let gateway = Gateway::start();
    gateway.client().make_bucket(&acme(), "races");
    let content = body(1, 150_000);
    // Each owns a key, and writes and deletes the same content under it: the others must never notice.
    together(&gateway, 4, |n, client| {
        let key = format!("key-{n}");
        for _ in 0..25 {
            client.put(&acme(), "races", &key, &content).expect(200);
            assert_eq!(client.get(&acme(), "races", &key).expect(200).body, content);
            client.delete(&acme(), "races", &key).expect(204);
        }
        client.put(&acme(), "races", &key, &content).expect(200);
    });
    let mut client = gateway.client();
    for n in 0..4 {
        assert_eq!(client.get(&acme(), "races", &format!("key-{n}")).expect(200).body, content);
    }
}

#[test]
fn readers_see_one_version_whole() {
    let gateway = Gateway::start();
    gateway.client().make_bucket(&acme(), "races");
    gateway.client().put(&acme(), "races", "key", &vec![0; 400_000]).expect(200);
    let writing = AtomicUsize::new(2);
    together(&gateway, 5, |n, client| {
        if n < 2 {
            for i in 0..40 {
                let value = (n * 40 + i) as u8;
                client.put(&acme(), "races", "key", &vec![value; 300_000 + usize::from(value) * 1000]).expect(200);
            }
            writing.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        while writing.load(Ordering::Relaxed) > 0 {
            let answer = client.get(&acme(), "races", "key").expect(200);
            let value = answer.body[0];
            assert!(answer.body.iter().all(|b| *b == value), "a mix of versions");
            assert!(answer.body.len() == 400_000 || answer.body.len() == 300_000 + usize::from(value) * 1000);
        }
    });
}

/// Its hash is known a moment after the upload was completed, and then it is content like any other.
#[test]
fn a_multipart_upload_is_found_again_as_a_whole() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    client.make_bucket(&acme(), "races");
    // A new content for each try: one that came too early has stored it.
    let found = (1..=20).any(|try_| {
        let content = body(try_, 200_000);
        let upload = client.create_upload(&acme(), "races", "whole");
        let etag = client.upload_part(&acme(), "races", "whole", &upload, 1, &content).expect(200).etag();
        client.complete(&acme(), "races", "whole", &upload, &[(1, etag)]).expect(200);
        std::thread::sleep(std::time::Duration::from_millis(100 * try_ as u64));
        client.put(&acme(), "races", "single", &content).expect(200).header("x-tidegate-dedup") == Some("hit")
    });
    assert!(found);
}
