//! The key layout that platforms of generated media use: `{tenantId}/{runId}/{artifactType}/{filename}`.
//!
//! Pure. A key that is not of this form is a good key; it only says nothing of its run and type.

use super::names::TenantId;

/// The third segment of a key of this layout is one of these.
pub const ARTIFACT_TYPES: [&str; 8] = ["image", "video", "audio", "bundle", "model_3d", "texture", "environment_map", "shader"];

#[derive(Debug, PartialEq, Eq)]
pub struct Layout<'k> {
    pub tenant: TenantId,
    pub run: &'k str,
    pub artifact_type: &'static str,
    /// May hold slashes: a bundle has folders.
    pub filename: &'k str,
}

impl<'k> Layout<'k> {
    pub fn of(key: &'k str) -> Option<Self> {
        let (tenant, run, artifact_type, filename) = segments(key)?;
        Some(Layout { tenant: TenantId::parse(tenant).ok()?, run, artifact_type, filename })
    }
}

/// The run and the artifact type of a key of this layout. Nothing is copied: every request asks.
pub fn run_and_type(key: &str) -> Option<(&str, &'static str)> {
    segments(key).map(|(_, run, artifact_type, _)| (run, artifact_type))
}

fn segments(key: &str) -> Option<(&str, &str, &'static str, &str)> {
    let mut segments = key.splitn(4, '/');
    let (tenant, run, artifact_type, filename) = (segments.next()?, segments.next()?, segments.next()?, segments.next()?);
    let artifact_type = artifact_type_of(artifact_type)?;
    (!run.is_empty() && !filename.is_empty() && TenantId::is_legal(tenant)).then_some((tenant, run, artifact_type, filename))
}

/// The one of `ARTIFACT_TYPES` that is called so.
pub fn artifact_type_of(name: &str) -> Option<&'static str> {
    ARTIFACT_TYPES.into_iter().find(|known| *known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_segments_with_a_known_type() {
        let layout = Layout::of("acme/run 1/bundle/game/index.html").unwrap();
        assert_eq!(layout.tenant.as_str(), "acme");
        assert_eq!((layout.run, layout.artifact_type, layout.filename), ("run 1", "bundle", "game/index.html"));
        for other in ["", "acme/r/image/", "acme//image/x", "/r/image/x", "acme/r/images/x", "acme/r/image", "a.b/r/image/x"] {
            assert_eq!(Layout::of(other), None, "{other}");
            assert_eq!(run_and_type(other), None, "{other}");
        }
    }
}
