//! The fields of a form: by name, each once, with the name of the file where the form asks for it.

use crate::base::error::{Error, ErrorKind, Result};

/// In the order in which S3 misses them.
pub(super) const SIGV4: [&str; 4] = ["X-Amz-Signature", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date"];
pub(super) const SIGV2: [&str; 2] = ["Signature", "AWSAccessKeyId"];
pub(super) const POLICY: &str = "policy";
/// What stands for the name of the file.
const FILE_NAME: &str = "${filename}";
/// Fields that begin so are nobody's.
pub(super) const IGNORED: &str = "x-ignore-";

/// The fields of a form, by their names in lower case, each once.
#[derive(Debug, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// `file_name`: as the browser tells it, with or without a path.
    pub fn new(read: Vec<(String, String)>, file_name: &str) -> Result<Self> {
        let file_name = file_name.rsplit(['/', '\\']).next().unwrap_or_default();
        let mut fields: Vec<(String, String)> = Vec::with_capacity(read.len());
        for (name, value) in read {
            let name = name.to_ascii_lowercase();
            if !name.starts_with(IGNORED) && fields.iter().any(|(other, _)| *other == name) {
                let e = Error::new(ErrorKind::InvalidArgument, "The form has this field more than once: which one counts?");
                return Err(e.detail("ArgumentName", name));
            }
            let is_signed_as_it_is = name == POLICY || SIGV4.iter().chain(&SIGV2).any(|field| field.eq_ignore_ascii_case(&name));
            let value = if is_signed_as_it_is { value } else { value.replace(FILE_NAME, file_name) };
            fields.push((name, value));
        }
        Ok(Fields(fields))
    }

    /// `name` in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// One that S3 can't do without.
    pub fn needed(&self, name: &str) -> Result<&str> {
        self.get(&name.to_ascii_lowercase()).ok_or_else(|| {
            let text =
                format!("Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the fields.");
            Error::new(ErrorKind::InvalidArgument, text).detail("ArgumentName", name.to_owned()).detail("ArgumentValue", "")
        })
    }

    pub(super) fn has_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.get(&name.to_ascii_lowercase()).is_some())
    }
}
