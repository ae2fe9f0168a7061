//! What is wrong in a file that an operator or a tenant wrote: where, and in words that help to mend it.

use std::fmt;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Empty where the text came over the wire.
    pub file: PathBuf,
    /// The place inside, such as `Statement[2].Resource[0]`; empty: all of it.
    pub path: String,
    pub message: String,
}

impl Fault {
    pub fn new(file: &Path, path: impl Into<String>, message: impl Into<String>) -> Self {
        Fault { file: file.to_owned(), path: path.into(), message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.as_os_str().is_empty() {
            write!(f, "{}: ", self.file.display())?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}
