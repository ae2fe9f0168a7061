//! The address where clients must show a certificate: who gets in, what a site may ask of the name, and reloads.

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use crate::support::binary::{Place, Running};
use crate::support::client::{Client, Request, Sign};
use crate::support::raw::Raw;
use crate::support::signer::Key;

const CONFIG: &str = r#"
[edge]
tls_listen = "127.0.0.1:0"
mtls_listen = "127.0.0.1:0"
[tls]
client_ca = "certs/client-ca.pem"
[[site]]
host = "named.test"
bucket = "media"
callers = { mtls = true, names = ["cdn.test"] }
[[site]]
host = "any.test"
bucket = "media"
callers = { mtls = true }
[[site]]
host = "open.test"
bucket = "media"
"#;

struct Authority {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

type Identity = (rcgen::Certificate, rcgen::KeyPair);

impl Authority {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Authority { certificate: params.self_signed(&key).unwrap(), issuer: rcgen::Issuer::new(params, key) }
    }

    fn issue(&self, name: &str) -> Identity {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn write(&self, file: &Path) {
        std::fs::write(file, self.certificate.pem()).unwrap();
    }
}

struct Caller<'a> {
    server: &'a Authority,
    own: Option<&'a Identity>,
    version: &'static SupportedProtocolVersion,
}

impl Caller<'_> {
    /// The status of a GET; None: the server let nobody in.
    fn asks(&self, address: SocketAddr, host: &str) -> Option<u16> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.server.certificate.der().clone()).unwrap();
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
        let builder =
            ClientConfig::builder_with_provider(provider).with_protocol_versions(&[self.version]).unwrap().with_webpki_verifier(verifier);
        let config = match self.own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                builder.with_client_auth_cert(vec![certificate.der().clone()], key).unwrap()
            }
        };
        let tcp = TcpStream::connect(address).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let session = ClientConnection::new(Arc::new(config), ServerName::try_from("origin.test").unwrap()).unwrap();
        let mut raw = Raw::over(StreamOwned::new(session, tcp));
        raw.try_send(format!("GET /k HTTP/1.1\r\nHost: {host}\r\n\r\n")).ok()?;
        let head = raw.try_head().ok()?;
        raw.try_body(&head).ok()?;
        Some(head.status)
    }
}

fn serve(place: &Place, server: &Authority, clients: &Authority) -> Running {
    std::fs::create_dir(place.path("certs")).unwrap();
    let (certificate, key) = server.issue("origin.test");
    place.write("certs/default.crt", &certificate.pem());
    place.write("certs/default.key", &key.serialize_pem());
    clients.write(&place.path("certs/client-ca.pem"));
    place.write("gateway.toml", CONFIG);
    place.write(
        "policies/tenants/acme.toml",
        "id = \"acme\"\npolicies = [\"tenant-default\"]\nkeys = [{ access_key = \"AKACME\", secret = { value = \"acme-secret-1\" } }]\n",
    );
    let running = place.serve();
    let (mut client, acme) = (Client::new(running.s3), Key::new("AKACME", "acme-secret-1"));
    client.make_bucket(&acme, "media");
    let put = Request::on("PUT", "media", "k").header("x-amz-acl", "public-read").body("hello");
    client.send(&put, Sign::Header(&acme)).expect(200);
    running
}

#[test]
fn only_clients_that_an_authority_vouches_for() {
    let (place, server, clients, strangers) = (Place::new(), Authority::new(), Authority::new(), Authority::new());
    let running = serve(&place, &server, &clients);
    let mutual = running.edge_mtls.unwrap();
    let (cdn, other, forged) = (clients.issue("cdn.test"), clients.issue("other.test"), strangers.issue("cdn.test"));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let by = |own| Caller { server: &server, own, version };
        for (own, named, any) in
            [(Some(&cdn), Some(200), Some(200)), (Some(&other), Some(403), Some(200)), (Some(&forged), None, None), (None, None, None)]
        {
            assert_eq!(by(own).asks(mutual, "named.test"), named);
            assert_eq!(by(own).asks(mutual, "any.test"), any);
        }
        // The plain TLS address asks for no certificate, and takes none: what is shown there proves nothing.
        let tls = running.edge_tls.unwrap();
        for own in [None, Some(&cdn)] {
            assert_eq!(by(own).asks(tls, "named.test"), Some(403));
            assert_eq!(by(own).asks(tls, "open.test"), Some(200));
        }
    }
    let (head, _) = super::ask(running.edge, "/k", &[("host", "any.test")]).unwrap();
    assert_eq!(head.status, 403, "nor does plain HTTP");
}

#[test]
fn authorities_are_replaced_whole_or_not_at_all() {
    let (place, server, old, new) = (Place::new(), Authority::new(), Authority::new(), Authority::new());
    let running = serve(&place, &server, &old);
    let mutual = running.edge_mtls.unwrap();
    let (by_old, by_new) = (old.issue("cdn.test"), new.issue("cdn.test"));
    let status = |own| Caller { server: &server, own: Some(own), version: &rustls::version::TLS13 }.asks(mutual, "named.test");
    assert_eq!((status(&by_old), status(&by_new)), (Some(200), None));

    place.write("certs/client-ca.pem", "no certificate");
    running.signal("HUP");
    running.wait_for_log("client-ca.pem");
    assert_eq!(status(&by_old), Some(200));

    new.write(&place.path("certs/client-ca.pem"));
    running.wait_for_log("certificates reloaded");
    assert_eq!((status(&by_old), status(&by_new)), (None, Some(200)));
}

#[test]
fn a_bad_authority_stops_the_start() {
    let (place, server) = (Place::new(), Authority::new());
    std::fs::create_dir(place.path("certs")).unwrap();
    let (certificate, key) = server.issue("origin.test");
    place.write("certs/default.crt", &certificate.pem());
    place.write("certs/default.key", &key.serialize_pem());
    place.write("gateway.toml", CONFIG);
    for content in [None, Some(""), Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")] {
        if let Some(content) = content {
            place.write("certs/client-ca.pem", content);
        }
        let output = place.run(&["check"]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{text}");
        assert!(text.contains("client-ca.pem"), "{text}");
    }
}

#[test]
fn silence_is_cut_before_the_certificate() {
    let (place, server, clients) = (Place::new(), Authority::new(), Authority::new());
    let running = serve(&place, &server, &clients);
    let mut plain = TcpStream::connect(running.edge_mtls.unwrap()).unwrap();
    plain.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    std::io::Write::write_all(&mut plain, b"GET /k HTTP/1.1\r\nHost: any.test\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "plain HTTP is not spoken there");
}
