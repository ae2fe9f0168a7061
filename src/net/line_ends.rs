//! The line ends of an HTTP/1 head, seen on their way to hyper, which takes a bare LF for one (RFC 9112 2.2 lets it). A proxy in
//! front may not, and then both read different requests in the same bytes: such a head is refused.
//!
//! Not here: everything else of a head, which hyper parses and refuses itself (NUL, bare CR, folded lines), and the line ends of
//! chunks, which hyper wants whole. What is sent behind a request without waiting for its answer (pipelined in one piece) is not
//! looked at: nothing in front of a server sends so.
//! Called by the connection for what is read between requests. Costs one search through a head, and nothing for bodies.

use memchr::memchr_iter;

#[derive(Debug, Clone, Copy, Default)]
pub struct LineEnds {
    /// Of the line that has not ended yet: its bytes, and the last of them.
    line: usize,
    last: u8,
    /// A line that is not empty has ended: before it empty lines mean nothing.
    begun: bool,
    complete: bool,
    bare: bool,
}

impl LineEnds {
    pub fn after(mut self, bytes: &[u8]) -> Self {
        self.read(bytes);
        self
    }

    /// The next bytes of the connection; those behind the head are left alone.
    fn read(&mut self, bytes: &[u8]) {
        if self.complete {
            return;
        }
        let mut begin = 0;
        for end in memchr_iter(b'\n', bytes) {
            let line = bytes.get(begin..end).unwrap_or_default();
            let carriage_return = line.last().copied().unwrap_or(self.last) == b'\r';
            let empty = self.line + line.len() == usize::from(carriage_return);
            self.bare |= !carriage_return;
            self.complete = empty && self.begun;
            self.begun |= !empty;
            (self.line, self.last) = (0, 0);
            if self.complete {
                return;
            }
            begin = end + 1;
        }
        let rest = bytes.get(begin..).unwrap_or_default();
        self.line += rest.len();
        self.last = rest.last().copied().unwrap_or(self.last);
    }

    /// A line ended without CR.
    pub fn are_bare(self) -> bool {
        self.bare
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare(pieces: &[&str]) -> bool {
        let mut ends = LineEnds::default();
        pieces.iter().for_each(|p| ends.read(p.as_bytes()));
        ends.are_bare()
    }

    #[test]
    fn heads_and_what_follows_them() {
        for good in [
            "",
            "GET / HT",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\na body\nwith lines\n",
        ] {
            assert!(!bare(&[good]), "{good:?}");
        }
        for bad in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "\nGET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nX: a\r\rb\nY: c\r\n\r\n",
            "\r\n\nGET / HTTP/1.1\r\n\r\n",
        ] {
            assert!(bare(&[bad]), "{bad:?}");
        }
    }

    #[test]
    fn in_any_pieces() {
        for (text, expected) in [("GET / HTTP/1.1\r\nHost: a\r\n\r\nx\ny", false), ("GET / HTTP/1.1\r\nHost: a\n\r\n", true)] {
            for at in 0..=text.len() {
                assert_eq!(bare(&[&text[..at], &text[at..]]), expected, "{at} {text:?}");
            }
            let single: Vec<String> = text.chars().map(String::from).collect();
            assert_eq!(bare(&single.iter().map(String::as_str).collect::<Vec<_>>()), expected);
        }
    }
}
