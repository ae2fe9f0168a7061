//! One request after it was authenticated, on any door: what its handlers ask of it. Rights come from here (`on_bucket`,
//! `on_object`, `authorize_*`), the objects that it is about (`look_up`, `readable`), and its body.

use std::cell::Cell;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderName;
use http::header::AsHeaderName;
use http::request::Parts;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::auth::query::Query;
use crate::auth::{Action, Caller, Grant, Payload, Reading, RequestFacts, TagFacts, Target};
use crate::base::conditions::WriteConditions;
use crate::base::encryption::CustomerKey;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::header;
use crate::base::host;
use crate::base::limits::MAX_XML_BYTES;
use crate::base::lock::LockAsked;
use crate::base::names::{BucketName, ObjectKey, TenantId, UploadId};
use crate::base::object::{Bucket, BucketDocument, ObjectInfo, SharedBucket, SharedObject};
use crate::base::object_ref::{ObjectRef, VersionId};
use crate::base::range::ByteRange;
use crate::base::tags::Tags;
use crate::base::timestamp::Timestamp;
use crate::http::body::{Brought, Counted};
use crate::http::coded;
use crate::http::document::{ARRIVAL, MAX_SMALL_BYTES};
use crate::http::form::File;
use crate::http::gateway::Gateway;
use crate::http::record::Record;
use crate::http::respond::Answer;
use crate::http::s3::params;
use crate::http::s3::route::Resource;
use crate::http::throttle::Throttle;
use crate::http::visit::Visit;
use crate::http::xml::Writer;
use crate::ingest::chunked::Decoder;
use crate::ingest::{Content, Expect, Received, Staging, receive};
use crate::net::request_body::RequestBody;
use crate::net::service::Peer;
use crate::ops::transfers::{Running, Transfer};
use crate::ops::write::NewObject;
use crate::origin::{Freshness, Prefetch, ReadBy};
use crate::telemetry::request_id::RequestId;

// Every request is asked for it: a name that need not be parsed each time.
const EXPECTED_BUCKET_OWNER: HeaderName = HeaderName::from_static("x-amz-expected-bucket-owner");
/// Of the source of a copy.
const SOURCE_OWNER: HeaderName = HeaderName::from_static("x-amz-source-expected-bucket-owner");

pub struct Exchange<'a> {
    pub gateway: &'a Gateway,
    pub id: RequestId,
    pub parts: Parts,
    /// There may be headers of S3's own. A plain reader sends none, and then nobody looks for each of them.
    pub says_s3: bool,
    pub query: Query,
    /// Which version of its object the request is about.
    pub version: Option<VersionId>,
    /// What the request gives to an object. None: it stands in the body, which was not read yet.
    pub given_tags: Option<Tags>,
    /// What the request asks to be locked, from when that was read.
    pub lock: LockAsked,
    /// The client's key for what is read, over an S3 that needs it to say anything.
    pub unlock: Option<Arc<CustomerKey>>,
    /// Whether it is told that what is not there is hidden by a delete marker.
    pub tells_markers: bool,
    pub caller: &'a Caller,
    /// What is known of the request so far.
    pub record: &'a Record,
    pub peer: Peer,
    pub now: Timestamp,
    /// Taken by the handler that wants it.
    pub body: Option<Brought>,
    /// What a large document takes, until the request is done with what was in it.
    room: Option<OwnedSemaphorePermit>,
    /// The bucket's limit of requests was asked.
    pub(super) metered: Cell<bool>,
}

impl<'g> Exchange<'g> {
    /// Who is calling, and have they requests left? The same on every door. `x-amz-*` parameters of a presigned URL
    /// become headers here, after the signature was checked over the request as it came.
    pub fn open(gateway: &'g Gateway, visit: &'g Visit, parts: Parts, query: Query, body: RequestBody, peer: Peer) -> Result<Self> {
        Self::open_by(gateway, visit, parts, query, Brought::Body(body), peer, |facts| gateway.auth.authenticate(facts))
    }

    /// As `open`, where temporary credentials may come as a bearer as well.
    pub fn open_bearer(gateway: &'g Gateway, visit: &'g Visit, parts: Parts, query: Query, body: RequestBody, peer: Peer) -> Result<Self> {
        Self::open_by(gateway, visit, parts, query, Brought::Body(body), peer, |facts| gateway.auth.authenticate_with_bearer(facts))
    }

    /// As `open`, of the file in a form whose fields were read and are the headers of `parts` now. They said who is calling.
    pub fn open_form(
        gateway: &'g Gateway,
        visit: &'g Visit,
        parts: Parts,
        query: Query,
        file: File<RequestBody>,
        peer: Peer,
        caller: Caller,
    ) -> Result<Self> {
        Self::open_by(gateway, visit, parts, query, Brought::File(Box::new(file)), peer, |_| Ok(caller))
    }

    /// As `open`, on the edge door: there are more ways to show who one is, and all of them only read.
    pub fn open_for_reading(
        gateway: &'g Gateway,
        visit: &'g Visit,
        parts: Parts,
        query: Query,
        body: RequestBody,
        peer: Peer,
        reading: Reading<'_>,
    ) -> Result<Self> {
        let who = |facts: &RequestFacts<'_>| gateway.auth.authenticate_reader(facts, reading);
        let opened = Self::open_by(gateway, visit, parts, query, Brought::Body(body), peer, who)?;
        Ok(Exchange { tells_markers: false, ..opened })
    }

    fn open_by(
        gateway: &'g Gateway,
        visit: &'g Visit,
        mut parts: Parts,
        mut query: Query,
        body: Brought,
        peer: Peer,
        who: impl FnOnce(&RequestFacts<'_>) -> Result<Caller>,
    ) -> Result<Self> {
        let now = Timestamp::now();
        let mut says_s3 = header::check(&parts.headers)?;
        let caller = who(&RequestFacts {
            parts: &parts,
            query: &query,
            peer: peer.address.ip(),
            secure: peer.secure,
            now,
            tags: TagFacts::default(),
            lock: LockAsked::default(),
        })?;
        let caller = visit.record().called_by(caller);
        gateway.auth.take_token(caller)?;
        if caller.via.is_presigned() {
            query.unhoist(&mut parts.headers)?;
            says_s3 = true;
        }
        Ok(Exchange {
            gateway,
            id: visit.id(),
            record: visit.record(),
            parts,
            says_s3,
            query,
            version: None,
            given_tags: Some(Tags::default()),
            lock: LockAsked::default(),
            unlock: None,
            tells_markers: true,
            caller,
            peer,
            now,
            body: Some(body),
            room: None,
            metered: Cell::new(false),
        })
    }
}

impl Exchange<'_> {
    /// A document of ours as this client gets it: compressed, where it is long and the client accepts that.
    pub fn coded(&self, document: Answer) -> Answer {
        coded::for_client(document, self.parts.version, &self.parts.headers)
    }

    pub fn header<N: AsHeaderName + AsRef<str> + Copy>(&self, name: N) -> Result<Option<&str>> {
        if !self.says_s3 && header::is_s3(name.as_ref()) {
            return Ok(None);
        }
        header::text(&self.parts.headers, name)
    }

    pub fn is_anonymous(&self) -> bool {
        self.caller.identity.is_anonymous()
    }

    pub fn region(&self) -> &str {
        &self.gateway.auth.settings().region
    }

    /// TLS is done in user space; else the kernel alone touches the bytes.
    pub fn reads_by(&self) -> ReadBy {
        if self.peer.secure { ReadBy::UserSpace } else { ReadBy::Kernel }
    }

    /// How the client addressed this door.
    pub fn base_url(&self) -> String {
        let scheme = if self.peer.secure { "https" } else { "http" };
        format!("{scheme}://{}", host::text_of(&self.parts.headers).unwrap_or("localhost"))
    }

    // Rights

    pub(super) fn context(&self) -> RequestFacts<'_> {
        self.context_with(None)
    }

    /// `existing`: the tags of the object, where they were looked up.
    pub(super) fn context_with<'f>(&'f self, existing: Option<&'f Tags>) -> RequestFacts<'f> {
        let tags = TagFacts { existing, given: self.given_tags.as_ref() };
        let (peer, secure) = (self.peer.address.ip(), self.peer.secure);
        RequestFacts { parts: &self.parts, query: &self.query, peer, secure, now: self.now, tags, lock: self.lock }
    }

    pub fn authorize_service(&self, action: Action) -> Result<Grant> {
        self.gateway.auth.authorize(self.caller, action, Target::Service, &self.context())
    }

    pub fn authorize_new_bucket(&self, action: Action, name: &BucketName) -> Result<Grant> {
        self.gateway.auth.authorize(self.caller, action, Target::NewBucket(name), &self.context())
    }

    /// Whether the caller may be told that it is not there.
    pub fn may_know_absence(&self, bucket: &SharedBucket, of: ObjectRef<'_>) -> bool {
        self.gateway.auth.may_know_absence(self.caller, bucket, of, &self.context())
    }

    /// Whether an answer under this grant is for everyone: see `Auth::is_for_anyone`.
    pub fn is_for_anyone(&self, grant: &Grant, bucket: &Bucket, object: &ObjectInfo) -> bool {
        self.gateway.auth.is_for_anyone(grant, bucket, object, &self.context())
    }

    pub fn absence_is_for_anyone(&self, bucket: &Bucket, key: &ObjectKey) -> bool {
        self.gateway.auth.absence_is_for_anyone(bucket, key, &self.context())
    }

    /// The bucket that was looked up, or NoSuchBucket; and the client's own check of whose it is.
    /// That a bucket of some name exists is no secret: names are one space for all tenants, as on S3.
    pub fn existing(&self, found: Option<SharedBucket>, name: &BucketName) -> Result<SharedBucket> {
        let found = self.existing_of(found, name, EXPECTED_BUCKET_OWNER)?;
        self.record.saw_bucket(found.clone());
        Ok(found)
    }

    /// The same, where another header says whose it must be.
    pub fn existing_of(&self, found: Option<SharedBucket>, name: &BucketName, expected: HeaderName) -> Result<SharedBucket> {
        let Some(bucket) = found else {
            return Err(Error::new(ErrorKind::NoSuchBucket, "The specified bucket does not exist").detail("BucketName", name.as_str()));
        };
        match self.header(&expected)? {
            Some(owner) if owner != bucket.owner.as_str() => Err(Error::new(ErrorKind::AccessDenied, "Access Denied")),
            _ => Ok(bucket),
        }
    }

    /// The right to act on an existing bucket.
    pub async fn on_bucket(&self, action: Action, name: &BucketName) -> Result<Grant> {
        let bucket = self.gateway.ops.bucket_for_decision(name).await?;
        let bucket = self.existing(bucket, name)?;
        self.metered(name, self.gateway.auth.authorize(self.caller, action, Target::Bucket(&bucket), &self.context())?)
    }

    /// Whether the caller may do it with any key of the bucket: asked before a body that names keys is read. Each of them is
    /// decided for itself then.
    pub fn may_with_some_key(&self, action: Action, bucket: &SharedBucket) -> Result<()> {
        self.metered(&bucket.name, self.gateway.auth.may_with_some_key(self.caller, action, bucket, &self.context())?)
    }

    /// The right to act on a key of an existing bucket, whether or not there is an object.
    pub async fn on_object(&self, action: Action, bucket: &BucketName, key: &ObjectKey) -> Result<Grant> {
        let found = self.gateway.ops.bucket_for_decision(bucket).await?;
        let found = self.existing(found, bucket)?;
        let object = match action {
            // Its owner may change the ACL of an object.
            Action::PutObjectAcl => self.gateway.ops.object_for_decision(self.named(bucket, key), Freshness::Current).await?,
            _ => None,
        };
        self.authorize_object(action, &found, self.named(bucket, key), object.as_ref()).await
    }

    /// The right to look into an upload of a key, or to end it. Refused alike whether or not there is such an upload (`None`:
    /// there can be none).
    pub async fn on_upload(&self, action: Action, bucket: &BucketName, key: &ObjectKey, id: Option<&UploadId>) -> Result<Grant> {
        let found = self.gateway.ops.bucket_for_decision(bucket).await?;
        let found = self.existing(found, bucket)?;
        let upload = match id {
            Some(id) => self.gateway.ops.upload_for_decision(bucket, key, id).await?,
            None => None,
        };
        let target = Target::Upload { bucket: &found, key, upload: upload.as_ref() };
        self.metered(bucket, self.gateway.auth.authorize(self.caller, action, target, &self.context())?)
    }

    // What is there

    /// The object of the request.
    pub fn named<'n>(&'n self, bucket: &'n BucketName, key: &'n ObjectKey) -> ObjectRef<'n> {
        ObjectRef { bucket, key, version: self.version.as_ref().into(), unlock: self.unlock.as_deref() }
    }

    /// The object and the right to do `action` with it.
    pub async fn readable(&self, action: Action, bucket: &BucketName, key: &ObjectKey) -> Result<(Grant, SharedObject)> {
        let (found, object) = self.look_up(bucket, key, Freshness::Current).await?;
        let grant = self.authorize_object(action, &found, self.named(bucket, key), Some(&object)).await?;
        Ok((grant, object))
    }

    /// The source of a copy with its bucket, and the right to read it.
    pub async fn readable_source(&self, of: ObjectRef<'_>) -> Result<(Grant, SharedBucket, SharedObject)> {
        let found = self.existing_of(self.gateway.ops.bucket_for_decision(of.bucket).await?, of.bucket, SOURCE_OWNER)?;
        let (found, object, _) = self.look_up_in(found, of, Freshness::Current, None).await?;
        let grant = self.authorize_object(Action::GetObject, &found, of, Some(&object)).await?;
        Ok((grant, found, object))
    }

    /// What is there; or NoSuchKey, where the caller may know even that.
    pub async fn look_up(&self, bucket: &BucketName, key: &ObjectKey, freshness: Freshness) -> Result<(SharedBucket, SharedObject)> {
        let (found, object, _) = self.look_up_to_read(bucket, key, freshness, None).await?;
        self.record.saw_bucket(found.clone());
        self.record.saw_object(object.clone());
        Ok((found, object))
    }

    /// The same, for one who is going to read `range` of it. The prefetch is kept until the body was opened.
    pub async fn look_up_to_read(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        freshness: Freshness,
        range: Option<ByteRange>,
    ) -> Result<(SharedBucket, SharedObject, Option<Prefetch>)> {
        let found = self.existing_of(self.gateway.ops.bucket_for_decision(bucket).await?, bucket, EXPECTED_BUCKET_OWNER)?;
        self.look_up_in(found, self.named(bucket, key), freshness, range).await
    }

    async fn look_up_in(
        &self,
        found: SharedBucket,
        of: ObjectRef<'_>,
        freshness: Freshness,
        range: Option<ByteRange>,
    ) -> Result<(SharedBucket, SharedObject, Option<Prefetch>)> {
        if let Some(object) = self.gateway.ops.hot_object_for_decision(of, freshness) {
            return Ok((found, object, None));
        }
        Box::pin(self.look_up_further(found, of, freshness, range)).await
    }

    /// What is not at hand. In a box: it is no part of what a hot read is.
    async fn look_up_further(
        &self,
        found: SharedBucket,
        of: ObjectRef<'_>,
        freshness: Freshness,
        range: Option<ByteRange>,
    ) -> Result<(SharedBucket, SharedObject, Option<Prefetch>)> {
        let ops = &self.gateway.ops;
        // Where it depends on the object whether he may, nothing is asked for before that is known.
        let granted = range.and_then(|range| Some((self.authorize_without_tags(Action::GetObject, &found, of, None).ok()?, range)));
        let prefetch = granted.map_or(Ok(None), |(grant, range)| ops.prefetch(&grant, range))?;
        match ops.object_for_decision(of, freshness).await? {
            Some(object) => Ok((found, object, prefetch)),
            None => Err(self.absent(&found, of).await?),
        }
    }

    // The body

    pub fn has_payload_hash(&self) -> bool {
        matches!(self.caller.payload, Payload::Sha256(_))
    }

    /// Takes in the body under everything that was promised of it: by headers (`expect`) and by the signature.
    pub async fn receive(&mut self, expect: Expect, staging: &Staging) -> Result<Received> {
        let (expect, decoder) = self.promised(expect)?;
        self.receive_counted(expect, decoder, staging, None).await
    }

    /// As `receive`, of an object: the origin may begin with it, and who asks for this request's upload sees how far it is.
    pub async fn receive_object(
        &mut self,
        grant: &Grant,
        expect: Expect,
        new: &NewObject,
        conditions: &WriteConditions,
    ) -> Result<(Received, Running)> {
        let (expect, decoder) = self.promised(expect)?;
        let running = self.gateway.ops.begin_put(grant, self.id.as_str(), expect.length)?;
        let staging = self.gateway.ops.staging_for(grant, new, conditions, &expect).await?;
        let received = self.receive_counted(expect, decoder, &staging, Some(running.transfer.clone())).await?;
        Ok((received, running))
    }

    /// How long the body will be, where the client said it.
    pub fn declared_length(&self) -> Result<Option<u64>> {
        let name = match &self.caller.payload {
            Payload::Streaming(_) => "x-amz-decoded-content-length",
            Payload::Unsigned | Payload::Sha256(_) => "content-length",
        };
        params::number(&self.parts.headers, name)
    }

    /// With what the signature promises, and how the body is decoded.
    fn promised(&self, mut expect: Expect) -> Result<(Expect, Option<Decoder>)> {
        expect.length = self.declared_length()?;
        let form = match &self.caller.payload {
            Payload::Streaming(form) => Some(form),
            _ => None,
        };
        if expect.trailer.is_some() && !form.is_some_and(|f| f.has_trailer()) {
            let text = "x-amz-trailer is given, but x-amz-content-sha256 announces no trailer.";
            return Err(Error::new(ErrorKind::InvalidRequest, text));
        }
        if let Payload::Sha256(hash) = &self.caller.payload {
            expect.sha256 = Some(*hash);
        }
        let Some(form) = form else { return Ok((expect, None)) };
        let Some(decoded) = expect.length else {
            let text = "You must provide the x-amz-decoded-content-length HTTP header.";
            return Err(Error::new(ErrorKind::MissingContentLength, text));
        };
        Ok((expect, Some(form.clone().decoder(decoded))))
    }

    async fn receive_counted(
        &mut self,
        expect: Expect,
        decoder: Option<Decoder>,
        staging: &Staging,
        transfer: Option<Arc<Transfer>>,
    ) -> Result<Received> {
        let body = self.body.take().ok_or_else(|| Error::internal("a body was asked for twice"))?;
        // An empty body is not polled by hyper, so it sends no interim answer of its own; clients that asked wait for one.
        let (auth, bucket) = (&self.gateway.auth, self.record.resource().and_then(Resource::bucket));
        let meters = || auth.meters(self.caller, bucket);
        let slots: Result<Vec<_>> = meters().filter_map(|meters| meters.take_slot().transpose()).collect();
        let _slots = slots.inspect_err(|e| self.gateway.ops.note_limit(e, Some(self.caller.identity.id()), bucket))?;
        let throttle = Throttle::new(meters().filter_map(|meters| meters.bytes_in().cloned()), || auth.nanos());
        let counted = |body| Counted { body, record: self.record, transfer, throttle };
        match body {
            Brought::Body(body) => receive(pin!(counted(body)), decoder, &expect, staging).await,
            Brought::File(file) => Box::pin(receive(pin!(file.by(counted)), decoder, &expect, staging)).await,
        }
    }

    /// A small document, in memory. Rights come first: who may not send it is refused before it is read.
    pub async fn document(&mut self) -> Result<Bytes> {
        let expect = params::expect(&self.parts.headers, MAX_SMALL_BYTES as u64, None)?;
        self.receive_document(expect).await
    }

    /// One that may have `MAX_XML_BYTES`.
    pub async fn large_document(&mut self) -> Result<Bytes> {
        let expect = params::expect(&self.parts.headers, MAX_XML_BYTES as u64, None)?;
        self.receive_document(expect).await
    }

    pub async fn receive_document(&mut self, expect: Expect) -> Result<Bytes> {
        let (expect, decoder) = self.promised(expect)?;
        // What announces more than it may have is refused below, and needs no room.
        let announced = expect.length.unwrap_or(expect.max);
        if announced <= expect.max {
            self.room = self.gateway.documents.take(announced).await?;
        }
        // No file is ever made: what is larger than `max` is refused first.
        let staging = Staging::new(std::path::PathBuf::new(), MAX_XML_BYTES);
        let received = match self.room {
            None => self.receive_counted(expect, decoder, &staging, None).await?,
            Some(_) => {
                let late = || Error::new(ErrorKind::RequestTimeout, "The document did not arrive in time: a large one has a minute.");
                timeout(ARRIVAL, self.receive_counted(expect, decoder, &staging, None)).await.map_err(|_| late())??
            }
        };
        match received.content {
            Content::Memory(bytes) => Ok(bytes),
            Content::File(_) => Err(Error::internal("a document outgrew memory")),
        }
    }

    // Documents

    pub fn owner(&self, w: &mut Writer, element: &'static str, tenant: &TenantId) {
        w.open(element).leaf("ID", tenant).leaf("DisplayName", self.gateway.auth.display_name(tenant)).close(element);
    }

    /// A document of a bucket that was looked up before, as it is stored.
    pub async fn stored_document(&self, name: &BucketName, document: BucketDocument) -> Result<Option<String>> {
        let bucket = self.gateway.ops.bucket_for_decision(name).await?;
        Ok(bucket.and_then(|b| String::from_utf8(b.documents.get(&document)?.clone()).ok()))
    }

    pub fn grantee(&self, w: &mut Writer, tenant: &TenantId) {
        w.open_typed("Grantee", "CanonicalUser").leaf("ID", tenant).leaf("DisplayName", self.gateway.auth.display_name(tenant));
        w.close("Grantee");
    }
}
