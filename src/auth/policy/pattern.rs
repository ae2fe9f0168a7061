//! Patterns of policies: `*`, `?` and the variables `${tenant}` and `${aws:username}`, compiled once.
//!
//! What stands before the first `*` and after the last is compared in its one place, without allocating. Only what stands between
//! two `*` is searched for, leftmost first (`text::Places`). So a match takes time in the pattern's length, and a search in
//! that times `text / 64`: nothing is ever tried again.

use crate::auth::policy::text::{Part, Text};
use crate::base::names::TenantId;

/// AWS's longest ARN is about 1,600 characters.
const MAX_PATTERN_BYTES: usize = 2048;
/// Longer than any tenant's id: what `${tenant}` may stand for.
const TENANT_BYTES: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(Box<[u8]>),
    /// `*`
    Any,
    /// A run of `?`: as many characters of UTF-8.
    Characters(usize),
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
        let mut pieces = Pieces::default();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let plain = &rest[c.len_utf8()..];
            rest = match rest.strip_prefix("${") {
                Some(inside) => {
                    let (name, after) = inside.split_once('}').ok_or("a variable (`${`) is not closed with `}`")?;
                    match variable(name)? {
                        Variable::Tenant => pieces.push(Piece::Tenant),
                        Variable::Itself(name) => pieces.literal.extend_from_slice(name.as_bytes()),
                    }
                    after
                }
                None => {
                    pieces.character(c, wildcards);
                    plain
                }
            };
        }
        Ok(pieces.done())
    }

    /// With wildcards and without variables. The caller bounds the text.
    pub fn glob(text: &str) -> Self {
        let mut pieces = Pieces::default();
        text.chars().for_each(|c| pieces.character(c, Wildcards::Yes));
        pieces.done()
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

    /// Does it match `bucket/` and whatever follows?
    pub fn matches_all_below(&self, bucket: Text<'_>) -> bool {
        match &self.0[..] {
            [Piece::Any] => true,
            [Piece::Literal(head), Piece::Any] => match head.strip_suffix(b"/") {
                Some(name) => name.len() == bucket.len() && bucket.has_at(0, name),
                None => bucket.has_at(0, head),
            },
            _ => false,
        }
    }

    /// Wildcards or not: does it reach past its literal beginning?
    pub fn is_literal(&self) -> bool {
        matches!(&self.0[..], [] | [Piece::Literal(_)])
    }

    /// The wildcards in it; `**` is one.
    pub fn wildcards(&self) -> usize {
        self.0.iter().map(|piece| if let Piece::Characters(n) = piece { *n } else { usize::from(*piece == Piece::Any) }).sum()
    }

    /// The bytes that stand between two `*`: what a text is searched for.
    pub fn searched_bytes(&self) -> usize {
        let bytes = |piece: &Piece| match piece {
            Piece::Literal(l) => l.len(),
            Piece::Characters(n) => *n,
            Piece::Tenant => TENANT_BYTES,
            Piece::Any => 0,
        };
        self.ends().map_or(0, |(_, middle, _)| middle.iter().map(bytes).sum())
    }

    /// What stands before the first `*`, between, and after the last; None: it has none.
    fn ends(&self) -> Option<(&[Piece], &[Piece], &[Piece])> {
        let is_any = |piece: &Piece| *piece == Piece::Any;
        let first = self.0.iter().position(is_any)?;
        let last = self.0.iter().rposition(is_any)?;
        Some((self.0.get(..first)?, self.0.get(first + 1..last).unwrap_or_default(), self.0.get(last + 1..)?))
    }

    pub fn matches(&self, text: Text<'_>, tenant: Option<&TenantId>) -> bool {
        let Some((head, middle, tail)) = self.ends() else { return forward(&self.0, text, tenant) == Some(text.len()) };
        let Some(from) = forward(head, text, tenant) else { return false };
        let Some(to) = backward(tail, text, tenant).filter(|to| from <= *to) else { return false };
        if middle.is_empty() {
            return true;
        }
        let tenant = tenant.map(|t| t.as_str().as_bytes());
        if tenant.is_none() && middle.contains(&Piece::Tenant) {
            return false;
        }
        text.searched(|places| {
            let found = middle.split(|piece| *piece == Piece::Any).try_fold(from, |from, pieces| {
                let parts = pieces.iter().map(|piece| match piece {
                    Piece::Literal(l) => Part::Bytes(l),
                    Piece::Characters(n) => Part::Characters(*n),
                    Piece::Tenant | Piece::Any => Part::Bytes(tenant.unwrap_or_default()),
                });
                places.find(parts, from)
            });
            found.is_some_and(|end| end <= to)
        })
    }

    /// As `matches`, for patterns without wildcards and in any ASCII case.
    pub fn matches_ignoring_case(&self, text: &str, tenant: Option<&TenantId>) -> bool {
        let mut rest = text.as_bytes();
        for piece in &self.0 {
            let Some(literal) = piece.literal(tenant) else { return false };
            match rest.split_at_checked(literal.len()) {
                Some((head, tail)) if head.eq_ignore_ascii_case(literal) => rest = tail,
                _ => return false,
            }
        }
        rest.is_empty()
    }
}

/// Where `pieces` without `*` end in a text that begins with them.
fn forward(pieces: &[Piece], text: Text<'_>, tenant: Option<&TenantId>) -> Option<usize> {
    pieces.iter().try_fold(0, |at, piece| match piece {
        Piece::Characters(n) => text.forward(at, *n),
        other => {
            let literal = other.literal(tenant)?;
            text.has_at(at, literal).then_some(at + literal.len())
        }
    })
}

/// Where `pieces` without `*` begin in a text that ends with them.
fn backward(pieces: &[Piece], text: Text<'_>, tenant: Option<&TenantId>) -> Option<usize> {
    pieces.iter().rev().try_fold(text.len(), |at, piece| match piece {
        Piece::Characters(n) => text.backward(at, *n),
        other => {
            let literal = other.literal(tenant)?;
            at.checked_sub(literal.len()).filter(|at| text.has_at(*at, literal))
        }
    })
}

impl Piece {
    /// None: a wildcard, or a tenant where none is known.
    fn literal<'p>(&'p self, tenant: Option<&'p TenantId>) -> Option<&'p [u8]> {
        match self {
            Piece::Literal(l) => Some(l),
            Piece::Tenant => tenant.map(|t| t.as_str().as_bytes()),
            Piece::Any | Piece::Characters(_) => None,
        }
    }
}

/// A pattern that is being read.
#[derive(Default)]
struct Pieces {
    pieces: Vec<Piece>,
    literal: Vec<u8>,
}

impl Pieces {
    fn character(&mut self, c: char, wildcards: Wildcards) {
        match c {
            '*' if wildcards == Wildcards::Yes => self.push(Piece::Any),
            '?' if wildcards == Wildcards::Yes => self.push(Piece::Characters(1)),
            _ => self.literal.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }

    fn push(&mut self, piece: Piece) {
        self.close_literal();
        match (self.pieces.last_mut(), piece) {
            // `**` is `*`.
            (Some(Piece::Any), Piece::Any) => {}
            (Some(Piece::Characters(run)), Piece::Characters(n)) => *run += n,
            (_, piece) => self.pieces.push(piece),
        }
    }

    fn close_literal(&mut self) {
        if !self.literal.is_empty() {
            self.pieces.push(Piece::Literal(std::mem::take(&mut self.literal).into()));
        }
    }

    fn done(mut self) -> Pattern {
        self.close_literal();
        Pattern(self.pieces)
    }
}

enum Variable<'n> {
    Tenant,
    /// IAM's way to write these characters themselves.
    Itself(&'n str),
}

fn variable(name: &str) -> Result<Variable<'_>, String> {
    match name {
        "tenant" | "aws:username" => Ok(Variable::Tenant),
        "*" | "?" | "$" => Ok(Variable::Itself(name)),
        _ => Err(format!("the variable ${{{name}}} is not known here; known are ${{tenant}} and ${{aws:username}}")),
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
            ("a*a", "a", false),
            ("*ab*b", "xab", false),
            ("*ab*b", "xabb", true),
            ("*?\u{20ac}?*", "\u{20ac}\u{20ac}\u{20ac}", true),
            ("?*?", "\u{20ac}", false),
            ("*b?*", "b\u{1f600}", true),
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

    #[test]
    fn what_is_counted() {
        let of = |text: &str| Pattern::compile(text, Wildcards::Yes).map(|p| (p.wildcards(), p.searched_bytes())).unwrap();
        assert_eq!(of("abc"), (0, 0));
        assert_eq!(of("abc/*"), (1, 0));
        assert_eq!(of("*.p?g"), (2, 0));
        assert_eq!(of("a**b*c"), (2, 1));
        assert_eq!(of("*a??b*${tenant}*"), (5, 4 + TENANT_BYTES));
    }

    /// By the definition, one row of a table after the other.
    fn table_model(pattern: &str, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let mut row = vec![false; text.len() + 1];
        row[0] = true;
        for p in pattern.chars() {
            let mut next = vec![false; text.len() + 1];
            next[0] = p == '*' && row[0];
            for (i, t) in text.iter().enumerate() {
                next[i + 1] = match p {
                    '*' => row[i + 1] || next[i],
                    '?' => row[i],
                    literal => row[i] && literal == *t,
                };
            }
            row = next;
        }
        row[text.len()]
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
            prop_assert_eq!(table_model(&pattern, &text), expected);
        }

        /// Texts of several words, with characters that lie over the border of two.
        #[test]
        fn agrees_on_long_texts(
            pattern in "([ab\u{e9}\u{20ac}\u{1f600}]{0,3}|[?]{0,70}|[*]|[a]{0,70}){0,6}",
            head in "[a]{0,70}[ab\u{e9}\u{20ac}\u{1f600}]{0,80}",
            tail in "[ab\u{e9}\u{20ac}\u{1f600}]{0,60}[ab]{0,70}",
        ) {
            let compiled = Pattern::compile(&pattern, Wildcards::Yes).unwrap();
            let expected = table_model(&pattern, &format!("{head}/{tail}"));
            prop_assert_eq!(compiled.matches(Text::joined(&head, Some(&tail)), None), expected);
        }

        /// A pattern that is cut out of the text, with some of it forgotten, matches.
        #[test]
        fn matches_what_it_was_made_of(text in "[ab\u{20ac}]{1,200}", holes in proptest::collection::vec((0usize..200, 0usize..40, any::<bool>()), 0..6)) {
            let mut pattern: Vec<Option<char>> = text.chars().map(Some).collect();
            let (mut starts, mut ones) = (Vec::new(), Vec::new());
            for (at, n, star) in holes {
                for i in at..(at + n).min(pattern.len()) {
                    pattern[i] = None;
                    if star { starts.push(i) } else { ones.push(i) }
                }
            }
            let text_of = |(i, c): (usize, &Option<char>)| c.unwrap_or(if starts.contains(&i) { '*' } else { '?' });
            let pattern: String = pattern.iter().enumerate().map(text_of).collect();
            prop_assert!(matches(&pattern, &text), "{pattern}");
        }
    }
}
