//! Every combination of conditions and ranges against RFC 9110, section 13, written down a second time.

use crate::edge::{BODY, World, ask, world};

const OLD: &str = "Wed, 21 Oct 2015 07:28:00 GMT";
const FUTURE: &str = "Wed, 21 Oct 2065 07:28:00 GMT";
const OTHER: &str = "\"00000000000000000000000000000000\"";

struct Version {
    etag: String,
    modified: String,
}

impl Version {
    fn tags(&self) -> Vec<String> {
        let weak = format!("W/{}", self.etag);
        vec![
            self.etag.clone(),
            weak.clone(),
            OTHER.into(),
            "*".into(),
            format!("{OTHER}, {}", self.etag),
            format!("{OTHER} , {weak}"),
            "junk".into(),
        ]
    }

    fn dates(&self) -> Vec<String> {
        vec![OLD.into(), self.modified.clone(), FUTURE.into(), "yesterday".into()]
    }

    fn matches(&self, list: &str, weakly: bool) -> bool {
        list == "*" || list.split(',').map(str::trim).any(|t| t == self.etag || (weakly && t.strip_prefix("W/") == Some(&self.etag)))
    }
}

/// Status, and whether the answer is of the range.
fn expected(v: &Version, headers: &[(&str, &str)]) -> u16 {
    let given = |name: &str| headers.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
    let date = |name: &str| given(name).and_then(|d| httpdate::parse_http_date(d).ok());
    let modified = httpdate::parse_http_date(&v.modified).unwrap();
    if let Some(list) = given("if-match") {
        if !v.matches(list, false) {
            return 412;
        }
    } else if date("if-unmodified-since").is_some_and(|d| modified > d) {
        return 412;
    }
    if let Some(list) = given("if-none-match") {
        if v.matches(list, true) {
            return 304;
        }
    } else if date("if-modified-since").is_some_and(|d| modified <= d) {
        return 304;
    }
    // A date never proves that two parts are of one version.
    let current = given("if-range").is_none_or(|tag| tag == v.etag);
    if given("range").is_some() && current { 206 } else { 200 }
}

fn choices<'a>(name: &'static str, values: &'a [String]) -> Vec<Option<(&'static str, &'a str)>> {
    std::iter::once(None).chain(values.iter().map(|v| Some((name, v.as_str())))).collect()
}

#[test]
fn every_combination() {
    let mut world: World = world();
    let first = world.get("public/a.glb", &[]).expect(200);
    let version = Version { etag: first.header("etag").unwrap().into(), modified: first.header("last-modified").unwrap().into() };
    let (tags, dates, range) = (version.tags(), version.dates(), vec!["bytes=1-3".to_owned()]);
    let if_ranges =
        vec![version.etag.clone(), format!("W/{}", version.etag), OTHER.to_owned(), version.modified.clone(), FUTURE.to_owned()];
    let mut asked = 0;
    for if_match in choices("if-match", &tags) {
        for if_none_match in choices("if-none-match", &tags) {
            for unmodified in choices("if-unmodified-since", &dates) {
                for modified in choices("if-modified-since", &dates) {
                    for range in choices("range", &range) {
                        // If-Range means nothing without a range; it is sent all the same for one combination.
                        for if_range in choices("if-range", if range.is_some() { &if_ranges } else { &if_ranges[..1] }) {
                            let headers: Vec<(&str, &str)> =
                                [if_match, if_none_match, unmodified, modified, range, if_range].into_iter().flatten().collect();
                            let method = if asked % 4 == 3 { "HEAD" } else { "GET" };
                            let answer = ask(&mut world.edge, method, "/media/public/a.glb", &headers);
                            let status = expected(&version, &headers);
                            assert_eq!(answer.status, status, "{method} {headers:?}");
                            match (status, method) {
                                (200, "GET") => assert_eq!(answer.body, BODY, "{headers:?}"),
                                (206, "GET") => assert_eq!(answer.body, &BODY[1..4], "{headers:?}"),
                                _ => {}
                            }
                            asked += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(asked > 10_000, "{asked}");
}
