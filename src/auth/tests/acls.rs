//! Canned ACLs, and the bucket settings that switch them off.

use super::policies::{Gateway, bucket, object, with_document, with_policy};
use super::*;
use crate::auth::{Action, Target};
use crate::base::object::{Bucket, BucketDocument, CannedAcl, ObjectInfo};
use crate::base::object_ref::VersionSelector;

#[test]
fn canned_acls() {
    let g = Gateway::new();
    let reads = |who: &str, b: &Bucket, o: Option<&ObjectInfo>| {
        g.may(who, Action::GetObject, Target::Object { bucket: b, key: &key("k"), version: VersionSelector::Current, object: o })
    };
    let plain = bucket("acme");
    for (acl, anonymous, rival) in [
        (CannedAcl::Private, false, false),
        (CannedAcl::PublicRead, true, true),
        (CannedAcl::PublicReadWrite, true, true),
        (CannedAcl::AuthenticatedRead, false, true),
        (CannedAcl::BucketOwnerRead, false, false),
        (CannedAcl::BucketOwnerFullControl, false, false),
    ] {
        let o = object("acme", acl.into());
        assert_eq!((reads("anonymous", &plain, Some(&o)), reads("rival", &plain, Some(&o))), (anonymous, rival), "{acl:?}");
        assert!(!g.may(
            "rival",
            Action::GetObjectAcl,
            Target::Object { bucket: &plain, key: &key("k"), version: VersionSelector::Current, object: Some(&o) }
        ));
        assert!(!g.may(
            "rival",
            Action::DeleteObject,
            Target::Object { bucket: &plain, key: &key("k"), version: VersionSelector::Current, object: Some(&o) }
        ));
        let b = Bucket { acl: acl.into(), ..bucket("acme") };
        assert_eq!(
            (g.may_bucket("anonymous", Action::ListBucket, &b), g.may_bucket("rival", Action::ListBucket, &b)),
            (anonymous, rival),
            "{acl:?}"
        );
        assert_eq!(g.may_key("anonymous", Action::PutObject, &b, "k"), acl == CannedAcl::PublicReadWrite, "{acl:?}");
        // A bucket's ACL opens the list, not the objects; and never what manages it.
        assert!(!reads("anonymous", &b, Some(&object("acme", CannedAcl::Private.into()))), "{acl:?}");
        for action in [Action::DeleteBucket, Action::PutBucketAcl, Action::PutBucketPolicy, Action::GetBucketAcl] {
            assert!(!g.may_bucket("rival", action, &b));
        }
    }
    // Who wrote an object may read it back.
    let written = object("rival", CannedAcl::Private.into());
    assert!(reads("rival", &plain, Some(&written)) && !reads("anonymous", &plain, Some(&object("anonymous", CannedAcl::Private.into()))));
}

#[test]
fn what_switches_acls_off() {
    let public = object("acme", CannedAcl::PublicRead.into());
    let reads = |g: &Gateway, b: &Bucket| {
        g.may(
            "anonymous",
            Action::GetObject,
            Target::Object { bucket: b, key: &key("k"), version: VersionSelector::Current, object: Some(&public) },
        )
    };
    let g = Gateway::new();
    assert!(reads(&g, &bucket("acme")));
    let ownership = "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule></OwnershipControls>";
    assert!(!reads(&g, &with_document(bucket("acme"), BucketDocument::Ownership, ownership)));
    assert!(reads(&g, &with_document(bucket("acme"), BucketDocument::Ownership, &ownership.replace("Enforced", "Preferred"))));
    let block = "<PublicAccessBlockConfiguration><IgnorePublicAcls>true</IgnorePublicAcls></PublicAccessBlockConfiguration>";
    assert!(!reads(&g, &with_document(bucket("acme"), BucketDocument::PublicAccessBlock, block)));
    let off = Gateway { auth: auth_with(Settings { acl: false, ..Settings::default() }), ..Gateway::new() };
    assert!(!reads(&off, &bucket("acme")));
    // RestrictPublicBuckets shuts a public policy for all but the owner.
    let policy = with_policy("acme", r#"{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"}"#);
    assert!(g.may_key("anonymous", Action::GetObject, &policy, "k"));
    let restricted = with_document(policy, BucketDocument::PublicAccessBlock, &block.replace("IgnorePublicAcls", "RestrictPublicBuckets"));
    assert!(!g.may_key("anonymous", Action::GetObject, &restricted, "k") && !g.may_key("rival", Action::GetObject, &restricted, "k"));
    assert!(g.may_key("acme", Action::GetObject, &restricted, "k"));
}
