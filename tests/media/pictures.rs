//! `tidegate poster` and `tidegate compare`, in the real binary: pictures of models, and how alike two look.

use tidegate::media::samples;

use crate::support::binary::Place;

#[test]
fn a_model_is_drawn_and_compared() {
    let place = Place::new();
    std::fs::write(place.path("a.glb"), samples::triangle()).unwrap();
    // Another colour.
    let red = r#""materials":[{"pbrMetallicRoughness":{"baseColorFactor":[1,0,0,1]}}],"meshes":[{"primitives":[{"material":0,"#;
    std::fs::write(place.path("b.glb"), samples::triangle_with(r#""meshes":[{"primitives":[{"#, red)).unwrap();
    let run = |arguments: &[&str]| {
        let output = place.run(arguments);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    };

    assert_eq!(run(&["poster", "a.glb", "-o", "a.png", "--size", "32", "--background", "#102030"]), (true, String::new(), String::new()));
    let png = std::fs::read(place.path("a.png")).unwrap();
    assert_eq!((&png[..8], &png[16..24]), (&b"\x89PNG\r\n\x1a\n"[..], &[0, 0, 0, 32, 0, 0, 0, 32][..]));

    let (alike, shown, _) = run(&["compare", "a.glb", "a.glb", "--psnr", "90", "--size", "32"]);
    assert!(alike && shown.ends_with("least             99.00 dB   SSIM 1.0000\n"), "{shown}");
    let (alike, shown, told) = run(&["compare", "a.glb", "b.glb", "--ssim", "0.999", "--json", "--size", "32"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert!(!alike && shown["psnr"].as_f64().unwrap() < 30.0 && told.contains("does not look enough like the original"), "{shown} {told}");
    assert_eq!(shown["views"].as_array().unwrap().len(), 6, "it can't move");
}

#[test]
fn what_can_not_be_drawn_says_why() {
    let place = Place::new();
    place.write("page.glb", "<html>not found</html>");
    std::fs::write(place.path("cut.glb"), &samples::triangle()[..100]).unwrap();
    for (file, why) in [("page.glb", "JSON"), ("cut.glb", "cut short"), ("none.glb", "can't be read")] {
        let output = place.run(&["poster", file, "-o", "a.png"]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && told.contains(file) && told.contains(why), "{told}");
        assert!(!place.path("a.png").exists());
    }
    let output = place.run(&["poster", "page.glb", "-o", "a.png", "--background", "red"]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("#20242a"));
}
