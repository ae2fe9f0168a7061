//! Whether what is here is what is there already: by the listing's ETag where that proves it, else by the checksums that
//! a HEAD tells. Reads what is here once.

use std::sync::Arc;

use super::content::{Content, hashes};
use super::fault::Result;
use super::hashes::{self, Claims, Hashes, Layout, Verdict};
use super::listing::Listed;
use super::remote::{Remote, part_size};
use super::run::Run;

impl Listed {
    /// What a listing alone says.
    pub fn claims(&self) -> Claims {
        Claims { size: self.size, etag: self.etag.clone(), ..Claims::default() }
    }
}

/// The hashes of what is here, unless its size told enough.
pub async fn compare(run: &Arc<Run>, here: &Content, remote: &Remote, there: &Listed) -> Result<(Verdict, Option<Hashes>)> {
    if here.size() != there.size {
        return Ok((Verdict::Different, None));
    }
    let layout = layout(remote, there).await?;
    let hashes = hashes(run, here.clone(), layout).await?;
    Ok((judge(&hashes, remote, there).await?, Some(hashes)))
}

pub async fn judge(hashes: &Hashes, remote: &Remote, there: &Listed) -> Result<Verdict> {
    match hashes.against(&there.claims()) {
        Verdict::Same => Ok(Verdict::Same),
        // A listing does not say whether the ETag is an MD5 at all.
        _ => Ok(remote.stat(&remote.key(&there.name)).await?.map_or(Verdict::Different, |stat| hashes.against(&stat.claims))),
    }
}

/// How an object was cut into parts, as far as its ETag and a HEAD tell.
pub async fn layout(remote: &Remote, there: &Listed) -> Result<Layout> {
    let Some(parts) = hashes::parts(&there.etag) else { return Ok(Layout::Whole) };
    let fits = |part: u64| there.size.div_ceil(part) == parts || there.size == 0;
    let ours = part_size(there.size);
    if parts == 1 || fits(ours) {
        return Ok(Layout::Parts(ours.max(there.size.div_ceil(parts.max(1)))));
    }
    let first = remote.first_part(&remote.key(&there.name), &there.etag).await?;
    Ok(first.filter(|first| fits(*first)).map_or(Layout::Untold, Layout::Parts))
}
