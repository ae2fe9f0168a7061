//! A job's changes as server-sent events: `event: job` with its JSON, now and at each change, until it has ended.
//!
//! Several changes may come as one event: it shows the job as it is. A comment every few seconds keeps proxies from taking
//! the connection for dead. The stream ends after a while, or when the gateway stops; browsers then ask again by themselves.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{HeaderName, StatusCode};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::auth::action::Action;
use crate::auth::grant::Grant;
use crate::base::error::Result;
use crate::http::api::jobs::shown;
use crate::http::body::ResponseBody;
use crate::http::exchange::Exchange;
use crate::http::respond::{self, Answer};
use crate::ops::Ops;
use crate::ops::jobs::JobChanges;
use crate::queue::JobId;
use crate::queue::shared::became_true;

pub(super) const HEARTBEAT: Duration = Duration::from_secs(10);
/// An identity is checked when the stream is opened: not for longer than this.
pub(super) const LONGEST: Duration = Duration::from_secs(300);
/// Progress may come a thousand times a second; people look less often.
const PAUSE: Duration = Duration::from_millis(100);

pub async fn stream(exchange: &Exchange<'_>, id: JobId) -> Result<Answer> {
    let grant = exchange.authorize_service(Action::GetJob)?;
    let ops = exchange.gateway.ops.clone();
    let changes = ops.watch_job(&grant, id).await?;
    // One event on its way, one being made: a client that does not read holds no more.
    let (sender, events) = mpsc::channel(1);
    tokio::spawn(send(ops, grant, id, changes, sender));
    Ok(answer(events))
}

/// A stream of events.
pub(super) fn answer(events: mpsc::Receiver<Bytes>) -> Answer {
    let mut answer = respond::empty(StatusCode::OK);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    // nginx would collect the answer otherwise.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    *answer.body_mut() = ResponseBody::Events(events);
    answer
}

/// Ends when the client has gone: nobody takes the next event then.
async fn send(ops: Ops, grant: Grant, id: JobId, mut changes: JobChanges, to: mpsc::Sender<Bytes>) {
    let end = Instant::now() + LONGEST;
    loop {
        // Forgotten or unreadable: the client asks again and hears why.
        let Ok(view) = ops.job(&grant, id).await else { return };
        if to.send(Bytes::from(format!("event: job\ndata: {}\n\n", shown(&view)))).await.is_err() || view.job.state.phase().has_ended() {
            return;
        }
        let Ok(now) = ops.watch_job(&grant, id).await else { return };
        changes.progress = now.progress;
        tokio::time::sleep(PAUSE).await;
        loop {
            let moved = async {
                match &mut changes.progress {
                    Some(progress) => drop(progress.changed().await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = changes.record.changed() => break,
                () = moved => {
                    // Its attempt has ended, or says something new; either way it is looked at.
                    changes.progress = None;
                    break;
                }
                () = became_true(&mut changes.stopping) => return,
                () = tokio::time::sleep_until(end) => return,
                () = to.closed() => return,
                () = tokio::time::sleep(HEARTBEAT) => {
                    if to.send(Bytes::from_static(b": still here\n\n")).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}
