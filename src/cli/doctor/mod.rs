//! `tidegate doctor`: asks a running gateway from outside, as its users do, and says of each thing whether it is right or what to do.
//!
//! It asks by the addresses of the configuration, or by those that are given: of a CDN, of a proxy. What it makes it deletes again. It
//! changes nothing else, and starts no gateway. Exit status: 1 where something is bad; a warning is not.

mod asking;
mod certificates;
mod edge;
mod finding;
mod machine;
mod objects;
mod reaching;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use self::asking::{Asker, Key, Place};
use self::finding::{Check, Findings, State};
use self::objects::Door;
use super::admin_client::reachable;
use super::{Failure, existing_operator_key};
use crate::auth::keys::Secret;
use crate::base::names::{AccessKeyId, BucketName};
use crate::config::units::parse_duration;
use crate::config::{Config, Listen};

#[derive(Args)]
pub struct Doctor {
    /// Where clients reach S3 [default: the S3 door]
    #[arg(long, value_name = "URL")]
    s3: Option<String>,
    /// Where browsers read: the CDN's name [default: url of the site, else the edge door]
    #[arg(long, value_name = "URL")]
    edge: Option<String>,
    /// Try things in this bucket [default: one that is made, and deleted again]
    #[arg(long)]
    bucket: Option<String>,
    /// A page that should be able to read
    #[arg(long, value_name = "ORIGIN", default_value = "https://app.example.com")]
    origin: String,
    /// PEM file of authorities to believe, beside the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// These checks only, by name, with commas between
    #[arg(long, value_enum, value_delimiter = ',', value_name = "CHECKS")]
    only: Vec<Check>,
    /// How long an answer may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    patience: Duration,
    /// Print JSON
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
    /// Print nothing: the exit status says it
    #[arg(long)]
    quiet: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).filter(|time| !time.is_zero()).ok_or_else(|| "a time such as 10s is expected".into())
}

pub async fn run(command: Doctor, config: Config) -> Result<(), Failure> {
    let usage = |e: String| Failure::Usage(vec![e]);
    let bucket = command.bucket.as_deref().map(BucketName::parse).transpose().map_err(|e| usage(e.message().to_owned()))?;
    let roots = certificates::authorities(command.ca.as_deref()).map_err(usage)?;
    let given = |url: &Option<String>| url.as_deref().map(Place::parse).transpose().map_err(usage);
    let visit = Visit {
        asker: Asker { patience: command.patience, tls: certificates::client(&roots).map_err(Failure::Failed)? },
        s3: given(&command.s3)?.or_else(|| door(&config.s3)),
        edge: given(&command.edge)?.or_else(|| config.edge_url.as_deref().and_then(|url| Place::parse(url).ok())),
        edge_door: door(&config.edge),
        admin: door(&config.admin),
        roots,
        bucket,
        command: &command,
        config: &config,
    };
    let mut findings = Findings::default();
    visit.make(&mut findings).await;
    if command.json {
        let count = |state| findings.count(state);
        let sums = json!({
            "findings": findings.list(), "good": count(State::Good), "skipped": count(State::Skipped),
            "warnings": count(State::Warning), "bad": count(State::Bad),
        });
        println!("{sums}");
    } else if !command.quiet {
        findings.print();
    }
    match findings.count(State::Bad) {
        0 => Ok(()),
        1 => Err(Failure::Failed("one thing is bad".into())),
        bad => Err(Failure::Failed(format!("{bad} things are bad"))),
    }
}

/// Where a door is reached from here.
fn door(listen: &Listen) -> Option<Place> {
    let url = match (listen.plain.first(), listen.tls.first()) {
        (Some(address), _) => format!("http://{}", reachable(*address)),
        (None, Some(address)) => format!("https://{}", reachable(*address)),
        (None, None) => return None,
    };
    Place::parse(&url).ok()
}

struct Visit<'a> {
    asker: Asker,
    s3: Option<Place>,
    edge: Option<Place>,
    edge_door: Option<Place>,
    admin: Option<Place>,
    roots: rustls::RootCertStore,
    bucket: Option<BucketName>,
    command: &'a Doctor,
    config: &'a Config,
}

impl Visit<'_> {
    fn wants(&self, check: Check) -> bool {
        self.command.only.is_empty() || self.command.only.contains(&check)
    }

    async fn make(&self, findings: &mut Findings) {
        let mut answers = false;
        match self.s3.as_ref().or(self.admin.as_ref()) {
            None => findings.bad(Check::Ready, "no door has an address", "Set s3.listen, or give --s3 URL"),
            Some(place) => answers = self.reach(findings, place).await,
        }
        let edge = self.edge.as_ref().filter(|edge| self.s3.as_ref().is_none_or(|s3| s3.authority != edge.authority));
        if let Some(edge) = edge {
            self.names(findings, edge).await;
        }
        if answers {
            self.objects(findings).await;
        }
        if self.wants(Check::Admin) {
            match &self.admin {
                Some(admin) => machine::counters(findings, &self.asker, admin).await,
                None => findings.skipped(Check::Admin, "the admin door has no address: admin.listen"),
            }
        }
        if self.wants(Check::Disk) {
            machine::disk(findings, self.config);
        }
        if self.wants(Check::Files) {
            machine::files(findings, self.config);
        }
    }

    async fn names(&self, findings: &mut Findings, place: &Place) {
        if self.wants(Check::Dns) {
            reaching::dns(findings, place).await;
        }
        if self.wants(Check::Tls) {
            match place.secure {
                true => certificates::check(findings, place, &self.roots, self.command.patience).await,
                false => findings.skipped(Check::Tls, format!("{} is asked without TLS", place.base)),
            }
        }
    }

    async fn reach(&self, findings: &mut Findings, place: &Place) -> bool {
        self.names(findings, place).await;
        let answers = !self.wants(Check::Ready) || reaching::ready(findings, &self.asker, place).await;
        if answers && self.wants(Check::Clock) {
            reaching::clock(findings, &self.asker, place).await;
        }
        answers
    }

    async fn objects(&self, findings: &mut Findings) {
        if ![Check::S3, Check::Upstream, Check::Links, Check::Cors, Check::Edge].into_iter().any(|check| self.wants(check)) {
            return;
        }
        let Some(place) = &self.s3 else { return findings.skipped(Check::S3, "the S3 door has no address: give --s3 URL") };
        let key = match self.key() {
            Ok(key) => key,
            Err(why) => return findings.skipped(Check::S3, why),
        };
        let door = Door { asker: &self.asker, place, key: &key };
        let Ok(trial) = door.begin(findings, self.bucket.as_ref()).await else { return };
        let before = findings.count(State::Bad);
        if self.wants(Check::S3) {
            door.look(findings, &trial).await;
        }
        let upstream = &self.config.upstream.bucket;
        if self.wants(Check::Upstream) && !upstream.is_empty() && findings.count(State::Bad) == before {
            findings.good(Check::Upstream, format!("the S3 with the bucket {upstream} takes writes, and gives reads and listings"));
        }
        if self.wants(Check::Links) {
            door.links(findings, &trial).await;
        }
        if self.wants(Check::Cors) {
            door.cors(findings, &trial, &self.command.origin).await;
        }
        if self.wants(Check::Edge) {
            match self.edge.as_ref().or(self.edge_door.as_ref()) {
                Some(_) => {
                    // A site's own url goes before the edge door's address.
                    let base = self.edge.as_ref().or_else(|| self.edge_door.as_ref().filter(|_| !self.has_named_sites()));
                    edge::check(findings, &door, &trial, base, &self.command.origin).await;
                }
                None => findings.skipped(Check::Edge, "the edge door has no address: give --edge URL"),
            }
        }
        door.end(findings, &trial).await;
    }

    fn has_named_sites(&self) -> bool {
        self.config.doors.sites.list().iter().any(|site| site.url.is_some())
    }

    /// The environment's, as SDKs take it, else the operator's.
    fn key(&self) -> Result<Key, String> {
        let region = self.config.auth.region.clone();
        let of = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let (Some(id), Some(secret)) = (of("AWS_ACCESS_KEY_ID"), of("AWS_SECRET_ACCESS_KEY")) {
            let id = AccessKeyId::parse(&id).map_err(|e| e.message().to_owned())?;
            return Ok(Key { id, secret: Secret::new(&secret), region });
        }
        match existing_operator_key(self.config) {
            Ok(operator) => Ok(Key { id: operator.access_key, secret: operator.secret, region }),
            Err(Failure::Failed(why)) => Err(format!("nothing can be signed: {why}; or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")),
            Err(Failure::Usage(why)) => Err(why.join("; ")),
        }
    }
}
