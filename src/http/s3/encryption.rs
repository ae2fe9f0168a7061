//! Server-side encryption as requests ask for it and answers tell it, and the encryption configuration of a bucket.
//!
//! Not here: which keys there are and who may use them (`ops::encryption`), how anything is sealed (`base::crypt`).
//! Invariants: a customer's key is taken from its three headers alone, over TLS unless a setting says otherwise, and is in no answer; a
//! read that speaks of encryption which the object does not have is refused, as by S3.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::auth::Grant;
use crate::auth::action::Action;
use crate::base::bucket_encryption::{BucketEncryption, CUSTOMER_KEYS, NOTHING};
use crate::base::encryption::{AES256, CustomerKey, Encryption, KMS, KMS_DSSE, KeyName, Kms, needs_customer_key, not_applicable};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::header::text;
use crate::base::names::BucketName;
use crate::base::object::{BucketDocument, ObjectInfo, SharedObject, Upload};
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer, value};
use crate::http::xml::Element;
use crate::ingest::md5::Md5Hasher;
use crate::ops::encryption::Asked;

const ALGORITHM: HeaderName = HeaderName::from_static("x-amz-server-side-encryption");
const KEY_ID: HeaderName = HeaderName::from_static("x-amz-server-side-encryption-aws-kms-key-id");
const CONTEXT: HeaderName = HeaderName::from_static("x-amz-server-side-encryption-context");
const BUCKET_KEY: HeaderName = HeaderName::from_static("x-amz-server-side-encryption-bucket-key-enabled");
/// Algorithm, key and its MD5.
const CUSTOMER: [HeaderName; 3] = [
    HeaderName::from_static("x-amz-server-side-encryption-customer-algorithm"),
    HeaderName::from_static("x-amz-server-side-encryption-customer-key"),
    HeaderName::from_static("x-amz-server-side-encryption-customer-key-md5"),
];
/// Of the source of a copy.
const SOURCE: [HeaderName; 3] = [
    HeaderName::from_static("x-amz-copy-source-server-side-encryption-customer-algorithm"),
    HeaderName::from_static("x-amz-copy-source-server-side-encryption-customer-key"),
    HeaderName::from_static("x-amz-copy-source-server-side-encryption-customer-key-md5"),
];
/// Beside a few names that S3 itself uses there is room for some of the client's own.
const MAX_CONTEXT_BYTES: usize = 2048;

fn wrong(name: &HeaderName, message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidArgument, message).detail("ArgumentName", name.as_str().to_owned())
}

/// What a new object is to be encrypted with. After the right to make it: who may not is told that, whatever he asks for.
pub fn asked(exchange: &Exchange<'_>) -> Result<Asked> {
    let headers = &exchange.parts.headers;
    let customer = customer_key(exchange, &CUSTOMER)?;
    let (algorithm, key, context) = (text(headers, &ALGORITHM)?, text(headers, &KEY_ID)?, text(headers, &CONTEXT)?);
    if let Some(customer) = customer {
        if algorithm.is_some() || key.is_some() || context.is_some() {
            let message = "Server Side Encryption with Customer provided key is incompatible with the encryption method specified";
            return Err(wrong(&ALGORITHM, message));
        }
        return Ok(Asked::With(Encryption::Customer(Some(customer))));
    }
    let bucket_key = match text(headers, &BUCKET_KEY)? {
        None => false,
        Some(v) if v.eq_ignore_ascii_case("false") => false,
        Some(v) if v.eq_ignore_ascii_case("true") => true,
        Some(_) => return Err(wrong(&BUCKET_KEY, "It can only be true or false.")),
    };
    match algorithm {
        Some(KMS) => {
            let context = context.map(encryption_context).transpose()?;
            match key.map(KeyName::parse).transpose()? {
                Some(key) => Ok(Asked::With(Encryption::Kms(Kms { key, context, bucket_key }.into()))),
                None => Ok(Asked::DefaultKey { context, bucket_key }),
            }
        }
        Some(KMS_DSSE) => {
            let message = "aws:kms:dsse is not implemented by this gateway: one layer of encryption is what it has. Use aws:kms or AES256.";
            Err(Error::new(ErrorKind::NotImplemented, message))
        }
        Some(AES256) | None if key.is_some() || context.is_some() => Err(wrong(
            &KEY_ID,
            "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms",
        )),
        Some(AES256) => Ok(Asked::With(Encryption::S3)),
        Some(_) => Err(wrong(&ALGORITHM, "The encryption method specified is not supported")),
        None => Ok(Asked::Nothing),
    }
}

/// JSON of names and texts, in base64.
fn encryption_context(encoded: &str) -> Result<String> {
    let fits = encoded.len() <= MAX_CONTEXT_BYTES;
    let json = STANDARD.decode(encoded).ok().filter(|_| fits);
    let pairs = json.and_then(|json| serde_json::from_slice::<std::collections::BTreeMap<String, String>>(&json).ok());
    match pairs {
        Some(_) => Ok(encoded.to_owned()),
        None => Err(wrong(&CONTEXT, "The encryption context must be JSON of names and texts, in base64, of at most 2048 bytes.")),
    }
}

/// The client's key. None: it speaks of none.
fn customer_key(exchange: &Exchange<'_>, names: &[HeaderName; 3]) -> Result<Option<Arc<CustomerKey>>> {
    let headers = &exchange.parts.headers;
    let [algorithm_name, key_name, md5_name] = names;
    let (algorithm, key, md5) = (text(headers, algorithm_name)?, text(headers, key_name)?, text(headers, md5_name)?);
    if algorithm.is_none() && key.is_none() && md5.is_none() {
        return Ok(None);
    }
    let settings = &exchange.gateway.settings;
    if !settings.encryption.customer_keys_over_http && !exchange.context().is_secure(&exchange.gateway.auth.settings().trusted_proxies) {
        let message = "Requests specifying Server Side Encryption with Customer provided keys must be made over a secure connection.";
        return Err(Error::new(ErrorKind::InvalidRequest, message));
    }
    match algorithm {
        Some(AES256) => {}
        None => {
            let message =
                "Requests specifying Server Side Encryption with Customer provided keys must provide a valid encryption algorithm.";
            return Err(wrong(algorithm_name, message));
        }
        Some(_) => return Err(wrong(algorithm_name, "The encryption request you specified is not valid. The valid value is AES256.")),
    }
    let Some(key) = key else {
        let message = "Requests specifying Server Side Encryption with Customer provided keys must provide an appropriate secret key.";
        return Err(wrong(key_name, message));
    };
    let Some(md5) = md5 else {
        let message = "Requests specifying Server Side Encryption with Customer provided keys must provide the client calculated MD5 of the secret key.";
        return Err(wrong(md5_name, message));
    };
    let Some(secret) = STANDARD.decode(key).ok().and_then(|key| <[u8; 32]>::try_from(key).ok()) else {
        return Err(wrong(key_name, "The secret key was invalid for the specified algorithm."));
    };
    let computed = Md5Hasher::digest(&secret);
    if STANDARD.decode(md5).ok().as_deref() != Some(&computed.0[..]) {
        return Err(wrong(md5_name, "The calculated MD5 hash of the key did not match the hash that was provided."));
    }
    Ok(Some(Arc::new(CustomerKey::new(secret, computed))))
}

/// The key for looking at what is to be read, where an S3 below wants it for that. What is wrong with it is told by `unlocked`.
pub fn brought(exchange: &Exchange<'_>, source: bool) -> Option<Arc<CustomerKey>> {
    let names = if source { &SOURCE } else { &CUSTOMER };
    let needed = !exchange.gateway.ops.encrypts() && exchange.parts.headers.contains_key(&names[1]);
    if needed { customer_key(exchange, names).ok().flatten() } else { None }
}

/// The object as whoever asks may read it: with his key, where it needs one. None: it was replaced meanwhile; look again.
/// Nothing is waited for, or made, where neither the object nor the request has to do with it.
pub async fn unlocked(exchange: &Exchange<'_>, grant: &Grant, object: SharedObject) -> Result<Option<SharedObject>> {
    let says = |name: &HeaderName| exchange.says_s3 && exchange.parts.headers.contains_key(name);
    if says(&ALGORITHM) {
        return Err(not_applicable());
    }
    if !matches!(object.encryption, Some(Encryption::Customer(_))) {
        let speaks = CUSTOMER.iter().any(says);
        return if speaks { Err(not_applicable()) } else { Ok(Some(object)) };
    }
    let object = with_key(&object, customer_key(exchange, &CUSTOMER)?)?;
    Ok(exchange.gateway.ops.proves_key(grant, &object).await?.then_some(object))
}

/// The source of a copy, with its key.
pub fn source(exchange: &Exchange<'_>, object: SharedObject) -> Result<SharedObject> {
    match (customer_key(exchange, &SOURCE)?, &object.encryption) {
        (key, Some(Encryption::Customer(_))) => with_key(&object, key),
        (Some(_), _) => Err(not_applicable()),
        (None, _) => Ok(object),
    }
}

fn with_key(object: &SharedObject, key: Option<Arc<CustomerKey>>) -> Result<SharedObject> {
    let key = key.ok_or_else(needs_customer_key)?;
    Ok(Arc::new(ObjectInfo { encryption: Some(Encryption::Customer(Some(key))), ..ObjectInfo::clone(object) }))
}

/// The upload, with the key that the request for one of its parts, or for its end, brings.
pub fn of_part(exchange: &Exchange<'_>, upload: &mut Upload) -> Result<()> {
    match (customer_key(exchange, &CUSTOMER)?, &mut upload.encryption) {
        (key, Some(Encryption::Customer(held))) => {
            let message = "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate \
                           encryption parameters.";
            *held = Some(key.ok_or_else(|| Error::new(ErrorKind::InvalidRequest, message))?);
            Ok(())
        }
        (Some(_), _) => {
            let message = "The multipart upload initiate did not request this encryption: its parts can't have another.";
            Err(Error::new(ErrorKind::InvalidRequest, message))
        }
        (None, _) => Ok(()),
    }
}

/// The key of a request that ends an upload, whatever that was encrypted with.
pub fn of_completion(exchange: &Exchange<'_>) -> Result<Option<Arc<CustomerKey>>> {
    customer_key(exchange, &CUSTOMER)
}

/// What an answer says of how something is encrypted.
pub fn tell(headers: &mut HeaderMap, of: Option<&Encryption>) {
    let [customer_algorithm, _, customer_md5] = CUSTOMER;
    match of {
        None | Some(Encryption::Customer(None)) => {}
        Some(Encryption::S3) => drop(headers.insert(ALGORITHM, HeaderValue::from_static(AES256))),
        Some(Encryption::Kms(kms)) => {
            headers.insert(ALGORITHM, HeaderValue::from_static(KMS));
            if let Some(key) = value(kms.key.as_str()).filter(|_| !kms.key.is_of_store()) {
                headers.insert(KEY_ID, key);
            }
            if kms.bucket_key {
                headers.insert(BUCKET_KEY, HeaderValue::from_static("true"));
            }
        }
        Some(Encryption::Customer(Some(key))) => {
            headers.insert(customer_algorithm, HeaderValue::from_static(AES256));
            if let Some(md5) = value(&STANDARD.encode(key.md5().0)) {
                headers.insert(customer_md5, md5);
            }
        }
    }
}

/// Of an object whose parts were encrypted with this key, where that is the client's.
pub fn tell_completed(headers: &mut HeaderMap, of: Option<&Encryption>, key: Option<Arc<CustomerKey>>) {
    match of {
        Some(Encryption::Customer(_)) => tell(headers, Some(&Encryption::Customer(key))),
        other => tell(headers, other),
    }
}

/// The same of what was just made, with the context that it was made with. `asked`: with the key, where that is the client's; `made`: as
/// the store has it, which may have a default of its own.
pub fn tell_made(headers: &mut HeaderMap, asked: Option<&Encryption>, made: Option<&Encryption>) {
    let by_store = asked.is_none_or(|asked| asked.kms().is_some_and(|kms| kms.key.is_of_store()));
    tell(headers, made.filter(|_| by_store).or(asked));
    if let Some(Encryption::Kms(kms)) = asked
        && let Some(context) = kms.context.as_deref().and_then(value)
    {
        headers.insert(CONTEXT, context);
    }
}

pub async fn get_bucket(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    exchange.on_bucket(Action::GetEncryptionConfiguration, name).await?;
    let stored = exchange.stored_document(name, BucketDocument::Encryption).await?;
    let kind = ErrorKind::ServerSideEncryptionConfigurationNotFound;
    // S3 encrypts every object today, and so never answers this. Here nothing is encrypted that nobody asked for.
    let none = || Error::new(kind, "The server side encryption configuration was not found").detail("BucketName", name.as_str());
    stored.map(respond::xml).ok_or_else(none)
}

pub async fn put_bucket(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    let grant = exchange.on_bucket(Action::PutEncryptionConfiguration, name).await?;
    let set = configuration(&exchange.document().await?)?;
    exchange.gateway.ops.set_bucket_encryption(&grant, Some(set)).await?;
    Ok(respond::empty(StatusCode::OK))
}

pub async fn delete_bucket(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    let grant = exchange.on_bucket(Action::PutEncryptionConfiguration, name).await?;
    exchange.gateway.ops.set_bucket_encryption(&grant, None).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

fn configuration(document: &[u8]) -> Result<BucketEncryption> {
    let malformed = || {
        let message = "The XML you provided was not well-formed or did not validate against our published schema";
        Error::new(ErrorKind::MalformedXml, message)
    };
    let root = Element::parse(document, "ServerSideEncryptionConfiguration")?;
    let mut rules = root.children.iter().filter(|child| child.name == "Rule");
    let (Some(rule), None) = (rules.next(), rules.next()) else { return Err(malformed()) };
    let bucket_key = rule.text_of("BucketKeyEnabled") == Some("true");
    let default = match rule.child("ApplyServerSideEncryptionByDefault") {
        None => None,
        Some(default) => match (default.text_of("SSEAlgorithm"), default.text_of("KMSMasterKeyID")) {
            (Some(AES256), None) => Some(Encryption::S3),
            (Some(AES256), Some(_)) => {
                return Err(Error::new(
                    ErrorKind::InvalidArgument,
                    "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms",
                ));
            }
            (Some(KMS), Some(key)) => Some(Encryption::Kms(Kms { key: KeyName::parse(key)?, context: None, bucket_key }.into())),
            (Some(KMS), None) => Some(Encryption::Kms(Kms { key: KeyName::of_store(), context: None, bucket_key }.into())),
            (Some(KMS_DSSE), _) => {
                return Err(Error::new(
                    ErrorKind::NotImplemented,
                    "aws:kms:dsse is not implemented by this gateway. Use aws:kms or AES256.",
                ));
            }
            _ => return Err(malformed()),
        },
    };
    let blocks_customer_keys = match rule.child("BlockedEncryptionTypes") {
        None => None,
        Some(blocked) => match blocked.children.iter().map(|kind| (kind.name.as_str(), kind.text.as_str())).collect::<Vec<_>>()[..] {
            [("EncryptionType", CUSTOMER_KEYS)] => Some(true),
            [("EncryptionType", NOTHING)] => Some(false),
            _ => return Err(malformed()),
        },
    };
    Ok(BucketEncryption { default, blocks_customer_keys })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations() {
        let of = |rule: &str| {
            let document = format!("<ServerSideEncryptionConfiguration>{rule}</ServerSideEncryptionConfiguration>");
            configuration(document.as_bytes()).map_err(|e| e.kind())
        };
        let by_default =
            |inner: &str| of(&format!("<Rule><ApplyServerSideEncryptionByDefault>{inner}</ApplyServerSideEncryptionByDefault></Rule>"));
        let s3 = BucketEncryption { default: Some(Encryption::S3), blocks_customer_keys: None };
        assert_eq!(by_default("<SSEAlgorithm>AES256</SSEAlgorithm>"), Ok(s3.clone()));
        assert_eq!(configuration(s3.document().as_bytes()).unwrap(), s3);
        let blocked = |kinds: &str| of(&format!("<Rule><BlockedEncryptionTypes>{kinds}</BlockedEncryptionTypes></Rule>"));
        let kind = |kind: &str| format!("<EncryptionType>{kind}</EncryptionType>");
        assert_eq!(blocked(&kind("SSE-C")).unwrap().blocks_customer_keys, Some(true));
        assert_eq!(blocked(&kind("NONE")).unwrap().blocks_customer_keys, Some(false));
        for wrong in [blocked(&kind("SSE-S3")), blocked(""), blocked(&kind("NONE").repeat(2)), of(""), of("<Rule/><Rule/>")] {
            assert_eq!(wrong, Err(ErrorKind::MalformedXml));
        }
        let of_store = by_default("<SSEAlgorithm>aws:kms</SSEAlgorithm>").unwrap();
        assert_eq!(BucketEncryption::read(of_store.document().as_bytes()), Some(of_store));
        assert_eq!(by_default("<SSEAlgorithm>aws:kms:dsse</SSEAlgorithm>"), Err(ErrorKind::NotImplemented));
        assert_eq!(by_default("<SSEAlgorithm>AES256</SSEAlgorithm><KMSMasterKeyID>k</KMSMasterKeyID>"), Err(ErrorKind::InvalidArgument));
        let kms = by_default("<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>k</KMSMasterKeyID>").unwrap();
        assert_eq!(configuration(kms.document().as_bytes()).unwrap(), kms);
    }
}
