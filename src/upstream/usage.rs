//! What each node used, for the others: records under `.tidegate/usage/`, by month, sealed as all of the gateway's own state.
//!
//! What they say is of no concern here. They are not kept in memory: they are read when somebody asks for a report.

use tokio::task::JoinSet;

use crate::base::error::{Error, Result};
use crate::upstream::open::Upstream;
use crate::upstream::records::{Over, READ_AT_ONCE};

const FOLDER: &str = "usage/";

impl Upstream {
    /// Those of a month whose names are asked for.
    pub async fn usage_records(&self, month: &str, wanted: impl Fn(&str) -> bool) -> Result<Vec<Vec<u8>>> {
        let folder = format!("{FOLDER}{month}/");
        let names = self.0.record_names(&folder).await?.into_iter().map(|(name, _)| name).filter(|name| wanted(name));
        let names: Vec<String> = names.collect();
        let mut found = Vec::new();
        for some in names.chunks(READ_AT_ONCE) {
            let mut reads = JoinSet::new();
            for name in some {
                let (inner, path) = (self.0.clone(), format!("{folder}{name}"));
                reads.spawn(async move { inner.record(&path).await });
            }
            while let Some(read) = reads.join_next().await {
                found.extend(read.map_err(Error::internal)??.map(|record| record.text));
            }
        }
        Ok(found)
    }

    /// Names and ETags of those of a month.
    pub async fn usage_names(&self, month: &str) -> Result<Vec<(String, String)>> {
        self.0.record_names(&format!("{FOLDER}{month}/")).await
    }

    pub async fn usage_record(&self, month: &str, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.0.record(&format!("{FOLDER}{month}/{name}")).await?.map(|record| record.text))
    }

    pub async fn put_usage_record(&self, month: &str, name: &str, text: &[u8]) -> Result<()> {
        self.0.put_record(&format!("{FOLDER}{month}/{name}"), text, Over::Anything).await.map(drop)
    }

    /// Those of months that are over for long: `2025-10` and before. Answers how many.
    pub async fn forget_usage_before(&self, month: &str) -> Result<u64> {
        let mut gone = 0;
        for (name, _) in self.0.record_names(FOLDER).await? {
            if name.split('/').next().is_some_and(|of| of < month) {
                self.0.delete_record(&format!("{FOLDER}{name}")).await?;
                gone += 1;
            }
        }
        Ok(gone)
    }
}
