//! Lifecycle rules as values: which versions a rule concerns, and what becomes of them when. Pure.
//!
//! Here: the rules and what may stand in one. `check`: what S3 refuses of a configuration. `evaluate`: what is due when. `stored`: how
//! a bucket keeps its rules. `ready`: the rules of buckets, read once. Not here: XML (`http/s3/lifecycle`), `[[lifecycle]]` of
//! gateway.toml (`config/lifecycle`), and who carries out what is due (`jobs/lifecycle`).
//! Invariant: a header that tells when an object goes, and what makes it go, ask the same function: `evaluate::first_due`.

pub mod check;
pub mod day;
pub mod evaluate;
pub mod pattern;
pub mod ready;
pub mod stored;
#[cfg(test)]
pub mod testing;
pub mod transitions;

use super::timestamp::Timestamp;
use pattern::PrefixPattern;

/// S3's limits.
pub const MAX_RULES: usize = 1000;
pub const MAX_ID_CHARS: usize = 255;
pub const MAX_NEWER_VERSIONS: u32 = 100;

/// What a bucket is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    pub rules: Vec<Rule>,
    pub minimum: TransitionMinimum,
}

/// From which size on objects change their class, where a rule names no size: `x-amz-transition-default-minimum-object-size`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TransitionMinimum {
    #[default]
    AllClasses128K,
    VariesByClass,
}

impl TransitionMinimum {
    pub fn parse(text: &str) -> Option<Self> {
        [Self::AllClasses128K, Self::VariesByClass].into_iter().find(|m| m.name() == text)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::AllClasses128K => "all_storage_classes_128K",
            Self::VariesByClass => "varies_by_storage_class",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub id: String,
    pub enabled: bool,
    pub filter: Filter,
    pub expiration: Option<Expiration>,
    pub noncurrent: Option<NoncurrentExpiration>,
    /// Days after which an upload that was not completed is aborted.
    pub abort_uploads: Option<u32>,
    /// Carried out for the object that a key shows, where the store has classes; else kept and shown.
    pub transitions: Vec<Transition>,
    pub noncurrent_transitions: Vec<NoncurrentTransition>,
}

impl Rule {
    /// Whether it matters when an object was read.
    pub fn asks_for_reads(&self) -> bool {
        self.enabled && matches!(self.expiration, Some(Expiration::Unread(_)))
    }
}

/// All that is named must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Written as `Prefix` of the rule, as S3 had it before there were filters.
    pub old_form: bool,
    pub prefix: Option<String>,
    pub tags: Vec<(String, String)>,
    pub larger_than: Option<u64>,
    pub smaller_than: Option<u64>,
    /// Of rules in gateway.toml, which S3 does not have.
    pub pattern: Option<PrefixPattern>,
    /// The same: the third segment of the key layout is one of these. Empty: any key.
    pub artifact_types: Vec<&'static str>,
}

impl Filter {
    /// How many things it asks for that S3 knows. Two and more stand in an `And`.
    pub fn predicates(&self) -> usize {
        let sizes = usize::from(self.larger_than.is_some()) + usize::from(self.smaller_than.is_some());
        usize::from(self.prefix.is_some()) + self.tags.len() + sizes
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Days(u32),
    /// A midnight.
    Date(Timestamp),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiration {
    When(When),
    /// `ExpiredObjectDeleteMarker`: whether markers go that nothing stands under.
    SoleMarkers(bool),
    /// Of rules in gateway.toml: nobody read the object for so many days, and nobody wrote it.
    Unread(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoncurrentExpiration {
    /// From the creation of its successor on.
    pub days: u32,
    /// So many of the newest noncurrent versions stay. None: none does.
    pub keep: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    pub when: When,
    pub class: StorageClass,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoncurrentTransition {
    pub days: u32,
    pub keep: Option<u32>,
    pub class: StorageClass,
}

super::listed::listed! {
    /// What S3 moves objects to.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum StorageClass {
        StandardIa,
        OnezoneIa,
        IntelligentTiering,
        GlacierIr,
        Glacier,
        DeepArchive,
    }
}

impl StorageClass {
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == text)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::StandardIa => "STANDARD_IA",
            Self::OnezoneIa => "ONEZONE_IA",
            Self::IntelligentTiering => "INTELLIGENT_TIERING",
            Self::GlacierIr => "GLACIER_IR",
            Self::Glacier => "GLACIER",
            Self::DeepArchive => "DEEP_ARCHIVE",
        }
    }

    /// Days that an object must be old before it is moved there.
    pub const fn least_days(self) -> u32 {
        match self {
            Self::StandardIa | Self::OnezoneIa => 30,
            Self::IntelligentTiering | Self::GlacierIr | Self::Glacier | Self::DeepArchive => 0,
        }
    }
}
