//! A bucket as a website: read from XML and checked as S3 checks it, written back in one form, and asked what it does with a key. Pure.
//!
//! Not here: where it is honoured (`http/edge/website`). Invariant: `parse` reads what `document` writes; what `parse` accepted can
//! stand in a `Location`, and leads to no host but one that the bucket's owner named.

use http::StatusCode;

use crate::base::error::{Error, ErrorKind, Result};
use crate::http::xml::{Element, Writer};

const ROOT: &str = "WebsiteConfiguration";
/// S3's limits.
const MAX_RULES: usize = 50;
const MAX_KEY_BYTES: usize = 1024;
/// All codes of a redirect but 300, which leaves the choice to a reader.
const REDIRECTS: [u16; 7] = [301, 302, 303, 304, 305, 307, 308];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Website {
    /// Every request is sent to this host.
    Elsewhere(Host),
    Pages(Pages),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub name: String,
    /// None: that of the request.
    pub scheme: Option<Scheme>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pages {
    /// What is shown of `/` and of every path that ends with a slash.
    pub index: String,
    /// The key of what is shown where something fails.
    pub error: Option<String>,
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    /// None: of every key.
    prefix: Option<String>,
    /// Only where this is what is answered.
    status: Option<u16>,
    redirect: Redirect,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Redirect {
    host: Option<String>,
    scheme: Option<Scheme>,
    replace: Option<Replace>,
    code: Option<StatusCode>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Replace {
    Prefix(String),
    Key(String),
}

/// Where a request is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentTo<'w> {
    /// None: the host that was asked.
    pub host: Option<&'w str>,
    pub scheme: Option<Scheme>,
    /// As the bucket's owner wrote it, and then the rest of the key that was asked for.
    pub written: &'w str,
    pub rest: String,
    pub code: StatusCode,
}

impl Scheme {
    pub const fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

impl Website {
    /// `status`: what was answered; None: nothing failed.
    pub fn sends(&self, key: &str, status: Option<u16>) -> Option<SentTo<'_>> {
        match self {
            Website::Elsewhere(host) => Some(SentTo {
                host: Some(&host.name),
                scheme: host.scheme,
                written: "",
                rest: key.to_owned(),
                code: StatusCode::MOVED_PERMANENTLY,
            }),
            Website::Pages(pages) => pages.rules.iter().find(|rule| rule.applies(key, status)).map(|rule| rule.sends(key)),
        }
    }

    pub fn parse(document: &[u8]) -> Result<Self> {
        let root = Element::parse(document, ROOT)?;
        only(&root, &["RedirectAllRequestsTo", "IndexDocument", "ErrorDocument", "RoutingRules"])?;
        if let Some(all) = root.child("RedirectAllRequestsTo") {
            if root.children.len() > 1 {
                return Err(invalid("RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules."));
            }
            only(all, &["HostName", "Protocol"])?;
            let name = host(all)?.ok_or_else(|| malformed("RedirectAllRequestsTo needs a HostName."))?;
            return Ok(Website::Elsewhere(Host { name, scheme: scheme(all)? }));
        }
        let index = root.child("IndexDocument").and_then(|i| i.text_of("Suffix"));
        let index = index.ok_or_else(|| invalid("A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty"))?;
        if index.is_empty() || index.contains('/') {
            return Err(invalid("The IndexDocument Suffix is not well formed"));
        }
        let error = root
            .child("ErrorDocument")
            .map(|e| e.text_of("Key").filter(|k| !k.is_empty()).ok_or_else(|| malformed("ErrorDocument needs a Key.")));
        let error = error.transpose()?.map(|k| key(k).map(str::to_owned)).transpose()?;
        let rules =
            root.child("RoutingRules").map_or(Ok(Vec::new()), |rules| rules.children.iter().map(Rule::parse).collect::<Result<_>>())?;
        if rules.len() > MAX_RULES {
            return Err(invalid("The number of routing rules must not exceed 50."));
        }
        Ok(Website::Pages(Pages { index: key(index)?.to_owned(), error, rules }))
    }

    pub fn document(&self) -> String {
        let mut w = Writer::document(ROOT);
        match self {
            Website::Elsewhere(host) => {
                w.open("RedirectAllRequestsTo").leaf("HostName", &host.name);
                w.leaf_if("Protocol", host.scheme.map(Scheme::name)).close("RedirectAllRequestsTo");
            }
            Website::Pages(pages) => {
                w.open("IndexDocument").leaf("Suffix", &pages.index).close("IndexDocument");
                if let Some(error) = &pages.error {
                    w.open("ErrorDocument").leaf("Key", error).close("ErrorDocument");
                }
                if !pages.rules.is_empty() {
                    w.open("RoutingRules");
                    pages.rules.iter().for_each(|rule| rule.write(&mut w));
                    w.close("RoutingRules");
                }
            }
        }
        w.finish(ROOT)
    }
}

impl Rule {
    fn applies(&self, key: &str, status: Option<u16>) -> bool {
        self.prefix.as_deref().is_none_or(|p| key.starts_with(p)) && (self.status.is_none() || self.status == status)
    }

    fn sends(&self, key: &str) -> SentTo<'_> {
        let Redirect { host, scheme, replace, code } = &self.redirect;
        let (written, rest) = match replace {
            None => ("", key),
            Some(Replace::Key(whole)) => (whole.as_str(), ""),
            Some(Replace::Prefix(with)) => (with.as_str(), key.strip_prefix(self.prefix.as_deref().unwrap_or_default()).unwrap_or(key)),
        };
        let code = code.unwrap_or(StatusCode::MOVED_PERMANENTLY);
        SentTo { host: host.as_deref(), scheme: *scheme, written, rest: rest.to_owned(), code }
    }

    fn parse(element: &Element) -> Result<Self> {
        if element.name != "RoutingRule" {
            return Err(malformed("RoutingRules holds RoutingRule elements."));
        }
        only(element, &["Condition", "Redirect"])?;
        let (mut prefix, mut status) = (None, None);
        if let Some(condition) = element.child("Condition") {
            only(condition, &["KeyPrefixEquals", "HttpErrorCodeReturnedEquals"])?;
            prefix = condition.child("KeyPrefixEquals").map(|p| key(&p.text).map(str::to_owned)).transpose()?;
            status = condition.text_of("HttpErrorCodeReturnedEquals").map(error_code).transpose()?;
            if prefix.is_none() && status.is_none() {
                return Err(invalid(
                    "Condition cannot be empty. To redirect all requests without a condition, the condition element shouldn't be present.",
                ));
            }
        }
        let redirect = element.child("Redirect").ok_or_else(|| malformed("A RoutingRule needs a Redirect."))?;
        Ok(Rule { prefix, status, redirect: Redirect::parse(redirect)? })
    }

    fn write(&self, w: &mut Writer) {
        w.open("RoutingRule");
        if self.prefix.is_some() || self.status.is_some() {
            w.open("Condition").leaf_if("KeyPrefixEquals", self.prefix.as_ref());
            w.leaf_if("HttpErrorCodeReturnedEquals", self.status).close("Condition");
        }
        let Redirect { host, scheme, replace, code } = &self.redirect;
        w.open("Redirect").leaf_if("Protocol", scheme.map(Scheme::name)).leaf_if("HostName", host.as_ref());
        match replace {
            None => {}
            Some(Replace::Prefix(with)) => _ = w.leaf("ReplaceKeyPrefixWith", with),
            Some(Replace::Key(whole)) => _ = w.leaf("ReplaceKeyWith", whole),
        }
        w.leaf_if("HttpRedirectCode", code.map(|c| c.as_u16())).close("Redirect").close("RoutingRule");
    }
}

impl Redirect {
    fn parse(element: &Element) -> Result<Self> {
        only(element, &["Protocol", "HostName", "ReplaceKeyPrefixWith", "ReplaceKeyWith", "HttpRedirectCode"])?;
        if element.children.is_empty() {
            return Err(invalid(
                "Redirect cannot be empty: it needs a Protocol, HostName, ReplaceKeyPrefixWith, ReplaceKeyWith or HttpRedirectCode.",
            ));
        }
        let replace = match (element.child("ReplaceKeyPrefixWith"), element.child("ReplaceKeyWith")) {
            (Some(_), Some(_)) => return Err(invalid("You can only define ReplaceKeyPrefix or ReplaceKey but not both.")),
            (Some(with), None) => Some(Replace::Prefix(key(&with.text)?.to_owned())),
            (None, Some(whole)) => Some(Replace::Key(key(&whole.text)?.to_owned())),
            (None, None) => None,
        };
        let code = element.text_of("HttpRedirectCode").map(redirect_code).transpose()?;
        Ok(Redirect { host: host(element)?, scheme: scheme(element)?, replace, code })
    }
}

fn only(element: &Element, known: &[&str]) -> Result<()> {
    let mut seen: Vec<&str> = Vec::new();
    for child in &element.children {
        if !known.contains(&child.name.as_str()) || seen.contains(&child.name.as_str()) {
            return Err(malformed(&format!("{} has no such {}.", element.name, child.name)));
        }
        seen.push(&child.name);
    }
    Ok(())
}

/// A part of a key.
fn key(text: &str) -> Result<&str> {
    let fits = text.len() <= MAX_KEY_BYTES && !text.chars().any(char::is_control);
    if fits { Ok(text) } else { Err(invalid("A key of a website configuration is too long, or has control characters.")) }
}

fn host(element: &Element) -> Result<Option<String>> {
    let Some(name) = element.text_of("HostName") else { return Ok(None) };
    // With a path behind it as S3 takes it, and with nothing that would make another host of it.
    let (host, path) = name.split_once('/').unwrap_or((name, ""));
    let of_host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':' | b'[' | b']');
    let fits =
        !host.is_empty() && host.len() <= 255 && host.bytes().all(of_host) && key(path).is_ok() && path.is_ascii() && !path.contains(' ');
    if fits { Ok(Some(name.to_owned())) } else { Err(invalid("The HostName of a redirect is not a host.")) }
}

fn scheme(element: &Element) -> Result<Option<Scheme>> {
    match element.text_of("Protocol") {
        None => Ok(None),
        Some("http") => Ok(Some(Scheme::Http)),
        Some("https") => Ok(Some(Scheme::Https)),
        Some(_) => {
            Err(invalid("Invalid protocol, protocol can be http or https. If not defined the protocol will be selected automatically."))
        }
    }
}

fn error_code(text: &str) -> Result<u16> {
    let code = text.parse().ok().filter(|code| (400..600).contains(code));
    code.ok_or_else(|| invalid("The provided HTTP error code is not valid. Valid codes are 4XX or 5XX."))
}

fn redirect_code(text: &str) -> Result<StatusCode> {
    let code = text.parse().ok().filter(|code| REDIRECTS.contains(code)).and_then(|code| StatusCode::from_u16(code).ok());
    code.ok_or_else(|| invalid("The provided HTTP redirect code is not valid. Valid codes are 3XX except 300."))
}

fn invalid(text: &'static str) -> Error {
    Error::new(ErrorKind::InvalidArgument, text)
}

fn malformed(why: &str) -> Error {
    let text = format!("The XML you provided was not well-formed or did not validate against our published schema: {why}");
    Error::new(ErrorKind::MalformedXml, text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = String> {
        "[a-z/&<#!é .]{0,12}"
    }

    fn scheme() -> impl Strategy<Value = Option<Scheme>> {
        prop::option::of(prop_oneof![Just(Scheme::Http), Just(Scheme::Https)])
    }

    fn redirect() -> impl Strategy<Value = Redirect> {
        let replace = prop_oneof![text().prop_map(Replace::Prefix), text().prop_map(Replace::Key)];
        let code = prop::sample::select(REDIRECTS.to_vec()).prop_map(|c| StatusCode::from_u16(c).unwrap());
        (prop::option::of("[a-z.]{1,9}"), scheme(), prop::option::of(replace), prop::option::of(code))
            .prop_map(|(host, scheme, replace, code)| Redirect { host, scheme, replace, code })
            .prop_filter("not empty", |r| r.host.is_some() || r.scheme.is_some() || r.replace.is_some() || r.code.is_some())
    }

    fn rule() -> impl Strategy<Value = Rule> {
        (prop::option::of(text()), prop::option::of(400..600_u16), redirect()).prop_map(|(prefix, status, redirect)| Rule {
            prefix,
            status,
            redirect,
        })
    }

    fn website() -> impl Strategy<Value = Website> {
        let elsewhere = ("[a-z.]{1,9}", scheme()).prop_map(|(name, scheme)| Website::Elsewhere(Host { name, scheme }));
        let pages = ("[a-z&.]{1,9}", prop::option::of("[a-z&./]{1,9}"), prop::collection::vec(rule(), 0..5))
            .prop_map(|(index, error, rules)| Website::Pages(Pages { index, error, rules }));
        prop_oneof![elsewhere, pages]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(website in website()) {
            prop_assert_eq!(Website::parse(website.document().as_bytes()).unwrap(), website);
        }
    }

    fn of(content: &str) -> Result<Website, ErrorKind> {
        Website::parse(format!("<{ROOT}>{content}</{ROOT}>").as_bytes()).map_err(|e| e.kind())
    }

    fn with_rules(rules: &str) -> Result<Website, ErrorKind> {
        of(&format!("<IndexDocument><Suffix>i</Suffix></IndexDocument><RoutingRules>{rules}</RoutingRules>"))
    }

    #[test]
    fn refuses_what_s3_refuses() {
        let index = "<IndexDocument><Suffix>i</Suffix></IndexDocument>";
        for (bad, kind) in [
            (String::new(), ErrorKind::InvalidArgument),
            ("<IndexDocument><Suffix>a/i</Suffix></IndexDocument>".into(), ErrorKind::InvalidArgument),
            ("<IndexDocument><Suffix/></IndexDocument>".into(), ErrorKind::InvalidArgument),
            (format!("{index}<ErrorDocument/>"), ErrorKind::MalformedXml),
            (format!("{index}<RedirectAllRequestsTo><HostName>a</HostName></RedirectAllRequestsTo>"), ErrorKind::InvalidArgument),
            ("<RedirectAllRequestsTo/>".into(), ErrorKind::MalformedXml),
            ("<RedirectAllRequestsTo><HostName>a b</HostName></RedirectAllRequestsTo>".into(), ErrorKind::InvalidArgument),
            ("<RedirectAllRequestsTo><HostName>evil@a</HostName></RedirectAllRequestsTo>".into(), ErrorKind::InvalidArgument),
            (format!("{index}<More/>"), ErrorKind::MalformedXml),
        ] {
            assert_eq!(of(&bad), Err(kind), "{bad}");
        }
        let rule = |inner: &str| with_rules(&format!("<RoutingRule>{inner}</RoutingRule>"));
        for (bad, kind) in [
            ("", ErrorKind::MalformedXml),
            ("<Redirect/>", ErrorKind::InvalidArgument),
            ("<Condition/><Redirect><HostName>a</HostName></Redirect>", ErrorKind::InvalidArgument),
            (
                "<Redirect><ReplaceKeyWith>a</ReplaceKeyWith><ReplaceKeyPrefixWith>b</ReplaceKeyPrefixWith></Redirect>",
                ErrorKind::InvalidArgument,
            ),
            ("<Redirect><HttpRedirectCode>200</HttpRedirectCode></Redirect>", ErrorKind::InvalidArgument),
            ("<Redirect><Protocol>ftp</Protocol></Redirect>", ErrorKind::InvalidArgument),
            ("<Redirect><ReplaceKeyWith>a&#13;&#10;Set-Cookie: b</ReplaceKeyWith></Redirect>", ErrorKind::InvalidArgument),
        ] {
            assert_eq!(rule(bad), Err(kind), "{bad}");
        }
        let one = "<RoutingRule><Redirect><HostName>a</HostName></Redirect></RoutingRule>";
        assert!(with_rules(&one.repeat(50)).is_ok());
        assert_eq!(with_rules(&one.repeat(51)), Err(ErrorKind::InvalidArgument));
    }

    #[test]
    fn the_first_rule_that_fits_sends() {
        let website = with_rules(
            "<RoutingRule><Condition><KeyPrefixEquals>docs/</KeyPrefixEquals></Condition><Redirect><ReplaceKeyPrefixWith>documents/</ReplaceKeyPrefixWith></Redirect></RoutingRule>\
             <RoutingRule><Condition><HttpErrorCodeReturnedEquals>404</HttpErrorCodeReturnedEquals></Condition><Redirect><HostName>other.example</HostName><Protocol>https</Protocol><ReplaceKeyPrefixWith>#!/</ReplaceKeyPrefixWith><HttpRedirectCode>302</HttpRedirectCode></Redirect></RoutingRule>",
        )
        .unwrap();
        let sent = website.sends("docs/a", None).unwrap();
        assert_eq!((sent.host, sent.written, &*sent.rest, sent.code.as_u16()), (None, "documents/", "a", 301));
        assert_eq!(website.sends("x", None), None);
        assert_eq!(website.sends("x", Some(403)), None);
        let sent = website.sends("x", Some(404)).unwrap();
        assert_eq!(
            (sent.host, sent.scheme, sent.written, &*sent.rest, sent.code.as_u16()),
            (Some("other.example"), Some(Scheme::Https), "#!/", "x", 302)
        );
    }
}
