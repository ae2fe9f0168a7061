//! The certificate that a name shows: whether a client believes it, and for how long it still will.
//!
//! The chain is taken as it comes, on a connection over which nothing is sent, and judged afterwards: now, and at later times, which
//! tells when it ends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::asking::Place;
use super::finding::{Check, Findings};

/// Most tools that renew do it with a month left: with less something is wrong.
const NEAR: u64 = 21;
/// Beyond that nobody asks.
const LATEST: u64 = 400;
const DAY: u64 = 86_400;

/// The system's authorities, and those of `file`.
pub fn authorities(file: Option<&std::path::Path>) -> Result<RootCertStore, String> {
    use rustls::pki_types::pem::PemObject as _;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = file {
        let told = |e: &dyn std::fmt::Display| format!("{}: {e}", file.display());
        for certificate in CertificateDer::pem_file_iter(file).map_err(|e| told(&e))? {
            roots.add(certificate.map_err(|e| told(&e))?).map_err(|e| told(&e))?;
        }
    }
    Ok(roots)
}

pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

pub fn client(roots: &RootCertStore) -> Result<Arc<rustls::ClientConfig>, String> {
    let config =
        rustls::ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    Ok(Arc::new(config.with_root_certificates(roots.clone()).with_no_client_auth()))
}

pub async fn check(findings: &mut Findings, place: &Place, roots: &RootCertStore, patience: Duration) {
    let shown = match tokio::time::timeout(patience, show(place)).await {
        Ok(Ok(shown)) => shown,
        Ok(Err(e)) => {
            let todo = "Look whether TLS is spoken on that port: s3.tls_listen, edge.tls_listen, or what stands in front";
            return findings.bad(Check::Tls, format!("{}: no TLS connection: {e}", place.base), todo);
        }
        Err(_) => {
            let todo = "Look whether that port is open to this machine";
            return findings.bad(Check::Tls, format!("{}: no TLS connection within {} s", place.base, patience.as_secs()), todo);
        }
    };
    let now = UnixTime::now().as_secs();
    let holds = |at: u64| shown.judge(place, roots, at);
    match holds(now) {
        Err(e) => {
            let (what, todo) = told(&e);
            findings.bad(Check::Tls, format!("{}: {what}", place.base), todo);
        }
        Ok(()) => {
            // The last day on which it holds still.
            let (mut good, mut ended) = (0, LATEST + 1);
            while good + 1 < ended {
                let middle = good + (ended - good) / 2;
                if holds(now + middle * DAY).is_ok() { good = middle } else { ended = middle }
            }
            let until = if good >= LATEST { format!("more than {LATEST} days") } else { format!("{good} days") };
            let what = format!("{}: the certificate is believed, and holds {until} more ({} certificates sent)", place.base, shown.count());
            if good >= NEAR {
                findings.good(Check::Tls, what);
            } else {
                findings.warning(
                    Check::Tls,
                    what,
                    "Renew it now, and look why it was not: the gateway takes up changed files of tls.certs by itself",
                );
            }
        }
    }
}

/// What is wrong, and what to do.
fn told(e: &Error) -> (String, &'static str) {
    let Error::InvalidCertificate(wrong) = e else {
        return (e.to_string(), "Look at the certificate by `openssl s_client -connect HOST:PORT`");
    };
    match wrong {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            ("the certificate has ended".into(), "Put the new pair into tls.certs: the gateway takes it up by itself")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ("the certificate is not valid yet".into(), "Look at the clock of this machine, and at the certificate's dates")
        }
        CertificateError::UnknownIssuer => (
            "nobody that this machine believes vouches for the certificate".into(),
            "Send the intermediate certificates too (they belong into NAME.crt, behind the server's), or, with an authority of your own, give --ca FILE",
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            ("the certificate is for another name".into(), "Put a pair for this name into tls.certs, or ask by the name that it is for")
        }
        other => (format!("the certificate is refused: {other:?}"), "Look at the certificate by `openssl s_client -connect HOST:PORT`"),
    }
}

struct Shown(Vec<CertificateDer<'static>>);

impl Shown {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn judge(&self, place: &Place, roots: &RootCertStore, at: u64) -> Result<(), Error> {
        let (first, rest) = self.0.split_first().ok_or(Error::NoCertificatesPresented)?;
        if roots.is_empty() {
            return Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        }
        let judge = WebPkiServerVerifier::builder_with_provider(Arc::new(roots.clone()), provider())
            .build()
            .map_err(|e| Error::General(e.to_string()))?;
        let name = ServerName::try_from(place.host.clone()).map_err(|e| Error::General(e.to_string()))?;
        judge.verify_server_cert(first, rest, &name, &[], UnixTime::since_unix_epoch(Duration::from_secs(at))).map(drop)
    }
}

async fn show(place: &Place) -> Result<Shown, String> {
    let looker = Arc::new(Looker { provider: provider(), seen: Mutex::default() });
    let config =
        rustls::ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    let config = config.dangerous().with_custom_certificate_verifier(Arc::clone(&looker) as Arc<dyn ServerCertVerifier>);
    let tcp = TcpStream::connect((place.host.as_str(), place.port)).await.map_err(|e| e.to_string())?;
    let name = ServerName::try_from(place.host.clone()).map_err(|e| e.to_string())?;
    TlsConnector::from(Arc::new(config.with_no_client_auth())).connect(name, tcp).await.map_err(|e| e.to_string())?;
    let seen = std::mem::take(&mut *looker.seen.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Shown(seen))
}

/// Takes whatever is shown: it is judged afterwards, and nothing is sent meanwhile.
#[derive(Debug)]
struct Looker {
    provider: Arc<CryptoProvider>,
    seen: Mutex<Vec<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Looker {
    fn verify_server_cert(
        &self,
        first: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let all = std::iter::once(first).chain(rest).map(|c| c.clone().into_owned()).collect();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = all;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
