//! The worker's limits hold: whatever it does, its gateway hears a reason and goes on.

use std::time::Duration;

use bytes::Bytes;
use tidegate::base::inspection::Verdict;
use tidegate::media::pool::{Failure, Pool};
use tidegate::media::samples;
use tidegate::media::settings::Settings;
use tidegate::media::wire::{Misdeed, Task, read_inspection};
use tidegate::origin::Body;

fn pool(settings: Settings) -> Pool {
    Pool::start(Settings { program: env!("CARGO_BIN_EXE_tidegate").into(), ..settings }).unwrap()
}

async fn run(pool: &Pool, task: Task, content: Vec<u8>) -> Result<Vec<u8>, String> {
    let length = content.len() as u64;
    match pool.run(task, Body::Memory(Bytes::from(content)), length).await {
        Ok(result) => Ok(result),
        Err(Failure::OfFile(why)) => Err(why),
        Err(Failure::OfUs(e)) => panic!("{e:?}"),
    }
}

fn inspection() -> Task {
    Task::Inspect { content_type: "model/gltf-binary".into(), name: "a.glb".into() }
}

#[tokio::test]
async fn a_worker_that_misbehaves_is_a_reason() {
    // One second of its own may take a busy machine a minute.
    let pool_of = |time| pool(Settings { cpu: Duration::from_secs(1), time: Duration::from_secs(time), workers: 4, ..Settings::default() });
    let (pool, impatient) = (pool_of(300), pool_of(6));
    let misdeed = |misdeed| run(if misdeed == Misdeed::Hang { &impatient } else { &pool }, Task::Misbehave(misdeed), b"x".to_vec());
    for (what, why) in [
        (Misdeed::Abort, "signal 6"),
        (Misdeed::Panic, "it panicked"),
        (Misdeed::TakeMemory, "media.memory"),
        (Misdeed::Spin, "media.cpu (1s)"),
        (Misdeed::Hang, "media.time (6s)"),
        (Misdeed::OpenFile, "os error"),
        (Misdeed::Connect, "os error"),
        (Misdeed::Flood, "more than it may"),
        (Misdeed::Lie, "more than it may"),
    ] {
        let told = misdeed(what).await.unwrap_err();
        assert!(told.contains(why), "{what:?}: {told}");
        // The next file is looked into as if nothing had been.
        let next = run(&pool, inspection(), samples::triangle()).await.unwrap();
        assert_eq!(read_inspection(&next).unwrap().verdict, Verdict::Passed);
    }
}

#[tokio::test]
async fn files_larger_than_its_memory_have_a_reason_too() {
    let pool = pool(Settings { memory_bytes: 256 << 20, ..Settings::default() });
    let why = run(&pool, inspection(), vec![0; 300 << 20]).await.unwrap_err();
    assert!(why.contains("media.memory"), "{why}");
}

#[tokio::test]
async fn so_many_at_once_and_each_for_its_own() {
    let pool = pool(Settings::default());
    let all = (0..12).map(|n| {
        let pool = pool.clone();
        tokio::spawn(async move {
            let whole = samples::triangle();
            let content = if n % 2 == 0 { whole } else { whole[..60].to_vec() };
            read_inspection(&run(&pool, inspection(), content).await.unwrap()).unwrap().verdict
        })
    });
    for (n, one) in all.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(one.await.unwrap(), if n % 2 == 0 { Verdict::Passed } else { Verdict::Refused });
    }
}
