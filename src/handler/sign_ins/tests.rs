//! What becomes of a batch.

use serde_json::{Value, json};

use super::*;
use crate::policy::{Source, compile};

fn judged(policy: &str, event: &Value) -> (Outputs, Judged) {
    let source = Source {
        name: "policy.toml".to_owned(),
        text: policy.to_owned(),
    };
    let policy = compile(&[source], None, &[]).policy.unwrap();
    let events = json!([event.to_string()]).to_string();
    let body = json!({ "Data": { "events": events }, "Metadata": {} }).to_string();
    let now = Timestamp::parse("2026-11-24T12:00:00Z").unwrap();
    let pace = Pace {
        go_on: &|| true,
        tools: &Tools::default(),
        threads: 2,
    };
    let mut judged = judge_batch(&policy, body.into_bytes(), now, &pace);
    match &mut judged.answer {
        Answer::Done { outputs, .. } => (std::mem::take(outputs), judged),
        other => panic!("{other:?}"),
    }
}

#[test]
fn rejects_of_one_event_are_written_in_proportion() {
    let written = |count: usize| {
        let event = Value::Array(vec![json!({}); count]);
        let (outputs, judged) = judged("version = 1", &event);
        assert_eq!(judged.summary.counts.rejected, count as u64);
        let text = outputs.rejected.unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        (lines, event.to_string())
    };
    let (few, _) = written(MAX_REJECTS_OF_EVENT);
    assert_eq!(few.len(), MAX_REJECTS_OF_EVENT);
    assert_eq!(few[99]["source"]["record"], 100);
    let (many, event) = written(MAX_REJECTS_OF_EVENT + 1);
    assert_eq!(many.len(), 1);
    assert_eq!(many[0]["body"], event);
    assert!(many[0]["error"].as_str().unwrap().contains("101 records"));
}

#[test]
fn an_entry_notifies_its_own_sinks_whatever_its_name_looks_like() {
    let policy = r#"
        version = 1
        defaults.notify = ["soc"]
        sinks.soc = { type = "webhook", url = "env:SOC" }
        sinks.owner = { type = "webhook", url = "env:OWNER" }
        [[app]]
        name = "tab\there"
        app_id = "00000000-1111-2222-3333-444444444444"
        notify = ["owner"]
        allow.places = ["CH"]
    "#;
    let event = json!({
        "category": "ServicePrincipalSignInLogs",
        "time": "2026-11-24T08:00:00Z",
        "properties": {
            "id": "x",
            "appId": "00000000-1111-2222-3333-444444444444",
            "location": { "countryOrRegion": "RO" },
        },
    });
    let (_, judged) = judged(policy, &event);
    let sinks: Vec<String> = judged.due.into_iter().flat_map(|due| due.sinks).collect();
    assert_eq!(sinks, ["owner"]);
}
