//! `tidegate inspect` on local files.

use tidegate::media::format::Format;
use tidegate::media::samples;

use crate::support::binary::Place;

#[test]
fn files_are_looked_into_from_the_command_line() {
    let place = Place::new();
    let mut arguments = vec!["inspect".to_owned(), "--json".to_owned()];
    for format in Format::ALL {
        let name = format!("a.{}", format.name());
        std::fs::write(place.path(&name), samples::of(format)).unwrap();
        arguments.push(name);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = place.run(&arguments);
    assert!(done.status.success(), "{done:?}");
    let told = String::from_utf8(done.stdout).unwrap();
    for (line, format) in told.lines().zip(Format::ALL) {
        let found: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((&found["verdict"], &found["format"]), (&"passed".into(), &format.name().into()), "{line}");
    }
    assert_eq!(told.lines().count(), Format::ALL.len());

    std::fs::write(place.path("page.glb"), "<!doctype html><h1>502</h1>").unwrap();
    let done = place.run(&["inspect", "page.glb", "a.png"]);
    assert_eq!(done.status.code(), Some(1));
    let told = String::from_utf8(done.stdout).unwrap();
    assert!(told.contains("page.glb: refused") && told.contains("an HTML page") && told.contains("a.png: passed png"), "{told}");
    assert!(String::from_utf8(done.stderr).unwrap().contains("1 of 2 files would be refused"));
    assert_eq!(place.run(&["inspect", "missing.glb"]).status.code(), Some(1));
}
