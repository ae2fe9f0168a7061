//! What is kept on this machine: the store, what waits to be written back, the cache, variants.

use super::{Key, quoted_size, show_list, show_time};

pub fn store() -> Vec<Key> {
    vec![
        key!(
            "store.data"("TIDEGATE_DATA"),
            "Everything that is stored, and the operator's key.",
            |c| format!("{:?}", c.store.dir.display()),
            |c, v| v.path().map(|p| c.store.dir = p)
        )
        .also(&[("ASSET_STORAGE_DIR", "")]),
        field!(
            "store.inline_limit",
            "Bodies up to this size share the journal's fsync; larger ones are files of their own.",
            store.inline_limit,
            |v: &usize| quoted_size(*v as u64),
            size
        ),
        field!("store.segment_size", "A journal segment.", store.segment_bytes, |v: &u64| quoted_size(*v), size),
        field!("store.index_cache", "Memory of the index.", store.index_cache_bytes, |v: &u64| quoted_size(*v), size),
        field!(
            "store.hot_cache",
            "Memory for objects' information and small bodies that are read again and again.",
            store.hot.bytes,
            |v: &u64| quoted_size(*v),
            size
        ),
        field!("store.hot_body", "The largest body kept there.", store.hot.body_bytes, |v: &u64| quoted_size(*v), size),
        field!(
            "store.open_files",
            "Files kept open (and mapped) for reading.",
            store.files.open_files,
            |v: &usize| v.to_string(),
            positive
        ),
        field!(
            "store.reserve",
            "PUTs are refused below this much free space, so that deletes can still be recorded.",
            store.reserve_bytes,
            |v: &u64| quoted_size(*v),
            size
        ),
        field!("store.grace", "How long a file stays after nothing refers to it.", store.drop_grace, show_time, duration),
        field!("store.upkeep_interval", "How often the store looks for what may go.", store.upkeep_interval, show_time, duration),
        field!(
            "store.compact_segments",
            "The journal is compacted when it has this many segments: bounds a start.",
            store.compact_segments,
            |v: &usize| v.to_string(),
            positive
        ),
        field!(
            "store.completed_kept",
            "How long a completed multipart upload answers the same request again.",
            store.completed_kept,
            show_time,
            duration
        ),
    ]
}

pub fn encryption() -> Vec<Key> {
    vec![
        field!(
            "encryption.new_buckets",
            "New buckets encrypt what is written into them with the store's own key (SSE-S3), unless a request asks for another way.",
            doors.encryption.new_buckets,
            |v: &bool| v.to_string(),
            flag
        ),
        field!(
            "encryption.block_customer_keys",
            "Refuse clients' own keys (SSE-C) in buckets that do not say otherwise by PutBucketEncryption, as AWS does.",
            doors.encryption.block_customer_keys,
            |v: &bool| v.to_string(),
            flag
        ),
        field!(
            "encryption.allow_missing_keys",
            "Start although objects are encrypted with keys that are not there. Those can't be read.",
            store.allow_missing_keys,
            |v: &bool| v.to_string(),
            flag
        ),
        field!(
            "encryption.customer_keys_over_http",
            "Take clients' own keys (SSE-C) over plain HTTP too. For tests.",
            doors.encryption.customer_keys_over_http,
            |v: &bool| v.to_string(),
            flag
        ),
    ]
}

pub fn lifecycle() -> Vec<Key> {
    vec![
        field!("lifecycle.every", "How often it is looked for what lifecycle rules let go.", lifecycle.every, show_time, duration),
        field!(
            "lifecycle.day",
            "For tests: seconds that a day of a lifecycle rule has, and nothing is rounded to midnight. 0: a day.",
            lifecycle.day_seconds,
            |v: &u64| v.to_string(),
            number
        ),
    ]
}

pub fn back() -> Vec<Key> {
    vec![
        field!(
            "back.buckets",
            "Buckets whose writes are answered when they are durable here, and stored upstream afterwards. S3_UPLOAD_ON_WRITE=false: upstream.bucket, too.",
            back.buckets,
            |v: &Vec<_>| show_list(v),
            list("the name of a bucket, or a list of them")
        ),
        field!(
            "back.limit",
            "How much of them may wait here; further writes are answered 503 SlowDown.",
            back.limit,
            |v: &u64| quoted_size(*v),
            size
        ),
    ]
}

pub fn variants() -> Vec<Key> {
    vec![
        field!(
            "variants.size",
            "Disk space for compressed and decoded forms of objects, in the data folder; the oldest go first. 0B: only small ones are made, and kept in memory.",
            variants.disk_bytes,
            |v: &u64| quoted_size(*v),
            size
        ),
        field!(
            "variants.memory",
            "Memory for small ones, and for what is known of the others.",
            variants.memory_bytes,
            |v: &u64| quoted_size(*v),
            size
        ),
        field!(
            "variants.small",
            "Objects up to this size are compressed while the reader waits; larger ones are sent as they are until it is done.",
            variants.small_bytes,
            |v: &u64| quoted_size(*v),
            size
        ),
        field!(
            "variants.largest",
            "Objects over this size, or that would be when decoded, are always sent as they are.",
            variants.largest_bytes,
            |v: &u64| quoted_size(*v),
            size
        ),
        field!(
            "variants.workers",
            "Threads of low priority that make the best forms in the background.",
            variants.workers,
            |v: &usize| v.to_string(),
            positive
        ),
    ]
}

pub fn cache() -> Vec<Key> {
    vec![
        key!(
            "cache.dir",
            "Blocks of objects that lie in a remote S3; may be deleted at any time. Empty: cache in the data folder.",
            |c| format!("{:?}", c.cache_dir.as_ref().map(|d| d.display().to_string()).unwrap_or_default()),
            |c, v| v.optional_path().map(|d| c.cache_dir = d)
        ),
        field!(
            "cache.size",
            "Disk space for them, never exceeded. 0B: they are kept in memory only.",
            cache.disk_bytes,
            |v: &u64| quoted_size(*v),
            size
        ),
        field!("cache.memory", "Memory for blocks up to 256 KiB; at least 16 blocks.", cache.memory_bytes, |v: &u64| quoted_size(*v), size),
        key!(
            "cache.block",
            "What is fetched and kept at once, 64KiB to 16MiB. Another value makes what is there useless.",
            |c| quoted_size(c.cache.block_bytes),
            |c, v| match v.size()? {
                bytes @ 0x1_0000..=0x100_0000 => {
                    c.cache.block_bytes = bytes;
                    Ok(())
                }
                _ => Err("must be 64KiB to 16MiB".into()),
            }
        ),
        field!(
            "cache.fetches",
            "Requests for blocks at once; each holds two blocks in memory.",
            cache.fetches,
            |v: &usize| v.to_string(),
            positive
        ),
        field!(
            "cache.fresh",
            "For so long the edge door shows what it knows of a key without asking the remote S3.",
            cache.freshness.fresh,
            show_time,
            duration
        ),
        field!(
            "cache.stale_while_revalidate",
            "For so long after that it shows it once more, and asks meanwhile.",
            cache.freshness.while_revalidate,
            show_time,
            duration
        ),
        field!(
            "cache.stale_if_error",
            "For so long it shows what it knew last while the remote S3 can't be asked.",
            cache.freshness.if_error,
            show_time,
            duration
        ),
        field!("cache.negative", "For so long it takes a key for absent without asking.", cache.freshness.negative, show_time, duration),
    ]
}
