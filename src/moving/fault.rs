//! Why something could not be moved: for people, and with the code of S3 where a decision hangs on it.

use std::error::Error;
use std::fmt;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

pub type Result<T> = std::result::Result<T, Fault>;

#[derive(Debug)]
pub struct Fault {
    /// Of S3's answer; for an answer without one (HEAD has no body) the status as digits. None: it happened on this side.
    pub code: Option<String>,
    message: String,
}

impl Fault {
    pub fn new(message: impl Into<String>) -> Self {
        Fault { code: None, message: message.into() }
    }

    pub fn is(&self, codes: &[&str]) -> bool {
        self.code.as_deref().is_some_and(|code| codes.contains(&code))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Some(code) => write!(f, "{code}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl From<std::io::Error> for Fault {
    fn from(e: std::io::Error) -> Self {
        Fault::new(e.to_string())
    }
}

impl<E> From<SdkError<E, HttpResponse>> for Fault
where
    E: ProvideErrorMetadata + Error + 'static,
{
    fn from(e: SdkError<E, HttpResponse>) -> Self {
        let status = e.raw_response().map(|r| r.status().as_u16());
        match (&e, status) {
            (SdkError::ServiceError(service), Some(status)) => {
                let told = service.err();
                let code = told.code().map_or_else(|| status.to_string(), str::to_owned);
                let message = told.message().map_or_else(|| format!("the answer was {status}"), str::to_owned);
                Fault { code: Some(code), message }
            }
            _ => Fault::new(causes(&e)),
        }
    }
}

/// The outer error of the SDK says little: the reason is further in.
fn causes(e: &dyn Error) -> String {
    let mut text = e.to_string();
    let mut inner = e.source();
    while let Some(cause) = inner {
        let more = cause.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        inner = cause.source();
    }
    text
}
