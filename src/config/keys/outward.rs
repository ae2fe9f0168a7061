//! What is asked of others for tenants: addresses that are fetched, and providers of generated media.

use super::{Key, quoted_size, show_list, show_time};
use crate::config::Config;
use crate::vault::kind::MediaKind;

pub fn fetch() -> Vec<Key> {
    vec![
        field!(
            "fetch.allow",
            "Networks that are no part of the open internet and may be fetched from all the same, also without TLS, such as \"10.0.0.0/8\".",
            fetch.allow,
            |v: &Vec<_>| show_list(v),
            list("a network such as \"10.0.0.0/8\", or a list of them")
        ),
        field!("fetch.max_size", "More is not fetched.", fetch.max_bytes, |v: &u64| quoted_size(*v), size),
        field!(
            "fetch.stall",
            "Nothing came for so long: the connection is given up, and the fetch goes on with another.",
            fetch.stall,
            show_time,
            duration
        ),
        field!("fetch.time", "Time that one attempt may take.", fetch.time, show_time, duration),
        field!(
            "fetch.give_up",
            "How long it is tried, where neither the request nor the address says when that expires.",
            fetch.give_up,
            show_time,
            duration
        ),
    ]
}

macro_rules! order {
    ($name:literal, $kind:ident) => {
        key!(
            $name,
            "The providers of this kind, in order: the next is asked when one failed. Empty: all that have a file.",
            |c: &Config| show_list(c.generate.order.get(&MediaKind::$kind).map(Vec::as_slice).unwrap_or_default()),
            |c, v| {
                let order: Vec<String> = v.list("a provider's name, or a list of them")?;
                match order.is_empty() {
                    true => drop(c.generate.order.remove(&MediaKind::$kind)),
                    false => drop(c.generate.order.insert(MediaKind::$kind, order)),
                }
                Ok(())
            }
        )
    };
}

pub fn generate() -> Vec<Key> {
    vec![
        key!(
            "generate.providers",
            "The folder of the files of providers (*.toml): see docs/generation.md. Where it is not there, nothing is generated.",
            |c| format!("{:?}", c.generate.folder.display()),
            |c, v| v.path().map(|folder| c.generate.folder = folder)
        ),
        order!("generate.video", Video),
        order!("generate.sfx", Sfx),
        order!("generate.bgm", Bgm),
        order!("generate.model_3d", Model3d),
        order!("generate.image", Image),
        order!("generate.texture", Texture),
        order!("generate.environment_map", EnvironmentMap),
        field!(
            "generate.budget",
            "US dollars that each tenant may spend on providers in a month; 0: any.",
            generate.budget,
            |v: &f64| format!("{v:.1}"),
            decimal
        ),
        field!(
            "generate.budgets",
            "The same for single tenants, such as \"acme=50\".",
            generate.budgets,
            |v: &Vec<_>| show_list(v),
            list("a tenant and dollars such as \"acme=50\", or a list of them")
        ),
    ]
}
