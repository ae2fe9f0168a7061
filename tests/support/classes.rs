//! What an S3 with storage classes does beside what the store behind a `FaultyS3` does: it keeps the class of each object, tells it, and
//! gives nothing out of an archive that was not restored.

use std::collections::{BTreeMap, BTreeSet};

use http::{HeaderMap, HeaderValue, Method, Uri};

#[derive(Default)]
pub struct Classes {
    /// By path. What is not here is STANDARD.
    of: BTreeMap<String, String>,
    restored: BTreeSet<String>,
}

impl Classes {
    /// Status and code of a refusal, or of an answer that needs no store.
    pub fn before(&mut self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<(u16, &'static str)> {
        let (path, query) = (uri.path().to_owned(), uri.query().unwrap_or_default());
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let source = text("x-amz-copy-source").map(|source| format!("/{}", source.trim_start_matches('/')));
        let reads = if *method == Method::GET && !query.contains("tagging") { Some(path.clone()) } else { source };
        if reads.is_some_and(|path| self.is_archived(&path)) {
            return Some((403, "InvalidObjectState"));
        }
        let begins = *method == Method::POST && query.starts_with("uploads");
        if *method == Method::PUT && (query.is_empty() || query == "x-id=PutObject" || query == "x-id=CopyObject") || begins {
            self.restored.remove(&path);
            match text("x-amz-storage-class").filter(|class| class != "STANDARD") {
                Some(class) => _ = self.of.insert(path, class),
                None => _ = self.of.remove(&path),
            }
        } else if *method == Method::POST && query.starts_with("restore") {
            let archived = self.is_archived(&path);
            self.restored.insert(path);
            return Some(if archived { (202, "") } else { (403, "InvalidObjectState") });
        }
        None
    }

    fn is_archived(&self, path: &str) -> bool {
        self.of.get(path).is_some_and(|class| matches!(class.as_str(), "GLACIER" | "DEEP_ARCHIVE")) && !self.restored.contains(path)
    }

    /// Adds to the head of an answer about an object what the store does not know.
    pub fn tell(&self, path: &str, headers: &mut HeaderMap) {
        if let Some(class) = self.of.get(path) {
            headers.insert("x-amz-storage-class", HeaderValue::from_str(class).unwrap());
            if self.restored.contains(path) {
                headers.insert("x-amz-restore", HeaderValue::from_static("ongoing-request=\"false\""));
            }
        }
    }

    /// The same in the body of a listing of `bucket`.
    pub fn listed(&self, bucket: &str, text: &str) -> String {
        let entries = text.split_inclusive("</Contents>").map(|entry| {
            let key = entry.split_once("<Key>").and_then(|(_, rest)| rest.split_once("</Key>")).map(|(key, _)| key.replace("%2F", "/"));
            match key.and_then(|key| self.of.get(&format!("{bucket}/{key}"))) {
                Some(class) => entry.replace("<StorageClass>STANDARD<", &format!("<StorageClass>{class}<")),
                None => entry.to_owned(),
            }
        });
        entries.collect()
    }

    pub fn of(&self, path: &str) -> &str {
        self.of.get(path).map_or("STANDARD", String::as_str)
    }
}
