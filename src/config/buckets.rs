//! The `[[bucket]]` tables: buckets that exist upstream, shown here under names of their own.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::reader::{Reader, nearest, tables};
use crate::base::names::{BucketName, TenantId};
use crate::upstream::settings::{Adopted, PREFIX_EXPECTED, is_prefix};

/// Held in memory, and looked through for each new bucket.
const MAX_BUCKETS: usize = 1000;
const KEYS: [&str; 4] = ["name", "upstream", "prefix", "owner"];

pub fn take(reader: &mut Reader<'_>, content: &Spanned<DeValue<'_>>) -> Vec<Adopted> {
    let mut taken: Vec<Adopted> = Vec::new();
    for (key, at, fields) in tables(reader, content, "bucket", MAX_BUCKETS) {
        let Some(adopted) = take_one(reader, &key, at, fields) else { continue };
        if taken.iter().any(|a| a.name == adopted.name) {
            reader.fault(at, &format!("{key}.name"), format!("{:?} is the name of another [[bucket]]", adopted.name.as_str()));
        }
        taken.push(adopted);
    }
    taken
}

/// None: a fault was told.
fn take_one(reader: &mut Reader<'_>, key: &str, at: usize, fields: &DeTable<'_>) -> Option<Adopted> {
    let (mut name, mut bucket, mut prefix, mut owner) = (None, None, Some(String::new()), Some(None));
    for (field, value) in fields {
        let (inner, at) = (format!("{key}.{}", field.get_ref()), value.span().start);
        let text = value.get_ref().as_str().unwrap_or_default();
        let expected = match field.get_ref().as_ref() {
            "name" => {
                name = BucketName::parse(text).ok();
                name.is_none().then_some("the name of a bucket: 3 to 63 of a-z, 0-9, '.' and '-'")
            }
            "upstream" => {
                bucket = Some(text.to_owned()).filter(|t| !t.is_empty() && t.len() <= 255 && !t.contains(['/', '\0']));
                bucket.is_none().then_some("the bucket's name upstream")
            }
            "prefix" => {
                prefix = Some(text.to_owned()).filter(|t| is_prefix(t));
                prefix.is_none().then_some(PREFIX_EXPECTED.trim_start_matches("expected "))
            }
            "owner" => {
                owner = if text.is_empty() { Some(None) } else { TenantId::parse(text).ok().map(Some) };
                owner.is_none().then_some("the id of a tenant: 1 to 64 of A-Z, a-z, 0-9, '-' and '_'")
            }
            other => {
                let hint = nearest(other, KEYS.into_iter());
                reader.fault(field.span().start, &inner, format!("there is no such key{hint}"));
                continue;
            }
        };
        if let Some(expected) = expected {
            reader.fault(at, &inner, format!("expected {expected}, found {text:?}"));
        }
    }
    for needed in ["name", "upstream"] {
        if !fields.iter().any(|(field, _)| field.get_ref() == needed) {
            reader.fault(at, &format!("{key}.{needed}"), "is missing".into());
        }
    }
    Some(Adopted { name: name?, bucket: bucket?, prefix: prefix?, owner: owner? })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::load::parse;

    fn config(text: &str, environment: &[(&str, &str)]) -> Result<crate::config::Config, Vec<String>> {
        let environment: Vec<_> = environment.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        parse(Some((Path::new("g.toml"), text)), &environment).map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn over_a_bucket() {
        let text = "[upstream]\nbucket = \"home\"\nendpoint = \"http://127.0.0.1:1\"\n[[bucket]]\nname = \"old\"\nupstream = \"Old_Media\"\nprefix = \"x/\"\nowner = \"acme\"\n";
        let upstream = config(text, &[]).unwrap().upstream_settings().unwrap();
        assert_eq!((upstream.bucket.as_str(), upstream.access.path_style), ("home", true));
        let old = &upstream.adopted[0];
        assert_eq!((old.name.as_str(), old.bucket.as_str(), old.prefix.as_str()), ("old", "Old_Media", "x/"));
        assert_eq!(old.owner.as_ref().unwrap().as_str(), "acme");
        assert!(config("", &[]).unwrap().upstream_settings().is_none());
    }

    #[test]
    fn nodes_of_one_bucket() {
        let over = "[upstream]\nbucket = \"home\"\nendpoint = \"http://127.0.0.1:1\"\n";
        let peers = |text: &str| format!("[cluster]\npeers = {text}\n");
        let two = config(&format!("{over}{}", peers(r#"["http://10.0.0.2:9001", "http://b:9001"]"#)), &[]).unwrap();
        assert_eq!(two.cluster.peers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["http://10.0.0.2:9001", "http://b:9001"]);
        let twice = config(&format!("{over}{}", peers(r#"["http://b:9001", "http://b:9001/"]"#)), &[]).unwrap_err();
        assert!(twice[0].contains("cluster.peers: names a node twice"), "{twice:?}");
        assert!(config(&peers(r#""http://b:9001""#), &[]).unwrap_err()[0].contains("without upstream.bucket"));
        let this = |url: &str| format!("{over}{}this = \"{url}\"\n", peers(r#"["http://a:9001", "http://b:9001"]"#));
        let others = config(&this("http://b:9001"), &[]).unwrap().cluster.peers;
        assert_eq!(others.iter().map(ToString::to_string).collect::<Vec<_>>(), ["http://a:9001"]);
        assert!(config(&this("http://c:9001"), &[]).unwrap_err()[0].contains("cluster.this: expected one of cluster.peers"));
        let odd = config(&format!("{over}{}", peers(r#""10.0.0.2:9001""#)), &[]).unwrap_err();
        assert!(odd[0].contains("cluster.peers: expected the address"), "{odd:?}");
        let shared =
            |more: &str| config(&format!("{over}{}share_cache = true\n{more}", peers(r#"["http://a:9001", "http://b:9001"]"#)), &[]);
        assert!(shared("this = \"http://b:9001\"\n").unwrap().cluster.share_cache);
        assert!(shared("").unwrap_err()[0].contains("cluster.share_cache: expected cluster.this"));
    }

    #[test]
    fn names_that_platforms_have_already() {
        let given =
            [("S3_BUCKET", "media"), ("ARTIFACT_BUCKET", "other"), ("S3_MULTIPART_THRESHOLD_MB", "8"), ("S3_FORCE_PATH_STYLE", "1")];
        let upstream = config("", &given).unwrap().upstream_settings().unwrap();
        assert_eq!((upstream.bucket.as_str(), upstream.multipart_threshold, upstream.access.path_style), ("media", 8 << 20, true));
        let own = [("TIDEGATE_UPSTREAM_BUCKET", "mine"), ("S3_BUCKET", "media")];
        assert_eq!(config("", &own).unwrap().upstream.bucket, "mine");
        let off = [("USE_S3", "false"), ("S3_BUCKET", "media")];
        assert!(config("[[bucket]]\nname = \"old\"\nupstream = \"o\"\n", &off).unwrap().upstream_settings().is_none());
        assert!(config("", &[("USE_S3", "true")]).unwrap_err()[0].contains("no bucket is named"));
    }

    #[test]
    fn more_names_that_platforms_have() {
        let given = [
            ("S3_BUCKET", "media"),
            ("S3_PUBLIC_BASE_URL", "https://CDN.example.com/"),
            ("S3_PRESIGN_EXPIRATION", "900"),
            ("S3_UPLOAD_ON_WRITE", "false"),
            ("ASSET_STORAGE_DIR", "/srv/assets"),
        ];
        let taken = config("", &given).unwrap();
        assert_eq!(taken.doors.sites.list()[0].url.as_deref(), Some("https://cdn.example.com"));
        assert_eq!((taken.doors.presign_expires.as_secs(), taken.store.dir.as_path()), (900, Path::new("/srv/assets")));
        assert_eq!(taken.back.buckets.iter().map(|b| b.as_str()).collect::<Vec<_>>(), ["media"]);
        // The file's own words come after them, and ours before.
        let back = "[back]\nbuckets = [\"media\", \"logs\"]\n";
        let through = config(back, &[("S3_BUCKET", "media"), ("S3_UPLOAD_ON_WRITE", "1")]).unwrap();
        assert_eq!(through.back.buckets.iter().map(|b| b.as_str()).collect::<Vec<_>>(), ["logs"]);
        let own = [("S3_BUCKET", "media"), ("S3_UPLOAD_ON_WRITE", "1"), ("TIDEGATE_BACK_BUCKETS", "media")];
        assert_eq!(config("", &own).unwrap().back.buckets.len(), 1);
        // A site that has a url keeps it.
        let site = config("[[site]]\nhost = \"\"\nurl = \"https://a.test\"\n", &given).unwrap();
        assert_eq!(site.doors.sites.list()[0].url.as_deref(), Some("https://a.test"));
        assert!(config("", &[("S3_UPLOAD_ON_WRITE", "false")]).unwrap().back.buckets.is_empty());
        let wrong = [
            ("S3_PUBLIC_BASE_URL", "cdn.example.com"),
            ("S3_PRESIGN_EXPIRATION", "1000000"),
            ("S3_UPLOAD_ON_WRITE", "later"),
            ("USE_S3", "0"),
        ];
        let found = config("", &wrong).unwrap_err();
        for start in [
            "S3_PUBLIC_BASE_URL: edge.url: expected",
            "S3_PRESIGN_EXPIRATION: s3.presign_expires: expected",
            "S3_UPLOAD_ON_WRITE: back.buckets: expected",
        ] {
            assert!(found.iter().any(|f| f.starts_with(start)), "{start} not in {found:#?}");
        }
    }

    #[test]
    fn every_fault_is_named() {
        let text = "[upstream]\nbucket = \"Home\"\nprefix = \"/x\"\nendpoint = \"nowhere\"\npart_size = \"1MiB\"\nowner = \"a b\"\n[[bucket]]\nname = \"X\"\nupstrem = \"\"\n[[bucket]]\nname = \"abc\"\nupstream = \"a/b\"\nprefix = \"x\"\nowner = \"?\"\n";
        let found = config(text, &[]).unwrap_err();
        for start in [
            "upstream.bucket: expected",
            "upstream.prefix: expected",
            "upstream.endpoint: expected",
            "upstream.part_size: expected",
            "upstream.owner: expected",
            "bucket[0].name: expected",
            "bucket[0].upstrem: there is no such key; did you mean upstream?",
            "bucket[0].upstream: is missing",
            "bucket[1].upstream: expected",
            "bucket[1].prefix: expected",
            "bucket[1].owner: expected",
        ] {
            assert!(found.iter().any(|f| f.contains(start)), "{start} not in {found:#?}");
        }
        let alone = config("[[bucket]]\nname = \"abc\"\nupstream = \"x\"\n", &[]).unwrap_err();
        assert!(alone[0].contains("upstream.bucket"), "{alone:?}");
    }
}
