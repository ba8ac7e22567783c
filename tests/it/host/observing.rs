//! What people and probes see of a handler at work: the log, `Status` as a document and as a page.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use spwatch::devhost::Request;
use spwatch::handler::{App, PolicySource, PolicyStore, Shared, router};
use spwatch::sender::Sender;
use spwatch::state::State;
use spwatch::stream::Limits;
use tower::ServiceExt as _;

use super::rig::*;

/// The log's lines of an event.
fn lines(rig: &Rig, event: &str) -> Vec<Value> {
    let lines = rig.lines(None).into_iter();
    lines
        .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
        .filter(|line| line["event"] == event)
        .collect()
}

fn number(line: &Value, key: &str) -> i64 {
    line[key]
        .as_i64()
        .unwrap_or_else(|| panic!("{key} of {line}"))
}

/// What `Status` answers to a request: the code, the headers and the body.
async fn status(rig: &Rig, request: Value) -> (u64, Value, String) {
    let body = json!({ "Data": { "req": request }, "Metadata": {} }).to_string();
    let exchange = rig.post(Request::new("Status", body)).await;
    let res = items(&exchange.judged.unwrap(), "res");
    let res: Value = serde_json::from_str(&res[0]).unwrap();
    let body = res["body"].as_str().unwrap().to_owned();
    (
        res["statusCode"].as_u64().unwrap(),
        res["headers"].clone(),
        body,
    )
}

#[tokio::test]
async fn a_batch_and_a_delivery_are_logged_with_what_an_operator_asks_for() {
    let text = policy(SOC);
    let rig = start(&text).await;
    let event = envelope(&[
        record("1", PAYROLL, HOME, 1),
        record("2", PAYROLL, AWAY, 2),
        record("3", STRANGER, AWAY, 3),
    ]);
    rig.judge(&[event, "{\"broken".to_owned()]).await;

    let batches = lines(&rig, "batch-judged");
    assert!(!batches.is_empty(), "{}", rig.log());
    let sum = |key: &str| -> i64 { batches.iter().map(|line| number(line, key)).sum() };
    assert_eq!(sum("batch.events"), 2);
    assert_eq!(sum("batch.sign_ins"), 3);
    assert_eq!(sum("batch.allowed"), 1);
    assert_eq!(sum("batch.violation"), 1);
    assert_eq!(sum("batch.unknown_app"), 1);
    assert_eq!(sum("batch.rejected"), 1);
    assert_eq!(sum("batch.alerts"), 2);
    for line in &batches {
        assert_eq!(line["invocation.id"].as_str().unwrap().len(), 36);
        assert_eq!(line["batch.partition"], "0");
        assert!(number(line, "batch.first") <= number(line, "batch.last"));
        // Put into the hub a moment ago.
        assert!(
            (0..60).contains(&number(line, "batch.hub_lag_seconds")),
            "{line}"
        );
        assert!(number(line, "elapsed_ms") >= 0);
    }
    let of_sign_ins = batches.iter().find(|line| line["batch.sign_ins"] == 3);
    // The records have a fixed date.
    assert!(number(of_sign_ins.unwrap(), "batch.event_lag_seconds") > 60);

    let delivered = lines(&rig, "alert-delivered");
    let ids: Vec<&str> = delivered
        .iter()
        .map(|line| line["delivery.alert"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 2, "{}", rig.log());
    for id in rig.received_ids() {
        assert!(ids.contains(&id.as_str()), "{id}");
    }
    assert!(delivered.iter().all(|line| line["delivery.sink"] == "soc"));
    assert!(delivered.iter().all(|line| line["delivery.attempt"] == 1));
}

#[tokio::test]
async fn status_shows_partitions_counts_and_the_policys_age() {
    let text = policy(SOC);
    let mut setup = Setup::new(Some(&text)).await;
    setup.partitions = 2;
    let rig = setup.start().await;
    let (code, _, body) = status(&rig, json!({})).await;
    let young: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((code, &young["partitions"]), (200, &json!([])), "{body}");

    let event = |number: u32| envelope(&[record(&number.to_string(), PAYROLL, AWAY, number)]);
    rig.host.send(0, [event(1)]).unwrap();
    rig.host.send(1, [event(2), event(3)]).unwrap();
    rig.drain().await;
    rig.keep_house().await;
    let (code, headers, body) = status(&rig, json!({ "Headers": { "Accept": ["*/*"] } })).await;
    assert_eq!(code, 200, "{body}");
    assert_eq!(headers["Content-Type"], "application/json; charset=utf-8");
    let status_now: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status_now["schema"], "spwatch/status/v1");
    assert_eq!(status_now["version"], env!("CARGO_PKG_VERSION"));
    let partitions = status_now["partitions"].as_array().unwrap();
    assert_eq!(partitions.len(), 2, "{body}");
    for (place, partition) in partitions.iter().enumerate() {
        assert_eq!(partition["id"], place.to_string());
        assert!(partition["last_sequence"].is_i64() && partition["events"].is_u64());
        assert!((0..60).contains(&number(partition, "hub_lag_seconds")));
        assert!(number(partition, "event_lag_seconds") > 60);
    }
    let counts = &status_now["counts"]["last_24_hours"];
    assert_eq!(
        (&counts["sign_ins"], &counts["violation"]),
        (&json!(3), &json!(3))
    );
    assert!(number(&status_now["policy"], "age_seconds") >= 0);
    let categories = status_now["categories"].as_array().unwrap();
    assert_eq!(categories[0]["name"], "ServicePrincipalSignInLogs");

    let browser = json!({ "Headers": { "accept": ["text/html,application/xhtml+xml"] } });
    let (code, headers, page) = status(&rig, browser).await;
    assert_eq!(code, 200);
    assert_eq!(headers["Content-Type"], "text/html; charset=utf-8");
    assert!(
        headers["Content-Security-Policy"]
            .as_str()
            .unwrap()
            .starts_with("default-src 'none'")
    );
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("All is well"));
    assert!(!page.contains("<script"));

    // A new process knows what the one before told.
    let rig = rig.replace_host().await;
    let (_, _, body) = status(&rig, json!({ "Query": { "format": "json" } })).await;
    let after: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(after["partitions"], status_now["partitions"]);
    assert_eq!(after["policy"]["since"], status_now["policy"]["since"]);
}

/// A handler in this process, on that state.
fn handler(folder: &std::path::Path, state: &State) -> axum::Router {
    let source = PolicySource::File(folder.join("policy.toml"));
    let limits = Limits {
        silent_after_seconds: None,
        retention_seconds: 86_400,
    };
    // Nobody listens there.
    let lookup = |name: &str| match name {
        "SOC_WEBHOOK_URL" => Some("http://127.0.0.1:9/soc".to_owned()),
        "SOC_WEBHOOK_SECRET" => Some(format!("whsec_{}", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")),
        _ => None,
    };
    router(App::new(
        PolicyStore::new(source, state.clone()),
        Sender::new().unwrap(),
        Shared::new(state.clone(), limits),
        Arc::new(lookup),
        Duration::from_secs(60),
    ))
}

async fn post(handler: &axum::Router, function: &str, data: Value) -> (u16, Value) {
    let body = json!({ "Data": data, "Metadata": {} }).to_string();
    let request = axum::http::Request::post(format!("/{function}"));
    let request = request.body(axum::body::Body::from(body)).unwrap();
    let response = handler.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

/// On Azure's Flex Consumption plan each function has instances of its own.
#[tokio::test]
async fn a_process_that_delivers_nothing_knows_that_a_sink_is_down() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policy.toml"), policy(SOC)).unwrap();
    let state = State::memory();
    let (delivers, shows) = (
        handler(folder.path(), &state),
        handler(folder.path(), &state),
    );
    let problems = async |shows: &axum::Router| {
        let (_, answer) = post(shows, "Status", json!({ "req": {} })).await;
        let res = &answer["Outputs"]["res"];
        let body: Value = serde_json::from_str(res["body"].as_str().unwrap()).unwrap();
        (
            res["statusCode"].as_u64().unwrap(),
            body["problems"].to_string(),
        )
    };
    assert_eq!(problems(&shows).await, (200, "[]".to_owned()));
    let id = "bbdb562b-4c51-5593-8747-d8bbd6c279ce";
    let message = json!({ "sink": "soc", "alert": { "id": id, "count": 1, "update": false } });
    for _ in 0..5 {
        let (status, _) = post(
            &delivers,
            "Deliver",
            json!({ "alert": message.to_string() }),
        )
        .await;
        assert_eq!(status, 503);
    }
    let (status, said) = problems(&shows).await;
    assert_eq!(status, 503);
    assert!(said.contains("sink soc: down since"), "{said}");
}
