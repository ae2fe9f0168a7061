//! The S3 door as an SDK uses it: a bucket, an object in it, and everything that can be asked of one. What was made is deleted again.

use bytes::Bytes;
use http::Method;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_METHOD, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH,
    ORIGIN, RANGE,
};

use super::asking::{Answer, Asker, Key, Place};
use super::finding::{Check, Findings};
use crate::auth::presign::{Presign, presign};
use crate::base::names::{BucketName, ObjectKey};
use crate::base::timestamp::Timestamp;

/// Text, so that it is compressed on its way, and larger than what is compressed at once.
const LINE: &[u8] = b"what tidegate doctor wrote, and deletes again\n";
const LINES: usize = 3000;
const LINK_SECONDS: u64 = 300;

/// What is tried with: one object in a bucket.
pub struct Trial {
    pub bucket: BucketName,
    pub key: ObjectKey,
    pub content: Bytes,
    made_bucket: bool,
}

pub struct Door<'a> {
    pub asker: &'a Asker,
    pub place: &'a Place,
    pub key: &'a Key,
}

impl Door<'_> {
    async fn ask(&self, method: Method, target: &str, headers: &[(HeaderName, &str)], body: Bytes) -> Result<Answer, String> {
        self.asker.signed(self.key, self.place, method, target, headers, body).await
    }

    /// Err: was found out already.
    pub async fn begin(&self, findings: &mut Findings, bucket: Option<&BucketName>) -> Result<Trial, ()> {
        let named = format!("signed requests to {}", self.place.base);
        match self.ask(Method::GET, "/", &[], Bytes::new()).await {
            Ok(answer) if answer.status.is_success() => findings.good(Check::S3, format!("{named} are accepted")),
            Ok(answer) => {
                findings.bad(Check::S3, format!("{named} are refused: {}", answer.told()), why(&answer.code()));
                return Err(());
            }
            Err(e) => {
                findings.bad(Check::S3, format!("{named} have no answer: {e}"), "Look at `ready` and `tls` above");
                return Err(());
            }
        }
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(drop)?;
        let made = BucketName::parse(&format!("tidegate-doctor-{}", hex::encode(random))).map_err(drop)?;
        let key = ObjectKey::parse(&format!("tidegate-doctor/{}.txt", hex::encode(random))).map_err(drop)?;
        let trial =
            Trial { made_bucket: bucket.is_none(), bucket: bucket.cloned().unwrap_or(made), key, content: Bytes::from(LINE.repeat(LINES)) };
        if trial.made_bucket {
            let made = self.ask(Method::PUT, &format!("/{}", trial.bucket), &[], Bytes::new()).await;
            if let Some(fault) = fault(&made) {
                let todo = "Give --bucket NAME to try things in one that is there; the gateway's log says more";
                findings.bad(Check::S3, format!("a bucket can't be made: {fault}"), todo);
                return Err(());
            }
        }
        let wrote = self.ask(Method::PUT, &trial.path(), &[(CONTENT_TYPE, "text/plain")], trial.content.clone()).await;
        match fault(&wrote) {
            None => findings.good(Check::S3, format!("an object was written: s3://{}/{}", trial.bucket, trial.key)),
            Some(fault) => {
                let code = wrote.as_ref().map(Answer::code).unwrap_or_default();
                findings.bad(Check::S3, format!("an object can't be written: {fault}"), why(&code));
                self.end(findings, &trial).await;
                return Err(());
            }
        }
        Ok(trial)
    }

    pub async fn look(&self, findings: &mut Findings, trial: &Trial) {
        let get = async |headers: &[(HeaderName, &str)]| self.ask(Method::GET, &trial.path(), headers, Bytes::new()).await;
        let whole = get(&[]).await;
        let etag = whole.as_ref().map(|a| a.header(ETAG.as_str()).to_owned()).unwrap_or_default();
        let changed = "Something in front changes answers: it must pass bodies, ranges and conditions as they are";
        let same = whole.as_ref().is_ok_and(|a| a.status == 200 && a.body == trial.content);
        findings.expect(Check::S3, same, "it is read as it was written", format!("it is read as {}", shown(&whole)), changed);
        judge_range(findings, Check::S3, &get(&[(RANGE, "bytes=10-19")]).await, trial, changed);
        judge_conditions(findings, Check::S3, &get(&[(IF_NONE_MATCH, &etag)]).await, &get(&[(IF_MATCH, "\"another\"")]).await, changed);
        let listing = self.ask(Method::GET, &format!("/{}?list-type=2&prefix=tidegate-doctor%2F", trial.bucket), &[], Bytes::new()).await;
        let listed = listing.as_ref().is_ok_and(|a| String::from_utf8_lossy(&a.body).contains(trial.key.as_str()));
        findings.expect(Check::S3, listed, "it is listed", format!("it is not listed: {}", shown(&listing)), "The gateway's log says more");
    }

    /// A URL that anybody can open for a while, and none that was changed.
    pub async fn links(&self, findings: &mut Findings, trial: &Trial) {
        let wanted = Presign {
            method: Method::GET,
            endpoint: &self.place.base,
            bucket: &trial.bucket,
            key: &trial.key,
            expires_seconds: LINK_SECONDS,
            now: Timestamp::now(),
            query: &[],
        };
        let Ok(url) = presign(&self.key.credentials(), &wanted) else { return };
        let target = url.strip_prefix(&self.place.base).unwrap_or_default();
        let opened = self.asker.get(self.place, target, &[]).await;
        let same = opened.as_ref().is_ok_and(|a| a.status == 200 && a.body == trial.content);
        let todo = opened.as_ref().map_or("", |a| why(&a.code()));
        findings.expect(
            Check::Links,
            same,
            "a presigned URL opens it",
            format!("a presigned URL is answered with {}", shown(&opened)),
            todo,
        );
        let longer = target.replace(&format!("X-Amz-Expires={LINK_SECONDS}"), "X-Amz-Expires=86400");
        let changed = self.asker.get(self.place, &longer, &[]).await;
        let refused = changed.as_ref().is_ok_and(|a| a.status == 403);
        let todo = "What answers there checks no signatures: take it off the net, and look what stands in front";
        findings.expect(
            Check::Links,
            refused,
            "a changed one opens nothing",
            format!("a changed one is answered with {}", shown(&changed)),
            todo,
        );
    }

    /// What a browser asks before a page of `origin` reads by a presigned URL.
    pub async fn cors(&self, findings: &mut Findings, trial: &Trial, origin: &str) {
        let asked = [(ORIGIN, origin), (ACCESS_CONTROL_REQUEST_METHOD, "GET")];
        let answer = self.asker.ask(self.place, Method::OPTIONS, &trial.path(), &asked, Bytes::new()).await;
        let allowed = answer.as_ref().is_ok_and(|a| a.status.is_success() && allows(a, origin));
        findings.expect(
            Check::Cors,
            allowed,
            &format!("pages of {origin} may read from {}", self.place.base),
            format!("pages of {origin} may not read from {}: {}", self.place.base, shown(&answer)),
            "Set the bucket's CORS (PutBucketCors); new buckets have a rule where s3.default_cors is true; a proxy must pass OPTIONS",
        );
    }

    pub async fn end(&self, findings: &mut Findings, trial: &Trial) {
        let mut targets = vec![trial.path()];
        if trial.made_bucket {
            targets.push(format!("/{}", trial.bucket));
        }
        for target in targets {
            if let Some(fault) = fault(&self.ask(Method::DELETE, &target, &[], Bytes::new()).await) {
                findings.warning(
                    Check::S3,
                    format!("{target} can't be deleted: {fault}"),
                    "Delete it by hand; the gateway's log says more",
                );
            }
        }
    }
}

impl Trial {
    pub fn path(&self) -> String {
        format!("/{}/{}", self.bucket, self.key)
    }
}

pub fn judge_range(findings: &mut Findings, check: Check, answer: &Result<Answer, String>, trial: &Trial, todo: &str) {
    let expected = format!("bytes 10-19/{}", trial.content.len());
    let right = answer
        .as_ref()
        .is_ok_and(|a| a.status == 206 && a.header(CONTENT_RANGE.as_str()) == expected && Some(&a.body[..]) == trial.content.get(10..20));
    findings.expect(check, right, "ranges are answered", format!("a range is answered with {}", shown(answer)), todo);
}

pub fn judge_conditions(findings: &mut Findings, check: Check, same: &Result<Answer, String>, other: &Result<Answer, String>, todo: &str) {
    let right = same.as_ref().is_ok_and(|a| a.status == 304) && other.as_ref().is_ok_and(|a| a.status == 412);
    let bad = format!("If-None-Match with its ETag is answered with {}, If-Match with another with {}", shown(same), shown(other));
    findings.expect(check, right, "conditions hold", bad, todo);
}

pub fn allows(answer: &Answer, origin: &str) -> bool {
    let allowed = answer.header(ACCESS_CONTROL_ALLOW_ORIGIN.as_str());
    allowed == "*" || allowed == origin
}

pub fn shown(answer: &Result<Answer, String>) -> String {
    match answer {
        Ok(answer) => format!("{}, {} bytes", answer.told(), answer.body.len()),
        Err(e) => format!("nothing: {e}"),
    }
}

fn fault(answer: &Result<Answer, String>) -> Option<String> {
    match answer {
        Ok(answer) if answer.status.is_success() => None,
        Ok(answer) => Some(answer.told()),
        Err(e) => Some(e.clone()),
    }
}

/// By S3's code.
fn why(code: &str) -> &'static str {
    match code {
        "SignatureDoesNotMatch" => {
            "The secret is another's; or a proxy rewrites Host or the path: add the name that clients use to s3.public_hosts, and what is taken off the path to s3.path_prefix"
        }
        "InvalidAccessKeyId" => {
            "The key is not one of this gateway's: give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run this where the gateway's data is"
        }
        "RequestTimeTooSkewed" | "AccessDenied" => "Look at the clock, at the key's policies, and whether it is disabled or has ended",
        "AuthorizationHeaderMalformed" => "Sign for the region that s3.region names",
        "InsufficientStorage" => "The disk is full up to store.reserve: give it room",
        "ServiceUnavailable" | "SlowDown" => "The S3 below is away, or a limit is reached: /-/ready and the log say which",
        _ => "The gateway's log has the request with its reason",
    }
}
