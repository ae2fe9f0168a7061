//! Work that comes again by itself: over restarts, other intervals, failures, and under a lease of several nodes.

use std::sync::Mutex;

use super::running::{Actor, limits};
use super::*;
use crate::queue::lease::{Board, Leases, Posted, Reply};
use crate::queue::runner::Runner;
use crate::queue::{Kind, Phase, Recurring, State};
use crate::telemetry::metrics::Metrics;

const MINUTE: Duration = Duration::from_secs(60);

fn every(name: &str, every: Duration) -> Recurring {
    let payload = Payload { version: 1, document: b"{}".to_vec() };
    Recurring { name: name.into(), kind: "act", payload, every, first: Duration::ZERO }
}

async fn only(queue: &Queue) -> Job {
    let filter = crate::queue::view::Filter { tenant: Some(TenantId::operator()), max: 10, ..Default::default() };
    let mut jobs = queue.list(filter).await.unwrap().jobs;
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    jobs.remove(0)
}

fn due(job: &Job) -> Option<Timestamp> {
    match job.state {
        State::Waiting { due } => due,
        other => panic!("{other:?}"),
    }
}

async fn claim_one(queue: &Queue) -> Job {
    let mut claimed = claim(queue, 10).await;
    assert_eq!(claimed.len(), 1, "{claimed:?}");
    claimed.remove(0)
}

#[tokio::test]
async fn what_was_missed_is_done_once() {
    let bench = Bench::new();
    let queue = bench.open();
    queue.set_recurring(vec![every("a", MINUTE)]).await.unwrap();
    let job = claim_one(&queue).await;
    assert_eq!(job.recurring(), Some("a"));
    assert!(claim(&queue, 10).await.is_empty(), "one at a time");
    bench.pass(MINUTE / 2);
    finish(&queue, &job, Outcome::Done(Some("{\"n\":1}".into()))).await;
    let waits = only(&queue).await;
    assert_eq!((waits.id, due(&waits), waits.attempts), (job.id, Some(bench.now().plus(MINUTE)), 0));
    assert_eq!(waits.recurs.as_ref().unwrap().done, Some(bench.now()));
    assert_eq!(waits.result.as_deref(), Some("{\"n\":1}"), "the last result stays");
    assert!(claim(&queue, 10).await.is_empty());
    queue.close();
    drop(queue);
    bench.pass(MINUTE * 10);
    let queue = bench.open();
    queue.set_recurring(vec![every("a", MINUTE)]).await.unwrap();
    let again = claim_one(&queue).await;
    assert_eq!(again.id, job.id);
    // Cut off by the end of the process.
    queue.close();
    drop(queue);
    let queue = bench.open();
    queue.set_recurring(vec![every("a", MINUTE)]).await.unwrap();
    let again = claim_one(&queue).await;
    finish(&queue, &again, Outcome::Done(None)).await;
    bench.pass(MINUTE - Duration::from_millis(1));
    assert!(claim(&queue, 10).await.is_empty());
    bench.pass(Duration::from_millis(1));
    claim_one(&queue).await;
    queue.close();
}

#[tokio::test]
async fn no_end_is_one() {
    let bench = Bench::new();
    let queue = bench.open();
    queue.set_recurring(vec![every("a", MINUTE)]).await.unwrap();
    for outcome in [Outcome::Dead { reason: "broken".into() }, Outcome::Retry { reason: "again".into(), after: MINUTE }] {
        let job = claim_one(&queue).await;
        finish(&queue, &job, outcome).await;
        let waits = only(&queue).await;
        assert_eq!((due(&waits), &waits.recurs.as_ref().unwrap().done), (Some(bench.now().plus(MINUTE)), &None));
        assert!(waits.reason.is_some());
        bench.pass(MINUTE);
    }
    let job = claim_one(&queue).await;
    queue.cancel(job.id).await.unwrap();
    assert_eq!(due(&only(&queue).await), Some(bench.now().plus(MINUTE)), "this run is left out");
    assert!(queue.finish(job.id, job.attempts, Outcome::Done(None)).await.is_err(), "a late word of it");
    bench.pass(MINUTE);
    let job = claim_one(&queue).await;
    finish(&queue, &job, Outcome::NotNow { after: MINUTE * 3 }).await;
    assert_eq!(due(&only(&queue).await), Some(bench.now().plus(MINUTE * 3)));
    // It was made at the first start, and is not what waits longest.
    bench.pass(MINUTE);
    assert_eq!(queue.depths(&["act"]).await.unwrap().1, Duration::ZERO);
    queue.close();
}

#[tokio::test]
async fn the_list_of_the_start_is_all_that_recurs() {
    let bench = Bench::new();
    let queue = bench.open();
    // As an older program has it: it reads no interval, and lets it end.
    let old = NewJob { key: Some("recurring/a".into()), ..job("operator", "act") };
    let id = add(&queue, old).await;
    let claimed = claim_one(&queue).await;
    finish(&queue, &claimed, Outcome::Done(None)).await;
    let ended = bench.now();
    bench.pass(MINUTE / 4);
    queue.set_recurring(vec![every("a", MINUTE)]).await.unwrap();
    let revived = only(&queue).await;
    assert_eq!((revived.id, due(&revived)), (id, Some(ended.plus(MINUTE))));
    assert_eq!(revived.recurs.as_ref().unwrap().done, Some(ended));
    // Another interval counts from the same time; the same one changes nothing.
    queue.set_recurring(vec![every("a", MINUTE * 5)]).await.unwrap();
    queue.set_recurring(vec![every("a", MINUTE * 5)]).await.unwrap();
    assert_eq!(due(&only(&queue).await), Some(ended.plus(MINUTE * 5)));
    queue.set_recurring(vec![every("b", MINUTE)]).await.unwrap();
    assert_eq!(only(&queue).await.recurring(), Some("b"), "what is not named any more is forgotten");
    queue.set_recurring(Vec::new()).await.unwrap();
    assert!(claim(&queue, 10).await.is_empty());
    queue.close();
}

/// One record that all nodes see at once.
#[derive(Default)]
struct Near(Mutex<(u64, Option<Vec<u8>>)>);

impl Board for Near {
    fn read<'a>(&'a self, _: &'a str) -> Reply<'a, Option<Posted>> {
        let near = self.0.lock().unwrap();
        let posted = near.1.clone().map(|text| Posted { mark: near.0.to_string(), text });
        Box::pin(async { Ok(posted) })
    }

    fn write<'a>(&'a self, _: &'a str, text: Vec<u8>, over: Option<&'a str>) -> Reply<'a, Option<String>> {
        let mut near = self.0.lock().unwrap();
        let there = near.1.as_ref().map(|_| near.0.to_string());
        let written = (there.as_deref() == over).then(|| {
            *near = (near.0 + 1, Some(text));
            near.0.to_string()
        });
        Box::pin(async { Ok(written) })
    }
}

fn start(queue: &Queue, actor: &Arc<Actor>, leases: Leases) -> Runner {
    let kinds: Vec<Arc<dyn Kind>> = vec![actor.clone()];
    Runner::start(queue.clone(), kinds, limits(4, 0, 0), Some(leases), Arc::new(Metrics::new())).unwrap()
}

async fn until(queue: &Queue, what: &str, is_so: impl Fn(&Job) -> bool) -> Job {
    let end = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let job = only(queue).await;
        if is_so(&job) {
            return job;
        }
        assert!(tokio::time::Instant::now() < end, "never {what}: {job:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn real(bench: &Bench) -> Queue {
    Queue::open(Settings { clock: Settings::default().clock, ..bench.settings() }).unwrap()
}

#[tokio::test]
async fn of_two_nodes_one_does_it() {
    let (here, there, board) = (Bench::new(), Bench::new(), Arc::new(Near::default()));
    let (first, second) = (real(&here), real(&there));
    let actors = [Actor::new("act", MINUTE), Actor::new("act", MINUTE)];
    for queue in [&first, &second] {
        queue.set_recurring(vec![every("a", MINUTE * 60)]).await.unwrap();
    }
    let runner = start(&first, &actors[0], Leases::new(board.clone(), first.node().unwrap()));
    let done = until(&first, "done", |job| job.recurs.as_ref().is_some_and(|r| r.done.is_some())).await;
    let other = start(&second, &actors[1], Leases::new(board.clone(), second.node().unwrap()));
    assert!(first.node().unwrap() == first.node().unwrap() && first.node().unwrap() != second.node().unwrap());
    let later = Timestamp::now().plus(MINUTE * 50);
    let left = until(&second, "left to the other node", |job| matches!(job.state, State::Waiting { due: Some(due) } if due > later)).await;
    assert_eq!((actors[0].begun(done.id), actors[1].begun(left.id)), (1, 0));
    assert_eq!((left.attempts, left.recurs.unwrap().done), (0, None));
    runner.drain(Duration::ZERO);
    other.drain(Duration::ZERO);
    first.close();
    second.close();
}

#[tokio::test]
async fn an_attempt_whose_lease_is_lost_is_cut_off() {
    let (bench, board) = (Bench::new(), Arc::new(Near::default()));
    let queue = real(&bench);
    let actor = Actor::new("hang", MINUTE);
    let hang = Recurring { kind: "hang", ..every("a", MINUTE) };
    queue.set_recurring(vec![hang]).await.unwrap();
    let runner = start(&queue, &actor, Leases::of_ttl(board.clone(), "here", Duration::from_millis(300)));
    let job = until(&queue, "begun", |job| job.state.phase() == Phase::Running && actor.begun(job.id) == 1).await;
    // Another node has taken it.
    let taken = br#"{"fence":9,"holder":"another","done":null}"#.to_vec();
    loop {
        let posted = board.read("a").await.unwrap().unwrap();
        if board.write("a", taken.clone(), Some(&posted.mark)).await.unwrap().is_some() {
            break;
        }
    }
    let left = until(&queue, "cut off", |job| matches!(job.state, State::Waiting { due: Some(_) })).await;
    assert_eq!((left.id, left.attempts, actor.inside()), (job.id, 0, 0));
    assert_eq!(board.read("a").await.unwrap().unwrap().text, taken, "nothing is written over it");
    runner.drain(Duration::ZERO);
    queue.close();
}
