//! Every check of a sign-in, passing and failing, for `explain`.

mod change;
mod point;
mod words;

use std::sync::Arc;

pub use change::{Change, Edit};
use point::Listed;
pub use point::{Nearest, Point};
use words::{decided_at, excepted, not_applicable, passed};

use super::Policy;
use super::entry::{Entry, Line};
use super::evaluate::{Dimension, Held};
use super::explain::unlisted;
use super::suggest::quoted;
use crate::sign_in::{Kind, SignIn};
use crate::verdict::ReasonCode;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// What the policy asks holds.
    Passed,
    /// It does not.
    Failed,
    /// The policy asks nothing here, or nothing of such a sign-in.
    NotApplicable,
}

impl Status {
    /// The word used in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::NotApplicable => "not-applicable",
        }
    }
}

/// One check of a sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What is checked: `app`, `ip`, `place`, `tenant`, `resource`, `credential`, `credential-ip`,
    /// `credential-type`.
    pub name: &'static str,
    /// How it came out.
    pub status: Status,
    /// The reason code, where it failed.
    pub code: Option<ReasonCode>,
    /// What was seen and what the policy has to say of it, in plain words.
    pub message: String,
    /// File of the rule that decided.
    pub file: Option<Arc<str>>,
    /// Line of the rule that decided, from 1.
    pub line: Option<usize>,
    /// The value that decided: that the sign-in matches, of what is allowed or of what is denied.
    pub matched: Option<Point>,
    /// The allowed range that is nearest to an address that is in none.
    pub nearest: Option<Nearest>,
    /// The changes that together let it pass, where it failed.
    pub changes: Vec<Change>,
    /// The narrowest exception that lets it pass instead, for a week.
    pub exception: Option<Change>,
}

impl Check {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            status: Status::NotApplicable,
            code: None,
            message: String::new(),
            file: None,
            line: None,
            matched: None,
            nearest: None,
            changes: Vec::new(),
            exception: None,
        }
    }

    /// The changes in one sentence, where there are any.
    pub fn fix(&self) -> Option<String> {
        let sentences: Vec<String> = self.changes.iter().map(Change::sentence).collect();
        (!sentences.is_empty()).then(|| sentences.join(", and "))
    }
}

impl Policy {
    /// Every check of a sign-in: first which entry selects the app, then each dimension.
    pub fn checks(&self, sign_in: &SignIn<'_>) -> Vec<Check> {
        let Some((index, entry)) = self.entry(sign_in) else {
            return self.checks_of_unlisted(sign_in);
        };
        let name = self.apps.get(index).map_or("", |app| app.name.as_str());
        let mut app = Check::new("app");
        app.status = Status::Passed;
        app.message = format!("app {} is selected by {}", quoted(name), selected_by(entry));
        let mut checks = vec![self.place_of(app, Some(entry.line))];
        let written = self.written.apps.get(index);
        let listed = written.map(|written| Listed { entry, written });
        for dimension in Dimension::ALL {
            checks.push(self.explained(entry, listed, dimension, sign_in));
        }
        checks
    }

    fn checks_of_unlisted(&self, sign_in: &SignIn<'_>) -> Vec<Check> {
        let mut app = Check::new("app");
        app.message = unlisted(sign_in);
        if sign_in.kind == Kind::MicrosoftServicePrincipal {
            app.message
                .push_str("; in Microsoft's own log that counts as allowed");
            return vec![app];
        }
        app.status = Status::Failed;
        app.code = Some(ReasonCode::UnknownApp);
        app.changes = self.changes(None, ReasonCode::UnknownApp, sign_in);
        let mut tenant = Check::new("tenant");
        let judgement = self.judge(sign_in);
        let mut line = self.tenants.as_ref().map(|tenants| tenants.line);
        if judgement.reasons.contains(ReasonCode::TenantNotAllowed) {
            tenant.status = Status::Failed;
            tenant.code = Some(ReasonCode::TenantNotAllowed);
            let reasons = self.reasons(sign_in, &judgement);
            let reason = reasons
                .into_iter()
                .find(|reason| reason.code == ReasonCode::TenantNotAllowed);
            tenant.message = reason.map(|reason| reason.message).unwrap_or_default();
            tenant.changes = self.changes(None, ReasonCode::TenantNotAllowed, sign_in);
        } else {
            tenant = self.tenant_passed(tenant, sign_in);
            if let Some((point, at)) = self.matched_tenant(sign_in) {
                tenant.matched = Some(point);
                line = Some(at);
            }
        }
        vec![app, self.place_of(tenant, line)]
    }

    fn tenant_passed(&self, mut check: Check, sign_in: &SignIn<'_>) -> Check {
        check.message = match (&self.tenants, &sign_in.tenant_id) {
            (None, _) => "the policy has no `tenants`".to_owned(),
            (Some(_), None) => "the record does not tell its tenant".to_owned(),
            (Some(_), Some(tenant)) => {
                check.status = Status::Passed;
                format!("tenant {tenant} is the policy's")
            }
        };
        check
    }

    fn place_of(&self, mut check: Check, line: Option<Line>) -> Check {
        check.file = line.and_then(|line| self.files.get(line.file).cloned());
        check.line = line.map(|line| line.line);
        check
    }

    fn explained(
        &self,
        entry: &Entry,
        listed: Option<Listed<'_>>,
        dimension: Dimension,
        sign_in: &SignIn<'_>,
    ) -> Check {
        let held = self.check(entry, dimension, sign_in);
        let mut check = Check::new(match dimension {
            Dimension::Ip => "ip",
            Dimension::Place => "place",
            Dimension::Tenant => "tenant",
            Dimension::Resource => "resource",
            Dimension::Credential => "credential",
            Dimension::CredentialIp => "credential-ip",
            Dimension::CredentialType => "credential-type",
        });
        match held {
            Held::Failed(code) => {
                check.status = Status::Failed;
                check.code = Some(code);
                check.message = self.failure(entry, code, sign_in);
                check.nearest = listed.and_then(|listed| self.nearest(listed, code, sign_in));
                check.changes = self.changes(listed, code, sign_in);
                check.exception = listed.and_then(|listed| self.exception(listed, code, sign_in));
            }
            Held::Passed => {
                check.status = Status::Passed;
                check.message = passed(entry, dimension, sign_in);
            }
            Held::NotApplicable => check.message = not_applicable(entry, dimension, sign_in),
        }
        if dimension == Dimension::Tenant && held != Held::Failed(ReasonCode::TenantNotAllowed) {
            check = self.tenant_passed(check, sign_in);
        }
        let list = match dimension {
            Dimension::Tenant => self.tenants.as_ref().map(|tenants| tenants.line),
            _ => decided_at(entry, dimension, held, sign_in),
        };
        let matched = listed.and_then(|listed| self.matched(listed, dimension, held, sign_in));
        // In a list of many lines the value tells more than the list; an exception is named by its own line.
        let line = match &matched {
            Some((_, line)) if !excepted(entry, dimension, sign_in) => Some(*line),
            _ => list,
        };
        check.matched = matched.map(|(point, _)| point);
        self.place_of(check, line)
    }
}

fn selected_by(entry: &Entry) -> String {
    let selectors = &entry.selectors;
    let mut by = Vec::new();
    if let Some(id) = selectors.service_principal_id {
        by.push(format!("service_principal_id {id}"));
    }
    if let Some(id) = selectors.app_id {
        by.push(format!("app_id {id}"));
    }
    if let Some(name) = &selectors.name {
        by.push(format!("match.name {}", quoted(name)));
    }
    if let Some(part) = &selectors.contains {
        by.push(format!("match.name_contains {}", quoted(part)));
    }
    by.join(" and ")
}
