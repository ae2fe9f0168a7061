//! Events: how many happened, what waits to be told to each webhook, how deliveries ended, who watches.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::gauge::GaugeGuard;
use super::histogram::Latency;

/// A webhook's name is the operator's, and there are few.
type OfWebhook = [(&'static str, String); 1];
type OfDelivery = [(&'static str, String); 2];

#[derive(Debug, Clone, Default)]
pub struct Events {
    pub happened: Counter,
    letters: Family<OfDelivery, Gauge>,
    oldest: Family<OfWebhook, Gauge>,
    deliveries: Family<OfDelivery, Counter>,
    duration: Latency,
    streams: Gauge,
    pub streams_behind: Counter,
}

impl Events {
    pub fn register(r: &mut Registry) -> Self {
        let all = Events::default();
        r.register("events", "Events that somebody was to be told of", all.happened.clone());
        r.register("event_letters", "Events that wait for a webhook, or were given up (dead)", all.letters.clone());
        r.register_with_unit("event_oldest", "Age of the oldest event that waits for a webhook", Unit::Seconds, all.oldest.clone());
        r.register("event_deliveries", "Deliveries to webhooks: told, failed, given_up", all.deliveries.clone());
        r.register_with_unit("event_delivery_duration", "Time of one delivery", Unit::Seconds, all.duration.clone());
        r.register("event_streams", "Clients that watch events", all.streams.clone());
        r.register(
            "event_streams_behind",
            "Gaps in streams of clients that read too slowly or came back too late",
            all.streams_behind.clone(),
        );
        all
    }

    pub fn set_letters(&self, webhook: &str, waiting: u64, dead: u64, oldest: Duration) {
        let set = |gauge: &Gauge, count: u64| {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        };
        for (state, count) in [("waiting", waiting), ("dead", dead)] {
            set(&self.letters.get_or_create(&[("webhook", webhook.to_owned()), ("state", state.to_owned())]), count);
        }
        set(&self.oldest.get_or_create(&[("webhook", webhook.to_owned())]), oldest.as_secs());
    }

    pub fn delivered(&self, webhook: &str, outcome: &'static str, took: Duration) {
        self.deliveries.get_or_create(&[("webhook", webhook.to_owned()), ("outcome", outcome.to_owned())]).inc();
        self.duration.observe(took);
    }

    pub fn given_up(&self, webhook: &str) {
        self.deliveries.get_or_create(&[("webhook", webhook.to_owned()), ("outcome", "given_up".to_owned())]).inc();
    }

    /// Counted until the guard goes.
    pub fn begin_stream(&self) -> GaugeGuard {
        GaugeGuard::new(&self.streams)
    }
}
