//! A bucket into a folder. Each file appears whole and proven under its name, or not at all; none outside the folder.
//!
//! Keys are what others wrote: a key that can't be a file is named and left. Links that stand in the folder are never
//! followed. (Who may write in the folder while this runs could still exchange one: it is the caller's own folder.)

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::compare::{compare, judge, layout};
use super::content::{Content, Pieces, hash};
use super::fault::{Fault, Result};
use super::folders::{Folders, Passed};
use super::hashes::{Hasher, Verdict};
use super::listing::{Listed, Listing};
use super::names::file_of;
use super::remote::{PIECE, Remote};
use super::run::{Ordered, Outcome, Run, blocking};
use super::tags_file::Writer;
use crate::base::tags::Tags;

pub struct Export {
    pub run: Arc<Run>,
    pub source: Arc<Remote>,
    pub dir: PathBuf,
    /// Where the tags of all that is there are written: files have none.
    pub tags: Option<PathBuf>,
}

type Line = Ordered<(String, Result<(Outcome, Tags)>)>;

/// What can't go on is a fault; what could not be moved is counted by the run.
pub async fn export(export: Arc<Export>) -> Result<()> {
    let mut listing = Listing::new(export.source.clone());
    let mut folders = Folders::default();
    let mut line = export.run.line();
    let mut tags = match (&export.tags, export.run.dry_run) {
        (Some(file), false) => Some(Writer::begin(file)?),
        _ => None,
    };
    while let Some(listed) = listing.next().await? {
        export.run.check_hope()?;
        match file_of(&listed.name) {
            Err(why) => export.run.refuse(&export.source.key(&listed.name), why),
            Ok(path) => {
                for passed in folders.pass(listed.name.clone(), (listed, path)) {
                    start(&export, passed, &mut line, tags.as_mut()).await?;
                }
            }
        }
        listing.take_odd().iter().for_each(|key| export.run.refuse(key, "its key is not UTF-8"));
    }
    while let Some(passed) = folders.let_go() {
        start(&export, passed, &mut line, tags.as_mut()).await?;
    }
    while let Some(ended) = line.next().await? {
        note(&export, ended, tags.as_mut())?;
    }
    match (tags, &export.tags) {
        (Some(tags), Some(file)) => tags.finish(file),
        _ => Ok(()),
    }
}

async fn start(export: &Arc<Export>, passed: Passed<(Listed, PathBuf)>, line: &mut Line, tags: Option<&mut Writer>) -> Result<()> {
    match passed {
        Passed::Folder(name) => {
            export.run.refuse(&export.source.key(&name), "other keys lie below it, so it is a folder and can't be a file")
        }
        Passed::File(name, (listed, path)) => {
            let export_ = export.clone();
            let one = async move { (name, fetch_with_tags(&export_, &listed, &path).await) };
            if let Some(ended) = line.push(one).await? {
                note(export, ended, tags)?;
            }
        }
    }
    Ok(())
}

fn note(export: &Export, (name, ended): (String, Result<(Outcome, Tags)>), tags: Option<&mut Writer>) -> Result<()> {
    match ended {
        Ok((outcome, its)) => {
            export.run.count(&name, outcome);
            tags.map_or(Ok(()), |tags| tags.add(&name, &its))
        }
        Err(fault) => {
            export.run.fail(&export.source.key(&name), &fault);
            Ok(())
        }
    }
}

async fn fetch_with_tags(export: &Export, listed: &Listed, path: &Path) -> Result<(Outcome, Tags)> {
    let outcome = fetch(export, listed, path).await?;
    let tags = match export.tags.is_some() && !export.run.dry_run {
        true => {
            let _slot = export.run.slot().await?;
            export.source.tags(&export.source.key(&listed.name)).await?
        }
        false => Tags::default(),
    };
    Ok((outcome, tags))
}

async fn fetch(export: &Export, listed: &Listed, path: &Path) -> Result<Outcome> {
    let (dir, relative, dry_run) = (export.dir.clone(), path.to_owned(), export.run.dry_run);
    let here = blocking(move || look(&dir, &relative, dry_run)).await??;
    let file = export.dir.join(path);
    if let Some(metadata) = here {
        let content = Content::File { path: file.clone(), size: metadata.len(), modified: metadata.modified().ok() };
        if compare(&export.run, &content, &export.source, listed).await?.0 == Verdict::Same {
            return Ok(Outcome::Same);
        }
    }
    if !export.run.dry_run {
        write(export, listed, file).await?;
    }
    Ok(Outcome::Moved(listed.size))
}

/// What stands at its place, once the folders above it are there and are folders.
fn look(dir: &Path, relative: &Path, dry_run: bool) -> Result<Option<fs::Metadata>> {
    let mut at = dir.to_owned();
    for part in relative.parent().into_iter().flat_map(Path::iter) {
        at.push(part);
        if !dry_run && let Err(e) = fs::create_dir(&at).or_else(|e| if at.symlink_metadata().is_ok() { Ok(()) } else { Err(e) }) {
            return Err(Fault::new(format!("{}: {e}", at.display())));
        }
        match at.symlink_metadata() {
            Ok(found) if found.is_dir() => {}
            Ok(found) if found.is_symlink() => return Err(Fault::new(format!("{} is a link, which is not followed", at.display()))),
            Ok(_) => return Err(Fault::new(format!("{} is no folder", at.display()))),
            Err(e) if dry_run && e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e.into()),
        }
    }
    match dir.join(relative).symlink_metadata() {
        Ok(found) if found.is_file() => Ok(Some(found)),
        Ok(_) => Err(Fault::new("at its place stands something that is no file")),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e.into()),
    }
}

async fn write(export: &Export, listed: &Listed, file: PathBuf) -> Result<()> {
    let key = export.source.key(&listed.name);
    let content = Content::Object { remote: export.source.clone(), key, etag: listed.etag.clone(), size: listed.size };
    let mut hasher = Hasher::new(layout(&export.source, listed).await?);
    let mut pieces = Pieces::new(export.run.clone(), content, PIECE);
    let place = half(&file, &listed.name);
    let (mut out, half) = blocking(move || create(place)).await??;
    while let Some(piece) = pieces.next().await? {
        hasher = hash(hasher, &piece.bytes).await?;
        out = blocking(move || out.write_all(&piece.bytes).map(|()| out)).await??;
    }
    if judge(&hasher.finish(), &export.source, listed).await? == Verdict::Different {
        return Err(Fault::new("what arrived is not what its ETag and checksums say"));
    }
    blocking(move || fs::rename(&half.0, file)).await??;
    Ok(())
}

/// Removed unless it was renamed.
struct Half(PathBuf);

impl Drop for Half {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The same for the same key: what a killed run left is written over, and does not pile up.
fn half(file: &Path, name: &str) -> PathBuf {
    let hash = hex::encode(&Sha256::digest(name)[..8]);
    file.with_file_name(format!(".tidegate-{hash}.part"))
}

fn create(path: PathBuf) -> std::io::Result<(File, Half)> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).custom_flags(libc::O_NOFOLLOW).open(&path)?;
    Ok((file, Half(path)))
}
