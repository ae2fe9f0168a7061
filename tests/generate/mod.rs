//! Generating by providers, with the files that are shipped and a stand-in for all of them: every kind end to end, fallback, limits, money
//! that is spent once, and kills in the middle.

mod maker;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::maker::{Maker, Mood};
use crate::fetch::{ended, place};
use crate::jobs::{acme, api, bravo, denied, json, operator};
use crate::support::binary::{Place, Running};
use crate::support::client::{Client, Request, Sign};

const KEYS: [&str; 9] = [
    "MESHY_API_KEY",
    "SUNO_API_KEY",
    "GEMINI_API_KEY",
    "ELEVENLABS_API_KEY",
    "BLOCKADE_API_KEY",
    "RUNWAYML_API_SECRET",
    "KLING_ACCESS_KEY",
    "KLING_SECRET_KEY",
    "FAL_KEY",
];

/// A gateway with the shipped files, whose addresses are those of the stand-in.
fn world(maker: &Maker, more: &str) -> Place {
    let place = place(&format!("[generate]\nproviders = \"providers\"\n{more}"));
    std::fs::create_dir_all(place.path("providers")).unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("providers");
    for file in std::fs::read_dir(shipped).unwrap() {
        let file = file.unwrap();
        let mut text = std::fs::read_to_string(file.path()).unwrap();
        text.truncate(text.find("[[example]]").unwrap());
        let mut lead = String::new();
        for (n, part) in text.split("url = \"https://").enumerate() {
            match n {
                0 => lead.push_str(part),
                _ => lead.push_str(&format!("url = \"http://{}{}", maker.stand_in.address, &part[part.find('/').unwrap()..])),
            }
        }
        let text = lead.replace("poll = { ", "poll = { every = 0.05, ");
        place.write(&format!("providers/{}", file.file_name().to_str().unwrap()), &text);
    }
    place
}

fn serve(place: &Place) -> Running {
    let mut command = place.command(&["serve"]);
    command.envs(KEYS.map(|key| (key, "k3y")));
    place.serve_by(command)
}

fn begin(running: &Running, request: &Value) -> String {
    let mut request = request.clone();
    for (name, value) in [("bucket", "media"), ("run", "run-1"), ("prompt", "a fox")] {
        request[name] = request.get(name).cloned().unwrap_or(value.into());
    }
    let answer = api(running, &acme(), "POST", "/-/v1/generate", &[], &request.to_string());
    json(&answer.expect(202))["job"].as_str().unwrap().to_owned()
}

fn done(running: &Running, job: &str) -> Value {
    let job = ended(running, job);
    assert_eq!(job["state"], "done", "{job:#}\n{}", running.log());
    job["result"].clone()
}

fn dead(running: &Running, job: &str, reason: &str) {
    let job = ended(running, job);
    assert!(job["state"] == "dead" && job["reason"].as_str().unwrap().contains(reason), "{reason}: {job:#}");
}

/// The same asked for by a model's tool.
fn by_model(running: &Running, arguments: &Value) -> Value {
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "generate", "arguments": arguments } });
    let request = Request::new("POST", "/-/mcp").header("content-type", "application/json").body(call.to_string());
    json(&Client::new(running.s3).send(&request, Sign::Header(&acme())).expect(200))["result"].clone()
}

fn spent(running: &Running) -> Value {
    json(&api(running, &acme(), "GET", "/-/v1/generate/spent", &[], "").expect(200))
}

/// Of one provider, over all its lines.
fn sum(spent: &Value, provider: &str, what: &str) -> u64 {
    let lines = spent["lines"].as_array().unwrap().iter().filter(|line| line["provider"] == provider);
    lines.map(|line| line[what].as_u64().unwrap()).sum()
}

#[test]
fn every_provider_makes_what_it_can_and_the_ledger_is_the_providers_own_books() {
    let maker = Maker::start();
    let place = world(&maker, "");
    let running = serve(&place);
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme(), "media");
    client.put(&acme(), "media", "fox.png", maker::PNG).expect(200);
    maker.moods("runway", &[Mood::Throttles]);
    maker.moods("suno-like", &[Mood::Throttles]);
    let jobs: Vec<(&str, &str, usize, String)> = [
        ("veo", "video", 1, json!({ "kind": "video", "provider": "veo", "duration": 6, "ratio": "9:16" })),
        ("kling", "video", 1, json!({ "kind": "video", "provider": "kling", "ratio": "1:1" })),
        ("runway", "video", 1, json!({ "kind": "video", "provider": "runway", "image_key": "fox.png" })),
        ("suno-like", "audio", 2, json!({ "kind": "bgm", "provider": "suno-like" })),
        ("elevenlabs", "audio", 1, json!({ "kind": "bgm", "provider": "elevenlabs", "duration": 30 })),
        ("elevenlabs", "audio", 1, json!({ "kind": "sfx", "duration": 1.5 })),
        ("meshy", "model_3d", 1, json!({ "kind": "model_3d" })),
        ("meshy", "model_3d", 1, json!({ "kind": "model_3d", "image_url": "https://files.example.com/fox.png" })),
        ("gemini-image", "image", 1, json!({ "kind": "image", "provider": "gemini-image" })),
        ("gemini-image", "texture", 1, json!({ "kind": "texture" })),
        ("fal", "image", 1, json!({ "kind": "image", "provider": "fal", "ratio": "16:9" })),
        ("blockade", "environment_map", 1, json!({ "kind": "environment_map" })),
    ]
    .into_iter()
    .map(|(provider, artifact, outputs, request)| (provider, artifact, outputs, begin(&running, &request)))
    .collect();
    for (provider, artifact, outputs, job) in &jobs {
        let result = done(&running, job);
        assert_eq!((&result["provider"], result["artifacts"].as_array().unwrap().len()), (&(*provider).into(), *outputs), "{result:#}");
        for made in result["artifacts"].as_array().unwrap() {
            let (key, hash) = (made["key"].as_str().unwrap(), made["sha256"].as_str().unwrap());
            assert!(key.starts_with(&format!("acme/run-1/{artifact}/{}.", &hash[..32])), "{key}");
            let object = client.get(&acme(), "media", key).expect(200);
            assert_eq!(object.header("content-type"), made["content_type"].as_str());
        }
    }
    let spent = spent(&running);
    for provider in ["veo", "kling", "runway", "suno-like", "elevenlabs", "meshy", "gemini-image", "fal", "blockade"] {
        let good = sum(&spent, provider, "requests") - sum(&spent, provider, "failed");
        assert_eq!(good, u64::from(maker.taken(provider)), "{provider}: {spent:#}");
    }
    // Three requests of seven credits each.
    assert_eq!(sum(&spent, "meshy", "billed"), 3 * 7 * 20_000, "{spent:#}");
    assert_eq!(sum(&spent, "veo", "cost"), 6 * 400_000);
    assert!(!running.log().contains("k3y"), "{}", running.log());
    denied(
        &api(&running, &bravo(), "POST", "/-/v1/generate", &[], r#"{"kind": "sfx", "prompt": "x", "bucket": "media", "run": "r"}"#),
        403,
        "AccessDenied",
    );
    assert!(
        json(&api(&running, &operator(), "GET", "/-/v1/generate/spent", &[("tenant", "bravo")], "").expect(200))["lines"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert!(running.stop().success());
}

#[test]
fn the_next_provider_is_asked_after_a_failure_and_not_after_moderation() {
    let maker = Maker::start();
    let place = world(&maker, "video = [\"kling\", \"veo\"]\nbgm = [\"suno-like\", \"elevenlabs\"]\nimage = [\"own\"]\n");
    // A new provider is a file, and nothing else.
    place.write(
        "providers/own.toml",
        &format!(
            "name = \"own\"\nauth = {{ kind = \"header\", name = \"authorization\", value = \"Bearer {{key}}\" }}\nkeys = {{ key = {{ file = \"own.key\" }} }}\n\
             [[model]]\nname = \"own-1\"\nkind = \"image\"\nsteps = [\"make\"]\ncost = {{ request = 0.5 }}\n\
             [step.make]\nsubmit = {{ url = \"http://{0}/own/make\", body = {{ text = \"{{prompt}}\" }} }}\ncapture = {{ task = \"$.id\" }}\n\
             poll = {{ url = \"http://{0}/own/{{task}}\", every = 0.05, state = \"$.state\", done = [\"ready\"] }}\nresult = [{{ from = \"url\", at = \"$.at\" }}]\n",
            maker.stand_in.address
        ),
    );
    place.write("providers/own.key", "k3y\n");
    let running = serve(&place);
    Client::new(running.s3).make_bucket(&acme(), "media");
    maker.moods("kling", &[Mood::Fails, Mood::Fails, Mood::Refuses, Mood::Page]);
    maker.moods("suno-like", &[Mood::OutOfCredit]);
    let video = |more: Value| {
        let mut request = json!({ "kind": "video", "ratio": "16:9" });
        more.as_object().unwrap().iter().for_each(|(name, value)| request[name] = value.clone());
        begin(&running, &request)
    };
    let failed = video(json!({}));
    assert_eq!(done(&running, &failed)["provider"], "veo");
    assert_eq!(done(&running, &begin(&running, &json!({ "kind": "bgm" })))["provider"], "elevenlabs");
    assert_eq!(done(&running, &begin(&running, &json!({ "kind": "image" })))["provider"], "own");
    let first =
        by_model(&running, &json!({ "kind": "image", "bucket": "media", "run": "run-1", "prompt": "a fox", "idempotency_key": "once" }));
    assert_eq!((&first["isError"], &first["structuredContent"]["new"]), (&json!(false), &json!(true)), "{first}");
    let job = first["structuredContent"]["job"].as_str().unwrap();
    assert_eq!(done(&running, job)["provider"], "own");
    let again =
        by_model(&running, &json!({ "kind": "image", "bucket": "media", "run": "run-1", "prompt": "a fox", "idempotency_key": "once" }));
    assert_eq!((&again["structuredContent"]["new"], again["structuredContent"]["job"].as_str()), (&json!(false), Some(job)));
    assert_eq!(by_model(&running, &json!({ "kind": "smell", "bucket": "media", "run": "run-1", "prompt": "a fox" }))["isError"], true);
    // Kling makes 5 and 10 s, veo 4, 6 and 8: none of both, so what fails has no next.
    let alone = video(json!({ "duration": 5 }));
    dead(&running, &alone, "every provider failed: kling: it answered 400");
    let refused = video(json!({ "duration": 5 }));
    dead(&running, &refused, "refused by the moderation of kling: not that");
    // What can't be made is told at once, with what can.
    let answer = api(
        &running,
        &acme(),
        "POST",
        "/-/v1/generate",
        &[],
        r#"{"kind": "video", "prompt": "x", "duration": 7, "bucket": "media", "run": "r"}"#,
    );
    denied(&answer, 400, "InvalidRequest");
    assert!(answer.text().contains("kling-v2-5: durations 5, 10 s") && answer.text().contains("durations 4, 6, 8 s"), "{}", answer.text());
    assert_eq!(maker.taken("kling"), 0);
    // A page in place of a video is looked at again, and then it is paid and of no use.
    assert_eq!(done(&running, &video(json!({})))["provider"], "veo");
    assert_eq!(sum(&spent(&running), "kling", "billed"), 350_000);
}

#[test]
fn no_more_at_once_than_the_limit_and_no_more_than_the_budget() {
    let maker = Maker::start();
    maker.polls(6);
    let place = world(&maker, "video = \"kling\"\nbudget = 2.5\nbudgets = \"bravo=0.1\"\n");
    let running = serve(&place);
    Client::new(running.s3).make_bucket(&acme(), "media");
    // 0.35 dollars each: seven fit.
    let jobs: Vec<String> = (0..9).map(|n| begin(&running, &json!({ "kind": "video", "prompt": format!("fox {n}") }))).collect();
    let states: Vec<Value> = jobs.iter().map(|job| ended(&running, job)).collect();
    assert_eq!(states.iter().filter(|job| job["state"] == "done").count(), 7, "{states:#?}");
    let refused: Vec<&Value> = states.iter().filter(|job| job["state"] == "dead").collect();
    assert!(refused.iter().all(|job| job["reason"].as_str().unwrap().contains("the month's budget has 50000 millionths")), "{refused:#?}");
    assert_eq!((maker.most("kling"), maker.taken("kling")), (2, 7));
    let spent = spent(&running);
    assert_eq!((&spent["total"]["cost"], &spent["budget"]), (&2_450_000.into(), &2_500_000.into()), "{spent:#}");
}

#[test]
fn what_may_have_been_paid_is_never_paid_again_silently() {
    let maker = Maker::start();
    let place = world(&maker, "video = [\"veo\", \"kling\"]\n");
    let running = serve(&place);
    Client::new(running.s3).make_bucket(&acme(), "media");
    // Kling is asked by our own id: what it took is gone on with, and what it did not is sent again.
    maker.moods("kling", &[Mood::LosesAnswer, Mood::LosesRequest]);
    for _ in 0..2 {
        done(&running, &begin(&running, &json!({ "kind": "video", "provider": "kling" })));
    }
    assert_eq!(maker.taken("kling"), 2);
    // Veo can't be asked: somebody is to decide.
    maker.moods("veo", &[Mood::LosesAnswer, Mood::LosesAnswer, Mood::LosesRequest]);
    let request = json!({ "kind": "video", "provider": "veo", "duration": 4 });
    let held: Vec<String> = (0..3).map(|_| begin(&running, &request)).collect();
    held.iter().for_each(|job| dead(&running, job, "submit-unknown"));
    let undecided = json(&api(&running, &acme(), "GET", "/-/v1/generate/undecided", &[], "").expect(200));
    assert_eq!(undecided["undecided"].as_array().unwrap().len(), 3, "{undecided:#}");
    assert!(
        json(&api(&running, &bravo(), "GET", "/-/v1/generate/undecided", &[], "").expect(200))["undecided"].as_array().unwrap().is_empty()
    );
    let path = |job: &str| format!("/-/v1/generate/{job}/resolve");
    denied(&api(&running, &bravo(), "POST", &path(&held[0]), &[], r#"{"decision": "give_up"}"#), 404, "NotFound");
    denied(&api(&running, &acme(), "POST", &path(&held[0]), &[], r#"{"decision": "perhaps"}"#), 400, "InvalidRequest");
    // Begun anew without a decision it is held again.
    api(&running, &acme(), "POST", &format!("/-/v1/jobs/{}/retry", held[0]), &[], "").expect(200);
    dead(&running, &held[0], "submit-unknown");
    let task = format!("models/v/operations/{}", maker.task_of("veo"));
    api(&running, &acme(), "POST", &path(&held[0]), &[], &json!({ "decision": "taken", "task": task }).to_string()).expect(200);
    done(&running, &held[0]);
    api(&running, &acme(), "POST", &path(&held[1]), &[], r#"{"decision": "give_up"}"#).expect(200);
    dead(&running, &held[1], "submit-unknown");
    let taken = maker.taken("veo");
    // The operator does the same by hand.
    let by_hand = |arguments: &[&str]| {
        let done = place.command(arguments).env("TIDEGATE_ADMIN_LISTEN", running.admin.to_string()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let shown = by_hand(&["generation", "held"]);
    assert!(shown.lines().count() == 2 && shown.contains(&held[2]) && shown.contains("veo"), "{shown}");
    let decided = by_hand(&["generation", "decide", &held[2], "again"]);
    assert!(decided.contains("of acme"), "{decided}");
    done(&running, &held[2]);
    assert_eq!(by_hand(&["generation", "held"]), "no request waits for a decision\n");
    let shown = by_hand(&["generation", "spent", "--tenant", "acme"]);
    let all = spent(&running);
    assert_eq!(shown.lines().count(), 3 + all["lines"].as_array().unwrap().len(), "{shown}");
    let cost = all["total"]["cost"].as_u64().unwrap();
    assert!(shown.ends_with(&format!("{}.{:06}\n", cost / 1_000_000, cost % 1_000_000)), "{shown} {all:#}");
    assert!(!place.run(&["generation", "decide", "x/y", "again"]).status.success());
    assert!(!place.run(&["generation", "decide", &held[2], "taken"]).status.success());
    assert_eq!(maker.taken("veo"), taken + 1);
    assert!(running.stop().success());
}

#[test]
fn kills_lose_nothing_and_pay_nothing_twice() {
    let maker = Maker::start();
    maker.polls(4);
    let place = world(&maker, "");
    let mut running = serve(&place);
    Client::new(running.s3).make_bucket(&acme(), "media");
    let kinds = [json!({ "kind": "video", "provider": "kling" }), json!({ "kind": "model_3d" }), json!({ "kind": "environment_map" })];
    let jobs: Vec<String> = (0..6).map(|n| begin(&running, &kinds[n % 3])).collect();
    let total = || ["kling", "meshy", "blockade"].map(|name| maker.taken(name)).iter().sum::<u32>();
    for round in 0..4 {
        let (begun, before) = (Instant::now(), total());
        while total() == before && begun.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(3));
        }
        std::thread::sleep(Duration::from_millis(7 * round));
        running.signal("KILL");
        running.wait();
        running = serve(&place);
    }
    let states: Vec<Value> = jobs.iter().map(|job| ended(&running, job)).collect();
    let of = |state: &str| states.iter().filter(|job| job["state"] == state).count();
    // A request that was sent in the very moment is held, where the provider can't be asked.
    let held = json(&api(&running, &acme(), "GET", "/-/v1/generate/undecided", &[], "").expect(200));
    let held = held["undecided"].as_array().unwrap().len();
    assert_eq!((of("done"), of("dead")), (6 - held, held), "{states:#?}");
    assert!(states[0]["state"] == "done" && states[3]["state"] == "done", "kling is looked up: {states:#?}");
    assert_eq!(maker.taken("kling"), 2);
    // Two requests for each job of the other two, and one less for each that is held at its first.
    assert!(maker.taken("meshy") <= 4 && maker.taken("blockade") <= 4);
    let spent = spent(&running);
    let asked: u64 = ["kling", "meshy", "blockade"].map(|name| sum(&spent, name, "requests") - sum(&spent, name, "failed")).iter().sum();
    assert!(asked >= u64::from(total()) && asked <= u64::from(total()) + held as u64, "{spent:#}");
    assert!(running.stop().success());
}

#[test]
fn the_shipped_files_hold_their_examples() {
    let place = Place::new();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("providers");
    let output = place.run(&["providers", "check", shipped.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.lines().count(), 9, "{said}");
}
