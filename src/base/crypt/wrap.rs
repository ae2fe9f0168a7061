//! A secret of 32 bytes, wrapped under another one, and bound to what it is for.
//!
//! Each wrapping has a key of its own, which HKDF-SHA256 makes of the outer secret and 16 random bytes: so no nonce can meet another,
//! however often one key wraps. What is bound is authenticated and not kept.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::Zeroizing;

use crate::base::error::{Error, Result};

pub const SECRET_BYTES: usize = 32;
const SALT_BYTES: usize = 16;
const TAG_BYTES: usize = 16;
pub const WRAPPED_BYTES: usize = SALT_BYTES + SECRET_BYTES + TAG_BYTES;

const LABEL: &[u8] = b"tidegate wrap 1";

/// Never shown, and wiped when it is dropped.
pub type Secret = Zeroizing<[u8; SECRET_BYTES]>;

pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| Error::internal(e.to_string()))?;
    Ok(bytes)
}

struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        SECRET_BYTES
    }
}

fn key(under: &[u8; SECRET_BYTES], salt: &[u8]) -> Result<LessSafeKey> {
    let failed = |_| Error::internal("a key could not be derived");
    let mut key = Zeroizing::new([0; SECRET_BYTES]);
    Salt::new(HKDF_SHA256, salt).extract(under).expand(&[LABEL], KeyLength).and_then(|okm| okm.fill(&mut *key)).map_err(failed)?;
    UnboundKey::new(&AES_256_GCM, &*key).map(LessSafeKey::new).map_err(failed)
}

/// Salt, secret, tag.
pub fn wrap(under: &[u8; SECRET_BYTES], bound: &[u8], secret: &[u8; SECRET_BYTES]) -> Result<[u8; WRAPPED_BYTES]> {
    let salt: [u8; SALT_BYTES] = random()?;
    let mut out = [0; WRAPPED_BYTES];
    let (head, rest) = out.split_at_mut(SALT_BYTES);
    let (body, tag) = rest.split_at_mut(SECRET_BYTES);
    head.copy_from_slice(&salt);
    body.copy_from_slice(secret);
    // The key is used this once.
    let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
    let sealed = key(under, &salt)?.seal_in_place_separate_tag(nonce, Aad::from(bound), body);
    tag.copy_from_slice(sealed.map_err(|_| Error::internal("a key could not be wrapped"))?.as_ref());
    Ok(out)
}

/// None: it was not wrapped under this key, or not for this.
pub fn unwrap(under: &[u8; SECRET_BYTES], bound: &[u8], wrapped: &[u8]) -> Option<Secret> {
    let (salt, rest) = wrapped.split_at_checked(SALT_BYTES).filter(|_| wrapped.len() == WRAPPED_BYTES)?;
    let mut rest = Zeroizing::new(rest.to_vec());
    let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
    let opened = key(under, salt).ok()?.open_in_place(nonce, Aad::from(bound), &mut rest).ok()?;
    <[u8; SECRET_BYTES]>::try_from(&*opened).ok().map(Secret::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_under_its_key_for_what_it_was_wrapped_for_and_whole() {
        let (key, other, secret) = ([1; 32], [2; 32], [7; 32]);
        let wrapped = wrap(&key, b"here", &secret).unwrap();
        assert_ne!(wrap(&key, b"here", &secret).unwrap(), wrapped);
        assert_eq!(*unwrap(&key, b"here", &wrapped).unwrap(), secret);
        assert!(unwrap(&other, b"here", &wrapped).is_none() && unwrap(&key, b"there", &wrapped).is_none());
        for bit in 0..wrapped.len() * 8 {
            let mut forged = wrapped;
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(unwrap(&key, b"here", &forged).is_none());
        }
        for len in 0..wrapped.len() {
            assert!(unwrap(&key, b"here", &wrapped[..len]).is_none());
        }
        assert!(unwrap(&key, b"here", &[&wrapped[..], &[0]].concat()).is_none());
    }
}
