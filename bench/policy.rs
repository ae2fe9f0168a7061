//! What a decision costs. `cargo bench --bench policy`; the promises are under 2 µs for a common read, and under
//! 100 µs for the largest policy that may be set.

#![allow(clippy::expect_used, clippy::panic, clippy::unreachable, clippy::unwrap_used, reason = "a bench that panics has failed")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::IpAddr;

use criterion::{Criterion, criterion_group, criterion_main};
use tidegate::auth::query::Query;
use tidegate::auth::{Action, Auth, Caller, Identity, OperatorKey, RequestFacts, Settings, TagFacts, Target};
use tidegate::base::names::{BucketName, ObjectKey, TenantId};
use tidegate::base::object::{Bucket, BucketDocument, CannedAcl};
use tidegate::base::object_ref::VersionSelector;
use tidegate::base::timestamp::Timestamp;

fn bucket(owner: &str, policy: Option<String>) -> Bucket {
    let mut documents = BTreeMap::new();
    if let Some(text) = policy {
        documents.insert(BucketDocument::Policy, text.into_bytes());
    }
    Bucket {
        name: BucketName::parse("assets").expect("a name"),
        owner: TenantId::parse(owner).expect("a name"),
        created: Timestamp::from_secs(1),
        acl: CannedAcl::Private.into(),
        documents,
        generation: 1,
        unknown: Default::default(),
    }
}

fn policy(statements: &[String]) -> Option<String> {
    Some(format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(",")))
}

fn bench(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(dir.path().join("tenants")).expect("a folder");
    std::fs::write(dir.path().join("tenant-default.json"), include_str!("../policies/tenant-default.json")).expect("written");
    let tenant = "id = \"acme\"\npolicies = [\"tenant-default\"]\n";
    std::fs::write(dir.path().join("tenants/acme.toml"), tenant).expect("written");
    let operator = OperatorKey::from_strings("AKROOT", "root-secret-key").expect("a key");
    let auth = Auth::new(Settings::default(), dir.path().to_owned(), operator).expect("no faults");
    let request =
        http::Request::get("/assets/acme/run/model.glb").header("user-agent", "Mozilla/5.0").body(()).expect("legal").into_parts().0;
    let query = Query::default();
    let context = RequestFacts {
        parts: &request,
        query: &query,
        peer: IpAddr::from([192, 0, 2, 1]),
        secure: true,
        now: Timestamp::from_secs(2),
        tags: TagFacts::default(),
        lock: Default::default(),
    };
    let key = ObjectKey::parse("acme/run/model.glb").expect("a key");
    let anonymous = Caller::anonymous();
    let tenant = auth.tenant(&TenantId::parse("acme").expect("a name")).expect("a tenant");
    let acme = Caller { identity: Identity::Tenant(tenant), ..Caller::anonymous() };
    let mut run = |name: &str, caller: &Caller, bucket: &Bucket, allowed: bool| {
        let target = Target::Object { bucket, key: &key, version: VersionSelector::Current, object: None };
        assert_eq!(auth.authorize(caller, Action::GetObject, target, &context).is_ok(), allowed, "{name}");
        c.bench_function(name, |b| b.iter(|| auth.authorize(black_box(caller), Action::GetObject, black_box(target), &context)));
    };

    let public = r#"{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::assets/*"}"#.to_owned();
    run("policy/anonymous public read", &anonymous, &bucket("acme", policy(std::slice::from_ref(&public))), true);

    // Seven statements that do not fit and one that does, with a condition.
    let mut eight: Vec<String> = (0..6)
        .map(|i| format!(r#"{{"Effect":"Deny","Principal":"*","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::assets/tenant-{i}/*/secret/*"}}"#))
        .collect();
    eight.push(
        r#"{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}"#.into(),
    );
    eight.push(public);
    run("policy/anonymous, eight statements", &anonymous, &bucket("acme", policy(&eight)), true);

    run("policy/tenant, own bucket", &acme, &bucket("acme", None), true);
    run("policy/tenant, shared bucket", &acme, &bucket("operator", None), true);
    run("policy/refused", &anonymous, &bucket("acme", None), false);
    largest(c, &auth);
}

/// As many patterns as may be set, made so that each is searched for in all of the longest text there is, and found nowhere.
fn largest(c: &mut Criterion, auth: &Auth) {
    let patterns = |before: &str| vec![format!("\"{before}*aaab*\""); 511].join(",");
    let everyone = r#"{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::assets/*"}"#;
    let deny = |rest: String| format!(r#"{{"Effect":"Deny","Principal":"*","Action":"s3:GetObject",{rest}}}"#);
    let by_key = deny(format!(r#""Resource":[{}]"#, patterns("arn:aws:s3:::assets/")));
    let by_agent =
        deny(format!(r#""Resource":"arn:aws:s3:::assets/*","Condition":{{"StringLike":{{"aws:UserAgent":[{}]}}}}"#, patterns("")));
    let key = ObjectKey::parse(&"a".repeat(1024)).expect("a key");
    let agent = "a".repeat(2048);
    let request = http::Request::get("/assets/a").header("user-agent", agent).body(()).expect("legal").into_parts().0;
    let query = Query::default();
    let context = RequestFacts {
        parts: &request,
        query: &query,
        peer: IpAddr::from([192, 0, 2, 1]),
        secure: true,
        now: Timestamp::from_secs(2),
        tags: TagFacts::default(),
        lock: Default::default(),
    };
    let anonymous = Caller::anonymous();
    for (name, statement) in [("policy/largest, longest key", by_key), ("policy/largest, long header", by_agent)] {
        let policy = policy(&[statement, everyone.to_owned()]);
        auth.compile_bucket_policy(&BucketName::parse("assets").expect("a name"), policy.as_deref().unwrap_or_default().as_bytes())
            .expect("it may be set");
        let bucket = bucket("acme", policy);
        let target = Target::Object { bucket: &bucket, key: &key, version: VersionSelector::Current, object: None };
        assert!(auth.authorize(&anonymous, Action::GetObject, target, &context).is_ok(), "{name}");
        c.bench_function(name, |b| b.iter(|| auth.authorize(&anonymous, Action::GetObject, black_box(target), &context)));
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
