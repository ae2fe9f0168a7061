//! The bytes of one version as they come from upstream. A broken answer is resumed under the same ETag where it broke, within a
//! budget; what can't be finished is an error, and the client's connection is broken: never a short body, never a mixed one.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::Body as _;

use crate::base::encryption::CustomerKey;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::etag::ETag;
use crate::base::object_ref::VersionId;
use crate::base::range::ByteRange;
use crate::origin::BodySource;
use crate::upstream::fault;
use crate::upstream::open::Inner;
use crate::upstream::records::BROKEN;
use crate::upstream::sse::with_key;

/// Answers that one body may be made of. Each new one has been tried several times by the SDK.
const ANSWERS: u8 = 8;
/// Before it is asked again: who broke off may need a moment.
const PAUSE: Duration = Duration::from_millis(100);

/// One version upstream.
#[derive(Clone)]
pub struct Version {
    pub inner: Arc<Inner>,
    pub bucket: Arc<str>,
    pub key: Arc<str>,
    /// By which name it was asked for. None: it is the current one.
    pub named: Option<VersionId>,
    pub etag: ETag,
    pub size: u64,
    /// The client's key that it lies under.
    pub unlock: Option<Arc<CustomerKey>>,
}

impl Version {
    /// None: the version is not there any more.
    pub async fn get(&self, range: ByteRange) -> Result<Option<SdkBody>> {
        let mut last = None;
        for _ in 0..ANSWERS {
            match self.ask(range).await? {
                Some(got) => match self.check(&got, range) {
                    Ok(()) => return Ok(Some(got.body.into_inner())),
                    Err(why) => last = Some(why),
                },
                None => return Ok(None),
            }
            tokio::time::sleep(PAUSE).await;
        }
        let text = "The storage behind this gateway does not send what it was asked for. Please try again.";
        Err(Error::new(ErrorKind::BadGateway, text).caused_by(last.unwrap_or_default()))
    }

    async fn ask(&self, range: ByteRange) -> Result<Option<GetObjectOutput>> {
        let mut get = self.inner.reader.get_object().bucket(&*self.bucket).key(&*self.key).if_match(self.etag.quoted());
        get = with_key!(get, self.unlock.as_deref());
        get = get.set_version_id(self.named.as_ref().map(VersionId::to_string));
        if range.start > 0 || range.end < self.size {
            get = get.range(format!("bytes={}-{}", range.start, range.end - 1));
        }
        match get.send().await {
            // An upstream that ignores If-Match sends what there is now.
            Ok(got) => Ok(Some(got).filter(|got| self.is_of(got))),
            // 416: what is there now is shorter.
            Err(e) if fault::is_precondition_failed(&e) || fault::is_no_such_version(&e) || fault::status(&e) == Some(416) => Ok(None),
            Err(e) => Err(fault::of(e)),
        }
    }

    /// The bytes of an answer to a GET that did not name the version; None: they are not what is wanted.
    pub fn taken_from(&self, got: GetObjectOutput, range: ByteRange) -> Option<SdkBody> {
        (self.is_of(&got) && self.check(&got, range).is_ok()).then(|| got.body.into_inner())
    }

    fn is_of(&self, got: &GetObjectOutput) -> bool {
        got.e_tag().and_then(ETag::of_upstream) == Some(self.etag)
    }

    /// Err: what is wrong with the answer.
    fn check(&self, got: &GetObjectOutput, range: ByteRange) -> Result<(), String> {
        let whole = range.start == 0 && range.end == self.size;
        let expected = range.content_range(self.size);
        match got.content_range() {
            Some(said) if said != expected => return Err(format!("upstream: Content-Range {said:?} where {expected:?} was asked for")),
            None if !whole => return Err(format!("upstream: no Content-Range where {expected:?} was asked for")),
            _ => {}
        }
        match got.content_length() {
            Some(n) if u64::try_from(n).ok() != Some(range.len()) => {
                Err(format!("upstream: {n} bytes where {} were asked for", range.len()))
            }
            _ => Ok(()),
        }
    }
}

type Opening = Pin<Box<dyn Future<Output = Result<Option<SdkBody>>> + Send>>;

enum State {
    Reading(Pin<Box<SdkBody>>),
    Opening(Opening),
    Failed,
}

pub struct UpstreamBody {
    version: Version,
    left: ByteRange,
    done: bool,
    answers: u8,
    state: State,
}

impl UpstreamBody {
    pub fn new(version: Version, range: ByteRange, first: SdkBody) -> Self {
        UpstreamBody { version, left: range, done: false, answers: 1, state: State::Reading(Box::pin(first)) }
    }

    /// Goes on where the answer broke, or fails with `why`.
    fn resume(&mut self, why: String) -> Result<()> {
        self.answers += 1;
        if self.answers > ANSWERS {
            return Err(Error::new(ErrorKind::BadGateway, BROKEN).caused_by(why));
        }
        tracing::debug!(why, answers = self.answers, "an answer from upstream broke off and is resumed");
        let (version, range) = (self.version.clone(), self.left);
        self.state = State::Opening(Box::pin(async move {
            tokio::time::sleep(PAUSE).await;
            version.get(range).await
        }));
        Ok(())
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes>> {
        loop {
            match &mut self.state {
                State::Failed => return Poll::Ready(Err(Error::internal("the body failed before"))),
                State::Opening(opening) => {
                    let Some(body) = ready!(opening.as_mut().poll(cx))? else {
                        let text = "the version was replaced while it was read";
                        return Poll::Ready(Err(Error::new(ErrorKind::BadGateway, BROKEN).caused_by(text)));
                    };
                    self.state = State::Reading(Box::pin(body));
                }
                State::Reading(body) => match ready!(body.as_mut().poll_frame(cx)) {
                    Some(Ok(frame)) => {
                        let Ok(data) = frame.into_data() else { continue };
                        if data.is_empty() {
                            continue;
                        }
                        return Poll::Ready(self.took(data));
                    }
                    Some(Err(e)) => self.resume(format!("upstream: {e}"))?,
                    None => self.resume(format!("upstream: the answer ended {} bytes early", self.left.len()))?,
                },
            }
        }
    }

    fn took(&mut self, data: Bytes) -> Result<Bytes> {
        let n = data.len() as u64;
        if n > self.left.len() {
            return Err(Error::new(ErrorKind::BadGateway, BROKEN).caused_by("upstream: the answer is longer than it said"));
        }
        self.done = n == self.left.len();
        self.left.start += n;
        Ok(data)
    }
}

impl BodySource for UpstreamBody {
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        if self.done {
            return Poll::Ready(None);
        }
        let polled = ready!(self.poll_piece(cx));
        if polled.is_err() {
            self.state = State::Failed;
        }
        Poll::Ready(Some(polled))
    }

    fn remaining(&self) -> u64 {
        if self.done { 0 } else { self.left.len() }
    }
}
