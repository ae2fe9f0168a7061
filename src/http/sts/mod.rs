//! Temporary credentials as SDKs ask for them: AWS's STS on the S3 door, `POST /` (or GET) with `Action=…&Version=2011-06-15`.
//!
//! Who asks signs for the service `sts`, or shows a token of another provider (AssumeRoleWithWebIdentity). What an `Action` takes and is not
//! understood here is refused where it would narrow the session, and ignored where it says nothing.
//! Not here: what a session is (`auth::session`), roles (`auth::role`), providers' keys (`keys`). Called by the S3 door.
//! Limits: 64 KB of parameters; a session lives 15 minutes to 12 hours; a session asks for no other one.

pub mod keys;
mod parameters;

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Method};
use sha2::{Digest as _, Sha256};

use crate::auth::identity::{Caller, Identity};
use crate::auth::query::{Query, QueryForm};
use crate::auth::role::Role;
use crate::auth::roles::MAX_SECONDS;
use crate::auth::session::{Temporary, Wanted};
use crate::auth::web_identity::Token;
use crate::auth::{RequestFacts, TagFacts};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::lock::LockAsked;
use crate::base::names::{AccessKeyId, TenantId};
use crate::base::timestamp::Timestamp;
use crate::http::api;
use crate::http::body::Counted;
use crate::http::document::{ARRIVAL, MAX_SMALL_BYTES};
use crate::http::gateway::Gateway;
use crate::http::respond::{self, Answer};
use crate::http::s3::operation::Operation as S3;
use crate::http::visit::Visit;
use crate::http::xml::Writer;
use crate::ingest::{Content, Expect, Staging, receive};
use crate::net::request_body::RequestBody;
use crate::net::service::Peer;
use crate::telemetry::audit::Kind;
use crate::telemetry::metrics;
use parameters::Parameters;

pub const VERSION: &str = "2011-06-15";
const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
const MAX_PARAMETERS_BYTES: u64 = 64 * 1024;
const DEFAULT_ROLE_SECONDS: u64 = 3600;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    AssumeRole,
    AssumeRoleWithWebIdentity,
    GetSessionToken,
    GetCallerIdentity,
}

impl Action {
    const ALL: [Action; 4] = [Action::AssumeRole, Action::AssumeRoleWithWebIdentity, Action::GetSessionToken, Action::GetCallerIdentity];

    fn name(self) -> &'static str {
        match self {
            Action::AssumeRole => "AssumeRole",
            Action::AssumeRoleWithWebIdentity => "AssumeRoleWithWebIdentity",
            Action::GetSessionToken => "GetSessionToken",
            Action::GetCallerIdentity => "GetCallerIdentity",
        }
    }

    fn log_name(self) -> &'static str {
        match self {
            Action::AssumeRole => "STS.ASSUME_ROLE",
            Action::AssumeRoleWithWebIdentity => "STS.ASSUME_ROLE_WITH_WEB_IDENTITY",
            Action::GetSessionToken => "STS.GET_SESSION_TOKEN",
            Action::GetCallerIdentity => "STS.GET_CALLER_IDENTITY",
        }
    }

    fn audited(self) -> Option<Kind> {
        (self != Action::GetCallerIdentity).then_some(Kind::Key)
    }

    fn label(self) -> metrics::Operation {
        metrics::Operation { index: S3::ALL.len() + api::LABELS + self as usize, name: self.name() }
    }
}

/// Whether a request for the door itself is one of these.
pub fn is_asked(parts: &Parts, query: &Query) -> bool {
    let is_form = |headers: &HeaderMap| {
        let kind = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        kind.trim_start().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded")
    };
    match parts.method {
        Method::POST => query.has("Action") || is_form(&parts.headers),
        Method::GET => query.has("Action") && query.get("Version") == Some(VERSION),
        _ => false,
    }
}

pub async fn handle(gateway: &Gateway, visit: &Visit, parts: Parts, query: Query, body: RequestBody, peer: Peer) -> Answer {
    match answer(gateway, visit, &parts, &query, body, peer).await {
        Ok(answer) => answer,
        Err(e) => visit.failed_sts(gateway, &e),
    }
}

async fn answer(gateway: &Gateway, visit: &Visit, parts: &Parts, query: &Query, body: RequestBody, peer: Peer) -> Result<Answer> {
    let body = read(visit, body).await?;
    let parameters = if parts.method == Method::POST { Parameters::parse(&body)? } else { Parameters::of_query(parts.uri.query())? };
    let action = action(&parameters)?;
    visit.record().routed(action.label(), action.log_name(), action.audited());
    let now = Timestamp::now();
    let asking = Asking { gateway, visit, parameters: &parameters, now };
    if action == Action::AssumeRoleWithWebIdentity {
        return asking.assume_role_with_web_identity().await;
    }
    let facts = RequestFacts {
        parts,
        query,
        peer: peer.address.ip(),
        secure: peer.secure,
        now,
        tags: TagFacts::default(),
        lock: LockAsked::default(),
    };
    if query.form() == QueryForm::None && !parts.headers.contains_key(http::header::AUTHORIZATION) {
        return Err(Error::new(ErrorKind::MissingAuthenticationToken, "Request is missing Authentication Token"));
    }
    let caller = gateway.auth.authenticate_for_sts(&facts, &hex::encode(Sha256::digest(&body)))?;
    let caller = visit.record().called_by(caller);
    gateway.auth.take_token(caller)?;
    match action {
        Action::AssumeRole => asking.assume_role(caller),
        Action::GetSessionToken => asking.session_token(caller),
        Action::GetCallerIdentity => Ok(asking.caller_identity(caller)),
        Action::AssumeRoleWithWebIdentity => Err(Error::internal("a token was taken for a signature")),
    }
}

async fn read(visit: &Visit, body: RequestBody) -> Result<Vec<u8>> {
    let expect = Expect { max: MAX_PARAMETERS_BYTES, ..Expect::default() };
    // No file is ever made: what is larger is refused first.
    let staging = Staging::new(std::path::PathBuf::new(), MAX_SMALL_BYTES);
    let counted = std::pin::pin!(Counted { body, record: visit.record(), transfer: None, throttle: None });
    let late = |_| Error::new(ErrorKind::RequestTimeout, "The parameters did not arrive in time: they have a minute.");
    match tokio::time::timeout(ARRIVAL, receive(counted, None, &expect, &staging)).await.map_err(late)??.content {
        Content::Memory(bytes) => Ok(bytes.to_vec()),
        Content::File(_) => Err(Error::internal("parameters outgrew memory")),
    }
}

fn action(parameters: &Parameters) -> Result<Action> {
    let name = parameters.needed("Action")?;
    let found = Action::ALL.into_iter().find(|action| action.name() == name);
    match found {
        Some(action) if parameters.get("Version").is_none_or(|version| version == VERSION) => Ok(action),
        _ => {
            let known: Vec<&str> = Action::ALL.iter().map(|action| action.name()).collect();
            let text = format!("Could not find this operation for version {VERSION}. Known are {}.", known.join(", "));
            Err(Error::new(ErrorKind::InvalidAction, text))
        }
    }
}

struct Asking<'a> {
    gateway: &'a Gateway,
    visit: &'a Visit,
    parameters: &'a Parameters,
    now: Timestamp,
}

impl Asking<'_> {
    fn assume_role(&self, caller: &Caller) -> Result<Answer> {
        let by = key_of(caller)?;
        let name = self.parameters.session_name()?;
        let role = self.parameters.role_name()?;
        let found = self.gateway.auth.role(role);
        let tenant = found.as_ref().and_then(|role| role.tenant_for(caller.identity.id()));
        // One text, whether there is such a role or not.
        let (role, tenant) = found.zip(tenant).ok_or_else(|| not_authorized("AssumeRole"))?;
        let (seconds, policy) = (self.seconds(&role)?, self.policy()?);
        let wanted = Wanted { tenant: tenant.clone(), role: Some(role.name.clone()), name: name.to_owned(), seconds, policy, by: Some(by) };
        let session = self.begin(wanted)?;
        Ok(self.document("AssumeRole", |w| {
            credentials(w, &session);
            assumed(w, &tenant, &role, name);
        }))
    }

    async fn assume_role_with_web_identity(&self) -> Result<Answer> {
        let text = self.parameters.needed("WebIdentityToken")?;
        let name = self.parameters.session_name()?;
        let role = self.parameters.role_name()?;
        let token = Token::parse(text)?;
        let issuer = token.issuer().unwrap_or_default().to_owned();
        let provider =
            self.gateway.auth.identity_provider(&issuer).ok_or_else(|| {
                Error::new(ErrorKind::InvalidIdentityToken, "No identity provider of this gateway has the token's issuer.")
            })?;
        let keys = self.gateway.provider_keys.of(&provider, token.key()).await?;
        let claims = token.verified(&keys, &provider.audiences, self.now)?;
        let found = self.gateway.auth.role(role);
        let tenant = found.as_ref().and_then(|role| role.tenant_by(&issuer, &claims));
        let (role, tenant) = found.zip(tenant).ok_or_else(|| not_authorized("AssumeRoleWithWebIdentity"))?;
        if self.gateway.auth.tenant(&tenant).is_none() {
            return Err(not_authorized("AssumeRoleWithWebIdentity"));
        }
        let (seconds, policy) = (self.seconds(&role)?, self.policy()?);
        let wanted = Wanted { tenant: tenant.clone(), role: Some(role.name.clone()), name: name.to_owned(), seconds, policy, by: None };
        let session = self.begin(wanted)?;
        let audience = claims.texts("aud").into_iter().find(|audience| provider.audiences.contains(audience)).unwrap_or_default();
        Ok(self.document("AssumeRoleWithWebIdentity", |w| {
            credentials(w, &session);
            w.leaf("SubjectFromWebIdentityToken", claims.subject().unwrap_or_default());
            assumed(w, &tenant, &role, name);
            w.leaf("Provider", &issuer).leaf("Audience", audience);
        }))
    }

    fn session_token(&self, caller: &Caller) -> Result<Answer> {
        let by = key_of(caller)?;
        if !matches!(caller.identity, Identity::Tenant(_)) {
            let text = "The operator's key opens everything and gets no session: make a tenant, or a role.";
            return Err(Error::new(ErrorKind::AccessDenied, text));
        }
        self.parameters.refuse(&["SerialNumber", "TokenCode"])?;
        let seconds = self.parameters.seconds(MAX_SECONDS, MAX_SECONDS)?;
        let tenant = caller.identity.id().clone();
        let wanted = Wanted { name: tenant.to_string(), tenant, role: None, seconds, policy: None, by: Some(by) };
        let session = self.begin(wanted)?;
        Ok(self.document("GetSessionToken", |w| credentials(w, &session)))
    }

    fn caller_identity(&self, caller: &Caller) -> Answer {
        let tenant = caller.identity.id();
        let (arn, user) = match &caller.session {
            Some(session) => (session.facts().arn(), session.facts().user_id()),
            None => (format!("arn:aws:iam:::user/{tenant}"), tenant.to_string()),
        };
        self.document("GetCallerIdentity", |w| {
            w.leaf("Arn", arn).leaf("UserId", user).leaf("Account", tenant);
        })
    }

    fn begin(&self, wanted: Wanted) -> Result<Temporary> {
        let whose = format!("session {} of {}, role {}", wanted.name, wanted.tenant, wanted.role.as_deref().unwrap_or("-"));
        let session = self.gateway.auth.begin_session(wanted, self.now)?;
        self.visit.record().is_about(|| format!("access key {}: {whose}, until {}", session.access_key, session.expires.iso8601()));
        Ok(session)
    }

    fn seconds(&self, role: &Role) -> Result<u64> {
        self.parameters.seconds(DEFAULT_ROLE_SECONDS.min(role.max_seconds), role.max_seconds)
    }

    /// Of the session. What would narrow it otherwise is not left out.
    fn policy(&self) -> Result<Option<String>> {
        self.parameters.refuse(&["PolicyArns", "Tags", "TransitiveTagKeys", "SerialNumber", "TokenCode", "SourceIdentity"])?;
        Ok(self.parameters.get("Policy").filter(|policy| !policy.is_empty()).map(str::to_owned))
    }

    fn document(&self, action: &'static str, result: impl FnOnce(&mut Writer)) -> Answer {
        let (root, inner) = (format!("{action}Response"), format!("{action}Result"));
        let mut w = Writer::of(&root, NAMESPACE);
        w.open(&inner);
        result(&mut w);
        w.close(&inner);
        w.open("ResponseMetadata").leaf("RequestId", self.visit.id().as_str()).close("ResponseMetadata");
        let mut answer = respond::xml(w.finish(&root));
        answer.headers_mut().insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("private, no-store"));
        answer
    }
}

/// A session is asked for with a key that lasts: else each would make the next, for ever.
fn key_of(caller: &Caller) -> Result<AccessKeyId> {
    let text = "Cannot call this with session credentials: a session asks for no other one.";
    caller.access_key.clone().filter(|_| caller.session.is_none()).ok_or_else(|| Error::new(ErrorKind::AccessDenied, text))
}

fn not_authorized(action: &str) -> Error {
    Error::new(ErrorKind::AccessDenied, format!("Not authorized to perform sts:{action}"))
}

fn credentials(w: &mut Writer, session: &Temporary) {
    w.open("Credentials").leaf("AccessKeyId", &session.access_key).leaf("SecretAccessKey", session.secret.expose());
    w.leaf("SessionToken", &session.token).leaf("Expiration", session.expires.iso8601()).close("Credentials");
}

fn assumed(w: &mut Writer, tenant: &TenantId, role: &Role, name: &str) {
    w.open("AssumedRoleUser").leaf("AssumedRoleId", format!("{}:{name}", role.name));
    w.leaf("Arn", format!("arn:aws:sts::{tenant}:assumed-role/{}/{name}", role.name)).close("AssumedRoleUser");
}
