//! TLS by rustls: versions 1.2 and 1.3, HTTP/2 and 1.1 by ALPN, certificates that can be replaced while serving.
//!
//! A reload takes all of the folder or nothing: the old certificates stay when a new one is bad. Connections that are open
//! keep what they have. Session tickets outlive a reload and die with the process.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificates::{Certificates, Fault};

/// What a session holds of encrypted bytes that the socket did not take yet. Room for the 64 KiB and more that a
/// body slice makes, so that it goes out in one write; rustls' own 64 KiB would split each into two.
const BUFFER_BYTES: usize = 160 * 1024;

pub struct Tls {
    dir: PathBuf,
    provider: Arc<CryptoProvider>,
    certificates: Arc<Resolver>,
    acceptor: TlsAcceptor,
}

#[derive(Debug)]
struct Resolver(ArcSwap<Certificates>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load().find(hello.server_name()))
    }
}

impl Tls {
    pub fn load(dir: &Path) -> Result<Self, Vec<Fault>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certificates = Arc::new(Resolver(ArcSwap::from_pointee(Certificates::load(dir, &provider)?)));
        let setup = |e: rustls::Error| vec![Fault { file: dir.to_owned(), message: format!("TLS can't be set up: {e}") }];
        let mut config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(setup)?
            .with_no_client_auth()
            .with_cert_resolver(certificates.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), b"http/1.0".to_vec()];
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(setup)?;
        Ok(Tls { dir: dir.to_owned(), provider, certificates, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Takes the folder as it is now. On any fault nothing changes.
    pub fn reload(&self) -> Result<usize, Vec<Fault>> {
        let fresh = Certificates::load(&self.dir, &self.provider)?;
        let pairs = fresh.pairs;
        self.certificates.0.store(Arc::new(fresh));
        Ok(pairs)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) async fn accept(&self, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.acceptor.accept_with(tcp, |session| session.set_buffer_limit(Some(BUFFER_BYTES))).await
    }
}
