//! Retention and legal hold of a version, set and ended. What may be changed of them: `locks`.

use std::sync::Arc;

use crate::base::error::Result;
use crate::base::lock::{Lock, Retention};
use crate::base::object_ref::{ObjectName, ObjectRef};
use crate::local::locks::{has_lock, is_locked, may_change, require_future};
use crate::local::rows::ObjectRow;
use crate::local::shared::Shared;
use crate::local::txn::Txn;
use crate::local::versions;
use crate::origin::no_lock_configuration;

impl Shared {
    pub async fn set_retention(&self, of: ObjectRef<'_>, retention: Option<Retention>, bypass: bool) -> Result<()> {
        let set = move |txn: &Txn<'_>, lock: Lock| {
            require_future(retention, txn.judged())?;
            if !may_change(lock.retention, retention, bypass, txn.judged()) {
                return Err(is_locked());
            }
            Ok(Lock { retention, ..lock })
        };
        self.set_lock(of.to_owned(), set).await
    }

    pub async fn set_legal_hold(&self, of: ObjectRef<'_>, on: bool) -> Result<()> {
        self.set_lock(of.to_owned(), move |_, lock| Ok(Lock { legal_hold: on, ..lock })).await
    }

    async fn set_lock(&self, of: ObjectName, set: impl FnOnce(&Txn<'_>, Lock) -> Result<Lock> + Send + 'static) -> Result<()> {
        let set = move |txn: &mut Txn<'_>| {
            if !has_lock(&*txn.require_bucket(&of.bucket)?) {
                return Err(no_lock_configuration());
            }
            let mut row = ObjectRow::clone(&*versions::require(txn, of.object())?);
            row.tail.lock = set(txn, row.tail.lock)?;
            versions::rewrite(txn, &of.bucket, &of.key, Arc::new(row))
        };
        self.queue.submit(set).await
    }
}
