//! Patterns of policies: `*`, `?` and the variables `${tenant}` and `${aws:username}`, compiled once, matched without allocating.

use crate::base::names::TenantId;

/// AWS's longest ARN is about 1,600 characters. Also bounds the work of a match: pattern length times text length.
const MAX_PATTERN_BYTES: usize = 2048;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(Box<[u8]>),
    /// `*`
    Any,
    /// `?`: one character of UTF-8.
    One,
    /// The tenant that asks; never matches where nobody is known.
    Tenant,
}

/// Whether `*` and `?` mean something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wildcards {
    Yes,
    No,
}

impl Pattern {
    pub fn compile(text: &str, wildcards: Wildcards) -> Result<Self, String> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err(format!("longer than {MAX_PATTERN_BYTES} bytes"));
        }
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let plain = &rest[c.len_utf8()..];
            let (piece, after) = match (c, rest.strip_prefix("${")) {
                (_, Some(inside)) => {
                    let (name, after) = inside.split_once('}').ok_or("a variable (`${`) is not closed with `}`")?;
                    (variable(name, &mut literal)?, after)
                }
                ('*', _) if wildcards == Wildcards::Yes => (Some(Piece::Any), plain),
                ('?', _) if wildcards == Wildcards::Yes => (Some(Piece::One), plain),
                _ => {
                    literal.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    (None, plain)
                }
            };
            if let Some(piece) = piece {
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
                }
                // `**` is `*`.
                if piece != Piece::Any || pieces.last() != Some(&Piece::Any) {
                    pieces.push(piece);
                }
            }
            rest = after;
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.into()));
        }
        Ok(Pattern(pieces))
    }

    pub fn anything() -> Self {
        Pattern(vec![Piece::Any])
    }

    pub fn has_variables(&self) -> bool {
        self.0.contains(&Piece::Tenant)
    }

    /// The literal beginning: what every text that matches starts with.
    pub fn literal_head(&self) -> &[u8] {
        match self.0.first() {
            Some(Piece::Literal(l)) => l,
            _ => b"",
        }
    }

    /// Wildcards or not: does it reach past its literal beginning?
    pub fn is_literal(&self) -> bool {
        matches!(&self.0[..], [] | [Piece::Literal(_)])
    }

    pub fn matches(&self, text: Text<'_>, tenant: Option<&TenantId>) -> bool {
        let pieces = &self.0[..];
        let (mut p, mut t) = (0, 0);
        // After the last `*` seen: the piece to go on with, and where in the text to try it next.
        let mut retry: Option<(usize, usize)> = None;
        loop {
            let step = match pieces.get(p) {
                None if t == text.len() => return true,
                None => None,
                Some(Piece::Any) => {
                    if p + 1 == pieces.len() {
                        return true;
                    }
                    retry = Some((p + 1, t));
                    Some(0)
                }
                Some(Piece::One) => text.char_len(t),
                Some(Piece::Literal(l)) => text.has_at(t, l).then_some(l.len()),
                Some(Piece::Tenant) => {
                    let Some(tenant) = tenant else { return false };
                    let id = tenant.as_str().as_bytes();
                    text.has_at(t, id).then_some(id.len())
                }
            };
            match (step, retry) {
                (Some(n), _) => (p, t) = (p + 1, t + n),
                (None, Some((piece, from))) => {
                    let Some(n) = text.char_len(from) else { return false };
                    retry = Some((piece, from + n));
                    (p, t) = (piece, from + n);
                }
                (None, None) => return false,
            }
        }
    }

    /// As `matches`, for patterns without wildcards and in any ASCII case.
    pub fn matches_ignoring_case(&self, text: &str, tenant: Option<&TenantId>) -> bool {
        let mut rest = text.as_bytes();
        for piece in &self.0 {
            let literal = match piece {
                Piece::Literal(l) => &l[..],
                Piece::Tenant => match tenant {
                    Some(t) => t.as_str().as_bytes(),
                    None => return false,
                },
                Piece::Any | Piece::One => return false,
            };
            match rest.split_at_checked(literal.len()) {
                Some((head, tail)) if head.eq_ignore_ascii_case(literal) => rest = tail,
                _ => return false,
            }
        }
        rest.is_empty()
    }
}

fn variable(name: &str, literal: &mut Vec<u8>) -> Result<Option<Piece>, String> {
    match name {
        "tenant" | "aws:username" => Ok(Some(Piece::Tenant)),
        // IAM's way to write these characters themselves.
        "*" | "?" | "$" => {
            literal.extend_from_slice(name.as_bytes());
            Ok(None)
        }
        _ => Err(format!("the variable ${{{name}}} is not known here; known are ${{tenant}} and ${{aws:username}}")),
    }
}

/// A text in two parts, so that `bucket/key` need not be put together to be matched.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    head: &'a [u8],
    /// Comes after a `/`.
    tail: Option<&'a [u8]>,
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(s: &'a str) -> Self {
        Text { head: s.as_bytes(), tail: None }
    }
}

impl<'a> Text<'a> {
    pub fn joined(head: &'a str, tail: Option<&'a str>) -> Self {
        Text { head: head.as_bytes(), tail: tail.map(str::as_bytes) }
    }

    fn len(&self) -> usize {
        self.head.len() + self.tail.map_or(0, |t| t.len() + 1)
    }

    fn at(&self, i: usize) -> Option<u8> {
        match i.checked_sub(self.head.len()) {
            None => self.head.get(i).copied(),
            Some(0) => self.tail.map(|_| b'/'),
            Some(i) => self.tail?.get(i - 1).copied(),
        }
    }

    fn has_at(&self, at: usize, literal: &[u8]) -> bool {
        if at + literal.len() > self.len() {
            return false;
        }
        let in_head = self.head.len().saturating_sub(at).min(literal.len());
        let (first, rest) = literal.split_at(in_head);
        if in_head > 0 && self.head[at..at + in_head] != *first {
            return false;
        }
        let Some((&slash, rest)) = rest.split_first() else { return true };
        let Some(tail) = self.tail else { return false };
        // Where the rest begins, counted from the `/`.
        match (at + in_head).saturating_sub(self.head.len()) {
            0 => slash == b'/' && tail.starts_with(rest),
            n => tail[n - 1] == slash && tail[n..].starts_with(rest),
        }
    }

    /// Bytes of the character at `at`; None at the end.
    fn char_len(&self, at: usize) -> Option<usize> {
        let first = self.at(at)?;
        let len = match first {
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xFF => 4,
            _ => 1,
        };
        Some(len.min(self.len() - at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tenant() -> TenantId {
        TenantId::parse("acme").unwrap()
    }

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::compile(pattern, Wildcards::Yes).unwrap().matches(text.into(), Some(&tenant()))
    }

    #[test]
    fn table() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything/at all", true),
            ("a*c", "abc", true),
            ("a*c", "abcd", false),
            ("a*b*c", "a-b-b-c", true),
            ("a?c", "abc", true),
            ("a?c", "a\u{1f600}c", true),
            ("a?", "a", false),
            ("shared/${tenant}/*", "shared/acme/x", true),
            ("shared/${tenant}/*", "shared/acme2/x", false),
            ("shared/${aws:username}", "shared/acme", true),
            ("${*}${?}${$}", "*?$", true),
            ("${*}", "x", false),
            ("$5", "$5", true),
            ("**a", "bca", true),
            ("*.png", "a.png.gif", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn a_tenant_variable_matches_nobody_where_nobody_is_known() {
        let p = Pattern::compile("x/${tenant}*", Wildcards::Yes).unwrap();
        assert!(!p.matches("x/".into(), None));
        assert!(p.has_variables());
    }

    #[test]
    fn unknown_variables_are_refused() {
        assert!(Pattern::compile("${aws:PrincipalTag/team}", Wildcards::Yes).unwrap_err().contains("PrincipalTag"));
        assert!(Pattern::compile("${tenant", Wildcards::Yes).is_err());
        assert!(Pattern::compile(&"a".repeat(3000), Wildcards::Yes).is_err());
    }

    #[test]
    fn ignoring_case() {
        let p = Pattern::compile("Hello-${tenant}", Wildcards::No).unwrap();
        assert!(p.matches_ignoring_case("hELLO-ACME", Some(&tenant())));
        assert!(!p.matches_ignoring_case("hello-acmee", Some(&tenant())));
        assert!(!p.matches_ignoring_case("hello-acme", None));
    }

    /// By the definition, slowly.
    fn model(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', p)), _) => (0..=text.len()).any(|i| model(p, &text[i..])),
            (Some((p, ps)), Some((t, ts))) => (*p == '?' || p == t) && model(ps, ts),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab/*?\u{20ac}]{0,8}", head in "[ab\u{20ac}]{0,4}", tail in proptest::option::of("[ab/\u{20ac}]{0,5}")) {
            let text = match &tail { Some(t) => format!("{head}/{t}"), None => head.clone() };
            let compiled = Pattern::compile(&pattern, Wildcards::Yes).unwrap();
            let expected = model(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>());
            prop_assert_eq!(compiled.matches(Text::joined(&head, tail.as_deref()), None), expected);
            prop_assert_eq!(compiled.matches(text.as_str().into(), None), expected);
        }
    }
}
