//! Whose the objects of a bucket are, and whether ACLs count there: OwnershipControls, set, read and removed.
//!
//! Not here: what follows from it (`auth/ownership`). Called by the door; `document` by CreateBucket too.

use http::StatusCode;

use crate::auth::action::Action;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, TenantId};
use crate::base::object::{Acl, BucketDocument, CannedAcl, Ownership};
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer};
use crate::http::xml::{Element, Writer};

const ROOT: &str = "OwnershipControls";

pub async fn get(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    exchange.on_bucket(Action::GetBucketOwnershipControls, name).await?;
    let stored = exchange.stored_document(name, BucketDocument::Ownership).await?;
    let none = || Error::new(ErrorKind::OwnershipControlsNotFound, "The bucket ownership controls were not found");
    stored.map(respond::xml).ok_or_else(|| none().detail("BucketName", name.as_str()))
}

pub async fn put(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    let grant = exchange.on_bucket(Action::PutBucketOwnershipControls, name).await?;
    let ownership = parse(&exchange.document().await?)?;
    let bucket = exchange.gateway.ops.bucket_for_decision(name).await?;
    let bucket = exchange.existing(bucket, name)?;
    require_fits(ownership, &bucket.acl, &bucket.owner)?;
    exchange.gateway.ops.set_bucket_ownership(&grant, Some(document(ownership).into_bytes())).await?;
    Ok(respond::empty(StatusCode::OK))
}

pub async fn delete(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    let grant = exchange.on_bucket(Action::PutBucketOwnershipControls, name).await?;
    exchange.gateway.ops.set_bucket_ownership(&grant, None).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

/// A bucket that opens itself by ACL can't be one where ACLs do not count: who opened it would not see that it is closed.
pub fn require_fits(ownership: Ownership, acl: &Acl, owner: &TenantId) -> Result<()> {
    if ownership == Ownership::BucketOwnerEnforced && *acl != CannedAcl::Private && !acl.gives_all_to(owner) {
        return Err(Error::new(
            ErrorKind::InvalidBucketAclWithObjectOwnership,
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
        ));
    }
    Ok(())
}

/// As S3 keeps it.
pub fn document(ownership: Ownership) -> String {
    let mut w = Writer::document(ROOT);
    w.open("Rule").leaf("ObjectOwnership", ownership.name()).close("Rule");
    w.finish(ROOT)
}

fn parse(document: &[u8]) -> Result<Ownership> {
    let root = Element::parse(document, ROOT)?;
    let rule = match root.children.as_slice() {
        [rule] if rule.name == "Rule" => rule,
        _ => return Err(malformed("OwnershipControls has one Rule.")),
    };
    let named = rule.text_of("ObjectOwnership").filter(|_| rule.children.len() == 1).and_then(Ownership::parse);
    named.ok_or_else(|| malformed("ObjectOwnership is BucketOwnerEnforced, BucketOwnerPreferred or ObjectWriter."))
}

fn malformed(why: &str) -> Error {
    let text = format!("The XML you provided was not well-formed or did not validate against our published schema: {why}");
    Error::new(ErrorKind::MalformedXml, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_refuses_the_rest() {
        for ownership in Ownership::ALL {
            assert_eq!(parse(document(ownership).as_bytes()).unwrap(), ownership);
        }
        let rule = "<Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule>";
        for bad in [
            "<OwnershipControls/>".to_owned(),
            format!("<OwnershipControls>{rule}{rule}</OwnershipControls>"),
            format!("<OwnershipControls>{}</OwnershipControls>", rule.replace("ObjectWriter", "Nobody")),
            format!("<OwnershipControls>{}</OwnershipControls>", rule.replace("<Rule>", "<Rule><More/>")),
            rule.to_owned(),
        ] {
            assert_eq!(parse(bad.as_bytes()).unwrap_err().kind(), ErrorKind::MalformedXml, "{bad}");
        }
    }
}
