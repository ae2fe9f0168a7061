//! Forms that browsers send (POST Object): who signed the policy in it, and does the form hold to it.
//!
//! A form without a policy and without a signature is anonymous. One that has any of a signature's fields needs all of them, and a policy:
//! no field that is left out leaves out a check. Signature Version 2 is taken where presigned URLs may have it, by the same switch.
//! Not here: how a form is read (`http::form`), what its fields do (`http::s3::post`).

pub mod fields;
pub mod policy;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq as _;

use crate::auth::Auth;
use crate::auth::canonical::ALGORITHM;
use crate::auth::identity::{Caller, Via};
use crate::auth::payload::Payload;
use crate::auth::session::Signer;
use crate::auth::sigv2;
use crate::auth::sigv4_parts::{Credential, no_sigv4a, printable, query_error};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::BucketName;
use crate::base::timestamp::Timestamp;
use fields::{Fields, POLICY, SIGV2, SIGV4};
use policy::{Policy, Range};

const TOKEN: &str = "x-amz-security-token";

/// A form that holds to its policy, if it has one.
#[derive(Debug)]
pub struct Granted {
    pub caller: Caller,
    /// How long the file may be. None: the policy does not say.
    pub length: Option<Range>,
}

impl Auth {
    /// `bucket`: the one that the form was sent to.
    pub fn authenticate_form(&self, form: &Fields, bucket: &BucketName, now: Timestamp) -> Result<Granted> {
        match (form.has_any(&SIGV4), form.has_any(&SIGV2)) {
            (false, false) if form.get(POLICY).is_none() => Ok(Granted { caller: Caller::anonymous(), length: None }),
            // Nobody says that it may be.
            (false, false) => Err(Error::new(ErrorKind::AccessDenied, "Access Denied")),
            (true, false) => self.by_sigv4(form, bucket, now),
            (false, true) => self.by_sigv2(form, bucket, now),
            (true, true) => {
                let text = "Only one auth mechanism allowed: the form has fields of Signature Version 2 and of Version 4.";
                Err(Error::new(ErrorKind::InvalidArgument, text).detail("ArgumentName", "x-amz-signature"))
            }
        }
    }

    fn by_sigv4(&self, form: &Fields, bucket: &BucketName, now: Timestamp) -> Result<Granted> {
        let encoded = form.needed(POLICY)?;
        let [signature, algorithm, credential, date] = SIGV4;
        let (signature, algorithm) = (form.needed(signature)?, form.needed(algorithm)?);
        let (credential, date) = (form.needed(credential)?, form.needed(date)?);
        match algorithm {
            ALGORITHM => {}
            "AWS4-ECDSA-P256-SHA256" => return Err(no_sigv4a()),
            _ => return Err(query_error("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"".into())),
        }
        let signed = Timestamp::parse_amz_date(date)
            .ok_or_else(|| query_error("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"".into()))?;
        let credential = Credential::of_query(credential, date, &self.settings, "s3")?;
        let directory = self.directory.load();
        let signer = self.signer(&directory, credential.access_key, form.get(TOKEN), now)?;
        let (key, fresh) = signer.key.signing_key(credential.date, credential.region);
        if !key.verify(encoded.as_bytes(), signature) {
            return Err(mismatch(&signer, encoded, signature));
        }
        if fresh {
            signer.key.remember(credential.date, credential.region, &key);
        }
        held_to(encoded, form, bucket, now, |expires| caller(signer, Via::Form { signed, expires }))
    }

    fn by_sigv2(&self, form: &Fields, bucket: &BucketName, now: Timestamp) -> Result<Granted> {
        if !self.settings.sigv2_presigned {
            return Err(sigv2::switched_off());
        }
        let encoded = form.needed(POLICY)?;
        let [signature, access_key] = SIGV2;
        let (signature, access_key) = (form.needed(signature)?, form.needed(access_key)?);
        let directory = self.directory.load();
        let signer = self.signer(&directory, access_key, form.get(TOKEN), now)?;
        let given = STANDARD.decode(signature.as_bytes()).unwrap_or_default();
        if !bool::from(sigv2::sign(&signer.key.secret, encoded.as_bytes()).ct_eq(&given)) {
            return Err(mismatch(&signer, encoded, signature));
        }
        held_to(encoded, form, bucket, now, |expires| caller(signer, Via::SigV2Form { expires }))
    }
}

/// The policy is genuine: it is read now, and not before.
fn held_to(encoded: &str, form: &Fields, bucket: &BucketName, now: Timestamp, caller: impl FnOnce(Timestamp) -> Caller) -> Result<Granted> {
    let policy = Policy::parse(encoded)?;
    let length = policy.check(form, bucket, now)?;
    Ok(Granted { caller: caller(policy.expiration), length })
}

fn caller(signer: Signer, via: Via) -> Caller {
    Caller {
        access_key: Some(signer.key.id.clone()),
        identity: signer.identity,
        session: signer.session,
        via,
        payload: Payload::Unsigned,
        reach: None,
        signed_for: None,
    }
}

fn mismatch(signer: &Signer, policy: &str, signature: &str) -> Error {
    let text = "The request signature we calculated does not match the signature you provided. Check your key and signing method.";
    let shown: Cow<'_, str> = policy.chars().filter(|c| c.is_ascii_graphic()).collect();
    let bytes: Vec<String> = policy.bytes().map(|b| format!("{b:02x}")).collect();
    Error::new(ErrorKind::SignatureDoesNotMatch, text)
        .detail("AWSAccessKeyId", signer.key.id.as_str())
        .detail("StringToSign", shown)
        .detail("SignatureProvided", printable(signature))
        .detail("StringToSignBytes", bytes.join(" "))
}

#[cfg(test)]
mod tests;
