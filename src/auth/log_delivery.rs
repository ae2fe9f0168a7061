//! May the service that brings a bucket's access log write into another bucket? Only where that bucket's policy names it.
//!
//! No caller is this service, and no other policy or ACL is asked. Called where logging is set up, and again before each delivery.

use crate::auth::Auth;
use crate::auth::action::Action;
use crate::auth::authorize::display;
use crate::auth::grant::Grant;
use crate::auth::identity::Identity;
use crate::auth::payload::Payload;
use crate::auth::policy::{Environment, Question, Subject, Verdict};
use crate::auth::rules::Stored;
use crate::auth::target::Target;
use crate::base::bucket_logging::BucketLogging;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::ObjectKey;
use crate::base::object::Bucket;
use crate::base::object_ref::VersionSelector;

impl Auth {
    /// Whether a log of `source` may go to `key`. A policy may allow the prefix alone, as many are written.
    pub fn may_deliver_log(&self, source: &Bucket, target: &Bucket, logging: &BucketLogging, key: &ObjectKey) -> Result<()> {
        let prefix = ObjectKey::parse(&logging.prefix).ok();
        let verdict = |key: &ObjectKey| self.ask_of_log(source, target, key);
        match verdict(key) {
            Verdict::Allow => Ok(()),
            Verdict::Silent if prefix.is_some_and(|prefix| verdict(&prefix) == Verdict::Allow) => Ok(()),
            Verdict::Silent | Verdict::Deny => Err(refused()),
        }
    }

    fn ask_of_log(&self, source: &Bucket, target: &Bucket, key: &ObjectKey) -> Verdict {
        let to = Target::Object { bucket: target, key, version: VersionSelector::Current, object: None };
        let subject = Subject {
            tenant: None,
            auth_type: None,
            signature_version: None,
            signed: None,
            payload: &Payload::Unsigned,
            session: None,
            log_source: Some(source),
        };
        let env = Environment {
            subject,
            context: None,
            listing: None,
            for_anyone: false,
            any_key: false,
            bucket_owner: Some(&target.owner),
            key: Some(key),
            version: None,
            trusted_proxies: &[],
        };
        let question = Question { action: Action::PutObject, resource: to.resource(), env: &env };
        match &self.rules.of(target).policy {
            Stored::Policy(policy) => question.ask(&policy.statements),
            Stored::None => Verdict::Silent,
            Stored::Unreadable => Verdict::Deny,
        }
    }

    /// To write a log of `source`. It becomes the target's owner's, inside whose limits it must stay.
    pub fn grant_for_log(&self, source: &Bucket, target: &Bucket, logging: &BucketLogging, key: &ObjectKey) -> Result<Grant> {
        self.may_deliver_log(source, target, logging, key)?;
        let owner =
            if target.owner.is_operator() { Identity::Operator } else { Identity::Tenant(self.tenant(&target.owner).ok_or_else(refused)?) };
        let to = Target::Object { bucket: target, key, version: VersionSelector::Current, object: None };
        let becomes = self.becomes(Action::PutObject, to, &owner);
        let (bucket, key) = (Some(&target.name), Some(key));
        Ok(Grant::new(Action::PutObject, &owner, display(&owner), bucket, key, VersionSelector::Current, becomes))
    }
}

/// The same for a bucket that is not there: whose it is, and whether it is, is not the asker's to learn.
pub fn refused() -> Error {
    let text = "Access Denied: the policy of the target bucket must allow s3:PutObject under the prefix to the service \
                logging.s3.amazonaws.com, for this bucket (aws:SourceArn) and its owner (aws:SourceAccount).";
    Error::new(ErrorKind::AccessDenied, text)
}
