//! The keys of `gateway.toml` and the environment: name, meaning, default, and how each is taken. The rest of the list is in `keys/`;
//! `[[tables]]` have a file each beside this one.
//!
//! Each key can be overridden by an environment variable: `TIDEGATE_` and the key in capitals with `_` for `.`, except
//! the few that scripts know by a shorter name.

use super::units::{show_duration, show_size};
use super::value::{Taken, Value, show_list};
use super::{Config, sites};
use crate::base::limits::MAX_PRESIGN_SECONDS;
use crate::base::object::Ownership;

pub struct Key {
    /// `section.name`
    pub name: &'static str,
    /// The short name of the environment variable, where it is not the regular one.
    short: Option<&'static str>,
    /// Names that other programs gave the same thing, and what stands behind their value to make it ours (a unit).
    pub aliases: &'static [(&'static str, &'static str)],
    pub meaning: &'static str,
    /// The value in `config`, as it would stand in the file.
    pub show: fn(&Config) -> String,
    pub take: fn(&mut Config, &Value<'_>) -> Taken<()>,
}

impl Key {
    pub fn environment(&self) -> String {
        match self.short {
            Some(name) => name.to_owned(),
            None => format!("TIDEGATE_{}", self.name.replace('.', "_").to_ascii_uppercase()),
        }
    }

    fn also(self, aliases: &'static [(&'static str, &'static str)]) -> Self {
        Key { aliases, ..self }
    }

    pub fn section(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(section, _)| section)
    }
}

macro_rules! key {
    ($name:literal $(($short:literal))?, $meaning:literal, $show:expr, $take:expr) => {
        Key { name: $name, short: None$(.or(Some($short)))?, aliases: &[], meaning: $meaning, show: $show, take: $take }
    };
}

/// A key whose value is one field: how it is shown and how it is taken.
macro_rules! field {
    ($name:literal $(($short:literal))?, $meaning:literal, $($field:ident).+, $show:expr, $take:ident $(($argument:literal))?) => {
        key!(
            $name $(($short))?,
            $meaning,
            |c| $show(&c.$($field).+),
            |c, v| v.$take($($argument)?).map(|taken| c.$($field).+ = taken)
        )
    };
}

mod keeping;
mod media;
mod outward;
mod upstream;
mod usage;

pub fn keys() -> Vec<Key> {
    [
        s3(),
        s3_clients(),
        edge_and_admin(),
        console(),
        folders(),
        keeping::store(),
        upstream::keys(),
        keeping::back(),
        keeping::cache(),
        keeping::variants(),
        media::media(),
        cluster(),
        jobs(),
        outward::fetch(),
        outward::generate(),
        keeping::lifecycle(),
        keeping::encryption(),
        usage::usage(),
        usage::prices(),
        cdn(),
        limits(),
        patience(),
        answers_and_streams(),
        log(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn s3() -> Vec<Key> {
    vec![
        field!(
            "s3.listen"("TIDEGATE_LISTEN"),
            "Where SDKs connect. One address or a list; port 0: any free one.",
            s3.plain,
            |v: &Vec<_>| show_list(v),
            addresses
        ),
        field!("s3.tls_listen", "The same over TLS; needs a certificate in tls.certs.", s3.tls, |v: &Vec<_>| show_list(v), addresses),
        field!(
            "s3.domains",
            "Base domains of virtual-host style addresses: bucket.<domain>.",
            auth.domains,
            |v: &Vec<_>| show_list(v),
            list("a domain such as \"s3.example.com\", or a list of them")
        ),
        field!("s3.region", "The region that clients are told and sign for.", auth.region, |v: &String| format!("{v:?}"), text),
        field!("s3.strict_region", "Refuse signatures for any other region.", auth.strict_region, |v: &bool| v.to_string(), flag),
        field!("s3.acl", "ACLs count, where a bucket's ownership lets them.", auth.acl, |v: &bool| v.to_string(), flag),
        field!(
            "s3.sigv2_presigned",
            "Accept SigV2 presigned URLs for GET, HEAD and PUT of objects: boto3 and aws-cli still make them.",
            auth.sigv2_presigned,
            |v: &bool| v.to_string(),
            flag
        ),
        field!(
            "s3.object_ownership",
            "ObjectOwnership of new buckets of tenants, where a request names none. BucketOwnerEnforced, as AWS has it: ACLs do not count. Empty: they do, and the bucket's owner owns all.",
            doors.object_ownership,
            |v: &Option<_>| format!("{:?}", v.map_or("", Ownership::name)),
            ownership
        ),
        field!(
            "s3.default_cors",
            "New buckets start with a CORS rule that lets every page read (GET, HEAD), as far as policies let anyone.",
            doors.default_cors,
            |v: &bool| v.to_string(),
            flag
        ),
        field!(
            "s3.gateways_above",
            "Other gateways have a bucket of this one's embedded store as their upstream or replica: it takes their `.tidegate/` and `x-amz-meta-tidegate`.",
            doors.gateways_above,
            |v: &bool| v.to_string(),
            flag
        ),
    ]
}

/// How clients, and what stands in front, reach the door.
fn s3_clients() -> Vec<Key> {
    vec![
        field!(
            "s3.public_hosts",
            "Names under which clients know the gateway when a proxy rewrites Host; signatures for them verify too.",
            auth.public_hosts,
            |v: &Vec<_>| show_list(v),
            list("a host name, with or without a port, or a list of them")
        ),
        field!(
            "s3.trusted_proxies",
            "Networks whose X-Forwarded-* headers are believed, such as \"10.0.0.0/8\".",
            auth.trusted_proxies,
            |v: &Vec<_>| show_list(v),
            list("a network such as \"10.0.0.0/8\", or a list of them")
        ),
        key!(
            "s3.presign_expires",
            "How long a link works, where the request for it says nothing.",
            |c| show_time(&c.doors.presign_expires),
            |c, v| {
                let time = v.duration()?;
                if !(1..=MAX_PRESIGN_SECONDS).contains(&time.as_secs()) {
                    return Err("expected 1s to 7d: the longest life of a presigned URL".into());
                }
                c.doors.presign_expires = time;
                Ok(())
            }
        )
        .also(&[("S3_PRESIGN_EXPIRATION", "s")]),
        key!(
            "s3.path_prefix",
            "What a proxy takes off the front of the path, such as \"/s3\"; empty: nothing.",
            |c| format!("{:?}", c.auth.path_prefix.as_deref().unwrap_or("")),
            |c, v| { v.optional_text().map(|p| c.auth.path_prefix = p) }
        ),
    ]
}

fn edge_and_admin() -> Vec<Key> {
    vec![
        field!(
            "edge.listen"("TIDEGATE_EDGE_LISTEN"),
            "Where CDNs and browsers connect: reads only. See [[site]].",
            edge.plain,
            |v: &Vec<_>| show_list(v),
            addresses
        ),
        field!("edge.tls_listen", "The same over TLS.", edge.tls, |v: &Vec<_>| show_list(v), addresses),
        key!(
            "edge.url",
            "Scheme and host by which browsers know the site for any host, where its [[site]] has no `url`, such as \"https://cdn.example.com\".",
            |c| format!("{:?}", c.edge_url.as_deref().unwrap_or_default()),
            |c, v| sites::link_base(v).map(|url| c.edge_url = url)
        )
        .also(&[("S3_PUBLIC_BASE_URL", "")]),
        field!(
            "edge.link_max",
            "The longest life of a path token, and of CloudFront's URLs and cookies that are made here.",
            doors.link_max,
            show_time,
            duration
        ),
        field!(
            "edge.mtls_listen",
            "The same over TLS where the client must show a certificate that tls.client_ca vouches for.",
            edge.mutual_tls,
            |v: &Vec<_>| show_list(v),
            addresses
        ),
        field!(
            "admin.listen"("TIDEGATE_ADMIN_LISTEN"),
            "Metrics, health and the operator's commands. Keep it on loopback or a private network.",
            admin.plain,
            |v: &Vec<_>| show_list(v),
            addresses
        ),
        field!(
            "admin.hosts",
            "Names by which the admin door is asked for, beside addresses and localhost; under any other name it refuses.",
            doors.admin_hosts,
            |v: &Vec<_>| show_list(v),
            host_names("a host name without a port, such as \"metrics.internal\", or a list of them")
        ),
    ]
}

fn console() -> Vec<Key> {
    vec![
        field!(
            "console.s3_door",
            "The console, a page that signs requests in the browser, is shown under /-/console/ on the S3 door too; the admin door always has it.",
            doors.console.s3_door,
            |v: &bool| v.to_string(),
            flag
        ),
        key!(
            "console.viewer",
            "The folder with its viewer of models, as console/viewer/build.sh makes it; empty: models are shown by their posters.",
            |c| format!("{:?}", c.doors.console.viewer.as_ref().map(|f| f.display().to_string()).unwrap_or_default()),
            |c, v| v.optional_path().map(|p| c.doors.console.viewer = p)
        ),
    ]
}

fn folders() -> Vec<Key> {
    vec![
        key!(
            "tls.certs",
            "Pairs NAME.crt (or .pem) and NAME.key; taken up again when they change, or on SIGHUP.",
            |c| format!("{:?}", c.certificates.display()),
            |c, v| v.path().map(|p| c.certificates = p)
        ),
        key!(
            "tls.client_ca",
            "PEM file of the authorities that vouch for the clients of edge.mtls_listen; taken up again with the certificates.",
            |c| format!("{:?}", c.client_authorities.as_ref().map(|f| f.display().to_string()).unwrap_or_default()),
            |c, v| v.optional_path().map(|p| c.client_authorities = p)
        ),
        key!(
            "policies.dir"("TIDEGATE_POLICIES"),
            "Policies (*.json) and tenants (tenants/*.toml); taken up again when they change, or on SIGHUP.",
            |c| format!("{:?}", c.policies.display()),
            |c, v| { v.path().map(|p| c.policies = p) }
        ),
    ]
}

fn jobs() -> Vec<Key> {
    vec![
        field!("jobs.workers", "Background jobs that run at once.", jobs.workers, |v: &usize| v.to_string(), positive),
        field!(
            "jobs.per_tenant",
            "Of these, for one tenant; a tenant's own limit `jobs` counts too. 0: all.",
            jobs.per_tenant,
            |v: &u32| v.to_string(),
            number
        ),
        field!("jobs.per_kind", "Of these, for one kind of work. 0: all.", jobs.per_kind, |v: &u32| v.to_string(), number),
        field!(
            "jobs.waiting",
            "Jobs of one tenant that have not ended, and the paths in them, at most; further ones are answered 503 SlowDown.",
            queue.most_waiting,
            |v: &u64| v.to_string(),
            positive
        ),
        field!("jobs.kept", "How long a job that has ended can be looked at.", queue.kept, show_time, duration),
        field!("jobs.kept_jobs", "How many of them, at most.", queue.kept_jobs, |v: &u64| v.to_string(), positive),
    ]
}

fn cluster() -> Vec<Key> {
    vec![
        field!(
            "cluster.peers",
            "The admin doors of the other nodes in front of the same S3, such as \"http://10.0.0.2:9001\": told of every write and purge here.",
            cluster.peers,
            |v: &Vec<_>| show_list(v),
            list("the address of another node's admin door such as \"http://10.0.0.2:9001\", or a list of them")
        ),
        field!(
            "cluster.this",
            "Which of cluster.peers this node is itself, so that all nodes can have the same list. Empty: none of them.",
            cluster.this,
            |v: &Option<_>| v.as_ref().map_or_else(|| "\"\"".to_owned(), |v| format!("\"{v}\"")),
            optional_parsed("one of cluster.peers, such as \"http://10.0.0.1:9001\", or \"\"")
        ),
        field!(
            "cluster.share_cache",
            "Each stretch of an object is fetched and kept by one of the nodes, which the others ask for it; false: each node fetches and keeps all that it shows. Needs cluster.this.",
            cluster.share_cache,
            |v: &bool| v.to_string(),
            flag
        ),
        field!(
            "cluster.recurring",
            "Which node does what is done once for all: \"lease\", whoever holds a lease in the bucket; \"here\" and \"elsewhere\" name one where the upstream decides no conditional writes.",
            cluster.recurring,
            |v: &_| format!("\"{v}\""),
            parsed("\"lease\", \"here\" or \"elsewhere\"")
        ),
    ]
}

fn cdn() -> Vec<Key> {
    vec![
        field!(
            "cdn.endpoint",
            "The API of CloudFront, which is told of changes on sites with `cdn`.",
            cdn.endpoint,
            |v: &String| format!("{v:?}"),
            text
        ),
        key!(
            "cdn.profile",
            "The profile of the AWS configuration to call it with; empty: AWS_ACCESS_KEY_ID and so on, AWS_PROFILE, or the role of the container or instance.",
            |c| format!("{:?}", c.cdn.profile.as_deref().unwrap_or("")),
            |c, v| v.optional_text().map(|p| c.cdn.profile = p)
        ),
    ]
}

fn limits() -> Vec<Key> {
    vec![
        field!("limits.workers", "Threads that serve; 0: one for each core.", net.workers, |v: &usize| v.to_string(), number),
        field!(
            "limits.blocking_threads",
            "Threads for disk work and hashing, at most, for each worker.",
            net.blocking_threads,
            |v: &usize| v.to_string(),
            positive
        ),
        field!("limits.backlog", "Connections that wait in the kernel.", net.backlog, |v: &u32| v.to_string(), positive),
        field!(
            "limits.connections",
            "Open connections; further ones are answered 503. 0: what the file descriptors allow.",
            net.max_connections,
            |v: &usize| v.to_string(),
            number
        ),
        field!(
            "limits.connections_per_address",
            "The same for one client address. 0: no limit.",
            net.max_connections_per_address,
            |v: &usize| v.to_string(),
            number
        ),
        field!(
            "limits.header_size",
            "A request's line and headers; larger ones are answered 431.",
            net.max_header_bytes,
            |v: &usize| quoted_size(*v as u64),
            size
        ),
        field!(
            "limits.uri_size",
            "Path and query; longer ones are answered 414.",
            net.max_uri_bytes,
            |v: &usize| quoted_size(*v as u64),
            size
        ),
    ]
}

fn patience() -> Vec<Key> {
    vec![
        field!("limits.handshake_timeout", "A TLS handshake.", net.handshake_timeout, show_time, duration),
        field!("limits.header_timeout", "A request's headers, from their first byte.", net.header_timeout, show_time, duration),
        field!(
            "limits.idle_timeout",
            "A connection between requests. Longer than the CDN's own, so that the CDN closes first.",
            net.idle_timeout,
            show_time,
            duration
        ),
        field!("limits.body_timeout", "A request body that makes no progress.", net.body_timeout, show_time, duration),
        field!("limits.write_timeout", "A client that takes nothing of its answer.", net.write_timeout, show_time, duration),
        field!(
            "limits.linger_timeout",
            "The unread rest of a body after an early refusal is dropped for this long, so that the client sees the answer.",
            net.linger_timeout,
            show_time,
            duration
        ),
        field!("limits.drain_timeout", "How long a stop waits for requests that are running.", drain_timeout, show_time, duration),
    ]
}

fn answers_and_streams() -> Vec<Key> {
    vec![
        field!(
            "limits.memory",
            "Memory for answers that clients have not taken yet, over all connections; past it each is served in pieces of 16 KiB.",
            net.memory,
            |v: &u64| quoted_size(*v),
            size
        ),
        field!("limits.h2_streams", "HTTP/2: requests at once on a connection.", net.h2_streams, |v: &u32| v.to_string(), positive),
        field!(
            "limits.h2_stream_window",
            "HTTP/2: bytes of a request body in flight.",
            net.h2_stream_window,
            |v: &u32| quoted_size(u64::from(*v)),
            size
        ),
        field!(
            "limits.h2_connection_window",
            "HTTP/2: the same for all streams of a connection.",
            net.h2_connection_window,
            |v: &u32| quoted_size(u64::from(*v)),
            size
        ),
    ]
}

fn log() -> Vec<Key> {
    vec![
        field!("log.format", "\"text\" or \"json\", on stderr.", log.format, |v: &_| format!("\"{v}\""), parsed("\"text\" or \"json\"")),
        key!(
            "log.level",
            "\"error\", \"warn\", \"info\", \"debug\", \"trace\", also by module: \"info,tidegate::net=debug\".",
            |c| format!("{:?}", c.log.level),
            |c, v| {
                let level = v.text()?;
                crate::telemetry::log::check_level(&level).map_err(|e| format!("is not a log level: {e}"))?;
                c.log.level = level;
                Ok(())
            }
        ),
        key!(
            "log.access_file",
            "One line for each request, as S3's server access log; empty: off.",
            |c| {
                let file = c.access_log.file.as_ref().map(|f| f.display().to_string());
                format!("{:?}", file.unwrap_or_default())
            },
            |c, v| v.optional_path().map(|p| c.access_log.file = p)
        ),
        field!("log.access_format", "\"text\" or \"json\".", access_log.format, |v: &_| format!("\"{v}\""), parsed("\"text\" or \"json\"")),
        field!("log.access_size", "The file is rotated at this size.", access_log.max_bytes, |v: &u64| quoted_size(*v), size),
        field!(
            "log.bucket_every",
            "How old a file of a bucket's own access log is when it is brought to the bucket that it is for.",
            bucket_log_every,
            show_time,
            duration
        ),
        field!(
            "log.audit",
            "Changes of keys, policies, tenants and settings, links that were signed, and refusals: a file for each day in data/audit.",
            audit.on,
            |v: &bool| v.to_string(),
            flag
        ),
        field!("log.audit_keep", "How long its files are kept.", audit.keep, show_time, duration),
        field!("log.audit_size", "Of all its files; the oldest go first.", audit.max_bytes, |v: &u64| quoted_size(*v), size),
        field!("log.access_keep", "Rotated files that are kept.", access_log.keep, |v: &u32| v.to_string(), number),
    ]
}

fn quoted_size(bytes: u64) -> String {
    format!("\"{}\"", show_size(bytes))
}

fn show_time(time: &std::time::Duration) -> String {
    format!("\"{}\"", show_duration(*time))
}
