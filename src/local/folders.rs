//! The folders that new files are moved into, one for each stretch of numbers: made and durable before their first file, and one sync
//! for all who wait for the same one.
//!
//! Before its first file an empty note with the folder's name is made in `placing/`: from then on files of the folder may have no
//! record. The note goes when numbers have gone on to another folder and the fate of every file is known (`Folders::close`). A crash
//! leaves it, and the next start asks the journal about each file of the folder (`placing::Orphans`).

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::journal::log::sync_dir;
use crate::local::layout::Layout;
use crate::local::rows::Id;
use crate::local::scope::Scope;
use crate::private::{self, make_dir};

/// The folders of this process whose notes are there: those written to at the moment, and some more until the next pass.
#[derive(Default)]
pub struct Folders(Mutex<HashMap<PathBuf, Arc<Folder>>>);

/// Held by whoever is about to move a file there, until that file's fate is known.
#[derive(Debug)]
pub struct Folder {
    pub scope: Scope,
    pub dir: PathBuf,
    note: PathBuf,
    /// The sync that begins next.
    next: Mutex<Arc<Round>>,
    turn: Mutex<()>,
}

/// How one sync went. Err: the system's error number.
type Round = OnceLock<Result<(), Option<i32>>>;

impl Folders {
    /// The folder of that number: its note and its folder are there, and durable.
    pub fn open(&self, layout: &Layout, scope: &Scope, id: Id) -> io::Result<Arc<Folder>> {
        let dir = layout.folder(scope, id);
        if let Some(known) = lock(&self.0).get(&dir) {
            return Ok(known.clone());
        }
        let note = layout.note(scope, id);
        make_dir(&dir)?;
        dir.parent().map_or(Ok(()), sync_dir)?;
        sync_dir(&layout.blobs())?;
        // Under the lock, so that no note goes between being found there and being counted on.
        let mut folders = lock(&self.0);
        if let Some(known) = folders.get(&dir) {
            return Ok(known.clone());
        }
        private::create(&note)?;
        sync_dir(&layout.placing())?;
        let folder = Arc::new(Folder { scope: scope.clone(), dir: dir.clone(), note, next: Mutex::default(), turn: Mutex::default() });
        folders.insert(dir, folder.clone());
        Ok(folder)
    }

    /// Removes the notes of folders that are over, as far as nobody is at work in them.
    pub fn close(&self, is_over: impl Fn(&Folder) -> bool) {
        lock(&self.0).retain(|_, folder| {
            // Whoever let go of the folder said before what became of its file: that is asked last.
            let done = Arc::strong_count(folder) == 1 && is_over(folder);
            !done || !remove_note(&folder.note)
        });
    }
}

/// False: it is still there. An old note costs the next start some questions, and does no harm.
pub fn remove_note(note: &Path) -> bool {
    match std::fs::remove_file(note) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            tracing::debug!(error = %e, "the note of a folder could not be removed; it is tried again");
            false
        }
        _ => true,
    }
}

impl Folder {
    /// The folder may be gone, as empty ones of old folders go. The next try tells whether it could be made.
    pub fn make_again(&self) {
        let _ = make_dir(&self.dir).and_then(|()| self.dir.parent().map_or(Ok(()), sync_dir));
    }

    /// What was moved into the folder before is durable.
    pub fn sync(&self) -> io::Result<()> {
        let round = lock(&self.next).clone();
        let _turn = lock(&self.turn);
        // Set: whoever had the turn before began after us, and did it for us too.
        let done = *round.get_or_init(|| {
            *lock(&self.next) = Arc::default();
            sync_dir(&self.dir).map_err(|e| e.raw_os_error())
        });
        done.map_err(|code| code.map_or_else(|| io::Error::other("the folder could not be synced"), io::Error::from_raw_os_error))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is one assignment or one call on the map: a panic leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(dir: &Path) -> Layout {
        let layout = Layout::new(dir.join("data"));
        drop(layout.open().unwrap());
        layout
    }

    #[test]
    fn a_note_is_there_for_as_long_as_somebody_may_be_at_work() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, folders, scope) = (layout(dir.path()), Folders::default(), Scope::parse("acme").unwrap());
        let notes = || std::fs::read_dir(layout.placing()).unwrap().count();
        let first = folders.open(&layout, &scope, 1).unwrap();
        assert!(Arc::ptr_eq(&first, &folders.open(&layout, &scope, 4095).unwrap()));
        drop(folders.open(&layout, &scope, 4096).unwrap());
        assert_eq!(notes(), 2);
        folders.close(|_| true);
        assert_eq!(notes(), 1, "the first is held");
        drop(first);
        folders.close(|_| false);
        assert_eq!(notes(), 1);
        folders.close(|_| true);
        assert_eq!(notes(), 0);
        drop(folders.open(&layout, &scope, 1).unwrap());
        assert_eq!(notes(), 1, "a late one is noted again");
    }

    #[test]
    fn one_sync_serves_all_who_came_before_it_and_its_fault_is_told_to_each() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, folders) = (layout(dir.path()), Folders::default());
        let folder = folders.open(&layout, &Scope::parse("acme").unwrap(), 1).unwrap();
        folder.sync().unwrap();
        std::fs::remove_dir(&folder.dir).unwrap();
        std::thread::scope(|scope| {
            let turn = lock(&folder.turn);
            let waiting: Vec<_> = (0..8).map(|_| scope.spawn(|| folder.sync())).collect();
            // All of them hold the round that begins next.
            while Arc::strong_count(&lock(&folder.next)) < 9 {
                std::thread::yield_now();
            }
            drop(turn);
            for waiter in waiting {
                assert_eq!(waiter.join().unwrap().unwrap_err().kind(), io::ErrorKind::NotFound);
            }
        });
        // The next sync is another one.
        make_dir(&folder.dir).unwrap();
        folder.sync().unwrap();
    }
}
