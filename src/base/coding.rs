//! Content codings (RFC 9110 8.4.1), and the forms in which the bytes of one version may be sent. Pure.

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Coding {
    Identity,
    Br,
    Zstd,
    Gzip,
    /// Only ever stored by a writer: what it means (zlib or bare) was never agreed upon, so it is not made here.
    Deflate,
}

impl Coding {
    pub const ALL: [Coding; 5] = [Coding::Identity, Coding::Br, Coding::Zstd, Coding::Gzip, Coding::Deflate];

    /// As in `Content-Encoding` and `Accept-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Coding::Identity => "identity",
            Coding::Br => "br",
            Coding::Zstd => "zstd",
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
        }
    }

    pub fn parse(token: &str) -> Option<Self> {
        // RFC 9110 8.4.1.3: the old name means the same.
        let token = if token.eq_ignore_ascii_case("x-gzip") { "gzip" } else { token };
        Coding::ALL.into_iter().find(|c| token.eq_ignore_ascii_case(c.name()))
    }

    /// In an ETag, where `identity` would be long.
    fn short(self) -> &'static str {
        if self == Coding::Identity { "id" } else { self.name() }
    }
}

/// One way in which this gateway makes a variant: the same content in the same form is the same bytes, so an ETag may
/// name it. The generation changes whenever the bytes would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Form {
    pub coding: Coding,
    pub generation: u8,
}

impl Form {
    /// `br1`, `id1`. None: not a form.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| c.is_ascii_digit())?;
        let (short, generation) = text.split_at_checked(digits)?;
        let coding = Coding::ALL.into_iter().find(|c| c.short() == short)?;
        // One spelling for each number: `+1` and `01` are nobody's.
        let generation = generation.parse().ok().filter(|g: &u8| g.to_string() == generation)?;
        Some(Form { coding, generation })
    }
}

impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.coding.short(), self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for coding in Coding::ALL {
            assert_eq!(Coding::parse(&coding.name().to_ascii_uppercase()), Some(coding));
            let form = Form { coding, generation: 12 };
            assert_eq!(Form::parse(&form.to_string()), Some(form));
        }
        assert_eq!(Coding::parse("X-GZip"), Some(Coding::Gzip));
        for bad in ["", "br", "1", "br+1", "br01", "br256", "Br1", "br1 ", "identity1", "brotli1"] {
            assert_eq!(Form::parse(bad), None, "{bad}");
        }
    }
}
