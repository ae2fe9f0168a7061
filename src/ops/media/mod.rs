//! Looks into what is uploaded, by the workers of `media`, and keeps what was found beside the version.

pub mod settings;
