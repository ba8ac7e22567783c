//! Which rule decided a check, and the words for what passes or does not apply.

use super::super::entry::{Entry, Line};
use super::super::evaluate::{Dimension, Held};
use super::super::explain::{allowed_ips, around, resource_text};
use super::super::place::place_text;
use super::super::suggest::quoted;
use crate::sign_in::{Kind, SignIn};
use crate::verdict::ReasonCode;

/// The rule that decided: what denied, the exception that allowed, else the list itself.
pub(super) fn decided_at(
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

/// Whether it takes an exception to allow the sign-in.
pub(super) fn excepted(entry: &Entry, dimension: Dimension, sign_in: &SignIn<'_>) -> bool {
    match dimension {
        Dimension::Ip => excepted_ip(entry, sign_in).is_some(),
        Dimension::Place => excepted_place(entry, sign_in).is_some(),
        _ => false,
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

pub(super) fn passed(entry: &Entry, dimension: Dimension, sign_in: &SignIn<'_>) -> String {
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

pub(super) fn not_applicable(entry: &Entry, dimension: Dimension, sign_in: &SignIn<'_>) -> String {
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
