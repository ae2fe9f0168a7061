//! What lies under a prefix, in the order of keys, page by page; and how to jump ahead in it.

use std::collections::VecDeque;
use std::sync::Arc;

use aws_sdk_s3::types::EncodingType;

use super::fault::{Fault, Result};
use super::remote::{Remote, unquoted};

#[derive(Debug, Clone)]
pub struct Listed {
    /// Below the prefix; empty for the object at the prefix itself.
    pub name: String,
    pub size: u64,
    /// Without quotes.
    pub etag: String,
    /// Seconds since 1970.
    pub modified: i64,
}

pub struct Listing {
    remote: Arc<Remote>,
    page: VecDeque<Listed>,
    token: Option<String>,
    ended: bool,
    /// The name that was given last, or skipped: a listing that goes back is no listing to merge with.
    last: Option<String>,
    /// Names that are not UTF-8 once decoded; they are told with the page.
    odd: Vec<String>,
}

impl Listing {
    pub fn new(remote: Arc<Remote>) -> Self {
        Listing { remote, page: VecDeque::new(), token: None, ended: false, last: None, odd: Vec::new() }
    }

    pub async fn next(&mut self) -> Result<Option<Listed>> {
        while self.page.is_empty() && !self.ended {
            self.load(None).await?;
        }
        let listed = self.page.pop_front();
        if let Some(listed) = &listed {
            self.last = Some(listed.name.clone());
        }
        Ok(listed)
    }

    /// The object of this name, where there is one. Names must be asked for in their order; pages between two of them
    /// are not read.
    pub async fn find(&mut self, name: &str) -> Result<Option<Listed>> {
        loop {
            while let Some(first) = self.page.front() {
                match first.name.as_str().cmp(name) {
                    std::cmp::Ordering::Less => self.last = self.page.pop_front().map(|l| l.name),
                    std::cmp::Ordering::Equal => return self.next().await,
                    std::cmp::Ordering::Greater => return Ok(None),
                }
            }
            if self.ended {
                return Ok(None);
            }
            // Before the name, and not before where we are.
            let before = name.char_indices().next_back().map_or("", |(at, _)| &name[..at]);
            if self.last.as_deref().unwrap_or_default() < before {
                self.last = Some(before.to_owned());
                self.load(Some(before)).await?;
            } else {
                self.load(None).await?;
            }
        }
    }

    /// Keys that are no UTF-8, as the server encoded them: nobody can name them here.
    pub fn take_odd(&mut self) -> Vec<String> {
        std::mem::take(&mut self.odd)
    }

    async fn load(&mut self, after: Option<&str>) -> Result<()> {
        let remote = &self.remote;
        let list = remote.client.list_objects_v2().bucket(&remote.bucket).prefix(&remote.prefix).encoding_type(EncodingType::Url);
        let list = match after {
            Some(after) => list.start_after(remote.key(after)),
            None => list.set_continuation_token(self.token.take()),
        };
        let page = list.send().await?;
        let encoded = page.encoding_type() == Some(&EncodingType::Url);
        let mut last = self.last.clone();
        for object in page.contents() {
            let key = object.key().unwrap_or_default();
            let decoded = if encoded { decode(key) } else { Some(key.to_owned()) };
            let Some(key) = decoded else {
                self.odd.push(key.to_owned());
                continue;
            };
            let Some(name) = key.strip_prefix(&remote.prefix) else {
                return Err(Fault::new(format!("the server lists `{key}`, which was not asked for")));
            };
            if last.as_deref().is_some_and(|last| last >= name) {
                return Err(Fault::new("the server does not list its keys in their order, so two sides can't be compared"));
            }
            last = Some(name.to_owned());
            self.page.push_back(Listed {
                name: name.to_owned(),
                size: object.size().and_then(|n| u64::try_from(n).ok()).unwrap_or_default(),
                etag: unquoted(object.e_tag()),
                modified: object.last_modified().map_or(0, |t| t.secs()),
            });
        }
        self.token = page.next_continuation_token().map(str::to_owned).filter(|_| page.is_truncated() == Some(true));
        self.ended = self.token.is_none();
        Ok(())
    }
}

/// `encoding-type=url`: a space may be a plus.
fn decode(key: &str) -> Option<String> {
    let spaced = key.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8().ok().map(|k| k.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_as_servers_encode() {
        assert_eq!(decode("quux%20ab/thud%2Bb*").as_deref(), Some("quux ab/thud+b*"));
        assert_eq!(decode("a+b").as_deref(), Some("a b"));
        assert_eq!(decode("%ff"), None);
    }
}
