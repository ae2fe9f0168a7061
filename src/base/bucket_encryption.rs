//! Encryption as a bucket has it: what its new objects get where their writer asks for nothing, and which kinds it takes.
//!
//! Not here: how clients write a configuration (`http::s3::encryption`), who may use which key (`ops::encryption`).
//! Invariant: what is stored is what `document` writes, and nothing else is read.

use super::encryption::{AES256, Encryption, KMS, KeyName, Kms};
use super::error::Result;
use super::fields::newer;
use super::object::{Bucket, BucketDocument};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BucketEncryption {
    /// Never a customer's key, and without a context.
    pub default: Option<Encryption>,
    /// Whether objects under customers' keys are refused. None: nobody said, and a setting decides.
    pub blocks_customer_keys: Option<bool>,
}

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ServerSideEncryptionConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Rule>";
const END: &str = "</Rule></ServerSideEncryptionConfiguration>";
/// S3's name for what is blocked.
pub const CUSTOMER_KEYS: &str = "SSE-C";
pub const NOTHING: &str = "NONE";

impl BucketEncryption {
    /// As it is stored, and shown.
    pub fn document(&self) -> String {
        let by_default = |algorithm: &str, key: &str, bucket_key: bool| {
            format!(
                "<ApplyServerSideEncryptionByDefault><SSEAlgorithm>{algorithm}</SSEAlgorithm>{key}</ApplyServerSideEncryptionByDefault>\
                 <BucketKeyEnabled>{bucket_key}</BucketKeyEnabled>"
            )
        };
        // A name of a key has nothing that XML would want otherwise.
        let default = match &self.default {
            Some(Encryption::S3) => by_default(AES256, "", false),
            Some(Encryption::Kms(kms)) if kms.key.is_of_store() => by_default(KMS, "", kms.bucket_key),
            Some(Encryption::Kms(kms)) => by_default(KMS, &format!("<KMSMasterKeyID>{}</KMSMasterKeyID>", kms.key), kms.bucket_key),
            Some(Encryption::Customer(_)) | None => String::new(),
        };
        let blocked = self.blocks_customer_keys.map_or_else(String::new, |blocks| {
            let blocked = if blocks { CUSTOMER_KEYS } else { NOTHING };
            format!("<BlockedEncryptionTypes><EncryptionType>{blocked}</EncryptionType></BlockedEncryptionTypes>")
        });
        format!("{HEAD}{default}{blocked}{END}")
    }

    /// None: `document` writes no such thing.
    pub fn read(document: &[u8]) -> Option<Self> {
        let rule = std::str::from_utf8(document).ok()?.strip_prefix(HEAD)?.strip_suffix(END)?;
        let between = |start: &str, end: &str| Some(rule.split_once(start)?.1.split_once(end)?.0);
        let default = match between("<SSEAlgorithm>", "</SSEAlgorithm>") {
            None => None,
            Some(AES256) => Some(Encryption::S3),
            Some(_) => {
                let key = KeyName::told(between("<KMSMasterKeyID>", "</KMSMasterKeyID>").unwrap_or_default()).ok()?;
                let bucket_key = between("<BucketKeyEnabled>", "</BucketKeyEnabled>") == Some("true");
                Some(Encryption::Kms(Kms { key, context: None, bucket_key }.into()))
            }
        };
        let blocks_customer_keys = between("<EncryptionType>", "</EncryptionType>").map(|blocked| blocked == CUSTOMER_KEYS);
        Some(BucketEncryption { default, blocks_customer_keys }).filter(|read| read.document().as_bytes() == document)
    }
}

impl Bucket {
    /// Err: it has one that a newer program wrote, so that nobody here knows what it asks for.
    pub fn encryption(&self) -> Result<BucketEncryption> {
        let Some(document) = self.documents.get(&BucketDocument::Encryption) else { return Ok(BucketEncryption::default()) };
        BucketEncryption::read(document).ok_or_else(|| newer("the bucket's encryption configuration"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let kms = |bucket_key| Kms { key: KeyName::parse("k-1").unwrap(), context: None, bucket_key };
        let defaults = [None, Some(Encryption::S3), Some(Encryption::Kms(kms(true).into())), Some(Encryption::Kms(kms(false).into()))];
        for default in defaults {
            for blocks_customer_keys in [None, Some(true), Some(false)] {
                let one = BucketEncryption { default: default.clone(), blocks_customer_keys };
                let document = one.document();
                assert_eq!(BucketEncryption::read(document.as_bytes()), Some(one));
                assert_eq!(BucketEncryption::read(document.replace("<Rule>", "<Rule><More/>").as_bytes()), None);
                assert_eq!(BucketEncryption::read(document.replace(AES256, "AES512").as_bytes()).is_some(), !document.contains(AES256));
            }
        }
    }
}
