//! What is counted, and where. Values only.

use serde::{Deserialize, Serialize};

use crate::base::listed::listed;

listed! {
    /// Requests as S3's price lists class them.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Class { Put, Get, List, Delete, Other }
}

impl Class {
    pub const fn name(self) -> &'static str {
        match self {
            Class::Put => "put",
            Class::Get => "get",
            Class::List => "list",
            Class::Delete => "delete",
            Class::Other => "other",
        }
    }
}

listed! {
    /// By which way bytes went out.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Way { S3, Edge, Cdn }
}

impl Way {
    pub const fn name(self) -> &'static str {
        match self {
            Way::S3 => "s3",
            Way::Edge => "edge",
            Way::Cdn => "cdn",
        }
    }
}

/// Stands where the names of a row that many share would stand.
pub const OTHER: &str = "(other)";

/// Whose, and of what. Empty: the request, or its key, says none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub tenant: String,
    pub bucket: String,
    pub artifact: String,
    pub run: String,
}

impl Place {
    /// Where the tenant's requests go that found no row.
    pub fn other(&self) -> Place {
        Place { tenant: self.tenant.clone(), bucket: OTHER.into(), artifact: String::new(), run: OTHER.into() }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// By `Class`.
    pub requests: [u64; 5],
    pub bytes_in: u64,
    /// By `Way`.
    pub bytes_out: [u64; 3],
    pub job_millis: u64,
    /// Bytes that were stored, times milliseconds.
    pub byte_millis: u128,
}

impl Counts {
    pub fn request(class: Class, way: Way, bytes_in: u64, bytes_out: u64) -> Self {
        let mut counts = Counts { bytes_in, ..Counts::default() };
        counts.add_request(class, way, 0, bytes_out);
        counts
    }

    pub fn add_request(&mut self, class: Class, way: Way, bytes_in: u64, bytes_out: u64) {
        // Indices of a closed enum: they are always there.
        if let Some(requests) = self.requests.get_mut(class as usize) {
            *requests += 1;
        }
        if let Some(out) = self.bytes_out.get_mut(way as usize) {
            *out += bytes_out;
        }
        self.bytes_in += bytes_in;
    }

    pub fn add(&mut self, other: &Counts) {
        let pairs = self.requests.iter_mut().zip(other.requests).chain(self.bytes_out.iter_mut().zip(other.bytes_out));
        pairs.for_each(|(sum, more)| *sum = sum.saturating_add(more));
        self.bytes_in = self.bytes_in.saturating_add(other.bytes_in);
        self.job_millis = self.job_millis.saturating_add(other.job_millis);
        self.byte_millis = self.byte_millis.saturating_add(other.byte_millis);
    }

    pub fn all_requests(&self) -> u64 {
        self.requests.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    pub fn all_bytes_out(&self) -> u64 {
        self.bytes_out.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }
}
