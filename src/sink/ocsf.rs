//! OCSF Detection Finding (class 2004): ocsf/ocsf-schema `events/findings/detection_finding.json`,
//! `events/findings/finding.json`, `objects/finding_info.json`, `objects/evidences.json`.
//!
//! Only attributes that version 1.5.0 has are sent.

use serde_json::{Map, Value, json};

use super::summary::headline;
use crate::alert::{Alert, AlertSignIn};
use crate::sign_in::Timestamp;
use crate::verdict::Severity;

const VERSION: &str = "1.5.0";
const CLASS: i64 = 2004;

/// The finding of an alert.
pub(super) fn finding(alert: &Alert) -> Value {
    let (activity, activity_name) = if alert.update {
        (2, "Update")
    } else {
        (1, "Create")
    };
    let (severity_id, severity) = severity(alert.severity);
    let messages: Vec<&str> = alert
        .reasons
        .iter()
        .map(|reason| reason.message.as_str())
        .collect();
    let mut finding = object([
        ("activity_id", json!(activity)),
        ("activity_name", json!(activity_name)),
        ("category_uid", json!(2)),
        ("category_name", json!("Findings")),
        ("class_uid", json!(CLASS)),
        ("class_name", json!("Detection Finding")),
        ("type_uid", json!(CLASS * 100 + activity)),
        (
            "type_name",
            json!(format!("Detection Finding: {activity_name}")),
        ),
        ("severity_id", json!(severity_id)),
        ("severity", json!(severity)),
        ("status_id", json!(1)),
        ("status", json!("New")),
        ("is_alert", json!(true)),
        ("time", json!(millis(alert.raised))),
        ("start_time", json!(millis(alert.first_seen))),
        ("end_time", json!(millis(alert.last_seen))),
        ("count", json!(alert.count)),
        ("message", json!(headline(alert))),
        ("metadata", metadata(alert)),
        ("finding_info", finding_info(alert, &messages.join("\n"))),
        ("resources", json!([resource(alert)])),
    ]);
    if let Some(sign_in) = &alert.sign_in {
        finding.insert("evidences".into(), json!([evidence(alert, sign_in)]));
    }
    let observables = observables(alert);
    if !observables.is_empty() {
        finding.insert("observables".into(), Value::Array(observables));
    }
    if !alert.next_steps.is_empty() {
        let steps: Vec<String> = alert
            .next_steps
            .iter()
            .map(|step| format!("{}:\n{}", step.title, step.text))
            .collect();
        let mut remediation = object([("desc", json!(steps.join("\n\n")))]);
        if let Some(runbook) = &alert.app.runbook {
            remediation.insert("references".into(), json!([runbook]));
        }
        finding.insert("remediation".into(), Value::Object(remediation));
    }
    finding.insert(
        "unmapped".into(),
        json!({
            "fingerprint": alert.fingerprint,
            "reasons": alert.reasons,
            "evidence_omitted": alert.evidence_omitted,
            "app": alert.app,
        }),
    );
    Value::Object(finding)
}

fn metadata(alert: &Alert) -> Value {
    let mut metadata = object([
        ("version", json!(VERSION)),
        (
            "product",
            json!({
                "name": "spwatch",
                "vendor_name": "spwatch",
                "version": crate::build::VERSION,
            }),
        ),
        ("uid", json!(alert.id)),
        ("event_code", json!(alert.rule)),
        ("log_name", json!("ServicePrincipalSignInLogs")),
        ("log_provider", json!("Microsoft Entra ID")),
        ("logged_time", json!(millis(alert.raised))),
    ]);
    add(&mut metadata, "tenant_uid", alert.tenant_id.as_deref());
    Value::Object(metadata)
}

fn finding_info(alert: &Alert, description: &str) -> Value {
    let mut info = object([
        ("uid", json!(alert.id)),
        ("title", json!(alert.title)),
        ("desc", json!(description)),
        ("types", json!(codes(alert))),
        // 1 = Rule.
        (
            "analytic",
            json!({"type_id": 1, "type": "Rule", "name": alert.rule, "uid": alert.rule}),
        ),
        ("created_time", json!(millis(alert.raised))),
        ("first_seen_time", json!(millis(alert.first_seen))),
        ("last_seen_time", json!(millis(alert.last_seen))),
        ("related_events_count", json!(alert.count)),
        ("data_sources", json!(["Microsoft Entra ID sign-in logs"])),
    ]);
    let related: Vec<Value> = alert
        .evidence
        .iter()
        .map(|id| json!({"uid": id, "type": "sign-in"}))
        .collect();
    if !related.is_empty() {
        info.insert("related_events".into(), Value::Array(related));
    }
    let attacks: Vec<Value> = alert.techniques.iter().map(|id| attack(id)).collect();
    if !attacks.is_empty() {
        info.insert("attacks".into(), Value::Array(attacks));
    }
    if let Some(link) = alert.links.first() {
        info.insert("src_url".into(), json!(link.url));
    }
    Value::Object(info)
}

fn codes(alert: &Alert) -> Vec<&str> {
    alert
        .reasons
        .iter()
        .map(|reason| reason.code.as_ref())
        .collect()
}

/// A technique, and the sub-technique where the id names one (`T1078.004`).
fn attack(id: &str) -> Value {
    match id.split_once('.') {
        Some((technique, _)) => {
            json!({"technique": {"uid": technique}, "sub_technique": {"uid": id}})
        }
        None => json!({"technique": {"uid": id}}),
    }
}

fn evidence(alert: &Alert, sign_in: &AlertSignIn) -> Value {
    let mut user = Map::new();
    add(&mut user, "name", alert.app.name.as_deref());
    add(&mut user, "uid", alert.app.service_principal_id.as_deref());
    add(&mut user, "uid_alt", alert.app.app_id.as_deref());
    add(
        &mut user,
        "credential_uid",
        sign_in.credential_key_id.as_deref(),
    );
    // 3 = System: no person.
    user.insert("type_id".into(), json!(3));
    let mut evidence = object([
        ("uid", json!(sign_in.id)),
        ("actor", json!({ "user": user })),
        ("data", json!(sign_in)),
    ]);
    if let Some(ip) = &sign_in.ip {
        let mut endpoint = object([("ip", json!(ip))]);
        let mut location = Map::new();
        add(&mut location, "country", sign_in.country.as_deref());
        add(&mut location, "region", sign_in.state.as_deref());
        add(&mut location, "city", sign_in.city.as_deref());
        if !location.is_empty() {
            endpoint.insert("location".into(), Value::Object(location));
        }
        evidence.insert("src_endpoint".into(), Value::Object(endpoint));
    }
    if let Some(resource) = &sign_in.resource {
        evidence.insert("dst_endpoint".into(), json!({"svc_name": resource}));
    }
    Value::Object(evidence)
}

/// What the finding is about: the application, or spwatch itself.
fn resource(alert: &Alert) -> Value {
    let app = &alert.app;
    let mut resource = object([("type", json!("Entra ID application"))]);
    add(&mut resource, "uid", app.app_id.as_deref());
    add(
        &mut resource,
        "uid_alt",
        app.service_principal_id.as_deref(),
    );
    add(&mut resource, "name", app.name.as_deref());
    if let Some(owner) = &app.owner {
        resource.insert("owner".into(), json!({"name": owner}));
    }
    let labels: Vec<String> = app
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    if !labels.is_empty() {
        resource.insert("labels".into(), json!(labels));
    }
    if resource.len() == 1 {
        return json!({"type": "Service", "name": "spwatch"});
    }
    Value::Object(resource)
}

/// Type ids: ocsf/ocsf-schema `dictionary.json` (2 IP address, 4 user name, 10 resource UID).
fn observables(alert: &Alert) -> Vec<Value> {
    let sign_in = alert.sign_in.as_ref();
    let found = [
        (
            "evidences[].src_endpoint.ip",
            2,
            "IP Address",
            sign_in.and_then(|sign_in| sign_in.ip.as_deref()),
        ),
        (
            "evidences[].actor.user.name",
            4,
            "User Name",
            sign_in.and(alert.app.name.as_deref()),
        ),
        (
            "resources[].uid",
            10,
            "Resource UID",
            alert.app.app_id.as_deref(),
        ),
    ];
    found
        .into_iter()
        .filter_map(|(name, type_id, kind, value)| {
            Some(json!({"name": name, "type_id": type_id, "type": kind, "value": value?}))
        })
        .collect()
}

fn severity(severity: Severity) -> (i64, &'static str) {
    match severity {
        Severity::Info => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Critical => (5, "Critical"),
    }
}

fn millis(time: Timestamp) -> i64 {
    time.utc().timestamp_millis()
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

fn add(object: &mut Map<String, Value>, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        object.insert(key.to_owned(), json!(value));
    }
}
