//! Whose name the calls to AWS are made in: a profile of the shared configuration where one is set, else what the SDK's own
//! chain finds: environment, profile, web identity, container, instance.
//!
//! Asked anew for each call, so that rotated keys are taken up: there is a call in a while.

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_types::region::Region;

/// Err: what is missing, without any secret. A tenant may see it; causes are logged.
pub async fn load(profile: Option<&str>, region: &'static str) -> Result<Credentials, String> {
    let region = Region::from_static(region);
    let found = match profile {
        // Not the chain, which would prefer the environment's keys.
        Some(name) => {
            let config = ProviderConfig::without_region().with_region(Some(region));
            ProfileFileCredentialsProvider::builder().configure(&config).profile_name(name).build().provide_credentials().await
        }
        None => DefaultCredentialsChain::builder().region(region).build().await.provide_credentials().await,
    };
    found.map_err(|e| {
        tracing::warn!(error = &e as &dyn std::error::Error, profile, "the AWS credentials could not be loaded");
        match (e, profile) {
            (CredentialsError::CredentialsNotLoaded(_), None) => "there are no AWS credentials: set AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY, AWS_PROFILE or cdn.profile, or give the instance or container a role"
                .to_owned(),
            (e, None) => format!("the AWS credentials can't be loaded: {e}"),
            (e, Some(name)) => format!("the AWS profile {name:?} gives no credentials: {e}"),
        }
    })
}
