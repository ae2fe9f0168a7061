//! Lists of ranges through the door against a plain model: an array, and what RFC 9110 says of it.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::edge::{ask, world};
use crate::support::client::Answer;
use crate::support::gateway::acme;

#[derive(Debug, Clone, Copy)]
struct Spec(Option<u64>, Option<u64>);

impl Spec {
    fn text(self) -> String {
        let n = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
        format!("{}-{}", n(self.0), n(self.1))
    }

    /// The first and the last position that it means, `Some(None)`: none that is there. None: nothing that could be read.
    fn span(self, size: u64) -> Option<Option<(u64, u64)>> {
        let there = |first: u64, last: u64| (first < size && first <= last).then(|| (first, last.min(size - 1)));
        match self {
            Spec(Some(a), Some(b)) if a > b => None,
            Spec(Some(a), b) => Some(there(a, b.unwrap_or(u64::MAX))),
            Spec(None, Some(0)) => Some(None),
            Spec(None, Some(n)) => Some(there(size.saturating_sub(n), u64::MAX)),
            Spec(None, None) => None,
        }
    }
}

enum Expected {
    Whole,
    Parts(Vec<(u64, u64)>),
    Unsatisfiable,
}

fn expected(specs: &[Spec], size: u64) -> Expected {
    let Some(spans) = specs.iter().map(|s| s.span(size)).collect::<Option<Vec<_>>>() else { return Expected::Whole };
    if specs.len() > 16 {
        return Expected::Whole;
    }
    let there: Vec<(u64, u64)> = spans.into_iter().flatten().collect();
    match there.len() {
        0 => Expected::Unsatisfiable,
        _ if there.windows(2).all(|w| w[0].1 < w[1].0) => Expected::Parts(there),
        _ => Expected::Whole,
    }
}

/// Content-Range and bytes of each part, read strictly.
fn parts(answer: &Answer) -> Vec<(String, Vec<u8>)> {
    let kind = answer.header("content-type").unwrap();
    let Some(boundary) = kind.strip_prefix("multipart/byteranges; boundary=") else {
        return vec![(answer.header("content-range").unwrap().to_owned(), answer.body.clone())];
    };
    let mut rest = &answer.body[..];
    let mut found = Vec::new();
    let open = format!("--{boundary}\r\n");
    loop {
        rest = rest.strip_prefix(open.as_bytes()).expect("a part");
        let end = rest.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&rest[..end]).unwrap();
        let range = head.lines().find_map(|l| l.strip_prefix("Content-Range: ")).unwrap().to_owned();
        assert!(head.lines().any(|l| l == "Content-Type: model/gltf-binary"), "{head}");
        let (from, to) = range["bytes ".len()..].split_once('/').unwrap().0.split_once('-').unwrap();
        let length = to.parse::<usize>().unwrap() + 1 - from.parse::<usize>().unwrap();
        rest = &rest[end + 4..];
        found.push((range, rest[..length].to_vec()));
        rest = rest[length..].strip_prefix(b"\r\n").expect("a line end after a part");
        if rest == format!("--{boundary}--\r\n").as_bytes() {
            return found;
        }
    }
}

fn body(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i * 31 % 251) as u8).collect()
}

#[test]
fn lists_of_ranges() {
    let mut world = world();
    // Nothing, in the journal, in a file, larger than what is kept in memory.
    let sizes = [0usize, 1, 60, 100_000, 1_500_000];
    for size in sizes {
        world.put(&format!("public/{size}"), &body(size), &[("content-type", "model/gltf-binary")]);
    }
    let number = prop_oneof![3 => 0u64..70, 1 => 99_990u64..100_010, 1 => 1_499_990u64..1_500_010];
    let spec = (prop::option::weighted(0.8, number.clone()), prop::option::weighted(0.8, number)).prop_map(|(a, b)| Spec(a, b));
    let ascending = prop::collection::vec((0u64..40, 1u64..9), 1..18).prop_map(|steps| {
        let mut at = 0;
        steps
            .into_iter()
            .map(|(gap, len)| {
                let from = at + gap;
                at = from + len;
                Spec(Some(from), Some(at - 1))
            })
            .collect::<Vec<_>>()
    });
    let list = prop_oneof![prop::collection::vec(spec, 1..5), ascending];
    let mut runner = TestRunner::new(Config { cases: 1500, failure_persistence: None, ..Config::default() });
    let client = std::cell::RefCell::new(world.host("any"));
    let result = runner.run(&(0..sizes.len(), list), |(n, specs)| {
        let size = sizes[n];
        let content = body(size);
        let range = format!("bytes={}", specs.iter().map(|s| s.text()).collect::<Vec<_>>().join(","));
        let answer = ask(&mut client.borrow_mut(), "GET", &format!("/media/public/{size}"), &[("range", &range)]);
        match expected(&specs, size as u64) {
            Expected::Whole => {
                prop_assert_eq!(answer.status, 200, "{}", range);
                prop_assert!(answer.body == content, "{}", range);
            }
            Expected::Unsatisfiable => {
                prop_assert_eq!(answer.status, 416, "{}", range);
                prop_assert_eq!(answer.header("content-range"), Some(&*format!("bytes */{size}")));
            }
            Expected::Parts(spans) => {
                prop_assert_eq!(answer.status, 206, "{}", range);
                let got = parts(&answer);
                prop_assert_eq!(got.len(), spans.len(), "{}", range);
                for ((told, bytes), (first, last)) in got.iter().zip(&spans) {
                    prop_assert_eq!(told, &format!("bytes {first}-{last}/{size}"));
                    prop_assert!(*bytes == content[*first as usize..=*last as usize], "{}", range);
                }
            }
        }
        Ok(())
    });
    result.unwrap();
}

#[test]
fn the_s3_door_answers_several_ranges_with_the_whole() {
    let mut world = world();
    let request = crate::support::client::Request::on("GET", "media", "public/a.glb").header("range", "bytes=0-1,4-5");
    let answer = world.s3.send(&request, crate::support::client::Sign::Header(&acme())).expect(200);
    assert_eq!(answer.body, crate::edge::BODY);
}

#[test]
fn if_range_guards_every_part() {
    let mut world = world();
    let etag = world.get("public/a.glb", &[]).header("etag").unwrap().to_owned();
    let weak = format!("W/{etag}");
    for (tag, status) in [(&*etag, 206), (&*weak, 200), ("\"x\"", 200), ("Wed, 21 Oct 2065 07:28:00 GMT", 200)] {
        let answer = world.get("public/a.glb", &[("range", "bytes=0-1,4-5"), ("if-range", tag)]).expect(status);
        assert_eq!(answer.header("etag"), Some(&*etag));
    }
    world.get("public/a.glb", &[("range", "bytes=0-1,4-5"), ("if-none-match", &weak)]).expect(304);
    world.get("public/a.glb", &[("range", "bytes=0-1,4-5"), ("if-match", &weak)]).expect(412);
}

/// Parts of two versions in one answer would look whole.
#[test]
fn parts_are_of_one_version() {
    let mut world = world();
    let (a, b) = (vec![b'a'; 1_200_000], vec![b'b'; 1_200_000]);
    world.put("public/v", &a, &[]);
    let mut reader = world.host("any");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = world.gateway.client();
            for n in 0..40 {
                client.put(&acme(), "media", "public/v", if n % 2 == 0 { &b } else { &a }).expect(200);
            }
            stop.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        while !stop.load(std::sync::atomic::Ordering::SeqCst) {
            let answer = ask(&mut reader, "GET", "/media/public/v", &[("range", "bytes=0-99999,500000-599999,1100000-")]);
            if answer.status == 503 {
                continue;
            }
            let kind = answer.header("content-type").unwrap().to_owned();
            let boundary = kind.rsplit('=').next().unwrap().as_bytes();
            let mut text = answer.expect(206).body;
            // What is left of the letters once the frames are gone.
            text.retain(|c| matches!(c, b'a' | b'b'));
            let frames = boundary.iter().filter(|c| matches!(c, b'a' | b'b')).count() * 4;
            let (of_a, of_b) = (text.iter().filter(|c| **c == b'a').count(), text.iter().filter(|c| **c == b'b').count());
            let minor = of_a.min(of_b);
            assert!(minor <= frames + 200 && of_a + of_b >= 300_000, "{of_a} {of_b}");
        }
    });
}
