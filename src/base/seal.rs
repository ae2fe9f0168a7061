//! What the gateway keeps of its own, in a bucket of others or in its data folder: sealed, so that who can read or write there can
//! neither read nor forge it.
//!
//! AES-256-GCM under a key that HKDF makes of the operator's secret, one for each purpose; every value is bound to its place by the
//! associated data. All nodes over one bucket need the same operator's key: `open` of another's seal fails, and the start says so.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, RandomizedNonceKey};
use aws_lc_rs::aead::{NONCE_LEN, Nonce};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};

use crate::base::error::{Error, Result};

/// Where what is sealed lies. A secret of its own is under `Session`: the one that the nodes share.
#[derive(Debug, Clone, Copy)]
pub enum Purpose {
    Upstream,
    Store,
    /// In the hands of clients.
    Session,
}

impl Purpose {
    /// The salt and the info of HKDF: what was sealed opens only with the same.
    fn names(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Purpose::Upstream => (b"tidegate upstream", b"state 1"),
            Purpose::Store => (b"tidegate store", b"settings 1"),
            Purpose::Session => (b"tidegate session", b"token 1"),
        }
    }
}

const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 16;

pub struct Sealer(RandomizedNonceKey);

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[sealer]")
    }
}

struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

impl Sealer {
    pub fn new(secret: &[u8], purpose: Purpose) -> Result<Self> {
        let (salt, info) = purpose.names();
        let failed = |_| Error::internal("the key of sealed records could not be made");
        let mut key = [0; KEY_BYTES];
        Salt::new(HKDF_SHA256, salt).extract(secret).expand(&[info], KeyLength).and_then(|okm| okm.fill(&mut key)).map_err(failed)?;
        RandomizedNonceKey::new(&AES_256_GCM, &key).map(Sealer).map_err(failed)
    }

    /// Nonce, text, tag. No two are alike, also of the same text.
    pub fn seal(&self, place: &str, text: &[u8]) -> Result<Vec<u8>> {
        let mut body = text.to_vec();
        let nonce = self.0.seal_in_place_append_tag(Aad::from(place.as_bytes()), &mut body);
        let nonce = nonce.map_err(|_| Error::internal("a record could not be sealed"))?;
        Ok([nonce.as_ref().as_slice(), body.as_slice()].concat())
    }

    /// None: it was not sealed by this key for this place.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, body) = sealed.split_at_checked(NONCE_LEN)?;
        let mut body = body.to_vec();
        let length = body.len().checked_sub(TAG_BYTES)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        self.0.open_in_place(nonce, Aad::from(place.as_bytes()), &mut body).ok()?;
        body.truncate(length);
        Some(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_with_the_key_and_at_its_place() {
        let sealer = Sealer::new(b"a secret of the operator", Purpose::Upstream).unwrap();
        let sealed = sealer.seal("here", b"text").unwrap();
        assert_eq!(sealer.open("here", &sealed).unwrap(), b"text");
        assert_ne!(sealer.seal("here", b"text").unwrap(), sealed);
        assert!(!sealed.windows(4).any(|w| w == b"text"));
        assert_eq!(sealer.open("there", &sealed), None);
        assert_eq!(Sealer::new(b"another secret", Purpose::Upstream).unwrap().open("here", &sealed), None);
        assert_eq!(Sealer::new(b"a secret of the operator", Purpose::Store).unwrap().open("here", &sealed), None);
        assert_eq!(Sealer::new(b"a secret of the operator", Purpose::Upstream).unwrap().open("here", &sealed).unwrap(), b"text");
        for i in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[i] ^= 1;
            assert_eq!(sealer.open("here", &forged), None);
            assert_eq!(sealer.open("here", &sealed[..i]), None);
        }
        assert_eq!(sealer.open("here", &sealer.seal("here", b"").unwrap()).unwrap(), b"");
    }
}
