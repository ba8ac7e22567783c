//! One alert to one sink, once: what `Deliver`, `send-test` and `redeliver` have in common. An edge.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::config::resolve;
use crate::merge::Delivery;
use crate::policy::{SecretRef, Sink};
use crate::sender::{Outcome, Sender};
use crate::sign_in::Timestamp;
use crate::sink::{self, Destination, QueuedAlert, Request};

/// Looks up an environment variable.
pub type Lookup<'a> = dyn Fn(&str) -> Option<String> + Sync + 'a;

/// What a delivery needs to know of an alert.
#[derive(Debug, Clone, Deserialize)]
pub struct AlertKey {
    /// The alert's id.
    pub id: Uuid,
    /// Whether it is the later word about an alert already sent.
    #[serde(default)]
    pub update: bool,
    /// How many sign-ins it tells of.
    #[serde(default)]
    pub count: u64,
}

impl AlertKey {
    /// Reads it off an alert.
    ///
    /// # Errors
    /// The text is no alert.
    pub fn of(alert: &RawValue) -> Result<Self, serde_json::Error> {
        serde_json::from_str(alert.get())
    }

    /// Its delivery to a sink.
    pub fn to_sink(&self, sink: &str) -> Delivery {
        Delivery {
            alert: self.id,
            sink: sink.to_owned(),
            update: self.update,
        }
    }
}

/// An alert that is kept instead of delivered: a document in the container `spwatch-undelivered`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Kept<'a> {
    /// Why it is kept.
    pub reason: String,
    /// The sink that it was for; none where the message is no alert.
    pub sink: Option<String>,
    /// When it was kept.
    pub kept: Timestamp,
    /// How often the queue had brought it.
    pub dequeue_count: Option<i64>,
    /// The alert.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<&'a RawValue>,
    /// The message as it came, where it is no alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Makes the request that carries an alert to a sink: its settings resolved, a token fetched where one is needed.
///
/// # Errors
/// What became of it already: a setting is missing, a token is not to be had, the alert cannot be read.
pub async fn prepare(
    sink: &Sink,
    sender: &Sender,
    alert: QueuedAlert<'_>,
    now: Timestamp,
    lookup: &Lookup<'_>,
) -> Result<Request, Outcome> {
    // What is mistyped or missing is mended by its owner, not by losing the alert.
    let degraded = |error: &dyn fmt::Display| Outcome::Transient {
        reason: error.to_string(),
        retry_after: None,
    };
    let fetch =
        |reference: &SecretRef| resolve(reference, lookup).map_err(|error| error.to_string());
    let destination = Destination::of(sink, &fetch, lookup).map_err(|error| degraded(&error))?;
    let token = match destination.token_source() {
        Some(source) => Some(sender.token(source, sink.insecure, now).await?),
        None => None,
    };
    sink::request(&destination, alert, token.as_ref(), now).map_err(|error| {
        match error.is_mendable() {
            true => degraded(&error),
            false => Outcome::Permanent {
                reason: error.to_string(),
            },
        }
    })
}

/// Sends an alert to a sink.
pub async fn send(
    sink: &Sink,
    sender: &Sender,
    alert: QueuedAlert<'_>,
    now: Timestamp,
    lookup: &Lookup<'_>,
) -> Outcome {
    match prepare(sink, sender, alert, now, lookup).await {
        Ok(request) => sender.send(request, sink.insecure).await,
        Err(outcome) => outcome,
    }
}
