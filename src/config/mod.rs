//! Configuration: `gateway.toml` and the environment, read into the settings that each module owns.
//!
//! Not here: what a setting means (its module says), tenants and policies (`auth` reads that folder).
//! Invariants: every fault is found in one reading, with file, line, key, what was found and what is expected; unknown
//! keys are refused; nothing has been opened when a fault is reported.
//! `keys` is the one list of what can be set: the reader, the shipped file and the table in `docs/configuration.md` come from it.

pub mod bucket_limits;
pub mod buckets;
pub mod callers;
pub mod cdn;
pub mod encryption;
pub mod fault;
pub mod keys;
pub mod lifecycle;
pub mod load;
pub mod optimize;
pub mod reader;
pub mod remote;
pub mod replicas;
pub mod shadows;
pub mod shipped;
pub mod sites;
pub mod units;
pub mod value;
pub mod webhooks;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::settings::Settings as AuthSettings;
use crate::base::crypt::ring::NamedKeys;
use crate::cache::settings::Settings as CacheSettings;
use crate::cdn::cloudfront::Settings as CdnSettings;
use crate::cluster::Settings as ClusterSettings;
use crate::http::gateway::Settings as DoorSettings;
use crate::local::Settings as StoreSettings;
use crate::net::settings::Settings as NetSettings;
use crate::ops::events::settings::Settings as EventSettings;
use crate::ops::fetch::Settings as FetchSettings;
use crate::ops::generate::Settings as GenerateSettings;
use crate::ops::media::settings::Settings as MediaSettings;
use crate::ops::replicas::Settings as ReplicaSettings;
use crate::ops::shadow::Settings as ShadowSettings;
use crate::ops::write_back::Settings as BackSettings;
use crate::queue::Settings as QueueSettings;
use crate::queue::runner::Settings as JobSettings;
use crate::telemetry::access_log::Settings as AccessLogSettings;
use crate::telemetry::audit;
use crate::telemetry::bucket_logs;
use crate::telemetry::log::Settings as LogSettings;
use crate::telemetry::metrics::Metrics;
use crate::upstream::Settings as UpstreamSettings;
use crate::usage::Settings as UsageSettings;
use crate::variants::settings::Settings as VariantSettings;

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "gateway.toml";

#[derive(Debug, Clone)]
pub struct Config {
    /// None: there was none at the default place, and the defaults hold.
    pub file: Option<PathBuf>,
    pub s3: Listen,
    pub edge: Listen,
    /// The url of the site for any host; its own comes first.
    pub edge_url: Option<String>,
    pub admin: Listen,
    pub auth: AuthSettings,
    pub doors: DoorSettings,
    pub net: NetSettings,
    pub store: StoreSettings,
    /// Without a bucket there is none. Its folder is `upstream` in the store's.
    pub upstream: UpstreamSettings,
    /// Their folders are in `replicas` in the store's.
    pub replicas: Vec<replicas::Replica>,
    /// What clients name with aws:kms.
    pub encryption_keys: Vec<encryption::EncryptionKey>,
    /// What buckets grew out of.
    pub shadows: Vec<shadows::Shadow>,
    /// Its folder is `back` in the store's.
    pub back: BackSettings,
    pub variants: VariantSettings,
    pub media: MediaSettings,
    pub cache: CacheSettings,
    /// None: in the store's folder.
    pub cache_dir: Option<PathBuf>,
    /// Its folder is the store's, and `queue` in it.
    pub queue: QueueSettings,
    pub jobs: JobSettings,
    pub fetch: FetchSettings,
    pub generate: GenerateSettings,
    pub lifecycle: lifecycle::Lifecycle,
    /// Its folder is `usage` in the store's.
    pub usage: UsageSettings,
    /// Per cent of a limit, from which on it is near.
    pub limit_near: u32,
    pub cdn: CdnSettings,
    /// Who is told of what happens.
    pub events: EventSettings,
    /// Other nodes of the same bucket.
    pub cluster: ClusterSettings,
    pub log: LogSettings,
    pub access_log: AccessLogSettings,
    /// Its folder is `audit` in the store's.
    pub audit: audit::Settings,
    pub bucket_log_every: Duration,
    /// The folder of certificates; needed only where a TLS address is set.
    pub certificates: PathBuf,
    /// Who vouches for clients on addresses of `mutual_tls`.
    pub client_authorities: Option<PathBuf>,
    pub policies: PathBuf,
    /// How long a stop waits for what is running.
    pub drain_timeout: Duration,
}

/// Where a door listens; empty: it is closed.
#[derive(Debug, Clone, Default)]
pub struct Listen {
    pub plain: Vec<SocketAddr>,
    pub tls: Vec<SocketAddr>,
    /// TLS, and the client shows a certificate.
    pub mutual_tls: Vec<SocketAddr>,
}

impl Listen {
    fn loopback(port: u16) -> Self {
        Listen { plain: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))], ..Listen::default() }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            file: None,
            s3: Listen::loopback(9000),
            edge: Listen::loopback(9080),
            edge_url: None,
            admin: Listen::loopback(9001),
            auth: AuthSettings::default(),
            doors: DoorSettings::default(),
            net: NetSettings::default(),
            store: StoreSettings::default(),
            upstream: UpstreamSettings::default(),
            replicas: Vec::new(),
            encryption_keys: Vec::new(),
            shadows: Vec::new(),
            back: BackSettings::default(),
            variants: VariantSettings::default(),
            media: MediaSettings::default(),
            cache: CacheSettings::default(),
            cache_dir: None,
            queue: QueueSettings::default(),
            jobs: JobSettings::default(),
            fetch: FetchSettings::default(),
            generate: GenerateSettings::default(),
            lifecycle: lifecycle::Lifecycle::default(),
            usage: UsageSettings::default(),
            limit_near: 80,
            cdn: CdnSettings::default(),
            events: EventSettings::default(),
            cluster: ClusterSettings::default(),
            log: LogSettings::default(),
            access_log: AccessLogSettings::default(),
            audit: audit::Settings::default(),
            bucket_log_every: bucket_logs::Settings::default().every,
            certificates: "certs".into(),
            client_authorities: None,
            policies: "policies".into(),
            // Long enough for a large object on an ordinary line; most supervisors kill after 30 s to 90 s.
            drain_timeout: Duration::from_secs(30),
        }
    }
}

impl Config {
    pub fn queue_settings(&self) -> QueueSettings {
        QueueSettings { dir: self.store.dir.join("queue"), reserve_bytes: self.store.reserve_bytes, ..self.queue.clone() }
    }

    pub fn audit_settings(&self) -> audit::Settings {
        audit::Settings { dir: self.store.dir.join("audit"), ..self.audit.clone() }
    }

    pub fn bucket_log_settings(&self) -> bucket_logs::Settings {
        bucket_logs::Settings { dir: self.store.dir.join("bucket-logs"), every: self.bucket_log_every }
    }

    pub fn event_settings(&self) -> EventSettings {
        EventSettings { region: self.auth.region.clone(), ..self.events.clone() }
    }

    pub fn usage_settings(&self) -> UsageSettings {
        let limits = self.auth.bucket_limits.iter().filter(|(_, limits)| limits.egress_per_month.is_some());
        let limited_buckets = limits.map(|(bucket, _)| bucket.to_string()).collect();
        UsageSettings { dir: self.store.dir.join("usage"), limited_buckets, ..self.usage.clone() }
    }

    /// None: the store is the embedded one.
    pub fn upstream_settings(&self) -> Option<UpstreamSettings> {
        let mut settings = self.upstream.clone();
        settings.access.path_style = settings.path_style.unwrap_or(settings.access.endpoint.is_some());
        let is_plain = settings.access.endpoint.as_deref().is_some_and(|endpoint| !endpoint.starts_with("https://"));
        settings.sends_customer_keys = !is_plain || self.doors.encryption.customer_keys_over_http;
        settings.dir = self.store.dir.join("upstream");
        settings.memory_limit = self.store.inline_limit;
        settings.reserve_bytes = self.store.reserve_bytes;
        settings.completed_kept = self.store.completed_kept;
        (!settings.bucket.is_empty()).then_some(settings)
    }

    /// Err: what is wrong with their secrets, all of it.
    pub fn replica_settings(&self) -> Result<Vec<ReplicaSettings>, Vec<String>> {
        all(self.replicas.iter().map(replicas::Replica::settings))
    }

    /// The same.
    pub fn shadow_settings(&self) -> Result<Vec<ShadowSettings>, Vec<String>> {
        all(self.shadows.iter().map(shadows::Shadow::settings))
    }

    /// The same.
    pub fn named_keys(&self) -> Result<NamedKeys, Vec<String>> {
        encryption::read(&self.encryption_keys)
    }

    pub fn cache_settings(&self, metrics: &Arc<Metrics>) -> CacheSettings {
        CacheSettings {
            dir: self.cache_folder(),
            reserve_bytes: self.store.reserve_bytes.saturating_mul(4),
            metrics: metrics.clone(),
            ..self.cache.clone()
        }
    }

    pub fn cache_folder(&self) -> PathBuf {
        self.cache_dir.clone().unwrap_or_else(|| self.store.dir.join("cache"))
    }

    pub fn wants_tls(&self) -> bool {
        [&self.s3, &self.edge, &self.admin].iter().any(|l| !l.tls.is_empty() || !l.mutual_tls.is_empty())
    }
}

/// All of them, or everything that is wrong.
fn all<T>(each: impl Iterator<Item = Result<T, String>>) -> Result<Vec<T>, Vec<String>> {
    let (mut good, mut faults) = (Vec::new(), Vec::new());
    for one in each {
        match one {
            Ok(one) => good.push(one),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(good) } else { Err(faults) }
}
