//! RestoreObject: asks for an archived object. Only what stands in front of another S3 has any; the answer is the archive's.

use http::StatusCode;

use crate::auth::action::Action;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey};
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer};
use crate::http::xml::Element;
use crate::origin::{Freshness, Restore, Restored};

const TIERS: [&str; 3] = ["Standard", "Bulk", "Expedited"];

pub async fn object(exchange: &mut Exchange<'_>, bucket: &BucketName, key: &ObjectKey) -> Result<Answer> {
    let grant = exchange.on_object(Action::RestoreObject, bucket, key).await?;
    exchange.look_up(bucket, key, Freshness::Current).await?;
    let document = exchange.document().await?;
    let wanted = if document.is_empty() { Restore::default() } else { parse(&document)? };
    Ok(respond::empty(match exchange.gateway.ops.restore(&grant, wanted).await? {
        Restored::Begun => StatusCode::ACCEPTED,
        Restored::Prolonged => StatusCode::OK,
    }))
}

fn parse(document: &[u8]) -> Result<Restore> {
    let root = Element::parse(document, "RestoreRequest")?;
    if root.child("SelectParameters").is_some() || root.child("OutputLocation").is_some() || root.text_of("Type").is_some() {
        return Err(Error::new(ErrorKind::NotImplemented, "Queries of archived objects are not implemented by this gateway."));
    }
    let malformed =
        || Error::new(ErrorKind::MalformedXml, "The XML you provided was not well-formed or did not validate against our published schema");
    let days = root.text_of("Days").map(|text| text.parse().ok().filter(|n| (1..=i32::MAX as u32).contains(n)).ok_or_else(malformed));
    let tier = root.child("GlacierJobParameters").and_then(|p| p.text_of("Tier")).or_else(|| root.text_of("Tier"));
    let tier = tier.map(|text| TIERS.iter().find(|t| **t == text).map(|t| (*t).to_owned()).ok_or_else(malformed));
    Ok(Restore { days: days.transpose()?, tier: tier.transpose()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked() {
        let parsed = |inner: &str| parse(format!("<RestoreRequest>{inner}</RestoreRequest>").as_bytes()).map_err(|e| e.kind());
        let tier = |t: &str| Some(t.to_owned());
        assert_eq!(parsed("<Days>3</Days>"), Ok(Restore { days: Some(3), tier: None }));
        let both = "<Days>3</Days><GlacierJobParameters><Tier>Bulk</Tier></GlacierJobParameters>";
        assert_eq!(parsed(both), Ok(Restore { days: Some(3), tier: tier("Bulk") }));
        assert_eq!(parsed("<Tier>Standard</Tier>"), Ok(Restore { days: None, tier: tier("Standard") }));
        for bad in ["<Days>0</Days>", "<Days>x</Days>", "<Days>-1</Days>", "<Tier>Fast</Tier>"] {
            assert_eq!(parsed(bad), Err(ErrorKind::MalformedXml), "{bad}");
        }
        assert_eq!(parsed("<Type>SELECT</Type>"), Err(ErrorKind::NotImplemented));
    }
}
