//! Hosts and targets of any text: a request is refused, or it has one host, and that is a whole one.
#![no_main]
use http::header::HOST;
use http::{HeaderValue, Request, Version};
use libfuzzer_sys::fuzz_target;
use tidegate::base::host::Host;
use tidegate::http::address::settle;

fuzz_target!(|input: (u8, &str, Vec<&[u8]>)| {
    let (version, target, hosts) = input;
    let version = [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2][usize::from(version % 3)];
    let Ok(mut request) = Request::builder().version(version).uri(target).body(()) else { return };
    for host in &hosts {
        let Ok(value) = HeaderValue::from_bytes(host) else { return };
        request.headers_mut().append(HOST, value);
    }
    let before = request.uri().clone();
    if settle(&mut request).is_err() {
        return;
    }
    let (uri, headers) = (request.uri(), request.headers());
    assert!(uri.authority().is_none() && uri.scheme().is_none() && uri.path().starts_with('/'));
    assert_eq!((uri.path(), uri.query()), (before.path(), before.query()));
    assert!(headers.get_all(HOST).iter().count() <= 1 && (headers.contains_key(HOST) || version == Version::HTTP_10));
    let Some(host) = headers.get(HOST).map(|h| Host::parse(h.to_str().expect("a host is text")).expect("it is a host")) else { return };
    let port = before.scheme_str().map_or(80, |s| if s == "https" { 443 } else { 80 });
    for named in before.authority().map(|a| a.as_str()).into_iter().chain(hosts.iter().filter_map(|h| std::str::from_utf8(h).ok())) {
        assert!(Host::parse(named).expect("every name was a host").is_same(host, port), "{named} was passed over");
    }
});
