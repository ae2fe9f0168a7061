//! What each tenant stores, by bucket, artifact type and run: counted in the batch of the write itself, so it is exact at every moment;
//! and for how long, which is what a bill is made of.
//!
//! The counts are derived (table `Usage`), and a rebuild counts them anew. How long something was stored can't be counted once it is
//! gone, so these meters are truth: rows of `Meta`, written with each batch that changes what they measure.
//! Called by `derive` for each change, by `open`, and by `serve` for whoever asks.
//! Limits: a row for each run that has objects, on the disk; a meter for each tenant, bucket and artifact type.

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::layout;
use crate::base::names::{BucketName, TenantId};
use crate::base::timestamp::Timestamp;
use crate::base::usage::{Amount, Stored, StoredBy, StoredPage, StoredQuery};
use crate::index::{Index, Walk};
use crate::local::rows::{MeterRow, Table, UsageRow, VersionRow, key};
use crate::local::stored;
use crate::local::txn::{Txn, Value};
use crate::origin::{Quota, Usage};

/// What keys of meters begin with in `Meta`.
const METER: &[u8] = b"meter\0";
/// A meter at nothing for so long was read by whoever keeps the history.
const FORGET_AFTER: u64 = 7 * 24 * 3600 * 1000;
/// Meters that a start looks at in one batch.
const AT_ONCE: usize = 10_000;

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

fn bucket_place(bucket: &str) -> Vec<u8> {
    ["\0", bucket].concat().into_bytes()
}

impl MeterRow {
    /// Up to `now`; what there is from then on is `bytes`.
    fn turned(self, now: Timestamp, bytes: u64) -> Self {
        MeterRow { at: self.at.max(now.millis()), byte_millis: self.total(now), bytes }
    }

    fn total(self, now: Timestamp) -> u128 {
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

    /// Of all tenants in a bucket.
    pub fn usage_of_bucket(&self, bucket: &BucketName) -> Result<UsageRow> {
        self.usage_at(&bucket_place(bucket.as_str()))
    }

    /// Refuses what takes the bucket past its limits: `bytes` and `objects` are what would be added. Parts of uploads are in no bucket yet.
    pub fn check_bucket_limit(&self, bucket: &BucketName, bytes: i128, objects: i128) -> Result<()> {
        let Some(limit) = self.bucket_limit(bucket) else { return Ok(()) };
        let UsageRow { bytes: used, objects: there, .. } = self.usage_of_bucket(bucket)?;
        limit.check(Usage { bytes: used, objects: there }, bytes, objects).map_err(|_| {
            let text = "The bucket's limit of stored bytes or objects would be exceeded.";
            Error::new(ErrorKind::QuotaExceeded, text).detail("BucketName", bucket.to_string())
        })
    }

    /// Under the key of an object (its row key), or, without one, in parts of uploads.
    pub fn count(&mut self, owner: &TenantId, object: Option<&[u8]>, more: Counted) -> Result<()> {
        if more == Counted::default() {
            return Ok(());
        }
        let places = Places::of(owner, object)?;
        let meter = places.meter.clone();
        for place in places.into_all() {
            self.add_at(place, more)?;
        }
        // In a replay the log has the meter's own row.
        if self.is_replay() { Ok(()) } else { self.turn_meter(&meter) }
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
        let begin = MeterRow { at: self.now().millis(), ..MeterRow::default() };
        self.set_row(Table::Meta, row_key, &before.unwrap_or(begin).turned(self.now(), bytes))
    }
}

/// The places whose meter does not show what is stored, and meters that nobody needs any more: a store of before there were meters, and
/// one that an older program wrote to, are measured from this start on.
pub fn stale_meters(index: &Index, now: Timestamp) -> Result<Stale> {
    let mut stale = Stale::default();
    index.scan(Table::Usage, b"\x01", &mut |place, row| {
        if place.iter().filter(|b| **b == 0).count() != 2 {
            return Ok(Walk::Next);
        }
        let meter = index.get(Table::Meta, &[METER, place].concat())?.map(|row| stored::decode::<MeterRow>(&row)).transpose()?;
        let bytes = stored::decode::<UsageRow>(row)?.bytes;
        if meter.is_none_or(|meter| meter.bytes != bytes) {
            stale.turn.push(place.to_vec());
        }
        Ok(if stale.turn.len() < AT_ONCE { Walk::Next } else { Walk::Stop })
    })?;
    each_meter(index, METER, &mut |place, meter| {
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

fn each_meter(index: &Index, from: &[u8], each: &mut dyn FnMut(&[u8], MeterRow) -> Result<Walk>) -> Result<()> {
    index.scan(Table::Meta, from, &mut |row_key, row| match row_key.strip_prefix(METER) {
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
    let of = query.tenant.as_ref().map(|tenant| [tenant.as_str(), "\0"].concat().into_bytes()).unwrap_or_default();
    match (query.by, &query.tenant) {
        (StoredBy::Tenant, Some(tenant)) => {
            let row = index.get(Table::Usage, tenant.as_str().as_bytes())?.map(|row| stored::decode(&row)).transpose()?;
            take(tenant.as_str().as_bytes(), row.unwrap_or_default(), 0)?;
        }
        // Those of meters too: one that shows nothing now did so before.
        (StoredBy::Type, _) => each_meter(index, &[METER, &of].concat(), &mut |place, meter| {
            if !place.starts_with(&of) {
                return Ok(Walk::Stop);
            }
            let row = index.get(Table::Usage, place)?.map(|row| stored::decode::<UsageRow>(&row)).transpose()?;
            take(place, row.unwrap_or_default(), meter.total(now))
        })?,
        (by, _) => index.scan(Table::Usage, if of.is_empty() { b"\x01" } else { &of }, &mut |place, row| {
            let parts = place.iter().filter(|b| **b == 0).count();
            match (by, parts) {
                _ if !place.starts_with(&of) => Ok(Walk::Stop),
                (StoredBy::Tenant, 0) | (StoredBy::Run, 3) => take(place, stored::decode(row)?, 0),
                // All that a tenant has is behind its own row.
                (StoredBy::Tenant, 1..) => {
                    let tenant = place.split(|b| *b == 0).next().unwrap_or_default();
                    Ok(Walk::Seek([tenant, b"\x01"].concat()))
                }
                _ => Ok(Walk::Next),
            }
        })?,
    }
    Ok(page)
}

fn shown(place: &[u8], row: UsageRow, byte_millis: u128) -> Result<Stored> {
    let text = std::str::from_utf8(place).map_err(Error::internal)?;
    let mut parts = text.splitn(4, '\0');
    let mut next = || parts.next().unwrap_or_default();
    let (tenant, bucket, artifact, run) = (next(), next(), next(), next());
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
