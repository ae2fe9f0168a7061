//! The S3 door as clients and attackers meet it: a whole gateway, requests over sockets.

mod attacks;
mod bucket_logs;
mod checksums;
mod coded;
mod details;
pub mod encryption;
mod forms;
mod grants;
mod headers;
mod lifecycle;
mod limits;
mod links;
mod lock;
mod matrix;
mod model;
mod ownership;
mod post;
mod publish;
mod races;
mod sdk;
mod sdk_tls;
mod settings;
mod storable;
pub mod sts;
mod tags;
mod uploads;
mod versions;
