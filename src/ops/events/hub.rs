//! Events for those who watch now: the last ones of each tenant that is watched, in memory.
//!
//! A reader has a place in its tenant's ring and reads on from there. One that falls so far behind that its place is gone is told so. What a tenant has
//! is kept for a while after its last reader left: a browser that lost its connection comes back and misses nothing.
//! Limits: so many events of a tenant, so many watched tenants, so many readers.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::TenantId;
use crate::ops::events::message::Event;

const KEPT: usize = 4096;
const KEPT_FOR: Duration = Duration::from_secs(600);
const MAX_TENANTS: usize = 1024;
const MAX_READERS: usize = 10_000;
/// Of one tenant.
const MAX_READERS_OF_ONE: usize = 1000;

pub struct Hub {
    rings: Mutex<HashMap<TenantId, Ring>>,
    /// Whether there is any ring: each write asks.
    is_used: AtomicBool,
    /// In every place: a place of another process is none of this one's.
    epoch: u64,
}

struct Ring {
    events: VecDeque<Arc<Event>>,
    /// The place of the first of them.
    first: u64,
    /// Where the next one goes.
    next: watch::Sender<u64>,
    /// When the last reader left.
    left: Instant,
}

impl Ring {
    fn new() -> Self {
        Ring { events: VecDeque::new(), first: 0, next: watch::channel(0).0, left: Instant::now() }
    }

    fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }
}

/// Reads on in a ring.
pub struct Reader {
    hub: Arc<Hub>,
    tenant: TenantId,
    place: u64,
    next: watch::Receiver<u64>,
}

/// What a reader finds.
#[derive(Debug, PartialEq)]
pub enum Found {
    /// In order, each with the place behind it.
    Events(Vec<(String, Arc<Event>)>),
    /// Some were missed: the reader stands at the end now.
    Gap,
}

impl Hub {
    pub fn new(epoch: u64) -> Arc<Self> {
        Arc::new(Hub { rings: Mutex::default(), is_used: AtomicBool::new(false), epoch })
    }

    fn rings(&self) -> MutexGuard<'_, HashMap<TenantId, Ring>> {
        // What is done under it can't panic half way.
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody watches the tenant's events, or did a moment ago.
    pub fn is_watched(&self, tenant: &TenantId) -> bool {
        self.is_used.load(Ordering::Relaxed) && self.rings().contains_key(tenant)
    }

    pub fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }

    pub fn publish(&self, event: &Event) {
        let mut rings = self.rings();
        let Some(ring) = rings.get_mut(&event.tenant) else { return };
        if ring.next.receiver_count() == 0 && ring.left.elapsed() > KEPT_FOR {
            rings.remove(&event.tenant);
            self.is_used.store(!rings.is_empty(), Ordering::Relaxed);
            return;
        }
        if ring.events.len() >= KEPT {
            ring.events.pop_front();
            ring.first += 1;
        }
        ring.events.push_back(Arc::new(event.clone()));
        ring.next.send_replace(ring.end());
    }

    /// `after`: the place that a reader names which was here before. Where it is not known any more, the first thing found is a gap.
    pub fn watch(self: &Arc<Self>, tenant: &TenantId, after: Option<&str>) -> Result<Reader> {
        let mut rings = self.rings();
        rings.retain(|_, ring| ring.next.receiver_count() > 0 || ring.left.elapsed() <= KEPT_FOR);
        let all: usize = rings.values().map(|ring| ring.next.receiver_count()).sum();
        let own = rings.get(tenant).map_or(0, |ring| ring.next.receiver_count());
        let is_full = rings.len() >= MAX_TENANTS && !rings.contains_key(tenant);
        if all >= MAX_READERS || own >= MAX_READERS_OF_ONE || is_full {
            return Err(Error::new(ErrorKind::SlowDown, "Too many clients watch events now. Please try again later."));
        }
        let ring = rings.entry(tenant.clone()).or_insert_with(Ring::new);
        self.is_used.store(true, Ordering::Relaxed);
        let place = match after {
            None => ring.end(),
            // No event will ever be there: it is a gap.
            Some(after) => self.parse(after).unwrap_or(u64::MAX),
        };
        Ok(Reader { hub: self.clone(), tenant: tenant.clone(), place, next: ring.next.subscribe() })
    }

    pub fn readers(&self) -> usize {
        self.rings().values().map(|ring| ring.next.receiver_count()).sum()
    }

    fn place(&self, at: u64) -> String {
        format!("{:016x}-{at}", self.epoch)
    }

    fn parse(&self, place: &str) -> Option<u64> {
        let (epoch, at) = place.split_once('-')?;
        (u64::from_str_radix(epoch, 16).ok()? == self.epoch).then(|| at.parse().ok()).flatten()
    }
}

impl Reader {
    /// As soon as there is anything.
    pub async fn next(&mut self) -> Found {
        loop {
            self.next.borrow_and_update();
            if let Some(found) = self.look() {
                return found;
            }
            if self.next.changed().await.is_err() {
                return Found::Gap;
            }
        }
    }

    fn look(&mut self) -> Option<Found> {
        const AT_ONCE: usize = 64;
        let rings = self.hub.rings();
        let ring = rings.get(&self.tenant)?;
        if self.place < ring.first || self.place > ring.end() {
            self.place = ring.end();
            return Some(Found::Gap);
        }
        let skip = (self.place - ring.first) as usize;
        let events: Vec<_> = (self.place + 1..).zip(ring.events.iter().skip(skip).take(AT_ONCE)).collect();
        self.place = events.last().map(|(at, _)| *at)?;
        Some(Found::Events(events.into_iter().map(|(at, event)| (self.hub.place(at), event.clone())).collect()))
    }

    /// Where it stands: what a client says when it comes back.
    pub fn place(&self) -> String {
        self.hub.place(self.place)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(ring) = self.hub.rings().get_mut(&self.tenant) {
            ring.left = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::event::EventKind;
    use crate::base::timestamp::Timestamp;

    fn acme() -> TenantId {
        TenantId::parse("acme").unwrap()
    }

    fn event(id: &str) -> Event {
        Event {
            id: id.into(),
            kind: EventKind::CreatedPut,
            at: Timestamp::from_secs(1),
            sequence: 1,
            region: String::new(),
            tenant: acme(),
            by: None,
            address: None,
            request: None,
            configuration: None,
            bucket: None,
            object: None,
            data: None,
        }
    }

    fn ids(found: Found) -> (Vec<String>, String) {
        match found {
            Found::Events(events) => {
                (events.iter().map(|(_, e)| e.id.clone()).collect(), events.last().map(|(p, _)| p.clone()).unwrap_or_default())
            }
            Found::Gap => (vec!["gap".into()], String::new()),
        }
    }

    #[tokio::test]
    async fn a_reader_comes_back_to_where_it_was() {
        let hub = Hub::new(7);
        hub.publish(&event("nobody watches"));
        assert!(!hub.is_watched(&acme()));
        let mut reader = hub.watch(&acme(), None).unwrap();
        hub.publish(&event("a"));
        hub.publish(&event("b"));
        let (found, place) = ids(reader.next().await);
        assert_eq!(found, ["a", "b"]);
        drop(reader);
        hub.publish(&event("c"));
        assert!(hub.is_watched(&acme()));
        let mut back = hub.watch(&acme(), Some(&place)).unwrap();
        assert_eq!(ids(back.next().await).0, ["c"]);
        for wrong in ["", "x", "0000000000000008-1", "0000000000000007-99"] {
            assert_eq!(hub.watch(&acme(), Some(wrong)).unwrap().next().await, Found::Gap, "{wrong}");
        }
    }

    #[tokio::test]
    async fn who_falls_behind_is_told() {
        let hub = Hub::new(7);
        let mut reader = hub.watch(&acme(), None).unwrap();
        for n in 0..=KEPT {
            hub.publish(&event(&n.to_string()));
        }
        assert_eq!(reader.next().await, Found::Gap);
        hub.publish(&event("new"));
        assert_eq!(ids(reader.next().await).0, ["new"]);
    }

    #[tokio::test]
    async fn one_tenant_has_so_many_readers() {
        let hub = Hub::new(7);
        let readers: Vec<_> = (0..MAX_READERS_OF_ONE).map(|_| hub.watch(&acme(), None).unwrap()).collect();
        assert!(hub.watch(&acme(), None).is_err());
        assert_eq!(hub.readers(), MAX_READERS_OF_ONE);
        drop(readers);
        assert!(hub.watch(&acme(), None).is_ok());
    }
}
