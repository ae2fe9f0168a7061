//! Settings of a bucket: what clients read of one at their first look, whose its objects are, and the block of public access. Over
//! both stores.

use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::gateway::{Gateway, Setup, acme, bravo, operator};
use tidegate::base::object::Ownership;

fn both() -> [Gateway; 2] {
    [Gateway::start(), Gateway::start_over_another()]
}

fn sub(client: &mut Client, method: &str, bucket: &str, query: &str, body: &str) -> Answer {
    let (name, value) = query.split_once('=').unwrap_or((query, ""));
    let mut request = Request::new(method, &format!("/{bucket}"));
    for (name, value) in std::iter::once((name, value)).chain(value.split_once('&').map(|(_, more)| more.split_once('=').unwrap())) {
        request = request.query(name, value.split('&').next().unwrap());
    }
    client.send(&request.body(body.to_owned()), Sign::Header(&acme()))
}

/// What Terraform, consoles and backup tools read of a bucket that somebody has just made.
#[test]
fn what_was_never_set_is_read_as_on_s3() {
    const NEVER_SET: [(&str, u16, &str); 20] = [
        ("accelerate", 200, "AccelerateConfiguration"),
        ("acl", 200, "AccessControlPolicy"),
        ("analytics", 200, "ListBucketAnalyticsConfigurationResult"),
        ("analytics=&id=x", 404, "NoSuchConfiguration"),
        ("encryption", 404, "ServerSideEncryptionConfigurationNotFoundError"),
        ("intelligent-tiering", 200, "ListBucketIntelligentTieringConfigurationsOutput"),
        ("intelligent-tiering=&id=x", 404, "NoSuchConfiguration"),
        ("inventory", 200, "ListInventoryConfigurationsResult"),
        ("inventory=&id=x", 404, "NoSuchConfiguration"),
        ("location", 200, "LocationConstraint"),
        ("logging", 200, "BucketLoggingStatus"),
        ("metrics", 200, "ListMetricsConfigurationsResult"),
        ("metrics=&id=x", 404, "NoSuchConfiguration"),
        ("notification", 200, "NotificationConfiguration"),
        ("ownershipControls", 404, "OwnershipControlsNotFoundError"),
        ("policy", 404, "NoSuchBucketPolicy"),
        ("publicAccessBlock", 404, "NoSuchPublicAccessBlockConfiguration"),
        ("replication", 404, "ReplicationConfigurationNotFoundError"),
        ("requestPayment", 200, "RequestPaymentConfiguration"),
        ("website", 404, "NoSuchWebsiteConfiguration"),
    ];
    for gateway in both() {
        let mut client = gateway.client();
        client.make_bucket(&acme(), "fresh");
        for (query, status, says) in NEVER_SET {
            let answer = sub(&mut client, "GET", "fresh", query, "");
            match status {
                200 => assert!(answer.expect(200).text().contains(&format!("<{says} xmlns")), "{query}"),
                status => {
                    answer.refused(status, says);
                }
            }
        }
        let listed = sub(&mut client, "GET", "fresh", "inventory", "").xml("ListInventoryConfigurationsResult");
        assert_eq!(listed.text_of("IsTruncated"), Some("false"));
        let payment = sub(&mut client, "GET", "fresh", "requestPayment", "").xml("RequestPaymentConfiguration");
        assert_eq!(payment.text_of("Payer"), Some("BucketOwner"));
        for query in ["requestPayment", "accelerate", "replication", "inventory", "metrics"] {
            for method in ["PUT", "DELETE"] {
                sub(&mut client, method, "fresh", query, "<X/>").refused(501, "NotImplemented");
            }
        }
    }
}

fn ownership_controls(name: &str) -> String {
    format!("<OwnershipControls><Rule><ObjectOwnership>{name}</ObjectOwnership></Rule></OwnershipControls>")
}

#[test]
fn ownership_is_set_read_and_removed() {
    for gateway in both() {
        let mut client = gateway.client();
        client.send(&Request::new("PUT", "/owned").header("x-amz-acl", "public-read"), Sign::Header(&acme())).expect(200);
        let enforced = ownership_controls("BucketOwnerEnforced");
        sub(&mut client, "PUT", "owned", "ownershipControls", &enforced).refused(400, "InvalidBucketAclWithObjectOwnership");
        let private = Request::new("PUT", "/owned").query("acl", "").header("x-amz-acl", "private");
        client.send(&private, Sign::Header(&acme())).expect(200);
        client.send(&Request::on("PUT", "owned", "k").header("x-amz-acl", "public-read").body("x"), Sign::Header(&acme())).expect(200);
        client.send(&Request::on("GET", "owned", "k"), Sign::No).expect(200);
        sub(&mut client, "PUT", "owned", "ownershipControls", &enforced).expect(200);
        let read = sub(&mut client, "GET", "owned", "ownershipControls", "").expect(200).xml("OwnershipControls");
        assert_eq!(read.child("Rule").unwrap().text_of("ObjectOwnership"), Some("BucketOwnerEnforced"));
        // What was opened by ACL is closed with it, and open again without it.
        client.send(&Request::on("GET", "owned", "k"), Sign::No).refused(403, "AccessDenied");
        client.send(&private, Sign::Header(&acme())).refused(400, "AccessControlListNotSupported");
        sub(&mut client, "PUT", "owned", "ownershipControls", "<OwnershipControls/>").refused(400, "MalformedXML");
        for _ in 0..2 {
            sub(&mut client, "DELETE", "owned", "ownershipControls", "").expect(204);
        }
        sub(&mut client, "GET", "owned", "ownershipControls", "").refused(404, "OwnershipControlsNotFoundError");
        client.send(&Request::on("GET", "owned", "k"), Sign::No).expect(200);
    }
}

/// As it is shipped: a new bucket has no ACLs, unless its maker asks for them. The operator's are shared.
#[test]
fn new_buckets_have_the_ownership_of_the_setting() {
    let mut setup = Setup::new();
    setup.doors.object_ownership = Some(Ownership::BucketOwnerEnforced);
    let gateway = setup.start();
    let mut client = gateway.client();
    let public = |name: &str| Request::new("PUT", &format!("/{name}")).header("x-amz-acl", "public-read");
    client.send(&public("plain"), Sign::Header(&acme())).refused(400, "InvalidBucketAclWithObjectOwnership");
    client.make_bucket(&acme(), "plain");
    let read = sub(&mut client, "GET", "plain", "ownershipControls", "").expect(200);
    assert!(read.text().contains("BucketOwnerEnforced"));
    client.send(&public("opened").header("x-amz-object-ownership", "ObjectWriter"), Sign::Header(&acme())).expect(200);
    client.make_bucket(&operator(), "shared");
    let shared = client.send(&Request::new("GET", "/shared").query("ownershipControls", ""), Sign::Header(&operator()));
    shared.refused(404, "OwnershipControlsNotFoundError");
}

fn block(client: &mut Client, bucket: &str, flag: &str) {
    let document = format!("<PublicAccessBlockConfiguration><{flag}>true</{flag}></PublicAccessBlockConfiguration>");
    sub(client, "PUT", bucket, "publicAccessBlock", &document).expect(200);
    let read = sub(client, "GET", bucket, "publicAccessBlock", "").expect(200).xml("PublicAccessBlockConfiguration");
    let on: Vec<_> = read.children.iter().filter(|c| c.text == "true").map(|c| c.name.clone()).collect();
    assert_eq!((on, read.children.len()), (vec![flag.to_owned()], 4));
}

fn policy(who: &str, bucket: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{who},"Action":"s3:GetObject","Resource":"arn:aws:s3:::{bucket}/*"}}}}"#
    )
}

#[test]
fn public_access_is_blocked_by_each_flag() {
    for gateway in both() {
        let mut client = gateway.client();
        client.make_bucket(&acme(), "doors");
        client.put(&acme(), "doors", "k", b"x").expect(200);
        let open = |request: Request, acl: &str| request.header("x-amz-acl", acl);
        let by_acl = open(Request::on("PUT", "doors", "k").query("acl", ""), "public-read");

        block(&mut client, "doors", "BlockPublicAcls");
        for acl in ["public-read", "public-read-write", "authenticated-read"] {
            for request in [
                Request::on("PUT", "doors", "k").body("y"),
                Request::on("PUT", "doors", "k").query("publish", "").body("y"),
                Request::on("PUT", "doors", "k2").header("x-amz-copy-source", "/doors/k"),
                Request::on("POST", "doors", "k").query("uploads", ""),
                Request::on("PUT", "doors", "k").query("acl", ""),
                Request::new("PUT", "/doors").query("acl", ""),
            ] {
                client.send(&open(request, acl), Sign::Header(&acme())).refused(403, "AccessDenied");
            }
        }
        client.send(&open(Request::on("PUT", "doors", "k").body("x"), "private"), Sign::Header(&acme())).expect(200);
        sub(&mut client, "DELETE", "doors", "publicAccessBlock", "").expect(204);
        client.send(&by_acl, Sign::Header(&acme())).expect(200);
        let read = |client: &mut Client, sign: Sign<'_>| client.send(&Request::on("GET", "doors", "k"), sign).status;
        assert_eq!(read(&mut client, Sign::No), 200);

        block(&mut client, "doors", "IgnorePublicAcls");
        assert_eq!([read(&mut client, Sign::No), read(&mut client, Sign::Header(&acme()))], [403, 200]);
        client.send(&by_acl, Sign::Header(&acme())).expect(200);

        block(&mut client, "doors", "BlockPublicPolicy");
        sub(&mut client, "PUT", "doors", "policy", &policy("\"*\"", "doors")).refused(403, "AccessDenied");
        sub(&mut client, "PUT", "doors", "policy", &policy(r#"{"AWS":"bravo"}"#, "doors")).expect(204);

        sub(&mut client, "DELETE", "doors", "publicAccessBlock", "").expect(204);
        sub(&mut client, "GET", "doors", "publicAccessBlock", "").refused(404, "NoSuchPublicAccessBlockConfiguration");
        client.send(&open(Request::on("PUT", "doors", "k").query("acl", ""), "private"), Sign::Header(&acme())).expect(200);
        sub(&mut client, "PUT", "doors", "policy", &policy("\"*\"", "doors")).expect(204);
        assert_eq!([read(&mut client, Sign::No), read(&mut client, Sign::Header(&bravo()))], [200, 200]);
        block(&mut client, "doors", "RestrictPublicBuckets");
        let who = [Sign::No, Sign::Header(&bravo()), Sign::Header(&acme())].map(|sign| read(&mut client, sign));
        assert_eq!(who, [403, 403, 200]);
        for bad in ["<PublicAccessBlockConfiguration><All>true</All></PublicAccessBlockConfiguration>", "x"] {
            sub(&mut client, "PUT", "doors", "publicAccessBlock", bad).refused(400, "MalformedXML");
        }
    }
}
