//! A job's way through one provider: each step sent once, asked how it goes until it ends, its result taken.
//!
//! A request that costs is sent by a task of its own, which writes down its answer also where the job was cancelled meanwhile.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use serde_json::Value;

use crate::base::timestamp::Timestamp;
use crate::jobs::generate::case::{Case, Generate};
use crate::jobs::landing::fault;
use crate::ops::generate::Generation;
use crate::ops::generate::book::{Entry, State};
use crate::outbound::call::Call;
use crate::outbound::target::Trouble;
use crate::queue::Fault;
use crate::queue::shared::became_true;
use crate::vault::file::{Meaning, Model};
use crate::vault::provider::Provider;
use crate::vault::step::{Answer, Output, Request, Step, Told};
use crate::vault::template::Values;

/// Until an answer to a submit is there; synchronous providers make it meanwhile.
const SUBMIT_PATIENCE: Duration = Duration::from_secs(120);
const ASK_PATIENCE: Duration = Duration::from_secs(20);
/// Of an answer: pictures come as base64 in documents.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// A provider that is full, and does not say for how long.
const THROTTLED: Duration = Duration::from_secs(5);

/// Why it did not end well here.
pub enum End {
    /// The next provider may do better.
    Next(String),
    Stop(Fault),
}

pub struct Work<'w> {
    pub of: &'w Generate,
    pub case: &'w Case<'w>,
    pub provider: &'w Arc<Provider>,
    pub model: &'w Arc<Model>,
    pub entries: Vec<Entry>,
}

/// An answer as it came, or why there is none.
type Sent = Result<(u16, HeaderMap, Bytes, Option<Duration>), Trouble>;

impl Work<'_> {
    pub async fn run(&mut self) -> Result<Value, End> {
        let document = &self.case.document;
        let picture = self.case.picture.as_ref().map(|(base64, kind)| (base64.as_str(), kind.as_str()));
        let mut values = self.model.values(&document.wanted, picture, &self.case.attempt.job.id.to_string());
        let (provider, model) = (self.provider.clone(), self.model.clone());
        let steps: Vec<&Step> = provider.steps_of(&model).collect();
        let shares: f64 = steps.iter().map(|step| step.share).sum();
        let whole = model.estimate(&document.wanted) as f64;
        let last = steps.len().saturating_sub(1);
        for (place, step) in steps.into_iter().enumerate() {
            let estimated = (whole * step.share / shares.max(f64::MIN_POSITIVE)).round() as u64;
            let (mut entry, outputs) = self.step(step, &mut values, estimated).await?;
            if place < last {
                self.set(&mut entry, State::Done, None).await?;
                continue;
            }
            let made = self.land(&outputs, &entry).await?;
            entry.is_last = true;
            self.set(&mut entry, State::Done, None).await?;
            let mut told = self.of.costs(&self.entries);
            told["provider"] = provider.name.as_str().into();
            told["model"] = model.name.as_str().into();
            told["artifacts"] = made;
            return Ok(told);
        }
        Err(End::Next("its file names no steps".into()))
    }

    /// One step to its end: its entry, and what came out of it. An entry that is done has nothing more to give.
    async fn step(&mut self, step: &Step, values: &mut Values, estimated: u64) -> Result<(Entry, Vec<Output>), End> {
        let known = self.entries.iter().rev().find(|entry| {
            entry.provider == self.provider.name
                && entry.model == self.model.name
                && entry.step == step.name
                && !matches!(entry.state, State::Void | State::Failed)
        });
        let (mut entry, mut told) = match known.cloned() {
            None => self.submit(step, values, estimated).await?,
            Some(entry) if entry.state == State::Intent => self.lost(step, entry, values, "the gateway ended while it was sent").await?,
            Some(entry) if entry.state == State::Unknown => return Err(End::Stop(held(&entry))),
            Some(entry) => {
                let told = Told::Taken(entry.values.clone());
                (entry, told)
            }
        };
        if let (Told::Unsure(reason), State::Unknown) = (&told, entry.state) {
            let reason = reason.clone();
            (entry, told) = self.lost(step, entry, values, &reason).await?;
        }
        if let Told::Taken(captured) = &told {
            values.extend(captured.clone());
            if entry.state == State::Done {
                return Ok((entry, Vec::new()));
            }
            told = self.wait(step, values, &mut entry).await?;
        }
        match told {
            Told::Done { outputs, captured, billed } => {
                values.extend(captured.clone());
                entry.values.extend(captured);
                entry.billed = billed.or(entry.billed);
                Ok((entry, outputs))
            }
            Told::Refused { meaning, text, after, billed } => Err(self.refused(entry, meaning, text, after, billed).await?),
            Told::Unsure(_) | Told::Taken(_) | Told::Working { .. } | Told::Elsewhere => Err(End::Stop(held(&entry))),
        }
    }

    /// Writes down what will be asked, asks it, and writes down what was answered.
    async fn submit(&mut self, step: &Step, values: &Values, estimated: u64) -> Result<(Entry, Told), End> {
        let (job, document) = (&self.case.attempt.job, &self.case.document);
        let request = step.submit(values).map_err(End::Next)?;
        let entry = Entry {
            job: job.id.to_string(),
            number: self.entries.iter().map(|entry| entry.number + 1).max().unwrap_or(0),
            tenant: job.tenant.clone(),
            run: document.run.clone(),
            provider: self.provider.name.clone(),
            kind: self.of.kind,
            model: self.model.name.clone(),
            step: step.name.clone(),
            at: Timestamp::now(),
            state: State::Intent,
            estimated,
            billed: None,
            values: Values::new(),
            reason: None,
            is_last: false,
        };
        let generation = &self.of.generation;
        let begun = generation.book().begin(entry.clone(), generation.budget(&job.tenant)).await.map_err(stop)?;
        if let Err(left) = begun {
            let text = format!("the month's budget has {left} millionths of a dollar left, and this is expected to cost {estimated}");
            return Err(End::Stop(Fault::dead(text)));
        }
        self.entries.push(entry.clone());
        let sending = send_and_note(generation.clone(), self.provider.clone(), self.model.clone(), step.name.clone(), request, entry);
        let (entry, told) = tokio::spawn(sending).await.map_err(|e| End::Stop(Fault::retry(e.to_string())))?.map_err(End::Stop)?;
        self.note(&entry);
        Ok((entry, told))
    }

    /// What became of a submit whose answer was lost.
    async fn lost(&mut self, step: &Step, mut entry: Entry, values: &Values, reason: &str) -> Result<(Entry, Told), End> {
        let Some(request) = step.look_up(values) else {
            self.set(&mut entry, State::Unknown, Some(reason)).await?;
            return Err(End::Stop(held(&entry)));
        };
        let sent = send(&self.of.generation, self.provider, request.map_err(End::Next)?, ASK_PATIENCE).await;
        let looked = sent.map_err(|e| e.to_string()).and_then(|answer| step.looked_up(&seen(&answer)));
        match looked {
            Ok(Some(captured)) => {
                entry.values.extend(captured.clone());
                self.set(&mut entry, State::Running, None).await?;
                Ok((entry, Told::Taken(captured)))
            }
            Ok(None) => {
                entry.billed = Some(0);
                self.set(&mut entry, State::Void, Some("it did not arrive")).await?;
                Err(End::Stop(Fault::retry(format!("{}: the request did not arrive: {reason}", self.provider.name))))
            }
            Err(e) => {
                // It may be known later.
                self.set(&mut entry, State::Unknown, Some(reason)).await?;
                tracing::warn!(job = entry.job, provider = entry.provider, reason = e, "a lost request can't be looked up");
                Err(End::Stop(held(&entry)))
            }
        }
    }

    /// Asks how it goes until it has ended.
    async fn wait(&mut self, step: &Step, values: &Values, entry: &mut Entry) -> Result<Told, End> {
        let kind = self.of.kind;
        let (every, until) = (step.poll_every().unwrap_or(kind.poll()), entry.at.plus(kind.deadline()));
        let mut stopping = self.of.hands.ops.stopping();
        let (mut elsewhere, mut odd_ones) = (false, HashSet::new());
        loop {
            let request = if elsewhere { step.ask_for_result(values) } else { step.ask(values) };
            let told = match send(&self.of.generation, self.provider, request.map_err(End::Next)?, ASK_PATIENCE).await {
                Ok(answer) if elsewhere => step.answered(&seen(&answer)),
                Ok(answer) => step.asked(&seen(&answer)),
                Err(trouble) => Told::Working { progress: None, odd: Some(trouble.to_string()) },
            };
            let (progress, odd) = match told {
                Told::Working { progress, odd } => (progress, odd),
                Told::Elsewhere => {
                    elsewhere = true;
                    continue;
                }
                ended => return Ok(ended),
            };
            if let Some(odd) = odd.filter(|odd| odd_ones.insert(odd.clone())) {
                tracing::warn!(
                    job = entry.job,
                    provider = entry.provider,
                    odd,
                    "a provider says what is not understood; it is asked again"
                );
            }
            if Timestamp::now() >= until {
                // It was taken, and nobody says that it costs nothing.
                entry.billed = Some(entry.estimated);
                let reason = format!("it had not ended after {} s", kind.deadline().as_secs());
                self.set(entry, State::Failed, Some(&reason)).await?;
                return Err(End::Next(reason));
            }
            self.case.attempt.progress(progress.unwrap_or(0), 100, format!("{} is at it", self.provider.name));
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = became_true(&mut stopping) => return Err(End::Stop(Fault::NotNow { after: Duration::ZERO })),
            }
        }
    }

    async fn refused(
        &mut self,
        mut entry: Entry,
        meaning: Meaning,
        text: String,
        after: Option<Duration>,
        billed: Option<u64>,
    ) -> Result<End, End> {
        entry.billed = Some(billed.unwrap_or(0));
        let state = if meaning == Meaning::Throttled { State::Void } else { State::Failed };
        self.set(&mut entry, state, Some(&text)).await?;
        let name = &self.provider.name;
        Ok(match meaning {
            Meaning::Throttled => {
                End::Stop(Fault::Retry { reason: format!("{name} is busy: {text}"), after: Some(after.unwrap_or(THROTTLED)) })
            }
            Meaning::Moderation => End::Stop(Fault::dead(format!("refused by the moderation of {name}: {text}"))),
            Meaning::OutOfCredit => End::Next(format!("it is out of credit: {text}")),
            Meaning::Failed => End::Next(text),
        })
    }

    pub async fn set(&mut self, entry: &mut Entry, state: State, reason: Option<&str>) -> Result<(), End> {
        entry.state = state;
        entry.reason = reason.map(str::to_owned);
        self.of.generation.book().set(entry.clone()).await.map_err(stop)?;
        self.note(entry);
        Ok(())
    }

    fn note(&mut self, entry: &Entry) {
        match self.entries.iter_mut().find(|old| old.number == entry.number) {
            Some(old) => *old = entry.clone(),
            None => self.entries.push(entry.clone()),
        }
    }
}

fn stop(e: crate::base::error::Error) -> End {
    End::Stop(fault(e))
}

fn held(entry: &Entry) -> Fault {
    let reason = entry.reason.as_deref().unwrap_or("its answer was lost");
    Fault::dead(format!(
        "submit-unknown: whether {} took the request is not known ({reason}), and it may have been paid: decide by \
         POST /-/v1/generate/{}/resolve",
        entry.provider, entry.job
    ))
}

/// The request that costs, to the note of its answer.
async fn send_and_note(
    generation: Generation,
    provider: Arc<Provider>,
    model: Arc<Model>,
    step: String,
    request: Request,
    mut entry: Entry,
) -> Result<(Entry, Told), Fault> {
    let Some(step) = provider.steps_of(&model).find(|known| known.name == step) else { return Err(Fault::dead("the step is gone")) };
    let told = match send(&generation, &provider, request, SUBMIT_PATIENCE).await {
        Ok(answer) => step.submitted(&seen(&answer)),
        Err(Trouble::Unanswered(text)) => Told::Unsure(text),
        Err(Trouble::Refused(text) | Trouble::Unsent(text)) => {
            Told::Refused { meaning: Meaning::Failed, text, after: None, billed: Some(0) }
        }
    };
    match &told {
        Told::Taken(captured) => (entry.state, entry.values) = (State::Running, captured.clone()),
        Told::Unsure(reason) => (entry.state, entry.reason) = (State::Unknown, Some(reason.clone())),
        // What is in the answer alone is no more than an intent until it is stored.
        Told::Done { billed, .. } => entry.billed = *billed,
        Told::Refused { .. } | Told::Working { .. } | Told::Elsewhere => return Ok((entry, told)),
    }
    generation.book().set(entry.clone()).await.map_err(fault)?;
    Ok((entry, told))
}

fn seen(answer: &(u16, HeaderMap, Bytes, Option<Duration>)) -> Answer<'_> {
    Answer { status: answer.0, headers: &answer.1, body: &answer.2, retry_after: answer.3, now: Timestamp::now() }
}

/// With the key, where it goes to a host of the provider's own.
async fn send(generation: &Generation, provider: &Provider, request: Request, patience: Duration) -> Sent {
    let Request { method, mut url, mut headers, body } = request;
    let refused = |e: String| Trouble::Refused(e);
    let body = match body {
        Some(body) => {
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
            Bytes::from(serde_json::to_vec(&body).map_err(|e| refused(e.to_string()))?)
        }
        None => Bytes::new(),
    };
    if provider.is_own(&url) {
        provider.signer.sign(&mut url, &mut headers, Timestamp::now()).map_err(refused)?;
    }
    let answer = Call { method, url: &url, headers, body, patience }.send(generation.reach()).await?;
    let (status, headers, wait) = (answer.status.as_u16(), answer.headers.clone(), answer.retry_after());
    let body = answer.whole(MAX_ANSWER_BYTES, patience).await?;
    Ok((status, headers, body, wait))
}
