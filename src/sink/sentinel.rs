//! Logs Ingestion API of Azure Monitor: one row of a custom table for each alert, which an analytics
//! rule turns into incidents (`infra/sentinel/`).
//!
//! MicrosoftDocs/azure-monitor-docs `articles/azure-monitor/logs/logs-ingestion-api-overview.md`:
//! path, `api-version=2023-01-01`, an array of rows, at most 1 MB in all.

use serde_json::{Value, json};

use super::destination::{Sentinel, segment};
use super::{Method, Request, Secret};
use crate::alert::Alert;
use crate::sign_in::Timestamp;
use crate::verdict::Severity;

/// What one call may carry.
#[cfg(test)]
pub(super) const MAX_BYTES: usize = 1_000_000;

/// The row of an alert.
pub(super) fn request(
    sentinel: &Sentinel,
    alert: &Alert,
    token: &Secret,
    now: Timestamp,
) -> Request {
    let url = format!(
        "{}/dataCollectionRules/{}/streams/{}?api-version=2023-01-01",
        sentinel.endpoint.reveal().trim().trim_end_matches('/'),
        segment(&sentinel.rule_id),
        segment(&sentinel.stream)
    );
    Request::json(Method::Post, Secret::new(url), &json!([row(alert, now)])).with_bearer(token)
}

/// Columns as `infra/sentinel/stream.json` declares them. `TimeGenerated` is when the row
/// is sent: the rule looks back over the last day, and an alert may have waited for longer.
pub(super) fn row(alert: &Alert, now: Timestamp) -> Value {
    let app = &alert.app;
    let sign_in = alert.sign_in.as_ref();
    let entry = app.entry.as_ref();
    json!({
        "TimeGenerated": now,
        "RaisedTime": alert.raised,
        "AlertId": alert.id,
        "Fingerprint": alert.fingerprint,
        "RuleName": alert.rule,
        "Severity": severity(alert.severity),
        "AlertSeverity": alert.severity.as_str(),
        "AlertTitle": alert.title,
        "IsUpdate": alert.update,
        "EventTime": alert.time,
        "FirstSeen": alert.first_seen,
        "LastSeen": alert.last_seen,
        "SignInCount": alert.count,
        "AadTenantId": alert.tenant_id,
        "AppName": app.name,
        "AppId": app.app_id,
        "ServicePrincipalId": app.service_principal_id,
        "AppOwner": app.owner,
        "AppPurpose": app.purpose,
        "Runbook": app.runbook,
        "AppLabels": app.labels,
        "PolicyEntry": entry.map(|entry| format!("{}:{}", entry.file, entry.line)),
        "SignInId": sign_in.map(|sign_in| &sign_in.id),
        "Outcome": sign_in.map(|sign_in| &sign_in.outcome),
        "ResultCode": sign_in.and_then(|sign_in| sign_in.result_code.as_ref()),
        "IPAddress": sign_in.and_then(|sign_in| sign_in.ip.as_ref()),
        "Country": sign_in.and_then(|sign_in| sign_in.country.as_ref()),
        "State": sign_in.and_then(|sign_in| sign_in.state.as_ref()),
        "City": sign_in.and_then(|sign_in| sign_in.city.as_ref()),
        "ResourceName": sign_in.and_then(|sign_in| sign_in.resource.as_ref()),
        "CredentialType": sign_in.and_then(|sign_in| sign_in.credential_type.as_ref()),
        "CredentialKeyId": sign_in.and_then(|sign_in| sign_in.credential_key_id.as_ref()),
        "CorrelationId": sign_in.and_then(|sign_in| sign_in.correlation_id.as_ref()),
        "Reasons": alert.reasons,
        "Entities": alert.entities,
        "Techniques": alert.techniques,
        "Evidence": alert.evidence,
        "EvidenceOmitted": alert.evidence_omitted,
        "Links": alert.links,
        "NextSteps": alert.next_steps,
    })
}

/// Sentinel's words: there is nothing above `High`.
pub(super) fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "High",
        Severity::Medium => "Medium",
        Severity::Low => "Low",
        Severity::Info => "Informational",
    }
}
