//! Where the requests for a bucket are logged to: S3's server access logging, as the bucket keeps it, and the keys of the log objects.
//!
//! Not here: its XML (`http/s3/logging`), the lines (`telemetry/access_log`), how they get there (`telemetry/bucket_logs`,
//! `jobs/deliver_log`).

use serde::{Deserialize, Serialize};

use super::acl::{Acl, Grantee, Grants, Permission};
use super::error::{Error, ErrorKind, Result};
use super::fields::newer;
use super::names::{BucketName, ObjectKey, TenantId};
use super::object::{Bucket, BucketDocument};
use super::timestamp::Timestamp;

const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketLogging {
    pub target: BucketName,
    pub prefix: String,
    pub format: KeyFormat,
    /// Who may do what with the log objects, beside the owner of their bucket.
    pub grants: Grants,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFormat {
    Simple,
    Partitioned(DateSource),
}

/// Which day a partition is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateSource {
    /// That of the requests.
    Event,
    Delivery,
}

/// What the key of a log object is made from, beside what the bucket says.
#[derive(Debug, Clone, Copy)]
pub struct LogFile<'a> {
    pub source: &'a Bucket,
    pub region: &'a str,
    /// Of its requests: all are of one day.
    pub requests: Timestamp,
    pub delivery: Timestamp,
    /// No two files have the same.
    pub unique: &'a str,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    target: String,
    prefix: String,
    /// None: simple.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    partitioned_by: Option<String>,
    /// Grantee (a tenant, or the URI of a group) and permission.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    grants: Vec<(String, String)>,
}

impl DateSource {
    pub const fn name(self) -> &'static str {
        match self {
            DateSource::Event => "EventTime",
            DateSource::Delivery => "DeliveryTime",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        [DateSource::Event, DateSource::Delivery].into_iter().find(|source| source.name() == name)
    }
}

impl BucketLogging {
    /// As the bucket keeps it. What a newer program wrote is not read: then nothing is delivered.
    pub fn stored(&self) -> Result<Vec<u8>> {
        let partitioned_by = match self.format {
            KeyFormat::Simple => None,
            KeyFormat::Partitioned(source) => Some(source.name().to_owned()),
        };
        let grantee = |grantee: &Grantee| match grantee {
            Grantee::Tenant(tenant) => tenant.to_string(),
            group => group.uri().unwrap_or_default().to_owned(),
        };
        let grants = self.grants.iter().map(|(to, permission)| (grantee(to), permission.name().to_owned())).collect();
        let stored = Stored { version: VERSION, target: self.target.to_string(), prefix: self.prefix.clone(), partitioned_by, grants };
        serde_json::to_vec(&stored).map_err(Error::internal)
    }

    /// None: the bucket's requests are not logged to a bucket.
    pub fn of(bucket: &Bucket) -> Result<Option<Self>> {
        let Some(document) = bucket.documents.get(&BucketDocument::Logging) else { return Ok(None) };
        let what = "the logging configuration of a bucket";
        let stored: Stored = serde_json::from_slice(document).map_err(|_| newer(what))?;
        if stored.version != VERSION {
            return Err(newer(what));
        }
        let format = match stored.partitioned_by.as_deref().map(DateSource::parse) {
            None => KeyFormat::Simple,
            Some(source) => KeyFormat::Partitioned(source.ok_or_else(|| newer(what))?),
        };
        let grant = |(to, permission): (String, String)| {
            let grantee = Grantee::group(&to).or_else(|| TenantId::parse(&to).ok().map(Grantee::Tenant));
            Some((grantee?, Permission::parse(&permission)?))
        };
        let grants = stored.grants.into_iter().map(grant).collect::<Option<Vec<_>>>().and_then(Grants::of).ok_or_else(|| newer(what))?;
        Ok(Some(BucketLogging { target: BucketName::parse(&stored.target)?, prefix: stored.prefix, format, grants }))
    }

    /// Of the log objects, which are this tenant's.
    pub fn acl(&self, owner: &TenantId) -> Acl {
        let own = (Grantee::Tenant(owner.clone()), Permission::FullControl);
        let all = self.grants.iter().map(|(grantee, permission)| (grantee.clone(), permission)).chain([own]);
        // One grant more than S3 takes is none of its clients'.
        Grants::of(all).map(|grants| Acl::from(grants).in_short(owner, owner)).unwrap_or_default()
    }

    /// As S3 calls it: `PREFIXyyyy-mm-dd-hh-mm-ss-UNIQUE`, in the partitioned format under `PREFIXowner/region/bucket/yyyy/mm/dd/`.
    pub fn key(&self, file: &LogFile<'_>) -> Result<ObjectKey> {
        let LogFile { source, region, requests, delivery, unique } = *file;
        let prefix = &self.prefix;
        let key = match self.format {
            KeyFormat::Simple => format!("{prefix}{}-{unique}", stamp(delivery)),
            KeyFormat::Partitioned(by) => {
                // The hours of the requests are not all the same, and S3 says none.
                let stamp = match by {
                    DateSource::Event => format!("{}-00-00-00", &stamp(requests)[..10]),
                    DateSource::Delivery => stamp(delivery),
                };
                let day = stamp[..10].replace('-', "/");
                format!("{prefix}{}/{region}/{}/{day}/{stamp}-{unique}", source.owner, source.name)
            }
        };
        ObjectKey::parse(&key)
    }

    /// A key such as the logs will have. Fails where none can be one.
    pub fn key_like(&self, source: &Bucket, region: &str) -> Result<ObjectKey> {
        let now = Timestamp::now();
        let key = self.key(&LogFile { source, region, requests: now, delivery: now, unique: "0123456789ABCDEF" });
        key.map_err(|_| {
            let text = "The TargetPrefix is too long, or no key of an object can begin with it.";
            Error::new(ErrorKind::InvalidArgument, text).detail("ArgumentName", "TargetPrefix")
        })
    }
}

/// `2026-11-29-23-59-59`.
fn stamp(time: Timestamp) -> String {
    time.iso8601()[..19].replace([':', 'T'], "-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::acl::CannedAcl;
    use crate::base::names::TenantId;

    fn bucket() -> Bucket {
        Bucket {
            name: BucketName::parse("media").unwrap(),
            owner: TenantId::parse("acme").unwrap(),
            created: Timestamp::from_secs(0),
            acl: CannedAcl::Private.into(),
            documents: Default::default(),
            generation: 0,
            unknown: Default::default(),
        }
    }

    const FORMATS: [KeyFormat; 3] =
        [KeyFormat::Simple, KeyFormat::Partitioned(DateSource::Event), KeyFormat::Partitioned(DateSource::Delivery)];

    #[test]
    fn keys_are_as_s3_makes_them() {
        let source = bucket();
        let requests = Timestamp::from_secs(1_549_411_238);
        let file = LogFile { source: &source, region: "eu-west-1", requests, delivery: Timestamp::from_secs(1_549_500_000), unique: "0A" };
        let key = |format| {
            let logging =
                BucketLogging { target: BucketName::parse("logs").unwrap(), prefix: "log/".into(), format, grants: Grants::default() };
            logging.key(&file).unwrap().to_string()
        };
        let [simple, event, delivery] = FORMATS.map(key);
        assert_eq!(simple, "log/2019-02-07-00-40-00-0A");
        assert_eq!(event, "log/acme/eu-west-1/media/2019/02/06/2019-02-06-00-00-00-0A");
        assert_eq!(delivery, "log/acme/eu-west-1/media/2019/02/07/2019-02-07-00-40-00-0A");
    }

    #[test]
    fn what_is_stored_is_read_again_and_nothing_else() {
        let mut source = bucket();
        assert_eq!(BucketLogging::of(&source).unwrap(), None);
        for format in FORMATS {
            let reader = (Grantee::Tenant(TenantId::parse("bravo").unwrap()), Permission::Read);
            let grants = Grants::of([reader, (Grantee::AllUsers, Permission::FullControl)]).unwrap();
            let logging = BucketLogging { target: BucketName::parse("logs").unwrap(), prefix: "a b/\"".into(), format, grants };
            source.documents.insert(BucketDocument::Logging, logging.stored().unwrap());
            assert_eq!(BucketLogging::of(&source).unwrap(), Some(logging));
        }
        // As it was written before there were grants.
        let old = r#"{"version":1,"target":"logs","prefix":"a/"}"#;
        let logging = BucketLogging {
            target: BucketName::parse("logs").unwrap(),
            prefix: "a/".into(),
            format: KeyFormat::Simple,
            grants: Grants::default(),
        };
        assert_eq!(logging.stored().unwrap(), old.as_bytes());
        source.documents.insert(BucketDocument::Logging, old.into());
        assert_eq!(BucketLogging::of(&source).unwrap(), Some(logging));
        for newer in [
            r#"{"version":2,"target":"logs","prefix":""}"#,
            r#"{"version":1,"target":"logs","prefix":"","x":1}"#,
            r#"{"version":1,"target":"logs","prefix":"","grants":[["acme","LOOK"]]}"#,
        ] {
            source.documents.insert(BucketDocument::Logging, newer.into());
            assert!(BucketLogging::of(&source).is_err(), "{newer}");
        }
    }
}
