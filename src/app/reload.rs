//! Takes up changed certificates, policies, and secrets of sites' callers and webhooks while serving: all of a kind or nothing,
//! and the log says which.
//!
//! Files are looked at, not watched: that works on every file system and with mounted secrets, and two seconds are soon
//! enough. A folder is read when it differs from what was loaded and has stopped changing, so that a certificate and its
//! key that are copied one after the other are taken up together.

use std::sync::Arc;

use crate::auth::Auth;
use crate::auth::live_secrets::Secrets;
use crate::net::certificates::{self, FileStamp};
use crate::net::tls::Tls;
use crate::telemetry::audit::AuditLog;
use crate::telemetry::metrics::{Label, Metrics, Reload};

pub struct Reloader {
    auth: Arc<Auth>,
    tls: Option<Arc<Tls>>,
    secrets: Vec<Arc<Secrets>>,
    metrics: Arc<Metrics>,
    audit: Option<AuditLog>,
    policies_seen: Seen<u64>,
    certificates_seen: Seen<Vec<FileStamp>>,
    secrets_seen: Seen<Vec<FileStamp>>,
}

impl Reloader {
    pub fn new(auth: Arc<Auth>, tls: Option<Arc<Tls>>, secrets: Vec<Arc<Secrets>>, metrics: Arc<Metrics>, audit: Option<AuditLog>) -> Self {
        let stamps = tls.as_ref().map(|t| t.fingerprint()).unwrap_or_default();
        Reloader {
            policies_seen: Seen::new(auth.fingerprint()),
            certificates_seen: Seen::new(stamps),
            secrets_seen: Seen::new(stamps_of(&secrets)),
            auth,
            tls,
            secrets,
            metrics,
            audit,
        }
    }

    /// Reloads what has changed since the last time.
    pub fn look(&mut self) {
        if self.policies_seen.is_due(self.auth.fingerprint()) {
            self.reload_policies();
        }
        if let Some(tls) = self.tls.clone()
            && self.certificates_seen.is_due(tls.fingerprint())
        {
            self.reload_certificates(&tls);
        }
        if self.secrets_seen.is_due(stamps_of(&self.secrets)) {
            self.reload_secrets();
        }
    }

    pub fn reload_all(&self) {
        self.reload_policies();
        if let Some(tls) = &self.tls {
            self.reload_certificates(tls);
        }
        self.reload_secrets();
    }

    fn reload_policies(&self) {
        match self.auth.reload() {
            Ok(summary) => {
                self.metrics.reloads.of(Reload::Policies).inc();
                tracing::info!(tenants = summary.tenants, keys = summary.keys, policies = summary.policies, "policies reloaded");
                if let Some(audit) = &self.audit {
                    audit.reloaded(&summary.changes);
                }
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

    fn reload_secrets(&self) {
        if self.secrets.is_empty() {
            return;
        }
        match load_secrets(&self.secrets) {
            Ok(()) => {
                self.metrics.reloads.of(Reload::CallerSecrets).inc();
                tracing::info!(count = self.secrets.len(), "secrets of sites' callers and of webhooks reloaded");
            }
            Err(faults) => self.refuse(Reload::CallerSecrets, &faults),
        }
    }

    fn refuse<F: ToString>(&self, what: Reload, faults: &[F]) {
        self.metrics.reload_failures.of(what).inc();
        for fault in faults {
            tracing::error!(fault = fault.to_string(), "{} can't be reloaded: what was loaded before stays", what.name());
        }
    }
}

/// Each site's secrets are taken as they are now, or stay; every fault is told.
pub fn load_secrets(secrets: &[Arc<Secrets>]) -> Result<(), Vec<String>> {
    let faults: Vec<String> = secrets.iter().filter_map(|s| s.load(&|name| std::env::var(name).ok()).err()).flatten().collect();
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn stamps_of(secrets: &[Arc<Secrets>]) -> Vec<FileStamp> {
    secrets.iter().flat_map(|s| s.files()).filter_map(certificates::stamp).collect()
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
