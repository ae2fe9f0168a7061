//! The examples of docs/events.md that verify a signature are run as they stand there, against what the gateway sent.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;

fn example(language: &str) -> String {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/events.md")).unwrap();
    let (_, rest) = page.split_once(&format!("```{language}\n")).expect("an example");
    rest.split_once("```").expect("its end").0.to_owned()
}

/// What the program printed. None: there is no such program here.
fn run(program: &str, text: &str) -> Option<String> {
    let started = Command::new(program).arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = started.ok()?;
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
    Some(String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn they_verify_what_is_sent_and_nothing_else() {
    let receiver = Receiver::start();
    let rule = "[[event_rule]]\nname = \"all\"\nwebhook = \"pipeline\"\nevents = [\"*\"]\n";
    let world = World::new(&(hook("pipeline", &receiver, "") + rule));
    let running = world.serve();
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    client.put(&acme(), "media", "ü", b"x").expect(200);
    until("it is told of", || receiver.taken().len() == 1);
    let told = receiver.taken().remove(0);
    let headers: serde_json::Map<String, serde_json::Value> =
        told.headers.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    let headers = serde_json::Value::Object(headers).to_string();
    let body = serde_json::Value::from(told.body.clone()).to_string();

    let python = format!(
        "{}\nimport json\nheaders, body = json.loads({headers:?}), json.loads({body:?}).encode()\n\
         print(is_ours({HOOK_SECRET:?}, headers, body), is_ours('another-secret', headers, body), is_ours({HOOK_SECRET:?}, headers, body + b' '),\n\
         is_ours({HOOK_SECRET:?}, headers, body, time.time() + 301))\n",
        example("python")
    );
    assert_eq!(run("python3", &python).expect("python3 is there"), "True False False False");
    let js = format!(
        "{}\nconst headers = {headers}, body = Buffer.from({body});\n\
         console.log(isOurs({HOOK_SECRET:?}, headers, body), isOurs('another-secret', headers, body), isOurs({HOOK_SECRET:?}, headers, Buffer.concat([body, Buffer.from(' ')])),\n\
         isOurs({HOOK_SECRET:?}, headers, body, Date.now() / 1000 + 301));\n",
        example("js")
    );
    if let Some(printed) = run("node", &js) {
        assert_eq!(printed, "true false false false");
    }
    assert!(running.stop().success());
}
