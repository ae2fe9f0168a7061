//! Letters: in their box in order until they are taken out, die, or are forgotten; whatever becomes of the process and of the index.

use super::*;
use crate::queue::letter::Boxed;
use crate::queue::letters::Which;
use crate::queue::{Following, Letter};

fn payload(text: &str) -> Payload {
    Payload { version: 1, document: text.as_bytes().to_vec() }
}

async fn post(queue: &Queue, to: &str, numbers: &[u64]) {
    let letter = |number: &u64| Following::Letter(Letter { to: to.into(), number: *number, payload: payload(&number.to_string()) });
    queue.gather_all(numbers.iter().map(letter).collect()).await.unwrap();
}

async fn waiting(queue: &Queue, to: &str) -> Vec<u64> {
    queue.letters(to, 100, |_| false).await.unwrap().into_iter().map(|letter| letter.number).collect()
}

async fn dead(queue: &Queue, to: &str) -> Vec<(u64, String)> {
    queue.dead_letters(to, None, 100).await.unwrap().into_iter().map(|dead| (dead.number, dead.reason)).collect()
}

#[tokio::test]
async fn letters_stand_in_order_and_go_where_they_are_sent() {
    let bench = Bench::new();
    let queue = bench.open();
    post(&queue, "a", &[3, 1]).await;
    post(&queue, "a-b", &[5]).await;
    post(&queue, "a", &[2]).await;
    assert_eq!(waiting(&queue, "a").await, [1, 2, 3]);
    assert_eq!(waiting(&queue, "a-b").await, [5]);
    let others = queue.letters("a", 1, |number| number == 1).await.unwrap();
    assert_eq!((others.len(), others[0].number, &others[0].payload), (1, 2, &payload("2")));
    assert_eq!((others[0].posted, queue.last_letter().unwrap()), (bench.now(), 5));

    queue.take_letter("a", 1).await.unwrap();
    queue.take_letter("a", 1).await.unwrap();
    queue.give_up_letter("a", 2, "no".into()).await.unwrap();
    queue.give_up_letter("a", 2, "again".into()).await.unwrap();
    assert_eq!(waiting(&queue, "a").await, [3]);
    assert_eq!(dead(&queue, "").await, [(2, "no".to_owned())]);
    let boxes = queue.boxes().await.unwrap();
    assert_eq!(boxes, [("a".into(), Boxed { waiting: 1, dead: 1 }), ("a-b".into(), Boxed { waiting: 1, dead: 0 })]);

    bench.pass(Duration::from_secs(5));
    assert_eq!(queue.replay_letters("a", Which::These(vec![2, 9])).await.unwrap(), 1);
    assert_eq!(waiting(&queue, "a").await, [2, 3]);
    assert_eq!(queue.letters("a", 1, |_| false).await.unwrap()[0].posted, bench.now());
    queue.close();
}

#[tokio::test]
async fn letters_are_there_after_a_restart_without_the_index_and_a_compaction() {
    let bench = Bench::new();
    let queue = bench.open();
    let change = queue.begin_change(payload("change")).await.unwrap();
    let letter = Letter { to: "a".into(), number: 77, payload: payload("of a change") };
    queue.end_change(change, vec![Following::Letter(letter)]).await.unwrap();
    for number in 100..200 {
        post(&queue, "b", &[number]).await;
        match number % 3 {
            0 => queue.take_letter("b", number).await.unwrap(),
            1 => queue.give_up_letter("b", number, "r".into()).await.unwrap(),
            _ => {}
        }
    }
    let (there, gone, boxes) = (waiting(&queue, "b").await, dead(&queue, "b").await, queue.boxes().await.unwrap());
    assert!(there.len() == 33 && gone.len() == 34);
    queue.close();
    drop(queue);
    for round in 0..3 {
        let report = crate::queue::compact::check(&bench.settings());
        assert!(report.unwrap().unwrap().problems.is_empty());
        if round > 0 {
            std::fs::remove_dir_all(bench.settings().dir.join("index")).unwrap();
        }
        let again = bench.open();
        assert_eq!((waiting(&again, "b").await, dead(&again, "b").await), (there.clone(), gone.clone()), "{round}");
        assert_eq!((again.boxes().await.unwrap(), waiting(&again, "a").await), (boxes.clone(), vec![77]));
        assert_eq!(again.last_letter().unwrap(), 199);
        again.compact().await.unwrap();
        again.close();
    }
}

#[tokio::test]
async fn dead_ones_are_forgotten_after_a_while_or_when_asked() {
    let bench = Bench::new();
    let queue = bench.open();
    post(&queue, "a", &[1, 2, 3]).await;
    queue.give_up_letter("a", 1, "r".into()).await.unwrap();
    bench.pass(Duration::from_secs(50));
    queue.give_up_letter("a", 2, "r".into()).await.unwrap();
    bench.pass(Duration::from_secs(20));
    queue.upkeep().await.unwrap();
    assert_eq!(dead(&queue, "a").await.len(), 1);
    assert_eq!(queue.forget_letters("a", Which::All).await.unwrap(), 1);
    assert_eq!((dead(&queue, "a").await.len(), waiting(&queue, "a").await), (0, vec![3]));
    queue.close();
}

#[tokio::test]
async fn who_empties_a_box_is_woken_by_what_comes_into_it() {
    let bench = Bench::new();
    let queue = bench.open();
    let (a, b) = (queue.watch_box("a"), queue.watch_box("b"));
    post(&queue, "a", &[1]).await;
    a.notified().await;
    assert!(tokio::time::timeout(Duration::from_millis(20), b.notified()).await.is_err());
    queue.take_letter("a", 1).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(20), a.notified()).await.is_err());
    queue.close();
}
