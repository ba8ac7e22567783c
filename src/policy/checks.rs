//! Every check of a sign-in, passing and failing, for `explain`.

mod words;

use std::sync::Arc;

use words::{decided_at, not_applicable, passed};

use super::Policy;
use super::entry::{Entry, Line};
use super::evaluate::{Dimension, Held};
use super::explain::{credential_text, unlisted};
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
    /// The change that would allow it, where it failed.
    pub fix: Option<String>,
}

impl Policy {
    /// Every check of a sign-in: first which entry selects the app, then each dimension.
    pub fn checks(&self, sign_in: &SignIn<'_>) -> Vec<Check> {
        let Some((index, entry)) = self.entry(sign_in) else {
            return self.checks_of_unlisted(sign_in);
        };
        let name = self.apps.get(index).map_or("", |app| app.name.as_str());
        let mut checks = vec![self.place_of(
            Check {
                name: "app",
                status: Status::Passed,
                code: None,
                message: format!("app {} is selected by {}", quoted(name), selected_by(entry)),
                file: None,
                line: None,
                fix: None,
            },
            Some(entry.line),
        )];
        for dimension in Dimension::ALL {
            checks.push(self.explained(entry, dimension, sign_in));
        }
        checks
    }

    fn checks_of_unlisted(&self, sign_in: &SignIn<'_>) -> Vec<Check> {
        let microsoft = sign_in.kind == Kind::MicrosoftServicePrincipal;
        let mut app = Check {
            name: "app",
            status: Status::Failed,
            code: Some(ReasonCode::UnknownApp),
            message: unlisted(sign_in),
            file: None,
            line: None,
            fix: sign_in
                .app_id
                .as_ref()
                .map(|id| format!("add an [[app]] with app_id = {:?}", id.to_string())),
        };
        if microsoft {
            app.status = Status::NotApplicable;
            app.code = None;
            app.fix = None;
            app.message
                .push_str("; in Microsoft's own log that counts as allowed");
            return vec![app];
        }
        let mut tenant = Check {
            name: "tenant",
            status: Status::NotApplicable,
            code: None,
            message: String::new(),
            file: None,
            line: None,
            fix: None,
        };
        let judgement = self.judge(sign_in);
        if judgement.reasons.contains(ReasonCode::TenantNotAllowed) {
            tenant.status = Status::Failed;
            tenant.code = Some(ReasonCode::TenantNotAllowed);
            let reasons = self.reasons(sign_in, &judgement);
            let reason = reasons
                .into_iter()
                .find(|reason| reason.code == ReasonCode::TenantNotAllowed);
            tenant.message = reason.map(|reason| reason.message).unwrap_or_default();
            tenant.fix = self.fix(None, ReasonCode::TenantNotAllowed, sign_in);
        } else {
            tenant = self.tenant_passed(tenant, sign_in);
        }
        let line = self.tenants.as_ref().map(|tenants| tenants.line);
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

    fn explained(&self, entry: &Entry, dimension: Dimension, sign_in: &SignIn<'_>) -> Check {
        let held = self.check(entry, dimension, sign_in);
        let mut check = Check {
            name: match dimension {
                Dimension::Ip => "ip",
                Dimension::Place => "place",
                Dimension::Tenant => "tenant",
                Dimension::Resource => "resource",
                Dimension::Credential => "credential",
                Dimension::CredentialIp => "credential-ip",
                Dimension::CredentialType => "credential-type",
            },
            status: Status::NotApplicable,
            code: None,
            message: String::new(),
            file: None,
            line: None,
            fix: None,
        };
        match held {
            Held::Failed(code) => {
                check.status = Status::Failed;
                check.code = Some(code);
                check.message = self.failure(entry, code, sign_in);
                check.fix = self.fix(Some(entry), code, sign_in);
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
        let line = match dimension {
            Dimension::Tenant => self.tenants.as_ref().map(|tenants| tenants.line),
            _ => decided_at(entry, dimension, held, sign_in),
        };
        self.place_of(check, line)
    }

    /// The change of one line that would allow what failed.
    fn fix(&self, entry: Option<&Entry>, code: ReasonCode, sign_in: &SignIn<'_>) -> Option<String> {
        let ip = sign_in
            .ip
            .map(|address| address.to_string())
            .unwrap_or_default();
        let key = |entry: Option<&Entry>| {
            entry
                .and_then(|entry| entry.credential(sign_in))
                .map_or_else(
                    || credential_text(sign_in),
                    |known| known.key_id.to_string(),
                )
        };
        Some(match code {
            ReasonCode::UnknownApp => return None,
            ReasonCode::IpDenied => "narrow deny.ips".to_owned(),
            ReasonCode::IpUnknown => "set unknown_ip = \"allow\" in [defaults]".to_owned(),
            ReasonCode::IpNotAllowed => format!("add {ip:?} to allow.ips"),
            ReasonCode::PlaceDenied => "narrow deny.places".to_owned(),
            ReasonCode::PlaceUnknown => "set unknown_place = \"allow\" in [defaults]".to_owned(),
            ReasonCode::PlaceNotAllowed => {
                let country = sign_in.country.as_deref().unwrap_or_default();
                format!("add {country:?} to allow.places")
            }
            ReasonCode::TenantNotAllowed => {
                let tenant = sign_in.tenant_id.as_ref()?.guid()?;
                format!("add \"{tenant}\" to `tenants`")
            }
            ReasonCode::ResourceNotAllowed => {
                let id = sign_in.resource_id.as_ref().map(ToString::to_string);
                let resource = id.or(sign_in.resource.as_deref().map(str::to_owned))?;
                format!("add {resource:?} to allow.resources")
            }
            ReasonCode::CredentialNotAllowed => {
                format!("add an [[app.credential]] with key_id = {:?}", key(entry))
            }
            ReasonCode::CredentialExpired => format!("move `expires` of credential {}", key(entry)),
            ReasonCode::CredentialUnknown => {
                "set unknown_credential = \"allow\" in [defaults]".to_owned()
            }
            ReasonCode::CredentialIpNotAllowed => {
                format!("add {ip:?} to allow.ips of credential {}", key(entry))
            }
            ReasonCode::CredentialTypeNotAllowed => match sign_in.credential_type.as_ref()? {
                crate::sign_in::CredentialType::Other(_) => {
                    "leave allow.credential_types out".to_owned()
                }
                known => format!("add {:?} to allow.credential_types", known.as_str()),
            },
        })
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
