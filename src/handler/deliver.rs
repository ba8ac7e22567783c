//! `POST /Deliver` and `POST /Poisoned`: one alert from the queue → one request to its sink.
//!
//! Here is what becomes of the outcome; the sending is [`delivery`](crate::delivery)'s. What is delivered or kept is
//! marked: the mark is what lets `SignIns` hold a repeat back.

use serde::Deserialize;
use serde_json::value::RawValue;
use tracing::warn;

use super::answer::{Answer, Outputs};
use super::policy_store::PolicyStore;
use super::shared::Shared;
use super::wire::Message;
use crate::delivery::{AlertKey, Kept, Lookup, send};
use crate::merge::{Delivery, Mark, MarkKind, Marks};
use crate::sender::{Outcome, Sender};
use crate::sign_in::Timestamp;
use crate::sink::QueuedAlert;

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

/// What became of a message.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) answer: Answer,
    pub(super) ending: Ending,
    /// What it is about, where it is an alert.
    pub(super) about: Option<Delivery>,
}

impl Done {
    /// The host is to try again.
    pub(super) fn retry(reason: String) -> Self {
        Self::new((Answer::Retry(reason), Ending::Retry), None)
    }

    fn new((answer, ending): (Answer, Ending), about: Option<Delivery>) -> Self {
        Self {
            answer,
            ending,
            about,
        }
    }
}

/// What a delivery needs.
pub(super) struct Tools<'a> {
    pub(super) policies: &'a PolicyStore,
    pub(super) sender: &'a Sender,
    pub(super) shared: &'a Shared,
    pub(super) lookup: &'a Lookup<'a>,
}

impl Tools<'_> {
    /// Delivers one message.
    pub(super) async fn deliver(&self, message: &Message, now: Timestamp) -> Done {
        let Some((queued, key)) = parse(&message.text) else {
            let reason = "the message is no alert of spwatch".to_owned();
            return Done::new(keep(message, None, reason, now), None);
        };
        let delivery = key.to_sink(&queued.sink);
        let ended = self.deliver_to_sink(message, &queued, &key, &delivery, now);
        let ended = ended.await;
        Done::new(ended, Some(delivery))
    }

    async fn deliver_to_sink(
        &self,
        message: &Message,
        queued: &QueueMessage<'_>,
        key: &AlertKey,
        delivery: &Delivery,
        now: Timestamp,
    ) -> (Answer, Ending) {
        let Some(policy) = self.policies.current().await else {
            return retry("no policy can be loaded".to_owned());
        };
        if queued.sink.is_empty() {
            let reason = "the policy has no sink to send it to".to_owned();
            return self.keep(message, queued, key, reason, now).await;
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
            return self.keep(message, queued, key, reason, now).await;
        };
        let Some(_under_way) = self.shared.begin(delivery) else {
            return retry(format!(
                "sink {}: the same alert is on its way already",
                sink.name
            ));
        };
        let is_delivered = |marks: &Marks| marks.get(delivery) == Some(MarkKind::Delivered);
        let known = self.shared.marks(key.id, is_delivered).await;
        let known = known.ok().and_then(|marks| marks.get(delivery));
        if known == Some(MarkKind::Delivered) {
            return (done(), Ending::Known);
        }
        let pass = match self.sender.enter(&sink.name).await {
            Ok(pass) => pass,
            Err(reason) => {
                // Only where nothing better is known: it is no failure of this alert.
                if !self.shared.has_failed(delivery) {
                    self.shared.note_failure(delivery, &reason, now).await;
                }
                return retry(format!("sink {}: {reason}", sink.name));
            }
        };
        let id = delivery.id();
        let alert = QueuedAlert {
            id: &id,
            json: queued.alert.get(),
        };
        let outcome = send(sink, self.sender, alert, now, self.lookup).await;
        pass.leave(&outcome);
        self.tell_of(&sink.name, now).await;
        match outcome {
            Outcome::Delivered => {
                let mark = Mark::new(key.count, now);
                let marking = self.shared.mark(delivery, MarkKind::Delivered, &mark);
                if marking.await.is_err() {
                    warn!(
                        event = "delivery-not-marked",
                        delivery.alert = delivery.id(),
                        delivery.sink = sink.name,
                        "the delivery is not marked: a repeat will be sent again"
                    );
                }
                if known == Some(MarkKind::Kept) {
                    // It no longer counts as undelivered.
                    let _ = self.shared.unmark(delivery, MarkKind::Kept).await;
                }
                (done(), Ending::Delivered)
            }
            Outcome::Transient { reason, .. } => {
                self.shared.note_failure(delivery, &reason, now).await;
                retry(format!("sink {}: {reason}", sink.name))
            }
            Outcome::Permanent { reason } => self.keep(message, queued, key, reason, now).await,
        }
    }

    /// Tells the others if the sink has gone down or come back.
    async fn tell_of(&self, sink: &str, now: Timestamp) {
        let healths = self.sender.health().into_iter();
        for health in healths.filter(|health| health.sink == sink) {
            let told = self
                .shared
                .tell_of_sink(sink, health.open, health.last_failure, now);
            told.await;
        }
    }

    /// Keeps a message that used up its deliveries.
    pub(super) async fn poisoned(&self, message: &Message, now: Timestamp) -> Done {
        let mut reason = "every delivery that the queue allows has failed".to_owned();
        let Some((queued, key)) = parse(&message.text) else {
            return Done::new(keep(message, None, reason, now), None);
        };
        let delivery = key.to_sink(&queued.sink);
        if let Some(last) = self.shared.failure(&delivery).await {
            reason = format!("{reason}; the last at {}: {}", last.at, last.reason);
        }
        let kept = self.keep(message, &queued, &key, reason, now).await;
        Done::new(kept, Some(delivery))
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
        let delivery = key.to_sink(&queued.sink);
        // Without the mark its repeats are kept too.
        let _ = self.shared.mark(&delivery, MarkKind::Kept, &mark).await;
        keep(message, Some(queued), reason, now)
    }
}

fn done() -> Answer {
    Answer::Done {
        outputs: Outputs::default(),
        logs: Vec::new(),
    }
}

fn parse(text: &str) -> Option<(QueueMessage<'_>, AlertKey)> {
    let queued: QueueMessage<'_> = serde_json::from_str(text).ok()?;
    let key = AlertKey::of(queued.alert).ok()?;
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
    let record = Kept {
        sink: queued.map(|queued| queued.sink.clone()),
        kept: now,
        dequeue_count: message.dequeue_count,
        alert: queued.map(|queued| queued.alert),
        message: queued.is_none().then(|| message.text.clone()),
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
