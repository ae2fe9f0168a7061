//! How long usage is kept, and what it costs.

use super::{Key, show_time};
use crate::usage::count::{Class, Way};
use crate::usage::prices::Price;
use crate::usage::settings::{Clock, ShortDays};

pub fn usage() -> Vec<Key> {
    vec![
        field!("usage.keep_hours", "How long usage is kept by the hour.", usage.keep_hours, show_time, duration),
        field!("usage.keep_days", "How long it is kept by the day: bills can be made of so much.", usage.keep_days, show_time, duration),
        field!("usage.measure", "How often it is read what is stored, and for how long.", usage.measure, show_time, duration),
        field!(
            "usage.count_upstream",
            "Over an S3: count what is stored, by a look before each write, so that limits of bytes and objects hold. Costs a HEAD for each write.",
            usage.count_upstream,
            |v: &bool| v.to_string(),
            flag
        ),
        field!(
            "usage.recount",
            "Over an S3: how often all is listed to set right what other writers changed, on one of the nodes.",
            usage.recount,
            show_time,
            duration
        ),
        field!(
            "usage.tell",
            "Over an S3: how often nodes tell each other what they stored, and give back room under limits that they do not use.",
            usage.tell,
            show_time,
            duration
        ),
        field!(
            "usage.hour_rows",
            "Rows that one hour has, by tenant, bucket, artifact type and run. What comes beyond counts as (other), by tenant.",
            usage.caps.hour,
            |v: &usize| v.to_string(),
            positive
        ),
        field!("usage.day_rows", "The same for one day.", usage.caps.day, |v: &usize| v.to_string(), positive),
        key!(
            "usage.day",
            "For tests, over an S3: \"3@1764500000\" makes days of usage three seconds long, from that moment (seconds since the epoch) and the beginning of its month on. Empty: days.",
            |c| format!("{:?}", c.usage.short_days.map(|short| short.to_string()).unwrap_or_default()),
            |c, v| {
                c.usage.short_days = match v.optional_text()? {
                    None => None,
                    Some(_) => Some(v.parsed("seconds and a moment such as \"3@1764500000\"")?),
                };
                c.usage.clock = c.usage.short_days.map_or_else(Clock::default, ShortDays::clock);
                Ok(())
            }
        ),
        key!(
            "usage.limit_near",
            "A limit of a tenant or bucket is near from so many per cent on: tidegate:Limit:Near is told then.",
            |c| c.limit_near.to_string(),
            |c, v| match v.number()? {
                percent @ 1..=100 => {
                    c.limit_near = percent;
                    Ok(())
                }
                _ => Err("must be 1 to 100".into()),
            }
        ),
    ]
}

macro_rules! price {
    ($name:literal, $meaning:literal, |$c:ident| $field:expr) => {
        key!($name, $meaning, |$c| show(&$field), |$c, v| v
            .parsed("a price such as \"0.023\", with 9 digits at most behind the point")
            .map(|price| $field = price))
    };
}

pub fn prices() -> Vec<Key> {
    vec![
        field!(
            "prices.currency",
            "In which reports show costs, such as USD. Empty: they show none.",
            usage.prices.currency,
            |v: &String| format!("{v:?}"),
            text
        ),
        price!("prices.stored_gb_month", "Of 1,000,000,000 bytes that are stored for a month.", |c| c.usage.prices.stored),
        price!("prices.put_1000", "Of 1000 requests that write: PUT, COPY, POST.", |c| c.usage.prices.requests[Class::Put as usize]),
        price!("prices.get_1000", "Of 1000 requests that read: GET, HEAD.", |c| c.usage.prices.requests[Class::Get as usize]),
        price!("prices.list_1000", "Of 1000 requests that list.", |c| c.usage.prices.requests[Class::List as usize]),
        price!("prices.delete_1000", "Of 1000 requests that delete or abort.", |c| c.usage.prices.requests[Class::Delete as usize]),
        price!("prices.other_1000", "Of 1000 other requests.", |c| c.usage.prices.requests[Class::Other as usize]),
        price!("prices.in_gb", "Of 1,000,000,000 bytes that come in.", |c| c.usage.prices.bytes_in),
        price!("prices.out_s3_gb", "Of 1,000,000,000 bytes that go out by the S3 door.", |c| c.usage.prices.bytes_out[Way::S3 as usize]),
        price!("prices.out_edge_gb", "The same by the edge door, to whoever asks.", |c| c.usage.prices.bytes_out[Way::Edge as usize]),
        price!("prices.out_cdn_gb", "The same to a CDN that proved to be the site's.", |c| c.usage.prices.bytes_out[Way::Cdn as usize]),
        price!("prices.job_hour", "Of an hour that a tenant's jobs run.", |c| c.usage.prices.job_hour),
    ]
}

fn show(price: &Price) -> String {
    format!("\"{price}\"")
}
