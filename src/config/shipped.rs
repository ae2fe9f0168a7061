//! The shipped `gateway.toml` and the table in `docs/configuration.md`, written from the list of keys: neither can grow stale.

use std::fmt::Write as _;

use super::Config;
use super::keys::{Key, keys};

/// Every key with its meaning and its default.
pub fn file() -> String {
    let mut out = String::from(HEADER);
    let mut section = "";
    let defaults = Config::default();
    for key in keys() {
        if key.section() != section {
            section = key.section();
            let _ = write!(out, "\n[{section}]\n\n");
        }
        let name = key.name.split_once('.').map_or(key.name, |(_, name)| name);
        let _ = writeln!(out, "# {}  ({})\n{name} = {}\n", key.meaning, variables(&key).join(", "), (key.show)(&defaults));
    }
    out.push_str(SITES);
    out
}

const HEADER: &str = "\
# Tidegate. Every key is here with its default: what you leave out stays as it is shown.
# The variable in brackets overrides the file. Sizes: \"64MiB\", \"1GB\". Times: \"30s\", \"5m\", \"250ms\".
# Relative paths start at this file. `tidegate check` reads it and names everything that is wrong.
# The operator's key is taken from TIDEGATE_ROOT_ACCESS_KEY and TIDEGATE_ROOT_SECRET_KEY, or made at the first start.
";

const SITES: &str = "\
# Over an S3: further buckets that exist there, shown under names of their own; owner is a tenant, empty: the operator.
# [[bucket]]
# name = \"archive\"
# upstream = \"Old_Media\"
# prefix = \"public/\"
# owner = \"acme\"

# Further S3s that everything is brought to, as it changes. Reads go there (`read`) while what the gateway stands on can't be
# asked. Each bucket is a folder there. Without a profile or keys: the environment, the container or the instance.
# [[replica]]
# name = \"west\"
# bucket = \"media-west\"
# prefix = \"\"
# endpoint = \"https://s3.us-west-2.amazonaws.com\"
# region = \"us-west-2\"
# path_style = false
# profile = \"west\"                  # or: access_key = \"AKIA…\", secret = { env = \"WEST_SECRET\" } or { file = \"secrets/west\" }
# kms_key = \"\"
# storage_class = \"STANDARD_IA\"
# only = [\"media\", \"logs/2026/\"]  # buckets, or prefixes in them; left out: everything
# read = true
# scan = \"24h\"                      # how often both listings are compared

# A bucket that grew out of a bucket of an old S3, which is read and never written: what is not here yet is shown from there, and
# copied. Keys as for [[replica]]. See docs/moving-in.md.
# [[shadow]]
# name = \"media\"                     # the gateway's bucket
# bucket = \"Old_Media\"
# prefix = \"\"
# endpoint = \"https://s3.example.com\"
# region = \"us-east-1\"
# access_key = \"AKIA…\"
# secret = { env = \"OLD_SECRET\" }

# Keys that clients name (x-amz-server-side-encryption: aws:kms), of 32 bytes each: openssl rand -base64 32. The highest number
# encrypts; the others are there to read what they encrypted. See docs/operating.md.
# [[encryption_key]]
# name = \"media\"
# versions = [{ number = 1, secret = { file = \"secrets/media-1\" } }, { number = 2, secret = { env = \"MEDIA_KEY_2\" } }]
# tenants = [\"acme\"]               # left out: all

# Rules that let objects go, beside those that buckets are set to (PutBucketLifecycleConfiguration): see docs/lifecycle.md.
# [[lifecycle_rule]]
# name = \"session logs\"
# bucket = \"media\"                   # or a list; left out: all
# prefix = \"sessions/*/logs/\"        # a * stands for anything but a slash
# artifact = [\"image\", \"video\"]    # the third part of tenant/run/type/file
# larger_than = \"1MiB\"               # and smaller_than
# expire_days = 7                     # after it was written; or unread_days = 90: nobody read it so long (embedded store)
# noncurrent_days = 30                # versions that are not the newest, from the creation of their successor on
# keep_noncurrent = 3                 # of these, the newest stay
# abort_uploads_days = 1

# Models that are made smaller by themselves, once they passed inspection; what looks different is not used. The first rule that fits
# counts. See docs/assets.md.
# [[optimize_rule]]
# name = \"cars\"
# bucket = \"media\"                   # or a list; left out: all
# prefix = \"*/runs/\"                # a * stands for anything but a slash
# artifact = \"model_3d\"             # the third part of tenant/run/type/file, or a list
# tag = \"optimize=yes\"             # that the object has when it is written
# max_size = \"64MiB\"
# steps = [\"draco\", \"poster\"]     # left out: lossless, draco, poster. Others: meshopt, ktx2, lod1, lod2, lod3
# psnr = 45.0                         # decibels that a result must have, seen from every side
# ssim = 0.99                         # and this
# lod_error = 0.01                    # how far lod1 may lie from the original, in parts of its longest side; lod2 twice, lod3 four times
# lod_psnr = 24.0                     # as psnr, of levels of detail: that they are others is seen
# lod_ssim = 0.8
# texture_max = 2048                  # pixels of a side, in the step ktx2
# texture_psnr = 36.0                 # as psnr, of the step ktx2
# texture_ssim = 0.96
# khr_meshopt = false                 # true: KHR_meshopt_compression, which fewer programs read than EXT_meshopt_compression
# poster_size = 512
# poster_background = \"#20242a\"    # left out: clear
# poster_format = \"webp\"            # or \"png\"

# What a bucket may hold and what may happen in it, whosever it is; as limits of tenants, which hold beside these. See docs/usage.md.
# [[bucket_limit]]
# bucket = \"media\"
# bytes = \"1TB\"
# objects = 1_000_000                  # with versions and delete markers
# requests_per_second = 2000
# bytes_in_per_second = \"50MB\"
# bytes_out_per_second = \"100MB\"
# uploads = 64                         # at once
# egress_per_month = \"10TB\"

# Who can be told of what happens, signed with each of the secrets (the one in use and the next one). Buckets name a webhook in their
# notification configuration, rules name it here. See docs/events.md.
# [[webhook]]
# name = \"pipeline\"
# url = \"https://hooks.example.com/tidegate\"
# secrets = [{ env = \"PIPELINE_SECRET\" }, { file = \"secrets/pipeline-next\" }]
# format = \"s3\"                     # or \"cloudevents\"
# tenants = [\"acme\"]                # whose events; left out: all
# timeout = \"15s\"                   # of one delivery
# give_up = \"24h\"                   # then an event is dead: tidegate events
# at_once = 8                        # deliveries, of different keys
# local = false                      # true: plain http:// and addresses of your own network

# [[event_rule]]
# name = \"deletes\"
# webhook = \"pipeline\"
# buckets = [\"media\"]               # left out: all, and what is about no bucket
# prefix = \"originals/\"
# suffix = \".glb\"
# events = [\"s3:ObjectRemoved:*\", \"tidegate:Job:Failed\"]

# What the edge door shows: one table for each site. A request belongs to the site of its host, or to the one for any host.
[[site]]

# One host name or a list, without ports; empty: every host that no other site has.
host = \"\"

# With a bucket the path is the key (after the prefix); without one its first segment names the bucket.
bucket = \"\"
prefix = \"\"

# What a path that ends with a slash shows, such as \"index.html\".
index = \"\"

# Which pages may read: \"*\", or origins such as \"https://app.example.com\" and \"https://*.example.com\", with credentials or not.
cors = { origins = \"*\", credentials = false }

# What is text in some way (glTF, GLSL, HTML, JS, JSON, SVG, WASM, .bin, HDR …) is compressed for clients that take it: true,
# false, or { types = [\"text/*\", \"model/*\"], min = \"1KiB\", decode = true }. decode: what was stored compressed is
# unpacked for clients that do not take it.
compress = true

# Whatever could run a script (HTML, SVG, XML and all that is not known to be harmless) gets an origin of its own, so that tenants'
# pages can't read each other. Types that are not well formed are sent as application/octet-stream, service workers are refused.
sandbox = true

# True where pages with Cross-Origin-Embedder-Policy frame the site's HTML: it gets `require-corp` too, which they ask of it, and
# can then load nothing from elsewhere that does not allow it.
coep = false

# True only where the CDN in front checks each viewer's right itself: it may then keep what only a signature opens. Needs callers.
cdn_verifies = false

# Scheme and host by which browsers know the site, such as \"https://cdn.example.com\": links begin with it, and CloudFront's
# signatures are for it where a CDN asks with another host. Empty: https:// and the first host, where there is one.
url = \"\"

# What a path token stands behind, and the form of links to what not everyone may read: s3, cloudfront, cookie or path-token.
token_path = \"/_t/\"
private = \"s3\"

# A site that only its CDN may ask. Every proof that is named must hold (see deploy/cloudfront): a secret header with the value in
# use and the next one, a client certificate on edge.mtls_listen, the networks that connections come from.
# callers = { header = \"x-origin-verify\", secrets = [{ env = \"CDN_SECRET\" }, { file = \"secrets/cdn-next\" }] }
# callers = { mtls = true, names = [\"cdn.example.com\"], networks = [\"10.0.0.0/8\"] }
# The header in which a proven CDN gets the tags to purge by.
# cache_tag = \"Cache-Tag\"

# Tells CloudFront of each overwrite and delete, gathered for the delay.
# cdn = { kind = \"cloudfront\", distribution = \"E2EXAMPLE1AB2C\", delay = \"5s\" }

# Cache-Control where neither the object's own metadata nor a content hash in its name says it. The first rule that fits
# counts: match is a pattern on the key, type on the content type, artifact the third part of tenant/run/type/file.
# [[site.cache]]
# match = \"*/bundle/*.html\"
# type = \"text/*\"
# artifact = \"bundle\"
# control = \"public, max-age=10\"      # or: immutable = true
";

/// The rows of the table in `docs/configuration.md`.
pub fn markdown() -> String {
    let mut out = String::from("| key | default | environment | meaning |\n|---|---|---|---|\n");
    let defaults = Config::default();
    for key in keys() {
        let variables = variables(&key).join("`, `");
        let _ = writeln!(out, "| `{}` | `{}` | `{variables}` | {} |", key.name, (key.show)(&defaults), key.meaning);
    }
    out
}

/// The first that is set counts.
fn variables(key: &Key) -> Vec<String> {
    let aliases = key.aliases.iter().map(|(name, _)| (*name).to_owned());
    std::iter::once(key.environment()).chain(aliases).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::parse;
    use std::path::Path;

    #[test]
    fn the_shipped_file_is_the_defaults() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = root.join("gateway.toml");
        if std::env::var_os("TIDEGATE_WRITE_SHIPPED").is_some() {
            std::fs::write(&path, file()).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            file(),
            "run this test with TIDEGATE_WRITE_SHIPPED=1 to write gateway.toml anew"
        );
        let mut parsed = parse(Some((Path::new("gateway.toml"), &file())), &[]).unwrap();
        parsed.file = None;
        assert_eq!(format!("{parsed:?}"), format!("{:?}", Config::default()));
    }

    #[test]
    fn the_table_names_every_key() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
        let page = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = page.split_once("| key | default |").expect("the page has the table of keys");
        let after = rest.split_once("\n\n").map_or("", |(_, after)| after);
        let wanted = format!("{before}{}\n{after}", markdown());
        if std::env::var_os("TIDEGATE_WRITE_SHIPPED").is_some() {
            std::fs::write(&path, &wanted).unwrap();
        }
        let rows = |text: &str| text.lines().filter(|line| line.starts_with('|')).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            rows(&std::fs::read_to_string(&path).unwrap()),
            rows(&wanted),
            "TIDEGATE_WRITE_SHIPPED=1 writes the table of docs/configuration.md anew"
        );
    }

    #[test]
    fn names_are_distinct() {
        let mut names: Vec<String> = keys().iter().flat_map(|k| [vec![k.name.to_owned()], variables(k)].concat()).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
