//! One step of a provider's work: what is asked, and what an answer means. Pure: `jobs` sends, and examples are replayed.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;

use crate::base::timestamp::Timestamp;
use crate::vault::file::{self, ExpiryUnit, From, Meaning};
use crate::vault::select::{Condition, Path, Seen};
use crate::vault::template::{Text, Tree, Values};
use crate::vault::wanted::micros;

/// Of a provider's own words.
const MAX_TEXT_CHARS: usize = 300;
/// Outputs of one step.
const MAX_OUTPUTS: usize = 16;

#[derive(Debug)]
pub struct Step {
    pub name: String,
    submit: Call,
    capture: Vec<(String, Path)>,
    poll: Option<Poll>,
    response: Option<Call>,
    lookup: Option<Lookup>,
    results: Vec<Outcome>,
    billed: Option<(Path, f64)>,
    rules: Vec<Rule>,
    /// Of the estimate of all steps.
    pub share: f64,
}

#[derive(Debug)]
struct Call {
    method: Method,
    url: Text,
    headers: Vec<(HeaderName, Text)>,
    body: Option<Tree>,
}

#[derive(Debug)]
struct Poll {
    call: Call,
    every: Option<Duration>,
    state: Option<Path>,
    words: file::Poll,
    done_when: Option<Condition>,
    failed_when: Option<Condition>,
    progress: Option<Path>,
    text: Option<Path>,
}

#[derive(Debug)]
struct Lookup {
    call: Call,
    found: Condition,
    absent: Condition,
    capture: Vec<(String, Path)>,
}

#[derive(Debug)]
struct Outcome {
    as_written: file::Outcome,
    at: Option<Path>,
    type_at: Option<Path>,
    expires_at: Option<Path>,
}

#[derive(Debug)]
struct Rule {
    when: Condition,
    means: Meaning,
    text: Option<Path>,
}

/// Without what shows the key.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: Method,
    pub url: String,
    pub headers: HeaderMap,
    pub body: Option<Value>,
}

pub struct Answer<'a> {
    pub status: u16,
    pub headers: &'a HeaderMap,
    pub body: &'a Bytes,
    pub retry_after: Option<Duration>,
    pub now: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Url {
        url: String,
        /// It takes the key.
        guarded: bool,
    },
    Bytes(Bytes),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub content: Content,
    pub content_type: Option<String>,
    pub expires: Option<Timestamp>,
    pub artifact: Option<String>,
}

/// What an answer means.
#[derive(Debug, PartialEq)]
pub enum Told {
    /// Taken: it is to be asked how it goes. With what following requests need.
    Taken(Values),
    /// Not ended. `odd`: what was not understood.
    Working {
        progress: Option<u64>,
        odd: Option<String>,
    },
    /// The result is in the answer to another request.
    Elsewhere,
    Done {
        outputs: Vec<Output>,
        captured: Values,
        billed: Option<u64>,
    },
    Refused {
        meaning: Meaning,
        text: String,
        after: Option<Duration>,
        billed: Option<u64>,
    },
    /// Whether it was taken is not known.
    Unsure(String),
}

impl Step {
    pub fn parse(name: &str, step: &file::Step, of_provider: &[file::Rule]) -> Result<Self, String> {
        let named = |e: String| format!("step.{name}: {e}");
        let poll = step.poll.as_ref().map(Poll::parse).transpose().map_err(named)?;
        if step.response.is_some() && poll.is_none() {
            return Err(named("a response without a poll".into()));
        }
        Ok(Step {
            name: name.to_owned(),
            submit: Call::parse(&step.submit).map_err(named)?,
            capture: captures(&step.capture).map_err(named)?,
            poll,
            response: step.response.as_ref().map(Call::parse).transpose().map_err(named)?,
            lookup: step.lookup.as_ref().map(Lookup::parse).transpose().map_err(named)?,
            results: step.result.iter().map(Outcome::parse).collect::<Result<_, _>>().map_err(named)?,
            billed: step.billed.as_ref().map(|b| Ok((Path::parse(&b.at)?, b.each))).transpose().map_err(named)?,
            rules: step.rule.iter().chain(of_provider).map(Rule::parse).collect::<Result<_, _>>().map_err(named)?,
            share: step.share,
        })
    }

    /// What stands before the first place of each address: its hosts see the key.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        let poll = self.poll.as_ref().map(|poll| &poll.call);
        let lookup = self.lookup.as_ref().map(|lookup| &lookup.call);
        let calls = [Some(&self.submit), poll, self.response.as_ref(), lookup];
        calls.into_iter().flatten().map(|call| call.url.beginning())
    }

    pub fn is_synchronous(&self) -> bool {
        self.poll.is_none()
    }

    pub fn poll_every(&self) -> Option<Duration> {
        self.poll.as_ref()?.every
    }

    pub fn submit(&self, values: &Values) -> Result<Request, String> {
        self.submit.fill(values)
    }

    pub fn ask(&self, values: &Values) -> Result<Request, String> {
        self.poll.as_ref().ok_or("it is not asked how it goes")?.call.fill(values)
    }

    pub fn ask_for_result(&self, values: &Values) -> Result<Request, String> {
        self.response.as_ref().ok_or("its result is nowhere else")?.fill(values)
    }

    /// None: nobody can be asked whether a submit arrived.
    pub fn look_up(&self, values: &Values) -> Option<Result<Request, String>> {
        Some(self.lookup.as_ref()?.call.fill(values))
    }

    /// Of the answer to a submit.
    pub fn submitted(&self, answer: &Answer<'_>) -> Told {
        let seen = Seen::new(answer.status, answer.headers, answer.body);
        if let Some(refused) = self.refused(&seen, answer) {
            return refused;
        }
        let refused = |meaning, text: &str| self.refusal(meaning, format!("it answered {} {text}", answer.status), answer, &seen);
        match answer.status {
            200..=299 => {}
            402 => return refused(Meaning::OutOfCredit, "(out of credit)"),
            429 | 503 => return refused(Meaning::Throttled, "(too many requests)"),
            400..=499 => return refused(Meaning::Failed, &excerpt(answer.body)),
            status => return Told::Unsure(format!("it answered {status}")),
        }
        if self.poll.is_none() {
            return self.done(&seen, answer);
        }
        match captured(&self.capture, &seen) {
            Ok(captured) => Told::Taken(captured),
            Err(missing) => Told::Unsure(format!("its answer has no {missing}")),
        }
    }

    /// Of the answer to how it goes.
    pub fn asked(&self, answer: &Answer<'_>) -> Told {
        let Some(poll) = &self.poll else { return Told::Working { progress: None, odd: Some("it is not asked how it goes".into()) } };
        let seen = Seen::new(answer.status, answer.headers, answer.body);
        if let Some(refused) = self.refused(&seen, answer) {
            // Too many questions say nothing of the work.
            return match refused {
                Told::Refused { meaning: Meaning::Throttled, text, .. } => Told::Working { progress: None, odd: Some(text) },
                refused => refused,
            };
        }
        if !(200..=299).contains(&answer.status) {
            return Told::Working { progress: None, odd: Some(format!("asked how it goes it answered {}", answer.status)) };
        }
        let progress = poll.progress.as_ref().and_then(|path| path.number(&seen)).map(|n| n.clamp(0.0, 100.0) as u64);
        let state = poll.state.as_ref().and_then(|path| path.text(&seen));
        let has = |words: &[String]| state.as_ref().is_some_and(|state| words.contains(state));
        let holds = |condition: &Option<Condition>| condition.as_ref().is_some_and(|condition| condition.holds(&seen));
        if has(&poll.words.failed) || holds(&poll.failed_when) {
            let own = poll.text.as_ref().and_then(|path| path.text(&seen));
            let text = own.or(state).unwrap_or_else(|| "it failed".into());
            return self.refusal(Meaning::Failed, text, answer, &seen);
        }
        if has(&poll.words.done) || holds(&poll.done_when) {
            return if self.response.is_some() { Told::Elsewhere } else { self.done(&seen, answer) };
        }
        let odd = state.filter(|state| !poll.words.working.contains(state)).map(|state| format!("it is in the unknown state {state:?}"));
        Told::Working { progress, odd: odd.map(|odd| cut(&odd)) }
    }

    /// Of the answer that has the result.
    pub fn answered(&self, answer: &Answer<'_>) -> Told {
        let seen = Seen::new(answer.status, answer.headers, answer.body);
        if let Some(refused) = self.refused(&seen, answer) {
            return refused;
        }
        match answer.status {
            200..=299 => self.done(&seen, answer),
            400 | 404 | 410 | 422 => self.refusal(
                Meaning::Failed,
                format!("asked for the result it answered {} {}", answer.status, excerpt(answer.body)),
                answer,
                &seen,
            ),
            status => Told::Working { progress: None, odd: Some(format!("asked for the result it answered {status}")) },
        }
    }

    /// Ok(None): it surely did not arrive. Err: that is not known either.
    pub fn looked_up(&self, answer: &Answer<'_>) -> Result<Option<Values>, String> {
        let lookup = self.lookup.as_ref().ok_or("it can't be looked up")?;
        let seen = Seen::new(answer.status, answer.headers, answer.body);
        if lookup.found.holds(&seen) {
            return captured(&lookup.capture, &seen).map(Some).map_err(|missing| format!("what was looked up has no {missing}"));
        }
        if lookup.absent.holds(&seen) { Ok(None) } else { Err(format!("looked up, it answered {}", answer.status)) }
    }

    fn refused(&self, seen: &Seen, answer: &Answer<'_>) -> Option<Told> {
        let rule = self.rules.iter().find(|rule| rule.when.holds(seen))?;
        let text = rule.text.as_ref().and_then(|path| path.text(seen)).unwrap_or_else(|| format!("it answered {}", answer.status));
        Some(self.refusal(rule.means, text, answer, seen))
    }

    fn refusal(&self, meaning: Meaning, text: String, answer: &Answer<'_>, seen: &Seen) -> Told {
        Told::Refused { meaning, text: cut(&text), after: answer.retry_after, billed: self.bill(seen) }
    }

    fn bill(&self, seen: &Seen) -> Option<u64> {
        let (path, each) = self.billed.as_ref()?;
        path.number(seen).map(|number| micros(number * each))
    }

    fn done(&self, seen: &Seen, answer: &Answer<'_>) -> Told {
        let mut outputs = Vec::new();
        for outcome in &self.results {
            match outcome.read(seen, answer) {
                Ok(found) if found.is_empty() && !outcome.as_written.optional => {
                    return self.refusal(Meaning::Failed, "it is done and gave no result".into(), answer, seen);
                }
                Ok(found) => outputs.extend(found),
                Err(text) => return self.refusal(Meaning::Failed, text, answer, seen),
            }
        }
        outputs.truncate(MAX_OUTPUTS);
        // What an earlier answer gave stays.
        let captured = self.capture.iter().filter_map(|(name, path)| Some((name.clone(), path.first(seen)?.clone()))).collect();
        Told::Done { outputs, captured, billed: self.bill(seen) }
    }
}

impl Call {
    fn parse(call: &file::Call) -> Result<Self, String> {
        let header = |(name, value): (&String, &String)| {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is no header"))?;
            Ok::<_, String>((name, Text::parse(value)?))
        };
        Ok(Call {
            method: Method::from_bytes(call.method.as_bytes()).map_err(|_| format!("{:?} is no method", call.method))?,
            url: Text::parse(&call.url)?,
            headers: call.headers.iter().map(header).collect::<Result<_, _>>()?,
            body: call.body.as_ref().map(Tree::parse).transpose()?,
        })
    }

    fn get(url: &str) -> Result<Self, String> {
        Ok(Call { method: Method::GET, url: Text::parse(url)?, headers: Vec::new(), body: None })
    }

    fn fill(&self, values: &Values) -> Result<Request, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let value = HeaderValue::from_str(&value.fill(values)?).map_err(|_| format!("{name} would hold what no header may"))?;
            headers.insert(name.clone(), value);
        }
        let body = self.body.as_ref().map(|body| body.fill(values)).transpose()?;
        Ok(Request { method: self.method.clone(), url: self.url.fill_url(values)?, headers, body })
    }
}

impl Poll {
    fn parse(poll: &file::Poll) -> Result<Self, String> {
        let path = |text: &Option<String>| text.as_deref().map(Path::parse).transpose();
        let condition = |text: &Option<String>| text.as_deref().map(Condition::parse).transpose();
        let every = poll.every.map(|seconds| Duration::try_from_secs_f64(seconds).map_err(|e| format!("poll.every: {e}"))).transpose()?;
        if poll.done.is_empty() && poll.done_when.is_none() {
            return Err("poll: nothing says that it is done".into());
        }
        Ok(Poll {
            call: Call::get(&poll.url)?,
            every,
            state: path(&poll.state)?,
            words: poll.clone(),
            done_when: condition(&poll.done_when)?,
            failed_when: condition(&poll.failed_when)?,
            progress: path(&poll.progress)?,
            text: path(&poll.text)?,
        })
    }
}

impl Lookup {
    fn parse(lookup: &file::Lookup) -> Result<Self, String> {
        Ok(Lookup {
            call: Call::get(&lookup.url)?,
            found: Condition::parse(&lookup.found_when)?,
            absent: Condition::parse(&lookup.absent_when)?,
            capture: captures(&lookup.capture)?,
        })
    }
}

impl Rule {
    fn parse(rule: &file::Rule) -> Result<Self, String> {
        let text = rule.text.as_deref().map(Path::parse).transpose()?;
        Ok(Rule { when: Condition::parse(&rule.when)?, means: rule.means, text })
    }
}

impl Outcome {
    fn parse(outcome: &file::Outcome) -> Result<Self, String> {
        let path = |text: &Option<String>| text.as_deref().map(Path::parse).transpose();
        if (outcome.from == From::Body) == outcome.at.is_some() {
            return Err("result: `at` says where it is, unless it is the body".into());
        }
        if outcome.expires_at.is_some() != outcome.expires_in.is_some() {
            return Err("result: expires_at and expires_in belong together".into());
        }
        let (at, type_at, expires_at) = (path(&outcome.at)?, path(&outcome.type_at)?, path(&outcome.expires_at)?);
        Ok(Outcome { as_written: outcome.clone(), at, type_at, expires_at })
    }

    fn read(&self, seen: &Seen, answer: &Answer<'_>) -> Result<Vec<Output>, String> {
        let written = &self.as_written;
        let content_type = written.content_type.clone().or_else(|| self.type_at.as_ref()?.text(seen));
        let expires = self.expiry(seen).or_else(|| Some(answer.now.plus(Duration::from_secs(written.lives?))));
        let output = |content| Output { content, content_type: content_type.clone(), expires, artifact: written.artifact.clone() };
        let Some(at) = &self.at else {
            return Ok((!answer.body.is_empty()).then(|| output(Content::Bytes(answer.body.clone()))).into_iter().collect());
        };
        let texts = at.all(seen).into_iter().filter_map(Value::as_str).filter(|text| !text.is_empty());
        texts
            .map(|text| match written.from {
                From::Url => Ok(output(Content::Url { url: text.to_owned(), guarded: false })),
                From::GuardedUrl => Ok(output(Content::Url { url: text.to_owned(), guarded: true })),
                From::Base64 | From::Body => {
                    let bytes = STANDARD.decode(text).map_err(|_| "its result is no base64".to_owned())?;
                    Ok(output(Content::Bytes(bytes.into())))
                }
            })
            .collect()
    }

    fn expiry(&self, seen: &Seen) -> Option<Timestamp> {
        let path = self.expires_at.as_ref()?;
        match self.as_written.expires_in? {
            ExpiryUnit::Seconds => Some(Timestamp::from_millis((path.number(seen)? * 1000.0) as u64)),
            ExpiryUnit::Millis => Some(Timestamp::from_millis(path.number(seen)? as u64)),
            ExpiryUnit::Iso => Timestamp::parse_iso8601(&path.text(seen)?),
        }
    }
}

fn captures(capture: &std::collections::BTreeMap<String, String>) -> Result<Vec<(String, Path)>, String> {
    capture.iter().map(|(name, path)| Ok((name.clone(), Path::parse(path)?))).collect()
}

/// Err: the name of what is not there.
fn captured(capture: &[(String, Path)], seen: &Seen) -> Result<Values, String> {
    capture.iter().map(|(name, path)| Ok((name.clone(), path.first(seen).ok_or_else(|| name.clone())?.clone()))).collect()
}

fn excerpt(body: &Bytes) -> String {
    String::from_utf8_lossy(body.get(..body.len().min(4 * MAX_TEXT_CHARS)).unwrap_or_default()).into_owned()
}

/// Without control characters, and short.
fn cut(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT_CHARS).collect()
}
