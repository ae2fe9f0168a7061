//! One thread that serves: a current-thread runtime, its listeners, its connections, and the sweep that looks after them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::MissedTickBehavior;

use super::accept;
use super::admission::Admission;
use super::answer::Context;
use super::connection::{Connection, Verdict};
use super::drain::{Phase, Tracker};
use super::give_back::{Thrift, give_back};
use super::listen::Transport;
use super::patience::{Clock, Patience, TICK};
use super::room::Budget;
use super::serve::serve;
use super::service::{Peer, Service};
use super::settings::Settings;
use super::tls::Tls;
use crate::telemetry::metrics::{Door, Metrics, Timeout};

/// A connection on which nothing has come yet when the drain starts gets this many ticks for its first request.
const FRESH_TICKS: u32 = 2;
/// How long the runtime waits for blocking work that is left at its end.
const BLOCKING_REST: Duration = Duration::from_secs(1);

/// One of the worker's listening sockets.
pub struct Socket {
    pub door: Door,
    pub transport: Transport,
    pub listener: TcpListener,
}

/// What the workers share.
#[derive(Clone)]
pub struct Shared {
    pub settings: Arc<Settings>,
    pub metrics: Arc<Metrics>,
    pub tls: Option<Arc<Tls>>,
    pub admission: Arc<Admission>,
    pub tracker: Tracker,
    pub phase: watch::Receiver<Phase>,
    pub next_connection: Arc<AtomicU64>,
}

/// Runs the thread's runtime to its end. Returns the requests that the deadline cut.
pub fn run<S: Service>(shared: Shared, sockets: Vec<Socket>, service: impl FnOnce() -> S) -> io::Result<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(shared.settings.blocking_threads.max(1))
        .build_local(tokio::runtime::LocalOptions::default())?;
    let cut = runtime.block_on(async {
        let worker = Rc::new(Worker::new(shared, service()));
        worker.run(sockets).await
    });
    runtime.shutdown_timeout(BLOCKING_REST);
    cut
}

struct Worker<S> {
    shared: Shared,
    context: Rc<Context<S>>,
    connections: Rc<Connections>,
    clock: Rc<Clock>,
    budget: Rc<Budget>,
    patience: Patience,
    refusing: Rc<()>,
}

#[derive(Default)]
struct Connections {
    open: RefCell<HashMap<u64, Rc<Connection>>>,
    none_left: Notify,
}

impl<S: Service> Worker<S> {
    fn new(shared: Shared, service: S) -> Self {
        Worker {
            context: Rc::new(Context::new(service, &shared.settings, shared.metrics.clone())),
            connections: Rc::default(),
            clock: Rc::default(),
            budget: Budget::new(usize::try_from(shared.settings.memory).unwrap_or(usize::MAX) / shared.settings.worker_count().max(1)),
            patience: Patience::new(&shared.settings),
            refusing: Rc::default(),
            shared,
        }
    }

    async fn run(self: Rc<Self>, sockets: Vec<Socket>) -> io::Result<Vec<String>> {
        let mut accepting = Vec::new();
        for socket in sockets {
            accepting.push(tokio::task::spawn_local(self.clone().accept(socket)?));
        }
        let sweeping = tokio::task::spawn_local(self.clone().sweep());
        for listener in accepting {
            // Ends when the drain starts; a panic there ends that listener alone.
            if let Err(e) = listener.await {
                tracing::error!(error = %e, "a listener ended");
            }
        }
        let mut phase = self.shared.phase.clone();
        let cut = tokio::select! {
            biased;
            () = self.finished() => Vec::new(),
            _ = phase.wait_for(|p| *p == Phase::Cut) => self.cut_all(),
        };
        sweeping.abort();
        self.connections.report();
        Ok(cut)
    }

    fn accept(self: Rc<Self>, socket: Socket) -> io::Result<impl Future<Output = ()> + 'static> {
        let listener = tokio::net::TcpListener::from_std(socket.listener)?;
        let local = listener.local_addr()?;
        let phase = self.shared.phase.clone();
        let logged = Cell::new(None);
        Ok(async move {
            let worker = &self;
            accept::accept_all(
                listener,
                phase,
                |tcp, address| worker.admit(tcp, address, local, socket.door, socket.transport),
                |kind, e| {
                    worker.shared.metrics.accept_errors.of(kind).inc();
                    // A full table fails ten times a second: one line per spell of ten seconds.
                    let now = worker.clock.now();
                    if logged.get().is_none_or(|at| now.wrapping_sub(at) > 40) {
                        logged.set(Some(now));
                        tracing::warn!(error = %e, reason = ?kind, "accept failed; the listener pauses");
                    }
                },
            )
            .await;
        })
    }

    fn admit(&self, tcp: TcpStream, address: SocketAddr, local: SocketAddr, door: Door, transport: Transport) {
        let secure = transport.is_secure();
        let admitted = match self.shared.admission.enter(address.ip()) {
            Ok(admitted) => admitted,
            Err(reason) => {
                self.shared.metrics.shed.of(reason).inc();
                return accept::refuse(tcp, door, secure, &self.refusing);
            }
        };
        if let Err(e) = tcp.set_nodelay(true) {
            tracing::trace!(error = %e, "a connection ended as it began");
            return;
        }
        let id = self.shared.next_connection.fetch_add(1, Ordering::Relaxed);
        // The listener's own address may be a wildcard.
        let local = if local.ip().is_unspecified() { tcp.local_addr().unwrap_or(local) } else { local };
        let peer = Peer { address, local, door, secure, client: None, connection: id };
        let connection = Connection::new(peer, self.clock.clone(), self.shared.metrics.clone(), self.budget.clone());
        self.shared.metrics.connections_accepted.of(door).inc();
        let counted = self.shared.metrics.connections.enter(door);
        let tls = self.shared.tls.clone().filter(|_| secure);
        let listed = self.connections.list(connection.clone());
        let served = serve(self.context.clone(), tcp, connection.clone(), tls.map(|tls| (tls, transport)));
        let task = tokio::task::spawn_local(async move {
            let _until_the_end = (admitted, counted, listed);
            served.await;
        });
        connection.set_task(task.abort_handle());
    }

    /// Looks at every connection once a tick: ends those whose time is up, and those that the drain wants gone.
    async fn sweep(self: Rc<Self>) {
        let mut phase = self.shared.phase.clone();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut drain_ticks: Option<u32> = None;
        let mut thrift = Thrift::default();
        loop {
            tokio::select! {
                _ = ticks.tick() => self.clock.advance(),
                _ = phase.wait_for(|p| *p != Phase::Serving), if drain_ticks.is_none() => {}
            }
            if *phase.borrow() != Phase::Serving {
                drain_ticks = Some(drain_ticks.map_or(0, |n| n.saturating_add(1)));
            }
            let mut users = 0;
            for connection in self.connections.open.borrow().values() {
                users += 1 + connection.requests();
                self.look_after(connection, drain_ticks);
            }
            if thrift.is_time(users, self.budget.take_highest()) {
                give_back();
            }
        }
    }

    fn look_after(&self, connection: &Connection, drain_ticks: Option<u32>) {
        let metrics = &self.shared.metrics;
        report(connection);
        if let Some(ticks) = drain_ticks {
            if connection.is_fresh() && ticks >= FRESH_TICKS {
                return connection.cut();
            } else if !connection.is_fresh() {
                connection.ask_close();
            }
        }
        match connection.verdict(&self.patience) {
            Verdict::Keep => {}
            Verdict::Close(why) => {
                metrics.timeouts.of(why).inc();
                connection.ask_close();
            }
            Verdict::Cut(why) => {
                // An idle one was counted when it was asked to close.
                if why != Timeout::Idle {
                    metrics.timeouts.of(why).inc();
                }
                tracing::debug!(peer = %connection.peer.address, ?why, "connection timed out");
                connection.cut();
            }
            Verdict::Forget => connection.cut(),
        }
    }

    /// Every connection ended and no tracked work runs anywhere.
    async fn finished(&self) {
        self.connections.none_left().await;
        self.shared.tracker.idle().await;
    }

    fn cut_all(&self) -> Vec<String> {
        let open = self.connections.open.borrow();
        let cut: Vec<String> = open.values().flat_map(|c| c.describe_requests()).collect();
        self.shared.metrics.drain_cut.inc_by(cut.len() as u64);
        open.values().for_each(|c| c.cut());
        cut
    }
}

fn report(connection: &Connection) {
    let (read, written) = connection.take_traffic();
    let metrics = &connection.metrics;
    if read > 0 {
        metrics.bytes_in.of(connection.peer.door).inc_by(read);
    }
    if written > 0 {
        metrics.bytes_out.of(connection.peer.door).inc_by(written);
    }
}

impl Connections {
    fn list(self: &Rc<Self>, connection: Rc<Connection>) -> Listed {
        self.open.borrow_mut().insert(connection.peer.connection, connection.clone());
        Listed { connections: self.clone(), connection }
    }

    async fn none_left(&self) {
        while !self.open.borrow().is_empty() {
            self.none_left.notified().await;
        }
    }

    fn report(&self) {
        self.open.borrow().values().for_each(|c| report(c));
    }
}

/// A connection's place in the list; its end takes it out.
struct Listed {
    connections: Rc<Connections>,
    connection: Rc<Connection>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        report(&self.connection);
        let left = {
            let mut open = self.connections.open.borrow_mut();
            open.remove(&self.connection.peer.connection);
            open.len()
        };
        if left == 0 {
            self.connections.none_left.notify_one();
        }
    }
}
