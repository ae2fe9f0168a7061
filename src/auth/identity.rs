//! Who is calling and how they showed it: plain values, made by `authenticate`, read by the doors and by policy.

use std::sync::{Arc, LazyLock};

use crate::auth::in_session::InSession;
use crate::auth::limits::{Limits, Meters};
use crate::auth::payload::Payload;
use crate::auth::policy::Policy;
use crate::base::names::{AccessKeyId, BucketName, ObjectKey, TenantId};
use crate::base::timestamp::Timestamp;

static OPERATOR: LazyLock<TenantId> = LazyLock::new(TenantId::operator);
static ANONYMOUS: LazyLock<TenantId> = LazyLock::new(TenantId::anonymous);

#[derive(Debug)]
pub struct Tenant {
    pub id: TenantId,
    pub display: Arc<str>,
    pub limits: Limits,
    pub(super) policies: Vec<Arc<Policy>>,
    /// Sessions that began before are ended.
    pub(super) tokens_valid_after: Option<Timestamp>,
    pub meters: Meters,
}

#[derive(Debug, Clone)]
pub enum Identity {
    Anonymous,
    Tenant(Arc<Tenant>),
    Operator,
}

impl Identity {
    /// Also the canonical user id.
    pub fn id(&self) -> &TenantId {
        match self {
            Identity::Anonymous => &ANONYMOUS,
            Identity::Tenant(t) => &t.id,
            Identity::Operator => &OPERATOR,
        }
    }

    pub fn display(&self) -> &str {
        match self {
            Identity::Anonymous => "anonymous",
            Identity::Tenant(t) => &t.display,
            Identity::Operator => "operator",
        }
    }

    pub fn is_anonymous(&self) -> bool {
        matches!(self, Identity::Anonymous)
    }
}

/// How the caller showed who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    Anonymous,
    Header {
        signed: Timestamp,
    },
    /// A SigV4 presigned URL.
    Query {
        signed: Timestamp,
        expires: Timestamp,
    },
    SigV2Query {
        expires: Timestamp,
    },
    /// The policy of a form.
    Form {
        signed: Timestamp,
        expires: Timestamp,
    },
    SigV2Form {
        expires: Timestamp,
    },
    /// A signature as CloudFront takes them. Only for reading, and only on the edge door.
    CloudFront {
        carrier: Carrier,
        /// It was made for one URL with its query, and not for a whole folder of them.
        one_url: bool,
        expires: Timestamp,
    },
    /// A token in the path. The same.
    PathToken {
        expires: Timestamp,
    },
    /// Temporary credentials by themselves, where a client can't sign.
    Bearer {
        expires: Timestamp,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    Query,
    Cookie,
}

impl Via {
    /// `x-amz-*` parameters of a presigned URL stand for headers and are covered by its signature.
    pub fn is_presigned(self) -> bool {
        matches!(self, Via::Query { .. } | Via::SigV2Query { .. })
    }

    /// Whether the caller showed its own credentials with this very request, and has not got a link of somebody's.
    pub fn is_own(self) -> bool {
        matches!(self, Via::Header { .. } | Via::Bearer { .. })
    }

    /// Good for reading objects, whatever else the tenant may.
    pub fn only_reads(self) -> bool {
        matches!(self, Via::CloudFront { .. } | Via::PathToken { .. })
    }

    /// Whether who made it knew which version it opens. What covers no query would open everything that was ever under a key.
    pub fn covers_versions(self) -> bool {
        match self {
            Via::Anonymous | Via::Header { .. } | Via::Query { .. } | Via::SigV2Query { .. } => true,
            Via::Form { .. } | Via::SigV2Form { .. } | Via::Bearer { .. } => true,
            Via::CloudFront { one_url, .. } => one_url,
            Via::PathToken { .. } => false,
        }
    }

    /// When it stops opening anything; None: not by itself.
    pub fn expires(self) -> Option<Timestamp> {
        match self {
            Via::Anonymous | Via::Header { .. } => None,
            Via::Query { expires, .. }
            | Via::SigV2Query { expires }
            | Via::Form { expires, .. }
            | Via::SigV2Form { expires }
            | Via::CloudFront { expires, .. }
            | Via::PathToken { expires }
            | Via::Bearer { expires } => Some(expires),
        }
    }
}

/// What a caller may touch at most, whatever its tenant may: `bucket/key` must begin with one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach(Vec<Within>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Within {
    /// `bucket/prefix`
    Prefix(String),
    /// `bucket/key`
    Exactly(String),
}

impl Reach {
    pub fn new(within: Vec<Within>) -> Self {
        Reach(within)
    }

    pub fn holds(&self, bucket: &BucketName, key: &ObjectKey) -> bool {
        self.0.iter().any(|within| match within {
            Within::Prefix(place) => in_bucket(place, bucket).is_some_and(|prefix| key.as_str().starts_with(prefix)),
            Within::Exactly(place) => in_bucket(place, bucket) == Some(key.as_str()),
        })
    }
}

fn in_bucket<'p>(place: &'p str, bucket: &BucketName) -> Option<&'p str> {
    place.strip_prefix(bucket.as_str())?.strip_prefix('/')
}

#[derive(Debug, Clone)]
pub struct Caller {
    pub identity: Identity,
    pub access_key: Option<AccessKeyId>,
    /// None: no temporary credentials.
    pub session: Option<InSession>,
    pub via: Via,
    pub payload: Payload,
    /// None: no further than the tenant itself.
    pub reach: Option<Arc<Reach>>,
    /// The host that was signed for, where it is another than the request's: a name that the operator gave, see `candidates`.
    pub signed_for: Option<Box<str>>,
}

impl Caller {
    /// Those of its role, or of its tenant.
    pub(super) fn policies(&self) -> &[Arc<Policy>] {
        match (&self.session, &self.identity) {
            (Some(InSession { role: Some(role), .. }), _) => &role.policies,
            (_, Identity::Tenant(tenant)) => &tenant.policies,
            (_, Identity::Operator | Identity::Anonymous) => &[],
        }
    }

    pub fn anonymous() -> Self {
        Caller {
            identity: Identity::Anonymous,
            access_key: None,
            session: None,
            via: Via::Anonymous,
            payload: Payload::Unsigned,
            reach: None,
            signed_for: None,
        }
    }
}
