//! What is told of a change to the outside: what was done, by which request, and what it made.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::auth::grant::Grant;
use crate::base::event::{EventKind, EventKinds};
use crate::base::object::SharedObject;
use crate::base::timestamp::Timestamp;
use crate::origin::Deleted;

/// On record with the change: a process that ends in between must tell of it all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    pub act: Act,
    /// When it was begun.
    pub at: Timestamp,
    /// The version that it is about. Absent: the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The request's id, and the address that it came from. Absent: the gateway itself did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    Put,
    Post,
    Copy,
    CompleteUpload,
    Delete,
    /// By a rule of the bucket's lifecycle.
    Expire,
    /// To another storage class, by such a rule.
    Transition,
    PutTags,
    DeleteTags,
    PutAcl,
}

/// What a write answered of what it made.
#[derive(Debug, Clone, Default)]
pub enum Made {
    #[default]
    Nothing,
    Object(SharedObject),
    Gone(Deleted),
}

impl Act {
    /// What it may turn out to be.
    pub const fn kinds(self) -> EventKinds {
        use EventKind::*;
        match self {
            Act::Put => EventKinds::of(&[CreatedPut]),
            Act::Post => EventKinds::of(&[CreatedPost]),
            Act::Copy => EventKinds::of(&[CreatedCopy]),
            Act::CompleteUpload => EventKinds::of(&[CreatedCompleteMultipartUpload]),
            Act::Delete => EventKinds::of(&[RemovedDelete, RemovedDeleteMarkerCreated]),
            Act::Expire => EventKinds::of(&[ExpirationDelete, ExpirationDeleteMarkerCreated]),
            Act::Transition => EventKinds::of(&[LifecycleTransition]),
            Act::PutTags => EventKinds::of(&[TaggingPut]),
            Act::DeleteTags => EventKinds::of(&[TaggingDelete]),
            Act::PutAcl => EventKinds::of(&[AclPut]),
        }
    }

    /// `marker`: a delete marker was made.
    pub const fn kind(self, marker: bool) -> EventKind {
        use EventKind::*;
        match (self, marker) {
            (Act::Put, _) => CreatedPut,
            (Act::Post, _) => CreatedPost,
            (Act::Copy, _) => CreatedCopy,
            (Act::CompleteUpload, _) => CreatedCompleteMultipartUpload,
            (Act::Delete, false) => RemovedDelete,
            (Act::Delete, true) => RemovedDeleteMarkerCreated,
            (Act::Expire, false) => ExpirationDelete,
            (Act::Expire, true) => ExpirationDeleteMarkerCreated,
            (Act::Transition, _) => LifecycleTransition,
            (Act::PutTags, _) => TaggingPut,
            (Act::DeleteTags, _) => TaggingDelete,
            (Act::PutAcl, _) => AclPut,
        }
    }
}

impl Deed {
    pub fn of(act: Act, grant: &Grant) -> Self {
        let asked = grant.asked();
        Deed {
            act,
            at: Timestamp::now(),
            version: grant.version().id().map(ToString::to_string),
            request: asked.map(|asked| asked.id.to_string()),
            address: asked.map(|asked| asked.address),
        }
    }

    /// The gateway's own.
    pub fn own(act: Act, version: Option<String>) -> Self {
        Deed { act, at: Timestamp::now(), version, request: None, address: None }
    }
}
