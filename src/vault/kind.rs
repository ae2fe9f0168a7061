//! The kinds of media that are generated, and the rules of each.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::listed::listed;

listed! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum MediaKind {
        Video,
        Sfx,
        Bgm,
        #[serde(rename = "model_3d")]
        Model3d,
        Image,
        Texture,
        EnvironmentMap,
    }
}

impl MediaKind {
    pub const fn name(self) -> &'static str {
        match self {
            MediaKind::Video => "video",
            MediaKind::Sfx => "sfx",
            MediaKind::Bgm => "bgm",
            MediaKind::Model3d => "model_3d",
            MediaKind::Image => "image",
            MediaKind::Texture => "texture",
            MediaKind::EnvironmentMap => "environment_map",
        }
    }

    /// The kind of its jobs.
    pub const fn job(self) -> &'static str {
        match self {
            MediaKind::Video => "generate-video",
            MediaKind::Sfx => "generate-sfx",
            MediaKind::Bgm => "generate-bgm",
            MediaKind::Model3d => "generate-model_3d",
            MediaKind::Image => "generate-image",
            MediaKind::Texture => "generate-texture",
            MediaKind::EnvironmentMap => "generate-environment_map",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The third segment of the keys of what is made.
    pub const fn artifact_type(self) -> &'static str {
        match self {
            MediaKind::Sfx | MediaKind::Bgm => "audio",
            other => other.name(),
        }
    }

    /// How often a provider is asked, where its file says nothing.
    pub const fn poll(self) -> Duration {
        Duration::from_secs(match self {
            MediaKind::Video | MediaKind::Bgm | MediaKind::EnvironmentMap => 5,
            MediaKind::Model3d => 10,
            MediaKind::Sfx | MediaKind::Image | MediaKind::Texture => 2,
        })
    }

    /// After which a provider has failed.
    pub const fn deadline(self) -> Duration {
        Duration::from_secs(match self {
            MediaKind::Video | MediaKind::EnvironmentMap => 300,
            MediaKind::Bgm => 180,
            MediaKind::Model3d => 600,
            MediaKind::Image | MediaKind::Texture => 60,
            MediaKind::Sfx => 30,
        })
    }

    /// Of one tenant at once.
    pub const fn at_once(self) -> u32 {
        match self {
            MediaKind::Image | MediaKind::Texture => 5,
            _ => 2,
        }
    }

    /// Seconds that may be asked for.
    pub const fn durations(self) -> Option<(f64, f64)> {
        match self {
            MediaKind::Video => Some((4.0, 15.0)),
            MediaKind::Sfx => Some((0.5, 5.0)),
            MediaKind::Bgm => Some((30.0, 120.0)),
            _ => None,
        }
    }

    /// Where a request and a provider's file say nothing: what is not said must not cost nothing.
    pub const fn default_duration(self) -> Option<f64> {
        match self {
            MediaKind::Video => Some(5.0),
            MediaKind::Sfx => Some(2.0),
            MediaKind::Bgm => Some(60.0),
            _ => None,
        }
    }

    /// Pixels of a side that may be asked for.
    pub const fn sizes(self) -> Option<(u32, u32)> {
        match self {
            MediaKind::Image | MediaKind::Texture => Some((512, 4096)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::layout::artifact_type_of;

    #[test]
    fn names_go_both_ways() {
        for kind in MediaKind::ALL {
            assert_eq!(MediaKind::parse(kind.name()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
            assert_eq!(kind.job(), format!("generate-{}", kind.name()));
            assert_eq!(artifact_type_of(kind.artifact_type()), Some(kind.artifact_type()));
        }
    }
}
