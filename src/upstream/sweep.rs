//! Records of uploads are removed when they are of no use any more: a while after their upload has ended, whichever way it did.
//!
//! While an upload goes on, parts, listings, Complete and Abort need its record; after a Complete it answers the same request again. When
//! the upload ended nobody wrote down (a client that was cut off, a lifecycle rule, the end of its bucket), so the upstream is asked.
//! A record that was not written for `completed_kept` is marked if there is no such upload; not written for so long again, and if
//! there is still no such upload, it is removed. Called by a job that recurs; of all nodes over the bucket one does it.
//!
//! Invariants: a record stays while its upload goes on, however long that is, and where nothing can be learned of its upload. No
//! upload is aborted here, neither one that a client left nor one that no record knows. A pass that is cut off, or done twice, does no harm.
//! Limits: one page of a listing in memory, `AT_ONCE` requests. An upload that goes on for longer than its record would be kept costs two
//! requests in each pass.

use std::sync::Arc;

use serde::Serialize;
use tokio::task::JoinSet;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::timestamp::Timestamp;
use crate::upstream::fault;
use crate::upstream::info;
use crate::upstream::multipart::upstream_id;
use crate::upstream::open::{Inner, Upstream};
use crate::upstream::place::Place;
use crate::upstream::records::Over;
use crate::upstream::stored::{self, Recorded};

pub const FOLDER: &str = "uploads/";
/// Nobody waits for it: clients should not notice.
const AT_ONCE: usize = 4;
/// Behind a record, where a reader of it does not look: its upload had ended when this was written.
const ENDED: &[u8] = &[1];

/// Whether it is such a mark, and nothing else.
pub fn is_mark(behind: &[u8]) -> bool {
    behind == ENDED
}

/// What a pass did with the records that were old enough to be looked at.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Swept {
    pub marked: usize,
    pub removed: usize,
    /// Their uploads go on.
    pub in_use: usize,
    /// Nothing could be learned.
    pub unclear: usize,
}

enum Judged {
    Marked,
    Removed,
    InUse,
}

impl Upstream {
    pub async fn sweep(&self, now: Timestamp) -> Result<Swept> {
        self.0.sweep(now).await
    }
}

impl Inner {
    async fn sweep(self: &Arc<Self>, now: Timestamp) -> Result<Swept> {
        let prefix = self.record_key(FOLDER);
        let (mut swept, mut token) = (Swept::default(), None);
        loop {
            let list = self.reader.list_objects_v2().bucket(self.map.home()).prefix(&prefix).set_continuation_token(token.take());
            let page = list.send().await.map_err(fault::of)?;
            let old = page.contents().iter().filter(|object| {
                let written = object.last_modified().map(|time| info::timestamp(Some(time)));
                written.is_some_and(|written| now.since(written) >= self.settings.completed_kept)
            });
            let old = old.filter_map(|object| object.key()?.strip_prefix(&prefix));
            let old: Vec<String> = old.map(|name| format!("{FOLDER}{name}")).collect();
            for some in old.chunks(AT_ONCE) {
                self.judge_some(some, &mut swept).await?;
            }
            token = page.next_continuation_token().map(str::to_owned).filter(|_| page.is_truncated() == Some(true));
            if token.is_none() {
                return Ok(swept);
            }
        }
    }

    async fn judge_some(self: &Arc<Self>, paths: &[String], swept: &mut Swept) -> Result<()> {
        let mut judging = JoinSet::new();
        for path in paths {
            let (inner, path) = (self.clone(), path.clone());
            judging.spawn(async move { (inner.judge(&path).await, path) });
        }
        while let Some(judged) = judging.join_next().await {
            match judged.map_err(Error::internal)? {
                (Ok(Some(Judged::Marked)), _) => swept.marked += 1,
                (Ok(Some(Judged::Removed)), _) => swept.removed += 1,
                (Ok(Some(Judged::InUse)), _) => swept.in_use += 1,
                (Ok(None), _) => {}
                (Err(e), path) => {
                    tracing::debug!(path, error = %e, "the record of an upload can't be judged and stays");
                    swept.unclear += 1;
                }
            }
        }
        Ok(())
    }

    /// None: another node was here at the same time.
    async fn judge(&self, path: &str) -> Result<Option<Judged>> {
        let Some(record) = self.record(path).await? else { return Ok(None) };
        let (recorded, marks) = stored::read_upload(&record.text, is_mark)?;
        if self.goes_on(&recorded).await? {
            return Ok(Some(Judged::InUse));
        }
        if !marks.is_empty() {
            self.delete_record(path).await?;
            return Ok(Some(Judged::Removed));
        }
        match self.put_record(path, &[&record.text, ENDED].concat(), Over::This(record.etag)).await {
            Ok(_) => Ok(Some(Judged::Marked)),
            Err(e) if e.kind() == ErrorKind::PreconditionFailed => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Whether the upstream knows the upload.
    async fn goes_on(&self, recorded: &Recorded) -> Result<bool> {
        let upload = &recorded.upload;
        // Its bucket may be gone.
        let own = self.map.own(&upload.bucket).ok().flatten().map(|own| Place { bucket: own.into(), prefix: "".into() });
        let places = [self.place(&upload.bucket).await.ok(), Some(self.map.folder(&upload.bucket)), own].into_iter().flatten();
        let begun = places.map(|place| Ok((place.key(&upload.key)?, place))).collect::<Result<Vec<_>>>()?;
        let Some((key, place)) = begun.into_iter().find(|(key, place)| self.known(&place.bucket, key, 0, &recorded.sealed).is_some())
        else {
            return Err(Error::internal(format!("the upload was begun when the bucket {} was another one upstream", upload.bucket)));
        };
        let may_be_gone = *place.bucket != *self.map.home();
        let list = self.reader.list_parts().bucket(&*place.bucket).key(key).upload_id(upstream_id(&upload.id)?).max_parts(1);
        match list.send().await {
            Ok(_) => Ok(true),
            Err(e) if fault::code(&e) == Some("NoSuchUpload") => Ok(false),
            Err(e) if may_be_gone && fault::code(&e) == Some("NoSuchBucket") => Ok(false),
            Err(e) => Err(fault::of(e)),
        }
    }
}
