//! Asks a gateway over its admin door, signed with the operator's key.
//!
//! Where none runs, one is started for the one question: without S3 and edge doors, and with the admin door on a free
//! loopback port. So a command has one way to do its work, and the store's lock decides who may.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;

use super::{Failure, existing_operator_key};
use crate::app::App;
use crate::auth::operator::OperatorKey;
use crate::auth::presign::{Credentials, sign_headers};
use crate::base::timestamp::Timestamp;
use crate::config::{Config, Listen};
use crate::net::listen::Transport;
use crate::telemetry::metrics::Door;

/// A list of a hundred thousand keys fits.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// The operator's door is near: who does not take the connection by then is not there.
const CONNECT: Duration = Duration::from_secs(3);
/// What the gateway that was started for one question may take to end.
const STOP: Duration = Duration::from_secs(5);

pub struct AdminClient {
    address: SocketAddr,
    operator: OperatorKey,
    region: String,
    /// Started for this command.
    own: Option<App>,
}

impl AdminClient {
    /// To the running gateway, or to one of our own.
    pub async fn reach(config: Config) -> Result<Self, Failure> {
        let operator = existing_operator_key(&config)?;
        let region = config.auth.region.clone();
        for &address in &config.admin.plain {
            let address = reachable(address);
            if let Ok(Ok(_)) = tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
                return Ok(AdminClient { address, operator, region, own: None });
            }
        }
        let alone = Config {
            s3: Listen::default(),
            edge: Listen::default(),
            admin: Listen { plain: vec![SocketAddr::from(([127, 0, 0, 1], 0))], ..Listen::default() },
            ..config
        };
        let own = App::start(alone, operator.clone()).await?;
        let Some(address) = own.address(Door::Admin, Transport::Plain) else {
            return Err(Failure::Failed("the admin door could not be opened".into()));
        };
        Ok(AdminClient { address, operator, region, own: Some(own) })
    }

    /// The answer's JSON text; whatever is not a success is a failure with the answer's message.
    pub async fn ask(&self, method: Method, path: &str, document: Option<serde_json::Value>) -> Result<String, Failure> {
        let failed = |what: &str, e: &dyn std::fmt::Display| Failure::Failed(format!("{what} {}: {e}", self.address));
        let body = document.map(|d| d.to_string()).unwrap_or_default();
        let request = self.request(method, path, body)?;
        let tcp = TcpStream::connect(self.address).await.map_err(|e| failed("can't reach the admin door at", &e))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.map_err(|e| failed("can't talk to", &e))?;
        let talking = tokio::spawn(connection);
        let answer = sender.send_request(request).await.map_err(|e| failed("no answer from", &e))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await.map_err(|e| failed("no whole answer from", &e))?;
        talking.abort();
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        if status.is_success() { Ok(text) } else { Err(Failure::Failed(explain(status, &text))) }
    }

    pub async fn close(self) {
        if let Some(own) = self.own {
            own.stop(STOP).await;
        }
    }

    fn request(&self, method: Method, path: &str, body: String) -> Result<Request<Full<Bytes>>, Failure> {
        let host = self.address.to_string();
        let hash = hex::encode(Sha256::digest(&body));
        let credentials = Credentials { access_key: &self.operator.access_key, secret: &self.operator.secret, region: &self.region };
        let signed = sign_headers(&credentials, &method, &host, path, None, &hash, Timestamp::now())?;
        let mut request = Request::builder().method(method).uri(path).header(HOST, host).header(CONTENT_TYPE, "application/json");
        for (name, value) in signed {
            request = request.header(name, value);
        }
        request.body(Full::new(Bytes::from(body))).map_err(|e| Failure::Failed(format!("not a legal request: {e}")))
    }
}

/// A wildcard is where it listens, not where it can be reached.
pub fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    address
}

/// The message of an error document.
fn explain(status: StatusCode, document: &str) -> String {
    let message = document.split_once("<Message>").and_then(|(_, rest)| rest.split_once("</Message>")).map(|(message, _)| message);
    match message.map(quick_xml::escape::unescape) {
        Some(Ok(message)) if status == StatusCode::FORBIDDEN => {
            format!("{message} (what answers at the admin address may be a gateway with another operator's key)")
        }
        Some(Ok(message)) => message.into_owned(),
        _ => format!("the gateway answered {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_in_their_own_words() {
        let document = "<Error><Code>NotFound</Code><Message>No key &lt;X&gt;.</Message></Error>";
        assert_eq!(explain(StatusCode::NOT_FOUND, document), "No key <X>.");
        assert_eq!(explain(StatusCode::BAD_GATEWAY, "<html>"), "the gateway answered 502 Bad Gateway");
    }

    #[test]
    fn wildcards_are_reached_on_loopback() {
        assert_eq!(reachable("0.0.0.0:9001".parse().unwrap()).to_string(), "127.0.0.1:9001");
        assert_eq!(reachable("[::]:9001".parse().unwrap()).to_string(), "[::1]:9001");
        assert_eq!(reachable("10.0.0.1:9001".parse().unwrap()).to_string(), "10.0.0.1:9001");
    }
}
