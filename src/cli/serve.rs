//! `tidegate serve`: starts the gateway, says where it listens, and runs it to its end.
//!
//! Prints one line on stdout once all doors are open: scripts wait for it and read the ports from it. Everything else
//! goes to the log on stderr.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;

use super::Failure;
use crate::app::{App, Signals};
use crate::auth::operator::OperatorKey;
use crate::config::{Config, DEFAULT_FILE, load};
use crate::net::listen::Transport;
use crate::private;
use crate::telemetry::log;
use crate::telemetry::metrics::Door;

pub async fn run(config: Config, environment: &[(String, String)]) -> Result<(), Failure> {
    log::init(&config.log);
    match &config.file {
        Some(file) => tracing::info!(file = %file.display(), version = env!("CARGO_PKG_VERSION"), "starting"),
        None => tracing::info!(version = env!("CARGO_PKG_VERSION"), "starting with the defaults: there is no {DEFAULT_FILE} here"),
    }
    for name in load::unknown_variables(environment) {
        tracing::warn!("the environment variable {name} means nothing to this version");
    }
    private::check_writable(&config.store.dir).map_err(Failure::Failed)?;
    let operator = OperatorKey::load_or_create(&config.store.dir, |name| std::env::var(name).ok()).map_err(Failure::Failed)?;
    let app = App::start(config, operator.clone()).await?;
    let signals = Signals::catch().map_err(|e| Failure::Failed(format!("signals can't be caught: {e}")))?;
    println!("{}", listening(&app));
    // A pipe that nobody reads is no reason to stop.
    let _ = std::io::stdout().flush();
    introduce(&operator, app.address(Door::S3, Transport::Plain), app.address(Door::Admin, Transport::Plain));
    app.run(signals).await;
    Ok(())
}

/// `listening s3=ADDR edge=ADDR admin=ADDR`; doors that are closed are left out, and TLS addresses follow.
fn listening(app: &App) -> String {
    let doors = [
        ("s3", Door::S3, Transport::Plain),
        ("edge", Door::Edge, Transport::Plain),
        ("admin", Door::Admin, Transport::Plain),
        ("s3_tls", Door::S3, Transport::Tls),
        ("edge_tls", Door::Edge, Transport::Tls),
        ("edge_mtls", Door::Edge, Transport::MutualTls),
    ];
    let mut line = String::from("listening");
    for (name, door, transport) in doors {
        if let Some(address) = app.address(door, transport) {
            line.push_str(&format!(" {name}={address}"));
        }
    }
    line
}

/// At the very first start: the key, on a terminal only (a log keeps what it is told), and what to do with it.
fn introduce(operator: &OperatorKey, s3: Option<SocketAddr>, admin: Option<SocketAddr>) {
    if !operator.is_new {
        return;
    }
    let file = operator.file.as_ref().map(|f| f.display().to_string()).unwrap_or_default();
    tracing::info!(file, "the operator's key was made");
    if !std::io::stderr().is_terminal() {
        return;
    }
    let Some(endpoint) = s3.map(from_here) else { return };
    let console =
        admin.map(|admin| format!("  Or open the console and sign in with it:  http://{}/\n", from_here(admin))).unwrap_or_default();
    eprintln!(
        "\n  This is the operator's key, shown once and kept in {file}:\n\n    \
         export AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={} AWS_DEFAULT_REGION=us-east-1\n\n  \
         With it, in another terminal:\n\n    \
         aws --endpoint-url http://{endpoint} s3 mb s3://first\n    \
         aws --endpoint-url http://{endpoint} s3 cp README.md s3://first/\n    \
         aws --endpoint-url http://{endpoint} s3 presign s3://first/README.md\n\n{console}",
        operator.access_key,
        operator.secret.expose(),
    );
}

/// How an address is reached from this machine.
fn from_here(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip([127, 0, 0, 1].into());
    }
    address
}
