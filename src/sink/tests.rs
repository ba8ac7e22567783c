//! What each destination gets, as snapshots; limits and escaping.

mod others;

use std::borrow::Cow;

use serde_json::{Value, json};

use super::destination::{Sentinel, SentinelIncident, Splunk};
use super::token::{Identity, Resource, TokenSource};
use super::*;
use crate::alert::{Alert, MAX_ALERT_BYTES, NextStep};
use crate::verdict::Severity;

const TOKEN: &str = "T0PSECRETTOKEN";

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn token_source(resource: Resource) -> TokenSource {
    TokenSource {
        resource,
        identity: Identity::Managed {
            endpoint: secret("http://127.0.0.1/"),
            header: secret(TOKEN),
            client_id: None,
        },
    }
}

fn webhook(format: SinkFormat) -> Destination {
    Destination::Webhook {
        url: secret("https://hook.example/T0PSECRETTOKEN"),
        secret: Some(secret(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw whsec_aG9zdC10ZXN0cy1zaWduaW5nLWtleS0wMTIzNDU2Nzg=",
        )),
        format,
    }
}

fn destinations() -> Vec<(&'static str, Destination)> {
    let url = secret("https://hook.example/T0PSECRETTOKEN");
    vec![
        ("webhook", webhook(SinkFormat::Spwatch)),
        ("cloudevents", webhook(SinkFormat::Cloudevents)),
        ("ocsf", webhook(SinkFormat::Ocsf)),
        ("teams", Destination::Teams { url: url.clone() }),
        ("slack", Destination::Slack { url }),
        (
            "pagerduty",
            Destination::Pagerduty {
                url: secret(destination::PAGERDUTY),
                routing_key: secret("R0UTINGKEYR0UTINGKEYR0UTINGKEY00"),
            },
        ),
        (
            "splunk",
            Destination::Splunk(Splunk {
                url: secret("https://hec.example:8088"),
                token: secret(TOKEN),
                index: Some("security".into()),
                source: "spwatch".into(),
                sourcetype: "spwatch:alert".into(),
            }),
        ),
        (
            "sentinel",
            Destination::Sentinel(Sentinel {
                endpoint: secret("https://dcr.example-1.ingest.monitor.azure.com/"),
                rule_id: "dcr-00000000000000000000000000000000".into(),
                stream: destination::STREAM.into(),
                token: token_source(Resource::Monitor),
            }),
        ),
        (
            "sentinel-incident",
            Destination::SentinelIncident(SentinelIncident {
                url: secret(destination::RESOURCE_MANAGER),
                workspace: "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/soc (west)/providers/Microsoft.OperationalInsights/workspaces/soc".into(),
                token: token_source(Resource::ResourceManager),
            }),
        ),
    ]
}

/// An alert about a sign-in, with everything in it.
fn sign_in() -> Value {
    json!({
        "schema": "spwatch/alert/v1",
        "id": "5b0b3c76-3c0a-5d5e-8c8f-6a3c3f0f8f11",
        "fingerprint": "0f".repeat(32),
        "rule": "outside-policy",
        "severity": "high",
        "title": "MTPAPI signed in from 203.0.113.9 (Moskva, RU): address not allowed, place not allowed",
        "time": "2026-11-24T10:00:00.1234567Z",
        "raised": "2026-11-24T12:00:00.0000000Z",
        "tenant_id": "11111111-2222-3333-4444-555555555555",
        "app": {
            "name": "MTPAPI",
            "app_id": "00000000-1111-2222-3333-444444444444",
            "service_principal_id": "99999999-1111-2222-3333-444444444444",
            "owner": "jeffrey@ecorp.example",
            "purpose": "Reads incidents",
            "permissions": ["Incident.Read.All"],
            "secret": "https://ecorp-kv.vault.azure.net/secrets/mtpapi",
            "runbook": "https://wiki.ecorp.example/mtpapi",
            "labels": {"tier": "1"},
            "entry": {"file": "policy.toml", "line": 5},
        },
        "sign_in": {
            "id": "id-0",
            "time": "2026-11-24T10:00:00.1234567Z",
            "time_generated": null,
            "outcome": "success",
            "result_code": "0",
            "ip": "203.0.113.9",
            "caller_ip": null,
            "country": "RU",
            "state": null,
            "city": "Moskva",
            "resource": "Microsoft Graph",
            "credential_key_id": "aaaaaaaa-1111-2222-3333-444444444444",
            "credential_type": "clientSecret",
            "correlation_id": null,
        },
        "reasons": [
            {"code": "ip-not-allowed", "message": "203.0.113.9 is in none of the allowed ranges; the nearest is 203.0.113.0/29"},
            {"code": "place-not-allowed", "message": "RU/Moskva is none of the allowed places: CH"},
        ],
        "entities": [
            {"Type": "account", "Name": "MTPAPI", "AadTenantId": "11111111-2222-3333-4444-555555555555", "AadUserId": "99999999-1111-2222-3333-444444444444"},
            {"Type": "ip", "Address": "203.0.113.9", "Location": {"CountryCode": "RU", "City": "Moskva"}},
            {"Type": "cloud-application", "Name": "MTPAPI", "AppId": "00000000-1111-2222-3333-444444444444"},
        ],
        "techniques": ["T1078.004", "T1552"],
        "count": 3,
        "first_seen": "2026-11-24T10:00:00.1234567Z",
        "last_seen": "2026-11-24T10:30:00.0000000Z",
        "evidence": ["id-0", "id-1", "id-2"],
        "evidence_omitted": 0,
        "links": [{"title": "Enterprise application", "url": "https://entra.microsoft.com/#view/Microsoft_AAD_IAM/ManagedAppMenuBlade/~/Overview/objectId/99999999-1111-2222-3333-444444444444/appId/00000000-1111-2222-3333-444444444444"}],
        "next_steps": [
            {"title": "Disable the service principal", "text": "az ad sp update --id 99999999-1111-2222-3333-444444444444 --set accountEnabled=false"},
            {"title": "If it was fine, allow it for a week", "text": "[[app.exception]]\nallow.ips = [\"203.0.113.9\"]"},
        ],
        "update": false,
    })
}

/// A later word about it.
fn update() -> Value {
    let mut alert = sign_in();
    alert["update"] = json!(true);
    alert["count"] = json!(9);
    alert
}

/// An alert about spwatch itself.
fn about_itself() -> Value {
    let none = json!({
        "name": null, "app_id": null, "service_principal_id": null, "owner": null, "purpose": null,
        "permissions": [], "secret": null, "runbook": null, "labels": {}, "entry": null,
    });
    let mut alert = sign_in();
    alert["rule"] = json!("policy-refused");
    alert["severity"] = json!("medium");
    alert["title"] =
        json!("the new policy is refused: 2 errors; the last accepted one stays in force");
    alert["tenant_id"] = Value::Null;
    alert["app"] = none;
    alert["sign_in"] = Value::Null;
    alert["reasons"] =
        json!([{"code": "policy-refused", "message": "policy.toml:4:10: invalid-guid"}]);
    for key in ["entities", "techniques", "evidence", "links", "next_steps"] {
        alert[key] = json!([]);
    }
    alert["count"] = json!(1);
    alert["last_seen"] = alert["first_seen"].clone();
    alert
}

/// Every text is as long as it may be and made of what costs most.
fn largest(letter: &str) -> Alert {
    let long = |bytes: usize| letter.repeat(bytes / letter.len());
    let mut alert: Alert = serde_json::from_value(sign_in()).unwrap();
    alert.severity = Severity::Critical;
    alert.title = long(700);
    alert.tenant_id = Some(long(512));
    let app = &mut alert.app;
    let texts = [
        &mut app.name,
        &mut app.app_id,
        &mut app.service_principal_id,
        &mut app.owner,
        &mut app.purpose,
        &mut app.secret,
        &mut app.runbook,
    ];
    for text in texts {
        *text = Some(long(500));
    }
    app.labels = (0..32)
        .map(|number| (format!("{number}{}", long(20)), long(20)))
        .collect();
    let sign_in = alert.sign_in.as_mut().unwrap();
    let texts = [
        &mut sign_in.result_code,
        &mut sign_in.country,
        &mut sign_in.state,
        &mut sign_in.city,
        &mut sign_in.resource,
        &mut sign_in.credential_key_id,
        &mut sign_in.credential_type,
    ];
    for text in texts {
        *text = Some(long(400));
    }
    for _ in 0..30 {
        let code = Cow::Borrowed("ip-not-allowed");
        let message = long(250);
        alert
            .reasons
            .push(crate::alert::AlertReason { code, message });
    }
    for _ in 0..60 {
        let (title, text) = (long(100), long(500));
        alert.next_steps.push(NextStep { title, text });
    }
    alert.evidence = vec![long(100); 50];
    let size = |alert: &Alert| serde_json::to_vec(alert).unwrap().len();
    while size(&alert) > MAX_ALERT_BYTES {
        if alert.next_steps.pop().is_none() {
            alert.reasons.pop().unwrap();
        }
    }
    assert!(size(&alert) > MAX_ALERT_BYTES - 2000, "{letter}");
    alert
}

fn now() -> Timestamp {
    Timestamp::parse("2026-11-24T12:00:01Z").unwrap()
}

fn made(destination: &Destination, alert: &Value) -> Request {
    let json = alert.to_string();
    let id = alert["id"].as_str().unwrap();
    let id = match alert["update"].as_bool() {
        Some(true) => format!("{id}.u1"),
        _ => id.to_owned(),
    };
    let queued = QueuedAlert {
        id: &id,
        json: &json,
    };
    request(destination, queued, Some(&secret(TOKEN)), now()).unwrap()
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

fn shown(request: &Request) -> Value {
    let headers: serde_json::Map<String, Value> = request
        .headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value.reveal())))
        .collect();
    json!({
        "method": request.method.as_str(),
        "url": request.url.reveal(),
        "headers": headers,
        "body": body(request),
    })
}

#[test]
fn golden() {
    for (kind, alert) in [
        ("sign-in", sign_in()),
        ("update", update()),
        ("itself", about_itself()),
    ] {
        for (name, destination) in destinations() {
            // Its body is the alert, as the first kind shows.
            if name == "webhook" && kind != "sign-in" {
                continue;
            }
            let request = made(&destination, &alert);
            insta::assert_json_snapshot!(format!("{name}-{kind}"), shown(&request));
        }
    }
}

#[test]
fn the_largest_alert_keeps_to_every_limit() {
    for letter in ["a", "<", "\"", "€", "🔒", "*"] {
        let alert = serde_json::to_value(largest(letter)).unwrap();
        for (name, destination) in destinations() {
            let request = made(&destination, &alert);
            let body = body(&request);
            let limit = match name {
                "teams" => teams::MAX_BYTES,
                "pagerduty" => 512 * 1024,
                "sentinel" => sentinel::MAX_BYTES,
                _ => 1_000_000,
            };
            assert!(
                request.body.len() <= limit,
                "{name}: {}",
                request.body.len()
            );
            match name {
                "slack" => assert_slack_limits(&body),
                "pagerduty" => {
                    assert!(units(&body["payload"]["summary"]) <= 1024);
                    assert!(units(&body["dedup_key"]) <= 255);
                }
                "sentinel-incident" => {
                    assert!(units(&body["properties"]["description"]) <= 5000);
                }
                // 32 KB a field: MicrosoftDocs/azure-monitor-docs, limits of the ingestion API.
                "sentinel" => {
                    for (column, value) in body[0].as_object().unwrap() {
                        assert!(value.to_string().len() <= 32 * 1024, "{column}");
                    }
                }
                _ => {}
            }
        }
    }
}

fn units(value: &Value) -> usize {
    value.as_str().unwrap().encode_utf16().count()
}

fn assert_slack_limits(body: &Value) {
    let blocks = body["blocks"].as_array().unwrap();
    assert!(blocks.len() <= 50, "{}", blocks.len());
    for block in blocks {
        let limit = if block["type"] == "header" { 150 } else { 3000 };
        if let Some(text) = block.get("text") {
            assert!(units(&text["text"]) <= limit);
            assert!(units(&text["text"]) >= 1);
        }
        let fields = block.get("fields").and_then(Value::as_array);
        for field in fields.into_iter().flatten() {
            assert!((1..=2000).contains(&units(&field["text"])));
        }
        assert!(fields.is_none_or(|fields| fields.len() <= 10));
    }
}

/// A name that tries to be markup everywhere.
const HOSTILE: &str = "<!channel> <@U1> @here [click](https://evil.example) **b** *b* `c` ``` <at>SOC</at> {{DATE(2017-02-14T06:08:00Z)}} &lt; <https://evil.example|bank>";

fn hostile() -> Value {
    let mut alert = sign_in();
    alert["title"] = json!(HOSTILE);
    for key in ["name", "owner", "purpose"] {
        alert["app"][key] = json!(HOSTILE);
    }
    // No address: only a whole one becomes a link.
    alert["app"]["runbook"] = json!(format!("https://wiki.example/|x> {HOSTILE}"));
    alert["sign_in"]["resource"] = json!(HOSTILE);
    alert["reasons"][0]["message"] = json!(HOSTILE);
    alert["next_steps"][0]["text"] = json!(HOSTILE);
    alert["next_steps"][0]["title"] = json!(HOSTILE);
    alert
}

fn every_object<'v>(value: &'v Value, visit: &mut dyn FnMut(&'v serde_json::Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            visit(object);
            object.values().for_each(|value| every_object(value, visit));
        }
        Value::Array(array) => array.iter().for_each(|value| every_object(value, visit)),
        _ => {}
    }
}

#[test]
fn slack_takes_no_text_for_markup() {
    let slack = Destination::Slack {
        url: secret("https://hook.example/"),
    };
    let body = body(&made(&slack, &hostile()));
    let mut links = 0;
    every_object(&body, &mut |object| {
        let Some(text) = object.get("text").and_then(Value::as_str) else {
            return;
        };
        // What is left of angle brackets is our own links.
        for part in text.split('<').skip(1) {
            assert!(part.starts_with("https://entra.microsoft.com/"), "{text}");
            links += 1;
        }
        if object.get("type") == Some(&json!("mrkdwn")) {
            assert_eq!(object["verbatim"], true, "{text}");
            let fences = text.matches('`').count();
            assert!(matches!(fences, 0 | 6), "{text}");
        }
    });
    assert_eq!(links, 1);
}

#[test]
fn teams_takes_no_text_for_markup() {
    let teams = Destination::Teams {
        url: secret("https://hook.example/"),
    };
    let body = body(&made(&teams, &hostile()));
    every_object(&body, &mut |object| {
        let kind = object.get("type").and_then(Value::as_str);
        assert!(!matches!(kind, Some("TextBlock" | "FactSet")), "{object:?}");
        if let Some(text) = object.get("text").and_then(Value::as_str) {
            assert_eq!(kind, Some("TextRun"), "{text}");
            assert!(!text.contains("{{"), "{text}");
        }
        if let Some(url) = object.get("url").and_then(Value::as_str) {
            assert!(url.starts_with("https://entra.microsoft.com/"), "{url}");
        }
        assert!(!object.contains_key("entities"));
    });
}

#[test]
fn an_incident_holds_no_tags() {
    let (_, destination) = destinations().pop().unwrap();
    let body = body(&made(&destination, &hostile()));
    let description = body["properties"]["description"].as_str().unwrap();
    assert!(!description.contains(['<', '>']), "{description}");
}

#[test]
fn nothing_that_is_secret_is_shown() {
    for (name, destination) in destinations() {
        let request = made(&destination, &sign_in());
        for text in [format!("{request:?}"), format!("{destination:?}")] {
            for secret in [TOKEN, "R0UTING", "MfKQ9r8", "hook.example", "aG9zd"] {
                assert!(!text.contains(secret), "{name}: {text}");
            }
        }
    }
}

#[test]
fn what_is_no_alert_is_said_to_be_none() {
    let queued = QueuedAlert {
        id: "a",
        json: "{\"id\":\"a\"}",
    };
    for (name, destination) in destinations() {
        let made = request(&destination, queued, Some(&secret("t")), now());
        match name {
            "webhook" => assert!(made.is_ok()),
            _ => assert!(!made.unwrap_err().is_mendable(), "{name}"),
        }
    }
    let incident = destinations().pop().unwrap().1;
    let json = sign_in().to_string();
    let queued = QueuedAlert {
        id: "a",
        json: &json,
    };
    let error = request(&incident, queued, None, now()).unwrap_err();
    assert!(matches!(error, SinkError::NoToken) && error.is_mendable());
}

/// `infra/sentinel/` declares exactly the columns that a row has.
#[test]
fn the_stream_declares_the_columns_of_a_row() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/infra/sentinel/");
    let read = |name: &str| {
        let text = std::fs::read_to_string(format!("{folder}{name}")).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let columns = |value: &Value| -> std::collections::BTreeMap<String, String> {
        let columns = value.as_array().unwrap().iter();
        columns
            .map(|column| {
                let text = |key: &str| column[key].as_str().unwrap().to_ascii_lowercase();
                (column["name"].as_str().unwrap().to_owned(), text("type"))
            })
            .collect()
    };
    let stream =
        columns(&read("stream.json")["streamDeclarations"][destination::STREAM]["columns"]);
    let table = columns(&read("table.json")["properties"]["schema"]["columns"]);
    assert_eq!(stream, table);
    let alert: Alert = serde_json::from_value(sign_in()).unwrap();
    let row = sentinel::row(&alert, now());
    let row = row.as_object().unwrap();
    assert!(row.keys().eq(stream.keys()));
    for (name, value) in row {
        let fits = match stream[name].as_str() {
            "datetime" | "string" => value.is_string() || value.is_null(),
            "boolean" => value.is_boolean(),
            "long" => value.is_u64(),
            "dynamic" => value.is_array() || value.is_object(),
            other => panic!("{other}"),
        };
        assert!(fits, "{name}");
    }
}
