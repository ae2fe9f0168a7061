//! Where the nodes over one bucket keep what they tell each other of the tally: small records by name. Another store of them is made by
//! tests.

use crate::queue::lease::{Posted, Reply};

/// What a record is written over.
#[derive(Debug, Clone)]
pub enum Over {
    Anything,
    Nothing,
    /// By its mark.
    This(String),
}

impl Over {
    pub fn the(posted: Option<&Posted>) -> Self {
        posted.map_or(Over::Nothing, |posted| Over::This(posted.mark.clone()))
    }
}

pub trait Shelf: Send + Sync + 'static {
    fn read<'a>(&'a self, name: &'a str) -> Reply<'a, Option<Posted>>;
    /// False: another record was there, and nothing was written.
    fn write<'a>(&'a self, name: &'a str, text: Vec<u8>, over: Over) -> Reply<'a, bool>;
    /// All in a folder, which ends with a slash.
    fn all<'a>(&'a self, folder: &'a str) -> Reply<'a, Vec<(String, Vec<u8>)>>;
    /// For reports: the records of a day of all that was stored, written again and again.
    fn put_usage<'a>(&'a self, month: &'a str, name: &'a str, record: &'a [u8]) -> Reply<'a, ()>;
}
