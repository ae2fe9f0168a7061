//! Requests that are small to send and were dear to answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::s3::attacks::gateway;
use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::gateway::acme;

const ALLOW: &str =
    r#"{"Effect":"Allow","Principal":"*","Action":["s3:GetObject","s3:DeleteObject"],"Resource":"arn:aws:s3:::acme-bucket/*"}"#;

fn put_policy(client: &mut Client, statements: &str) -> Answer {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    client.send(&Request::on("PUT", "acme-bucket", "").query("policy", "").body(text), Sign::Header(&acme()))
}

/// Denies what any of the patterns fits.
fn deny(patterns: &[String]) -> String {
    let listed: Vec<String> = patterns.iter().map(|p| format!(r#""arn:aws:s3:::acme-bucket/{p}""#)).collect();
    format!(r#"{{"Effect":"Deny","Principal":"*","Action":["s3:GetObject","s3:DeleteObject"],"Resource":[{}]}}"#, listed.join(","))
}

fn delete(keys: impl Iterator<Item = String>) -> Request {
    let keys: String = keys.map(|key| format!("<Object><Key>{key}</Key></Object>")).collect();
    Request::on("POST", "acme-bucket", "").query("delete", "").body(format!("<Delete>{keys}</Delete>")).content_md5()
}

#[test]
fn a_policy_whose_patterns_cost_too_much_is_refused_and_the_limit_named() {
    let (_gateway, mut client) = gateway();
    for (patterns, limit) in [
        (vec![format!("*{}b", "?".repeat(1000)); 10], "1024"),
        (vec![format!("*{}b*", "a".repeat(1000)); 10], "2048"),
        (vec!["*a*a*a*a*a*a*a*a*b".to_owned(); 200], "1024"),
    ] {
        let refused = put_policy(&mut client, &deny(&patterns));
        assert!(refused.text().contains(limit), "{}", refused.text());
        refused.refused(400, "MalformedPolicy");
    }
    let action = format!("s3:{}", "*?".repeat(1000));
    put_policy(&mut client, &ALLOW.replace("s3:DeleteObject", &action)).refused(400, "MalformedPolicy");
    put_policy(&mut client, &deny(&vec!["tenants/?/*".to_owned(); 300])).expect(204);
}

/// One anonymous batch under the dearest policy, of keys that are all refused: every other connection goes on, whichever worker has
/// it. The policy lets each key through all of its patterns before the last one denies it.
#[test]
fn a_long_batch_leaves_room_for_others() {
    let (gateway, mut client) = gateway();
    let mut patterns = vec!["*aab*".to_owned(); 500];
    patterns.push("a*".into());
    put_policy(&mut client, &format!("{ALLOW},{}", deny(&patterns))).expect(204);
    let batch = delete((0..1000).map(|n| format!("{}{n}", "a".repeat(1000))));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let others: Vec<_> = (0..8)
            .map(|_| {
                let (mut client, done) = (gateway.client(), &done);
                scope.spawn(move || {
                    let mut longest = Duration::ZERO;
                    while !done.load(Ordering::Relaxed) {
                        let asked = Instant::now();
                        client.send(&Request::new("GET", "/-/health"), Sign::No).expect(200);
                        longest = longest.max(asked.elapsed());
                    }
                    longest
                })
            })
            .collect();
        let began = Instant::now();
        let answer = client.send(&batch, Sign::No).expect(200);
        let took = began.elapsed();
        done.store(true, Ordering::Relaxed);
        assert_eq!(answer.text().matches("<Code>AccessDenied</Code>").count(), 1000);
        for other in others {
            let longest = other.join().unwrap();
            assert!(longest < took / 4, "a connection waited {longest:?} of the {took:?} that the batch took");
        }
    });
}
