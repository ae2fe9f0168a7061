//! What can be told of: the kinds of events, by S3's names, and the patterns that choose among them.
//!
//! Names of S3 have `s3:` before them where they are chosen and not in the event itself, as on S3. What S3 has no name for begins with
//! `tidegate:` everywhere. Kinds that this gateway never has are known too: a configuration that names
//! them is no mistake.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::listed::listed;

listed! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
    #[repr(u8)]
    pub enum EventKind {
        CreatedPut,
        CreatedPost,
        CreatedCopy,
        CreatedCompleteMultipartUpload,
        RemovedDelete,
        RemovedDeleteMarkerCreated,
        TaggingPut,
        TaggingDelete,
        AclPut,
        ExpirationDelete,
        ExpirationDeleteMarkerCreated,
        LifecycleTransition,
        ReplicationFailed,
        // Of S3, and never of this gateway.
        ReplicationMissedThreshold,
        ReplicationReplicatedAfterThreshold,
        ReplicationNotTracked,
        RestorePost,
        RestoreCompleted,
        RestoreDelete,
        ReducedRedundancyLostObject,
        IntelligentTiering,
        // Of this gateway alone.
        ReplicationDone,
        JobDone,
        JobFailed,
        LimitNear,
        LimitReached,
    }
}

impl EventKind {
    /// As it is chosen.
    pub const fn name(self) -> &'static str {
        use EventKind::*;
        match self {
            CreatedPut => "s3:ObjectCreated:Put",
            CreatedPost => "s3:ObjectCreated:Post",
            CreatedCopy => "s3:ObjectCreated:Copy",
            CreatedCompleteMultipartUpload => "s3:ObjectCreated:CompleteMultipartUpload",
            RemovedDelete => "s3:ObjectRemoved:Delete",
            RemovedDeleteMarkerCreated => "s3:ObjectRemoved:DeleteMarkerCreated",
            TaggingPut => "s3:ObjectTagging:Put",
            TaggingDelete => "s3:ObjectTagging:Delete",
            AclPut => "s3:ObjectAcl:Put",
            ExpirationDelete => "s3:LifecycleExpiration:Delete",
            ExpirationDeleteMarkerCreated => "s3:LifecycleExpiration:DeleteMarkerCreated",
            ReplicationFailed => "s3:Replication:OperationFailedReplication",
            ReplicationMissedThreshold => "s3:Replication:OperationMissedThreshold",
            ReplicationReplicatedAfterThreshold => "s3:Replication:OperationReplicatedAfterThreshold",
            ReplicationNotTracked => "s3:Replication:OperationNotTracked",
            RestorePost => "s3:ObjectRestore:Post",
            RestoreCompleted => "s3:ObjectRestore:Completed",
            RestoreDelete => "s3:ObjectRestore:Delete",
            ReducedRedundancyLostObject => "s3:ReducedRedundancyLostObject",
            LifecycleTransition => "s3:LifecycleTransition",
            IntelligentTiering => "s3:IntelligentTiering",
            ReplicationDone => "tidegate:Replication:Done",
            JobDone => "tidegate:Job:Done",
            JobFailed => "tidegate:Job:Failed",
            LimitNear => "tidegate:Limit:Near",
            LimitReached => "tidegate:Limit:Reached",
        }
    }

    /// As the event itself says it.
    pub fn short_name(self) -> &'static str {
        self.name().strip_prefix("s3:").unwrap_or(self.name())
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Also what a bucket may choose: the others are about no key.
    pub fn is_of_s3(self) -> bool {
        self.name().starts_with("s3:")
    }
}

impl Serialize for EventKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for EventKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        EventKind::parse(&name).ok_or_else(|| serde::de::Error::custom("no kind of event has this name"))
    }
}

/// Some of the kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventKinds(u32);

const _: () = assert!(EventKind::ALL.len() <= 32, "EventKinds has 32 bits");

impl EventKinds {
    pub const fn of(kinds: &[EventKind]) -> Self {
        let (mut bits, mut i) = (0, 0);
        while i < kinds.len() {
            bits |= 1 << kinds[i] as u8;
            i += 1;
        }
        EventKinds(bits)
    }

    /// One name, or a family such as `s3:ObjectCreated:*`. None: there is none such.
    pub fn matching(pattern: &str) -> Option<Self> {
        let Some(family) = pattern.strip_suffix('*') else {
            return EventKind::parse(pattern).map(|kind| EventKinds::of(&[kind]));
        };
        // Whole words only: as on S3, `s3:Object*` is none.
        let members = EventKind::ALL.into_iter().filter(|kind| family.ends_with(':') && kind.name().starts_with(family));
        let bits = members.fold(0, |bits, kind| bits | (1 << kind as u8));
        (bits != 0).then_some(EventKinds(bits))
    }

    pub const fn has(self, kind: EventKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    pub const fn union(self, other: Self) -> Self {
        EventKinds(self.0 | other.0)
    }

    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_families() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::parse(kind.name()), Some(kind));
            assert!(EventKinds::matching(kind.name()).unwrap().has(kind));
        }
        let created = EventKinds::matching("s3:ObjectCreated:*").unwrap();
        assert!(created.has(EventKind::CreatedCopy) && !created.has(EventKind::RemovedDelete));
        assert!(EventKinds::matching("s3:LifecycleExpiration:*").unwrap().meets(EventKinds::of(&[EventKind::ExpirationDelete])));
        assert!(EventKinds::matching("tidegate:*").unwrap().has(EventKind::LimitNear));
        for wrong in ["s3:ObjectCreated", "s3:Object*", "s3:ObjectCreated:Upload", "*", "", "s3:TestEvent", "S3:ObjectCreated:*"] {
            assert_eq!(EventKinds::matching(wrong), None, "{wrong}");
        }
        assert_eq!(EventKind::CreatedPut.short_name(), "ObjectCreated:Put");
    }
}
