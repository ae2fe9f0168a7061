//! A data folder of format 1 becomes one of today: every file of `blobs/` moves to the folder of its run. Called by `layout`
//! at start, under the folder's lock, before FORMAT says so.
//!
//! One rename for each file and nothing else changes, so a move that was cut off goes on with the next start.

use std::io;
use std::path::Path;

use crate::journal::log::sync_dir;
use crate::local::layout::Layout;
use crate::local::scope::Scope;
use crate::private::{self, make_dir};

/// Folders of numbers have longer names than the folders of before: two digits of a hash, and `p` for parts.
const LONGEST_OLD: usize = 2;

pub fn to_numbered_folders(layout: &Layout) -> io::Result<()> {
    let mut moved = 0u64;
    for scope in folders(&layout.blobs())? {
        let path = layout.blobs().join(&scope);
        let Ok(tenant) = Scope::parse(&scope) else { continue };
        for first in folders(&path)?.into_iter().filter(|name| name.len() <= LONGEST_OLD) {
            for second in folders(&path.join(&first))? {
                moved += move_files(layout, &tenant, &path.join(&first).join(second))?;
            }
            remove_if_empty(&path.join(&first))?;
        }
        for run in folders(&path)? {
            sync_dir(&path.join(run))?;
        }
        sync_dir(&path)?;
    }
    let notes = note_folders(layout)?;
    tracing::info!(notes, files = moved, "the data folder was brought to its new format");
    Ok(())
}

/// Format 1 had a note for each file.
fn note_folders(layout: &Layout) -> io::Result<u64> {
    let mut notes = 0;
    for entry in std::fs::read_dir(layout.placing())? {
        let entry = entry?;
        let name = entry.file_name();
        let parts = name.to_str().and_then(|n| Some((n.split_once('.')?.0, n.rsplit_once('.')?.1))).filter(|(_, id)| id.len() == 16);
        let parsed = parts.and_then(|(scope, id)| Some((Scope::parse(scope).ok()?, u64::from_str_radix(id, 16).ok()?)));
        let Some((scope, id)) = parsed else { continue };
        private::create(&layout.note(&scope, id))?;
        std::fs::remove_file(entry.path())?;
        notes += 1;
    }
    sync_dir(&layout.placing())?;
    Ok(notes)
}

fn move_files(layout: &Layout, scope: &Scope, old: &Path) -> io::Result<u64> {
    let mut moved = 0;
    for entry in std::fs::read_dir(old)? {
        let entry = entry?;
        let name = entry.file_name();
        let id = name.to_str().and_then(|n| n.rsplit('.').next()).filter(|hex| hex.len() == 16);
        // What is none of ours stays where it is, as fsck would leave it.
        let Some(id) = id.and_then(|hex| u64::from_str_radix(hex, 16).ok()) else { continue };
        let folder = layout.folder(scope, id);
        make_dir(&folder)?;
        std::fs::rename(entry.path(), folder.join(name))?;
        moved += 1;
    }
    remove_if_empty(old)?;
    Ok(moved)
}

fn folders(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.extend(entry.file_name().into_string());
        }
    }
    Ok(names)
}

fn remove_if_empty(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir(dir) {
        Err(e) if e.kind() != io::ErrorKind::DirectoryNotEmpty => Err(e),
        _ => Ok(()),
    }
}
