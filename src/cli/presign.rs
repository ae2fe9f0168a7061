//! `tidegate presign s3://bucket/key`: a link that works for whoever has it, in the operator's name. A presigned URL of S3 is made
//! from the operator's key alone and asks nobody; the edge door's forms are made by the gateway, which has what they need.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::admin_client::AdminClient;
use super::{Failure, existing_operator_key};
use crate::auth::presign::{self, Credentials};
use crate::base::names::{BucketName, ObjectKey};
use crate::base::timestamp::Timestamp;
use crate::config::Config;
use crate::config::units::parse_duration;
use crate::http::link::Form;

#[derive(Args)]
pub struct Presign {
    /// s3://bucket/key
    object: String,
    /// [default: s3.presign_expires]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    expires: Option<Duration>,
    /// GET, HEAD, PUT or DELETE
    #[arg(long, default_value = "GET")]
    method: Method,
    /// Scheme and host of the URL [default: the S3 door's address, or the url of the [[site]] that shows it]
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// s3, cloudfront, cookie or path-token
    #[arg(long, default_value = "s3", value_parser = form)]
    form: Form,
    /// Opens every key that begins so [default for cookie and path-token: the key's folder]
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// For clients of this address or network only
    #[arg(long, value_name = "NETWORK")]
    source_ip: Option<String>,
}

fn form(text: &str) -> Result<Form, String> {
    text.parse().map_err(|()| "s3, cloudfront, cookie or path-token is expected".into())
}

/// What of the gateway's answer is shown.
#[derive(Deserialize)]
struct Link {
    url: String,
    #[serde(default)]
    cookies: BTreeMap<String, String>,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "a time such as 1h, 30m or 7d is expected".into())
}

pub async fn run(command: Presign, config: Config) -> Result<(), Failure> {
    let named = command.object.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
    let Some((bucket, key)) = named else { return Err(Failure::Usage(vec!["expected s3://bucket/key".into()])) };
    let (bucket, key) = (BucketName::parse(bucket)?, ObjectKey::parse(key)?);
    let expires = command.expires.unwrap_or(config.doors.presign_expires);
    if command.form != Form::S3 {
        return ask_the_gateway(command, &bucket, &key, config).await;
    }
    if command.prefix.is_some() || command.source_ip.is_some() {
        return Err(Failure::Usage(vec!["--prefix and --source-ip need another --form: S3's URLs are for one key".into()]));
    }
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
            expires_seconds: expires.as_secs(),
            now: Timestamp::now(),
            query: &[],
        },
    )?;
    println!("{url}");
    Ok(())
}

async fn ask_the_gateway(command: Presign, bucket: &BucketName, key: &ObjectKey, config: Config) -> Result<(), Failure> {
    let client = AdminClient::reach(config).await?;
    let wanted = json!({
        "bucket": bucket, "key": key, "form": command.form, "method": command.method.as_str(), "expires": command.expires.map(|e| e.as_secs()),
        "base": command.endpoint, "prefix": command.prefix, "source_ip": command.source_ip,
    });
    let answer = client.ask(Method::POST, "/-/admin/v1/presign", Some(wanted)).await;
    client.close().await;
    let link: Link = serde_json::from_str(&answer?).map_err(|e| Failure::Failed(format!("the gateway's answer is not a link: {e}")))?;
    println!("{}", link.url);
    link.cookies.iter().for_each(|(name, value)| println!("{name}={value}"));
    Ok(())
}
