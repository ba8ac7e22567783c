//! Why, in plain words: the reasons of a finding.

use std::net::IpAddr;

use super::entry::{AddressRule, Entry, PlaceRule};
use super::evaluate::{Dimension, Held};
use super::network::RangeSet;
use super::place::{NAMED, PlaceSet, place_text};
use super::suggest::quoted;
use super::{Judgement, Policy};
use crate::sign_in::SignIn;
use crate::verdict::{Reason, ReasonCode};

impl Policy {
    /// The reasons of a judgement, with their sentences.
    pub fn reasons(&self, sign_in: &SignIn<'_>, judgement: &Judgement<'_>) -> Vec<Reason> {
        let entry = self.entry(sign_in).map(|(_, entry)| entry);
        judgement
            .reasons
            .iter()
            .map(|code| Reason {
                code,
                message: match entry {
                    Some(entry) => self.failure(entry, code, sign_in),
                    None if code == ReasonCode::TenantNotAllowed => self.foreign(sign_in),
                    None => unlisted(sign_in),
                },
            })
            .collect()
    }

    /// What failed, in one sentence.
    pub(super) fn failure(&self, entry: &Entry, code: ReasonCode, sign_in: &SignIn<'_>) -> String {
        match code {
            ReasonCode::UnknownApp => unlisted(sign_in),
            ReasonCode::IpDenied => denied_ip(entry, sign_in),
            ReasonCode::IpUnknown => match self.check(entry, Dimension::Ip, sign_in) {
                Held::Failed(ReasonCode::IpUnknown) => {
                    "the record has no usable address, and the app has allow.ips".to_owned()
                }
                _ => {
                    "the record has no usable address, and the credential has allow.ips".to_owned()
                }
            },
            ReasonCode::IpNotAllowed => outside_ips(entry, sign_in),
            ReasonCode::PlaceDenied => {
                let rule = entry.deny_places.as_ref();
                let place = rule.and_then(|deny| deny.rule.find(sign_in));
                format!(
                    "{} is in the denied place {}",
                    place_text(sign_in),
                    place.unwrap_or_default()
                )
            }
            ReasonCode::PlaceUnknown => {
                "the record has no country, and the app has allow.places".to_owned()
            }
            ReasonCode::PlaceNotAllowed => outside_places(entry, sign_in),
            ReasonCode::TenantNotAllowed => self.foreign(sign_in),
            ReasonCode::ResourceNotAllowed => outside_resources(entry, sign_in),
            ReasonCode::CredentialNotAllowed => format!(
                "credential {} is none of the {} listed",
                credential_text(sign_in),
                entry.credentials.len()
            ),
            ReasonCode::CredentialExpired => {
                let credential = entry.credential(sign_in);
                let day = credential.and_then(|credential| credential.expires);
                format!(
                    "credential {} was valid through {}",
                    credential.map_or_else(
                        || credential_text(sign_in),
                        |known| known.key_id.to_string()
                    ),
                    day.map(|day| day.to_string()).unwrap_or_default()
                )
            }
            ReasonCode::CredentialUnknown => self.unknown_credential(entry, sign_in),
            ReasonCode::CredentialIpNotAllowed => outside_credential_ips(entry, sign_in),
            ReasonCode::CredentialTypeNotAllowed => {
                let types = entry
                    .allow_types
                    .as_ref()
                    .map_or(&[][..], |types| &types.rule);
                let names: Vec<_> = types.iter().map(|word| word.as_str()).collect();
                let logged = sign_in
                    .credential_type
                    .as_ref()
                    .map_or("", |logged| logged.as_str());
                let logged = quoted(logged);
                match names.as_slice() {
                    [] => {
                        "no type of credential is allowed (allow.credential_types = [])".to_owned()
                    }
                    [one] => format!("credential type {logged} is not the allowed {one}"),
                    more => format!(
                        "credential type {logged} is none of the allowed ones ({})",
                        more.join(", ")
                    ),
                }
            }
        }
    }

    fn foreign(&self, sign_in: &SignIn<'_>) -> String {
        let tenant = sign_in
            .tenant_id
            .as_ref()
            .map_or_else(String::new, ToString::to_string);
        match self.tenants.as_ref().map(|tenants| tenants.rule.as_slice()) {
            Some([one]) => format!("tenant {tenant} is not the policy's tenant {one}"),
            Some(more) => format!(
                "tenant {tenant} is none of the {} tenants of the policy",
                more.len()
            ),
            None => format!("tenant {tenant} is not the policy's"),
        }
    }

    fn unknown_credential(&self, entry: &Entry, sign_in: &SignIn<'_>) -> String {
        let unknown = Held::Failed(ReasonCode::CredentialUnknown);
        let key = self.check(entry, Dimension::Credential, sign_in) == unknown;
        let kind = self.check(entry, Dimension::CredentialType, sign_in) == unknown;
        let what = match (key, kind) {
            (true, true) => "which credential nor which type of credential",
            (true, false) => "which credential",
            _ => "which type of credential",
        };
        let verb = if key && kind {
            "tells neither"
        } else {
            "does not tell"
        };
        format!("the record {verb} {what} was used")
    }
}

/// That nothing selects an app, and what it is called.
pub(super) fn unlisted(sign_in: &SignIn<'_>) -> String {
    let name = sign_in.name.as_deref().map(quoted);
    let (kind, id) = match (&sign_in.app_id, &sign_in.service_principal_id) {
        (Some(id), _) => ("app", Some(id.to_string())),
        (None, Some(id)) => ("service principal", Some(id.to_string())),
        (None, None) => ("app", None),
    };
    match (id, name) {
        (Some(id), Some(name)) => format!("no entry of the policy selects {kind} {id} ({name})"),
        (Some(id), None) => format!("no entry of the policy selects {kind} {id}"),
        (None, name) => format!(
            "no entry of the policy selects {kind} {}",
            name.unwrap_or_default()
        ),
    }
}

/// The credential's id as logged.
pub(super) fn credential_text(sign_in: &SignIn<'_>) -> String {
    sign_in
        .credential()
        .map_or_else(String::new, ToString::to_string)
}

fn ip_text(sign_in: &SignIn<'_>) -> String {
    sign_in
        .ip
        .map_or_else(String::new, |address| address.to_string())
}

/// The allowed addresses of an app at the time of a sign-in: its own, and the exceptions'.
pub(super) fn allowed_ips<'e>(entry: &'e Entry, sign_in: &SignIn<'_>) -> Vec<&'e AddressRule> {
    let own = entry.allow_ips.as_ref().map(|allow| &allow.rule);
    let live = entry.live_exceptions(sign_in);
    own.into_iter()
        .chain(live.filter_map(|exception| exception.ips.as_ref()))
        .collect()
}

fn allowed_places<'e>(entry: &'e Entry, sign_in: &SignIn<'_>) -> Vec<&'e PlaceRule> {
    let own = entry.allow_places.as_ref().map(|allow| &allow.rule);
    let live = entry.live_exceptions(sign_in);
    own.into_iter()
        .chain(live.filter_map(|exception| exception.places.as_ref()))
        .collect()
}

/// The range around an address as the policy writes it; two where ranges were merged.
pub(super) fn around(rule: &AddressRule, address: IpAddr) -> String {
    match rule.around(address) {
        Some((low, high)) if low == high => low.to_owned(),
        Some((low, high)) => format!("{low} … {high}"),
        None => String::new(),
    }
}

fn denied_ip(entry: &Entry, sign_in: &SignIn<'_>) -> String {
    let range = match (&entry.deny_ips, sign_in.ip) {
        (Some(deny), Some(address)) => around(&deny.rule, address),
        _ => String::new(),
    };
    format!("{} is in the denied range {range}", ip_text(sign_in))
}

fn outside_ips(entry: &Entry, sign_in: &SignIn<'_>) -> String {
    outside(&allowed_ips(entry, sign_in), sign_in, "")
        .unwrap_or_else(|| "nothing is allowed (allow.ips = [])".to_owned())
}

fn outside_credential_ips(entry: &Entry, sign_in: &SignIn<'_>) -> String {
    let Some(credential) = entry.credential(sign_in) else {
        return String::new();
    };
    let rules: Vec<_> = credential.ips.iter().map(|ips| &ips.rule).collect();
    let whose = format!(" of credential {}", credential.key_id);
    outside(&rules, sign_in, &whose).unwrap_or_else(|| {
        format!(
            "nothing is allowed for credential {} (allow.ips = [])",
            credential.key_id
        )
    })
}

/// That an address is outside of some lists, and what is nearest; `None` where they are empty.
fn outside(rules: &[&AddressRule], sign_in: &SignIn<'_>, whose: &str) -> Option<String> {
    let address = sign_in.ip?;
    let near = rules
        .iter()
        .filter_map(|rule| rule.nearest(address))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, text)| text);
    let count: usize = rules.iter().map(|rule| rule.written()).sum();
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    Some(match (count, near) {
        (0, _) => return None,
        (1, near) => {
            let only = || {
                rules
                    .iter()
                    .flat_map(|rule| rule.parts())
                    .find_map(RangeSet::any)
            };
            let range = near.or_else(only).unwrap_or_default();
            format!("{address} is not in the allowed range {range}{whose}")
        }
        (_, Some(near)) => format!(
            "{address} is in none of the {count} allowed ranges{whose}; the nearest is {near}"
        ),
        (_, None) => format!(
            "{address} is in none of the {count} allowed ranges{whose}; none of them is {family}"
        ),
    })
}

fn outside_places(entry: &Entry, sign_in: &SignIn<'_>) -> String {
    let rules = allowed_places(entry, sign_in);
    let count: usize = rules.iter().map(|rule| rule.count()).sum();
    let named: Vec<&str> = rules
        .iter()
        .flat_map(|rule| rule.parts())
        .flat_map(PlaceSet::first)
        .map(|text| &**text)
        .take(NAMED)
        .collect();
    let place = place_text(sign_in);
    match named.as_slice() {
        [] => "nothing is allowed (allow.places = [])".to_owned(),
        [one] if count == 1 => format!("{place} is not the allowed place {one}"),
        some => {
            let more = if count > some.len() { ", …" } else { "" };
            format!(
                "{place} is none of the {count} allowed places ({}{more})",
                some.join(", ")
            )
        }
    }
}

fn outside_resources(entry: &Entry, sign_in: &SignIn<'_>) -> String {
    let list = entry
        .allow_resources
        .as_ref()
        .map_or(&[][..], |list| &list.rule);
    let asked = resource_text(sign_in);
    let named: Vec<&str> = list
        .iter()
        .take(NAMED)
        .map(|item| item.text.as_str())
        .collect();
    match named.as_slice() {
        [] => "nothing is allowed (allow.resources = [])".to_owned(),
        [one] => format!("{asked} is not the allowed resource {one}"),
        some => {
            let more = if list.len() > some.len() { ", …" } else { "" };
            format!(
                "{asked} is none of the {} allowed resources ({}{more})",
                list.len(),
                some.join(", ")
            )
        }
    }
}

/// The API asked for, by name and id as far as they are known.
pub(super) fn resource_text(sign_in: &SignIn<'_>) -> String {
    match (sign_in.resource.as_deref(), &sign_in.resource_id) {
        (Some(name), Some(id)) => format!("{} ({id})", quoted(name)),
        (Some(name), None) => quoted(name),
        (None, Some(id)) => id.to_string(),
        (None, None) => "an unnamed resource".to_owned(),
    }
}
