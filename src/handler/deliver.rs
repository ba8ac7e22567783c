//! `POST /Deliver` and `POST /Poisoned`: one alert from the queue → one request to its sink.
//!
//! Here is what becomes of the outcome; the request itself is [`sink`]'s, sending it
//! the [`Sender`]'s.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::answer::{Answer, Outputs};
use super::wire::Message;
use crate::config::{SecretError, resolve};
use crate::policy::{Policy, SecretRef, Sink};
use crate::sender::{Outcome, Sender};
use crate::sign_in::Timestamp;
use crate::sink::{self, Destination, QueuedAlert};

/// A message whose sink the policy does not have is tried this often before it is kept: the policy
/// that names the sink may not have arrived yet.
const TRIES_FOR_UNKNOWN_SINK: i64 = 10;

/// A queue message, as `SignIns` wrote it.
#[derive(Debug, Deserialize)]
struct QueueMessage<'a> {
    sink: String,
    #[serde(borrow)]
    alert: &'a RawValue,
}

/// The two fields of an alert that its delivery needs.
#[derive(Debug, Deserialize)]
struct AlertKey {
    id: String,
    #[serde(default)]
    update: bool,
}

impl AlertKey {
    /// The delivery's idempotency key.
    fn webhook_id(&self) -> String {
        if self.update {
            format!("{}.u1", self.id)
        } else {
            self.id.clone()
        }
    }
}

/// An alert that is kept instead of delivered.
#[derive(Serialize)]
struct Undelivered<'a> {
    reason: String,
    sink: Option<&'a str>,
    kept: Timestamp,
    dequeue_count: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alert: Option<&'a RawValue>,
    /// The message as it came, where it is no alert.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

/// How a delivery ended, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The receiver has it.
    Delivered,
    /// It is kept in `undelivered`.
    Kept,
    /// The host tries again.
    Retry,
}

/// Delivers one message.
pub(super) async fn deliver(
    policy: &Policy,
    sender: &Sender,
    message: &Message,
    now: Timestamp,
    lookup: &(dyn Fn(&str) -> Option<String> + Sync),
) -> (Answer, Ending) {
    let Some((queued, key)) = parse(&message.text) else {
        return keep(
            message,
            None,
            "the message is no alert of spwatch".to_owned(),
            now,
        );
    };
    let Some(sink) = policy.sinks.get(&queued.sink) else {
        if queued.sink.is_empty() {
            let reason = "the policy has no sink to send it to".to_owned();
            return keep(message, Some(&queued), reason, now);
        }
        if message.dequeue_count.unwrap_or(1) < TRIES_FOR_UNKNOWN_SINK {
            return retry(format!("the policy has no sink named {:?}", queued.sink));
        }
        let reason = format!("the policy has no sink named {:?}", queued.sink);
        return keep(message, Some(&queued), reason, now);
    };
    match send(sink, sender, &queued, &key, now, lookup).await {
        Outcome::Delivered => (
            Answer::Done {
                outputs: Outputs::default(),
                logs: Vec::new(),
            },
            Ending::Delivered,
        ),
        Outcome::Transient {
            reason,
            retry_after,
        } => {
            if let Some(after) = retry_after {
                sender.hold_back(&sink.name, after.min(Duration::from_secs(3600)));
            }
            retry(format!("sink {}: {reason}", sink.name))
        }
        Outcome::Permanent { reason } => keep(message, Some(&queued), reason, now),
    }
}

async fn send(
    sink: &Sink,
    sender: &Sender,
    queued: &QueueMessage<'_>,
    key: &AlertKey,
    now: Timestamp,
    lookup: &(dyn Fn(&str) -> Option<String> + Sync),
) -> Outcome {
    let degraded = |reason: String| Outcome::Transient {
        reason,
        retry_after: None,
    };
    if let Some(left) = sender.held_back(&sink.name) {
        return degraded(format!(
            "the receiver asked to wait {} s more",
            left.as_secs() + 1
        ));
    }
    let fetch = |reference: &SecretRef| {
        resolve(reference, lookup).map_err(|error: SecretError| error.to_string())
    };
    let destination = match Destination::of(sink, &fetch, lookup) {
        Ok(destination) => destination,
        Err(error) => return degraded(error.to_string()),
    };
    let token = match destination.token_source() {
        Some(source) => match sender.token(source, sink.insecure, now).await {
            Ok(token) => Some(token),
            Err(outcome) => return outcome,
        },
        None => None,
    };
    let id = key.webhook_id();
    let alert = QueuedAlert {
        id: &id,
        json: queued.alert.get(),
    };
    match sink::request(&destination, alert, token.as_ref(), now) {
        Ok(request) => sender.send(request, sink.insecure).await,
        // A mistyped secret is mended by its owner, not by losing the alert.
        Err(error) if error.is_mendable() => degraded(error.to_string()),
        Err(error) => Outcome::Permanent {
            reason: error.to_string(),
        },
    }
}

/// Keeps a message that used up its deliveries.
pub(super) fn poisoned(message: &Message, now: Timestamp) -> (Answer, Ending) {
    let queued = parse(&message.text).map(|(queued, _)| queued);
    keep(
        message,
        queued.as_ref(),
        "every delivery that the queue allows has failed".to_owned(),
        now,
    )
}

fn parse(text: &str) -> Option<(QueueMessage<'_>, AlertKey)> {
    let queued: QueueMessage<'_> = serde_json::from_str(text).ok()?;
    let key = serde_json::from_str(queued.alert.get()).ok()?;
    Some((queued, key))
}

fn retry(reason: String) -> (Answer, Ending) {
    (Answer::Retry(reason), Ending::Retry)
}

fn keep(
    message: &Message,
    queued: Option<&QueueMessage<'_>>,
    reason: String,
    now: Timestamp,
) -> (Answer, Ending) {
    let record = Undelivered {
        sink: queued.map(|queued| queued.sink.as_str()),
        kept: now,
        dequeue_count: message.dequeue_count,
        alert: queued.map(|queued| queued.alert),
        message: queued.is_none().then_some(message.text.as_str()),
        reason: reason.clone(),
    };
    match serde_json::to_string(&record) {
        Ok(text) => {
            let outputs = Outputs {
                undelivered: Some(text),
                ..Outputs::default()
            };
            (
                Answer::Done {
                    outputs,
                    logs: vec![format!("warn: alert kept in undelivered: {reason}")],
                },
                Ending::Kept,
            )
        }
        Err(error) => retry(format!("the alert could not be written: {error}")),
    }
}
