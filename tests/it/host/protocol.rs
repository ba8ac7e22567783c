//! Bodies that no host sends, and events that no log holds: an answer at once, and nothing lost.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use spwatch::devhost::wire::Metadata;
use spwatch::devhost::{Cardinality, DataType, Framing, Request};

use super::rig::*;

const SHAPE: (DataType, Cardinality, Metadata) =
    (DataType::Binary, Cardinality::Many, Metadata::Current);

#[tokio::test]
async fn the_probe_is_answered_and_an_unknown_function_is_not_found() {
    let rig = start(&policy(SOC)).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let root = format!("http://{}/", rig.host.address());
    let response = http.get(&root).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(body["name"], "spwatch");
    for name in ["Nothing", "signins", "SignIns/more", "Deliver/"] {
        let exchange = rig.post(Request::new(name, "{}")).await;
        assert_eq!(exchange.status, 404, "{name}");
        assert!(exchange.judged.is_err(), "{name}");
    }
    // A method that the host does not use.
    let response = http.get(format!("{root}SignIns")).send().await.unwrap();
    assert_eq!(response.status(), 405);
}

#[tokio::test]
async fn a_body_that_is_no_invocation_is_refused_at_once() {
    let rig = start(&policy(SOC)).await;
    let good = rig
        .host
        .event_body(
            "SignIns",
            [envelope(&[record("1", PAYROLL, AWAY, 1)])],
            SHAPE.0,
            SHAPE.1,
            SHAPE.2,
        )
        .unwrap();
    let bodies: [(&str, Vec<u8>); 11] = [
        ("empty", Vec::new()),
        ("blank", b" \n".to_vec()),
        ("null", b"null".to_vec()),
        ("array", b"[]".to_vec()),
        ("object", b"{}".to_vec()),
        ("number", b"7".to_vec()),
        ("truncated", good[..good.len() / 2].to_vec()),
        ("brackets", b"[".repeat(20_000)),
        ("objects", br#"{"Data":"#.repeat(20_000)),
        (
            "invalid UTF-8",
            b"{\"Data\":{\"events\":\"\xff\xfe\"}}".to_vec(),
        ),
        ("NUL", vec![0; 1000]),
    ];
    for function in ["SignIns", "Deliver", "Poisoned"] {
        for (name, body) in &bodies {
            for framing in [Framing::Chunked, Framing::ContentLength] {
                let request = Request::new(function, body.clone()).framed(framing);
                let exchange = rig.post(request).await;
                let status = exchange.status;
                assert!((400..500).contains(&status), "{function} {name}: {status}");
                assert!(
                    serde_json::from_slice::<Value>(&exchange.body)
                        .unwrap()
                        .is_object(),
                    "{function} {name}"
                );
            }
        }
    }
    // The process is the one that it was, and well.
    assert_eq!(rig.processes().len(), 1);
    let exchange = rig.post(Request::new("SignIns", good)).await;
    assert_eq!(messages(&exchange.judged.unwrap()).len(), 1);
}

#[tokio::test]
async fn an_empty_batch_is_a_success_without_outputs() {
    let rig = start(&policy(SOC)).await;
    let none: [Vec<u8>; 0] = [];
    for data_type in [DataType::Binary, DataType::String, DataType::Absent] {
        let shape = (data_type, Cardinality::Many, Metadata::Current);
        let exchange = rig.invoke(none.to_vec(), shape, Framing::Chunked).await;
        assert_eq!(exchange.status, 200);
        let body: Value = serde_json::from_slice(&exchange.body).unwrap();
        assert_eq!(body["Outputs"], json!({}), "{body}");
        assert!(exchange.judged.unwrap().outputs.is_empty());
    }
    for data in ["null", "\"null\"", "\"\"", "[]"] {
        let body = format!(r#"{{"Data":{{"events":{data}}},"Metadata":{{}}}}"#);
        let exchange = rig.post(Request::new("SignIns", body)).await;
        assert_eq!(exchange.status, 200, "{data}");
        let answer = exchange.judged.unwrap();
        assert!(items(&answer, "alerts").is_empty(), "{data}");
    }
}

/// An element of a batch as it stands in the array, and what is kept of it.
struct Garbage {
    name: &'static str,
    element: String,
    kept: Vec<u8>,
}

fn garbage() -> Vec<Garbage> {
    let text = |name, text: &str| Garbage {
        name,
        element: Value::from(text).to_string(),
        kept: text.as_bytes().to_vec(),
    };
    let bytes = |name, bytes: &[u8]| Garbage {
        name,
        element: Value::from(STANDARD.encode(bytes)).to_string(),
        kept: bytes.to_vec(),
    };
    let bare = |name, json: &str| Garbage {
        name,
        element: json.to_owned(),
        kept: json.as_bytes().to_vec(),
    };
    vec![
        text("invalid Base64", "%%% this is not Base64 %%%"),
        text("Base64 cut off", "eyJyZWNvcmRzIjpb="),
        bytes("Base64 of words", b"just some words"),
        bytes("Base64 of bytes", &[0x80, 0x81, 0xfe, 0x00, 0x99]),
        bytes("invalid UTF-8 in a record", b"{\"category\":\"\xff\xfe\"}"),
        bytes("NUL bytes", &[0; 64]),
        bare("a number", "7"),
        bare("null", "null"),
        bare("true", "true"),
        bare("half a surrogate pair", r#""\ud800""#),
        text("NUL", "\0"),
        text("NUL in a record", "{\"category\":\"a\0b\"}"),
        text("half a record", r#"{"category":"ServicePrincipalSignInLo"#),
        // The first bracket opens the array that the event is; the record in it is the rest.
        Garbage {
            kept: b"[".repeat(19_999),
            ..text("brackets", &"[".repeat(20_000))
        },
        bytes("objects", &br#"{"a":"#.repeat(20_000)),
        text("1 MB", &"spwatch! ".repeat(116_508)),
    ]
}

#[tokio::test]
async fn garbage_is_kept_whole_and_its_neighbours_are_judged() {
    let text = policy(SOC);
    let rig = start(&text).await;
    let garbage = garbage();
    let mut elements = Vec::new();
    let mut good = Vec::new();
    for (number, garbage) in garbage.iter().enumerate() {
        elements.push(garbage.element.clone());
        let ip = format!("198.51.100.{number}");
        let event = envelope(&[record(&format!("good {number}"), PAYROLL, &ip, 60)]);
        elements.push(Value::from(event.clone()).to_string());
        good.push(event);
    }
    let expected = due(&text, &good);
    assert_eq!(expected.len(), garbage.len());
    // As the host writes it, and as a real array.
    let array = format!("[{}]", elements.join(","));
    for data in [Value::from(array.clone()).to_string(), array] {
        let body = format!(r#"{{"Data":{{"events":{data}}},"Metadata":{{}}}}"#);
        let exchange = rig.post(Request::new("SignIns", body)).await;
        let answer = exchange.judged.unwrap();
        let messages = messages(&answer);
        let ids = messages.iter().map(|message| &message["alert"]["id"]);
        assert_eq!(
            ids.map(|id| id.as_str().unwrap().to_owned())
                .collect::<std::collections::BTreeSet<_>>(),
            expected
        );
        let rejected = items(&answer, "rejected");
        assert_eq!(rejected.len(), 1, "one blob");
        assert_kept(&garbage, &rejected[0]);
    }
}

/// Every piece is there whole, under the number of its event, with a reason; and nothing else.
fn assert_kept(garbage: &[Garbage], ndjson: &str) {
    let lines: Vec<Value> = ndjson
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for (number, garbage) in garbage.iter().enumerate() {
        let mut kept = Vec::new();
        for line in &lines {
            if line["source"]["event"] != 2 * number + 1 {
                continue;
            }
            assert!(!line["error"].as_str().unwrap().is_empty(), "{line}");
            match line["body"].as_str() {
                Some(text) => kept.extend_from_slice(text.as_bytes()),
                None => kept.extend(
                    STANDARD
                        .decode(line["body_base64"].as_str().unwrap())
                        .unwrap(),
                ),
            }
        }
        assert_eq!(
            String::from_utf8_lossy(&kept[..kept.len().min(200)]),
            String::from_utf8_lossy(&garbage.kept[..garbage.kept.len().min(200)]),
            "{}",
            garbage.name
        );
        assert_eq!(kept.len(), garbage.kept.len(), "{}", garbage.name);
        assert!(kept == garbage.kept, "{}", garbage.name);
    }
    let odd = |line: &&Value| line["source"]["event"].as_u64().unwrap() % 2 == 1;
    assert_eq!(lines.iter().filter(odd).count(), lines.len());
}

#[tokio::test]
async fn what_cannot_be_judged_becomes_a_blob_and_holds_nobody_up() {
    let text = policy(SOC);
    let rig = start(&text).await;
    let good = envelope(&[record("1", PAYROLL, AWAY, 1)]);
    rig.host
        .send(
            0,
            [b"\xff\xfe\x00garbage".to_vec(), good.clone().into_bytes()],
        )
        .unwrap();
    rig.drain().await;
    assert_eq!(rig.received_ids(), due(&text, &[good]));
    let blobs = rig.blobs("spwatch-rejected");
    assert_eq!(blobs.len(), 1);
    let line: Value = serde_json::from_str(&blobs[0]).unwrap();
    assert_eq!(line["source"]["sequence_number"], 0);
    assert_eq!(line["source"]["partition"], "0");
    assert_eq!(rig.cloud.hub().checkpoint("$Default", 0), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_invocations_at_once_are_all_answered() {
    let text = policy(SOC);
    let rig = start(&text).await;
    let calls = (0..16).map(|number| {
        let (rig, text) = (&rig, &text);
        async move {
            let ip = format!("198.51.100.{number}");
            let event = envelope(&[record(&number.to_string(), PAYROLL, &ip, number)]);
            let expected = due(text, std::slice::from_ref(&event));
            let framing = Framing::Alternate;
            let exchange = rig.invoke(vec![event.into_bytes()], SHAPE, framing).await;
            let messages = messages(&exchange.judged.unwrap());
            assert_eq!(messages.len(), 1);
            assert!(expected.contains(messages[0]["alert"]["id"].as_str().unwrap()));
        }
    });
    let mut calls: Vec<_> = calls.map(Box::pin).collect();
    // All are sent before the first is looked at: each poll goes once round.
    std::future::poll_fn(|context| {
        calls.retain_mut(|call| call.as_mut().poll(context).is_pending());
        match calls.is_empty() {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
}
