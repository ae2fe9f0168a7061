//! What lies on disk is for the gateway's user alone, and holds no secret that a tenant was given: after a run on the embedded
//! store, and over S3 with write-back and a cache, whatever umask and what older versions left.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::binary::{self, Place, Running};
use crate::support::client::{Client, Request, Sign};
use crate::support::gateway::files_under;
use crate::support::raw::connect;
use crate::support::signer::Key;

fn operator() -> Key {
    Key::new(binary::ACCESS, binary::SECRET)
}

fn acme() -> Key {
    Key::new("AKACME", "acme-secret-1")
}

/// Everything that writes files of its own: a small log that rotates, variants, and a tenant.
fn place(more: &str) -> Place {
    let place = Place::new();
    place.write(
        "gateway.toml",
        &format!(
            "{more}\n[log]\naccess_file = \"access.log\"\naccess_size = \"1KiB\"\n[store]\nreserve = \"0B\"\nupkeep_interval = \"100ms\"\n\
             grace = \"1s\"\n"
        ),
    );
    let key = acme();
    place.write(
        "policies/tenants/acme.toml",
        &format!(
            "id = \"acme\"\npolicies = [\"tenant-default\"]\nkeys = [{{ access_key = \"{}\", secret = {{ value = \"{}\" }} }}]\n",
            key.access, key.secret
        ),
    );
    place
}

/// Under a umask that forbids nothing.
fn serve(place: &Place, variables: &[(&str, &str)]) -> Running {
    place.serve_by(open_handed(&place.command(&["serve"]), variables))
}

fn open_handed(inner: &Command, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "umask 000; exec \"$0\" \"$@\""]).arg(inner.get_program()).args(inner.get_args());
    command.current_dir(inner.get_current_dir().unwrap()).stdin(std::process::Stdio::null());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env("AWS_EC2_METADATA_DISABLED", "true").envs(variables.iter().copied());
    command
}

fn beside(place: &Place, running: &Running, arguments: &[&str]) -> String {
    let mut command = place.command(arguments);
    let Output { status, stdout, stderr } = command.env("TIDEGATE_ADMIN_LISTEN", running.admin.to_string()).output().unwrap();
    assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// A bit of everything; the secret of the key that was made.
fn work(place: &Place, running: &Running) -> String {
    let made = beside(place, running, &["key", "make", "acme"]);
    let secret = made.lines().find_map(|l| l.strip_prefix("AWS_SECRET_ACCESS_KEY=")).unwrap().to_owned();
    let mut s3 = Client::new(running.s3);
    let bucket = s3.send(&Request::new("PUT", "/media"), Sign::Header(&acme()));
    assert!(matches!(bucket.status, 200 | 409), "{}", bucket.text());
    s3.put(&acme(), "media", "small.txt", &[b'x'; 5000]).expect(200);
    s3.put(&acme(), "media", "large.bin", &vec![7; 300_000]).expect(200);
    let upload = s3.create_upload(&acme(), "media", "open");
    s3.upload_part(&acme(), "media", "open", &upload, 1, &vec![1; 200_000]).expect(200);
    let mut edge = Client::new(running.edge);
    for name in ["small.txt", "large.bin"] {
        let read = Request::on("GET", "media", name).header("accept-encoding", "br");
        edge.send(&read, Sign::Presigned(&acme())).expect(200);
    }
    for _ in 0..10 {
        s3.get(&acme(), "media", "small.txt").expect(200);
    }
    secret
}

/// None: it went away while it was looked at.
fn mode(path: &Path) -> Option<u32> {
    path.symlink_metadata().ok().map(|m| m.permissions().mode() & 0o777)
}

fn is_not(path: &Path, wanted: u32) -> bool {
    mode(path).is_some_and(|mode| mode != wanted)
}

fn folders_under(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.to_owned()];
    let mut at = 0;
    while at < found.len() {
        let below = std::fs::read_dir(&found[at]).into_iter().flatten().flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
        let below: Vec<PathBuf> = below.map(|e| e.path()).collect();
        found.extend(below);
        at += 1;
    }
    found
}

fn logs(place: &Place) -> Vec<PathBuf> {
    let is_log = |p: &PathBuf| p.file_name().unwrap().to_string_lossy().starts_with("access.log");
    std::fs::read_dir(place.dir.path()).unwrap().map(|e| e.unwrap().path()).filter(is_log).collect()
}

#[track_caller]
fn all_private(place: &Place, folders: &[&str]) {
    let mut wrong = Vec::new();
    let mut count = 0;
    for folder in folders.iter().map(|f| place.path(f)) {
        wrong.extend(folders_under(&folder).into_iter().filter(|p| is_not(p, 0o700)));
        let files = files_under(&folder);
        count += files.len();
        wrong.extend(files.into_iter().filter(|p| is_not(p, 0o600)));
    }
    wrong.extend(logs(place).into_iter().filter(|p| is_not(p, 0o600)));
    let shown: Vec<String> = wrong.iter().map(|p| format!("{:o} {}", mode(p).unwrap_or_default(), p.display())).collect();
    assert!(shown.is_empty(), "{shown:#?}");
    assert!(count > 10, "only {count} files: nothing was looked at");
}

fn open_to_all(place: &Place, folders: &[&str]) {
    let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    for folder in folders.iter().map(|f| place.path(f)) {
        folders_under(&folder).iter().for_each(|p| set(p, 0o755));
        files_under(&folder).iter().for_each(|p| set(p, 0o644));
    }
    logs(place).iter().for_each(|p| set(p, 0o644));
}

#[track_caller]
fn nowhere(place: &Place, folders: &[&str], secret: &str) {
    let files = folders.iter().flat_map(|f| files_under(&place.path(f))).chain(logs(place)).chain([place.path("log")]);
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()), "a secret lies in {}", file.display());
    }
}

#[test]
fn the_embedded_store_is_private_and_holds_no_secret() {
    let place = place("");
    let running = serve(&place, &[]);
    let first = work(&place, &running);
    let copy = place.path("copy");
    beside(&place, &running, &["snapshot", copy.to_str().unwrap()]);
    assert!(running.stop().success());
    assert!(logs(&place).len() > 1, "the log was not rotated");
    all_private(&place, &["data", "copy"]);

    open_to_all(&place, &["data"]);
    let running = serve(&place, &[]);
    running.wait_for_log("they are private now");
    running.wait_for_log("its files are private now");
    let second = work(&place, &running);
    all_private(&place, &["data"]);
    assert!(running.stop().success());
    all_private(&place, &["data"]);
    // It opens the index, which writes files of its own.
    let proven = open_handed(&place.command(&["fsck"]), &[]).output().unwrap();
    assert!(proven.status.success(), "{}", String::from_utf8_lossy(&proven.stderr));
    all_private(&place, &["data"]);
    for secret in [&*first, &*second, binary::SECRET] {
        nowhere(&place, &["data", "copy"], secret);
    }
}

#[test]
fn over_s3_with_write_back_and_a_cache_too() {
    let below = Place::new();
    below.write("gateway.toml", "[s3]\ngateways_above = true\n[store]\nreserve = \"0B\"\n");
    let upstream = below.serve();
    let mut s3 = Client::new(upstream.s3);
    s3.make_bucket(&operator(), "home");
    let endpoint = format!("http://{}", upstream.s3);
    let place = place(&format!(
        "[upstream]\nbucket = \"home\"\nendpoint = \"{endpoint}\"\nregion = \"us-east-1\"\n[back]\nbuckets = [\"media\"]\n[cache]\ndir = \"blocks\"\n"
    ));
    let keys = [("AWS_ACCESS_KEY_ID", binary::ACCESS), ("AWS_SECRET_ACCESS_KEY", binary::SECRET)];
    let folders = ["data", "blocks"];
    let mut made = Vec::new();
    for round in 0..2 {
        let running = serve(&place, &keys);
        if round > 0 {
            running.wait_for_log("they are private now");
        }
        made.push(work(&place, &running));
        beside(&place, &running, &["sync"]);
        let mut edge = Client::new(running.edge);
        edge.send(&Request::on("GET", "media", "large.bin"), Sign::Presigned(&acme())).expect(200);
        all_private(&place, &folders);
        assert!(running.stop().success());
        all_private(&place, &folders);
        open_to_all(&place, &folders);
    }
    for secret in made.iter().map(String::as_str).chain([binary::SECRET]) {
        nowhere(&place, &folders, secret);
        nowhere(&below, &["data"], secret);
    }
    assert!(upstream.stop().success());
}

/// What is sealed opens with the secret it was sealed under, and with that one alone.
#[test]
fn another_operators_secret_opens_nothing_and_is_told_what_to_do() {
    const NEW: &str = "another-secret-of-the-operator";
    let place = place("");
    let running = serve(&place, &[]);
    let made = beside(&place, &running, &["key", "make", "acme"]);
    let word = |name: &str| made.lines().find_map(|l| l.strip_prefix(name)).unwrap().to_owned();
    let key = Key::new(&word("AWS_ACCESS_KEY_ID="), &word("AWS_SECRET_ACCESS_KEY="));
    Client::new(running.s3).make_bucket(&key, "media");
    assert!(running.stop().success());

    let refused = place.command(&["key", "list"]).env("TIDEGATE_ROOT_SECRET_KEY", NEW).output().unwrap();
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("TIDEGATE_ROOT_OLD_SECRET_KEY"), "{told}");

    let works = |running: &Running| {
        Client::new(running.s3).put(&key, "media", "k", b"x").expect(200);
        assert_eq!(connect(running.s3).exchange("GET /-/ready HTTP/1.1\r\nHost: t\r\n\r\n").0.status, 200);
    };
    // Changed once, it is sealed under the new one.
    for variables in
        [&[("TIDEGATE_ROOT_SECRET_KEY", NEW), ("TIDEGATE_ROOT_OLD_SECRET_KEY", binary::SECRET)][..], &[("TIDEGATE_ROOT_SECRET_KEY", NEW)]]
    {
        let running = serve(&place, variables);
        works(&running);
        assert!(running.stop().success());
    }
}
