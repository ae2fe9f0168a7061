//! Every permission by its IAM name, and sets of them as one word of bits.
//!
//! The list holds all actions that AWS defines for general purpose buckets, also those whose operations this gateway
//! does not have: a policy written for S3 loads here. What this gateway offers beside S3 is under `tidegate:`. What is not in
//! the list is a typing error and refused.
//! Invariant: fewer than 128 actions, so that a set is a `u128`.

use std::sync::{LazyLock, OnceLock};

use crate::auth::policy::pattern::{Pattern, Wildcards};
use crate::auth::policy::text::{Places, Text};
use crate::base::object_ref::VersionSelector;

/// What an action is asked on: decides which resources a statement must name for it to mean anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Service,
    Bucket,
    Object,
}

macro_rules! actions {
    ($($service:literal $level:ident: $($name:ident)*;)*) => {
        /// A permission. `Action::GetObject` is `s3:GetObject` in policies.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Action {
            $($($name,)*)*
        }

        impl Action {
            pub const ALL: &[Action] = &[$($(Action::$name,)*)*];

            /// As IAM writes it, without `s3:` or `tidegate:`.
            pub const fn short_name(self) -> &'static str {
                match self {
                    $($(Action::$name => stringify!($name),)*)*
                }
            }

            /// As IAM writes it.
            pub const fn name(self) -> &'static str {
                match self {
                    $($(Action::$name => concat!($service, ":", stringify!($name)),)*)*
                }
            }

            /// What stands before the colon.
            pub const fn service(self) -> &'static str {
                match self {
                    $($(Action::$name => $service,)*)*
                }
            }

            pub const fn level(self) -> Level {
                match self {
                    $($(Action::$name => Level::$level,)*)*
                }
            }
        }
    };
}

actions! {
    "s3" Service:
        ListAllMyBuckets GetAccountPublicAccessBlock PutAccountPublicAccessBlock;
    "s3" Bucket:
        CreateBucket DeleteBucket ListBucket ListBucketVersions ListBucketMultipartUploads
        GetBucketLocation GetBucketPolicy PutBucketPolicy DeleteBucketPolicy GetBucketPolicyStatus
        GetBucketAcl PutBucketAcl GetBucketCORS PutBucketCORS GetBucketVersioning PutBucketVersioning
        GetBucketTagging PutBucketTagging GetBucketLogging PutBucketLogging GetBucketNotification PutBucketNotification
        GetBucketOwnershipControls PutBucketOwnershipControls GetBucketPublicAccessBlock PutBucketPublicAccessBlock
        GetBucketRequestPayment PutBucketRequestPayment GetBucketWebsite PutBucketWebsite DeleteBucketWebsite
        GetBucketObjectLockConfiguration PutBucketObjectLockConfiguration GetEncryptionConfiguration PutEncryptionConfiguration
        GetLifecycleConfiguration PutLifecycleConfiguration GetReplicationConfiguration PutReplicationConfiguration
        GetAccelerateConfiguration PutAccelerateConfiguration GetAnalyticsConfiguration PutAnalyticsConfiguration
        GetInventoryConfiguration PutInventoryConfiguration GetMetricsConfiguration PutMetricsConfiguration
        GetIntelligentTieringConfiguration PutIntelligentTieringConfiguration;
    "s3" Object:
        GetObject PutObject DeleteObject GetObjectVersion DeleteObjectVersion GetObjectAttributes GetObjectVersionAttributes
        GetObjectAcl PutObjectAcl GetObjectVersionAcl PutObjectVersionAcl
        GetObjectTagging PutObjectTagging DeleteObjectTagging
        GetObjectVersionTagging PutObjectVersionTagging DeleteObjectVersionTagging
        GetObjectRetention PutObjectRetention GetObjectLegalHold PutObjectLegalHold BypassGovernanceRetention
        AbortMultipartUpload ListMultipartUploadParts RestoreObject GetObjectTorrent GetObjectVersionTorrent
        ReplicateObject ReplicateDelete ReplicateTags GetObjectVersionForReplication InitiateReplication
        ObjectOwnerOverrideToBucketOwner;
    "tidegate" Service:
        ListJobs GetJob CancelJob RetryJob GetUpload PurgeTags GetUsage WatchEvents;
    "tidegate" Object:
        Purge Warm Fetch Generate;
}

const _: () = assert!(Action::ALL.len() < 128, "ActionSet has 128 bits");

impl Action {
    /// `s3:GetObject`, in any case, as IAM takes it.
    pub fn parse(s: &str) -> Option<Action> {
        let (service, name) = s.split_once(':')?;
        let named = |a: &Action| a.service().eq_ignore_ascii_case(service) && a.short_name().eq_ignore_ascii_case(name);
        Self::ALL.iter().copied().find(named)
    }
}

impl Action {
    /// The permission that it takes where a version is named: S3 has one of its own for most of what is done with an object.
    pub const fn on(self, version: VersionSelector<'_>) -> Action {
        match version {
            VersionSelector::Current => self,
            VersionSelector::Exact(_) => self.of_version(),
        }
    }

    /// See `on`.
    pub const fn of_version(self) -> Action {
        use Action::*;
        match self {
            GetObject => GetObjectVersion,
            DeleteObject => DeleteObjectVersion,
            GetObjectAttributes => GetObjectVersionAttributes,
            GetObjectAcl => GetObjectVersionAcl,
            PutObjectAcl => PutObjectVersionAcl,
            GetObjectTagging => GetObjectVersionTagging,
            PutObjectTagging => PutObjectVersionTagging,
            DeleteObjectTagging => DeleteObjectVersionTagging,
            GetObjectTorrent => GetObjectVersionTorrent,
            other => other,
        }
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ActionSet(u128);

impl ActionSet {
    pub const EMPTY: ActionSet = ActionSet(0);

    pub const fn of(actions: &[Action]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < actions.len() {
            bits |= 1 << actions[i] as u8;
            i += 1;
        }
        ActionSet(bits)
    }

    pub fn all() -> Self {
        Self::of(Action::ALL)
    }

    pub const fn contains(self, action: Action) -> bool {
        self.0 & (1 << action as u8) != 0
    }

    pub const fn union(self, other: ActionSet) -> Self {
        ActionSet(self.0 | other.0)
    }

    pub fn complement(self) -> Self {
        ActionSet(Self::all().0 & !self.0)
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// All that a policy's `Action` value names, where `*` and `?` are wildcards. None: it names nothing that exists.
    pub fn matching(pattern: &str) -> Option<Self> {
        if pattern == "*" {
            return Some(Self::all());
        }
        if !pattern.contains(['*', '?']) {
            return Action::parse(pattern).map(|action| ActionSet::of(&[action]));
        }
        let (service, name) = pattern.split_once(':')?;
        let name = Pattern::compile(&name.to_ascii_lowercase(), Wildcards::Yes).ok()?;
        let mut bits = 0;
        for action in Action::ALL.iter().filter(|a| a.service().eq_ignore_ascii_case(service)) {
            let own = |(own, places): &(String, _)| name.matches(Text::from(own.as_str()).remembering(places), None);
            if NAMES.get(*action as usize).is_some_and(own) {
                bits |= 1 << *action as u8;
            }
        }
        (bits != 0).then_some(ActionSet(bits))
    }
}

/// In lower case, in the order of `Action::ALL`.
static NAMES: LazyLock<Vec<(String, OnceLock<Places>)>> =
    LazyLock::new(|| Action::ALL.iter().map(|a| (a.short_name().to_ascii_lowercase(), OnceLock::new())).collect());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for a in Action::ALL {
            assert_eq!(Action::parse(a.name()), Some(*a));
            assert_eq!(ActionSet::matching(a.name()), Some(ActionSet::of(&[*a])));
        }
        assert_eq!(Action::parse("s3:getobject"), Some(Action::GetObject));
        assert_eq!(Action::parse("s3:Nothing"), None);
        assert_eq!(Action::parse("GetObject"), None);
    }

    #[test]
    fn a_version_has_permissions_of_its_own() {
        use crate::base::object_ref::VersionId;
        for action in Action::ALL {
            let named = format!(
                "{}Version{}",
                &action.name()[..action.name().find("Object").map_or(0, |at| at + 6)],
                action.name().split_once("Object").map_or("", |(_, end)| end)
            );
            let expected = Action::parse(&named).filter(|_| action.level() == Level::Object).unwrap_or(*action);
            assert_eq!(action.on(VersionSelector::Exact(&VersionId::Null)), expected, "{action}");
            assert_eq!(action.on(VersionSelector::Current), *action);
        }
    }

    #[test]
    fn wildcards() {
        let set = ActionSet::matching("s3:Get*").unwrap();
        assert!(set.contains(Action::GetObject) && set.contains(Action::GetBucketAcl) && !set.contains(Action::PutObject));
        assert_eq!(ActionSet::matching("*"), Some(ActionSet::all()));
        let (s3, own) = (ActionSet::matching("s3:*").unwrap(), ActionSet::matching("tidegate:*").unwrap());
        assert_eq!(s3.complement(), own);
        assert!(own.contains(Action::GetJob) && own.contains(Action::Purge) && !own.contains(Action::GetObject));
        assert_eq!(ActionSet::matching("s3:GetJob"), None);
        assert_eq!(ActionSet::matching("s3:?etObject"), Some(ActionSet::of(&[Action::GetObject])));
        assert_eq!(ActionSet::matching("s3:Gett*"), None);
        assert_eq!(ActionSet::matching("sqs:*"), None);
        assert_eq!(ActionSet::matching("s3:${tenant}*"), None);
        assert_eq!(ActionSet::matching(&format!("s3:{}", "*?".repeat(1000))), None);
        assert_eq!(ActionSet::all().complement(), ActionSet::EMPTY);
    }
}
