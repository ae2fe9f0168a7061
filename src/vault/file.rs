//! The form of a provider's file: what is written there, before it is looked whether it makes sense.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::vault::kind::MediaKind;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub name: String,
    /// For people.
    #[serde(default)]
    pub note: Option<String>,
    /// A day such as 2027-06-01: from then on nothing is asked of it.
    pub retired_after: Option<String>,
    pub auth: Auth,
    #[serde(default)]
    pub keys: BTreeMap<String, KeySource>,
    /// Hosts that see the key beside those of the addresses in this file.
    #[serde(default)]
    pub hosts: Vec<String>,
    #[serde(default)]
    pub rule: Vec<Rule>,
    pub model: Vec<Model>,
    pub step: BTreeMap<String, Step>,
    #[serde(default)]
    pub example: Vec<Example>,
}

/// Where a key stands: never here.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySource {
    pub env: Option<String>,
    pub file: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Auth {
    None,
    Header {
        name: String,
        value: String,
    },
    Query {
        name: String,
        value: String,
    },
    /// `value` has the place `{jwt}`.
    JwtHs256 {
        name: String,
        value: String,
        issuer: String,
        secret: String,
        lives: u64,
        before: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// Later, with the same provider.
    Throttled,
    OutOfCredit,
    /// Nobody else is asked.
    Moderation,
    Failed,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub when: String,
    pub means: Meaning,
    /// Where its own words for it are.
    pub text: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    Text,
    Image,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Durations {
    These(Vec<f64>),
    Between { min: f64, max: f64 },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub name: String,
    pub kind: MediaKind,
    /// In order.
    pub steps: Vec<String>,
    /// Of which it takes one request each.
    #[serde(default = "text_only")]
    pub inputs: Vec<Input>,
    pub durations: Option<Durations>,
    /// Left out: the request must say nothing of it.
    #[serde(default)]
    pub ratios: Vec<String>,
    #[serde(default)]
    pub resolutions: Vec<String>,
    /// Pixels of a side, from and to.
    pub sizes: Option<(u32, u32)>,
    #[serde(default)]
    pub loops: bool,
    #[serde(default)]
    pub tileable: bool,
    pub max_prompt: Option<usize>,
    /// Values of requests that do not say them.
    #[serde(default)]
    pub defaults: BTreeMap<String, Value>,
    /// Values that the model has, for its steps.
    #[serde(default)]
    pub set: BTreeMap<String, Value>,
    #[serde(default)]
    pub derive: BTreeMap<String, Derived>,
    pub cost: Cost,
    pub retired_after: Option<String>,
}

fn text_only() -> Vec<Input> {
    vec![Input::Text]
}

/// A value made of another one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Derived {
    pub of: String,
    pub map: BTreeMap<String, Value>,
}

/// What one request is expected to cost, in US dollars.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    #[serde(default)]
    pub request: f64,
    #[serde(default)]
    pub second: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub submit: Call,
    /// Values of the answer, by path: for what follows.
    #[serde(default)]
    pub capture: BTreeMap<String, String>,
    /// None: the answer has the result.
    pub poll: Option<Poll>,
    /// Asked when the poll says that it is done: the result is in its answer.
    pub response: Option<Call>,
    /// Whether a submit whose answer was lost arrived.
    pub lookup: Option<Lookup>,
    /// None: what is made is for the next step alone.
    #[serde(default)]
    pub result: Vec<Outcome>,
    pub billed: Option<Billed>,
    #[serde(default)]
    pub rule: Vec<Rule>,
    /// Parts of the estimate that this step is; left out: as many as every other.
    #[serde(default = "one")]
    pub share: f64,
}

fn one() -> f64 {
    1.0
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    #[serde(default = "post")]
    pub method: String,
    pub url: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    pub body: Option<Value>,
}

fn post() -> String {
    "POST".into()
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Poll {
    pub url: String,
    /// Seconds; left out: as the kind has it.
    pub every: Option<f64>,
    /// Where the state stands, and its words.
    pub state: Option<String>,
    #[serde(default)]
    pub working: Vec<String>,
    #[serde(default)]
    pub done: Vec<String>,
    #[serde(default)]
    pub failed: Vec<String>,
    pub done_when: Option<String>,
    pub failed_when: Option<String>,
    /// Per cent.
    pub progress: Option<String>,
    /// Why it failed.
    pub text: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    pub url: String,
    pub found_when: String,
    pub absent_when: String,
    #[serde(default)]
    pub capture: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum From {
    Url,
    /// An address that takes the provider's key.
    GuardedUrl,
    Base64,
    Body,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    pub from: From,
    /// A path; of several matches each is an output.
    pub at: Option<String>,
    #[serde(rename = "type")]
    pub content_type: Option<String>,
    pub type_at: Option<String>,
    /// When the addresses expire: a path to seconds, milliseconds or a date.
    pub expires_at: Option<String>,
    pub expires_in: Option<ExpiryUnit>,
    /// Or so many seconds from now on.
    pub lives: Option<u64>,
    /// It may be missing.
    #[serde(default)]
    pub optional: bool,
    /// Of the layout; left out: that of the kind.
    pub artifact: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpiryUnit {
    Seconds,
    Millis,
    Iso,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Billed {
    pub at: String,
    /// What one of them costs, in US dollars.
    pub each: f64,
}

/// An exchange as it was recorded, and what is to be made of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    pub name: String,
    pub model: String,
    pub request: BTreeMap<String, Value>,
    pub turn: Vec<Turn>,
    pub ends: Ending,
    /// Addresses, or the sizes of what came as bytes.
    #[serde(default)]
    pub outputs: Vec<String>,
    pub billed: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    Done,
    Throttled,
    OutOfCredit,
    Moderation,
    Failed,
    /// Nobody knows whether it was taken.
    Unsure,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// `POST https://…`
    pub asks: String,
    /// All of the body that is sent.
    pub sends: Option<Value>,
    pub status: u16,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    pub body: Option<Value>,
    /// Bytes in place of a document.
    pub base64: Option<String>,
}
