//! Which models are made smaller by themselves, and how: the `[[optimize_rule]]` tables of the configuration.

use crate::base::layout::run_and_type;
use crate::base::lifecycle::pattern::PrefixPattern;
use crate::base::names::{BucketName, ObjectKey};
use crate::base::tags::Tags;
use crate::media::optimize::recipe::Recipe;

#[derive(Debug, Clone)]
pub struct Rule {
    pub name: String,
    /// Empty: all.
    pub buckets: Vec<BucketName>,
    pub prefix: Option<PrefixPattern>,
    /// Of `{tenantId}/{runId}/{artifactType}/{filename}`. Empty: all, and keys that are not of this form.
    pub artifact_types: Vec<&'static str>,
    /// That the object must have. None: it need have none.
    pub tag: Option<(String, String)>,
    /// Larger ones are left alone.
    pub max_bytes: u64,
    pub recipe: Recipe,
}

impl Rule {
    /// As far as the name of an object tells.
    pub fn may_want(&self, bucket: &BucketName, key: &ObjectKey) -> bool {
        let of_type = || run_and_type(key.as_str()).is_some_and(|(_, artifact_type)| self.artifact_types.contains(&artifact_type));
        (self.buckets.is_empty() || self.buckets.contains(bucket))
            && self.prefix.as_ref().is_none_or(|prefix| prefix.begins(key.as_str()))
            && (self.artifact_types.is_empty() || of_type())
    }

    pub fn wants(&self, size: u64, tags: &Tags) -> bool {
        size <= self.max_bytes && self.tag.as_ref().is_none_or(|(key, value)| tags.get(key) == Some(value))
    }
}

#[derive(Debug, Clone)]
pub struct Settings {
    /// The first that fits an object counts.
    pub rules: Vec<Rule>,
    /// Of a model that is asked for by nobody's rule.
    pub max_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { rules: Vec::new(), max_bytes: 64 << 20 }
    }
}
