//! A bucket's own documents in the form that decisions need, made once for each state of the bucket.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use quick_xml::Reader;
use quick_xml::events::Event;

use crate::auth::policy::BucketPolicy;
use crate::base::names::BucketName;
use crate::base::object::{Bucket, BucketDocument, Ownership};
use crate::base::public_access::PublicAccessBlock;
use crate::base::timestamp::Timestamp;

/// Text of the policies kept compiled; compiled they take about five times that.
const CACHED_POLICY_BYTES: u64 = 8 * 1024 * 1024;
/// Buckets whose rules are expected to be in use at once; only sizes the table.
const EXPECTED_BUCKETS: usize = 1024;

#[derive(Debug, Default)]
pub enum Stored {
    #[default]
    None,
    Policy(BucketPolicy),
    /// What is stored does not compile, perhaps because a newer version wrote it: nothing may be allowed past it.
    Unreadable,
}

#[derive(Debug, Default)]
pub struct Rules {
    state: Option<(u64, Timestamp)>,
    weight: u64,
    pub policy: Stored,
    pub policy_is_public: bool,
    /// The policy looks at more than who asks for what.
    pub policy_varies: bool,
    /// None: none was chosen.
    pub ownership: Option<Ownership>,
    pub public_access: PublicAccessBlock,
}

pub struct RulesCache {
    none: Arc<Rules>,
    cache: Cache<BucketName, Arc<Rules>, ByPolicyBytes>,
}

#[derive(Clone)]
struct ByPolicyBytes;

impl Weighter<BucketName, Arc<Rules>> for ByPolicyBytes {
    fn weight(&self, _: &BucketName, rules: &Arc<Rules>) -> u64 {
        rules.weight
    }
}

impl Default for RulesCache {
    fn default() -> Self {
        RulesCache { none: Arc::default(), cache: Cache::with_weighter(EXPECTED_BUCKETS, CACHED_POLICY_BYTES, ByPolicyBytes) }
    }
}

impl RulesCache {
    pub fn of(&self, bucket: &Bucket) -> Arc<Rules> {
        // Most buckets have none of these.
        const OF_ACCESS: [BucketDocument; 3] = [BucketDocument::Policy, BucketDocument::Ownership, BucketDocument::PublicAccessBlock];
        if !OF_ACCESS.iter().any(|d| bucket.documents.contains_key(d)) {
            return Arc::clone(&self.none);
        }
        let state = Some((bucket.generation, bucket.created));
        if let Some(rules) = self.cache.get(&bucket.name).filter(|r| r.state == state) {
            return rules;
        }
        let rules = Arc::new(Rules::compile(bucket, state));
        self.cache.insert(bucket.name.clone(), Arc::clone(&rules));
        rules
    }
}

impl Rules {
    pub fn acls_disabled(&self) -> bool {
        self.ownership == Some(Ownership::BucketOwnerEnforced)
    }

    fn compile(bucket: &Bucket, state: Option<(u64, Timestamp)>) -> Self {
        let document = |d: BucketDocument| bucket.documents.get(&d).map(Vec::as_slice);
        let policy = match document(BucketDocument::Policy).map(|text| BucketPolicy::open(&bucket.name, text)) {
            None => Stored::None,
            Some(Ok(policy)) => Stored::Policy(policy),
            Some(Err(e)) => {
                tracing::error!(bucket = %bucket.name, error = %e, "the stored bucket policy can't be read: access to the bucket is denied");
                Stored::Unreadable
            }
        };
        Rules {
            state,
            weight: bucket.documents.values().map(|d| d.len() as u64).sum::<u64>() + 256,
            policy_is_public: matches!(&policy, Stored::Policy(p) if p.is_public()),
            policy_varies: matches!(&policy, Stored::Policy(p) if p.varies()),
            policy,
            ownership: document(BucketDocument::Ownership).and_then(|xml| Ownership::parse(&element(xml, "ObjectOwnership")?)),
            public_access: document(BucketDocument::PublicAccessBlock).map(public_access).unwrap_or_default(),
        }
    }
}

fn public_access(xml: &[u8]) -> PublicAccessBlock {
    let mut block = PublicAccessBlock::default();
    for (name, flag) in block.flags_mut() {
        *flag = element(xml, name).is_some_and(|t| t.eq_ignore_ascii_case("true"));
    }
    block
}

/// The text of the first element of that name. The documents were validated when they were set.
fn element(xml: &[u8], name: &str) -> Option<String> {
    let mut reader = Reader::from_str(std::str::from_utf8(xml).ok()?);
    let mut inside = false;
    loop {
        match reader.read_event().ok()? {
            Event::Start(e) => inside = e.local_name().as_ref() == name,
            Event::Text(t) if inside => return Some(t.trim_ascii().to_owned()),
            Event::Eof => return None,
            _ => inside = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_flags() {
        let xml = br#"<?xml version="1.0"?><PublicAccessBlockConfiguration xmlns="x"><BlockPublicAcls>true</BlockPublicAcls>
            <IgnorePublicAcls> TRUE </IgnorePublicAcls><RestrictPublicBuckets>false</RestrictPublicBuckets></PublicAccessBlockConfiguration>"#;
        assert_eq!(element(xml, "IgnorePublicAcls").as_deref(), Some("TRUE"));
        assert_eq!(element(xml, "RestrictPublicBuckets").as_deref(), Some("false"));
        assert_eq!(element(xml, "Other"), None);
        assert_eq!(element(b"<a", "a"), None);
    }
}
