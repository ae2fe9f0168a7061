//! The edge door, or the CDN before it, as a browser reads from it: by the link that a tenant would get for a private object.

use bytes::Bytes;
use http::Method;
use http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_REQUEST_METHOD, CONTENT_ENCODING, COOKIE, ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH, ORIGIN, RANGE,
    VARY,
};
use serde::Deserialize;
use serde_json::json;

use super::asking::{Answer, Asker, Place};
use super::finding::{Check, Findings};
use super::objects::{Door, Trial, allows, judge_conditions, judge_range, shown};

#[derive(Deserialize)]
struct Link {
    url: String,
    #[serde(default)]
    form: Option<String>,
    #[serde(default)]
    cookies: std::collections::BTreeMap<String, String>,
}

const CHANGED: &str =
    "The CDN or proxy in front changes answers: let it pass Range, If-None-Match and If-Match, and what the gateway answers";

/// `base`: as it was given; without it the link is for where the site's configuration says.
pub async fn check(findings: &mut Findings, door: &Door<'_>, trial: &Trial, base: Option<&Place>, origin: &str) {
    let link = match link(door, trial, base).await {
        Ok(link) => link,
        Err(e) => {
            let todo = "A [[site]] must show the bucket; with edge.url or the site's url, links are for the CDN's name";
            return findings.bad(Check::Edge, format!("there is no link to the object: {e}"), todo);
        }
    };
    let place = match Place::parse(&link.url) {
        Ok(place) => place,
        Err(e) => return findings.bad(Check::Edge, e, "Set edge.url, or the site's url, to scheme and host of the CDN"),
    };
    let origin_of = format!("{}://{}", if place.secure { "https" } else { "http" }, place.authority);
    let target = link.url.strip_prefix(&origin_of).unwrap_or("/").to_owned();
    let cookie = link.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
    let reader = Reader { asker: door.asker, place: &place, target: &target, cookie: &cookie, origin };
    reader.check(findings, trial, &origin_of, link.form.as_deref().unwrap_or("public")).await;
}

/// The form that fits, or a path token where that would lead to the S3 door.
async fn link(door: &Door<'_>, trial: &Trial, base: Option<&Place>) -> Result<Link, String> {
    let ask = async |path: &str, form: Option<&str>| {
        let wanted =
            json!({ "bucket": trial.bucket, "key": trial.key, "form": form, "base": base.map(|place| &place.base), "expires": 300 });
        let headers = [(http::header::CONTENT_TYPE, "application/json")];
        let answer = door.asker.signed(door.key, door.place, Method::POST, path, &headers, Bytes::from(wanted.to_string())).await?;
        if !answer.status.is_success() {
            return Err(answer.told());
        }
        serde_json::from_slice::<Link>(&answer.body).map_err(|e| e.to_string())
    };
    let fitting = ask("/-/v1/url", None).await;
    match fitting {
        Ok(link) if link.form.as_deref() != Some("s3") => Ok(link),
        _ => ask("/-/v1/presign", Some("path-token")).await,
    }
}

struct Reader<'a> {
    asker: &'a Asker,
    place: &'a Place,
    target: &'a str,
    cookie: &'a str,
    origin: &'a str,
}

impl Reader<'_> {
    async fn get(&self, headers: &[(HeaderName, &str)]) -> Result<Answer, String> {
        let mut all = vec![(ORIGIN, self.origin)];
        if !self.cookie.is_empty() {
            all.push((COOKIE, self.cookie));
        }
        all.extend_from_slice(headers);
        self.asker.get(self.place, self.target, &all).await
    }

    async fn check(&self, findings: &mut Findings, trial: &Trial, name: &str, form: &str) {
        let whole = self.get(&[]).await;
        let right = whole.as_ref().is_ok_and(|a| a.status == 200 && a.body == trial.content);
        if !right {
            let todo = "Where a site takes only its CDN (callers), ask by the CDN's name: --edge URL. A CDN must pass the path, and the query of the link's form";
            return findings.bad(Check::Edge, format!("a link ({form}) to {name} is answered with {}", shown(&whole)), todo);
        }
        findings.good(Check::Edge, format!("a link ({form}) opens it at {name}"));
        let Ok(whole) = whole else { return };
        self.browsers(findings, &whole);
        judge_range(findings, Check::Edge, &self.get(&[(RANGE, "bytes=10-19")]).await, trial, CHANGED);
        let etag = whole.header(ETAG.as_str()).to_owned();
        judge_conditions(
            findings,
            Check::Edge,
            &self.get(&[(IF_NONE_MATCH, &etag)]).await,
            &self.get(&[(IF_MATCH, "\"another\"")]).await,
            CHANGED,
        );
        self.compressed(findings, trial).await;
        self.preflight(findings).await;
        self.changed(findings).await;
    }

    /// Without these a page can't use what it reads.
    fn browsers(&self, findings: &mut Findings, whole: &Answer) {
        let todo = "Set cors of the [[site]]; a CDN must not take the header away, nor keep one page's answer for another (Vary: Origin)";
        let bad = format!(
            "pages of {} may not read it: Access-Control-Allow-Origin is {:?}",
            self.origin,
            whole.header("access-control-allow-origin")
        );
        findings.expect(Check::Edge, allows(whole, self.origin), &format!("pages of {} may read it", self.origin), bad, todo);
        let policy = whole.header("cross-origin-resource-policy");
        let bad = format!("Cross-Origin-Resource-Policy is {policy:?}: pages with Cross-Origin-Embedder-Policy can't show it");
        let todo = "A CDN must pass the header as the gateway sends it";
        findings.expect(Check::Edge, policy == "cross-origin", "isolated pages may show it", bad, todo);
        let sniff = whole.header("x-content-type-options");
        findings.expect(Check::Edge, sniff == "nosniff", "its type is not guessed at", "X-Content-Type-Options is missing", todo);
    }

    async fn compressed(&self, findings: &mut Findings, trial: &Trial) {
        let answer = self.get(&[(ACCEPT_ENCODING, "br, gzip")]).await;
        let smaller = answer.as_ref().is_ok_and(|a| !a.header(CONTENT_ENCODING.as_str()).is_empty() && a.body.len() < trial.content.len());
        let varies = answer.as_ref().is_ok_and(|a| a.header(VARY.as_str()).to_ascii_lowercase().contains("accept-encoding"));
        match (smaller, varies) {
            (true, true) => findings.good(Check::Edge, "text is compressed, and caches are told that it differs"),
            (true, false) => findings.bad(
                Check::Edge,
                "text is compressed, and Vary does not name Accept-Encoding: caches give it to clients that can't read it",
                "What stands in front must pass Vary",
            ),
            (false, _) => findings.warning(
                Check::Edge,
                format!("text comes uncompressed: {}", shown(&answer)),
                "Let the CDN pass Accept-Encoding, and see compress of the [[site]]",
            ),
        }
    }

    async fn preflight(&self, findings: &mut Findings) {
        let asked = [(ORIGIN, self.origin), (ACCESS_CONTROL_REQUEST_METHOD, "GET")];
        let answer = self.asker.ask(self.place, Method::OPTIONS, self.target, &asked, Bytes::new()).await;
        let right = answer.as_ref().is_ok_and(|a| a.status.is_success() && allows(a, self.origin));
        let todo = "A CDN must pass OPTIONS with Origin and Access-Control-Request-*, or answer it itself";
        findings.expect(Check::Edge, right, "a preflight is answered", format!("a preflight is answered with {}", shown(&answer)), todo);
    }

    /// Nothing is read by a link to a key next to the one that it is for.
    async fn changed(&self, findings: &mut Findings) {
        let (path, query) = self.target.split_once('?').map_or((self.target, ""), |(path, query)| (path, query));
        let (folder, _) = path.rsplit_once('/').unwrap_or_default();
        // Another bucket's worth of nothing, outside of what the link is for.
        let other = format!("{}/tidegate-doctor-elsewhere/x?{query}", folder.rsplit_once('/').map_or("", |(parent, _)| parent));
        let answer = self.asker.get(self.place, &other, &[(ORIGIN, self.origin)]).await;
        let refused = answer.as_ref().is_ok_and(|a| a.status.is_client_error());
        let todo = "What answers there checks no links: look what stands in front";
        findings.expect(Check::Edge, refused, "it opens nothing else", format!("another key is answered with {}", shown(&answer)), todo);
    }
}
