//! `tidegate presign s3://bucket/key`: a URL that works for whoever has it, signed with the operator's key. Asks nobody.

use std::time::Duration;

use clap::Args;
use http::Method;

use super::{Failure, existing_operator_key};
use crate::auth::presign::{self, Credentials};
use crate::base::names::{BucketName, ObjectKey};
use crate::base::timestamp::Timestamp;
use crate::config::Config;
use crate::config::units::parse_duration;

#[derive(Args)]
pub struct Presign {
    /// s3://bucket/key
    object: String,
    #[arg(long, default_value = "1h", value_name = "TIME", value_parser = duration)]
    expires: Duration,
    /// GET, HEAD, PUT or DELETE
    #[arg(long, default_value = "GET")]
    method: Method,
    /// Scheme and host of the URL [default: the S3 door's address]
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "a time such as 1h, 30m or 7d is expected".into())
}

pub fn run(command: Presign, config: Config) -> Result<(), Failure> {
    let named = command.object.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
    let Some((bucket, key)) = named else { return Err(Failure::Usage(vec!["expected s3://bucket/key".into()])) };
    let (bucket, key) = (BucketName::parse(bucket)?, ObjectKey::parse(key)?);
    let endpoint = match (command.endpoint, config.s3.plain.first(), config.s3.tls.first()) {
        (Some(given), _, _) => given,
        (None, Some(address), _) => format!("http://{address}"),
        (None, None, Some(address)) => format!("https://{address}"),
        (None, None, None) => return Err(Failure::Usage(vec!["the S3 door has no address: give --endpoint".into()])),
    };
    let operator = existing_operator_key(&config)?;
    let credentials = Credentials { access_key: &operator.access_key, secret: &operator.secret, region: &config.auth.region };
    let url = presign::presign(
        &credentials,
        &presign::Presign {
            method: command.method,
            endpoint: &endpoint,
            bucket: &bucket,
            key: &key,
            expires_seconds: command.expires.as_secs(),
            now: Timestamp::now(),
            query: &[],
        },
    )?;
    println!("{url}");
    Ok(())
}
