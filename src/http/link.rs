//! The forms of links to objects. Not here: making one (`api::presign`), and where a site shows an object (`site`).

use serde::{Deserialize, Serialize};

/// What a link looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A SigV4 presigned URL of the S3 door, with the caller's own key.
    #[default]
    S3,
    /// CloudFront's signed URL, for the edge door and for a distribution before it.
    Cloudfront,
    /// The same as cookies.
    Cookie,
    /// The edge door's own: relative URLs under it work.
    PathToken,
}

impl std::str::FromStr for Form {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "s3" => Ok(Form::S3),
            "cloudfront" => Ok(Form::Cloudfront),
            "cookie" => Ok(Form::Cookie),
            "path-token" => Ok(Form::PathToken),
            _ => Err(()),
        }
    }
}
