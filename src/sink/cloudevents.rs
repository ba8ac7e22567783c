//! CloudEvents 1.0 in the structured JSON form: cloudevents/spec `cloudevents/formats/json-format.md`.
//!
//! The event's id is the delivery's: an update is an event of its own, a retry is the same one.

use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{QueuedAlert, SinkError};
use crate::alert::Alert;

/// Media type of one event in the structured form.
pub(super) const CONTENT_TYPE: &str = "application/cloudevents+json";

const TYPE: &str = "io.spwatch.alert.v1";

/// The event; `data` is the alert as the queue has it.
pub(super) fn body(queued: QueuedAlert<'_>, alert: &Alert) -> Result<Vec<u8>, SinkError> {
    let mut event = json!({
        "specversion": "1.0",
        "id": queued.id,
        "source": source(alert),
        "type": TYPE,
        "time": alert.time,
        "datacontenttype": "application/json",
    });
    if let (Some(subject), Some(event)) = (subject(alert), event.as_object_mut()) {
        event.insert("subject".to_owned(), Value::String(subject));
    }
    let data: &RawValue = serde_json::from_str(queued.json).map_err(SinkError::Alert)?;
    // `{…}` without its last brace, then the alert byte for byte.
    let mut text = event.to_string();
    text.pop();
    text.push_str(",\"data\":");
    text.push_str(data.get());
    text.push('}');
    Ok(text.into_bytes())
}

/// A URI reference: only a GUID from the log goes into it.
fn source(alert: &Alert) -> String {
    let tenant = alert.tenant_id.as_deref();
    match tenant.and_then(|id| Uuid::try_parse(id).ok()) {
        Some(id) => format!("urn:spwatch:tenant:{id}"),
        None => "urn:spwatch".to_owned(),
    }
}

fn subject(alert: &Alert) -> Option<String> {
    let app = &alert.app;
    let subject = app.app_id.as_ref().or(app.service_principal_id.as_ref());
    subject
        .or(app.name.as_ref())
        .filter(|subject| !subject.is_empty())
        .cloned()
}
