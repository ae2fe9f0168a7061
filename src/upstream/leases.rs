//! The records of leases, which the nodes over one bucket share: see `queue::lease`. Sealed as all of the gateway's own state.

use crate::base::error::{ErrorKind, Result};
use crate::upstream::open::Upstream;
use crate::upstream::records::Over;

const FOLDER: &str = "leases/";

impl Upstream {
    /// Without that two nodes could hold one lease.
    pub fn decides_conditional_writes(&self) -> bool {
        self.0.abilities().conditional_writes
    }

    /// Its ETag and what it says.
    pub async fn lease(&self, name: &str) -> Result<Option<(String, Vec<u8>)>> {
        let record = self.0.record(&format!("{FOLDER}{name}")).await?;
        Ok(record.map(|record| (record.etag, record.text)))
    }

    /// `over`: the ETag of what it replaces; None: nothing is there yet. Answers its ETag, or None where somebody else wrote first.
    pub async fn put_lease(&self, name: &str, text: &[u8], over: Option<&str>) -> Result<Option<String>> {
        let over = over.map_or(Over::Nothing, |etag| Over::This(etag.to_owned()));
        match self.0.put_record(&format!("{FOLDER}{name}"), text, over).await {
            Ok(etag) => Ok(Some(etag)),
            Err(e) if e.kind() == ErrorKind::PreconditionFailed => Ok(None),
            Err(e) => Err(e),
        }
    }
}
