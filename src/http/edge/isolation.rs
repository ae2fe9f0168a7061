//! What keeps tenants' content apart in a browser that shows it under one host name: no guessing of types, and documents
//! that can run scripts get an origin of their own, so that one tenant's page reads nothing of another's.

use http::HeaderMap;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};

/// A game bundle runs, plays, opens its shop and takes input, but `allow-same-origin` is not there: its origin is opaque.
const SANDBOX: HeaderValue = HeaderValue::from_static(
    "sandbox allow-scripts allow-forms allow-modals allow-downloads allow-pointer-lock allow-orientation-lock allow-presentation \
     allow-popups allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation",
);

const CROSS_ORIGIN_EMBEDDER_POLICY: HeaderName = HeaderName::from_static("cross-origin-embedder-policy");

pub fn apply(headers: &mut HeaderMap, sandbox: bool, embeddable: bool) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.get(CONTENT_TYPE).is_some_and(|t| is_document(t.as_bytes())) {
        return;
    }
    // Workers under such a policy would not start, so scripts don't get it.
    if sandbox {
        headers.insert(CONTENT_SECURITY_POLICY, SANDBOX);
    }
    // A page that has this policy frames only pages that have it too.
    if embeddable {
        headers.insert(CROSS_ORIGIN_EMBEDDER_POLICY, HeaderValue::from_static("require-corp"));
    }
}

/// Types that a browser shows as a page whose scripts run. Any XML may hold XHTML.
fn is_document(content_type: &[u8]) -> bool {
    let kind = content_type.split(|b| matches!(b, b';' | b',')).next().unwrap_or_default().trim_ascii();
    let ends = |suffix: &[u8]| kind.len() >= suffix.len() && kind[kind.len() - suffix.len()..].eq_ignore_ascii_case(suffix);
    let is = |name: &[u8]| kind.eq_ignore_ascii_case(name);
    is(b"text/html") || ends(b"+xml") || ends(b"/xml") || ends(b"/xsl") || ends(b"/xslt")
        // What can't be told apart is taken for the worst.
        || content_type.contains(&b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_switch_counts_for_pages_alone() {
        let of = |kind: &'static str, sandbox, embeddable| {
            let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
            apply(&mut headers, sandbox, embeddable);
            assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
            (headers.contains_key(CONTENT_SECURITY_POLICY), headers.get(CROSS_ORIGIN_EMBEDDER_POLICY).cloned())
        };
        let require = Some(HeaderValue::from_static("require-corp"));
        assert_eq!(of("text/html", true, true), (true, require.clone()));
        assert_eq!(of("text/html", false, true), (false, require));
        assert_eq!(of("text/html", true, false), (true, None));
        assert_eq!(of("text/javascript", true, true), (false, None));
    }

    #[test]
    fn pages_are_sandboxed() {
        for page in [
            "text/html",
            "TEXT/HTML; charset=utf-8",
            " text/html",
            "image/svg+xml",
            "application/xhtml+xml;x",
            "text/xml",
            "application/xml",
            "text/plain, text/html",
        ] {
            assert!(is_document(page.as_bytes()), "{page}");
        }
        for other in
            ["model/gltf-binary", "image/png", "text/javascript", "application/json", "application/wasm", "text/plain", "", "x/html"]
        {
            assert!(!is_document(other.as_bytes()), "{other}");
        }
    }
}
