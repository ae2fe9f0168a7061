//! Forms as browsers send them to S3, signed by hand and without the gateway's own code: in Signature Version 4 or 2, or not at all.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::client::Request;
use crate::support::signer::{self, Key, Scope};

pub const BOUNDARY: &str = "----WebKitFormBoundary7MA4YWxkTrZu0gW";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V2,
    V4,
}

#[derive(Debug, Clone)]
pub struct Form {
    pub bucket: String,
    pub fields: Vec<(String, String)>,
    pub conditions: Vec<Value>,
    /// Seconds from now.
    pub expires: i64,
    pub file_name: String,
    pub content: Vec<u8>,
}

impl Form {
    /// Conditions speak of the bucket and the key.
    pub fn new(bucket: &str, key: &str, content: impl Into<Vec<u8>>) -> Self {
        let form = Form {
            bucket: bucket.into(),
            fields: Vec::new(),
            conditions: vec![json!({ "bucket": bucket })],
            expires: 300,
            file_name: "photo.png".into(),
            content: content.into(),
        };
        form.field("key", key)
    }

    /// With the condition that it has this value.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.conditions.push(json!({ name: value.replace("${filename}", &self.file_name) }));
        self.uncovered(name, value)
    }

    pub fn uncovered(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    pub fn condition(mut self, condition: Value) -> Self {
        self.conditions.push(condition);
        self
    }

    pub fn signed(mut self, key: &Key, version: Version) -> Self {
        let scope = Scope::at(0);
        if version == Version::V4 {
            let credential = format!("{}/{}", key.access, scope.text());
            self = self.field("X-Amz-Algorithm", "AWS4-HMAC-SHA256").field("X-Amz-Credential", &credential);
            self = self.field("X-Amz-Date", &scope.amz_date);
        }
        let date = Scope::at(self.expires).amz_date;
        let part = |from: usize, to: usize| &date[from..to];
        let (day, time) = ([part(0, 4), part(4, 6), part(6, 8)].join("-"), [part(9, 11), part(11, 13), part(13, 15)].join(":"));
        let policy = STANDARD.encode(json!({ "expiration": format!("{day}T{time}Z"), "conditions": self.conditions }).to_string());
        match version {
            Version::V4 => {
                let signature = scope.sign(key, &policy);
                self.uncovered("Policy", &policy).uncovered("X-Amz-Signature", &signature)
            }
            Version::V2 => {
                let signature = signer::sigv2_of(key, &policy);
                self.uncovered("policy", &policy).uncovered("AWSAccessKeyId", &key.access).uncovered("signature", &signature)
            }
        }
    }

    pub fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (name, value) in &self.fields {
            let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
            body.extend_from_slice(head.as_bytes());
        }
        let name = &self.file_name;
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: image/png\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(&self.content);
        // The button.
        let end = format!("\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"submit\"\r\n\r\nUpload\r\n--{BOUNDARY}--\r\n");
        body.extend_from_slice(end.as_bytes());
        body
    }

    pub fn request(&self) -> Request {
        Request::new("POST", &format!("/{}", self.bucket))
            .header("content-type", &format!("multipart/form-data; boundary={BOUNDARY}"))
            .body(self.body())
    }
}
