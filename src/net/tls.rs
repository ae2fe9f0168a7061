//! TLS by rustls: versions 1.2 and 1.3, HTTP/2 and 1.1 by ALPN, certificates that can be replaced while serving.
//!
//! A reload takes all of the folder and the clients' authorities, or nothing: what was there stays when a new file is bad.
//! Connections that are open keep what they have. Session tickets outlive a reload and die with the process; where clients
//! show certificates there are none, so that each new connection is checked against what is trusted now, and no session
//! begun without a certificate can be taken up again there.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificates::{self, Certificates, Fault, FileStamp};
use super::client_certificate::ClientCertificate;
use super::listen::Transport;

/// What a session holds of encrypted bytes that the socket did not take yet. Room for the 64 KiB and more that a
/// body slice makes, so that it goes out in one write; rustls' own 64 KiB would split each into two.
const BUFFER_BYTES: usize = 160 * 1024;

pub struct Tls {
    dir: PathBuf,
    /// Who vouches for clients, on addresses of `Transport::MutualTls`.
    client_authorities: Option<PathBuf>,
    provider: Arc<CryptoProvider>,
    certificates: Arc<Resolver>,
    acceptor: TlsAcceptor,
    mutual: ArcSwapOption<ServerConfig>,
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
        Self::load_with_clients(dir, None)
    }

    /// `client_authorities`: a PEM file of those whose word for a client is taken.
    pub fn load_with_clients(dir: &Path, client_authorities: Option<&Path>) -> Result<Self, Vec<Fault>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let fresh = Fresh::read(dir, client_authorities, &provider)?;
        let certificates = Arc::new(Resolver(ArcSwap::from_pointee(fresh.certificates)));
        let setup = |e| vec![cannot_set_up(dir, e)];
        let mut config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(setup)?
            .with_no_client_auth()
            .with_cert_resolver(certificates.clone());
        config.alpn_protocols = alpn();
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(setup)?;
        let mutual = fresh.authorities.map(|a| mutual(dir, a, &provider, &certificates)).transpose()?;
        Ok(Tls {
            dir: dir.to_owned(),
            client_authorities: client_authorities.map(Path::to_owned),
            provider,
            certificates,
            acceptor: TlsAcceptor::from(Arc::new(config)),
            mutual: ArcSwapOption::from(mutual),
        })
    }

    /// Takes the files as they are now. On any fault nothing changes.
    pub fn reload(&self) -> Result<usize, Vec<Fault>> {
        let fresh = Fresh::read(&self.dir, self.client_authorities.as_deref(), &self.provider)?;
        let mutual = fresh.authorities.map(|a| mutual(&self.dir, a, &self.provider, &self.certificates)).transpose()?;
        let pairs = fresh.certificates.pairs;
        self.certificates.0.store(Arc::new(fresh.certificates));
        self.mutual.store(mutual);
        Ok(pairs)
    }

    /// Changes when a file does that `reload` would read.
    pub fn fingerprint(&self) -> Vec<FileStamp> {
        let mut files = certificates::fingerprint(&self.dir);
        files.extend(self.client_authorities.as_deref().and_then(certificates::stamp));
        files
    }

    pub(super) async fn accept(
        &self,
        tcp: TcpStream,
        transport: Transport,
    ) -> io::Result<(TlsStream<TcpStream>, Option<ClientCertificate>)> {
        let mutual = transport == Transport::MutualTls;
        let acceptor = if mutual {
            let config = self.mutual.load_full().ok_or_else(|| io::Error::other("no authorities for clients are configured"))?;
            TlsAcceptor::from(config)
        } else {
            self.acceptor.clone()
        };
        let session = acceptor.accept_with(tcp, |session| session.set_buffer_limit(Some(BUFFER_BYTES))).await?;
        if !mutual {
            return Ok((session, None));
        }
        // rustls has demanded it; asked again, because everything that comes by this connection stands on it.
        let client = session.get_ref().1.peer_certificates().and_then(|chain| chain.first()).and_then(ClientCertificate::read);
        match client {
            Some(client) => Ok((session, Some(client))),
            None => Err(io::Error::other("the client's certificate can't be read")),
        }
    }
}

/// All that a reload takes, read and found good.
struct Fresh {
    certificates: Certificates,
    authorities: Option<RootCertStore>,
}

impl Fresh {
    fn read(dir: &Path, client_authorities: Option<&Path>, provider: &CryptoProvider) -> Result<Self, Vec<Fault>> {
        let certificates = Certificates::load(dir, client_authorities, provider);
        let authorities = client_authorities.map(authorities).transpose();
        match (certificates, authorities) {
            (Ok(certificates), Ok(authorities)) => Ok(Fresh { certificates, authorities }),
            (certificates, authorities) => Err(certificates.err().into_iter().flatten().chain(authorities.err()).collect()),
        }
    }
}

fn authorities(file: &Path) -> Result<RootCertStore, Fault> {
    let bad = |message: String| Fault { file: file.to_owned(), message };
    let found = CertificateDer::pem_file_iter(file)
        .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
        .map_err(|e| bad(format!("is not a PEM file of certificates: {e}")))?;
    let mut roots = RootCertStore::empty();
    for certificate in found {
        roots.add(certificate).map_err(|e| bad(format!("holds what is no authority's certificate: {e}")))?;
    }
    if roots.is_empty() { Err(bad("holds no certificate".into())) } else { Ok(roots) }
}

fn mutual(dir: &Path, roots: RootCertStore, provider: &Arc<CryptoProvider>, own: &Arc<Resolver>) -> Result<Arc<ServerConfig>, Vec<Fault>> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|e| vec![Fault { file: dir.to_owned(), message: format!("clients can't be verified: {e}") }])?;
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| vec![cannot_set_up(dir, e)])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(own.clone());
    config.alpn_protocols = alpn();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn alpn() -> Vec<Vec<u8>> {
    vec![b"h2".to_vec(), b"http/1.1".to_vec(), b"http/1.0".to_vec()]
}

fn cannot_set_up(dir: &Path, e: rustls::Error) -> Fault {
    Fault { file: dir.to_owned(), message: format!("TLS can't be set up: {e}") }
}
