//! A tenant that is made on one node is one on all, and so is the end of it.

use super::*;

#[test]
fn all_nodes_know_a_tenant() {
    let world = World::new(2, "");
    let command = |node: usize, arguments: &[&str]| {
        let node = &world.nodes[node];
        let mut command = node.place.command(arguments);
        let output = command.env("TIDEGATE_ADMIN_LISTEN", node.running.as_ref().unwrap().admin.to_string()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let said = command(0, &["tenant", "add", "acme", "--limit", "requests_per_second=1000", "--key"]);
    let of = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap().to_owned();
    let acme = Key::new(&of("AWS_ACCESS_KEY_ID"), &of("AWS_SECRET_ACCESS_KEY"));
    let status = |node: usize| world.client(node).send(&Request::new("GET", "/"), Sign::Header(&acme)).status;
    assert_eq!(status(0), 200);
    until("the other node knows it", || status(1) == 200);
    // Changed by the node that did not make it.
    assert_eq!(command(1, &["tenant", "limits", "acme", "requests_per_second=none", "jobs=2"]), "jobs=2\n");
    until("the first knows the change", || command(0, &["tenant", "limits", "acme"]) == "jobs=2\n");
    command(1, &["tenant", "disable", "acme"]);
    assert_eq!(status(1), 403);
    until("the first knows that it is disabled", || status(0) == 403);
}
