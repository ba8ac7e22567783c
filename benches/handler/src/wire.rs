//! Requests as the Functions host writes them: the batch's shape, its metadata, and the framing.
//!
//! Sources: Azure/azure-functions-host `src/WebJobs.Script/Workers/Http/DefaultHttpWorkerService.cs`
//! and `Workers/MessageExtensions/ScriptInvocationContextExtensions.cs`; Azure/azure-sdk-for-net
//! `sdk/eventhub/Microsoft.Azure.WebJobs.Extensions.EventHubs/src/Triggers`.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::data::{self, BATCH, Expected, Random, Record};

/// What `dataType` makes of a batch. All are one JSON string that holds an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Of Base64 strings.
    Binary,
    /// Of JSON strings: encoded twice.
    String,
    /// Of objects: without a `dataType` the host parses each event.
    Parsed,
}

impl Shape {
    pub(crate) const ALL: [Self; 3] = [Self::Binary, Self::String, Self::Parsed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::String => "string",
            Self::Parsed => "parsed",
        }
    }
}

/// How the length of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// As under the Core Tools.
    ContentLength,
    /// As in Azure, with chunks of so many bytes.
    Chunked(usize),
}

impl Framing {
    /// The host serialises through a .NET `StreamWriter` of 1,024 characters straight onto the
    /// chunked stream, which makes a chunk of every write: aspnet/AspNetWebStack
    /// `src/System.Net.Http.Formatting/Formatting/JsonMediaTypeFormatter.cs`, dotnet/runtime
    /// `SocketsHttpHandler/ChunkedEncodingWriteStream.cs`.
    pub(crate) const AZURE: Self = Self::Chunked(1024);
}

/// One invocation, ready to be sent any number of times.
#[derive(Debug)]
pub(crate) struct Request {
    /// The request's head up to the invocation's id.
    pub(crate) head: Vec<u8>,
    /// The body, framed.
    pub(crate) framed: Vec<u8>,
    /// Bytes of the body.
    pub(crate) body_bytes: usize,
    /// Bytes of the log in it, before the host's encoding.
    pub(crate) log_bytes: usize,
    pub(crate) expected: Expected,
    /// Length of the answer that was found right; 0 before there is one.
    pub(crate) answer_bytes: AtomicUsize,
}

impl Request {
    /// A batch of `events` events.
    fn new(
        shape: Shape,
        framing: Framing,
        records: &[Record],
        events: usize,
        number: usize,
    ) -> Self {
        let texts: Vec<String> = records
            .chunks(records.len().div_ceil(events))
            .map(data::event)
            .collect();
        let body = body(shape, &texts, number);
        let length = match framing {
            Framing::ContentLength => format!("Content-Length: {}", body.len()),
            Framing::Chunked(_) => "Transfer-Encoding: chunked".to_owned(),
        };
        let head = format!(
            "POST /SignIns HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Azure-Functions-HostVersion: 4.1037.0.0\r\n\
             User-Agent: Azure-Functions-Host/4.1037.0.0\r\nContent-Type: application/json; charset=utf-8\r\n\
             {length}\r\nX-Azure-Functions-InvocationId: "
        );
        Self {
            head: head.into_bytes(),
            body_bytes: body.len(),
            framed: framed(body, framing),
            log_bytes: texts.iter().map(String::len).sum(),
            expected: data::expected(records),
            answer_bytes: AtomicUsize::new(0),
        }
    }

    pub(crate) fn records(&self) -> usize {
        self.expected.sign_ins
    }

    /// For another policy, which gives its entries other lines and the answer another length.
    pub(crate) fn forget_answer(&self) {
        self.answer_bytes.store(0, Ordering::Relaxed);
    }
}

/// All batches of some records, each of `events` events.
pub(crate) fn requests(
    shape: Shape,
    framing: Framing,
    records: &[Record],
    events: usize,
) -> Vec<Request> {
    records
        .chunks(BATCH)
        .enumerate()
        .map(|(number, records)| Request::new(shape, framing, records, events, number))
        .collect()
}

fn framed(body: Vec<u8>, framing: Framing) -> Vec<u8> {
    let Framing::Chunked(size) = framing else {
        return body;
    };
    let mut framed = Vec::with_capacity(body.len() + body.len() / size * 8 + 16);
    for chunk in body.chunks(size) {
        // Writing to a Vec cannot fail.
        let _ = write!(framed, "{:X}\r\n", chunk.len());
        framed.extend_from_slice(chunk);
        framed.extend_from_slice(b"\r\n");
    }
    framed.extend_from_slice(b"0\r\n\r\n");
    framed
}

fn body(shape: Shape, events: &[String], number: usize) -> Vec<u8> {
    let array = match shape {
        Shape::Binary => {
            let encoded = events
                .iter()
                .map(|event| Value::String(STANDARD.encode(event)));
            Value::Array(encoded.collect()).to_string()
        }
        Shape::String => json!(events).to_string(),
        Shape::Parsed => format!("[{}]", events.join(",")),
    };
    let data = Value::String(array);
    let metadata = metadata(events, number);
    format!("{{\"Data\":{{\"events\":{data}}},\"Metadata\":{metadata}}}").into_bytes()
}

/// As the current Event Hubs extension writes it: arrays are sent as strings that hold them.
fn metadata(events: &[String], number: usize) -> Value {
    let first = number * events.len() + 1_000_000;
    let places: Vec<(usize, usize, String)> = (0..events.len())
        .map(|event| {
            let sequence = first + event;
            let second = sequence / 10 % 60;
            let enqueued = format!("2026-11-23T09:31:{second:02}.{:03}", sequence % 1000);
            (sequence, 8_589_934_592 + sequence * 200_000, enqueued)
        })
        .collect();
    let list = |value: &dyn Fn(&(usize, usize, String)) -> Value| {
        Value::Array(places.iter().map(value).collect()).to_string()
    };
    let context = json!({
        "IsCheckpointingAfterInvocation": true,
        "FullyQualifiedNamespace": "contoso-logs.servicebus.windows.net",
        "EventHubName": "sign-ins",
        "ConsumerGroup": "spwatch",
        "PartitionId": (number % 4).to_string(),
    });
    json!({
        "TriggerPartitionContext": context,
        "PartitionContext": context,
        "PartitionKeyArray": list(&|_| Value::Null),
        "OffsetArray": list(&|(_, offset, _)| json!(offset.to_string())),
        "OffsetStringArray": list(&|(_, offset, _)| json!(offset.to_string())),
        "SequenceNumberArray": list(&|(sequence, ..)| json!(sequence)),
        "EnqueuedTimeUtcArray": list(&|(.., enqueued)| json!(enqueued)),
        "PropertiesArray": list(&|_| json!({})),
        "SystemPropertiesArray": list(&|(sequence, offset, enqueued)| json!({
            "SequenceNumber": sequence,
            "Offset": offset,
            "OffsetString": offset.to_string(),
            "PartitionKey": null,
            "EnqueuedTimeUtc": enqueued,
        })),
        "sys": {
            "MethodName": "SignIns",
            "UtcNow": "2026-11-23T09:32:00.1234567Z",
            "RandGuid": Random(number as u64).guid(),
        },
        "RetryContext": {
            "RetryCount": 0,
            "MaxRetryCount": -1,
            "Exception": null,
            "Instance": null,
            "State": {},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Undoes the host's encoding.
    fn events(shape: Shape, body: &[u8]) -> Vec<String> {
        let body: Value = serde_json::from_slice(body).unwrap();
        assert!(body["Metadata"]["SequenceNumberArray"].is_string());
        let array: Vec<Value> =
            serde_json::from_str(body["Data"]["events"].as_str().unwrap()).unwrap();
        let text = |event: &Value| match shape {
            Shape::Binary => {
                String::from_utf8(STANDARD.decode(event.as_str().unwrap()).unwrap()).unwrap()
            }
            Shape::String => event.as_str().unwrap().to_owned(),
            Shape::Parsed => event.to_string(),
        };
        array.iter().map(text).collect()
    }

    #[test]
    fn every_shape_holds_the_events() {
        let data = data::Data::generate(100);
        let texts: Vec<String> = data.records.chunks(10).map(data::event).collect();
        for shape in Shape::ALL {
            let found = events(shape, &body(shape, &texts, 7));
            let parse = |text: &String| serde_json::from_str::<Value>(text).unwrap();
            assert!(found.iter().map(parse).eq(texts.iter().map(parse)));
        }
    }

    #[test]
    fn chunks_join() {
        let framed = framed(vec![b'x'; 2500], Framing::AZURE);
        let text = String::from_utf8(framed).unwrap();
        assert!(text.starts_with("400\r\nx") && text.ends_with("x\r\n0\r\n\r\n"));
        assert_eq!(text.matches('x').count(), 2500);
    }
}
