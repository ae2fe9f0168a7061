//! Who may do what, written down a second time and as plainly as possible, from DESIGN.md section 5: a tenant owns the
//! buckets it made, and in the operator's shared bucket everything under its own name; beyond that only what was made
//! public. The gateway's policy engine is not used here.

use crate::support::gateway::{acme, acme_disabled, bravo, operator};
use crate::support::signer::Key;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    Operator,
    Acme,
    Bravo,
    Anonymous,
    /// Acme's access key with a secret that is not its own.
    BrokenSecret,
    DisabledKey,
}

impl Who {
    pub const ALL: [Who; 6] = [Who::Operator, Who::Acme, Who::Bravo, Who::Anonymous, Who::BrokenSecret, Who::DisabledKey];

    pub fn key(self) -> Option<Key> {
        match self {
            Who::Operator => Some(operator()),
            Who::Acme => Some(acme()),
            Who::Bravo => Some(bravo()),
            Who::Anonymous => None,
            Who::BrokenSecret => Some(Key::new("AKACME", "not-the-secret")),
            Who::DisabledKey => Some(acme_disabled()),
        }
    }

    fn tenant(self) -> Option<&'static str> {
        match self {
            Who::Acme => Some("acme"),
            Who::Bravo => Some("bravo"),
            Who::Operator | Who::Anonymous | Who::BrokenSecret | Who::DisabledKey => None,
        }
    }

    /// What everyone gets who can't show who it is, whatever was asked.
    pub fn refused_at_the_door(self) -> Option<Outcome> {
        match self {
            Who::BrokenSecret => Some((403, "SignatureDoesNotMatch")),
            Who::DisabledKey => Some((403, "InvalidAccessKeyId")),
            Who::Operator | Who::Acme | Who::Bravo | Who::Anonymous => None,
        }
    }
}

/// Status and error code; no code where it went well.
pub type Outcome = (u16, &'static str);

pub const DENIED: Outcome = (403, "AccessDenied");
pub const NO_BUCKET: Outcome = (404, "NoSuchBucket");
pub const NO_KEY: Outcome = (404, "NoSuchKey");
pub const NO_VERSION: Outcome = (404, "NoSuchVersion");
pub const NO_UPLOAD: Outcome = (404, "NoSuchUpload");

#[derive(Debug)]
pub struct Bucket {
    pub name: &'static str,
    /// None: there is no such bucket.
    pub owner: Option<&'static str>,
    pub policy: Option<&'static str>,
}

#[derive(Debug)]
pub struct Target {
    pub bucket: &'static Bucket,
    pub key: &'static str,
    pub exists: bool,
    pub public_acl: bool,
    /// Equal for keys between which a stranger must see no difference, though one is there and the other is not.
    pub twins: &'static str,
    /// Copies are tried to all places that say so here, from everywhere.
    pub copied_to: bool,
}

const PUBLIC_POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::policy-acme/public/*"}]}"#;

pub static BUCKETS: [Bucket; 6] = [
    Bucket { name: "own-acme", owner: Some("acme"), policy: None },
    Bucket { name: "own-bravo", owner: Some("bravo"), policy: None },
    Bucket { name: "policy-acme", owner: Some("acme"), policy: Some(PUBLIC_POLICY) },
    Bucket { name: "acl-acme", owner: Some("acme"), policy: None },
    Bucket { name: "shared", owner: Some("operator"), policy: None },
    Bucket { name: "absent", owner: None, policy: None },
];

const fn target(bucket: usize, key: &'static str, exists: bool, twins: &'static str) -> Target {
    Target { bucket: &BUCKETS[bucket], key, exists, public_acl: false, twins, copied_to: exists }
}

// Twins have keys of the same length, so that their answers are equal in every byte.
pub static TARGETS: [Target; 18] = [
    target(0, "private-key", true, "own"),
    target(0, "missing-key", false, "own"),
    target(1, "private-key", true, "own"),
    target(1, "missing-key", false, "own"),
    target(2, "public/hit", true, "public hit"),
    target(2, "public/not", false, "public miss"),
    target(2, "closed/hit", true, "closed"),
    target(2, "closed/not", false, "closed"),
    Target { public_acl: true, ..target(3, "opened-key", true, "opened") },
    target(3, "closed-key", true, "closed"),
    target(3, "absent-key", false, "closed"),
    target(4, "acme/hit", true, "acme"),
    target(4, "acme/not", false, "acme"),
    target(4, "bravo/hit", true, "bravo"),
    target(4, "bravo/not", false, "bravo"),
    target(4, "root-hit", true, "root"),
    target(4, "root-not", false, "root"),
    Target { copied_to: true, ..target(5, "any-key", false, "absent") },
];

impl Target {
    /// Who puts the object there, and starts uploads.
    pub fn writer(&self) -> Who {
        match (self.bucket.owner, self.key) {
            (Some("acme"), _) => Who::Acme,
            (Some("bravo"), _) => Who::Bravo,
            (_, key) if key.starts_with("acme/") => Who::Acme,
            (_, key) if key.starts_with("bravo/") => Who::Bravo,
            _ => Who::Operator,
        }
    }

    /// In the body and in the metadata of the object: shows it wherever it turns up.
    pub fn mark(&self) -> String {
        format!("mark-of-{}-{}", self.bucket.name, self.key.replace('/', "-"))
    }

    pub fn index(&self) -> usize {
        TARGETS.iter().position(|t| t.bucket.name == self.bucket.name && t.key == self.key).unwrap()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBucket {
    List,
    ListUploads,
    Location,
    /// Policy, ACL, versions, deletion: all that is its owner's alone.
    Manage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnObject {
    Read,
    /// A version by its id, `null` too.
    ReadVersion,
    /// Retention and legal hold.
    Lock,
    Attributes,
    ReadAcl,
    WriteAcl,
    ReadTags,
    WriteTags,
    /// Put, copy to, and every step of an upload but the two below.
    Write,
    Delete,
    AbortUpload,
    ListParts,
    Restore,
}

fn owns(who: Who, bucket: &Bucket) -> bool {
    who == Who::Operator || (who.tenant().is_some() && who.tenant() == bucket.owner)
}

pub fn may_bucket(who: Who, what: OnBucket, bucket: &Bucket, prefix: Option<&str>) -> bool {
    if owns(who, bucket) {
        return true;
    }
    match (who.tenant(), bucket.owner) {
        (Some(tenant), Some("operator")) => match what {
            OnBucket::List | OnBucket::ListUploads => prefix.is_some_and(|p| p.starts_with(&format!("{tenant}/"))),
            OnBucket::Location => true,
            OnBucket::Manage => false,
        },
        _ => false,
    }
}

pub fn may_object(who: Who, what: OnObject, target: &Target) -> bool {
    if owns(who, target.bucket) {
        return true;
    }
    let public = target.public_acl || (target.bucket.policy.is_some() && target.key.starts_with("public/"));
    if what == OnObject::Read && public {
        return true;
    }
    // A policy that opens what a key shows does not open what it showed before; an ACL is each version's own.
    if what == OnObject::ReadVersion && target.public_acl && target.exists {
        return true;
    }
    let Some(tenant) = who.tenant() else { return false };
    let under_own_name = target.bucket.owner == Some("operator") && target.key.starts_with(&format!("{tenant}/"));
    match what {
        // The one who wrote an object, where it is still there.
        OnObject::WriteAcl => under_own_name && target.exists,
        OnObject::Restore | OnObject::Lock => false,
        _ => under_own_name,
    }
}

/// An action on a bucket that may not be there.
pub fn on_bucket(who: Who, what: OnBucket, bucket: &Bucket, prefix: Option<&str>, well: Outcome) -> Outcome {
    match bucket.owner {
        None => NO_BUCKET,
        Some(_) if may_bucket(who, what, bucket, prefix) => well,
        Some(_) => DENIED,
    }
}

/// An action on a key for which it does not matter whether an object is there.
pub fn on_key(who: Who, what: OnObject, target: &Target, well: Outcome) -> Outcome {
    match target.bucket.owner {
        None => NO_BUCKET,
        Some(_) if may_object(who, what, target) => well,
        Some(_) => DENIED,
    }
}

/// An action on an object that must be there.
pub fn on_object(who: Who, what: OnObject, target: &Target, well: Outcome) -> Outcome {
    let outcome = on_key(who, what, target, well);
    if outcome != well || target.exists {
        return outcome;
    }
    // That a key is missing is told to who may list it.
    if may_bucket(who, OnBucket::List, target.bucket, Some(target.key)) { NO_KEY } else { DENIED }
}

/// An action on a version of an object. `null` is the only one that there is.
pub fn on_version(who: Who, what: OnObject, target: &Target, version: &str, well: Outcome) -> Outcome {
    match target.bucket.owner {
        None => NO_BUCKET,
        Some(_) if target.exists && version == "null" => on_key(who, what, target, well),
        Some(_) if may_bucket(who, OnBucket::List, target.bucket, Some(target.key)) => NO_VERSION,
        Some(_) => DENIED,
    }
}

/// May this caller change this entry of the world's state?
pub fn may_change(who: Who, bucket: &str, key: &str) -> bool {
    let Some(bucket) = BUCKETS.iter().find(|b| b.name == bucket) else { return false };
    owns(who, bucket) || (bucket.owner == Some("operator") && who.tenant().is_some_and(|t| key.starts_with(&format!("{t}/"))))
}
