//! Before anything is signed: names, the port, `/-/ready`, and the clock.

use std::net::IpAddr;
use std::time::Duration;

use http::header::DATE;
use tokio::net::lookup_host;

use super::asking::{Asker, Place};
use super::finding::{Check, Findings};
use crate::base::timestamp::Timestamp;

/// S3's own: older signatures are refused.
const REFUSED: u64 = 15 * 60;
const NOTICED: u64 = 5;

pub async fn dns(findings: &mut Findings, place: &Place) {
    if place.host.parse::<IpAddr>().is_ok() {
        return findings.good(Check::Dns, format!("{} is an address: no name is needed", place.host));
    }
    match lookup_host((place.host.as_str(), place.port)).await {
        Err(e) => findings.bad(
            Check::Dns,
            format!("{} leads nowhere: {e}", place.host),
            "Add the name to DNS, or to /etc/hosts of whoever asks; look for a typing error",
        ),
        Ok(found) => {
            let mut addresses: Vec<String> = found.map(|address| address.ip().to_string()).collect();
            addresses.dedup();
            findings.good(Check::Dns, format!("{} leads to {}", place.host, addresses.join(", ")));
        }
    }
}

/// True: something is there that answers.
pub async fn ready(findings: &mut Findings, asker: &Asker, place: &Place) -> bool {
    match asker.get(place, "/-/ready", &[]).await {
        Err(e) => {
            findings.bad(
                Check::Ready,
                format!("{} does not answer: {e}", place.base),
                "Look whether the gateway runs and listens there (its first line says where), and whether a firewall is in between",
            );
            false
        }
        Ok(answer) if answer.status.is_success() => {
            findings.good(Check::Ready, format!("{} is ready", place.base));
            true
        }
        Ok(answer) if answer.status.as_u16() == 503 => {
            findings.bad(
                Check::Ready,
                format!("{} is not ready: {}", place.base, answer.told()),
                "Its log says why: a disk that takes no writes, an index that is being built, or an S3 below that is away",
            );
            true
        }
        Ok(answer) => {
            findings.bad(
                Check::Ready,
                format!("{} answers /-/ready with {}", place.base, answer.told()),
                "What answers there is no Tidegate, or something in front changes paths: see s3.path_prefix",
            );
            true
        }
    }
}

pub async fn clock(findings: &mut Findings, asker: &Asker, place: &Place) {
    let Ok(answer) = asker.get(place, "/-/health", &[]).await else { return };
    let now = Timestamp::now();
    let Some(theirs) = Timestamp::parse_http_date(answer.header(DATE.as_str())) else {
        return findings.skipped(Check::Clock, format!("{} tells no date", place.base));
    };
    let apart = now.since(theirs).max(theirs.since(now));
    let what = format!("the clocks of {} and of this machine are {} s apart", place.host, apart.as_secs());
    let todo = "Run NTP (chrony, systemd-timesyncd) on both machines";
    match apart {
        apart if apart > Duration::from_secs(REFUSED) => findings.bad(Check::Clock, format!("{what}: signatures are refused"), todo),
        apart if apart > Duration::from_secs(NOTICED) => findings.warning(Check::Clock, what, todo),
        // A header has whole seconds.
        _ => findings.good(Check::Clock, format!("the clock of {} is right, by this machine's", place.host)),
    }
}
