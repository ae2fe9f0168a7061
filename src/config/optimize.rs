//! The `[[optimize_rule]]` tables: which models are made smaller by themselves, into what, and how alike it must look.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::reader::{Reader, tables};
use super::value::{Taken, Value};
use crate::base::layout::{ARTIFACT_TYPES, artifact_type_of};
use crate::base::lifecycle::pattern::PrefixPattern;
use crate::base::names::BucketName;
use crate::media::optimize::recipe::{Bounds, Lods, MAX_TEXTURE, Picture, Poster, Recipe, Step, Textures, parse_colour};
use crate::media::render::MAX_POSTER_SIDE;
use crate::ops::renditions::settings::{Rule, Settings};

/// Each is asked of every write of a model.
const MAX_RULES: usize = 1000;
const KEYS: [&str; 19] = [
    "name",
    "bucket",
    "prefix",
    "artifact",
    "tag",
    "max_size",
    "steps",
    "psnr",
    "ssim",
    "lod_error",
    "lod_psnr",
    "lod_ssim",
    "texture_max",
    "texture_psnr",
    "texture_ssim",
    "khr_meshopt",
    "poster_size",
    "poster_background",
    "poster_format",
];

/// What a table says so far.
struct Said {
    name: String,
    buckets: Vec<BucketName>,
    prefix: Option<PrefixPattern>,
    artifact_types: Vec<&'static str>,
    tag: Option<(String, String)>,
    max_bytes: u64,
    steps: Vec<Step>,
    bounds: Bounds,
    lods: Lods,
    textures: Textures,
    khr_meshopt: bool,
    poster: Poster,
}

pub fn take(reader: &mut Reader<'_>, content: &Spanned<DeValue<'_>>) -> Vec<Rule> {
    let mut taken: Vec<Rule> = Vec::new();
    for (key, at, fields) in tables(reader, content, "optimize_rule", MAX_RULES) {
        let Some(rule) = take_one(reader, &key, at, fields) else { continue };
        if taken.iter().any(|other| other.name == rule.name) {
            reader.fault(at, &format!("{key}.name"), format!("{:?} is the name of another [[optimize_rule]]", rule.name));
        }
        taken.push(rule);
    }
    taken
}

/// None: a fault was told.
fn take_one(reader: &mut Reader<'_>, key: &str, at: usize, fields: &DeTable<'_>) -> Option<Rule> {
    let faults = reader.faults.len();
    let mut said = Said {
        name: String::new(),
        buckets: Vec::new(),
        prefix: None,
        artifact_types: Vec::new(),
        tag: None,
        max_bytes: Settings::default().max_bytes,
        steps: Step::USUAL.to_vec(),
        bounds: Bounds::default(),
        lods: Lods::default(),
        textures: Textures::default(),
        khr_meshopt: false,
        poster: Poster::default(),
    };
    reader.take_fields(key, fields, &KEYS, |name, value| said.take(name, value));
    let has_name = reader.has_all(key, at, fields, &["name"]);
    let Said { name, buckets, prefix, artifact_types, tag, max_bytes, steps, bounds, lods, textures, khr_meshopt, poster } = said;
    let mut recipe = Recipe::new(steps, bounds, poster);
    (recipe.lods, recipe.textures, recipe.khr_meshopt) = (lods, textures, khr_meshopt);
    (has_name && reader.faults.len() == faults).then_some(Rule { name, buckets, prefix, artifact_types, tag, max_bytes, recipe })
}

impl Said {
    fn take(&mut self, name: &str, value: &Value<'_>) -> Taken<()> {
        match name {
            "name" => {
                self.name = value.text()?;
                let fits = (1..=200).contains(&self.name.chars().count()) && !self.name.chars().any(char::is_control);
                fits.then_some(()).ok_or("expected a text of 1 to 200 characters")?;
            }
            "bucket" => self.buckets = value.list("a bucket's name, or a list of them")?,
            "prefix" => self.prefix = Some(PrefixPattern::parse(&value.text()?).ok_or("expected at most 16 wildcards")?),
            "artifact" => {
                let expected = format!("one of {}, or a list of them", ARTIFACT_TYPES.join(", "));
                for text in value.list::<String>(&expected)? {
                    self.artifact_types.push(artifact_type_of(&text).ok_or_else(|| format!("expected {expected}, found {text:?}"))?);
                }
            }
            "tag" => {
                let text = value.text()?;
                let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
                let (key, value) = pair.ok_or_else(|| format!("expected a tag such as \"optimize=yes\", found {text:?}"))?;
                self.tag = Some((key.to_owned(), value.to_owned()));
            }
            "max_size" => self.max_bytes = value.size()?,
            "steps" => {
                let expected = format!("one of {}, or a list of them", Step::ALL.map(Step::name).join(", "));
                let found: Vec<String> = value.list(&expected)?;
                let steps = found.iter().map(|text| Step::parse(text).ok_or_else(|| format!("expected {expected}, found {text:?}")));
                self.steps = steps.collect::<Taken<_>>()?;
                (!self.steps.is_empty()).then_some(()).ok_or_else(|| format!("expected {expected}: the rule does nothing"))?;
            }
            "psnr" | "ssim" | "lod_psnr" | "lod_ssim" | "texture_psnr" | "texture_ssim" => {
                let bounds = match name.split_once('_') {
                    Some(("lod", _)) => &mut self.lods.bounds,
                    Some(_) => &mut self.textures.bounds,
                    None => &mut self.bounds,
                };
                let bound = if name.ends_with("psnr") { &mut bounds.psnr } else { &mut bounds.ssim };
                *bound = value.decimal()?;
                bounds.are_sound().then_some(()).ok_or("expected decibels from 0 to 99 for psnr, and 0 to 1 for ssim")?;
            }
            "lod_error" => {
                self.lods.error = value.decimal()?;
                self.lods.are_sound().then_some(()).ok_or("expected more than 0, and 1 at most")?;
            }
            "texture_max" => {
                self.textures.max = value.positive()?;
                self.textures.are_sound().then_some(()).ok_or_else(|| format!("expected 4 to {MAX_TEXTURE} pixels"))?;
            }
            "khr_meshopt" => self.khr_meshopt = value.flag()?,
            "poster_size" => {
                self.poster.side = value.positive()?;
                let fits = self.poster.side <= MAX_POSTER_SIDE;
                fits.then_some(()).ok_or_else(|| format!("expected at most {MAX_POSTER_SIDE} pixels"))?;
            }
            "poster_background" => self.poster.background = value.optional_text()?.map(|text| parse_colour(&text)).transpose()?,
            _ => {
                let text = value.text()?;
                self.poster.picture = Picture::parse(&text).ok_or_else(|| format!("expected \"webp\" or \"png\", found {text:?}"))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::base::names::ObjectKey;
    use crate::base::tags::Tags;
    use crate::config::load::parse;

    fn read(text: &str) -> Result<Vec<Rule>, Vec<String>> {
        let parsed = parse(Some((Path::new("g.toml"), text)), &[]);
        parsed.map(|config| config.media.renditions.rules).map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn rules_say_which_models_and_into_what() {
        let text = "[[optimize_rule]]\nname = \"cars\"\nbucket = \"media\"\nprefix = \"*/runs/\"\nartifact = \"model_3d\"\ntag = \"small=yes\"\n\
                    steps = [\"poster\", \"draco\"]\npsnr = 40\nssim = 0.9\nposter_size = 64\nposter_background = \"#20242a\"\n\
                    poster_format = \"png\"\nmax_size = \"1MiB\"\nlod_error = 0.5\nlod_psnr = 20\n\
                    texture_max = 1024\ntexture_ssim = 0.5\nkhr_meshopt = true\n[[optimize_rule]]\nname = \"all\"\n";
        let rules = read(text).unwrap();
        let (cars, all) = (&rules[0], &rules[1]);
        assert_eq!((cars.recipe.steps(), cars.recipe.bounds), (&[Step::Draco, Step::Poster][..], Bounds { psnr: 40.0, ssim: 0.9 }));
        assert_eq!(cars.recipe.poster, Poster { side: 64, background: Some([0x20, 0x24, 0x2a]), picture: Picture::Png });
        let lods = Lods { error: 0.5, bounds: Bounds { psnr: 20.0, ..Lods::default().bounds } };
        assert_eq!((cars.recipe.lods, cars.recipe.khr_meshopt), (lods, true));
        let usual = Textures::default();
        assert_eq!(cars.recipe.textures, Textures { max: 1024, bounds: Bounds { ssim: 0.5, ..usual.bounds } });
        assert_eq!(all.recipe, Recipe::new(Step::USUAL.to_vec(), Bounds::default(), Poster::default()));
        let (media, other) = (BucketName::parse("media").unwrap(), BucketName::parse("other").unwrap());
        let key = |text: &str| ObjectKey::parse(text).unwrap();
        assert!(cars.may_want(&media, &key("acme/runs/model_3d/a.glb")) && all.may_want(&other, &key("a.glb")));
        assert!(!cars.may_want(&other, &key("acme/runs/model_3d/a.glb")) && !cars.may_want(&media, &key("acme/runs/image/a.glb")));
        let tags = Tags::told(vec![("small".into(), "yes".into())]);
        assert!(cars.wants(1 << 20, &tags) && !cars.wants(1, &Tags::default()) && !cars.wants((1 << 20) + 1, &tags));
    }

    #[test]
    fn each_fault_with_its_place() {
        let rule = "[[optimize_rule]]\nname = \"a\"\n";
        for (text, expected) in [
            ("[[optimize_rule]]\n".to_owned(), "optimize_rule[0].name: is missing"),
            (format!("{rule}{rule}"), "optimize_rule[1].name: \"a\" is the name of another"),
            (format!("{rule}step = \"draco\"\n"), "optimize_rule[0].step: there is no such key; did you mean steps?"),
            (format!("{rule}steps = \"dracos\"\n"), "optimize_rule[0].steps: expected one of lossless, "),
            (format!("{rule}psnr = 100\n"), "optimize_rule[0].psnr: expected decibels from 0 to 99"),
            (format!("{rule}lod_error = 0\n"), "optimize_rule[0].lod_error: expected more than 0"),
            (format!("{rule}ssim = \"high\"\n"), "optimize_rule[0].ssim: expected a number"),
            (format!("{rule}poster_size = 1025\n"), "optimize_rule[0].poster_size: expected at most 1024"),
            (format!("{rule}texture_max = 9000\n"), "optimize_rule[0].texture_max: expected 4 to 8192"),
            (format!("{rule}tag = \"small\"\n"), "optimize_rule[0].tag: expected a tag such as"),
        ] {
            let found = read(&text).unwrap_err();
            assert!(found.iter().any(|fault| fault.contains(expected)), "{expected}\nnot in\n{found:?}");
        }
    }
}
