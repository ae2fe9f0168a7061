//! All integration tests in one binary (one link): folders by subject.

#![allow(clippy::expect_used, clippy::panic, clippy::unreachable, clippy::unwrap_used, reason = "a test that panics has failed")]

mod api;
mod cdn;
mod edge;
mod events;
mod fetch;
mod generate;
mod jobs;
mod life;
mod media;
mod moving;
mod nodes;
mod regions;
mod s3;
mod shadow;
mod support;
mod tidy;
mod upstream;
mod usage;
