//! The naive judge: the contract's sentences, one after the other, over linear scans.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use chrono::DateTime;
use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

use super::generate::TICKS;
use super::model::{
    Action, Case, Entry, Exception, IpRule, Item, Kind, PlaceRule, Policy, Record, SEVERITIES,
};

const MICROSOFT: [&str; 2] = [
    "72f988bf-86f1-41af-91ab-2d7cd011db47",
    "f8cdef31-a31e-4b4a-93e4-5f571e91255a",
];

/// What a finding must say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    pub(super) time: String,
    /// `None`: the record has no id, so that the finding's is made up.
    pub(super) id: Option<String>,
    pub(super) verdict: &'static str,
    pub(super) outcome: &'static str,
    pub(super) due: bool,
    pub(super) severity: &'static str,
    pub(super) rule: &'static str,
    pub(super) app: Option<String>,
    pub(super) reasons: BTreeSet<&'static str>,
    pub(super) app_id: Option<String>,
    pub(super) service_principal_id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) ip: Option<String>,
    pub(super) country: Option<String>,
    pub(super) state: Option<String>,
    pub(super) city: Option<String>,
    pub(super) resource: Option<String>,
    /// Not in the output, but in the alert's identity.
    pub(super) tenant: Option<String>,
    pub(super) ticks: i64,
}

#[derive(Default)]
pub(super) struct Expected {
    pub(super) counts: BTreeMap<&'static str, u64>,
    pub(super) other_categories: BTreeMap<String, u64>,
    /// In input order.
    pub(super) findings: Vec<Finding>,
}

/// Judges every record of a case.
pub(super) fn judge(case: &Case) -> Expected {
    let mut expected = Expected::default();
    for name in [
        "records",
        "sign_ins",
        "success",
        "failure",
        "allowed",
        "violation",
        "unknown_app",
        "duplicates",
        "audit_events",
        "rejected",
    ] {
        expected.counts.insert(name, 0);
    }
    let mut seen = Vec::new();
    for item in case.files.iter().flat_map(|file| &file.items) {
        let mut count = |name| *expected.counts.get_mut(name).unwrap() += 1;
        count("records");
        let Item::Record(record) = item else {
            count("rejected");
            continue;
        };
        match record.kind {
            Kind::Audit => {
                count("audit_events");
                continue;
            }
            Kind::Other(name) => {
                *expected
                    .other_categories
                    .entry(name.to_owned())
                    .or_default() += 1;
                continue;
            }
            _ => {}
        }
        let sign_in = SignIn::read(record, case.tenant.as_deref());
        let Some(sign_in) = sign_in else {
            count("rejected");
            continue;
        };
        // Tenant and id; without an id the properties, of which a copy keeps the style.
        let key = match &sign_in.id {
            Some(id) => (sign_in.tenant.clone(), id.clone()),
            None => (sign_in.tenant.clone(), format!("style {}", record.style)),
        };
        if seen.contains(&key) {
            count("duplicates");
            continue;
        }
        seen.push(key);
        count("sign_ins");
        count(if sign_in.outcome == "success" {
            "success"
        } else {
            "failure"
        });

        let (verdict, entry, reasons) = verdict(&case.policy, &sign_in);
        count(match verdict {
            "allowed" => "allowed",
            "violation" => "violation",
            _ => "unknown_app",
        });
        if let Some(finding) = finding(&case.policy, &sign_in, verdict, entry, reasons) {
            expected.findings.push(finding);
        }
    }
    expected
}

/// A record after normalisation.
struct SignIn {
    kind: Kind,
    id: Option<String>,
    ticks: i64,
    tenant: Option<String>,
    app_id: Option<String>,
    service_principal_id: Option<String>,
    name: Option<String>,
    owner_tenant: Option<String>,
    outcome: &'static str,
    ip: Option<IpAddr>,
    country: Option<String>,
    state: Option<String>,
    city: Option<String>,
    resource: Option<String>,
    resource_id: Option<String>,
    credential: Option<String>,
    /// The policy's word, or the log's where the policy has none.
    credential_type: Option<&'static str>,
}

/// GUIDs are lower-case, other ids are text.
fn id(text: &str) -> String {
    if is_guid(text) {
        text.to_lowercase()
    } else {
        text.to_owned()
    }
}

fn is_guid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups
            .iter()
            .all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

impl SignIn {
    /// `None` is a reject.
    fn read(record: &Record, tenant_option: Option<&str>) -> Option<Self> {
        let name = record
            .service_principal_name
            .clone()
            .or_else(|| record.app_display_name.clone());
        if record.app_id.is_none() && record.service_principal_id.is_none() && name.is_none() {
            return None;
        }
        let ticks = record.created.as_ref().or(record.emitted.as_ref())?.ticks;
        let code = match (record.result_type, record.error_code) {
            (Some((code, _)), _) => code,
            (None, Some(code)) => code,
            (None, None) => 0,
        };
        let two_letters = |text: &String| text.len() == 2;
        Some(Self {
            kind: record.kind,
            id: record.id.as_deref().map(id),
            ticks,
            tenant: record.tenant.as_deref().or(tenant_option).map(id),
            app_id: record.app_id.as_deref().map(id),
            service_principal_id: record.service_principal_id.as_deref().map(id),
            name,
            owner_tenant: record.owner_tenant.as_deref().map(id),
            outcome: match code {
                0 => "success",
                53003 => "blocked-by-ca",
                _ => "failure",
            },
            ip: record.ip.value.or(record.caller.value),
            country: record
                .country
                .clone()
                .or_else(|| record.top_location.clone().filter(two_letters))
                .map(|country| country.to_uppercase()),
            state: record.state.clone(),
            city: record.city.clone(),
            resource: record.resource.clone(),
            resource_id: record.resource_id.as_deref().map(id),
            credential: record
                .key_id
                .as_deref()
                .filter(|key| *key != "none")
                .or(record.federated_id.as_deref())
                .map(id),
            credential_type: match record.credential_word {
                None | Some("none") => None,
                Some("clientSecret") => Some("secret"),
                Some("clientAssertion") => Some("assertion"),
                Some("federatedIdentityCredential") => Some("federated"),
                Some("managedIdentity") => Some("managed-identity"),
                Some(other) => Some(other),
            },
        })
    }
}

// ---- entry choice ----

fn selects(entry: &Entry, sign_in: &SignIn) -> bool {
    let same_id = |wanted: &Option<String>, found: &Option<String>| match (wanted, found) {
        (None, _) => true,
        (Some(wanted), Some(found)) => wanted.to_lowercase() == *found,
        (Some(_), None) => false,
    };
    let name = sign_in.name.as_ref().map(|name| name.to_lowercase());
    let by_name = |wanted: &Option<String>, holds: fn(&str, &str) -> bool| match (wanted, &name) {
        (None, _) => true,
        (Some(wanted), Some(name)) => holds(name, &wanted.to_lowercase()),
        (Some(_), None) => false,
    };
    same_id(&entry.service_principal_id, &sign_in.service_principal_id)
        && same_id(&entry.app_id, &sign_in.app_id)
        && by_name(&entry.match_name, |name, wanted| name == wanted)
        && by_name(&entry.name_contains, |name, wanted| name.contains(wanted))
}

/// The most specific entry that selects the sign-in; of equals the first in the file.
fn choose<'a>(policy: &'a Policy, sign_in: &SignIn) -> Option<&'a Entry> {
    let rank = |entry: &Entry| {
        (
            entry.service_principal_id.is_some(),
            entry.app_id.is_some(),
            entry.match_name.is_some(),
            entry
                .name_contains
                .as_ref()
                .map_or(0, |part| part.chars().count()),
        )
    };
    let mut best: Option<&Entry> = None;
    for entry in &policy.entries {
        if selects(entry, sign_in) && best.is_none_or(|best| rank(entry) > rank(best)) {
            best = Some(entry);
        }
    }
    best
}

// ---- matching ----

fn any_ip(policy: &Policy, rules: &[IpRule], ip: IpAddr) -> bool {
    rules.iter().any(|rule| match rule {
        IpRule::Net(_, net) => net.contains(ip),
        IpRule::Range(_, from, to) => from.is_ipv4() == ip.is_ipv4() && *from <= ip && ip <= *to,
        IpRule::Set(name) => policy
            .ranges
            .iter()
            .any(|(set, rules)| set == name && any_ip(policy, rules, ip)),
    })
}

fn fold(name: &str) -> String {
    name.nfkd()
        .filter(|c| !is_combining_mark(*c))
        .flat_map(char::to_lowercase)
        .collect::<String>()
        .replace('ø', "o")
        .replace('ł', "l")
        .replace('đ', "d")
        .replace('æ', "ae")
        .replace('œ', "oe")
        .replace('ß', "ss")
        .replace('ı', "i")
}

fn any_place(policy: &Policy, rules: &[PlaceRule], sign_in: &SignIn) -> bool {
    let holds = |wanted: &Option<String>, found: &Option<String>| match (wanted, found) {
        (None, _) => true,
        (Some(wanted), Some(found)) => fold(wanted) == fold(found),
        (Some(_), None) => false,
    };
    rules.iter().any(|rule| match rule {
        PlaceRule::Place {
            country,
            state,
            city,
        } => {
            sign_in.country.as_deref() == Some(*country)
                && holds(state, &sign_in.state)
                && holds(city, &sign_in.city)
        }
        PlaceRule::Set(name) => policy
            .places
            .iter()
            .any(|(set, rules)| set == name && any_place(policy, rules, sign_in)),
    })
}

// ---- verdict ----

fn verdict<'a>(
    policy: &'a Policy,
    sign_in: &SignIn,
) -> (&'static str, Option<&'a Entry>, BTreeSet<&'static str>) {
    let mut reasons = BTreeSet::new();
    let entry = choose(policy, sign_in);
    if entry.is_none() && sign_in.kind == Kind::MicrosoftServicePrincipal {
        return ("allowed", None, reasons);
    }
    let listed = |tenants: &Vec<String>, tenant: &String| {
        tenants
            .iter()
            .any(|allowed| allowed.to_lowercase() == *tenant)
    };
    if let (Some(tenants), Some(tenant)) = (&policy.tenants, &sign_in.tenant)
        && !listed(tenants, tenant)
    {
        reasons.insert("tenant-not-allowed");
    }
    let Some(entry) = entry else {
        reasons.insert("unknown-app");
        return ("unknown-app", None, reasons);
    };
    if sign_in.kind != Kind::ManagedIdentity {
        reasons.extend(address_reason(policy, entry, sign_in));
        reasons.extend(place_reason(policy, entry, sign_in));
    }
    if let Some(resources) = &entry.resources {
        let name = sign_in.resource.as_ref().map(|name| name.to_lowercase());
        let listed = resources.iter().any(|wanted| {
            let wanted = Some(wanted.to_lowercase());
            wanted == name || wanted == sign_in.resource_id
        });
        if !listed {
            reasons.insert("resource-not-allowed");
        }
    }
    reasons.extend(credential_reasons(policy, entry, sign_in));
    let verdict = if reasons.is_empty() {
        "allowed"
    } else {
        "violation"
    };
    (verdict, Some(entry), reasons)
}

fn live<'a>(entry: &'a Entry, sign_in: &SignIn) -> impl Iterator<Item = &'a Exception> {
    let ticks = sign_in.ticks;
    entry
        .exceptions
        .iter()
        .filter(move |exception| ticks < exception.until.ticks)
}

fn address_reason(policy: &Policy, entry: &Entry, sign_in: &SignIn) -> Option<&'static str> {
    let Some(ip) = sign_in.ip else {
        let alert = policy.defaults.unknown_ip.unwrap_or(true);
        return (entry.ips.is_some() && alert).then_some("ip-unknown");
    };
    if entry
        .deny_ips
        .as_ref()
        .is_some_and(|rules| any_ip(policy, rules, ip))
    {
        return Some("ip-denied");
    }
    let allow = entry.ips.as_ref()?;
    let excepted = live(entry, sign_in)
        .filter_map(|exception| exception.ips.as_ref())
        .any(|rules| any_ip(policy, rules, ip));
    (!any_ip(policy, allow, ip) && !excepted).then_some("ip-not-allowed")
}

fn place_reason(policy: &Policy, entry: &Entry, sign_in: &SignIn) -> Option<&'static str> {
    if sign_in.country.is_none() {
        let alert = policy.defaults.unknown_place.unwrap_or(true);
        return (entry.places.is_some() && alert).then_some("place-unknown");
    }
    let denied = |rules: &Vec<PlaceRule>| any_place(policy, rules, sign_in);
    if entry.deny_places.as_ref().is_some_and(denied) {
        return Some("place-denied");
    }
    let allow = entry.places.as_ref()?;
    let excepted = live(entry, sign_in)
        .filter_map(|exception| exception.places.as_ref())
        .any(|rules| any_place(policy, rules, sign_in));
    (!any_place(policy, allow, sign_in) && !excepted).then_some("place-not-allowed")
}

fn credential_reasons(policy: &Policy, entry: &Entry, sign_in: &SignIn) -> BTreeSet<&'static str> {
    let mut reasons = BTreeSet::new();
    let must_tell = sign_in.outcome == "success"
        && sign_in.kind != Kind::ManagedIdentity
        && policy.defaults.unknown_credential.unwrap_or(true);
    if !entry.credentials.is_empty() {
        match &sign_in.credential {
            None if must_tell => {
                reasons.insert("credential-unknown");
            }
            None => {}
            Some(key) => {
                let credential = entry
                    .credentials
                    .iter()
                    .find(|credential| credential.key_id.to_lowercase() == *key);
                let Some(credential) = credential else {
                    reasons.insert("credential-not-allowed");
                    return with_type(reasons, entry, sign_in, must_tell);
                };
                let day = &time_text(sign_in.ticks)[..10];
                if credential.expires.as_deref().is_some_and(|last| day > last) {
                    reasons.insert("credential-expired");
                }
                if let Some(rules) = &credential.ips {
                    match sign_in.ip {
                        _ if sign_in.kind == Kind::ManagedIdentity => {}
                        None if policy.defaults.unknown_ip.unwrap_or(true) => {
                            reasons.insert("ip-unknown");
                        }
                        None => {}
                        Some(ip) if any_ip(policy, rules, ip) => {}
                        Some(_) => {
                            reasons.insert("credential-ip-not-allowed");
                        }
                    }
                }
            }
        }
    }
    with_type(reasons, entry, sign_in, must_tell)
}

fn with_type(
    mut reasons: BTreeSet<&'static str>,
    entry: &Entry,
    sign_in: &SignIn,
    must_tell: bool,
) -> BTreeSet<&'static str> {
    if let Some(types) = &entry.credential_types {
        match sign_in.credential_type {
            None if must_tell => {
                reasons.insert("credential-unknown");
            }
            None => {}
            Some(kind) if types.contains(&kind) => {}
            Some(_) => {
                reasons.insert("credential-type-not-allowed");
            }
        }
    }
    reasons
}

// ---- what becomes of it ----

fn action(policy: &Policy, sign_in: &SignIn, reasons: &BTreeSet<&'static str>) -> Action {
    let d = &policy.defaults;
    let failed = d.failed.unwrap_or(Action::Record);
    let outcome = match sign_in.outcome {
        "failure" => failed,
        _ => Action::Alert,
    };
    if !reasons.contains("unknown-app") || reasons.contains("tenant-not-allowed") {
        return outcome;
    }
    let microsoft = sign_in
        .owner_tenant
        .as_ref()
        .is_some_and(|owner| MICROSOFT.contains(&owner.as_str()));
    let unlisted = if microsoft {
        d.microsoft_owned.unwrap_or(Action::Record)
    } else if sign_in.kind == Kind::ManagedIdentity {
        d.unknown_managed_identity.unwrap_or(Action::Record)
    } else {
        d.unknown_app.unwrap_or(Action::Alert)
    };
    if sign_in.outcome == "blocked-by-ca" && unlisted != Action::Ignore {
        return Action::Alert;
    }
    unlisted.min(outcome)
}

/// `None`: allowed, or only counted.
fn finding(
    policy: &Policy,
    sign_in: &SignIn,
    verdict: &'static str,
    entry: Option<&Entry>,
    reasons: BTreeSet<&'static str>,
) -> Option<Finding> {
    if verdict == "allowed" {
        return None;
    }
    let action = action(policy, sign_in, &reasons);
    if action == Action::Ignore {
        return None;
    }
    let enforce = !policy.defaults.observe.unwrap_or(false);
    let mut severity = entry
        .and_then(|entry| entry.severity)
        .or(policy.defaults.severity)
        .unwrap_or(3);
    if sign_in.outcome == "blocked-by-ca" {
        severity = (severity + 1).min(4);
    }
    Some(Finding {
        time: time_text(sign_in.ticks),
        id: sign_in.id.clone(),
        verdict,
        outcome: sign_in.outcome,
        due: enforce && action == Action::Alert,
        severity: SEVERITIES[severity],
        rule: match (verdict, sign_in.outcome) {
            ("unknown-app", _) => "unknown-app",
            (_, "success") => "outside-policy",
            _ => "failed-outside-policy",
        },
        app: entry.map(|entry| entry.name.clone()),
        reasons,
        app_id: sign_in.app_id.clone(),
        service_principal_id: sign_in.service_principal_id.clone(),
        name: sign_in.name.clone(),
        ip: sign_in.ip.map(|ip| ip.to_string()),
        country: sign_in.country.clone(),
        state: sign_in.state.clone(),
        city: sign_in.city.clone(),
        resource: sign_in.resource.clone(),
        tenant: sign_in.tenant.clone(),
        ticks: sign_in.ticks,
    })
}

/// RFC 3339 in UTC, seven digits.
pub(super) fn time_text(ticks: i64) -> String {
    let at = DateTime::from_timestamp(ticks.div_euclid(TICKS), 0).unwrap();
    format!(
        "{}.{:07}Z",
        at.format("%Y-%m-%dT%H:%M:%S"),
        ticks.rem_euclid(TICKS)
    )
}
