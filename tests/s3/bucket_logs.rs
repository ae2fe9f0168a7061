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

#[test]
fn grants_of_logs_are_kept_where_acls_count() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    for bucket in ["media", "logs"] {
        client.make_bucket(&acme(), bucket);
    }
    allow(&mut client, "logs", "media");
    let grants = |who: &str, permission: &str| {
        let kind = if who.starts_with("<ID>") { "CanonicalUser" } else { "Group" };
        format!(
            "<TargetGrants><Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"{kind}\">{who}</Grantee>\
             <Permission>{permission}</Permission></Grant></TargetGrants>"
        )
    };
    put(&mut client, "media", logging("logs", &grants("<ID>bravo</ID>", "READ"))).expect(200);
    let said = read(&mut client);
    assert!(said.contains("<TargetGrants><Grant>") && said.contains("<ID>bravo</ID>") && said.contains("READ"), "{said}");
    put(&mut client, "media", logging("logs", &grants("<ID>nobody</ID>", "READ"))).refused(400, "InvalidArgument");
    put(&mut client, "media", logging("logs", &grants("<ID>bravo</ID>", "WRITE_ACP"))).refused(400, "MalformedACLError");
    put(&mut client, "media", logging("logs", &grants("", "READ"))).refused(400, "MalformedACLError");
    let everyone = grants("<URI>http://acs.amazonaws.com/groups/global/AllUsers</URI>", "READ");
    put(&mut client, "media", logging("logs", &everyone)).expect(200);
    let blocked = "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls></PublicAccessBlockConfiguration>";
    let block = Request::new("PUT", "/logs").query("publicAccessBlock", "").body(blocked).content_md5();
    client.send(&block, Sign::Header(&acme())).expect(200);
    put(&mut client, "media", logging("logs", &everyone)).refused(403, "AccessDenied");
    let enforced = "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule></OwnershipControls>";
    let own = Request::new("PUT", "/logs").query("ownershipControls", "").body(enforced).content_md5();
    client.send(&own, Sign::Header(&acme())).expect(200);
    put(&mut client, "media", logging("logs", &grants("<ID>bravo</ID>", "READ"))).refused(400, "AccessControlListNotSupported");
    put(&mut client, "media", logging("logs", "")).expect(200);
    assert!(!read(&mut client).contains("TargetGrants"));
}
