//! What one request leaves behind when its answer has ended, however it ended: metrics, tenant counters, a line of
//! the access log. A guard that travels with the answer's body.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::base::error::{Error, Result};
use crate::base::object::BucketDocument;
use crate::http::body::ResponseBody;
use crate::http::gateway::WorkersGateway;
use crate::http::record::Record;
use crate::net::service::Pulled;
use crate::telemetry::access_log::Entry;

pub struct Account {
    gateway: Rc<WorkersGateway>,
    /// Boxed: it goes through every hand that the answer goes through.
    pub record: Box<Record>,
    /// Begun only where an access log is kept, or some bucket wants its own.
    pub log: Option<Box<Entry>>,
}

impl Account {
    pub fn open(gateway: Rc<WorkersGateway>, record: Record, log: Option<Box<Entry>>) -> Self {
        Account { gateway, record: Box::new(record), log }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let (metrics, record) = (&self.gateway.metrics, &self.record);
        let finished = record.finished();
        metrics.requests.finished(finished);
        if let Some(caller) = record.caller() {
            let tenant = metrics.tenants.get(caller.identity.id());
            tenant.requests.inc();
            tenant.bytes_in.inc_by(record.bytes_in());
            tenant.bytes_out.inc_by(record.bytes_out);
        }
        let logged = record.bucket().filter(|bucket| bucket.documents.contains_key(&BucketDocument::Logging));
        if logged.is_some() {
            self.gateway.bucket_logs.wanted.set();
        }
        let Some(mut entry) = self.log.take() else { return };
        record.complete(&mut entry, &finished);
        match (&self.gateway.access_log, logged) {
            (Some(log), None) => log.send(entry),
            (None, Some(bucket)) => self.gateway.bucket_logs.send(bucket.name.clone(), entry),
            (Some(log), Some(bucket)) => {
                self.gateway.bucket_logs.send(bucket.name.clone(), entry.clone());
                log.send(entry);
            }
            (None, None) => {}
        }
    }
}

/// An answer's body together with its account.
pub struct Accounted {
    body: ResponseBody,
    account: Account,
}

impl Accounted {
    pub fn new(body: ResponseBody, account: Account) -> Self {
        Accounted { body, account }
    }
}

impl Body for Accounted {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.account.record.bytes_out += data.len() as u64;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Pulled for Accounted {
    fn at_most(&mut self, bytes: usize) {
        self.body.at_most(bytes);
    }

    fn at_hand(&self) -> usize {
        self.body.at_hand()
    }

    fn costs_memory(&self) -> bool {
        self.body.costs_memory()
    }
}
