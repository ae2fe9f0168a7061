//! A bucket into another. Both listings are walked together in the order of keys: memory does not grow with them, and a
//! run that was ended finds at the target what it had done.
//!
//! What counts as the same, in this order: ETags that agree, checksums of the whole that agree, and where neither can be
//! compared, a target of the same size that is not older (told apart in the summary). Tags
//! go with what is copied, and are compared where both sides are read. Not mirrored: ACLs, versions.

use std::sync::Arc;

use super::compare::layout;
use super::content::{Content, hashes};
use super::fault::{Fault, Result};
use super::hashes::{Hashes, Layout, Verdict};
use super::listing::{Listed, Listing};
use super::remote::{Headers, PIECE, Remote, Stat, part_size};
use super::resume::Memory;
use super::run::{Ordered, Outcome, Run};
use super::upload::Upload;
use crate::base::limits::MIN_PART_BYTES;
use crate::base::tags::Tags;

pub struct Mirror {
    pub run: Arc<Run>,
    pub source: Arc<Remote>,
    pub target: Arc<Remote>,
    /// What the source does not have goes from the target.
    pub delete: bool,
    /// Read both sides, and what was written.
    pub verify_full: bool,
    pub tags: bool,
    pub memory: Arc<Memory>,
}

type Line = Ordered<(String, Result<Outcome>)>;

/// What can't go on is a fault; what could not be moved is counted by the run.
pub async fn mirror(mirror: Arc<Mirror>) -> Result<()> {
    let (mut sources, mut targets) = (Listing::new(mirror.source.clone()), Listing::new(mirror.target.clone()));
    let (mut source, mut target) = (sources.next().await?, targets.next().await?);
    if mirror.delete && source.is_none() && target.is_some() {
        return Err(Fault::new("the source has no objects: --delete would empty the target, so nothing was done"));
    }
    let mut line = mirror.run.line();
    loop {
        mirror.run.check_hope()?;
        sources.take_odd().iter().for_each(|key| mirror.run.refuse(key, "its key is not UTF-8"));
        // The side whose name comes first; both, where it is the same.
        let (from, to) = match (&source, &target) {
            (None, None) => break,
            (Some(s), Some(t)) if s.name == t.name => (source.take(), target.take()),
            (Some(s), Some(t)) if s.name > t.name => (None, target.take()),
            (Some(_), _) => (source.take(), None),
            (None, Some(_)) => (None, target.take()),
        };
        let (had_source, had_target) = (from.is_some(), to.is_some());
        begin(&mirror, from, to, &mut line).await?;
        if had_source {
            source = sources.next().await?;
        }
        if had_target {
            target = targets.next().await?;
        }
    }
    while let Some(ended) = line.next().await? {
        note(&mirror, ended);
    }
    Ok(())
}

async fn begin(mirror: &Arc<Mirror>, from: Option<Listed>, to: Option<Listed>, line: &mut Line) -> Result<()> {
    let shared = mirror.clone();
    let ended = match (from, to) {
        (Some(from), to) => {
            line.push(async move {
                let ended = bring(&shared, &from, to.as_ref()).await;
                (from.name, ended)
            })
            .await?
        }
        (None, Some(gone)) if mirror.delete => line.push(async move { (gone.name.clone(), remove(&shared, &gone.name).await) }).await?,
        (None, _) => None,
    };
    if let Some(ended) = ended {
        note(mirror, ended);
    }
    Ok(())
}

fn note(mirror: &Mirror, (name, ended): (String, Result<Outcome>)) {
    match ended {
        Ok(outcome) => mirror.run.count(&name, outcome),
        Err(fault) => mirror.run.fail(&mirror.source.key(&name), &fault),
    }
}

async fn remove(mirror: &Mirror, name: &str) -> Result<Outcome> {
    if !mirror.run.dry_run {
        let _slot = mirror.run.slot().await?;
        mirror.target.delete(&mirror.target.key(name)).await?;
    }
    Ok(Outcome::Deleted)
}

async fn bring(mirror: &Mirror, from: &Listed, to: Option<&Listed>) -> Result<Outcome> {
    if let Some(to) = to
        && let Some(there) = already(mirror, from, to).await?
    {
        return Ok(there);
    }
    if !mirror.run.dry_run {
        copy(mirror, from).await?;
    }
    Ok(Outcome::Moved(from.size))
}

/// None: it is to be copied.
async fn already(mirror: &Mirror, from: &Listed, to: &Listed) -> Result<Option<Outcome>> {
    if from.size != to.size {
        return Ok(None);
    }
    if mirror.verify_full {
        let (a, b) = tokio::try_join!(read(mirror, &mirror.source, from), read(mirror, &mirror.target, to))?;
        if a.sha256 != b.sha256 {
            return Ok(None);
        }
        return bring_tags(mirror, from).await.map(|()| Some(Outcome::Same));
    }
    // Content written again, or its headers changed: the listing tells neither.
    let newer = from.modified > to.modified;
    if from.claims().against(&to.claims()) == Verdict::Same && !newer {
        return Ok(Some(Outcome::Same));
    }
    let (source, target) = tokio::try_join!(stat(mirror, &mirror.source, from), stat(mirror, &mirror.target, to))?;
    let (Some(source), Some(target)) = (source, target) else { return Ok(None) };
    Ok(match source.claims.against(&target.claims) {
        Verdict::Same if source.headers == target.headers => Some(Outcome::Same),
        Verdict::Same | Verdict::Different => None,
        Verdict::Unknown if newer => None,
        Verdict::Unknown => Some(Outcome::Unproven),
    })
}

/// For content that is there: a change of tags alone shows in no listing.
async fn bring_tags(mirror: &Mirror, listed: &Listed) -> Result<()> {
    if !mirror.tags {
        return Ok(());
    }
    let _slot = mirror.run.slot().await?;
    let (from, to) = (mirror.source.key(&listed.name), mirror.target.key(&listed.name));
    let (wanted, there) = tokio::try_join!(mirror.source.tags(&from), mirror.target.tags(&to))?;
    if wanted == there || mirror.run.dry_run { Ok(()) } else { mirror.target.set_tags(&to, &wanted).await }
}

async fn stat(mirror: &Mirror, side: &Remote, listed: &Listed) -> Result<Option<Stat>> {
    let _slot = mirror.run.slot().await?;
    side.stat(&side.key(&listed.name)).await
}

async fn read(mirror: &Mirror, side: &Arc<Remote>, listed: &Listed) -> Result<Hashes> {
    let content = Content::Object { remote: side.clone(), key: side.key(&listed.name), etag: listed.etag.clone(), size: listed.size };
    hashes(&mirror.run, content, Layout::Untold).await
}

async fn copy(mirror: &Mirror, listed: &Listed) -> Result<()> {
    let key = mirror.source.key(&listed.name);
    let stat = stat(mirror, &mirror.source, listed).await?.ok_or_else(|| Fault::new("it is gone since it was listed"))?;
    // What it is now.
    let listed = Listed { size: stat.claims.size, etag: stat.claims.etag.clone(), ..listed.clone() };
    let layout = layout(&mirror.source, &listed).await?;
    // Cut as it is there, it gets the same ETag, and the next run needs nothing else to compare.
    let part = match layout {
        Layout::Parts(part) if (MIN_PART_BYTES..=PIECE).contains(&part) => part,
        _ => part_size(listed.size),
    };
    let target_key = mirror.target.key(&listed.name);
    let tags = match stat.tag_count {
        Some(0) => Tags::default(),
        _ if mirror.tags => mirror.source.tags(&key).await?,
        _ => Tags::default(),
    };
    let upload = Upload {
        run: mirror.run.clone(),
        target: mirror.target.clone(),
        key: target_key.clone(),
        headers: Headers { tagging: (!tags.is_empty()).then(|| tags.query()), ..stat.headers },
        content: Content::Object { remote: mirror.source.clone(), key, etag: listed.etag.clone(), size: listed.size },
        part,
        layout,
        memory: mirror.memory.clone(),
    };
    let sent = upload.send(|hashes| match hashes.against(&stat.claims) {
        Verdict::Different => Err(Fault::new("what arrived is not what its ETag and checksums say")),
        Verdict::Same | Verdict::Unknown => Ok(()),
    });
    let sent = sent.await?;
    if mirror.verify_full {
        let now = mirror.target.stat(&target_key).await?.ok_or_else(|| Fault::new("it is gone from the target"))?;
        let now = Listed { size: now.claims.size, etag: now.claims.etag, ..listed };
        if read(mirror, &mirror.target, &now).await?.sha256 != sent.sha256 {
            return Err(Fault::new("what the target gives back is not what was sent"));
        }
    }
    Ok(())
}
