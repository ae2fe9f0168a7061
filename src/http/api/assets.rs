//! What is known of a file: what it is declared to be, what was found in it, and what was made of it.
//!
//! Whoever may read the object may read this. Where nothing was looked into yet, a job is asked for, and may be waited for.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::auth::action::Action;
use crate::auth::grant::Grant;
use crate::auth::query::decode;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::names::{BucketName, ObjectKey};
use crate::base::object::SharedObject;
use crate::base::object_ref::ObjectRef;
use crate::http::api::input;
use crate::http::api::jobs::seconds;
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer};
use crate::media::optimize::recipe::{Bounds, Lods, MAX_TEXTURE, Picture, Poster, Recipe, Step, Textures, parse_colour};
use crate::media::render::MAX_POSTER_SIDE;
use crate::ops::media::is_media;
use crate::ops::renditions::{Manifest, place};
use crate::origin::Freshness;
use crate::queue::JobId;

/// Behind the key, where it is to be optimized.
pub const OPTIMIZE: &str = ":optimize";

pub fn named(path: &str) -> Result<(BucketName, ObjectKey)> {
    let named = path.split_once('/').filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty());
    let (bucket, key) = named.ok_or_else(|| Error::new(ErrorKind::InvalidArgument, "What is asked for is named as <bucket>/<key>."))?;
    Ok((BucketName::parse(bucket)?, ObjectKey::parse(&decode(key)?)?))
}

/// What is known of an object, for who may read it.
pub struct Known {
    pub grant: Grant,
    pub object: SharedObject,
    /// The job that looks into it. None: nothing is to be found any more.
    pub job: Option<JobId>,
    pub manifest: Option<Arc<Manifest>>,
}

pub async fn known(exchange: &Exchange<'_>, bucket: &BucketName, key: &ObjectKey, patience: Duration) -> Result<Known> {
    let (ops, of) = (&exchange.gateway.ops, ObjectRef::current(bucket, key));
    let (found, object, _) = exchange.look_up_to_read(bucket, key, Freshness::Current, None).await?;
    let grant = exchange.authorize_object(Action::GetObject, &found, of, Some(&object)).await?;
    let mut object = ops.with_inspection(of, object, true).await;
    let mut job = ops.ask_for_inspection(&grant, &object).await?;
    if let Some(id) = job.filter(|_| !patience.is_zero()) {
        ops.wait_for_media_job(id, patience).await?;
        if let Some(now) = ops.object_for_decision(of, Freshness::Current).await? {
            object = ops.with_inspection(of, now, true).await;
        }
        job = job.filter(|_| object.inspection.is_none());
    }
    let manifest = ops.manifest_of(&grant, &object, Freshness::Current).await?;
    Ok(Known { grant, object, job, manifest })
}

pub async fn get(exchange: &Exchange<'_>, path: &str) -> Result<Answer> {
    let (bucket, key) = named(path)?;
    let patience = exchange.query.value("wait").map_or(Ok(Duration::ZERO), seconds)?;
    let Known { object, job, manifest, .. } = known(exchange, &bucket, &key, patience).await?;
    respond::json(&json!({
        "bucket": bucket.as_str(),
        "key": key.as_str(),
        "version_id": object.version.as_str(),
        "etag": object.etag.quoted(),
        "size": object.size,
        "content_type": object.headers.content_type,
        "last_modified": object.modified.iso8601(),
        "is_media": is_media(&object, &key),
        "inspection": object.inspection.as_ref().map(|found| found.as_json()),
        "job": job.map(|id| id.to_string()),
        "renditions": manifest.map(|manifest| shown(&key, &manifest)).transpose()?,
    }))
}

/// The manifest, with the whole keys of what it names.
pub fn shown(key: &ObjectKey, manifest: &Manifest) -> Result<Value> {
    let at = place(key)?;
    let mut document = serde_json::to_value(manifest).map_err(Error::internal)?;
    for source in document.get_mut("sources").and_then(Value::as_array_mut).into_iter().flatten() {
        let key = source.get("url").and_then(Value::as_str).map(|url| at.key(url)).transpose()?;
        source["key"] = json!(key.as_ref().map(ObjectKey::as_str));
    }
    document["key"] = json!(at.manifest()?.as_str());
    Ok(document)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// None: the usual ones.
    steps: Option<Vec<String>>,
    psnr: Option<f64>,
    ssim: Option<f64>,
    lods: Option<WantedLods>,
    textures: Option<WantedTextures>,
    khr_meshopt: Option<bool>,
    poster: Option<WantedPoster>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedLods {
    psnr: Option<f64>,
    ssim: Option<f64>,
    error: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedTextures {
    psnr: Option<f64>,
    ssim: Option<f64>,
    max: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedPoster {
    size: Option<u32>,
    background: Option<String>,
    format: Option<String>,
}

pub async fn optimize(exchange: &mut Exchange<'_>, path: &str) -> Result<Answer> {
    let (bucket, key) = named(path.strip_suffix(OPTIMIZE).unwrap_or(path))?;
    // Rights come first.
    exchange.readable(Action::GetObject, &bucket, &key).await?;
    let wanted = input::parse_or_default::<Wanted>(exchange).await?;
    let job = ask(exchange, &bucket, &key, wanted).await?;
    let mut answer = respond::json(&json!({ "job": job.to_string() }))?;
    *answer.status_mut() = StatusCode::ACCEPTED;
    Ok(answer)
}

pub async fn ask(exchange: &Exchange<'_>, bucket: &BucketName, key: &ObjectKey, wanted: Wanted) -> Result<JobId> {
    let (grant, object) = exchange.readable(Action::GetObject, bucket, key).await?;
    exchange.gateway.ops.ask_for_renditions(&grant, &object, wanted.recipe()?).await
}

impl Wanted {
    fn recipe(self) -> Result<Recipe> {
        let step = |name: &String| {
            let all = || Step::ALL.map(Step::name).join(", ");
            Step::parse(name).ok_or_else(|| invalid(format!("There is no step {name:?}: {} are.", all())))
        };
        let steps = match &self.steps {
            Some(names) => names.iter().map(step).collect::<Result<Vec<_>>>()?,
            None => Step::USUAL.to_vec(),
        };
        if steps.is_empty() {
            return Err(invalid("Name steps, or leave them out for the usual ones.".to_owned()));
        }
        let bounds = bounds(self.psnr, self.ssim, Bounds::default())?;
        let mut recipe = Recipe::new(steps, bounds, self.poster.unwrap_or_default().poster()?);
        recipe.lods = self.lods.unwrap_or_default().lods()?;
        recipe.textures = self.textures.unwrap_or_default().textures()?;
        recipe.khr_meshopt = self.khr_meshopt.unwrap_or_default();
        Ok(recipe)
    }
}

fn bounds(psnr: Option<f64>, ssim: Option<f64>, usual: Bounds) -> Result<Bounds> {
    let bounds = Bounds { psnr: psnr.unwrap_or(usual.psnr), ssim: ssim.unwrap_or(usual.ssim) };
    match bounds.are_sound() {
        true => Ok(bounds),
        false => Err(invalid("psnr is a number of decibels from 0 to 99, and ssim one from 0 to 1.".to_owned())),
    }
}

fn invalid(text: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, text)
}

impl WantedLods {
    fn lods(self) -> Result<Lods> {
        let usual = Lods::default();
        let lods = Lods { bounds: bounds(self.psnr, self.ssim, usual.bounds)?, error: self.error.unwrap_or(usual.error) };
        let wrong = || invalid("The error of lods is a part of a model's side: more than 0, and 1 at most.".to_owned());
        lods.are_sound().then_some(lods).ok_or_else(wrong)
    }
}

impl WantedTextures {
    fn textures(self) -> Result<Textures> {
        let usual = Textures::default();
        let textures = Textures { bounds: bounds(self.psnr, self.ssim, usual.bounds)?, max: self.max.unwrap_or(usual.max) };
        textures.are_sound().then_some(textures).ok_or_else(|| invalid(format!("The max of textures is 4 to {MAX_TEXTURE} pixels.")))
    }
}

impl WantedPoster {
    fn poster(self) -> Result<Poster> {
        let usual = Poster::default();
        let side = self.size.unwrap_or(usual.side);
        if !(1..=MAX_POSTER_SIDE).contains(&side) {
            return Err(invalid(format!("A poster has 1 to {MAX_POSTER_SIDE} pixels on each side, not {side}.")));
        }
        let background = self.background.map(|text| parse_colour(&text).map_err(invalid)).transpose()?;
        let unknown = || invalid("The format of a poster is \"webp\" or \"png\".".to_owned());
        let picture = self.format.map(|name| Picture::parse(&name).ok_or_else(unknown)).transpose()?;
        Ok(Poster { side, background, picture: picture.unwrap_or(usual.picture) })
    }
}
