//! `POST /Deliver` and `POST /Poisoned`: one alert from the queue → one request to its sink.
//!
//! Here is what becomes of the outcome; the request itself is [`sink`]'s, sending it
//! the [`Sender`]'s. What is delivered or kept is marked: the mark is what lets `SignIns` hold a repeat back.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tracing::warn;
use uuid::Uuid;

use super::answer::{Answer, Outputs};
use super::policy_store::PolicyStore;
use super::shared::Shared;
use super::wire::Message;
use crate::config::{SecretError, resolve};
use crate::merge::{Delivery, Mark, MarkKind, Marks};
use crate::policy::{SecretRef, Sink};
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

/// What a delivery needs of an alert.
#[derive(Debug, Deserialize)]
struct AlertKey {
    id: Uuid,
    #[serde(default)]
    update: bool,
    #[serde(default)]
    count: u64,
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
    /// The receiver had it already.
    Known,
    /// It is kept in `undelivered`.
    Kept,
    /// The host tries again.
    Retry,
}

/// What a delivery needs.
pub(super) struct Tools<'a> {
    pub(super) policies: &'a PolicyStore,
    pub(super) sender: &'a Sender,
    pub(super) shared: &'a Shared,
    pub(super) lookup: &'a (dyn Fn(&str) -> Option<String> + Sync),
}

impl Tools<'_> {
    /// Delivers one message.
    pub(super) async fn deliver(&self, message: &Message, now: Timestamp) -> (Answer, Ending) {
        let Some((queued, key)) = parse(&message.text) else {
            let reason = "the message is no alert of spwatch".to_owned();
            return keep(message, None, reason, now);
        };
        let Some(policy) = self.policies.current().await else {
            return retry("no policy can be loaded".to_owned());
        };
        let delivery = delivery(&queued, &key);
        if queued.sink.is_empty() {
            let reason = "the policy has no sink to send it to".to_owned();
            return self.keep(message, &queued, &key, reason, now).await;
        }
        // The policy that names the sink may have come a moment ago.
        let policy = match policy.sinks.contains_key(&queued.sink) {
            true => policy,
            false => self.policies.reload().await.unwrap_or(policy),
        };
        let Some(sink) = policy.sinks.get(&queued.sink) else {
            let reason = format!("the policy has no sink named {:?}", queued.sink);
            if message.dequeue_count.unwrap_or(1) < TRIES_FOR_UNKNOWN_SINK {
                return retry(reason);
            }
            return self.keep(message, &queued, &key, reason, now).await;
        };
        let Some(_under_way) = self.shared.begin(&delivery) else {
            return retry(format!(
                "sink {}: the same alert is on its way already",
                sink.name
            ));
        };
        let is_delivered = |marks: &Marks| marks.get(&delivery) == Some(MarkKind::Delivered);
        let known = self.shared.marks(key.id, is_delivered).await;
        let known = known.ok().and_then(|marks| marks.get(&delivery));
        if known == Some(MarkKind::Delivered) {
            return (done(), Ending::Known);
        }
        let pass = match self.sender.enter(&sink.name).await {
            Ok(pass) => pass,
            Err(reason) => {
                // Only where nothing better is known: it is no failure of this alert.
                if !self.shared.has_failed(&delivery) {
                    self.shared.note_failure(&delivery, &reason, now).await;
                }
                return retry(format!("sink {}: {reason}", sink.name));
            }
        };
        let outcome = send(sink, self.sender, &queued, &delivery, now, self.lookup).await;
        pass.leave(&outcome);
        match outcome {
            Outcome::Delivered => {
                let mark = Mark::new(key.count, now);
                let marking = self.shared.mark(&delivery, MarkKind::Delivered, &mark);
                if marking.await.is_err() {
                    warn!(
                        alert.id = delivery.id(),
                        sink = sink.name,
                        "the delivery is not marked: a repeat will be sent again"
                    );
                }
                if known == Some(MarkKind::Kept) {
                    // It no longer counts as undelivered.
                    let _ = self.shared.unmark(&delivery, MarkKind::Kept).await;
                }
                (done(), Ending::Delivered)
            }
            Outcome::Transient { reason, .. } => {
                self.shared.note_failure(&delivery, &reason, now).await;
                retry(format!("sink {}: {reason}", sink.name))
            }
            Outcome::Permanent { reason } => self.keep(message, &queued, &key, reason, now).await,
        }
    }

    /// Keeps a message that used up its deliveries.
    pub(super) async fn poisoned(&self, message: &Message, now: Timestamp) -> (Answer, Ending) {
        let mut reason = "every delivery that the queue allows has failed".to_owned();
        let Some((queued, key)) = parse(&message.text) else {
            return keep(message, None, reason, now);
        };
        if let Some(last) = self.shared.failure(&delivery(&queued, &key)).await {
            reason = format!("{reason}; the last at {}: {}", last.at, last.reason);
        }
        self.keep(message, &queued, &key, reason, now).await
    }

    /// Marks it as kept, and keeps it. Should the host fail to write the blob, the message stays in the queue, and
    /// comes again: the mark does not end that.
    async fn keep(
        &self,
        message: &Message,
        queued: &QueueMessage<'_>,
        key: &AlertKey,
        reason: String,
        now: Timestamp,
    ) -> (Answer, Ending) {
        let mark = Mark::new(key.count, now);
        let delivery = delivery(queued, key);
        // Without the mark its repeats are kept too.
        let _ = self.shared.mark(&delivery, MarkKind::Kept, &mark).await;
        keep(message, Some(queued), reason, now)
    }
}

fn delivery(queued: &QueueMessage<'_>, key: &AlertKey) -> Delivery {
    Delivery {
        alert: key.id,
        sink: queued.sink.clone(),
        update: key.update,
    }
}

fn done() -> Answer {
    Answer::Done {
        outputs: Outputs::default(),
        logs: Vec::new(),
    }
}

async fn send(
    sink: &Sink,
    sender: &Sender,
    queued: &QueueMessage<'_>,
    delivery: &Delivery,
    now: Timestamp,
    lookup: &(dyn Fn(&str) -> Option<String> + Sync),
) -> Outcome {
    let degraded = |reason: String| Outcome::Transient {
        reason,
        retry_after: None,
    };
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
    let id = delivery.id();
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
