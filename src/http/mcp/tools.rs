//! The tools: what a model may ask for, each over what the tenants' API does. `tools.json` beside this file describes them to it.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::auth::Action;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::listed::listed;
use crate::base::names::{BucketName, ObjectKey};
use crate::http::api::artifacts::{self, Create};
use crate::http::api::{assets, generate, jobs, presign};
use crate::http::exchange::Exchange;
use crate::http::mcp::fault::Fault;
use crate::http::mcp::resources::{self, MAX_INLINE};
use crate::http::respond::code_and_status;
use crate::queue::JobId;
use crate::telemetry::redact::redact;
use crate::usage::report;
use crate::usage::show;

const DESCRIPTIONS: &str = include_str!("tools.json");

listed! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Tool {
        WriteArtifact,
        ReadArtifact,
        ListArtifacts,
        PresignUpload,
        Presign,
        Optimize,
        Generate,
        JobStatus,
        Usage,
    }
}

impl Tool {
    const fn name(self) -> &'static str {
        match self {
            Tool::WriteArtifact => "write_artifact",
            Tool::ReadArtifact => "read_artifact",
            Tool::ListArtifacts => "list_artifacts",
            Tool::PresignUpload => "presign_upload",
            Tool::Presign => "presign",
            Tool::Optimize => "optimize",
            Tool::Generate => "generate",
            Tool::JobStatus => "job_status",
            Tool::Usage => "usage",
        }
    }
}

/// What a tool says: to the model, and to programs.
struct Said {
    content: Vec<Value>,
    document: Value,
}

impl From<Value> for Said {
    fn from(document: Value) -> Self {
        Said { content: vec![text(&document.to_string())], document }
    }
}

fn text(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

pub fn list() -> Result<Value, Fault> {
    let tools: Value = serde_json::from_str(DESCRIPTIONS).map_err(|e| Fault::from(Error::internal(e)))?;
    Ok(json!({ "tools": tools }))
}

pub async fn call(exchange: &mut Exchange<'_>, mut parameters: Value) -> Result<Value, Fault> {
    let name = parameters["name"].as_str().unwrap_or_default().to_owned();
    let tool = Tool::ALL.into_iter().find(|tool| tool.name() == name);
    let tool = tool.ok_or_else(|| Fault::parameters(format!("There is no tool {name:?}.")))?;
    let arguments = match parameters["arguments"].take() {
        Value::Object(arguments) => arguments,
        Value::Null => Map::new(),
        _ => return Err(Fault::parameters("arguments is an object.")),
    };
    match used(exchange, tool, arguments).await {
        Ok(Said { content, document }) => Ok(json!({ "content": content, "structuredContent": document, "isError": false })),
        Err(e) => {
            tracing::debug!(request_id = %exchange.id, tool = tool.name(), error = %e, "a tool was refused");
            let (code, _) = code_and_status(e.kind());
            exchange.record.failed(code);
            Ok(json!({ "content": [text(&format!("{code}: {}", redact(e.message())))], "isError": true }))
        }
    }
}

async fn used(exchange: &mut Exchange<'_>, tool: Tool, arguments: Map<String, Value>) -> Result<Said> {
    match tool {
        Tool::WriteArtifact => {
            let create: Create = read(arguments)?;
            if create.upload.is_some() {
                return Err(Error::new(ErrorKind::InvalidArgument, "presign_upload gives URLs to upload to."));
            }
            Ok(artifacts::create::one(exchange, create).await?.into())
        }
        Tool::ReadArtifact => read_artifact(exchange, read(arguments)?).await,
        Tool::ListArtifacts => Ok(artifacts::list::page(exchange, &read(arguments)?).await?.into()),
        Tool::PresignUpload => Ok(artifacts::create::one(exchange, read(upload(arguments))?).await?.into()),
        Tool::Presign => {
            let Presigned { bucket, key, expires } = read(arguments)?;
            let link = presign::fitting(exchange, &presign::Request::to_read(&bucket, &key, expires)).await?;
            Ok(serde_json::to_value(link).map_err(Error::internal)?.into())
        }
        Tool::Optimize => optimize(exchange, arguments).await,
        Tool::Generate => Ok(generate::ask(exchange, arguments).await?.into()),
        Tool::JobStatus => job_status(exchange, read(arguments)?).await,
        Tool::Usage => usage(exchange, read(arguments)?).await,
    }
}

fn read<T: DeserializeOwned>(arguments: Map<String, Value>) -> Result<T> {
    serde_json::from_value(Value::Object(arguments))
        .map_err(|e| Error::new(ErrorKind::InvalidArgument, format!("The arguments are not what this tool takes: {e}")))
}

/// What is said of the upload stands beside the rest, for models.
fn upload(mut arguments: Map<String, Value>) -> Map<String, Value> {
    let said: Map<String, Value> = ["sha256", "expires"].into_iter().filter_map(|name| arguments.remove_entry(name)).collect();
    arguments.insert("upload".to_owned(), Value::Object(said));
    arguments
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Presigned {
    bucket: BucketName,
    key: ObjectKey,
    expires: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reading {
    bucket: BucketName,
    key: ObjectKey,
    #[serde(default)]
    offset: u64,
    length: Option<u64>,
}

/// Text in place, as much of it as a model takes at once; a link where it is more, or no text.
async fn read_artifact(exchange: &Exchange<'_>, asked: Reading) -> Result<Said> {
    let Reading { bucket, key, offset, length } = asked;
    let (grant, object) = exchange.readable(Action::GetObject, &bucket, &key).await?;
    let mut document = json!({
        "bucket": bucket.as_str(), "key": key.as_str(), "size": object.size, "content_type": object.headers.content_type,
        "etag": object.etag.quoted(), "offset": offset,
    });
    if !resources::is_text(&object.headers.content_type) {
        let link = resources::link(exchange, &bucket, &key, &object).await?;
        return Ok(Said { content: vec![text(&document.to_string()), link], document });
    }
    let length = length.unwrap_or(MAX_INLINE).min(MAX_INLINE);
    let bytes = resources::piece(exchange, &grant, &object, offset, length).await?;
    let is_last = offset.saturating_add(bytes.len() as u64) >= object.size;
    let (shown, taken) = whole_characters(&bytes, is_last);
    let next = offset.saturating_add(taken as u64);
    document["next_offset"] = json!((next < object.size).then_some(next));
    let mut content = vec![text(&shown)];
    if next < object.size || offset > 0 {
        content.push(resources::link(exchange, &bucket, &key, &object).await?);
    }
    Ok(Said { content, document })
}

/// A character that was cut at the end is left to the next piece. With how many bytes that took.
fn whole_characters(bytes: &[u8], is_last: bool) -> (String, usize) {
    let taken = match std::str::from_utf8(bytes) {
        Err(e) if !is_last && e.error_len().is_none() && e.valid_up_to() > 0 => e.valid_up_to(),
        _ => bytes.len(),
    };
    (String::from_utf8_lossy(bytes.get(..taken).unwrap_or_default()).into_owned(), taken)
}

async fn optimize(exchange: &Exchange<'_>, mut arguments: Map<String, Value>) -> Result<Said> {
    let named: Map<String, Value> = ["bucket", "key"].into_iter().filter_map(|name| arguments.remove_entry(name)).collect();
    let Presigned { bucket, key, .. } = read(named)?;
    let job = assets::ask(exchange, &bucket, &key, read(arguments)?).await?;
    Ok(json!({ "job": job.to_string() }).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Watched {
    job: String,
    /// Seconds, or a text such as 30s.
    wait: Option<String>,
}

async fn job_status(exchange: &Exchange<'_>, asked: Watched) -> Result<Said> {
    let grant = &exchange.authorize_service(Action::GetJob)?;
    let (ops, id) = (&exchange.gateway.ops, JobId::parse(&asked.job)?);
    let view = match asked.wait.as_deref().map(jobs::seconds).transpose()? {
        Some(patience) => ops.wait_for_job(grant, id, patience).await?,
        None => ops.job(grant, id).await?,
    };
    Ok(jobs::shown(&view).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UsageAsked {
    month: Option<String>,
    day: Option<String>,
    by: Option<String>,
}

async fn usage(exchange: &Exchange<'_>, asked: UsageAsked) -> Result<Said> {
    let grant = &exchange.authorize_service(Action::GetUsage)?;
    let UsageAsked { month, day, by } = asked;
    let asked = report::Asked { month, day, by, ..report::Asked::default() };
    let report = exchange.gateway.ops.usage(grant, asked.query(exchange.gateway.ops.usage_clock())?).await?;
    Ok(show::json(&report).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tool_is_described() {
        let described: Vec<Value> = serde_json::from_str(DESCRIPTIONS).unwrap();
        let names: Vec<&str> = described.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
        assert_eq!(names, Tool::ALL.map(Tool::name));
        for tool in &described {
            let schema = &tool["inputSchema"];
            assert_eq!((&schema["type"], &schema["additionalProperties"]), (&json!("object"), &json!(false)), "{tool}");
            for required in schema["required"].as_array().into_iter().flatten() {
                assert!(schema["properties"].get(required.as_str().unwrap()).is_some(), "{tool}");
            }
        }
    }

    #[test]
    fn characters_are_not_cut() {
        let text = "aé".as_bytes();
        assert_eq!(whole_characters(&text[..2], false), ("a".to_owned(), 1));
        assert_eq!(whole_characters(text, false), ("aé".to_owned(), 3));
        assert_eq!(whole_characters(&text[..2], true), ("a\u{fffd}".to_owned(), 2));
        assert_eq!(whole_characters(&[0xff, b'a'], false), ("\u{fffd}a".to_owned(), 2));
    }
}
