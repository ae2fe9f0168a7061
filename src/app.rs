//! Builds every part from a `Config`, runs them, and stops them in order.
//!
//! Not here: arguments and what is printed (`cli`). Called by `cli` and by tests.
//! Order of a start: what can be checked without side effects first, then the store, then the ports: a port that is
//! open is served. Order of a stop: no new connections and no new jobs, running requests and jobs, the access log,
//! what is told of events, the store.

pub mod cluster;
pub mod jobs;
pub mod reload;
pub mod settings_watch;
pub mod stack;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use crate::auth::Auth;
use crate::auth::grant::GatewayGrant;
use crate::auth::operator::OperatorKey;
use crate::base::error::Error;
use crate::base::names::TenantId;
use crate::base::storable::Writers;
use crate::base::timestamp::Timestamp;
use crate::cdn::Map;
use crate::config::{Config, Listen};
use crate::files::sys;
use crate::http::console::{Console, S3Port};
use crate::http::door::Doors;
use crate::http::edge::site::Site;
use crate::http::gateway::Gateway;
use crate::jobs::deliver_events::Couriers;
use crate::jobs::deliver_log::{self, DeliverLog};
use crate::jobs::inspect::Inspect;
use crate::jobs::optimize::Optimize;
use crate::local::sealed::Sealing;
use crate::net::drain::Tracker;
use crate::net::listen::{Address, Transport};
use crate::net::server::{self, Server};
use crate::net::tls::Tls;
use crate::ops::Ops;
use crate::ops::changes::{Changes, Follower};
use crate::ops::encryption;
use crate::ops::events::Events;
use crate::ops::lifecycle::reads::ReadLog;
use crate::ops::media::Media;
use crate::ops::renditions::Renditions;
use crate::ops::shared_upkeep::SharedUpkeep;
use crate::ops::shared_usage::SharedUsage;
use crate::private;
use crate::queue::runner::{Limits, Spent, TenantLimit};
use crate::queue::{Queue, Runner};
use crate::telemetry::access_log::{self, AccessLog};
use crate::telemetry::audit::{self, AuditLog};
use crate::telemetry::bucket_logs::{self, BucketLogs, Wanted};
use crate::telemetry::line_log;
use crate::telemetry::metrics::{Door, Metrics};
use crate::telemetry::redact;
use crate::usage::Usage;
use crate::variants::Variants;
use crate::variants::settings::Settings as VariantSettings;
use reload::Reloader;

/// How often certificates and policies are looked at for changes.
const LOOK_FOR_CHANGES: Duration = Duration::from_secs(2);
/// What telling the other nodes of the last usage may take.
const LAST_USAGE: Duration = Duration::from_secs(3);
/// Variants stop growing when the disk has this many times `store.reserve` left: long before writes are refused.
const VARIANTS_RESERVE: u64 = 16;

pub struct App {
    gateway: Arc<Gateway>,
    stores: Vec<stack::Close>,
    queue: Queue,
    jobs: Runner,
    couriers: Couriers,
    server: Server,
    access_log: Option<line_log::Writer>,
    audit: Option<line_log::Writer>,
    bucket_logs: bucket_logs::Writer,
    addresses: Vec<Address>,
    reloader: Reloader,
    settings_watch: Option<JoinHandle<()>>,
    log_watch: JoinHandle<()>,
    /// That keep what was used and read.
    usage_tasks: Vec<JoinHandle<()>>,
    usage: Usage,
    drain_timeout: Duration,
}

pub enum StartError {
    /// What the operator wrote: every fault, one to a line.
    Faults(Vec<String>),
    Failed(String),
}

impl From<Error> for StartError {
    fn from(e: Error) -> Self {
        StartError::Failed(e.to_string())
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Faults(faults) => f.write_str(&faults.join("\n")),
            StartError::Failed(why) => f.write_str(why),
        }
    }
}

/// The end of a run.
pub struct Stopped {
    /// The requests that the deadline, or a second signal, cut.
    pub cut: Vec<String>,
}

impl App {
    pub async fn start(mut config: Config, operator: OperatorKey) -> Result<App, StartError> {
        close_to_others(&config)?;
        redact::set_token_paths(config.doors.sites.list().iter().map(|site| site.token_path.as_str()));
        let before = operator.before.as_ref().map(|secret| secret.expose().as_bytes());
        config.store.sealing = Sealing::new(operator.secret.expose().as_bytes(), before)?;
        let metrics = Arc::new(Metrics::new());
        let (wants_tls, queue_settings, usage) = (config.wants_tls(), config.queue_settings(), config.usage_settings());
        let replicas = config.replica_settings().map_err(StartError::Faults)?;
        let shadows = config.shadow_settings().map_err(StartError::Faults)?;
        let keys = config.named_keys().map_err(StartError::Faults)?;
        config.store.encryption_keys = keys.clone();
        let (upstream, cache) = (config.upstream_settings(), config.cache_settings(&metrics));
        let (spool, events_settings) = (config.bucket_log_settings(), config.event_settings());
        let audit_settings = config.audit_settings();
        // Over S3 what is reserved is our own.
        let theirs = config.doors.gateways_above && upstream.is_none();
        let writers = if theirs { Writers::Gateways } else { Writers::Clients };
        let blocks_customer_keys = config.doors.encryption.block_customer_keys;
        let encryption = encryption::Rules { keys: upstream.is_none().then_some(keys), blocks_customer_keys };
        let secret = operator.secret.clone();
        let auth = Arc::new(Auth::new(config.auth, config.policies, operator).map_err(faults)?);
        auth.summary().warnings.iter().for_each(|w| tracing::warn!("{w}"));
        let tls = if wants_tls {
            let tls = Tls::load_with_clients(&config.certificates, config.client_authorities.as_deref()).map_err(faults)?;
            Some(Arc::new(tls))
        } else {
            None
        };
        let secrets = [config.doors.caller_secrets(), events_settings.secrets()].concat();
        reload::load_secrets(&secrets).map_err(StartError::Faults)?;

        let variants = VariantSettings {
            dir: config.store.dir.join("variants"),
            reserve_bytes: config.store.reserve_bytes.saturating_mul(VARIANTS_RESERVE),
            metrics: metrics.clone(),
            ..config.variants
        };
        let queue = open_queue(queue_settings)?;
        let usage = open_usage(usage, &metrics)?;
        let generation = jobs::open_generation(config.generate, &config.fetch, &usage)?;
        let cluster = cluster::start(&config.cluster, &secret, &queue, cache.freshness.if_error, &metrics.peers)?;
        let lifecycle = config.lifecycle.clone();
        config.store.lifecycles = lifecycle.rules();
        let lifecycles = config.store.lifecycles.clone();
        let settings = stack::Settings { local: config.store, upstream, shadows, cache, replicas, back: config.back };
        let neighbours = cluster.neighbours();
        let stack =
            stack::open(settings, &stack::Tools { secret: &secret, queue: &queue, usage: &usage, neighbours, metrics: &metrics }).await?;
        // Over a remote S3 other nodes may stand too.
        let over_s3 = stack.layers.cache.is_some();
        let purges = jobs::purges(Map::new(config.doors.sites.list().iter().filter_map(Site::behind_cdn).collect()), &config.cdn, &queue)?;
        let tracker = Tracker::default();
        let events = Events::new(events_settings, stack.origin.clone(), queue.clone(), metrics.events.clone())?;
        let told: Option<Arc<dyn Follower>> = Some(Arc::new(events.clone()));
        let media = Media::start(&config.media, over_s3, metrics.media.clone())?;
        let renditions = media.as_ref().map(|media| Renditions::new(&config.media.renditions, media.pool().clone(), metrics.media.clone()));
        let (inspections, follow) = jobs::media_followers(renditions.as_ref(), &stack.origin, over_s3).await;
        let followers =
            [purges.follower(), stack.follower(), cluster.follower(), told, inspections, follow].into_iter().flatten().collect();
        let changes = Changes::new(followers, queue.clone(), tracker.clone());
        changes.take_up().await?;
        if let Some(replicas) = &stack.layers.replicas {
            tokio::spawn(replicas.clone().tend());
        }
        let read_log = ReadLog::start(&stack.origin, &lifecycles, Timestamp::now()).await?;
        let read_task = read_log.clone().map(|log| tokio::spawn(log.run()));
        let ops = Ops::new(stack.origin, Variants::start(variants)?, queue.clone())
            .with_cdn(purges.cdn())
            .with_changes(changes.clone())
            .with_events(events.clone())
            .with_layers(stack.layers.clone())
            .with_peers(cluster.peers())
            .with_writers(writers)
            .with_lifecycles(lifecycles)
            .with_read_log(read_log)
            .with_encryption(encryption)
            .with_media(media)
            .with_renditions(renditions)
            .with_fetch(config.fetch.clone())
            .with_generation(generation.clone())
            .with_usage(usage.clone(), shared_usage(stack.shared.as_ref(), &queue, &usage)?);
        let follows = jobs::told(&events);
        let webhooks = events.settings().webhooks.clone();
        let recount = stack.layers.tally.as_ref().map(|_| usage.settings().recount);
        let (recurring, leases) =
            jobs::recurring(stack.shared.as_ref(), stack.layers.replicas.as_ref(), &config.cluster, lifecycle.every(), recount, &queue)?;
        let telling = stack.layers.tally.clone().map(|tally| tokio::spawn(tally.keep_telling(usage.settings().tell)));
        let gauges = metrics.lifecycle.clone();
        let parts = jobs::Parts {
            changes,
            events,
            purges,
            peers: cluster.kind(),
            layers: stack.layers,
            shared: stack.shared,
            lifecycle: gauges,
            fetch: config.fetch,
            generation,
            keep_usage: usage.settings().keep_days,
        };
        let (bucket_logs, bucket_log_writer) = start_bucket_logs(&spool, &metrics)?;
        let mut kinds = jobs::kinds(parts, &ops, &auth);
        kinds.push(Arc::new(Inspect::new(ops.clone(), auth.clone(), &config.media.pool)));
        kinds.push(Arc::new(Optimize::new(ops.clone(), auth.clone(), &config.media.pool)));
        kinds.push(Arc::new(DeliverLog { ops: ops.clone(), auth: auth.clone(), dir: spool.dir.clone() }));
        jobs::register(&queue, recurring, &kinds).await?;
        ops.load_settings(&auth).await?;
        let mut usage_tasks =
            vec![tokio::spawn(ops.clone().keep_measuring(metrics.usage.clone())), tokio::spawn(ops.clone().keep_sharing())];
        usage_tasks.push(tokio::spawn(ops.clone().keep_watching_limits(auth.clone(), f64::from(config.limit_near) / 100.0)));
        usage_tasks.extend(read_task.into_iter().chain(telling));
        let settings_watch = over_s3.then(|| tokio::spawn(settings_watch::run(ops.clone(), auth.clone())));
        let log_watch = tokio::spawn(deliver_log::watch(spool.dir, queue.clone()));
        tokio::spawn(look_for_logged_buckets(ops.clone(), auth.gateway(), bucket_logs.wanted.clone()));

        let addresses = addresses(&config.s3, &config.edge, &config.admin);
        let listening = server::listen(config.net, &addresses, tls.clone(), metrics.clone())
            .map_err(|(address, e)| StartError::Failed(format!("can't listen on {address}: {e}")))?;
        let addresses = listening.addresses();
        let s3 = addresses.iter().filter(|a| a.door == Door::S3).min_by_key(|a| a.transport != Transport::Plain);
        let s3 = s3.map(|a| S3Port { secure: a.transport != Transport::Plain, port: a.address.port() });
        let console = Console::open(&config.doors.console, s3).map_err(StartError::Failed)?;
        let (log, writer) = start_access_log(&config.access_log, &metrics)?;
        let (audit, audit_writer) = start_audit_log(&audit_settings, &metrics)?;
        let gateway = Arc::new(Gateway {
            auth: auth.clone(),
            ops,
            metrics: metrics.clone(),
            access_log: log,
            audit: audit.clone(),
            bucket_logs,
            settings: config.doors,
            seals: cluster.seals(),
            cors: Default::default(),
            websites: Default::default(),
            documents: Default::default(),
            provider_keys: Default::default(),
            usage: Some(usage.clone()),
            console,
        });
        let service = gateway.clone();
        let server = listening
            .serve(tracker, move || Doors::new(service.clone()))
            .map_err(|e| StartError::Failed(format!("the workers can't be started: {e}")))?;
        let (of_tenant, spent) = (tenant_limits(auth.clone()), job_seconds(usage.clone()));
        let limits = Limits { settings: config.jobs, of_tenant, spent, follows };
        let couriers = Couriers::start(&webhooks, &queue, &metrics.events)?;
        let runner = Runner::start(queue.clone(), kinds, limits, leases, metrics.clone())?;
        let reloader = Reloader::new(auth, tls, secrets, metrics, audit);
        Ok(App {
            gateway,
            stores: stack.close,
            queue,
            jobs: runner,
            couriers,
            server,
            access_log: writer,
            audit: audit_writer,
            bucket_logs: bucket_log_writer,
            addresses,
            reloader,
            settings_watch,
            log_watch,
            usage_tasks,
            usage,
            drain_timeout: config.drain_timeout,
        })
    }

    /// The first address of the door, with the port that was picked.
    pub fn address(&self, door: Door, transport: Transport) -> Option<SocketAddr> {
        self.addresses.iter().find(|a| a.door == door && a.transport == transport).map(|a| a.address)
    }

    /// Serves until the first SIGTERM or SIGINT, then drains; a second one cuts the drain short. SIGHUP reloads.
    pub async fn run(mut self, mut signals: Signals) -> Stopped {
        let mut looks = tokio::time::interval(LOOK_FOR_CHANGES);
        loop {
            tokio::select! {
                name = signals.stop.next() => {
                    tracing::info!(signal = name, deadline = ?self.drain_timeout, "stopping: waiting for running requests");
                    break;
                }
                _ = signals.hup.recv() => self.reloader.reload_all(),
                _ = looks.tick() => self.reloader.look(),
            }
        }
        let (cutter, cut_jobs) = (self.server.cutter(), self.jobs.cutter());
        let deadline = self.drain_timeout;
        let stopping = self.stop(deadline);
        tokio::pin!(stopping);
        tokio::select! {
            stopped = &mut stopping => return stopped,
            name = signals.stop.next() => tracing::warn!(signal = name, "cutting what still runs"),
        }
        cutter.cut();
        cut_jobs();
        stopping.await
    }

    /// Drains, and closes every part in order.
    pub async fn stop(self, deadline: Duration) -> Stopped {
        self.queue.release_waiters();
        self.settings_watch.inspect(JoinHandle::abort);
        self.log_watch.abort();
        self.usage_tasks.iter().for_each(JoinHandle::abort);
        let jobs = tokio::task::spawn_blocking(move || self.jobs.drain(deadline));
        let cut = self.server.drain(deadline).await;
        match jobs.await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "jobs were handed back: the next start begins them again"),
            Err(e) => tracing::error!(error = %e, "the jobs could not be stopped in good order"),
        }
        if !cut.is_empty() {
            tracing::warn!(count = cut.len(), requests = ?cut, "requests were cut");
        }
        match tokio::time::timeout(LAST_USAGE, self.gateway.ops.end_of_usage()).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::warn!(error = %e, "what was used could not be told to the end: the next start does it"),
            Err(_) => tracing::warn!("telling what was used took too long: the next start does it"),
        }
        if let Err(e) = self.gateway.ops.end_of_reads().await {
            tracing::warn!(error = %e, "what was read last could not be noted");
        }
        drop(self.reloader);
        // The workers are gone, and with them the other handles of the gateway: only then do the logs' threads end.
        match Arc::into_inner(self.gateway) {
            Some(gateway) => {
                drop(gateway);
                [self.access_log, self.audit].into_iter().flatten().for_each(line_log::Writer::finish);
                self.bucket_logs.finish();
            }
            None => tracing::warn!("the last lines of access logs may be missing"),
        }
        let mut couriers = self.couriers;
        if let Err(e) = tokio::task::spawn_blocking(move || couriers.stop()).await {
            tracing::error!(error = %e, "the bringing of events could not be stopped in good order");
        }
        self.queue.close();
        // The workers' counts came with their end.
        self.usage.close();
        self.stores.into_iter().for_each(|close| close());
        tracing::info!("stopped");
        Stopped { cut }
    }
}

/// What a supervisor says. Caught before it is told that the doors are open: it may say stop at once.
pub struct Signals {
    stop: StopSignals,
    hup: Signal,
}

impl Signals {
    pub fn catch() -> std::io::Result<Self> {
        let stop = StopSignals { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? };
        Ok(Signals { stop, hup: signal(SignalKind::hangup())? })
    }
}

struct StopSignals {
    term: Signal,
    int: Signal,
}

impl StopSignals {
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}

/// What an older version, or a hand, left open in the folders of our own.
fn close_to_others(config: &Config) -> Result<(), StartError> {
    sys::make_files_private();
    let mut folders = vec![config.store.dir.clone(), config.cache_folder()];
    // Nearly always it lies in the other one.
    folders.dedup_by(|second, first| second.starts_with(first));
    for folder in folders {
        let closed = private::tighten(&folder).map_err(|e| StartError::Failed(format!("{}: {e}", folder.display())))?;
        if closed > 0 {
            tracing::warn!(count = closed, folder = %folder.display(), "others on this machine could open files here: they are private now");
        }
    }
    Ok(())
}

fn addresses(s3: &Listen, edge: &Listen, admin: &Listen) -> Vec<Address> {
    let doors = [(Door::S3, s3), (Door::Edge, edge), (Door::Admin, admin)];
    let of = |door, addresses: &[SocketAddr], transport| {
        addresses.iter().map(move |&address| Address { door, address, transport }).collect::<Vec<_>>()
    };
    let all = doors.into_iter().flat_map(|(door, listen)| {
        let tls = of(door, &listen.tls, Transport::Tls);
        [of(door, &listen.plain, Transport::Plain), tls, of(door, &listen.mutual_tls, Transport::MutualTls)].concat()
    });
    all.collect()
}

/// On a thread of its own: it waits for the disk.
fn open_queue(settings: crate::queue::Settings) -> Result<Queue, StartError> {
    let opened = std::thread::spawn(move || Queue::open(settings)).join();
    Ok(opened.map_err(|_| StartError::Failed("the job queue panicked while it was opened".into()))??)
}

/// The same.
fn open_usage(settings: crate::usage::Settings, metrics: &Arc<Metrics>) -> Result<Usage, StartError> {
    let gauges = metrics.usage.clone();
    let opened = std::thread::spawn(move || Usage::open(settings, gauges)).join();
    Ok(opened.map_err(|_| StartError::Failed("usage panicked while it was opened".into()))??)
}

fn tenant_limits(auth: Arc<Auth>) -> TenantLimit {
    Arc::new(move |tenant| auth.tenant(&TenantId::parse(tenant).ok()?)?.limits.jobs)
}

fn start_bucket_logs(settings: &bucket_logs::Settings, metrics: &Arc<Metrics>) -> Result<(BucketLogs, bucket_logs::Writer), StartError> {
    let started = BucketLogs::start(settings, metrics.clone());
    started.map_err(|e| StartError::Failed(format!("the logs of buckets can't be kept in {}: {e}", settings.dir.display())))
}

/// Until it is known, requests for such a bucket are noted from the second one on.
async fn look_for_logged_buckets(ops: Ops, grant: GatewayGrant, wanted: Wanted) {
    match ops.some_bucket_is_logged(&grant).await {
        Ok(true) => wanted.set(),
        Ok(false) => {}
        Err(error) => tracing::warn!(%error, "which buckets want their log can't be read; it shows with their requests"),
    }
}

/// None: there are no other nodes.
fn shared_usage(shared: Option<&SharedUpkeep>, queue: &Queue, usage: &Usage) -> Result<Option<SharedUsage>, Error> {
    shared.map(|bucket| Ok(SharedUsage::new(bucket.clone(), queue.node()?, usage.clone()))).transpose()
}

fn job_seconds(usage: Usage) -> Spent {
    Arc::new(move |tenant, time| usage.worked(tenant, time))
}

fn start_access_log(
    settings: &access_log::Settings,
    metrics: &Arc<Metrics>,
) -> Result<(Option<AccessLog>, Option<line_log::Writer>), StartError> {
    match access_log::start(settings, metrics.clone()) {
        Ok(started) => Ok(started.unzip()),
        Err(e) => {
            let file = settings.file.as_ref().map(|f| f.display().to_string()).unwrap_or_default();
            Err(StartError::Failed(format!("the access log {file} can't be opened: {e}")))
        }
    }
}

fn start_audit_log(settings: &audit::Settings, metrics: &Arc<Metrics>) -> Result<(Option<AuditLog>, Option<line_log::Writer>), StartError> {
    match audit::start(settings, metrics.clone()) {
        Ok(started) => Ok(started.unzip()),
        Err(e) => {
            let dir = settings.dir.display();
            Err(StartError::Failed(format!("the audit log in {dir} can't be opened: {e}")))
        }
    }
}

fn faults<F: fmt::Display>(faults: Vec<F>) -> StartError {
    StartError::Faults(faults.iter().map(ToString::to_string).collect())
}
