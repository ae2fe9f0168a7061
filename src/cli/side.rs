//! The arguments that name an S3 and a folder in it, for the commands that move data.
//!
//! Keys come from where every S3 tool finds them (environment, profile, instance). Without an endpoint the other side is
//! this machine's gateway, in the operator's name, where one was started here; else AWS. `aws` as the endpoint says AWS.

use std::time::Duration;

use clap::Args;
use tokio::net::TcpStream;

use super::admin_client::reachable;
use super::{Failure, existing_operator_key};
use crate::config::Config;
use crate::moving::remote::Remote;
use crate::upstream::client::{Access, Keys, client};

/// A gateway of this machine takes the connection by then, or is not there.
const CONNECT: Duration = Duration::from_secs(3);
const AWS: &str = "aws";

/// For commands with one S3.
#[derive(Args)]
pub struct Side {
    /// URL of the S3, or `aws` [default: this machine's gateway where one was started here, else AWS]
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL_S3")]
    endpoint: Option<String>,
    /// [default: AWS_REGION or the profile's; a gateway's own]
    #[arg(long)]
    region: Option<String>,
    /// endpoint/bucket/key (true) or bucket.endpoint/key (false) [default: true, for AWS false]
    #[arg(long, value_name = "BOOL", value_parser = clap::builder::BoolishValueParser::new())]
    path_style: Option<bool>,
    /// The profile of the AWS configuration to take keys from
    #[arg(long)]
    profile: Option<String>,
}

/// For a command with two.
#[derive(Args)]
pub struct Sides {
    /// URL of the S3 to read, or `aws` [default: this machine's gateway where one was started here, else AWS]
    #[arg(long, value_name = "URL")]
    source_endpoint: Option<String>,
    #[arg(long, value_name = "REGION")]
    source_region: Option<String>,
    #[arg(long, value_name = "BOOL", value_parser = clap::builder::BoolishValueParser::new())]
    source_path_style: Option<bool>,
    #[arg(long, value_name = "PROFILE")]
    source_profile: Option<String>,
    /// URL of the S3 to write, or `aws` [default: as for the source]
    #[arg(long, value_name = "URL")]
    target_endpoint: Option<String>,
    #[arg(long, value_name = "REGION")]
    target_region: Option<String>,
    #[arg(long, value_name = "BOOL", value_parser = clap::builder::BoolishValueParser::new())]
    target_path_style: Option<bool>,
    #[arg(long, value_name = "PROFILE")]
    target_profile: Option<String>,
}

impl Sides {
    pub fn source(&self) -> Side {
        Side {
            endpoint: self.source_endpoint.clone(),
            region: self.source_region.clone(),
            path_style: self.source_path_style,
            profile: self.source_profile.clone(),
        }
    }

    pub fn target(&self) -> Side {
        Side {
            endpoint: self.target_endpoint.clone(),
            region: self.target_region.clone(),
            path_style: self.target_path_style,
            profile: self.target_profile.clone(),
        }
    }
}

/// `s3://bucket/prefix`. The prefix is a folder: it gets its slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Folder {
    bucket: String,
    prefix: String,
}

impl std::str::FromStr for S3Folder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("s3://").ok_or("s3://bucket or s3://bucket/prefix is expected")?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err("s3://bucket or s3://bucket/prefix is expected: the bucket is missing".into());
        }
        let folder = prefix.is_empty() || prefix.ends_with('/');
        Ok(S3Folder { bucket: bucket.to_owned(), prefix: if folder { prefix.to_owned() } else { format!("{prefix}/") } })
    }
}

impl Side {
    /// Reaches nothing but a gateway of this machine, to say so at once when it is not there.
    pub async fn open(self, place: &S3Folder, public_base: Option<String>, config: &Config) -> Result<Remote, Failure> {
        let access = self.access(config).await?;
        let endpoint = access.endpoint.clone();
        let client = client(&access).await;
        let S3Folder { bucket, prefix } = place.clone();
        let base = match (&endpoint, access.path_style) {
            (Some(endpoint), true) => format!("{}/{bucket}", endpoint.trim_end_matches('/')),
            (Some(endpoint), false) => {
                let (scheme, host) = endpoint.trim_end_matches('/').split_once("://").unwrap_or(("https", endpoint));
                format!("{scheme}://{bucket}.{host}")
            }
            (None, _) => {
                let region = client.config().region().map_or("us-east-1", |r| r.as_ref()).to_owned();
                format!("https://{bucket}.s3.{region}.amazonaws.com")
            }
        };
        let public_base = public_base.map_or_else(|| base.clone(), |given| given.trim_end_matches('/').to_owned());
        Ok(Remote { client, bucket, prefix, at: base, public_base })
    }

    async fn access(self, config: &Config) -> Result<Access, Failure> {
        let Side { endpoint, region, path_style, profile } = self;
        let given = Access { region, profile, ..Access::default() };
        match endpoint.filter(|e| !e.is_empty()).or_else(|| std::env::var("AWS_ENDPOINT_URL").ok().filter(|e| !e.is_empty())) {
            Some(word) if word == AWS => Ok(Access { path_style: path_style.unwrap_or(false), ..given }),
            Some(url) if !url.starts_with("http://") && !url.starts_with("https://") => {
                Err(Failure::Usage(vec![format!("the endpoint {url} is no URL: http://host:port or https://host is expected, or `aws`")]))
            }
            Some(url) => {
                let aws = url.contains(".amazonaws.com");
                Ok(Access { endpoint: Some(url), path_style: path_style.unwrap_or(!aws), ..given })
            }
            None if given.profile.is_none() && existing_operator_key(config).is_ok() => own_gateway(config, given).await,
            None => Ok(Access { path_style: path_style.unwrap_or(false), ..given }),
        }
    }
}

/// This machine's, in the operator's name.
async fn own_gateway(config: &Config, given: Access) -> Result<Access, Failure> {
    let operator = existing_operator_key(config)?;
    let Some(address) = config.s3.plain.first().copied().map(reachable) else {
        return Err(Failure::Usage(vec!["the S3 door of this machine's gateway has no plain address: give the endpoint".into()]));
    };
    if !matches!(tokio::time::timeout(CONNECT, TcpStream::connect(address)).await, Ok(Ok(_))) {
        return Err(Failure::Failed(format!(
            "no gateway answers at {address}: start it with `tidegate serve`, or name another S3 as the endpoint (`aws` for AWS)"
        )));
    }
    let keys = Keys { access_key: operator.access_key.to_string(), secret: operator.secret.expose().to_owned(), session_token: None };
    let region = given.region.clone().or_else(|| Some(config.auth.region.clone()));
    Ok(Access { endpoint: Some(format!("http://{address}")), region, path_style: true, keys: Some(keys), ..given })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let place = |text: &str| text.parse::<S3Folder>().map(|p| (p.bucket, p.prefix));
        let is = |bucket: &str, prefix: &str| Ok((bucket.to_owned(), prefix.to_owned()));
        assert_eq!(place("s3://media"), is("media", ""));
        assert_eq!(place("s3://media/"), is("media", ""));
        assert_eq!(place("s3://media/a/b"), is("media", "a/b/"));
        assert_eq!(place("s3://media/a/b/"), is("media", "a/b/"));
        assert!(place("media").is_err() && place("s3://").is_err() && place("s3:///a").is_err());
    }
}
