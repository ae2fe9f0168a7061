//! The keys that the store encrypts with, for the operator: what there is and what is needed, and a new version of the store's own.

use serde_json::{Value, json};

use crate::auth::grant::OperatorGrant;
use crate::base::encryption::KeyState;
use crate::base::error::Result;
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer};

pub async fn keys(exchange: &Exchange<'_>, grant: &OperatorGrant) -> Result<Answer> {
    let states = exchange.gateway.ops.key_states(grant).await?;
    let left: u64 = states.keys.iter().map(KeyState::stale).sum();
    respond::json(&json!({
        "keys": states.keys.iter().map(shown).collect::<Vec<_>>(),
        "rewrap": { "left": left, "running": states.is_wrapping, "unreadable": states.unreadable },
    }))
}

pub async fn rotate(exchange: &Exchange<'_>, grant: &OperatorGrant) -> Result<Answer> {
    let version = exchange.gateway.ops.rotate_own_key(grant).await?;
    exchange.record.is_about(|| format!("the store's own encryption key, version {version}"));
    respond::json(&json!({ "version": version }))
}

/// Without a name it is the store's own.
fn shown(key: &KeyState) -> Value {
    let newest = key.newest();
    let versions = key.versions.iter().map(|version| {
        json!({
            "number": version.number,
            "is_there": version.is_there,
            "wraps": Some(version.number) == newest,
            "needed_by": version.needed_by,
        })
    });
    json!({ "name": key.name.as_ref().map(|name| name.as_str()), "versions": versions.collect::<Vec<_>>() })
}
