//! Where a bucket's requests are logged to: BucketLoggingStatus, set and read.
//!
//! Not here: who may have logs brought to a bucket (`auth/log_delivery`), the bringing (`jobs/deliver_log`). Called by the door.

use http::StatusCode;

use crate::auth::action::Action;
use crate::auth::log_delivery;
use crate::base::acl::Grants;
use crate::base::bucket_logging::{BucketLogging, DateSource, KeyFormat};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, TenantId};
use crate::base::object::Bucket;
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer};
use crate::http::s3::acl;
use crate::http::xml::{Element, Writer};

const ROOT: &str = "BucketLoggingStatus";

pub async fn get(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    exchange.on_bucket(Action::GetBucketLogging, name).await?;
    let bucket = exchange.gateway.ops.bucket_for_decision(name).await?;
    let logging = BucketLogging::of(&*exchange.existing(bucket, name)?)?;
    Ok(respond::xml(document(logging.as_ref(), |w, tenant| exchange.grantee(w, tenant))))
}

pub async fn put(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    let grant = exchange.on_bucket(Action::PutBucketLogging, name).await?;
    let document = exchange.document().await?;
    let logging = parse(&document, |grants| acl::target_grants(exchange, grants))?;
    if let Some(logging) = &logging {
        let source = exchange.gateway.ops.bucket_for_decision(name).await?;
        require_may(exchange, &*exchange.existing(source, name)?, logging).await?;
        exchange.gateway.bucket_logs.wanted.set();
    }
    let stored = logging.map(|logging| logging.stored()).transpose()?;
    exchange.gateway.ops.set_bucket_logging(&grant, stored).await?;
    Ok(respond::empty(StatusCode::OK))
}

async fn require_may(exchange: &Exchange<'_>, source: &Bucket, logging: &BucketLogging) -> Result<()> {
    let wrong = |text: &'static str| Err(Error::new(ErrorKind::InvalidArgument, text).detail("ArgumentName", "TargetBucket"));
    if logging.target == source.name {
        return wrong("A bucket can't be the target of its own log: each log that is brought would be a request to log.");
    }
    let key = logging.key_like(source, exchange.region())?;
    // As if it were not there: whose other buckets are is not told.
    let target = exchange.gateway.ops.bucket_for_decision(&logging.target).await?.ok_or_else(log_delivery::refused)?;
    let grant = exchange.gateway.auth.grant_for_log(source, &target, logging, &key)?;
    if logging.grants != Grants::default() && grant.require_acls().is_err() {
        let text = "Target grants not allowed for bucket owner enforced buckets: say in the target's policy who reads the logs.";
        return Err(Error::new(ErrorKind::AccessControlListNotSupported, text));
    }
    grant.becomes(&logging.acl(&target.owner))?;
    if BucketLogging::of(&target)?.is_some() {
        return wrong("The target bucket is logged itself: a log must not go where logs are made.");
    }
    Ok(())
}

fn document(logging: Option<&BucketLogging>, user: impl Fn(&mut Writer, &TenantId)) -> String {
    let mut w = Writer::document(ROOT);
    if let Some(BucketLogging { target, prefix, format, grants }) = logging {
        w.open("LoggingEnabled").leaf("TargetBucket", target).leaf("TargetPrefix", prefix);
        if *grants != Grants::default() {
            acl::list(&mut w, "TargetGrants", grants, user);
        }
        w.open("TargetObjectKeyFormat");
        match format {
            KeyFormat::Simple => w.open("SimplePrefix").close("SimplePrefix"),
            KeyFormat::Partitioned(source) => {
                w.open("PartitionedPrefix").leaf("PartitionDateSource", source.name()).close("PartitionedPrefix")
            }
        };
        w.close("TargetObjectKeyFormat").close("LoggingEnabled");
    }
    w.finish(ROOT)
}

/// None: logging ends. `grants` reads those of log objects.
fn parse(document: &[u8], grants: impl Fn(&Element) -> Result<Grants>) -> Result<Option<BucketLogging>> {
    let root = Element::parse(document, ROOT)?;
    let Some(enabled) = root.child("LoggingEnabled") else {
        return if root.children.is_empty() { Ok(None) } else { Err(malformed("its one element is LoggingEnabled")) };
    };
    let grants = enabled.child("TargetGrants").map(grants).transpose()?.unwrap_or_default();
    let target = enabled.text_of("TargetBucket").ok_or_else(|| malformed("TargetBucket is missing"))?;
    let prefix = enabled.text_of("TargetPrefix").ok_or_else(|| malformed("TargetPrefix is missing; it may be empty"))?;
    let target = BucketName::parse(target).map_err(|_| log_delivery::refused())?;
    Ok(Some(BucketLogging { target, prefix: prefix.to_owned(), format: key_format(enabled.child("TargetObjectKeyFormat"))?, grants }))
}

fn key_format(format: Option<&Element>) -> Result<KeyFormat> {
    let Some(format) = format else { return Ok(KeyFormat::Simple) };
    match (format.child("SimplePrefix"), format.child("PartitionedPrefix")) {
        (Some(_), None) => Ok(KeyFormat::Simple),
        (None, Some(partitioned)) => {
            let source = partitioned.text_of("PartitionDateSource").and_then(DateSource::parse);
            source.map(KeyFormat::Partitioned).ok_or_else(|| malformed("PartitionDateSource is EventTime or DeliveryTime"))
        }
        _ => Err(malformed("TargetObjectKeyFormat has one of SimplePrefix and PartitionedPrefix")),
    }
}

fn malformed(why: &str) -> Error {
    let text = format!("The XML you provided was not well-formed or did not validate against our published schema: {why}");
    Error::new(ErrorKind::MalformedXml, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::acl::{Grantee, Permission};

    fn grants(_: &Element) -> Result<Grants> {
        Ok(Grants::of([(Grantee::AllUsers, Permission::Read)]).unwrap())
    }

    #[test]
    fn reads_what_it_writes() {
        assert_eq!(parse(document(None, |_, _| ()).as_bytes(), grants).unwrap(), None);
        for format in [KeyFormat::Simple, KeyFormat::Partitioned(DateSource::Event), KeyFormat::Partitioned(DateSource::Delivery)] {
            for prefix in ["", "a/<&>\"", "logs/"] {
                for grants in [Grants::default(), Grants::of([(Grantee::AllUsers, Permission::Read)]).unwrap()] {
                    let logging = BucketLogging { target: BucketName::parse("logs").unwrap(), prefix: prefix.into(), format, grants };
                    assert_eq!(parse(document(Some(&logging), |_, _| ()).as_bytes(), self::grants).unwrap(), Some(logging));
                }
            }
        }
    }

    #[test]
    fn refuses_the_rest() {
        let of = |content: &str| parse(format!("<{ROOT}>{content}</{ROOT}>").as_bytes(), grants).unwrap_err().kind();
        assert_eq!(of("<Other/>"), ErrorKind::MalformedXml);
        assert_eq!(of("<LoggingEnabled><TargetPrefix/></LoggingEnabled>"), ErrorKind::MalformedXml);
        assert_eq!(of("<LoggingEnabled><TargetBucket>logs</TargetBucket></LoggingEnabled>"), ErrorKind::MalformedXml);
        let with = |rest: &str| {
            of(&format!("<LoggingEnabled><TargetBucket>logs</TargetBucket><TargetPrefix>a</TargetPrefix>{rest}</LoggingEnabled>"))
        };
        assert_eq!(with("<TargetObjectKeyFormat/>"), ErrorKind::MalformedXml);
        let wrong = "<PartitionedPrefix><PartitionDateSource>Now</PartitionDateSource></PartitionedPrefix>";
        assert_eq!(with(&format!("<TargetObjectKeyFormat>{wrong}</TargetObjectKeyFormat>")), ErrorKind::MalformedXml);
    }
}
