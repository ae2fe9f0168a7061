//! A client of some S3: where it is, in whose name it is asked, and how patient the client is.
//!
//! Credentials come from the SDK's own chain unless keys are given: environment, profile, process, web identity, container,
//! instance. The chain refreshes them in the background, one refresh at a time, before they end.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig};
use aws_types::region::Region;

/// Where an S3 is, and whose keys are shown to it.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// None: AWS.
    pub endpoint: Option<String>,
    /// None: AWS_REGION, the profile's, the instance's, else us-east-1.
    pub region: Option<String>,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`.
    pub path_style: bool,
    /// Of the shared AWS configuration; None: AWS_PROFILE, else the default one.
    pub profile: Option<String>,
    /// None: the chain finds them.
    pub keys: Option<Keys>,
}

#[derive(Clone)]
pub struct Keys {
    pub access_key: String,
    pub secret: String,
    pub session_token: Option<String>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({})", self.access_key)
    }
}

const DEFAULT_REGION: &str = "us-east-1";
/// With the SDK's backoff and jitter: about half a minute of trouble is ridden out.
const ATTEMPTS: u32 = 10;
const MAX_BACKOFF: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Until the first byte of an answer; CloudFront gives up on us after 30 s.
const READ_TIMEOUT: Duration = Duration::from_secs(20);
/// That counts from the beginning of a request. One that sends a larger body has longer: at so many bytes a second, some of many
/// that share a line.
const SMALL_BODY: u64 = 1024 * 1024;
const SLOWEST: u64 = 64 * 1024;
/// A body that stands still for so long is given up, and resumed by who reads it.
const STALL: Duration = Duration::from_secs(10);

/// Of a read, until its answer begins: before a CDN gives up on us.
const READ_ATTEMPTS: u32 = 6;
const READ_PATIENCE: Duration = Duration::from_secs(25);

/// The same, for reads: somebody waits, and may be told to come again where a write would lose what it brought.
pub fn for_reads(client: &Client) -> Client {
    let config = client.config();
    let timeouts = config.timeout_config().cloned().unwrap_or_else(TimeoutConfig::disabled);
    let retries = config.retry_config().cloned().unwrap_or_else(RetryConfig::standard);
    let builder = config.to_builder().retry_config(retries.with_max_attempts(READ_ATTEMPTS));
    Client::from_conf(builder.timeout_config(timeouts.to_builder().operation_timeout(READ_PATIENCE).build()).build())
}

/// The same, asked so often at most.
pub fn with_attempts(client: &Client, attempts: u32) -> Client {
    let retries = client.config().retry_config().cloned().unwrap_or_else(RetryConfig::standard);
    Client::from_conf(client.config().to_builder().retry_config(retries.with_max_attempts(attempts)).build())
}

/// The configuration of a request that sends a body of this size.
pub fn sending(bytes: u64) -> aws_sdk_s3::config::Builder {
    let config = aws_sdk_s3::config::Builder::new();
    if bytes <= SMALL_BODY {
        return config;
    }
    // Few values: each has connections of its own.
    let patience = READ_TIMEOUT + Duration::from_secs((bytes / SLOWEST).next_power_of_two());
    config.timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(patience).build())
}

pub async fn client(access: &Access) -> Client {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(profile) = &access.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = &access.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(keys) = &access.keys {
        let keys = Credentials::new(&keys.access_key, &keys.secret, keys.session_token.clone(), None, "configuration");
        loader = loader.credentials_provider(keys);
    }
    let shared = loader.load().await;
    let region = shared.region().cloned().unwrap_or_else(|| Region::from_static(DEFAULT_REGION));
    let mut config = aws_sdk_s3::config::Builder::from(&shared)
        .region(region)
        .force_path_style(access.path_style)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS).with_max_backoff(MAX_BACKOFF))
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build())
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(STALL).build())
        // What is sent carries a checksum where we know one; what is read is checked against the cache's own.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    if let Some(endpoint) = &access.endpoint {
        config = config.endpoint_url(endpoint);
    }
    Client::from_conf(config.build())
}
