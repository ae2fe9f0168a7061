//! Changes: on record until their end, which makes the jobs that follow, once.

use super::*;
use crate::queue::Following;

fn change(name: &str) -> Payload {
    Payload { version: 1, document: name.as_bytes().to_vec() }
}

fn following(items: &[&str]) -> Vec<Following> {
    let items = items.iter().map(|item| (*item).to_owned()).collect();
    vec![Following::Job { gathers_under: "x".into(), job: NewJob { items, ..job("a", "k") } }]
}

async fn open_changes(queue: &Queue) -> Vec<Payload> {
    queue.open_changes().await.unwrap().into_iter().map(|(_, payload)| payload).collect()
}

#[tokio::test]
async fn a_change_without_an_end_is_there_after_a_restart_and_a_compaction() {
    let bench = Bench::new();
    let queue = bench.open();
    for n in 0..100 {
        let id = queue.begin_change(change(&n.to_string())).await.unwrap();
        if n != 50 {
            queue.end_change(id, Vec::new()).await.unwrap();
        }
    }
    assert!(queue.compact().await.unwrap());
    assert_eq!(open_changes(&queue).await, [change("50")]);
    queue.close();
    drop(queue);
    let report = crate::queue::compact::check(&bench.settings()).unwrap().unwrap();
    assert!(report.problems.is_empty(), "{report:?}");
    std::fs::remove_dir_all(bench.settings().dir.join("index")).unwrap();
    let queue = bench.open();
    assert_eq!(open_changes(&queue).await, [change("50")]);
}

/// Wherever a page of the index is harmed: a start finds it, or whoever asks is told to come again, and soon it can be told.
#[tokio::test]
async fn an_index_that_is_harmed_anywhere_is_rebuilt_by_the_start() {
    let bench = Bench::new();
    let queue = bench.open();
    for n in 0..300 {
        add(&queue, NewJob { items: vec![format!("{n:03}-{}", "x".repeat(500))], ..job("a", "k") }).await;
        queue.begin_change(change(&"y".repeat(500))).await.unwrap();
    }
    queue.close();
    drop(queue);
    // sled notes at a start where its pages lie.
    let queue = bench.open();
    queue.close();
    drop(queue);
    let db = bench.settings().dir.join("index/db");
    let whole = std::fs::read(&db).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 12) {
        let mut harmed = whole.clone();
        let end = (at + 3000).min(whole.len());
        harmed[at..end].iter_mut().for_each(|byte| *byte ^= 0x55);
        std::fs::write(&db, harmed).unwrap();
        let queue = bench.open();
        assert_eq!(open_changes(&queue).await.len(), 300, "harmed at {at}");
        queue.close();
    }
}

#[tokio::test]
async fn an_end_that_is_said_again_makes_no_second_job() {
    let bench = Bench::new();
    let queue = bench.open();
    let id = queue.begin_change(change("one")).await.unwrap();
    queue.end_change(id, following(&["p", "q"])).await.unwrap();
    assert_eq!(open_changes(&queue).await, []);
    let claimed = claim(&queue, 10).await;
    assert_eq!(claimed.iter().map(|job| job.items).collect::<Vec<_>>(), [2]);
    queue.end_change(id, following(&["r"])).await.unwrap();
    assert_eq!(claim(&queue, 10).await, []);
}

#[tokio::test]
async fn jobs_that_follow_gather_and_one_that_is_refused_leaves_the_change_open() {
    let bench = Bench::new();
    let queue = bench.open();
    let first = queue.begin_change(change("one")).await.unwrap();
    let second = queue.begin_change(change("two")).await.unwrap();
    queue.end_change(first, following(&["p"])).await.unwrap();
    let long = "x".repeat(crate::queue::job::MAX_ITEM_BYTES + 1);
    queue.end_change(second, following(&["q", &long])).await.unwrap_err();
    assert_eq!(open_changes(&queue).await, [change("two")]);
    queue.end_change(second, following(&["p", "q"])).await.unwrap();
    let claimed = claim(&queue, 10).await;
    assert_eq!(claimed.iter().map(|job| job.items).collect::<Vec<_>>(), [2]);
}
