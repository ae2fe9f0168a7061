//! Writers and the runner at once, over an upstream that fails now and then, and the process dropped in the middle.

use std::collections::HashMap;

use super::*;
use crate::base::error::ErrorKind;
use crate::queue::Runner;
use crate::queue::runner::{Limits, Settings as RunnerSettings};
use crate::telemetry::metrics::Metrics;

fn run(world: &World) -> Runner {
    let limits = Limits {
        settings: RunnerSettings::default(),
        of_tenant: Arc::new(|_| None),
        spent: Arc::new(|_, _| {}),
        follows: Arc::new(|_| Vec::new()),
    };
    let changes = Changes::new(Vec::new(), world.node().queue.clone(), Tracker::default());
    let kinds: Vec<Arc<dyn Kind>> = vec![Arc::new(Upload { back: world.back().clone(), grant: GatewayGrant::for_test(), changes })];
    Runner::start(world.node().queue.clone(), kinds, limits, None, Arc::new(Metrics::new())).unwrap()
}

/// What one writer got acknowledged last, of keys that are its own.
async fn write(world: &World, writer: usize, round: usize) -> HashMap<String, Option<Vec<u8>>> {
    let mut last = HashMap::new();
    for n in 0..25 {
        let key = format!("w{writer}/{}", n % 3);
        if n % 7 == 6 {
            if world.delete(&key).await.is_ok() {
                last.insert(key, None);
            }
            continue;
        }
        let body = format!("{writer} {round} {n} {}", ".".repeat(n * 50)).into_bytes();
        if world.put("media", &key, &body, WriteConditions::default()).await.is_ok() {
            last.insert(key.clone(), Some(body.clone()));
            // Its own writer reads it at once, wherever it is by now.
            match world.get(&key).await {
                Ok(read) => assert_eq!(read, Some(body)),
                Err(e) => assert_eq!(e.kind(), ErrorKind::UpstreamUnavailable),
            }
        }
    }
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_last_acknowledged_version_is_stored() {
    let mut world = World::new().await;
    let mut expected: HashMap<String, Option<Vec<u8>>> = HashMap::new();
    for round in 0..3 {
        let runner = run(&world);
        world.upstream.set(Mode::Moody);
        let world_ref = &world;
        let (a, b, c) = tokio::join!(write(world_ref, 0, round), write(world_ref, 1, round), write(world_ref, 2, round));
        for last in [a, b, c] {
            expected.extend(last);
        }
        // Attempts are cut where they are.
        tokio::task::spawn_blocking(move || drop(runner)).await.unwrap();
        world.crash().await;
    }
    world.upstream.set(Mode::Fine);
    let runner = run(&world);
    // Jobs wait out their backoff: a second or two.
    let left = world.back().sync(true, Duration::from_secs(120)).await.unwrap();
    assert_eq!((left.waiting, left.bytes, left.failed.len()), (0, 0, 0));
    tokio::task::spawn_blocking(move || runner.drain(Duration::from_secs(10))).await.unwrap();
    for (key, body) in expected {
        assert_eq!(get(&*world.upstream.inner, &key).await.unwrap(), body, "{key}");
    }
}
