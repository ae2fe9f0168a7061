//! Takes up changed certificates and policies while serving: all of a folder or nothing, and the log says which.
//!
//! Files are looked at, not watched: that works on every file system and with mounted secrets, and two seconds are soon
//! enough. A folder is read when it differs from what was loaded and has stopped changing, so that a certificate and its
//! key that are copied one after the other are taken up together.

use std::sync::Arc;

use crate::auth::Auth;
use crate::net::certificates;
use crate::net::tls::Tls;
use crate::telemetry::metrics::{Label, Metrics, Reload};

pub struct Reloader {
    auth: Arc<Auth>,
    tls: Option<Arc<Tls>>,
    metrics: Arc<Metrics>,
    policies_seen: Seen<u64>,
    certificates_seen: Seen<Vec<certificates::FileStamp>>,
}

impl Reloader {
    pub fn new(auth: Arc<Auth>, tls: Option<Arc<Tls>>, metrics: Arc<Metrics>) -> Self {
        let stamps = tls.as_ref().map(|t| certificates::fingerprint(t.dir())).unwrap_or_default();
        Reloader { policies_seen: Seen::new(auth.fingerprint()), certificates_seen: Seen::new(stamps), auth, tls, metrics }
    }

    /// Reloads what has changed since the last time.
    pub fn look(&mut self) {
        if self.policies_seen.is_due(self.auth.fingerprint()) {
            self.reload_policies();
        }
        if let Some(tls) = self.tls.clone()
            && self.certificates_seen.is_due(certificates::fingerprint(tls.dir()))
        {
            self.reload_certificates(&tls);
        }
    }

    pub fn reload_all(&self) {
        self.reload_policies();
        if let Some(tls) = &self.tls {
            self.reload_certificates(tls);
        }
    }

    fn reload_policies(&self) {
        match self.auth.reload() {
            Ok(summary) => {
                self.metrics.reloads.of(Reload::Policies).inc();
                tracing::info!(tenants = summary.tenants, keys = summary.keys, policies = summary.policies, "policies reloaded");
                summary.warnings.iter().for_each(|w| tracing::warn!("{w}"));
            }
            Err(faults) => self.refuse(Reload::Policies, &faults),
        }
    }

    fn reload_certificates(&self, tls: &Tls) {
        match tls.reload() {
            Ok(pairs) => {
                self.metrics.reloads.of(Reload::Certificates).inc();
                tracing::info!(pairs, "certificates reloaded");
            }
            Err(faults) => self.refuse(Reload::Certificates, &faults),
        }
    }

    fn refuse<F: ToString>(&self, what: Reload, faults: &[F]) {
        self.metrics.reload_failures.of(what).inc();
        for fault in faults {
            tracing::error!(fault = fault.to_string(), "{} can't be reloaded: what was loaded before stays", what.name());
        }
    }
}

/// Tells when something has changed and has come to rest.
struct Seen<T> {
    loaded: T,
    last: T,
}

impl<T: PartialEq + Clone> Seen<T> {
    fn new(loaded: T) -> Self {
        Seen { last: loaded.clone(), loaded }
    }

    fn is_due(&mut self, now: T) -> bool {
        let due = now != self.loaded && now == self.last;
        if due {
            self.loaded = now.clone();
        }
        self.last = now;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_taken_once_it_rests() {
        let mut seen = Seen::new(1);
        let due: Vec<bool> = [1, 2, 3, 3, 3, 1, 1].into_iter().map(|now| seen.is_due(now)).collect();
        assert_eq!(due, [false, false, false, true, false, false, true]);
    }
}
