//! A sign-in that the policy does not simply allow, with everything that is said about it.
//!
//! Pure. `check` lists findings as they are; [`alert`](crate::alert) makes alerts of the due ones.

use serde::Serialize;

use crate::ingest::Position;
use crate::policy::{App, Judgement, Policy};
use crate::sign_in::{Outcome, SignIn};
use crate::verdict::{Reason, Severity, Verdict};

/// Which rule raised an alert or a finding. Stable, kebab-case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// A listed app signed in against its entry.
    OutsidePolicy,
    /// A listed app tried to, and failed.
    FailedOutsidePolicy,
    /// An app that no entry selects, whatever the outcome.
    UnknownApp,
}

impl Rule {
    /// The rule of a judged sign-in.
    pub fn of(verdict: Verdict, outcome: Outcome) -> Self {
        match (verdict, outcome.is_success()) {
            (Verdict::UnknownApp, _) => Self::UnknownApp,
            (_, true) => Self::OutsidePolicy,
            (_, false) => Self::FailedOutsidePolicy,
        }
    }

    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OutsidePolicy => "outside-policy",
            Self::FailedOutsidePolicy => "failed-outside-policy",
            Self::UnknownApp => "unknown-app",
        }
    }
}

/// One finding.
#[derive(Debug, Clone)]
pub struct Finding<'p> {
    /// The sign-in, detached from the log.
    pub sign_in: SignIn<'static>,
    /// The entry that selects the app.
    pub app: Option<&'p App>,
    /// `violation` or `unknown-app`.
    pub verdict: Verdict,
    /// Whether an alert is due.
    pub due: bool,
    /// How grave it is.
    pub severity: Severity,
    /// Which rule says so.
    pub rule: Rule,
    /// Why, at least one.
    pub reasons: Vec<Reason>,
    /// Where the record stands in its source.
    pub position: Position,
}

impl<'p> Finding<'p> {
    /// Says everything about a judged sign-in that is not allowed.
    pub fn new(
        policy: &'p Policy,
        sign_in: &SignIn<'_>,
        judgement: &Judgement<'p>,
        position: Position,
    ) -> Self {
        Self {
            app: judgement.app,
            verdict: judgement.verdict,
            due: judgement.is_due(),
            severity: judgement.severity,
            rule: Rule::of(judgement.verdict, sign_in.outcome),
            reasons: policy.reasons(sign_in, judgement),
            sign_in: sign_in.clone().into_owned(),
            position,
        }
    }
}

/// Where a finding was read, as `check` reports it.
#[derive(Debug, Clone, Serialize)]
pub struct FindingSource<'a> {
    /// The file as it was named on the command line; `-` for standard input.
    pub file: &'a str,
    /// Ordinal of the record in the file, from 1.
    pub record: u64,
}

/// A finding as `check` writes it: the fixed set of fields of `spwatch/check/v1`.
#[derive(Debug, Serialize)]
#[expect(
    missing_docs,
    reason = "the fields are the documented output format, one word each"
)]
pub struct FindingRow<'a> {
    pub id: String,
    pub time: String,
    pub verdict: &'static str,
    pub outcome: &'static str,
    pub due: bool,
    pub severity: &'static str,
    pub rule: &'static str,
    pub app: Option<&'a str>,
    pub app_id: Option<String>,
    pub service_principal_id: Option<String>,
    pub service_principal_name: Option<&'a str>,
    pub ip: Option<String>,
    pub country: Option<&'a str>,
    pub state: Option<&'a str>,
    pub city: Option<&'a str>,
    pub resource: Option<&'a str>,
    pub reasons: &'a [Reason],
    pub source: FindingSource<'a>,
}

impl<'a> FindingRow<'a> {
    /// The row of a finding read from `file`.
    pub fn new(finding: &'a Finding<'_>, file: &'a str) -> Self {
        let sign_in = &finding.sign_in;
        Self {
            id: sign_in.id_text().into_owned(),
            time: sign_in.time.to_string(),
            verdict: finding.verdict.as_str(),
            outcome: sign_in.outcome.as_str(),
            due: finding.due,
            severity: finding.severity.as_str(),
            rule: finding.rule.as_str(),
            app: finding.app.map(|app| app.name.as_str()),
            app_id: sign_in.app_id.as_ref().map(ToString::to_string),
            service_principal_id: sign_in
                .service_principal_id
                .as_ref()
                .map(ToString::to_string),
            service_principal_name: sign_in.name.as_deref(),
            ip: sign_in.ip.map(|ip| ip.to_string()),
            country: sign_in.country.as_deref(),
            state: sign_in.state.as_deref(),
            city: sign_in.city.as_deref(),
            resource: sign_in.resource.as_deref(),
            reasons: &finding.reasons,
            source: FindingSource {
                file,
                record: finding.position.record,
            },
        }
    }
}
