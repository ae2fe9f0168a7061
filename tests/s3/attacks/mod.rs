//! What other S3 servers were found to fall for, and what they might have been: one attack, one test. After each, what was
//! attacked is as it was.

mod bodies;
mod cost;
mod headers;
mod hosts;
mod names;
mod signatures;
mod values;
mod wire;

use crate::support::client::Client;
use crate::support::gateway::{Gateway, acme, bravo, operator};

/// Acme's bucket with a secret, bravo's bucket with nothing.
fn gateway() -> (Gateway, Client) {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    client.make_bucket(&acme(), "acme-bucket");
    client.put(&acme(), "acme-bucket", "secret", b"acme's secret").expect(200);
    client.make_bucket(&bravo(), "bravo-bucket");
    (gateway, client)
}

fn assert_absent(client: &mut Client, bucket: &str, key: &str) {
    client.get(&operator(), bucket, key).refused(404, "NoSuchKey");
}

/// Nothing half-received stays behind.
fn assert_nothing_staged(gateway: &Gateway) {
    let staging = gateway.data().join("staging");
    for _ in 0..200 {
        if crate::support::gateway::files_under(&staging).is_empty() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("left in staging: {:?}", crate::support::gateway::files_under(&staging));
}

/// An ACL by grants: the owner's full control, and everyone may read.
pub fn acl_document(owner: &str, public: bool) -> String {
    let everyone =
        "<Grant><Grantee><URI>http://acs.amazonaws.com/groups/global/AllUsers</URI></Grantee><Permission>READ</Permission></Grant>";
    format!(
        "<AccessControlPolicy><Owner><ID>{owner}</ID></Owner><AccessControlList><Grant><Grantee><ID>{owner}</ID></Grantee>\
         <Permission>FULL_CONTROL</Permission></Grant>{}</AccessControlList></AccessControlPolicy>",
        if public { everyone } else { "" }
    )
}
