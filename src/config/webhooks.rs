//! The `[[webhook]]` tables: who can be told of events. And the `[[event_rule]]` tables: who is told of what, beside what buckets say.
//!
//! Secrets are read at the start and when they change, from the environment or from files: this file is shared and kept in repositories.

use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::callers;
use super::reader::{Reader, nearest, tables};
use super::units::parse_duration;
use crate::auth::live_secrets::Secrets;
use crate::base::event::{EventKind, EventKinds};
use crate::base::names::{BucketName, TenantId};
use crate::ops::events::settings::{Format, Rule, Webhook};
use crate::outbound;

/// Each has a task and a window of letters in memory.
const MAX_WEBHOOKS: usize = 64;
/// Each is asked of every write.
const MAX_RULES: usize = 1000;
const MAX_LIST: usize = 1000;
const MAX_FILTER_BYTES: usize = 1024;
const MAX_AT_ONCE: u16 = 64;
const TIMEOUT: Duration = Duration::from_secs(15);
const GIVE_UP: Duration = Duration::from_secs(24 * 3600);
const AT_ONCE: u16 = 8;
const WEBHOOK_KEYS: [&str; 9] = ["name", "url", "secrets", "format", "tenants", "timeout", "give_up", "at_once", "local"];
const RULE_KEYS: [&str; 6] = ["name", "webhook", "buckets", "prefix", "suffix", "events"];
const NAME: &str = "a name: 1 to 64 of A-Z, a-z, 0-9, '-' and '_'";
const EVENTS: &str = "a list of events such as [\"s3:ObjectCreated:*\", \"tidegate:Job:Failed\"], or [\"*\"] for all";

/// What was read of a webhook so far.
struct Taken {
    name: String,
    url: String,
    secrets: Option<Secrets>,
    format: Format,
    tenants: Option<Vec<TenantId>>,
    timeout: Duration,
    give_up: Duration,
    at_once: u16,
    local: bool,
}

pub fn take(reader: &mut Reader<'_>, content: &Spanned<DeValue<'_>>) -> Vec<Arc<Webhook>> {
    let mut all: Vec<Arc<Webhook>> = Vec::new();
    for (key, at, fields) in tables(reader, content, "webhook", MAX_WEBHOOKS) {
        let Some(webhook) = take_one(reader, &key, at, fields) else { continue };
        if all.iter().any(|other| other.name == webhook.name) {
            reader.fault(at, &format!("{key}.name"), format!("{:?} is the name of another [[webhook]]", webhook.name));
        }
        all.push(Arc::new(webhook));
    }
    all
}

/// None: a fault was told.
fn take_one(reader: &mut Reader<'_>, key: &str, at: usize, fields: &DeTable<'_>) -> Option<Webhook> {
    let mut taken = Taken {
        name: String::new(),
        url: String::new(),
        secrets: None,
        format: Format::S3,
        tenants: None,
        timeout: TIMEOUT,
        give_up: GIVE_UP,
        at_once: AT_ONCE,
        local: false,
    };
    let mut whole = true;
    for (field, value) in fields {
        let (name, inner) = (field.get_ref().as_ref(), format!("{key}.{}", field.get_ref()));
        if !WEBHOOK_KEYS.contains(&name) {
            let hint = nearest(name, WEBHOOK_KEYS.into_iter());
            reader.fault(field.span().start, &inner, format!("there is no such key{hint}"));
            continue;
        }
        if name == "secrets" {
            taken.secrets = callers::secrets(reader, &inner, value).map(Secrets::new);
            whole &= taken.secrets.is_some();
        } else if let Err(expected) = taken.take(name, value.get_ref()) {
            reader.fault(value.span().start, &inner, format!("expected {expected}"));
            whole = false;
        }
    }
    whole &= reader.has_all(key, at, fields, &["name", "url", "secrets"]);
    let Taken { name, url, secrets, format, tenants, timeout, give_up, at_once, local } = taken;
    if whole && let Err(e) = outbound::check(&url, local) {
        let hint = "expected an address that begins with https://; with local = true also http:// and addresses of your own network";
        reader.fault(at, &format!("{key}.url"), format!("{hint} ({e})"));
        whole = false;
    }
    let secrets = Arc::new(secrets.filter(|_| whole)?);
    Some(Webhook { name, url, local, secrets, format, tenants, timeout, give_up, at_once })
}

impl Taken {
    fn take(&mut self, name: &str, value: &DeValue<'_>) -> Result<(), &'static str> {
        let text = value.as_str().filter(|text| !text.is_empty());
        let time = || text.and_then(parse_duration).filter(|time| !time.is_zero());
        match name {
            "name" => self.name = text.filter(|text| is_name(text)).ok_or(NAME)?.to_owned(),
            "url" => self.url = text.ok_or("an address in quotes")?.to_owned(),
            "format" => {
                let format = Format::ALL.into_iter().find(|format| Some(format.name()) == text);
                self.format = format.ok_or("\"s3\" or \"cloudevents\"")?;
            }
            "tenants" => self.tenants = Some(list(value, |t| TenantId::parse(t).ok()).ok_or("a list of tenants, such as [\"acme\"]")?),
            "timeout" => {
                let timeout = time().filter(|time| *time <= Duration::from_secs(300));
                self.timeout = timeout.ok_or("a time such as \"15s\", at most \"5m\"")?;
            }
            "give_up" => self.give_up = time().ok_or("a time such as \"24h\" or \"3d\"")?,
            "at_once" => {
                let number = value.as_integer().and_then(|n| n.as_str().parse().ok()).filter(|n| (1..=MAX_AT_ONCE).contains(n));
                self.at_once = number.ok_or("a number of deliveries, 1 to 64")?;
            }
            _ => self.local = value.as_bool().ok_or("true or false")?,
        }
        Ok(())
    }
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn list<T>(value: &DeValue<'_>, one: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    let items = value.as_array().filter(|items| (1..=MAX_LIST).contains(&items.len()))?;
    items.iter().map(|item| one(item.get_ref().as_str()?)).collect()
}

pub fn take_rules(reader: &mut Reader<'_>, content: &Spanned<DeValue<'_>>) -> Vec<Rule> {
    let mut all: Vec<Rule> = Vec::new();
    for (key, at, fields) in tables(reader, content, "event_rule", MAX_RULES) {
        let Some(rule) = take_rule(reader, &key, at, fields) else { continue };
        if all.iter().any(|other| other.name == rule.name) {
            reader.fault(at, &format!("{key}.name"), format!("{:?} is the name of another [[event_rule]]", rule.name));
        }
        all.push(rule);
    }
    all
}

fn take_rule(reader: &mut Reader<'_>, key: &str, at: usize, fields: &DeTable<'_>) -> Option<Rule> {
    let (mut name, mut webhook, mut kinds, mut buckets) = (None, None, None, Some(Vec::new()));
    let (mut prefix, mut suffix) = (Some(String::new()), Some(String::new()));
    for (field, value) in fields {
        let inner = format!("{key}.{}", field.get_ref());
        let (place, value) = (value.span().start, value.get_ref());
        let filter = || value.as_str().filter(|text| text.len() <= MAX_FILTER_BYTES).map(str::to_owned);
        let own_name = || value.as_str().filter(|text| is_name(text)).map(str::to_owned);
        let expected = match field.get_ref().as_ref() {
            "name" => {
                name = own_name();
                name.is_none().then_some(NAME)
            }
            "webhook" => {
                webhook = own_name();
                webhook.is_none().then_some("the name of a [[webhook]]")
            }
            "buckets" => {
                buckets = list(value, |text| BucketName::parse(text).ok());
                buckets.is_none().then_some("a list of buckets, such as [\"media\"]")
            }
            "prefix" => {
                prefix = filter();
                prefix.is_none().then_some("a text of at most 1024 bytes")
            }
            "suffix" => {
                suffix = filter();
                suffix.is_none().then_some("a text of at most 1024 bytes")
            }
            "events" => {
                kinds = events(value);
                kinds.is_none().then_some(EVENTS)
            }
            other => {
                let hint = nearest(other, RULE_KEYS.into_iter());
                reader.fault(field.span().start, &inner, format!("there is no such key{hint}"));
                continue;
            }
        };
        if let Some(expected) = expected {
            reader.fault(place, &inner, format!("expected {expected}"));
        }
    }
    let whole = reader.has_all(key, at, fields, &["name", "webhook", "events"]);
    let rule = Rule { name: name?, webhook: webhook?, buckets: buckets?, prefix: prefix?, suffix: suffix?, kinds: kinds? };
    whole.then_some(rule)
}

fn events(value: &DeValue<'_>) -> Option<EventKinds> {
    let patterns = list(value, |text| if text == "*" { Some(EventKinds::of(&EventKind::ALL)) } else { EventKinds::matching(text) })?;
    Some(patterns.into_iter().fold(EventKinds::default(), EventKinds::union))
}

/// Rules that name a webhook which is not there. Once the whole file was read.
pub fn unknown<'r>(rules: &'r [Rule], webhooks: &[Arc<Webhook>]) -> Vec<&'r Rule> {
    rules.iter().filter(|rule| !webhooks.iter().any(|webhook| webhook.name == rule.webhook)).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;
    use crate::config::load::parse;

    fn read(text: &str) -> Result<Config, Vec<String>> {
        parse(Some((Path::new("g.toml"), text)), &[]).map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    const HOOK: &str = "[[webhook]]\nname = \"a\"\nurl = \"https://hooks.example.com/x?t=1\"\nsecrets = [{ env = \"S\" }]\n";

    #[test]
    fn webhooks_and_rules() {
        let rule =
            "[[event_rule]]\nname = \"r\"\nwebhook = \"a\"\nbuckets = [\"media\"]\nsuffix = \".jpg\"\nevents = [\"s3:ObjectCreated:*\"]\n";
        let config = read(&format!("{HOOK}format = \"cloudevents\"\ntenants = [\"acme\"]\ngive_up = \"3d\"\nat_once = 2\n{rule}")).unwrap();
        let webhook = &config.events.webhooks[0];
        assert_eq!((&*webhook.name, webhook.format, webhook.at_once, webhook.local), ("a", Format::CloudEvents, 2, false));
        assert_eq!((webhook.timeout, webhook.give_up), (TIMEOUT, Duration::from_secs(3 * 24 * 3600)));
        assert!(webhook.allows(&TenantId::parse("acme").unwrap()) && !webhook.allows(&TenantId::parse("other").unwrap()));
        let rule = &config.events.rules[0];
        assert!(rule.kinds.has(EventKind::CreatedCopy) && !rule.kinds.has(EventKind::RemovedDelete));
        assert_eq!((&*rule.suffix, rule.buckets.len()), (".jpg", 1));
        let all = read(&format!("{HOOK}[[event_rule]]\nname = \"r\"\nwebhook = \"a\"\nevents = [\"*\"]\n")).unwrap();
        assert!(EventKind::ALL.into_iter().all(|kind| all.events.rules[0].kinds.has(kind)));
    }

    #[test]
    fn each_fault_with_its_place() {
        let rule = "[[event_rule]]\nname = \"r\"\nwebhook = \"a\"\n";
        for (text, expected) in [
            ("[[webhook]]\n".to_owned(), "webhook[0].name: is missing"),
            ("[[webhook]]\n".to_owned(), "webhook[0].secrets: is missing"),
            (format!("{HOOK}{HOOK}"), "webhook[1].name: \"a\" is the name of another [[webhook]]"),
            (format!("{HOOK}fromat = \"s3\"\n"), "webhook[0].fromat: there is no such key; did you mean format?"),
            (format!("{HOOK}timeout = \"1h\"\n"), "webhook[0].timeout: expected a time such as \"15s\""),
            (format!("{HOOK}at_once = 0\n"), "webhook[0].at_once: expected a number of deliveries"),
            (HOOK.replace("https", "http"), "webhook[0].url: expected an address that begins with https://"),
            (HOOK.replace("{ env = \"S\" }", "\"s3cret-in-the-file\""), "webhook[0].secrets[0]: expected { env"),
            (format!("{HOOK}{rule}events = []\n"), "event_rule[0].events: expected a list of events"),
            (format!("{HOOK}{rule}events = [\"s3:ObjectMade:*\"]\n"), "event_rule[0].events: expected a list of events"),
            (format!("{rule}events = [\"*\"]\n"), "event_rule: \"r\" names the webhook \"a\", which is not there"),
        ] {
            let found = read(&text).unwrap_err();
            assert!(found.iter().any(|fault| fault.contains(expected)), "{expected}\nnot in\n{found:?}");
            assert!(!found.iter().any(|fault| fault.contains("s3cret")), "{found:?}");
        }
        assert!(read(&format!("{}local = true\n", HOOK.replace("https", "http"))).is_ok());
    }
}
