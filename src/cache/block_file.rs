//! One block in a file of its own: a header, what it is (the full names, and the object's information), its bytes.
//!
//! A file is written once and gets its name when it is complete. Nothing is synced: whatever a power failure or a stranger left of
//! it shows in its checksums, and any doubt is a miss.

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::path::Path;

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use serde::{Deserialize, Serialize};

use crate::base::etag::ETag;
use crate::base::fields::{Fields, Unknown};
use crate::base::names::{BucketName, ObjectKey, TenantId};
use crate::base::object::{Layer, ObjectInfo};
use crate::base::stored;
use crate::cache::version::Version;
use crate::files::sys;

const MAGIC: u64 = u64::from_le_bytes(*b"TGBLK\0\0\x01");
/// Magic, length of the names, length and checksum of the bytes, checksum of all that and of the names.
const HEADER: usize = 40;
/// An object of thousands of parts has more; then only its names are kept.
const MAX_INFO: usize = 16 * 1024;
/// Names of 1 KiB and less, and `MAX_INFO`.
const MAX_NAMES: usize = 32 * 1024;
const CHECKSUM: CrcAlgorithm = CrcAlgorithm::Crc64Nvme;

/// Which block of what. Behind the names stands whether the version is an old store's, and the object's unknown fields; where nothing
/// does, a release before that wrote it.
#[derive(Serialize, Deserialize)]
struct Names {
    scope: TenantId,
    bucket: BucketName,
    key: ObjectKey,
    etag: ETag,
    size: u64,
    block_bytes: u64,
    number: u32,
    /// What was known of the object when the block came in.
    info: Option<stored::ObjectInfo>,
}

/// Where the bytes lie in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSpan {
    pub start: u32,
    pub len: u64,
}

/// What stands before a block's bytes.
pub fn prelude(version: &Version, number: u32, chunks: &[Bytes]) -> io::Result<Vec<u8>> {
    let info = &version.info;
    let (known, layer, unknown) = stored::ObjectInfo::of(ObjectInfo::clone(info)).map_err(io::Error::other)?;
    let mut names = Names {
        scope: info.owner.clone(),
        bucket: version.bucket.clone(),
        key: version.key.clone(),
        etag: info.etag,
        size: info.size,
        block_bytes: version.block_bytes,
        number,
        info: Some(known).filter(|_| unknown.newer.is_none()),
    };
    let mut text = postcard::to_stdvec(&names).map_err(io::Error::other)?;
    let fields = unknown.fields.append(Vec::new()).map_err(io::Error::other)?;
    if text.len() + fields.len() > MAX_INFO {
        names.info = None;
        text = postcard::to_stdvec(&names).map_err(io::Error::other)?;
    }
    let text = postcard::to_extend(&(layer == Layer::Old), text).map_err(io::Error::other)?;
    let text = if names.info.is_some() { [text, fields].concat() } else { text };
    let mut checksum = Digest::new(CHECKSUM);
    chunks.iter().for_each(|c| checksum.update(c));
    let len: usize = chunks.iter().map(Bytes::len).sum();
    let mut out = Vec::with_capacity(HEADER + text.len());
    for field in [MAGIC, text.len() as u64, len as u64, checksum.finalize()] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    let seal = seal(&out, &text);
    out.extend_from_slice(&seal.to_le_bytes());
    out.extend_from_slice(&text);
    Ok(out)
}

/// Without gathering the chunks in one buffer first.
pub fn write(file: &mut File, prelude: &[u8], chunks: &[Bytes]) -> io::Result<()> {
    let all = std::iter::once(prelude).chain(chunks.iter().map(|c| &**c));
    let mut slices: Vec<IoSlice<'_>> = all.filter(|s| !s.is_empty()).map(IoSlice::new).collect();
    let mut left = slices.as_mut_slice();
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => IoSlice::advance_slices(&mut left, n),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Reads the block through, and proves that it is what its name says. Its bytes too, where they are up to `small`.
pub fn prove(path: &Path, version: &Version, number: u32, small: u64) -> io::Result<(FileSpan, Option<Bytes>)> {
    let mut file = File::open(path)?;
    let header = Header::read(&mut file)?;
    let names = &header.names;
    let range = version.range_of(number);
    let same = names.scope == version.info.owner
        && names.bucket == version.bucket
        && names.key == version.key
        && names.etag == version.info.etag
        && names.size == version.info.size
        && names.block_bytes == version.block_bytes
        && names.number == number
        && header.place.len == range.len();
    if !same || file.metadata()?.len() != u64::from(header.place.start) + header.place.len {
        return Err(damaged());
    }
    let whole = header.place.len <= small;
    let mut checksum = Digest::new(CHECKSUM);
    let (mut at, end) = (u64::from(header.place.start), u64::from(header.place.start) + header.place.len);
    let mut bytes = Bytes::new();
    while at < end {
        let piece = if whole { end - at } else { (end - at).min(256 * 1024) };
        bytes = sys::read_exact(&file, piece as usize, at)?;
        checksum.update(&bytes);
        at += piece;
    }
    if checksum.finalize() != header.checksum {
        return Err(damaged());
    }
    Ok((header.place, whole.then_some(bytes)))
}

/// What the file says of its object: names, and what was known of it.
pub fn told(path: &Path) -> io::Result<(BucketName, ObjectKey, Option<ObjectInfo>)> {
    let Header { names: Names { bucket, key, info, .. }, behind, .. } = Header::read(&mut File::open(path)?)?;
    let info = info.map(|info| {
        let (is_old, fields) =
            if behind.is_empty() { (false, &[][..]) } else { postcard::take_from_bytes(&behind).map_err(|_| damaged())? };
        let layer = if is_old { Layer::Old } else { Layer::Store };
        let (fields, _) = Fields::parse(fields).map_err(|_| damaged())?;
        info.with(layer, Unknown { fields, newer: None }).map_err(|_| damaged())
    });
    Ok((bucket, key, info.transpose()?))
}

struct Header {
    names: Names,
    /// What stands behind the names.
    behind: Vec<u8>,
    place: FileSpan,
    checksum: u64,
}

impl Header {
    fn read(file: &mut File) -> io::Result<Self> {
        let mut bytes = [0; HEADER];
        file.read_exact(&mut bytes)?;
        let mut fields = bytes.chunks_exact(8).filter_map(|c| Some(u64::from_le_bytes(c.try_into().ok()?)));
        let mut next = || fields.next().ok_or_else(damaged);
        let (magic, names_len, len, checksum, sealed) = (next()?, next()? as usize, next()?, next()?, next()?);
        if magic != MAGIC || names_len > MAX_NAMES {
            return Err(damaged());
        }
        let mut text = vec![0; names_len];
        file.read_exact(&mut text)?;
        if seal(bytes.get(..HEADER - 8).unwrap_or_default(), &text) != sealed {
            return Err(damaged());
        }
        let (names, behind): (Names, &[u8]) = postcard::take_from_bytes(&text).map_err(|_| damaged())?;
        let behind = behind.to_vec();
        Ok(Header { names, behind, place: FileSpan { start: (HEADER + names_len) as u32, len }, checksum })
    }
}

fn seal(header: &[u8], names: &[u8]) -> u64 {
    let mut digest = Digest::new(CHECKSUM);
    digest.update(header);
    digest.update(names);
    digest.finalize()
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a block's file is damaged, or is another one")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::object_ref::ObjectRef;
    use crate::cache::tests::{bucket, info, key};

    fn kept(layer: Layer) -> Vec<u8> {
        let info = Arc::new(ObjectInfo { layer, ..ObjectInfo::clone(&info(b"1")) });
        prelude(&Version::new(ObjectRef::current(&bucket(), &key("k")), &info, 65_536), 0, &[Bytes::from_static(b"1")]).unwrap()
    }

    fn layer_in(file: &[u8]) -> Layer {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("block");
        std::fs::write(&path, file).unwrap();
        told(&path).unwrap().2.unwrap().layer
    }

    #[test]
    fn which_store_a_version_is_of_outlives_a_restart() {
        assert_eq!(layer_in(&kept(Layer::Old)), Layer::Old);
        assert_eq!(layer_in(&kept(Layer::Store)), Layer::Store);
    }

    #[test]
    fn a_file_of_a_release_before_is_read() {
        let mut file = kept(Layer::Old);
        file.pop();
        let names = (file.len() - HEADER) as u64;
        file[8..16].copy_from_slice(&names.to_le_bytes());
        let seal = seal(&file[..HEADER - 8], &file[HEADER..]);
        file[HEADER - 8..HEADER].copy_from_slice(&seal.to_le_bytes());
        assert_eq!(layer_in(&file), Layer::Store);
    }
}
