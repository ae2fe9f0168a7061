//! `tidegate check`: reads everything the operator wrote, opens nothing, and names every fault.

use super::Failure;
use crate::app::reload::load_secrets;
use crate::auth::Auth;
use crate::auth::operator::OperatorKey;
use crate::config::fault::Fault;
use crate::config::{Config, DEFAULT_FILE, load};
use crate::local::needed_keys;
use crate::net::tls::Tls;

pub fn run(loaded: Result<Config, Vec<Fault>>, environment: &[(String, String)]) -> Result<(), Failure> {
    for name in load::unknown_variables(environment) {
        println!("warning: the environment variable {name} means nothing to this version");
    }
    let mut faults = Vec::new();
    let config = loaded.unwrap_or_else(|found| {
        faults.extend(found.iter().map(Fault::to_string));
        Config::default()
    });
    // With a faulty configuration the folders it names are not known; the rest waits until that is mended.
    if faults.is_empty() {
        let summary = check_folders(&config, &mut faults);
        if let Some(summary) = summary.filter(|_| faults.is_empty()) {
            let file = config.file.as_ref().map_or_else(|| format!("no {DEFAULT_FILE}, the defaults"), |f| f.display().to_string());
            println!("good: {file}; {summary}");
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Failure::Usage(faults)) }
}

/// No key goes, and no version of one, that something stored needs.
fn check_encryption_keys(config: &Config, faults: &mut Vec<String>) {
    let keys = match config.named_keys() {
        Ok(keys) => keys,
        Err(found) => return faults.extend(found),
    };
    // An S3 encrypts with keys of its own.
    if config.upstream_settings().is_some() {
        return;
    }
    let needed = match needed_keys::read(&config.store.dir) {
        Ok(needed) => needed,
        Err(e) => return faults.push(format!("which encryption keys {} needs can't be read: {e}", config.store.dir.display())),
    };
    for needed in needed_keys::missing(needed, &keys) {
        let which =
            format!("version {} of the encryption key {:?} is not there, and something stored needs it", needed.version, needed.key);
        match config.store.allow_missing_keys {
            true => println!("warning: {which}: it can't be read"),
            false => faults.push(format!(
                "{which}: bring it back in [[encryption_key]]. `tidegate encryption keys` shows how much needs it; encryption.allow_missing_keys = \
                 true does without"
            )),
        }
    }
}

/// What was found, unless the policies are faulty.
fn check_folders(config: &Config, faults: &mut Vec<String>) -> Option<String> {
    if config.wants_tls()
        && let Err(found) = Tls::load_with_clients(&config.certificates, config.client_authorities.as_deref())
    {
        faults.extend(found.iter().map(ToString::to_string));
    }
    if let Err(found) = load_secrets(&config.doors.caller_secrets()) {
        faults.extend(found);
    }
    if let Err(found) = config.replica_settings() {
        faults.extend(found);
    }
    if let Err(found) = config.shadow_settings() {
        faults.extend(found);
    }
    check_encryption_keys(config, faults);
    // Only stands in: checking must not make the operator's key.
    let operator = OperatorKey::from_strings("tidegate-check", "stands-in").map_err(|e| faults.push(e)).ok()?;
    match Auth::new(config.auth.clone(), config.policies.clone(), operator) {
        Ok(auth) => {
            let summary = auth.summary();
            summary.warnings.iter().for_each(|w| println!("warning: {w}"));
            Some(format!("{} tenants, {} keys in files, {} policies", summary.tenants, summary.keys.saturating_sub(1), summary.policies))
        }
        Err(found) => {
            faults.extend(found.iter().map(ToString::to_string));
            None
        }
    }
}
