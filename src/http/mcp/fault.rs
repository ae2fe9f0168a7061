//! Errors of JSON-RPC: its codes, and what of ours becomes which.

use serde_json::{Value, json};

use crate::base::error::{Error, Side};
use crate::http::respond::code_and_status;

/// Why a message has no result.
pub struct Fault {
    code: i32,
    message: String,
}

impl Fault {
    pub fn parse(why: &str) -> Self {
        Fault { code: -32700, message: format!("The body is no JSON: {why}") }
    }

    pub fn request(why: &str) -> Self {
        Fault { code: -32600, message: why.to_owned() }
    }

    pub fn parameters(why: impl Into<String>) -> Self {
        Fault { code: -32602, message: why.into() }
    }

    pub fn method(name: &str) -> Self {
        Fault { code: -32601, message: format!("There is no method {name:?} here.") }
    }

    pub fn told(&self, id: Value) -> Value {
        json!({ "jsonrpc": "2.0", "id": id, "error": { "code": self.code, "message": self.message } })
    }
}

impl From<Error> for Fault {
    fn from(e: Error) -> Self {
        let code = if e.side() == Side::Caller { -32602 } else { -32603 };
        Fault { code, message: format!("{}: {}", code_and_status(e.kind()).0, e.message()) }
    }
}
