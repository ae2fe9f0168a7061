//! The parts of a glTF document by their numbers, with every offset and count checked against the bytes that are there.
//!
//! Called by the inspection and by what makes models smaller. Nothing is copied; what lies outside the file can't be looked at.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::media::bytes::Looked;
use crate::media::json::Json;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    I8,
    U8,
    I16,
    U16,
    U32,
    F32,
}

impl Component {
    pub fn of(code: u64) -> Option<Self> {
        Some(match code {
            5120 => Component::I8,
            5121 => Component::U8,
            5122 => Component::I16,
            5123 => Component::U16,
            5125 => Component::U32,
            5126 => Component::F32,
            _ => return None,
        })
    }

    pub const fn bytes(self) -> usize {
        match self {
            Component::I8 | Component::U8 => 1,
            Component::I16 | Component::U16 => 2,
            Component::U32 | Component::F32 => 4,
        }
    }
}

/// How the elements of an accessor lie.
#[derive(Debug, Clone)]
pub struct Layout {
    /// None: zeros, or what an extension keeps.
    pub view: Option<usize>,
    /// In the view.
    pub offset: usize,
    pub count: usize,
    pub stride: usize,
    pub component: Component,
    /// Components of one element, and their bytes with the padding of matrices.
    pub width: usize,
    pub element: usize,
    pub normalized: bool,
    pub sparse: bool,
}

pub struct Model<'a> {
    pub json: &'a Json,
    /// None: outside the file.
    buffers: Vec<Option<Cow<'a, [u8]>>>,
}

impl<'a> Model<'a> {
    pub fn new(json: &'a Json, bin: Option<&'a [u8]>) -> Looked<Self> {
        let mut buffers = Vec::new();
        for (n, buffer) in json.list("buffers").iter().enumerate() {
            let told = length(buffer, "byteLength")
                .map_err(|e| format!("buffer {n}: {e}"))?
                .ok_or_else(|| format!("buffer {n} says no length"))?;
            let there: Option<Cow<'a, [u8]>> = match buffer.get("uri").and_then(Json::text) {
                Some(uri) if uri.starts_with("data:") => {
                    Some(Cow::Owned(data(uri).ok_or_else(|| format!("buffer {n} has a data URI that can't be read"))?))
                }
                Some(_) => None,
                // What only a reader of an extension looks for.
                None if n > 0 || bin.is_none() => None,
                None => bin.map(Cow::Borrowed),
            };
            if there.as_ref().is_some_and(|bytes| bytes.len() < told) {
                let has = there.map_or(0, |bytes| bytes.len());
                return Err(format!("buffer {n} is said to have {told} bytes and has {has}"));
            }
            buffers.push(there);
        }
        Ok(Model { json, buffers })
    }

    /// Where a view lies: buffer, offset, length.
    pub fn place(&self, view: usize) -> Looked<(usize, usize, usize)> {
        let found = self.json.list("bufferViews").get(view).ok_or_else(|| format!("there is no buffer view {view}"))?;
        let of = |e: String| format!("buffer view {view}: {e}");
        let buffer = length(found, "buffer").map_err(of)?.ok_or_else(|| format!("buffer view {view} names no buffer"))?;
        let offset = length(found, "byteOffset").map_err(of)?.unwrap_or(0);
        let bytes = length(found, "byteLength").map_err(of)?.ok_or_else(|| format!("buffer view {view} says no length"))?;
        let whole = self.json.list("buffers").get(buffer).ok_or_else(|| format!("buffer view {view} is of a buffer that there is not"))?;
        let whole = length(whole, "byteLength").map_err(of)?.unwrap_or(0);
        match offset.checked_add(bytes) {
            Some(end) if end <= whole => Ok((buffer, offset, bytes)),
            _ => Err(format!("buffer view {view} is said to be {bytes} bytes at {offset} of a buffer of {whole}")),
        }
    }

    /// None: it lies outside the file.
    pub fn view(&self, view: usize) -> Looked<Option<&[u8]>> {
        let (buffer, offset, bytes) = self.place(view)?;
        Ok(self.buffers.get(buffer).and_then(Option::as_ref).and_then(|b| b.get(offset..offset + bytes)))
    }

    /// Bytes of a buffer. None: there are none, or they lie outside the file.
    pub fn part(&self, buffer: usize, offset: usize, bytes: usize) -> Option<&[u8]> {
        self.buffers.get(buffer)?.as_ref()?.get(offset..offset.checked_add(bytes)?)
    }

    pub fn layout(&self, accessor: usize) -> Looked<Layout> {
        let found = self.json.list("accessors").get(accessor).ok_or_else(|| format!("there is no accessor {accessor}"))?;
        self.layout_of(found).map_err(|e| format!("accessor {accessor} {e}"))
    }

    fn layout_of(&self, found: &Json) -> Looked<Layout> {
        let component =
            found.get("componentType").and_then(Json::whole).and_then(Component::of).ok_or("has a component type that there is not")?;
        let (width, element) = match found.get("type").and_then(Json::text) {
            Some("SCALAR") => (1, component.bytes()),
            Some("VEC2") => (2, 2 * component.bytes()),
            Some("VEC3") => (3, 3 * component.bytes()),
            Some("VEC4") => (4, 4 * component.bytes()),
            // Columns begin at multiples of four bytes.
            Some("MAT2") => (4, 2 * (2 * component.bytes()).next_multiple_of(4)),
            Some("MAT3") => (9, 3 * (3 * component.bytes()).next_multiple_of(4)),
            Some("MAT4") => (16, 16 * component.bytes()),
            _ => return Err("has a type that there is not".to_owned()),
        };
        let count = length(found, "count")?.filter(|n| *n > 0).ok_or("has no elements")?;
        let offset = length(found, "byteOffset")?.unwrap_or(0);
        let view = length(found, "bufferView")?;
        let normalized = found.get("normalized") == Some(&Json::Bool(true));
        let mut stride = element;
        if let Some(view) = view {
            let (_, _, bytes) = self.place(view)?;
            let told = self.json.list("bufferViews").get(view).map_or(Ok(None), |v| length(v, "byteStride"))?;
            stride = told.unwrap_or(element);
            if stride < element {
                return Err(format!("has elements of {element} bytes {stride} apart"));
            }
            fits(count, stride, element, offset, bytes)?;
        }
        let sparse = match found.get("sparse") {
            None => false,
            Some(sparse) => {
                self.sparse(sparse, count, element)?;
                true
            }
        };
        Ok(Layout { view, offset, count, stride, component, width, element, normalized, sparse })
    }

    fn sparse(&self, sparse: &Json, whole: usize, element: usize) -> Looked<()> {
        let count =
            length(sparse, "count")?.filter(|n| (1..=whole).contains(n)).ok_or("is sparse and changes no element, or more than it has")?;
        let indices = sparse.get("indices").ok_or("is sparse without indices")?;
        let size = match indices.get("componentType").and_then(Json::whole) {
            Some(5121) => 1,
            Some(5123) => 2,
            Some(5125) => 4,
            _ => return Err("is sparse with indices of no known type".to_owned()),
        };
        for (part, element) in [(Some(indices), size), (sparse.get("values"), element)] {
            let part = part.ok_or("is sparse without values")?;
            let view = length(part, "bufferView")?.ok_or("is sparse without a buffer view")?;
            let (_, _, bytes) = self.place(view)?;
            fits(count, element, element, length(part, "byteOffset")?.unwrap_or(0), bytes)?;
        }
        Ok(())
    }

    /// The elements of an accessor, one after the other. None: not here, or not plain.
    pub fn elements<'m>(&'m self, layout: &Layout) -> Looked<Option<impl Iterator<Item = &'m [u8]> + use<'m, 'a>>> {
        let Some(view) = layout.view.filter(|_| !layout.sparse) else { return Ok(None) };
        let Some(bytes) = self.view(view)? else { return Ok(None) };
        let (stride, element) = (layout.stride, layout.element);
        // Its layout was checked: they all lie inside.
        Ok(bytes.get(layout.offset..).map(|bytes| bytes.chunks(stride).take(layout.count).filter_map(move |e| e.get(..element))))
    }
}

fn fits(count: usize, stride: usize, element: usize, offset: usize, bytes: usize) -> Looked<()> {
    let end = (count - 1).checked_mul(stride).and_then(|n| n.checked_add(element)).and_then(|n| n.checked_add(offset));
    match end {
        Some(end) if end <= bytes => Ok(()),
        _ => Err(format!("is said to have {count} elements of {element} bytes, and its buffer view has {bytes} bytes")),
    }
}

/// A length, count or number of something. Err: it is there and is none.
pub fn length(of: &Json, name: &str) -> Looked<Option<usize>> {
    match of.get(name) {
        None => Ok(None),
        Some(value) => {
            let number = value.whole().and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= isize::MAX as usize);
            number.map(Some).ok_or_else(|| format!("its {name} is no whole number"))
        }
    }
}

/// The bytes of a data URI.
pub fn data(uri: &str) -> Option<Vec<u8>> {
    let (_, encoded) = uri.split_once(";base64,")?;
    STANDARD.decode(encoded).ok()
}
