//! What each tenant stores, by bucket, artifact type and run: counted in the batch of the write itself, so it is exact at every moment;
//! and for how long, which is what a bill is made of.
//!
//! The counts are derived (table `Usage`), and a rebuild counts them anew. How long something was stored can't be counted once it is
//! gone, so these meters are truth: rows of `Meta`, written with each batch that changes what they measure.
//! Called by `derive` for each change, by `open`, and by `serve` for whoever asks.
//! Limits: a row for each run that has objects, on the disk, and a meter of its own, with its days (`run_days`), until a while after the last
//! of them is gone; a meter for each tenant, bucket and artifact type. Only these are read again and again: runs are too many.

use std::collections::BTreeMap;

use crate::base::error::{Error, Result};
use crate::base::layout;
use crate::base::limited::Scope;
use crate::base::names::{BucketName, TenantId};
use crate::base::timestamp::Timestamp;
use crate::base::usage::{Amount, RunDays, RunDaysQuery, Stored, StoredBy, StoredPage, StoredQuery};
use crate::index::{Index, Walk};
use crate::local::rows::{MeterRow, Table, UsageRow, VersionRow, key};
use crate::local::run_days::RunMeterRow;
use crate::local::stored;
use crate::local::txn::{Txn, Value};
use crate::origin::{Quota, Usage};

/// What keys of meters begin with in `Meta`.
const METER: &[u8] = b"meter\0";
/// The same of a run.
const RUN_METER: &[u8] = b"runmeter\0";
/// A meter at nothing for so long was read by whoever keeps the history.
const FORGET_AFTER: u64 = 7 * 24 * 3600 * 1000;
/// A run that is gone can be billed for so long: for all of this month and the one before.
const FORGET_RUN_AFTER: u64 = 62 * 24 * 3600 * 1000;
/// Meters that a start looks at in one batch.
const AT_ONCE: usize = 10_000;
/// The same in the background.
const RUNS_AT_ONCE: usize = 1000;

/// How a change of a row changes what is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    bytes: i128,
    objects: i128,
    newest: i128,
    markers: i128,
    uploading: i128,
    shared: i128,
}

impl Counted {
    /// `newest`: its key shows it.
    pub fn version(row: &VersionRow, newest: bool) -> Self {
        let bytes = i128::from(row.owner_and_size().1);
        let is_marker = row.object().is_none();
        Counted { bytes, objects: 1, newest: i128::from(newest && !is_marker), markers: i128::from(is_marker), ..Counted::default() }
    }

    pub fn part(size: u64) -> Self {
        Counted { bytes: i128::from(size), uploading: i128::from(size), ..Counted::default() }
    }

    pub fn times(self, n: i128) -> Self {
        let Counted { bytes, objects, newest, markers, uploading, shared } = self;
        let all = [bytes, objects, newest, markers, uploading, shared].map(|count| count * n);
        let [bytes, objects, newest, markers, uploading, shared] = all;
        Counted { bytes, objects, newest, markers, uploading, shared }
    }

    pub fn plus(self, other: Counted) -> Self {
        Counted {
            bytes: self.bytes + other.bytes,
            objects: self.objects + other.objects,
            newest: self.newest + other.newest,
            markers: self.markers + other.markers,
            uploading: self.uploading + other.uploading,
            shared: self.shared + other.shared,
        }
    }

    pub fn onto(self, row: UsageRow) -> UsageRow {
        let add = |there: u64, more: i128| u64::try_from(i128::from(there) + more).unwrap_or(0);
        UsageRow {
            bytes: add(row.bytes, self.bytes),
            objects: add(row.objects, self.objects),
            newest: add(row.newest, self.newest),
            markers: add(row.markers, self.markers),
            uploading: add(row.uploading, self.uploading),
            shared: add(row.shared, self.shared),
        }
    }
}

/// The rows of `Usage` that count what lies under a key. Names hold no NUL.
pub struct Places {
    tenant: Vec<u8>,
    /// Of all tenants, for limits.
    bucket: Option<Vec<u8>>,
    meter: Vec<u8>,
    run: Option<Vec<u8>>,
}

impl Places {
    /// `object`: its row key in `Objects`; None: parts of uploads.
    pub fn of(owner: &TenantId, object: Option<&[u8]>) -> Result<Self> {
        let (bucket, name) = object.map(key::split).transpose()?.unwrap_or_default();
        let (run, artifact) = layout::run_and_type(name).map_or((None, ""), |(run, artifact)| (Some(run), artifact));
        let owner = owner.as_str();
        Ok(Places {
            tenant: owner.as_bytes().to_vec(),
            bucket: object.map(|_| bucket_place(bucket)),
            meter: [owner, "\0", bucket, "\0", artifact].concat().into_bytes(),
            run: run.map(|run| [owner, "\0", bucket, "\0", artifact, "\0", run].concat().into_bytes()),
        })
    }

    pub fn into_all(self) -> impl Iterator<Item = Vec<u8>> {
        let Places { tenant, bucket, meter, run } = self;
        [Some(tenant), bucket, Some(meter), run].into_iter().flatten()
    }
}

/// Of all tenants in it.
pub fn bucket_place(bucket: &str) -> Vec<u8> {
    ["\0", bucket].concat().into_bytes()
}

/// What is stored at a place now.
pub fn at(index: &Index, place: &[u8]) -> Result<Usage> {
    let row: UsageRow = index.get(Table::Usage, place)?.map(|row| stored::decode(&row)).transpose()?.unwrap_or_default();
    Ok(Usage { bytes: row.bytes, objects: row.objects })
}

impl MeterRow {
    /// Up to `now`; what there is from then on is `bytes`.
    pub fn turned(self, now: Timestamp, bytes: u64) -> Self {
        MeterRow { at: self.at.max(now.millis()), byte_millis: self.total(now), bytes }
    }

    pub fn total(self, now: Timestamp) -> u128 {
        let since = now.millis().saturating_sub(self.at);
        self.byte_millis.saturating_add(u128::from(self.bytes) * u128::from(since))
    }
}

impl Txn<'_> {
    pub fn usage_at(&self, place: &[u8]) -> Result<UsageRow> {
        Ok(self.get_row(Table::Usage, place)?.unwrap_or_default())
    }

    pub fn usage(&self, tenant: &TenantId) -> Result<UsageRow> {
        self.usage_at(tenant.as_str().as_bytes())
    }

    /// Refuses what takes the tenant past its limits: `bytes` and `objects` are what would be added.
    pub fn check_quota(&self, tenant: &TenantId, quota: &Quota, bytes: i128, objects: i128) -> Result<()> {
        if !quota.is_some() {
            return Ok(());
        }
        let UsageRow { bytes: used, objects: there, .. } = self.usage(tenant)?;
        quota.check(Usage { bytes: used, objects: there }, bytes, objects)
    }

    /// Refuses what takes the bucket past its limits: `bytes` and `objects` are what would be added. Parts of uploads are in no bucket yet.
    pub fn check_bucket_limit(&self, bucket: &BucketName, bytes: i128, objects: i128) -> Result<()> {
        let Some(limit) = self.bucket_limit(bucket) else { return Ok(()) };
        let UsageRow { bytes: used, objects: there, .. } = self.usage_at(&bucket_place(bucket.as_str()))?;
        let checked = limit.check_of(Scope::Bucket, Usage { bytes: used, objects: there }, bytes, objects);
        checked.map_err(|e| e.detail("BucketName", bucket.to_string()))
    }

    /// Under the key of an object (its row key), or, without one, in parts of uploads.
    pub fn count(&mut self, owner: &TenantId, object: Option<&[u8]>, more: Counted) -> Result<()> {
        if more == Counted::default() {
            return Ok(());
        }
        let places = Places::of(owner, object)?;
        let (meter, run) = (places.meter.clone(), places.run.clone());
        for place in places.into_all() {
            self.add_at(place, more)?;
        }
        // In a replay the log has the meter's own row.
        if self.is_replay() {
            return Ok(());
        }
        self.turn_meter(&meter)?;
        run.map_or(Ok(()), |run| self.turn_run_meter(&run))
    }

    /// The disk holds it once for several versions.
    pub fn count_shared(&mut self, owner: &TenantId, bytes: i128) -> Result<()> {
        self.add_at(owner.as_str().as_bytes().to_vec(), Counted { shared: bytes, ..Counted::default() })
    }

    fn add_at(&mut self, place: Vec<u8>, more: Counted) -> Result<()> {
        let row = more.onto(self.usage_at(&place)?);
        let value = (row != UsageRow::default()).then(|| stored::encode(&row)).transpose()?;
        self.put_plain(Table::Usage, place, value.map(Value::Bytes));
        Ok(())
    }

    fn turn_meter(&mut self, place: &[u8]) -> Result<()> {
        let row_key = [METER, place].concat();
        let bytes = self.usage_at(place)?.bytes;
        let before: Option<MeterRow> = self.get_row(Table::Meta, &row_key)?;
        self.set_row(Table::Meta, row_key, &before.unwrap_or(self.new_meter()).turned(self.now(), bytes))
    }

    fn turn_run_meter(&mut self, place: &[u8]) -> Result<()> {
        let row_key = [RUN_METER, place].concat();
        let bytes = self.usage_at(place)?.bytes;
        let before: Option<RunMeterRow> = self.get_row(Table::Meta, &row_key)?;
        let before = before.unwrap_or_else(|| RunMeterRow { meter: self.new_meter(), days: Vec::new() });
        self.set_row(Table::Meta, row_key, &before.turned(self.now(), bytes))
    }

    fn new_meter(&self) -> MeterRow {
        MeterRow { at: self.now().millis(), ..MeterRow::default() }
    }
}

/// The places whose meter does not show what is stored, and meters that nobody needs any more: a store of before there were meters, and
/// one that an older program wrote to, are measured from this start on.
pub fn stale_meters(index: &Index, now: Timestamp) -> Result<Stale> {
    let mut stale = Stale::default();
    index.scan(Table::Usage, b"\x01", &mut |place, row| {
        if parts(place) == 2 && !shows(index, METER, place, row)? {
            stale.turn.push(place.to_vec());
        }
        Ok(if stale.turn.len() < AT_ONCE { Walk::Next } else { Walk::Stop })
    })?;
    each_meter(index, METER, b"", &mut |place, meter: MeterRow| {
        let is_gone = index.get(Table::Usage, place)?.is_none();
        if is_gone && meter.bytes > 0 {
            stale.turn.push(place.to_vec());
        } else if is_gone && now.millis().saturating_sub(meter.at) > FORGET_AFTER {
            stale.forget.push(place.to_vec());
        }
        Ok(if stale.turn.len() + stale.forget.len() < 2 * AT_ONCE { Walk::Next } else { Walk::Stop })
    })?;
    Ok(stale)
}

/// The NULs in it: 2 in a place that has a meter, 3 in a run.
fn parts(place: &[u8]) -> usize {
    place.iter().filter(|b| **b == 0).count()
}

/// Whether the place's meter shows what its row of `Usage` says.
fn shows(index: &Index, of: &[u8], place: &[u8], row: &[u8]) -> Result<bool> {
    let meter = index.get(Table::Meta, &[of, place].concat())?.map(|row| stored::decode::<MeterRow>(&row)).transpose()?;
    let bytes = stored::decode::<UsageRow>(row)?.bytes;
    Ok(meter.is_some_and(|meter| meter.bytes == bytes))
}

/// Runs whose meter does not show what is stored, as `stale_meters` has it of other places: some from a place on, and where to go on.
pub fn stale_runs(index: &Index, from: &[u8]) -> Result<StaleRuns> {
    let (mut runs, mut next) = (Vec::new(), None);
    index.scan(Table::Usage, from, &mut |place, row| {
        if runs.len() >= RUNS_AT_ONCE {
            next = Some(place.to_vec());
            return Ok(Walk::Stop);
        }
        if parts(place) == 3 && !shows(index, RUN_METER, place, row)? {
            runs.push(place.to_vec());
        }
        Ok(Walk::Next)
    })?;
    Ok(StaleRuns { runs, next })
}

/// Places of runs.
pub struct StaleRuns {
    pub runs: Vec<Vec<u8>>,
    /// None: those were all.
    pub next: Option<Vec<u8>>,
}

pub fn turn_runs(txn: &mut Txn<'_>, runs: &[Vec<u8>]) -> Result<()> {
    runs.iter().try_for_each(|run| txn.turn_run_meter(run))
}

/// Keys of meters of runs that nobody needs any more, some of them.
pub fn forgotten_runs(index: &Index, now: Timestamp) -> Result<Vec<Vec<u8>>> {
    let mut forget = Vec::new();
    each_meter(index, RUN_METER, b"", &mut |place, meter: MeterRow| {
        let is_old = now.millis().saturating_sub(meter.at) > FORGET_RUN_AFTER;
        if is_old && index.get(Table::Usage, place)?.is_none() {
            forget.push([RUN_METER, place].concat());
        }
        Ok(if forget.len() < RUNS_AT_ONCE { Walk::Next } else { Walk::Stop })
    })?;
    Ok(forget)
}

#[derive(Debug, Clone, Default)]
pub struct Stale {
    turn: Vec<Vec<u8>>,
    forget: Vec<Vec<u8>>,
}

impl Stale {
    pub fn set_right(&self, txn: &mut Txn<'_>) -> Result<()> {
        self.turn.iter().try_for_each(|place| txn.turn_meter(place))?;
        self.forget.iter().try_for_each(|place| txn.del_row(Table::Meta, [METER, place].concat()))
    }
}

/// From a place on.
fn each_meter<M: stored::Row>(index: &Index, of: &[u8], from: &[u8], each: &mut dyn FnMut(&[u8], M) -> Result<Walk>) -> Result<()> {
    index.scan(Table::Meta, &[of, from].concat(), &mut |row_key, row| match row_key.strip_prefix(of) {
        Some(place) => each(place, stored::decode(row)?),
        None => Ok(Walk::Stop),
    })
}

/// What is stored at the moment.
pub fn stored(index: &Index, query: &StoredQuery, now: Timestamp) -> Result<StoredPage> {
    let mut page = StoredPage { places: Vec::new(), more: false, at: now };
    let mut take = |place: &[u8], row: UsageRow, byte_millis: u128| {
        if page.places.len() >= query.max {
            page.more = true;
            return Ok(Walk::Stop);
        }
        page.places.push(shown(place, row, byte_millis)?);
        Ok(Walk::Next)
    };
    let of = places_of(query.tenant.as_ref());
    let meters = if query.by == StoredBy::Run { RUN_METER } else { METER };
    match (query.by, &query.tenant) {
        (StoredBy::Tenant, Some(tenant)) => {
            let row = index.get(Table::Usage, tenant.as_str().as_bytes())?.map(|row| stored::decode(&row)).transpose()?;
            take(tenant.as_str().as_bytes(), row.unwrap_or_default(), 0)?;
        }
        // Those of meters too: one that shows nothing now did so before.
        (StoredBy::Type | StoredBy::Run, _) => each_meter(index, meters, &of, &mut |place, meter: MeterRow| {
            if !place.starts_with(&of) {
                return Ok(Walk::Stop);
            }
            let row = index.get(Table::Usage, place)?.map(|row| stored::decode::<UsageRow>(&row)).transpose()?;
            take(place, row.unwrap_or_default(), meter.total(now))
        })?,
        (StoredBy::Tenant, None) => index.scan(Table::Usage, b"\x01", &mut |place, row| match place.iter().position(|b| *b == 0) {
            None => take(place, stored::decode(row)?, 0),
            // All that a tenant has is behind its own row.
            Some(end) => Ok(Walk::Seek([place.get(..end).unwrap_or_default(), b"\x01"].concat())),
        })?,
    }
    Ok(page)
}

/// What the places of a tenant begin with, or those of all.
fn places_of(tenant: Option<&TenantId>) -> Vec<u8> {
    tenant.map(|tenant| [tenant.as_str(), "\0"].concat().into_bytes()).unwrap_or_default()
}

/// For how long how much of each run was stored.
pub fn run_days(index: &Index, query: &RunDaysQuery) -> Result<Vec<RunDays>> {
    let of = places_of(query.tenant.as_ref());
    let (mut days, mut beyond): (Vec<RunDays>, BTreeMap<_, u128>) = (Vec::new(), BTreeMap::new());
    each_meter(index, RUN_METER, &of, &mut |place, meter: RunMeterRow| {
        if !place.starts_with(&of) {
            return Ok(Walk::Stop);
        }
        let [tenant, bucket, artifact, run] = names(place)?;
        meter.asked(query, &mut |day, byte_millis| {
            if days.len() < query.max {
                let (tenant, bucket, artifact) = (tenant.to_owned(), bucket.to_owned(), artifact.to_owned());
                days.push(RunDays { tenant, bucket, artifact, run: Some(run.to_owned()), day, byte_millis });
            } else {
                *beyond.entry(([tenant, bucket, artifact].map(str::to_owned), day)).or_default() += byte_millis;
            }
        });
        Ok(Walk::Next)
    })?;
    days.extend(beyond.into_iter().map(|(([tenant, bucket, artifact], day), byte_millis)| RunDays {
        tenant,
        bucket,
        artifact,
        run: None,
        day,
        byte_millis,
    }));
    Ok(days)
}

/// Tenant, bucket, type and run.
fn names(place: &[u8]) -> Result<[&str; 4]> {
    let mut parts = std::str::from_utf8(place).map_err(Error::internal)?.splitn(4, '\0');
    Ok([(); 4].map(|()| parts.next().unwrap_or_default()))
}

fn shown(place: &[u8], row: UsageRow, byte_millis: u128) -> Result<Stored> {
    let [tenant, bucket, artifact, run] = names(place)?;
    Ok(Stored {
        tenant: TenantId::parse(tenant)?,
        bucket: (!bucket.is_empty()).then(|| BucketName::parse(bucket)).transpose()?,
        artifact: artifact.to_owned(),
        run: run.to_owned(),
        amount: Amount {
            bytes: row.bytes,
            objects: row.newest,
            versions: row.objects.saturating_sub(row.markers),
            markers: row.markers,
            uploading: row.uploading,
            shared: row.shared,
        },
        byte_millis,
    })
}
