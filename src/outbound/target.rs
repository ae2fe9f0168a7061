//! Where somebody else's address leads, and the connection to it.
//!
//! The name is resolved once for each connection; if any of its addresses is out of reach nothing is asked for, and what is connected to is one
//! of these very addresses: a second answer of the name's server changes nothing. TLS by rustls, and certificates of the system's authorities.
//! Not here: what is asked (`call`, `download`, and the small calls of `outbound`).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::Uri;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::base::network::Network;
use crate::base::public_address::is_public;

pub const AGENT: &str = "tidegate";
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Of those that a name has.
const MAX_ADDRESSES: usize = 32;
const TRIED: usize = 3;
/// For the name's server, for each address, and for TLS.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which addresses are asked. By default those of the open internet, over TLS alone.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// Asked as well, and without TLS too.
    allowed: Arc<[Network]>,
    anywhere: bool,
}

impl Reach {
    /// For what the operator says stands in his own network.
    pub fn anywhere() -> Self {
        Reach { anywhere: true, ..Reach::default() }
    }

    /// The open internet, and these networks.
    pub fn with(networks: &[Network]) -> Self {
        Reach { allowed: networks.into(), anywhere: false }
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.anywhere || self.allowed.iter().any(|network| network.contains(address))
    }

    fn takes_plain(&self) -> bool {
        self.anywhere || !self.allowed.is_empty()
    }

    /// All of a name's addresses are good, or none is asked.
    fn check(&self, found: impl Iterator<Item = SocketAddr>, secure: bool) -> Result<Vec<SocketAddr>, Trouble> {
        let found: Vec<SocketAddr> = found.take(MAX_ADDRESSES).collect();
        let is_bad = |address: &&SocketAddr| !self.allows(address.ip()) && !is_public(address.ip());
        match found.iter().find(is_bad) {
            Some(address) => Err(Trouble::Refused(format!("its name leads to {}, which is no public address", address.ip()))),
            None if found.is_empty() => Err(Trouble::Unsent("its name has no address".into())),
            None if !secure && !found.iter().all(|address| self.allows(address.ip())) => Err(only_https()),
            None => Ok(found),
        }
    }
}

/// Why there is no answer, in words for whoever asked. Never with the address itself, which may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It would never be asked there.
    Refused(String),
    /// It surely did not arrive.
    Unsent(String),
    /// It may have arrived.
    Unanswered(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Trouble::Refused(text) | Trouble::Unsent(text) | Trouble::Unanswered(text)) = self;
        f.write_str(text)
    }
}

impl From<Trouble> for String {
    fn from(trouble: Trouble) -> Self {
        trouble.to_string()
    }
}

fn only_https() -> Trouble {
    Trouble::Refused("only https is asked for".into())
}

/// Err: why nothing would ever be asked for there.
pub fn check(url: &str, reach: &Reach) -> Result<(), Trouble> {
    Target::parse(url, reach).map(drop)
}

pub(super) struct Open {
    pub sender: SendRequest<Full<Bytes>>,
    pub _connection: Aborted,
    pub since: Instant,
}

pub(super) struct Target {
    pub authority: String,
    host: String,
    port: u16,
    /// With the query.
    pub path: String,
    secure: bool,
    reach: Reach,
}

impl Target {
    pub fn parse(url: &str, reach: &Reach) -> Result<Self, Trouble> {
        let refused = |text: &str| Trouble::Refused(text.into());
        let uri: Uri = url.parse().map_err(|_| refused("it is no address"))?;
        let authority = uri.authority().filter(|a| !a.as_str().contains('@')).ok_or_else(|| refused("it names no host, or a user"))?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if reach.takes_plain() => false,
            _ => return Err(only_https()),
        };
        Ok(Target {
            authority: authority.as_str().to_owned(),
            host: authority.host().trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            path: uri.path_and_query().map_or("/", |p| p.as_str()).to_owned(),
            secure,
            reach: reach.clone(),
        })
    }

    /// Scheme, host and port: what is said to one is not said to another.
    pub fn is_same_place(&self, other: &Target) -> bool {
        self.secure == other.secure && self.host.eq_ignore_ascii_case(&other.host) && self.port == other.port
    }

    pub fn is_secure(&self) -> bool {
        self.secure
    }

    pub async fn connect(&self) -> Result<Open, Trouble> {
        let unsent = |text: String| Trouble::Unsent(text);
        let found = within(lookup_host((self.host.as_str(), self.port)), "its name can't be resolved").await?;
        let tcp = connect(&self.reach.check(found, self.secure)?).await?;
        if !self.secure {
            return talk(tcp).await.map_err(unsent);
        }
        let name = ServerName::try_from(self.host.clone()).map_err(|e| Trouble::Refused(e.to_string()))?;
        let stream = within(tls().map_err(unsent)?.connect(name, tcp), "TLS").await?;
        talk(stream).await.map_err(unsent)
    }
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, Trouble> {
    let mut last = Trouble::Unsent("it has no address".into());
    for address in addresses.iter().take(TRIED) {
        match within(TcpStream::connect(address), "it can't be reached").await {
            Ok(tcp) => return Ok(tcp),
            Err(e) => last = e,
        }
    }
    Err(last)
}

/// A step before anything is sent.
async fn within<T>(step: impl Future<Output = std::io::Result<T>>, what: &str) -> Result<T, Trouble> {
    match timeout(PATIENCE, step).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(e)) => Err(Trouble::Unsent(format!("{what}: {e}"))),
        Err(_) => Err(Trouble::Unsent(format!("{what} within {} s", PATIENCE.as_secs()))),
    }
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
pub(super) struct Aborted(tokio::task::JoinHandle<Result<(), hyper::Error>>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_one_address_inside_is_not_asked() {
        let of = |texts: &[&str], reach: &Reach| reach.check(texts.iter().map(|t| t.parse().unwrap()), true).is_ok();
        let public = Reach::default();
        assert!(of(&["8.8.8.8:443", "[2606:4700::1111]:443"], &public));
        assert!(!of(&["8.8.8.8:443", "169.254.169.254:443"], &public));
        assert!(!of(&["[::ffff:10.0.0.1]:443"], &public) && !of(&[], &Reach::anywhere()));
        assert!(of(&["127.0.0.1:80"], &Reach::anywhere()));
    }

    #[test]
    fn networks_that_are_allowed_are_asked_and_no_others() {
        let reach = Reach::with(&["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        let of = |text: &str, secure| reach.check([text.parse().unwrap()].into_iter(), secure).is_ok();
        assert!(of("10.1.2.3:80", false) && of("[::ffff:10.1.2.3]:80", false) && of("[fd00::1]:443", true) && of("8.8.8.8:443", true));
        for inside in ["127.0.0.1:80", "169.254.169.254:80", "[64:ff9b::a00:1]:80", "[2002:a00:1::]:80", "100.64.0.1:80", "[::1]:80"] {
            assert!(!of(inside, false) && !of(inside, true), "{inside}");
        }
        // Without TLS only what is allowed by name of its network.
        assert!(!of("8.8.8.8:80", false));
        assert!(Target::parse("http://example.com/", &Reach::default()).is_err());
    }
}
