//! A request that works through many items gives way to the others of its worker.
//!
//! What awaits only things that are at hand never leaves the thread: a batch of a thousand decisions would be one long stop for
//! everybody else there.

use std::time::{Duration, Instant};

use tokio::task::yield_now;

/// What others wait for a batch at most, beside one item of it: no more than a read of a file costs them.
const SLICE: Duration = Duration::from_micros(500);

pub struct Pace {
    since: Instant,
}

impl Pace {
    pub fn begin() -> Self {
        Pace { since: Instant::now() }
    }

    /// Between two items.
    pub async fn next(&mut self) {
        if self.since.elapsed() >= SLICE {
            yield_now().await;
            self.since = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    #[test]
    fn others_go_on() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let turns = Rc::new(Cell::new(0));
            let other = turns.clone();
            tokio::task::spawn_local(async move {
                loop {
                    other.set(other.get() + 1);
                    yield_now().await;
                }
            });
            let mut pace = Pace::begin();
            for _ in 0..5 {
                let began = Instant::now();
                while began.elapsed() < SLICE {}
                pace.next().await;
            }
            assert!(turns.get() >= 5);
            let before = turns.get();
            // Soon done: no way is given.
            let mut pace = Pace { since: Instant::now() + Duration::from_secs(60) };
            pace.next().await;
            assert_eq!(turns.get(), before);
        });
    }
}
