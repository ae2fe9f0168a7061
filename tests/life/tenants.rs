//! `tidegate tenant` beside a gateway and without one: what is made has its rights and limits at once and after a restart, what is disabled
//! opens nothing, and a file counts more.

use serde_json::Value;

use crate::support::binary::{self, Place, Running};
use crate::support::client::{Client, Request, Sign};
use crate::support::signer::Key;

/// Beside the gateway, or where none runs.
fn run(place: &Place, running: Option<&Running>, arguments: &[&str]) -> (i32, String) {
    let mut command = place.command(arguments);
    if let Some(running) = running {
        command.env("TIDEGATE_ADMIN_LISTEN", running.admin.to_string());
    }
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

fn key_of(said: &str) -> Key {
    let of = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap().to_owned();
    Key::new(&of("AWS_ACCESS_KEY_ID"), &of("AWS_SECRET_ACCESS_KEY"))
}

fn listed(place: &Place, running: &Running, tenant: &str) -> Option<Value> {
    let (_, said) = run(place, Some(running), &["tenant", "list", "--json"]);
    let all: Vec<Value> = serde_json::from_str(&said).unwrap();
    all.into_iter().find(|t| t["tenant"] == tenant)
}

#[test]
fn a_tenant_without_a_file_lives_like_another() {
    let place = Place::new();
    let running = place.serve();
    let good = |arguments: &[&str]| {
        let (status, said) = run(&place, Some(&running), arguments);
        assert_eq!(status, 0, "{arguments:?}: {said}");
        said
    };
    let bad = |arguments: &[&str], word: &str| {
        let (status, said) = run(&place, Some(&running), arguments);
        assert!(status != 0 && said.contains(word), "{arguments:?}: {status} {said}");
    };
    let acme = key_of(&good(&["tenant", "add", "acme", "--display", "Acme Inc.", "--limit", "bytes=2KB", "--limit", "jobs=3", "--key"]));
    let mut client = Client::new(running.s3);
    client.make_bucket(&acme, "acme-media");
    client.put(&acme, "acme-media", "a", &[7; 1500]).expect(200);
    client.put(&acme, "acme-media", "b", &[8; 1500]).refused(403, "QuotaExceeded");
    let owner = client.send(&Request::new("GET", "/"), Sign::Header(&acme)).expect(200).text();
    assert!(owner.contains("Acme Inc."), "{owner}");

    assert_eq!(good(&["tenant", "limits", "acme"]), "bytes=2000\njobs=3\n");
    assert_eq!(good(&["tenant", "limits", "acme", "bytes=1MB", "jobs=none"]), "bytes=1000000\n");
    client.put(&acme, "acme-media", "b", &[8; 1500]).expect(200);
    let shown = listed(&place, &running, "acme").unwrap();
    assert_eq!(shown["policies"], serde_json::json!(["tenant-default"]));
    assert_eq!((&shown["limits"], &shown["enabled"]), (&serde_json::json!({ "bytes": 1_000_000 }), &Value::Bool(true)));
    assert!(shown["created"].is_string() && shown.get("file").is_none());

    // What can't be.
    bad(&["tenant", "add", "acme"], "already");
    bad(&["tenant", "add", "operator"], "reserved");
    bad(&["tenant", "add", "A/b"], "tidegate:");
    bad(&["tenant", "add", "other", "--policy", "no-such"], "policies/no-such.json");
    bad(&["tenant", "add", "other", "--limit", "bytes=much"], "bytes");
    bad(&["tenant", "limits", "acme", "jbos=1"], "limits are bytes");
    bad(&["tenant", "limits", "nobody", "jobs=1"], "No tenant of that id was made");
    bad(&["tenant", "remove", "nobody"], "No tenant of that id was made");

    // Disabled, its key opens nothing; its public face and what it stored stay.
    good(&["tenant", "disable", "acme"]);
    client.get(&acme, "acme-media", "a").refused(403, "InvalidAccessKeyId");
    assert_eq!(listed(&place, &running, "acme").unwrap()["enabled"], false);
    assert!(good(&["tenant", "list"]).contains("disabled"));
    good(&["tenant", "enable", "acme"]);
    client.get(&acme, "acme-media", "a").expect(200);

    // A tenant of a file is the file's, and one that a file names later is too.
    place.write("policies/tenants/filed.toml", "id = \"filed\"\npolicies = [\"tenant-default\"]\nlimits = { objects = 5 }\n");
    good(&["key", "make", "acme"]);
    let reload = |client: &mut Client| {
        client.send(&Request::new("POST", "/-/admin/v1/reload"), Sign::Header(&Key::new(binary::ACCESS, binary::SECRET)))
    };
    let mut admin = Client::new(running.admin);
    reload(&mut admin).expect(200);
    bad(&["tenant", "add", "filed"], "filed.toml: it is changed there");
    bad(&["tenant", "disable", "filed"], "changed in their file");
    let filed = listed(&place, &running, "filed").unwrap();
    assert_eq!((&filed["file"], &filed["limits"]["objects"]), (&"tenants/filed.toml".into(), &5.into()));
    drop((client, admin));
    assert!(running.stop().success());

    // Without a gateway, and after a restart; a policy that goes takes the tenant's rights with it, and does not keep others from starting.
    let (status, said) = run(&place, None, &["tenant", "add", "later", "--policy", "narrow"]);
    assert!(status != 0 && said.contains("narrow"), "{said}");
    std::fs::copy(place.path("policies/tenant-default.json"), place.path("policies/narrow.json")).unwrap();
    let (status, said) = run(&place, None, &["tenant", "add", "later", "--policy", "narrow", "--key"]);
    assert_eq!(status, 0, "{said}");
    let later = key_of(&said);
    let running = place.serve();
    let mut client = Client::new(running.s3);
    client.get(&acme, "acme-media", "a").expect(200);
    client.make_bucket(&later, "later-media");
    std::fs::remove_file(place.path("policies/narrow.json")).unwrap();
    let mut admin = Client::new(running.admin);
    let told = reload(&mut admin).expect(200).text();
    assert!(told.contains("narrow"), "{told}");
    client.get(&later, "later-media", "a").refused(403, "InvalidAccessKeyId");
    assert!(listed(&place, &running, "later").unwrap()["fault"].as_str().unwrap().contains("narrow"));
    let (status, _) = run(&place, Some(&running), &["tenant", "remove", "acme"]);
    assert_eq!(status, 0);
    client.get(&acme, "acme-media", "a").refused(403, "InvalidAccessKeyId");
    assert!(listed(&place, &running, "acme").is_none());
    // Each was written down, and by whom.
    let audit = std::fs::read_dir(place.path("data/audit"))
        .unwrap()
        .map(|e| std::fs::read_to_string(e.unwrap().path()).unwrap())
        .collect::<String>();
    for deed in ["ADMIN.POST.TENANTS", "ADMIN.PATCH.TENANT", "ADMIN.DELETE.TENANT"] {
        assert!(audit.contains(deed), "{deed} is not in {audit}");
    }
}
