//! What one attempt goes by: who asked, where it goes, and the right to write there before anything costs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::auth::for_jobs::Asker;
use crate::auth::{Action, Target};
use crate::base::media_type;
use crate::base::names::ObjectKey;
use crate::base::object::SharedBucket;
use crate::base::object_ref::{ObjectRef, VersionSelector};
use crate::jobs::landing::{self, Hands, Landing, fault};
use crate::jobs::{asker, refused};
use crate::ops::fetch::Settings as FetchSettings;
use crate::ops::generate::book::Entry;
use crate::ops::generate::{Document, Generation};
use crate::origin::Freshness;
use crate::queue::{Attempt, Fault};
use crate::vault::kind::MediaKind;

pub struct Generate {
    pub kind: MediaKind,
    pub hands: Hands,
    pub generation: Generation,
    pub fetch: FetchSettings,
}

/// What one attempt goes by.
pub struct Case<'c> {
    pub attempt: &'c Attempt,
    pub document: Document,
    pub asker: Asker,
    pub bucket: SharedBucket,
    /// Base64, and its type.
    pub picture: Option<(String, String)>,
    /// The right to write to the run, and where bodies are staged.
    pub landing: Landing<'c>,
}

impl Generate {
    pub async fn case<'c>(&'c self, attempt: &'c Attempt, document: Document) -> Result<Case<'c>, Fault> {
        let Hands { ops, auth } = &self.hands;
        let asker = asker(auth, &attempt.job)?;
        let bucket = landing::bucket(ops, &document.bucket).await?;
        let pattern = document.key(&attempt.job.tenant, None, "*").map_err(fault)?;
        let target = Target::Object { bucket: &bucket, key: &pattern, version: VersionSelector::Current, object: None };
        auth.grant_for_job(&asker, Action::Generate, target).map_err(refused)?;
        // Before it costs anything.
        let landing = Landing::at(ops, auth, &asker, &bucket, &pattern)?;
        let picture = self.picture(&document, &asker, &bucket).await?;
        Ok(Case { attempt, document, asker, bucket, picture, landing })
    }

    async fn picture(&self, document: &Document, asker: &Asker, bucket: &SharedBucket) -> Result<Option<(String, String)>, Fault> {
        let Some(key) = &document.wanted.image_key else { return Ok(None) };
        let Hands { ops, auth } = &self.hands;
        let key = ObjectKey::parse(key).map_err(fault)?;
        let found = ops.object_for_decision(ObjectRef::current(&bucket.name, &key), Freshness::Current).await.map_err(fault)?;
        let target = Target::Object { bucket, key: &key, version: VersionSelector::Current, object: found.as_deref() };
        let grant = auth.grant_for_job(asker, Action::GetObject, target).map_err(refused)?;
        let found = found.ok_or_else(|| Fault::dead("image_key names nothing that is there"))?;
        let bytes = ops.picture(&grant, &found).await.map_err(fault)?.ok_or_else(|| Fault::retry("the picture was replaced"))?;
        let kind = media_type::by_content(&bytes).filter(|kind| kind.starts_with("image/"));
        let kind = kind.ok_or_else(|| Fault::dead("image_key names no picture"))?;
        Ok(Some((STANDARD.encode(&bytes), kind.to_owned())))
    }

    /// What the job tells of what it cost.
    pub fn costs(&self, entries: &[Entry]) -> Value {
        let shown = |entry: &Entry| {
            json!({
                "provider": entry.provider, "model": entry.model, "step": entry.step, "state": entry.state,
                "estimated": entry.estimated, "billed": entry.billed,
            })
        };
        json!({
            "currency": "USD", "unit": "millionths",
            "cost": entries.iter().map(Entry::cost).sum::<u64>(),
            "requests": entries.iter().take(20).map(shown).collect::<Vec<_>>(),
        })
    }
}
