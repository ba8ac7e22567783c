//! PagerDuty Events API v2: PagerDuty/developer-docs `docs/events-API-v2/01-Overview.md` and
//! `02-Trigger-Events.md` (summary 1,024 characters, event 512 KB, `dedup_key` 255).
//!
//! The alert's id is the `dedup_key`: an update and a retry join the alert that is open under it.

use serde_json::{Map, Value, json};

use super::summary::{cut, facts, headline, web_address};
use super::{Method, Request, Secret};
use crate::alert::Alert;
use crate::verdict::Severity;

const SUMMARY: usize = 1024;

/// The event of an alert. An alert is at most 40 KB: the event's limit is never near.
pub(super) fn request(url: &Secret, routing_key: &Secret, alert: &Alert) -> Request {
    let app = &alert.app;
    let source = [&app.name, &app.app_id, &app.service_principal_id]
        .into_iter()
        .find_map(|name| name.clone())
        .unwrap_or_else(|| "spwatch".to_owned());
    let sign_in = alert.sign_in.as_ref();
    let mut payload = json!({
        "summary": cut(&headline(alert), SUMMARY),
        "source": source,
        "severity": severity(alert.severity),
        "timestamp": alert.time,
        "class": alert.rule,
        "custom_details": details(alert),
    });
    let optional = [
        ("group", alert.tenant_id.as_deref()),
        (
            "component",
            sign_in.and_then(|sign_in| sign_in.resource.as_deref()),
        ),
    ];
    if let Some(payload) = payload.as_object_mut() {
        for (key, value) in optional {
            if let Some(value) = value {
                payload.insert(key.to_owned(), json!(value));
            }
        }
    }
    let mut links: Vec<Value> = alert
        .links
        .iter()
        .map(|link| json!({"href": link.url, "text": link.title}))
        .collect();
    if let Some(runbook) = app.runbook.as_deref().and_then(web_address) {
        links.push(json!({"href": runbook, "text": "Runbook"}));
    }
    let event = json!({
        "routing_key": routing_key.reveal().trim(),
        "event_action": "trigger",
        "dedup_key": alert.id,
        "client": "spwatch",
        "payload": payload,
        "links": links,
    });
    Request::json(Method::Post, url.clone(), &event)
}

fn details(alert: &Alert) -> Value {
    let mut details: Map<String, Value> = facts(alert)
        .into_iter()
        .map(|(what, value)| (what.to_owned(), Value::String(value)))
        .collect();
    let reasons: Vec<String> = alert
        .reasons
        .iter()
        .map(|reason| format!("{}: {}", reason.code, reason.message))
        .collect();
    details.insert("Reasons".into(), json!(reasons));
    if !alert.next_steps.is_empty() {
        details.insert("Next steps".into(), json!(alert.next_steps));
    }
    details.insert("Evidence".into(), json!(alert.evidence));
    Value::Object(details)
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "info",
    }
}
