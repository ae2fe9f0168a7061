//! What one request leaves behind when its answer has ended, however it ended: metrics, tenant counters, a line of
//! the access log. A guard that travels with the answer's body.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::base::error::{Error, Result};
use crate::http::body::ResponseBody;
use crate::http::gateway::WorkersGateway;
use crate::net::service::Pulled;
use crate::telemetry::access_log::Entry;
use crate::telemetry::metrics::{Door, Finished, Operation};
use crate::telemetry::tenants::TenantCounters;

pub struct Account {
    gateway: Rc<WorkersGateway>,
    door: Door,
    started: Instant,
    first_byte: Duration,
    pub operation: Operation,
    pub status: u16,
    pub tenant: Option<Arc<TenantCounters>>,
    /// Begun only where an access log is kept.
    pub log: Option<Box<Entry>>,
    bytes_sent: u64,
}

impl Account {
    pub fn open(gateway: Rc<WorkersGateway>, door: Door, operation: Operation) -> Self {
        Account {
            gateway,
            door,
            started: Instant::now(),
            first_byte: Duration::ZERO,
            operation,
            status: 0,
            tenant: None,
            log: None,
            bytes_sent: 0,
        }
    }

    /// The head of the answer is ready.
    pub fn answered(&mut self, status: u16) {
        self.status = status;
        self.first_byte = self.started.elapsed();
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let total = self.started.elapsed();
        let finished = Finished { door: self.door, operation: self.operation, status: self.status, first_byte: self.first_byte, total };
        self.gateway.metrics.requests.finished(finished);
        if let Some(tenant) = &self.tenant {
            tenant.requests.inc();
            tenant.bytes_out.inc_by(self.bytes_sent);
        }
        if let Some(mut entry) = self.log.take()
            && let Some(log) = &self.gateway.access_log
        {
            entry.status = self.status;
            entry.bytes_sent = self.bytes_sent;
            entry.total = total;
            entry.turn_around = self.first_byte;
            log.send(*entry);
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
            self.account.bytes_sent += data.len() as u64;
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
