//! The console: a static page that signs requests in the browser. It is a client like any other: no session, no right beyond the key's own.
//!
//! Its sources are `console/app`, embedded here; the S3 door and the admin door show the same page under `/-/console/`. Files lie below a
//! name made of all their content: browsers keep them for good, and never mix two versions. From the admin door the page reaches the S3 door
//! as `/-/s3/…` (`uri_on_s3_door`), so that no request crosses an origin and no door has to trust another's pages.
//! The viewer of models is a bundle of npm packages, so it is no part of the program: it is read from a folder at the start, where one is set. It
//! runs in a frame whose origin is opaque: what parses strangers' files has no key.
//! Limits: a viewer has 64 files and 64 MiB at most.

mod files;
mod viewer;

use std::path::PathBuf;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use sha2::{Digest as _, Sha256};

use crate::base::error::{Error, ErrorKind, Result};
use crate::http::body::ResponseBody;
use crate::http::coded;
use crate::http::console::files::{ASKED_FOR_AGAIN, KEPT_FOR_GOOD, content_type, file};
use crate::http::console::viewer::Viewer;
use crate::http::respond::{self, Answer};
use crate::telemetry::metrics::Door;

#[derive(Debug, Clone)]
pub struct Settings {
    /// The S3 door shows it too; the admin door always does.
    pub s3_door: bool,
    /// The folder with the bundle that shows models.
    pub viewer: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { s3_door: true, viewer: None }
    }
}

/// No script, style or picture from elsewhere, and no text that becomes markup: the page works without `innerHTML`, so the browser refuses it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; connect-src 'self'; \
                      frame-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";
pub struct Console {
    on_s3_door: bool,
    /// The name below which its files lie.
    build: String,
    /// As the S3 door shows it, and the admin door.
    pages: [Page; 2],
    viewer: Option<Viewer>,
}

/// How programs reach the S3 door, beside the name under which they know this machine.
#[derive(Debug, Clone, Copy)]
pub struct S3Port {
    pub secure: bool,
    pub port: u16,
}

struct Page {
    text: Bytes,
    tag: HeaderValue,
}

impl Console {
    /// `s3`: for the links that the page makes on the admin door. Err: what is wrong with the viewer's folder.
    pub fn open(settings: &Settings, s3: Option<S3Port>) -> Result<Self, String> {
        let viewer = settings.viewer.as_deref().map(Viewer::load).transpose()?;
        let mut hash = Sha256::new();
        files::ALL.iter().for_each(|(name, content)| {
            hash.update(name);
            hash.update(content);
        });
        let build = hex::encode(&hash.finalize()[..8]);
        let page = |door| page(&build, door, s3, viewer.is_some()).map_err(|e| e.to_string());
        let pages = [page(Door::S3)?, page(Door::Admin)?];
        Ok(Console { on_s3_door: settings.s3_door, build, pages, viewer })
    }

    pub fn is_on(&self, door: Door) -> bool {
        match door {
            Door::S3 => self.on_s3_door,
            Door::Admin => true,
            Door::Edge => false,
        }
    }

    /// `path` is what follows `/-/console`.
    pub fn answer(&self, parts: &Parts, door: Door, path: &str) -> Result<Answer> {
        if !self.is_on(door) {
            return Err(nothing_here());
        }
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            return Err(Error::new(ErrorKind::MethodNotAllowed, "Use GET or HEAD here.").detail("AllowedMethods", "GET, HEAD"));
        }
        let mut answer = match path.strip_prefix('/') {
            // Relative, since a proxy may have taken something off the front of the path.
            None if path.is_empty() => return Ok(see("console/")),
            None => return Err(nothing_here()),
            Some("") => self.page(parts, door),
            Some(file) => match file.split_once('/') {
                Some((build, name)) if build == self.build => file_of_page(name)?,
                Some(("viewer", name)) => self.viewer.as_ref().and_then(|viewer| viewer.file(name)).ok_or_else(nothing_here)?,
                _ => return Err(nothing_here()),
            },
        };
        answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // Links in the page are signed addresses: no other server is told of them.
        answer.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        if parts.method == Method::HEAD {
            *answer.body_mut() = ResponseBody::Empty;
            return Ok(answer);
        }
        Ok(coded::for_client(answer, parts.version, &parts.headers))
    }

    fn page(&self, parts: &Parts, door: Door) -> Answer {
        let page = &self.pages[usize::from(door == Door::Admin)];
        let mut answer = if parts.headers.get(IF_NONE_MATCH) == Some(&page.tag) {
            respond::empty(StatusCode::NOT_MODIFIED)
        } else {
            file(page.text.clone(), "text/html; charset=utf-8", ASKED_FOR_AGAIN)
        };
        let headers = answer.headers_mut();
        headers.insert(CACHE_CONTROL, ASKED_FOR_AGAIN);
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin"));
        headers.insert(ETAG, page.tag.clone());
        answer
    }

    /// Where a browser is sent that opens the door itself. No S3 client asks for HTML, and none asks without a signature for its buckets.
    pub fn front(&self, parts: &Parts, door: Door) -> Option<Answer> {
        let accepts_html = || parts.headers.get(http::header::ACCEPT).is_some_and(|v| v.as_bytes().starts_with(b"text/html"));
        let is_front = parts.method == Method::GET && parts.uri.path() == "/" && parts.uri.query().is_none();
        let is_signed = parts.headers.contains_key(http::header::AUTHORIZATION);
        (self.is_on(door) && is_front && !is_signed && accepts_html()).then(|| see("-/console/"))
    }
}

fn file_of_page(name: &str) -> Result<Answer> {
    let (_, content) = files::ALL.iter().find(|(known, _)| *known == name).ok_or_else(nothing_here)?;
    Ok(file(Bytes::from_static(content), content_type(name), KEPT_FOR_GOOD))
}

fn see(place: &'static str) -> Answer {
    let mut answer = respond::empty(StatusCode::FOUND);
    answer.headers_mut().insert(LOCATION, HeaderValue::from_static(place));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn nothing_here() -> Error {
    Error::new(ErrorKind::NotFound, "There is nothing at this address. The console is at /-/console/.")
}

/// The page with what only this process knows. Its scripts are named at once: the browser need not read one to learn of the next.
fn page(build: &str, door: Door, s3: Option<S3Port>, has_viewer: bool) -> Result<Page> {
    let scripts = files::ALL.iter().filter(|(name, _)| name.ends_with(".js"));
    let preload: String = scripts.map(|(name, _)| format!("<link rel=\"modulepreload\" href=\"{build}/{name}\">\n")).collect();
    let s3 = s3.map(|S3Port { secure, port }| format!("{}:{port}", if secure { "https" } else { "http" })).unwrap_or_default();
    let text = files::PAGE
        .replace("{build}", build)
        .replace("{preload}", &preload)
        .replace("{door}", if door == Door::Admin { "admin" } else { "s3" })
        .replace("{s3}", &s3)
        .replace("{viewer}", if has_viewer { "yes" } else { "" })
        .replace("{version}", env!("CARGO_PKG_VERSION"));
    let tag = format!("\"{}\"", hex::encode(&Sha256::digest(text.as_bytes())[..8]));
    Ok(Page { text: text.into(), tag: HeaderValue::try_from(tag).map_err(Error::internal)? })
}

/// What the page on the admin door asks of the S3 door: from here on it is a request of that door, by all accounts. Its signature is for the path
/// without what is taken off here. None: it is for the admin door itself.
pub fn uri_on_s3_door(uri: &Uri) -> Option<Uri> {
    let rest = uri.path_and_query()?.as_str().strip_prefix("/-/s3/")?;
    format!("/{rest}").parse().ok()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn asking(method: Method, path: &str, header: (HeaderName, &str)) -> Parts {
        let request = Request::builder().method(method).uri(path).header(header.0, header.1).body(()).unwrap();
        request.into_parts().0
    }

    #[test]
    fn every_file_of_the_folder_is_embedded() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/console/app");
        let mut there = Vec::new();
        let mut folders = vec![PathBuf::from(folder)];
        while let Some(next) = folders.pop() {
            for entry in std::fs::read_dir(next).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else {
                    there.push(entry.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        there.retain(|name| name != "index.html");
        there.sort();
        let mut embedded: Vec<&str> = files::ALL.iter().map(|(name, _)| *name).collect();
        embedded.sort();
        assert_eq!(embedded, there, "list them in src/http/console/files.rs");
    }

    #[test]
    fn the_page_names_files_that_are_there_and_none_from_elsewhere() {
        let console = Console::open(&Settings::default(), None).unwrap();
        let accept = (http::header::ACCEPT, "text/html");
        let page = console.answer(&asking(Method::GET, "/-/console/", accept.clone()), Door::S3, "/").unwrap();
        assert_eq!(page.headers()[CONTENT_SECURITY_POLICY], POLICY);
        let ResponseBody::Full(text) = page.body() else { panic!("not whole") };
        let text = std::str::from_utf8(text).unwrap();
        let mut count = 0;
        for named in text.split(['"', '\'']).filter_map(|part| part.strip_prefix(&*console.build)) {
            let path = format!("/{}{named}", console.build);
            let answer = console.answer(&asking(Method::GET, "/", accept.clone()), Door::S3, &path).unwrap();
            assert_eq!(answer.headers()[CACHE_CONTROL], KEPT_FOR_GOOD, "{named}");
            count += 1;
        }
        assert!(count > 3 && !text.contains("{build}") && !text.contains("://"), "{count}");
        let again = asking(Method::GET, "/-/console/", (IF_NONE_MATCH, page.headers()[ETAG].to_str().unwrap()));
        assert_eq!(console.answer(&again, Door::S3, "/").unwrap().status(), StatusCode::NOT_MODIFIED);
        let bytes: usize = files::ALL.iter().map(|(_, content)| content.len()).sum();
        assert!(bytes < 400_000, "{bytes} bytes: compressed they are a third, and the first paint has all of them");
    }

    #[test]
    fn only_browsers_are_sent_to_it() {
        let console = Console::open(&Settings::default(), None).unwrap();
        let html = || (http::header::ACCEPT, "text/html,application/xhtml+xml;q=0.9");
        assert!(console.front(&asking(Method::GET, "/", html()), Door::S3).is_some());
        assert!(console.front(&asking(Method::GET, "/", html()), Door::Edge).is_none());
        assert!(console.front(&asking(Method::GET, "/?x-id=ListBuckets", html()), Door::S3).is_none());
        assert!(console.front(&asking(Method::PUT, "/", html()), Door::S3).is_none());
        assert!(console.front(&asking(Method::GET, "/", (http::header::ACCEPT, "*/*")), Door::S3).is_none());
        assert!(console.front(&asking(Method::GET, "/", (http::header::AUTHORIZATION, "AWS4-HMAC-SHA256")), Door::S3).is_none());
        let closed = Console::open(&Settings { s3_door: false, viewer: None }, None).unwrap();
        assert!(closed.front(&asking(Method::GET, "/", html()), Door::S3).is_none());
        assert!(closed.answer(&asking(Method::GET, "/", html()), Door::S3, "/").is_err());
        assert!(closed.answer(&asking(Method::GET, "/", html()), Door::Admin, "/").is_ok());
    }

    #[test]
    fn the_way_to_the_s3_door() {
        for (path, expected) in [
            ("/-/s3/", Some("/")),
            ("/-/s3/media/a%20b?versionId=1", Some("/media/a%20b?versionId=1")),
            ("/-/s3//x", Some("//x")),
            ("/-/s3/-/s3/x", Some("/-/s3/x")),
            ("/-/s3", None),
            ("/metrics", None),
        ] {
            let turned = uri_on_s3_door(&path.parse().unwrap()).map(|uri| uri.to_string());
            assert_eq!(turned.as_deref(), expected, "{path}");
        }
    }
}
