//! A provider's file proved against the exchanges that were recorded in it: what would be asked, and what would be made of the answers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::base::timestamp::Timestamp;
use crate::vault::file::{Ending, Example, Meaning, Model, Turn};
use crate::vault::provider::Provider;
use crate::vault::step::{Answer, Content, Output, Request, Step, Told};
use crate::vault::template::Values;
use crate::vault::wanted::{Wanted, micros};

/// A picture of one point, in place of that of a key.
const PICTURE: (&str, &str) = ("iVBORw0KGgo=", "image/png");
/// What our own id is in an example.
const JOB: &str = "job-1";

/// Err: everything that differs.
pub fn check(provider: &Provider) -> Result<usize, Vec<String>> {
    let mut faults = Vec::new();
    for model in provider.models.iter().filter(|model| !provider.examples.iter().any(|example| example.model == model.name)) {
        faults.push(format!("model {}: no example is of it", model.name));
    }
    for example in &provider.examples {
        if let Err(e) = replay(provider, example) {
            faults.push(format!("example {:?}: {e}", example.name));
        }
    }
    if faults.is_empty() { Ok(provider.examples.len()) } else { Err(faults) }
}

struct Ended {
    ending: Ending,
    text: String,
    outputs: Vec<Output>,
    billed: Option<u64>,
}

fn replay(provider: &Provider, example: &Example) -> Result<(), String> {
    let model =
        provider.models.iter().find(|model| model.name == example.model).ok_or_else(|| format!("there is no model {:?}", example.model))?;
    let mut said: Value = json!(example.request);
    said["kind"] = json!(model.kind);
    let wanted: Wanted = serde_json::from_value(said).map_err(|e| format!("request: {e}"))?;
    wanted.check()?;
    model.can(&wanted)?;
    let mut turns = example.turn.iter();
    let ended = run(provider, model, &wanted, &mut turns)?;
    if turns.next().is_some() {
        return Err("not all of its turns came about".into());
    }
    if ended.ending != example.ends {
        return Err(format!("it ends {:?} ({}), not {:?}", ended.ending, ended.text, example.ends));
    }
    let outputs: Vec<String> = ended.outputs.iter().map(shown).collect();
    if outputs != example.outputs {
        return Err(format!("its outputs are {outputs:?}, not {:?}", example.outputs));
    }
    match example.billed.map(micros) {
        Some(expected) if ended.billed != Some(expected) => {
            Err(format!("it bills {:?}, not {expected} millionths of a dollar", ended.billed))
        }
        _ => Ok(()),
    }
}

fn shown(output: &Output) -> String {
    let kind = output.content_type.as_deref().unwrap_or("-");
    match &output.content {
        Content::Url { url, guarded } => format!("{kind} {}{url}", if *guarded { "guarded " } else { "" }),
        Content::Bytes(bytes) => format!("{kind} {} bytes", bytes.len()),
    }
}

fn run<'e>(provider: &Provider, model: &Model, wanted: &Wanted, turns: &mut impl Iterator<Item = &'e Turn>) -> Result<Ended, String> {
    let mut values = model.values(wanted, wanted.image_key.as_ref().map(|_| PICTURE), JOB);
    let mut billed = None;
    let mut outputs = Vec::new();
    for step in provider.steps_of(model) {
        match walk(step, &mut values, turns)? {
            Told::Done { outputs: made, captured, billed: more } => {
                values.extend(captured);
                billed = added(billed, more);
                outputs = made;
            }
            Told::Refused { meaning, text, billed: more, .. } => {
                let ending = match meaning {
                    Meaning::Throttled => Ending::Throttled,
                    Meaning::OutOfCredit => Ending::OutOfCredit,
                    Meaning::Moderation => Ending::Moderation,
                    Meaning::Failed => Ending::Failed,
                };
                return Ok(Ended { ending, text, outputs: Vec::new(), billed: added(billed, more) });
            }
            Told::Unsure(text) => return Ok(Ended { ending: Ending::Unsure, text, outputs: Vec::new(), billed }),
            Told::Taken(_) | Told::Working { .. } | Told::Elsewhere => return Err("its turns end in the middle".into()),
        }
    }
    Ok(Ended { ending: Ending::Done, text: String::new(), outputs, billed })
}

fn added(sum: Option<u64>, more: Option<u64>) -> Option<u64> {
    if sum.is_none() && more.is_none() { None } else { Some(sum.unwrap_or(0) + more.unwrap_or(0)) }
}

/// One step, to its end.
fn walk<'e>(step: &Step, values: &mut Values, turns: &mut impl Iterator<Item = &'e Turn>) -> Result<Told, String> {
    let mut next = |request: Request| {
        let turn = turns.next().ok_or_else(|| format!("its turns end before {} {}", request.method, request.url))?;
        compare(&request, turn)?;
        Ok::<_, String>(turn)
    };
    let mut told = reply(next(step.submit(values)?)?, |answer| step.submitted(answer))?;
    loop {
        told = match told {
            Told::Taken(captured) => {
                values.extend(captured);
                reply(next(step.ask(values)?)?, |answer| step.asked(answer))?
            }
            Told::Working { .. } => reply(next(step.ask(values)?)?, |answer| step.asked(answer))?,
            Told::Elsewhere => match reply(next(step.ask_for_result(values)?)?, |answer| step.answered(answer))? {
                Told::Working { .. } => Told::Elsewhere,
                ended => ended,
            },
            ended => return Ok(ended),
        };
    }
}

fn compare(request: &Request, turn: &Turn) -> Result<(), String> {
    let asks = format!("{} {}", request.method, request.url);
    if asks != turn.asks {
        return Err(format!("it asks {asks}, not {}", turn.asks));
    }
    match (&request.body, &turn.sends) {
        (Some(body), Some(sends)) if !is_same(body, sends) => Err(format!("to {asks} it sends {body}, not {sends}")),
        (None, Some(sends)) => Err(format!("to {asks} it sends nothing, not {sends}")),
        _ => Ok(()),
    }
}

/// `5` and `5.0` are one number.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b)),
        (Value::Object(a), Value::Object(b)) => a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| is_same(a, b))),
        _ => a == b,
    }
}

fn reply(turn: &Turn, told: impl FnOnce(&Answer<'_>) -> Told) -> Result<Told, String> {
    let body = match (&turn.body, &turn.base64) {
        (Some(body), None) => Bytes::from(body.to_string()),
        (None, Some(base64)) => STANDARD.decode(base64).map_err(|e| format!("base64: {e}"))?.into(),
        (None, None) => Bytes::new(),
        (Some(_), Some(_)) => return Err("a turn has body or base64".into()),
    };
    let mut headers = HeaderMap::new();
    for (name, value) in &turn.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|e| e.to_string())?;
        headers.insert(name, HeaderValue::from_str(value).map_err(|e| e.to_string())?);
    }
    Ok(told(&Answer { status: turn.status, headers: &headers, body: &body, retry_after: None, now: Timestamp::now() }))
}
