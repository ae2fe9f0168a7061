//! The other nodes: whether each can be told of changes.

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, Default)]
pub struct Peers {
    up: Family<[(&'static str, String); 1], Gauge>,
}

impl Peers {
    pub fn register(r: &mut Registry) -> Self {
        let all = Peers::default();
        r.register("peer_up", "1: the other node took what it was last told", all.up.clone());
        all
    }

    /// Up until it is known otherwise.
    pub fn of(&self, peer: String) -> Gauge {
        let up = self.up.get_or_create_owned(&[("peer", peer)]);
        up.set(1);
        up
    }
}
