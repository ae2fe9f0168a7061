//! Random commands against a plain map, compared after each; the queue is closed and opened again at random moments, at
//! times without its index, and with a compaction in between.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::queue::State;
use crate::queue::machine::{DEADLINE_PASSED, PROCESS_ENDED};
use crate::queue::view::Filter;

const TENANTS: [&str; 3] = ["a", "a-b", "c"];
const KINDS: [&str; 2] = ["k", "kk"];
const PER_TENANT: u32 = 2;
const PER_KIND: u32 = 3;

#[derive(Debug, Clone)]
enum Command {
    Enqueue { tenant: usize, kind: usize, priority: u8, deadline: Option<u64>, delay: Option<u64>, key: Option<u8>, max_attempts: u32 },
    Gather { tenant: usize, name: u8, items: Vec<u8>, delay: Option<u64> },
    Claim(usize),
    Finish { which: usize, outcome: u8, after: u64 },
    Cancel(usize),
    Retry(usize),
    Pass(u64),
    Upkeep,
    Compact,
    Reopen { without_index: bool },
}

fn command() -> impl Strategy<Value = Command> {
    let ms = 0..20_000u64;
    prop_oneof![
        6 => (0..3usize, 0..2usize, 0..3u8, proptest::option::of(ms.clone()), proptest::option::of(ms.clone()), proptest::option::of(0..4u8), 1..4u32)
            .prop_map(|(tenant, kind, priority, deadline, delay, key, max_attempts)| Command::Enqueue { tenant, kind, priority, deadline, delay, key, max_attempts }),
        4 => (0..3usize, 0..2u8, proptest::collection::vec(0..9u8, 1..4), proptest::option::of(ms.clone()))
            .prop_map(|(tenant, name, items, delay)| Command::Gather { tenant, name, items, delay }),
        5 => (1..4usize).prop_map(Command::Claim),
        5 => (any::<usize>(), 0..4u8, ms.clone()).prop_map(|(which, outcome, after)| Command::Finish { which, outcome, after }),
        1 => any::<usize>().prop_map(Command::Cancel),
        1 => any::<usize>().prop_map(Command::Retry),
        3 => ms.prop_map(Command::Pass),
        1 => Just(Command::Upkeep),
        1 => Just(Command::Compact),
        1 => any::<bool>().prop_map(|without_index| Command::Reopen { without_index }),
    ]
}

/// What the queue should hold.
#[derive(Default)]
struct Model {
    jobs: BTreeMap<JobId, Expected>,
}

#[derive(Clone)]
struct Expected {
    job: Job,
    items: BTreeSet<String>,
}

impl Model {
    fn running(&self, of: impl Fn(&Job) -> bool) -> u32 {
        self.jobs.values().filter(|e| matches!(e.job.state, State::Running { .. }) && of(&e.job)).count() as u32
    }

    fn rank(job: &Job) -> (u8, u64, JobId) {
        (u8::MAX - job.priority, job.deadline.map_or(u64::MAX, Timestamp::millis), job.id)
    }

    /// Waiting, with the time come and room for its kind and tenant.
    fn claimable(&self, now: Timestamp) -> Vec<&Job> {
        let ready = self.jobs.values().map(|e| &e.job).filter(|j| match j.state {
            State::Waiting { due } => due.is_none_or(|due| due <= now),
            _ => false,
        });
        ready.filter(|j| self.running(|r| r.tenant == j.tenant) < PER_TENANT && self.running(|r| r.kind == j.kind) < PER_KIND).collect()
    }

    /// Jobs claimed one after the other: each must have been the right one at its turn. `given_up`: late ones whose turn came.
    /// Which of several tenants comes first, where none runs less than another, is not ours to say.
    fn claim(&mut self, claimed: &[Job], mut given_up: BTreeSet<JobId>, asked: usize, now: Timestamp) {
        let (mut claimed, mut taken) = (claimed.iter(), 0);
        loop {
            let open = self.claimable(now);
            let fewest = open.iter().map(|j| self.running(|r| r.tenant == j.tenant)).min();
            // Of each tenant that is next in fairness, the first in rank.
            let mut firsts: BTreeMap<&TenantId, &Job> = BTreeMap::new();
            for job in open.iter().filter(|j| Some(self.running(|r| r.tenant == j.tenant)) == fewest) {
                let first = firsts.entry(&job.tenant).or_insert(job);
                if Self::rank(job) < Self::rank(first) {
                    *first = job;
                }
            }
            let late = firsts.values().find(|j| given_up.contains(&j.id)).map(|j| j.id);
            let firsts: BTreeSet<JobId> = firsts.values().map(|j| j.id).collect();
            if let Some(late) = late {
                given_up.remove(&late);
                let expected = &mut self.jobs.get_mut(&late).unwrap().job;
                assert!(expected.deadline.is_some_and(|d| d < now));
                expected.state = State::Dead { at: now };
                expected.reason = Some(DEADLINE_PASSED.to_owned());
                expected.gathers = None;
                continue;
            }
            let Some(job) = claimed.next() else {
                assert!(given_up.is_empty() && (taken == asked || firsts.is_empty()), "{taken} of {asked}, left {firsts:?}");
                return;
            };
            assert!(firsts.contains(&job.id), "{job:?} was claimed, next were {firsts:?}");
            taken += 1;
            let expected = &mut self.jobs.get_mut(&job.id).unwrap().job;
            expected.state = State::Running { since: now };
            expected.attempts += 1;
            expected.gathers = None;
            assert_eq!(job, expected);
            assert!(job.deadline.is_none_or(|d| d >= now));
        }
    }

    fn nth(&self, n: usize) -> Option<JobId> {
        self.jobs.keys().nth(n % self.jobs.len().max(1)).copied()
    }
}

struct Run {
    bench: Bench,
    queue: Option<Queue>,
    model: Model,
}

impl Run {
    fn queue(&self) -> &Queue {
        self.queue.as_ref().unwrap()
    }

    async fn apply(&mut self, command: Command) {
        let now = self.bench.now();
        match command {
            Command::Enqueue { tenant, kind, priority, deadline, delay, key, max_attempts } => {
                let mut new = job(TENANTS[tenant], KINDS[kind]);
                new.priority = priority;
                new.deadline = deadline.map(|ms| now.plus(Duration::from_millis(ms)));
                new.due = delay.map(|ms| now.plus(Duration::from_millis(ms)));
                new.key = key.map(|k| format!("key{k}"));
                new.max_attempts = max_attempts;
                let known = self
                    .model
                    .jobs
                    .values()
                    .find(|e| e.job.key.is_some() && e.job.key == new.key && e.job.tenant == new.tenant && e.job.kind == new.kind);
                let known = known.map(|e| e.job.id);
                let added = self.queue().enqueue(new.clone()).await.unwrap();
                assert_eq!(added.is_new, known.is_none());
                match known {
                    Some(id) => assert_eq!(added.id, id),
                    None => self.expect(added.id, new, None, now),
                }
            }
            Command::Gather { tenant, name, items, delay } => {
                let mut new = job(TENANTS[tenant], KINDS[0]);
                new.items = items.iter().map(|i| format!("item{i}")).collect();
                new.due = delay.map(|ms| now.plus(Duration::from_millis(ms)));
                let name = format!("name{name}");
                let open = self.model.jobs.values_mut().find(|e| e.job.gathers.as_ref() == Some(&name) && e.job.tenant == new.tenant);
                let added = self.queue.as_ref().unwrap().gather(name.clone(), new.clone()).await.unwrap();
                match open {
                    Some(expected) => {
                        assert_eq!((added.id, added.is_new), (expected.job.id, false));
                        expected.items.extend(new.items);
                        expected.job.items = expected.items.len() as u32;
                    }
                    None => self.expect(added.id, new, Some(name), now),
                }
            }
            Command::Claim(n) => {
                let (claimed, _) = self.queue().claim(n, |_| PER_TENANT, |_| PER_KIND, |_| u32::MAX).await.unwrap();
                let mut given_up = BTreeSet::new();
                for expected in self.model.jobs.values().filter(|e| !e.job.state.phase().has_ended()) {
                    let job = self.queue().get(expected.job.id).await.unwrap().unwrap().job;
                    given_up.extend(Some(job.id).filter(|_| job.state == State::Dead { at: now }));
                }
                self.model.claim(&claimed, given_up, n, now);
            }
            Command::Finish { which, outcome, after } => self.finish(which, outcome, Duration::from_millis(after)).await,
            Command::Cancel(n) => {
                let Some(id) = self.model.nth(n) else { return };
                let cancelled = self.queue().cancel(id).await;
                let expected = &mut self.model.jobs.get_mut(&id).unwrap().job;
                assert_eq!(cancelled.is_err(), expected.state.phase().has_ended());
                if let Ok(job) = cancelled {
                    (expected.state, expected.gathers) = (State::Cancelled { at: now }, None);
                    assert_eq!(job, *expected);
                }
            }
            Command::Retry(n) => {
                let Some(id) = self.model.nth(n) else { return };
                let retried = self.queue().retry(id).await;
                let expected = &mut self.model.jobs.get_mut(&id).unwrap().job;
                assert_eq!(retried.is_ok(), matches!(expected.state, State::Dead { .. } | State::Cancelled { .. }));
                if let Ok(job) = retried {
                    (expected.state, expected.attempts, expected.deadline) = (State::Waiting { due: None }, 0, None);
                    assert_eq!(job, *expected);
                }
            }
            Command::Pass(ms) => self.bench.pass(Duration::from_millis(ms)),
            Command::Upkeep => {
                self.queue().upkeep().await.unwrap();
                let kept = self.bench.settings().kept;
                self.model.jobs.retain(|_, e| e.job.state.ended().is_none_or(|at| now.since(at) <= kept));
            }
            Command::Compact => drop(self.queue().compact().await.unwrap()),
            Command::Reopen { without_index } => {
                self.queue.take().unwrap().close();
                if without_index {
                    std::fs::remove_dir_all(self.bench.settings().dir.join("index")).unwrap();
                }
                self.queue = Some(self.bench.open());
                for expected in self.model.jobs.values_mut().map(|e| &mut e.job).filter(|j| matches!(j.state, State::Running { .. })) {
                    let again = expected.attempts < expected.max_attempts;
                    expected.state = if again { State::Waiting { due: None } } else { State::Dead { at: now } };
                    expected.reason = Some(PROCESS_ENDED.to_owned());
                }
            }
        }
    }

    async fn finish(&mut self, which: usize, outcome: u8, after: Duration) {
        let Some(id) = self.model.nth(which) else { return };
        let now = self.bench.now();
        let expected = self.model.jobs.get_mut(&id).unwrap();
        let running = matches!(expected.job.state, State::Running { .. });
        let (attempt, retries) = (expected.job.attempts, expected.job.attempts < expected.job.max_attempts);
        let asked = match outcome {
            0 => Outcome::Done(Some("{\"n\":1}".into())),
            1 => Outcome::Retry { reason: "busy".into(), after },
            2 => Outcome::Dead { reason: "broken".into() },
            _ => Outcome::HandedBack,
        };
        let finished = self.queue.as_ref().unwrap().finish(id, attempt, asked.clone()).await;
        // The report of an attempt that is not the current one changes nothing.
        assert!(self.queue.as_ref().unwrap().finish(id, attempt + 1, Outcome::Done(None)).await.is_err());
        assert_eq!(finished.is_ok(), running);
        if !running {
            return;
        }
        match asked {
            Outcome::Done(result) => {
                expected.job.state = State::Done { at: now };
                (expected.job.reason, expected.job.result) = (None, result);
                expected.items.clear();
            }
            Outcome::Retry { reason, after } if retries => {
                expected.job.state = State::Waiting { due: Some(now.plus(after)).filter(|d| *d > now) };
                expected.job.reason = Some(reason);
            }
            Outcome::Retry { reason, .. } | Outcome::Dead { reason } => {
                expected.job.state = State::Dead { at: now };
                expected.job.reason = Some(reason);
            }
            Outcome::HandedBack => {
                expected.job.state = State::Waiting { due: None };
                expected.job.attempts -= 1;
            }
            Outcome::NotNow { after } => {
                expected.job.state = State::Waiting { due: Some(now.plus(after)) };
                expected.job.attempts -= 1;
            }
        }
        assert_eq!(finished.unwrap(), expected.job);
    }

    fn expect(&mut self, id: JobId, new: NewJob, gathers: Option<String>, now: Timestamp) {
        let items: BTreeSet<String> = new.items.into_iter().collect();
        let job = Job {
            id,
            tenant: new.tenant,
            kind: new.kind.to_owned(),
            state: State::Waiting { due: new.due.filter(|d| *d > now) },
            created: now,
            priority: new.priority,
            deadline: new.deadline,
            key: new.key,
            gathers,
            items: items.len() as u32,
            attempts: 0,
            max_attempts: new.max_attempts,
            reason: None,
            result: None,
            asked_by: new.asked_by,
            recurs: new.recurs,
        };
        self.model.jobs.insert(id, Expected { job, items });
    }

    async fn compare(&self) {
        let queue = self.queue();
        for (id, expected) in &self.model.jobs {
            let seen = queue.get(*id).await.unwrap().unwrap();
            assert_eq!(seen.job, expected.job);
            assert_eq!(seen.payload.document, b"{}");
            let items: BTreeSet<String> =
                crate::queue::txn::Txn::new(&queue.shared.index().unwrap()).items(id).unwrap().into_iter().collect();
            assert_eq!(items, expected.items);
        }
        for tenant in TENANTS {
            for phase in [None, Some(crate::queue::Phase::Waiting), Some(crate::queue::Phase::Dead)] {
                let wanted =
                    self.model.jobs.values().filter(|e| e.job.tenant.as_str() == tenant && phase.is_none_or(|p| e.job.state.phase() == p));
                let mut wanted: Vec<(usize, JobId)> = wanted.map(|e| (e.job.state.phase().index(), e.job.id)).collect();
                wanted.sort();
                assert_eq!(self.listed(Some(tenant), phase).await, wanted);
            }
        }
        let mut all: Vec<JobId> = self.listed(None, None).await.into_iter().map(|(_, id)| id).collect();
        all.sort();
        assert_eq!(all, self.model.jobs.keys().copied().collect::<Vec<_>>());
        let (depths, _) = queue.depths(&KINDS).await.unwrap();
        for depth in depths {
            for (name, count) in depth.states {
                let wanted = self.model.jobs.values().filter(|e| e.job.kind == depth.kind && e.job.state.phase().name() == name).count();
                assert_eq!(count, wanted as u64, "{} {name}", depth.kind);
            }
        }
    }

    async fn listed(&self, tenant: Option<&str>, phase: Option<crate::queue::Phase>) -> Vec<(usize, JobId)> {
        let mut filter = Filter { tenant: tenant.map(super::tenant), phase, kind: None, after: None, max: 3 };
        let mut found = Vec::new();
        loop {
            let page = self.queue().list(filter.clone()).await.unwrap();
            found.extend(page.jobs.iter().map(|j| (j.state.phase().index(), j.id)));
            match page.next {
                Some(next) => filter.after = Some(next),
                None => return found,
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_queue_does_what_a_plain_map_does(commands in proptest::collection::vec(command(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bench = Bench::new();
            let mut run = Run { queue: Some(bench.open()), bench, model: Model::default() };
            for command in commands {
                run.apply(command).await;
                run.compare().await;
            }
            let report = { run.queue.take().unwrap().close(); crate::queue::compact::check(&run.bench.settings()).unwrap().unwrap() };
            assert_eq!((report.jobs, report.problems), (run.model.jobs.len() as u64, Vec::new()));
        });
    }
}
