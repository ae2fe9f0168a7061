//! The region that a new bucket is asked to be in. Called by CreateBucket.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::base::error::{Error, ErrorKind, Result};
use crate::http::exchange::Exchange;
use crate::http::xml::Element;

/// A region of AWS, this gateway's own, or the one that the client signs for is this one: there is no other to send it to.
pub fn asked(exchange: &Exchange<'_>, configuration: &Element) -> Result<Option<String>> {
    let Some(region) = configuration.text_of("LocationConstraint").filter(|r| !r.is_empty()) else { return Ok(None) };
    if region != exchange.region() && Some(region) != signed_for(&exchange.parts.headers) && !is_of_aws(region) {
        return Err(Error::new(ErrorKind::InvalidLocationConstraint, "The specified location-constraint is not valid")
            .detail("LocationConstraint", region));
    }
    Ok(Some(region.to_owned()))
}

/// Of a request that was authenticated by its headers.
fn signed_for(headers: &HeaderMap) -> Option<&str> {
    let authorization = headers.get(AUTHORIZATION)?.to_str().ok()?;
    authorization.split_once("Credential=")?.1.split('/').nth(2)
}

/// By its form, since new ones are opened: a place, perhaps what is apart there, a direction, a number.
fn is_of_aws(name: &str) -> bool {
    const PLACES: [&str; 11] = ["af", "ap", "ca", "cn", "eu", "eusc", "il", "me", "mx", "sa", "us"];
    const DIRECTIONS: [&str; 9] = ["central", "east", "north", "northeast", "northwest", "south", "southeast", "southwest", "west"];
    let parts: Vec<&str> = name.split('-').collect();
    let (place, apart, direction, number) = match parts.as_slice() {
        [place, direction, number] => (*place, None, *direction, *number),
        [place, apart, direction, number] => (*place, Some(*apart), *direction, *number),
        _ => return name == "EU",
    };
    let is_apart = |name: &str| matches!(name, "gov" | "de") || name.starts_with("iso") && name.len() <= 4;
    PLACES.contains(&place) && apart.is_none_or(is_apart) && DIRECTIONS.contains(&direction) && matches!(number.as_bytes(), [b'1'..=b'9'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_of_aws_and_others() {
        for name in
            ["EU", "us-east-1", "ap-northeast-3", "us-gov-west-1", "us-isob-east-1", "eusc-de-east-1", "cn-northwest-1", "mx-central-1"]
        {
            assert!(is_of_aws(name), "{name}");
        }
        for name in
            ["", "eu", "nowhere", "eu-nowhere-1", "xx-west-1", "us-east-0", "us-east-1a", "us-east", "us-gov-gov-west-1", "eu_west_1"]
        {
            assert!(!is_of_aws(name), "{name}");
        }
    }
}
