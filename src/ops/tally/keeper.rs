//! The thread that writes what changed in the books to the journal of usage: at once where somebody waits for it, all that wait in one
//! batch, else twice a second.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::base::error::{Error, ErrorKind, Result};
use crate::ops::tally::books::{Books, lock};
use crate::ops::tally::flows::Turned;
use crate::ops::tally::stored;
use crate::usage::Usage;

const EVERY: Duration = Duration::from_millis(500);

type Waiter = Option<oneshot::Sender<Result<()>>>;

pub struct Keeper(Mutex<Sender<Waiter>>);

impl Keeper {
    pub fn start(books: Arc<Mutex<Books>>, usage: Usage) -> Result<Self> {
        let (sender, waiters) = channel();
        let run = move || run(&books, &usage, &waiters);
        std::thread::Builder::new().name("tally".into()).spawn(run).map_err(Error::internal)?;
        Ok(Keeper(Mutex::new(sender)))
    }

    /// All that is in the books now is durable.
    pub async fn kept(&self) -> Result<()> {
        let (sender, answer) = oneshot::channel();
        self.send(Some(sender));
        answer.await.map_err(|_| Error::new(ErrorKind::LocalUnavailable, "What is stored can't be counted at the moment."))?
    }

    /// There is something to be written, some time.
    pub fn wake(&self) {
        self.send(None);
    }

    fn send(&self, waiter: Waiter) {
        let sender = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Where the thread is gone, the waiter hears it.
        let _ = sender.send(waiter);
    }
}

fn run(books: &Mutex<Books>, usage: &Usage, waiters: &Receiver<Waiter>) {
    // What an earlier process left is there to be written.
    let mut write_at = Some(Instant::now());
    loop {
        let first = match write_at {
            None => waiters.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => waiters.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        let waiting: Vec<_> = match first {
            Ok(waiter) => std::iter::once(waiter).chain(waiters.try_iter()).flatten().collect(),
            Err(RecvTimeoutError::Timeout) => Vec::new(),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let at = *write_at.get_or_insert_with(|| Instant::now() + EVERY);
        if waiting.is_empty() && Instant::now() < at {
            continue;
        }
        let kept = keep(books, usage);
        write_at = kept.is_err().then(|| Instant::now() + EVERY);
        if let Err(e) = &kept {
            tracing::warn!(error = %e, "what is stored can't be counted: the node's disk takes no writes");
        }
        for waiter in waiting {
            let told = match &kept {
                Ok(()) => Ok(()),
                Err(e) => Err(Error::new(e.kind(), e.message().to_owned())),
            };
            let _ = waiter.send(told);
        }
    }
}

fn keep(books: &Mutex<Books>, usage: &Usage) -> Result<()> {
    let (turned, rows) = {
        let mut books = lock(books);
        let turned = std::mem::take(&mut books.state.turned);
        let rows = stored::changes(&books.state, &turned);
        (turned, rows)
    };
    let kept = rows.and_then(|rows| if rows.is_empty() { Ok(()) } else { usage.keep_tally(&rows) });
    if kept.is_err() {
        let Turned { flows, intents, unsure, heard } = turned;
        let again = &mut lock(books).state.turned;
        again.flows.extend(flows);
        again.intents.extend(intents);
        again.unsure.extend(unsure);
        again.heard |= heard;
    }
    kept
}
