use chrono::TimeZone as _;
use serde_json::json;

use super::super::hub::Event;
use super::*;

fn time(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

fn call(retry: Option<RetryContext>) -> Call<'static> {
    Call {
        function: "IngestOrders",
        now: time("2026-01-02T03:04:06.1234567Z"),
        random: "6f0c7a52-2f0b-4a41-9d0e-3b8c53d7a111".parse().unwrap(),
        retry,
    }
}

fn event(body: &[u8]) -> StoredEvent {
    Event::new(body.to_vec()).stored(41, 8_589_934_592, time("2026-01-02T03:04:05.678Z"))
}

const PARTITION: Partition<'static> = Partition {
    namespace: "ns1.servicebus.windows.net",
    hub: "orders",
    consumer_group: "$Default",
    id: 3,
};

fn send(
    data_type: DataType,
    cardinality: Cardinality,
    metadata: Metadata,
    batch: &[StoredEvent],
) -> serde_json::Value {
    let binding = EventHubBinding {
        name: "events",
        data_type,
        cardinality,
        metadata,
    };
    let body = event_hub(binding, PARTITION, batch, &call(None)).unwrap();
    serde_json::from_slice(&body).unwrap()
}

#[test]
fn values_are_converted_as_the_host_does() {
    let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
    let wire = |value: Value<'_>| {
        let mut out = Vec::new();
        value.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let at = Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).unwrap();
    assert_eq!(wire(Value::Bytes(b"hi")), r#""aGk=""#);
    assert_eq!(wire(Value::DateTime(at)), r#""2026-01-02T03:04:05""#);
    assert_eq!(
        wire(Value::DateTimeOffset(at)),
        r#""2026-01-02T03:04:05+00:00""#
    );
    assert_eq!(wire(Value::Object(&raw(r#"{"a":1}"#))), r#"{"a":1}"#);
    assert_eq!(wire(Value::Text("hi")), r#""\"hi\"""#);
    assert_eq!(wire(Value::Text(r#"{"a":1}"#)), r#""\"{\\\"a\\\":1}\"""#);
    assert_eq!(wire(Value::Json(&raw("7"))), r#""7""#);
    assert_eq!(wire(Value::Json(&raw("true"))), r#""true""#);
    assert_eq!(wire(Value::Json(&raw("null"))), r#""null""#);
    assert_eq!(
        wire(Value::Json(&raw(r#"["x","y"]"#))),
        r#""[\"x\",\"y\"]""#
    );
    // A control character is escaped twice over, so that one decoding leaves JSON.
    assert_eq!(wire(Value::Text("a\n\u{1}")), r#""\"a\\n\\u0001\"""#);
}

#[test]
fn base64_of_a_large_body_has_no_seams() {
    let bytes: Vec<u8> = (0..40_000_u32).map(|i| (i % 251) as u8).collect();
    let mut out = Vec::new();
    Value::Bytes(&bytes).write(&mut out).unwrap();
    assert_eq!(out, format!("\"{}\"", STANDARD.encode(&bytes)).into_bytes());
}

#[test]
fn a_whole_batch_is_byte_for_byte_the_hosts() {
    let batch = [
        event(br#"{"id":"e1"}"#),
        Event::new(b"plain text".to_vec())
            .with_partition_key("k7")
            .with_property("source", "test")
            .stored(42, 8_589_934_704, time("2026-01-02T03:04:05.701Z")),
    ];
    let binding = EventHubBinding {
        name: "events",
        data_type: DataType::String,
        cardinality: Cardinality::Many,
        metadata: Metadata::Current,
    };
    let retry = RetryContext {
        retry_count: 0,
        max_retry_count: 5,
        exception: None,
    };
    let body = event_hub(binding, PARTITION, &batch, &call(Some(retry))).unwrap();
    let expected = concat!(
        r#"{"Data":{"events":"[\"{\\\"id\\\":\\\"e1\\\"}\",\"plain text\"]"},"Metadata":{"#,
        r#""TriggerPartitionContext":{"IsCheckpointingAfterInvocation":true,"FullyQualifiedNamespace":"ns1.servicebus.windows.net","EventHubName":"orders","ConsumerGroup":"$Default","PartitionId":"3"},"#,
        r#""PartitionContext":{"IsCheckpointingAfterInvocation":true,"FullyQualifiedNamespace":"ns1.servicebus.windows.net","EventHubName":"orders","ConsumerGroup":"$Default","PartitionId":"3"},"#,
        r#""PartitionKeyArray":"[null,\"k7\"]","#,
        r#""OffsetArray":"[\"8589934592\",\"8589934704\"]","#,
        r#""OffsetStringArray":"[\"8589934592\",\"8589934704\"]","#,
        r#""SequenceNumberArray":"[41,42]","#,
        r#""EnqueuedTimeUtcArray":"[\"2026-01-02T03:04:05.678\",\"2026-01-02T03:04:05.701\"]","#,
        r#""PropertiesArray":"[{},{\"source\":\"test\"}]","#,
        r#""SystemPropertiesArray":"[{\"SequenceNumber\":41,\"Offset\":8589934592,\"OffsetString\":\"8589934592\",\"PartitionKey\":null,\"EnqueuedTimeUtc\":\"2026-01-02T03:04:05.678\"},{\"SequenceNumber\":42,\"Offset\":8589934704,\"OffsetString\":\"8589934704\",\"PartitionKey\":\"k7\",\"EnqueuedTimeUtc\":\"2026-01-02T03:04:05.701\"}]","#,
        r#""sys":{"MethodName":"IngestOrders","UtcNow":"2026-01-02T03:04:06.1234567Z","RandGuid":"6f0c7a52-2f0b-4a41-9d0e-3b8c53d7a111"},"#,
        r#""RetryContext":{"RetryCount":0,"MaxRetryCount":5,"Exception":null,"Instance":null,"State":{}}}}"#,
    );
    assert_eq!(String::from_utf8(body).unwrap(), expected);
}

#[test]
fn data_types_and_cardinalities_have_their_shapes() {
    use Cardinality::{Many, One};
    let (a, b) = (event(br#"{"a":1}"#), event(br#"{"a":2}"#));
    let batch = [a.clone(), b];
    let one = [a];
    for (cardinality, data_type, expected) in [
        (Many, DataType::String, r#"["{\"a\":1}","{\"a\":2}"]"#),
        (Many, DataType::Binary, r#"["eyJhIjoxfQ==","eyJhIjoyfQ=="]"#),
        (Many, DataType::Absent, r#"[{"a":1},{"a":2}]"#),
        (One, DataType::String, r#""{\"a\":1}""#),
        (One, DataType::Absent, r#""{\"a\":1}""#),
        (One, DataType::Binary, "eyJhIjoxfQ=="),
    ] {
        let batch = if cardinality == Many {
            &batch[..]
        } else {
            &one
        };
        let body = send(data_type, cardinality, Metadata::Current, batch);
        assert_eq!(body["Data"]["events"], json!(expected), "{data_type:?}");
    }
    let empty = send(DataType::Binary, Many, Metadata::Current, &[]);
    assert_eq!(empty["Data"]["events"], json!("[]"));
    let lossy = send(DataType::String, Many, Metadata::Current, &[event(b"\xff")]);
    assert_eq!(lossy["Data"]["events"], json!("[\"\u{fffd}\"]"));
}

#[test]
fn a_batch_that_cannot_be_bound_makes_no_body() {
    let bind = |data_type, cardinality, batch: &[StoredEvent]| {
        let binding = EventHubBinding {
            name: "e",
            data_type,
            cardinality,
            metadata: Metadata::Current,
        };
        event_hub(binding, PARTITION, batch, &call(None)).unwrap_err()
    };
    let batch = [event(b"{}"), event(b"text")];
    assert!(matches!(
        bind(DataType::Absent, Cardinality::Many, &batch),
        WireError::NotJson { index: 1, .. }
    ));
    assert!(matches!(
        bind(DataType::Binary, Cardinality::One, &batch),
        WireError::NotOne(2)
    ));
}

#[test]
fn metadata_differs_by_age_and_path() {
    let batch = [event(b"{}")];
    let keys = |metadata| {
        let body = send(DataType::Binary, Cardinality::Many, metadata, &batch);
        let object = body["Metadata"].as_object().unwrap().clone();
        object.keys().cloned().collect::<Vec<_>>()
    };
    let old = keys(Metadata::Old);
    assert!(old.contains(&"PartitionContext".into()));
    assert!(!old.contains(&"TriggerPartitionContext".into()));
    assert!(!old.contains(&"OffsetStringArray".into()));
    assert_eq!(
        keys(Metadata::Admin),
        ["Properties", "SystemProperties", "sys"]
    );
    assert!(keys(Metadata::Empty).is_empty());
}

#[test]
fn a_single_events_properties_overwrite_the_hosts() {
    let body = br#"{"Offset":"forged","n":17,"yes":true,"nothing":null,"list":[1],"deep":{"x":1}}"#;
    let body = send(
        DataType::String,
        Cardinality::One,
        Metadata::Current,
        &[event(body)],
    );
    let metadata = &body["Metadata"];
    assert_eq!(metadata["Offset"], json!("\"forged\""));
    assert_eq!(metadata["OffsetString"], json!("\"8589934592\""));
    assert_eq!(metadata["SequenceNumber"], json!("41"));
    assert_eq!(metadata["EnqueuedTimeUtc"], json!("2026-01-02T03:04:05"));
    assert_eq!(metadata["Properties"], json!({}));
    assert_eq!(metadata["n"], json!("\"17\""));
    assert_eq!(metadata["yes"], json!("\"True\""));
    assert_eq!(metadata["deep"], json!({"x": 1}));
    for absent in ["PartitionKey", "nothing", "list"] {
        assert_eq!(metadata.get(absent), None);
    }
}

#[test]
fn a_queue_message_is_byte_for_byte_the_hosts() {
    let message = Message {
        id: Uuid::nil(),
        receipt: super::super::queue::Receipt::from(Uuid::nil().to_string()),
        body: br#"{"orderId":17}"#.to_vec(),
        dequeue_count: 1,
        inserted: time("2026-01-02T03:04:05.9Z"),
        expires: time("2026-01-09T03:04:05Z"),
        next_visible: time("2026-01-02T03:14:05Z"),
    };
    let body = queue("msg", DataType::Absent, &message, &call(None)).unwrap();
    let nil = Uuid::nil();
    let expected = [
        r#"{"Data":{"msg":"\"{\\\"orderId\\\":17}\""},"Metadata":{"DequeueCount":"1","#,
        r#""ExpirationTime":"2026-01-09T03:04:05+00:00","#,
        &format!(r#""Id":"\"{nil}\"","InsertionTime":"2026-01-02T03:04:05+00:00","#),
        r#""NextVisibleTime":"2026-01-02T03:14:05+00:00","#,
        &format!(r#""PopReceipt":"\"{nil}\"","orderId":"\"17\"","#),
        r#""sys":{"MethodName":"IngestOrders","UtcNow":"2026-01-02T03:04:06.1234567Z","RandGuid":"6f0c7a52-2f0b-4a41-9d0e-3b8c53d7a111"}}}"#,
    ]
    .concat();
    assert_eq!(String::from_utf8(body).unwrap(), expected);
}

#[test]
fn a_failed_attempt_is_told_to_the_next() {
    let retry = RetryContext {
        retry_count: 2,
        max_retry_count: -1,
        exception: Some("503".into()),
    };
    let body = timer("timer", &call(Some(retry))).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let retry = &body["Metadata"]["RetryContext"];
    assert_eq!(
        (&retry["RetryCount"], &retry["MaxRetryCount"]),
        (&json!(2), &json!(-1))
    );
    assert_eq!(retry["Exception"]["Message"], json!("503"));
    assert_eq!(body["Data"]["timer"]["IsPastDue"], json!(false));
}

#[test]
fn dates_have_no_zeros_at_their_end() {
    assert_eq!(iso(time("2026-01-02T03:04:05Z")), "2026-01-02T03:04:05");
    assert_eq!(
        iso(time("2026-01-02T03:04:05.010Z")),
        "2026-01-02T03:04:05.01"
    );
    assert_eq!(
        iso(time("2026-01-02T03:04:50.123456789Z")),
        "2026-01-02T03:04:50.1234567"
    );
}
