//! The state that the matrix runs on: made once, read back whole, put in order again after each allowed change.

use std::collections::BTreeMap;

use tidegate::http::s3::operation::Operation;

use crate::s3::matrix::requests::{CORS_RULES, LIFECYCLE_RULES, PUBLISHED, TAGS};
use crate::s3::matrix::rules::{BUCKETS, Bucket, TARGETS, Target, Who};
use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::gateway::{Gateway, operator};
use crate::support::signer::sha256_hex;

pub struct World {
    pub gateway: Gateway,
    client: Client,
    /// For each target the upload in progress, with one part; None where there is no bucket.
    uploads: Vec<Option<String>>,
    pub part_etag: String,
}

pub const PART: &[u8] = b"the one part";

impl World {
    pub fn new() -> Self {
        let gateway = Gateway::start();
        let client = gateway.client();
        let mut world = World { gateway, client, uploads: vec![None; TARGETS.len()], part_etag: String::new() };
        for bucket in BUCKETS.iter().filter(|b| b.owner.is_some()) {
            let owner = match bucket.owner {
                Some("acme") => Who::Acme,
                Some("bravo") => Who::Bravo,
                _ => Who::Operator,
            };
            world.client.make_bucket(&owner.key().unwrap(), bucket.name);
            world.restore_bucket(bucket);
        }
        for target in &TARGETS {
            world.restore_object(target);
            world.restore_upload(target);
        }
        world
    }

    pub fn upload(&self, target: &Target) -> &str {
        self.uploads[target.index()].as_deref().unwrap_or("0000")
    }

    fn send(&mut self, who: Who, request: Request) -> Answer {
        // Whole walks lie between two of them.
        self.client.reconnect();
        self.client.send(&request, Sign::Header(&who.key().unwrap()))
    }

    fn restore_bucket(&mut self, bucket: &Bucket) {
        let path = format!("/{}", bucket.name);
        match bucket.policy {
            Some(policy) => self.send(Who::Operator, Request::new("PUT", &path).query("policy", "").body(policy)).expect(204),
            None => self.send(Who::Operator, Request::new("DELETE", &path).query("policy", "")).expect(204),
        };
        self.send(Who::Operator, Request::new("PUT", &path).query("acl", "").header("x-amz-acl", "private")).expect(200);
        self.send(Who::Operator, Request::new("PUT", &path).query("cors", "").body(CORS_RULES)).expect(200);
        self.send(Who::Operator, Request::new("PUT", &path).query("tagging", "").body(TAGS)).expect(204);
        self.send(Who::Operator, Request::new("PUT", &path).query("lifecycle", "").body(LIFECYCLE_RULES)).expect(200);
        for document in ["ownershipControls", "publicAccessBlock", "website"] {
            self.send(Who::Operator, Request::new("DELETE", &path).query(document, "")).expect(204);
        }
    }

    fn restore_object(&mut self, target: &Target) {
        if target.bucket.owner.is_none() {
            return;
        }
        if !target.exists {
            self.send(Who::Operator, Request::on("DELETE", target.bucket.name, target.key)).expect(204);
            return;
        }
        let mut put = Request::on("PUT", target.bucket.name, target.key)
            .header("x-amz-meta-mark", &target.mark())
            .header("x-amz-tagging", "state=made");
        if target.public_acl {
            put = put.header("x-amz-acl", "public-read");
        }
        self.send(target.writer(), put.body(target.mark())).expect(200);
    }

    fn restore_upload(&mut self, target: &Target) {
        if target.bucket.owner.is_none() {
            return;
        }
        for (key, id) in self.uploads_in(target.bucket.name) {
            if key == target.key {
                self.send(Who::Operator, Request::on("DELETE", target.bucket.name, &key).query("uploadId", &id)).expect(204);
            }
        }
        let writer = target.writer().key().unwrap();
        let id = self.client.create_upload(&writer, target.bucket.name, target.key);
        let part = self.client.upload_part(&writer, target.bucket.name, target.key, &id, 1, PART).expect(200);
        self.part_etag = part.etag();
        self.uploads[target.index()] = Some(id);
    }

    fn uploads_in(&mut self, bucket: &str) -> Vec<(String, String)> {
        let listed = self.send(Who::Operator, Request::new("GET", &format!("/{bucket}")).query("uploads", "")).expect(200);
        let listed = listed.xml("ListMultipartUploadsResult");
        let uploads = listed.children.iter().filter(|c| c.name == "Upload");
        uploads.map(|u| (u.text_of("Key").unwrap().to_owned(), u.text_of("UploadId").unwrap().to_owned())).collect()
    }

    /// After an operation that was allowed: the world as it was.
    pub fn restore(&mut self, operation: Operation, bucket: &'static Bucket, target: Option<&'static Target>) {
        use Operation::*;
        match (operation, target) {
            (CreateBucket, _) => {
                self.send(Who::Operator, Request::new("DELETE", &format!("/{}", bucket.name))).expect(204);
            }
            (DeleteObjects, _) => {
                for target in TARGETS.iter().filter(|t| t.bucket.name == bucket.name && t.exists) {
                    // Only what went: the others must be seen to be untouched.
                    if self.send(Who::Operator, Request::on("HEAD", target.bucket.name, target.key)).status == 404 {
                        self.restore_object(target);
                    }
                }
            }
            (PublishObject, Some(target)) => {
                let key = format!("{}-{}", target.key, &sha256_hex(PUBLISHED.as_bytes())[..32]);
                self.send(Who::Operator, Request::on("DELETE", bucket.name, &key)).expect(204);
            }
            (CompleteMultipartUpload, Some(target)) => {
                self.restore_object(target);
                self.restore_upload(target);
            }
            (CreateMultipartUpload | UploadPart | UploadPartCopy | AbortMultipartUpload, Some(target)) => self.restore_upload(target),
            (_, Some(target)) => self.restore_object(target),
            (_, None) => self.restore_bucket(bucket),
        }
    }

    /// Everything there is, as the operator sees it: by bucket, key, and what of it.
    pub fn state(&mut self) -> BTreeMap<(String, String, &'static str), String> {
        let mut state = BTreeMap::new();
        let listed = self.send(Who::Operator, Request::new("GET", "/")).expect(200);
        let listed = listed.xml("ListAllMyBucketsResult");
        for bucket in &listed.child("Buckets").unwrap().children {
            let name = bucket.text_of("Name").unwrap().to_owned();
            let mut note = |key: &str, what, text: String| state.insert((name.clone(), key.to_owned(), what), text);
            note("", "bucket", format!("{bucket:?}"));
            for what in ["acl", "policy", "cors", "tagging", "lifecycle", "ownershipControls", "publicAccessBlock", "website"] {
                note("", what, shown(&self.send(Who::Operator, Request::new("GET", &format!("/{name}")).query(what, ""))));
            }
            let versions = self.send(Who::Operator, Request::new("GET", &format!("/{name}")).query("versions", "")).expect(200);
            for version in versions.xml("ListVersionsResult").children.iter().filter(|c| c.name == "Version") {
                let key = version.text_of("Key").unwrap().to_owned();
                note(&key, "version", format!("{version:?}"));
                note(&key, "object", shown(&self.send(Who::Operator, Request::on("GET", &name, &key))));
                note(&key, "object tags", shown(&self.send(Who::Operator, Request::on("GET", &name, &key).query("tagging", ""))));
                note(&key, "object acl", shown(&self.send(Who::Operator, Request::on("GET", &name, &key).query("acl", ""))));
            }
            for (key, id) in self.uploads_in(&name) {
                let parts = self.send(Who::Operator, Request::on("GET", &name, &key).query("uploadId", &id));
                note(&key, "upload", shown(&parts));
            }
        }
        state
    }
}

/// An answer without what is its own alone.
pub fn shown(answer: &Answer) -> String {
    let mut headers: Vec<String> =
        answer.headers.iter().filter(|(n, _)| n != "date" && n != "x-amz-request-id").map(|(n, v)| format!("{n}: {v}")).collect();
    headers.sort();
    let mut body = answer.text();
    for element in ["RequestId", "HostId"] {
        if let (Some(from), Some(to)) = (body.find(&format!("<{element}>")), body.find(&format!("</{element}>"))) {
            body.replace_range(from..to, "");
        }
    }
    format!("{} {headers:?} {body}", answer.status)
}

/// The operator's own view is the measure: it must be able to see all.
pub fn sees_all(world: &mut World) {
    let state = world.state();
    for target in TARGETS.iter().filter(|t| t.exists) {
        let object = &state[&(target.bucket.name.to_owned(), target.key.to_owned(), "object")];
        assert!(object.contains(&target.mark()), "{object}");
    }
    assert!(operator().access.starts_with("AK"));
}
