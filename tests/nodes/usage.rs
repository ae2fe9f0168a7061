//! Usage of several nodes: each keeps its own and tells the others, so any of them reports what all of them used, once.

use super::*;

/// How many PUTs there were of the run, as a node reports.
fn puts(world: &World, n: usize, run: &str) -> u64 {
    let report = json(&world.api(n, "GET", "/-/v1/usage", &[("by", "type,run")], "").expect(200));
    let lines = report["lines"].as_array().unwrap();
    let of_run = lines.iter().filter(|line| line["run"] == run && line["type"] == "image");
    of_run.map(|line| line["requests"]["put"].as_u64().unwrap()).sum()
}

#[test]
fn any_node_reports_what_all_of_them_used() {
    let mut world = World::new(3, "");
    (0..2).for_each(|n| world.put(0, &format!("acme/r0/image/{n}"), "text"));
    (0..3).for_each(|n| world.put(1, &format!("acme/r1/image/{n}"), "text"));
    until("it is counted", || puts(&world, 0, "r0") == 2 && puts(&world, 1, "r1") == 3);
    // At its stop a node tells the others, and a start tells it once more.
    for _ in 0..2 {
        assert!(world.nodes[1].running.take().unwrap().stop().success());
        assert_eq!((puts(&world, 0, "r0"), puts(&world, 0, "r1")), (2, 3));
        world.start(1);
        assert_eq!(puts(&world, 1, "r1"), 3);
    }
    // What the third counts after a kill counts for all.
    world.kill(2);
    world.start(2);
    world.put(2, "acme/r1/image/9", "text");
    until("it is counted", || puts(&world, 2, "r1") == 4);
    assert!(world.nodes[2].running.take().unwrap().stop().success());
    assert_eq!((puts(&world, 0, "r1"), puts(&world, 1, "r1")), (4, 4));
}
