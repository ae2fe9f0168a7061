//! A stand-in for all providers at once, by their own paths, each with its oddities, and with books of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::standin::{Ask, Reply, StandIn};

/// A whole file of each type, as far as it is looked at.
pub const GLB: &[u8] = b"glTF\x02\0\0\0\x14\0\0\0\0\0\0\0JSON";
pub const MP4: &[u8] = b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2";
pub const MP3: &[u8] = b"ID3\x04\0\0\0\0\0\0some sound";
pub const PNG: &[u8] = b"\x89PNG\r\n\x1a\nsome picture";
pub const HDR: &[u8] = b"#?RADIANCE\nsome light";

/// What a provider does with the next submits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// It takes the request, and its answer is lost.
    LosesAnswer,
    /// The request is lost before it is taken.
    LosesRequest,
    Throttles,
    OutOfCredit,
    Fails,
    Refuses,
    /// What it makes is a page.
    Page,
}

#[derive(Default)]
struct Books {
    /// By task: of which provider, and how often it was asked.
    tasks: HashMap<String, (&'static str, u32)>,
    /// By the id that we gave.
    by_ours: HashMap<String, String>,
    taken: HashMap<&'static str, u32>,
    running: HashMap<&'static str, usize>,
    most: HashMap<&'static str, usize>,
    moods: HashMap<&'static str, Vec<Mood>>,
    pages: Vec<String>,
    polls: u32,
}

#[derive(Clone)]
pub struct Maker {
    pub stand_in: Arc<StandIn>,
    books: Arc<Mutex<Books>>,
}

impl Maker {
    pub fn start() -> Self {
        let books = Arc::new(Mutex::new(Books { polls: 2, ..Books::default() }));
        let own = books.clone();
        let stand_in = Arc::new(StandIn::start(move |ask| {
            let host = ask.header("host").unwrap_or_default().to_owned();
            answer(&own, ask, &format!("http://{host}"))
        }));
        Maker { stand_in, books }
    }

    /// For the next submits of that provider, one each.
    pub fn moods(&self, provider: &'static str, moods: &[Mood]) {
        self.books.lock().unwrap().moods.insert(provider, moods.iter().rev().copied().collect());
    }

    /// How often it is asked before something is done.
    pub fn polls(&self, polls: u32) {
        self.books.lock().unwrap().polls = polls;
    }

    /// Requests that it took, and is paid for.
    pub fn taken(&self, provider: &str) -> u32 {
        self.books.lock().unwrap().taken.get(provider).copied().unwrap_or(0)
    }

    /// At once.
    pub fn most(&self, provider: &str) -> usize {
        self.books.lock().unwrap().most.get(provider).copied().unwrap_or(0)
    }

    pub fn task_of(&self, provider: &str) -> String {
        let books = self.books.lock().unwrap();
        let found = books.tasks.iter().find(|(_, (of, _))| *of == provider);
        found.unwrap().0.clone()
    }
}

/// Which provider a path is of.
fn provider(ask: &Ask) -> &'static str {
    let path = ask.path.as_str();
    for (part, name) in [
        ("to-3d", "meshy"),
        ("/api/v1/generate", "suno-like"),
        ("predictLongRunning", "veo"),
        ("/operations/", "veo"),
        ("generateContent", "gemini-image"),
        ("sound-generation", "elevenlabs"),
        ("/v1/music", "elevenlabs"),
        ("/api/v1/skybox", "blockade"),
        ("/imagine/", "blockade"),
        ("image_to_video", "runway"),
        ("/v1/tasks/", "runway"),
        ("text2video", "kling"),
        ("/fal-ai/", "fal"),
        ("/own/", "own"),
    ] {
        if path.contains(part) {
            return name;
        }
    }
    "none"
}

fn answer(books: &Mutex<Books>, ask: &Ask, base: &str) -> Reply {
    if let Some(file) = ask.path.strip_prefix("/files/") {
        return given(books, ask, file, base);
    }
    let name = provider(ask);
    let key_is_shown = match name {
        "kling" => ask.header("authorization").is_some_and(|v| v.starts_with("Bearer eyJ") && v.split('.').count() == 3),
        "veo" | "gemini-image" => ask.header("x-goog-api-key") == Some("k3y"),
        "elevenlabs" => ask.header("xi-api-key") == Some("k3y"),
        "blockade" => ask.header("x-api-key") == Some("k3y"),
        "fal" => ask.header("authorization") == Some("Key k3y"),
        _ => ask.header("authorization") == Some("Bearer k3y"),
    };
    if !key_is_shown {
        return Reply::json(401, &json!({ "error": "who are you?" }));
    }
    if ask.method == "GET" { polled(books, ask, name, base) } else { submitted(books, ask, name, base) }
}

/// A result. Veo's is behind the key, and leads elsewhere.
fn given(books: &Mutex<Books>, ask: &Ask, file: &str, base: &str) -> Reply {
    let (task, kind) = file.rsplit_once('.').unwrap();
    if let Some(task) = task.strip_prefix("guarded-") {
        return match ask.header("x-goog-api-key") {
            Some("k3y") => Reply::new(302, "").header("location", &format!("{base}/files/{task}.{kind}?signed")),
            _ => Reply::new(403, "who are you?"),
        };
    }
    if books.lock().unwrap().pages.iter().any(|page| page == task) {
        return Reply::new(200, "<html>Sign in</html>").header("content-type", "video/mp4");
    }
    let kind = kind.split('?').next().unwrap();
    let start = match kind {
        "glb" => GLB,
        "mp4" => MP4,
        "mp3" => MP3,
        "png" => PNG,
        _ => HDR,
    };
    Reply::new(200, [start, task.as_bytes()].concat())
}

fn submitted(books: &Mutex<Books>, ask: &Ask, name: &'static str, base: &str) -> Reply {
    let mood = books.lock().unwrap().moods.get_mut(name).and_then(Vec::pop).unwrap_or(Mood::Well);
    match mood {
        Mood::LosesRequest => return Reply { hangs: true, ..Reply::new(200, "") },
        Mood::Throttles if name == "suno-like" => {
            return Reply::json(200, &json!({ "code": 430, "msg": "too fast" })).header("retry-after", "0");
        }
        Mood::Throttles => return Reply::json(429, &json!({ "message": "too fast" })).header("retry-after", "0"),
        Mood::OutOfCredit if name == "suno-like" => return Reply::json(200, &json!({ "code": 429, "msg": "no credits" })),
        Mood::OutOfCredit => return Reply::json(402, &json!({ "message": "no credits" })),
        Mood::Refuses if name == "kling" => return Reply::json(400, &json!({ "code": 1301, "message": "not that" })),
        Mood::Fails => return Reply::json(400, &json!({ "message": "it does not work" })),
        _ => {}
    }
    let mut all = books.lock().unwrap();
    let number: u32 = all.taken.values().sum();
    let task = format!("{name}-task-{number}");
    *all.taken.entry(name).or_default() += 1;
    if !matches!(name, "elevenlabs" | "gemini-image") {
        all.tasks.insert(task.clone(), (name, 0));
        let running = all.running.entry(name).or_default();
        *running += 1;
        let now = *running;
        let most = all.most.entry(name).or_default();
        *most = now.max(*most);
    }
    if let Some(ours) = ask.json()["external_task_id"].as_str() {
        all.by_ours.insert(ours.to_owned(), task.clone());
    }
    match mood {
        Mood::Page => all.pages.push(task.clone()),
        Mood::LosesAnswer => return Reply { hangs: true, ..Reply::new(200, "") },
        _ => {}
    }
    drop(all);
    match name {
        "meshy" => Reply::json(202, &json!({ "result": task })),
        "suno-like" => Reply::json(200, &json!({ "code": 200, "data": { "taskId": task } })),
        "veo" => Reply::json(200, &json!({ "name": format!("models/v/operations/{task}") })),
        "gemini-image" => {
            use base64::Engine as _;
            let data = base64::engine::general_purpose::STANDARD.encode([PNG, task.as_bytes()].concat());
            let parts = json!([{ "text": "here" }, { "inlineData": { "mimeType": "image/png", "data": data } }]);
            Reply::json(200, &json!({ "candidates": [{ "content": { "parts": parts } }] }))
        }
        "elevenlabs" => Reply::new(200, [MP3, task.as_bytes()].concat()).header("content-type", "audio/mpeg"),
        "blockade" => Reply::json(200, &json!({ "id": task, "status": "pending" })),
        "kling" => Reply::json(200, &json!({ "code": 0, "data": { "task_id": task } })),
        "fal" => {
            let at = format!("{base}/fal-ai/flux-pro/requests/{task}");
            Reply::json(200, &json!({ "request_id": task, "status_url": format!("{at}/status"), "response_url": at }))
        }
        _ => Reply::json(200, &json!({ "id": task })),
    }
}

fn polled(books: &Mutex<Books>, ask: &Ask, name: &'static str, base: &str) -> Reply {
    let path = ask.path.split('?').next().unwrap();
    let query = ask.path.split_once("taskId=").map(|(_, task)| task);
    let last = query.unwrap_or_else(|| path.trim_end_matches("/status").rsplit('/').next().unwrap());
    let mut all = books.lock().unwrap();
    let wanted = all.polls;
    let task = all.by_ours.get(last).cloned().unwrap_or_else(|| last.to_owned());
    let Some((_, asked)) = all.tasks.get_mut(&task) else { return Reply::json(404, &json!({ "code": 1203, "message": "no such task" })) };
    if name == "fal" && !path.ends_with("/status") {
        return Reply::json(200, &json!({ "images": [{ "url": format!("{base}/files/{task}.png"), "content_type": "image/png" }] }));
    }
    *asked += 1;
    let (asked, is_done) = (*asked, *asked > wanted);
    if is_done && asked == wanted + 1 {
        *all.running.get_mut(name).unwrap() -= 1;
    }
    drop(all);
    told(name, &task, asked, is_done, base)
}

/// States out of order, unknown ones, and errors while all is well.
fn told(name: &str, task: &str, asked: u32, is_done: bool, base: &str) -> Reply {
    let file = |kind: &str| format!("{base}/files/{task}.{kind}");
    let say = |working: &[&str], done: &str| if is_done { done.to_owned() } else { working[asked as usize % working.len()].to_owned() };
    let body: Value = match name {
        "meshy" => json!({
            "status": say(&["IN_PROGRESS", "PENDING"], "SUCCEEDED"), "progress": 50, "consumed_credits": if is_done { json!(7) } else { json!(null) },
            "expires_at": 4_000_000_000_000_u64, "model_urls": { "glb": file("glb") },
        }),
        "suno-like" => json!({ "code": 200, "data": {
            "status": say(&["FIRST_SUCCESS", "CALLBACK_EXCEPTION"], "SUCCESS"),
            "response": { "sunoData": [{ "audioUrl": file("mp3") }, { "audioUrl": format!("{base}/files/{task}-b.mp3") }] },
        }}),
        "veo" if asked == 1 => return Reply::json(403, &json!({ "error": { "code": 403 } })),
        "veo" => json!({ "done": is_done, "response": { "generateVideoResponse": {
            "generatedSamples": [{ "video": { "uri": format!("{base}/files/guarded-{task}.mp4") } }],
        }}}),
        "blockade" if task.contains("task") => {
            json!({ "request": { "status": say(&["dispatched"], "complete") }, "status": say(&["pending"], "complete"), "file_url": file("hdr") })
        }
        "runway" => json!({ "status": say(&["THROTTLED", "RUNNING"], "SUCCEEDED"), "output": [file("mp4")] }),
        "kling" => json!({ "code": 0, "data": {
            "task_id": task, "task_status": say(&["processing", "nobody-knows"], "succeed"), "task_result": { "videos": [{ "url": file("mp4") }] },
        }}),
        "fal" => return Reply::json(if is_done { 200 } else { 202 }, &json!({ "status": say(&["IN_QUEUE"], "COMPLETED") })),
        _ => json!({ "state": say(&["busy"], "ready"), "at": file("png") }),
    };
    std::thread::sleep(Duration::from_millis(5));
    Reply::json(200, &body)
}
