//! The hard moments of a server's life, each met by a raw client.

mod accept;
mod audit;
mod binary;
mod bucket_logs;
mod clients;
mod continues;
mod doctor;
mod drain;
mod half_closed;
mod large;
mod lifecycle;
mod memory;
mod private;
mod protocols;
mod records;
mod redacted;
mod restore;
mod tenants;
mod tls;
mod uploads;
