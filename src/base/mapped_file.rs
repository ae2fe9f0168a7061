//! A file that is mapped as a whole, so that bytes in it are known by their address: who sends them may name the file instead.

use std::fmt;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

#[derive(Clone)]
pub struct MappedFile {
    /// Keeps the map: no other bytes can have these addresses meanwhile.
    file: Arc<dyn AsFd + Send + Sync>,
    addresses: Range<usize>,
}

impl MappedFile {
    pub fn new(file: Arc<dyn AsFd + Send + Sync>, map: &[u8]) -> Self {
        let start = map.as_ptr() as usize;
        MappedFile { file, addresses: start..start + map.len() }
    }

    /// Where in the file these bytes lie. None: elsewhere.
    pub fn offset(&self, bytes: &[u8]) -> Option<u64> {
        let start = bytes.as_ptr() as usize;
        let inside = !bytes.is_empty() && self.addresses.contains(&start) && start + bytes.len() <= self.addresses.end;
        inside.then(|| (start - self.addresses.start) as u64)
    }

    pub fn is(&self, other: &MappedFile) -> bool {
        self.addresses == other.addresses
    }
}

impl AsFd for MappedFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl fmt::Debug for MappedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MappedFile({} bytes)", self.addresses.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bytes_that_lie_wholly_inside_have_an_offset() {
        let bytes: Vec<u8> = (0..100).collect();
        let (before, rest) = bytes.split_at(10);
        let (map, after) = rest.split_at(80);
        let mapped = MappedFile::new(Arc::new(tempfile::tempfile().unwrap()), map);
        assert_eq!(mapped.offset(map), Some(0));
        assert_eq!(mapped.offset(&map[79..]), Some(79));
        assert_eq!(mapped.offset(&map[7..20]), Some(7));
        assert_eq!(mapped.offset(&map[7..7]), None);
        assert_eq!((mapped.offset(before), mapped.offset(after)), (None, None));
        assert_eq!((mapped.offset(&bytes[9..12]), mapped.offset(&bytes[89..91])), (None, None));
    }
}
