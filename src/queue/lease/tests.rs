//! Two and three nodes over a board that is slow, loses answers and takes writes late; their clocks on the wall jump, and
//! holders are killed or forget themselves.

use tokio::time::sleep;

use super::*;
use crate::base::error::ErrorKind;

const EVERY: Duration = Duration::from_secs(600);
const NAME: &str = "work";
/// 2026.
const START: u64 = 1_770_000_000_000;

/// Repeatable, and good enough.
#[derive(Clone)]
struct Chance(Arc<Mutex<u64>>);

impl Chance {
    fn new(seed: u64) -> Self {
        Chance(Arc::new(Mutex::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)))
    }

    fn below(&self, n: u64) -> u64 {
        let mut x = self.0.lock().unwrap();
        *x ^= *x << 13;
        *x ^= *x >> 7;
        *x ^= *x << 17;
        *x % n
    }

    fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// What is written, and what must hold of it.
#[derive(Default)]
struct Wall {
    posted: Option<Posted>,
    marks: u64,
    /// When what is posted was sent.
    sent: Option<Instant>,
    /// How often it changed hands, and the times of work that were recorded.
    fence: u64,
    done: Vec<u64>,
}

impl Wall {
    fn write(&mut self, text: Vec<u8>, over: Option<String>, sent: Instant) -> Option<String> {
        if self.posted.as_ref().map(|p| p.mark.clone()) != over {
            return None;
        }
        let before = self.posted.as_ref().map(|p| Record::parse(p).unwrap()).unwrap_or_default();
        let after: Record = serde_json::from_slice(&text).unwrap();
        if after.holder.is_some() && after.holder != before.holder {
            assert_eq!(after.fence, before.fence + 1, "each new holder has a number of its own");
            if before.holder.is_some() {
                // The one before counts from when it sent its last write.
                assert!(Instant::now() >= self.sent.unwrap() + TTL, "taken from a holder who still counts it as its own");
            }
        } else {
            assert!(after.fence == before.fence || after.fence == before.fence + 1);
        }
        assert!(after.fence >= self.fence);
        self.fence = after.fence;
        if after.done != before.done {
            assert!(after.holder.is_none() && after.fence == before.fence, "only the holder records the work");
            self.done.push(after.done.unwrap());
        }
        self.marks += 1;
        let mark = self.marks.to_string();
        (self.posted, self.sent) = (Some(Posted { mark: mark.clone(), text }), Some(sent));
        Some(mark)
    }
}

#[derive(Clone)]
struct Far {
    wall: Arc<Mutex<Wall>>,
    chance: Chance,
    /// False: at once and always.
    in_trouble: bool,
}

impl Far {
    async fn way(&self) -> Result<()> {
        if self.in_trouble {
            let most = if self.chance.one_in(20) { 90_000 } else { 500 };
            sleep(Duration::from_millis(self.chance.below(most))).await;
            if self.chance.one_in(15) {
                return Err(Error::new(ErrorKind::BadGateway, "lost"));
            }
        }
        Ok(())
    }
}

impl Board for Far {
    fn read<'a>(&'a self, _: &'a str) -> Reply<'a, Option<Posted>> {
        Box::pin(async {
            self.way().await?;
            let posted = self.wall.lock().unwrap().posted.clone();
            self.way().await?;
            Ok(posted)
        })
    }

    /// It arrives also when whoever sent it has given up.
    fn write<'a>(&'a self, _: &'a str, text: Vec<u8>, over: Option<&'a str>) -> Reply<'a, Option<String>> {
        let (far, over, sent) = (self.clone(), over.map(str::to_owned), Instant::now());
        let arriving = tokio::spawn(async move {
            far.way().await?;
            Ok::<_, Error>(far.wall.lock().unwrap().write(text, over, sent))
        });
        Box::pin(async {
            let written = arriving.await.map_err(Error::internal)??;
            self.way().await?;
            Ok(written)
        })
    }
}

fn far(seed: u64, in_trouble: bool) -> Far {
    Far { wall: Arc::default(), chance: Chance::new(seed), in_trouble }
}

fn leases(far: &Far, name: &str) -> Leases {
    Leases::new(Arc::new(far.clone()), name.to_owned())
}

/// A clock on the wall.
fn at(began: Instant, off: i64) -> Timestamp {
    Timestamp::from_millis((START + began.elapsed().as_millis() as u64).saturating_add_signed(off))
}

/// One life of a node, until it dies.
async fn live(far: Far, name: String, began: Instant, jumps: bool) {
    let (leases, chance) = (leases(&far, &name), far.chance.clone());
    let mut off = 0;
    loop {
        if jumps && chance.one_in(10) {
            // Up to a year, either way.
            off = chance.below(2 * 31_536_000_000) as i64 - 31_536_000_000;
        }
        let wait = match leases.take(NAME, EVERY, at(began, off)).await {
            Ok(Turn::Ours(held)) => {
                work(held, &chance, began, off).await;
                EVERY
            }
            // Sooner than it is told to, too: what keeps nodes apart is the lease, and not their patience.
            Ok(Turn::Others { again }) => Duration::from_millis(chance.below(again.as_millis() as u64)),
            Ok(Turn::Done { due }) => due,
            Err(_) => PAUSE,
        };
        sleep(wait).await;
    }
}

async fn work(mut held: Held, chance: &Chance, began: Instant, off: i64) {
    let takes = Duration::from_secs(chance.below(300));
    if chance.one_in(4) {
        // Stopped whole: it neither keeps the lease nor knows that it lost it.
        sleep(takes * 2).await;
    } else {
        tokio::select! {
            () = sleep(takes) => {}
            () = held.keep() => return,
        }
    }
    let _ = held.give_back(Some(at(began, off))).await;
}

async fn run(seed: u64, nodes: usize, jumps: bool) -> Vec<u64> {
    let far = far(seed, true);
    let began = Instant::now();
    let mut alive: Vec<_> = (0..nodes).map(|n| tokio::spawn(live(far.clone(), n.to_string(), began, jumps))).collect();
    while began.elapsed() < Duration::from_secs(24 * 3600) {
        sleep(Duration::from_secs(60 + far.chance.below(1800))).await;
        // Killed wherever it is. Its place is taken by another process, which has its folder or is new.
        let n = far.chance.below(nodes as u64) as usize;
        alive[n].abort();
        match (&mut alive[n]).await {
            Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
            _ => {}
        }
        let name = if far.chance.one_in(2) { n.to_string() } else { format!("{n}-{}", began.elapsed().as_secs()) };
        alive[n] = tokio::spawn(live(far.clone(), name, began, jumps));
    }
    alive.iter().for_each(|node| node.abort());
    far.wall.lock().unwrap().done.clone()
}

#[tokio::test(start_paused = true)]
async fn one_at_a_time_whatever_happens() {
    for seed in 1..20 {
        for nodes in [2, 3] {
            let done = run(seed, nodes, false).await;
            // Nobody does it more often, and it never stops: 144 would be all of a day.
            assert!(done.windows(2).all(|two| two[1] - two[0] >= EVERY.as_millis() as u64), "seed {seed}");
            assert!(done.len() > 40, "seed {seed}, {nodes} nodes: {} times", done.len());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn clocks_that_jump_neither_stop_it_nor_break_it() {
    for seed in 100..120 {
        let done = run(seed, 3, true).await;
        assert!(done.len() > 40, "seed {seed}: {} times", done.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_killed_holder_is_followed_and_a_slow_one_is_fenced() {
    let (far, began) = (far(1, false), Instant::now());
    let (one, two) = (leases(&far, "one"), leases(&far, "two"));
    let now = || at(began, 0);
    let Ok(Turn::Ours(slow)) = one.take(NAME, EVERY, now()).await else { panic!("nobody has it") };
    assert!(matches!(two.take(NAME, EVERY, now()).await, Ok(Turn::Others { again }) if again == TTL));
    sleep(TTL).await;
    assert!(matches!(two.take(NAME, EVERY, now()).await, Ok(Turn::Others { .. })), "it might still work");
    sleep(TTL / 2).await;
    let Ok(Turn::Ours(next)) = two.take(NAME, EVERY, now()).await else { panic!("it was not heard of") };
    assert_eq!((slow.fence(), next.fence()), (1, 2));
    // Back from its sleep, it records nothing and knows it.
    let mut slow = slow;
    slow.until = Instant::now() + TTL;
    slow.keep().await;
    assert!(!slow.give_back(Some(now())).await.unwrap());
    assert!(far.wall.lock().unwrap().done.is_empty());
    assert!(next.give_back(Some(now())).await.unwrap());
    assert!(matches!(one.take(NAME, EVERY, now()).await, Ok(Turn::Done { due }) if due == EVERY));
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_works_for_long_keeps_it() {
    let (far, began) = (far(2, false), Instant::now());
    let (one, two) = (leases(&far, "one"), leases(&far, "two"));
    let Ok(Turn::Ours(mut held)) = one.take(NAME, EVERY, at(began, 0)).await else { panic!("nobody has it") };
    let others = async {
        for _ in 0..60 {
            assert!(matches!(two.take(NAME, EVERY, at(began, 0)).await, Ok(Turn::Others { .. })));
            sleep(TTL / 2).await;
        }
    };
    tokio::select! {
        () = held.keep() => panic!("it was lost"),
        () = others => {}
    }
    assert!(held.give_back(None).await.unwrap());
    assert!(matches!(two.take(NAME, EVERY, at(began, 0)).await, Ok(Turn::Ours(held)) if held.fence() == 2));
}

#[test]
fn what_a_newer_program_wrote_stays() {
    let text = br#"{"fence":7,"holder":null,"done":5,"plan":{"of":"later"}}"#.to_vec();
    let record = Record::parse(&Posted { mark: String::new(), text }).unwrap();
    let again = Record { fence: 8, ..record }.text().unwrap();
    assert_eq!(String::from_utf8(again).unwrap(), r#"{"fence":8,"holder":null,"done":5,"plan":{"of":"later"}}"#);
}
