//! A bucket's block of public access: set, read and removed.
//!
//! Not here: what its flags do (`auth`, on every door). Called by the door.

use http::StatusCode;

use crate::auth::action::Action;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::BucketName;
use crate::base::object::BucketDocument;
use crate::base::public_access::PublicAccessBlock;
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer};
use crate::http::xml::{Element, Writer};

const ROOT: &str = "PublicAccessBlockConfiguration";

pub async fn get(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    exchange.on_bucket(Action::GetBucketPublicAccessBlock, name).await?;
    let stored = exchange.stored_document(name, BucketDocument::PublicAccessBlock).await?;
    let none = || Error::new(ErrorKind::NoSuchPublicAccessBlock, "The public access block configuration was not found");
    stored.map(respond::xml).ok_or_else(|| none().detail("BucketName", name.as_str()))
}

pub async fn put(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    let grant = exchange.on_bucket(Action::PutBucketPublicAccessBlock, name).await?;
    let block = parse(&exchange.document().await?)?;
    exchange.gateway.ops.set_public_access_block(&grant, Some(document(block).into_bytes())).await?;
    Ok(respond::empty(StatusCode::OK))
}

/// S3 has no right of its own for it.
pub async fn delete(exchange: &mut Exchange<'_>, name: &BucketName) -> Result<Answer> {
    let grant = exchange.on_bucket(Action::PutBucketPublicAccessBlock, name).await?;
    exchange.gateway.ops.set_public_access_block(&grant, None).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

fn document(block: PublicAccessBlock) -> String {
    let mut w = Writer::document(ROOT);
    for (name, flag) in block.flags() {
        w.leaf(name, flag);
    }
    w.finish(ROOT)
}

/// What is not in it is off.
fn parse(document: &[u8]) -> Result<PublicAccessBlock> {
    let root = Element::parse(document, ROOT)?;
    let mut block = PublicAccessBlock::default();
    for child in &root.children {
        let known = block.flags_mut().into_iter().find(|(name, _)| *name == child.name);
        let (_, flag) = known.ok_or_else(|| malformed(&format!("{} is no flag of it.", child.name)))?;
        *flag = match child.text.trim_ascii() {
            text if text.eq_ignore_ascii_case("true") => true,
            text if text.eq_ignore_ascii_case("false") => false,
            _ => return Err(malformed(&format!("{} is true or false.", child.name))),
        };
    }
    Ok(block)
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
        for bits in 0..16_u8 {
            let mut block = PublicAccessBlock::default();
            block.flags_mut().into_iter().enumerate().for_each(|(i, (_, flag))| *flag = bits & 1 << i != 0);
            assert_eq!(parse(document(block).as_bytes()).unwrap(), block);
        }
        let of = |content: &str| parse(format!("<{ROOT}>{content}</{ROOT}>").as_bytes()).map_err(|e| e.kind());
        assert_eq!(of(""), Ok(PublicAccessBlock::default()));
        let one = PublicAccessBlock { block_public_acls: true, ..PublicAccessBlock::default() };
        assert_eq!(of("<BlockPublicAcls> TRUE </BlockPublicAcls>"), Ok(one));
        for bad in ["<BlockPublicAcls>yes</BlockPublicAcls>", "<BlockPublicAcls/>", "<BlockEverything>true</BlockEverything>"] {
            assert_eq!(of(bad), Err(ErrorKind::MalformedXml), "{bad}");
        }
    }
}
