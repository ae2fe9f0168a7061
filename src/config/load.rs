//! Reads `gateway.toml` and the environment into a `Config`, and finds everything that is wrong in one go.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::Fault;
use super::keys::{Key, keys};
use super::reader::{Reader, nearest};
use super::value::Value;
use super::{Config, DEFAULT_FILE, bucket_limits, buckets, encryption, lifecycle, optimize, replicas, shadows, sites, webhooks};
use crate::base::names::BucketName;

/// What platforms switch their storage by; false: the embedded store, whatever else is set.
const USE_S3: &str = "USE_S3";
/// The same: whether a write is answered when it is upstream, or when it is durable here.
const S3_UPLOAD_ON_WRITE: &str = "S3_UPLOAD_ON_WRITE";
/// A configuration larger than this is not one.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// `file` None: the default one, which need not be there. `environment` gives all variables.
pub fn load(file: Option<&Path>, environment: &[(String, String)]) -> Result<Config, Vec<Fault>> {
    let path = file.map_or_else(|| PathBuf::from(DEFAULT_FILE), Path::to_owned);
    let text = match read(&path) {
        Ok(text) => Some(text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && file.is_none() => None,
        Err(e) => {
            return Err(vec![Fault { place: path.display().to_string(), key: String::new(), message: format!("can't be read: {e}") }]);
        }
    };
    parse(text.as_deref().map(|t| (path.as_path(), t)), environment)
}

fn read(path: &Path) -> std::io::Result<String> {
    if std::fs::metadata(path)?.len() > MAX_FILE_BYTES {
        return Err(std::io::Error::other("it is larger than 1 MiB"));
    }
    std::fs::read_to_string(path)
}

pub fn parse(file: Option<(&Path, &str)>, environment: &[(String, String)]) -> Result<Config, Vec<Fault>> {
    let mut reader = Reader {
        file: file.map_or(Path::new(""), |f| f.0),
        text: file.map_or("", |f| f.1),
        config: Config::default(),
        faults: Vec::new(),
        mutual_tls_users: Vec::new(),
    };
    let keys = keys();
    if let Some((path, _)) = file {
        reader.config.file = Some(path.to_owned());
        reader.take_file(&keys);
    }
    reader.take_environment(&keys, environment);
    reader.check_event_rules();
    reader.check_together();
    if reader.faults.is_empty() { Ok(reader.config) } else { Err(reader.faults) }
}

impl Reader<'_> {
    fn take_file(&mut self, keys: &[Key]) {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        for e in errors {
            self.fault(e.span().map_or(0, |s| s.start), "", e.message().to_owned());
        }
        for (section, content) in document.get_ref() {
            let (name, at) = (section.get_ref().as_ref(), section.span().start);
            match content.get_ref() {
                _ if name == "lifecycle_rule" => self.config.lifecycle.configured = lifecycle::take(self, content),
                _ if name == "bucket_limit" => {
                    let limits = bucket_limits::take(self, content);
                    let stored = limits.iter().map(|(bucket, limits)| (bucket.to_string(), limits.quota())).filter(|(_, q)| q.is_some());
                    self.config.store.bucket_limits = Arc::new(stored.collect());
                    self.config.auth.bucket_limits = limits;
                }
                _ if name == "bucket" => self.config.upstream.adopted = buckets::take(self, content),
                _ if name == "encryption_key" => self.config.encryption_keys = encryption::take(self, content),
                _ if name == "replica" => self.config.replicas = replicas::take(self, content),
                _ if name == "webhook" => self.config.events.webhooks = webhooks::take(self, content),
                _ if name == "optimize_rule" => self.config.media.renditions.rules = optimize::take(self, content),
                _ if name == "event_rule" => self.config.events.rules = webhooks::take_rules(self, content),
                _ if name == "shadow" => self.config.shadows = shadows::take(self, content),
                _ if name == "site" => {
                    if let Some(sites) = sites::take(self, content) {
                        self.config.doors.sites = sites;
                    }
                }
                DeValue::Table(table) if keys.iter().any(|k| k.section() == name) => self.take_section(keys, name, table),
                _ => {
                    let sections: Vec<&str> = keys
                        .iter()
                        .map(Key::section)
                        .chain([
                            "site",
                            "bucket",
                            "replica",
                            "shadow",
                            "lifecycle_rule",
                            "encryption_key",
                            "bucket_limit",
                            "webhook",
                            "event_rule",
                            "optimize_rule",
                        ])
                        .collect();
                    self.fault(at, name, format!("there is no such section{}", nearest(name, sections.into_iter())));
                }
            }
        }
    }

    fn take_section(&mut self, keys: &[Key], section: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let full = format!("{section}.{}", name.get_ref());
            match keys.iter().find(|k| k.name == full) {
                Some(key) => self.take_value(key, value),
                None => {
                    let hint = nearest(&full, keys.iter().map(|k| k.name));
                    self.fault(name.span().start, &full, format!("there is no such key{hint}"));
                }
            }
        }
    }

    fn take_value(&mut self, key: &Key, value: &Spanned<DeValue<'_>>) {
        let base = self.file.parent().unwrap_or(Path::new(""));
        let taken = (key.take)(&mut self.config, &Value::File { value: value.get_ref(), base });
        if let Err(message) = taken {
            self.fault(value.span().start, key.name, message);
        }
    }

    fn take_environment(&mut self, keys: &[Key], environment: &[(String, String)]) {
        // Set and empty is as good as not set: that is how compose files and units leave things out.
        let find = |variable: &str| environment.iter().find(|(name, text)| name == variable && !text.is_empty()).map(|(_, text)| text);
        for key in keys {
            let own = key.environment();
            let names = std::iter::once((own.as_str(), "")).chain(key.aliases.iter().copied());
            let Some((variable, text)) = names.into_iter().find_map(|(name, unit)| Some((name, format!("{}{unit}", find(name)?)))) else {
                continue;
            };
            if let Err(message) = (key.take)(&mut self.config, &Value::Environment(&text)) {
                self.faults.push(Fault { place: variable.to_owned(), key: key.name.to_owned(), message });
            }
        }
        match find(USE_S3).map(|text| Value::Environment(text).flag()) {
            Some(Ok(false)) => {
                self.config.upstream.bucket.clear();
                self.config.upstream.adopted.clear();
            }
            Some(Ok(true)) if self.config.upstream.bucket.is_empty() => {
                let message = "is true, but no bucket is named: set upstream.bucket or S3_BUCKET".into();
                self.faults.push(Fault { place: USE_S3.into(), key: "upstream.bucket".into(), message });
            }
            Some(Err(message)) => self.faults.push(Fault { place: USE_S3.into(), key: "upstream.bucket".into(), message }),
            Some(Ok(true)) | None => {}
        }
        self.take_write_mode(&find);
    }

    /// Of the bucket that the gateway stands over, unless the mode of each is said in our own words.
    fn take_write_mode<'e>(&mut self, find: &impl Fn(&str) -> Option<&'e String>) {
        let Some(text) = find(S3_UPLOAD_ON_WRITE).filter(|_| find("TIDEGATE_BACK_BUCKETS").is_none()) else { return };
        let home = BucketName::parse(&self.config.upstream.bucket);
        let buckets = &mut self.config.back.buckets;
        match (Value::Environment(text).flag(), home) {
            (Ok(through), Ok(home)) => {
                buckets.retain(|b| *b != home);
                buckets.extend((!through).then_some(home));
            }
            // Nothing is upstream.
            (Ok(_), Err(_)) => {}
            (Err(message), _) => {
                self.faults.push(Fault { place: S3_UPLOAD_ON_WRITE.into(), key: "back.buckets".into(), message });
            }
        }
    }

    /// Where a webhook has a fault of its own, that is told.
    fn check_event_rules(&mut self) {
        if self.faults.iter().any(|fault| fault.key.starts_with("webhook")) {
            return;
        }
        for rule in webhooks::unknown(&self.config.events.rules, &self.config.events.webhooks) {
            let message = format!("{:?} names the webhook {:?}, which is not there", rule.name, rule.webhook);
            self.faults.push(Fault { place: self.file.display().to_string(), key: "event_rule".into(), message });
        }
    }

    /// The nodes over one bucket, of which this one leaves itself out.
    fn check_cluster(&mut self) {
        let mut add = |key: &str, message: String| {
            self.faults.push(Fault { place: self.file.display().to_string(), key: key.to_owned(), message });
        };
        for (key, message) in self.config.cluster.faults(!self.config.upstream.bucket.is_empty()) {
            add(key, message.into());
        }
        let cluster = &mut self.config.cluster;
        cluster.peers.retain(|peer| Some(peer) != cluster.this.as_ref());
    }

    /// What no single key can know.
    fn check_together(&mut self) {
        self.check_cluster();
        let listens_mutual = !self.config.edge.mutual_tls.is_empty();
        for (at, key) in std::mem::take(&mut self.mutual_tls_users) {
            if !listens_mutual {
                self.fault(at, &key, "expected an address in edge.mtls_listen: only there are client certificates asked for".into());
            }
        }
        if let Some(url) = &self.config.edge_url {
            self.config.doors.sites.set_url_of_any(url);
        }
        let mut add = |key: &str, message: String| {
            self.faults.push(Fault { place: self.file.display().to_string(), key: key.to_owned(), message });
        };
        if let Err(faults) = self.config.auth.check() {
            faults.into_iter().for_each(|f| add(&format!("s3.{}", f.path), f.message));
        }
        let listens = [("s3", &self.config.s3), ("edge", &self.config.edge), ("admin", &self.config.admin)];
        if listens.iter().all(|(_, l)| l.plain.is_empty() && l.tls.is_empty() && l.mutual_tls.is_empty()) {
            add("s3.listen", "every door is closed: set an address for one".into());
        }
        let mut seen = Vec::new();
        for (door, listen) in listens {
            for address in listen.plain.iter().chain(&listen.tls).chain(&listen.mutual_tls).filter(|a| a.port() != 0) {
                if seen.contains(address) {
                    add(&format!("{door}.listen"), format!("{address} is used twice"));
                }
                seen.push(*address);
            }
        }
        if listens_mutual && self.config.client_authorities.is_none() {
            add("tls.client_ca", "expected a PEM file of authorities: edge.mtls_listen demands certificates of its clients".into());
        }
        if let Err(faults) = self.config.upstream.check() {
            faults.into_iter().for_each(|(key, expected)| add(key, expected));
        }
        if self.config.shadows.iter().any(|s| s.is_upstream(&self.config.upstream)) {
            add("shadow.bucket", "expected another bucket than the one that the gateway stands over".into());
        }
        if let Some(message) = self.config.lifecycle.expected_of_store(!self.config.upstream.bucket.is_empty()) {
            add("lifecycle_rule.unread_days", message);
        }
        if let Err(expected) = self.config.cdn.check() {
            add("cdn.endpoint", expected);
        }
        let net = &self.config.net;
        // hyper's own lower bound of a head, and HTTP/2's upper bound of a window.
        if net.max_header_bytes < 8192 {
            add("limits.header_size", "expected 8KiB or more: S3 clients send that".into());
        }
        if net.max_uri_bytes > net.max_header_bytes {
            add("limits.uri_size", "expected no more than limits.header_size, which it is a part of".into());
        }
        for (key, window) in [("limits.h2_stream_window", net.h2_stream_window), ("limits.h2_connection_window", net.h2_connection_window)]
        {
            if !(65_535..=0x7fff_ffff).contains(&window) {
                add(key, "expected 64KiB to 2047MiB: what HTTP/2 allows".into());
            }
        }
    }
}

/// Names of `TIDEGATE_` variables that mean nothing here, for a warning: they may be typing mistakes, or what a
/// container platform adds for a service of that name, so they are no fault.
pub fn unknown_variables(environment: &[(String, String)]) -> Vec<String> {
    const OTHERS: [&str; 4] = ["TIDEGATE_ROOT_ACCESS_KEY", "TIDEGATE_ROOT_SECRET_KEY", "TIDEGATE_ROOT_OLD_SECRET_KEY", "TIDEGATE_CONFIG"];
    let known: Vec<String> = keys().iter().map(Key::environment).collect();
    let names = environment.iter().map(|(name, _)| name).filter(|n| n.starts_with("TIDEGATE_"));
    names.filter(|n| !known.contains(n) && !OTHERS.contains(&n.as_str())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn faults(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
        let environment: Vec<_> = environment.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        match parse(Some((Path::new("conf/g.toml"), text)), &environment) {
            Ok(_) => Vec::new(),
            Err(faults) => faults.iter().map(Fault::to_string).collect(),
        }
    }

    #[test]
    fn all_faults_at_once_with_their_places() {
        let text = r#"
[s3]
listn = "127.0.0.1:1"
listen = "localhost"
acl = "yes"
path_prefix = "/bucket"
[store]
data = 7
inline_limit = "64"
[limits]
idle_timeout = "0s"
workers = -1
header_size = "1KiB"
[sites]
x = 1
[[site]]
bucket = "B"
hots = "x"
[[site]]
prefix = "p/"
[log]
level = "tidegate=loud"
"#;
        let found = faults(text, &[("TIDEGATE_LIMITS_BODY_TIMEOUT", "soon"), ("TIDEGATE_ADMIN_LISTEN", "127.0.0.1:9000, 127.0.0.1:9080")]);
        let expected = [
            "conf/g.toml:3: s3.listn: there is no such key; did you mean s3.listen?",
            "conf/g.toml:4: s3.listen: expected an address with a port such as \"127.0.0.1:9000\" or \"[::]:9000\", or a list of them, found \"localhost\"",
            "conf/g.toml:5: s3.acl: expected true or false, found \"yes\"",
            "conf/g.toml:8: store.data: expected a text in quotes, found 7",
            "conf/g.toml:9: store.inline_limit: expected a size such as \"64MiB\", \"1GB\" or \"0B\", found \"64\"",
            "conf/g.toml:11: limits.idle_timeout: expected a time such as \"30s\", \"5m\" or \"250ms\", found \"0s\"",
            "conf/g.toml:12: limits.workers: expected a whole number, 0 or more, found -1",
            "conf/g.toml:14: sites: there is no such section; did you mean site?",
            "conf/g.toml:17: site[0].bucket: expected a bucket's name, found \"B\"",
            "TIDEGATE_LIMITS_BODY_TIMEOUT: limits.body_timeout: expected a time such as \"30s\", \"5m\" or \"250ms\", found \"soon\"",
            "conf/g.toml: limits.header_size: expected 8KiB or more: S3 clients send that",
            "conf/g.toml: admin.listen: 127.0.0.1:9000 is used twice",
        ];
        for line in expected {
            assert!(found.iter().any(|f| f == line), "{line}\nnot in\n{}", found.join("\n"));
        }
        for start in [
            "conf/g.toml:18: site[0].hots: there is no such key; did you mean host?",
            "conf/g.toml:22: log.level: is not a log level",
            "conf/g.toml: s3.path_prefix: must begin",
            "conf/g.toml:20: site[1].prefix: expected a bucket too",
        ] {
            assert!(found.iter().any(|f| f.starts_with(start)), "{start}\nnot in\n{}", found.join("\n"));
        }
    }

    #[test]
    fn broken_toml_is_told_with_its_line() {
        let found = faults("[s3]\nlisten = \n[edge]\nlisten = nonsense\n", &[]);
        assert!(found.iter().any(|f| f.starts_with("conf/g.toml:2: ")), "{found:?}");
        assert!(found.iter().any(|f| f.starts_with("conf/g.toml:4: ")), "{found:?}");
    }

    #[test]
    fn the_environment_wins_and_paths_start_where_they_were_written() {
        let text = "[store]\ndata = \"d\"\n[policies]\ndir = \"/abs\"\n[limits]\nidle_timeout = \"5s\"\n[log]\naccess_file = \"a.log\"\n";
        let environment =
            [("TIDEGATE_DATA", "e"), ("TIDEGATE_LIMITS_WORKERS", "3"), ("TIDEGATE_LISTEN", ""), ("TIDEGATE_S3_DOMAINS", "a.test, b.test")];
        let environment: Vec<_> = environment.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        let config = parse(Some((Path::new("conf/g.toml"), text)), &environment).unwrap();
        assert_eq!(config.store.dir, Path::new("e"));
        assert_eq!(config.policies, Path::new("/abs"));
        assert_eq!(config.access_log.file.as_deref(), Some(Path::new("conf/a.log")));
        assert_eq!(config.net.workers, 3);
        assert_eq!(config.net.idle_timeout, Duration::from_secs(5));
        assert_eq!(config.auth.domains, ["a.test", "b.test"]);
        assert_eq!(config.s3.plain[0].port(), 9000, "set but empty is not set");
    }

    #[test]
    fn sites() {
        let text = "[[site]]\nhost = \"a.test\"\nbucket = \"media\"\nprefix = \"public/\"\n[[site]]\nhost = \"*\"\n";
        let config = parse(Some((Path::new("g.toml"), text)), &[]).unwrap();
        let sites = config.doors.sites.list();
        assert_eq!((sites.len(), sites[0].prefix.as_str(), sites[1].hosts.len()), (2, "public/", 0));
    }

    #[test]
    fn a_named_file_must_be_there() {
        let found = load(Some(Path::new("/nonexistent/g.toml")), &[]).unwrap_err();
        assert!(found[0].to_string().starts_with("/nonexistent/g.toml: can't be read"));
    }

    #[test]
    fn variables_that_mean_nothing_are_named() {
        let environment: Vec<_> = ["TIDEGATE_LISTN", "TIDEGATE_LISTEN", "PATH"].map(|n| (n.to_owned(), String::new())).into();
        assert_eq!(unknown_variables(&environment), ["TIDEGATE_LISTN"]);
    }
}
