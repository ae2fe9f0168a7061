//! MCP: over HTTP, signed and with a bearer, and over stdio by `tidegate mcp`. Independent clients speak with it in `tests/clients/agents_suite.py`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tidegate::media::samples;

use super::{World, acme, bravo, json, world};
use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::signer::Key;

fn message(method: &str, parameters: Value) -> String {
    json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": parameters}).to_string()
}

fn rpc(body: String) -> Request {
    Request::new("POST", "/-/mcp").header("content-type", "application/json").body(body)
}

impl World {
    #[track_caller]
    fn mcp(&self, key: &Key, method: &str, parameters: Value) -> Value {
        let answer = self.ask(key, rpc(message(method, parameters)), 200);
        assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(7)), "{answer}");
        answer
    }

    /// What the tool says to programs.
    #[track_caller]
    fn tool(&self, key: &Key, name: &str, arguments: Value) -> Value {
        let answer = self.mcp(key, "tools/call", json!({"name": name, "arguments": arguments}));
        assert_eq!(answer["result"]["isError"], false, "{answer}");
        answer["result"].clone()
    }

    #[track_caller]
    fn refused(&self, key: &Key, name: &str, arguments: Value) -> String {
        let answer = self.mcp(key, "tools/call", json!({"name": name, "arguments": arguments}));
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        answer["result"]["content"][0]["text"].as_str().unwrap().to_owned()
    }

    fn by_bearer(&self, bearer: &str, body: String) -> Answer {
        Client::new(self.running.s3).send(&rpc(body).header("authorization", &format!("Bearer {bearer}")), Sign::No)
    }

    /// Temporary credentials of the key, as a bearer.
    fn bearer(&self, key: &Key) -> String {
        let mut request = Request::new("POST", "/").header("content-type", "application/x-www-form-urlencoded");
        request.service = "sts";
        let answer = self.send(key, request.body("Action=GetSessionToken&Version=2011-06-15")).expect(200);
        let given = answer.xml("GetSessionTokenResponse");
        let given = given.child("GetSessionTokenResult").unwrap().child("Credentials").unwrap();
        ["AccessKeyId", "SecretAccessKey", "SessionToken"].map(|name| given.text_of(name).unwrap()).join(".")
    }
}

fn what_agents_do(world: &World) {
    let me = &acme();
    let greeted = world.mcp(me, "initialize", json!({"protocolVersion": "2025-06-18", "capabilities": {}}));
    assert_eq!(
        (&greeted["result"]["protocolVersion"], &greeted["result"]["serverInfo"]["name"]),
        (&json!("2025-06-18"), &json!("tidegate"))
    );
    assert_eq!(world.mcp(me, "initialize", json!({"protocolVersion": "2099-01-01"}))["result"]["protocolVersion"], "2025-11-25");
    assert_eq!(world.mcp(me, "ping", json!({}))["result"], json!({}));
    let tools = world.mcp(me, "tools/list", json!({}));
    let names: Vec<&str> = tools["result"]["tools"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!(names[..2], ["write_artifact", "read_artifact"]);

    let text = format!("{}é", "line\n".repeat(20_000));
    let written = json!({"bucket": "media", "run": "r1", "type": "bundle", "filename": "log.txt", "text": text});
    let written = world.tool(me, "write_artifact", written);
    let key = written["structuredContent"]["key"].as_str().unwrap().to_owned();
    // In pieces that end between characters, with a link to all of it.
    let (mut read, mut offset) = (String::new(), json!(0));
    while !offset.is_null() {
        let piece = world.tool(me, "read_artifact", json!({"bucket": "media", "key": key, "offset": offset}));
        assert!(piece["content"][0]["text"].as_str().unwrap().len() <= 64 * 1024);
        assert_eq!(piece["content"][1]["type"], "resource_link");
        read.push_str(piece["content"][0]["text"].as_str().unwrap());
        offset = piece["structuredContent"]["next_offset"].clone();
        assert_eq!(world.open(piece["content"][1]["uri"].as_str().unwrap()).text(), text);
    }
    assert_eq!(read, text);
    let middle = world.tool(me, "read_artifact", json!({"bucket": "media", "key": key, "offset": 5, "length": 4}));
    assert_eq!(middle["content"][0]["text"], "line");

    // By a URL; what is no text is read by a link.
    let png = samples::png(4, 4, &[("IDAT", &[1; 20])]);
    let upload = json!({"bucket": "media", "session": "s1", "filename": "a.png"});
    let upload = world.tool(me, "presign_upload", upload)["structuredContent"].clone();
    super::artifacts::send_to(world, &upload, &png).expect(200);
    let image = world.tool(me, "read_artifact", json!({"bucket": "media", "key": "sessions/s1/a.png"}));
    assert_eq!((&image["content"][1]["type"], &image["content"][1]["mimeType"]), (&json!("resource_link"), &json!("image/png")));
    assert_eq!(world.open(image["content"][1]["uri"].as_str().unwrap()).body, png);
    let listed = world.tool(me, "list_artifacts", json!({"bucket": "media", "session": "s1", "uris": true}));
    assert_eq!(listed["structuredContent"]["artifacts"][0]["filename"], "a.png", "{listed}");
    let link = world.tool(me, "presign", json!({"bucket": "media", "key": key, "expires": 60}));
    assert_eq!(world.open(link["structuredContent"]["url"].as_str().unwrap()).status, 200);

    let model = json!({"bucket": "media", "run": "r1", "type": "model_3d", "upload": {}, "filename": "x"});
    assert!(world.refused(me, "write_artifact", model).contains("presign_upload"));
    let model = Request::new("PUT", "/-/v1/artifacts/media/acme/r1/model_3d/t.glb").body(samples::triangle());
    let model = world.ask(me, model, 201)["key"].clone();
    let job = world.tool(me, "optimize", json!({"bucket": "media", "key": model, "steps": ["poster"], "poster": {"size": 64}}));
    let job = world.tool(me, "job_status", json!({"job": job["structuredContent"]["job"], "wait": "50s"}));
    assert_eq!((&job["structuredContent"]["kind"], &job["structuredContent"]["tenant"]), (&json!("optimize"), &json!("acme")), "{job}");
    assert!(world.tool(me, "usage", json!({"by": "bucket"}))["structuredContent"].is_object());

    let templates = world.mcp(me, "resources/templates/list", json!({}));
    assert_eq!(templates["result"]["resourceTemplates"][0]["uriTemplate"], "tidegate://{bucket}/{+key}");
    let resource = world.mcp(me, "resources/read", json!({"uri": "tidegate://media/sessions/s1/a.png"}));
    assert_eq!(resource["result"]["contents"][0]["mimeType"], "image/png");
    assert_eq!(world.mcp(me, "resources/read", json!({"uri": format!("tidegate://media/{key}")}))["error"]["code"], -32602, "too large");

    // Policy decides as everywhere.
    assert!(world.refused(&bravo(), "read_artifact", json!({"bucket": "media", "key": key})).starts_with("AccessDenied"));
    assert!(world.refused(&bravo(), "list_artifacts", json!({"bucket": "media", "tenant": "acme"})).starts_with("AccessDenied"));
    assert!(
        world.refused(&bravo(), "presign_upload", json!({"bucket": "media", "session": "s", "filename": "x"})).starts_with("AccessDenied")
    );
    let id = job["structuredContent"]["id"].clone();
    assert!(world.refused(&bravo(), "job_status", json!({"job": id})).starts_with("NotFound"));
    assert!(world.refused(me, "read_artifact", json!({"bucket": "media"})).starts_with("InvalidArgument"));
}

#[test]
fn agents_over_http_and_stdio() {
    let world = world("", None);
    what_agents_do(&world);
    messages_that_are_wrong(&world);
    bearers(&world);
    over_stdio(&world);
    assert!(world.running.stop().success());
}

fn messages_that_are_wrong(world: &World) {
    let me = &acme();
    assert_eq!(world.mcp(me, "tools/call", json!({"name": "rm"}))["error"]["code"], -32602);
    assert_eq!(world.mcp(me, "server/discover", json!({}))["error"]["code"], -32601);
    assert_eq!(world.ask(me, rpc("{".into()), 400)["error"]["code"], -32700);
    assert_eq!(world.ask(me, rpc("[]".into()), 400)["error"]["code"], -32600);
    assert_eq!(world.ask(me, rpc("{}".into()), 200)["error"]["code"], -32600);
    let notification = rpc(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string());
    assert_eq!(world.send(me, notification).status, 202);
    let batch = format!("[{},{}]", message("ping", json!({})), json!({"jsonrpc": "2.0", "method": "notifications/x"}));
    assert_eq!(world.ask(me, rpc(batch), 200).as_array().map(Vec::len), Some(1));
    for method in ["GET", "DELETE", "OPTIONS"] {
        assert_eq!(world.send(me, Request::new(method, "/-/mcp")).status, 405, "{method}");
    }
    let version = |version: &str| world.send(me, rpc(message("ping", json!({}))).header("mcp-protocol-version", version)).status;
    assert_eq!((version("2025-11-25"), version("1999-01-01")), (200, 400));
    // A name that a page's owner made lead here is no name of ours.
    for (origin, status) in [("http://evil.example", 403), ("null", 403), ("http://localhost:5173", 200), ("http://127.0.0.1:1", 200)] {
        assert_eq!(world.send(me, rpc(message("ping", json!({}))).header("origin", origin)).status, status, "{origin}");
    }
    let anonymous = Client::new(world.running.s3).send(&rpc(message("ping", json!({}))), Sign::No);
    assert_eq!((anonymous.status, &json(&anonymous)["code"]), (403, &json!("MissingAuthenticationToken")));
    let by_link = Client::new(world.running.s3).send(&rpc(message("ping", json!({}))), Sign::Presigned(me));
    assert_eq!(by_link.status, 403);
    assert_eq!(world.send(me, rpc("x".repeat(5 << 20))).status, 400);
}

fn bearers(world: &World) {
    let bearer = world.bearer(&acme());
    let ping = message("ping", json!({}));
    assert_eq!(world.by_bearer(&bearer, ping.clone()).status, 200);
    let write = json!({"name": "write_artifact", "arguments": {"bucket": "media", "run": "r2", "type": "image", "filename": "b.txt", "text": "by a bearer"}});
    let written = json(&world.by_bearer(&bearer, message("tools/call", write)).expect(200));
    let uri = written["result"]["structuredContent"]["uri"].as_str().unwrap();
    assert!(uri.contains("X-Amz-Security-Token="), "{written}");
    assert_eq!(world.open(uri).text(), "by a bearer");
    let upload = json!({"name": "presign_upload", "arguments": {"bucket": "media", "session": "s2", "filename": "b.txt"}});
    let upload = json(&world.by_bearer(&bearer, message("tools/call", upload)).expect(200));
    super::artifacts::send_to(world, &upload["result"]["structuredContent"], b"sent").expect(200);
    // The token stands in links, and is no key by itself; and it is none for anything else.
    let (key, rest) = bearer.split_once('.').unwrap();
    let (_, token) = rest.split_once('.').unwrap();
    for wrong in [format!("{key}.wrong.{token}"), token.to_owned(), format!("{key}..{token}"), String::new(), "a.b.c".to_owned()] {
        assert_eq!(world.by_bearer(&wrong, ping.clone()).status, 400, "{wrong}");
    }
    let elsewhere = Request::new("GET", "/media").header("authorization", &format!("Bearer {bearer}"));
    assert_eq!(Client::new(world.running.s3).send(&elsewhere, Sign::No).status, 400);
    assert!(!world.running.log().contains(token));
}

fn over_stdio(world: &World) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("mcp").env("AWS_ENDPOINT_URL_S3", format!("http://{}", world.running.s3)).env_remove("AWS_SESSION_TOKEN");
    command.env("AWS_ACCESS_KEY_ID", acme().access).env("AWS_SECRET_ACCESS_KEY", acme().secret);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let list = json!({"name": "list_artifacts", "arguments": {"bucket": "media", "session": "s1"}});
    for line in [message("initialize", json!({"protocolVersion": "2025-11-25"})), message("tools/call", list), "{".to_owned()] {
        writeln!(input, "{line}").unwrap();
    }
    writeln!(input, "{}", json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).unwrap();
    drop(input);
    let answers: Vec<Value> =
        BufReader::new(child.stdout.take().unwrap()).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    assert!(child.wait().unwrap().success());
    assert_eq!(answers.len(), 3, "{answers:?}");
    assert!(answers.iter().any(|a| a["result"]["protocolVersion"] == "2025-11-25"));
    assert!(answers.iter().any(|a| a["result"]["structuredContent"]["artifacts"][0]["filename"] == "a.png"), "{answers:?}");
    assert!(answers.iter().any(|a| a["error"]["code"] == -32700), "{answers:?}");
    let mut keyless = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    keyless.arg("mcp").env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    assert_eq!(keyless.stdin(Stdio::null()).output().unwrap().status.code(), Some(64));
}
