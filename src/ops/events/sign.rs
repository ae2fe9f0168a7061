//! The signature of what is sent, after the specification Standard Webhooks: HMAC-SHA-256 over id, time and body. The receiver recomputes it, and
//! refuses what is older than a few minutes, so that nobody plays it back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::auth::keys::{Secret, hmac_sha256};

const PREFIX: &str = "whsec_";

/// Of all live secrets, with a space between: a receiver that knows one of them is content.
pub fn signatures(secrets: &[Secret], id: &str, seconds: u64, body: &str) -> String {
    let signed = format!("{id}.{seconds}.{body}");
    let all = secrets.iter().map(|secret| format!("v1,{}", STANDARD.encode(hmac_sha256(&key(secret), signed.as_bytes()))));
    all.collect::<Vec<_>>().join(" ")
}

/// `whsec_` and base64, as the specification writes secrets; of any other, its bytes.
fn key(secret: &Secret) -> Vec<u8> {
    let text = secret.expose();
    text.strip_prefix(PREFIX).and_then(|rest| STANDARD.decode(rest).ok()).unwrap_or_else(|| text.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn as_the_specification_signs() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let made = signatures(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(made, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn one_for_each_secret() {
        let secrets = [Secret::new("a-secret-in-plain-words"), Secret::new("whsec_no base64 at all!")];
        assert_eq!(signatures(&secrets, "i", 1, "b").split(' ').count(), 2);
        assert_eq!(signatures(&[], "i", 1, "b"), "");
    }
}
