use serde_json::json;

use super::*;

fn binding(name: &str, kind: OutputKind) -> OutputBinding {
    OutputBinding {
        name: name.into(),
        kind,
        data_type: DataType::Absent,
    }
}

fn bindings() -> Vec<OutputBinding> {
    vec![
        binding("alerts", OutputKind::Queue("q".into())),
        binding("rejected", OutputKind::Blob("c/{rand-guid}".into())),
    ]
}

fn response(
    status: u16,
    content_type: Option<&'static str>,
    body: &'static [u8],
) -> Response<'static> {
    Response {
        status,
        content_type,
        content_length: Some(body.len() as u64),
        body,
    }
}

fn answered(body: &serde_json::Value, bindings: &[OutputBinding]) -> Result<Answer, Failure> {
    let body = body.to_string();
    let response = Response {
        status: 200,
        content_type: Some("application/json"),
        content_length: Some(body.len() as u64),
        body: body.as_bytes(),
    };
    judge(response, bindings)
}

/// What the queue and the blob get for that value.
fn written(value: serde_json::Value) -> (Vec<String>, Vec<u8>) {
    let body = json!({"Outputs": {"alerts": value, "rejected": value}});
    let answer = answered(&body, &bindings()).unwrap();
    let texts = answer.outputs[0].items.iter();
    (
        texts
            .map(|item| String::from_utf8_lossy(item.bytes()).into_owned())
            .collect(),
        answer.outputs[1].items[0].bytes().to_vec(),
    )
}

const JSON: Option<&str> = Some("application/json; charset=utf-8");

#[test]
fn only_2xx_succeeds() {
    for status in [199, 302, 304, 400, 404, 500, 503] {
        assert_eq!(
            judge(response(status, JSON, b"{}"), &[]),
            Err(Failure::Status(status))
        );
    }
    for status in [200, 201, 202, 299] {
        assert_eq!(
            judge(response(status, JSON, b"{}"), &[]),
            Ok(Answer::default())
        );
    }
}

#[test]
fn an_empty_or_null_body_hangs() {
    for (content_type, body) in [
        (None, &b""[..]),
        (JSON, b""),
        (Some("text/plain"), b""),
        (JSON, b"null"),
        (JSON, b" null\n"),
    ] {
        let failure = judge(response(200, content_type, body), &[]).unwrap_err();
        assert!(failure.hangs(), "{content_type:?} {body:?}");
    }
    let mut chunked = response(204, JSON, b"");
    chunked.content_length = None;
    assert_eq!(judge(chunked, &[]), Err(Failure::Hang));
    chunked.content_type = None;
    assert_eq!(judge(chunked, &[]), Err(Failure::ContentType(None)));
}

#[test]
fn content_types_that_the_host_cannot_read_fail() {
    for content_type in ["text/plain", "application/problem+json", "text/html", ""] {
        assert!(matches!(
            judge(response(200, Some(content_type), b"{}"), &[]),
            Err(Failure::ContentType(Some(_)))
        ));
    }
    for content_type in [
        "application/json",
        "text/json",
        "Application/JSON;charset=utf-8",
    ] {
        assert!(judge(response(200, Some(content_type), b"{}"), &[]).is_ok());
    }
}

#[test]
fn a_body_of_another_shape_fails() {
    for body in [
        &b"{"[..],
        b"[]",
        b"\"text\"",
        b"7",
        b"<html>",
        b"\xff{}",
        br#"{"Logs":"one"}"#,
        br#"{"Logs":[1]}"#,
        br#"{"Outputs":[]}"#,
    ] {
        assert!(
            matches!(
                judge(response(200, JSON, body), &[]),
                Err(Failure::Malformed(_))
            ),
            "{body:?}"
        );
    }
    let body = br#"{"Logs":null,"Outputs":null,"ReturnValue":null,"more":1}"#;
    assert_eq!(judge(response(200, JSON, body), &[]), Ok(Answer::default()));
}

#[test]
fn outputs_are_those_declared() {
    let body =
        json!({"outputs": {"alerts": ["x{"], "other": "y{", "rejected": null}, "LOGS": ["l"]});
    let answer = answered(&body, &bindings()).unwrap();
    assert_eq!(answer.logs, ["l"]);
    assert_eq!(answer.outputs.len(), 1);
    assert_eq!(answer.outputs[0].items, [Item::Text("x{".into())]);
    // The name of a binding does heed case.
    let body = json!({"Outputs": {"Alerts": ["x{"]}});
    assert_eq!(answered(&body, &bindings()).unwrap().outputs, []);
}

#[test]
fn a_return_value_goes_to_its_binding_or_overwrites_outputs() {
    let body = json!({"Outputs": {"alerts": "a{"}, "ReturnValue": {"alerts": "b{"}});
    let answer = answered(&body, &bindings()).unwrap();
    assert_eq!(answer.outputs[0].items, [Item::Text("b{".into())]);
    let returned = [binding("$return", OutputKind::Queue("q".into()))];
    let answer = answered(&json!({"ReturnValue": "c{"}), &returned).unwrap();
    assert_eq!(answer.outputs[0].items, [Item::Text("c{".into())]);
    let answer = answered(&json!({"ReturnValue": "failure"}), &bindings()).unwrap();
    assert_eq!(answer, Answer::default());
}

#[test]
fn text_that_happens_to_be_base64_is_decoded() {
    for text in ["test", "done1234", "aGk=", "aG k=", "AAAB"] {
        let answer = answered(&json!({"Outputs": {"alerts": text}}), &bindings()).unwrap();
        assert!(
            matches!(answer.outputs[0].items[..], [Item::Bytes(_)]),
            "{text}"
        );
    }
    for text in ["tests", "done-123", "a===", "{\"a\":1}"] {
        let (_, blob) = written(json!(text));
        assert_eq!(blob, text.as_bytes());
    }
    // Not within an array, and not where the binding is binary.
    assert_eq!(written(json!(["test"])).0, ["test"]);
    let mut binary = bindings();
    binary[0].data_type = DataType::Binary;
    let answer = answered(&json!({"Outputs": {"alerts": "test"}}), &binary).unwrap();
    assert_eq!(answer.outputs[0].items, [Item::Text("test".into())]);
}

#[test]
fn a_queue_gets_one_message_per_element() {
    let indented = "{\n  \"b\": 1,\n  \"a\": []\n}";
    for (value, messages) in [
        (r#"["{\"a\":1}","x"]"#, vec!["{\"a\":1}", "x"]),
        (r#"[{"b":1,"a":[]},7,true]"#, vec![indented, "7", "True"]),
        ("[]", vec![]),
        (r#"{"b":1,"a":[]}"#, vec![indented]),
        ("17", vec!["17"]),
        // Strings that hold JSON are looked into.
        (r#""[\"x\",\"y\"]""#, vec!["x", "y"]),
        (r#""{\"b\":1,\"a\":[]}""#, vec![indented]),
        (r#""{not json}""#, vec!["{not json}"]),
        (r#""plain text""#, vec!["plain text"]),
    ] {
        // Raw, so that the order of keys reaches `judge`.
        let body = format!(r#"{{"Outputs":{{"alerts":{value}}}}}"#);
        let response = Response {
            status: 200,
            content_type: JSON,
            content_length: None,
            body: body.as_bytes(),
        };
        let answer = judge(response, &bindings()).unwrap();
        let texts: Vec<_> = answer.outputs[0].items.iter().map(Item::bytes).collect();
        let expected: Vec<_> = messages.iter().map(|text| text.as_bytes()).collect();
        assert_eq!(texts, expected, "{value}");
    }
}

#[test]
fn a_blob_gets_the_text_as_it_is() {
    assert_eq!(
        written(json!("{\"a\":1}\n{\"b\":2}\n")).1,
        b"{\"a\":1}\n{\"b\":2}\n"
    );
    assert_eq!(written(json!("[1, 2]")).1, b"[1, 2]");
    assert_eq!(written(json!({"a": [1, 2]})).1, b"{\"a\":[1,2]}");
    assert_eq!(written(json!(258)).1, [2, 1, 0, 0]);
    assert_eq!(written(json!(true)).1, [1]);
}
