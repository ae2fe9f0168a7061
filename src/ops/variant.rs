//! Variants of a version: found, made and opened under the grant for the version itself, and in no other way.

use std::sync::Arc;

use crate::auth::action::Action;
use crate::auth::grant::Grant;
use crate::base::error::Result;
use crate::base::object::SharedObject;
use crate::base::object_ref::ObjectName;
use crate::base::range::ByteRange;
use crate::ops::{Ops, object};
use crate::origin::{Body, Pending, ReadBy, Reads};
use crate::variants::codec::Change;
use crate::variants::{Lookup, Original};

/// What a reader was granted, for as long as a variant of it is being made.
struct Granted {
    reads: Arc<dyn Reads>,
    name: ObjectName,
    of: SharedObject,
}

impl Original for Granted {
    fn open(&self) -> Pending<'_, Option<Body>> {
        let all = ByteRange { start: 0, end: self.of.size };
        self.reads.open(self.name.object(), &self.of, all, ReadBy::UserSpace)
    }
}

impl Ops {
    /// The version `of` in another form.
    pub async fn variant(&self, grant: &Grant, of: &SharedObject, change: Change) -> Result<Lookup> {
        let name = object(grant, &[Action::GetObject])?;
        let granted =
            || -> Arc<dyn Original> { Arc::new(Granted { reads: self.origin.reads.clone(), name: name.to_owned(), of: of.clone() }) };
        Ok(self.variants.get(of, change, granted).await)
    }
}
