//! Who comes first, and that nobody waits for ever.

use super::*;
use crate::base::error::ErrorKind;
use crate::queue::job::MAX_ITEMS;
use crate::queue::txn::Txn;
use crate::queue::{Phase, State};

#[tokio::test]
async fn a_million_jobs_of_one_tenant_delay_another_by_one_turn() {
    let bench = Bench::new();
    let queue = bench.open();
    for _ in 0..50 {
        let mut urgent = job("many", "k");
        urgent.priority = 255;
        add(&queue, urgent).await;
    }
    let first = claim(&queue, 1).await;
    let only = add(&queue, job("one", "k")).await;
    assert_eq!(claim(&queue, 1).await[0].id, only);
    finish(&queue, &first[0], Outcome::Done(None)).await;
    // Both have jobs all the time: they take turns.
    for _ in 0..10 {
        add(&queue, job("one", "k")).await;
    }
    let mut turns = Vec::new();
    let mut running = claim(&queue, 1).await;
    for _ in 0..12 {
        let next = claim(&queue, 1).await;
        turns.push(next[0].tenant.to_string());
        let done = std::mem::replace(&mut running, next);
        finish(&queue, &done[0], Outcome::Done(None)).await;
    }
    let of_one = turns.iter().filter(|t| *t == "one").count();
    assert!((5..=7).contains(&of_one), "{turns:?}");
}

#[tokio::test]
async fn priority_then_deadline_then_age() {
    let bench = Bench::new();
    let queue = bench.open();
    let at = |seconds| Some(bench.now().plus(Duration::from_secs(seconds)));
    let old = add(&queue, job("t", "k")).await;
    bench.pass(Duration::from_millis(5));
    let young = add(&queue, job("t", "k")).await;
    let late = add(&queue, NewJob { deadline: at(100), ..job("t", "other") }).await;
    let soon = add(&queue, NewJob { deadline: at(10), ..job("t", "k") }).await;
    let urgent = add(&queue, NewJob { priority: 101, ..job("t", "k") }).await;
    let over = add(&queue, NewJob { priority: 102, deadline: at(1), ..job("t", "k") }).await;
    let later = add(&queue, NewJob { priority: 103, due: at(60), ..job("t", "k") }).await;
    bench.pass(Duration::from_secs(2));
    let order: Vec<JobId> = claim(&queue, 10).await.iter().map(|j| j.id).collect();
    assert_eq!(order, [urgent, soon, late, old, young]);
    let over = queue.get(over).await.unwrap().unwrap().job;
    assert_eq!((over.state.phase(), over.attempts), (Phase::Dead, 0));
    bench.pass(Duration::from_secs(60));
    assert_eq!(claim(&queue, 10).await[0].id, later);
}

#[tokio::test]
async fn limits_hold_for_tenants_and_kinds() {
    let bench = Bench::new();
    let queue = bench.open();
    for _ in 0..5 {
        for of in ["a", "b", "c"] {
            add(&queue, job(of, "k")).await;
            add(&queue, job(of, "rare")).await;
        }
        // Jobs of one millisecond have no order among themselves.
        bench.pass(Duration::from_millis(1));
    }
    let room = |queue: &Queue| {
        let queue = queue.clone();
        async move { queue.claim(100, |t| if t == "c" { 1 } else { 3 }, |k| if k == "rare" { 2 } else { 100 }, |_| u32::MAX).await.unwrap().0 }
    };
    let claimed = room(&queue).await;
    let count = |of: &str| claimed.iter().filter(|j| j.tenant.as_str() == of).count();
    assert_eq!((count("a"), count("b"), count("c")), (3, 3, 1));
    assert_eq!(claimed.iter().filter(|j| j.kind == "rare").count(), 2);
    assert!(room(&queue).await.is_empty());
    let one = claimed.iter().find(|j| j.tenant.as_str() == "a").unwrap();
    finish(&queue, one, Outcome::Done(None)).await;
    let next = room(&queue).await;
    assert_eq!(next.iter().map(|j| j.tenant.as_str()).collect::<Vec<_>>(), ["a"]);
    // A kind that nobody here can run stays where it is. Of the others at least one job runs, whichever was finished above.
    add(&queue, job("d", "unknown")).await;
    assert!(queue.claim(9, |_| 9, |k| if k == "unknown" { 0 } else { 1 }, |_| u32::MAX).await.unwrap().0.is_empty());
}

#[tokio::test]
async fn gathering_ends_with_the_first_claim_and_when_it_is_full() {
    let bench = Bench::new();
    let queue = bench.open();
    let with = |items: std::ops::Range<u32>| NewJob { items: items.map(|i| format!("/{i}")).collect(), ..job("t", "k") };
    let first = queue.gather("site".into(), with(0..10)).await.unwrap();
    assert!(first.is_new);
    assert_eq!(queue.gather("site".into(), with(5..20)).await.unwrap().id, first.id);
    assert_eq!(queue.get(first.id).await.unwrap().unwrap().job.items, 20);
    // Jobs of one millisecond have no order among themselves.
    bench.pass(Duration::from_millis(1));
    let other = queue.gather("other".into(), with(0..1)).await.unwrap();
    assert_ne!(other.id, first.id);
    let claimed = claim(&queue, 1).await;
    assert_eq!(claimed[0].id, first.id);
    let second = queue.gather("site".into(), with(0..1)).await.unwrap();
    assert!(second.is_new && second.id != first.id);
    // Back in line, it does not gather again: what it will send was fixed by its first attempt.
    finish(&queue, &claimed[0], Outcome::HandedBack).await;
    assert_eq!(queue.gather("site".into(), with(1..2)).await.unwrap().id, second.id);
    let full = queue.gather("site".into(), with(100..100 + MAX_ITEMS)).await.unwrap();
    assert!(full.is_new && full.id != second.id, "what did not fit went into a third");
    let (second, full) = (queue.get(second.id).await.unwrap().unwrap().job, queue.get(full.id).await.unwrap().unwrap().job);
    assert_eq!((second.items, full.items, second.gathers), (MAX_ITEMS, 2, None));
}

#[tokio::test]
async fn ended_jobs_are_forgotten_by_time_and_number() {
    let bench = Bench::new();
    let queue = Queue::open(Settings { kept_jobs: 3, ..bench.settings() }).unwrap();
    let mut ids = Vec::new();
    for n in 0..6 {
        bench.pass(Duration::from_secs(1));
        ids.push(add(&queue, NewJob { key: Some(format!("{n}")), ..job("t", "k") }).await);
        let claimed = claim(&queue, 1).await;
        finish(&queue, &claimed[0], Outcome::Done(None)).await;
    }
    queue.upkeep().await.unwrap();
    let mut left = Vec::new();
    for id in &ids {
        left.push(queue.get(*id).await.unwrap().is_some());
    }
    assert_eq!(left, [false, false, false, true, true, true]);
    // A key is free again once its job is forgotten.
    assert!(!queue.enqueue(NewJob { key: Some("5".into()), ..job("t", "k") }).await.unwrap().is_new);
    assert!(queue.enqueue(NewJob { key: Some("0".into()), ..job("t", "k") }).await.unwrap().is_new);
    bench.pass(Duration::from_secs(61));
    queue.upkeep().await.unwrap();
    assert!(queue.get(ids[5]).await.unwrap().is_none());
}

#[tokio::test]
async fn a_copy_is_a_queue_and_the_journal_stays_short() {
    let bench = Bench::new();
    let queue = bench.open();
    for n in 0..200 {
        add(&queue, job("t", "k")).await;
        if n % 2 == 0 {
            let claimed = claim(&queue, 1).await;
            finish(&queue, &claimed[0], Outcome::Done(None)).await;
        }
    }
    assert!(queue.compact().await.unwrap());
    let segments = std::fs::read_dir(bench.settings().journal().dir).unwrap().count();
    assert!(segments <= 2, "{segments} files");
    add(&queue, job("t", "k")).await;
    let target = bench.dir.path().join("copy");
    queue.backup(&target).await.unwrap();
    add(&queue, job("t", "k")).await;
    queue.close();
    let copy = Queue::open(Settings { dir: target, ..bench.settings() }).unwrap();
    let (depths, _) = copy.depths(&["k"]).await.unwrap();
    assert_eq!(depths[0].states, [("running", 0), ("waiting", 101), ("dead", 0), ("cancelled", 0), ("done", 100)]);
    assert!(matches!(claim(&copy, 1).await[0].state, State::Running { .. }));
}

#[tokio::test]
async fn a_disk_that_fails_leaves_nothing_half_done() {
    let bench = Bench::new();
    let failing = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let fails = failing.clone();
    let fault = crate::journal::Fault(Arc::new(move |_| match fails.load(Ordering::SeqCst) {
        true => Err(std::io::Error::from_raw_os_error(libc::ENOSPC)),
        false => Ok(()),
    }));
    let queue = Queue::open(Settings { fault: Some(fault), ..bench.settings() }).unwrap();
    let id = add(&queue, job("t", "k")).await;
    failing.store(true, Ordering::SeqCst);
    let refused = queue.enqueue(job("t", "k")).await.unwrap_err();
    assert_eq!(refused.kind(), crate::base::error::ErrorKind::StorageFull);
    assert!(queue.claim(1, |_| 9, |_| 9, |_| 9).await.is_err());
    failing.store(false, Ordering::SeqCst);
    // The claim that failed took nothing from the line.
    let claimed = claim(&queue, 9).await;
    assert_eq!(claimed.iter().map(|j| (j.id, j.attempts)).collect::<Vec<_>>(), [(id, 1)]);
}

#[test]
fn one_process_at_a_time() {
    let bench = Bench::new();
    let queue = bench.open();
    assert!(Queue::open(bench.settings()).is_err());
    queue.close();
    bench.open();
}

#[tokio::test]
async fn a_tenant_fills_its_own_share_and_no_more() {
    let bench = Bench::new();
    let settings = Settings { most_waiting: 5, ..bench.settings() };
    let queue = Queue::open(settings.clone()).unwrap();
    let with = |items: usize| NewJob { items: (0..items).map(|n| n.to_string()).collect(), ..job("t", "k") };
    let refused = async |queue: &Queue, new: NewJob| queue.enqueue(new).await.unwrap_err().kind();
    let named = NewJob { key: Some("once".into()), ..job("t", "k") };
    add(&queue, named.clone()).await;
    assert_eq!(refused(&queue, with(4)).await, ErrorKind::SlowDown);
    let three = add(&queue, with(3)).await;
    assert_eq!(refused(&queue, with(0)).await, ErrorKind::SlowDown);
    assert_eq!(queue.require_room(&tenant("t")).unwrap_err().kind(), ErrorKind::SlowDown);
    assert!(!queue.enqueue(named).await.unwrap().is_new, "which is there already");
    add(&queue, job("other", "k")).await;
    queue.gather("g".into(), with(0)).await.unwrap();
    // The same after a start with the index, and with one that is built anew.
    queue.close();
    for round in 0..2 {
        if round == 1 {
            std::fs::remove_dir_all(settings.index().dir).unwrap();
        }
        let queue = Queue::open(settings.clone()).unwrap();
        assert_eq!(Txn::new(&queue.shared.index().unwrap()).load_of(&tenant("t")).unwrap(), 6);
        queue.close();
    }
    let queue = Queue::open(settings).unwrap();
    queue.cancel(three).await.unwrap();
    queue.require_room(&tenant("t")).unwrap();
    assert_eq!(refused(&queue, with(3)).await, ErrorKind::SlowDown);
    add(&queue, with(2)).await;
    while let Some(job) = claim(&queue, 1).await.first() {
        finish(&queue, job, Outcome::Done(None)).await;
    }
    assert_eq!(Txn::new(&queue.shared.index().unwrap()).load_of(&tenant("t")).unwrap(), 0);
}

#[tokio::test]
async fn a_full_disk_takes_no_job_in_and_lets_all_others_end() {
    let bench = Bench::new();
    let queue = bench.open();
    add(&queue, job("t", "k")).await;
    queue.close();
    let queue = Queue::open(Settings { reserve_bytes: u64::MAX, ..bench.settings() }).unwrap();
    assert_eq!(queue.enqueue(job("t", "k")).await.unwrap_err().kind(), ErrorKind::StorageFull);
    queue.gather("g".into(), job("t", "k")).await.unwrap();
    while let Some(job) = claim(&queue, 1).await.first() {
        finish(&queue, job, Outcome::Done(None)).await;
    }
}
