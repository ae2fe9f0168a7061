//! What the doors share: the parts they call and the settings they go by. One per gateway.

use std::sync::Arc;

use crate::auth::Auth;
use crate::ops::Ops;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::Metrics;

#[derive(Debug, Clone)]
pub struct Settings {
    /// The edge door's sites; the first whose host matches serves a request.
    pub sites: Vec<Site>,
}

/// Which objects a host name of the edge door shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// None: any host.
    pub host: Option<String>,
    /// None: the first segment of the path names the bucket.
    pub bucket: Option<String>,
    /// Put before the path to make the key.
    pub prefix: String,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { sites: vec![Site { host: None, bucket: None, prefix: String::new() }] }
    }
}

pub struct Gateway {
    pub auth: Arc<Auth>,
    pub ops: Ops,
    pub metrics: Arc<Metrics>,
    pub access_log: Option<AccessLog>,
    pub settings: Settings,
}
