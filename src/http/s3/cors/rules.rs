//! A bucket's CORS rules: read from XML and checked as S3 checks them, written back in one form, and held against requests.
//! Pure.
//!
//! Invariant: what `parse` accepted can stand in headers, and `parse` reads what `document` writes.

use http::Method;
use http::header::{HeaderName, HeaderValue};

use crate::base::error::{Error, ErrorKind, Result};
use crate::http::respond::value;
use crate::http::xml::{Element, Writer};

/// S3's limits.
const MAX_DOCUMENT_BYTES: usize = 64 * 1024;
const MAX_RULES: usize = 100;
const MAX_ID_CHARS: usize = 255;

const ROOT: &str = "CORSConfiguration";
const METHODS: [Method; 5] = [Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::HEAD];

/// A method that rules can speak of.
pub fn method(name: &[u8]) -> Option<Method> {
    METHODS.iter().find(|m| m.as_str().as_bytes() == name).cloned()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    id: Option<String>,
    methods: Vec<Method>,
    origins: Vec<Wild>,
    headers: Vec<Wild>,
    exposed: Vec<String>,
    max_age_seconds: Option<u32>,
    /// The lists as they stand in headers.
    pub methods_value: HeaderValue,
    pub exposed_value: Option<HeaderValue>,
    pub max_age_value: Option<HeaderValue>,
}

/// A text with one `*` at most.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wild {
    text: String,
    star: Option<usize>,
}

impl Wild {
    /// None: more than one `*`.
    fn parse(text: &str) -> Option<Self> {
        let mut stars = text.bytes().enumerate().filter(|(_, b)| *b == b'*').map(|(at, _)| at);
        let star = stars.next();
        stars.next().is_none().then(|| Wild { text: text.to_owned(), star })
    }

    fn is_anything(&self) -> bool {
        self.text == "*"
    }

    fn matches(&self, text: &[u8], equal: fn(&[u8], &[u8]) -> bool) -> bool {
        let own = self.text.as_bytes();
        let Some(star) = self.star else { return equal(own, text) };
        let (before, after) = (own.get(..star).unwrap_or_default(), own.get(star + 1..).unwrap_or_default());
        let Some(end) = text.len().checked_sub(after.len()) else { return false };
        before.len() <= end
            && equal(before, text.get(..before.len()).unwrap_or_default())
            && equal(after, text.get(end..).unwrap_or_default())
    }
}

/// A rule that lets a request pass.
pub struct Match<'r> {
    pub rule: &'r Rule,
    /// The rule is for any origin: the answer names none, and carries no credentials.
    pub any_origin: bool,
}

impl Rules {
    pub fn parse(document: &[u8]) -> Result<Self> {
        if document.len() > MAX_DOCUMENT_BYTES {
            return Err(malformed("The CORS configuration is larger than 64 KB."));
        }
        let root = Element::parse(document, ROOT)?;
        if root.children.len() > MAX_RULES {
            return Err(invalid(format!("The number of CORS rules should not exceed allowed limit of {MAX_RULES} rules.")));
        }
        if root.children.is_empty() || root.children.iter().any(|c| c.name != "CORSRule") {
            return Err(malformed("A CORS configuration consists of one or more CORSRule elements."));
        }
        root.children.iter().map(Rule::parse).collect::<Result<_>>().map(Rules)
    }

    pub fn document(&self) -> String {
        let mut w = Writer::document(ROOT);
        for rule in &self.0 {
            w.open("CORSRule").leaf_if("ID", rule.id.as_ref());
            rule.headers.iter().for_each(|h| _ = w.leaf("AllowedHeader", &h.text));
            rule.methods.iter().for_each(|m| _ = w.leaf("AllowedMethod", m));
            rule.origins.iter().for_each(|o| _ = w.leaf("AllowedOrigin", &o.text));
            rule.exposed.iter().for_each(|h| _ = w.leaf("ExposeHeader", h));
            w.leaf_if("MaxAgeSeconds", rule.max_age_seconds).close("CORSRule");
        }
        w.finish(ROOT)
    }

    /// The first rule that allows the method from the origin, with all of these headers.
    pub fn find<'h>(&self, origin: &[u8], method: &Method, headers: impl Iterator<Item = &'h str> + Clone) -> Option<Match<'_>> {
        self.0.iter().find_map(|rule| {
            let by = rule.origins.iter().find(|o| o.matches(origin, |a, b| a == b))?;
            let fits = |h: &str| rule.headers.iter().any(|own| own.matches(h.as_bytes(), |a, b| a.eq_ignore_ascii_case(b)));
            (rule.methods.contains(method) && headers.clone().all(fits)).then(|| Match { rule, any_origin: by.is_anything() })
        })
    }
}

impl Rule {
    fn parse(element: &Element) -> Result<Self> {
        const KNOWN: [&str; 6] = ["ID", "AllowedHeader", "AllowedMethod", "AllowedOrigin", "ExposeHeader", "MaxAgeSeconds"];
        if element.children.iter().any(|c| !KNOWN.contains(&c.name.as_str())) {
            return Err(malformed("A CORSRule holds an element that is not known."));
        }
        let all = |name: &'static str| element.children.iter().filter(move |c| c.name == name).map(|c| c.text.trim_ascii());
        let methods = all("AllowedMethod").map(allowed_method).collect::<Result<Vec<_>>>()?;
        let origins = all("AllowedOrigin").map(|t| wild("AllowedOrigin", t)).collect::<Result<Vec<_>>>()?;
        if methods.is_empty() || origins.is_empty() {
            return Err(malformed("A CORSRule needs an AllowedMethod and an AllowedOrigin."));
        }
        let headers = all("AllowedHeader").map(|t| wild("AllowedHeader", t)).collect::<Result<Vec<_>>>()?;
        let exposed = all("ExposeHeader").map(exposed_header).collect::<Result<Vec<_>>>()?;
        let id = element.text_of("ID").map(str::to_owned);
        if id.as_ref().is_some_and(|id| id.chars().count() > MAX_ID_CHARS) {
            return Err(invalid(format!("The ID of a CORSRule has at most {MAX_ID_CHARS} characters.")));
        }
        let max_age_seconds = element
            .text_of("MaxAgeSeconds")
            .map(|t| t.parse().map_err(|_| malformed("MaxAgeSeconds is a whole number of seconds.")))
            .transpose()?;
        let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
        Ok(Rule {
            methods_value: value(&names.join(", ")).ok_or_else(|| malformed("An AllowedMethod can't stand in a header."))?,
            exposed_value: (!exposed.is_empty()).then(|| value(&exposed.join(", "))).flatten(),
            max_age_value: max_age_seconds.map(HeaderValue::from),
            id,
            methods,
            origins,
            headers,
            exposed,
            max_age_seconds,
        })
    }
}

fn allowed_method(text: &str) -> Result<Method> {
    method(text.as_bytes()).ok_or_else(|| {
        invalid(format!(
            "Found unsupported HTTP method in CORS config. Unsupported method is {}",
            text.chars().take(40).collect::<String>()
        ))
    })
}

fn wild(element: &str, text: &str) -> Result<Wild> {
    let shown = || text.chars().take(80).collect::<String>();
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(invalid(format!("{element} \"{}\" can't stand in a header.", shown())));
    }
    Wild::parse(text).ok_or_else(|| invalid(format!("{element} \"{}\" can not have more than one wildcard.", shown())))
}

fn exposed_header(text: &str) -> Result<String> {
    if text.contains('*') {
        return Err(invalid(format!(
            "ExposeHeader \"{}\" contains wildcard. We currently do not support wildcard for ExposeHeader.",
            text.chars().take(80).collect::<String>()
        )));
    }
    match HeaderName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(invalid(format!("ExposeHeader \"{}\" is not the name of a header.", text.chars().take(80).collect::<String>()))),
    }
}

fn invalid(text: String) -> Error {
    Error::new(ErrorKind::InvalidRequest, text)
}

fn malformed(why: &'static str) -> Error {
    Error::new(ErrorKind::MalformedXml, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(inside: &str) -> Result<Rules> {
        Rules::parse(format!("<CORSConfiguration><CORSRule>{inside}</CORSRule></CORSConfiguration>").as_bytes())
    }

    const GET_ANY: &str = "<AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin>";

    #[test]
    fn reads_what_it_writes() {
        let full = "<ID>a&amp;b</ID><AllowedMethod>GET</AllowedMethod><AllowedMethod>HEAD</AllowedMethod><AllowedOrigin>https://*.a.test</AllowedOrigin>\
                    <AllowedHeader>x-amz-*</AllowedHeader><ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>0</MaxAgeSeconds>";
        for text in [GET_ANY, full] {
            let rules = rule(text).unwrap();
            assert_eq!(Rules::parse(rules.document().as_bytes()).unwrap(), rules);
        }
    }

    #[test]
    fn refuses() {
        let refused = |inside: &str| rule(inside).unwrap_err().kind();
        for malformed in [
            "",
            "<AllowedMethod>GET</AllowedMethod>",
            "<AllowedOrigin>*</AllowedOrigin>",
            &format!("{GET_ANY}<Other/>"),
            &format!("{GET_ANY}<MaxAgeSeconds>-1</MaxAgeSeconds>"),
        ] {
            assert_eq!(refused(malformed), ErrorKind::MalformedXml, "{malformed}");
        }
        for invalid in [
            "<AllowedMethod>PATCH</AllowedMethod><AllowedOrigin>*</AllowedOrigin>",
            "<AllowedMethod>get</AllowedMethod><AllowedOrigin>*</AllowedOrigin>",
            "<AllowedMethod>GET</AllowedMethod><AllowedOrigin>https://*.*</AllowedOrigin>",
            "<AllowedMethod>GET</AllowedMethod><AllowedOrigin>a&#13;&#10;b</AllowedOrigin>",
            &format!("{GET_ANY}<AllowedHeader>*a*</AllowedHeader>"),
            &format!("{GET_ANY}<ExposeHeader>x-*</ExposeHeader>"),
            &format!("{GET_ANY}<ExposeHeader>a: b</ExposeHeader>"),
            &format!("{GET_ANY}<ID>{}</ID>", "x".repeat(256)),
        ] {
            assert_eq!(refused(invalid), ErrorKind::InvalidRequest, "{invalid}");
        }
        let many = |n| format!("<CORSConfiguration>{}</CORSConfiguration>", format!("<CORSRule>{GET_ANY}</CORSRule>").repeat(n));
        assert!(Rules::parse(many(100).as_bytes()).is_ok());
        assert_eq!(Rules::parse(many(101).as_bytes()).unwrap_err().kind(), ErrorKind::InvalidRequest);
        assert_eq!(Rules::parse(many(0).as_bytes()).unwrap_err().kind(), ErrorKind::MalformedXml);
        let large = format!("<CORSConfiguration><!--{}--></CORSConfiguration>", "x".repeat(MAX_DOCUMENT_BYTES));
        assert_eq!(Rules::parse(large.as_bytes()).unwrap_err().kind(), ErrorKind::MalformedXml);
    }

    #[test]
    fn finds() {
        let rules = rule("<AllowedMethod>GET</AllowedMethod><AllowedOrigin>start*end</AllowedOrigin><AllowedHeader>x-amz-*</AllowedHeader><AllowedHeader>range</AllowedHeader>").unwrap();
        let found =
            |origin: &str, method: &Method, headers: &[&str]| rules.find(origin.as_bytes(), method, headers.iter().copied()).is_some();
        assert!(found("startend", &Method::GET, &[]) && found("start12end", &Method::GET, &["Range", "X-Amz-Date"]));
        for other in ["", "start", "end", "staend", "0start12end", "START1END"] {
            assert!(!found(other, &Method::GET, &[]), "{other}");
        }
        assert!(!found("startend", &Method::PUT, &[]) && !found("startend", &Method::GET, &["range", "x-other"]));
        assert!(!rules.find(b"startend", &Method::GET, std::iter::empty()).unwrap().any_origin);
        assert!(rule(GET_ANY).unwrap().find(b"null", &Method::GET, std::iter::empty()).unwrap().any_origin);
    }
}
