//! Who is next: the lines of waiting jobs by tenant and kind, what runs of each, and the fair choice between them.
//!
//! Between tenants: the one with the fewest running jobs, then the one that was served longest ago; so a tenant with a
//! million jobs delays another's only job by one turn, and priorities count among the jobs of one tenant alone.
//! Inside a tenant: priority, deadline, age, over all kinds that have room.
//! Memory: one entry for each tenant and kind that has a job ready or running, whatever their number.

use std::collections::{BTreeMap, HashMap};

use crate::base::error::Result;
use crate::base::names::TenantId;
use crate::index::{Index, Walk};
use crate::queue::job::{Job, Phase, State};
use crate::queue::rows::{self, Table, key};
use crate::queue::txn::Txn;

#[derive(Debug, Default)]
pub struct Lanes {
    tenants: BTreeMap<String, Tenant>,
    running_by_kind: HashMap<String, u32>,
    turns: u64,
}

#[derive(Debug, Default)]
struct Tenant {
    running: u32,
    /// The turn at which it was last served.
    served: u64,
    lanes: BTreeMap<String, Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    running: u32,
    head: Head,
}

/// The rank of the first ready job.
#[derive(Debug, Default, PartialEq, Eq)]
enum Head {
    /// To be looked up.
    #[default]
    Unknown,
    Empty,
    At(Vec<u8>),
}

/// A job that may be next; the least turn is.
struct Candidate {
    turn: (u32, u64),
    tenant: String,
    kind: String,
    rank: Vec<u8>,
}

/// How many jobs may run at once.
pub struct Room<'r> {
    pub of_tenant: &'r dyn Fn(&str) -> u32,
    /// 0: nobody here can run that kind, or this is not about it: what runs of it then takes no room of its tenant.
    pub of_kind: &'r dyn Fn(&str) -> u32,
    /// Of that kind, for one tenant.
    pub of_both: &'r dyn Fn(&str) -> u32,
}

impl Lanes {
    pub fn load(index: &Index) -> Result<Self> {
        let mut lanes = Lanes::default();
        index.scan(Table::Ready, b"", &mut |k, _| {
            let Some((tenant, kind, _)) = key::split_lane(k) else { return Ok(Walk::Next) };
            lanes.lane(tenant, kind);
            // Behind every rank of this lane: the byte that ends the kind's name, plus one.
            Ok(Walk::Seek([tenant.as_bytes(), b"\0", kind.as_bytes(), b"\x01"].concat()))
        })?;
        lanes.load_running(index)?;
        Ok(lanes)
    }

    fn load_running(&mut self, index: &Index) -> Result<()> {
        let mut running = Vec::new();
        index.scan(Table::Phases, b"", &mut |k, _| {
            let Some((tenant, phase, id)) = key::split_phase(k) else { return Ok(Walk::Next) };
            if phase == Phase::Running {
                running.push(id);
                return Ok(Walk::Next);
            }
            // To the next tenant: no tenant's name goes on with a byte below this one.
            Ok(Walk::Seek([tenant.as_bytes(), b"\x01"].concat()))
        })?;
        for id in running {
            if let Some(row) = index.get(Table::Jobs, id.bytes())? {
                self.changed(None, Some(&rows::decode_job(&row)?));
            }
        }
        Ok(())
    }

    fn lane(&mut self, tenant: &str, kind: &str) -> &mut Lane {
        self.tenants.entry(tenant.to_owned()).or_default().lanes.entry(kind.to_owned()).or_default()
    }

    /// A job's record changes; called for each.
    pub fn changed(&mut self, old: Option<&Job>, new: Option<&Job>) {
        if let Some(job) = old {
            match job.state {
                State::Running { .. } => self.count(job, u32::saturating_sub),
                State::Waiting { .. } => {
                    let lane = self.lane(job.tenant.as_str(), &job.kind);
                    if lane.head == Head::At(key::rank(job)) {
                        lane.head = Head::Unknown;
                    }
                }
                State::Done { .. } | State::Dead { .. } | State::Cancelled { .. } => {}
            }
        }
        if let Some(job) = new {
            match job.state {
                State::Running { .. } => self.count(job, u32::saturating_add),
                State::Waiting { due: None } => self.ready(job.tenant.as_str(), &job.kind, key::rank(job)),
                State::Waiting { .. } | State::Done { .. } | State::Dead { .. } | State::Cancelled { .. } => {}
            }
        }
        if let Some(job) = new.or(old) {
            self.forget_if_idle(job.tenant.as_str(), &job.kind);
        }
    }

    fn count(&mut self, job: &Job, change: impl Fn(u32, u32) -> u32) {
        let lane = self.lane(job.tenant.as_str(), &job.kind);
        lane.running = change(lane.running, 1);
        if let Some(tenant) = self.tenants.get_mut(job.tenant.as_str()) {
            tenant.running = change(tenant.running, 1);
        }
        let by_kind = self.running_by_kind.entry(job.kind.clone()).or_default();
        *by_kind = change(*by_kind, 1);
    }

    /// A job of that rank may be claimed from now on.
    pub fn ready(&mut self, tenant: &str, kind: &str, rank: Vec<u8>) {
        let lane = self.lane(tenant, kind);
        match &lane.head {
            Head::Unknown => {}
            Head::Empty => lane.head = Head::At(rank),
            Head::At(head) if rank < *head => lane.head = Head::At(rank),
            Head::At(_) => {}
        }
    }

    fn forget_if_idle(&mut self, tenant: &str, kind: &str) {
        let Some(entry) = self.tenants.get_mut(tenant) else { return };
        if entry.lanes.get(kind).is_some_and(|lane| lane.running == 0 && lane.head == Head::Empty) {
            entry.lanes.remove(kind);
        }
        if entry.lanes.is_empty() {
            self.tenants.remove(tenant);
        }
    }

    /// The key in `Ready` of the job whose turn it is. None: nothing is ready where there is room.
    pub fn next(&mut self, txn: &Txn<'_>, room: &Room<'_>) -> Result<Option<Vec<u8>>> {
        let mut best: Option<Candidate> = None;
        let mut idle = Vec::new();
        for (name, tenant) in &mut self.tenants {
            let running = tenant.lanes.iter().filter(|(kind, _)| (room.of_kind)(kind) > 0).map(|(_, lane)| lane.running).sum();
            let turn = (running, tenant.served);
            if best.as_ref().is_some_and(|b| b.turn <= turn) || running >= (room.of_tenant)(name) {
                continue;
            }
            let mut first: Option<(&String, &Vec<u8>)> = None;
            for (kind, lane) in &mut tenant.lanes {
                if self.running_by_kind.get(kind).copied().unwrap_or(0) >= (room.of_kind)(kind) || lane.running >= (room.of_both)(kind) {
                    continue;
                }
                if lane.head == Head::Unknown {
                    let prefix = key::lane(name, kind);
                    let found = txn.first(Table::Ready, &prefix)?;
                    lane.head = found.map_or(Head::Empty, |(k, _)| Head::At(k[prefix.len()..].to_vec()));
                }
                match &lane.head {
                    Head::At(rank) if first.is_none_or(|f| rank < f.1) => first = Some((kind, rank)),
                    Head::At(_) | Head::Unknown => {}
                    Head::Empty if lane.running == 0 => idle.push((name.clone(), kind.clone())),
                    Head::Empty => {}
                }
            }
            if let Some((kind, rank)) = first {
                best = Some(Candidate { turn, tenant: name.clone(), kind: kind.clone(), rank: rank.clone() });
            }
        }
        for (tenant, kind) in idle {
            self.forget_if_idle(&tenant, &kind);
        }
        let Some(Candidate { tenant, kind, rank, .. }) = best else { return Ok(None) };
        self.turns += 1;
        if let Some(entry) = self.tenants.get_mut(&tenant) {
            entry.served = self.turns;
        }
        Ok(Some([key::lane(&tenant, &kind), rank].concat()))
    }

    pub fn running(&self, tenant: &TenantId) -> u32 {
        self.tenants.get(tenant.as_str()).map_or(0, |t| t.running)
    }

    pub fn len(&self) -> usize {
        self.tenants.values().map(|t| t.lanes.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.tenants.is_empty()
    }
}
