//! What happens now, as server-sent events: one message for each event, S3's record as its data.
//!
//! `Last-Event-ID` goes on where a client was, as far as that is kept; `event: gap` says that some were missed, because it read too slowly or came too
//! late. Of this node's own changes: each node tells of its own. The stream ends after a while, or when the gateway stops; browsers then ask
//! again by themselves.

use bytes::Bytes;
use http::HeaderValue;
use http::header::ACCESS_CONTROL_ALLOW_ORIGIN;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::auth::action::Action;
use crate::base::error::Result;
use crate::base::names::TenantId;
use crate::http::api::events::{HEARTBEAT, LONGEST, answer};
use crate::http::exchange::Exchange;
use crate::http::respond::Answer;
use crate::ops::events::hub::{Found, Reader};
use crate::ops::events::message::Event;
use crate::queue::shared::became_true;
use crate::telemetry::events::Events as Gauges;

/// Which of the tenant's events are wanted.
struct Wanted {
    bucket: Option<String>,
    prefix: String,
}

impl Wanted {
    fn has(&self, event: &Event) -> bool {
        let of_bucket = self.bucket.is_none() || self.bucket == event.bucket;
        of_bucket && (self.prefix.is_empty() || event.object.as_ref().is_some_and(|object| object.key.starts_with(&self.prefix)))
    }
}

pub fn stream(exchange: &Exchange<'_>) -> Result<Answer> {
    let grant = exchange.authorize_service(Action::WatchEvents)?;
    let query = &exchange.query;
    let tenant = query.value("tenant").map(TenantId::parse).transpose()?;
    let wanted = Wanted { bucket: query.value("bucket").map(str::to_owned), prefix: query.value("prefix").unwrap_or_default().to_owned() };
    // As a header it comes from a browser that lost its connection.
    let after = exchange.header("last-event-id")?.or(query.value("last-event-id"));
    let ops = &exchange.gateway.ops;
    let (reader, stopping) = ops.watch_events(&grant, tenant, after)?;
    let (sender, events) = mpsc::channel(1);
    tokio::spawn(send(reader, wanted, stopping, exchange.gateway.metrics.events.clone(), sender));
    let mut answer = answer(events);
    if exchange.caller.via.is_presigned() {
        // Whoever has the link may read; a page's own origin opens nothing more.
        answer.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    Ok(answer)
}

/// Ends when the client has gone: nobody takes the next event then.
async fn send(mut reader: Reader, wanted: Wanted, mut stopping: watch::Receiver<bool>, gauges: Gauges, to: mpsc::Sender<Bytes>) {
    let _counted = gauges.begin_stream();
    let end = Instant::now() + LONGEST;
    // Whoever loses the connection before the first event goes on from here.
    let mut text = format!("retry: 2000\nid: {}\n\n", reader.place());
    loop {
        if !text.is_empty() && to.send(Bytes::from(std::mem::take(&mut text))).await.is_err() {
            return;
        }
        tokio::select! {
            found = reader.next() => text = match found {
                Found::Events(events) => shown(&events, &wanted),
                Found::Gap => {
                    gauges.streams_behind.inc();
                    format!("id: {}\nevent: gap\ndata: {{}}\n\n", reader.place())
                }
            },
            () = became_true(&mut stopping) => return,
            () = tokio::time::sleep_until(end) => return,
            () = to.closed() => return,
            () = tokio::time::sleep(HEARTBEAT) => text.push_str(": still here\n\n"),
        }
    }
}

/// Of those that are not wanted the last one's place is told: it need not be looked at again.
fn shown(events: &[(String, std::sync::Arc<Event>)], wanted: &Wanted) -> String {
    let mut text = String::new();
    for (place, event) in events.iter().filter(|(_, event)| wanted.has(event)) {
        text.push_str(&format!("id: {place}\ndata: {}\n\n", event.record()));
    }
    text
}
