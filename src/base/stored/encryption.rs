//! How an object is encrypted elsewhere, as its answers say it: a field of forms that keep what another store told.
//!
//! Not here: how this store's own bytes are encrypted (`crypt::Envelope`).

use crate::base::encryption::{AES256, Encryption, KMS, KMS_DSSE, KeyName, Kms};
use crate::base::error::{Error, Result};
use crate::base::fields::{Fields, Tag};

/// Ends the algorithm: the name of a key follows.
const END: char = ' ';
const CUSTOMER: &str = "customer";

pub fn with_encryption(fields: Fields, of: Option<&Encryption>) -> Fields {
    let text = match of {
        None => return fields,
        Some(Encryption::S3) => AES256.to_owned(),
        Some(Encryption::Kms(kms)) => format!("{}{END}{}{END}{}", KMS, kms.key, u8::from(kms.bucket_key)),
        Some(Encryption::Customer(_)) => CUSTOMER.to_owned(),
    };
    fields.with(Tag::ENCRYPTION, text.into_bytes())
}

pub fn take_encryption(fields: &mut Fields) -> Result<Option<Encryption>> {
    let Some(bytes) = fields.take(Tag::ENCRYPTION) else { return Ok(None) };
    let unreadable = || Error::internal("how an object is encrypted can't be read");
    let text = std::str::from_utf8(&bytes).map_err(Error::internal)?;
    let mut words = text.split(END);
    Ok(Some(match words.next() {
        Some(AES256) => Encryption::S3,
        Some(CUSTOMER) => Encryption::Customer(None),
        Some(KMS | KMS_DSSE) => {
            let key = KeyName::told(words.next().ok_or_else(unreadable)?)?;
            Encryption::Kms(Kms { key, context: None, bucket_key: words.next() == Some("1") }.into())
        }
        _ => return Err(unreadable()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_store_told_comes_back() {
        let kms = Kms { key: KeyName::parse("arn:aws:kms:eu-west-1:1:key/a-b").unwrap(), context: None, bucket_key: true };
        let stores = Kms { key: KeyName::of_store(), context: None, bucket_key: false };
        let kinds = [Encryption::S3, Encryption::Customer(None), Encryption::Kms(kms.into()), Encryption::Kms(stores.into())];
        for of in std::iter::once(None).chain(kinds.into_iter().map(Some)) {
            let mut fields = with_encryption(Fields::default(), of.as_ref());
            assert_eq!(fields.is_empty(), of.is_none());
            assert_eq!(take_encryption(&mut fields).unwrap(), of);
        }
        assert!(take_encryption(&mut Fields::default().with(Tag::ENCRYPTION, b"rot13".to_vec())).is_err());
    }
}
