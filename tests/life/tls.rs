//! TLS: versions, ALPN, server names, and certificates that change while serving.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use tidegate::net::settings::Settings;
use tidegate::net::tls::Tls;

use crate::support::net_server::{self, expected};
use crate::support::raw::{Raw, get};

pub(super) struct Authority {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

pub(super) fn authority() -> Authority {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    Authority { certificate, issuer: rcgen::Issuer::new(params, key) }
}

impl Authority {
    pub(super) fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub(super) fn issue(&self, dir: &Path, file: &str, names: &[&str]) {
        self.issue_until(dir, file, names, 10_000);
    }

    /// It ends so many days from now.
    pub(super) fn issue_until(&self, dir: &Path, file: &str, names: &[&str], days: i64) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(names.iter().map(|n| n.to_string()).collect::<Vec<_>>()).unwrap();
        params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(days);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(dir.join(format!("{file}.crt")), certificate.pem()).unwrap();
        std::fs::write(dir.join(format!("{file}.key")), key.serialize_pem()).unwrap();
    }

    pub(super) fn client(&self, versions: &[&'static SupportedProtocolVersion], alpn: &[&str]) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_webpki_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

pub(super) fn dial(config: &Arc<ClientConfig>, address: SocketAddr, name: &'static str) -> Raw<StreamOwned<ClientConnection, TcpStream>> {
    let tcp = TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let session = ClientConnection::new(config.clone(), ServerName::try_from(name).unwrap()).unwrap();
    Raw::over(StreamOwned::new(session, tcp))
}

fn leaf(client: &Raw<StreamOwned<ClientConnection, TcpStream>>) -> CertificateDer<'static> {
    client.stream.conn.peer_certificates().unwrap()[0].clone()
}

#[test]
fn both_versions_serve_whole_bodies() {
    let (dir, ca) = (tempfile::tempdir().unwrap(), authority());
    ca.issue(dir.path(), "default", &["s3.test"]);
    let server = net_server::start_with(Settings::default(), Some(Arc::new(Tls::load(dir.path()).unwrap())));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut client = dial(&ca.client(&[version], &["http/1.1"]), server.tls_address.unwrap(), "s3.test");
        assert_eq!(client.exchange(get("/secure")).1, b"true HTTP/1.1");
        assert_eq!(client.exchange(get("/bytes/10000000")).1, expected(10_000_000));
        client.send("PUT /refuse HTTP/1.1\r\nHost: t\r\nContent-Length: 3000000\r\n\r\n");
        let _ = client.try_send(vec![b'x'; 1_000_000]);
        assert_eq!(client.head().status, 403);
    }
}

#[test]
fn alpn_chooses_http2() {
    let (dir, ca) = (tempfile::tempdir().unwrap(), authority());
    ca.issue(dir.path(), "default", &["s3.test"]);
    let server = net_server::start_with(Settings::default(), Some(Arc::new(Tls::load(dir.path()).unwrap())));
    let mut client = dial(&ca.client(&[&rustls::version::TLS13], &["h2", "http/1.1"]), server.tls_address.unwrap(), "s3.test");
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    let mut frame = [0; 9];
    client.stream.read_exact(&mut frame).unwrap();
    assert_eq!(frame[3], 4, "a SETTINGS frame");
    assert_eq!(client.stream.conn.alpn_protocol(), Some(&b"h2"[..]));
}

#[test]
fn the_name_chooses_the_certificate() {
    let (dir, ca) = (tempfile::tempdir().unwrap(), authority());
    ca.issue(dir.path(), "aa", &["a.test", "*.b.test"]);
    ca.issue(dir.path(), "default", &["s3.test"]);
    let server = net_server::start_with(Settings::default(), Some(Arc::new(Tls::load(dir.path()).unwrap())));
    let config = ca.client(&[&rustls::version::TLS13], &[]);
    for name in ["a.test", "x.b.test", "s3.test"] {
        assert_eq!(dial(&config, server.tls_address.unwrap(), name).exchange(get("/bytes/1")).0.status, 200, "{name}");
    }
    // An unknown name gets the default certificate, which this client refuses.
    let mut stranger = dial(&config, server.tls_address.unwrap(), "other.test");
    assert!(stranger.stream.write_all(b"GET / HTTP/1.1\r\n\r\n").and_then(|()| stranger.stream.read(&mut [0; 1])).is_err());
    server.wait_for("tls_handshake_failures_total 1");
}

#[test]
fn certificates_are_replaced_whole_or_not_at_all() {
    let (dir, ca) = (tempfile::tempdir().unwrap(), authority());
    ca.issue(dir.path(), "default", &["s3.test"]);
    let tls = Arc::new(Tls::load(dir.path()).unwrap());
    let server = net_server::start_with(Settings::default(), Some(tls.clone()));
    let config = ca.client(&[&rustls::version::TLS12], &[]);
    let serves = || {
        // A fresh session each time: a resumed one would not show the certificate.
        let mut config = ClientConfig::clone(&config);
        config.resumption = rustls::client::Resumption::disabled();
        let mut client = dial(&Arc::new(config), server.tls_address.unwrap(), "s3.test");
        assert_eq!(client.exchange(get("/bytes/1")).0.status, 200);
        leaf(&client)
    };
    let first = serves();

    // One good pair and two bad ones: nothing changes, and each fault is named.
    ca.issue(dir.path(), "default", &["s3.test"]);
    ca.issue(dir.path(), "broken", &["c.test"]);
    std::fs::write(dir.path().join("broken.crt"), "no certificate").unwrap();
    std::fs::write(dir.path().join("lonely.crt"), "x").unwrap();
    let faults = tls.reload().unwrap_err();
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults.iter().any(|f| f.file.ends_with("broken.crt")));
    assert!(faults.iter().any(|f| f.file.ends_with("lonely.crt") && f.message.contains("lonely.key")));
    assert_eq!(serves(), first);

    // A key that belongs to another certificate.
    std::fs::remove_file(dir.path().join("lonely.crt")).unwrap();
    ca.issue(dir.path(), "broken", &["c.test"]);
    std::fs::copy(dir.path().join("default.key"), dir.path().join("broken.key")).unwrap();
    assert!(tls.reload().unwrap_err()[0].message.contains("does not work with"));
    assert_eq!(serves(), first);

    std::fs::remove_file(dir.path().join("broken.crt")).unwrap();
    std::fs::remove_file(dir.path().join("broken.key")).unwrap();
    assert_eq!(tls.reload().unwrap(), 1);
    assert_ne!(serves(), first);
}

#[test]
fn a_handshake_that_never_comes_is_cut() {
    let (dir, ca) = (tempfile::tempdir().unwrap(), authority());
    ca.issue(dir.path(), "default", &["s3.test"]);
    let settings = Settings { handshake_timeout: Duration::from_secs(1), ..Settings::default() };
    let server = net_server::start_with(settings, Some(Arc::new(Tls::load(dir.path()).unwrap())));
    let mut silent = TcpStream::connect(server.tls_address.unwrap()).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert!(matches!(silent.read(&mut [0; 1]), Ok(0) | Err(_)));
    server.wait_for("timeouts_total{reason=\"tls_handshake\"} 1");
}
