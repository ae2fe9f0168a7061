//! Settings of a bucket that this gateway does not have: each is read as S3 answers for one that was never set. Terraform,
//! consoles and backup tools read all of them at their first look.
//!
//! Not here: writes of them, which `route` refuses with 501. Called by the door. Invariant: what is answered is true, so a setting
//! leaves this file when it can be set.

use crate::auth::action::Action;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::BucketName;
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer};
use crate::http::xml::Writer;

pub struct Setting {
    action: Action,
    answer: NeverSet,
}

enum NeverSet {
    NotFound(ErrorKind, &'static str),
    /// A document with this root, and what is in it.
    Document(&'static str, Option<(&'static str, &'static str)>),
}

const fn document(action: Action, root: &'static str) -> Setting {
    Setting { action, answer: NeverSet::Document(root, None) }
}

const fn not_found(action: Action, kind: ErrorKind, text: &'static str) -> Setting {
    Setting { action, answer: NeverSet::NotFound(kind, text) }
}

/// One of those of which a bucket can have many.
const fn one(action: Action) -> Setting {
    not_found(action, ErrorKind::NoSuchConfiguration, "The specified configuration does not exist.")
}

/// All of them.
const fn all(action: Action, root: &'static str) -> Setting {
    Setting { action, answer: NeverSet::Document(root, Some(("IsTruncated", "false"))) }
}

pub const REPLICATION: Setting = not_found(
    Action::GetReplicationConfiguration,
    ErrorKind::ReplicationConfigurationNotFound,
    "The replication configuration was not found",
);
pub const ACCELERATE: Setting = document(Action::GetAccelerateConfiguration, "AccelerateConfiguration");
pub const REQUEST_PAYMENT: Setting = Setting {
    action: Action::GetBucketRequestPayment,
    answer: NeverSet::Document("RequestPaymentConfiguration", Some(("Payer", "BucketOwner"))),
};
pub const ONE_INVENTORY: Setting = one(Action::GetInventoryConfiguration);
pub const ALL_INVENTORY: Setting = all(Action::GetInventoryConfiguration, "ListInventoryConfigurationsResult");
pub const ONE_ANALYTICS: Setting = one(Action::GetAnalyticsConfiguration);
pub const ALL_ANALYTICS: Setting = all(Action::GetAnalyticsConfiguration, "ListBucketAnalyticsConfigurationResult");
pub const ONE_METRICS: Setting = one(Action::GetMetricsConfiguration);
pub const ALL_METRICS: Setting = all(Action::GetMetricsConfiguration, "ListMetricsConfigurationsResult");
pub const ONE_INTELLIGENT_TIERING: Setting = one(Action::GetIntelligentTieringConfiguration);
pub const ALL_INTELLIGENT_TIERING: Setting =
    all(Action::GetIntelligentTieringConfiguration, "ListBucketIntelligentTieringConfigurationsOutput");

pub async fn get(exchange: &mut Exchange<'_>, name: &BucketName, setting: &Setting) -> Result<Answer> {
    exchange.on_bucket(setting.action, name).await?;
    match setting.answer {
        NeverSet::NotFound(kind, text) => Err(Error::new(kind, text).detail("BucketName", name.as_str())),
        NeverSet::Document(root, content) => {
            let mut w = Writer::document(root);
            if let Some((element, text)) = content {
                w.leaf(element, text);
            }
            Ok(respond::xml(w.finish(root)))
        }
    }
}
