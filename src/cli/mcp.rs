//! `tidegate mcp`: MCP over stdio, as a client of a gateway's `/-/mcp` in the name of its own key. Each line is a message; so is each line of the answer.
//!
//! What comes in is sent on as it is, signed; nothing is decided here. Several messages are on their way at once, so that one that waits for a job
//! holds up none. It ends with its input.

use std::collections::VecDeque;
use std::io::{BufRead, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::Failure;
use crate::auth::keys::Secret;
use crate::auth::presign::{Credentials, sign_headers};
use crate::base::names::AccessKeyId;
use crate::base::timestamp::Timestamp;
use crate::outbound::{self, Line};

const PATH: &str = "/-/mcp";
const AT_ONCE: usize = 8;
/// Longer than a job is waited for.
const PATIENCE: Duration = Duration::from_secs(75);
/// A page of artifacts fits many times.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

#[derive(Args)]
pub struct Mcp {
    /// URL of the gateway's S3 door
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL_S3", default_value = "http://127.0.0.1:9000")]
    endpoint: String,
    /// The region that is signed for
    #[arg(long, env = "AWS_REGION", default_value = "us-east-1")]
    region: String,
}

struct Gateway {
    url: String,
    host: String,
    region: String,
    access_key: AccessKeyId,
    secret: Secret,
    /// Of temporary credentials.
    token: Option<String>,
    /// Connections that nobody uses now.
    lines: Mutex<VecDeque<Line>>,
}

pub fn run(command: &Mcp) -> Result<(), Failure> {
    let gateway = Gateway::of(command)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| Failure::Failed(format!("the runtime can't be started: {e}")))?.block_on(speak(Arc::new(gateway)))
}

async fn speak(gateway: Arc<Gateway>) -> Result<(), Failure> {
    let (sender, mut lines) = mpsc::channel::<String>(AT_ONCE);
    // A thread of its own: reading it can't be given up, and ends with the process.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if !line.trim().is_empty() && sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    let (room, mut running) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    while let Some(line) = lines.recv().await {
        let gateway = Arc::clone(&gateway);
        let place = Arc::clone(&room).acquire_owned().await.map_err(|e| Failure::Failed(e.to_string()))?;
        while running.try_join_next().is_some() {}
        running.spawn(async move {
            let _place = place;
            if let Some(answer) = gateway.answer(line).await {
                say(&answer);
            }
        });
    }
    while running.join_next().await.is_some() {}
    Ok(())
}

/// One line, whole.
fn say(answer: &Value) {
    let mut out = std::io::stdout().lock();
    // Who does not read any more is gone.
    let _ = writeln!(out, "{answer}").and_then(|()| out.flush());
}

impl Gateway {
    fn of(command: &Mcp) -> Result<Self, Failure> {
        let unfit = |why: String| Failure::Usage(vec![format!("the endpoint {}: {why}", command.endpoint)]);
        let url = format!("{}{PATH}", command.endpoint.trim_end_matches('/'));
        outbound::check(&url, true).map_err(unfit)?;
        let uri: Uri = url.parse().map_err(|_| unfit("it is no URL".into()))?;
        let host = uri.authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default();
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let missing = || Failure::Usage(vec!["set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a key of the gateway".into()]);
        let (access_key, secret) =
            (variable("AWS_ACCESS_KEY_ID").ok_or_else(missing)?, variable("AWS_SECRET_ACCESS_KEY").ok_or_else(missing)?);
        Ok(Gateway {
            url,
            host,
            region: command.region.clone(),
            access_key: AccessKeyId::parse(&access_key)?,
            secret: Secret::new(&secret),
            token: variable("AWS_SESSION_TOKEN"),
            lines: Mutex::default(),
        })
    }

    /// None: there is nothing to say to it.
    async fn answer(&self, line: String) -> Option<Value> {
        let id = serde_json::from_str::<Value>(&line).ok().and_then(|message| message.get("id").cloned());
        match self.ask(line).await {
            Ok((StatusCode::ACCEPTED, _)) => None,
            Ok((status, body)) => match serde_json::from_slice::<Value>(&body) {
                Ok(answer) if answer["jsonrpc"] == "2.0" || answer.is_array() => Some(answer),
                Ok(refused) => {
                    Some(fault(id?, &format!("the gateway answered {status}: {}", refused["message"].as_str().unwrap_or_default())))
                }
                Err(_) => Some(fault(id?, &format!("the gateway answered {status}, and no JSON"))),
            },
            Err(why) => Some(fault(id?, &format!("no answer from the gateway: {why}"))),
        }
    }

    async fn ask(&self, line: String) -> Result<(StatusCode, Bytes), String> {
        let body = Bytes::from(line);
        let headers = self.headers(&body)?;
        let kept = self.lines.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let mut line = kept.map_or_else(|| Line::to(&self.url, true), Ok)?;
        let answer = line.ask(&headers, &body, PATIENCE, MAX_ANSWER_BYTES).await?;
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push_back(line);
        Ok(answer)
    }

    fn headers(&self, body: &[u8]) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        if let Some(token) = &self.token {
            let bearer = format!("Bearer {}.{}.{token}", self.access_key, self.secret.expose());
            headers.insert(AUTHORIZATION, HeaderValue::from_str(&bearer).map_err(|e| e.to_string())?);
            return Ok(headers);
        }
        let credentials = Credentials { access_key: &self.access_key, secret: &self.secret, region: &self.region };
        let hash = hex::encode(Sha256::digest(body));
        let signed = sign_headers(&credentials, &Method::POST, &self.host, PATH, None, &hash, Timestamp::now());
        headers.extend(signed.map_err(|e| e.message().to_owned())?);
        Ok(headers)
    }
}

fn fault(id: Value, why: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32603, "message": why } })
}
