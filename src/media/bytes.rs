//! Reads fields out of bytes that say anything: each read is checked against what is there, and says what is missing.

/// What is wrong, for people: it is shown to the owner of the file.
pub type Looked<T> = Result<T, String>;

#[derive(Clone)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// What is read, for messages.
    what: &'static str,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Cursor { bytes, at: 0, what }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub fn is_empty(&self) -> bool {
        self.left() == 0
    }

    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub fn take(&mut self, count: usize) -> Looked<&'a [u8]> {
        match self.rest().get(..count) {
            Some(taken) => {
                self.at += count;
                Ok(taken)
            }
            None => Err(format!("it is cut short: {} at byte {} needs {count} bytes and there are {}", self.what, self.at, self.left())),
        }
    }

    pub fn skip(&mut self, count: u64) -> Looked<()> {
        let short =
            || format!("it is cut short: {} at byte {} goes on for {count} bytes and there are {}", self.what, self.at, self.left());
        let count = usize::try_from(count).ok().filter(|n| *n <= self.left()).ok_or_else(short)?;
        self.at += count;
        Ok(())
    }

    pub fn array<const N: usize>(&mut self) -> Looked<[u8; N]> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| "it is cut short".to_owned())
    }

    pub fn u8(&mut self) -> Looked<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub fn u16_be(&mut self) -> Looked<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn u16_le(&mut self) -> Looked<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32_be(&mut self) -> Looked<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn u32_le(&mut self) -> Looked<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64_be(&mut self) -> Looked<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub fn u64_le(&mut self) -> Looked<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn i32_le(&mut self) -> Looked<i32> {
        self.array().map(i32::from_le_bytes)
    }

    /// Up to a zero byte, which is taken too.
    pub fn text_to_zero(&mut self, max: usize) -> Looked<&'a [u8]> {
        let within = &self.rest()[..self.left().min(max + 1)];
        let end =
            within.iter().position(|b| *b == 0).ok_or_else(|| format!("{} at byte {} has a text without an end", self.what, self.at))?;
        let text = &within[..end];
        self.at += end + 1;
        Ok(text)
    }
}

/// A name of four letters, as many formats have them.
pub fn four(name: &[u8]) -> String {
    name.iter().map(|b| if b.is_ascii_graphic() { char::from(*b) } else { '?' }).collect()
}
