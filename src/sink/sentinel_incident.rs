//! Incidents of Microsoft Sentinel, made through Azure Resource Manager.
//!
//! Resources and properties: Azure/bicep-types-az
//! `generated/securityinsights/microsoft.securityinsights/2025-09-01/types.md`. Description at most
//! 5,000 characters, no entities: MicrosoftDocs/azure-docs
//! `articles/sentinel/create-incident-manually.md`.
//!
//! The alert's id is the incident's name, so that a retry writes the same incident again. A later
//! word about it is a comment: to write the incident again would take back what an analyst has done.

use serde_json::json;
use uuid::Uuid;

use super::destination::{SentinelIncident, segment};
use super::sentinel::severity;
use super::summary::{cut, facts, headline};
use super::{Method, Request, Secret};
use crate::alert::Alert;

const VERSION: &str = "2025-09-01";
const TITLE: usize = 500;
const DESCRIPTION: usize = 5000;

/// The incident of an alert, or the comment of an update.
pub(super) fn request(incident: &SentinelIncident, alert: &Alert, token: &Secret) -> Request {
    let workspace: Vec<String> = incident.workspace.split('/').map(segment).collect();
    let base = format!(
        "{}/{}/providers/Microsoft.SecurityInsights/incidents/{}",
        incident.url.reveal().trim().trim_end_matches('/'),
        workspace.join("/").trim_matches('/'),
        alert.id
    );
    let text = cut(&description(alert), DESCRIPTION);
    let (url, body) = if alert.update {
        let comment = Uuid::new_v5(&alert.id, format!("update {}", alert.count).as_bytes());
        (
            format!("{base}/comments/{comment}?api-version={VERSION}"),
            json!({"properties": {"message": text}}),
        )
    } else {
        (
            format!("{base}?api-version={VERSION}"),
            json!({"properties": {
                "title": cut(&alert.title, TITLE),
                "description": text,
                "severity": severity(alert.severity),
                "status": "New",
                "firstActivityTimeUtc": alert.first_seen,
                "lastActivityTimeUtc": alert.last_seen,
                "labels": [{"labelName": "spwatch"}, {"labelName": alert.rule}],
            }}),
        )
    };
    Request::json(Method::Put, Secret::new(url), &body).with_bearer(token)
}

/// Plain text: what happened, what is known, what to do, most important first.
fn description(alert: &Alert) -> String {
    let mut lines = vec![headline(alert), String::new()];
    let reasons = alert.reasons.iter();
    lines.extend(reasons.map(|reason| format!("{}: {}", reason.code, cut(&reason.message, 500))));
    lines.push(String::new());
    lines.extend(
        facts(alert)
            .iter()
            .map(|(what, value)| format!("{what}: {}", cut(value, 200))),
    );
    for link in &alert.links {
        lines.push(format!("{}: {}", link.title, link.url));
    }
    for step in &alert.next_steps {
        lines.extend([String::new(), format!("{}:", step.title), step.text.clone()]);
    }
    // The description is shown as HTML in places: what would be a tag stands apart from its bracket.
    lines.join("\n").replace('<', "‹").replace('>', "›")
}
