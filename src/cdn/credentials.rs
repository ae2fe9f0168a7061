//! Whose name the calls to AWS are made in: the environment's keys, or a profile of the shared credentials file.
//!
//! Read anew for each call, so that rotated keys are taken up. Not here: roles of instances and containers.

use std::path::PathBuf;

use aws_credential_types::Credentials;

const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Err: what is missing, without any secret.
pub fn load(profile: Option<&str>) -> Result<Credentials, String> {
    from(profile, |name| std::env::var(name).ok().filter(|v| !v.is_empty()))
}

fn from(profile: Option<&str>, env: impl Fn(&str) -> Option<String>) -> Result<Credentials, String> {
    let profile = profile.map(str::to_owned).or_else(|| env("AWS_PROFILE"));
    if profile.is_none()
        && let (Some(id), Some(secret)) = (env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY"))
    {
        return Ok(Credentials::new(id, secret, env("AWS_SESSION_TOKEN"), None, "environment"));
    }
    let file = env("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from).or_else(|| Some(PathBuf::from(env("HOME")?).join(".aws/credentials")));
    let missing = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE";
    let Some(file) = file else { return Err(format!("there are no AWS credentials: {missing}")) };
    let name = profile.unwrap_or_else(|| "default".into());
    let text = read(&file).map_err(|e| format!("there are no AWS credentials ({missing}), and {} can't be read: {e}", file.display()))?;
    let value = |key| value(&text, &name, key);
    match (value("aws_access_key_id"), value("aws_secret_access_key")) {
        (Some(id), Some(secret)) => Ok(Credentials::new(id, secret, value("aws_session_token"), None, "profile")),
        _ => Err(format!("{} has no keys for the profile {name:?}", file.display())),
    }
}

fn read(file: &std::path::Path) -> std::io::Result<String> {
    if std::fs::metadata(file)?.len() > MAX_FILE_BYTES {
        return Err(std::io::Error::other("it is larger than 1 MiB"));
    }
    std::fs::read_to_string(file)
}

/// `key = value` under `[profile]`.
fn value(text: &str, profile: &str, key: &str) -> Option<String> {
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            inside = name.trim() == profile;
        } else if inside
            && let Some((name, value)) = line.split_once('=')
            && name.trim().eq_ignore_ascii_case(key)
        {
            return Some(value.trim().to_owned()).filter(|v| !v.is_empty());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_then_profile() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("credentials");
        let text = "[default]\naws_access_key_id = AKD\naws_secret_access_key = sd\n; x\n[ cdn ]\naws_access_key_id=AKC\nAWS_SECRET_ACCESS_KEY = s=c\naws_session_token = tok\n[empty]\n";
        std::fs::write(&file, text).unwrap();
        let file = file.display().to_string();
        let with = |vars: &[(&str, &str)], profile: Option<&str>| {
            let vars: Vec<(String, String)> = vars.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            from(profile, |name| vars.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()))
        };
        let keys = [("AWS_ACCESS_KEY_ID", "AKE"), ("AWS_SECRET_ACCESS_KEY", "se"), ("AWS_SHARED_CREDENTIALS_FILE", &file)];
        assert_eq!(with(&keys, None).unwrap().access_key_id(), "AKE");
        let cdn = with(&keys, Some("cdn")).unwrap();
        assert_eq!((cdn.access_key_id(), cdn.secret_access_key(), cdn.session_token()), ("AKC", "s=c", Some("tok")));
        assert_eq!(with(&keys[2..], None).unwrap().access_key_id(), "AKD");
        assert!(with(&keys, Some("empty")).unwrap_err().contains("no keys for the profile"));
        assert!(with(&[], None).unwrap_err().contains("AWS_ACCESS_KEY_ID"));
    }
}
