//! A whole gateway inside the test: store, identity, all three doors on port 0, a data and a policies folder of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tidegate::auth::{self, Auth, OperatorKey};
use tidegate::base::storable::Writers;
use tidegate::base::timestamp::Timestamp;
use tidegate::http::console::Console;
use tidegate::http::door::Doors;
use tidegate::http::gateway;
use tidegate::local::sealed::Sealing;
use tidegate::local::{Local, Settings as StoreSettings};
use tidegate::net::drain::Tracker;
use tidegate::net::listen::{Address, Transport};
use tidegate::net::server::{self, Server};
use tidegate::net::settings::Settings as NetSettings;
use tidegate::ops::changes::Changes;
use tidegate::ops::events::Events;
use tidegate::ops::lifecycle::How;
use tidegate::ops::lifecycle::report::Report;
use tidegate::ops::{Ops, encryption};
use tidegate::origin::Origin;
use tidegate::queue::{self, Queue};
use tidegate::telemetry::access_log;
use tidegate::telemetry::bucket_logs::{self, BucketLogs};
use tidegate::telemetry::log::Format;
use tidegate::telemetry::metrics::{Door, Metrics};
use tidegate::upstream::{self, Upstream};
use tidegate::variants::{Variants, settings as variants};

use crate::support::client::{Client, Request, Sign};
use crate::support::signer::Key;

pub struct Setup {
    tenants: Vec<(String, String)>,
    /// More files in the folder of policies, by path.
    pub files: Vec<(String, String)>,
    pub store: StoreSettings,
    pub auth: auth::Settings,
    pub doors: gateway::Settings,
    pub variants: variants::Settings,
    /// None: over the embedded store.
    pub upstream: Option<upstream::Settings>,
    /// None: no access log.
    pub access_log: Option<Format>,
}

/// The bucket of the upstream gateway that another one stands over.
pub const HOME: &str = "home";
const ACCESS_LOG: &str = "access.log";

impl Setup {
    /// Two tenants, `acme` and `bravo`; see the keys below.
    pub fn new() -> Self {
        // Tests share a disk with builds, and look at what is left on it.
        let store = StoreSettings {
            reserve_bytes: 0,
            drop_grace: Duration::ZERO,
            upkeep_interval: Duration::from_millis(200),
            index_cache_bytes: 8 * 1024 * 1024,
            ..StoreSettings::default()
        };
        // Most of them get another one over them, and their buckets are opened by ACLs.
        let doors = gateway::Settings { gateways_above: true, object_ownership: None, ..gateway::Settings::default() };
        let mut setup = Setup {
            tenants: Vec::new(),
            files: Vec::new(),
            store,
            auth: auth::Settings::default(),
            doors,
            variants: variants::Settings { reserve_bytes: 0, ..variants::Settings::default() },
            upstream: None,
            access_log: None,
        };
        setup.tenant("acme", "", &[("AKACME", "acme-secret-1", ""), ("AKACMEOLD", "acme-secret-0", ", enabled = false")]);
        setup.tenant("bravo", "", &[("AKBRAVO", "bravo-secret", "")]);
        setup
    }

    /// `limits` as in the file; each key with what follows its secret.
    pub fn tenant(&mut self, id: &str, limits: &str, keys: &[(&str, &str, &str)]) -> &mut Self {
        let keys: Vec<String> = keys
            .iter()
            .map(|(access, secret, more)| format!("{{ access_key = \"{access}\", secret = {{ value = \"{secret}\" }}{more} }}"))
            .collect();
        let text = format!("id = \"{id}\"\npolicies = [\"tenant-default\"]\nkeys = [{}]\nlimits = {{ {limits} }}\n", keys.join(", "));
        self.tenants.push((id.to_owned(), text));
        self
    }

    pub fn start(self) -> Gateway {
        let dir = tempfile::tempdir().unwrap();
        let policies = dir.path().join("policies");
        std::fs::create_dir_all(policies.join("tenants")).unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/tenant-default.json");
        std::fs::copy(shipped, policies.join("tenant-default.json")).unwrap();
        for (id, text) in &self.tenants {
            std::fs::write(policies.join(format!("tenants/{id}.toml")), text).unwrap();
        }
        for (path, text) in &self.files {
            let path = policies.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let store = StoreSettings { dir: dir.path().join("data"), ..self.store };
        let variants = variants::Settings { dir: store.dir.join("variants"), ..self.variants };
        let file = self.access_log.map(|_| dir.path().join(ACCESS_LOG));
        let access_log = access_log::Settings { file, format: self.access_log.unwrap_or(Format::Text), ..access_log::Settings::default() };
        let parts = Parts { store, variants, auth: self.auth, doors: self.doors, upstream: self.upstream, policies, access_log };
        Gateway { running: Some(Running::start(&parts)), parts, dir, below: None }
    }

    /// Over the bucket `HOME` of another gateway.
    pub fn start_over(self, below: Gateway) -> Gateway {
        let mut client = below.client();
        client.send(&Request::on("PUT", HOME, ""), Sign::Header(&operator())).expect(200);
        let upstream = Some(over(below.address(Door::S3), HOME));
        Setup { upstream, ..self }.start().standing_over(below)
    }
}

pub fn operator() -> Key {
    Key::new("AKOPERATOR", "operator-secret")
}

pub fn acme() -> Key {
    Key::new("AKACME", "acme-secret-1")
}

/// A key of acme that was switched off.
pub fn acme_disabled() -> Key {
    Key::new("AKACMEOLD", "acme-secret-0")
}

pub fn bravo() -> Key {
    Key::new("AKBRAVO", "bravo-secret")
}

/// A bucket of a gateway, or of a proxy in front of one.
pub fn over(address: std::net::SocketAddr, bucket: &str) -> upstream::Settings {
    let key = operator();
    let keys = Some(upstream::client::Keys { access_key: key.access, secret: key.secret, session_token: None });
    let access = upstream::client::Access {
        endpoint: Some(format!("http://{address}")),
        region: Some("us-east-1".into()),
        path_style: true,
        profile: None,
        keys,
    };
    upstream::Settings { access, bucket: bucket.into(), reserve_bytes: 0, ..upstream::Settings::default() }
}

pub struct Gateway {
    // Stopped before its folder goes.
    running: Option<Running>,
    parts: Parts,
    dir: tempfile::TempDir,
    /// Goes last.
    below: Option<Box<Gateway>>,
}

struct Parts {
    store: StoreSettings,
    variants: variants::Settings,
    auth: auth::Settings,
    doors: gateway::Settings,
    upstream: Option<upstream::Settings>,
    policies: PathBuf,
    access_log: access_log::Settings,
}

struct Running {
    addresses: Vec<Address>,
    server: Option<Server>,
    close: Option<Box<dyn FnOnce() + Send + Sync>>,
    queue: Queue,
    gateway: Arc<gateway::Gateway>,
}

impl Running {
    fn start(parts: &Parts) -> Self {
        let Parts { store, variants, auth, doors, upstream, policies, access_log } = parts;
        let key = operator();
        let secret = key.secret.clone();
        let key = OperatorKey::from_strings(&key.access, &key.secret).unwrap();
        let auth = Arc::new(Auth::new(auth.clone(), policies.clone(), key).unwrap_or_else(|faults| panic!("{faults:?}")));
        let (origin, close): (Origin, Box<dyn FnOnce() + Send + Sync>) = match upstream {
            None => {
                let sealing = Sealing::new(secret.as_bytes(), None).unwrap();
                let local = Local::open(StoreSettings { sealing, ..store.clone() }).unwrap();
                (Origin { encryption_keys: Some(local.clone()), ..Origin::of(local.clone()) }, Box::new(move || local.close()))
            }
            Some(settings) => {
                let settings = upstream::Settings { dir: store.dir.join("upstream"), ..settings.clone() };
                let upstream = on_a_runtime(move || async move { Upstream::start(settings, secret.as_bytes()).await.unwrap() });
                (Origin { has_classes: true, ..Origin::of(Arc::new(upstream.clone())) }, Box::new(move || upstream.close()))
            }
        };
        let metrics = Arc::new(Metrics::new());
        let variants = Variants::start(variants::Settings { metrics: metrics.clone(), ..variants.clone() }).unwrap();
        let queue = Queue::open(queue::Settings { dir: store.dir.join("queue"), ..queue::Settings::default() }).unwrap();
        let writers = if doors.gateways_above && upstream.is_none() { Writers::Gateways } else { Writers::Clients };
        let keys = upstream.is_none().then(|| store.encryption_keys.clone());
        let rules = encryption::Rules { keys, blocks_customer_keys: doors.encryption.block_customer_keys };
        let events = Events::new(Default::default(), origin.clone(), queue.clone(), metrics.events.clone()).unwrap();
        let changes = Changes::new(vec![Arc::new(events.clone())], queue.clone(), Tracker::default());
        let ops = Ops::new(origin, variants, queue.clone()).with_writers(writers).with_encryption(rules);
        let ops = ops.with_changes(changes).with_events(events);
        let (loading, known) = (ops.clone(), auth.clone());
        on_a_runtime(move || async move { loading.load_settings(&known).await.unwrap() });
        let shared = Arc::new(gateway::Gateway {
            auth,
            ops,
            metrics: metrics.clone(),
            audit: None,
            access_log: access_log::start(access_log, metrics.clone()).unwrap().map(|(log, _)| log),
            bucket_logs: BucketLogs::start(
                &bucket_logs::Settings { dir: store.dir.join("bucket-logs"), ..Default::default() },
                metrics.clone(),
            )
            .unwrap()
            .0,
            settings: doors.clone(),
            seals: None,
            cors: Default::default(),
            websites: Default::default(),
            documents: Default::default(),
            provider_keys: Default::default(),
            console: Console::open(&Default::default(), None).unwrap(),
            usage: None,
        });
        let any = |door| Address { door, address: "127.0.0.1:0".parse().unwrap(), transport: Transport::Plain };
        let settings = NetSettings { workers: 2, ..NetSettings::default() };
        let listening = server::listen(settings, &[any(Door::S3), any(Door::Edge), any(Door::Admin)], None, metrics).unwrap();
        let addresses = listening.addresses();
        let service = shared.clone();
        let server = listening.serve(Tracker::default(), move || Doors::new(service.clone())).unwrap();
        Running { addresses, server: Some(server), close: Some(close), queue, gateway: shared }
    }
}

/// On a thread of its own: some tests run inside a runtime.
fn on_a_runtime<T: Send, F: Future<Output = T>>(work: impl FnOnce() -> F + Send) -> T {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    std::thread::scope(|s| s.spawn(|| runtime().block_on(work())).join()).unwrap()
}

impl Drop for Running {
    fn drop(&mut self) {
        let server = self.server.take();
        // A thread of its own: some tests run inside a runtime.
        let stopping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(server.unwrap().drain(Duration::from_millis(200)));
        });
        let _ = stopping.join();
        self.queue.close();
        if let Some(close) = self.close.take() {
            close();
        }
    }
}

impl Gateway {
    pub fn start() -> Self {
        Setup::new().start()
    }

    /// Over another one, as its upstream.
    pub fn start_over_another() -> Self {
        Setup::new().start_over(Gateway::start())
    }

    /// `below` goes when this one has gone.
    pub fn standing_over(self, below: Gateway) -> Gateway {
        Gateway { below: Some(Box::new(below)), ..self }
    }

    /// The gateway that this one stands over.
    pub fn below(&self) -> &Gateway {
        self.below.as_ref().unwrap()
    }

    pub fn address(&self, door: Door) -> std::net::SocketAddr {
        self.running.as_ref().unwrap().addresses.iter().find(|a| a.door == door).unwrap().address
    }

    /// A run of the lifecycle, as its job does it.
    pub fn run_lifecycle(&self, dry_run: bool) -> Report {
        let gateway = &self.running.as_ref().unwrap().gateway;
        let (ops, grant, how) = (gateway.ops.clone(), gateway.auth.gateway(), How { dry_run, now: Timestamp::now() });
        on_a_runtime(move || async move { ops.run_lifecycle(&grant, how, &|_, _| ()).await.unwrap() })
    }

    /// On the S3 door.
    pub fn client(&self) -> Client {
        Client::new(self.address(Door::S3))
    }

    pub fn data(&self) -> PathBuf {
        self.parts.store.dir.clone()
    }

    pub fn access_log(&self) -> PathBuf {
        self.dir.path().join(ACCESS_LOG)
    }

    pub fn policies(&self) -> PathBuf {
        self.dir.path().join("policies")
    }

    /// Stops, lets `between` look at or change the folder, starts again. The ports are new ones.
    pub fn restart(&mut self, between: impl FnOnce(&Path)) {
        self.running = None;
        between(&self.parts.store.dir);
        self.running = Some(Running::start(&self.parts));
    }

    /// The bodies that are files of their own in the scope of a tenant.
    pub fn blobs(&self, tenant: &str) -> Vec<PathBuf> {
        files_under(&self.data().join("blobs").join(tenant))
    }
}

pub fn files_under(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        // May go away while it is looked at.
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(t) if t.is_dir() => dirs.push(entry.path()),
                Ok(_) => found.push(entry.path()),
                Err(_) => {}
            }
        }
    }
    found.sort();
    found
}
