//! Signing with a private key by the C library that TLS already links. aws-lc-rs has no SHA-1 signatures, which CloudFront's
//! own verification takes by default; so all signing of URLs goes this one way, and verifying goes through aws-lc-rs.
//!
//! Not here: what is signed (`cloudfront`), where keys come from (`url_keys`).
//! `unsafe` because it is a C interface: the key is owned by one value and freed with it, is only ever read (the library allows
//! that from many threads), and each call gets a slice's own pointer and length.

#![allow(unsafe_code, reason = "a C interface: see above")]

use std::ptr::{self, NonNull};

use aws_lc_sys::{
    EVP_DigestSign, EVP_DigestSignInit, EVP_MD_CTX_free, EVP_MD_CTX_new, EVP_PKEY, EVP_PKEY_free, EVP_sha1, EVP_sha256, OPENSSL_free,
    d2i_AutoPrivateKey, i2d_PUBKEY,
};

/// The hash under a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    Sha1,
    Sha256,
}

pub struct PrivateKey(NonNull<EVP_PKEY>);

// SAFETY: the key is never changed after it was made, and the library's functions that read one may run at the same time.
unsafe impl Send for PrivateKey {}
// SAFETY: as above.
unsafe impl Sync for PrivateKey {}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        // SAFETY: made by d2i_AutoPrivateKey, owned by this value alone.
        unsafe { EVP_PKEY_free(self.0.as_ptr()) };
    }
}

impl PrivateKey {
    /// PKCS#8, PKCS#1 or SEC1. None: not a private key.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let mut at = der.as_ptr();
        let len = der.len().try_into().ok()?;
        // SAFETY: reads `len` bytes from `at`, which are the slice's, and moves only the local pointer.
        NonNull::new(unsafe { d2i_AutoPrivateKey(ptr::null_mut(), &mut at, len) }).map(PrivateKey)
    }

    /// SubjectPublicKeyInfo.
    pub fn public_der(&self) -> Option<Vec<u8>> {
        let mut out = ptr::null_mut();
        // SAFETY: with a null `out` the library allocates what it writes; it is copied and freed here.
        unsafe {
            let len = usize::try_from(i2d_PUBKEY(self.0.as_ptr(), &mut out)).ok()?;
            if out.is_null() {
                return None;
            }
            let der = std::slice::from_raw_parts(out, len).to_vec();
            OPENSSL_free(out.cast());
            Some(der)
        }
    }

    /// RSA: PKCS#1 v1.5. ECDSA: the ASN.1 form. None: the key can't sign so.
    pub fn sign(&self, hash: Hash, message: &[u8]) -> Option<Vec<u8>> {
        // SAFETY: the context is freed on each way out; the first EVP_DigestSign writes only the length that the second may use.
        unsafe {
            let context = EVP_MD_CTX_new();
            if context.is_null() {
                return None;
            }
            let digest = match hash {
                Hash::Sha1 => EVP_sha1(),
                Hash::Sha256 => EVP_sha256(),
            };
            let (data, len) = (message.as_ptr(), message.len());
            let mut size = 0;
            let mut signature = None;
            if EVP_DigestSignInit(context, ptr::null_mut(), digest, ptr::null_mut(), self.0.as_ptr()) == 1
                && EVP_DigestSign(context, ptr::null_mut(), &mut size, data, len) == 1
            {
                let mut out = vec![0; size];
                if EVP_DigestSign(context, out.as_mut_ptr(), &mut size, data, len) == 1 {
                    out.truncate(size);
                    signature = Some(out);
                }
            }
            EVP_MD_CTX_free(context);
            signature
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(PrivateKey::from_der(b"").is_none());
        assert!(PrivateKey::from_der(b"\x30\x03\x02\x01\x00").is_none());
    }
}
