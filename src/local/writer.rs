//! The one thread that changes the store: it collects commands, lets each decide, writes one batch, makes it visible, answers.
//!
//! Not here: what the commands do (`objects`, `buckets`, `uploads`, `complete`, …).
//! Invariants: a command is answered when its batch is durable and the index shows it, also where the answer is a refusal
//! (it may rest on a command before it in the batch). A batch that could not be written leaves nothing behind.
//! Limits: commands waiting, and rows and bytes of one batch, are bounded (below).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use crate::base::error::{Error, ErrorKind, Result};
use crate::follow;
use crate::index::{Applied, Index};
use crate::journal::Journal;
use crate::local::needed_keys::NeededKeys;
use crate::local::replay;
use crate::local::rows::{Table, key};
use crate::local::shared::Shared;
use crate::local::txn::{DueBy, Txn, Value};

/// Commands waiting. More than this many writers wait for room; each command holds at most one small body.
pub const QUEUE: usize = 1024;
/// One batch: enough to share an fsync among all who wait, little enough that the first is not kept waiting for the last.
const BATCH_COMMANDS: usize = 1024;
const BATCH_ROWS: usize = 20_000;
const BATCH_CONTENT_BYTES: usize = 4 * 1024 * 1024;

pub enum Message {
    Command(Command),
    /// Runs between two batches, with the journal at hand.
    Between(Box<dyn FnOnce(&mut Journal) + Send>),
    /// Somebody found the index broken, or not there.
    Broken,
    /// From the thread that the writer started for it.
    Rebuilt(Result<Index>),
    Stop,
}

pub type Command = Box<dyn for<'t, 'i> FnOnce(&'t mut Txn<'i>) -> Finish + Send>;
/// Answers the caller once the fate of the batch is known.
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
            Fate::Failed(kind) => Err(Error::new(*kind, "The storage can't be written at the moment. Please try again.")),
        }
    }
}

/// The way in: cloned by everyone who writes.
#[derive(Clone)]
pub struct Queue(mpsc::Sender<Message>);

impl Queue {
    pub fn new() -> (Queue, mpsc::Receiver<Message>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Queue(sender), receiver)
    }

    /// Runs `decide` on the writer's thread and answers when what it decided is durable and visible.
    /// Once taken up it runs to its end, whether or not the caller still waits.
    pub async fn submit<T: Send + 'static>(
        &self,
        decide: impl for<'t, 'i> FnOnce(&'t mut Txn<'i>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (command, answer) = prepare(decide);
        self.0.send(Message::Command(command)).await.map_err(|_| not_taken())?;
        answer.await.map_err(|_| not_taken())?
    }

    /// As `submit`, for threads.
    pub fn submit_blocking<T: Send + 'static>(
        &self,
        decide: impl for<'t, 'i> FnOnce(&'t mut Txn<'i>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (command, answer) = prepare(decide);
        self.0.blocking_send(Message::Command(command)).map_err(|_| not_taken())?;
        answer.blocking_recv().map_err(|_| not_taken())?
    }

    /// Runs `f` between two batches. For threads.
    pub fn between<T: Send + 'static>(&self, f: impl FnOnce(&mut Journal) -> T + Send + 'static) -> Result<T> {
        let (sender, answer) = oneshot::channel();
        let run = Box::new(move |journal: &mut Journal| drop(sender.send(f(journal))));
        self.0.blocking_send(Message::Between(run)).map_err(|_| not_taken())?;
        answer.blocking_recv().map_err(|_| not_taken())
    }

    /// The index is broken. Does not wait: a writer who has no time for this has commands, and finds it by those.
    pub fn report_broken(&self) {
        let _ = self.0.try_send(Message::Broken);
    }

    /// The writer has ended.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// For threads.
    pub fn stop(&self) {
        self.tell(Message::Stop);
    }

    fn tell(&self, message: Message) {
        // An error says that the writer is gone, and with it whoever would have wanted to hear.
        let _ = self.0.blocking_send(message);
    }
}

fn prepare<T: Send + 'static>(
    decide: impl for<'t, 'i> FnOnce(&'t mut Txn<'i>) -> Result<T> + Send + 'static,
) -> (Command, oneshot::Receiver<Result<T>>) {
    let (sender, answer) = oneshot::channel();
    let command: Command = Box::new(move |txn: &mut Txn<'_>| {
        let decided = txn.run(decide);
        Box::new(move |fate: &Fate| drop(sender.send(fate.check().and(decided)))) as Finish
    });
    (command, answer)
}

fn not_taken() -> Error {
    Error::new(ErrorKind::LocalUnavailable, "The store takes no writes at the moment. Please try again.")
}

pub struct Writer {
    shared: Arc<Shared>,
    journal: Journal,
    queue: mpsc::Receiver<Message>,
    needed_keys: NeededKeys,
    rebuilding: bool,
}

impl Writer {
    pub fn new(shared: Arc<Shared>, journal: Journal, queue: mpsc::Receiver<Message>, needed_keys: NeededKeys) -> Self {
        Writer { shared, journal, queue, needed_keys, rebuilding: false }
    }

    /// Until told to stop. What was taken from the queue before is finished.
    pub fn run(self) {
        let shared = self.shared.clone();
        self.serve();
        shared.rebuilds.one_ended();
    }

    fn serve(mut self) {
        let mut carried = None;
        loop {
            let message = match carried.take() {
                Some(m) => m,
                None => match self.queue.blocking_recv() {
                    Some(m) => m,
                    None => return,
                },
            };
            match message {
                Message::Stop => return,
                Message::Between(f) => f(&mut self.journal),
                Message::Rebuilt(index) => self.take_over(index),
                Message::Broken => {
                    // It may have been rebuilt since.
                    if !self.rebuilding && self.shared.index.load().as_ref().is_none_or(|index| index.is_broken()) {
                        tracing::error!("the index can't be read; it is rebuilt from the journal");
                        self.start_rebuild();
                    }
                }
                Message::Command(first) => {
                    carried = match self.shared.index.load_full() {
                        Some(index) if !index.is_broken() => self.batch(&index, first),
                        _ => {
                            // Dropped, which answers it: nothing can be decided at the moment.
                            drop(first);
                            self.start_rebuild();
                            None
                        }
                    };
                }
            }
        }
    }

    /// Collects, decides, writes, answers. Returns a message that was taken from the queue and is not a command.
    fn batch(&mut self, index: &Arc<Index>, first: Command) -> Option<Message> {
        let shared = self.shared.clone();
        let due_by = DueBy { buckets: shared.buckets.all(), lifecycles: &shared.settings.lifecycles };
        let mut txn = Txn::new(index, &shared.ids, self.journal.next_sequence(), shared.clock.times())
            .with_due(due_by)
            .with_bucket_limits(&shared.settings.bucket_limits);
        // A command that panicked may have left half of its rows: the batch is given up, and its waiters told so by the
        // drop of their senders. The writer lives on.
        let run = |command: Command, txn: &mut Txn<'_>| catch_unwind(AssertUnwindSafe(|| command(txn))).ok();
        let mut waiting = vec![run(first, &mut txn)?];
        let mut other = None;
        while waiting.len() < BATCH_COMMANDS {
            let (rows, bytes) = txn.weight();
            if rows >= BATCH_ROWS || bytes >= BATCH_CONTENT_BYTES {
                break;
            }
            match self.queue.try_recv() {
                Ok(Message::Command(command)) => waiting.push(run(command, &mut txn)?),
                Ok(message) => {
                    other = Some(message);
                    break;
                }
                Err(_) => break,
            }
        }
        let fate = if txn.is_empty() { Fate::Durable } else { self.commit(index, txn) };
        for finish in waiting {
            finish(&fate);
        }
        other
    }

    fn commit(&mut self, index: &Arc<Index>, mut txn: Txn<'_>) -> Fate {
        if let Err(e) = txn.keep_time().and_then(|()| self.needed_keys.before(&txn)) {
            tracing::error!(error = %e, "a batch could not be begun; its writers are told to try again");
            return Fate::Failed(e.kind());
        }
        let let_go = NeededKeys::let_go_by(&txn);
        let mut places = Vec::new();
        let begun = Instant::now();
        let written = self.journal.append(txn.contents(), &mut |at| {
            places = at.to_vec();
            txn.encode_ops(at)
        });
        let metrics = &self.shared.settings.metrics;
        match &written {
            Ok(_) => {
                metrics.journal_syncs.inc();
                metrics.journal_records.inc_by(txn.touched().count() as u64);
                metrics.journal_sync_duration.observe(begun.elapsed());
            }
            Err(_) => drop(metrics.journal_sync_failures.inc()),
        }
        self.shared.health.wrote(written.is_ok());
        let end = match written {
            Ok(end) => end,
            Err(e) => {
                tracing::error!(error = %e, "a batch could not be written; its writers are told to try again");
                return Fate::Failed(e.kind());
            }
        };
        let applied =
            Applied { log: self.journal.log_id(), segment: end.segment, offset: end.offset, next_sequence: self.journal.next_sequence() };
        if let Err(e) = self.publish(index, txn, &places, &applied) {
            tracing::error!(error = %e, "the index failed; it is rebuilt from the journal");
            self.start_rebuild();
            // Durable, but not to be seen yet: the caller may try again, and finds its own write then.
            return Fate::Failed(ErrorKind::LocalUnavailable);
        }
        self.needed_keys.let_go(&let_go);
        Fate::Durable
    }

    /// Makes a durable batch visible: the index, the buckets in memory, what the hot cache may no longer say.
    fn publish(&self, index: &Index, txn: Txn<'_>, places: &[crate::journal::ContentAt], applied: &Applied) -> Result<()> {
        self.shared.references.note(&txn)?;
        let touched: Vec<Vec<u8>> = txn.touched().filter(|(t, _, _)| *t == Table::Objects).map(|(_, k, _)| k.to_vec()).collect();
        let buckets: Vec<_> = txn
            .touched()
            .filter(|(t, _, _)| *t == Table::Buckets)
            .map(|(_, k, v)| (k.to_vec(), if let Some(Value::Bucket(b)) = v { Some(b.clone()) } else { None }))
            .collect();
        let mut changes = txn.into_changes(places)?;
        // sled walks its tree once per neighbourhood instead of once per row.
        changes.sort_unstable_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let names: Vec<(&str, &str)> = touched.iter().filter_map(|k| key::split(k).ok()).collect();
        let shut = self.shared.hot.shut_out(names.into_iter());
        let result = index.apply(&changes, applied);
        drop(shut);
        result?;
        self.shared.buckets.change(buckets);
        Ok(())
    }

    fn start_rebuild(&mut self) {
        if self.rebuilding {
            return;
        }
        self.shared.index.store(None);
        self.shared.hot.clear();
        let shared = self.shared.clone();
        let started = std::thread::Builder::new().name("index-rebuild".into()).spawn(move || {
            let _read = shared.journal_read.lock().unwrap_or_else(PoisonError::into_inner);
            // Asked for now: a pass may have taken away what the journal was before.
            let journal = shared.queue.between(|journal| (follow::input_of(journal), follow::end_of(journal)));
            let index = journal.and_then(|(input, end)| replay::rebuild(&shared.settings.index(), &shared.ids, &input, &end));
            shared.queue.tell(Message::Rebuilt(index));
        });
        match started {
            Ok(_) => self.rebuilding = true,
            Err(e) => {
                tracing::error!(error = %e, "no thread for the rebuild of the index; it is tried again");
                self.shared.rebuilds.one_ended();
            }
        }
    }

    /// Nothing was written meanwhile, so the new index is where the journal ends.
    fn take_over(&mut self, index: Result<Index>) {
        self.rebuilding = false;
        let ready = |index: Index| {
            self.shared.buckets.load(&index)?;
            self.needed_keys.renew(&index)?;
            Ok(index)
        };
        match index.and_then(ready) {
            Ok(index) => {
                tracing::info!("the index was rebuilt");
                self.shared.index.store(Some(Arc::new(index)));
            }
            Err(e) => tracing::error!(error = %e, "the index could not be rebuilt; it is tried again"),
        }
        self.shared.rebuilds.one_ended();
    }
}
