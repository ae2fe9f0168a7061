//! What was found in a file of a media type: a verdict, what it is, and what is wrong with it.
//!
//! Facts are numbers by a name; what a newer inspector knows beside them is kept and not shown. Made by `media`, kept beside the version
//! of an object by its store, shown by the doors.

use serde_json::{Value, json};

use super::listed::listed;

/// More than this is not said of one file.
pub const MAX_FINDINGS: usize = 16;
pub const MAX_FINDING_CHARS: usize = 240;
pub const MAX_NAMES: usize = 32;
pub const MAX_NAME_CHARS: usize = 64;
const HEADER_PREFIX: &str = "x-tidegate-media-";

listed! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Verdict {
        Passed,
        /// It can be used, and something about it should be looked at.
        Flagged,
        /// It is not what it says it is, or is broken.
        Refused,
        /// It was not looked into, for a reason that the findings say.
        Skipped,
        /// The inspection itself did not come to an end: the file broke the worker, or went past its limits.
        Failed,
    }
}

impl Verdict {
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Flagged => "flagged",
            Verdict::Refused => "refused",
            Verdict::Skipped => "skipped",
            Verdict::Failed => "failed",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|v| v.name() == name)
    }

    /// Its byte in the stored form.
    pub const fn number(self) -> u8 {
        match self {
            Verdict::Passed => 0,
            Verdict::Flagged => 1,
            Verdict::Refused => 2,
            Verdict::Skipped => 3,
            Verdict::Failed => 4,
        }
    }
}

listed! {
    /// What can be counted or measured of a file.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Fact {
        Width,
        Height,
        Depth,
        Frames,
        DurationMs,
        Channels,
        SampleRate,
        BitsPerSample,
        Triangles,
        Vertices,
        Meshes,
        Materials,
        Textures,
        /// The larger side of the largest texture.
        TextureSide,
        /// What its textures take as pixels with mipmaps.
        TextureBytes,
        Animations,
        Skins,
        MorphTargets,
        Nodes,
        Levels,
        Layers,
        Faces,
    }
}

impl Fact {
    /// As JSON has it.
    pub fn name(self) -> &'static str {
        self.header().trim_start_matches(HEADER_PREFIX)
    }

    pub const fn header(self) -> &'static str {
        match self {
            Fact::Width => "x-tidegate-media-width",
            Fact::Height => "x-tidegate-media-height",
            Fact::Depth => "x-tidegate-media-depth",
            Fact::Frames => "x-tidegate-media-frames",
            Fact::DurationMs => "x-tidegate-media-duration-ms",
            Fact::Channels => "x-tidegate-media-channels",
            Fact::SampleRate => "x-tidegate-media-sample-rate",
            Fact::BitsPerSample => "x-tidegate-media-bits-per-sample",
            Fact::Triangles => "x-tidegate-media-triangles",
            Fact::Vertices => "x-tidegate-media-vertices",
            Fact::Meshes => "x-tidegate-media-meshes",
            Fact::Materials => "x-tidegate-media-materials",
            Fact::Textures => "x-tidegate-media-textures",
            Fact::TextureSide => "x-tidegate-media-texture-side",
            Fact::TextureBytes => "x-tidegate-media-texture-bytes",
            Fact::Animations => "x-tidegate-media-animations",
            Fact::Skins => "x-tidegate-media-skins",
            Fact::MorphTargets => "x-tidegate-media-morph-targets",
            Fact::Nodes => "x-tidegate-media-nodes",
            Fact::Levels => "x-tidegate-media-levels",
            Fact::Layers => "x-tidegate-media-layers",
            Fact::Faces => "x-tidegate-media-faces",
        }
    }

    /// In the stored form. Never changed, and never used again.
    pub const fn number(self) -> u16 {
        match self {
            Fact::Width => 0,
            Fact::Height => 1,
            Fact::Depth => 2,
            Fact::Frames => 3,
            Fact::DurationMs => 4,
            Fact::Channels => 5,
            Fact::SampleRate => 6,
            Fact::BitsPerSample => 7,
            Fact::Triangles => 8,
            Fact::Vertices => 9,
            Fact::Meshes => 10,
            Fact::Materials => 11,
            Fact::Textures => 12,
            Fact::TextureSide => 13,
            Fact::TextureBytes => 14,
            Fact::Animations => 15,
            Fact::Skins => 16,
            Fact::MorphTargets => 17,
            Fact::Nodes => 18,
            Fact::Levels => 19,
            Fact::Layers => 20,
            Fact::Faces => 21,
        }
    }

    pub fn of_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|fact| fact.number() == number)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// It is reason to refuse the file; otherwise to look at it.
    pub fault: bool,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Which inspector said so: a newer one may see more.
    pub inspector: u16,
    pub verdict: Verdict,
    /// What it is by its bytes, such as `glb`. Empty: nothing that is known.
    pub format: String,
    /// By number, in the order of numbers.
    pub facts: Vec<(u16, u64)>,
    /// Of a model; of a container the codecs.
    pub names: Vec<String>,
    pub findings: Vec<Finding>,
}

impl Inspection {
    pub fn fact(&self, fact: Fact) -> Option<u64> {
        self.facts.iter().find(|(number, _)| *number == fact.number()).map(|(_, value)| *value)
    }

    /// Those that have a name here.
    pub fn known_facts(&self) -> impl Iterator<Item = (Fact, u64)> {
        self.facts.iter().filter_map(|(number, value)| Some((Fact::of_number(*number)?, *value)))
    }

    /// As the API and the command show it.
    pub fn as_json(&self) -> Value {
        let facts: serde_json::Map<String, Value> =
            self.known_facts().map(|(fact, value)| (fact.name().to_owned(), json!(value))).collect();
        json!({
            "verdict": self.verdict.name(),
            "format": self.format,
            "facts": facts,
            "uses": self.names,
            "findings": self.findings.iter().map(|f| json!({ "fault": f.fault, "text": f.text })).collect::<Vec<_>>(),
            "inspector": self.inspector,
        })
    }

    /// Nothing was looked into.
    pub fn without_a_look(inspector: u16, verdict: Verdict, why: &str) -> Self {
        let findings = vec![Finding { fault: verdict == Verdict::Failed, text: cut(why, MAX_FINDING_CHARS) }];
        Inspection { inspector, verdict, format: String::new(), facts: Vec::new(), names: Vec::new(), findings }
    }
}

/// Printable, and no longer than so many characters: it comes out of files of anybody's.
pub fn cut(text: &str, max: usize) -> String {
    let mut shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(max).collect();
    if text.chars().nth(max).is_some() {
        shown.pop();
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_each_for_one() {
        for (n, fact) in Fact::ALL.into_iter().enumerate() {
            assert_eq!((usize::from(fact.number()), Fact::of_number(fact.number())), (n, Some(fact)));
        }
        for (n, verdict) in Verdict::ALL.into_iter().enumerate() {
            assert_eq!((usize::from(verdict.number()), Verdict::parse(verdict.name())), (n, Some(verdict)));
        }
        assert_eq!((cut("a\nb", 9), cut("abcdef", 4)), ("a b".into(), "abc…".into()));
    }
}
