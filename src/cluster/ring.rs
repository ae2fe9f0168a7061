//! Which node keeps which stretch of an object. Pure: every node that knows the same others says the same.
//!
//! By the highest of hashes (rendezvous hashing): a node that comes takes its share from all others alike, and one that goes leaves its share
//! to all others alike; nothing else moves.

use twox_hash::XxHash3_64;

use super::PeerAddress;
use crate::base::names::{BucketName, ObjectKey};

/// So much of an object lies on one node: as much as one request to the upstream fetches.
pub const STRETCH: u64 = 8 << 20;

/// A stretch of an object. Its versions lie together.
pub struct Stretch(u64);

impl Stretch {
    pub fn at(bucket: &BucketName, key: &ObjectKey, offset: u64) -> Self {
        // No bucket's name has a slash.
        let name = [bucket.as_str().as_bytes(), b"/", key.as_str().as_bytes(), &(offset / STRETCH).to_le_bytes()].concat();
        Stretch(XxHash3_64::oneshot(&name))
    }

    fn weight(&self, node: &PeerAddress) -> u64 {
        XxHash3_64::oneshot_with_seed(self.0, node.authority.as_bytes())
    }

    /// None: there are no nodes.
    pub fn keeper<'n>(&self, nodes: impl Iterator<Item = &'n PeerAddress>) -> Option<&'n PeerAddress> {
        nodes.max_by_key(|node| (self.weight(node), *node))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn nodes(count: usize) -> Vec<PeerAddress> {
        (0..count).map(|n| format!("http://10.0.0.{n}:9001").parse().unwrap()).collect()
    }

    fn keepers(nodes: &[PeerAddress]) -> Vec<PeerAddress> {
        let bucket = BucketName::parse("media").unwrap();
        let stretch = |n: u64| Stretch::at(&bucket, &ObjectKey::parse(&format!("key-{}", n / 4)).unwrap(), n % 4 * STRETCH);
        (0..20_000).map(|n| stretch(n).keeper(nodes.iter()).unwrap().clone()).collect()
    }

    #[test]
    fn shares_are_fair() {
        for count in [1, 2, 5, 50] {
            let mut shares: HashMap<PeerAddress, f64> = HashMap::new();
            keepers(&nodes(count)).into_iter().for_each(|node| *shares.entry(node).or_default() += 1.0);
            let fair = 20_000.0 / count as f64;
            assert_eq!(shares.len(), count);
            assert!(shares.values().all(|share| (share / fair - 1.0).abs() < 0.25), "{shares:?}");
        }
    }

    #[test]
    fn a_node_that_goes_moves_its_own_share_only() {
        let (all, mut fewer) = (nodes(5), nodes(5));
        let gone = fewer.remove(2);
        let mut moved: HashMap<PeerAddress, usize> = HashMap::new();
        for (before, after) in keepers(&all).into_iter().zip(keepers(&fewer)) {
            if before == gone {
                *moved.entry(after).or_default() += 1;
            } else {
                assert_eq!(before, after);
            }
        }
        // To all others alike.
        assert_eq!(moved.len(), 4);
        assert!(moved.values().all(|n| (700..1300).contains(n)), "{moved:?}");
    }

    #[test]
    fn the_order_in_which_nodes_are_named_is_no_matter() {
        let (forth, mut back) = (nodes(7), nodes(7));
        back.reverse();
        assert_eq!(keepers(&forth), keepers(&back));
    }
}
