//! How uploads of media are looked into, and what a worker may use.

use super::{Key, quoted_size, show_list, show_time};

pub fn media() -> Vec<Key> {
    vec![
        field!(
            "media.inspect",
            "Look into uploads of models, pictures, sound and video. What is found is told in x-tidegate-media-* and at /-/v1/assets.",
            media.inspect,
            |v: &bool| v.to_string(),
            flag
        ),
        field!(
            "media.inspect_before",
            "Buckets whose writers are answered only when the upload passed; what does not is refused and never shown.",
            media.before,
            |v: &Vec<_>| show_list(v),
            list("a bucket's name, or a list of them")
        ),
        field!("media.workers", "Workers at once: a process for each file.", media.pool.workers, |v: &usize| v.to_string(), positive),
        field!(
            "media.memory",
            "Address space of one worker, with the file that it reads.",
            media.pool.memory_bytes,
            |v: &u64| quoted_size(*v),
            size
        ),
        field!("media.cpu", "CPU time that one file may take.", media.pool.cpu, show_time, duration),
        field!("media.time", "Time that one file may take.", media.pool.time, show_time, duration),
        field!("media.max_size", "Larger files are not looked into.", media.pool.max_bytes, |v: &u64| quoted_size(*v), size),
        field!("media.optimize_cpu", "CPU time that one model may take to be optimized.", media.pool.optimize_cpu, show_time, duration),
        field!("media.optimize_time", "Time that it may take.", media.pool.optimize_time, show_time, duration),
        field!(
            "media.optimize_max_size",
            "Larger models are not optimized, but where an [[optimize_rule]] says more.",
            media.renditions.max_bytes,
            |v: &u64| quoted_size(*v),
            size
        ),
    ]
}
