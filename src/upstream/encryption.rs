//! Encryption is the upstream's: what a request asks for is passed on to it, and what it says of an object is told again.
//!
//! Invariants: a client's key goes with the requests that need it and is kept nowhere, and not over plain HTTP unless a setting says so.
//! A bucket that is a whole bucket upstream may set what that one's new objects get; a folder can't.

use aws_sdk_s3::types::{
    BlockedEncryptionTypes, EncryptionType, ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
};

use crate::base::bucket_encryption::{BucketEncryption, CUSTOMER_KEYS, NOTHING};
use crate::base::encryption::{CustomerKey, Encryption};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::BucketName;
use crate::base::object_ref::{VersionId, VersionSelector};
use crate::upstream::fault;
use crate::upstream::keeping::of_a_folder;
use crate::upstream::open::Inner;
use crate::upstream::sse::{algorithm, encryption_of};

impl Inner {
    /// Err: what is asked for must not be sent there.
    pub fn require_sendable(&self, of: Option<&Encryption>) -> Result<()> {
        match of {
            Some(Encryption::Customer(None)) => Err(Error::internal("a client's key was lost on the way")),
            Some(Encryption::Customer(Some(key))) => self.require_key_sendable(key),
            Some(Encryption::S3 | Encryption::Kms(_)) | None => Ok(()),
        }
    }

    pub fn require_key_sendable(&self, _: &CustomerKey) -> Result<()> {
        if self.settings.sends_customer_keys {
            return Ok(());
        }
        let text = "The storage behind this gateway is reached without TLS: a client's own key (SSE-C) is not sent there.";
        Err(Error::new(ErrorKind::NotImplemented, text))
    }

    /// Whether the object is there, and lies under a client's key: a HEAD that is refused does not say why.
    pub async fn wants_key(&self, bucket: &str, key: &str, version: VersionSelector<'_>) -> bool {
        let get = self.reader.get_object().bucket(bucket).key(key).range("bytes=0-0");
        match get.set_version_id(version.id().map(VersionId::to_string)).send().await {
            Ok(_) => false,
            Err(e) => fault::code(&e) == Some("InvalidRequest") && fault::message(&e).is_some_and(|m| m.contains("Server Side Encryption")),
        }
    }

    /// What it refuses to tell is taken for nothing.
    pub async fn ask_encryption(&self, bucket: &str) -> Result<BucketEncryption> {
        let said = match self.reader.get_bucket_encryption().bucket(bucket).send().await {
            Ok(said) => said,
            Err(e) if fault::is_not_told(&e) => return Ok(BucketEncryption::default()),
            Err(e) => return Err(fault::of(e)),
        };
        let rule = said.server_side_encryption_configuration().and_then(|said| said.rules().first().cloned());
        Ok(rule.map_or_else(BucketEncryption::default, |rule| bucket_encryption(&rule)))
    }

    pub async fn set_encryption(&self, name: &BucketName, value: Option<&[u8]>) -> Result<()> {
        let place = self.place(name).await?;
        if !place.is_whole() {
            return Err(of_a_folder("encrypts what is written"));
        }
        let answer = match value.map(BucketEncryption::read) {
            None => self
                .client
                .delete_bucket_encryption()
                .bucket(&*place.bucket)
                .send()
                .await
                .map(drop)
                .map_err(|e| refused(fault::status(&e), fault::of(e))),
            Some(None) => return Err(Error::internal("a bucket's encryption can't be read")),
            Some(Some(set)) => {
                let put = self.client.put_bucket_encryption().bucket(&*place.bucket);
                let put = put.server_side_encryption_configuration(configuration(&set)?);
                put.send().await.map(drop).map_err(|e| refused(fault::status(&e), fault::of(e)))
            }
        };
        self.forget_keeping(&place.bucket);
        answer
    }
}

fn refused(status: Option<u16>, why: Error) -> Error {
    match status {
        Some(405 | 501) => {
            Error::new(ErrorKind::NotImplemented, "The storage behind this gateway has no encryption of buckets.").caused_by(why)
        }
        Some(400) => {
            let text = "The storage behind this gateway does not take this configuration; as a rule it does not know the key.";
            Error::new(ErrorKind::InvalidArgument, text).caused_by(why)
        }
        _ => why,
    }
}

fn bucket_encryption(rule: &ServerSideEncryptionRule) -> BucketEncryption {
    let default = rule.apply_server_side_encryption_by_default();
    let default = default.and_then(|d| encryption_of(Some(d.sse_algorithm()), d.kms_master_key_id(), rule.bucket_key_enabled(), None));
    let blocked = rule.blocked_encryption_types().and_then(|types| types.encryption_type().first()).map(EncryptionType::as_str);
    let blocks_customer_keys = match blocked {
        Some(CUSTOMER_KEYS) => Some(true),
        Some(NOTHING) => Some(false),
        _ => None,
    };
    BucketEncryption { default, blocks_customer_keys }
}

fn configuration(set: &BucketEncryption) -> Result<ServerSideEncryptionConfiguration> {
    let default = set.default.as_ref().map(|default| {
        let by_default = ServerSideEncryptionByDefault::builder().set_sse_algorithm(algorithm(Some(default), false));
        let key = default.kms().filter(|kms| !kms.key.is_of_store()).map(|kms| kms.key.to_string());
        by_default.set_kms_master_key_id(key).build().map_err(Error::internal)
    });
    let blocked = set.blocks_customer_keys.map(|blocks| {
        let kind = EncryptionType::from(if blocks { CUSTOMER_KEYS } else { NOTHING });
        BlockedEncryptionTypes::builder().encryption_type(kind).build()
    });
    let rule = ServerSideEncryptionRule::builder()
        .set_apply_server_side_encryption_by_default(default.transpose()?)
        .set_bucket_key_enabled(set.default.as_ref().and_then(Encryption::kms).map(|kms| kms.bucket_key))
        .set_blocked_encryption_types(blocked);
    ServerSideEncryptionConfiguration::builder().rules(rule.build()).build().map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_s3::types::ServerSideEncryption;

    use crate::base::encryption::{AES256, KeyName, Kms};

    #[test]
    fn a_configuration_comes_back_as_it_was_sent() {
        let kms = |key: KeyName, bucket_key| Encryption::Kms(Kms { key, context: None, bucket_key }.into());
        let named = KeyName::parse("arn:aws:kms:eu-west-1:1:key/a").unwrap();
        for default in [None, Some(Encryption::S3), Some(kms(named, true)), Some(kms(KeyName::of_store(), false))] {
            for blocks_customer_keys in [None, Some(true), Some(false)] {
                let set = BucketEncryption { default: default.clone(), blocks_customer_keys };
                assert_eq!(bucket_encryption(&configuration(&set).unwrap().rules()[0]), set);
            }
        }
    }

    #[test]
    fn what_answers_tell() {
        assert_eq!(encryption_of(None, None, None, Some(AES256)), Some(Encryption::Customer(None)));
        assert_eq!(encryption_of(Some(&ServerSideEncryption::Aes256), None, None, None), Some(Encryption::S3));
        assert_eq!(encryption_of(Some(&ServerSideEncryption::from("rot13")), None, None, None), None);
        let odd = encryption_of(Some(&ServerSideEncryption::AwsKms), Some("a key"), Some(true), None).unwrap();
        assert!(odd.kms().unwrap().key.is_of_store() && odd.kms().unwrap().bucket_key);
    }
}
