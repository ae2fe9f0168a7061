//! Which request is which operation.

use super::*;

fn object(bucket: &str, key: &str) -> Resource {
    Resource::Object(BucketName::parse(bucket).unwrap(), ObjectKey::parse(key).unwrap())
}

#[test]
fn names_from_paths() {
    let r = |bucket: Option<&str>, path: &str| resource(bucket, path).unwrap();
    assert_eq!(r(None, "/"), Resource::Service);
    assert_eq!(r(None, "/abc"), Resource::Bucket(BucketName::parse("abc").unwrap()));
    assert_eq!(r(None, "/abc/"), Resource::Bucket(BucketName::parse("abc").unwrap()));
    assert_eq!(r(None, "/abc/a%2Fb//../c"), object("abc", "a/b//../c"));
    assert_eq!(r(Some("abc"), "/a+b"), object("abc", "a+b"));
    assert_eq!(r(Some("a.b.c"), "//x"), object("a.b.c", "/x"));
    assert_eq!(r(Some("abc"), "/"), Resource::Bucket(BucketName::parse("abc").unwrap()));
    assert!(resource(None, "/A_B/x").is_err());
    assert!(resource(None, "/abc/%ff").is_err());
}

/// A write of a sub-resource that nobody carries out must not become one of what the sub-resource belongs to.
#[test]
fn a_write_is_about_the_sub_resource_that_it_names() {
    let known = Operation::ALL.iter().filter_map(|o| o.sub_resource()).chain(NOT_IMPLEMENTED.iter().copied());
    for name in known {
        for method in [Method::PUT, Method::POST, Method::DELETE] {
            for path in ["/abc", "/abc/k"] {
                let named = resource(None, path).unwrap();
                let query = Query::parse(Some(name)).unwrap();
                if let Ok(routed) = route(&method, &named, &query, &HeaderMap::new()) {
                    assert_eq!(routed.operation().sub_resource(), Some(name), "{method} {path}?{name}");
                }
            }
        }
    }
}

#[test]
fn operations() {
    let op = |method: Method, path: &str, query: &str| {
        let named = resource(None, path).unwrap();
        let routed = route(&method, &named, &Query::parse(Some(query)).unwrap(), &HeaderMap::new());
        routed.map(|r| r.operation()).map_err(|e| e.kind())
    };
    assert_eq!(op(Method::GET, "/", ""), Ok(Operation::ListBuckets));
    assert_eq!(op(Method::PUT, "/abc", ""), Ok(Operation::CreateBucket));
    assert_eq!(op(Method::GET, "/abc", "list-type=2&x-id=1"), Ok(Operation::ListObjectsV2));
    assert_eq!(op(Method::GET, "/abc", "prefix=x"), Ok(Operation::ListObjects));
    assert_eq!(op(Method::GET, "/abc/k", "x-id=GetObject"), Ok(Operation::GetObject));
    assert_eq!(op(Method::PUT, "/abc/k", "partNumber=1&uploadId=x"), Ok(Operation::UploadPart));
    assert_eq!(op(Method::GET, "/abc", "inventory"), Ok(Operation::ListBucketInventoryConfigurations));
    assert_eq!(op(Method::PUT, "/abc", "inventory"), Err(ErrorKind::NotImplemented));
    assert_eq!(op(Method::GET, "/abc/k", "versionId=3"), Ok(Operation::GetObject));
    let version = |query: &str| {
        let named = resource(None, "/abc/k").unwrap();
        match route(&Method::GET, &named, &Query::parse(Some(query)).unwrap(), &HeaderMap::new()).unwrap() {
            Routed::Object(_, _, _, version) => version,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(version(""), None);
    assert_eq!(version("versionId=null"), Some(VersionId::Null));
    assert_eq!(op(Method::GET, "/abc/k", "versionId=null&unknown=1"), Ok(Operation::GetObject));
    assert_eq!(op(Method::PATCH, "/abc/k", ""), Err(ErrorKind::MethodNotAllowed));
    assert_eq!(op(Method::POST, "/abc/k", "restore"), Ok(Operation::RestoreObject));
    assert_eq!(op(Method::PUT, "/abc/k", "restore"), Err(ErrorKind::MethodNotAllowed));
    assert_eq!(op(Method::PUT, "/abc", "versioning"), Ok(Operation::PutBucketVersioning));
    assert_eq!(op(Method::PUT, "/abc/k", "retention&versionId=1"), Ok(Operation::PutObjectRetention));
    assert_eq!(op(Method::PUT, "/abc/k", "versionId=1"), Err(ErrorKind::InvalidArgument));
    assert_eq!(op(Method::GET, "/abc/k", "versionId="), Err(ErrorKind::InvalidArgument));
}
