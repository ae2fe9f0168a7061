//! The keys that have names: those of `[[encryption_key]]` in gateway.toml, and the store's own, which SSE-S3 uses.
//!
//! A key has versions: the newest wraps, all of them unwrap, so a key is rotated by adding one. Each key has a number that follows from
//! its name: content is kept once inside what lies under one key.
//! Not here: where secrets come from (`config/encryption`, `local/own_key`). Never in a log: `Debug` shows names alone.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use sha2::Digest as _;

use super::chunks::DataKey;
use super::envelope::{Envelope, Place};
use super::wrap::{self, Secret};
use crate::base::encryption::{CustomerKey, Encryption, KeyName, needs_customer_key};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::TenantId;

/// By number, which grows.
#[derive(Clone, Default)]
pub struct Versions(BTreeMap<u32, Arc<Secret>>);

impl Versions {
    pub fn add(&mut self, number: u32, secret: [u8; 32]) {
        self.0.insert(number, Arc::new(Secret::new(secret)));
    }

    fn newest(&self) -> Option<(u32, &Secret)> {
        self.0.last_key_value().map(|(number, secret)| (*number, &**secret))
    }

    pub fn newest_number(&self) -> Option<u32> {
        self.newest().map(|(number, _)| number)
    }

    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        self.0.keys().copied()
    }
}

impl fmt::Debug for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[derive(Debug, Clone)]
pub struct NamedKey {
    pub versions: Versions,
    /// Who may encrypt with it. None: every tenant.
    pub tenants: Option<Vec<TenantId>>,
}

/// Those of gateway.toml.
#[derive(Debug, Clone, Default)]
pub struct NamedKeys(Arc<BTreeMap<KeyName, NamedKey>>);

impl NamedKeys {
    pub fn new(keys: BTreeMap<KeyName, NamedKey>) -> Self {
        NamedKeys(Arc::new(keys))
    }

    /// Whether the tenant may encrypt with it: if not, it is to him as if there was none.
    pub fn require(&self, name: &KeyName, tenant: &TenantId) -> Result<()> {
        let may = |key: &NamedKey| tenant.is_operator() || key.tenants.as_ref().is_none_or(|tenants| tenants.contains(tenant));
        match self.0.get(name).filter(|key| may(key)) {
            Some(_) => Ok(()),
            None => Err(Error::new(ErrorKind::KmsNotFound, format!("Key '{name}' does not exist")).detail("KeyId", name.as_str())),
        }
    }

    pub fn get(&self, name: &KeyName) -> Option<&NamedKey> {
        self.0.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&KeyName, &NamedKey)> {
        self.0.iter()
    }
}

/// What wraps and unwraps.
#[derive(Debug, Clone, Default)]
pub struct Ring {
    pub own: Versions,
    pub named: NamedKeys,
}

/// The number of what lies under customers' keys, which is never shared; and of the store's own key.
pub const CUSTOMERS: NonZeroU64 = NonZeroU64::MIN;
pub const OWN: NonZeroU64 = NonZeroU64::MIN.saturating_add(1);

/// Under which number content lies.
pub fn number(of: &Encryption) -> NonZeroU64 {
    match of {
        Encryption::Customer(_) => CUSTOMERS,
        Encryption::S3 => OWN,
        Encryption::Kms(kms) => {
            let hash = sha2::Sha256::new().chain_update(b"tidegate key ").chain_update(kms.key.as_str()).finalize();
            let number = hash.iter().take(8).fold(0u64, |n, b| n << 8 | u64::from(*b));
            // Apart from the two above.
            NonZeroU64::MIN.saturating_add(number >> 1).saturating_add(1 << 63)
        }
    }
}

impl Ring {
    /// The data key as it will stand at `place`, under the newest version of the key.
    pub fn wrap(&self, of: &Encryption, key: &DataKey, place: &Place) -> Result<Envelope> {
        let (version, under) = match of {
            Encryption::Customer(customer) => (0, &customer.as_ref().ok_or_else(needs_customer_key)?.secret),
            Encryption::S3 | Encryption::Kms(_) => self.versions(of).and_then(Versions::newest).ok_or_else(|| missing(of, None))?,
        };
        let wrapped = wrap::wrap(under, &Envelope::bound(of, version, &key.id(), place), key.secret())?;
        Ok(Envelope { of: of.without_key(), version, body: key.id(), wrapped: wrapped.into() })
    }

    /// `customer`: the key that the client brought, where it did.
    pub fn unwrap(&self, envelope: &Envelope, place: &Place, customer: Option<&CustomerKey>) -> Result<DataKey> {
        let Envelope { of, version, body, wrapped } = envelope;
        let under = match of {
            Encryption::Customer(_) => &customer.ok_or_else(needs_customer_key)?.secret,
            Encryption::S3 | Encryption::Kms(_) => {
                self.versions(of).and_then(|v| v.0.get(version)).ok_or_else(|| missing(of, Some(*version)))?
            }
        };
        let opened = wrap::unwrap(under, &Envelope::bound(of, *version, body, place), wrapped);
        let secret = opened.ok_or_else(|| match of {
            Encryption::Customer(_) => {
                Error::new(ErrorKind::AccessDenied, "The key you provided is not the one that the object is encrypted with.")
            }
            Encryption::S3 | Encryption::Kms(_) => unreadable(&format!("version {version} of {}", called(of))),
        })?;
        DataKey::of(*body, secret)
    }

    /// Whether a newer version of its key wraps today.
    pub fn is_stale(&self, envelope: &Envelope) -> bool {
        self.versions(&envelope.of).and_then(Versions::newest_number).is_some_and(|newest| envelope.version < newest)
    }

    /// None: the key that the envelope needs is there.
    pub fn lacks(&self, envelope: &Envelope) -> Option<String> {
        if envelope.of.is_customers() || self.versions(&envelope.of).is_some_and(|v| v.0.contains_key(&envelope.version)) {
            return None;
        }
        Some(format!("version {} of {}", envelope.version, called(&envelope.of)))
    }

    fn versions(&self, of: &Encryption) -> Option<&Versions> {
        match of {
            Encryption::S3 => Some(&self.own),
            Encryption::Kms(kms) => Some(&self.named.get(&kms.key)?.versions),
            Encryption::Customer(_) => None,
        }
    }
}

fn called(of: &Encryption) -> String {
    match of {
        Encryption::S3 => "the store's own encryption key".to_owned(),
        Encryption::Kms(kms) => format!("the encryption key {:?}", kms.key.as_str()),
        Encryption::Customer(_) => "a customer's key".to_owned(),
    }
}

fn missing(of: &Encryption, version: Option<u32>) -> Error {
    let which = version.map_or_else(|| called(of), |version| format!("version {version} of {}", called(of)));
    let cause = format!("{which} is not there: bring it back as it was in [[encryption_key]]; nothing else opens what it wrapped");
    let text = "The key that the object is encrypted with is not available at the moment. Please ask the operator.";
    Error::new(ErrorKind::KmsDisabled, text).caused_by(cause)
}

/// What is kept is not what was written.
pub fn unreadable(what: &str) -> Error {
    let e = Error::new(ErrorKind::InternalError, "We encountered an internal error. Please try again.");
    e.caused_by(format!("what is kept under {what} does not open: it is damaged, or is not what was written; run `tidegate fsck --verify`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Md5;
    use crate::base::encryption::Kms;
    use crate::base::names::{BucketName, ObjectKey};

    fn place(key: &str, generation: u64, size: u64) -> Place {
        Place::of_version(&BucketName::parse("media").unwrap(), &ObjectKey::parse(key).unwrap(), generation, size)
    }

    fn kms(key: &str, context: Option<&str>) -> Encryption {
        let key = KeyName::parse(key).unwrap();
        Encryption::Kms(Kms { key, context: context.map(str::to_owned), bucket_key: false }.into())
    }

    fn ring(versions: &[u32]) -> Ring {
        let (mut own, mut named) = (Versions::default(), Versions::default());
        versions.iter().for_each(|n| own.add(*n, [*n as u8; 32]));
        versions.iter().for_each(|n| named.add(*n, [100 + *n as u8; 32]));
        let tenants = Some(vec![TenantId::parse("acme").unwrap()]);
        let keys = [(KeyName::parse("k1").unwrap(), NamedKey { versions: named.clone(), tenants })];
        Ring { own, named: NamedKeys::new(keys.into()) }
    }

    #[test]
    fn an_envelope_opens_at_its_place_and_nowhere_else() {
        let (ring, key) = (ring(&[1]), DataKey::new().unwrap());
        let customer = |byte| Some(Arc::new(CustomerKey::new([byte; 32], Md5([0; 16]))));
        for of in [Encryption::S3, kms("k1", Some("e30=")), Encryption::Customer(customer(9))] {
            let envelope = ring.wrap(&of, &key, &place("a", 7, 10)).unwrap();
            let again = Envelope::decode(&envelope.encode().unwrap()).unwrap();
            assert_eq!(again, envelope);
            assert_eq!(again.of.customer_key(), None, "no customer's key is kept");
            let held = of.customer_key().map(|k| &**k);
            assert_eq!(ring.unwrap(&again, &place("a", 7, 10), held).unwrap().secret(), key.secret());
            for other in [place("b", 7, 10), place("a", 8, 10), place("a", 7, 11)] {
                assert!(ring.unwrap(&again, &other, held).is_err());
            }
            for at in 0..again.wrapped.len() {
                let mut forged = again.clone();
                forged.wrapped[at] ^= 1;
                assert!(ring.unwrap(&forged, &place("a", 7, 10), held).is_err());
            }
            let mut forged = again.clone();
            forged.body[0] ^= 1;
            assert!(ring.unwrap(&forged, &place("a", 7, 10), held).is_err());
        }
        let envelope = ring.wrap(&kms("k1", None), &key, &place("a", 7, 10)).unwrap();
        let moved = Envelope { of: kms("k1", Some("e30=")), ..envelope };
        assert!(ring.unwrap(&moved, &place("a", 7, 10), None).is_err(), "the context is bound");
        let sealed = ring.wrap(&Encryption::Customer(customer(9)), &key, &place("a", 7, 10)).unwrap();
        let kind = |key: Option<Arc<CustomerKey>>| ring.unwrap(&sealed, &place("a", 7, 10), key.as_deref()).unwrap_err().kind();
        assert_eq!((kind(None), kind(customer(8))), (ErrorKind::InvalidRequest, ErrorKind::AccessDenied));
    }

    #[test]
    fn the_newest_version_wraps_and_every_one_that_is_left_unwraps() {
        let key = DataKey::new().unwrap();
        let (before, after, lost) = (ring(&[1]), ring(&[1, 3]), ring(&[3]));
        for of in [Encryption::S3, kms("k1", None)] {
            let old = before.wrap(&of, &key, &place("a", 1, 1)).unwrap();
            assert!(!before.is_stale(&old) && after.is_stale(&old));
            assert!(after.unwrap(&old, &place("a", 1, 1), None).is_ok());
            assert_eq!(after.wrap(&of, &key, &place("a", 1, 1)).unwrap().version, 3);
            let error = lost.unwrap(&old, &place("a", 1, 1), None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::KmsDisabled);
            assert!(lost.lacks(&old).unwrap().starts_with("version 1 of ") && after.lacks(&old).is_none());
        }
    }

    #[test]
    fn tenants_have_their_keys() {
        let (ring, name) = (ring(&[1]), KeyName::parse("k1").unwrap());
        let may = |tenant: &str| ring.named.require(&name, &TenantId::parse(tenant).unwrap()).is_ok();
        assert!(may("acme") && !may("bravo"));
        assert!(ring.named.require(&name, &TenantId::operator()).is_ok());
        assert!(ring.named.require(&KeyName::parse("k2").unwrap(), &TenantId::operator()).is_err());
        let numbers = [number(&kms("k1", None)), number(&kms("k2", None)), number(&Encryption::S3), number(&Encryption::Customer(None))];
        assert!((0..4).all(|a| (0..a).all(|b| numbers[a] != numbers[b])));
    }
}
