//! The names in a certificate that a client proved to hold: DNS names, and the common name of its subject.
//!
//! Not here: whether the certificate is good; rustls verified its chain, its dates and the signature before this is read.
//! Called by `tls` after a handshake with `Transport::MutualTls`; read by the doors through `Peer`.
//! Invariant: a certificate that can't be read makes no `ClientCertificate`, and so no connection.

use rustls::pki_types::CertificateDer;

/// Names that are looked at; a certificate of a CDN has one or two.
const MAX_NAMES: usize = 100;

/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

const OID: u8 = 0x06;
/// UTF8String, PrintableString, IA5String: all of them bytes that are UTF-8.
const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    names: Vec<String>,
}

impl ClientCertificate {
    pub fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
        let names = certificate.valid_dns_names().chain(common_names(certificate.subject()));
        Some(ClientCertificate { names: names.take(MAX_NAMES).map(str::to_owned).collect() })
    }

    /// Without regard to case, as DNS names are compared.
    pub fn has_name(&self, name: &str) -> bool {
        self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// A subject is a sequence of sets of pairs (what kind, which value), in DER (X.501, X.690).
fn common_names(subject: &[u8]) -> impl Iterator<Item = &str> {
    elements(subject).flat_map(|(_, set)| elements(set)).filter_map(|(_, pair)| {
        let mut parts = elements(pair);
        let (kind, value) = (parts.next()?, parts.next()?);
        let text = kind == (OID, COMMON_NAME) && TEXTS.contains(&value.0);
        std::str::from_utf8(value.1).ok().filter(|_| text)
    })
}

/// Tag and content of one element after the other, up to the end or to what is no element.
fn elements(mut rest: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (tag, content, after) = element(rest)?;
        rest = after;
        Some((tag, content))
    })
}

fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, bytes) = bytes.split_first()?;
    let (&first, bytes) = bytes.split_first()?;
    let (length, bytes) = match first {
        0..=0x7f => (usize::from(first), bytes),
        // The next bytes are the length. More than two: larger than any name.
        0x81 | 0x82 => {
            let (length, bytes) = bytes.split_at_checked(usize::from(first & 0x7f))?;
            (length.iter().fold(0, |sum, b| sum << 8 | usize::from(*b)), bytes)
        }
        _ => return None,
    };
    let (content, after) = bytes.split_at_checked(length)?;
    Some((tag, content, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(names: &[&str], common_name: &str) -> CertificateDer<'static> {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(names.iter().map(|n| n.to_string()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "cdn.test");
        params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn dns_names_and_the_common_name() {
        let long = "x".repeat(300);
        let read = ClientCertificate::read(&certificate(&["a.test", "b.test"], &long)).unwrap();
        assert_eq!(read.names, ["a.test", "b.test", &long], "and not the organization");
        assert!(read.has_name("A.test"));
        assert!(!read.has_name("cdn.test"));
        assert!(!read.has_name(""));
    }

    #[test]
    fn what_is_no_certificate_has_no_names() {
        assert_eq!(ClientCertificate::read(&CertificateDer::from(vec![0x30, 0x03, 1, 2, 3])), None);
        let whole = certificate(&["a.test"], "c");
        for cut in 0..whole.len() {
            // No panic, wherever it ends.
            let _ = ClientCertificate::read(&CertificateDer::from(whole[..cut].to_vec()));
            common_names(&whole[cut..]).for_each(drop);
        }
    }
}
