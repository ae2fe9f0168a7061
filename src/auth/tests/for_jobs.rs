//! What work in a tenant's name may do: what the tenant may at that moment, and no more.

use super::*;
use crate::auth::for_jobs::Asker;
use crate::auth::{Action, StoredKey, Target};
use crate::base::error::ErrorKind;
use crate::base::names::TenantId;
use crate::base::object::{Bucket, CannedAcl};
use crate::base::object_ref::VersionSelector;

fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

fn bucket_of(owner: &str) -> Bucket {
    Bucket {
        name: bucket_name("media"),
        owner: tenant(owner),
        created: NOW,
        acl: CannedAcl::Private.into(),
        documents: Default::default(),
        generation: 1,
        unknown: Default::default(),
    }
}

fn asker(auth: &Auth, id: &str, access_key: Option<&str>) -> Result<Asker> {
    let access_key = access_key.map(|k| AccessKeyId::parse(k).unwrap());
    auth.asker(&tenant(id), access_key.as_ref(), NOW)
}

fn reads(auth: &Auth, id: &str, access_key: Option<&str>, bucket: &Bucket) -> Result<()> {
    let asker = asker(auth, id, access_key)?;
    let k = key("run/k");
    let grant =
        auth.grant_for_job(&asker, Action::GetObject, Target::Object { bucket, key: &k, version: VersionSelector::Current, object: None })?;
    assert_eq!((grant.tenant().as_str(), grant.action(), grant.key()), (id, Action::GetObject, Some(&k)));
    Ok(())
}

#[track_caller]
fn refused(result: Result<()>, why: &str) {
    let e = result.unwrap_err();
    assert!(e.kind() == ErrorKind::AccessDenied && e.message().contains(why), "{e}");
}

#[test]
fn a_job_may_what_its_tenant_may() {
    let auth = auth();
    let bucket = bucket_of("acme");
    reads(&auth, "acme", None, &bucket).unwrap();
    reads(&auth, "acme", Some("AKACME"), &bucket).unwrap();
    reads(&auth, "operator", Some("AKIAIOSFODNN7EXAMPLE"), &bucket).unwrap();
    refused(reads(&auth, "rival", None, &bucket), "no right to s3:GetObject media/run/k");
    refused(reads(&auth, "anonymous", None, &bucket), "no right");
    let rival = asker(&auth, "rival", None).unwrap();
    assert!(auth.may_job_with_some_key(&rival, Action::Purge, &bucket).is_err());
    let acme = asker(&auth, "acme", None).unwrap();
    auth.may_job_with_some_key(&acme, Action::Purge, &bucket).unwrap();
}

#[test]
fn what_was_lost_is_lost_for_queued_work() {
    let dir = folder();
    let (auth, bucket) = (auth_in(dir.path()), bucket_of("acme"));
    let made = StoredKey {
        access_key: AccessKeyId::parse("AKNEW").unwrap(),
        secret: "a-secret".into(),
        tenant: tenant("acme"),
        enabled: true,
        created: NOW,
        expires: None,
    };
    auth.add_key(made.clone()).unwrap();
    reads(&auth, "acme", Some("AKNEW"), &bucket).unwrap();
    // Another tenant's key never speaks for it.
    refused(reads(&auth, "acme", Some("AKRIVAL"), &bucket), "the access key AKRIVAL that asked for it is gone");
    auth.add_key(StoredKey { enabled: false, ..made.clone() }).unwrap();
    refused(reads(&auth, "acme", Some("AKNEW"), &bucket), "AKNEW that asked for it is disabled");
    auth.add_key(StoredKey { expires: Some(NOW), ..made.clone() }).unwrap();
    refused(reads(&auth, "acme", Some("AKNEW"), &bucket), "has expired");
    auth.remove_key(&made.access_key);
    refused(reads(&auth, "acme", Some("AKNEW"), &bucket), "AKNEW that asked for it is gone");
    reads(&auth, "acme", Some("AKACME"), &bucket).unwrap();

    let file = tenant_file("acme", "AKACME", SECRET);
    write(dir.path(), "tenants/acme.toml", &file.replace("[\"tenant-default\"]", "[]"));
    auth.reload().unwrap();
    refused(reads(&auth, "acme", None, &bucket), "no right to s3:GetObject");
    std::fs::remove_file(dir.path().join("tenants/acme.toml")).unwrap();
    auth.reload().unwrap();
    refused(reads(&auth, "acme", None, &bucket), "the tenant is gone");
}
