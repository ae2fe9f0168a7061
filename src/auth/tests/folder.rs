//! The policies folder: every fault at once with its place, and reloads that replace all or nothing.

use super::*;
use crate::auth::{Action, Fault, Identity, Target};

fn faults(dir: &Path) -> Vec<String> {
    let found = match Auth::new(Settings::default(), dir.to_owned(), operator()) {
        Ok(_) => Vec::new(),
        Err(faults) => faults,
    };
    found.iter().map(|f: &Fault| f.to_string().replace(&format!("{}/", dir.display()), "")).collect()
}

#[test]
fn every_fault_is_named_at_once() {
    let dir = folder();
    write(dir.path(), "broken.json", "{");
    write(dir.path(), "twice.json", r#"{"Statement":[],"Statement":[]}"#);
    write(
        dir.path(),
        "wrong.json",
        r#"{"Version":"2012-10-17","Extra":1,"Statement":[
            {"Effect":"Maybe","Action":["s3:GetObject","s3:Gett*"],"Resource":["arn:aws:s3:::a/${x}","bucket/*"]},
            {"Effect":"Allow","Principal":"*","Action":"s3:*","NotAction":"s3:*","Resource":"*",
             "Condition":{"StringMaybe":{"s3:prefix":"a"},"IpAddress":{"aws:SourceIp":"300.1.1.1","s3:prefix":"1.1.1.1"},"StringEquals":{"aws:Nope":"x"}}}
        ]}"#,
    );
    write(
        dir.path(),
        "tenants/bad.toml",
        r#"
            id = "bad tenant"
            displai = "x"
            policies = ["tenant-default", "missing", "wrong"]
            limits = { bytes = "1 parsec", objects = -1, speed = 1 }
            keys = [
              { access_key = "AK", secret = { value = "x" } },
              { access_key = "AKBAD", secret = { env = "TIDEGATE_TEST_NO_SUCH_VARIABLE" } },
              { access_key = "AKBAD2", secret = { file = "nothing-here" } },
              { access_key = "AKBAD3", secret = "inline" },
              { access_key = "AKBAD4", secret = { value = "x" }, enabled = 1, expires = "soon" },
            ]
        "#,
    );
    write(dir.path(), "tenants/reserved.toml", "id = \"operator\"");
    write(dir.path(), "tenants/syntax.toml", "id = \"a\"\nkeys = [");
    write(dir.path(), "tenants/twin.toml", &tenant_file("acme", "AKACME", "x"));
    let found = faults(dir.path());
    for expected in [
        "broken.json: This policy contains invalid Json",
        "twice.json: This policy contains invalid Json: \"Statement\" is given twice",
        "wrong.json: Extra: ",
        "wrong.json: Statement[0].Effect: ",
        "wrong.json: Statement[0].Action[1]: Policy has invalid action",
        "wrong.json: Statement[0].Resource[0]: the variable ${x}",
        "wrong.json: Statement[0].Resource[1]: Policy has invalid resource",
        "wrong.json: Statement[1]: a tenant's policy has no Principal",
        "wrong.json: Statement[1]: Action and NotAction exclude each other",
        "wrong.json: Statement[1].Condition.StringMaybe.s3:prefix: the operator",
        "wrong.json: Statement[1].Condition.IpAddress.aws:SourceIp: \"300.1.1.1\"",
        "wrong.json: Statement[1].Condition.IpAddress.s3:prefix: the operator does not fit",
        "wrong.json: Statement[1].Condition.StringEquals.aws:Nope: the condition key",
        "tenants/bad.toml: displai: not known",
        "tenants/bad.toml: id: ",
        "tenants/bad.toml: policies[1]: ",
        "tenants/bad.toml: policies[2]: ",
        "tenants/bad.toml: limits.bytes: ",
        "tenants/bad.toml: limits.objects: ",
        "tenants/bad.toml: limits.speed: ",
        "tenants/bad.toml: keys[0].access_key: ",
        "tenants/bad.toml: keys[1].secret: the environment variable TIDEGATE_TEST_NO_SUCH_VARIABLE is not set",
        "tenants/bad.toml: keys[2].secret: can't be read",
        "tenants/bad.toml: keys[3].secret: ",
        "tenants/bad.toml: keys[4].enabled: ",
        "tenants/bad.toml: keys[4].expires: ",
        "tenants/reserved.toml: id: ",
        "tenants/syntax.toml: line 2: ",
        "tenants/twin.toml: id: acme is in ",
        "tenants/twin.toml: keys[0].access_key: AKACME is in ",
    ] {
        assert_eq!(found.iter().filter(|f| f.starts_with(expected)).count(), 1, "{expected:?} in {found:#?}");
    }
    assert_eq!(found.len(), 30, "{found:#?}");
}

#[test]
fn no_fault_and_no_folder() {
    let empty = tempfile::tempdir().unwrap();
    assert!(faults(empty.path()).is_empty(), "no tenants yet");
    assert_eq!(faults(&empty.path().join("not-there")).len(), 1);
    let dir = folder();
    write(dir.path(), "tenants/ops.toml", &tenant_file("ops", "AKIAIOSFODNN7EXAMPLE", "x"));
    assert!(faults(dir.path())[0].contains("operator's access key"));
}

#[test]
fn the_shipped_folder_is_right() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    assert!(faults(&shipped).is_empty());
}

#[test]
fn keys_and_limits_are_read() {
    let dir = folder();
    write(dir.path(), "secret.txt", "from-a-file\n");
    write(
        dir.path(),
        "tenants/full.toml",
        r#"
            id = "full"
            display = "Full Ltd."
            policies = ["tenant-default"]
            limits = { bytes = "1TB", objects = 10_000_000, requests_per_second = 2000, jobs = 4 }
            keys = [
              { access_key = "AKFULL", secret = { file = "../secret.txt" }, expires = 2030-01-01T00:00:00Z },
              { access_key = "AKPATH", secret = { env = "PATH" }, enabled = false },
            ]
        "#,
    );
    let auth = Auth::new(Settings::default(), dir.path().to_owned(), operator()).unwrap();
    let tenant = auth.tenant(&crate::base::names::TenantId::parse("full").unwrap()).unwrap();
    assert_eq!(&*tenant.display, "Full Ltd.");
    assert_eq!(tenant.limits.bytes, Some(1_000_000_000_000));
    assert_eq!((tenant.limits.objects, tenant.limits.requests_per_second, tenant.limits.jobs), (Some(10_000_000), Some(2000), Some(4)));
    let directory = auth.directory.load();
    let key = &directory.key("AKFULL").unwrap().key;
    assert_eq!(key.secret.expose(), "from-a-file");
    assert_eq!(key.expires.unwrap().iso8601(), "2030-01-01T00:00:00.000Z");
    assert!(!directory.key("AKPATH").unwrap().key.enabled);
    let summary = auth.summary();
    assert_eq!((summary.tenants, summary.keys, summary.policies), (3, 5, 1));
    // Written with the usual umask: others can read the secrets in them.
    assert!(summary.warnings.iter().any(|w| w.contains("acme.toml")) && summary.warnings.iter().any(|w| w.contains("secret.txt")));
}

#[test]
fn a_reload_takes_all_or_nothing() {
    let dir = folder();
    let auth = Auth::new(Settings::default(), dir.path().to_owned(), operator()).unwrap();
    let asked = sign(http::Request::get("/b/k"), &[]);
    let before = auth.fingerprint();
    assert_eq!(auth.fingerprint(), before);
    // One good change and one bad: neither counts.
    std::fs::remove_file(dir.path().join("tenants/acme.toml")).unwrap();
    write(dir.path(), "tenants/rival.toml", "id = 5");
    assert_ne!(auth.fingerprint(), before);
    assert_eq!(auth.reload().unwrap_err().len(), 1);
    assert!(ask(&auth, &asked).is_ok());
    write(dir.path(), "tenants/rival.toml", &tenant_file("rival", "AKRIVAL", "x"));
    let summary = auth.reload().unwrap();
    assert_eq!((summary.tenants, summary.keys), (1, 2));
    assert!(ask(&auth, &asked).is_err(), "its file is gone");
}

#[test]
fn a_reload_changes_what_is_allowed() {
    let dir = folder();
    let auth = Auth::new(Settings::default(), dir.path().to_owned(), operator()).unwrap();
    let asked = sign(http::Request::get("/"), &[]);
    let may = |auth: &Auth| {
        let caller = ask(auth, &asked).unwrap();
        assert!(matches!(caller.identity, Identity::Tenant(_)));
        auth.authorize(&caller, Action::ListAllMyBuckets, Target::Service, &facts(&asked)).is_ok()
    };
    assert!(may(&auth));
    write(dir.path(), "tenant-default.json", r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}"#);
    auth.reload().unwrap();
    assert!(!may(&auth));
}
