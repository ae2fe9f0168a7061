//! `tidegate events`: what waits for webhooks, what was given up, and bringing it again.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::Failure;
use super::admin_client::AdminClient;
use crate::config::Config;

#[derive(Subcommand)]
pub enum EventsCommand {
    /// Webhooks, and how many events wait for each or are dead
    List(Shown),
    /// Events that were given up, with the reason
    Dead(Dead),
    /// Bring dead events again
    Replay(Which),
    /// Forget dead events for good
    Forget(Which),
}

#[derive(Args)]
pub struct Shown {
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Dead {
    /// Only of this webhook
    #[arg(long)]
    webhook: Option<String>,
    /// As JSON, one event to a line, with all that would be sent
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Which {
    /// Whose dead events
    #[arg(long)]
    webhook: String,
    /// Their numbers, as `dead` shows them
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    numbers: Vec<String>,
    /// All of the webhook's
    #[arg(long)]
    all: bool,
}

const EVENTS: &str = "/-/admin/v1/events";
const PAGE: usize = 500;

pub async fn run(command: EventsCommand, config: Config) -> Result<(), Failure> {
    let client = AdminClient::reach(config).await?;
    let done = carry_out(&command, &client).await;
    client.close().await;
    done
}

async fn carry_out(command: &EventsCommand, client: &AdminClient) -> Result<(), Failure> {
    match command {
        EventsCommand::List(shown) => {
            let answer = ask(client, Method::GET, EVENTS, None).await?;
            match shown.json {
                true => println!("{answer}"),
                false => print!("{}", table(&answer)),
            }
            Ok(())
        }
        EventsCommand::Dead(dead) => list_dead(dead, client).await,
        EventsCommand::Replay(which) => {
            let count = change(client, "replay", which).await?;
            println!("{count} events wait again");
            Ok(())
        }
        EventsCommand::Forget(which) => {
            let count = change(client, "forget", which).await?;
            println!("{count} events are forgotten");
            Ok(())
        }
    }
}

async fn change(client: &AdminClient, what: &str, which: &Which) -> Result<Value, Failure> {
    let numbers = (!which.all).then_some(&which.numbers);
    let answer =
        ask(client, Method::POST, &format!("{EVENTS}/{what}"), Some(json!({ "webhook": which.webhook, "numbers": numbers }))).await?;
    Ok(answer["count"].clone())
}

async fn list_dead(dead: &Dead, client: &AdminClient) -> Result<(), Failure> {
    let mut after = Value::Null;
    loop {
        let asked = json!({ "webhook": dead.webhook, "after": after, "max": PAGE });
        let page = ask(client, Method::POST, &format!("{EVENTS}/dead"), Some(asked)).await?;
        for event in page["events"].as_array().into_iter().flatten() {
            match dead.json {
                true => println!("{event}"),
                false => println!("{}", line(event)),
            }
        }
        after = page["next"].clone();
        if after.is_null() {
            return Ok(());
        }
    }
}

async fn ask(client: &AdminClient, method: Method, path: &str, document: Option<Value>) -> Result<Value, Failure> {
    let answer = client.ask(method, path, document).await?;
    serde_json::from_str(&answer).map_err(|e| Failure::Failed(format!("no answer that can be read: {e}")))
}

fn table(answer: &Value) -> String {
    let mut out = String::from("webhook                           waiting        dead  oldest  url\n");
    for webhook in answer["webhooks"].as_array().into_iter().flatten() {
        let oldest = webhook["oldest_seconds"].as_u64().map_or_else(|| "-".to_owned(), |seconds| format!("{seconds}s"));
        let number = |name: &str| webhook[name].as_u64().unwrap_or_default();
        let url = webhook["url"].as_str().unwrap_or("(not in gateway.toml any more)");
        let line =
            format!("{:<30}  {:>9}  {:>10}  {oldest:>6}  {}\n", text(&webhook["name"]), number("waiting"), number("dead"), plain(url));
        out.push_str(&line);
    }
    out
}

fn line(dead: &Value) -> String {
    let event = &dead["event"]["event"];
    let place = [&event["bucket"], &event["object"]["key"]].map(text).join("/");
    let of = ["webhook", "number", "since"].map(|name| text(&dead[name])).join("  ");
    format!("{of}  {}  {place}  {}", text(&event["kind"]), text(&dead["reason"]))
}

fn text(value: &Value) -> String {
    value.as_str().map(plain).unwrap_or_else(|| "-".to_owned())
}

/// Clients name keys: what they wrote does not steer a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown() {
        let shown = table(&json!({ "webhooks": [
            { "name": "a", "url": "https://x/", "waiting": 3, "dead": 1, "oldest_seconds": 7 },
            { "name": "gone", "url": null, "waiting": 0, "dead": 0, "oldest_seconds": null },
        ] }));
        assert!(shown.contains("          3           1      7s  https://x/\n"), "{shown}");
        assert!(shown.contains("(not in gateway.toml any more)"), "{shown}");
        let event = json!({ "event": { "kind": "s3:ObjectCreated:Put", "bucket": "media", "object": { "key": "a\u{1b}[2J" } } });
        let dead = json!({ "webhook": "a", "number": "01", "since": "T", "reason": "it answered 500", "event": event });
        assert_eq!(line(&dead), "a  01  T  s3:ObjectCreated:Put  media/a?[2J  it answered 500");
    }
}
