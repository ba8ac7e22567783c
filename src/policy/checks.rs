//! Every check of a sign-in, passing and failing, for `explain`.

use std::sync::Arc;

use super::Policy;
use super::entry::{Entry, Line};
use super::evaluate::{Dimension, Held};
use super::explain::{allowed_ips, around, credential_text, resource_text, unlisted};
use super::place::place_text;
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

/// The rule that decided: what denied, the exception that allowed, else the list itself.
fn decided_at(
    entry: &Entry,
    dimension: Dimension,
    held: Held,
    sign_in: &SignIn<'_>,
) -> Option<Line> {
    let failed = |code| held == Held::Failed(code);
    match dimension {
        Dimension::Ip => {
            let deny = entry.deny_ips.as_ref().map(|rule| rule.line);
            if failed(ReasonCode::IpDenied) {
                return deny;
            }
            excepted_ip(entry, sign_in)
                .or(entry.allow_ips.as_ref().map(|rule| rule.line))
                .or(deny)
        }
        Dimension::Place => {
            let deny = entry.deny_places.as_ref().map(|rule| rule.line);
            if failed(ReasonCode::PlaceDenied) {
                return deny;
            }
            excepted_place(entry, sign_in)
                .or(entry.allow_places.as_ref().map(|rule| rule.line))
                .or(deny)
        }
        Dimension::Tenant => None,
        Dimension::Resource => entry.allow_resources.as_ref().map(|rule| rule.line),
        Dimension::Credential => entry
            .credential(sign_in)
            .or(entry.credentials.first())
            .map(|credential| credential.line),
        Dimension::CredentialIp => {
            let ips = entry.credential(sign_in)?.ips.as_ref();
            ips.map(|rule| rule.line)
        }
        Dimension::CredentialType => entry.allow_types.as_ref().map(|rule| rule.line),
    }
}

/// The exception without which the address would not be allowed.
fn excepted_ip(entry: &Entry, sign_in: &SignIn<'_>) -> Option<Line> {
    let (allow, address) = (entry.allow_ips.as_ref()?, sign_in.ip?);
    if allow.rule.contains(address) {
        return None;
    }
    entry
        .live_exceptions(sign_in)
        .find(|exception| {
            let ips = exception.ips.as_ref();
            ips.is_some_and(|ips| ips.contains(address))
        })
        .map(|exception| exception.line)
}

fn excepted_place(entry: &Entry, sign_in: &SignIn<'_>) -> Option<Line> {
    if entry.allow_places.as_ref()?.rule.find(sign_in).is_some() {
        return None;
    }
    entry
        .live_exceptions(sign_in)
        .find(|exception| {
            let places = exception.places.as_ref();
            places.is_some_and(|places| places.find(sign_in).is_some())
        })
        .map(|exception| exception.line)
}

fn passed(entry: &Entry, dimension: Dimension, sign_in: &SignIn<'_>) -> String {
    match dimension {
        Dimension::Ip => {
            let Some(address) = sign_in.ip else {
                return String::new();
            };
            if entry.allow_ips.is_none() {
                return format!("{address} is in no denied range");
            }
            let rules = allowed_ips(entry, sign_in);
            let range = rules
                .iter()
                .find(|rule| rule.contains(address))
                .map(|rule| around(rule, address))
                .unwrap_or_default();
            let by = excepted_ip(entry, sign_in)
                .and_then(|line| reason_at(entry, line))
                .map(|reason| format!(" by the exception {}", quoted(reason)))
                .unwrap_or_default();
            format!("{address} is in the allowed range {range}{by}")
        }
        Dimension::Place => {
            let here = place_text(sign_in);
            let own = entry.allow_places.as_ref();
            if own.is_none() {
                return format!("{here} is in no denied place");
            }
            match own.and_then(|allow| allow.rule.find(sign_in)) {
                Some(place) => format!("{here} is in the allowed place {place}"),
                None => {
                    let reason = excepted_place(entry, sign_in)
                        .and_then(|line| reason_at(entry, line))
                        .unwrap_or_default();
                    format!("{here} is allowed by the exception {}", quoted(reason))
                }
            }
        }
        Dimension::Tenant => String::new(),
        Dimension::Resource => format!("{} is an allowed resource", resource_text(sign_in)),
        Dimension::Credential => {
            let Some(credential) = entry.credential(sign_in) else {
                return String::new();
            };
            let until = credential
                .expires
                .map(|day| format!(" and valid through {day}"))
                .unwrap_or_default();
            format!("credential {} is listed{until}", credential.key_id)
        }
        Dimension::CredentialIp => {
            let ips = entry
                .credential(sign_in)
                .and_then(|known| known.ips.as_ref());
            match (ips, sign_in.ip) {
                (Some(ips), Some(address)) => format!(
                    "{address} is in the credential's allowed range {}",
                    around(&ips.rule, address)
                ),
                _ => String::new(),
            }
        }
        Dimension::CredentialType => {
            let logged = sign_in.credential_type.as_ref();
            format!(
                "credential type {} is allowed",
                logged.map_or("", |logged| logged.as_str())
            )
        }
    }
}

fn reason_at(entry: &Entry, line: Line) -> Option<&str> {
    entry
        .exceptions
        .iter()
        .find(|exception| exception.line.line == line.line && exception.line.file == line.file)
        .map(|exception| exception.reason.as_str())
}

fn not_applicable(entry: &Entry, dimension: Dimension, sign_in: &SignIn<'_>) -> String {
    let managed = sign_in.kind == Kind::ManagedIdentity;
    let text = match dimension {
        Dimension::Ip | Dimension::Place if managed => {
            "sign-ins of managed identities carry neither address nor place"
        }
        Dimension::Ip if entry.allow_ips.is_none() && entry.deny_ips.is_none() => {
            "the app has neither allow.ips nor deny.ips"
        }
        Dimension::Ip => "the record has no usable address, which is allowed",
        Dimension::Place if entry.allow_places.is_none() && entry.deny_places.is_none() => {
            "the app has neither allow.places nor deny.places"
        }
        Dimension::Place => "the record has no country, which is allowed",
        Dimension::Tenant => "",
        Dimension::Resource => "the app has no allow.resources",
        Dimension::Credential if entry.credentials.is_empty() => "the app lists no credential",
        Dimension::CredentialType if entry.allow_types.is_none() => {
            "the app has no allow.credential_types"
        }
        Dimension::Credential | Dimension::CredentialType => {
            "the record does not tell the credential, which is no finding here"
        }
        Dimension::CredentialIp if managed => {
            "sign-ins of managed identities carry neither address nor place"
        }
        Dimension::CredentialIp => match entry.credential(sign_in) {
            Some(known) if known.ips.is_some() => {
                "the record has no usable address, which is allowed"
            }
            Some(_) => "the credential has no allow.ips",
            None => "no listed credential was used",
        },
    };
    text.to_owned()
}
