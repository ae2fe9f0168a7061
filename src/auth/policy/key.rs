//! The condition keys: their names, and how each is read from a request, when a statement asks for it and not before.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use http::Method;

use crate::auth::action::{Action, ActionSet};
use crate::auth::copy_source::{CopySource, without_slash};
use crate::auth::facts::{FromProvenCdn, RequestFacts};
use crate::auth::payload::{self, Payload};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{ObjectKey, TenantId};
use crate::base::network::Network;
use crate::base::object::Bucket;
use crate::base::object_ref::VersionId;
use crate::base::tags::Tags;
use crate::base::timestamp::Timestamp;

/// What temporary credentials say of themselves.
#[derive(Debug, Clone, Copy)]
pub struct OfSession<'a> {
    pub tenant: &'a TenantId,
    pub role: Option<&'a str>,
    pub name: &'a str,
    pub issued: Timestamp,
}

impl OfSession<'_> {
    /// `role:session`, as S3 has it; of a session without a role its tenant.
    pub fn user_id(&self) -> String {
        self.role.map_or_else(|| self.tenant.to_string(), |role| format!("{role}:{}", self.name))
    }

    pub fn arn(&self) -> String {
        let (tenant, name) = (self.tenant, self.name);
        match self.role {
            Some(role) => format!("arn:aws:sts::{tenant}:assumed-role/{role}/{name}"),
            None => format!("arn:aws:iam:::user/{tenant}"),
        }
    }
}

/// What a statement is held against, beside action and resource.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// None: anonymous.
    pub tenant: Option<&'a TenantId>,
    /// None: no temporary credentials.
    pub session: Option<OfSession<'a>>,
    /// `s3:authType` and `s3:signatureversion`; None: nothing was signed.
    pub auth_type: Option<&'static str>,
    pub signature_version: Option<&'static str>,
    /// Whose age `s3:signatureAge` is.
    pub signed: Option<Timestamp>,
    pub payload: &'a Payload,
    /// It is no caller but the service that brings a bucket's logs: those of this bucket.
    pub log_source: Option<&'a Bucket>,
}

/// The request's own values for conditions.
pub type Context<'a> = RequestFacts<'a>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConditionKey {
    SourceIp,
    SecureTransport,
    ProvenCdn,
    CurrentTime,
    EpochTime,
    Username,
    UserId,
    PrincipalArn,
    PrincipalAccount,
    PrincipalType,
    /// Of a service: the bucket, and its owner, for whom it acts.
    SourceArn,
    SourceAccount,
    /// When the session began.
    TokenIssueTime,
    BucketOwner,
    ObjectKey,
    AuthType,
    SignatureAge,
    SignatureVersion,
    Prefix,
    Query(&'static str),
    Number(&'static str),
    Header(&'static str),
    /// Only as `*`: who demands the header means that nothing is replaced. A list of tags does not promise that.
    IfNoneMatch,
    CopySource,
    PayloadHash,
    /// The version that is named, of the object or of the source of a copy: each is decided by its own.
    VersionId,
    LockMode,
    LockUntil,
    /// Days that are left until then, one that has begun for a whole one.
    LockDays,
    LegalHold,
    /// The value of this tag of the object that is there.
    ExistingTag(Arc<str>),
    /// The value of this tag that the request gives.
    GivenTag(Arc<str>),
    /// The keys of all tags that the request gives.
    GivenTagKeys,
}

/// Whose tags a condition looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagsOf {
    /// The object that is there.
    Existing,
    /// What the request gives.
    Given,
}

/// The actions that AWS lets depend on the tags of the object. For all others it has none, as far as a condition can see: who
/// may write over an object or delete it can't depend on its tags.
const BY_EXISTING_TAGS: ActionSet = ActionSet::of(&[
    Action::GetObject,
    Action::GetObjectVersion,
    Action::GetObjectAttributes,
    Action::GetObjectVersionAttributes,
    Action::GetObjectAcl,
    Action::GetObjectVersionAcl,
    Action::PutObjectAcl,
    Action::PutObjectVersionAcl,
    Action::GetObjectTagging,
    Action::GetObjectVersionTagging,
    Action::PutObjectTagging,
    Action::PutObjectVersionTagging,
    Action::DeleteObjectTagging,
    Action::DeleteObjectVersionTagging,
]);
/// The actions that give tags.
const BY_GIVEN_TAGS: ActionSet = ActionSet::of(&[Action::PutObject, Action::PutObjectTagging, Action::PutObjectVersionTagging]);

const EXISTING_TAG: &str = "s3:ExistingObjectTag/";
const GIVEN_TAG: &str = "s3:RequestObjectTag/";

/// Which operators make sense on a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    Text,
    Number,
    Bool,
    Time,
    Ip,
}

const KEYS: &[(&str, ConditionKey)] = &[
    ("aws:SourceIp", ConditionKey::SourceIp),
    ("aws:SecureTransport", ConditionKey::SecureTransport),
    ("aws:CurrentTime", ConditionKey::CurrentTime),
    ("aws:EpochTime", ConditionKey::EpochTime),
    ("aws:UserAgent", ConditionKey::Header("user-agent")),
    ("aws:Referer", ConditionKey::Header("referer")),
    ("aws:username", ConditionKey::Username),
    ("aws:userid", ConditionKey::UserId),
    ("aws:PrincipalArn", ConditionKey::PrincipalArn),
    ("aws:PrincipalAccount", ConditionKey::PrincipalAccount),
    ("aws:PrincipalType", ConditionKey::PrincipalType),
    ("aws:SourceArn", ConditionKey::SourceArn),
    ("aws:SourceAccount", ConditionKey::SourceAccount),
    ("aws:TokenIssueTime", ConditionKey::TokenIssueTime),
    ("aws:ResourceAccount", ConditionKey::BucketOwner),
    ("s3:ResourceAccount", ConditionKey::BucketOwner),
    // So that a CDN that checks its viewers itself may fetch what nobody may fetch past it.
    ("tidegate:ProvenCdn", ConditionKey::ProvenCdn),
    ("tidegate:BucketOwner", ConditionKey::BucketOwner),
    // `Resource` can't say "any bucket, and in it this prefix": its first `*` reaches over slashes into others' prefixes.
    ("tidegate:Key", ConditionKey::ObjectKey),
    ("s3:authType", ConditionKey::AuthType),
    ("s3:signatureAge", ConditionKey::SignatureAge),
    ("s3:signatureversion", ConditionKey::SignatureVersion),
    ("s3:prefix", ConditionKey::Prefix),
    ("s3:delimiter", ConditionKey::Query("delimiter")),
    ("s3:max-keys", ConditionKey::Number("max-keys")),
    ("s3:VersionId", ConditionKey::VersionId),
    ("s3:object-lock-mode", ConditionKey::LockMode),
    ("s3:object-lock-retain-until-date", ConditionKey::LockUntil),
    ("s3:object-lock-remaining-retention-days", ConditionKey::LockDays),
    ("s3:object-lock-legal-hold", ConditionKey::LegalHold),
    ("s3:RequestObjectTagKeys", ConditionKey::GivenTagKeys),
    ("s3:if-match", ConditionKey::Header("if-match")),
    ("s3:if-none-match", ConditionKey::IfNoneMatch),
    ("s3:x-amz-acl", ConditionKey::Header("x-amz-acl")),
    ("s3:x-amz-content-sha256", ConditionKey::PayloadHash),
    ("s3:x-amz-copy-source", ConditionKey::CopySource),
    ("s3:x-amz-metadata-directive", ConditionKey::Header("x-amz-metadata-directive")),
    ("s3:x-amz-object-ownership", ConditionKey::Header("x-amz-object-ownership")),
    ("s3:x-amz-server-side-encryption", ConditionKey::Header("x-amz-server-side-encryption")),
    ("s3:x-amz-server-side-encryption-aws-kms-key-id", ConditionKey::Header("x-amz-server-side-encryption-aws-kms-key-id")),
    ("s3:x-amz-server-side-encryption-customer-algorithm", ConditionKey::Header("x-amz-server-side-encryption-customer-algorithm")),
    ("s3:x-amz-storage-class", ConditionKey::Header("x-amz-storage-class")),
    ("s3:x-amz-website-redirect-location", ConditionKey::Header("x-amz-website-redirect-location")),
    ("s3:x-amz-grant-full-control", ConditionKey::Header("x-amz-grant-full-control")),
    ("s3:x-amz-grant-read", ConditionKey::Header("x-amz-grant-read")),
    ("s3:x-amz-grant-read-acp", ConditionKey::Header("x-amz-grant-read-acp")),
    ("s3:x-amz-grant-write", ConditionKey::Header("x-amz-grant-write")),
    ("s3:x-amz-grant-write-acp", ConditionKey::Header("x-amz-grant-write-acp")),
];

pub enum Value<'a> {
    Text(Cow<'a, str>),
    Number(i64),
    Bool(bool),
    Time(Timestamp),
    Ip(IpAddr),
    /// The one that can be many: the keys of tags.
    Keys(&'a Tags),
}

impl Value<'_> {
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Value::Text(s) => Cow::Borrowed(s),
            Value::Number(n) => n.to_string().into(),
            Value::Bool(b) => if *b { "true" } else { "false" }.into(),
            Value::Time(t) => t.iso8601().into(),
            Value::Ip(ip) => ip.to_string().into(),
            // Held against values one by one.
            Value::Keys(_) => "".into(),
        }
    }
}

/// Everything a condition may look at.
#[derive(Clone, Copy)]
pub struct Environment<'a> {
    pub subject: Subject<'a>,
    /// None: work without a request (a job).
    pub context: Option<&'a Context<'a>>,
    /// Stands for the `prefix` parameter: what would a listing with it show?
    pub listing: Option<&'a str>,
    /// Asked for all callers and requests at once: a condition that varies between them allows nothing and denies.
    pub for_anyone: bool,
    /// Asked for all keys of a bucket at once: what a key decides allows, and does not deny.
    pub any_key: bool,
    pub bucket_owner: Option<&'a TenantId>,
    pub key: Option<&'a ObjectKey>,
    /// None: none is named.
    pub version: Option<&'a VersionId>,
    pub trusted_proxies: &'a [Network],
}

impl TagsOf {
    pub const fn actions(self) -> ActionSet {
        match self {
            TagsOf::Existing => BY_EXISTING_TAGS,
            TagsOf::Given => BY_GIVEN_TAGS,
        }
    }
}

impl<'a> Environment<'a> {
    /// Err: they are not known, so that nothing is allowed by them and everything denied that may be.
    fn tags(&self, of: TagsOf) -> Result<&'a Tags> {
        let facts = self.context.map(|c| c.tags).unwrap_or_default();
        let known = match of {
            TagsOf::Existing => facts.existing,
            TagsOf::Given => facts.given,
        };
        known.ok_or_else(|| Error::new(ErrorKind::AccessDenied, "The tags are not known."))
    }

    pub fn knows_tags(&self, of: TagsOf) -> bool {
        self.tags(of).is_ok()
    }
}

impl ConditionKey {
    /// Names are taken in any case, as IAM does.
    pub fn parse(name: &str) -> Option<Self> {
        // The name of a tag is taken as it is written.
        let tag = |prefix: &str| name.get(..prefix.len()).filter(|p| p.eq_ignore_ascii_case(prefix)).map(|_| &name[prefix.len()..]);
        if let Some(tag) = tag(EXISTING_TAG).filter(|t| !t.is_empty()) {
            return Some(Self::ExistingTag(tag.into()));
        }
        if let Some(tag) = tag(GIVEN_TAG).filter(|t| !t.is_empty()) {
            return Some(Self::GivenTag(tag.into()));
        }
        KEYS.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, k)| k.clone())
    }

    /// Whether a request may have several values of it.
    pub fn is_many(&self) -> bool {
        matches!(self, Self::GivenTagKeys)
    }

    /// Whose tags it looks at.
    pub fn tags(&self) -> Option<TagsOf> {
        match self {
            Self::ExistingTag(_) => Some(TagsOf::Existing),
            Self::GivenTag(_) | Self::GivenTagKeys => Some(TagsOf::Given),
            _ => None,
        }
    }

    /// Whether a request for the action can have it at all.
    pub fn is_of(&self, action: Action) -> bool {
        self.tags().is_none_or(|of| of.actions().contains(action))
    }

    pub fn kind(&self) -> KeyKind {
        match self {
            Self::SourceIp => KeyKind::Ip,
            Self::SecureTransport | Self::ProvenCdn => KeyKind::Bool,
            Self::CurrentTime | Self::LockUntil | Self::TokenIssueTime => KeyKind::Time,
            Self::EpochTime | Self::SignatureAge | Self::LockDays | Self::Number(_) => KeyKind::Number,
            _ => KeyKind::Text,
        }
    }

    /// A policy's value in the one form that the request's value has.
    pub fn in_one_form<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match (self, text.parse::<IpAddr>()) {
            (Self::CopySource, _) => without_slash(text).into(),
            (Self::SourceIp, Ok(address)) => address.to_canonical().to_string().into(),
            _ => text.into(),
        }
    }

    /// Does the key say who asks or from where? A policy for everyone that is narrowed by such a key is not public.
    pub fn names_the_caller(&self) -> bool {
        matches!(self, Self::SourceIp | Self::ProvenCdn | Self::Username | Self::UserId | Self::PrincipalArn | Self::PrincipalAccount)
    }

    /// May two requests of one anonymous caller for one resource differ in it, other than by TLS? Then what a condition on
    /// it allowed to one of them is not allowed to everyone. TLS is about the way, not about who may know.
    pub fn varies(&self, listing: bool) -> bool {
        match self {
            Self::SourceIp
            | Self::ProvenCdn
            | Self::CurrentTime
            | Self::EpochTime
            | Self::Query(_)
            | Self::Number(_)
            | Self::Header(_)
            | Self::IfNoneMatch
            | Self::CopySource
            | Self::PayloadHash
            | Self::LockMode
            | Self::LockUntil
            | Self::LockDays
            | Self::LegalHold
            | Self::GivenTag(_)
            | Self::GivenTagKeys => true,
            // They may change at any time, and are not looked up to see whether everyone may read.
            Self::ExistingTag(_) => true,
            Self::Prefix => !listing,
            Self::SecureTransport
            | Self::Username
            | Self::UserId
            | Self::PrincipalArn
            | Self::PrincipalAccount
            | Self::PrincipalType
            | Self::SourceArn
            | Self::SourceAccount
            | Self::TokenIssueTime
            | Self::BucketOwner
            | Self::ObjectKey
            | Self::VersionId
            | Self::AuthType
            | Self::SignatureAge
            | Self::SignatureVersion => false,
        }
    }

    /// None: the request has no such value. Err: it has one that can't be read.
    pub fn value<'a>(&self, env: &Environment<'a>) -> Result<Option<Value<'a>>> {
        let subject = &env.subject;
        let tenant = subject.tenant;
        let text = |s: &'a str| Value::Text(Cow::Borrowed(s));
        Ok(match self {
            Self::UserId if subject.session.is_some() => subject.session.map(|s| Value::Text(Cow::Owned(s.user_id()))),
            Self::PrincipalArn if subject.session.is_some() => subject.session.map(|s| Value::Text(Cow::Owned(s.arn()))),
            Self::PrincipalType if subject.session.is_some_and(|s| s.role.is_some()) => Some(text("AssumedRole")),
            Self::TokenIssueTime => subject.session.map(|s| Value::Time(s.issued)),
            Self::Username | Self::UserId | Self::PrincipalAccount => tenant.map(|t| text(t.as_str())),
            Self::PrincipalArn => tenant.map(|t| Value::Text(Cow::Owned(format!("arn:aws:iam:::user/{t}")))),
            Self::PrincipalType => Some(text(if tenant.is_some() { "User" } else { "Anonymous" })),
            Self::SourceArn => subject.log_source.map(|bucket| Value::Text(Cow::Owned(format!("arn:aws:s3:::{}", bucket.name)))),
            Self::SourceAccount => subject.log_source.map(|bucket| text(bucket.owner.as_str())),
            Self::BucketOwner => env.bucket_owner.map(|o| text(o.as_str())),
            Self::ObjectKey => env.key.map(|k| text(k.as_str())),
            Self::VersionId => env.version.map(|v| text(v.as_str())),
            Self::AuthType => subject.auth_type.map(text),
            Self::SignatureVersion => subject.signature_version.map(text),
            Self::Prefix if env.listing.is_some() => env.listing.map(text),
            Self::ExistingTag(key) => env.tags(TagsOf::Existing)?.get(key).map(text),
            Self::GivenTag(key) => env.tags(TagsOf::Given)?.get(key).map(text),
            Self::GivenTagKeys => Some(env.tags(TagsOf::Given)?).filter(|tags| !tags.is_empty()).map(Value::Keys),
            _ => match env.context {
                Some(facts) => self.value_of_request(env, facts)?,
                None => None,
            },
        })
    }

    fn value_of_request<'a>(&self, env: &Environment<'a>, facts: &RequestFacts<'a>) -> Result<Option<Value<'a>>> {
        let text = |s: &'a str| Value::Text(Cow::Borrowed(s));
        Ok(match self {
            Self::SourceIp => Some(Value::Ip(facts.source_ip(env.trusted_proxies))),
            Self::SecureTransport => Some(Value::Bool(facts.is_secure(env.trusted_proxies))),
            Self::ProvenCdn => Some(Value::Bool(facts.parts.extensions.get::<FromProvenCdn>().is_some())),
            Self::CurrentTime => Some(Value::Time(facts.now)),
            Self::EpochTime => Some(Value::Number(facts.now.secs() as i64)),
            Self::SignatureAge => env.subject.signed.map(|signed| Value::Number(facts.now.since(signed).as_millis() as i64)),
            Self::Prefix => facts.query.get("prefix").map(text),
            Self::Query(name) => facts.query.get(name).map(text),
            Self::Number(name) => facts.query.number(name)?.map(Value::Number),
            Self::Header(name) => facts.header(name)?.map(text),
            Self::IfNoneMatch => facts.header("if-none-match")?.filter(|v| *v == "*").map(text),
            Self::PayloadHash => payload_hash(env.subject, facts).map(Value::Text),
            Self::CopySource => CopySource::of(&facts.parts.headers)?.map(|s| Value::Text(Cow::Owned(s.name()))),
            Self::LockMode => facts.lock.retention.map(|r| text(r.mode.name())),
            Self::LockUntil => facts.lock.retention.map(|r| Value::Time(r.until)),
            Self::LockDays => facts.lock.retention.map(|r| Value::Number(days_left(facts.now, r.until))),
            Self::LegalHold => facts.lock.legal_hold.map(|on| text(if on { "ON" } else { "OFF" })),
            // Answered without a request, by `value`.
            Self::Username
            | Self::UserId
            | Self::PrincipalArn
            | Self::PrincipalAccount
            | Self::PrincipalType
            | Self::SourceArn
            | Self::SourceAccount
            | Self::TokenIssueTime
            | Self::BucketOwner
            | Self::ObjectKey
            | Self::VersionId
            | Self::AuthType
            | Self::SignatureVersion
            | Self::ExistingTag(_)
            | Self::GivenTag(_)
            | Self::GivenTagKeys => None,
        })
    }
}

fn days_left(now: Timestamp, until: Timestamp) -> i64 {
    const DAY: u128 = 24 * 3600 * 1000;
    until.since(now).as_millis().div_ceil(DAY) as i64
}

/// What the body is held to, not what a header says of it: the header of a presigned URL, which nobody signed, says nothing.
/// None: a stranger reads, so that a Deny on UNSIGNED-PAYLOAD leaves public reads alone, as on S3. What he writes is unsigned.
fn payload_hash<'a>(subject: Subject<'a>, facts: &RequestFacts<'a>) -> Option<Cow<'a, str>> {
    let reads = matches!(facts.parts.method, Method::GET | Method::HEAD);
    match subject.payload {
        Payload::Sha256(hash) => Some(hash.hex().into()),
        Payload::Streaming(form) => Some(form.payload_hash().into()),
        Payload::Unsigned if subject.auth_type.is_none() && reads => None,
        Payload::Unsigned => Some(payload::UNSIGNED.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    #[test]
    fn every_header_key_is_a_legal_header_name() {
        for (_, key) in KEYS {
            if let ConditionKey::Header(name) = key {
                assert!(HeaderName::from_lowercase(name.as_bytes()).is_ok(), "{name}");
            }
        }
    }

    #[test]
    fn names_in_any_case() {
        assert_eq!(ConditionKey::parse("AWS:sourceip"), Some(ConditionKey::SourceIp));
        assert_eq!(ConditionKey::parse("aws:PrincipalTag/x"), None);
    }
}
