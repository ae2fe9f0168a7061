//! Which file imports which, and where files import each other in a circle.
//!
//! A name that a file only shows (`pub use`) is that of the file it comes from: a table of contents imports nothing. Calls of a file
//! into modules of its own (`child::f`) are not looked at: a parent may stand over its folder.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, imports};

pub struct Graph<'s> {
    files: BTreeMap<Vec<&'s str>, &'s str>,
    shown: BTreeMap<(Vec<&'s str>, String), Vec<String>>,
    edges: BTreeMap<&'s str, BTreeSet<&'s str>>,
}

impl<'s> Graph<'s> {
    pub fn of(sources: &'s [Source]) -> Self {
        let production = || sources.iter().filter(|s| !s.is_test);
        let files = production().map(|s| (s.path(), s.name.as_str())).collect();
        let mut graph = Graph { files, shown: BTreeMap::new(), edges: BTreeMap::new() };
        for source in production() {
            for import in imports(source.production()).into_iter().filter(|i| i.shown) {
                if let (Some(path), Some(name)) = (graph.absolute(&source.path(), &import.path), import.path.last()) {
                    graph.shown.insert((source.path(), name.clone()), path);
                }
            }
        }
        for source in production() {
            let named = imports(source.production()).into_iter().filter(|i| !i.shown);
            let named = named.filter_map(|i| graph.absolute(&source.path(), &i.path)).filter_map(|path| graph.file(&path, 0));
            let named = named.filter(|file| *file != source.name).collect();
            graph.edges.insert(&source.name, named);
        }
        graph
    }

    /// From the root of the crate. None: of another crate, or of the standard library.
    fn absolute(&self, own: &[&str], path: &[String]) -> Option<Vec<String>> {
        let owned = |path: &[&str]| path.iter().map(|s| s.to_string()).collect::<Vec<_>>();
        match path.first()?.as_str() {
            "crate" => Some(path[1..].to_vec()),
            // All of its own file, in a module inside it.
            "super" if path[1..] == ["*"] => None,
            "super" => Some([&owned(&own[..own.len() - 1])[..], &path[1..]].concat()),
            child => self.files.contains_key(&[own, &[child]].concat()).then(|| [&owned(own)[..], path].concat()),
        }
    }

    /// The file where this is.
    fn file(&self, path: &[String], depth: usize) -> Option<&'s str> {
        let path_of = |n: usize| path[..n].iter().map(String::as_str).collect::<Vec<_>>();
        let n = (1..=path.len()).rev().find(|n| self.files.contains_key(&path_of(*n)))?;
        let (module, own) = self.files.get_key_value(&path_of(n))?;
        let from = path.get(n).and_then(|name| self.shown.get(&(module.clone(), name.clone())));
        match from {
            Some(from) if depth < 5 => self.file(&[from, &path[n + 1..]].concat(), depth + 1),
            _ => Some(own),
        }
    }

    /// Files that reach each other, in groups of those that all do.
    pub fn circles(&self) -> Vec<BTreeSet<&'s str>> {
        let reached: BTreeMap<&str, BTreeSet<&str>> = self.edges.keys().map(|file| (*file, self.reached_from(file))).collect();
        let mut circles: Vec<BTreeSet<&str>> = Vec::new();
        for (file, reaches) in &reached {
            if !circles.iter().any(|c| c.contains(file)) && reaches.contains(file) {
                circles.push(reaches.iter().copied().filter(|other| reached[other].contains(file)).collect());
            }
        }
        circles
    }

    fn reached_from(&self, file: &str) -> BTreeSet<&'s str> {
        let (mut reached, mut next) = (BTreeSet::new(), vec![file]);
        while let Some(file) = next.pop() {
            for other in self.edges.get(file).into_iter().flatten() {
                if reached.insert(*other) {
                    next.push(other);
                }
            }
        }
        reached
    }

    /// What of a circle imports what of it.
    pub fn describe(&self, circle: &BTreeSet<&str>) -> String {
        let within = |file: &str| self.edges[file].iter().filter(|f| circle.contains(**f)).copied().collect::<Vec<_>>().join(", ");
        circle.iter().map(|file| format!("  {file} -> {}", within(file))).collect::<Vec<_>>().join("\n")
    }
}
