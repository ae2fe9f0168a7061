//! Asking what somebody else's configuration names: one GET of a small document, or POSTs one after the other. Over TLS, at a public address,
//! without following it elsewhere.
//!
//! The name is resolved once for each connection; if any of its addresses is not public nothing is asked for, and what is connected to is one
//! of these very addresses: a second answer of the name's server changes nothing. Redirects are refused. Size and time are limited.
//! `local`: the operator says that it stands in his own network: plain HTTP and any address are allowed.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::{ACCEPT, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::base::public_address::is_public;

const PATIENCE: Duration = Duration::from_secs(5);
const MAX_BYTES: usize = 256 * 1024;
/// Of the answer to a POST: nobody reads it.
const MAX_REPLY_BYTES: usize = 64 * 1024;
const REPLY_PATIENCE: Duration = Duration::from_secs(2);
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Of those that a name has.
const MAX_ADDRESSES: usize = 32;
const TRIED: usize = 3;
/// A connection is used for no longer: then the name is resolved anew.
const LONGEST: Duration = Duration::from_secs(60);

/// Err: in words for the operator.
pub async fn get(url: &str, local: bool) -> Result<Bytes, String> {
    match timeout(PATIENCE, ask(url, local)).await {
        Ok(answer) => answer.map_err(|e| format!("{url}: {e}")),
        Err(_) => Err(format!("{url} did not answer within {} s", PATIENCE.as_secs())),
    }
}

async fn ask(url: &str, local: bool) -> Result<Bytes, String> {
    let target = Target::parse(url, local)?;
    let request = Request::get(&target.path).header(HOST, &target.authority).header(ACCEPT, "application/json");
    let request = request.header(USER_AGENT, AGENT).body(Full::default()).map_err(|e| e.to_string())?;
    let mut open = target.connect().await?;
    let answer = open.sender.send_request(request).await.map_err(|e| e.to_string())?;
    if answer.status() != StatusCode::OK {
        return Err(format!("it answered {} (redirects are not followed)", answer.status()));
    }
    let body = Limited::new(answer.into_body(), MAX_BYTES).collect().await.map_err(|e| e.to_string())?;
    Ok(body.to_bytes())
}

const AGENT: &str = "tidegate";

/// Err: why nothing would ever be asked for there.
pub fn check(url: &str, local: bool) -> Result<(), String> {
    Target::parse(url, local).map(drop)
}

/// What was answered to a POST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    pub status: StatusCode,
    /// How long to wait, where it said so in seconds.
    pub retry_after: Option<Duration>,
}

/// POSTs to one place, one after the other, over one connection as long as it holds.
pub struct Line {
    target: Target,
    open: Option<Open>,
}

struct Open {
    sender: SendRequest<Full<Bytes>>,
    _connection: Aborted<Result<(), hyper::Error>>,
    since: Instant,
}

impl Line {
    /// Err: as `check`.
    pub fn to(url: &str, local: bool) -> Result<Self, String> {
        Ok(Line { target: Target::parse(url, local)?, open: None })
    }

    /// Err: in words for the operator. It may have arrived all the same.
    pub async fn post(&mut self, headers: &HeaderMap, body: &Bytes, patience: Duration) -> Result<Reply, String> {
        let answer = match timeout(patience, self.send(headers, body)).await {
            Ok(answer) => answer?,
            Err(_) => {
                self.open = None;
                return Err(format!("it did not answer within {} s", patience.as_secs_f32()));
            }
        };
        let status = answer.status();
        let seconds = answer.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.trim().parse().ok());
        let ends = timeout(REPLY_PATIENCE, Limited::new(answer.into_body(), MAX_REPLY_BYTES).collect()).await;
        if !matches!(ends, Ok(Ok(_))) {
            self.open = None;
        }
        Ok(Reply { status, retry_after: seconds.map(Duration::from_secs) })
    }

    async fn send(&mut self, headers: &HeaderMap, body: &Bytes) -> Result<http::Response<Incoming>, String> {
        let used = self.open.take().filter(|open| open.since.elapsed() < LONGEST && !open.sender.is_closed());
        if let Some(mut open) = used
            && open.sender.ready().await.is_ok()
            && let Ok(answer) = open.sender.send_request(self.request(headers, body)?).await
        {
            self.open = Some(open);
            return Ok(answer);
        }
        // None was open, or the other side had closed it.
        let mut open = self.target.connect().await?;
        let answer = open.sender.send_request(self.request(headers, body)?).await.map_err(|e| e.to_string())?;
        self.open = Some(open);
        Ok(answer)
    }

    fn request(&self, headers: &HeaderMap, body: &Bytes) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::post(&self.target.path).body(Full::new(body.clone())).map_err(|e| e.to_string())?;
        let host = HeaderValue::from_str(&self.target.authority).map_err(|e| e.to_string())?;
        *request.headers_mut() = headers.clone();
        request.headers_mut().insert(HOST, host);
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        Ok(request)
    }
}

struct Target {
    authority: String,
    host: String,
    port: u16,
    /// With the query.
    path: String,
    secure: bool,
    local: bool,
}

impl Target {
    fn parse(url: &str, local: bool) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|_| "it is no address")?;
        let authority = uri.authority().filter(|a| !a.as_str().contains('@')).ok_or("it names no host, or a user")?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if local => false,
            _ => return Err("only https is asked for".into()),
        };
        Ok(Target {
            authority: authority.as_str().to_owned(),
            host: authority.host().trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            path: uri.path_and_query().map_or("/", |p| p.as_str()).to_owned(),
            secure,
            local,
        })
    }

    async fn connect(&self) -> Result<Open, String> {
        let found = lookup_host((self.host.as_str(), self.port)).await.map_err(|e| format!("its name can't be resolved: {e}"))?;
        let tcp = connect(&allowed(found, self.local)?).await?;
        if !self.secure {
            return talk(tcp).await;
        }
        let name = ServerName::try_from(self.host.clone()).map_err(|e| e.to_string())?;
        talk(tls()?.connect(name, tcp).await.map_err(|e| e.to_string())?).await
    }
}

/// All of a name's addresses are good, or none is asked.
fn allowed(found: impl Iterator<Item = SocketAddr>, local: bool) -> Result<Vec<SocketAddr>, String> {
    let found: Vec<SocketAddr> = found.take(MAX_ADDRESSES).collect();
    match found.iter().find(|address| !local && !is_public(address.ip())) {
        Some(address) => Err(format!("its name leads to {}, which is no public address", address.ip())),
        None if found.is_empty() => Err("its name has no address".into()),
        None => Ok(found),
    }
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, String> {
    let mut last = String::new();
    for address in addresses.iter().take(TRIED) {
        match TcpStream::connect(address).await {
            Ok(tcp) => return Ok(tcp),
            Err(e) => last = e.to_string(),
        }
    }
    Err(last)
}

fn tls() -> Result<TlsConnector, String> {
    static CONFIG: OnceLock<Arc<rustls::ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(TlsConnector::from(Arc::clone(config)));
    }
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("no certificate authorities were found on this system".into());
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    Ok(TlsConnector::from(Arc::clone(CONFIG.get_or_init(|| config))))
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Open, String> {
    let mut builder = http1::Builder::new();
    let (sender, connection) =
        builder.max_buf_size(MAX_HEAD_BYTES).handshake(TokioIo::new(stream)).await.map_err(|e: hyper::Error| e.to_string())?;
    Ok(Open { sender, _connection: Aborted(tokio::spawn(connection)), since: Instant::now() })
}

/// The connection goes with whoever uses it, also where that is dropped half way.
struct Aborted<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Aborted<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_one_address_inside_is_not_asked() {
        let of = |texts: &[&str], local| allowed(texts.iter().map(|t| t.parse().unwrap()), local).is_ok();
        assert!(of(&["8.8.8.8:443", "[2606:4700::1111]:443"], false));
        assert!(!of(&["8.8.8.8:443", "169.254.169.254:443"], false));
        assert!(!of(&["[::ffff:10.0.0.1]:443"], false) && !of(&[], true));
        assert!(of(&["127.0.0.1:80"], true));
    }

    #[tokio::test]
    async fn what_is_never_asked_for() {
        for url in [
            "http://example.com/",
            "https://user@example.com/",
            "ftp://example.com/",
            "/etc/passwd",
            "https://127.0.0.1/",
            "https://[::1]/",
        ] {
            assert!(get(url, false).await.is_err(), "{url}");
            let posted = async { Line::to(url, false)?.post(&HeaderMap::new(), &Bytes::new(), PATIENCE).await };
            assert!(posted.await.is_err(), "{url}");
        }
    }
}
