//! A whole gateway inside the test: store, identity, all three doors on port 0, a data and a policies folder of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tidegate::auth::{self, Auth, OperatorKey};
use tidegate::http::door::Doors;
use tidegate::http::gateway::{self, Gateway as Parts};
use tidegate::local::{Local, Settings as StoreSettings};
use tidegate::net::drain::Tracker;
use tidegate::net::listen::{Address, Transport};
use tidegate::net::server::{self, Server};
use tidegate::net::settings::Settings as NetSettings;
use tidegate::ops::Ops;
use tidegate::queue::{self, Queue};
use tidegate::telemetry::metrics::{Door, Metrics};
use tidegate::variants::{Variants, settings as variants};

use crate::support::client::Client;
use crate::support::signer::Key;

pub struct Setup {
    tenants: Vec<(String, String)>,
    pub store: StoreSettings,
    pub auth: auth::Settings,
    pub doors: gateway::Settings,
    pub variants: variants::Settings,
}

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
        let mut setup = Setup {
            tenants: Vec::new(),
            store,
            auth: auth::Settings::default(),
            doors: gateway::Settings::default(),
            variants: variants::Settings { reserve_bytes: 0, ..variants::Settings::default() },
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
        let store = StoreSettings { dir: dir.path().join("data"), ..self.store };
        let variants = variants::Settings { dir: store.dir.join("variants"), ..self.variants };
        let running = Some(Running::start(&store, &variants, &self.auth, &self.doors, &policies));
        Gateway { running, store, variants, auth: self.auth, doors: self.doors, dir }
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

pub struct Gateway {
    // Stopped before its folder goes.
    running: Option<Running>,
    store: StoreSettings,
    variants: variants::Settings,
    auth: auth::Settings,
    doors: gateway::Settings,
    dir: tempfile::TempDir,
}

struct Running {
    addresses: Vec<Address>,
    server: Option<Server>,
    local: Arc<Local>,
    queue: Queue,
}

impl Running {
    fn start(
        store: &StoreSettings,
        variants: &variants::Settings,
        auth: &auth::Settings,
        doors: &gateway::Settings,
        policies: &Path,
    ) -> Self {
        let key = operator();
        let key = OperatorKey::from_strings(&key.access, &key.secret).unwrap();
        let auth = Arc::new(Auth::new(auth.clone(), policies.to_owned(), key).unwrap_or_else(|faults| panic!("{faults:?}")));
        let local = Local::open(store.clone()).unwrap();
        let metrics = Arc::new(Metrics::new());
        let variants = Variants::start(variants::Settings { metrics: metrics.clone(), ..variants.clone() }).unwrap();
        let queue = Queue::open(queue::Settings { dir: store.dir.join("queue"), ..queue::Settings::default() }).unwrap();
        let ops = Ops::new(local.clone(), variants, queue.clone());
        load_token_secrets(&ops, &auth);
        let parts =
            Arc::new(Parts { auth, ops, metrics: metrics.clone(), access_log: None, settings: doors.clone(), cors: Default::default() });
        let any = |door| Address { door, address: "127.0.0.1:0".parse().unwrap(), transport: Transport::Plain };
        let settings = NetSettings { workers: 2, ..NetSettings::default() };
        let listening = server::listen(settings, &[any(Door::S3), any(Door::Edge), any(Door::Admin)], None, metrics).unwrap();
        let addresses = listening.addresses();
        let server = listening.serve(Tracker::default(), move || Doors::new(parts.clone())).unwrap();
        Running { addresses, server: Some(server), local, queue }
    }
}

/// On a thread of its own: some tests run inside a runtime.
fn load_token_secrets(ops: &Ops, auth: &Auth) {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    std::thread::scope(|s| s.spawn(|| runtime().block_on(ops.load_token_secrets(auth))).join()).unwrap().unwrap();
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
        self.local.close();
    }
}

impl Gateway {
    pub fn start() -> Self {
        Setup::new().start()
    }

    pub fn address(&self, door: Door) -> std::net::SocketAddr {
        self.running.as_ref().unwrap().addresses.iter().find(|a| a.door == door).unwrap().address
    }

    /// On the S3 door.
    pub fn client(&self) -> Client {
        Client::new(self.address(Door::S3))
    }

    pub fn data(&self) -> PathBuf {
        self.store.dir.clone()
    }

    pub fn policies(&self) -> PathBuf {
        self.dir.path().join("policies")
    }

    /// Stops, lets `between` look at or change the folder, starts again. The ports are new ones.
    pub fn restart(&mut self, between: impl FnOnce(&Path)) {
        self.running = None;
        between(&self.store.dir);
        self.running = Some(Running::start(&self.store, &self.variants, &self.auth, &self.doors, &self.policies()));
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
