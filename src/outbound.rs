//! One GET of a small document that somebody else's configuration names: over TLS, at a public address, without following it elsewhere.
//!
//! The name is resolved once; if any of its addresses is not public nothing is asked for, and what is connected to is one of these very
//! addresses: a second answer of the name's server changes nothing. Redirects are refused. Size and time are limited.
//! `local`: the operator says that it stands in his own network: plain HTTP and any address are allowed.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::base::public_address::is_public;

const PATIENCE: Duration = Duration::from_secs(5);
const MAX_BYTES: usize = 256 * 1024;
/// Of those that a name has.
const MAX_ADDRESSES: usize = 32;
const TRIED: usize = 3;

/// Err: in words for the operator.
pub async fn get(url: &str, local: bool) -> Result<Bytes, String> {
    match timeout(PATIENCE, ask(url, local)).await {
        Ok(answer) => answer.map_err(|e| format!("{url}: {e}")),
        Err(_) => Err(format!("{url} did not answer within {} s", PATIENCE.as_secs())),
    }
}

async fn ask(url: &str, local: bool) -> Result<Bytes, String> {
    let uri: Uri = url.parse().map_err(|_| "it is no address")?;
    let authority = uri.authority().filter(|a| !a.as_str().contains('@')).ok_or("it names no host, or a user")?;
    let secure = match uri.scheme_str() {
        Some("https") => true,
        Some("http") if local => false,
        _ => return Err("only https is asked for".into()),
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let found = lookup_host((host, port)).await.map_err(|e| format!("its name can't be resolved: {e}"))?;
    let tcp = connect(&allowed(found, local)?).await?;
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    let request = Request::get(path).header(HOST, authority.as_str()).header(ACCEPT, "application/json").header(USER_AGENT, "tidegate");
    let request = request.body(Empty::<Bytes>::new()).map_err(|e| e.to_string())?;
    if !secure {
        return talk(tcp, request).await;
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|e| e.to_string())?;
    talk(tls()?.connect(name, tcp).await.map_err(|e| e.to_string())?, request).await
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

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, request: Request<Empty<Bytes>>) -> Result<Bytes, String> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    let connection = Aborted(tokio::spawn(connection));
    let answer = sender.send_request(request).await.map_err(|e| e.to_string())?;
    if answer.status() != StatusCode::OK {
        return Err(format!("it answered {} (redirects are not followed)", answer.status()));
    }
    let body = Limited::new(answer.into_body(), MAX_BYTES).collect().await.map_err(|e| e.to_string())?;
    drop(connection);
    Ok(body.to_bytes())
}

/// The connection goes with the call, also where that is dropped half way.
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
        }
    }
}
