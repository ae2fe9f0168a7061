//! A folder into a bucket. The folder's files and the bucket's listing are walked together, both in the order of keys: what
//! is there with the same content is not sent again, so a run that was ended goes on where it was.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::compare::compare;
use super::content::Content;
use super::fault::{Fault, Result};
use super::hashes::{Hashes, Layout, Verdict};
use super::listing::{Listed, Listing};
use super::manifest::{Line, Manifest};
use super::remote::{Headers, Remote, part_size};
use super::resume::Memory;
use super::run::{Outcome, Run, blocking};
use super::tags_file;
use super::tree::{FoundFile, Step, Tree};
use super::upload::Upload;
use crate::base::media_type;
use crate::base::tags::Tags;

pub struct Import {
    pub run: Arc<Run>,
    pub tree: Arc<Tree>,
    pub target: Arc<Remote>,
    pub cache_control: Option<String>,
    pub memory: Arc<Memory>,
    /// The tags of keys, as an export wrote them: what is sent gets them, and what is there already.
    pub tags: Option<PathBuf>,
    pub manifest: Option<PathBuf>,
    /// Below the prefix: where the manifest is put as well.
    pub manifest_name: Option<String>,
}

/// Files that the walk is ahead.
const AHEAD: usize = 256;

struct Done {
    outcome: Outcome,
    media_type: &'static str,
    /// None: a dry run that did not have to read it.
    sha256: Option<String>,
}

/// What can't go on is a fault; what could not be moved is counted by the run.
pub async fn import(import: Arc<Import>) -> Result<()> {
    survey(&import).await?;
    let mut manifest = match (&import.manifest, import.run.dry_run) {
        (Some(file), false) => Some(Manifest::begin(file, &import.target.at)?),
        _ => None,
    };
    let tags = import.tags.as_deref().map(tags_file::read).transpose()?;
    let mut listing = Listing::new(import.target.clone());
    let mut steps = walk(import.tree.clone());
    let mut line = import.run.line();
    while let Some(step) = steps.recv().await {
        // The survey has named the others.
        let Step::File(found) = step else { continue };
        import.run.check_hope()?;
        let there = listing.find(&found.name).await?;
        let tags = tags.as_ref().map(|tags| tags.get(&found.name).cloned().unwrap_or_default());
        if let Some((found, done)) = line.push(one(import.clone(), found, there, tags)).await? {
            note(&import, found, done, manifest.as_mut())?;
        }
    }
    while let Some((found, done)) = line.next().await? {
        note(&import, found, done, manifest.as_mut())?;
    }
    if let (Some(manifest), Some(file)) = (manifest, &import.manifest) {
        manifest.finish(file)?;
        send_manifest(&import, file.clone()).await?;
    }
    Ok(())
}

/// Before anything is sent: how much there is, and what can't be sent, all of it.
async fn survey(import: &Import) -> Result<()> {
    let mut steps = walk(import.tree.clone());
    let (mut files, mut collisions) = (0, 0);
    let clash = |name: &str| import.manifest_name.as_deref() == Some(name);
    while let Some(step) = steps.recv().await {
        match step {
            Step::File(found) if clash(&found.name) => {
                collisions += 1;
                import.run.refuse(&found.shown, "its key is that of the manifest");
            }
            Step::File(_) => files += 1,
            Step::Odd(what, why) => import.run.refuse(&what, &why),
            Step::Collision(name, paths) => {
                collisions += 1;
                import.run.refuse(&import.target.key(&name), &format!("several files would have this key: {}", paths.join(", ")));
            }
        }
    }
    import.run.progress.expect(files);
    match collisions {
        0 => Ok(()),
        n => Err(Fault::new(format!("{n} keys would stand for several files: nothing was sent"))),
    }
}

/// On a thread of its own; it ends when nobody listens.
fn walk(tree: Arc<Tree>) -> mpsc::Receiver<Step> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || tree.walk(&mut |step| sender.blocking_send(step).is_ok()));
    receiver
}

async fn one(import: Arc<Import>, found: FoundFile, there: Option<Listed>, tags: Option<Tags>) -> (FoundFile, Result<Done>) {
    let done = bring(&import, &found, there, tags).await;
    (found, done)
}

/// `tags`: None leaves those that are there.
async fn bring(import: &Import, found: &FoundFile, there: Option<Listed>, tags: Option<Tags>) -> Result<Done> {
    let content = Content::File { path: found.path.clone(), size: found.size, modified: found.modified };
    let media_type = media_type(found).await?;
    let done = |outcome, hashes: Option<&Hashes>| Done { outcome, media_type, sha256: hashes.map(|h| hex::encode(h.sha256)) };
    if let Some(there) = &there {
        let (verdict, hashes) = compare(&import.run, &content, &import.target, there).await?;
        if verdict == Verdict::Same {
            if let Some(tags) = tags.filter(|_| !import.run.dry_run) {
                bring_tags(import, found, &tags).await?;
            }
            return Ok(done(Outcome::Same, hashes.as_ref()));
        }
    }
    if import.run.dry_run {
        return Ok(done(Outcome::Moved(found.size), None));
    }
    let headers = Headers {
        content_type: Some(media_type.to_owned()),
        cache_control: import.cache_control.clone(),
        tagging: tags.filter(|tags| !tags.is_empty()).map(|tags| tags.query()),
        ..Headers::default()
    };
    let upload = Upload {
        run: import.run.clone(),
        target: import.target.clone(),
        key: import.target.key(&found.name),
        headers,
        content,
        part: part_size(found.size),
        layout: Layout::Untold,
        memory: import.memory.clone(),
    };
    let hashes = upload.send(|_| Ok(())).await?;
    Ok(done(Outcome::Moved(found.size), Some(&hashes)))
}

async fn bring_tags(import: &Import, found: &FoundFile, tags: &Tags) -> Result<()> {
    let _slot = import.run.slot().await?;
    let key = import.target.key(&found.name);
    if import.target.tags(&key).await? == *tags { Ok(()) } else { import.target.set_tags(&key, tags).await }
}

/// By its name, else by its first bytes.
async fn media_type(found: &FoundFile) -> Result<&'static str> {
    if let Some(known) = media_type::by_extension(&found.name) {
        return Ok(known);
    }
    let path = found.path.clone();
    let first = blocking(move || {
        use std::io::Read;
        let mut first = Vec::new();
        std::fs::File::open(path)?.take(media_type::SNIFF_BYTES as u64).read_to_end(&mut first).map(|_| first)
    });
    Ok(media_type::guess(&found.name, &first.await??))
}

/// In the order of keys.
fn note(import: &Import, found: FoundFile, done: Result<Done>, manifest: Option<&mut Manifest>) -> Result<()> {
    let done = match done {
        Ok(done) => done,
        Err(fault) => {
            import.run.fail(&found.shown, &fault);
            return Ok(());
        }
    };
    import.run.count(&found.name, done.outcome);
    let (Some(manifest), Some(sha256)) = (manifest, &done.sha256) else { return Ok(()) };
    let key = import.target.key(&found.name);
    let url = import.target.url(&key);
    manifest.add(&Line { path: &found.shown, key: &key, size: found.size, sha256, media_type: done.media_type, url: &url })
}

async fn send_manifest(import: &Arc<Import>, file: PathBuf) -> Result<()> {
    let Some(name) = import.manifest_name.clone() else { return Ok(()) };
    let metadata = std::fs::metadata(&file)?;
    let found = FoundFile { shown: name.clone(), name: name.clone(), path: file, size: metadata.len(), modified: metadata.modified().ok() };
    let there = Listing::new(import.target.clone()).find(&name).await?;
    let (found, done) = one(import.clone(), found, there, None).await;
    note(import, found, done, None)
}
