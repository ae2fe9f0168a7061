//! Models, pictures, sound and video: what they are and whether they are whole. Pure transforms, run by a worker.
//!
//! ```text
//! inspect          bytes and what is declared of them -> what was found;  formats/, glb, model, json: how each is read
//! render           models as pictures, and how alike two look
//! optimize         a model -> smaller ones that look the same, its poster, and a manifest
//! unpack           geometry that an extension keeps, as plain accessors
//! ktx2, basis      textures for graphics cards: their files, and their encoder and transcoder
//! mesh_codec       the codecs and the simplifier of meshoptimizer, safely
//! worker, sandbox  the process that does it: the same binary, without rights
//! pool, wire       the gateway's side, and what both say to each other
//! ```
//! A layer beside `variants`: it takes bodies of an origin, and `ops` decides for whom. No transform reads or writes a file.

mod basis;
pub mod bytes;
pub mod format;
mod formats;
mod found;
pub mod glb;
pub mod inspect;
pub mod json;
mod ktx2;
mod mesh_codec;
pub mod model;
pub mod optimize;
pub mod pool;
pub mod render;
#[cfg(feature = "test-util")]
pub mod samples;
mod sandbox;
pub mod settings;
#[cfg(test)]
mod tests;
mod unpack;
pub mod wire;
pub mod worker;

pub use found::INSPECTOR;
