//! The files of the function app say the same as the handler, the settings and the documents.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use spwatch::handler::{App, PolicySource, PolicyStore, Shared, router};
use spwatch::sender::Sender;
use spwatch::state::State;
use spwatch::stream::Limits;
use tower::ServiceExt as _;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> Value {
    let text = fs::read_to_string(root().join(path)).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every function and its `function.json`.
fn functions() -> Vec<(String, Value)> {
    let mut functions = Vec::new();
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let file = format!("{name}/function.json");
        if root().join(&file).is_file() {
            functions.push((name, read(&file)));
        }
    }
    functions.sort_by(|a, b| a.0.cmp(&b.0));
    functions
}

fn binding<'a>(function: &'a Value, name: &str) -> &'a Value {
    let mut bindings = function["bindings"].as_array().unwrap().iter();
    bindings.find(|binding| binding["name"] == name).unwrap()
}

#[tokio::test]
async fn every_function_has_a_route_and_every_route_a_function() {
    let folder = tempfile::tempdir().unwrap();
    let source = PolicySource::File(folder.path().join("policy.toml"));
    let limits = Limits {
        silent_after_seconds: None,
        retention_seconds: 86_400,
    };
    let app = App::new(
        PolicyStore::new(source, State::memory()),
        Sender::new().unwrap(),
        Shared::new(State::memory(), limits),
        Arc::new(|_| None),
        Duration::from_secs(60),
    );
    let functions = functions();
    for (name, _) in &functions {
        let request = Request::post(format!("/{name}")).body(Body::from("{}"));
        let response = router(app.clone()).oneshot(request.unwrap()).await.unwrap();
        assert_ne!(response.status(), StatusCode::NOT_FOUND, "{name}");
        assert_ne!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{name}");
    }
    let source = fs::read_to_string(root().join("src/handler.rs")).unwrap();
    let routes: BTreeSet<&str> = source
        .split(".route(\"/")
        .skip(1)
        .filter_map(|rest| rest.split_once('"'))
        .filter(|(_, rest)| rest.starts_with(", post("))
        .map(|(name, _)| name)
        .collect();
    let names: BTreeSet<&str> = functions.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(routes, names);
}

#[test]
fn the_functions_are_wired_to_one_another() {
    let functions = functions();
    let function = |name: &str| &functions.iter().find(|(of, _)| of == name).unwrap().1;
    let (sign_ins, deliver, poisoned) = (
        function("SignIns"),
        function("Deliver"),
        function("Poisoned"),
    );
    let events = binding(sign_ins, "events");
    assert_eq!(events["type"], "eventHubTrigger");
    assert_eq!(events["cardinality"], "many");
    assert_eq!(events["dataType"], "binary");
    // Without that a batch that meets trouble would be skipped.
    assert_eq!(sign_ins["retry"]["strategy"], "exponentialBackoff");
    assert_eq!(sign_ins["retry"]["maxRetryCount"], -1);
    let alerts = binding(sign_ins, "alerts");
    assert_eq!(alerts["queueName"], "spwatch-alerts");
    assert_eq!(binding(deliver, "alert")["queueName"], "spwatch-alerts");
    assert_eq!(
        binding(poisoned, "alert")["queueName"],
        "spwatch-alerts-poison"
    );
    assert_eq!(
        binding(sign_ins, "rejected")["path"],
        "spwatch-rejected/{rand-guid}.ndjson"
    );
    for keeper in [deliver, poisoned] {
        assert_eq!(
            binding(keeper, "undelivered")["path"],
            "spwatch-undelivered/{rand-guid}.json"
        );
    }
    let house = function("Housekeeping");
    assert_eq!(binding(house, "alerts")["queueName"], "spwatch-alerts");
    assert_eq!(binding(house, "timer")["schedule"], "0 * * * * *");
    assert_eq!(house["retry"]["strategy"], "fixedDelay");
    let status = function("Status");
    assert_eq!(binding(status, "req")["authLevel"], "function");
    assert_eq!(binding(status, "res")["type"], "http");
    // A queue has no retry policy: its dequeue count is one.
    assert!(deliver["retry"].is_null() && poisoned["retry"].is_null());
}

#[test]
fn the_host_is_set_for_a_day_of_deliveries_and_small_batches() {
    let host = read("host.json");
    assert_eq!(host["version"], "2.0");
    assert_eq!(
        host["extensions"],
        json!({
            "eventHubs": {"maxEventBatchSize": 32, "batchCheckpointFrequency": 1},
            "queues": {
                "messageEncoding": "base64",
                "visibilityTimeout": "00:01:00",
                "maxDequeueCount": 1440,
                "batchSize": 16,
            },
        })
    );
    let handler = &host["customHandler"]["description"];
    assert_eq!(handler["arguments"], json!(["serve"]));
}
