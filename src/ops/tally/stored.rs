//! The forms of the tally: rows in the node's journal of usage, and records that nodes share in the bucket. `tests/golden/tally` holds
//! each to its bytes. As all rows of usage, each begins with its version and may end with fields.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Result};
use crate::ops::tally::flows::{Flow, Flows, Intent, Net, Room, State, Turned};
use crate::ops::tally::spots::Spot;
use crate::usage::rows::{read, write};

/// What a key of a row begins with.
const FLOW: u8 = b'f';
const INTENT: u8 = b'i';
const UNSURE: u8 = b'u';
const HEARD: u8 = b'h';

pub type RowChange = (Vec<u8>, Option<Vec<u8>>);

#[derive(Serialize, Deserialize)]
struct IntentForm {
    flows: Vec<(Spot, Flow)>,
    is_sure: bool,
}

/// What a node tells the others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// The last round that it has heard of; all that came before is in here.
    pub heard: u32,
    pub flows: Vec<(Spot, Flow)>,
    /// By the round that can tell.
    pub doubts: Vec<(u32, Spot, Flow)>,
}

/// What recounts found beside what flowed through the nodes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Base {
    /// That the last recount began with. 0: there was none.
    pub round: u32,
    /// All runs that have a name of their own are in it.
    pub found: Vec<(Spot, Net)>,
}

impl Base {
    pub fn has(&self, spot: &Spot) -> bool {
        self.found.binary_search_by(|(found, _)| found.cmp(spot)).is_ok()
    }
}

/// Of one limit: up to where the flows of each node may grow.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Allowance {
    pub nodes: BTreeMap<String, Room>,
}

/// For how long how much was stored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Metered {
    /// Up to when, in milliseconds.
    pub at: u64,
    pub levels: Vec<(Spot, u64)>,
    /// On the day of `at`: bytes times milliseconds.
    pub today: Vec<(Spot, u128)>,
}

pub fn encode(record: &impl Serialize) -> Result<Vec<u8>> {
    write(record)
}

pub fn decode<T: serde::de::DeserializeOwned>(text: &[u8]) -> Result<T> {
    read(text)
}

/// Names hold no NUL.
fn spot_key(spot: &Spot) -> Vec<u8> {
    let of_type = [&spot.tenant, "\0", &spot.bucket, "\0", &spot.artifact].concat();
    if spot.run.is_empty() { of_type.into_bytes() } else { [&of_type, "\0", &spot.run].concat().into_bytes() }
}

fn parse_spot(key: &[u8]) -> Result<Spot> {
    let mut parts = std::str::from_utf8(key).map_err(Error::internal)?.splitn(4, '\0').map(str::to_owned);
    let (Some(tenant), Some(bucket), Some(artifact)) = (parts.next(), parts.next(), parts.next()) else { return Err(unreadable()) };
    Ok(Spot { tenant, bucket, artifact, run: parts.next().unwrap_or_default() })
}

fn unreadable() -> Error {
    Error::internal("a row of the tally can't be read")
}

/// The rows of what changed, as they are now.
pub fn changes(state: &State, turned: &Turned) -> Result<Vec<RowChange>> {
    let mut rows = Vec::new();
    for spot in &turned.flows {
        rows.push(([&[FLOW], &*spot_key(spot)].concat(), state.flows.get(spot).map(write).transpose()?));
    }
    for number in &turned.intents {
        let form = |intent: &Intent| {
            let flows = intent.flows.iter().map(|(spot, flow)| (spot.clone(), *flow)).collect();
            write(&IntentForm { flows, is_sure: intent.is_sure })
        };
        rows.push(([&[INTENT], number.to_be_bytes().as_slice()].concat(), state.intents.get(number).map(form).transpose()?));
    }
    for key in &turned.unsure {
        let (round, spot) = key;
        let row_key = [&[UNSURE], round.to_be_bytes().as_slice(), &spot_key(spot)].concat();
        rows.push((row_key, state.unsure.get(key).map(write).transpose()?));
    }
    if turned.heard {
        rows.push((vec![HEARD], Some(write(&state.heard)?)));
    }
    Ok(rows)
}

pub fn load(rows: &[(Vec<u8>, Vec<u8>)]) -> Result<State> {
    let mut state = State::default();
    for (key, value) in rows {
        match key.split_first() {
            Some((&FLOW, spot)) => drop(state.flows.insert(parse_spot(spot)?, read(value)?)),
            Some((&INTENT, number)) => {
                let number = u64::from_be_bytes(number.try_into().map_err(|_| unreadable())?);
                let IntentForm { flows, is_sure } = read(value)?;
                state.intents.insert(number, Intent { flows: flows.into_iter().collect::<Flows>(), is_sure, has_waited: false });
            }
            Some((&UNSURE, rest)) => {
                let (round, spot) = rest.split_first_chunk::<4>().ok_or_else(unreadable)?;
                state.unsure.insert((u32::from_be_bytes(*round), parse_spot(spot)?), read(value)?);
            }
            Some((&HEARD, _)) => state.heard = read(value)?,
            // Of a newer program.
            _ => {}
        }
    }
    // When it was is not kept: they may be new.
    state.touched = state.flows.keys().filter(|spot| !spot.run.is_empty()).map(|spot| (spot.clone(), state.heard)).collect();
    Ok(state)
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;
    use crate::base::usage::Load;

    /// Each form as it lies in a journal or a bucket of version 1: never changed.
    #[test]
    fn forms_are_read_and_written_as_they_lie_there() {
        let spot = |n: u8| Spot { tenant: format!("t{n}"), bucket: "media".into(), artifact: "image".into(), run: String::new() };
        let load = |n: u64| Load { bytes: n << 40, objects: n, versions: n + 1, markers: n + 2 };
        let flow = |n| Flow { came: load(n), went: load(n + 300) };
        let net = Net { bytes: -(1 << 50), objects: 1, versions: -2, markers: 3 };
        let mut state = State { heard: 7, ..State::default() };
        state.flows.insert(spot(1), flow(1));
        state.intents.insert(9, Intent { flows: Flows::from([(spot(2), flow(2))]), is_sure: true, has_waited: false });
        state.unsure.insert((5, spot(3)), flow(3));
        let turned = Turned { flows: [spot(1)].into(), intents: [9].into(), unsure: [(5, spot(3))].into(), heard: true };
        let rows: Vec<_> = changes(&state, &turned).unwrap().into_iter().map(|(key, value)| (key, value.unwrap())).collect();
        golden("rows", rows.iter().flat_map(|(key, value)| [key.clone(), value.clone()]).collect::<Vec<_>>().concat());
        let read = load_of(&rows);
        assert_eq!((read.flows, read.intents, read.unsure, read.heard), (state.flows, state.intents, state.unsure, 7));
        record("node", &NodeRecord { heard: 4, flows: vec![(spot(1), flow(1))], doubts: vec![(u32::MAX, spot(2), flow(2))] });
        let of_run = Spot { run: "run-1".into(), ..spot(1) };
        record("run", &NodeRecord { heard: 4, flows: vec![(of_run.clone(), flow(1))], doubts: Vec::new() });
        let state = State { flows: Flows::from([(of_run.clone(), flow(4))]), ..State::default() };
        let rows = changes(&state, &Turned { flows: [of_run.clone()].into(), ..Turned::default() }).unwrap();
        assert_eq!(load_of(&[(rows[0].0.clone(), rows[0].1.clone().unwrap())]).flows, Flows::from([(of_run, flow(4))]));
        record("base", &Base { round: 3, found: vec![(spot(1), net)] });
        record("allowance", &Allowance { nodes: [("node".to_owned(), Room { bytes: 1 << 40, objects: -5 })].into() });
        record("metered", &Metered { at: 1 << 41, levels: vec![(spot(1), 5)], today: vec![(spot(1), 1 << 70)] });
    }

    fn load_of(rows: &[(Vec<u8>, Vec<u8>)]) -> State {
        load(rows).unwrap()
    }

    fn record<T: Serialize + serde::de::DeserializeOwned + PartialEq + Debug>(name: &str, record: &T) {
        let text = encode(record).unwrap();
        golden(name, text.clone());
        assert_eq!(decode::<T>(&text).unwrap(), *record);
        for n in 0..text.len() {
            // No byte of it makes a panic.
            let mut other = text.clone();
            other[n] ^= 0x55;
            let _ = decode::<T>(&other);
        }
    }

    fn golden(name: &str, bytes: Vec<u8>) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/tally/{name}.hex"));
        if std::env::var_os("TIDEGATE_WRITE_GOLDEN").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, hex::encode(&bytes) + "\n").unwrap();
        }
        assert_eq!(hex::encode(bytes), std::fs::read_to_string(&path).unwrap().trim_end(), "{name}");
    }
}
