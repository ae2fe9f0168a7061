//! The files below a folder, in the order that their keys have in a listing.
//!
//! Folders whose names become the same are walked as one, so that the order holds and two files that would have the same
//! key meet. Memory: the names of the folders on the way down. A link is followed to a file inside the folder, never out
//! of it and never to a folder, whose files would be moved twice or without end.

use std::fs::{self, DirEntry, FileType};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::names;

#[derive(Debug, Clone)]
pub struct FoundFile {
    pub path: PathBuf,
    /// Below the root, as it is written.
    pub shown: String,
    /// Below the prefix.
    pub name: String,
    pub size: u64,
    pub modified: Option<SystemTime>,
}

#[derive(Debug)]
pub enum Step {
    File(FoundFile),
    /// What can't be moved, and why.
    Odd(String, String),
    /// Files that would have the same key: none of them can be moved.
    Collision(String, Vec<String>),
}

pub struct Tree {
    /// Without links in it.
    root: PathBuf,
    kebab: bool,
    /// Files that are not among them: the manifest, and its half.
    except: Vec<PathBuf>,
}

/// One name, and what has it.
struct Named {
    /// As it sorts: a folder with its slash.
    sorts: String,
    path: PathBuf,
    kind: FileType,
}

/// False: stop.
type Sink<'s> = &'s mut dyn FnMut(Step) -> bool;

impl Tree {
    pub fn open(root: &Path, kebab: bool, except: &[PathBuf]) -> std::io::Result<Self> {
        let root = root.canonicalize()?;
        if !root.is_dir() {
            return Err(std::io::Error::new(std::io::ErrorKind::NotADirectory, "it is no folder"));
        }
        // They need not be there yet; their folder is.
        let whole = |file: &PathBuf| {
            let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Some(folder.canonicalize().ok()?.join(file.file_name()?))
        };
        Ok(Tree { root, kebab, except: except.iter().filter_map(whole).collect() })
    }

    pub fn walk(&self, sink: Sink<'_>) {
        self.folder(std::slice::from_ref(&self.root), "", sink);
    }

    /// Folders that are one in the keys. False: the sink wants no more.
    fn folder(&self, folders: &[PathBuf], name: &str, sink: Sink<'_>) -> bool {
        let mut entries = Vec::new();
        for folder in folders {
            if !self.read(folder, &mut entries, sink) {
                return false;
            }
        }
        entries.sort_by(|a, b| a.sorts.cmp(&b.sorts).then_with(|| a.path.cmp(&b.path)));
        let mut rest = entries.as_slice();
        while let Some(first) = rest.first() {
            let count = rest.iter().take_while(|e| e.sorts == first.sorts).count();
            let (alike, later) = rest.split_at(count);
            rest = later;
            let name = format!("{name}{}", first.sorts);
            let goes_on = if first.kind.is_dir() {
                let paths: Vec<PathBuf> = alike.iter().map(|e| e.path.clone()).collect();
                self.folder(&paths, &name, sink)
            } else {
                sink(self.file(alike, name))
            };
            if !goes_on {
                return false;
            }
        }
        true
    }

    fn read(&self, folder: &Path, into: &mut Vec<Named>, sink: Sink<'_>) -> bool {
        let listed = fs::read_dir(folder).and_then(|entries| entries.collect::<std::io::Result<Vec<DirEntry>>>());
        let entries = match listed {
            Ok(entries) => entries,
            Err(e) => return sink(Step::Odd(self.shown(folder), format!("can't be read: {e}"))),
        };
        for entry in entries {
            let path = entry.path();
            if self.except.contains(&path) {
                continue;
            }
            let fitting = entry.file_type().map_err(|e| e.to_string()).and_then(|kind| {
                let name = entry.file_name().into_string().map_err(|_| "its name is not UTF-8, and a key is".to_owned())?;
                let sorts = match (kind.is_dir(), self.kebab) {
                    (true, true) => names::kebab(&name).ok_or("its name has no letter and no digit to make a topic of")? + "/",
                    (true, false) => name + "/",
                    (false, _) => name,
                };
                Ok((sorts, kind))
            });
            match fitting {
                Ok((sorts, kind)) => into.push(Named { sorts, path, kind }),
                Err(why) if !sink(Step::Odd(self.shown(&path), why.clone())) => return false,
                Err(_) => {}
            }
        }
        true
    }

    fn file(&self, alike: &[Named], name: String) -> Step {
        let [entry] = alike else { return Step::Collision(name, alike.iter().map(|e| self.shown(&e.path)).collect()) };
        let shown = self.shown(&entry.path);
        let found = self.look(entry).and_then(|metadata| {
            names::check_key(&name)?;
            Ok(FoundFile { path: entry.path.clone(), shown: shown.clone(), name, size: metadata.len(), modified: metadata.modified().ok() })
        });
        found.map_or_else(|why| Step::Odd(shown, why), Step::File)
    }

    fn look(&self, entry: &Named) -> Result<fs::Metadata, String> {
        if entry.kind.is_symlink() {
            let end = entry.path.canonicalize().map_err(|e| format!("the link leads nowhere: {e}"))?;
            if !end.starts_with(&self.root) {
                return Err("the link leads out of the folder".into());
            }
        }
        let metadata = fs::metadata(&entry.path).map_err(|e| e.to_string())?;
        match (metadata.is_file(), entry.kind.is_symlink()) {
            (true, _) => Ok(metadata),
            (false, true) => Err("the link leads to a folder, or to what is no file".into()),
            (false, false) => Err("it is neither a file nor a folder".into()),
        }
    }

    fn shown(&self, path: &Path) -> String {
        let path = path.strip_prefix(&self.root).unwrap_or(path);
        if path.as_os_str().is_empty() { ".".into() } else { path.to_string_lossy().into_owned() }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;

    fn walk(root: &Path, kebab: bool) -> (Vec<String>, Vec<String>) {
        let (mut files, mut others) = (Vec::new(), Vec::new());
        Tree::open(root, kebab, &[root.join("manifest.json")]).unwrap().walk(&mut |step| {
            match step {
                Step::File(found) => files.push(found.name),
                Step::Odd(what, why) => others.push(format!("{what}: {why}")),
                Step::Collision(name, paths) => others.push(format!("{name} = {}", paths.join(" + "))),
            }
            true
        });
        (files, others)
    }

    fn put(root: &Path, name: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }

    #[test]
    fn in_the_order_of_keys() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a/b", "a-b", "a.txt", "a0", "a/b-c/d", "a/b.c", "z/1", "manifest.json", "ä"] {
            put(dir.path(), name);
        }
        let (files, odd) = walk(dir.path(), false);
        assert_eq!(files, ["a-b", "a.txt", "a/b", "a/b-c/d", "a/b.c", "a0", "z/1", "ä"]);
        assert!(files.is_sorted() && odd.is_empty());
    }

    #[test]
    fn topics_that_become_one() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["My Topic/One.glb", "my-topic/two.glb", "MyTopic/One.glb", "My Topic/Sub A/x", "my_topic/sub-a/x", "---/x"] {
            put(dir.path(), name);
        }
        let (files, others) = walk(dir.path(), true);
        assert_eq!(files, ["my-topic/two.glb"]);
        let text = others.join("\n");
        assert!(text.contains("my-topic/One.glb = My Topic/One.glb + MyTopic/One.glb"), "{text}");
        assert!(text.contains("my-topic/sub-a/x = My Topic/Sub A/x + my_topic/sub-a/x"), "{text}");
        assert!(text.contains("---: its name has no letter"), "{text}");
        assert_eq!(walk(dir.path(), false).0.len(), 6);
    }

    #[test]
    fn links_and_odd_names() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        put(outside.path(), "secret");
        let root = dir.path();
        put(root, "a/file");
        symlink(root.join("a/file"), root.join("inside")).unwrap();
        symlink(outside.path().join("secret"), root.join("outside")).unwrap();
        symlink(outside.path(), root.join("outside-folder")).unwrap();
        symlink("..", root.join("a/up")).unwrap();
        symlink("nowhere", root.join("broken")).unwrap();
        fs::write(root.join(std::ffi::OsStr::from_bytes(b"n\xff")), "x").unwrap();
        put(root, &format!("{0}/{0}/{0}/{0}/{0}", "x".repeat(210)));
        let (files, odd) = walk(root, false);
        assert_eq!(files, ["a/file", "inside"]);
        assert_eq!(odd.len(), 6, "{odd:?}");
        assert!(odd.iter().any(|o| o.starts_with("outside: the link leads out")), "{odd:?}");
        assert!(odd.iter().any(|o| o.contains("not UTF-8")), "{odd:?}");
    }
}
