//! Where an artifact is to lie, as calls say it, and what its key says of it. Pure.

use serde_json::{Value, json};

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::layout::{self, ARTIFACT_TYPES, Place, Shelf, artifact_type_of};
use crate::base::names::{ObjectKey, TenantId};

/// Of a run, a session, a project or a template: they are segments of keys, and shown to people.
const MAX_ID_CHARS: usize = 200;

/// What a call says of a place. For a list all of it may be left out.
#[derive(Debug, Clone, Default)]
pub struct Named {
    /// None: the caller's own, in front of a run; none in front of a shelf.
    pub tenant: Option<TenantId>,
    pub run: Option<String>,
    pub artifact_type: Option<String>,
    pub session: Option<String>,
    pub project: Option<String>,
    pub template: Option<String>,
}

/// What a list is of.
#[derive(Debug, PartialEq, Eq)]
pub struct Wanted {
    pub prefix: String,
    /// Of all runs under the prefix.
    pub artifact_type: Option<&'static str>,
}

impl Named {
    /// The key of an artifact that is to be made, before its content has a say in it.
    pub fn key(&self, caller: &TenantId, filename: &str) -> Result<ObjectKey> {
        let folder = match (self.shelf()?, &self.run, self.known_type()?) {
            (Some((shelf, id)), None, None) => self.shelf_folder(shelf, id)?,
            (None, Some(run), Some(artifact_type)) => format!("{}/{}/{artifact_type}/", self.owner(caller), checked("run", run)?),
            _ => {
                let text = "Say where it lies: run and type, or one of session, project and template.";
                return Err(Error::new(ErrorKind::InvalidArgument, text));
            }
        };
        let fits = |segment: &str| !matches!(segment, "" | "." | "..") && !segment.chars().any(char::is_control);
        if !filename.split('/').all(fits) {
            let text = "A file name, or a path of them with slashes between: no empty segment, no \".\" and no \"..\".";
            return Err(invalid("filename", text.to_owned()));
        }
        ObjectKey::parse(&format!("{folder}{filename}"))
    }

    /// What a list is to show.
    pub fn wanted(&self, caller: &TenantId) -> Result<Wanted> {
        let artifact_type = self.known_type()?;
        let (prefix, artifact_type) = match (self.shelf()?, &self.run, artifact_type) {
            (Some((shelf, id)), None, None) => (self.shelf_folder(shelf, id)?, None),
            (Some(_), ..) => return Err(Error::new(ErrorKind::InvalidArgument, "A session, project or template has no run and no type.")),
            (None, Some(run), Some(of)) => (format!("{}/{}/{of}/", self.owner(caller), checked("run", run)?), None),
            (None, Some(run), None) => (format!("{}/{}/", self.owner(caller), checked("run", run)?), None),
            (None, None, of) => (format!("{}/", self.owner(caller)), of),
        };
        Ok(Wanted { prefix, artifact_type })
    }

    fn owner<'n>(&'n self, caller: &'n TenantId) -> &'n TenantId {
        self.tenant.as_ref().unwrap_or(caller)
    }

    fn shelf_folder(&self, shelf: Shelf, id: &str) -> Result<String> {
        let id = checked(shelf.name(), id)?;
        let tenant = self.tenant.as_ref().map(|tenant| format!("{tenant}/")).unwrap_or_default();
        Ok(format!("{tenant}{}/{id}/", shelf.folder()))
    }

    fn shelf(&self) -> Result<Option<(Shelf, &str)>> {
        let said = [(Shelf::Session, &self.session), (Shelf::Project, &self.project), (Shelf::Template, &self.template)];
        let mut said = said.into_iter().filter_map(|(shelf, id)| Some((shelf, id.as_deref()?)));
        match (said.next(), said.next()) {
            (one, None) => Ok(one),
            _ => Err(Error::new(ErrorKind::InvalidArgument, "An artifact lies in one session, project or template.")),
        }
    }

    fn known_type(&self) -> Result<Option<&'static str>> {
        let known = |name: &String| {
            artifact_type_of(name).ok_or_else(|| invalid("type", format!("There is no such type: {} are.", ARTIFACT_TYPES.join(", "))))
        };
        self.artifact_type.as_ref().map(known).transpose()
    }
}

fn checked<'i>(name: &'static str, id: &'i str) -> Result<&'i str> {
    let fits = !matches!(id, "" | "." | "..") && id.chars().count() <= MAX_ID_CHARS && !id.chars().any(|c| c == '/' || c.is_control());
    if !fits {
        return Err(invalid(name, format!("It is one segment of a key: 1 to {MAX_ID_CHARS} characters without a slash.")));
    }
    // Its artifacts would lie on a shelf.
    if name == "run" && Shelf::of_folder(id).is_some() {
        return Err(invalid(name, format!("No run is called {id}.")));
    }
    Ok(id)
}

/// Whether what is made under this key gets the name of its content. Err: no artifact has such a key.
pub fn is_of_run(key: &ObjectKey) -> Result<bool> {
    match layout::artifact(key.as_str()) {
        Some((Place::Run { .. }, _)) => Ok(true),
        Some((Place::Shelf { .. }, _)) => Ok(false),
        None => {
            let text = format!(
                "Artifacts lie under TENANT/RUN/TYPE/FILENAME, with one of the types {}, or under sessions/, projects/ or templates/.",
                ARTIFACT_TYPES.join(", ")
            );
            Err(Error::new(ErrorKind::InvalidArgument, text))
        }
    }
}

/// What a key says.
pub fn told(key: &str) -> Value {
    match layout::artifact(key) {
        None => json!({}),
        Some((Place::Run { tenant, run, artifact_type }, filename)) => {
            json!({ "tenant": tenant, "run": run, "type": artifact_type, "filename": filename })
        }
        Some((Place::Shelf { tenant, shelf, id }, filename)) => {
            let mut told = json!({ "tenant": tenant, "filename": filename });
            told[shelf.name()] = json!(id);
            told
        }
    }
}

pub fn invalid(name: &str, text: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, text).detail("ArgumentName", name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(said: &[(&str, &str)]) -> Named {
        let value = |name: &str| said.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        let tenant = value("tenant").map(|tenant| TenantId::parse(&tenant).unwrap());
        Named {
            tenant,
            run: value("run"),
            artifact_type: value("type"),
            session: value("session"),
            project: value("project"),
            template: value("template"),
        }
    }

    #[test]
    fn places() {
        let caller = TenantId::parse("acme").unwrap();
        let key = |said: &[(&str, &str)], file: &str| of(said).key(&caller, file).map(|key| key.as_str().to_owned()).ok();
        let list = |said: &[(&str, &str)]| of(said).wanted(&caller).map(|wanted| (wanted.prefix, wanted.artifact_type)).ok();
        let is = |text: &str| Some(text.to_owned());
        assert_eq!(key(&[("run", "r"), ("type", "image")], "a/b.png"), is("acme/r/image/a/b.png"));
        assert_eq!(key(&[("tenant", "x"), ("run", "r"), ("type", "image")], "b"), is("x/r/image/b"));
        assert_eq!(key(&[("session", "s")], "metadata.json"), is("sessions/s/metadata.json"));
        assert_eq!(key(&[("session", "s"), ("tenant", "acme")], "m"), is("acme/sessions/s/m"));
        for wrong in [
            &[("run", "r")][..],
            &[("type", "image")],
            &[("run", "a/b"), ("type", "image")],
            &[("run", ".."), ("type", "image")],
            &[("run", "sessions"), ("type", "image")],
            &[("run", "r"), ("type", "images")],
            &[("session", "s"), ("project", "p")],
            &[("session", "s"), ("run", "r")],
            &[],
        ] {
            assert_eq!(key(wrong, "x"), None, "{wrong:?}");
        }
        for file in ["", "/x", "a//b", "../x", "a/", "a\nb"] {
            assert_eq!(key(&[("session", "s")], file), None, "{file:?}");
        }
        let all = |prefix: &str| Some((prefix.to_owned(), None));
        assert_eq!(list(&[]), all("acme/"));
        assert_eq!(list(&[("run", "r")]), all("acme/r/"));
        assert_eq!(list(&[("run", "r"), ("type", "video")]), all("acme/r/video/"));
        assert_eq!(list(&[("type", "video"), ("tenant", "x")]), Some(("x/".to_owned(), Some("video"))));
        assert_eq!(list(&[("project", "p")]), all("projects/p/"));
        assert_eq!(list(&[("project", "p"), ("type", "video")]), None);
    }
}
