//! The key layout that platforms of generated media use: `{tenantId}/{runId}/{artifactType}/{filename}`, and beside the runs what lives
//! longer than one: `sessions/{id}/…`, `projects/{id}/…`, `templates/{id}/…`, in a bucket of several tenants behind `{tenantId}/`.
//!
//! Pure. A key that is not of this form is a good key; it only says nothing of its run and type.

use super::listed::listed;
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

listed! {
    /// What lives longer than a run.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Shelf {
        Session,
        Project,
        Template,
    }
}

impl Shelf {
    pub const fn name(self) -> &'static str {
        match self {
            Shelf::Session => "session",
            Shelf::Project => "project",
            Shelf::Template => "template",
        }
    }

    /// Its segment in keys.
    pub const fn folder(self) -> &'static str {
        match self {
            Shelf::Session => "sessions",
            Shelf::Project => "projects",
            Shelf::Template => "templates",
        }
    }

    pub fn of_folder(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shelf| shelf.folder() == name)
    }
}

/// Where an artifact lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'k> {
    Run { tenant: &'k str, run: &'k str, artifact_type: &'static str },
    Shelf { tenant: Option<&'k str>, shelf: Shelf, id: &'k str },
}

/// Place and file name of an artifact. None: no artifact has such a key. Where a key could be both, it is on its shelf: no run is
/// called `sessions`.
pub fn artifact(key: &str) -> Option<(Place<'_>, &str)> {
    let (first, rest) = key.split_once('/')?;
    if let Some(found) = on_shelf(None, first, rest) {
        return Some(found);
    }
    if let Some((second, rest)) = rest.split_once('/')
        && let Some(found) = on_shelf(Some(first).filter(|tenant| TenantId::is_legal(tenant)), second, rest)
    {
        return Some(found);
    }
    segments(key).map(|(tenant, run, artifact_type, filename)| (Place::Run { tenant, run, artifact_type }, filename))
}

fn on_shelf<'k>(tenant: Option<&'k str>, folder: &str, rest: &'k str) -> Option<(Place<'k>, &'k str)> {
    let (shelf, (id, filename)) = (Shelf::of_folder(folder)?, rest.split_once('/')?);
    (!id.is_empty() && !filename.is_empty()).then_some((Place::Shelf { tenant, shelf, id }, filename))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_lie_in_runs_and_on_shelves() {
        let session = |tenant| Place::Shelf { tenant, shelf: Shelf::Session, id: "s1" };
        assert_eq!(artifact("sessions/s1/image/a.png"), Some((session(None), "image/a.png")));
        assert_eq!(artifact("acme/sessions/s1/metadata.json"), Some((session(Some("acme")), "metadata.json")));
        assert_eq!(artifact("projects/p/x"), Some((Place::Shelf { tenant: None, shelf: Shelf::Project, id: "p" }, "x")));
        let run = Place::Run { tenant: "acme", run: "run-7", artifact_type: "image" };
        assert_eq!(artifact("acme/run-7/image/a/b.png"), Some((run, "a/b.png")));
        for none in ["", "a", "a/b", "sessions/s1", "sessions/s1/", "sessions//x", "acme/run-7/images/x", "acme/run-7/image/"] {
            assert_eq!(artifact(none), None, "{none}");
        }
    }

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
