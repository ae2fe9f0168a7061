//! The seal of a message: who may say such a thing, to whom it was said just now, and that it is said once.
//!
//! ```text
//! authorization: TIDEGATE-PEER sender=<32 hex digits>, time=<microseconds>, sha256=<of the body>, mac=<64 hex digits>
//! ```
//! The key is derived from the operator's secret. A sender is one connection of one run of a node; its times only grow, so a receiver that
//! remembers the last of each takes no message twice. What it may have forgotten is too old to be taken.
//! Invariants: the mac is checked in constant time, and before a byte of the body is read; `Opened` exists only after it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::base::crypt::DataKey;
use crate::base::crypt::chunks::BodyId;
use crate::base::error::{Error, ErrorKind, Result};

const SCHEME: &str = "TIDEGATE-PEER ";
const PURPOSE: &[u8] = b"tidegate: messages between nodes, version 1";
const ANSWER: &[u8] = b"answer";
/// By how much the clocks of two nodes may differ, and how long a message may be on its way.
const WINDOW_MICROS: u64 = 60_000_000;
/// Connections of runs of nodes within twice that time. Only who has the key can make more.
const MAX_SENDERS: usize = 4096;

type Sender = [u8; 16];

/// Seals what one client sends, or opens what a node is sent.
pub struct Seals {
    key: [u8; 32],
    sender: Sender,
    last: AtomicU64,
    /// The last time of each sender.
    seen: Mutex<HashMap<Sender, u64>>,
}

/// The head of a message was genuine. Only `Seals` makes it.
pub struct Opened {
    sha256: [u8; 32],
}

/// A message that is genuine as a whole.
pub struct FromPeer<T>(T);

impl<T> FromPeer<T> {
    pub fn message(&self) -> &T {
        &self.0
    }
}

impl Seals {
    pub fn new(operator_secret: &[u8]) -> Result<Self> {
        let mut sender = Sender::default();
        getrandom::fill(&mut sender).map_err(|e| Error::internal(e.to_string()))?;
        Ok(Seals { key: hmac(operator_secret, PURPOSE), sender, last: AtomicU64::new(0), seen: Mutex::default() })
    }

    /// The value of `authorization`. Messages of one sender must arrive in the order in which they were sealed.
    pub fn seal(&self, body: &[u8]) -> String {
        self.seal_at(body, now())
    }

    fn seal_at(&self, body: &[u8], now: u64) -> String {
        let before = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(now.max(last + 1)));
        let time = now.max(before.unwrap_or_else(|last| last) + 1);
        let sha256: [u8; 32] = Sha256::digest(body).into();
        let mac = self.mac(&self.sender, time, &sha256);
        format!("{SCHEME}sender={}, time={time}, sha256={}, mac={}", hex::encode(self.sender), hex::encode(sha256), hex::encode(mac))
    }

    /// Err: the message is not to be believed.
    pub fn open(&self, authorization: &str) -> Result<Opened> {
        self.open_at(authorization, now())
    }

    fn open_at(&self, authorization: &str, now: u64) -> Result<Opened> {
        let (sender, time, sha256, mac) = parse(authorization).ok_or_else(|| refused("it is not sealed"))?;
        if !bool::from(self.mac(&sender, time, &sha256).ct_eq(&mac)) {
            return Err(refused("its seal is wrong: do all nodes have the same operator's key?"));
        }
        if now.abs_diff(time) > WINDOW_MICROS {
            return Err(refused("it is of another time: the clocks of the nodes differ by more than a minute"));
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.get(&sender).is_some_and(|last| time <= *last) {
            return Err(refused("it was here before"));
        }
        if seen.len() >= MAX_SENDERS {
            // What is older than the window can't come again.
            seen.retain(|_, last| now.saturating_sub(*last) <= WINDOW_MICROS);
            if seen.len() >= MAX_SENDERS {
                return Err(Error::new(ErrorKind::SlowDown, "Too many nodes were started within a minute."));
            }
        }
        seen.insert(sender, time);
        Ok(Opened { sha256 })
    }

    /// Under which the bytes go that answer the message of this seal: both sides make it of what they know, and no other answer has it.
    pub fn answer_key(&self, authorization: &str, answer: BodyId) -> Result<DataKey> {
        DataKey::derived(answer, hmac(&self.key, &[ANSWER, &answer, authorization.as_bytes()].concat()))
    }

    fn mac(&self, sender: &Sender, time: u64, sha256: &[u8; 32]) -> [u8; 32] {
        hmac(&self.key, &[&sender[..], &time.to_be_bytes(), sha256].concat())
    }
}

impl Opened {
    pub fn message<T: DeserializeOwned>(&self, body: &[u8]) -> Result<FromPeer<T>> {
        if Sha256::digest(body)[..] != self.sha256 {
            return Err(refused("its body is not what was sealed"));
        }
        let message = serde_json::from_slice(body).map_err(|_| {
            Error::new(ErrorKind::InvalidRequest, "The message is none that this program knows: do all nodes run the same version?")
        });
        message.map(FromPeer)
    }
}

fn parse(text: &str) -> Option<(Sender, u64, [u8; 32], [u8; 32])> {
    let mut fields = text.strip_prefix(SCHEME)?.split(", ");
    let mut next = |name: &str| fields.next()?.strip_prefix(name)?.strip_prefix('=');
    let (mut sender, mut sha256, mut mac) = (Sender::default(), [0; 32], [0; 32]);
    hex::decode_to_slice(next("sender")?, &mut sender).ok()?;
    let time = next("time")?.parse().ok()?;
    hex::decode_to_slice(next("sha256")?, &mut sha256).ok()?;
    hex::decode_to_slice(next("mac")?, &mut mac).ok()?;
    fields.next().is_none().then_some((sender, time, sha256, mac))
}

fn refused(why: &str) -> Error {
    Error::new(ErrorKind::AccessDenied, format!("The message of a peer is refused: {why}."))
}

fn hmac(key: &[u8], data: &[u8]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(data);
    mac.finalize().into_bytes().into()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::message::Message;

    const BODY: &[u8] = br#"{"what":"changed","items":["kmedia/a"]}"#;

    fn two() -> (Seals, Seals) {
        (Seals::new(b"secret").unwrap(), Seals::new(b"secret").unwrap())
    }

    #[test]
    fn a_message_arrives_once() {
        let (from, to) = two();
        let (first, second) = (from.seal(BODY), from.seal(BODY));
        assert_eq!(to.open(&first).unwrap().message::<Message>(BODY).unwrap().message().items, ["kmedia/a"]);
        assert!(to.open(&first).is_err());
        assert!(to.open(&second).is_ok());
        assert!(to.open(&second).is_err());
        // Another node's own times.
        assert!(to.open(&two().0.seal(BODY)).is_ok());
    }

    #[test]
    fn what_was_changed_on_its_way_is_refused() {
        let (from, to) = two();
        let sealed = from.seal(BODY);
        for at in SCHEME.len()..sealed.len() {
            let mut other = sealed.clone().into_bytes();
            other[at] = if other[at] == b'0' { b'1' } else { b'0' };
            assert!(to.open(&String::from_utf8(other).unwrap()).is_err(), "{at}");
        }
        for other in ["", "TIDEGATE-PEER ", "TIDEGATE-PEER sender=", &format!("{sealed}, x=1"), &sealed[1..]] {
            assert!(to.open(other).is_err(), "{other}");
        }
        assert!(to.open(&sealed).unwrap().message::<Message>(b"{}").is_err());
        assert!(to.open(&Seals::new(b"another").unwrap().seal(BODY)).is_err());
    }

    #[test]
    fn it_is_of_now() {
        let (from, to) = two();
        let t = 1_000_000_000_000;
        for (sent, ok) in
            [(t - WINDOW_MICROS - 1, false), (t - WINDOW_MICROS, true), (t + WINDOW_MICROS, true), (t + WINDOW_MICROS + 9, false)]
        {
            assert_eq!(to.open_at(&from.seal_at(BODY, sent), t).is_ok(), ok, "{sent}");
        }
    }

    #[test]
    fn the_memory_of_senders_is_bounded() {
        let to = Seals::new(b"secret").unwrap();
        let t = 1_000_000_000_000;
        for _ in 0..MAX_SENDERS {
            to.open_at(&Seals::new(b"secret").unwrap().seal_at(BODY, t), t).map(drop).unwrap();
        }
        let one_more = Seals::new(b"secret").unwrap();
        assert!(to.open_at(&one_more.seal_at(BODY, t), t).is_err());
        let later = t + WINDOW_MICROS + 1;
        assert!(to.open_at(&one_more.seal_at(BODY, later), later).is_ok());
        assert_eq!(to.seen.lock().unwrap().len(), 1);
    }
}
