//! The files of the page, embedded, and how a file is answered.
//!
//! The test beside them says when one of the folder is missing here.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};

use crate::http::body::ResponseBody;
use crate::http::respond::{self, Answer};

macro_rules! embedded {
    ($($name:literal)*) => {
        &[$(($name, include_bytes!(concat!("../../../console/app/", $name)))),*]
    };
}

/// The page, with places for what the process fills in.
pub const PAGE: &str = include_str!("../../../console/app/index.html");

/// Name and content of what the page loads.
pub const ALL: &[(&str, &[u8])] = embedded!(
    "base.css"
    "icon.svg"
    "lib/dom.js"
    "lib/format.js"
    "lib/http.js"
    "lib/metrics.js"
    "lib/router.js"
    "lib/s3.js"
    "lib/session.js"
    "lib/sigv4.js"
    "lib/types.js"
    "lib/upload.js"
    "lib/xml.js"
    "main.js"
    "ui/button.js"
    "ui/dialog.js"
    "ui/icon.js"
    "ui/parts.js"
    "ui/plot.js"
    "ui/toast.js"
    "ui/virtual.js"
    "views.css"
    "views/access.js"
    "views/activity.js"
    "views/asset.js"
    "views/browser.js"
    "views/buckets.js"
    "views/compare.js"
    "views/cors.js"
    "views/download.js"
    "views/drop.js"
    "views/editor.js"
    "views/frame.js"
    "views/jobs.js"
    "views/keys.js"
    "views/lifecycle.js"
    "views/lock.js"
    "views/many.js"
    "views/model.js"
    "views/notification.js"
    "views/object.js"
    "views/operator.js"
    "views/picture.js"
    "views/policy.js"
    "views/preview.js"
    "views/remove.js"
    "views/rows.js"
    "views/rules.js"
    "views/settings.js"
    "views/share.js"
    "views/signin.js"
    "views/state.js"
    "views/system.js"
    "views/tags.js"
    "views/temporary.js"
    "views/tenants.js"
    "views/traffic.js"
    "views/uploads.js"
    "views/usage.js"
    "views/variants.js"
    "views/versions.js"
);

pub const KEPT_FOR_GOOD: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
pub const ASKED_FOR_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

pub fn file(content: Bytes, content_type: &'static str, kept: HeaderValue) -> Answer {
    let mut answer = respond::empty(StatusCode::OK);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(content.len()));
    headers.insert(CACHE_CONTROL, kept);
    *answer.body_mut() = ResponseBody::Full(content);
    answer
}

pub fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, end)| end) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("html") => "text/html; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}
