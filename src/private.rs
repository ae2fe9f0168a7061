//! Folders and files of the gateway's own: nobody else on this machine opens them, whatever the umask says.
//!
//! Everything that is kept under `data`, and every log file, is made here. Not here: what a user asked to be written for himself
//! (an export, a manifest), and the file of the operator's key, which is refused where others could read it (`auth::operator`).
//! Limits: `tighten` looks at `MAX_LOOKED_AT` names, those nearest to the top first. What lies deeper is behind folders that
//! it closed.

use std::collections::VecDeque;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

const FOLDER: u32 = 0o700;
const FILE: u32 = 0o600;
const OTHERS: u32 = 0o077;
/// Some milliseconds at a start, where a store may hold millions of bodies.
const MAX_LOOKED_AT: usize = 4096;

/// With all that lead to it.
pub fn make_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER).create(path)
}

/// To be opened further: for writing, to be made.
pub fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(FILE);
    options
}

/// What was there is cut off.
pub fn create(path: &Path) -> io::Result<File> {
    options().create(true).truncate(true).open(path)
}

pub fn create_new(path: &Path) -> io::Result<File> {
    options().create_new(true).open(path)
}

pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    create(path)?.write_all(content)
}

/// Err: this user can write nothing there, and what to do. A folder that is not there yet is made later; other troubles are told of where
/// they are met.
pub fn check_writable(folder: &Path) -> Result<(), String> {
    let probe = folder.join(format!(".writable-{}", std::process::id()));
    match create_new(&probe) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied && folder.is_dir() => {
            let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
            let folder = folder.display();
            Err(format!(
                "{folder} belongs to somebody else: this process runs as user {user} and can't write there. Give it the folder, on the host where \
                 it is mounted from there: chown -R {user}:{group} {folder}"
            ))
        }
        Err(_) => Ok(()),
        Ok(_) => std::fs::remove_file(&probe).map_err(|e| format!("{}: {e}", probe.display())),
    }
}

/// Takes from others what an older version, or somebody's hand, gave them: a file, or a folder and what is in it. Links are
/// not followed below `root`. Returns how many were open; one that is not ours to change is told of and left.
pub fn tighten(root: &Path) -> io::Result<usize> {
    let mut tightened = 0;
    let mut found = VecDeque::from([root.to_owned()]);
    let mut looked_at = 0;
    while let Some(path) = found.pop_front() {
        let meta = match if path == root { path.metadata() } else { path.symlink_metadata() } {
            Ok(meta) => meta,
            // It may go away meanwhile; and there may be nothing yet.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        let mode = meta.permissions().mode();
        if !meta.is_dir() && !meta.is_file() {
            continue;
        }
        if mode & OTHERS != 0 {
            match std::fs::set_permissions(&path, Permissions::from_mode(mode & 0o7700)) {
                Ok(()) => tightened += 1,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "others on this machine can open this, and it can't be closed to them")
                }
            }
        }
        if !meta.is_dir() || looked_at >= MAX_LOOKED_AT {
            continue;
        }
        let entries = match std::fs::read_dir(&path) {
            Ok(entries) => entries,
            // Such as `lost+found`: what we can't look into is not ours.
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => continue,
            Err(e) => return Err(e),
        };
        for entry in entries.take(MAX_LOOKED_AT - looked_at) {
            found.push_back(entry?.path());
            looked_at += 1;
        }
    }
    Ok(tightened)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.symlink_metadata().unwrap().permissions().mode() & 0o777
    }

    fn open_to_all(path: &Path) {
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_made_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        make_dir(&deep).unwrap();
        assert_eq!((mode(&dir.path().join("a")), mode(&deep)), (0o700, 0o700));
        write(&deep.join("c"), b"x").unwrap();
        drop((create(&deep.join("d")).unwrap(), create_new(&deep.join("e")).unwrap()));
        for name in ["c", "d", "e"] {
            assert_eq!(mode(&deep.join(name)), 0o600, "{name}");
        }
        assert!(create_new(&deep.join("e")).is_err());
    }

    #[test]
    fn what_was_open_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("data"), dir.path().join("outside"));
        make_dir(&root.join("index/blobs")).unwrap();
        for file in [&root.join("index/db"), &root.join("index/blobs/1"), &outside] {
            write(file, b"x").unwrap();
            open_to_all(file);
        }
        std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
        for folder in [&root, &root.join("index"), &root.join("index/blobs")] {
            open_to_all(folder);
        }
        assert_eq!(tighten(&root).unwrap(), 5);
        for (path, want) in [("", 0o700), ("index", 0o700), ("index/blobs", 0o700), ("index/db", 0o600), ("index/blobs/1", 0o600)] {
            assert_eq!(mode(&root.join(path)), want, "{path}");
        }
        assert_eq!(mode(&outside), 0o644);
        assert_eq!(tighten(&root).unwrap(), 0);
        assert_eq!(tighten(&dir.path().join("absent")).unwrap(), 0);
        // One file.
        assert_eq!((tighten(&outside).unwrap(), mode(&outside)), (1, 0o600));
    }

    #[test]
    fn the_look_is_bounded_and_begins_at_the_top() {
        let dir = tempfile::tempdir().unwrap();
        let (many, top) = (dir.path().join("many"), dir.path().join("top"));
        make_dir(&many).unwrap();
        for n in 0..MAX_LOOKED_AT + 10 {
            write(&many.join(n.to_string()), b"").unwrap();
        }
        for path in [&many, &top] {
            if path == &top {
                write(path, b"").unwrap();
            }
            open_to_all(path);
        }
        std::fs::read_dir(&many).unwrap().for_each(|e| open_to_all(&e.unwrap().path()));
        let closed = tighten(dir.path()).unwrap();
        assert!(closed <= MAX_LOOKED_AT + 1, "{closed}");
        assert_eq!((mode(&many), mode(&top)), (0o700, 0o600));
    }
}
