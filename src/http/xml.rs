//! XML in and out, only as much as S3's documents need: elements and text. Attributes are skipped (namespaces,
//! `xsi:type`), DTDs are refused; depth, elements and the length of a text are capped; the size was capped by who read the body.
//!
//! The two documents that may be large (DeleteObjects, CompleteMultipartUpload) are read by a `Reader` into what they mean; an `Element`
//! is a tree, and takes twenty times the memory of its text: it is for small documents.

use std::borrow::Cow;
use std::fmt::Display;

use quick_xml::events::Event;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::limits::MAX_XML_DEPTH;

/// In a document that is kept as a tree. S3's small documents have some hundreds at most; a page of a listing has 10,000.
const MAX_TREE_ELEMENTS: usize = 20_000;
/// In one element: four times the longest key. A policy or a list is made of many.
const MAX_TEXT_BYTES: usize = 4096;

/// A document that is read from its start to its end: what nobody asks for is passed over and kept nowhere.
pub struct Reader<'d> {
    events: quick_xml::Reader<&'d [u8]>,
    /// Elements that are open.
    depth: usize,
    elements_left: usize,
}

enum Step<'d> {
    Open(String),
    Close,
    Text(Cow<'d, str>),
}

impl<'d> Reader<'d> {
    /// Reads a document whose root must be called `root`: `content` is called inside of it. What comes after the root is not read.
    pub fn read<T>(bytes: &'d [u8], root: &str, max_elements: usize, content: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let text = std::str::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8"))?;
        let mut events = quick_xml::Reader::from_str(text);
        events.config_mut().expand_empty_elements = true;
        let mut reader = Reader { events, depth: 0, elements_left: max_elements };
        loop {
            match reader.step()? {
                Step::Open(name) if name == root => break,
                Step::Open(_) => return Err(malformed("it is not the document that this operation takes")),
                Step::Close | Step::Text(_) => {}
            }
        }
        let read = content(&mut reader)?;
        reader.leave(0)?;
        Ok(read)
    }

    /// Calls `child` inside of each element of the one that is open, to the end of that. What `child` does not read is passed over.
    pub fn each(&mut self, mut child: impl FnMut(&str, &mut Self) -> Result<()>) -> Result<()> {
        let level = self.depth;
        loop {
            match self.step()? {
                Step::Open(name) => {
                    child(&name, self)?;
                    self.leave(level)?;
                }
                Step::Close => return Ok(()),
                Step::Text(_) => {}
            }
        }
    }

    /// The text of the element that is open, to the end of that, without the texts of those inside.
    pub fn text(&mut self) -> Result<String> {
        let level = self.depth;
        let mut whole = String::new();
        loop {
            match self.step()? {
                Step::Open(_) => self.leave(level)?,
                Step::Close => return Ok(whole),
                Step::Text(text) => push_text(&mut whole, &text)?,
            }
        }
    }

    /// Passes over all that is open beyond `level`.
    fn leave(&mut self, level: usize) -> Result<()> {
        while self.depth > level {
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Step<'d>> {
        loop {
            return Ok(match self.events.read_event().map_err(|e| malformed("it is not well formed").caused_by(e))? {
                Event::Start(tag) | Event::Empty(tag) => {
                    self.elements_left = self.elements_left.checked_sub(1).ok_or_else(|| malformed("it has too many elements"))?;
                    self.depth += 1;
                    if self.depth > MAX_XML_DEPTH {
                        return Err(malformed("it is nested too deeply"));
                    }
                    Step::Open(tag.local_name().as_ref().to_owned())
                }
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    Step::Close
                }
                Event::Text(text) => Step::Text(text.xml10_content().into_owned().into()),
                Event::CData(text) => Step::Text(text.xml10_content().into_owned().into()),
                Event::GeneralRef(name) => Step::Text(resolve(&name.into_inner())?),
                Event::DocType(_) => return Err(malformed("document type declarations are not allowed")),
                Event::Eof => return Err(malformed("it ended too early")),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => continue,
            });
        }
    }
}

fn push_text(whole: &mut String, text: &str) -> Result<()> {
    if whole.len() + text.len() > MAX_TEXT_BYTES {
        return Err(malformed("a text in it is too long"));
    }
    whole.push_str(text);
    Ok(())
}

/// A small document, whole.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Element {
    pub name: String,
    pub text: String,
    pub children: Vec<Element>,
}

impl Element {
    /// Parses a document whose root must be called `root`.
    pub fn parse(bytes: &[u8], root: &str) -> Result<Element> {
        Reader::read(bytes, root, MAX_TREE_ELEMENTS, |reader| Element { name: root.to_owned(), ..Element::default() }.filled(reader))
    }

    fn filled(mut self, reader: &mut Reader<'_>) -> Result<Self> {
        loop {
            match reader.step()? {
                Step::Open(name) => self.children.push(Element { name, ..Element::default() }.filled(reader)?),
                Step::Close => return Ok(self),
                Step::Text(text) => push_text(&mut self.text, &text)?,
            }
        }
    }

    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|c| c.name == name)
    }

    /// The text of a child, without the space around it.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|c| c.text.trim_ascii())
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

    /// Of another service.
    pub fn of(root: &str, namespace: &str) -> Self {
        Writer { out: format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root} xmlns=\"{namespace}\">") }
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
    fn reads_in_passing() {
        let document = b"<R>skipped<a>1<b>inner</b>&amp;</a><deep><x><y>n</y></x></deep><e/><a> 2 </a></R> rest";
        let seen = Reader::read(document, "R", 100, |reader| {
            let mut seen = Vec::new();
            reader.each(|name, reader| {
                seen.push(if name == "a" { reader.text()? } else { name.to_owned() });
                Ok(())
            })?;
            Ok(seen)
        });
        assert_eq!(seen.unwrap(), ["1&", "deep", "e", " 2 "]);
        assert!(Reader::read(document, "R", 8, |_| Ok(())).is_ok(), "eight elements are eight");
        for (limit, bad) in [(7, &document[..]), (100, b"<R><a></R>"), (100, b"<R><a>&x;</a></R>"), (100, b"<R>"), (100, b"<S/>")] {
            assert_eq!(Reader::read(bad, "R", limit, |_| Ok(())).unwrap_err().kind(), ErrorKind::MalformedXml);
        }
        let long = format!("<R><a>{}</a></R>", "&lt;".repeat(MAX_TEXT_BYTES + 1));
        assert!(Reader::read(long.as_bytes(), "R", 9, |_| Ok(())).is_ok(), "nobody asked for it");
        assert!(Element::parse(long.as_bytes(), "R").is_err());
    }

    /// As trees were read before.
    #[test]
    fn a_tree_is_no_larger_than_its_limits() {
        let many = |n: usize| format!("<a>{}</a>", "<b/>".repeat(n));
        assert_eq!(Element::parse(many(MAX_TREE_ELEMENTS - 1).as_bytes(), "a").unwrap().children.len(), MAX_TREE_ELEMENTS - 1);
        assert!(Element::parse(many(MAX_TREE_ELEMENTS).as_bytes(), "a").is_err());
        let deep = |n: usize| format!("{}{}", "<a>".repeat(n), "</a>".repeat(n));
        assert!(Element::parse(deep(MAX_XML_DEPTH).as_bytes(), "a").is_ok());
        assert!(Element::parse(deep(MAX_XML_DEPTH + 1).as_bytes(), "a").is_err());
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
