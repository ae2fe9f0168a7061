//! How many connections there may be, in all and from one address. Counted by guards.
//!
//! A connection past a cap is accepted, answered `503` and closed (see `accept.rs`): left in the kernel's queue it
//! would wait without a sign, and clients and balancers retry elsewhere on a 503.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::telemetry::metrics::Shed;

#[derive(Debug)]
pub struct Admission {
    open: AtomicUsize,
    max: usize,
    max_per_address: usize,
    /// Touched at the start and end of a connection only, and only where the cap is set.
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

impl Admission {
    /// `max_per_address` 0: no cap.
    pub fn new(max: usize, max_per_address: usize) -> Arc<Self> {
        Arc::new(Admission { open: AtomicUsize::new(0), max, max_per_address, by_address: Mutex::default() })
    }

    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Admitted, Shed> {
        // A listener for both families tells IPv4 peers as IPv6 ones: one client is one address on every listener.
        let address = address.to_canonical();
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.max {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Shed::Connections);
        }
        if self.max_per_address > 0 {
            let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
            let count = by_address.entry(address).or_insert(0);
            if *count >= self.max_per_address {
                self.open.fetch_sub(1, Ordering::Relaxed);
                return Err(Shed::PerAddress);
            }
            *count += 1;
        }
        Ok(Admitted { admission: self.clone(), address })
    }
}

#[derive(Debug)]
pub struct Admitted {
    admission: Arc<Admission>,
    address: IpAddr,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.admission.open.fetch_sub(1, Ordering::Relaxed);
        if self.admission.max_per_address > 0 {
            let mut by_address = self.admission.by_address.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = by_address.get_mut(&self.address) {
                *count -= 1;
                if *count == 0 {
                    by_address.remove(&self.address);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_hold_and_places_come_back() {
        let a = IpAddr::from([10, 0, 0, 1]);
        let b = IpAddr::from([10, 0, 0, 2]);
        let admission = Admission::new(3, 2);
        let first = admission.enter(a).unwrap();
        let _second = admission.enter(a).unwrap();
        assert_eq!(admission.enter(a).unwrap_err(), Shed::PerAddress);
        assert_eq!(admission.enter("::ffff:10.0.0.1".parse().unwrap()).unwrap_err(), Shed::PerAddress);
        let _third = admission.enter(b).unwrap();
        assert_eq!(admission.enter(b).unwrap_err(), Shed::Connections);
        drop(first);
        let again = admission.enter(a).unwrap();
        drop(again);
        drop(_second);
        assert!(!admission.by_address.lock().unwrap().contains_key(&a));
    }
}
