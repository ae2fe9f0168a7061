//! XML in and out, only as much as S3's documents need: elements and text. Attributes are skipped (namespaces,
//! `xsi:type`), DTDs are refused, depth and number of elements are capped; the size was capped by who read the body.

use std::borrow::Cow;
use std::fmt::Display;

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::MAX_XML_DEPTH;

/// CompleteMultipartUpload with 10,000 parts of seven elements each is the largest document there is.
const MAX_ELEMENTS: usize = 100_000;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Element {
    pub name: String,
    pub text: String,
    pub children: Vec<Element>,
}

impl Element {
    /// Parses a document whose root must be called `root`.
    pub fn parse(bytes: &[u8], root: &str) -> Result<Element> {
        let text = std::str::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8"))?;
        let mut reader = Reader::from_str(text);
        let mut open: Vec<Element> = Vec::new();
        let mut count = 0;
        loop {
            let event = reader.read_event().map_err(|e| malformed("it is not well formed").caused_by(e))?;
            let closed = match event {
                Event::Start(tag) => {
                    count += 1;
                    if open.len() >= MAX_XML_DEPTH || count > MAX_ELEMENTS {
                        return Err(malformed("it is nested too deeply or has too many elements"));
                    }
                    open.push(Element { name: tag.local_name().as_ref().to_owned(), ..Element::default() });
                    None
                }
                Event::Empty(tag) => {
                    count += 1;
                    Some(Element { name: tag.local_name().as_ref().to_owned(), ..Element::default() })
                }
                Event::End(_) => open.pop(),
                Event::Text(t) => {
                    push_text(&mut open, &t.xml10_content());
                    None
                }
                Event::CData(t) => {
                    push_text(&mut open, &t.xml10_content());
                    None
                }
                Event::GeneralRef(r) => {
                    push_text(&mut open, &resolve(&r.into_inner())?);
                    None
                }
                Event::DocType(_) => return Err(malformed("document type declarations are not allowed")),
                Event::Eof => return Err(malformed("it ended too early")),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => None,
            };
            if let Some(element) = closed {
                match open.last_mut() {
                    Some(parent) => parent.children.push(element),
                    None if element.name == root => return Ok(element),
                    None => return Err(malformed("it is not the document that this operation takes")),
                }
            }
        }
    }

    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|c| c.name == name)
    }

    /// The text of a child, without the space around it.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|c| c.text.trim())
    }
}

fn push_text(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn resolve(reference: &str) -> Result<Cow<'static, str>> {
    let code = match reference.strip_prefix("#x").or_else(|| reference.strip_prefix("#X")) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => reference.strip_prefix('#').and_then(|d| d.parse().ok()),
    };
    if let Some(c) = code.and_then(char::from_u32) {
        return Ok(c.to_string().into());
    }
    Ok(match reference {
        "lt" => "<".into(),
        "gt" => ">".into(),
        "amp" => "&".into(),
        "quot" => "\"".into(),
        "apos" => "'".into(),
        _ => return Err(malformed("it uses an unknown entity")),
    })
}

fn malformed(why: &str) -> Error {
    Error::new(
        ErrorKind::MalformedXml,
        format!("The XML you provided was not well-formed or did not validate against our published schema: {why}."),
    )
}

/// Writes a document, top to bottom.
pub struct Writer {
    out: String,
}

pub const S3_NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

impl Writer {
    /// `root` with S3's namespace, closed by `finish(root)`.
    pub fn document(root: &str) -> Self {
        Writer { out: format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root} xmlns=\"{S3_NAMESPACE}\">") }
    }

    /// Error documents have no namespace.
    pub fn bare(root: &str) -> Self {
        Writer { out: format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root}>") }
    }

    pub fn open(&mut self, name: &str) -> &mut Self {
        self.tag("<", name)
    }

    pub fn close(&mut self, name: &str) -> &mut Self {
        self.tag("</", name)
    }

    pub fn leaf(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.open(name);
        escape_into(&mut self.out, &value.to_string());
        self.close(name)
    }

    pub fn leaf_if(&mut self, name: &str, value: Option<impl Display>) -> &mut Self {
        match value {
            Some(v) => self.leaf(name, v),
            None => self,
        }
    }

    /// An element whose type ACL documents name in an attribute.
    pub fn open_typed(&mut self, name: &str, kind: &'static str) -> &mut Self {
        self.tag("<", &format!("{name} xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"{kind}\""))
    }

    pub fn text(&mut self, value: &str) -> &mut Self {
        escape_into(&mut self.out, value);
        self
    }

    fn tag(&mut self, before: &str, name: &str) -> &mut Self {
        self.out.push_str(before);
        self.out.push_str(name);
        self.out.push('>');
        self
    }

    pub fn finish(mut self, root: &str) -> String {
        self.close(root);
        self.out
    }
}

/// Control characters that XML 1.0 can't hold are written as references all the same, as S3 does;
/// `encoding-type=url` is the way around for clients whose parser minds.
fn escape_into(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            c if (c < ' ' && c != '\n' && c != '\t') || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                use std::fmt::Write;
                let _ = write!(out, "&#x{:x};", c as u32);
            }
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_sdks_send() {
        let e = Element::parse(br#"<?xml version="1.0"?><Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet><Object><Key>a&amp;b&#13;&#x1F600;</Key></Object><Object/></Delete>"#, "Delete").unwrap();
        assert_eq!(e.text_of("Quiet"), Some("true"));
        assert_eq!(e.children.len(), 3);
        assert_eq!(e.children[1].text_of("Key"), Some("a&b\r\u{1f600}"));
    }

    #[test]
    fn refuses() {
        let deep = format!("{}{}", "<a>".repeat(40), "</a>".repeat(40));
        for bad in ["", "<a>", "<b/>", "<a></b>", "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>", "<a>&x;</a>", &deep] {
            assert_eq!(Element::parse(bad.as_bytes(), "a").unwrap_err().kind(), ErrorKind::MalformedXml, "{bad}");
        }
    }

    #[test]
    fn escapes_and_reads_back() {
        let mut w = Writer::bare("a");
        w.leaf("k", "<&>\"'\r\u{1}x");
        let out = w.finish("a");
        assert!(out.ends_with("<a><k>&lt;&amp;&gt;&quot;'&#13;&#x1;x</k></a>"), "{out}");
        assert_eq!(Element::parse(out.as_bytes(), "a").unwrap().child("k").unwrap().text, "<&>\"'\r\u{1}x");
    }
}
