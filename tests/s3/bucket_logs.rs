//! Buckets whose requests are logged to a bucket: who may set it, and what the policy of the target opens.

use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::gateway::{Gateway, acme, bravo};

fn logging(target: &str, rest: &str) -> String {
    format!(
        "<BucketLoggingStatus><LoggingEnabled><TargetBucket>{target}</TargetBucket><TargetPrefix>log/</TargetPrefix>{rest}\
         </LoggingEnabled></BucketLoggingStatus>"
    )
}

/// Lets the logs of `source` into `target`.
fn allow(client: &mut Client, target: &str, source: &str) {
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"Service":"logging.s3.amazonaws.com"}},
            "Action":"s3:PutObject","Resource":"arn:aws:s3:::{target}/log/*",
            "Condition":{{"ArnLike":{{"aws:SourceArn":"arn:aws:s3:::{source}"}},"StringEquals":{{"aws:SourceAccount":"acme"}}}}}}]}}"#
    );
    client.send(&Request::new("PUT", &format!("/{target}")).query("policy", "").body(policy), Sign::Header(&acme())).expect(204);
}

fn put(client: &mut Client, bucket: &str, body: String) -> Answer {
    client.send(&Request::new("PUT", &format!("/{bucket}")).query("logging", "").body(body), Sign::Header(&acme()))
}

fn read(client: &mut Client) -> String {
    client.send(&Request::new("GET", "/media").query("logging", ""), Sign::Header(&acme())).expect(200).text()
}

#[test]
fn a_target_must_let_logs_in() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    for bucket in ["media", "logs"] {
        client.make_bucket(&acme(), bucket);
    }
    client.make_bucket(&bravo(), "bravos");
    // Nobody learns which of others' buckets there are.
    for target in ["logs", "bravos", "none"] {
        put(&mut client, "media", logging(target, "")).refused(403, "AccessDenied");
    }
    put(&mut client, "media", logging("media", "")).refused(400, "InvalidArgument");
    allow(&mut client, "logs", "another");
    put(&mut client, "media", logging("logs", "")).refused(403, "AccessDenied");
    // What lets everybody write lets no service in.
    let everyone = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::logs/*"}]}"#;
    client.send(&Request::new("PUT", "/logs").query("policy", "").body(everyone), Sign::Header(&acme())).expect(204);
    put(&mut client, "media", logging("logs", "")).refused(403, "AccessDenied");
    allow(&mut client, "logs", "media");
    // The service is nobody who calls.
    client.send(&Request::new("PUT", "/logs/log/x").body("x"), Sign::No).refused(403, "AccessDenied");
    client.send(&Request::new("PUT", "/logs/log/x").body("x"), Sign::Header(&bravo())).refused(403, "AccessDenied");
    let partitioned = "<TargetObjectKeyFormat><PartitionedPrefix><PartitionDateSource>EventTime</PartitionDateSource></PartitionedPrefix></TargetObjectKeyFormat>";
    put(&mut client, "media", logging("logs", partitioned)).expect(200);
    assert!(read(&mut client).contains(partitioned));
    put(&mut client, "logs", logging("media", "")).refused(403, "AccessDenied");
    put(&mut client, "media", "<BucketLoggingStatus/>".into()).expect(200);
    assert!(!read(&mut client).contains("LoggingEnabled"));
    client.send(&Request::new("DELETE", "/media").query("logging", ""), Sign::Header(&acme())).refused(405, "MethodNotAllowed");
}
