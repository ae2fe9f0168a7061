//! The records that nodes share to count what is stored: see `ops/tally`. Sealed as all of the gateway's own state.

use crate::base::error::{ErrorKind, Result};
use crate::upstream::open::Upstream;
use crate::upstream::records::Over;

const FOLDER: &str = "tally/";

impl Upstream {
    /// Its ETag and what it says.
    pub async fn tally(&self, name: &str) -> Result<Option<(String, Vec<u8>)>> {
        let record = self.0.record(&format!("{FOLDER}{name}")).await?;
        Ok(record.map(|record| (record.etag, record.text)))
    }

    /// False: something else was there than `over`, and nothing was written.
    pub async fn put_tally(&self, name: &str, text: &[u8], over: Over) -> Result<bool> {
        match self.0.put_record(&format!("{FOLDER}{name}"), text, over).await {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == ErrorKind::PreconditionFailed => Ok(false),
            Err(e) => Err(e),
        }
    }

    pub async fn tallies(&self, folder: &str) -> Result<Vec<(String, Vec<u8>)>> {
        self.0.records(&format!("{FOLDER}{folder}")).await
    }
}
