//! What a provider made, brought under the tenant's key: fetched before it expires, looked at, and named by its content.

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};

use crate::base::error::Error;
use crate::base::object::ObjectHeaders;
use crate::base::timestamp::Timestamp;
use crate::ingest::Received;
use crate::jobs::generate::provider::{End, Work};
use crate::jobs::landing::{self, Landing, Told, fault};
use crate::ops::generate::book::{Entry, State};
use crate::ops::generate::extension_of;
use crate::outbound::download::{self, Failed, Source};
use crate::queue::Fault;
use crate::vault::step::{Content, Output};

/// Of the hash, in a name.
const DIGITS: usize = 32;
/// A result that is broken is fetched again so often.
const TRIES: u32 = 4;

impl Work<'_> {
    /// What is stored of it, for the job's tenant.
    pub async fn land(&mut self, outputs: &[Output], entry: &Entry) -> Result<Value, End> {
        let mut made = Vec::with_capacity(outputs.len());
        for output in outputs {
            made.push(self.land_one(output, entry).await?);
        }
        Ok(Value::Array(made))
    }

    async fn land_one(&mut self, output: &Output, entry: &Entry) -> Result<Value, End> {
        let (case, ops) = (self.case, &self.of.hands.ops);
        let (headers, received) = match &output.content {
            Content::Bytes(bytes) => (ObjectHeaders::default(), self.take(bytes.clone()).await?),
            Content::Url { url, guarded } => self.fetch(url, *guarded, output, entry).await?,
        };
        let wanted = Told { content_type: output.content_type.clone(), ..Told::default() };
        let content_type = match landing::content_type(&received, &wanted, &headers.content_type, "") {
            Ok(content_type) => content_type,
            Err(reason) => return Err(self.again(entry, reason).await?),
        };
        let digits = received.sha256.digest().hex();
        let name = format!("{}{}", digits.get(..DIGITS).unwrap_or(&digits), extension_of(&content_type));
        let tenant = &case.attempt.job.tenant;
        let key = case.document.key(tenant, output.artifact.as_deref(), &name).map_err(|e| End::Stop(fault(e)))?;
        let landing = Landing::at(ops, &self.of.hands.auth, &case.asker, &case.bucket, &key).map_err(End::Stop)?;
        let new = landing.new_object(ObjectHeaders { content_type, ..headers }).await.map_err(End::Stop)?;
        let object = landing.store(new, received).await.map_err(End::Stop)?;
        Ok(json!({
            "bucket": case.bucket.name, "key": key, "bytes": object.size, "sha256": digits, "content_type": object.headers.content_type,
            "etag": object.etag.quoted(),
        }))
    }

    async fn take(&self, bytes: Bytes) -> Result<Received, End> {
        let staging = self.staging().await?;
        let most = self.of.fetch.max_bytes;
        let body = Full::new(bytes).map_err(|never| -> Error { match never {} });
        landing::take_in(body, most, &staging).await.map_err(|e| End::Stop(fault(e)))
    }

    async fn staging(&self) -> Result<crate::ingest::Staging, End> {
        let new = self.case.landing.new_object(ObjectHeaders::default()).await.map_err(End::Stop)?;
        Ok(self.of.hands.ops.staging_encrypted(&self.case.landing.grant, &new))
    }

    async fn fetch(&mut self, url: &str, guarded: bool, output: &Output, entry: &Entry) -> Result<(ObjectHeaders, Received), End> {
        let (mut url, mut headers) = (url.to_owned(), HeaderMap::new());
        if guarded && self.provider.is_own(&url) {
            let signed = self.provider.signer.sign(&mut url, &mut headers, Timestamp::now());
            signed.map_err(|e| End::Stop(Fault::retry(e)))?;
        }
        let settings = &self.of.fetch;
        let source = Source { url, headers, reach: self.of.generation.reach().clone(), stall: settings.stall, max: settings.max_bytes };
        let download = match download::open(source).await {
            Ok(download) => download,
            Err(failed) => return Err(self.not_fetched(failed, output, entry).await?),
        };
        let (headers, heard) = (landing::headers_of(&download.headers), download.told.clone());
        let staging = self.staging().await?;
        match landing::take_in(download, self.of.fetch.max_bytes, &staging).await {
            Ok(received) => Ok((headers, received)),
            Err(e) => match heard.failed() {
                Some(failed) => Err(self.not_fetched(failed, output, entry).await?),
                None => Err(End::Stop(fault(e))),
            },
        }
    }

    /// Asked again the provider may give another address.
    async fn not_fetched(&mut self, failed: Failed, output: &Output, entry: &Entry) -> Result<End, End> {
        let text = match failed {
            Failed::Trouble(trouble) => trouble.to_string(),
            Failed::Status { status, .. } => format!("it answered {status}"),
            Failed::TooLarge(most) => format!("it has more than {most} bytes"),
            Failed::Anew(text) => text,
        };
        if output.expires.is_some_and(|at| at < Timestamp::now()) {
            return self.again(entry, format!("its result has expired: {text}")).await;
        }
        self.again(entry, format!("its result can't be fetched: {text}")).await
    }

    /// A while later, or with the next provider; what was made is paid.
    async fn again(&mut self, entry: &Entry, reason: String) -> Result<End, End> {
        // What came in the answer itself can't be had again.
        let is_polled = entry.state == State::Running;
        if is_polled && self.case.attempt.job.attempts < TRIES {
            return Ok(End::Stop(Fault::retry(format!("{}: {reason}", self.provider.name))));
        }
        let mut entry = entry.clone();
        entry.billed = entry.billed.or(Some(entry.estimated));
        self.set(&mut entry, State::Failed, Some(&reason)).await?;
        Ok(End::Next(reason))
    }
}
