//! All workers together: bind, start, drain, cut.
//!
//! Called by `app.rs`, and by tests with a service of their own. The order of a stop: no new connections, idle ones
//! closed, running requests and tracked work waited for, and at the deadline the rest is cut and named.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::admission::Admission;
use super::descriptors;
use super::drain::{Phase, Tracker};
use super::listen::{Address, Bound, bind};
use super::service::Service;
use super::settings::Settings;
use super::tls::Tls;
use super::worker::{self, Shared, Socket};
use crate::telemetry::metrics::{Door, Metrics};

/// After the cut the workers only have to notice it.
const AFTER_CUT: Duration = Duration::from_secs(5);

/// Bound and not yet serving: connections wait in the kernel.
pub struct Listening {
    settings: Settings,
    bound: Vec<Bound>,
    tls: Option<Arc<Tls>>,
    metrics: Arc<Metrics>,
}

/// Fails with the address that could not be bound.
pub fn listen(
    settings: Settings,
    addresses: &[Address],
    tls: Option<Arc<Tls>>,
    metrics: Arc<Metrics>,
) -> Result<Listening, (SocketAddr, io::Error)> {
    let workers = settings.worker_count();
    let bound = addresses.iter().map(|a| bind(a, workers, settings.backlog).map_err(|e| (a.address, e))).collect::<Result<_, _>>()?;
    Ok(Listening { settings, bound, tls, metrics })
}

impl Listening {
    /// The addresses with the ports that were picked, in the order they were given.
    pub fn addresses(&self) -> Vec<Address> {
        self.bound.iter().map(|b| Address { door: b.door, address: b.address, transport: b.transport }).collect()
    }

    pub fn address(&self, door: Door) -> Option<SocketAddr> {
        self.bound
            .iter()
            .find(|b| b.door == door && !b.transport.is_secure())
            .or(self.bound.iter().find(|b| b.door == door))
            .map(|b| b.address)
    }

    /// Starts the workers. `service` is called once on each worker's thread.
    pub fn serve<S: Service>(self, tracker: Tracker, service: impl Fn() -> S + Clone + Send + 'static) -> io::Result<Server> {
        let (phase, watching) = watch::channel(Phase::Serving);
        let workers = self.settings.worker_count();
        let descriptors = descriptors::raise_limit();
        let max = match self.settings.max_connections {
            0 => descriptors::connections_within(descriptors),
            n => n,
        };
        let shared = Shared {
            admission: Admission::new(max, self.settings.max_connections_per_address),
            settings: Arc::new(self.settings),
            metrics: self.metrics,
            tls: self.tls,
            tracker,
            phase: watching,
            next_connection: Arc::new(AtomicU64::new(1)),
        };
        let mut sockets: Vec<Vec<Socket>> = (0..workers).map(|_| Vec::new()).collect();
        for bound in self.bound {
            for (of_worker, listener) in sockets.iter_mut().zip(bound.sockets) {
                of_worker.push(Socket { door: bound.door, transport: bound.transport, listener });
            }
        }
        let mut server = Server { phase: Arc::new(phase), workers: Vec::new() };
        for (n, sockets) in sockets.into_iter().enumerate() {
            let (ended, end) = oneshot::channel();
            let (shared, service) = (shared.clone(), service.clone());
            let thread = std::thread::Builder::new().name(format!("worker-{n}")).spawn(move || {
                let cut = worker::run(shared, sockets, service).unwrap_or_else(|e| {
                    tracing::error!(error = %e, "a worker could not start");
                    Vec::new()
                });
                // Nobody may be waiting any more.
                let _ = ended.send(cut);
            })?;
            server.workers.push(WorkerHandle { end, thread });
        }
        Ok(server)
    }
}

pub struct Server {
    phase: Arc<watch::Sender<Phase>>,
    workers: Vec<WorkerHandle>,
}

struct WorkerHandle {
    end: oneshot::Receiver<Vec<String>>,
    thread: JoinHandle<()>,
}

/// Ends a drain early (a second signal).
#[derive(Clone)]
pub struct Cutter(Arc<watch::Sender<Phase>>);

impl Cutter {
    pub fn cut(&self) {
        self.0.send_replace(Phase::Cut);
    }
}

impl Server {
    pub fn cutter(&self) -> Cutter {
        Cutter(self.phase.clone())
    }

    /// Stops in good order; what still runs at the deadline is cut. Returns the requests that were cut.
    pub async fn drain(self, deadline: Duration) -> Vec<String> {
        self.phase.send_if_modified(|p| {
            let serving = *p == Phase::Serving;
            if serving {
                *p = Phase::Draining;
            }
            serving
        });
        let until = tokio::time::Instant::now() + deadline;
        let mut cut = Vec::new();
        for mut worker in self.workers {
            let ended = match tokio::time::timeout_at(until, &mut worker.end).await {
                Ok(ended) => Ok(ended),
                Err(_) => {
                    self.phase.send_replace(Phase::Cut);
                    tokio::time::timeout(AFTER_CUT, &mut worker.end).await
                }
            };
            match ended {
                Ok(Ok(requests)) => {
                    cut.extend(requests);
                    // It has sent its last word: the join waits for the thread's end only.
                    let _ = worker.thread.join();
                }
                Ok(Err(_)) => tracing::error!("a worker had panicked"),
                Err(_) => tracing::error!("a worker did not stop; it is left behind"),
            }
        }
        cut
    }
}
