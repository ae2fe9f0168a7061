//! May they? Policies of the tenant, of the bucket, and ACLs come together here.
//!
//! Explicit Deny anywhere > Allow > deny. A tenant's own policies can allow only where the bucket is its own or the
//! operator's (shared): into another tenant's bucket only that bucket's policy or an ACL leads, so a careless
//! `Allow s3:* on *` never crosses tenants.

use std::sync::{Arc, LazyLock};

use crate::auth::Auth;
use crate::auth::acl;
use crate::auth::action::{Action, ActionSet};
use crate::auth::grant::{Grant, OperatorGrant};
use crate::auth::identity::{Caller, Carrier, Identity, Via};
use crate::auth::in_session::InSession;
use crate::auth::policy::{Context, Environment, Policy, Question, Subject, TagsOf, Verdict};
use crate::auth::rules::{Rules, Stored};
use crate::auth::target::Target;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{ObjectKey, TenantId};
use crate::base::object::{Bucket, ObjectInfo};
use crate::base::object_ref::{ObjectRef, VersionSelector};

/// What the initiator of an upload may do with it in a bucket that is not its own.
const INITIATOR: ActionSet = ActionSet::of(&[Action::AbortMultipartUpload, Action::ListMultipartUploadParts]);

/// Without these a bucket's owner could lock itself out for good.
const POLICY_MANAGEMENT: ActionSet = ActionSet::of(&[Action::GetBucketPolicy, Action::PutBucketPolicy, Action::DeleteBucketPolicy]);

static DISPLAY_OPERATOR: LazyLock<Arc<str>> = LazyLock::new(|| "operator".into());
static DISPLAY_ANONYMOUS: LazyLock<Arc<str>> = LazyLock::new(|| "anonymous".into());

impl Auth {
    pub fn authorize(&self, caller: &Caller, action: Action, target: Target<'_>, context: &Context<'_>) -> Result<Grant> {
        self.decide(caller, action, target, Some(context))
    }

    pub(super) fn decide(&self, caller: &Caller, action: Action, target: Target<'_>, context: Option<&Context<'_>>) -> Result<Grant> {
        let action = action.on(target.version());
        if beyond(caller, action, target) || !self.allows(action, target, &self.environment(caller, target, context), caller) {
            // One text for all reasons: which of them it was would tell what exists.
            return Err(Error::new(ErrorKind::AccessDenied, "Access Denied"));
        }
        let (bucket, key) = target.names();
        let becomes = self.becomes(action, target, &caller.identity);
        Ok(Grant::new(action, &caller.identity, display(&caller.identity), bucket, key, target.version(), becomes))
    }

    /// Whether a refusal may have come about because tags are not known: then look them up, and ask again. What was granted without
    /// them is granted whatever they are.
    pub fn lacks_tags(&self, caller: &Caller, action: Action, target: Target<'_>, context: &Context<'_>, of: TagsOf) -> bool {
        let action = action.on(target.version());
        if beyond(caller, action, target) {
            return false;
        }
        let env = self.environment(caller, target, Some(context));
        let question = Question { action, resource: target.resource(), env: &env };
        let of_bucket = target.bucket().is_some_and(|bucket| match &self.rules.of(bucket).policy {
            Stored::Policy(policy) => question.lacks_tags(&policy.statements, of),
            Stored::None | Stored::Unreadable => false,
        });
        let of_session = caller.session.as_ref().and_then(|s| s.session.policy.as_ref());
        let of_caller = || caller.policies().iter().map(|p| &**p).chain(of_session).any(|p| question.lacks_tags(&p.statements, of));
        of_bucket || of_caller()
    }

    /// Whether there may be a key of the bucket with which the caller may do it. For batches: where there is none, their list need
    /// not be read. Says yes where it takes a key to tell.
    pub fn may_with_some_key(&self, caller: &Caller, action: Action, bucket: &Bucket, context: &Context<'_>) -> Result<()> {
        self.decide_for_some_key(caller, action, bucket, Some(context))
    }

    pub(super) fn decide_for_some_key(
        &self,
        caller: &Caller,
        action: Action,
        bucket: &Bucket,
        context: Option<&Context<'_>>,
    ) -> Result<()> {
        let target = Target::Bucket(bucket);
        let env = Environment { any_key: true, ..self.environment(caller, target, context) };
        let may = |action| !beyond(caller, action, target) && self.allows(action, target, &env, caller);
        // What is done with each key may be done with a version of it.
        if may(action) || may(action.of_version()) { Ok(()) } else { Err(Error::new(ErrorKind::AccessDenied, "Access Denied")) }
    }

    /// May the caller learn that a key, or a version of it, is not there? Otherwise a missing one must answer AccessDenied, not NoSuchKey.
    /// Whoever may list exactly this key may; of versions, whoever may list or read those.
    pub fn may_know_absence(&self, caller: &Caller, bucket: &Bucket, of: ObjectRef<'_>, context: &Context<'_>) -> bool {
        let asked = Target::Object { bucket, key: of.key, version: of.version, object: None };
        let reads = Action::GetObject.on(of.version);
        // What it may not ask for it may not ask after.
        if beyond(caller, reads, asked) {
            return false;
        }
        let target = Target::Bucket(bucket);
        let env = Environment { listing: Some(of.key.as_str()), ..self.environment(caller, target, Some(context)) };
        let lists = |action| self.allows(action, target, &env, caller);
        match of.version {
            VersionSelector::Current => lists(Action::ListBucket),
            VersionSelector::Exact(_) => {
                let may_read = || self.allows(reads, asked, &self.environment(caller, asked, Some(context)), caller);
                lists(Action::ListBucketVersions) || (lists(Action::ListBucket) && may_read())
            }
        }
    }

    /// May everyone read what `grant` was given for, whoever they are and wherever they ask from? Only then may a shared cache
    /// hand the answer on. What anonymous was allowed here and now, by its address or the time, is not for everyone.
    pub fn is_for_anyone(&self, grant: &Grant, bucket: &Bucket, object: &ObjectInfo, context: &Context<'_>) -> bool {
        let Some(key) = grant.key() else { return false };
        if grant.tenant() == Identity::Anonymous.id() && !self.rules.of(bucket).policy_varies {
            return true;
        }
        let target = Target::Object { bucket, key, version: grant.version(), object: Some(object) };
        self.allows_anyone(grant.action(), target, None, context)
    }

    /// May everyone learn that the key is not there?
    pub fn absence_is_for_anyone(&self, bucket: &Bucket, key: &ObjectKey, context: &Context<'_>) -> bool {
        self.allows_anyone(Action::ListBucket, Target::Bucket(bucket), Some(key.as_str()), context)
    }

    fn allows_anyone(&self, action: Action, target: Target<'_>, listing: Option<&str>, context: &Context<'_>) -> bool {
        let caller = Caller::anonymous();
        let env = Environment { listing, for_anyone: true, ..self.environment(&caller, target, Some(context)) };
        self.allows(action, target, &env, &caller)
    }

    /// What only the operator may: keys, snapshots, reloads.
    pub fn operator(&self, caller: &Caller) -> Result<OperatorGrant> {
        match caller.identity {
            Identity::Operator if !caller.via.only_reads() => Ok(OperatorGrant::new()),
            Identity::Operator | Identity::Tenant(_) | Identity::Anonymous => Err(Error::new(ErrorKind::AccessDenied, "Access Denied")),
        }
    }

    fn allows(&self, action: Action, target: Target<'_>, env: &Environment<'_>, caller: &Caller) -> bool {
        let (identity, bucket) = (&caller.identity, target.bucket());
        let question = Question { action, resource: target.resource(), env };
        if !within_session(caller, &question) {
            return false;
        }
        let rules = bucket.map(|b| self.rules.of(b));
        let by_bucket = match rules.as_deref().map(|r| &r.policy) {
            None | Some(Stored::None) => Verdict::Silent,
            Some(Stored::Policy(policy)) => question.ask(&policy.statements),
            Some(Stored::Unreadable) => Verdict::Deny,
        };
        let owns = bucket.is_some_and(|b| owner_of(identity, b));
        if by_bucket == Verdict::Deny && !(owns && POLICY_MANAGEMENT.contains(action)) {
            return false;
        }
        match identity {
            Identity::Operator => return true,
            Identity::Tenant(_) => {
                let verdict = of_all(&question, caller.policies());
                if verdict == Verdict::Deny {
                    return false;
                }
                if verdict == Verdict::Allow && bucket.is_none_or(|b| owns || b.owner.is_operator()) {
                    return true;
                }
            }
            Identity::Anonymous => {}
        }
        let (Some(bucket), Some(rules)) = (bucket, rules) else { return false };
        if by_bucket == Verdict::Allow && !(rules.public_access.restrict_public_buckets && rules.policy_is_public && !owns) {
            return true;
        }
        initiated_by(identity, target) && INITIATOR.contains(action) || self.acl_allows(identity, action, bucket, target, &rules)
    }

    /// Whether what ACLs open to everyone counts in the bucket.
    pub fn public_acls_count(&self, bucket: &Bucket) -> bool {
        let rules = self.rules.of(bucket);
        self.settings.acl && !rules.acls_disabled() && !rules.public_access.ignore_public_acls
    }

    fn acl_allows(&self, identity: &Identity, action: Action, bucket: &Bucket, target: Target<'_>, rules: &Rules) -> bool {
        if !self.settings.acl || rules.acls_disabled() {
            return false;
        }
        let object = match target {
            Target::Object { object, .. } => object,
            _ => None,
        };
        let who = known(identity);
        acl::object_owner_may(action, who, object) || acl::opens(action, who, bucket, object, !rules.public_access.ignore_public_acls)
    }

    fn environment<'a>(&'a self, caller: &'a Caller, target: Target<'a>, context: Option<&'a Context<'a>>) -> Environment<'a> {
        let tenant = known(&caller.identity);
        let (auth_type, signature_version, signed) = match caller.via {
            Via::Anonymous => (None, None, None),
            Via::Header { signed } => (Some("REST-HEADER"), Some("AWS4-HMAC-SHA256"), Some(signed)),
            Via::Query { signed, .. } => (Some("REST-QUERY-STRING"), Some("AWS4-HMAC-SHA256"), Some(signed)),
            // It tells no time; on S3 its age is always 0.
            Via::SigV2Query { .. } => (Some("REST-QUERY-STRING"), Some("AWS"), context.map(|c| c.now)),
            Via::Form { signed, .. } => (Some("POST"), Some("AWS4-HMAC-SHA256"), Some(signed)),
            Via::SigV2Form { .. } => (Some("POST"), Some("AWS"), context.map(|c| c.now)),
            Via::CloudFront { carrier: Carrier::Query, .. } => (Some("REST-QUERY-STRING"), Some("CLOUDFRONT"), None),
            Via::CloudFront { carrier: Carrier::Cookie, .. } => (Some("COOKIE"), Some("CLOUDFRONT"), None),
            Via::PathToken { .. } => (Some("PATH"), Some("TIDEGATE-TOKEN"), None),
            Via::Bearer { .. } => (Some("BEARER"), Some("TIDEGATE-BEARER"), None),
        };
        Environment {
            subject: Subject {
                tenant,
                session: caller.session.as_ref().map(InSession::facts),
                auth_type,
                signature_version,
                signed,
                payload: &caller.payload,
                log_source: None,
            },
            context,
            listing: None,
            for_anyone: false,
            any_key: false,
            bucket_owner: match target {
                Target::NewBucket(_) => tenant,
                _ => target.bucket().map(|b| &b.owner),
            },
            key: target.names().1,
            version: target.version().id(),
            trusted_proxies: &self.settings.trusted_proxies,
        }
    }
}

/// Explicit Deny > Allow > nothing.
fn of_all(question: &Question<'_>, policies: &[Arc<Policy>]) -> Verdict {
    let mut verdict = Verdict::Silent;
    for policy in policies {
        match question.ask(&policy.statements) {
            Verdict::Deny => return Verdict::Deny,
            Verdict::Allow => verdict = Verdict::Allow,
            Verdict::Silent => {}
        }
    }
    verdict
}

/// A session does what its role and its own policy both allow, whoever else opens something to its tenant.
fn within_session(caller: &Caller, question: &Question<'_>) -> bool {
    let Some(InSession { session, role }) = &caller.session else { return true };
    role.as_ref().is_none_or(|role| of_all(question, &role.policies) == Verdict::Allow)
        && session.policy.as_ref().is_none_or(|policy| question.ask(&policy.statements) == Verdict::Allow)
}

/// Does the caller's signature end here, whatever its tenant may do?
fn beyond(caller: &Caller, action: Action, target: Target<'_>) -> bool {
    let reads = action == Action::GetObject || (action == Action::GetObjectVersion && caller.via.covers_versions());
    let in_reach = || match (&caller.reach, target.names()) {
        (None, _) => true,
        (Some(reach), (Some(bucket), Some(key))) => reach.holds(bucket, key),
        (Some(_), _) => false,
    };
    (caller.via.only_reads() && !reads) || !in_reach()
}

/// None for the anonymous caller; the operator has a name like a tenant's.
fn known(identity: &Identity) -> Option<&TenantId> {
    (!identity.is_anonymous()).then(|| identity.id())
}

/// Nobody can show that it is the same anonymous caller.
fn initiated_by(identity: &Identity, target: Target<'_>) -> bool {
    let Target::Upload { upload: Some(upload), .. } = target else { return false };
    known(identity).is_some_and(|tenant| tenant == upload.initiator())
}

/// The operator may manage every bucket's policy.
fn owner_of(identity: &Identity, bucket: &Bucket) -> bool {
    match identity {
        Identity::Operator => true,
        Identity::Tenant(tenant) => tenant.id == bucket.owner,
        Identity::Anonymous => false,
    }
}

pub(super) fn display(identity: &Identity) -> Arc<str> {
    match identity {
        Identity::Anonymous => Arc::clone(&DISPLAY_ANONYMOUS),
        Identity::Tenant(tenant) => Arc::clone(&tenant.display),
        Identity::Operator => Arc::clone(&DISPLAY_OPERATOR),
    }
}
