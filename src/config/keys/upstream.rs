//! `[upstream]`: the S3 that the gateway stands in front of.

use super::{Key, quoted_size};
use crate::base::names::TenantId;
use crate::config::value::{Taken, Value};
use crate::upstream::settings::BucketsAre;

pub fn keys() -> Vec<Key> {
    [place(), access(), storing()].into_iter().flatten().collect()
}

/// What the gateway stands over.
fn place() -> Vec<Key> {
    vec![
        field!(
            "upstream.bucket",
            "The S3 bucket to stand in front of: all objects live there. Empty: the embedded store in store.data.",
            upstream.bucket,
            |v: &String| format!("{v:?}"),
            text
        )
        .also(&[("S3_BUCKET", ""), ("ARTIFACT_BUCKET", "")]),
        field!(
            "upstream.base_prefix",
            "Stands before everything in that bucket, the gateway's own `.tidegate/` included.",
            upstream.base_prefix,
            |v: &String| format!("{v:?}"),
            text
        )
        .also(&[("S3_BASE_PREFIX", "")]),
        field!(
            "upstream.prefix",
            "Stands, after base_prefix, before what the bucket shows under its own name.",
            upstream.prefix,
            |v: &String| format!("{v:?}"),
            text
        ),
        key!(
            "upstream.buckets",
            "What a bucket that a client makes is there: \"folders\", in upstream.bucket, or \"own\", a bucket of its own, which can keep and lock versions.",
            |c| format!("{:?}", if c.upstream.buckets == BucketsAre::Own { "own" } else { "folders" }),
            |c, v| {
                c.upstream.buckets = match v.text()? {
                    text if text == "folders" => BucketsAre::Folders,
                    text if text == "own" => BucketsAre::Own,
                    _ => return Err("expected \"folders\" or \"own\"".into()),
                };
                Ok(())
            }
        ),
        field!(
            "upstream.bucket_prefix",
            "Stands before the names of buckets of their own, there.",
            upstream.bucket_prefix,
            |v: &String| format!("{v:?}"),
            text
        ),
        key!(
            "upstream.owner",
            "The tenant whose bucket that is here; empty: the operator's.",
            |c| format!("{:?}", c.upstream.owner.as_ref().map(|o| o.as_str()).unwrap_or_default()),
            |c, v| take_owner(v).map(|owner| c.upstream.owner = owner)
        ),
    ]
}

fn access() -> Vec<Key> {
    vec![
        key!(
            "upstream.endpoint",
            "Where that S3 is, such as \"https://s3.example.com\"; empty: AWS.",
            |c| format!("{:?}", c.upstream.access.endpoint.as_deref().unwrap_or_default()),
            |c, v| {
                let endpoint = v.optional_text()?;
                if endpoint.as_ref().is_some_and(|e| !e.starts_with("http://") && !e.starts_with("https://")) {
                    return Err("expected an address that begins with http:// or https://".into());
                }
                c.upstream.access.endpoint = endpoint;
                Ok(())
            }
        )
        .also(&[("S3_ENDPOINT_URL", ""), ("S3_ENDPOINT", "")]),
        key!(
            "upstream.region",
            "Its region; empty: AWS_REGION, the profile's, the instance's, else us-east-1.",
            |c| format!("{:?}", c.upstream.access.region.as_deref().unwrap_or_default()),
            |c, v| v.optional_text().map(|t| c.upstream.access.region = t)
        ),
        key!(
            "upstream.path_style",
            "Ask it for endpoint/bucket/key instead of bucket.endpoint/key: true, false, or \"auto\": where an endpoint is set.",
            |c| c.upstream.path_style.map_or("\"auto\"".into(), |p| p.to_string()),
            |c, v| {
                c.upstream.path_style = if v.text().is_ok_and(|t| t == "auto") { None } else { Some(v.flag()?) };
                Ok(())
            }
        )
        .also(&[("S3_FORCE_PATH_STYLE", "")]),
        key!(
            "upstream.profile",
            "The profile of the shared AWS files to ask it by; empty: AWS_PROFILE, or what the environment, container or instance gives.",
            |c| format!("{:?}", c.upstream.access.profile.as_deref().unwrap_or_default()),
            |c, v| v.optional_text().map(|t| c.upstream.access.profile = t)
        ),
    ]
}

/// How objects are written there.
fn storing() -> Vec<Key> {
    vec![
        key!(
            "upstream.kms_key",
            "Objects are encrypted with this KMS key; empty: as the bucket's own default says.",
            |c| format!("{:?}", c.upstream.kms_key.as_deref().unwrap_or_default()),
            |c, v| v.optional_text().map(|t| c.upstream.kms_key = t)
        )
        .also(&[("S3_KMS_KEY_ID", "")]),
        key!(
            "upstream.storage_class",
            "The storage class of what is written, such as \"INTELLIGENT_TIERING\"; empty: the bucket's.",
            |c| format!("{:?}", c.upstream.storage_class.as_deref().unwrap_or_default()),
            |c, v| v.optional_text().map(|t| c.upstream.storage_class = t)
        ),
        field!(
            "upstream.concurrency",
            "Parts of large objects that go up at once.",
            upstream.concurrency,
            |v: &usize| v.to_string(),
            positive
        )
        .also(&[("S3_MAX_CONCURRENCY", "")]),
        field!(
            "upstream.multipart_threshold",
            "Bodies over this size go up in parts, in parallel.",
            upstream.multipart_threshold,
            |v: &u64| quoted_size(*v),
            size
        )
        .also(&[("S3_MULTIPART_THRESHOLD_MB", "MiB")]),
        field!("upstream.part_size", "The size of a part.", upstream.part_bytes, |v: &u64| quoted_size(*v), size),
    ]
}

fn take_owner(v: &Value<'_>) -> Taken<Option<TenantId>> {
    let id = v.optional_text()?.map(|t| TenantId::parse(&t)).transpose();
    id.map_err(|_| "expected the id of a tenant: 1 to 64 of A-Z, a-z, 0-9, '-' and '_'".into())
}
