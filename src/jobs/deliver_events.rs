//! Brings events to their webhooks: one courier for each, on a thread that they share and nothing else uses.
//!
//! A courier empties its box of letters (`queue::letters`) from the beginning. Letters of one key are brought one after the other, in order; of
//! different keys several at once. What was told is taken out; what was not is tried again, later and later, until the webhook's `give_up`
//! is over: then it is dead. While a webhook takes nothing at all it is left alone for a while and then tried with one letter.
//! Begun again after a crash it brings again what was told and not yet taken out: receivers know it by its id.
//! Not here: what is sent (`ops::events`), how (`outbound`). No queue's job does this: thousands of letters for a webhook that is away must
//! take neither places of workers nor room of tenants.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::base::error::{Error, Result};
use crate::base::timestamp::Timestamp;
use crate::ops::events::message::{Message, VERSION};
use crate::ops::events::settings::Webhook;
use crate::ops::events::sign;
use crate::outbound::{Line, Reply};
use crate::queue::Queue;
use crate::queue::kind::Backoff;
use crate::queue::letters::Waiting;
use crate::queue::shared::became_true;
use crate::telemetry::events::Events as Gauges;

/// Letters of a webhook that are in memory: a megabyte of ordinary ones.
const WINDOW: usize = 1024;
/// Fewer, and more are read.
const LOW: usize = WINDOW / 2;
/// Of one letter.
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(300) };
/// Failures without a success between them: then the webhook itself is left alone.
const ALONE_AFTER: u32 = 8;
const ALONE: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) };
/// A webhook that says when it will be back is believed for so long.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// What the queue could not take is said again.
const AGAIN: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_secs(10);

/// What runs until it is stopped.
pub struct Couriers {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Couriers {
    pub fn start(webhooks: &[Arc<Webhook>], queue: &Queue, gauges: &Gauges) -> Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(4)
            .thread_name("events-blocking")
            .build()
            .map_err(Error::internal)?;
        let couriers: Vec<_> = webhooks.iter().map(|webhook| Courier::new(webhook.clone(), queue.clone(), gauges.clone())).collect();
        let watch = look(queue.clone(), gauges.clone(), webhooks.to_vec());
        let thread = std::thread::Builder::new().name("events".into()).spawn(move || {
            runtime.block_on(async {
                let mut all = JoinSet::new();
                for courier in couriers {
                    all.spawn(courier.run(stopped.clone()));
                }
                let watching = tokio::spawn(watch);
                let mut stopped = stopped;
                became_true(&mut stopped).await;
                watching.abort();
                while all.join_next().await.is_some() {}
            });
            runtime.shutdown_timeout(AGAIN);
        });
        Ok(Couriers { stop, thread: Some(thread.map_err(Error::internal)?) })
    }

    /// What is on its way is cut off, and brought again at the next start. Blocks.
    pub fn stop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that brings events had panicked");
        }
    }
}

impl Drop for Couriers {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What waits, for the metrics. And once, what waits for webhooks that are not there any more.
async fn look(queue: Queue, gauges: Gauges, webhooks: Vec<Arc<Webhook>>) {
    for (to, boxed) in queue.boxes().await.unwrap_or_default() {
        if boxed.waiting > 0 && !webhooks.iter().any(|webhook| webhook.name == to) {
            tracing::warn!(
                webhook = to,
                count = boxed.waiting,
                "events wait for a webhook that is not in gateway.toml: they stay until it is"
            );
        }
    }
    loop {
        if let Ok(boxes) = queue.boxes().await {
            for (to, boxed) in boxes {
                let oldest = queue.oldest_letter(&to).await.ok().flatten();
                let age = oldest.map_or(Duration::ZERO, |posted| Timestamp::now().since(posted));
                gauges.set_letters(&to, boxed.waiting, boxed.dead, age);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A letter in memory.
struct Held {
    message: Arc<Message>,
    place: u64,
    posted: Timestamp,
    attempts: u32,
    is_on_its_way: bool,
    not_before: Option<Instant>,
}

struct Courier {
    webhook: Arc<Webhook>,
    queue: Queue,
    gauges: Gauges,
    window: BTreeMap<u64, Held>,
    /// There may be more in the box.
    has_more: bool,
    /// Connections that are not in use.
    lines: Vec<Line>,
    failures: u32,
    /// Until then the webhook is left alone.
    alone_until: Option<Instant>,
}

/// How a delivery ended.
struct Back {
    number: u64,
    line: Option<Line>,
    took: Duration,
    result: Result<(), Failed>,
}

struct Failed {
    reason: String,
    after: Option<Duration>,
}

impl Courier {
    fn new(webhook: Arc<Webhook>, queue: Queue, gauges: Gauges) -> Self {
        Courier { webhook, queue, gauges, window: BTreeMap::new(), has_more: true, lines: Vec::new(), failures: 0, alone_until: None }
    }

    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let comes = self.queue.watch_box(&self.webhook.name);
        let mut deliveries: JoinSet<Back> = JoinSet::new();
        loop {
            if self.has_more && self.window.len() < LOW {
                self.read_on().await;
            }
            while deliveries.len() < self.room() {
                let Some(number) = self.next() else { break };
                self.send(number, &mut deliveries);
            }
            let due = self.next_time();
            tokio::select! {
                Some(back) = deliveries.join_next() => match back {
                    Ok(back) => self.ended(back).await,
                    Err(e) => self.panicked(&e),
                },
                () = comes.notified() => self.has_more = true,
                () = tokio::time::sleep_until(due) => {}
                () = became_true(&mut stopped) => return,
            }
        }
    }

    async fn read_on(&mut self) {
        let known: HashSet<u64> = self.window.keys().copied().collect();
        let wanted = WINDOW - self.window.len();
        match self.queue.letters(&self.webhook.name, wanted, move |number| known.contains(&number)).await {
            Ok(letters) => {
                self.has_more = letters.len() == wanted;
                for letter in letters {
                    self.take_in(letter).await;
                }
            }
            Err(e) => {
                tracing::warn!(webhook = self.webhook.name, error = %e, "events that wait can't be read now; it is tried again");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    async fn take_in(&mut self, Waiting { number, posted, payload }: Waiting) {
        let message: Option<Message> = (payload.version == VERSION).then(|| serde_json::from_slice(&payload.document).ok()).flatten();
        let Some(message) = message else {
            let reason = "its form is not one that this program knows".to_owned();
            if let Err(e) = self.queue.give_up_letter(&self.webhook.name, number, reason).await {
                tracing::warn!(webhook = self.webhook.name, error = %e, "an event that can't be read is left where it is");
            }
            return;
        };
        let mut place = DefaultHasher::new();
        message.place().hash(&mut place);
        let place = place.finish();
        let held = Held { message: Arc::new(message), place, posted, attempts: 0, is_on_its_way: false, not_before: None };
        self.window.insert(number, held);
    }

    /// Deliveries at once, as the webhook is now.
    fn room(&self) -> usize {
        match self.alone_until {
            Some(until) if until > Instant::now() => 0,
            // To see whether it is back.
            Some(_) => 1,
            None => usize::from(self.webhook.at_once),
        }
    }

    /// The first letter that no other of its place stands before, and whose time has come.
    fn next(&self) -> Option<u64> {
        let (now, mut before) = (Instant::now(), HashSet::new());
        let ready = |held: &Held| !held.is_on_its_way && held.not_before.is_none_or(|at| at <= now);
        self.window.iter().find(|(_, held)| before.insert(held.place) && ready(held)).map(|(number, _)| *number)
    }

    /// When there is something to do though nothing comes.
    fn next_time(&self) -> Instant {
        let later = Instant::now() + LOOK;
        if let Some(until) = self.alone_until.filter(|until| *until > Instant::now()) {
            return until;
        }
        let waiting = self.window.values().filter(|held| !held.is_on_its_way).filter_map(|held| held.not_before);
        waiting.min().map_or(later, |at| at.clamp(Instant::now() + Duration::from_millis(10), later))
    }

    fn send(&mut self, number: u64, deliveries: &mut JoinSet<Back>) {
        let Some(held) = self.window.get_mut(&number) else { return };
        held.is_on_its_way = true;
        let (webhook, queue, message, line) = (self.webhook.clone(), self.queue.clone(), held.message.clone(), self.lines.pop());
        deliveries.spawn(async move {
            let begun = Instant::now();
            let (line, result) = deliver(&webhook, line, &message).await;
            let took = begun.elapsed();
            if result.is_ok() {
                // Its place is free when it is taken out: what follows is never brought before that is durable.
                while let Err(e) = queue.take_letter(&webhook.name, number).await {
                    tracing::warn!(webhook = webhook.name, error = %e, "an event that was told can't be taken out; it is tried again");
                    tokio::time::sleep(AGAIN).await;
                }
            }
            Back { number, line, took, result }
        });
    }

    async fn ended(&mut self, Back { number, line, took, result }: Back) {
        // As many as are used at once.
        self.lines.extend(line.filter(|_| self.lines.len() < usize::from(self.webhook.at_once)));
        match result {
            Ok(()) => {
                self.gauges.delivered(&self.webhook.name, "told", took);
                self.window.remove(&number);
                if self.alone_until.is_some() {
                    tracing::info!(webhook = self.webhook.name, "the webhook takes events again");
                }
                (self.failures, self.alone_until) = (0, None);
            }
            Err(failed) => {
                self.gauges.delivered(&self.webhook.name, "failed", took);
                self.failed(number, failed).await;
            }
        }
    }

    async fn failed(&mut self, number: u64, Failed { reason, after }: Failed) {
        self.leave_alone(&reason, after);
        let Some(held) = self.window.get_mut(&number) else { return };
        held.is_on_its_way = false;
        held.attempts += 1;
        let wait = BACKOFF.delay(held.attempts, chance()).max(after.unwrap_or_default());
        held.not_before = Some(Instant::now() + wait);
        if Timestamp::now() < held.posted.plus(self.webhook.give_up) {
            tracing::debug!(webhook = self.webhook.name, event = held.message.id(), reason, "an event was not taken; it is tried again");
            return;
        }
        self.give_up(number, reason.clone()).await;
        if self.alone_until.is_some() {
            self.give_up_the_old(&reason).await;
        }
    }

    /// False: not now.
    async fn give_up(&mut self, number: u64, reason: String) -> bool {
        let Some(held) = self.window.get(&number) else { return true };
        tracing::warn!(webhook = self.webhook.name, event = held.message.id(), reason, "an event is given up");
        match self.queue.give_up_letter(&self.webhook.name, number, reason).await {
            Ok(()) => {
                self.gauges.given_up(&self.webhook.name);
                self.window.remove(&number);
                true
            }
            Err(e) => {
                tracing::warn!(webhook = self.webhook.name, error = %e, "an event can't be given up now; it is tried again");
                false
            }
        }
    }

    /// The webhook takes nothing at all: what waited behind the one that was tried, and as long, would be tried for nothing.
    async fn give_up_the_old(&mut self, reason: &str) {
        loop {
            let now = Timestamp::now();
            let is_old = |held: &Held| !held.is_on_its_way && now >= held.posted.plus(self.webhook.give_up);
            let old: Vec<u64> = self.window.iter().filter(|(_, held)| is_old(held)).map(|(number, _)| *number).collect();
            if old.is_empty() {
                return;
            }
            for number in old {
                if !self.give_up(number, reason.to_owned()).await {
                    return;
                }
            }
            if self.has_more {
                self.read_on().await;
            }
        }
    }

    fn leave_alone(&mut self, reason: &str, after: Option<Duration>) {
        self.failures += 1;
        if self.failures < ALONE_AFTER && after.is_none() {
            return;
        }
        if self.alone_until.is_none() {
            tracing::warn!(webhook = self.webhook.name, reason, "the webhook takes no events now; it is left alone for a while");
        }
        let rounds = self.failures.saturating_sub(ALONE_AFTER) + 1;
        self.alone_until = Some(Instant::now() + ALONE.delay(rounds, chance()).max(after.unwrap_or_default()));
    }

    /// It must not keep its place for ever: which one it was is not told.
    fn panicked(&mut self, e: &tokio::task::JoinError) {
        tracing::error!(webhook = self.webhook.name, error = %e, "bringing an event panicked");
        let again = Some(Instant::now() + AGAIN);
        for held in self.window.values_mut().filter(|held| held.is_on_its_way) {
            (held.is_on_its_way, held.not_before) = (false, again);
        }
    }
}

fn chance() -> u64 {
    let mut chance = [0; 8];
    // Without a random number all wait equally long, which does no harm to one.
    let _ = getrandom::fill(&mut chance);
    u64::from_le_bytes(chance)
}

/// The line comes back, where it can be used again.
async fn deliver(webhook: &Webhook, line: Option<Line>, message: &Message) -> (Option<Line>, Result<(), Failed>) {
    let failed = |reason| Err(Failed { reason, after: None });
    let mut line = match line.map_or_else(|| Line::to(&webhook.url, webhook.local), Ok) {
        Ok(line) => line,
        Err(e) => return (None, failed(e)),
    };
    let (body, media_type) = message.body(webhook.format);
    let headers = match headers(webhook, message.id(), &body, media_type) {
        Ok(headers) => headers,
        Err(e) => return (Some(line), failed(e.to_string())),
    };
    let result = match line.post(&headers, &Bytes::from(body), webhook.timeout).await {
        Ok(Reply { status, .. }) if status.is_success() => Ok(()),
        Ok(Reply { status, retry_after }) => {
            let after = retry_after.map(|after| after.min(LONGEST_WAIT)).filter(|_| matches!(status.as_u16(), 429 | 503));
            let hint = if status.is_redirection() { " (redirects are not followed)" } else { "" };
            Err(Failed { reason: format!("it answered {status}{hint}"), after })
        }
        Err(e) => failed(e),
    };
    (Some(line), result)
}

/// After the specification Standard Webhooks.
fn headers(webhook: &Webhook, id: &str, body: &str, media_type: &'static str) -> std::result::Result<HeaderMap, http::Error> {
    let seconds = Timestamp::now().secs();
    let signatures = sign::signatures(&webhook.secrets.live(), id, seconds, body);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(HeaderName::from_static("webhook-id"), HeaderValue::from_str(id)?);
    headers.insert(HeaderName::from_static("webhook-timestamp"), HeaderValue::from(seconds));
    headers.insert(HeaderName::from_static("webhook-signature"), HeaderValue::from_str(&signatures)?);
    Ok(headers)
}
