//! JSON-RPC 2.0 as MCP has it: one message to its answer.

use serde_json::{Value, json};

use crate::http::exchange::Exchange;
use crate::http::mcp::fault::Fault;
use crate::http::mcp::{resources, tools};

/// The newest first. Of the one after them, which has no handshake, a client learns from our answer to its first message.
pub const VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
const INSTRUCTIONS: &str = "Artifacts are files that runs of a tenant generate: a key is TENANT/RUN/TYPE/FILENAME in a bucket, with the types image, video, \
audio, bundle, model_3d, texture, environment_map and shader; documents of sessions, projects and templates lie under sessions/ID/, projects/ID/ and \
templates/ID/. Small text goes through write_artifact and read_artifact; for everything else ask presign_upload for a URL and send the bytes to that by \
HTTP PUT, and read by the URLs that answers hold.";

/// None: it was a notification, or an answer to what nobody asked.
pub async fn answer(exchange: &mut Exchange<'_>, mut message: Value) -> Option<Value> {
    if message["jsonrpc"] != "2.0" || !message.is_object() {
        return Some(Fault::request("A message of JSON-RPC 2.0 is needed.").told(Value::Null));
    }
    let id = message.get("id").cloned().filter(|id| id.is_string() || id.is_number());
    let method = message["method"].as_str()?.to_owned();
    let id = id?;
    let parameters = message["params"].take();
    Some(match call(exchange, &method, parameters).await {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(fault) => fault.told(id),
    })
}

async fn call(exchange: &mut Exchange<'_>, method: &str, parameters: Value) -> Result<Value, Fault> {
    match method {
        "initialize" => Ok(initialized(&parameters)),
        "ping" => Ok(json!({})),
        "tools/list" => tools::list(),
        "tools/call" => tools::call(exchange, parameters).await,
        // What there is, is too much to be listed without a question: list_artifacts asks it.
        "resources/list" => Ok(json!({ "resources": [] })),
        "resources/templates/list" => Ok(resources::templates()),
        "resources/read" => resources::read(exchange, &parameters).await,
        _ => Err(Fault::method(method)),
    }
}

fn initialized(parameters: &Value) -> Value {
    let asked = parameters["protocolVersion"].as_str().unwrap_or_default();
    let version = VERSIONS.into_iter().find(|known| *known == asked).unwrap_or(VERSIONS[0]);
    json!({
        "protocolVersion": version,
        "capabilities": { "tools": {}, "resources": {} },
        "serverInfo": { "name": "tidegate", "title": "Tidegate", "version": env!("CARGO_PKG_VERSION") },
        "instructions": INSTRUCTIONS,
    })
}
