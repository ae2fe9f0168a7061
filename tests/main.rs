//! All integration tests in one binary (one link): folders by subject.

mod cdn;
mod edge;
mod jobs;
mod life;
mod moving;
mod nodes;
mod regions;
mod s3;
mod shadow;
mod support;
mod tidy;
mod upstream;
