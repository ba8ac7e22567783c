//! `policy.toml` → compiled policy; (sign-in, compiled policy) → judgement with reasons. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::sign_in::SignIn;
use crate::verdict::{Reason, ReasonSet, Severity, Verdict};

/// One policy file: the name it is shown by, and its text.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Source {
    /// Path as given by the user; shown in diagnostics, findings and alerts.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// What becomes of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Counted, not listed.
    Ignore,
    /// Listed, nothing is sent.
    Record,
    /// Listed and sent.
    Alert,
}

/// The `[defaults]` table.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// `mode = "observe"`: findings are recorded, nothing is sent.
    pub observe: bool,
    /// Severity where the entry has none.
    pub severity: Severity,
    /// `unknown_app`
    pub unknown_app: Action,
    /// `unknown_managed_identity`
    pub unknown_managed_identity: Action,
    /// `microsoft_owned`
    pub microsoft_owned: Action,
    /// `failed`
    pub failed: Action,
    /// `unknown_ip = "alert"`
    pub unknown_ip_alerts: bool,
    /// `unknown_place = "alert"`
    pub unknown_place_alerts: bool,
    /// `unknown_credential = "alert"`
    pub unknown_credential_alerts: bool,
    /// `max_event_age`
    pub max_event_age: chrono::TimeDelta,
    /// `max_alerts_per_hour`; 0 = no cap
    pub max_alerts_per_hour: u32,
    /// `merge`, in whole seconds; 0 = never
    pub merge_seconds: i64,
    /// `notify`; `None` = all sinks
    pub notify: Option<Vec<String>>,
}

/// What the inventory says of an application, for alerts.
#[derive(Debug, Clone)]
pub struct App {
    /// Label in the inventory, unique.
    pub name: String,
    /// Selector `app_id`.
    pub app_id: Option<Uuid>,
    /// Selector `service_principal_id`.
    pub service_principal_id: Option<Uuid>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// What it is for.
    pub purpose: Option<String>,
    /// Permissions it is meant to have.
    pub permissions: Vec<String>,
    /// Where the secret is kept (never the secret).
    pub secret: Option<String>,
    /// What to do.
    pub runbook: Option<String>,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// Severity of its findings; `None` = the default's.
    pub severity: Option<Severity>,
    /// Sinks; `None` = the default's.
    pub notify: Option<Vec<String>>,
    /// Name of the policy file.
    pub file: Arc<str>,
    /// Line of its `[[app]]`, from 1.
    pub line: usize,
    /// The allowed ranges as written (sets expanded), at most some dozens, for "the app's usual addresses".
    pub usual_addresses: Vec<String>,
}

/// The kind of destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkType {
    /// Generic HTTP POST of JSON.
    Webhook,
    /// Microsoft Teams.
    Teams,
    /// Slack.
    Slack,
    /// PagerDuty.
    Pagerduty,
    /// Splunk HEC.
    Splunk,
    /// Logs Ingestion API.
    Sentinel,
    /// Sentinel incidents.
    SentinelIncident,
}

/// Body of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkFormat {
    /// `spwatch/alert/v1`
    Spwatch,
    /// CloudEvents 1.0
    Cloudevents,
    /// OCSF Detection Finding
    Ocsf,
}

/// A value that is a secret or leads to one.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// `env:NAME`
    Env(String),
    /// Written into the policy (warned about).
    Literal(String),
}

impl std::fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::Literal(_) => f.write_str("(literal, hidden)"),
        }
    }
}

/// One `[sinks.NAME]`.
#[derive(Debug, Clone)]
pub struct Sink {
    /// Its name.
    pub name: String,
    /// Kind of destination.
    pub kind: SinkType,
    /// Where to post.
    pub url: SecretRef,
    /// Signing secret.
    pub secret: Option<SecretRef>,
    /// Body.
    pub format: SinkFormat,
    /// Nothing milder is sent.
    pub min_severity: Severity,
    /// Plain http and private targets allowed.
    pub insecure: bool,
}

/// A policy that has no errors, ready to judge.
#[derive(Debug)]
pub struct Policy {
    /// `[defaults]`
    pub defaults: Defaults,
    /// `[[app]]`, in file order.
    pub apps: Vec<App>,
    /// `[sinks]`, by name.
    pub sinks: BTreeMap<String, Sink>,
    /// SHA-256 of the sources, hex.
    pub hash: String,
}

/// What the policy says of one sign-in; made without allocation.
#[derive(Debug, Clone, Copy)]
pub struct Judgement<'p> {
    /// The entry that selects the app.
    pub app: Option<&'p App>,
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub reasons: ReasonSet,
    /// What becomes of it; `Ignore` for an allowed sign-in.
    pub action: Action,
    /// Severity, raised where Conditional Access had to block.
    pub severity: Severity,
}

impl Judgement<'_> {
    /// Whether an alert is due.
    pub fn is_due(&self) -> bool {
        self.action == Action::Alert
    }
}

impl Policy {
    /// Judges one sign-in.
    pub fn judge(&self, _sign_in: &SignIn<'_>) -> Judgement<'_> {
        Judgement {
            app: None,
            verdict: Verdict::Allowed,
            reasons: ReasonSet::EMPTY,
            action: Action::Ignore,
            severity: self.defaults.severity,
        }
    }

    /// The reasons of a judgement, with their sentences.
    pub fn reasons(&self, _sign_in: &SignIn<'_>, _judgement: &Judgement<'_>) -> Vec<Reason> {
        Vec::new()
    }
}
