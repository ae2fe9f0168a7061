//! A gateway over a bucket that exists: another gateway is its upstream, or an S3 that can do less.

mod absent;
mod back;
mod basics;
mod classes;
pub mod early;
mod encryption;
mod faults;
mod first_read;
mod golden;
mod hidden;
pub mod nodes;
pub mod own;
mod plain;
mod proof;
mod records;
mod tags;
pub mod versions;
