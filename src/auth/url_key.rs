//! A key pair that signs URLs and cookies: RSA-2048 and larger, or ECDSA on P-256, as CloudFront takes them.
//!
//! Not here: the files they come from (`url_keys`), what is signed (`cloudfront`).
//! Invariant: the private half never shows, and there is one only where this gateway mints.

use std::fmt;

use aws_lc_rs::rsa::PublicKey;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA1_ASN1, ECDSA_P256_SHA256_ASN1, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_2048_8192_SHA256, RsaParameters,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};

pub use crate::auth::evp::Hash;
use crate::auth::evp::PrivateKey;

/// Larger ones only cost: each verification takes its square.
const RSA_BITS: std::ops::RangeInclusive<u32> = 2048..=4096;
const EXPECTED: &str = "an RSA key of 2048 to 4096 bits or an ECDSA key on P-256 is needed";

pub struct UrlKey {
    /// One for each hash: the key's own algorithm decides, never the request.
    sha1: ParsedPublicKey,
    sha256: ParsedPublicKey,
    private: Option<PrivateKey>,
}

impl fmt::Debug for UrlKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[url key, mints: {}]", self.private.is_some())
    }
}

impl UrlKey {
    /// `-----BEGIN PUBLIC KEY-----`
    pub fn from_public_pem(pem: &str) -> Result<Self, String> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| format!("not a public key in PEM (-----BEGIN PUBLIC KEY-----): {EXPECTED}"))?;
        Self::from_public_der(&der, None)
    }

    /// PKCS#8, PKCS#1 or SEC1. The public half is in it.
    pub fn from_private_pem(pem: &str) -> Result<Self, String> {
        let refused = || format!("not a private key in PEM (-----BEGIN PRIVATE KEY-----): {EXPECTED}");
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| refused())?;
        let private = PrivateKey::from_der(der.secret_der()).ok_or_else(refused)?;
        let public = private.public_der().ok_or_else(refused)?;
        Self::from_public_der(&public, Some(private))
    }

    fn from_public_der(der: &[u8], private: Option<PrivateKey>) -> Result<Self, String> {
        let rsa = PublicKey::from_der(der).ok();
        let parsed = match &rsa {
            Some(key) => {
                let bits = RsaParameters::public_modulus_len(key.as_ref()).map_err(|_| EXPECTED.to_owned())?;
                if !RSA_BITS.contains(&bits) {
                    return Err(format!("an RSA key of {bits} bits: {EXPECTED}"));
                }
                (
                    ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, der),
                    ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der),
                )
            }
            None => (ParsedPublicKey::new(&ECDSA_P256_SHA1_ASN1, der), ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, der)),
        };
        match parsed {
            (Ok(sha1), Ok(sha256)) => Ok(UrlKey { sha1, sha256, private }),
            _ => Err(EXPECTED.to_owned()),
        }
    }

    /// Is `other` the other half, or the same?
    pub fn is_pair_of(&self, other: &UrlKey) -> bool {
        self.sha256.as_ref() == other.sha256.as_ref()
    }

    pub fn can_sign(&self) -> bool {
        self.private.is_some()
    }

    pub fn verify(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        let key = match hash {
            Hash::Sha1 => &self.sha1,
            Hash::Sha256 => &self.sha256,
        };
        key.verify_sig(message, signature).is_ok()
    }

    /// None: this gateway holds only the public half.
    pub fn sign(&self, hash: Hash, message: &[u8]) -> Option<Vec<u8>> {
        self.private.as_ref()?.sign(hash, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::tests::url_keys::{EC_PRIVATE, EC_PUBLIC, RSA_1024_PUBLIC, RSA_PKCS1, RSA_PRIVATE, RSA_PUBLIC};

    #[test]
    fn both_kinds_sign_and_verify_with_both_hashes() {
        for (private, public) in [(RSA_PRIVATE, RSA_PUBLIC), (RSA_PKCS1, RSA_PUBLIC), (EC_PRIVATE, EC_PUBLIC)] {
            let (signer, verifier) = (UrlKey::from_private_pem(private).unwrap(), UrlKey::from_public_pem(public).unwrap());
            assert!(signer.is_pair_of(&verifier) && signer.can_sign() && !verifier.can_sign());
            assert!(verifier.sign(Hash::Sha256, b"m").is_none());
            for (hash, other) in [(Hash::Sha1, Hash::Sha256), (Hash::Sha256, Hash::Sha1)] {
                let signature = signer.sign(hash, b"message").unwrap();
                assert!(verifier.verify(hash, b"message", &signature));
                assert!(!verifier.verify(other, b"message", &signature), "one hash's signature is not the other's");
                assert!(!verifier.verify(hash, b"massage", &signature));
                assert!(!verifier.verify(hash, b"message", &signature[1..]));
                assert!(!verifier.verify(hash, b"message", b""));
            }
        }
    }

    #[test]
    fn other_keys_are_refused_with_what_is_needed() {
        for (pem, why) in [(RSA_1024_PUBLIC, "1024 bits"), ("", "PEM"), (RSA_PRIVATE, "PUBLIC KEY")] {
            let e = UrlKey::from_public_pem(pem).unwrap_err();
            assert!(e.contains(why) && e.contains("P-256"), "{e}");
        }
        assert!(UrlKey::from_private_pem(RSA_PUBLIC).is_err());
        let shown = format!("{:?}", UrlKey::from_private_pem(RSA_PRIVATE).unwrap());
        assert_eq!(shown, "[url key, mints: true]");
    }
}
