//! Who may do what: the shipped policy, bucket policies, conditions, and that nothing crosses tenants.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;
use crate::auth::action::Level;
use crate::auth::{Action, BucketPolicy, Identity, Target, Via};
use crate::base::checksum::Checksum;
use crate::base::digest::Md5;
use crate::base::error::ErrorKind;
use crate::base::etag::ETag;
use crate::base::lock::Lock;
use crate::base::names::{BucketName, TenantId};
use crate::base::object::{Acl, Bucket, BucketDocument, CannedAcl, Layer, ObjectHeaders, ObjectInfo};
use crate::base::object_ref::{ObjectRef, VersionId, VersionSelector};

fn tenant_id(s: &str) -> TenantId {
    TenantId::parse(s).unwrap()
}

/// No two states of a bucket have the same generation, as in a store.
static GENERATION: AtomicU64 = AtomicU64::new(1);

pub fn bucket(owner: &str) -> Bucket {
    Bucket {
        name: bucket_name("bucket"),
        owner: tenant_id(owner),
        created: NOW,
        acl: CannedAcl::Private.into(),
        documents: BTreeMap::new(),
        generation: GENERATION.fetch_add(1, Ordering::Relaxed),
        unknown: Default::default(),
    }
}

pub fn with_policy(owner: &str, statements: &str) -> Bucket {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    with_document(bucket(owner), BucketDocument::Policy, &text)
}

pub fn with_document(mut bucket: Bucket, document: BucketDocument, text: &str) -> Bucket {
    bucket.documents.insert(document, text.as_bytes().to_vec());
    bucket.generation = GENERATION.fetch_add(1, Ordering::Relaxed);
    bucket
}

pub fn object(owner: &str, acl: Acl) -> ObjectInfo {
    ObjectInfo {
        size: 1,
        etag: ETag::single(Md5([0; 16])),
        modified: NOW,
        generation: 1,
        owner: tenant_id(owner),
        acl,
        headers: ObjectHeaders::default(),
        version: VersionId::Null,
        lock: Lock::default(),
        tag_count: None,
        encryption: None,
        sha256: None,
        checksum: None::<Checksum>,
        parts: Vec::new(),
        restore: None,
        inspection: None,
        unknown: Default::default(),
        layer: Layer::Store,
    }
}

fn caller(auth: &Auth, who: &str) -> Caller {
    match who {
        "anonymous" => Caller::anonymous(),
        "operator" => Caller { identity: Identity::Operator, ..Caller::anonymous() },
        tenant => Caller {
            via: Via::Header { signed: NOW },
            identity: Identity::Tenant(auth.tenant(&tenant_id(tenant)).unwrap()),
            ..Caller::anonymous()
        },
    }
}

pub struct Gateway {
    pub auth: Auth,
    pub request: Parts,
}

impl Gateway {
    pub fn new() -> Self {
        Gateway { auth: auth(), request: parts(http::Request::get("/")) }
    }

    fn with_tenant_policy(text: &str) -> Self {
        let dir = folder();
        write(dir.path(), "tenant-default.json", text);
        Gateway { auth: Auth::new(Settings::default(), dir.path().to_owned(), operator()).unwrap(), ..Gateway::new() }
    }

    fn asking(self, request: http::request::Builder) -> Self {
        Gateway { request: parts(request), ..self }
    }

    pub fn may(&self, who: &str, action: Action, target: Target<'_>) -> bool {
        self.auth.authorize(&caller(&self.auth, who), action, target, &facts(&self.request)).is_ok()
    }

    pub fn may_key(&self, who: &str, action: Action, bucket: &Bucket, name: &str) -> bool {
        self.may(who, action, Target::Object { bucket, key: &key(name), version: VersionSelector::Current, object: None })
    }

    pub fn may_bucket(&self, who: &str, action: Action, bucket: &Bucket) -> bool {
        self.may(who, action, Target::Bucket(bucket))
    }
}

#[test]
fn the_shipped_policy() {
    let g = Gateway::new();
    let (own, foreign, shared) = (bucket("acme"), bucket("rival"), bucket("operator"));
    assert!(g.may("acme", Action::ListAllMyBuckets, Target::Service));
    assert!(g.may("acme", Action::CreateBucket, Target::NewBucket(&bucket_name("new"))));
    assert!(!g.may("anonymous", Action::ListAllMyBuckets, Target::Service));
    assert!(!g.may("anonymous", Action::CreateBucket, Target::NewBucket(&bucket_name("new"))));
    for action in Action::ALL {
        match action.level() {
            Level::Bucket => {
                assert!(g.may_bucket("acme", *action, &own), "{action}");
                assert!(g.may_bucket("operator", *action, &own), "{action}");
                assert!(!g.may_bucket("anonymous", *action, &own), "{action}");
                assert!(!g.may_bucket("acme", *action, &foreign), "{action}");
                let in_shared = matches!(action, Action::GetBucketLocation | Action::CreateBucket);
                assert_eq!(g.may_bucket("acme", *action, &shared), in_shared, "{action}");
            }
            Level::Object => {
                assert!(g.may_key("acme", *action, &own, "any/key"), "{action}");
                assert!(!g.may_key("acme", *action, &foreign, "acme/key"), "{action}");
                assert!(!g.may_key("anonymous", *action, &own, "any/key"), "{action}");
                for others in ["rival/key", "rival/acme/key", "acme", "acmex/key", "x", "/acme/key"] {
                    assert!(!g.may_key("acme", *action, &shared, others), "{action} {others}");
                }
            }
            Level::Service => {}
        }
    }
    for action in
        [Action::GetObject, Action::PutObject, Action::DeleteObject, Action::AbortMultipartUpload, Action::ListMultipartUploadParts]
    {
        assert!(g.may_key("acme", action, &shared, "acme/run/image/a.png"), "{action}");
    }
    assert!(!g.may_key("acme", Action::PutObjectAcl, &shared, "acme/k"), "what is shared is not published by one");
}

#[test]
fn listing_a_shared_bucket() {
    let shared = bucket("operator");
    for (query, allowed) in [
        ("", false),
        ("?prefix=", false),
        ("?prefix=acme", false),
        ("?prefix=acme/", true),
        ("?prefix=acme%2Frun&delimiter=/", true),
        ("?prefix=acmex/", false),
        ("?prefix=rival/", false),
        ("?prefix=rival/&prefix=acme/", false),
    ] {
        let g = Gateway::new().asking(http::Request::get(format!("/bucket{query}")));
        assert_eq!(g.may_bucket("acme", Action::ListBucket, &shared), allowed, "{query}");
    }
}

#[test]
fn absence_is_told_to_those_who_may_list() {
    let g = Gateway::new();
    let tells = |who: &str, bucket: &Bucket, name: &str| {
        g.auth.may_know_absence(&caller(&g.auth, who), bucket, ObjectRef::current(&bucket.name, &key(name)), &facts(&g.request))
    };
    assert!(tells("acme", &bucket("acme"), "k"));
    assert!(!tells("acme", &bucket("rival"), "k") && !tells("anonymous", &bucket("acme"), "k"));
    let shared = bucket("operator");
    assert!(tells("acme", &shared, "acme/k") && !tells("acme", &shared, "rival/k"));
    let public = Bucket { acl: CannedAcl::PublicRead.into(), ..bucket("rival") };
    assert!(tells("anonymous", &public, "k"));
    let readable = with_policy("rival", r#"{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"}"#);
    assert!(!tells("anonymous", &readable, "k"));
}

#[test]
fn a_careless_policy_never_crosses_tenants() {
    let g = Gateway::with_tenant_policy(r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#);
    for action in Action::ALL {
        assert!(!g.may_bucket("acme", *action, &bucket("rival")), "{action}");
        assert!(!g.may_key("acme", *action, &bucket("rival"), "k"), "{action}");
        let object = object("rival", CannedAcl::Private.into());
        assert!(!g.may(
            "acme",
            *action,
            Target::Object { bucket: &bucket("rival"), key: &key("k"), version: VersionSelector::Current, object: Some(&object) }
        ));
    }
    assert!(g.may_key("acme", Action::GetObject, &bucket("operator"), "rival/k"), "shared buckets are the operator's to share");
}

#[test]
fn deny_wins_wherever_it_stands() {
    const ALLOW: &str =
        r#"{"Effect":"Allow","Principal":{"AWS":"acme"},"Action":"s3:*","Resource":["arn:aws:s3:::bucket","arn:aws:s3:::bucket/*"]}"#;
    const DENY: &str = r#"{"Effect":"Deny","Principal":{"AWS":"acme"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/secret/*"}"#;
    for statements in [format!("{ALLOW},{DENY}"), format!("{DENY},{ALLOW}")] {
        for owner in ["acme", "rival", "operator"] {
            let b = with_policy(owner, &statements);
            let g = Gateway::new();
            assert!(g.may_key("acme", Action::GetObject, &b, "open/k"), "{owner}");
            assert!(!g.may_key("acme", Action::GetObject, &b, "secret/k"), "{owner}");
            // Not even where an ACL or ownership would open it.
            let object = object("acme", CannedAcl::PublicRead.into());
            assert!(!g.may(
                "acme",
                Action::GetObject,
                Target::Object { bucket: &b, key: &key("secret/k"), version: VersionSelector::Current, object: Some(&object) }
            ));
        }
    }
    let g = Gateway::with_tenant_policy(
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"s3:DeleteObject","Resource":"*"}]}"#,
    );
    assert!(!g.may_key("acme", Action::DeleteObject, &with_policy("rival", ALLOW), "k"), "a tenant's own Deny counts everywhere");
}

#[test]
fn nobody_locks_himself_out() {
    let b = with_policy(
        "acme",
        r#"{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::bucket","arn:aws:s3:::bucket/*"]}"#,
    );
    let g = Gateway::new();
    for action in [Action::GetBucketPolicy, Action::PutBucketPolicy, Action::DeleteBucketPolicy] {
        assert!(g.may_bucket("acme", action, &b) && g.may_bucket("operator", action, &b));
        assert!(!g.may_bucket("rival", action, &b) && !g.may_bucket("anonymous", action, &b));
    }
    assert!(!g.may_bucket("acme", Action::ListBucket, &b) && !g.may_bucket("operator", Action::ListBucket, &b));
    // A stored policy that can't be read opens nothing, but can be replaced.
    let broken = with_document(bucket("acme"), BucketDocument::Policy, "{");
    assert!(!g.may_bucket("acme", Action::ListBucket, &broken) && g.may_bucket("acme", Action::PutBucketPolicy, &broken));
}

#[test]
fn principals() {
    let statement = |p: &str| format!(r#"{{"Effect":"Allow",{p},"Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"}}"#);
    let g = Gateway::new();
    for (principal, who, allowed) in [
        (r#""Principal":"*""#, "anonymous", true),
        (r#""Principal":"*""#, "rival", true),
        (r#""Principal":{"AWS":"rival"}"#, "rival", true),
        (r#""Principal":{"AWS":"rival"}"#, "anonymous", false),
        (r#""Principal":{"AWS":"arn:aws:iam::rival:root"}"#, "rival", true),
        (r#""Principal":{"AWS":["arn:aws:iam:::user/nobody","arn:aws:iam:::user/rival"]}"#, "rival", true),
        (r#""Principal":{"CanonicalUser":"rival"}"#, "rival", true),
        (r#""Principal":{"CanonicalUser":"nobody"}"#, "rival", false),
    ] {
        assert_eq!(g.may_key(who, Action::GetObject, &with_policy("acme", &statement(principal)), "k"), allowed, "{principal} {who}");
    }
}

/// With Allow it would open a bucket to everybody but a few: refused. With Deny it shuts out everybody but a few.
#[test]
fn not_principal_only_denies() {
    let statement =
        |effect: &str, p: &str| format!(r#"{{"Effect":"{effect}",{p},"Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"}}"#);
    let not_rival = r#""NotPrincipal":{"AWS":"rival"}"#;
    let document = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statement("Allow", not_rival));
    let refused = BucketPolicy::compile(&BucketName::parse("bucket").unwrap(), document.as_bytes());
    assert_eq!(refused.map(|_| ()).unwrap_err().kind(), ErrorKind::MalformedPolicy);

    let both = format!("{},{}", statement("Allow", r#""Principal":"*""#), statement("Deny", not_rival));
    let g = Gateway::new();
    assert!(g.may_key("rival", Action::GetObject, &with_policy("acme", &both), "k"));
    assert!(!g.may_key("anonymous", Action::GetObject, &with_policy("acme", &both), "k"));
}

/// Statement's condition; the request; who; whether it holds.
#[test]
fn conditions() {
    let get = |path: &str| http::Request::get(format!("/bucket/k{path}"));
    let cases: Vec<(&str, http::request::Builder, bool)> = vec![
        (r#""IpAddress":{"aws:SourceIp":"192.0.2.0/24"}"#, get(""), true),
        (r#""IpAddress":{"aws:SourceIp":["10.0.0.0/8","192.0.2.1"]}"#, get(""), true),
        (r#""IpAddress":{"aws:SourceIp":"10.0.0.0/8"}"#, get("").header("x-forwarded-for", "10.0.0.1"), false),
        (r#""NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}"#, get(""), true),
        (r#""Bool":{"aws:SecureTransport":"true"}"#, get(""), false),
        (r#""Bool":{"aws:SecureTransport":false}"#, get("").header("x-forwarded-proto", "https"), true),
        (r#""DateLessThan":{"aws:CurrentTime":"2013-05-24T00:00:01Z"}"#, get(""), true),
        (r#""DateGreaterThan":{"aws:CurrentTime":"2013-05-24T00:00:00Z"}"#, get(""), false),
        (r#""DateGreaterThanEquals":{"aws:CurrentTime":"2013-05-24"}"#, get(""), true),
        (r#""NumericEquals":{"aws:EpochTime":1369353600}"#, get(""), true),
        (r#""StringLike":{"aws:UserAgent":"Mozilla/*"}"#, get("").header("user-agent", "Mozilla/5.0"), true),
        (
            r#""StringLike":{"aws:Referer":["https://a.example/*","https://b.example/*"]}"#,
            get("").header("referer", "https://b.example/x"),
            true,
        ),
        (r#""StringLike":{"aws:Referer":"https://a.example/*"}"#, get(""), false),
        (r#""StringLikeIfExists":{"aws:Referer":"https://a.example/*"}"#, get(""), true),
        (r#""StringLikeIfExists":{"aws:Referer":"https://a.example/*"}"#, get("").header("referer", "https://b.example"), false),
        (r#""StringNotLike":{"aws:Referer":"https://a.example/*"}"#, get(""), true),
        (r#""Null":{"aws:Referer":"true"}"#, get(""), true),
        (r#""Null":{"aws:Referer":"false"}"#, get(""), false),
        (r#""StringEquals":{"s3:delimiter":"/"}"#, get("?delimiter=%2F"), true),
        (r#""StringEquals":{"s3:prefix":["a b","c"]}"#, get("?prefix=a+b"), true),
        (r#""StringEquals":{"s3:prefix":"a*"}"#, get("?prefix=ab"), false),
        (r#""StringNotEquals":{"s3:prefix":"a"}"#, get("?prefix=b"), true),
        (r#""StringEqualsIgnoreCase":{"s3:prefix":"ABC"}"#, get("?prefix=aBc"), true),
        (r#""StringNotEqualsIgnoreCase":{"s3:prefix":"ABC"}"#, get("?prefix=aBc"), false),
        (r#""NumericLessThanEquals":{"s3:max-keys":"10"}"#, get("?max-keys=10"), true),
        (r#""NumericLessThanEquals":{"s3:max-keys":"10"}"#, get("?max-keys=11"), false),
        (r#""NumericLessThanEquals":{"s3:max-keys":"10"}"#, get(""), false),
        (r#""NumericNotEquals":{"s3:max-keys":"10"}"#, get("?max-keys=11"), true),
        (r#""StringEquals":{"s3:x-amz-acl":["private","public-read"]}"#, get("").header("x-amz-acl", "public-read"), true),
        (r#""StringLike":{"s3:x-amz-copy-source":"src/public/*"}"#, get("").header("x-amz-copy-source", "/src/public/a%20b"), true),
        (r#""StringEquals":{"s3:authType":"REST-HEADER"}"#, get(""), true),
        (r#""NumericLessThan":{"s3:signatureAge":"600000"}"#, get(""), true),
        (r#""StringEquals":{"s3:signatureversion":"AWS4-HMAC-SHA256"}"#, get(""), true),
        (r#""StringEquals":{"aws:username":"rival"}"#, get(""), true),
        (r#""StringEquals":{"aws:PrincipalType":"User"}"#, get(""), true),
        (r#""ArnLike":{"aws:PrincipalArn":"arn:aws:iam:::user/ri*"}"#, get(""), true),
        (r#""StringEquals":{"tidegate:BucketOwner":"acme"}"#, get(""), true),
        (r#""StringLike":{"tidegate:Key":"?"}"#, get(""), true),
        (r#""StringEquals":{"s3:prefix":"${tenant}/"}"#, get("?prefix=rival/"), true),
        (r#""StringEquals":{"s3:prefix":"${aws:username}/"}"#, get("?prefix=acme/"), false),
        (r#""ForAnyValue:StringEquals":{"s3:prefix":["a","b"]}"#, get("?prefix=b"), true),
        (r#""ForAnyValue:StringNotEquals":{"s3:prefix":"a"}"#, get(""), false),
        (r#""ForAllValues:StringEquals":{"s3:prefix":"a"}"#, get(""), true),
        // All must hold.
        (r#""StringEquals":{"s3:prefix":"a","s3:delimiter":"/"}"#, get("?prefix=a"), false),
        (r#""StringEquals":{"s3:prefix":"a"},"Bool":{"aws:SecureTransport":"false"}"#, get("?prefix=a"), true),
    ];
    for (condition, request, holds) in cases {
        let b = with_policy(
            "acme",
            &format!(
                r#"{{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*","Condition":{{{condition}}}}}"#
            ),
        );
        assert_eq!(Gateway::new().asking(request).may_key("rival", Action::GetObject, &b, "k"), holds, "{condition}");
    }
}

#[test]
fn a_variable_without_a_value_opens_nothing() {
    let statement = |effect: &str, rest: &str| {
        with_policy("acme", &format!(r#"{{"Effect":"{effect}","Principal":"*","Action":"s3:GetObject",{rest}}}"#))
    };
    let g = Gateway::new().asking(http::Request::get("/?prefix=x"));
    for rest in [
        r#""Resource":"arn:aws:s3:::bucket/${tenant}*""#,
        r#""NotResource":"arn:aws:s3:::bucket/${tenant}/*""#,
        r#""Resource":"*","Condition":{"StringNotEquals":{"s3:prefix":"${tenant}"}}"#,
    ] {
        assert!(!g.may_key("anonymous", Action::GetObject, &statement("Allow", rest), "k"), "{rest}");
    }
    // In a Deny, "everything but the tenant's own" still denies.
    let public = r#"{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*"}"#;
    let b = with_policy(
        "acme",
        &format!(r#"{public},{{"Effect":"Deny","Principal":"*","Action":"*","NotResource":"arn:aws:s3:::bucket/${{tenant}}/*"}}"#),
    );
    assert!(!g.may_key("anonymous", Action::GetObject, &b, "k") && g.may_key("rival", Action::GetObject, &b, "rival/k"));
}

#[test]
fn a_changed_policy_counts_at_once() {
    let g = Gateway::new();
    let open = with_policy("acme", r#"{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"}"#);
    assert!(g.may_key("anonymous", Action::GetObject, &open, "k"));
    let shut = with_policy("acme", r#"{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*"}"#);
    assert!(!g.may_key("anonymous", Action::GetObject, &shut, "k"));
    assert!(!g.may_key("anonymous", Action::GetObject, &bucket("acme"), "k"));
    assert!(g.may_key("anonymous", Action::GetObject, &open, "k"));
}

#[test]
fn a_grant_says_who_and_what() {
    let g = Gateway::new();
    let b = bucket("acme");
    let k = key("k");
    let grant = g
        .auth
        .authorize(
            &caller(&g.auth, "acme"),
            Action::PutObject,
            Target::Object { bucket: &b, key: &k, version: VersionSelector::Current, object: None },
            &facts(&g.request),
        )
        .unwrap();
    assert_eq!((grant.action(), grant.tenant().as_str(), grant.display()), (Action::PutObject, "acme", "acme"));
    assert_eq!((grant.bucket(), grant.key()), (Some(&b.name), Some(&k)));
    assert!(g.auth.operator(&caller(&g.auth, "operator")).is_ok());
    for who in ["acme", "anonymous"] {
        assert_eq!(g.auth.operator(&caller(&g.auth, who)).unwrap_err().kind(), ErrorKind::AccessDenied);
    }
}

/// What decides, told once more and slowly: for statements without conditions, on one key.
fn model(owner: &str, who: &str, mine: &[(bool, bool)], theirs: &[(bool, bool, bool)]) -> bool {
    // (allow?, speaks of this action?) and, for the bucket, (allow?, this action?, this principal?)
    let denied =
        mine.iter().any(|(allow, action)| !allow && *action) || theirs.iter().any(|(allow, action, who)| !allow && *action && *who);
    let mine_allows = mine.iter().any(|(allow, action)| *allow && *action) && (owner == who || owner == "operator");
    let theirs_allow = theirs.iter().any(|(allow, action, who)| *allow && *action && *who);
    !denied && (mine_allows || theirs_allow)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn decisions_agree_with_the_rule(
        owner in prop_oneof![Just("acme"), Just("rival"), Just("operator")],
        mine in proptest::collection::vec(any::<(bool, bool)>(), 1..4),
        theirs in proptest::collection::vec(any::<(bool, bool, bool)>(), 1..4),
    ) {
        let effect = |allow: bool| if allow { "Allow" } else { "Deny" };
        let action = |this: bool| if this { "s3:GetObject" } else { "s3:PutObject" };
        let tenant: Vec<String> = mine.iter().map(|(e, a)| format!(r#"{{"Effect":"{}","Action":"{}","Resource":"*"}}"#, effect(*e), action(*a))).collect();
        let g = Gateway::with_tenant_policy(&format!(r#"{{"Statement":[{}]}}"#, tenant.join(",")));
        let bucket: Vec<String> = theirs
            .iter()
            .map(|(e, a, w)| {
                let who = if *w { "acme" } else { "someone" };
                format!(r#"{{"Effect":"{}","Principal":{{"AWS":"{who}"}},"Action":"{}","Resource":"arn:aws:s3:::bucket/*"}}"#, effect(*e), action(*a))
            })
            .collect();
        let b = with_policy(owner, &bucket.join(","));
        prop_assert_eq!(g.may_key("acme", Action::GetObject, &b, "k"), model(owner, "acme", &mine, &theirs));
    }
}
