//! What a caller wants made, and whether a model can do it: the first that can is asked, or all are told of with what they can do.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::vault::file::{Durations, Input, Model};
use crate::vault::kind::MediaKind;
use crate::vault::template::Values;

const MAX_PROMPT_CHARS: usize = 10_000;

/// A request, without where its result goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    pub kind: MediaKind,
    #[serde(default)]
    pub prompt: String,
    pub negative_prompt: Option<String>,
    /// Seconds.
    pub duration: Option<f64>,
    /// `16:9`
    pub ratio: Option<String>,
    /// `1080p`
    pub resolution: Option<String>,
    /// Pixels of the longer side.
    pub size: Option<u32>,
    #[serde(default, rename = "loop")]
    pub loops: bool,
    #[serde(default)]
    pub tileable: bool,
    pub instrumental: Option<bool>,
    pub style: Option<String>,
    pub seed: Option<u64>,
    /// A picture to go by: an address that the provider reads, or a key of the bucket.
    pub image_url: Option<String>,
    pub image_key: Option<String>,
    /// No other than these.
    pub provider: Option<String>,
    pub model: Option<String>,
}

impl Wanted {
    /// Err: what no model is asked for.
    pub fn check(&self) -> Result<(), String> {
        let kind = self.kind;
        if self.prompt.chars().count() > MAX_PROMPT_CHARS {
            return Err(format!("prompt has more than {MAX_PROMPT_CHARS} characters"));
        }
        if self.prompt.is_empty() && !self.has_image() {
            return Err("prompt is empty, and there is no image_url or image_key".into());
        }
        if self.image_url.is_some() && self.image_key.is_some() {
            return Err("image_url and image_key are two pictures: name one".into());
        }
        if let Some(duration) = self.duration {
            let (least, most) = kind.durations().ok_or_else(|| format!("{} has no duration", kind.name()))?;
            if !(least..=most).contains(&duration) {
                return Err(format!("duration is {least} to {most} seconds for {}", kind.name()));
            }
        }
        if let Some(size) = self.size {
            let (least, most) = kind.sizes().ok_or_else(|| format!("{} has no size", kind.name()))?;
            if !(least..=most).contains(&size) {
                return Err(format!("size is {least} to {most} pixels for {}", kind.name()));
            }
        }
        Ok(())
    }

    fn has_image(&self) -> bool {
        self.image_url.is_some() || self.image_key.is_some()
    }

    fn input(&self) -> Input {
        if self.has_image() { Input::Image } else { Input::Text }
    }
}

impl Model {
    /// Err: the first thing that it can't do.
    pub fn can(&self, wanted: &Wanted) -> Result<(), String> {
        let no = |what: String| Err(format!("{}: {what}", self.name));
        let listed = |value: &Option<String>, known: &[String]| value.as_ref().is_none_or(|value| known.contains(value));
        if self.kind != wanted.kind {
            return no(format!("makes {}", self.kind.name()));
        }
        if !self.inputs.contains(&wanted.input()) {
            return no(format!("takes {}", if wanted.has_image() { "no picture" } else { "a picture" }));
        }
        if let Some(most) = self.max_prompt.filter(|most| wanted.prompt.chars().count() > *most) {
            return no(format!("takes prompts of up to {most} characters"));
        }
        if let (Some(duration), Some(durations)) = (wanted.duration, &self.durations)
            && !durations.has(duration)
        {
            return no(format!("durations {durations}"));
        }
        if !listed(&wanted.ratio, &self.ratios) {
            return no(format!("ratios {}", one_of(&self.ratios)));
        }
        if !listed(&wanted.resolution, &self.resolutions) {
            return no(format!("resolutions {}", one_of(&self.resolutions)));
        }
        if let Some(size) = wanted.size {
            match self.sizes {
                Some((least, most)) if (least..=most).contains(&size) => {}
                Some((least, most)) => return no(format!("sizes {least} to {most}")),
                None => return no("sizes: none can be chosen".into()),
            }
        }
        if wanted.loops && !self.loops {
            return no("makes nothing that loops".into());
        }
        if wanted.tileable && !self.tileable {
            return no("makes nothing that tiles".into());
        }
        Ok(())
    }

    /// What its steps are filled with. `image`: the picture of `image_key`, as bytes in base64 and their type.
    pub fn values(&self, wanted: &Wanted, image: Option<(&str, &str)>, job: &str) -> Values {
        let mut values: Values = self.set.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let said = json!({
            "prompt": Some(&wanted.prompt).filter(|prompt| !prompt.is_empty()),
            "negative_prompt": wanted.negative_prompt, "duration": wanted.duration, "ratio": wanted.ratio, "resolution": wanted.resolution,
            "size": wanted.size, "loop": wanted.loops, "tileable": wanted.tileable, "instrumental": wanted.instrumental, "style": wanted.style,
            "seed": wanted.seed, "image_url": wanted.image_url, "job": job, "model": self.name,
        });
        for (name, value) in said.as_object().into_iter().flatten() {
            // What the model is set to counts where nobody says anything.
            let value = if value.is_null() { self.defaults.get(name) } else { Some(value) };
            if let Some(value) = value {
                values.insert(name.clone(), value.clone());
            }
        }
        if let Some((base64, mime)) = image {
            values.insert("image_base64".into(), json!(base64));
            values.insert("image_type".into(), json!(mime));
            values.insert("image_url".into(), json!(format!("data:{mime};base64,{base64}")));
        }
        if let Some(seconds) = self.seconds(wanted) {
            values.insert("duration".into(), json!(seconds));
        }
        for (name, derived) in &self.derive {
            let of = values.get(&derived.of).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            if let Some(value) = of.and_then(|of| derived.map.get(&of)) {
                values.insert(name.clone(), value.clone());
            }
        }
        values
    }

    /// How long what is made will be.
    fn seconds(&self, wanted: &Wanted) -> Option<f64> {
        let default = self.defaults.get("duration").and_then(Value::as_f64);
        wanted.duration.or(default).or(wanted.kind.default_duration())
    }

    /// Millionths of a dollar.
    pub fn estimate(&self, wanted: &Wanted) -> u64 {
        micros(self.cost.request + self.cost.second * self.seconds(wanted).unwrap_or(0.0))
    }
}

pub fn micros(dollars: f64) -> u64 {
    (dollars.max(0.0) * 1e6).round() as u64
}

impl Durations {
    pub fn has(&self, seconds: f64) -> bool {
        match self {
            Durations::These(these) => these.iter().any(|one| (one - seconds).abs() < 1e-6),
            Durations::Between { min, max } => (*min..=*max).contains(&seconds),
        }
    }
}

impl std::fmt::Display for Durations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Durations::These(these) => write!(f, "{} s", these.iter().map(f64::to_string).collect::<Vec<_>>().join(", ")),
            Durations::Between { min, max } => write!(f, "{min} to {max} s"),
        }
    }
}

fn one_of(known: &[String]) -> String {
    if known.is_empty() { "none can be chosen".into() } else { known.join(", ") }
}
