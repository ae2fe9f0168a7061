//! What the nodes of one bucket tell each other: "this key has changed", "forget that". How it is said, sealed and sent.
//! And the blocks of the cache that they give each other, so that each is fetched once for all of them.
//!
//! Not here: when something is told, and what becomes of it while a peer can't be reached (`jobs::peers`); what a message does
//! where it arrives (`ops::peers`). A message is only ever about what a node remembers: the worst that one can do is a miss.
//! Invariant: nothing is believed that was not sealed with the operator's secret, which all nodes share, a moment ago, once.

pub mod blocks;
pub mod client;
pub mod message;
pub mod ring;
pub mod seal;
pub mod sealed_body;

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// Where messages arrive, on the admin door.
pub const PATH: &str = "/-/admin/v1/peer";
/// Where blocks are asked for.
pub const BLOCKS_PATH: &str = "/-/admin/v1/peer/blocks";

#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub peers: Vec<PeerAddress>,
    /// This node itself, which is left out of them.
    pub this: Option<PeerAddress>,
    /// Each stretch of an object is kept by one of them all.
    pub share_cache: bool,
    pub recurring: RecurringNode,
}

impl Settings {
    /// What no single key can know, with the key. `shared`: the nodes stand over one S3.
    pub fn faults(&self, shared: bool) -> Vec<(&'static str, &'static str)> {
        let Settings { peers, this, share_cache, recurring } = self;
        let is_twice = peers.iter().enumerate().any(|(n, peer)| peers.iter().take(n).any(|other| other == peer));
        let is_stranger = this.as_ref().is_some_and(|this| !peers.is_empty() && !peers.contains(this));
        let is_alone = this.is_none() || peers.iter().all(|peer| this.as_ref() == Some(peer));
        let is_named = *recurring != RecurringNode::Lease;
        let all = [
            (is_twice, "cluster.peers", "names a node twice"),
            (is_stranger, "cluster.this", "expected one of cluster.peers"),
            (*share_cache && is_alone, "cluster.share_cache", "expected cluster.this, and other nodes in cluster.peers"),
            (
                !peers.is_empty() && !shared,
                "cluster.peers",
                "expected none without upstream.bucket: nodes with an embedded store share nothing",
            ),
            (
                is_named && !shared,
                "cluster.recurring",
                "expected \"lease\" without upstream.bucket: a node with an embedded store is alone",
            ),
        ];
        all.into_iter().filter(|(is_fault, ..)| *is_fault).map(|(_, key, message)| (key, message)).collect()
    }
}

/// Which node does what is to be done once for all nodes over a bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RecurringNode {
    /// Whoever holds a lease in the bucket.
    #[default]
    Lease,
    Here,
    Elsewhere,
}

impl FromStr for RecurringNode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "lease" => Ok(RecurringNode::Lease),
            "here" => Ok(RecurringNode::Here),
            "elsewhere" => Ok(RecurringNode::Elsewhere),
            _ => Err(()),
        }
    }
}

impl fmt::Display for RecurringNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecurringNode::Lease => "lease",
            RecurringNode::Here => "here",
            RecurringNode::Elsewhere => "elsewhere",
        })
    }
}

/// The admin door of another node, such as `http://10.0.0.2:9001`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerAddress {
    authority: String,
    host: String,
    port: u16,
}

impl FromStr for PeerAddress {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let uri: Uri = text.parse().map_err(|_| ())?;
        let plain = uri.scheme_str() == Some("http") && uri.path() == "/" && uri.query().is_none();
        let authority = uri.authority().filter(|a| plain && !a.as_str().contains('@')).ok_or(())?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(PeerAddress { authority: authority.to_string(), host, port: authority.port_u16().ok_or(())? })
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_peers() {
        for text in ["http://10.0.0.2:9001", "http://node-2.internal:9001", "http://[::1]:9001"] {
            assert_eq!(text.parse::<PeerAddress>().map(|a| a.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("http://[::1]:9001".parse::<PeerAddress>().unwrap().host, "::1");
        for text in ["", "10.0.0.2:9001", "https://a:1", "http://a", "http://a:1/x", "http://u@a:1", "http://a:1/?x"] {
            assert!(text.parse::<PeerAddress>().is_err(), "{text}");
        }
    }
}
