//! Judging a sign-in: each dimension on its own, then what becomes of the finding.
//!
//! Facts of the log that this relies on: sign-ins of managed identities carry neither address
//! nor place, and failed sign-ins often no credential
//! (<https://learn.microsoft.com/entra/identity/monitoring-health/concept-service-principal-sign-ins>);
//! result code 53003 means that Conditional Access refused a sign-in whose credential was right
//! (<https://learn.microsoft.com/entra/identity-platform/reference-error-codes>). What follows from
//! them for a verdict is this program's decision.

use uuid::{Uuid, uuid};

use super::entry::{Credential, Entry, Exception};
use super::{Action, Judgement, Policy};
use crate::sign_in::{Id, Kind, Outcome, SignIn};
use crate::verdict::{ReasonCode, ReasonSet, Verdict};

/// Tenants that own Microsoft's first-party applications.
/// <https://learn.microsoft.com/troubleshoot/entra/entra-id/governance/verify-first-party-apps-sign-in>
const MICROSOFT_TENANTS: [Uuid; 2] = [
    uuid!("72f988bf-86f1-41af-91ab-2d7cd011db47"),
    uuid!("f8cdef31-a31e-4b4a-93e4-5f571e91255a"),
];

/// Whether a tenant owns Microsoft's first-party applications.
pub(crate) fn is_microsoft_tenant(tenant: Uuid) -> bool {
    MICROSOFT_TENANTS.contains(&tenant)
}

/// What a policy can ask of a sign-in, in the order of reporting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Dimension {
    Ip,
    Place,
    Tenant,
    Resource,
    Credential,
    CredentialIp,
    CredentialType,
}

impl Dimension {
    pub(super) const ALL: [Self; 7] = [
        Self::Ip,
        Self::Place,
        Self::Tenant,
        Self::Resource,
        Self::Credential,
        Self::CredentialIp,
        Self::CredentialType,
    ];
}

/// How a sign-in stands in one dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// The policy asks nothing here, or nothing of such a sign-in.
    NotApplicable,
    /// What the policy asks holds.
    Passed,
    /// It does not.
    Failed(ReasonCode),
}

impl Held {
    fn passed(passed: bool, otherwise: ReasonCode) -> Self {
        if passed {
            Self::Passed
        } else {
            Self::Failed(otherwise)
        }
    }

    /// An unknown value is a finding or left alone, as the policy has it.
    fn unknown(alerts: bool, code: ReasonCode) -> Self {
        if alerts {
            Self::Failed(code)
        } else {
            Self::NotApplicable
        }
    }
}

impl Entry {
    /// Notes in which dimensions the entry asks something; to be done when it is complete.
    pub(super) fn note_asked(&mut self) {
        let credential_ips = |credential: &Credential| credential.ips.is_some();
        self.asked = Dimension::ALL.into_iter().fold(0, |asked, dimension| {
            let asks = match dimension {
                Dimension::Ip => self.allow_ips.is_some() || self.deny_ips.is_some(),
                Dimension::Place => self.allow_places.is_some() || self.deny_places.is_some(),
                // The policy asks for it, no entry does.
                Dimension::Tenant => false,
                Dimension::Resource => self.allow_resources.is_some(),
                Dimension::Credential => !self.credentials.is_empty(),
                Dimension::CredentialIp => self.credentials.iter().any(credential_ips),
                Dimension::CredentialType => self.allow_types.is_some(),
            };
            asked | u8::from(asks) << dimension as u8
        });
    }

    /// The exceptions that are in force when the sign-in happens.
    pub(super) fn live_exceptions(&self, sign_in: &SignIn<'_>) -> impl Iterator<Item = &Exception> {
        let time = sign_in.time;
        self.exceptions
            .iter()
            .filter(move |exception| time < exception.until)
    }

    /// The listed credential that the sign-in was made with.
    pub(super) fn credential(&self, sign_in: &SignIn<'_>) -> Option<&Credential> {
        let ids = [&sign_in.credential_key_id, &sign_in.federated_credential_id];
        ids.into_iter().find_map(|id| {
            let id = id.as_ref().and_then(Id::guid)?;
            self.credentials
                .iter()
                .find(|credential| credential.key_id == id)
        })
    }
}

/// Failed sign-ins and managed identities never carry what tells a credential.
fn tells_credential(sign_in: &SignIn<'_>) -> bool {
    sign_in.outcome.is_success() && sign_in.kind != Kind::ManagedIdentity
}

impl Policy {
    /// Whether an entry asks anything in a dimension; most entries do in one or two.
    #[inline]
    fn asks(&self, entry: &Entry, dimension: Dimension) -> bool {
        match dimension {
            Dimension::Tenant => self.tenants.is_some(),
            _ => entry.asked & 1 << dimension as u8 != 0,
        }
    }

    /// How a sign-in of an entry's app stands in one dimension.
    pub(super) fn check(&self, entry: &Entry, dimension: Dimension, sign_in: &SignIn<'_>) -> Held {
        match dimension {
            Dimension::Ip => self.check_ip(entry, sign_in),
            Dimension::Place => self.check_place(entry, sign_in),
            Dimension::Tenant => self.check_tenant(sign_in),
            Dimension::Resource => match &entry.allow_resources {
                None => Held::NotApplicable,
                Some(list) => Held::passed(
                    list.rule.iter().any(|resource| resource.matches(sign_in)),
                    ReasonCode::ResourceNotAllowed,
                ),
            },
            Dimension::Credential => self.check_credential(entry, sign_in),
            Dimension::CredentialIp => self.check_credential_ip(entry, sign_in),
            Dimension::CredentialType => self.check_credential_type(entry, sign_in),
        }
    }

    fn check_ip(&self, entry: &Entry, sign_in: &SignIn<'_>) -> Held {
        if sign_in.kind == Kind::ManagedIdentity
            || (entry.allow_ips.is_none() && entry.deny_ips.is_none())
        {
            return Held::NotApplicable;
        }
        let Some(address) = sign_in.ip else {
            return match entry.allow_ips {
                Some(_) => Held::unknown(self.defaults.unknown_ip_alerts, ReasonCode::IpUnknown),
                None => Held::NotApplicable,
            };
        };
        let denied = entry.deny_ips.as_ref();
        if denied.is_some_and(|deny| deny.rule.contains(address)) {
            return Held::Failed(ReasonCode::IpDenied);
        }
        let Some(allow) = &entry.allow_ips else {
            return Held::Passed;
        };
        let allowed = allow.rule.contains(address)
            || entry
                .live_exceptions(sign_in)
                .filter_map(|exception| exception.ips.as_ref())
                .any(|ips| ips.contains(address));
        Held::passed(allowed, ReasonCode::IpNotAllowed)
    }

    fn check_place(&self, entry: &Entry, sign_in: &SignIn<'_>) -> Held {
        if sign_in.kind == Kind::ManagedIdentity
            || (entry.allow_places.is_none() && entry.deny_places.is_none())
        {
            return Held::NotApplicable;
        }
        if sign_in.country.is_none() {
            return match entry.allow_places {
                Some(_) => {
                    Held::unknown(self.defaults.unknown_place_alerts, ReasonCode::PlaceUnknown)
                }
                None => Held::NotApplicable,
            };
        }
        let denied = entry.deny_places.as_ref();
        if denied.is_some_and(|deny| deny.rule.contains(sign_in)) {
            return Held::Failed(ReasonCode::PlaceDenied);
        }
        let Some(allow) = &entry.allow_places else {
            return Held::Passed;
        };
        let allowed = allow.rule.contains(sign_in)
            || entry
                .live_exceptions(sign_in)
                .filter_map(|exception| exception.places.as_ref())
                .any(|places| places.contains(sign_in));
        Held::passed(allowed, ReasonCode::PlaceNotAllowed)
    }

    fn check_tenant(&self, sign_in: &SignIn<'_>) -> Held {
        let (Some(tenants), Some(tenant)) = (&self.tenants, &sign_in.tenant_id) else {
            return Held::NotApplicable;
        };
        let listed = tenant.guid().is_some_and(|id| tenants.rule.contains(&id));
        Held::passed(listed, ReasonCode::TenantNotAllowed)
    }

    fn check_credential(&self, entry: &Entry, sign_in: &SignIn<'_>) -> Held {
        if entry.credentials.is_empty() {
            return Held::NotApplicable;
        }
        if let Some(credential) = entry.credential(sign_in) {
            let expired = credential
                .expired_from
                .is_some_and(|from| sign_in.time >= from);
            return Held::passed(!expired, ReasonCode::CredentialExpired);
        }
        if sign_in.credential().is_some() {
            return Held::Failed(ReasonCode::CredentialNotAllowed);
        }
        Held::unknown(
            tells_credential(sign_in) && self.defaults.unknown_credential_alerts,
            ReasonCode::CredentialUnknown,
        )
    }

    fn check_credential_ip(&self, entry: &Entry, sign_in: &SignIn<'_>) -> Held {
        let credential = entry.credential(sign_in);
        let Some(ips) = credential.and_then(|credential| credential.ips.as_ref()) else {
            return Held::NotApplicable;
        };
        if sign_in.kind == Kind::ManagedIdentity {
            return Held::NotApplicable;
        }
        match sign_in.ip {
            None => Held::unknown(self.defaults.unknown_ip_alerts, ReasonCode::IpUnknown),
            Some(address) => Held::passed(
                ips.rule.contains(address),
                ReasonCode::CredentialIpNotAllowed,
            ),
        }
    }

    fn check_credential_type(&self, entry: &Entry, sign_in: &SignIn<'_>) -> Held {
        let Some(types) = &entry.allow_types else {
            return Held::NotApplicable;
        };
        match &sign_in.credential_type {
            Some(logged) => Held::passed(
                types.rule.iter().any(|word| word.matches(logged)),
                ReasonCode::CredentialTypeNotAllowed,
            ),
            None => Held::unknown(
                tells_credential(sign_in) && self.defaults.unknown_credential_alerts,
                ReasonCode::CredentialUnknown,
            ),
        }
    }

    /// The entry that selects a sign-in's app.
    pub(super) fn entry(&self, sign_in: &SignIn<'_>) -> Option<(usize, &Entry)> {
        let index = self.chooser.choose(&self.entries, sign_in)?;
        Some((index, self.entries.get(index)?))
    }

    /// Judges one sign-in. A sign-in that is allowed costs no allocation.
    pub fn judge(&self, sign_in: &SignIn<'_>) -> Judgement<'_> {
        let Some((index, entry)) = self.entry(sign_in) else {
            return self.judge_unlisted(sign_in);
        };
        let gist = self.gists.get(index);
        let surely = self.tenants.is_none() && gist.is_some_and(|gist| gist.allows(sign_in));
        let reasons = match surely {
            true => ReasonSet::EMPTY,
            false => self.held_against(entry, sign_in),
        };
        self.judge_listed(index, reasons, sign_in)
    }

    /// What an entry holds against a sign-in of its app.
    fn held_against(&self, entry: &Entry, sign_in: &SignIn<'_>) -> ReasonSet {
        let mut reasons = ReasonSet::EMPTY;
        for dimension in Dimension::ALL {
            if self.asks(entry, dimension)
                && let Held::Failed(code) = self.check(entry, dimension, sign_in)
            {
                reasons.insert(code);
            }
        }
        reasons
    }

    /// What becomes of a sign-in of an entry's app, for these reasons.
    #[inline]
    fn judge_listed(
        &self,
        index: usize,
        reasons: ReasonSet,
        sign_in: &SignIn<'_>,
    ) -> Judgement<'_> {
        let mut judgement = Judgement {
            app: self.apps.get(index),
            verdict: Verdict::Allowed,
            reasons,
            action: Action::Ignore,
            severity: self.defaults.severity,
        };
        if reasons.is_empty() {
            return judgement;
        }
        let severity = judgement
            .app
            .and_then(|app| app.severity)
            .unwrap_or(self.defaults.severity);
        judgement.severity = severity;
        judgement.verdict = Verdict::Violation;
        let action = match sign_in.outcome {
            Outcome::Success => Action::Alert,
            Outcome::Failure => self.defaults.failed,
            Outcome::BlockedByCa => {
                judgement.severity = severity.raised();
                Action::Alert
            }
        };
        judgement.action = self.observed(action);
        judgement
    }

    fn judge_unlisted(&self, sign_in: &SignIn<'_>) -> Judgement<'_> {
        let mut judgement = Judgement {
            app: None,
            verdict: Verdict::Allowed,
            reasons: ReasonSet::EMPTY,
            action: Action::Ignore,
            severity: self.defaults.severity,
        };
        // Microsoft's own applications in Microsoft's own log: nobody lists them all.
        if sign_in.kind == Kind::MicrosoftServicePrincipal {
            return judgement;
        }
        judgement.verdict = Verdict::UnknownApp;
        judgement.reasons.insert(ReasonCode::UnknownApp);
        let foreign = matches!(self.check_tenant(sign_in), Held::Failed(_));
        if foreign {
            judgement.reasons.insert(ReasonCode::TenantNotAllowed);
        }
        // A sign-in of a foreign tenant is a finding whatever unlisted apps are.
        let unknown = if foreign {
            Action::Alert
        } else {
            self.unknown_action(sign_in)
        };
        let action = match sign_in.outcome {
            Outcome::Success => unknown,
            Outcome::Failure => unknown.min(self.defaults.failed),
            Outcome::BlockedByCa if unknown == Action::Ignore => Action::Ignore,
            Outcome::BlockedByCa => {
                judgement.severity = judgement.severity.raised();
                Action::Alert
            }
        };
        judgement.action = self.observed(action);
        judgement
    }

    fn unknown_action(&self, sign_in: &SignIn<'_>) -> Action {
        let owner = sign_in.app_owner_tenant_id.as_ref().and_then(Id::guid);
        if owner.is_some_and(is_microsoft_tenant) {
            return self.defaults.microsoft_owned;
        }
        if sign_in.kind == Kind::ManagedIdentity {
            return self.defaults.unknown_managed_identity;
        }
        self.defaults.unknown_app
    }

    /// In `mode = "observe"` nothing is sent.
    fn observed(&self, action: Action) -> Action {
        if self.defaults.observe {
            action.min(Action::Record)
        } else {
            action
        }
    }
}
