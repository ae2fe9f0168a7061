//! What the configuration says of looking into media.

use crate::base::names::BucketName;
use crate::media::settings::Settings as PoolSettings;

#[derive(Debug, Clone)]
pub struct Settings {
    /// Uploads are looked into.
    pub inspect: bool,
    /// Buckets whose writers are answered only when their upload passed.
    pub before: Vec<BucketName>,
    pub pool: PoolSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { inspect: true, before: Vec::new(), pool: PoolSettings::default() }
    }
}
