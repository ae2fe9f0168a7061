//! What the operator sees and does of events that wait or were given up.

use serde::Serialize;

use crate::auth::grant::OperatorGrant;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::timestamp::Timestamp;
use crate::ops::events::Events;
use crate::ops::events::message::Message;
use crate::queue::letters::Which;

const MAX_PAGE: usize = 1000;

/// A webhook, and what there is for it.
#[derive(Debug, Clone, Serialize)]
pub struct WebhookStatus {
    pub name: String,
    /// Without a query: that may hold what is secret. None: it is in no configuration any more.
    pub url: Option<String>,
    pub waiting: u64,
    pub dead: u64,
    pub oldest_seconds: Option<u64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct DeadEvent {
    pub webhook: String,
    /// Names it among those of its webhook.
    pub number: String,
    pub since: String,
    pub reason: String,
    /// None: it is of a form that is not known here.
    pub event: Option<Message>,
}

#[derive(Debug, Clone, Serialize)]
pub struct DeadPage {
    pub events: Vec<DeadEvent>,
    /// Where the next page begins.
    pub next: Option<String>,
}

impl Events {
    pub async fn webhooks(&self, _: &OperatorGrant) -> Result<Vec<WebhookStatus>> {
        let mut boxes = self.0.queue.boxes().await?;
        for webhook in &self.0.settings.webhooks {
            if !boxes.iter().any(|(name, _)| *name == webhook.name) {
                boxes.push((webhook.name.clone(), Default::default()));
            }
        }
        boxes.sort_by(|a, b| a.0.cmp(&b.0));
        let mut all = Vec::with_capacity(boxes.len());
        for (name, boxed) in boxes {
            let oldest = self.0.queue.oldest_letter(&name).await?;
            let url = self.0.settings.webhook(&name).map(|webhook| webhook.url.split('?').next().unwrap_or_default().to_owned());
            let oldest_seconds = oldest.map(|posted| Timestamp::now().since(posted).as_secs());
            all.push(WebhookStatus { name, url, waiting: boxed.waiting, dead: boxed.dead, oldest_seconds });
        }
        Ok(all)
    }

    /// `webhook` None: of all. `after`: as the page before says.
    pub async fn dead(&self, _: &OperatorGrant, webhook: Option<&str>, after: Option<&str>, max: usize) -> Result<DeadPage> {
        let after = after.map(|text| {
            let wrong = || Error::new(ErrorKind::InvalidArgument, "The mark does not belong to this list: begin it anew.");
            let (name, number) = text.rsplit_once(' ').ok_or_else(wrong)?;
            Ok::<_, Error>((name.to_owned(), number_of(number)?))
        });
        let max = max.clamp(1, MAX_PAGE);
        let found = self.0.queue.dead_letters(webhook.unwrap_or_default(), after.transpose()?, max).await?;
        let next = found.last().filter(|_| found.len() == max).map(|dead| format!("{} {:016x}", dead.to, dead.number));
        let shown = found.into_iter().map(|dead| DeadEvent {
            webhook: dead.to,
            number: format!("{:016x}", dead.number),
            since: dead.since.iso8601(),
            reason: dead.reason,
            event: serde_json::from_slice(&dead.payload.document).ok(),
        });
        Ok(DeadPage { events: shown.collect(), next })
    }

    /// They are brought again. None: all of the webhook's. How many.
    pub async fn replay(&self, _: &OperatorGrant, webhook: &str, numbers: Option<&[String]>) -> Result<u64> {
        let name = self.0.settings.webhook(webhook).map(|webhook| webhook.name.as_str());
        let name = name.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("There is no webhook {webhook:?} in gateway.toml.")))?;
        self.0.queue.replay_letters(name, which(numbers)?).await
    }

    /// They are forgotten for good. How many.
    pub async fn forget(&self, _: &OperatorGrant, webhook: &str, numbers: Option<&[String]>) -> Result<u64> {
        self.0.queue.forget_letters(webhook, which(numbers)?).await
    }
}

fn which(numbers: Option<&[String]>) -> Result<Which> {
    match numbers {
        None => Ok(Which::All),
        Some(numbers) => numbers.iter().map(|text| number_of(text)).collect::<Result<_>>().map(Which::These),
    }
}

fn number_of(text: &str) -> Result<u64> {
    u64::from_str_radix(text, 16).map_err(|_| Error::new(ErrorKind::InvalidArgument, "An event's number has 16 hexadecimal digits."))
}
