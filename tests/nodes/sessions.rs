//! Temporary credentials of one node are good on every other: they are sealed, and nothing of them is stored.

use super::*;
use crate::s3::sts::{get_session_token, with_token};

const TENANT: &str =
    "id = \"acme\"\npolicies = [\"tenant-default\"]\nkeys = [{ access_key = \"AKACME\", secret = { value = \"acme-secret-1\" } }]\n";

#[test]
fn a_token_of_one_node_works_on_another() {
    let mut world = World::new(2, "");
    for n in 0..2 {
        world.nodes[n].place.write("policies/tenants/acme.toml", TENANT);
        assert!(world.nodes[n].running.take().unwrap().stop().success());
        world.start(n);
    }
    let acme = Key::new("AKACME", "acme-secret-1");
    let (key, token) = get_session_token(&mut world.client(0), &acme);
    let on = |method: &str, bucket: &str, key: &str| with_token(Request::on(method, bucket, key), &token);
    world.client(1).send(&on("PUT", "mine", ""), Sign::Header(&key)).expect(200);
    world.client(1).send(&on("PUT", "mine", "k").body("by the session"), Sign::Header(&key)).expect(200);
    assert_eq!(world.client(0).send(&on("GET", "mine", "k"), Sign::Header(&key)).expect(200).body, b"by the session");
    // It is the tenant's, on either; and not without its token.
    world.client(1).send(&on("PUT", MEDIA, "k").body("x"), Sign::Header(&key)).refused(403, "AccessDenied");
    world.client(1).send(&Request::on("GET", "mine", "k"), Sign::Header(&key)).refused(403, "InvalidAccessKeyId");
    // A node that was killed and started anew takes it as before.
    world.kill(1);
    world.start(1);
    assert_eq!(world.client(1).send(&on("GET", "mine", "k"), Sign::Header(&key)).expect(200).body, b"by the session");
}
