//! The host's invocation request, decoded. Pure.
//!
//! Nearly everything that is no JSON object arrives as a string that holds JSON; an Event Hubs
//! batch is one string that holds an array (Azure/azure-functions-host
//! `src/WebJobs.Script/Workers/MessageExtensions/ScriptInvocationContextExtensions.cs`). Which of
//! the shapes it is depends on the binding's settings and on the extension's version, so all are read.

mod quick;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::sign_in::Timestamp;

/// A request body that no Functions host sends.
#[derive(Debug, thiserror::Error)]
#[error("the body is not an invocation of the Functions host: {reason}")]
pub(super) struct NotAnInvocation {
    reason: String,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default, rename = "Data", alias = "data")]
    data: Option<BTreeMap<String, &'a RawValue>>,
    #[serde(borrow, default, rename = "Metadata", alias = "metadata")]
    metadata: Option<&'a RawValue>,
}

fn body(bytes: &[u8]) -> Result<Body<'_>, NotAnInvocation> {
    let body: Body<'_> = serde_json::from_slice(bytes).map_err(|error| NotAnInvocation {
        reason: error.to_string(),
    })?;
    if body.data.is_none() && body.metadata.is_none() {
        return Err(NotAnInvocation {
            reason: "it has neither Data nor Metadata".to_owned(),
        });
    }
    Ok(body)
}

/// The binding's value: by its name, else the only one there is.
fn value<'a>(body: &Body<'a>, name: &str) -> Option<&'a RawValue> {
    let data = body.data.as_ref()?;
    if let Some(value) = data.get(name) {
        return Some(value);
    }
    let mut values = data.iter();
    match (values.next(), values.next()) {
        (Some((_, value)), None) => Some(value),
        _ => data
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value),
    }
}

/// A batch, decoded.
#[derive(Debug)]
pub(super) struct Batch {
    /// Where events are that stand in the body, or in the text it holds, as they are.
    plain: Vec<u8>,
    /// Where events are that had to be decoded.
    decoded: Vec<u8>,
    events: Vec<Event>,
    pub(super) metadata: BatchMetadata,
    /// The body was taken apart without a general reader, which must have its say if an event is not what it
    /// seems.
    quick: bool,
}

/// One event of a batch.
#[derive(Debug, Clone)]
pub(super) struct Event {
    form: Form,
    span: Range<usize>,
    decoded: bool,
}

/// How the binding gave an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As a string that can only be Base64.
    Base64,
    /// As a string: JSON text or Base64.
    Text,
    /// As a JSON value: the host parsed the event itself.
    Json,
}

impl Batch {
    /// How many events there are.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// An event, as its binding gave it.
    pub(super) fn event(&self, place: usize) -> (Form, &[u8]) {
        let Some(event) = self.events.get(place) else {
            return (Form::Json, &[]);
        };
        let bytes = match event.decoded {
            true => &self.decoded,
            false => &self.plain,
        };
        let bytes = bytes.get(event.span.clone()).unwrap_or_default();
        (event.form, bytes)
    }

    /// The memory of the body, to be used again.
    pub(super) fn into_room(self) -> Vec<u8> {
        self.plain
    }

    /// Has the general reader read the body, if it has not done so already.
    ///
    /// # Errors
    /// The body is not the host's protocol.
    pub(super) fn reread(self) -> Result<Self, NotAnInvocation> {
        match self.quick {
            true => general(self.plain),
            false => Ok(self),
        }
    }
}

/// What the host says about a batch, as far as it is used. All of it may be missing.
#[derive(Debug, Default, PartialEq)]
pub(super) struct BatchMetadata {
    /// The Event Hub's partition.
    pub partition: Option<String>,
    /// Sequence numbers, by event.
    pub sequence_numbers: Vec<Option<i64>>,
    /// When the hub took each event.
    pub enqueued: Vec<Option<Timestamp>>,
    /// How often the host tried this batch before.
    pub retry_count: Option<i64>,
}

/// Decodes a batch. The body is given up: its memory is used on, or free before the events are read.
///
/// # Errors
/// The body is not the host's protocol.
pub(super) fn batch(bytes: Vec<u8>) -> Result<Batch, NotAnInvocation> {
    if let Some(quick) = quick::read(&bytes)
        && let Ok(metadata) = serde_json::from_slice::<&RawValue>(quick.metadata)
        && metadata.get().starts_with('{')
    {
        return Ok(Batch {
            metadata: batch_metadata(metadata),
            events: quick.events,
            decoded: quick.decoded.unwrap_or_default(),
            plain: bytes,
            quick: true,
        });
    }
    general(bytes)
}

fn general(bytes: Vec<u8>) -> Result<Batch, NotAnInvocation> {
    let body = body(&bytes)?;
    let mut batch = Batch {
        plain: Vec::new(),
        decoded: Vec::new(),
        events: Vec::new(),
        metadata: body.metadata.map(batch_metadata).unwrap_or_default(),
        quick: false,
    };
    let (text, many) = match value(&body, "events") {
        None => return Ok(batch),
        Some(raw) => events(raw.get()),
    };
    drop(bytes);
    batch.take_apart(text, many);
    Ok(batch)
}

impl Batch {
    /// Finds the events in the text of an array; a text that is none is one event.
    fn take_apart(&mut self, text: String, many: bool) {
        let elements = match serde_json::from_str::<Vec<&RawValue>>(&text) {
            Ok(elements) if many => elements,
            _ if many && text.trim() == "null" => Vec::new(),
            // What can be read of it is read record by record.
            _ => {
                self.events.push(Event {
                    form: Form::Text,
                    span: 0..text.len(),
                    decoded: false,
                });
                self.plain = text.into_bytes();
                return;
            }
        };
        for element in elements {
            let raw = element.get();
            let start = raw.as_ptr() as usize - text.as_ptr() as usize;
            let string = raw.starts_with('"');
            if string && raw.contains('\\') {
                if let Ok(Text(event)) = serde_json::from_str::<Text<'_>>(raw) {
                    let from = self.decoded.len();
                    self.decoded.extend_from_slice(event.as_bytes());
                    self.events.push(Event {
                        form: Form::Text,
                        span: from..self.decoded.len(),
                        decoded: true,
                    });
                    continue;
                }
            } else if string {
                self.events.push(Event {
                    form: Form::Text,
                    span: start + 1..start + raw.len() - 1,
                    decoded: false,
                });
                continue;
            }
            self.events.push(Event {
                form: Form::Json,
                span: start..start + raw.len(),
                decoded: false,
            });
        }
        self.plain = text.into_bytes();
    }
}

/// The text of the events, and whether it may be an array of them.
fn events(raw: &str) -> (String, bool) {
    if !raw.starts_with('"') {
        return match raw.as_bytes().first() {
            Some(b'[' | b'n') => (raw.to_owned(), true),
            _ => (raw.to_owned(), false),
        };
    }
    let mended;
    let text = match serde_json::from_str::<Text<'_>>(raw) {
        Ok(Text(text)) => text,
        Err(_) => {
            mended = without_lone_surrogates(raw);
            match serde_json::from_str::<Text<'_>>(&mended) {
                Ok(Text(text)) => text,
                Err(_) => return (raw.to_owned(), false),
            }
        }
    };
    match text.trim_start().as_bytes().first() {
        Some(b'[') => (text.into_owned(), true),
        // One event as text, encoded once more.
        Some(b'"') => match serde_json::from_str::<Text<'_>>(&text) {
            Ok(Text(event)) => (event.into_owned(), false),
            Err(_) => (text.into_owned(), false),
        },
        _ if text.trim() == "null" => (text.into_owned(), true),
        _ => (text.into_owned(), false),
    }
}

/// Half a surrogate pair is legal in JSON's grammar and no character: it becomes U+FFFD, as the
/// host's own decoder has it, so that it spoils its own record alone.
fn without_lone_surrogates(raw: &str) -> String {
    let mut mended = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        mended.push_str(before);
        let length = match (surrogate(escape), escape.get(6..).and_then(surrogate)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(_), _) => {
                mended.push_str("\\ufffd");
                rest = escape.get(6..).unwrap_or_default();
                continue;
            }
            // The character behind a backslash is part of the escape, a second backslash above all.
            (None, _) => escape
                .char_indices()
                .nth(2)
                .map_or(escape.len(), |(end, _)| end),
        };
        let (escape, behind) = escape.split_at_checked(length).unwrap_or((escape, ""));
        mended.push_str(escape);
        rest = behind;
    }
    mended.push_str(rest);
    mended
}

/// The surrogate that a text begins with, written as `\\uXXXX`.
fn surrogate(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let unit = u16::from_str_radix(digits, 16).ok()?;
    (0xD800..=0xDFFF).contains(&unit).then_some(unit)
}

/// A request to an HTTP function, as far as it is used.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct HttpRequest {
    /// `format` of the query.
    pub(super) format: Option<String>,
    /// What the client accepts, in its order.
    pub(super) accept: Vec<String>,
}

/// Reads the request that an HTTP trigger hands over (Azure/azure-functions-host
/// `src/WebJobs.Script/Extensions/HttpRequestExtensions.cs`: `Query` holds strings, `Headers` arrays of them). What
/// cannot be read asks for nothing.
pub(super) fn http_request(bytes: &[u8]) -> HttpRequest {
    let read = || {
        let body = body(bytes).ok()?;
        let request = value(&body, "req")?;
        serde_json::from_str::<Value>(request.get()).ok()
    };
    let request = read().unwrap_or_default();
    let find = |part: &str, name: &str| {
        let mut all = request.get(part)?.as_object()?.iter();
        let (_, value) = all.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(value.clone())
    };
    let texts = |value: Value| match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values
            .into_iter()
            .filter_map(|value| Some(value.as_str()?.to_owned()))
            .collect(),
        _ => Vec::new(),
    };
    let accept = find("Headers", "accept").map(texts).unwrap_or_default();
    HttpRequest {
        format: find("Query", "format").map(texts).unwrap_or_default().pop(),
        accept: accept
            .iter()
            .flat_map(|line| line.split(','))
            .map(|range| range.split(';').next().unwrap_or_default())
            .map(|range| range.trim().to_ascii_lowercase())
            .collect(),
    }
}

/// Metadata of a batch. Its keys can be overwritten by an event's own (single dispatch), so nothing
/// here is trusted further than to name a place and to stand in for a missing time.
fn batch_metadata(raw: &RawValue) -> BatchMetadata {
    let Ok(Value::Object(metadata)) = serde_json::from_str::<Value>(raw.get()) else {
        return BatchMetadata::default();
    };
    let field = |many: &str, one: &str| -> Vec<Value> {
        match metadata.get(many).map(unwrap_json) {
            Some(Value::Array(values)) => values,
            _ => metadata.get(one).map(unwrap_json).into_iter().collect(),
        }
    };
    let context = ["PartitionContext", "TriggerPartitionContext"]
        .into_iter()
        .find_map(|key| metadata.get(key)?.get("PartitionId").cloned());
    BatchMetadata {
        partition: context.and_then(|id| match id {
            Value::String(id) => Some(id.chars().take(64).collect()),
            Value::Number(id) => Some(id.to_string()),
            _ => None,
        }),
        sequence_numbers: field("SequenceNumberArray", "SequenceNumber")
            .iter()
            .map(Value::as_i64)
            .collect(),
        enqueued: field("EnqueuedTimeUtcArray", "EnqueuedTimeUtc")
            .iter()
            .map(|time| Timestamp::parse(time.as_str()?).ok())
            .collect(),
        retry_count: metadata
            .get("RetryContext")
            .and_then(|context| context.get("RetryCount")?.as_i64()),
    }
}

/// Undoes the host's double encoding of one value.
fn unwrap_json(value: &Value) -> Value {
    match value {
        Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| value.clone()),
        other => other.clone(),
    }
}

/// A queue message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Its text.
    pub text: String,
    /// How often it was taken from the queue, this time included.
    pub dequeue_count: Option<i64>,
}

/// Decodes a queue message.
///
/// # Errors
/// The body is not the host's protocol, or it holds no message.
pub(super) fn message(bytes: &[u8]) -> Result<Message, NotAnInvocation> {
    let body = body(bytes)?;
    let raw = value(&body, "alert").ok_or_else(|| NotAnInvocation {
        reason: "it holds no message".to_owned(),
    })?;
    let dequeue_count = body
        .metadata
        .and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok())
        .and_then(|metadata| unwrap_json(metadata.get("DequeueCount")?).as_i64());
    let text = match serde_json::from_str::<Text<'_>>(raw.get()) {
        // Text that is itself a JSON string was encoded twice; anything else is the message.
        Ok(Text(text)) => match serde_json::from_str::<Text<'_>>(&text) {
            Ok(Text(inner)) => inner.into_owned(),
            Err(_) => text.into_owned(),
        },
        Err(_) => raw.get().to_owned(),
    };
    Ok(Message {
        text,
        dequeue_count,
    })
}

#[cfg(test)]
mod tests;
