//! The shapes of what the host posts.

use super::*;

fn listed(batch: &Batch) -> Vec<String> {
    let event = |place| String::from_utf8(batch.event(place).1.to_vec()).unwrap();
    (0..batch.len()).map(event).collect()
}

fn texts(data: &str) -> Vec<String> {
    let body = format!(r#"{{"Data":{{"events":{data}}},"Metadata":{{}}}}"#);
    listed(&batch(body.into_bytes()).unwrap())
}

#[test]
fn reads_what_an_http_request_asks_for() {
    let request = serde_json::json!({
        "Data": { "req": {
            "Url": "https://acme.azurewebsites.net/api/Status?code=k&format=html",
            "Method": "GET",
            "Query": { "code": "k", "Format": "html" },
            "Headers": { "accept": ["text/html,application/xhtml+xml;q=0.9", "*/*;q=0.8"] },
            "Params": {}, "Identities": [],
        } },
        "Metadata": {},
    });
    let read = http_request(request.to_string().as_bytes());
    assert_eq!(read.format.as_deref(), Some("html"));
    assert_eq!(read.accept, ["text/html", "application/xhtml+xml", "*/*"]);
    for nothing in [
        "",
        "{}",
        r#"{"Data":{"req":"x"}}"#,
        r#"{"Data":{"req":{"Query":[],"Headers":{"Accept":7}}}}"#,
    ] {
        assert_eq!(http_request(nothing.as_bytes()), HttpRequest::default());
    }
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
    let none = batch(br#"{"Data":{},"Metadata":{}}"#.to_vec()).unwrap();
    assert_eq!(none.len(), 0);
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

/// A body as the host writes it.
fn host_body(events: &[String]) -> String {
    let array = serde_json::to_string(events).unwrap();
    let metadata = r#"{"PartitionContext":{"PartitionId":"1"},"SequenceNumberArray":"[1]"}"#;
    format!(
        r#"{{"Data":{{"events":{}}},"Metadata":{metadata}}}"#,
        serde_json::to_string(&array).unwrap()
    )
}

#[test]
fn the_hosts_own_form_is_read_the_quick_way() {
    let text = r#"{"a":"b\"c","d":[1,"\u00e9\\","é"]}"#.to_owned();
    for events in [
        vec![text.clone()],
        vec![text; 40],
        vec!["eyJhIjoxfQ==".to_owned(); 3],
    ] {
        let batch = batch(host_body(&events).into_bytes()).unwrap();
        assert!(batch.quick);
        assert_eq!(listed(&batch), events);
        assert_eq!(batch.metadata.sequence_numbers, [Some(1)]);
    }
}

proptest::proptest! {
    #[test]
    fn the_quick_way_reads_as_the_general_one(
        events in proptest::collection::vec(
            proptest::prop_oneof![
                "[{\\[][ -~]{0,80}",
                "[{\\[]([\"\\\\/a\u{8}\u{c}\n\r\té€😀]|\\\\u00[0-9a-f]{2}|[a-z]{0,40}){0,30}",
                "[A-Za-z0-9+/]{1,40}=?",
                "[ -~]{0,20}",
            ],
            0..5,
        ),
        change in proptest::option::of((0_usize..400, proptest::prelude::any::<char>())),
    ) {
        let mut body = host_body(&events);
        if let Some((at, letter)) = change
            && let Some((start, old)) = body.char_indices().nth(at)
        {
            body.replace_range(start..start + old.len_utf8(), letter.encode_utf8(&mut [0; 4]));
        }
        let general = general(body.clone().into_bytes());
        if let Some(quick) = quick::read(body.as_bytes())
            && serde_json::from_slice::<&RawValue>(quick.metadata).is_ok()
        {
            let batch = batch(body.into_bytes()).unwrap();
            // That a string is Base64 shows only when it is decoded, and so does what it is else.
            let encoded = |place| match batch.event(place) {
                (Form::Base64, bytes) => base64_simd::STANDARD.check(bytes).is_ok(),
                _ => true,
            };
            if (0..batch.len()).all(encoded) {
                let general = general.unwrap();
                proptest::prop_assert_eq!(listed(&batch), listed(&general));
                proptest::prop_assert_eq!(batch.metadata, general.metadata);
            }
        } else if change.is_none() && events.iter().all(|event| event.starts_with(['{', '['])) && !events.is_empty() {
            // Only an escape that has no meaning for both levels may send it the long way.
            let surrogate = events.iter().any(|event| event.contains('😀'));
            proptest::prop_assert!(surrogate, "not read the quick way");
        }
    }
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
    let metadata = batch(many.to_vec()).unwrap().metadata;
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
    let metadata = batch(one.to_vec()).unwrap().metadata;
    assert_eq!(metadata.sequence_numbers, [Some(42)]);
    assert_eq!(metadata.enqueued.len(), 1);
    let odd = br#"{"Data":{},"Metadata":{"SequenceNumberArray":{"a":1},"PartitionContext":7}}"#;
    assert_eq!(batch(odd.to_vec()).unwrap().metadata.partition, None);
}

#[test]
fn reads_queue_messages() {
    let twice =
        br#"{"Data":{"alert":"\"{\\\"sink\\\":\\\"soc\\\"}\""},"Metadata":{"DequeueCount":"2"}}"#;
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
