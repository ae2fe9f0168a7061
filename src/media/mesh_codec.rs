//! The codecs of EXT_meshopt_compression and KHR_meshopt_compression, and the simplifier that comes with them.
//!
//! They are C++ that trusts its caller: an index past the vertices, or a number that is none, makes it read or write where it must not.
//! So every function here looks at all that it is given before a pointer goes there. What streams are decoded from may be anything: the
//! decoders are made for that. Called by what reads documents and by what makes smaller ones.

#![allow(unsafe_code, reason = "a C interface: see above")]

use meshopt::ffi;

use crate::media::bytes::Looked;

/// What a stream may be after it was decoded: more is a bomb.
const MAX_DECODED_BYTES: usize = 512 << 20;
const MAX_STRIDE: usize = 256;
/// The best for its size that version 0 knows, and nearly so of version 1.
const LEVEL: i32 = 2;

/// How much a turned normal counts beside a moved corner.
const NORMALS_WEIGH: f32 = 0.5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Attributes,
    Triangles,
    Indices,
}

/// What becomes of the elements after they were decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Filter {
    None,
    Octahedral,
    Quaternion,
    Exponential,
    Color,
}

impl Mode {
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Attributes => "ATTRIBUTES",
            Mode::Triangles => "TRIANGLES",
            Mode::Indices => "INDICES",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        [Mode::Attributes, Mode::Triangles, Mode::Indices].into_iter().find(|mode| mode.name() == name)
    }
}

impl Filter {
    pub const fn name(self) -> &'static str {
        match self {
            Filter::None => "NONE",
            Filter::Octahedral => "OCTAHEDRAL",
            Filter::Quaternion => "QUATERNION",
            Filter::Exponential => "EXPONENTIAL",
            Filter::Color => "COLOR",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        let all = [Filter::None, Filter::Octahedral, Filter::Quaternion, Filter::Exponential, Filter::Color];
        all.into_iter().find(|filter| filter.name() == name)
    }

    fn takes(self, stride: usize) -> bool {
        match self {
            Filter::None => true,
            Filter::Octahedral | Filter::Color => stride == 4 || stride == 8,
            Filter::Quaternion => stride == 8,
            Filter::Exponential => stride.is_multiple_of(4),
        }
    }

    /// In place. `elements` are `count` of `stride` bytes, which it takes.
    fn apply(self, elements: &mut [u32], count: usize, stride: usize) {
        let at = elements.as_mut_ptr().cast();
        // SAFETY: `count * stride` bytes lie there, aligned for 32 bits, and the stride is one that the filter takes.
        unsafe {
            match self {
                Filter::None => {}
                Filter::Octahedral => ffi::meshopt_decodeFilterOct(at, count, stride),
                Filter::Quaternion => ffi::meshopt_decodeFilterQuat(at, count, stride),
                Filter::Exponential => ffi::meshopt_decodeFilterExp(at, count, stride),
                Filter::Color => ffi::meshopt_decodeFilterColor(at, count, stride),
            }
        }
    }
}

fn is_stride(stride: usize) -> bool {
    (4..=MAX_STRIDE).contains(&stride) && stride.is_multiple_of(4)
}

fn bytes_of(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// `count` elements of `stride` bytes.
pub fn decode(mode: Mode, filter: Filter, count: usize, stride: usize, packed: &[u8]) -> Looked<Vec<u8>> {
    let bytes = count.checked_mul(stride).filter(|bytes| (1..=MAX_DECODED_BYTES).contains(bytes));
    let bytes = bytes.ok_or_else(|| format!("is said to have {count} elements of {stride} bytes"))?;
    let fits = match mode {
        Mode::Attributes => is_stride(stride) && filter.takes(stride),
        Mode::Triangles => matches!(stride, 2 | 4) && count.is_multiple_of(3) && filter == Filter::None,
        Mode::Indices => matches!(stride, 2 | 4) && filter == Filter::None,
    };
    if !fits {
        return Err(format!("is said to have {count} elements of {stride} bytes, which {} with {} are not", mode.name(), filter.name()));
    }
    let mut elements = vec![0u32; bytes.div_ceil(4)];
    let (to, from) = (elements.as_mut_ptr().cast(), packed.as_ptr());
    // SAFETY: `count * stride` bytes lie there, aligned for 32 bits; of these strides; and the decoders check what they read.
    let told = unsafe {
        match mode {
            Mode::Attributes => ffi::meshopt_decodeVertexBuffer(to, count, stride, from, packed.len()),
            Mode::Triangles => ffi::meshopt_decodeIndexBuffer(to, count, stride, from, packed.len()),
            Mode::Indices => ffi::meshopt_decodeIndexSequence(to, count, stride, from, packed.len()),
        }
    };
    if told != 0 {
        return Err(format!("can't be decoded ({told})"));
    }
    filter.apply(&mut elements, count, stride);
    let mut out = bytes_of(&elements);
    out.truncate(bytes);
    Ok(out)
}

/// `version`: 0 for EXT_meshopt_compression, 1 for KHR_meshopt_compression. None: these are no elements of so many bytes.
pub fn encode_elements(elements: &[u8], stride: usize, version: u8) -> Option<Vec<u8>> {
    if !is_stride(stride) || elements.is_empty() || !elements.len().is_multiple_of(stride) || version > 1 {
        return None;
    }
    let count = elements.len() / stride;
    // SAFETY: a number from two.
    let most = unsafe { ffi::meshopt_encodeVertexBufferBound(count, stride) };
    let mut out = vec![0; most];
    let (to, from) = (out.as_mut_ptr(), elements.as_ptr().cast());
    // SAFETY: `count * stride` bytes lie there, and `most` have room.
    let length = unsafe { ffi::meshopt_encodeVertexBufferLevel(to, most, from, count, stride, LEVEL, i32::from(version)) };
    out.truncate(length);
    (length > 0).then_some(out)
}

/// None: they are no triangles.
pub fn encode_triangles(indices: &[u32]) -> Option<Vec<u8>> {
    if indices.is_empty() || !indices.len().is_multiple_of(3) {
        return None;
    }
    let vertices = indices.iter().max().map_or(0, |most| *most as usize + 1);
    // SAFETY: a number from two.
    let most = unsafe { ffi::meshopt_encodeIndexBufferBound(indices.len(), vertices) };
    let mut out = vec![0; most];
    // SAFETY: so many indices lie there, and `most` bytes have room.
    let length = unsafe { ffi::meshopt_encodeIndexBuffer(out.as_mut_ptr(), most, indices.as_ptr(), indices.len()) };
    out.truncate(length);
    (length > 0).then_some(out)
}

/// Numbers of `width` each, rounded to so many bits under one exponent for each place: as they are to be encoded, and as they are decoded
/// then. None: one is no number.
pub fn round(values: &[f32], width: usize, bits: i32) -> Option<(Vec<u8>, Vec<f32>)> {
    let stride = width * 4;
    let fits = is_stride(stride) && !values.is_empty() && values.len().is_multiple_of(width) && (1..=24).contains(&bits);
    if !fits || values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let (count, mode) = (values.len() / width, ffi::meshopt_EncodeExpMode_meshopt_EncodeExpSharedComponent);
    let mut words = vec![0u32; values.len()];
    // SAFETY: as many numbers lie there as words have room; of this stride and so many bits.
    unsafe { ffi::meshopt_encodeFilterExp(words.as_mut_ptr().cast(), count, stride, bits, values.as_ptr(), mode) };
    let rounded = bytes_of(&words);
    Filter::Exponential.apply(&mut words, count, stride);
    Some((rounded, words.into_iter().map(f32::from_bits).collect()))
}

/// Directions, and what stands behind them, as four numbers of 16 bits. None: one is no number.
pub fn round_directions(directions: &[[f32; 4]], bits: i32) -> Option<Vec<u8>> {
    let fits = !directions.is_empty() && (2..=16).contains(&bits) && directions.iter().flatten().all(|value| value.is_finite());
    if !fits {
        return None;
    }
    let mut words = vec![0u32; directions.len() * 2];
    // SAFETY: four numbers and room for 8 bytes for each.
    unsafe { ffi::meshopt_encodeFilterOct(words.as_mut_ptr().cast(), directions.len(), 8, bits, directions.as_ptr().cast()) };
    Some(bytes_of(&words))
}

fn lead_inside(indices: &[u32], vertices: usize) -> bool {
    !indices.is_empty() && indices.len().is_multiple_of(3) && indices.iter().all(|n| (*n as usize) < vertices)
}

/// The triangles in an order that a GPU and the encoder like. None: they lead to vertices that there are not.
pub fn in_order(indices: &[u32], vertices: usize) -> Option<Vec<u32>> {
    if !lead_inside(indices, vertices) {
        return None;
    }
    let mut out = vec![0; indices.len()];
    // SAFETY: as many indices have room as lie there, and each is one of so many vertices.
    unsafe { ffi::meshopt_optimizeVertexCache(out.as_mut_ptr(), indices.as_ptr(), indices.len(), vertices) };
    Some(out)
}

/// Fewer triangles of the same vertices: as few as `target` indices, if that is within the error, which is in parts of the longest side.
/// None: they lead to vertices that there are not, or have a number that is none.
pub fn simplify(indices: &[u32], positions: &[[f32; 3]], normals: Option<&[f32]>, target: usize, error: f32) -> Option<Vec<u32>> {
    let normals = normals.unwrap_or_default();
    let finite = positions.iter().flatten().chain(normals).all(|f| f.is_finite());
    let fits = normals.is_empty() || normals.len() == positions.len() * 3;
    if !lead_inside(indices, positions.len()) || !finite || !fits || !error.is_finite() || error < 0.0 {
        return None;
    }
    let (mut out, mut reached) = (vec![0; indices.len()], 0f32);
    let weights = if normals.is_empty() { [].as_slice() } else { [NORMALS_WEIGH; 3].as_slice() };
    let stride = size_of::<[f32; 3]>();
    // SAFETY: as many indices have room as lie there, each is one of the vertices, and each of these has three numbers, and three more
    // where they have a weight. Nothing is locked.
    let length = unsafe {
        ffi::meshopt_simplifyWithAttributes(
            out.as_mut_ptr(),
            indices.as_ptr(),
            indices.len(),
            positions.as_ptr().cast(),
            positions.len(),
            stride,
            normals.as_ptr(),
            stride,
            weights.as_ptr(),
            weights.len(),
            std::ptr::null(),
            target.min(indices.len()),
            error,
            0,
            &mut reached,
        )
    };
    out.truncate(length);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_comes_back() {
        let elements: Vec<u8> = (0..4000u32).flat_map(|n| (n / 3).to_le_bytes()).collect();
        for version in [0, 1] {
            let packed = encode_elements(&elements, 16, version).unwrap();
            assert!(packed.len() * 3 < elements.len());
            assert_eq!(decode(Mode::Attributes, Filter::None, 1000, 16, &packed).unwrap(), elements);
            for end in 0..packed.len() {
                // No panic and no fault; nothing is said of what comes out.
                let _ = decode(Mode::Attributes, Filter::None, 1000, 16, &packed[..end]);
            }
        }
        let grid: Vec<u32> = (0..900).flat_map(|n| [n, n + 1, n + 31]).collect();
        let packed = encode_triangles(&grid).unwrap();
        assert_eq!(packed[0], 0xe1, "the version that the extension names");
        let back: Vec<u32> = decode(Mode::Triangles, Filter::None, grid.len(), 4, &packed)
            .unwrap()
            .chunks(4)
            .map(|b| u32::from_ne_bytes(b.try_into().unwrap()))
            .collect();
        let turned = |t: &[u32]| *[[t[0], t[1], t[2]], [t[1], t[2], t[0]], [t[2], t[0], t[1]]].iter().min().unwrap();
        assert!(grid.chunks(3).map(turned).eq(back.chunks(3).map(turned)));
    }

    #[test]
    fn numbers_are_rounded_to_bits() {
        let values: Vec<f32> = (0..3000).map(|n| (n as f32 * 0.37).sin() * 5.0).collect();
        let (rounded, back) = round(&values, 3, 16).unwrap();
        let packed = encode_elements(&rounded, 12, 0).unwrap();
        let decoded = decode(Mode::Attributes, Filter::Exponential, 1000, 12, &packed).unwrap();
        assert_eq!(decoded, bytes_of(&back.iter().map(|f| f.to_bits()).collect::<Vec<_>>()));
        let worst = values.iter().zip(&back).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // Half a step of 2^3 in 2^15.
        assert!(worst > 0.0 && worst <= 8.0 / 32768.0 / 2.0, "{worst}");
    }

    #[test]
    fn what_would_break_the_codec_is_refused() {
        assert_eq!(encode_triangles(&[0, 1]), None);
        assert_eq!(in_order(&[0, 1, 3], 3), None);
        assert_eq!(
            (encode_elements(&[0; 12], 3, 0), encode_elements(&[0; 10], 4, 0), encode_elements(&[0; 512], 512, 0)),
            (None, None, None)
        );
        assert_eq!((round(&[0.0, f32::NAN], 2, 12), round_directions(&[[f32::INFINITY; 4]], 8)), (None, None));
        for (mode, filter, count, stride) in [
            (Mode::Attributes, Filter::None, 1, 3),
            (Mode::Attributes, Filter::None, usize::MAX, 4),
            (Mode::Attributes, Filter::None, 0, 4),
            (Mode::Attributes, Filter::Octahedral, 1, 12),
            (Mode::Attributes, Filter::Quaternion, 1, 4),
            (Mode::Triangles, Filter::None, 4, 2),
            (Mode::Triangles, Filter::Exponential, 3, 4),
            (Mode::Indices, Filter::None, 4, 8),
        ] {
            assert!(decode(mode, filter, count, stride, &[0xa0; 64]).is_err(), "{mode:?} {filter:?} {count} {stride}");
        }
    }
}
