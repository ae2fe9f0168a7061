//! What one request turned out to be: who asked for what, what came and what went, and how it ended.
//!
//! Always kept, and filled in as the doors learn more. The access log, metrics and whatever counts requests derive from it (`account`).
//! It holds what a request has anyway: names that were read from its path, its caller, the bucket and the object that were found.
//! Nothing is copied for it, and nothing allocated but its own box. What a log line needs beside it (address, headers) is noted only where there is a log.

use std::cell::{Cell, OnceCell, Ref, RefCell};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::auth::identity::{Caller, Carrier, Via};
use crate::base::names::ObjectKey;
use crate::base::object::{SharedBucket, SharedObject};
use crate::base::timestamp::Timestamp;
use crate::http::s3::route::Resource;
use crate::telemetry::access_log::Entry;
use crate::telemetry::audit::{Asked, Event, Kind};
use crate::telemetry::metrics::{Door, Finished, Label as _, Operation};
use crate::telemetry::request_id::RequestId;

/// What could not be routed shares the last label.
const UNROUTED: Operation = Operation { index: usize::MAX, name: "unrouted" };

pub struct Record {
    pub id: RequestId,
    /// The client, also behind a proxy that is trusted.
    from: IpAddr,
    door: Door,
    started: Instant,
    operation: Cell<Operation>,
    /// The access log's word for the operation.
    log_name: Cell<&'static str>,
    /// What the operation is for the audit log.
    audited: Cell<Option<Kind>>,
    /// For the audit log, beside bucket and key.
    about: OnceCell<String>,
    resource: OnceCell<Resource>,
    /// Of a form, which names its key in the body.
    posted: OnceCell<ObjectKey>,
    caller: OnceCell<Caller>,
    /// That of `resource`.
    bucket: OnceCell<SharedBucket>,
    /// What was read, written or asked after under the key of `resource`.
    object: RefCell<Option<SharedObject>>,
    part_size: Cell<Option<u64>>,
    bytes_in: Cell<u64>,
    pub bytes_out: u64,
    error_code: Cell<Option<&'static str>>,
    /// The CDN that the site is for asked, and proved it.
    through_cdn: Cell<bool>,
    status: u16,
    /// To the answer's head.
    first_byte: Duration,
}

impl Record {
    pub fn begin(id: RequestId, from: IpAddr, door: Door) -> Self {
        Record {
            id,
            from,
            door,
            started: Instant::now(),
            operation: Cell::new(UNROUTED),
            log_name: Cell::new("-"),
            audited: Cell::new(None),
            about: OnceCell::new(),
            resource: OnceCell::new(),
            posted: OnceCell::new(),
            caller: OnceCell::new(),
            bucket: OnceCell::new(),
            object: RefCell::new(None),
            part_size: Cell::new(None),
            bytes_in: Cell::new(0),
            bytes_out: 0,
            error_code: Cell::new(None),
            through_cdn: Cell::new(false),
            status: 0,
            first_byte: Duration::ZERO,
        }
    }

    /// `audited`: where the operation changes who may do what.
    pub fn routed(&self, operation: Operation, log_name: &'static str, audited: Option<Kind>) {
        self.operation.set(operation);
        self.log_name.set(log_name);
        self.audited.set(audited);
    }

    pub fn audit_as(&self, kind: Kind, what: impl FnOnce() -> String) {
        self.audited.set(Some(kind));
        self.is_about(what);
    }

    /// What the audit log should say of an operation beside bucket and key: no secret.
    pub fn is_about(&self, what: impl FnOnce() -> String) {
        self.about.get_or_init(what);
    }

    pub fn operation(&self) -> Operation {
        self.operation.get()
    }

    /// What the request names; known before it is known what is to be done with it.
    pub fn names(&self, resource: Resource) -> &Resource {
        self.resource.get_or_init(|| resource)
    }

    pub fn resource(&self) -> Option<&Resource> {
        self.resource.get()
    }

    /// A form named its key.
    pub fn posts(&self, key: ObjectKey) {
        // A form has one.
        let _ = self.posted.set(key);
    }

    pub fn called_by(&self, caller: Caller) -> &Caller {
        self.caller.get_or_init(|| caller)
    }

    pub fn caller(&self) -> Option<&Caller> {
        self.caller.get()
    }

    /// A bucket was found. Another one than the request names (the source of a copy) is not what it is about.
    pub fn saw_bucket(&self, bucket: SharedBucket) {
        if self.resource().and_then(Resource::bucket) == Some(&bucket.name) {
            // The first stays: it is what the request was decided by.
            let _ = self.bucket.set(bucket);
        }
    }

    pub fn bucket(&self) -> Option<&SharedBucket> {
        self.bucket.get()
    }

    pub fn knows_bucket(&self) -> bool {
        self.bucket.get().is_some()
    }

    /// Of the key that the request names.
    pub fn saw_object(&self, object: SharedObject) {
        self.object.replace(Some(object));
    }

    pub fn object(&self) -> Ref<'_, Option<SharedObject>> {
        self.object.borrow()
    }

    pub fn came_through_cdn(&self) {
        self.through_cdn.set(true);
    }

    pub fn is_through_cdn(&self) -> bool {
        self.through_cdn.get()
    }

    pub fn saw_part(&self, size: u64) {
        self.part_size.set(Some(size));
    }

    /// Bytes of the request's body, as they came.
    pub fn took_in(&self, bytes: usize) {
        self.bytes_in.set(self.bytes_in.get() + bytes as u64);
    }

    pub fn bytes_in(&self) -> u64 {
        self.bytes_in.get()
    }

    pub fn failed(&self, code: &'static str) {
        self.error_code.set(Some(code));
    }

    /// The head of the answer is ready.
    pub fn answered(&mut self, status: u16) {
        self.status = status;
        self.first_byte = self.started.elapsed();
    }

    pub fn is_success(&self) -> bool {
        self.status < 400
    }

    /// Once, when the answer has ended.
    pub fn finished(&self) -> Finished {
        let total = self.started.elapsed();
        Finished { door: self.door, operation: self.operation(), status: self.status, first_byte: self.first_byte, total }
    }

    /// For the audit log. None: nothing that it is for.
    pub fn audit(&self) -> Option<Box<Event>> {
        let kind = self.audited.get().or_else(|| matches!(self.status, 401 | 403).then_some(Kind::Refusal))?;
        let caller = self.caller();
        let (bucket, key) = match self.resource() {
            None | Some(Resource::Service) => (None, None),
            Some(Resource::Bucket(bucket)) => (Some(bucket), self.posted.get()),
            Some(Resource::Object(bucket, key)) => (Some(bucket), Some(key)),
        };
        let asked = Asked {
            request_id: self.id.to_string(),
            door: self.door.name(),
            remote_ip: self.from,
            requester: caller.filter(|c| !c.identity.is_anonymous()).map(|c| c.identity.id().to_string()),
            access_key: caller.and_then(|c| c.access_key.as_ref()).map(ToString::to_string),
            session: caller.and_then(|c| c.session.as_ref()).map(|session| session.session.name.to_string()),
            authentication: caller.and_then(|c| how_shown(c.via).1),
            bucket: bucket.map(ToString::to_string),
            key: key.map(ToString::to_string),
            status: self.status,
            error_code: self.error_code.get(),
        };
        let about = self.about.get().cloned();
        Some(Box::new(Event { time: Timestamp::now(), kind, operation: self.log_name.get(), asked: Some(asked), about, left_out: 0 }))
    }

    /// The line of the access log.
    pub fn complete(&self, entry: &mut Entry, finished: &Finished) {
        entry.operation = self.log_name.get();
        match self.resource() {
            None | Some(Resource::Service) => entry.version_id = None,
            Some(Resource::Bucket(bucket)) => {
                entry.bucket = Some(bucket.to_string());
                entry.key = self.posted.get().map(ToString::to_string);
                entry.version_id = None;
            }
            Some(Resource::Object(bucket, key)) => {
                entry.bucket = Some(bucket.to_string());
                entry.key = Some(key.to_string());
            }
        }
        entry.bucket_owner = self.bucket.get().map(|bucket| bucket.owner.to_string());
        entry.object_size = self.part_size.get().or_else(|| self.object.borrow().as_ref().map(|object| object.size));
        if let Some(caller) = self.caller() {
            entry.requester = (!caller.identity.is_anonymous()).then(|| caller.identity.id().to_string());
            (entry.signature_version, entry.authentication) = how_shown(caller.via);
        }
        entry.error_code = self.error_code.get();
        entry.status = finished.status;
        entry.bytes_sent = self.bytes_out;
        entry.total = finished.total;
        entry.turn_around = finished.first_byte;
    }
}

/// The access log's words for how the caller showed who it is.
fn how_shown(via: Via) -> (Option<&'static str>, Option<&'static str>) {
    match via {
        Via::Anonymous => (None, None),
        Via::Header { .. } => (Some("SigV4"), Some("AuthHeader")),
        Via::Query { .. } => (Some("SigV4"), Some("QueryString")),
        Via::SigV2Query { .. } => (Some("SigV2"), Some("QueryString")),
        Via::Form { .. } => (Some("SigV4"), Some("POST")),
        Via::SigV2Form { .. } => (Some("SigV2"), Some("POST")),
        Via::CloudFront { carrier: Carrier::Query, .. } => (Some("CloudFront"), Some("QueryString")),
        Via::CloudFront { carrier: Carrier::Cookie, .. } => (Some("CloudFront"), Some("Cookie")),
        Via::PathToken { .. } => (Some("PathToken"), Some("Path")),
        Via::Bearer { .. } => (Some("Bearer"), Some("AuthHeader")),
    }
}
