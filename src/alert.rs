//! Findings → alerts: identity, merging, entities, what to do next. Pure.
//!
//! The shape is `spwatch/alert/v1`. An alert's id depends on the sign-in and the policy alone, so
//! the same sign-ins give the same id on every instance, retry and batch border, with no state.

mod fit;
mod identity;
mod next_steps;
pub mod own;

use std::borrow::Cow;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::finding::Finding;
use crate::policy::{App, Policy};
use crate::sign_in::{SignIn, Timestamp};
use crate::verdict::{ReasonCode, Severity};

pub use fit::{MAX_ALERT_BYTES, is_unprintable};
pub use identity::{fingerprint, id};
pub use next_steps::NextStep;

/// What the alert calls its own shape.
pub const SCHEMA: &str = "spwatch/alert/v1";

/// At most this many sign-in ids are listed as evidence.
pub const MAX_EVIDENCE: usize = 50;

/// One alert, as it leaves spwatch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Always `spwatch/alert/v1`.
    pub schema: Cow<'static, str>,
    /// Stable for the same sign-ins: the idempotency key everywhere.
    pub id: Uuid,
    /// What is the same across merge windows: SHA-256, hex.
    pub fingerprint: String,
    /// The rule that raised it.
    pub rule: Cow<'static, str>,
    /// How grave it is.
    pub severity: Severity,
    /// One line: who, from where, why.
    pub title: String,
    /// When the first of the sign-ins happened.
    pub time: Timestamp,
    /// When the alert was raised.
    pub raised: Timestamp,
    /// The Entra tenant.
    pub tenant_id: Option<String>,
    /// The application, as the inventory and the log know it.
    pub app: AlertApp,
    /// The first of the sign-ins; none where the alert is about spwatch itself.
    pub sign_in: Option<AlertSignIn>,
    /// Why, at least one.
    pub reasons: Vec<AlertReason>,
    /// Account, IP and cloud application, named as Microsoft Sentinel names entities.
    pub entities: Vec<Entity>,
    /// MITRE ATT&CK technique ids.
    pub techniques: Vec<Cow<'static, str>>,
    /// How many sign-ins were merged into it.
    pub count: u64,
    /// Time of the first of them.
    pub first_seen: Timestamp,
    /// Time of the last of them.
    pub last_seen: Timestamp,
    /// Their ids, oldest first, at most [`MAX_EVIDENCE`].
    pub evidence: Vec<String>,
    /// How many ids are not listed.
    pub evidence_omitted: u64,
    /// Whether there may be more of them than `count` says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub count_is_minimum: bool,
    /// Where to look.
    pub links: Vec<Link>,
    /// What to do.
    pub next_steps: Vec<NextStep>,
    /// Whether this is a later word about an alert already sent.
    #[serde(default)]
    pub update: bool,
}

/// One reason of an alert: a [`ReasonCode`] of a sign-in, or the rule where the alert is about spwatch itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertReason {
    /// The stable code.
    pub code: Cow<'static, str>,
    /// What was seen and what was expected, in plain words.
    pub message: String,
}

/// The application of an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "the fields are those of the policy's `[[app]]`, under their names there"
)]
pub struct AlertApp {
    pub name: Option<String>,
    pub app_id: Option<String>,
    pub service_principal_id: Option<String>,
    pub owner: Option<String>,
    pub purpose: Option<String>,
    pub permissions: Vec<String>,
    pub secret: Option<String>,
    pub runbook: Option<String>,
    pub labels: std::collections::BTreeMap<String, String>,
    pub entry: Option<EntryPlace>,
}

/// Where an entry stands in the policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EntryPlace {
    /// The policy file.
    pub file: String,
    /// The line of its `[[app]]`.
    pub line: usize,
}

/// The sign-in of an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of `SignIn`, as text")]
pub struct AlertSignIn {
    pub id: String,
    pub time: Timestamp,
    pub time_generated: Option<Timestamp>,
    pub outcome: Cow<'static, str>,
    pub result_code: Option<String>,
    pub ip: Option<String>,
    pub caller_ip: Option<String>,
    pub country: Option<String>,
    pub state: Option<String>,
    pub city: Option<String>,
    pub resource: Option<String>,
    pub credential_key_id: Option<String>,
    pub credential_type: Option<String>,
    pub correlation_id: Option<String>,
}

/// An entity in the sense of Microsoft Sentinel.
///
/// Type and field names: MicrosoftDocs/azure-docs `articles/sentinel/entities-reference.md`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "Type", rename_all_fields = "PascalCase")]
#[expect(missing_docs, reason = "the fields are Sentinel's own")]
pub enum Entity {
    #[serde(rename = "account")]
    Account {
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        aad_tenant_id: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        aad_user_id: Option<String>,
    },
    #[serde(rename = "ip")]
    Ip {
        address: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        location: Option<EntityLocation>,
    },
    #[serde(rename = "cloud-application")]
    CloudApplication {
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        app_id: Option<String>,
    },
}

/// Place of an IP entity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the fields are Sentinel's own")]
pub struct EntityLocation {
    pub country_code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
}

/// A page to look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// What it shows.
    pub title: Cow<'static, str>,
    /// Its address.
    pub url: String,
}

/// An alert, and the entry that it is about.
#[derive(Debug, Clone)]
pub struct Raised<'p> {
    /// The alert.
    pub alert: Alert,
    /// The entry that selects the app.
    pub app: Option<&'p App>,
    /// The sign-ins that were merged into it, oldest first.
    pub sign_ins: Vec<Merged>,
}

/// A sign-in that was merged into an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// Its identity, for counting each once.
    pub key: u128,
    /// When it happened.
    pub time: Timestamp,
    /// Its id, as evidence.
    pub id: String,
}

/// Raises the due alerts of some findings, repeats within a merge window merged into one.
///
/// Findings that are not due are passed over. The alerts come in the order of their first sign-in.
pub fn raise<'p>(policy: &Policy, findings: &[Finding<'p>], now: Timestamp) -> Vec<Raised<'p>> {
    let mut order: Vec<&Finding<'p>> = findings.iter().filter(|finding| finding.due).collect();
    order.sort_by_key(|finding| finding.sign_in.time);
    let mut alerts: Vec<Raised<'p>> = Vec::new();
    let mut places: HashMap<Uuid, usize> = HashMap::new();
    for finding in order {
        let fingerprint = fingerprint(finding);
        let id = id(
            &fingerprint,
            &finding.sign_in,
            policy.defaults.merge_seconds,
        );
        match places.get(&id).and_then(|place| alerts.get_mut(*place)) {
            Some(raised) => {
                raised.alert.add(&finding.sign_in);
                raised.sign_ins.push(Merged::from(&finding.sign_in));
            }
            None => {
                places.insert(id, alerts.len());
                alerts.push(Raised {
                    alert: Alert::new(id, fingerprint, finding, now),
                    app: finding.app,
                    sign_ins: vec![Merged::from(&finding.sign_in)],
                });
            }
        }
    }
    for raised in &mut alerts {
        raised.alert.fit();
    }
    alerts
}

impl From<&SignIn<'_>> for Merged {
    fn from(sign_in: &SignIn<'_>) -> Self {
        Self {
            key: sign_in.key,
            time: sign_in.time,
            id: fit::log_text(&sign_in.id_text()),
        }
    }
}

impl Alert {
    fn new(id: Uuid, fingerprint: String, finding: &Finding<'_>, now: Timestamp) -> Self {
        let sign_in = &finding.sign_in;
        Self {
            schema: Cow::Borrowed(SCHEMA),
            id,
            fingerprint,
            rule: Cow::Borrowed(finding.rule.as_str()),
            severity: finding.severity,
            title: title(finding),
            time: sign_in.time,
            raised: now,
            tenant_id: text_of(sign_in.tenant_id.as_ref()),
            app: AlertApp::new(finding.app, sign_in),
            sign_in: Some(AlertSignIn::new(sign_in)),
            reasons: finding
                .reasons
                .iter()
                .map(|reason| AlertReason {
                    code: Cow::Borrowed(reason.code.as_str()),
                    message: fit::policy_text(&reason.message),
                })
                .collect(),
            entities: entities(sign_in),
            techniques: techniques(finding),
            count: 1,
            first_seen: sign_in.time,
            last_seen: sign_in.time,
            evidence: vec![fit::log_text(&sign_in.id_text())],
            evidence_omitted: 0,
            count_is_minimum: false,
            links: links(sign_in),
            next_steps: next_steps::next_steps(finding),
            update: false,
        }
    }

    /// Cuts it down to [`MAX_ALERT_BYTES`], the least needed parts first.
    pub fn fit(&mut self) {
        fit::fit(self);
    }

    /// Merges a later sign-in of the same id.
    fn add(&mut self, sign_in: &SignIn<'_>) {
        self.count += 1;
        self.last_seen = self.last_seen.max(sign_in.time);
        if self.evidence.len() < MAX_EVIDENCE {
            self.evidence.push(fit::log_text(&sign_in.id_text()));
        } else {
            self.evidence_omitted += 1;
        }
    }
}

impl AlertApp {
    /// No application: the alert is about spwatch itself.
    fn nobody() -> Self {
        Self {
            name: None,
            app_id: None,
            service_principal_id: None,
            owner: None,
            purpose: None,
            permissions: Vec::new(),
            secret: None,
            runbook: None,
            labels: std::collections::BTreeMap::new(),
            entry: None,
        }
    }

    fn new(app: Option<&App>, sign_in: &SignIn<'_>) -> Self {
        let name = match app {
            Some(app) => Some(fit::policy_text(&app.name)),
            None => sign_in.name.as_deref().map(fit::log_text),
        };
        Self {
            name,
            app_id: text_of(sign_in.app_id.as_ref()),
            service_principal_id: text_of(sign_in.service_principal_id.as_ref()),
            owner: app
                .and_then(|app| app.owner.as_deref())
                .map(fit::policy_text),
            purpose: app
                .and_then(|app| app.purpose.as_deref())
                .map(fit::policy_text),
            permissions: app
                .map(|app| {
                    app.permissions
                        .iter()
                        .map(|text| fit::policy_text(text))
                        .collect()
                })
                .unwrap_or_default(),
            secret: app
                .and_then(|app| app.secret.as_deref())
                .map(fit::policy_text),
            runbook: app
                .and_then(|app| app.runbook.as_deref())
                .map(fit::policy_text),
            labels: app.map(|app| fit::labels(&app.labels)).unwrap_or_default(),
            entry: app.map(|app| EntryPlace {
                file: fit::policy_text(&app.file),
                line: app.line,
            }),
        }
    }
}

impl AlertSignIn {
    fn new(sign_in: &SignIn<'_>) -> Self {
        Self {
            id: fit::log_text(&sign_in.id_text()),
            time: sign_in.time,
            time_generated: sign_in.time_generated,
            outcome: Cow::Borrowed(sign_in.outcome.as_str()),
            result_code: sign_in.result_code.as_deref().map(fit::log_text),
            ip: sign_in.ip.map(|ip| ip.to_string()),
            caller_ip: sign_in.caller_ip.map(|ip| ip.to_string()),
            country: sign_in.country.as_deref().map(fit::log_text),
            state: sign_in.state.as_deref().map(fit::log_text),
            city: sign_in.city.as_deref().map(fit::log_text),
            resource: sign_in.resource.as_deref().map(fit::log_text),
            credential_key_id: text_of(sign_in.credential()),
            credential_type: sign_in
                .credential_type
                .as_ref()
                .map(|kind| fit::log_text(kind.as_str())),
            correlation_id: sign_in.correlation_id.as_deref().map(fit::log_text),
        }
    }
}

fn text_of(id: Option<&crate::sign_in::Id<'_>>) -> Option<String> {
    id.map(|id| fit::log_text(&id.to_string()))
}

/// Who, for a title: the entry's name, else the name in the log, else an id.
fn who(finding: &Finding<'_>) -> String {
    let sign_in = &finding.sign_in;
    if let Some(app) = finding.app {
        return fit::short_text(&app.name);
    }
    let id = sign_in
        .app_id
        .as_ref()
        .or(sign_in.service_principal_id.as_ref());
    match (&sign_in.name, id) {
        (Some(name), _) => format!("unlisted app {}", fit::short_text(name)),
        (None, Some(id)) => format!("unlisted app {}", fit::short_text(&id.to_string())),
        (None, None) => "unlisted app".to_owned(),
    }
}

/// From where, for a title: address and place as far as they are known.
fn from_where(sign_in: &SignIn<'_>) -> String {
    let place: Vec<String> = [&sign_in.city, &sign_in.state, &sign_in.country]
        .into_iter()
        .flatten()
        .map(|part| fit::short_text(part))
        .collect();
    match (sign_in.ip, place.is_empty()) {
        (Some(ip), true) => format!("from {ip}"),
        (Some(ip), false) => format!("from {ip} ({})", place.join(", ")),
        (None, false) => format!("from {}", place.join(", ")),
        (None, true) => "from an unknown address".to_owned(),
    }
}

fn title(finding: &Finding<'_>) -> String {
    let sign_in = &finding.sign_in;
    let did = match sign_in.outcome {
        crate::sign_in::Outcome::Success => "signed in",
        crate::sign_in::Outcome::Failure => "failed to sign in",
        crate::sign_in::Outcome::BlockedByCa => {
            "was blocked by Conditional Access, with the right credential,"
        }
    };
    let why: Vec<&str> = finding
        .reasons
        .iter()
        .map(|reason| short_reason(reason.code))
        .collect();
    format!(
        "{} {did} {}: {}",
        who(finding),
        from_where(sign_in),
        why.join(", ")
    )
}

/// A reason in a few words, for titles.
fn short_reason(code: ReasonCode) -> &'static str {
    match code {
        ReasonCode::UnknownApp => "no policy entry selects it",
        ReasonCode::IpDenied => "address denied",
        ReasonCode::IpUnknown => "address unknown",
        ReasonCode::IpNotAllowed => "address not allowed",
        ReasonCode::PlaceDenied => "place denied",
        ReasonCode::PlaceUnknown => "place unknown",
        ReasonCode::PlaceNotAllowed => "place not allowed",
        ReasonCode::TenantNotAllowed => "tenant not allowed",
        ReasonCode::ResourceNotAllowed => "resource not allowed",
        ReasonCode::CredentialNotAllowed => "credential not listed",
        ReasonCode::CredentialExpired => "credential expired",
        ReasonCode::CredentialUnknown => "credential unknown",
        ReasonCode::CredentialIpNotAllowed => "address not allowed for this credential",
        ReasonCode::CredentialTypeNotAllowed => "credential type not allowed",
    }
}

fn entities(sign_in: &SignIn<'_>) -> Vec<Entity> {
    let app_id = text_of(sign_in.app_id.as_ref());
    let service_principal_id = text_of(sign_in.service_principal_id.as_ref());
    let name = sign_in
        .name
        .as_deref()
        .map(fit::log_text)
        .or_else(|| app_id.clone())
        .or_else(|| service_principal_id.clone())
        .unwrap_or_default();
    let mut entities = vec![Entity::Account {
        name: name.clone(),
        aad_tenant_id: text_of(sign_in.tenant_id.as_ref()),
        aad_user_id: service_principal_id,
    }];
    if let Some(ip) = sign_in.ip {
        entities.push(Entity::Ip {
            address: ip.to_string(),
            location: sign_in.country.as_deref().map(|country| EntityLocation {
                country_code: fit::log_text(country),
                state: sign_in.state.as_deref().map(fit::log_text),
                city: sign_in.city.as_deref().map(fit::log_text),
            }),
        });
    }
    entities.push(Entity::CloudApplication { name, app_id });
    entities
}

/// ATT&CK techniques: T1078.004 valid cloud accounts, T1098.001 additional cloud credentials,
/// T1552 unsecured credentials.
fn techniques(finding: &Finding<'_>) -> Vec<Cow<'static, str>> {
    let mut techniques = vec!["T1078.004"];
    let has = |code| finding.reasons.iter().any(|reason| reason.code == code);
    if has(ReasonCode::CredentialNotAllowed) || has(ReasonCode::CredentialIpNotAllowed) {
        techniques.push("T1098.001");
    }
    if has(ReasonCode::CredentialTypeNotAllowed) {
        techniques.push("T1552");
    }
    techniques.into_iter().map(Cow::Borrowed).collect()
}

fn links(sign_in: &SignIn<'_>) -> Vec<Link> {
    let app = sign_in.app_id.as_ref().and_then(crate::sign_in::Id::guid);
    let principal = sign_in
        .service_principal_id
        .as_ref()
        .and_then(crate::sign_in::Id::guid);
    let blade = "https://entra.microsoft.com/#view/Microsoft_AAD_IAM/ManagedAppMenuBlade";
    match (app, principal) {
        (Some(app), Some(principal)) => vec![
            Link {
                title: Cow::Borrowed("Enterprise application"),
                url: format!("{blade}/~/Overview/objectId/{principal}/appId/{app}"),
            },
            Link {
                title: Cow::Borrowed("Its sign-in logs"),
                url: format!("{blade}/~/SignIns/objectId/{principal}/appId/{app}"),
            },
        ],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
