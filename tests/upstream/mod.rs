//! A gateway over a bucket that exists: another gateway is its upstream.

mod basics;
