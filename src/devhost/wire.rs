//! The body of an invocation, in the host's own encoding. Pure.
//!
//! Nearly everything that is no JSON object is sent as a *string that holds JSON*. Bodies can be large, so they are
//! written once, escaping as they go, without a copy in between.
//! (host: src/WebJobs.Script/Workers/MessageExtensions/ScriptInvocationContextExtensions.cs)

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::ser::SerializeStruct as _;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::function_file::{Cardinality, DataType};
use super::hub::StoredEvent;
use super::queue::Message;

mod event_hub;
mod queue;

pub use event_hub::{EventHubBinding, Partition, event_hub};
pub use queue::{queue, timer};

/// Which generation of the Event Hubs extension, or which path, the metadata comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Metadata {
    /// Extension 6.x: `TriggerPartitionContext` and `OffsetStringArray` too.
    #[default]
    Current,
    /// Extension 5.x: `PartitionContext` only.
    Old,
    /// A manual call through `/admin/functions`: nothing about partition or position.
    Admin,
    /// Nothing at all, an empty object.
    Empty,
}

/// What an invocation's body holds besides its trigger.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// The function's name.
    pub function: &'a str,
    /// The host's clock.
    pub now: DateTime<Utc>,
    /// `sys.RandGuid`.
    pub random: Uuid,
    /// Present where the function has a retry policy.
    pub retry: Option<RetryContext>,
}

/// `Metadata.RetryContext`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryContext {
    /// Attempts before this one.
    pub retry_count: u32,
    /// The policy's `maxRetryCount`.
    pub max_retry_count: i32,
    /// How the last attempt failed.
    pub exception: Option<String>,
}

/// Why no body can be made: the host fails such an invocation without calling the handler.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Without a `dataType`, an event that is not JSON fails the whole batch in binding.
    #[error("event {index} of the batch is not JSON, and without a `dataType` the host parses it")]
    NotJson {
        /// Position in the batch.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// With cardinality one there is one event an invocation.
    #[error("a batch of {0} events for cardinality one")]
    NotOne(usize),
    /// A value cannot be written as JSON.
    #[error("the body cannot be written")]
    Encode(#[from] serde_json::Error),
    /// A value cannot be written as JSON.
    #[error("the body cannot be written")]
    Write(#[from] io::Error),
}

/// A value as the host holds it, before it is put into `Data` or `Metadata`.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// `byte[]`.
    Bytes(&'a [u8]),
    /// `DateTime`, of unspecified kind.
    DateTime(DateTime<Utc>),
    /// `DateTimeOffset`.
    DateTimeOffset(DateTime<Utc>),
    /// Anything that is a JSON object when serialised; the JSON text.
    Object(&'a RawValue),
    /// Everything else: the JSON text that is then sent as a string.
    Json(&'a RawValue),
    /// A string.
    Text(&'a str),
}

impl Value<'_> {
    /// Appends the value as it stands in the body.
    ///
    /// # Errors
    /// None in practice: a string is always writable.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), WireError> {
        match self {
            Self::Bytes(bytes) => {
                out.push(b'"');
                base64_onto(bytes, out)?;
                out.push(b'"');
            }
            // Both went through culture text on the way, which drops the fraction.
            Self::DateTime(time) => {
                write!(out, "\"{}\"", time.format("%Y-%m-%dT%H:%M:%S"))?;
            }
            Self::DateTimeOffset(time) => {
                write!(out, "\"{}+00:00\"", time.format("%Y-%m-%dT%H:%M:%S"))?;
            }
            Self::Object(json) => out.extend_from_slice(json.get().as_bytes()),
            Self::Json(json) => serde_json::to_writer(out, json.get())?,
            Self::Text(text) => quoted(out, |json| Ok(serde_json::to_writer(json, text)?))?,
        }
        Ok(())
    }
}

/// Appends a JSON string whose content is the JSON that `write` produces.
fn quoted(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Escaped<'_>) -> Result<(), WireError>,
) -> Result<(), WireError> {
    out.push(b'"');
    write(&mut Escaped(out))?;
    out.push(b'"');
    Ok(())
}

/// Escapes what is written, as content of a JSON string.
struct Escaped<'a>(&'a mut Vec<u8>);

impl Write for Escaped<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while let Some(at) = rest
            .iter()
            .position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20)
        {
            let (plain, tail) = rest.split_at(at);
            self.0.extend_from_slice(plain);
            match tail.split_first() {
                Some((byte @ (b'"' | b'\\'), tail)) => {
                    self.0.extend_from_slice(&[b'\\', *byte]);
                    rest = tail;
                }
                Some((byte, tail)) => {
                    match byte {
                        b'\n' => self.0.extend_from_slice(b"\\n"),
                        b'\r' => self.0.extend_from_slice(b"\\r"),
                        b'\t' => self.0.extend_from_slice(b"\\t"),
                        _ => write!(self.0, "\\u{byte:04x}")?,
                    }
                    rest = tail;
                }
                None => rest = tail,
            }
        }
        self.0.extend_from_slice(rest);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn base64_onto(bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    // A multiple of three, so that chunks join without padding.
    for chunk in bytes.chunks(3 * 4096) {
        out.write_all(STANDARD.encode(chunk).as_bytes())?;
    }
    Ok(())
}

/// Writes `"key":` after a comma where one is due.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Object<'a> {
    fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    fn key(&mut self, key: &str) -> Result<&mut Vec<u8>, WireError> {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        serde_json::to_writer(&mut *self.out, key)?;
        self.out.push(b':');
        Ok(self.out)
    }

    /// A value that is an object when serialised, or any that stays as it is.
    fn plain(&mut self, key: &str, value: &impl Serialize) -> Result<(), WireError> {
        Ok(serde_json::to_writer(self.key(key)?, value)?)
    }

    /// A value that is sent as a string of its JSON text.
    fn nested(&mut self, key: &str, value: &impl Serialize) -> Result<(), WireError> {
        quoted(self.key(key)?, |json| {
            Ok(serde_json::to_writer(json, value)?)
        })
    }

    fn value(&mut self, key: &str, value: &Value<'_>) -> Result<(), WireError> {
        value.write(self.key(key)?)
    }

    fn close(self) {
        self.out.push(b'}');
    }
}

/// Writes the whole body: `data` is the only entry of `Data`, `metadata` fills `Metadata`.
fn body(
    trigger_name: &str,
    capacity: usize,
    data: impl FnOnce(&mut Vec<u8>) -> Result<(), WireError>,
    metadata: impl FnOnce(&mut Object<'_>) -> Result<(), WireError>,
) -> Result<Vec<u8>, WireError> {
    let mut out = Vec::with_capacity(capacity + 1024);
    out.extend_from_slice(b"{\"Data\":{");
    serde_json::to_writer(&mut out, trigger_name)?;
    out.push(b':');
    data(&mut out)?;
    out.extend_from_slice(b"},\"Metadata\":");
    let mut object = Object::open(&mut out);
    metadata(&mut object)?;
    object.close();
    out.push(b'}');
    Ok(out)
}

impl Call<'_> {
    fn write(&self, metadata: &mut Object<'_>) -> Result<(), WireError> {
        metadata.plain("sys", &Sys(self))?;
        match &self.retry {
            Some(retry) => metadata.plain("RetryContext", retry),
            None => Ok(()),
        }
    }
}

struct Sys<'a>(&'a Call<'a>);

impl Serialize for Sys<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("sys", 3)?;
        object.serialize_field("MethodName", self.0.function)?;
        object.serialize_field("UtcNow", &format!("{}Z", iso(self.0.now)))?;
        object.serialize_field("RandGuid", &self.0.random.to_string())?;
        object.end()
    }
}

impl Serialize for RetryContext {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Exception<'a> {
            class_name: &'static str,
            message: &'a str,
        }
        let exception = self.exception.as_deref().map(|message| Exception {
            class_name: "System.Net.Http.HttpRequestException",
            message,
        });
        let mut object = serializer.serialize_struct("RetryContext", 5)?;
        object.serialize_field("RetryCount", &self.retry_count)?;
        object.serialize_field("MaxRetryCount", &self.max_retry_count)?;
        object.serialize_field("Exception", &exception)?;
        object.serialize_field("Instance", &None::<()>)?;
        object.serialize_field("State", &serde_json::Map::new())?;
        object.end()
    }
}

/// As Json.NET writes a `DateTime`: up to seven fraction digits, no zeros at their end.
fn iso(time: DateTime<Utc>) -> String {
    let text = time.format("%Y-%m-%dT%H:%M:%S%.9f").to_string();
    let text = text.get(..text.len().saturating_sub(2)).unwrap_or(&text);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The top-level properties of a trigger text that is a JSON object, as the host merges them into `Metadata`:
/// arrays and nulls not at all, objects as they are, scalars as strings.
/// (host: src/WebJobs.Script/Utility.cs `ApplyBindingData`)
fn merged(text: &[u8]) -> Vec<(String, Merged)> {
    let Ok(serde_json::Value::Object(object)) = serde_json::from_slice(text) else {
        return Vec::new();
    };
    object
        .into_iter()
        .filter_map(|(key, value)| {
            // The rule that drops `QueueTrigger` drops these as well; and the host's own objects stay its own here,
            // though we have not read which of the two wins.
            if key.to_ascii_lowercase().ends_with("trigger")
                || key == "sys"
                || key == "RetryContext"
            {
                return None;
            }
            let merged = match value {
                serde_json::Value::Null | serde_json::Value::Array(_) => return None,
                object @ serde_json::Value::Object(_) => Merged::Object(object),
                serde_json::Value::String(text) => Merged::Text(text),
                // .NET writes them with a capital.
                serde_json::Value::Bool(true) => Merged::Text("True".into()),
                serde_json::Value::Bool(false) => Merged::Text("False".into()),
                serde_json::Value::Number(number) => Merged::Text(number.to_string()),
            };
            Some((key, merged))
        })
        .collect()
}

/// Writes the host's own values except where a merged one overwrites them, then the merged ones. This is why
/// nobody should trust metadata of a single event or message from an untrusted sender.
fn overwritten<'a>(
    own: impl IntoIterator<Item = (&'a str, Value<'a>)>,
    merged: &[(String, Merged)],
    metadata: &mut Object<'_>,
) -> Result<(), WireError> {
    for (name, value) in own {
        if !merged.iter().any(|(key, _)| key == name) {
            metadata.value(name, &value)?;
        }
    }
    for (key, value) in merged {
        value.write(key, metadata)?;
    }
    Ok(())
}

enum Merged {
    Object(serde_json::Value),
    Text(String),
}

impl Merged {
    fn write(&self, key: &str, metadata: &mut Object<'_>) -> Result<(), WireError> {
        match self {
            Self::Object(value) => metadata.plain(key, value),
            Self::Text(text) => metadata.value(key, &Value::Text(text)),
        }
    }
}

#[cfg(test)]
mod tests;
