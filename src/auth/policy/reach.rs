//! Of which actions a condition key can say something: a condition that no action of its statement knows would never hold, in
//! silence. S3 refuses such a policy when it is set, and so does `document`.
//!
//! Not here: keys that every request has (`aws:…`, who signed and how), which apply to all.

use crate::auth::action::{Action, ActionSet, Level};
use crate::auth::policy::key::{ConditionKey, TagsOf};

const LISTS: ActionSet = ActionSet::of(&[Action::ListBucket, Action::ListBucketVersions, Action::ListBucketMultipartUploads]);
const CONDITIONAL: ActionSet = ActionSet::of(&[Action::PutObject, Action::DeleteObject, Action::DeleteObjectVersion]);
/// What may say an ACL.
const ACLS: ActionSet =
    ActionSet::of(&[Action::CreateBucket, Action::PutBucketAcl, Action::PutObject, Action::PutObjectAcl, Action::PutObjectVersionAcl]);
const OWNERSHIP: ActionSet = ActionSet::of(&[Action::CreateBucket, Action::PutBucketOwnershipControls]);
const WRITES: ActionSet = ActionSet::of(&[Action::PutObject]);

impl ConditionKey {
    pub fn applies_to(&self, action: Action) -> bool {
        match self {
            Self::ObjectKey | Self::VersionId | Self::LockMode | Self::LockUntil | Self::LockDays | Self::LegalHold => {
                action.level() == Level::Object
            }
            Self::Prefix | Self::Query(_) | Self::Number(_) => LISTS.contains(action),
            Self::Header(name) => of_header(name).is_none_or(|actions| actions.contains(action)),
            Self::IfNoneMatch => CONDITIONAL.contains(action),
            Self::CopySource => WRITES.contains(action),
            Self::ExistingTag(_) => TagsOf::Existing.actions().contains(action),
            Self::GivenTag(_) | Self::GivenTagKeys => TagsOf::Given.actions().contains(action),
            // Of a service, which does nothing but write logs.
            Self::SourceArn | Self::SourceAccount => WRITES.contains(action),
            Self::SourceIp
            | Self::SecureTransport
            | Self::ProvenCdn
            | Self::CurrentTime
            | Self::EpochTime
            | Self::Username
            | Self::UserId
            | Self::PrincipalArn
            | Self::PrincipalAccount
            | Self::PrincipalType
            | Self::TokenIssueTime
            | Self::BucketOwner
            | Self::AuthType
            | Self::SignatureAge
            | Self::SignatureVersion
            | Self::PayloadHash => true,
        }
    }
}

/// None: every request may have it.
fn of_header(name: &str) -> Option<ActionSet> {
    match name {
        "user-agent" | "referer" => None,
        "if-match" => Some(CONDITIONAL),
        "x-amz-object-ownership" => Some(OWNERSHIP),
        "x-amz-acl" => Some(ACLS),
        name if name.starts_with("x-amz-grant-") => Some(ACLS),
        _ => Some(WRITES),
    }
}
