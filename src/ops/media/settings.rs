//! What the configuration says of looking into media.

use crate::base::names::BucketName;
use crate::media::settings::Settings as PoolSettings;
use crate::ops::renditions::settings::Settings as RenditionSettings;

#[derive(Debug, Clone)]
pub struct Settings {
    /// Uploads are looked into.
    pub inspect: bool,
    /// Buckets whose writers are answered only when their upload passed.
    pub before: Vec<BucketName>,
    pub pool: PoolSettings,
    pub renditions: RenditionSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { inspect: true, before: Vec::new(), pool: PoolSettings::default(), renditions: RenditionSettings::default() }
    }
}
