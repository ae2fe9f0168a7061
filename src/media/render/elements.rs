//! The numbers of a glTF's accessors, laid out: normalised where they say so, sparse ones filled in.
//!
//! Limits: `MAX_NUMBERS` of one accessor; every place was checked by `Model`.

use super::linear::Matrix;
use crate::media::bytes::Looked;
use crate::media::json::Json;
use crate::media::model::{Component, Layout, Model, length};

const MAX_NUMBERS: usize = 64 << 20;

/// The elements of an accessor, each with `W` numbers: what it has more is left out, what it has less is zero.
pub fn floats<const W: usize>(model: &Model<'_>, accessor: usize) -> Looked<Vec<[f32; W]>> {
    let layout = model.layout(accessor)?;
    let mut out = vec![[0.0; W]; bounded(&layout)?];
    if layout.view.is_some() {
        let plain = Layout { sparse: false, ..layout.clone() };
        let elements = model.elements(&plain)?.ok_or_else(|| outside(accessor))?;
        for (to, from) in out.iter_mut().zip(elements) {
            *to = element(from, &layout);
        }
    }
    if layout.sparse {
        let found = model.json.list("accessors").get(accessor).and_then(|a| a.get("sparse")).ok_or_else(|| outside(accessor))?;
        let count = length(found, "count")?.unwrap_or_default();
        let indices = part(model, found.get("indices"), count, None)?;
        let values = part(model, found.get("values"), count, Some(&layout))?;
        let values = model.elements(&values)?.ok_or_else(|| outside(accessor))?;
        let places = model.elements(&indices)?.ok_or_else(|| outside(accessor))?.map(whole);
        for (place, value) in places.zip(values) {
            *out.get_mut(place).ok_or_else(|| format!("accessor {accessor} is sparse and changes an element that it has not"))? =
                element(value, &layout);
        }
    }
    Ok(out)
}

/// Indices of vertices, joints.
pub fn wholes<const W: usize>(model: &Model<'_>, accessor: usize) -> Looked<Vec<[usize; W]>> {
    let layout = model.layout(accessor)?;
    bounded(&layout)?;
    let size = layout.component.bytes();
    let elements = model.elements(&layout)?.ok_or_else(|| outside(accessor))?;
    let read = |e: &[u8]| std::array::from_fn(|n| e.get(n * size..(n + 1) * size).map_or(0, whole));
    Ok(elements.map(read).collect())
}

pub fn matrices(model: &Model<'_>, accessor: usize) -> Looked<Vec<Matrix>> {
    let flat = floats::<16>(model, accessor)?;
    Ok(flat.iter().map(|m| Matrix(std::array::from_fn(|c| std::array::from_fn(|r| m[c * 4 + r])))).collect())
}

fn bounded(layout: &Layout) -> Looked<usize> {
    match layout.count.checked_mul(layout.width.max(4)) {
        Some(numbers) if numbers <= MAX_NUMBERS => Ok(layout.count),
        _ => Err(format!("an accessor with {} elements is not drawn", layout.count)),
    }
}

fn outside(accessor: usize) -> String {
    format!("accessor {accessor} lies outside the file, or is kept in a way that is not drawn")
}

/// One of the two halves of a sparse accessor. `of`: the accessor whose elements the values are.
fn part(model: &Model<'_>, found: Option<&Json>, count: usize, of: Option<&Layout>) -> Looked<Layout> {
    let found = found.ok_or("a sparse accessor lacks a part")?;
    let view = length(found, "bufferView")?;
    let offset = length(found, "byteOffset")?.unwrap_or(0);
    let own = found.get("componentType").and_then(Json::whole).and_then(Component::of);
    let component = of.map(|l| l.component).or(own).ok_or("a sparse accessor has indices of no known type")?;
    let (width, element) = of.map_or((1, component.bytes()), |l| (l.width, l.element));
    let bytes = view.map(|v| model.place(v)).transpose()?.map_or(0, |(_, _, bytes)| bytes);
    let fits = count.checked_mul(element).and_then(|n| n.checked_add(offset)).is_some_and(|end| end <= bytes);
    if !fits {
        return Err("a sparse accessor has more changes than bytes for them".to_owned());
    }
    Ok(Layout { view, offset, count, stride: element, component, width, element, normalized: false, sparse: false })
}

fn whole(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |n, b| n << 8 | usize::from(*b))
}

fn element<const W: usize>(bytes: &[u8], layout: &Layout) -> [f32; W] {
    let size = layout.component.bytes();
    std::array::from_fn(|n| {
        if n >= layout.width {
            return 0.0;
        }
        bytes.get(n * size..(n + 1) * size).map_or(0.0, |b| number(b, layout.component, layout.normalized))
    })
}

fn number(b: &[u8], component: Component, normalized: bool) -> f32 {
    let unsigned = whole(b) as u32;
    let (value, most) = match component {
        Component::F32 => {
            let value = f32::from_bits(unsigned);
            return if value.is_finite() { value } else { 0.0 };
        }
        Component::U8 => (unsigned as f32, 255.0),
        Component::U16 => (unsigned as f32, 65_535.0),
        Component::I8 => (f32::from(unsigned as u8 as i8), 127.0),
        Component::I16 => (f32::from(unsigned as u16 as i16), 32_767.0),
        Component::U32 => (unsigned as f32, u32::MAX as f32),
    };
    if normalized { (value / most).max(-1.0) } else { value }
}
