//! What one request leaves behind when its answer has ended, however it ended: metrics, tenant counters, lines of
//! the access log and the audit log. A guard that travels with the answer's body.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::auth::Auth;
use crate::base::error::{Error, Result};
use crate::base::mapped_file::MappedFile;
use crate::base::object::BucketDocument;
use crate::http::body::ResponseBody;
use crate::http::gateway::WorkersGateway;
use crate::http::record::Record;
use crate::http::s3::route::Resource;
use crate::http::throttle::Throttle;
use crate::http::usage;
use crate::net::service::Pulled;
use crate::telemetry::access_log::Entry;
use crate::telemetry::metrics::{Door, Finished};

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

impl Account {
    /// What the client has already was read too, and what took long was read until now. Who opened a body noted its begin.
    fn note_read(&self, finished: Finished) {
        if let (Some(Resource::Object(bucket, key)), true) = (self.record.resource(), finished.status < 400 && finished.door != Door::Admin)
            && self.record.object().is_some()
        {
            self.gateway.ops.note_read(bucket, key);
        }
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
        if let Some(sheet) = &self.gateway.sheet {
            usage::count(sheet, record, &finished);
        }
        self.note_read(finished);
        if let Some(audit) = &self.gateway.audit
            && let Some(event) = record.audit()
        {
            audit.tell(event);
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

/// By what the caller may get, and what may go out of the bucket.
fn throttle(auth: &Auth, record: &Record) -> Option<Throttle> {
    let of_tenant = auth.rate_out(record.caller(), record.object().as_ref().map(|object| &object.owner));
    // What is refused is no part of what the bucket shows.
    let bucket = record.resource().filter(|_| record.is_success()).and_then(Resource::bucket);
    let of_bucket = bucket.and_then(|bucket| auth.bucket_limits().of(bucket)).and_then(|(_, meters)| meters.bytes_out().cloned());
    Throttle::new(of_tenant.into_iter().chain(of_bucket), || auth.nanos())
}

/// An answer's body together with its account.
pub struct Accounted {
    body: ResponseBody,
    account: Account,
    /// None: as fast as the client takes it.
    throttle: Option<Throttle>,
}

impl Accounted {
    pub fn new(body: ResponseBody, account: Account) -> Self {
        let (auth, record) = (&account.gateway.auth, &account.record);
        let throttle = if body.is_empty() { None } else { throttle(auth, record) };
        Accounted { body, account, throttle }
    }

    /// Taken from the body, and not sent yet.
    fn left(&self) -> u64 {
        self.throttle.as_ref().map_or(0, Throttle::left)
    }
}

impl Body for Accounted {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let this = &mut *self;
        let polled = match &mut this.throttle {
            None => Pin::new(&mut this.body).poll_frame(cx),
            Some(throttle) => {
                ready!(throttle.poll(cx));
                let polled = match throttle.rest() {
                    Some(rest) => Poll::Ready(Some(Ok(Frame::data(rest)))),
                    None => Pin::new(&mut this.body).poll_frame(cx),
                };
                polled.map(|frame| frame.map(|frame| frame.map(|frame| frame.map_data(|data| throttle.cut(data)))))
            }
        };
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            this.account.record.bytes_out += data.len() as u64;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        match self.body.size_hint().exact() {
            Some(exact) if self.left() > 0 => SizeHint::with_exact(exact + self.left()),
            _ => self.body.size_hint(),
        }
    }
}

impl Pulled for Accounted {
    fn at_most(&mut self, bytes: usize) {
        self.body.at_most(bytes);
    }

    fn at_hand(&self) -> usize {
        self.body.at_hand()
    }

    fn mapped(&self) -> Option<MappedFile> {
        self.body.mapped()
    }
}
