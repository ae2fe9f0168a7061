//! Encryption on requests to the upstream, and as its answers tell it. Called by whoever sends or reads one; what a bucket does, and which
//! keys may be sent: `encryption`.

use aws_sdk_s3::types::ServerSideEncryption;

use crate::base::encryption::{Encryption, KeyName, Kms};

/// A client's key on a request about what is encrypted with it.
macro_rules! with_key {
    ($request:expr, $key:expr) => {{
        let key: Option<&$crate::base::encryption::CustomerKey> = $key;
        let (key, md5) = key.map(|key| key.in_base64()).unzip();
        let algorithm = key.as_ref().map(|_| $crate::base::encryption::AES256.to_owned());
        $request.set_sse_customer_algorithm(algorithm).set_sse_customer_key(key).set_sse_customer_key_md5(md5)
    }};
}

/// How something is encrypted, as an answer tells it.
macro_rules! told {
    ($answer:expr) => {{
        let answer = $answer;
        $crate::upstream::sse::encryption_of(
            answer.server_side_encryption(),
            answer.ssekms_key_id(),
            answer.bucket_key_enabled(),
            answer.sse_customer_algorithm(),
        )
    }};
}

pub(crate) use {told, with_key};

/// `by_setting`: the configuration names a key of KMS for what asks for nothing.
pub fn algorithm(asked: Option<&Encryption>, by_setting: bool) -> Option<ServerSideEncryption> {
    match asked {
        None => by_setting.then_some(ServerSideEncryption::AwsKms),
        Some(Encryption::S3) => Some(ServerSideEncryption::Aes256),
        Some(Encryption::Kms(_)) => Some(ServerSideEncryption::AwsKms),
        Some(Encryption::Customer(_)) => None,
    }
}

pub fn encryption_of(
    kind: Option<&ServerSideEncryption>,
    key: Option<&str>,
    bucket_key: Option<bool>,
    customer: Option<&str>,
) -> Option<Encryption> {
    if customer.is_some() {
        return Some(Encryption::Customer(None));
    }
    match kind? {
        ServerSideEncryption::Aes256 => Some(Encryption::S3),
        ServerSideEncryption::AwsKms | ServerSideEncryption::AwsKmsDsse => {
            // What can't be a name here is not told.
            let key = key.and_then(|key| KeyName::parse(key).ok()).unwrap_or_else(KeyName::of_store);
            Some(Encryption::Kms(Kms { key, context: None, bucket_key: bucket_key == Some(true) }.into()))
        }
        _ => None,
    }
}
