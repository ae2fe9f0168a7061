//! What is known of one connection, and when its time is up.
//!
//! Lives on one thread: plain cells, no lock. The wire, the requests and the worker's sweep share it.
//! Time is counted in ticks of the worker's clock, so that neither a read nor a write asks the system for the time, and no
//! connection owns a timer: the worker looks at all of them once a tick. The rules are `Connection::verdict`, pure and tested.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use http::{Method, Uri};
use tokio::task::AbortHandle;

use super::client_certificate::ClientCertificate;
use super::line_ends::LineEnds;
use super::patience::{Clock, Patience};
use super::room::{Budget, Room};
use super::send_file::SendingFrom;
use super::service::Peer;
use super::settings::MIN_PROGRESS_BYTES;
use super::shown_path::shortened;
use crate::telemetry::metrics::{Metrics, Timeout};
use crate::telemetry::redact::redact;

/// After being asked to close, an idle peer gets this long before it is cut.
const CLOSING_TICKS: u32 = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Handshake,
    /// Nothing came yet, or a part of a request's head.
    Head,
    /// Between requests, or with requests running: then `requests` is not empty.
    Open,
    /// Our side is closed; the unread rest is being dropped.
    Lingering,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Keep,
    /// Ask it to end in good order.
    Close(Timeout),
    Cut(Timeout),
    /// Cut, and nobody is to blame: the peer did not close its side after we closed ours.
    Forget,
}

#[derive(Debug)]
struct Running {
    id: u32,
    method: Method,
    uri: Uri,
}

#[derive(Debug)]
pub struct Connection {
    /// As it was accepted; what the handshake proved is in `peer()`.
    pub peer: Peer,
    /// Here once for all its requests: a counted reference that all cores share is too dear for each of them.
    pub metrics: Arc<Metrics>,
    /// What its answers may hold of memory.
    pub room: Rc<Room>,
    /// Plain connections of HTTP/1 alone.
    pub sending_from: SendingFrom,
    client: OnceCell<Arc<ClientCertificate>>,
    clock: Rc<Clock>,
    phase: Cell<Phase>,
    /// Since when it is in this phase, or when its last request ended.
    since: Cell<u32>,
    http2: Cell<bool>,
    any_bytes: Cell<bool>,
    requests: RefCell<Vec<Running>>,
    next_request: Cell<u32>,
    /// Requests for which the peer waits for us (a handler, or the source of a body), and not we for the peer.
    waiting_on_us: Cell<u32>,
    /// Something was written and not yet flushed to the socket.
    unflushed: Cell<bool>,
    window_since: Cell<u32>,
    window_bytes: Cell<u64>,
    pub line_ends: Cell<LineEnds>,
    /// `100 Continue` is to go out before the next bytes.
    continue_queued: Cell<bool>,
    /// A response body failed: the end of the stream must not look like a proper one.
    broken: Cell<bool>,
    /// The peer has closed its sending side. It may wait for its answer, or be gone: TCP tells only when something is sent to it.
    half_closed: Cell<bool>,
    /// The peer still sends a body that nobody reads. Atomic because a body may have gone to another thread.
    unread_body: Arc<AtomicBool>,
    bytes_read: Cell<u64>,
    bytes_written: Cell<u64>,
    close_asked: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    task: OnceCell<AbortHandle>,
}

impl Connection {
    pub fn new(peer: Peer, clock: Rc<Clock>, metrics: Arc<Metrics>, budget: Rc<Budget>) -> Rc<Self> {
        let now = clock.now();
        Rc::new(Connection {
            metrics,
            room: Room::new(budget),
            phase: Cell::new(if peer.secure { Phase::Handshake } else { Phase::Head }),
            peer,
            sending_from: SendingFrom::default(),
            client: OnceCell::new(),
            clock,
            since: Cell::new(now),
            http2: Cell::new(false),
            any_bytes: Cell::new(false),
            requests: RefCell::default(),
            next_request: Cell::new(0),
            waiting_on_us: Cell::new(0),
            unflushed: Cell::new(false),
            window_since: Cell::new(now),
            window_bytes: Cell::new(0),
            line_ends: Cell::default(),
            continue_queued: Cell::new(false),
            broken: Cell::new(false),
            half_closed: Cell::new(false),
            unread_body: Arc::default(),
            bytes_read: Cell::new(0),
            bytes_written: Cell::new(0),
            close_asked: Cell::new(false),
            waker: RefCell::default(),
            task: OnceCell::new(),
        })
    }

    pub fn peer(&self) -> Peer {
        Peer { client: self.client.get().cloned(), ..self.peer.clone() }
    }

    /// The rules of patience. `now` in ticks.
    pub fn verdict(&self, patience: &Patience) -> Verdict {
        let now = self.clock.now();
        let waited = now.wrapping_sub(self.since.get());
        match self.phase.get() {
            Phase::Handshake if waited > patience.handshake => Verdict::Cut(Timeout::Handshake),
            Phase::Head if waited > patience.header => Verdict::Cut(Timeout::Header),
            Phase::Lingering if waited > patience.linger => Verdict::Forget,
            Phase::Handshake | Phase::Head | Phase::Lingering => Verdict::Keep,
            Phase::Open if self.unflushed.get() || self.requests() > 0 => self.write_verdict(now, patience),
            Phase::Open => {
                self.restart_window(now);
                if waited > patience.idle.saturating_add(CLOSING_TICKS) {
                    Verdict::Cut(Timeout::Idle)
                } else if waited > patience.idle && !self.close_asked.get() {
                    Verdict::Close(Timeout::Idle)
                } else {
                    Verdict::Keep
                }
            }
        }
    }

    /// A peer that takes an answer must take some of it in each window, unless there is nothing to take. Of one that has closed its
    /// side something must be taken also while it waits for us: else work for a peer that is gone would go on as long as it takes.
    fn write_verdict(&self, now: u32, patience: &Patience) -> Verdict {
        let waits = self.waiting_on_us.get() > 0 && !self.unflushed.get();
        if waits && !self.half_closed.get() {
            self.restart_window(now);
        } else if now.wrapping_sub(self.window_since.get()) > patience.write {
            let least = if waits { 1 } else { MIN_PROGRESS_BYTES };
            if self.window_bytes.get() < least {
                return Verdict::Cut(Timeout::Write);
            }
            self.restart_window(now);
        }
        Verdict::Keep
    }

    fn restart_window(&self, now: u32) {
        self.window_since.set(now);
        self.window_bytes.set(0);
    }

    // --- the wire tells ---

    pub fn handshake_done(&self) {
        self.enter(Phase::Head);
    }

    pub fn client_proven(&self, client: ClientCertificate) {
        // Set once, by the handshake.
        let _ = self.client.set(Arc::new(client));
    }

    /// Which protocol it turned out to be. HTTP/2 has frames between requests: what is read there says nothing of a head.
    pub fn speaks(&self, http2: bool) {
        self.http2.set(http2);
        if http2 {
            self.enter(Phase::Open);
        }
    }

    pub fn on_read(&self, bytes: usize) {
        self.bytes_read.set(self.bytes_read.get() + bytes as u64);
        self.any_bytes.set(true);
        if self.phase.get() == Phase::Open && !self.http2.get() && self.requests() == 0 {
            self.line_ends.take();
            self.enter(Phase::Head);
        }
    }

    /// What hyper is about to parse. Of HTTP/1 only what may belong to a head is looked at.
    pub fn on_handed_over(&self, bytes: &[u8]) {
        if self.phase.get() == Phase::Head && !self.http2.get() {
            self.line_ends.update(|ends| ends.after(bytes));
        }
    }

    pub fn before_write(&self) {
        self.unflushed.set(true);
    }

    pub fn on_written(&self, bytes: usize) {
        self.bytes_written.set(self.bytes_written.get() + bytes as u64);
        self.window_bytes.set(self.window_bytes.get() + bytes as u64);
    }

    pub fn on_flushed(&self) {
        self.sending_from.forget();
        if self.unflushed.replace(false) && self.requests() == 0 {
            self.since.set(self.clock.now());
        }
    }

    /// HTTP/1 with a request running: nobody else reads then, so the wire looks after the peer.
    pub fn must_watch_peer(&self) -> bool {
        !self.http2.get() && !self.half_closed.get() && self.requests() > 0
    }

    pub fn peer_closed_its_side(&self) {
        self.half_closed.set(true);
    }

    pub fn linger(&self) {
        if self.phase.get() != Phase::Lingering {
            self.enter(Phase::Lingering);
        }
    }

    /// Whether bytes of the peer are (or may be) on their way that nobody will read: the rest of a request body, or of a
    /// head that was refused. Closing at once would reset the connection, and the peer might never see the answer.
    pub fn must_linger(&self) -> bool {
        self.unread_body.load(Ordering::Relaxed)
            || (self.phase.get() == Phase::Head && self.any_bytes.get())
            || self.phase.get() == Phase::Lingering
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(self.clock.now());
    }

    // --- requests tell ---

    pub fn begin_request(self: &Rc<Self>, method: &Method, uri: &Uri) -> RunningRequest {
        let id = self.next_request.get();
        self.next_request.set(id.wrapping_add(1));
        self.phase.set(Phase::Open);
        self.requests.borrow_mut().push(Running { id, method: method.clone(), uri: uri.clone() });
        self.waiting_on_us.set(self.waiting_on_us.get() + 1);
        self.metrics.requests_active.of(self.peer.door).inc();
        RunningRequest { connection: self.clone(), id, waits_on_us: true }
    }

    pub fn requests(&self) -> usize {
        self.requests.borrow().len()
    }

    /// HTTP/1 only, when the answer's head is about to be written. Not while bytes of an earlier answer are still in
    /// hyper's buffer (a pipelining client): the interim answer would land inside them.
    pub fn queue_continue(&self) {
        if !self.unflushed.get() {
            self.continue_queued.set(true);
        }
    }

    pub fn take_continue(&self) -> bool {
        self.continue_queued.replace(false)
    }

    /// HTTP/2 resets the one stream itself.
    pub fn break_off(&self) {
        self.broken.set(!self.http2.get());
    }

    pub fn is_broken(&self) -> bool {
        self.broken.get()
    }

    pub fn unread_body(&self) -> &Arc<AtomicBool> {
        &self.unread_body
    }

    // --- the worker tells ---

    pub fn set_task(&self, task: AbortHandle) {
        // Set once, right after the task was made.
        let _ = self.task.set(task);
    }

    pub fn cut(&self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }

    pub fn ask_close(&self) {
        if !self.close_asked.replace(true)
            && let Some(waker) = self.waker.borrow_mut().take()
        {
            waker.wake();
        }
    }

    pub fn is_close_asked(&self) -> bool {
        self.close_asked.get()
    }

    /// Just accepted, nothing came yet: its first request may be under way.
    pub fn is_fresh(&self) -> bool {
        !self.any_bytes.get()
    }

    pub fn register(&self, waker: &Waker) {
        let mut slot = self.waker.borrow_mut();
        if !slot.as_ref().is_some_and(|w| w.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    /// Bytes since the last call, for the counters.
    pub fn take_traffic(&self) -> (u64, u64) {
        (self.bytes_read.take(), self.bytes_written.take())
    }

    /// The requests that run on it, for the log when they are cut. Without queries: those may hold signatures.
    pub fn describe_requests(&self) -> Vec<String> {
        let described = |r: &Running| format!("{} {} from {}", r.method, shortened(&redact(r.uri.path())), self.peer.address);
        self.requests.borrow().iter().map(described).collect()
    }
}

/// A request from its head to the end (or the drop) of its answer's body.
#[derive(Debug)]
pub struct RunningRequest {
    connection: Rc<Connection>,
    id: u32,
    waits_on_us: bool,
}

impl RunningRequest {
    pub fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }

    /// Whether the peer now waits for us, or we for the peer.
    pub fn waits_on_us(&mut self, waits: bool) {
        if waits != self.waits_on_us {
            self.waits_on_us = waits;
            let count = &self.connection.waiting_on_us;
            count.set(if waits { count.get() + 1 } else { count.get().saturating_sub(1) });
        }
    }
}

impl Drop for RunningRequest {
    fn drop(&mut self) {
        self.waits_on_us(false);
        self.connection.metrics.requests_active.of(self.connection.peer.door).dec();
        let mut requests = self.connection.requests.borrow_mut();
        if let Some(at) = requests.iter().position(|r| r.id == self.id) {
            requests.swap_remove(at);
        }
        if requests.is_empty() {
            self.connection.since.set(self.connection.clock.now());
        }
    }
}

#[cfg(test)]
mod tests;
