//! CreateInvalidation of the CloudFront API: one signed POST with an XML document.
//!
//! Signed by aws-sigv4 over hyper instead of through aws-sdk-cloudfront, which is generated code for every call there is:
//! alone it took 254 s to compile at this project's settings, more than all the rest together.
//! A connection for each call: there is one in a while.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use quick_xml::escape::{escape, unescape};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::cdn::credentials;

const NAMESPACE: &str = "http://cloudfront.amazonaws.com/doc/2020-05-31/";
const VERSION: &str = "2020-05-31";
/// CloudFront is one service, in one region.
const REGION: &str = "us-east-1";
const PATIENCE: Duration = Duration::from_secs(30);
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the CloudFront API is.
    pub endpoint: String,
    /// Of the shared AWS configuration. None: the chain of the SDK decides.
    pub profile: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { endpoint: "https://cloudfront.amazonaws.com".into(), profile: None }
    }
}

impl Settings {
    /// Err: what is expected.
    pub fn check(&self) -> Result<(), String> {
        Endpoint::parse(&self.endpoint).map(drop)
    }
}

/// Why there is no invalidation. The text may be shown to a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Too many of them, a fault on the way, or rights that somebody may still give.
    ForNow {
        text: String,
        after: Option<Duration>,
    },
    ForGood {
        text: String,
    },
}

/// An invalidation that CloudFront has taken up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalidation {
    pub id: String,
    pub status: String,
}

pub struct CloudFront {
    endpoint: Endpoint,
    profile: Option<String>,
    tls: TlsConnector,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Endpoint {
    secure: bool,
    /// Host and port as the request names them.
    authority: String,
    host: String,
    port: u16,
}

impl Endpoint {
    fn parse(text: &str) -> Result<Self, String> {
        let expected = || format!("expected an address such as \"https://cloudfront.amazonaws.com\", found {text:?}");
        let uri: Uri = text.parse().map_err(|_| expected())?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(expected()),
        };
        let authority = uri.authority().filter(|_| uri.path() == "/" && uri.query().is_none()).ok_or_else(expected)?;
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Endpoint { secure, authority: authority.to_string(), host, port })
    }
}

impl CloudFront {
    /// Err: a text for the operator.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let endpoint = Endpoint::parse(&settings.endpoint)?;
        let mut roots = rustls::RootCertStore::empty();
        if endpoint.secure {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                return Err("no certificate authorities were found on this system: TLS to CloudFront can't be checked".into());
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|e| e.to_string())?.with_root_certificates(roots).with_no_client_auth();
        Ok(CloudFront { endpoint, profile: settings.profile.clone(), tls: TlsConnector::from(Arc::new(config)) })
    }

    /// `reference` makes the call idempotent: the same one with the same items again answers the invalidation of the first.
    pub async fn invalidate(&self, distribution: &str, reference: &str, items: &[String]) -> Result<Invalidation, Refused> {
        let credentials = credentials::load(self.profile.as_deref(), REGION).await.map_err(for_now)?;
        let request = self.request(distribution, credentials, document(reference, items)).map_err(for_now)?;
        let (status, after, text) = match tokio::time::timeout(PATIENCE, self.exchange(request)).await {
            Ok(answer) => answer.map_err(|e| for_now(format!("CloudFront can't be reached: {e}")))?,
            Err(_) => return Err(for_now(format!("CloudFront did not answer within {} s", PATIENCE.as_secs()))),
        };
        if status.is_success() {
            return match (element(&text, "Id"), element(&text, "Status")) {
                (Some(id), Some(status)) => Ok(Invalidation { id, status }),
                _ => Err(for_now("CloudFront's answer is not what it should be".into())),
            };
        }
        Err(refused(status, after, &text))
    }

    fn request(&self, distribution: &str, credentials: Credentials, document: String) -> Result<Request<Full<Bytes>>, String> {
        let path = format!("/{VERSION}/distribution/{distribution}/invalidation");
        let scheme = if self.endpoint.secure { "https" } else { "http" };
        let identity = credentials.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(REGION)
            .name("cloudfront")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|e| e.to_string())?;
        let headers = [("host", self.endpoint.authority.as_str()), ("content-type", "application/xml")];
        let uri = format!("{scheme}://{}{path}", self.endpoint.authority);
        let signable = SignableRequest::new("POST", uri, headers.into_iter(), SignableBody::Bytes(document.as_bytes()));
        let signed = sign(signable.map_err(|e| e.to_string())?, &params.into()).map_err(|e| e.to_string())?;
        let request = Request::post(path).header(HOST, &self.endpoint.authority).header(CONTENT_TYPE, "application/xml");
        let mut request = request.body(Full::new(Bytes::from(document))).map_err(|e| e.to_string())?;
        signed.into_parts().0.apply_to_request_http1x(&mut request);
        Ok(request)
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Option<Duration>, String), String> {
        let tcp = TcpStream::connect((self.endpoint.host.as_str(), self.endpoint.port)).await.map_err(|e| e.to_string())?;
        if !self.endpoint.secure {
            return talk(tcp, request).await;
        }
        let name = ServerName::try_from(self.endpoint.host.clone()).map_err(|e| e.to_string())?;
        talk(self.tls.connect(name, tcp).await.map_err(|e| e.to_string())?, request).await
    }
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Option<Duration>, String), String> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    let connection = Aborted(tokio::spawn(connection));
    let answer = sender.send_request(request).await.map_err(|e| e.to_string())?;
    let status = answer.status();
    let after = answer.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok()).map(Duration::from_secs);
    let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await.map_err(|e| e.to_string())?;
    drop(connection);
    Ok((status, after, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
}

/// The connection goes with the call, also where that is dropped half way.
struct Aborted<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Aborted<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn document(reference: &str, items: &[String]) -> String {
    let paths: String = items.iter().map(|i| format!("<Path>{}</Path>", escape(i.as_str()))).collect();
    let (count, reference) = (items.len(), escape(reference));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<InvalidationBatch xmlns=\"{NAMESPACE}\"><Paths><Quantity>{count}</Quantity>\
         <Items>{paths}</Items></Paths><CallerReference>{reference}</CallerReference></InvalidationBatch>"
    )
}

/// The text of the first element of that name.
fn element(document: &str, name: &str) -> Option<String> {
    let (_, rest) = document.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    unescape(text).ok().map(|t| t.into_owned())
}

fn for_now(text: String) -> Refused {
    Refused::ForNow { text, after: None }
}

fn refused(status: StatusCode, after: Option<Duration>, document: &str) -> Refused {
    let code = element(document, "Code").unwrap_or_else(|| status.as_str().to_owned());
    let message = element(document, "Message").unwrap_or_default();
    let text = format!("CloudFront answered {code}: {message}");
    match code.as_str() {
        // What was asked can't become right by waiting.
        "InvalidArgument"
        | "BatchTooLarge"
        | "InconsistentQuantities"
        | "MissingBody"
        | "MalformedXML"
        | "NoSuchDistribution"
        | "InvalidationBatchAlreadyExists" => Refused::ForGood { text },
        // TooManyInvalidationsInProgress, Throttling, 5xx; and rights, which somebody may give meanwhile.
        _ => Refused::ForNow { text, after },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        let at = |text: &str| Endpoint::parse(text).map(|e| (e.secure, e.host, e.port));
        assert_eq!(at("https://cloudfront.amazonaws.com"), Ok((true, "cloudfront.amazonaws.com".into(), 443)));
        assert_eq!(at("http://[::1]:8080"), Ok((false, "::1".into(), 8080)));
        for bad in ["", "cloudfront.amazonaws.com", "ftp://x", "https://x/y"] {
            assert!(at(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn documents_are_escaped_and_read() {
        let sent = document("r&1", &["/a&b".into(), "/c*".into()]);
        assert!(sent.contains("<Quantity>2</Quantity><Items><Path>/a&amp;b</Path><Path>/c*</Path></Items>"), "{sent}");
        assert_eq!(element(&sent, "CallerReference").as_deref(), Some("r&1"));
        assert_eq!(element("<a></a>", "Id"), None);
    }

    #[test]
    fn refusals_are_told_apart() {
        let of = |status: u16, code: &str| {
            let document = format!("<ErrorResponse><Error><Code>{code}</Code><Message>m</Message></Error></ErrorResponse>");
            matches!(refused(StatusCode::from_u16(status).unwrap(), None, &document), Refused::ForNow { .. })
        };
        assert!(of(400, "TooManyInvalidationsInProgress") && of(503, "ServiceUnavailable") && of(403, "AccessDenied"));
        assert!(!of(404, "NoSuchDistribution") && !of(400, "InvalidArgument"));
        assert!(matches!(refused(StatusCode::BAD_GATEWAY, None, "<html>"), Refused::ForNow { .. }));
    }
}
