//! POST Object: a file that a browser sends in a form. What other writes say in headers stands in the form's fields.
//!
//! First the fields are read (20 KB at most, whoever sends them), then it is seen who signed their policy and whether they hold to it. Then
//! they become the request's headers, and the file goes the way of every PutObject. The request's own headers say nothing of the object: no
//! signature covers them.
//! Not here: how a form is read (`http::form`), policies of forms (`auth::form`).

use http::header::{self, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION};
use http::request::Parts;
use http::{StatusCode, Uri};
use tokio::time::timeout;

use crate::auth::canonical::{Part, encode_plain};
use crate::auth::form::Granted;
use crate::auth::form::fields::Fields;
use crate::auth::form::policy::Range;
use crate::auth::query::{Query, QueryForm};
use crate::base::checksum::ChecksumAlgorithm;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::header::invalid;
use crate::base::limits::MAX_PUT_BYTES;
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::ObjectInfo;
use crate::base::tags::{TAGGING, Tagged};
use crate::base::timestamp::Timestamp;
use crate::http::body::ResponseBody;
use crate::http::document::ARRIVAL;
use crate::http::exchange::Exchange;
use crate::http::form::Form;
use crate::http::gateway::Gateway;
use crate::http::respond::{Answer, value};
use crate::http::s3::operation::Operation;
use crate::http::s3::{headers, objects, params, tagging};
use crate::http::visit::Visit;
use crate::http::xml::Writer;
use crate::net::request_body::RequestBody;
use crate::net::service::Peer;

/// Headers of an object that a form may say by their own names.
const STANDARD: [HeaderName; 7] = [
    header::CACHE_CONTROL,
    header::CONTENT_DISPOSITION,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_TYPE,
    header::EXPIRES,
    CONTENT_MD5,
];
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
/// Of the signature: they say nothing of the object.
const OF_SIGNATURE: [&str; 5] = ["x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature", "x-amz-security-token"];
/// Headers that CDNs and browsers add, and those of a signature, which is refused for itself.
const OF_THE_WAY: [&str; 5] = ["x-amz-cf-id", "x-amz-user-agent", "x-amz-date", "x-amz-content-sha256", "x-amz-request-payer"];

pub async fn object(
    gateway: &Gateway,
    visit: &Visit,
    mut parts: Parts,
    query: Query,
    body: RequestBody,
    peer: Peer,
    bucket: &BucketName,
) -> Result<Answer> {
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let mut form = Form::new(body, content_type)?;
    refuse_what_a_form_says(&parts.headers, &query)?;
    let late = || Error::new(ErrorKind::RequestTimeout, "The fields of the form did not arrive in time: they have a minute.");
    let read = timeout(ARRIVAL, form.fields(|bytes| visit.record().took_in(bytes))).await.map_err(|_| late())??;
    let fields = Fields::new(read.fields, &read.file_name)?;

    let key = named(&fields)?;
    let Granted { caller, length } = gateway.auth.authenticate_form(&fields, bucket, Timestamp::now())?;
    visit.record().posts(key.clone());
    become_headers(&fields, &mut parts.headers)?;
    let of_any_length = Range { min: 0, max: MAX_PUT_BYTES };
    let length = length.map_or(of_any_length, |asked| Range { max: asked.max.min(MAX_PUT_BYTES), ..asked });

    let mut exchange = Exchange::open_form(gateway, visit, parts, query, form.file(length), peer, caller)?;
    headers::check(Operation::PostObject, &exchange.parts.headers)?;
    let compute = params::copy_checksum(&exchange.parts.headers)?.unwrap_or(ChecksumAlgorithm::Crc64Nvme);
    let (written, object) = objects::put_with(&mut exchange, bucket, &key, compute).await?;
    answer(&exchange, &fields, bucket, &key, written, &object)
}

/// What counts stands in the form, where its policy covers it. Something beside it is refused, not left undone.
fn refuse_what_a_form_says(of_request: &HeaderMap, query: &Query) -> Result<()> {
    if of_request.contains_key(AUTHORIZATION) || query.form() != QueryForm::None {
        let text = "A form is signed in its own fields (policy, x-amz-signature …): an Authorization header, or a signature in the query, says nothing of them.";
        return Err(Error::new(ErrorKind::InvalidArgument, text).detail("ArgumentName", "Authorization"));
    }
    headers::check(Operation::PostObject, of_request)?;
    let says = |name: &&HeaderName| name.as_str().starts_with("x-amz-") && headers::row(name.as_str()).is_some();
    match of_request.keys().filter(says).find(|name| !OF_THE_WAY.contains(&name.as_str())) {
        Some(name) => {
            let text = "A form says this in a field of that name, not in a header of its request.";
            Err(Error::new(ErrorKind::InvalidRequest, text).detail("Header", name.as_str()))
        }
        None => Ok(()),
    }
}

fn named(fields: &Fields) -> Result<ObjectKey> {
    match fields.needed("key")? {
        "" => Err(invalid("key", "User key must have a length greater than 0.")),
        key => ObjectKey::parse(key),
    }
}

/// The headers of the object, from the fields alone.
fn become_headers(fields: &Fields, of_request: &mut HeaderMap) -> Result<()> {
    let of_object = |name: &HeaderName| {
        name.as_str().starts_with("x-amz-") || STANDARD.contains(name) || *name == header::CONTENT_LENGTH || *name == header::TRAILER
    };
    let of_object: Vec<HeaderName> = of_request.keys().filter(|name| of_object(name)).cloned().collect();
    of_object.into_iter().for_each(|name| drop(of_request.remove(name)));
    for (field, text) in fields.iter() {
        let (name, text) = match field {
            "acl" => ("x-amz-acl", text.to_owned()),
            "tagging" if text.trim_ascii().is_empty() => continue,
            "tagging" => (TAGGING, tagging::parse(text.as_bytes(), Tagged::Object)?.query()),
            _ if OF_SIGNATURE.contains(&field) => continue,
            _ if field.starts_with("x-amz-") || STANDARD.iter().any(|standard| standard == field) => (field, text.to_owned()),
            _ => continue,
        };
        let unfit = || Error::new(ErrorKind::InvalidArgument, "The field stands for a header, and its value can't be one.");
        let named = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(text).ok());
        let (name, value) = named.ok_or_else(|| unfit().detail("ArgumentName", field))?;
        if of_request.insert(name, value).is_some() {
            return Err(invalid(field, "Two fields of the form say it."));
        }
    }
    Ok(())
}

/// `written`: the answer that a PutObject would get.
fn answer(
    exchange: &Exchange<'_>,
    fields: &Fields,
    bucket: &BucketName,
    key: &ObjectKey,
    mut written: Answer,
    object: &ObjectInfo,
) -> Result<Answer> {
    let etag = object.etag.quoted();
    let redirect = fields.get("success_action_redirect").or_else(|| fields.get("redirect"));
    if let Some(target) = redirect.and_then(|target| redirected(target, bucket, key, &etag)) {
        *written.status_mut() = StatusCode::SEE_OTHER;
        written.headers_mut().insert(LOCATION, target);
        return Ok(written);
    }
    let in_host = exchange.gateway.auth.settings().bucket_in_host(&exchange.parts.headers).is_some();
    let path = if in_host { String::new() } else { format!("/{bucket}") };
    // As S3: slashes are encoded too.
    let location = format!("{}{path}/{}", exchange.base_url(), encoded(key.as_str()));
    if let Some(location) = value(&location) {
        written.headers_mut().insert(LOCATION, location);
    }
    match fields.get("success_action_status") {
        Some("200") => {}
        Some("201") => {
            let mut w = Writer::bare("PostResponse");
            w.leaf("Location", &location).leaf("Bucket", bucket).leaf("Key", key).leaf("ETag", etag);
            let document = w.finish("PostResponse");
            *written.status_mut() = StatusCode::CREATED;
            written.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
            written.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(document.len()));
            *written.body_mut() = ResponseBody::text(document);
        }
        // Another one is as none.
        _ => *written.status_mut() = StatusCode::NO_CONTENT,
    }
    Ok(written)
}

/// Where the browser goes next, with what was written. None: it is no address of the web, and as if it was not there.
fn redirected(target: &str, bucket: &BucketName, key: &ObjectKey, etag: &str) -> Option<HeaderValue> {
    let (address, fragment) = target.split_once('#').map_or((target, None), |(address, fragment)| (address, Some(fragment)));
    let uri: Uri = address.parse().ok()?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return None;
    }
    let join = if uri.query().is_some() { '&' } else { '?' };
    let mut target = format!("{address}{join}bucket={bucket}&key={}&etag={}", encoded(key.as_str()), encoded(etag));
    if let Some(fragment) = fragment {
        target.push('#');
        target.push_str(fragment);
    }
    // No line of a header can begin in it.
    HeaderValue::try_from(target).ok()
}

fn encoded(text: &str) -> String {
    let mut out = Vec::new();
    encode_plain(text.as_bytes(), Part::Query, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Fields {
        Fields::new(pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(), "name.txt").unwrap()
    }

    #[test]
    fn fields_are_headers_and_headers_are_not() {
        let mut headers: HeaderMap =
            [("x-amz-acl", "public-read"), ("content-type", "multipart/form-data"), ("x-amz-meta-b", "1"), ("host", "h")]
                .into_iter()
                .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)))
                .collect();
        let fields = of(&[
            ("Key", "k"),
            ("Content-Type", "image/png"),
            ("x-amz-meta-A", "${filename}"),
            ("X-Amz-Date", "20260101T000000Z"),
            ("submit", "x"),
            ("if-none-match", "*"),
            ("tagging", "<Tagging><TagSet><Tag><Key>a b</Key><Value>1</Value></Tag></TagSet></Tagging>"),
        ]);
        become_headers(&fields, &mut headers).unwrap();
        let mut all: Vec<String> = headers.iter().map(|(n, v)| format!("{n}={}", v.to_str().unwrap())).collect();
        all.sort();
        assert_eq!(all, ["content-type=image/png", "host=h", "x-amz-meta-a=name.txt", "x-amz-tagging=a%20b=1"]);
    }

    #[test]
    fn what_can_be_no_header_is_refused() {
        for pairs in [
            &[("x-amz-meta-a", "one\r\nx-amz-acl: public-read")][..],
            &[("x-amz-meta-a\n", "1")],
            &[("acl", "private"), ("x-amz-acl", "public-read")],
        ] {
            let kind = become_headers(&of(pairs), &mut HeaderMap::new()).map_err(|e| e.kind());
            assert_eq!(kind, Err(ErrorKind::InvalidArgument), "{pairs:?}");
        }
        assert!(become_headers(&of(&[("tagging", "a=1")]), &mut HeaderMap::new()).is_err());
    }

    #[test]
    fn where_the_browser_goes_next() {
        let (bucket, key) = (BucketName::parse("bucket").unwrap(), ObjectKey::parse("a b/ü&x").unwrap());
        let to = |target: &str| redirected(target, &bucket, &key, "\"e\"").map(|v| v.to_str().unwrap().to_owned());
        let said = "bucket=bucket&key=a%20b%2F%C3%BC%26x&etag=%22e%22";
        assert_eq!(to("https://a.test/x"), Some(format!("https://a.test/x?{said}")));
        assert_eq!(to("http://a.test/x?y=1"), Some(format!("http://a.test/x?y=1&{said}")));
        assert_eq!(to("http://a.test/x#top"), Some(format!("http://a.test/x?{said}#top")));
        for none in [
            "",
            "x",
            "/x",
            "//a.test/",
            "javascript:alert(1)",
            "ftp://a.test/",
            "data:text/html,x",
            "http://a.test/\r\nx: y",
            "http://a.test/#\r\nx: y",
        ] {
            assert_eq!(to(none), None, "{none}");
        }
    }
}
