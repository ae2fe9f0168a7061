//! The one thread that changes the queue: it collects commands, lets each decide, writes one batch, makes it visible, answers.
//!
//! Not here: what the commands do (`machine`).
//! Invariants: a command is answered when its batch is durable and the index shows it, also where the answer is a refusal.
//! A batch that could not be written leaves nothing behind.
//! Limits: commands waiting, and rows and bytes of one batch, are bounded (below).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::base::error::{Error, ErrorKind, Result};
use crate::follow::{end_of, input_of};
use crate::index::Index;
use crate::journal::Journal;
use crate::queue::lanes::Lanes;
use crate::queue::machine::Machine;
use crate::queue::replay;
use crate::queue::shared::Shared;
use crate::queue::txn::Txn;

/// Commands waiting: more than this many callers wait for room.
pub const WAITING: usize = 1024;
const BATCH_COMMANDS: usize = 1024;
const BATCH_ROWS: usize = 20_000;
const BATCH_BYTES: usize = 4 * 1024 * 1024;

pub enum Message {
    Command(Command),
    /// Runs between two batches, with the journal at hand.
    Between(Box<dyn FnOnce(&mut Journal) + Send>),
    Stop,
}

pub type Command = Box<dyn for<'m, 'i> FnOnce(&mut Machine<'m, 'i>) -> Finish + Send>;
type Finish = Box<dyn FnOnce(&Fate) + Send>;

/// What became of a batch. The cause is logged once; each waiter hears its kind.
pub enum Fate {
    Durable,
    Failed(ErrorKind),
}

impl Fate {
    fn check(&self) -> Result<()> {
        match self {
            Fate::Durable => Ok(()),
            Fate::Failed(ErrorKind::StorageFull) => Err(Error::new(ErrorKind::StorageFull, "The storage is full. Nothing was written.")),
            Fate::Failed(kind) => Err(Error::new(*kind, "The queue can't be written at the moment. Please try again.")),
        }
    }
}

/// The way in: cloned by everyone who changes the queue.
#[derive(Clone)]
pub struct Inlet(mpsc::Sender<Message>);

impl Inlet {
    pub fn new() -> (Inlet, mpsc::Receiver<Message>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Inlet(sender), receiver)
    }

    /// Runs `decide` on the writer's thread and answers when what it decided is durable and visible.
    /// Once taken up it runs to its end, whether or not the caller still waits.
    pub async fn submit<T: Send + 'static>(
        &self,
        decide: impl for<'m, 'i> FnOnce(&mut Machine<'m, 'i>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (command, answer) = prepare(decide);
        self.0.send(Message::Command(command)).await.map_err(|_| not_taken())?;
        answer.await.map_err(|_| not_taken())?
    }

    /// Runs `f` between two batches.
    pub async fn between<T: Send + 'static>(&self, f: impl FnOnce(&mut Journal) -> T + Send + 'static) -> Result<T> {
        let (sender, answer) = oneshot::channel();
        let run = Box::new(move |journal: &mut Journal| drop(sender.send(f(journal))));
        self.0.send(Message::Between(run)).await.map_err(|_| not_taken())?;
        answer.await.map_err(|_| not_taken())
    }

    /// For threads. What was taken up before is finished.
    pub fn stop(&self) {
        // An error says that the writer is gone already.
        let _ = self.0.blocking_send(Message::Stop);
    }
}

fn prepare<T: Send + 'static>(
    decide: impl for<'m, 'i> FnOnce(&mut Machine<'m, 'i>) -> Result<T> + Send + 'static,
) -> (Command, oneshot::Receiver<Result<T>>) {
    let (sender, answer) = oneshot::channel();
    let command: Command = Box::new(move |machine: &mut Machine<'_, '_>| {
        let decided = decide(machine);
        Box::new(move |fate: &Fate| drop(sender.send(fate.check().and(decided)))) as Finish
    });
    (command, answer)
}

fn not_taken() -> Error {
    Error::new(ErrorKind::LocalUnavailable, "The queue takes no commands at the moment. Please try again.")
}

pub struct Writer {
    pub shared: Arc<Shared>,
    pub journal: Journal,
    pub lanes: Lanes,
    pub commands: mpsc::Receiver<Message>,
}

impl Writer {
    /// Until told to stop.
    pub fn run(mut self) {
        let mut carried = None;
        while let Some(message) = carried.take().or_else(|| self.commands.blocking_recv()) {
            match message {
                Message::Stop => return,
                Message::Between(f) => f(&mut self.journal),
                Message::Command(first) => {
                    let Some(index) = self.shared.index.load_full().filter(|index| !index.is_broken()) else {
                        // Dropped, which answers it: nothing can be decided without an index.
                        drop(first);
                        self.rebuild();
                        continue;
                    };
                    carried = self.batch(&index, first);
                }
            }
        }
    }

    /// Collects, decides, writes, answers. Returns a message that was taken and is not a command.
    fn batch(&mut self, index: &Index, first: Command) -> Option<Message> {
        let mut txn = Txn::new(index);
        let mut waiting = Vec::new();
        let mut next = Some(first);
        let mut other = None;
        while let Some(command) = next.take() {
            let now = self.shared.now();
            let mut machine = Machine { txn: &mut txn, lanes: &mut self.lanes, now };
            match catch_unwind(AssertUnwindSafe(|| command(&mut machine))) {
                Ok(finish) => waiting.push(finish),
                Err(_) => {
                    // It may have left half of its rows: the batch is given up, and its waiters told so by the drop of
                    // their senders. The writer lives on.
                    tracing::error!("a command of the queue panicked; its batch is given up");
                    self.reload_lanes(index);
                    return None;
                }
            }
            let (rows, bytes) = txn.weight();
            if waiting.len() >= BATCH_COMMANDS || rows >= BATCH_ROWS || bytes >= BATCH_BYTES {
                break;
            }
            match self.commands.try_recv() {
                Ok(Message::Command(command)) => next = Some(command),
                Ok(message) => other = Some(message),
                Err(_) => {}
            }
        }
        let fate = if txn.is_empty() { Fate::Durable } else { self.commit(index, txn) };
        for finish in waiting {
            finish(&fate);
        }
        other
    }

    fn commit(&mut self, index: &Index, txn: Txn<'_>) -> Fate {
        // A promotion alone is no truth.
        if txn.changes_truth()
            && let Err(e) = self.journal.append(&[], &mut |_| txn.encode_ops())
        {
            tracing::error!(error = %e, "the queue's journal could not be written; its callers are told to try again");
            self.reload_lanes(index);
            return Fate::Failed(e.kind());
        }
        let (changes, touched) = txn.into_changes();
        if let Err(e) = index.apply(&changes, &end_of(&self.journal)) {
            tracing::error!(error = %e, "the queue's index failed; it is rebuilt from its journal");
            self.rebuild();
            // Durable, but the caller was not answered from what it sees now: it may ask again.
            return Fate::Failed(ErrorKind::LocalUnavailable);
        }
        self.shared.changed(&touched);
        Fate::Durable
    }

    /// What was decided in memory for a batch that is not to be.
    fn reload_lanes(&mut self, index: &Index) {
        match Lanes::load(index) {
            Ok(lanes) => self.lanes = lanes,
            Err(e) => {
                tracing::error!(error = %e, "the queue's index can't be read; it is rebuilt from its journal");
                self.rebuild();
            }
        }
    }

    /// Here and now: without the index no job could be claimed anyway.
    fn rebuild(&mut self) {
        self.shared.index.store(None);
        let settings = self.shared.settings.index();
        let rebuilt = replay::rebuild(&settings, &input_of(&self.journal), &end_of(&self.journal));
        match rebuilt.and_then(|index| Lanes::load(&index).map(|lanes| (index, lanes))) {
            Ok((index, lanes)) => {
                tracing::info!("the queue's index was rebuilt");
                self.lanes = lanes;
                self.shared.index.store(Some(Arc::new(index)));
            }
            Err(e) => tracing::error!(error = %e, "the queue's index could not be rebuilt; the next command tries again"),
        }
    }
}
