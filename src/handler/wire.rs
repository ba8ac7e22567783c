//! The host's invocation request, decoded. Pure.
//!
//! Nearly everything that is no JSON object arrives as a string that holds JSON; an Event Hubs
//! batch is one string that holds an array (Azure/azure-functions-host
//! `src/WebJobs.Script/Workers/MessageExtensions/ScriptInvocationContextExtensions.cs`). Which of
//! the shapes it is depends on the binding's settings and on the extension's version, so all are read.

use std::borrow::Cow;
use std::collections::BTreeMap;

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

/// The events of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Events {
    /// Nothing: `null`, missing, `[]`.
    None,
    /// The text of a JSON array, an event an element.
    Many(String),
    /// The text of one event.
    One(String),
}

/// One event of a batch, as its binding gave it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// A string: JSON text or Base64.
    Text(Cow<'a, str>),
    /// A JSON value as it stands: the host parsed the event itself.
    Json(&'a str),
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

/// Decodes a batch. The body is given up, so that its memory is free before the events are read.
///
/// # Errors
/// The body is not the host's protocol.
pub(super) fn batch(bytes: Vec<u8>) -> Result<(Events, BatchMetadata), NotAnInvocation> {
    let body = body(&bytes)?;
    let metadata = body.metadata.map(batch_metadata).unwrap_or_default();
    let events = value(&body, "events").map_or(Events::None, |raw| events(raw.get()));
    Ok((events, metadata))
}

fn events(raw: &str) -> Events {
    if !raw.starts_with('"') {
        return match raw.as_bytes().first() {
            Some(b'[') => many(raw.to_owned()),
            Some(b'n') => Events::None,
            _ => Events::One(raw.to_owned()),
        };
    }
    let mended;
    let text = match serde_json::from_str::<Text<'_>>(raw) {
        Ok(Text(text)) => text,
        Err(_) => {
            mended = without_lone_surrogates(raw);
            match serde_json::from_str::<Text<'_>>(&mended) {
                Ok(Text(text)) => text,
                Err(_) => return Events::One(raw.to_owned()),
            }
        }
    };
    match text.trim_start().as_bytes().first() {
        Some(b'[') => many(text.into_owned()),
        // One event as text, encoded once more.
        Some(b'"') => match serde_json::from_str::<Text<'_>>(&text) {
            Ok(Text(event)) => Events::One(event.into_owned()),
            Err(_) => Events::One(text.into_owned()),
        },
        _ if text.trim() == "null" => Events::None,
        _ => Events::One(text.into_owned()),
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

fn many(text: String) -> Events {
    let inside = text
        .trim()
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    match inside {
        Some(inside) if inside.trim().is_empty() => Events::None,
        _ => Events::Many(text),
    }
}

impl Events {
    /// The single events, in batch order.
    pub(super) fn iter(&self) -> Vec<Event<'_>> {
        match self {
            Self::None => Vec::new(),
            Self::One(text) => vec![Event::Text(Cow::Borrowed(text))],
            // An array that is none is one bad event: what can be read of it is read record by record.
            Self::Many(text) => match serde_json::from_str::<Vec<&RawValue>>(text) {
                Ok(elements) => elements
                    .into_iter()
                    .map(|element| event(element.get()))
                    .collect(),
                Err(_) => vec![Event::Text(Cow::Borrowed(text))],
            },
        }
    }
}

fn event(raw: &str) -> Event<'_> {
    if raw.starts_with('"')
        && let Ok(Text(text)) = serde_json::from_str::<Text<'_>>(raw)
    {
        return Event::Text(text);
    }
    Event::Json(raw)
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
mod tests {
    use super::*;

    fn texts(data: &str) -> Vec<String> {
        let body = format!(r#"{{"Data":{{"events":{data}}},"Metadata":{{}}}}"#);
        let (events, _) = batch(body.into_bytes()).unwrap();
        events
            .iter()
            .into_iter()
            .map(|event| match event {
                Event::Text(text) => text.into_owned(),
                Event::Json(text) => text.to_owned(),
            })
            .collect()
    }

    #[test]
    fn reads_every_shape_of_a_batch() {
        let two = [r#"{"a":1}"#, r#"{"a":2}"#];
        // many, string; many, absent; a real array; an array of strings.
        assert_eq!(texts(r#""[\"{\\\"a\\\":1}\",\"{\\\"a\\\":2}\"]""#), two);
        assert_eq!(texts(r#""[{\"a\":1},{\"a\":2}]""#), two);
        assert_eq!(texts(r#"[{"a":1},{"a":2}]"#), two);
        assert_eq!(texts(r#"["{\"a\":1}","{\"a\":2}"]"#), two);
        // many, binary.
        assert_eq!(
            texts(r#""[\"eyJhIjoxfQ==\",\"eyJhIjoyfQ==\"]""#),
            ["eyJhIjoxfQ==", "eyJhIjoyfQ=="]
        );
        // one: string or absent, binary, a real object, plain text.
        assert_eq!(texts(r#""\"{\\\"a\\\":1}\"""#), [r#"{"a":1}"#]);
        assert_eq!(texts(r#""eyJhIjoxfQ==""#), ["eyJhIjoxfQ=="]);
        assert_eq!(texts(r#"{"a":1}"#), [r#"{"a":1}"#]);
        assert_eq!(texts(r#""{\"a\":1}""#), [r#"{"a":1}"#]);
        assert_eq!(texts(r#""not json""#), ["not json"]);
        // One event whose text is an array stays one event.
        assert_eq!(texts(r#""\"[{\\\"a\\\":1}]\"""#), [r#"[{"a":1}]"#]);
        // Elements that are no objects are handed on, to be rejected with their text.
        assert_eq!(texts(r#""[7,null,\"x\"]""#), ["7", "null", "x"]);
    }

    #[test]
    fn empty_batches_are_empty() {
        for data in [r#""null""#, "null", r#""[]""#, "[]", r#""[ ]""#] {
            assert_eq!(texts(data), Vec::<String>::new(), "{data}");
        }
        assert_eq!(
            batch(br#"{"Data":{},"Metadata":{}}"#.to_vec()).unwrap().0,
            Events::None
        );
    }

    #[test]
    fn broken_arrays_are_one_event() {
        assert_eq!(texts(r#""[{\"a\":1},""#), [r#"[{"a":1},"#]);
        let deep = format!("\"{}\"", "[".repeat(20_000));
        assert_eq!(texts(&deep).len(), 1);
        let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
        assert_eq!(texts(&deep).len(), 1);
    }

    #[test]
    fn half_a_surrogate_pair_spoils_nothing_else() {
        let events = texts(r#""[\"a\\\\\",\"\ud800\",\"\ud83d\ude00\",\"\udc00b\"]""#);
        assert_eq!(events, ["a\\", "\u{fffd}", "\u{1f600}", "\u{fffd}b"]);
    }

    #[test]
    fn other_bodies_are_refused() {
        for text in [
            "",
            "null",
            "[]",
            "{}",
            "{\"Data\":",
            "hello",
            "{\"Data\":3}",
        ] {
            assert!(batch(text.as_bytes().to_vec()).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_metadata_of_many_and_of_one() {
        let many = br#"{"Data":{},"Metadata":{"PartitionContext":{"PartitionId":"3"},"SequenceNumberArray":"[41,42]",
            "EnqueuedTimeUtcArray":"[\"2026-01-02T03:04:05.678\",\"bad\"]","RetryContext":{"RetryCount":2}}}"#;
        let metadata = batch(many.to_vec()).unwrap().1;
        assert_eq!(metadata.partition.as_deref(), Some("3"));
        assert_eq!(metadata.sequence_numbers, [Some(41), Some(42)]);
        assert_eq!(
            metadata
                .enqueued
                .iter()
                .map(Option::is_some)
                .collect::<Vec<_>>(),
            [true, false]
        );
        assert_eq!(metadata.retry_count, Some(2));
        let one = br#"{"Data":{},"Metadata":{"SequenceNumber":"42","EnqueuedTimeUtc":"2026-01-02T03:04:05Z"}}"#;
        let metadata = batch(one.to_vec()).unwrap().1;
        assert_eq!(metadata.sequence_numbers, [Some(42)]);
        assert_eq!(metadata.enqueued.len(), 1);
        let odd = br#"{"Data":{},"Metadata":{"SequenceNumberArray":{"a":1},"PartitionContext":7}}"#;
        assert_eq!(batch(odd.to_vec()).unwrap().1.partition, None);
    }

    #[test]
    fn reads_queue_messages() {
        let twice = br#"{"Data":{"alert":"\"{\\\"sink\\\":\\\"soc\\\"}\""},"Metadata":{"DequeueCount":"2"}}"#;
        assert_eq!(
            message(twice).unwrap(),
            Message {
                text: r#"{"sink":"soc"}"#.into(),
                dequeue_count: Some(2)
            }
        );
        let once = br#"{"Data":{"alert":"{\"sink\":\"soc\"}"},"Metadata":{}}"#;
        assert_eq!(message(once).unwrap().text, r#"{"sink":"soc"}"#);
        let object = br#"{"Data":{"alert":{"sink":"soc"}}}"#;
        assert_eq!(message(object).unwrap().text, r#"{"sink":"soc"}"#);
        assert!(message(br#"{"Data":{}}"#).is_err());
    }
}
