//! Nothing crosses tenants: every caller, through every door, tries every operation on every resource, and gets exactly
//! what an independent model of the rules says. What it may not see it can't tell from what is not there, and what it
//! may not change is the same in every byte afterwards.

mod requests;
mod rules;
pub mod world;

use std::collections::{BTreeMap, BTreeSet};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tidegate::auth::query::Query;
use tidegate::http::s3::operation::Operation;
use tidegate::http::s3::route;
use tidegate::telemetry::metrics;

use crate::s3::matrix::requests::{Place, Row, deletable, places, rows};
use crate::s3::matrix::rules::{OnObject, Outcome, TARGETS, Who, may_change, may_object, on_object, on_version};
use crate::s3::matrix::world::{World, shown};
use crate::support::client::{Answer, Client, Request, Sign};
use crate::support::form::Version;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Door {
    S3,
    S3Presigned,
    Edge,
    EdgePresigned,
}

impl Door {
    const ALL: [Door; 4] = [Door::S3, Door::S3Presigned, Door::Edge, Door::EdgePresigned];

    fn is_edge(self) -> bool {
        matches!(self, Door::Edge | Door::EdgePresigned)
    }

    fn is_presigned(self) -> bool {
        matches!(self, Door::S3Presigned | Door::EdgePresigned)
    }

    /// The edge door reads objects, whatever else the request speaks of.
    fn expected(self, who: Who, row: &Row, place: Place) -> Outcome {
        if self.is_edge() {
            let reads = matches!(&*row.request.method, "GET" | "HEAD");
            match place.target {
                _ if !reads => return (405, "MethodNotAllowed"),
                None => return (404, "NotFound"),
                Some(_) => {}
            }
        }
        if let Some(refused) = who.refused_at_the_door() {
            return refused;
        }
        let expected = (row.expect)(who);
        match place.target.filter(|_| self.is_edge()) {
            Some(target) => {
                let well = (if matches!(expected.0, 206 | 304 | 412) { expected.0 } else { 200 }, "");
                match row.request.query.iter().find(|(name, _)| name == "versionId") {
                    None => on_object(who, OnObject::Read, target, well),
                    Some((_, version)) => on_version(who, OnObject::ReadVersion, target, version, (200, "")),
                }
            }
            None => expected,
        }
    }
}

/// Answers that must be equal, with the request that each belongs to.
type Twins = BTreeMap<(Who, Door, usize, String, &'static str, &'static str), (String, String)>;

#[test]
fn nothing_crosses() {
    let mut world = World::new();
    world::sees_all(&mut world);
    let mut s3 = world.gateway.address(metrics::Door::S3);
    let mut clients = [Client::new(s3), Client::new(world.gateway.address(metrics::Door::Edge))];
    s3.set_port(0);
    let (mut asked, mut allowed, mut routed) = (0, 0, BTreeSet::new());
    let mut twins = Twins::new();
    let mut faults = Vec::new();
    for who in Who::ALL {
        let before = world.state();
        for changing in [false, true] {
            for door in Door::ALL {
                if door.is_presigned() && who == Who::Anonymous {
                    continue;
                }
                clients.iter_mut().for_each(Client::reconnect);
                for &operation in Operation::ALL {
                    for place in places(operation) {
                        for i in 0..rows(operation, place, &world).len() {
                            let row = rows(operation, place, &world).swap_remove(i);
                            let expected = door.expected(who, &row, place);
                            let changes = row.changes && expected.0 < 300 && changes_something(operation, who, place) && !door.is_edge();
                            if changes != changing {
                                continue;
                            }
                            assert_routes_to(operation, &row.request);
                            let answer = send(&mut clients, door, who, &row);
                            let at = format!("{who:?} {door:?} {operation:?} {} {:?}", row.variant, place_name(place));
                            if let Some(fault) = check(&at, &answer, expected, &row, who, operation, place) {
                                faults.push(fault);
                            }
                            note_twin(&mut twins, &mut faults, who, door, operation, &row, place, &answer);
                            asked += 1;
                            if answer.status < 300 {
                                allowed += 1;
                                routed.insert(operation.index());
                            }
                            if changing {
                                world.restore(operation, place.bucket, place.target);
                            }
                        }
                    }
                }
            }
            if !changing {
                assert_eq!(world.state(), before, "{who:?} changed what it was refused");
            }
        }
        let after = world.state();
        for entry in before.keys().chain(after.keys()) {
            if before.get(entry) != after.get(entry) && !may_change(who, &entry.0, &entry.1) {
                faults.push(format!("{who:?} changed {entry:?}: {:?} {:?}", before.get(entry), after.get(entry)));
            }
        }
        assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults[..faults.len().min(20)].join("\n"));
    }
    // No bucket here is empty, nothing is archived, and none keeps versions (`s3::versions` and `s3::lock` have those that do). What is
    // never set can't be found.
    let ends_well = |o: &&Operation| {
        use Operation::*;
        !matches!(
            o,
            DeleteBucket
                | RestoreObject
                | PutBucketVersioning
                | GetObjectLockConfiguration
                | PutObjectLockConfiguration
                | GetObjectRetention
                | PutObjectRetention
                | GetObjectLegalHold
                | PutObjectLegalHold
                | GetBucketEncryption
                | GetBucketReplication
                | GetBucketWebsite
                | GetBucketInventoryConfiguration
                | GetBucketAnalyticsConfiguration
                | GetBucketMetricsConfiguration
                | GetBucketIntelligentTieringConfiguration
                | GetBucketOwnershipControls
                | GetPublicAccessBlock
        )
    };
    let never: Vec<_> = Operation::ALL.iter().filter(ends_well).filter(|o| !routed.contains(&o.index())).collect();
    assert!(never.is_empty(), "never allowed to anyone: {never:?}");
    println!("{asked} requests, {allowed} of them allowed");
}

fn place_name(place: Place) -> String {
    format!("{}/{}", place.bucket.name, place.target.map_or("", |t| t.key))
}

/// A batch delete is answered 200 also where no key of it may go.
fn changes_something(operation: Operation, who: Who, place: Place) -> bool {
    operation != Operation::DeleteObjects || !deletable(who, place.bucket).is_empty()
}

fn send(clients: &mut [Client; 2], door: Door, who: Who, row: &Row) -> Answer {
    let key = who.key();
    if let Some(form) = row.form.clone() {
        let version = if door.is_presigned() { Version::V2 } else { Version::V4 };
        let form = key.map_or(form.clone(), |key| form.signed(&key, version));
        return clients[usize::from(door.is_edge())].send(&form.request(), Sign::No);
    }
    let request = &row.request;
    let sign = match &key {
        None => Sign::No,
        Some(key) if door.is_presigned() => Sign::Presigned(key),
        Some(key) => Sign::Header(key),
    };
    clients[usize::from(door.is_edge())].send(request, sign)
}

/// The row asks for what it says it does.
fn assert_routes_to(operation: Operation, request: &Request) {
    let resource = route::resource(None, &request.path).unwrap();
    let raw = crate::support::signer::query_string(&request.query);
    let headers: HeaderMap =
        request.headers.iter().map(|(n, v)| (HeaderName::from_bytes(n.as_bytes()).unwrap(), HeaderValue::from_str(v).unwrap())).collect();
    let method = Method::from_bytes(request.method.as_bytes()).unwrap();
    let routed = route::route(&method, &resource, &Query::parse(Some(&raw)).unwrap(), &headers).unwrap().operation();
    assert_eq!(routed, operation, "{request:?}");
}

fn check(at: &str, answer: &Answer, expected: Outcome, row: &Row, who: Who, operation: Operation, place: Place) -> Option<String> {
    let got = (answer.status, answer.code());
    let silent = row.request.method == "HEAD" || matches!(answer.status, 204 | 304);
    let code = if silent { "" } else { expected.1 };
    if got.0 != expected.0 || (got.1 != code && expected.0 != 412) {
        return Some(format!("{at}: expected {expected:?}, got {got:?}: {}", answer.text()));
    }
    let text = format!("{:?}{}", answer.headers, answer.text());
    // Whoever failed at the door may read nothing at all, wherever it is.
    let reads = |t: &rules::Target| who.refused_at_the_door().is_none() && may_object(who, OnObject::Read, t);
    if let Some(seen) = TARGETS.iter().find(|t| t.exists && !reads(t) && text.contains(&t.mark())) {
        return Some(format!("{at}: shows {}", seen.mark()));
    }
    if answer.status == 200 && operation == Operation::DeleteObjects {
        let allowed = deletable(who, place.bucket);
        let document = answer.xml("DeleteResult");
        for child in &document.children {
            let key = child.text_of("Key").unwrap_or_default();
            let fine = match &*child.name {
                "Deleted" => allowed.contains(&key),
                _ => !allowed.contains(&key) && child.text_of("Code") == Some("AccessDenied"),
            };
            if !fine {
                return Some(format!("{at}: {child:?}"));
            }
        }
    }
    if answer.status == 200
        && let Some(fault) = foreign_name(who, operation, &text)
    {
        return Some(format!("{at}: {fault}: {text}"));
    }
    None
}

/// Listings show no names but those that the caller may list.
fn foreign_name(who: Who, operation: Operation, text: &str) -> Option<String> {
    use Operation::*;
    let lists = matches!(operation, ListBuckets | ListObjects | ListObjectsV2 | ListObjectVersions | ListMultipartUploads);
    let foreign: &[&str] = match who {
        _ if !lists => &[],
        Who::Acme => &["bravo/hit", "root-hit", "<Name>own-bravo", "<Name>shared</Name><CreationDate"],
        Who::Bravo => &["acme/hit", "root-hit", "<Name>own-acme", "<Name>acl-acme", "<Name>shared</Name><CreationDate"],
        _ => &[],
    };
    foreign.iter().find(|name| text.contains(**name)).map(|name| format!("lists {name}"))
}

/// Refusals of twins must not differ.
#[expect(clippy::too_many_arguments)]
fn note_twin(
    twins: &mut Twins,
    faults: &mut Vec<String>,
    who: Who,
    door: Door,
    operation: Operation,
    row: &Row,
    place: Place,
    answer: &Answer,
) {
    let Some(target) = place.target.filter(|_| answer.status == 403 && who.refused_at_the_door().is_none()) else { return };
    let text = shown(answer).replace(target.key, "KEY");
    let group = (who, door, operation.index(), row.variant.clone(), target.bucket.name, target.twins);
    match twins.get(&group) {
        None => {
            twins.insert(group, (target.key.to_owned(), text));
        }
        Some((other, first)) if *first != text => {
            faults.push(format!("{who:?} {door:?} {operation:?} can tell {other} from {}:\n{first}\n{text}", target.key));
        }
        Some(_) => {}
    }
}
