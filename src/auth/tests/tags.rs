//! Policies that look at tags: what they allow, and that nothing is allowed by tags that nobody looked up.

use super::policies::{Gateway, bucket, with_policy};
use super::*;
use crate::auth::policy::TagsOf;
use crate::auth::{Action, BucketPolicy, Target};
use crate::base::object::Bucket;
use crate::base::object_ref::VersionSelector;
use crate::base::tags::Tags;

fn tags(text: &str) -> Tags {
    Tags::parse(text).unwrap()
}

/// What anonymous may do with a key, by the tags of the object and of the request.
struct Asking<'a> {
    bucket: &'a Bucket,
    action: Action,
    existing: Option<&'a str>,
    given: Option<&'a str>,
}

impl Asking<'_> {
    fn ask<T>(&self, ask: impl FnOnce(&Auth, &Caller, Target<'_>, &RequestFacts<'_>) -> T) -> T {
        let (g, key) = (Gateway::new(), key("k"));
        let (existing, given) = (self.existing.map(tags), self.given.map(tags));
        let tags = TagFacts { existing: existing.as_ref(), given: given.as_ref() };
        let target = Target::Object { bucket: self.bucket, key: &key, version: VersionSelector::Current, object: None };
        ask(&g.auth, &Caller::anonymous(), target, &RequestFacts { tags, ..facts(&g.request) })
    }

    fn may(&self) -> bool {
        self.ask(|auth, caller, target, facts| auth.authorize(caller, self.action, target, facts).is_ok())
    }

    fn lacks(&self, of: TagsOf) -> bool {
        self.ask(|auth, caller, target, facts| auth.lacks_tags(caller, self.action, target, facts, of))
    }
}

fn statement(effect: &str, action: &str, condition: &str) -> String {
    format!(
        r#"{{"Effect":"{effect}","Principal":"*","Action":"s3:{action}","Resource":"arn:aws:s3:::bucket/*","Condition":{{{condition}}}}}"#
    )
}

#[test]
fn tags_of_the_object() {
    let by_tag = statement("Allow", "Get*", r#""StringEquals":{"s3:ExistingObjectTag/security":"public"}"#);
    let opened = with_policy("acme", &by_tag);
    let may = |action, existing| Asking { bucket: &opened, action, existing, given: Some("") }.may();
    for action in [Action::GetObject, Action::GetObjectAcl, Action::GetObjectTagging, Action::GetObjectVersion] {
        assert!(may(action, Some("foo=bar&security=public")), "{action}");
        for other in ["", "security=private", "security1=public", "Security=public"] {
            assert!(!may(action, Some(other)), "{action} {other}");
        }
        assert!(!may(action, None), "{action}: nothing is allowed by what is not known");
    }
    // It can't depend on the tags who may do this.
    assert!(!may(Action::GetObjectRetention, Some("security=public")));

    let all = r#"{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::bucket/*"}"#;
    let but_secret = statement("Deny", "*", r#""StringLike":{"S3:existingobjecttag/secret":"*"}"#);
    let closed = with_policy("acme", &format!("{all},{but_secret}"));
    let may = |action, existing| Asking { bucket: &closed, action, existing, given: Some("") }.may();
    assert!(may(Action::GetObject, Some("a=b")) && !may(Action::GetObject, Some("secret=")));
    assert!(!may(Action::GetObject, None), "what may be denied is denied while that is not known");
    assert!(may(Action::DeleteObject, None) && may(Action::PutObject, Some("secret=1")));
}

#[test]
fn tags_of_the_request() {
    let by_tag = statement("Allow", "PutObject", r#""StringEquals":{"s3:RequestObjectTag/project":["x","y"]}"#);
    let opened = with_policy("acme", &by_tag);
    let may = |given| Asking { bucket: &opened, action: Action::PutObject, existing: None, given }.may();
    assert!(may(Some("project=x")) && may(Some("a=b&project=y")));
    assert!(!may(Some("project=z")) && !may(Some("")) && !may(None));
}

#[test]
fn keys_of_the_tags_of_the_request() {
    let of = |operator: &str, given: &str| {
        let statement = statement("Allow", "PutObjectTagging", &format!(r#""{operator}":{{"s3:RequestObjectTagKeys":["Owner","Cost*"]}}"#));
        let opened = with_policy("acme", &statement);
        Asking { bucket: &opened, action: Action::PutObjectTagging, existing: None, given: Some(given) }.may()
    };
    for (operator, given, expected) in [
        ("ForAllValues:StringLike", "Owner=1&CostCenter=2", true),
        ("ForAllValues:StringLike", "Owner=1&other=2", false),
        ("ForAllValues:StringLike", "", true),
        ("ForAllValues:StringEquals", "CostCenter=2", false),
        ("ForAnyValue:StringLike", "Owner=1&other=2", true),
        ("ForAnyValue:StringLike", "other=2", false),
        ("ForAnyValue:StringLike", "", false),
        ("ForAllValues:StringNotEquals", "other=1&third=2", true),
        ("ForAllValues:StringNotEquals", "other=1&Owner=2", false),
        ("ForAnyValue:StringNotEquals", "other=1&Owner=2", true),
        ("ForAnyValue:StringNotEquals", "Owner=2", false),
        ("ForAllValues:StringEqualsIgnoreCase", "owner=2", true),
    ] {
        assert_eq!(of(operator, given), expected, "{operator} {given}");
    }
    let null = |given| {
        let opened = with_policy("acme", &statement("Allow", "PutObjectTagging", r#""Null":{"s3:RequestObjectTagKeys":"false"}"#));
        Asking { bucket: &opened, action: Action::PutObjectTagging, existing: None, given }.may()
    };
    assert!(null(Some("a=b")) && !null(Some("")) && !null(None));
}

/// A policy that would not mean what it says is refused.
#[test]
fn what_can_not_be_told_is_refused() {
    let compiled = |condition: &str| {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statement("Allow", "PutObject", condition));
        BucketPolicy::compile(&bucket_name("bucket"), text.as_bytes()).is_ok()
    };
    assert!(compiled(r#""ForAllValues:StringEquals":{"s3:RequestObjectTagKeys":"a"}"#));
    assert!(!compiled(r#""StringEquals":{"s3:RequestObjectTagKeys":"a"}"#));
    assert!(!compiled(r#""StringEquals":{"s3:RequestObjectTag/":"a"}"#));
    assert!(!compiled(r#""StringEquals":{"s3:ExistingObjectTag":"a"}"#));
    assert!(compiled(r#""StringEquals":{"s3:RequestObjectTag/a b/é:=":"a"}"#));
}

/// Tags are looked up only where a statement about this caller, action and resource asks for them.
#[test]
fn who_asks_for_tags() {
    let by_tag = statement("Allow", "GetObject", r#""StringEquals":{"s3:ExistingObjectTag/a":"b"}"#);
    let for_rival = by_tag.replace(r#""Principal":"*""#, r#""Principal":{"AWS":"rival"}"#);
    let elsewhere = by_tag.replace("bucket/*", "bucket/other*");
    let lacks = |bucket: &Bucket, action, existing, of| Asking { bucket, action, existing, given: None }.lacks(of);
    let asking = with_policy("acme", &by_tag);
    assert!(lacks(&asking, Action::GetObject, None, TagsOf::Existing));
    assert!(!lacks(&asking, Action::GetObject, Some("a=c"), TagsOf::Existing), "they are known");
    assert!(!lacks(&asking, Action::GetObjectTagging, None, TagsOf::Existing));
    assert!(!lacks(&asking, Action::GetObject, None, TagsOf::Given));
    for other in [bucket("acme"), with_policy("acme", &for_rival), with_policy("acme", &elsewhere)] {
        assert!(!lacks(&other, Action::GetObject, None, TagsOf::Existing));
    }
}

/// What a tag allows is never an answer for everyone.
#[test]
fn a_shared_cache_keeps_nothing_that_a_tag_opened() {
    let by_tag = statement("Allow", "GetObject", r#""StringEquals":{"s3:ExistingObjectTag/a":"b"}"#);
    let opened = with_policy("acme", &by_tag);
    let object = super::policies::object("acme", crate::base::object::CannedAcl::Private.into());
    let asking = Asking { bucket: &opened, action: Action::GetObject, existing: Some("a=b"), given: Some("") };
    asking.ask(|auth, caller, target, facts| {
        let grant = auth.authorize(caller, Action::GetObject, target, facts).unwrap();
        assert!(!auth.is_for_anyone(&grant, &opened, &object, facts));
    });
}
