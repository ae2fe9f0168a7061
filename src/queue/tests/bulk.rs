//! A queue that is far larger than memory should be: the figure is printed by `cargo test --release -- --ignored bulk`.

use super::*;

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

async fn fill(queue: &Queue, jobs: usize) {
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..64 {
        let queue = queue.clone();
        tasks.spawn(async move {
            for n in 0..jobs / 64 {
                let name = format!("t{}", (n * 64 + task) % 500);
                queue.enqueue(job(&name, "k")).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
}

/// What is held in memory of the queue itself does not grow with the number of its jobs.
#[tokio::test]
async fn the_lines_in_memory_are_as_many_as_tenants() {
    let bench = Bench::new();
    let queue = Queue::open(Settings { segment_bytes: 1 << 20, ..bench.settings() }).unwrap();
    fill(&queue, 5000).await;
    queue.close();
    let queue = Queue::open(Settings { segment_bytes: 1 << 20, ..bench.settings() }).unwrap();
    let lanes = crate::queue::lanes::Lanes::load(&queue.shared.index().unwrap()).unwrap();
    assert_eq!(lanes.len(), 500);
    let mut claimed = 0;
    while !claim(&queue, 1000).await.is_empty() {
        claimed += 1;
    }
    assert!(claimed >= 4);
}

#[tokio::test]
#[ignore = "takes minutes: prints memory at up to a million waiting jobs"]
async fn a_million_jobs() {
    let bench = Bench::new();
    let settings = Settings { segment_bytes: 8 << 20, index_cache_bytes: 16 << 20, ..bench.settings() };
    let queue = Queue::open(settings.clone()).unwrap();
    let begun = std::time::Instant::now();
    for part in 1..=10 {
        fill(&queue, 100_032).await;
        queue.upkeep().await.unwrap();
        println!("{} jobs after {:?}: {} MiB", part * 100_032, begun.elapsed(), resident_bytes() >> 20);
    }
    let begun = std::time::Instant::now();
    let mut claimed = 0;
    while claimed < 10_000 {
        for job in claim(&queue, 8).await {
            finish(&queue, &job, Outcome::Done(None)).await;
            claimed += 1;
        }
    }
    println!("10,000 claimed and finished, 8 at a time, in {:?}: {} MiB", begun.elapsed(), resident_bytes() >> 20);
    queue.close();
    let begun = std::time::Instant::now();
    let queue = Queue::open(settings.clone()).unwrap();
    println!("opened in {:?}", begun.elapsed());
    queue.close();
    std::fs::remove_dir_all(settings.dir.join("index")).unwrap();
    let begun = std::time::Instant::now();
    Queue::open(settings).unwrap();
    println!("rebuilt in {:?}: {} MiB", begun.elapsed(), resident_bytes() >> 20);
}
