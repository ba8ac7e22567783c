//! However the host writes a batch, the same sign-ins give the same alerts.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use spwatch::devhost::wire::Metadata;
use spwatch::devhost::{Cardinality, DataType, Framing};

use super::rig::*;

/// A body's name, its bytes, and the declarations under which the host can bind it.
type Form = (&'static str, Vec<Vec<u8>>, &'static [DataType]);

const ALL: &[DataType] = &[DataType::Binary, DataType::String, DataType::Absent];
const ANY_TEXT: &[DataType] = &[DataType::Binary, DataType::String];
const BYTES: &[DataType] = &[DataType::Binary];

/// The same records, a body each for the two events of a batch.
fn forms(events: &[Vec<Value>; 2]) -> Vec<Form> {
    let each = |write: &dyn Fn(&[Value]) -> Vec<u8>| -> Vec<Vec<u8>> {
        events.iter().map(|records| write(records)).collect()
    };
    let lines = |records: &[Value], end: &str| -> String {
        records
            .iter()
            .map(|record| format!("{record}{end}"))
            .collect()
    };
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let singles = events
        .iter()
        .flatten()
        .map(|record| record.to_string().into_bytes())
        .collect();
    vec![
        ("envelope", each(&|r| envelope(r).into_bytes()), ALL),
        (
            "array",
            each(&|r| Value::from(r.to_vec()).to_string().into_bytes()),
            ALL,
        ),
        ("single objects", singles, ALL),
        ("NDJSON", each(&|r| lines(r, "\r\n").into_bytes()), ANY_TEXT),
        (
            "byte order mark",
            each(&|r| format!("\u{feff}{}", envelope(r)).into_bytes()),
            ANY_TEXT,
        ),
        ("gzip", each(&|r| gzip(envelope(r).as_bytes())), BYTES),
        (
            "gzip of NDJSON",
            each(&|r| gzip(lines(r, "\n").as_bytes())),
            BYTES,
        ),
    ]
}

/// An alert but for the moment at which it was raised.
fn timeless(mut message: Value) -> String {
    assert!(message["alert"]["raised"].take().is_string());
    message.to_string()
}

#[tokio::test]
async fn every_wire_shape_gives_the_same_alerts() {
    let text = policy(SOC);
    let rig = start(&text).await;
    // No two of these are merged, so that an alert is the same alone and in company.
    let events = [
        vec![
            record("1", PAYROLL, HOME, 1),
            record("2", PAYROLL, AWAY, 2),
            record("3", STRANGER, AWAY, 3),
        ],
        vec![
            record("4", EXPORTER, "2001:db8::7", 4),
            record("5", EXPORTER, HOME, 5),
        ],
    ];
    let expected = due(&text, &[envelope(&events[0]), envelope(&events[1])]);
    assert_eq!(expected.len(), 3);
    let mut alerts = None;
    for (name, bodies, data_types) in forms(&events) {
        for &data_type in data_types {
            for metadata in [
                Metadata::Current,
                Metadata::Old,
                Metadata::Admin,
                Metadata::Empty,
            ] {
                for (cardinality, batches) in [
                    (Cardinality::Many, vec![bodies.clone()]),
                    (
                        Cardinality::One,
                        bodies.iter().map(|body| vec![body.clone()]).collect(),
                    ),
                ] {
                    for framing in [Framing::Chunked, Framing::ContentLength] {
                        let what = format!(
                            "{name}, {data_type:?}, {cardinality:?}, {metadata:?}, {framing:?}"
                        );
                        let mut got = Vec::new();
                        for batch in batches.clone() {
                            let shape = (data_type, cardinality, metadata);
                            let exchange = rig.invoke(batch, shape, framing).await;
                            let answer = exchange
                                .judged
                                .unwrap_or_else(|failure| panic!("{what}: {failure}"));
                            let object: Value = serde_json::from_slice(&exchange.body).unwrap();
                            assert!(object.is_object(), "{what}");
                            assert!(items(&answer, "rejected").is_empty(), "{what}");
                            got.extend(messages(&answer).into_iter().map(timeless));
                        }
                        got.sort();
                        assert_eq!(got.len(), expected.len(), "{what}");
                        let first = alerts.get_or_insert_with(|| got.clone());
                        assert_eq!(&got, first, "{what}");
                    }
                }
            }
        }
    }
    for id in expected {
        let alerts = alerts.iter().flatten();
        assert_eq!(alerts.filter(|alert| alert.contains(&id)).count(), 1);
    }
}

/// A single event's own keys overwrite the host's metadata of the same names.
#[tokio::test]
async fn an_event_cannot_mislead_by_its_own_metadata() {
    let text = policy(SOC);
    let rig = start(&text).await;
    let plain = record("1", PAYROLL, AWAY, 1);
    let expected = due(&text, &[plain.to_string()]);
    let mut event = plain;
    for (key, value) in [
        ("PartitionContext", Value::from("nowhere")),
        (
            "TriggerPartitionContext",
            serde_json::json!({"PartitionId": {"a": []}}),
        ),
        ("SequenceNumber", Value::from("one")),
        ("SequenceNumberArray", serde_json::json!({"0": 1})),
        ("EnqueuedTimeUtc", Value::from("yesterday")),
        ("EnqueuedTimeUtcArray", Value::from("[[[")),
        ("RetryContext", Value::from(-1)),
        ("sys", Value::from(7)),
        ("events", Value::from("none")),
    ] {
        event[key] = value;
    }
    for cardinality in [Cardinality::One, Cardinality::Many] {
        for data_type in [DataType::Binary, DataType::String, DataType::Absent] {
            let shape = (data_type, cardinality, Metadata::Current);
            let bodies = vec![event.to_string().into_bytes()];
            let exchange = rig.invoke(bodies, shape, Framing::Alternate).await;
            let messages = messages(&exchange.judged.unwrap());
            let ids: Vec<_> = messages
                .iter()
                .map(|message| message["alert"]["id"].as_str().unwrap())
                .collect();
            assert!(
                ids.iter().copied().eq(&expected),
                "{data_type:?}, {cardinality:?}"
            );
        }
    }
}
