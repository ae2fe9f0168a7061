//! An identity provider on this machine: it signs tokens, and shows its keys over plain HTTP.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

pub struct IdentityProvider {
    pub address: SocketAddr,
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    asked: Arc<AtomicUsize>,
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl IdentityProvider {
    pub fn start() -> Self {
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // RSAPublicKey in DER: the modulus, 256 bytes, and an exponent of five with its head.
        let der = rsa.public_key().as_ref().to_vec();
        let (n, e) = (der[der.len() - 261..der.len() - 5].to_vec(), [1, 0, 1]);
        let point = ec.public_key().as_ref().to_vec();
        let keys = json!({ "keys": [
            { "kty": "RSA", "kid": "rsa", "alg": "RS256", "use": "sig", "n": encoded(n), "e": encoded(e) },
            { "kty": "EC", "kid": "ec", "crv": "P-256", "x": encoded(&point[1..33]), "y": encoded(&point[33..]) },
            { "kty": "oct", "kid": "secret", "k": "AAAA" },
        ]});
        let said = json!({ "issuer": format!("http://{address}"), "jwks_uri": format!("http://{address}/keys") });
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        // Ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let first = lines.next().and_then(Result::ok).unwrap_or_default();
                while lines.next().and_then(Result::ok).is_some_and(|line| !line.is_empty()) {}
                counted.fetch_add(1, Ordering::Relaxed);
                let (status, body) = match first.split(' ').nth(1) {
                    Some("/keys") => ("200 OK", keys.to_string()),
                    Some("/.well-known/openid-configuration") => ("200 OK", said.to_string()),
                    _ => ("302 Found\r\nlocation: /keys", String::new()),
                };
                let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            }
        });
        IdentityProvider { address, rsa, ec, asked }
    }

    pub fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests that it has answered.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// Claims of a token that is good: `more` replaces some.
    pub fn claims(&self, more: Value) -> Value {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({ "iss": self.issuer(), "sub": "repo:acme/site", "aud": "sts.amazonaws.com", "iat": now, "exp": now + 600 });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims
    }

    pub fn token(&self, algorithm: &str, key: &str, claims: &Value) -> String {
        let head = json!({ "alg": algorithm, "kid": key, "typ": "JWT" });
        let signed = format!("{}.{}", encoded(head.to_string()), encoded(claims.to_string()));
        let signature = match algorithm {
            "RS256" => {
                let mut signature = vec![0; self.rsa.public_modulus_len()];
                self.rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
                signature
            }
            "ES256" => self.ec.sign(&SystemRandom::new(), signed.as_bytes()).unwrap().as_ref().to_vec(),
            _ => Vec::new(),
        };
        format!("{signed}.{}", encoded(signature))
    }
}
