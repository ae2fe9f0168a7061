//! Versions on the edge door: shown by their id to who may read them, kept for good, and nothing said of what is hidden.

use crate::edge::{World, ask, values, world};
use crate::support::client::{Answer, Request, Sign};
use crate::support::gateway::acme;

const IMMUTABLE: &str = "public, max-age=31536000, immutable";

fn allow(world: &mut World, actions: &str) {
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":"*","Action":[{actions}],"Resource":["arn:aws:s3:::media","arn:aws:s3:::media/*"]}}]}}"#
    );
    world.s3.send(&Request::new("PUT", "/media").query("policy", "").body(policy), Sign::Header(&acme())).expect(204);
}

fn made(world: &mut World, body: &str) -> String {
    let put = Request::on("PUT", "media", "k.txt").body(body);
    world.s3.send(&put, Sign::Header(&acme())).expect(200).header("x-amz-version-id").unwrap().to_owned()
}

fn get(world: &mut World, id: Option<&str>) -> Answer {
    let path = id.map_or("/media/k.txt".to_owned(), |id| format!("/media/k.txt?versionId={id}"));
    ask(&mut world.edge, "GET", &path, &[])
}

#[test]
fn a_version_is_shown_to_who_may_read_versions() {
    let mut world = world();
    let keep = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    world.s3.send(&Request::new("PUT", "/media").query("versioning", "").body(keep), Sign::Header(&acme())).expect(200);
    let (old, new) = (made(&mut world, "old"), made(&mut world, "new"));
    allow(&mut world, r#""s3:GetObject""#);
    assert_eq!(get(&mut world, None).expect(200).text(), "new");
    get(&mut world, Some(&old)).expect(403);
    get(&mut world, Some("null")).expect(403);
    allow(&mut world, r#""s3:GetObject","s3:GetObjectVersion""#);
    for (id, body) in [(&old, "old"), (&new, "new")] {
        let shown = get(&mut world, Some(id)).expect(200);
        assert_eq!((shown.text(), values(&shown, "cache-control")), (body.to_owned(), vec![IMMUTABLE]));
        assert_eq!(shown.header("x-amz-version-id"), Some(&**id));
    }
    assert_ne!(values(&get(&mut world, None).expect(200), "cache-control"), [IMMUTABLE], "what the key shows may change");
    get(&mut world, Some("")).expect(400);
    // Its writer's wish counts first.
    let put = Request::on("PUT", "media", "k.txt").body("never kept").header("cache-control", "no-store");
    let id = world.s3.send(&put, Sign::Header(&acme())).expect(200).header("x-amz-version-id").unwrap().to_owned();
    assert_eq!(values(&get(&mut world, Some(&id)).expect(200), "cache-control"), ["no-store"]);
    // A link of its own opens the version that it is for, and is no wider.
    allow(&mut world, r#""s3:GetObject""#);
    let link = Request::on("GET", "media", "k.txt").query("versionId", &old);
    let shown = world.edge.send(&link, Sign::Presigned(&acme())).expect(200);
    assert!(shown.text() == "old" && values(&shown, "cache-control")[0].starts_with("private, max-age="), "{shown:?}");
}

#[test]
fn what_a_marker_hides_is_not_there() {
    let mut world = world();
    let keep = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    world.s3.send(&Request::new("PUT", "/media").query("versioning", "").body(keep), Sign::Header(&acme())).expect(200);
    made(&mut world, "x");
    let deleted = world.s3.send(&Request::on("DELETE", "media", "k.txt"), Sign::Header(&acme())).expect(204);
    let marker = deleted.header("x-amz-version-id").unwrap().to_owned();
    allow(&mut world, r#""s3:GetObject","s3:GetObjectVersion","s3:ListBucket""#);
    let never = ask(&mut world.edge, "GET", "/media/n.txt", &[]).expect(404);
    let names = |answer: &Answer| answer.headers.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>();
    let hidden = get(&mut world, None).expect(404);
    assert_eq!((names(&hidden), hidden.code()), (names(&never), never.code()));
    let itself = get(&mut world, Some(&marker)).expect(404);
    let unknown = get(&mut world, Some(&marker.replace(&marker[20..], "ffffffff"))).expect(404);
    assert_eq!((names(&itself), itself.code()), (names(&unknown), unknown.code()));
    for answer in [&hidden, &itself] {
        assert!(answer.header("x-amz-delete-marker").is_none() && answer.header("x-amz-version-id").is_none(), "{answer:?}");
    }
}
