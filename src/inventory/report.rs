//! Observed beside listed: the rows, and the findings that are of more than one entry.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use super::entries::{Use, of_app, of_entry};
use super::observed::{AppSeen, Key, Observed, Seen, Values};
use super::words::{counted, day, number, some};
use super::{
    AppRow, Code, Finding, Inventory, Period, SCHEMA, SHOWN, SeenCredential, SeenValue, Settings,
};
use crate::policy::{App, ListedEntry, Policy};
use crate::sign_in::{Kind, SignIn};

/// An observed app and the entry that selects it.
pub(super) struct Observation<'o> {
    pub(super) key: &'o Key,
    pub(super) seen: &'o AppSeen,
    /// Index of the entry.
    entry: Option<usize>,
    /// The name seen last, else an id.
    pub(super) name: String,
}

impl Observation<'_> {
    pub(super) fn app_id(&self) -> Option<String> {
        self.key.app.as_ref().map(ToString::to_string)
    }

    fn service_principal_id(&self) -> Option<String> {
        let id = self.key.service_principal.as_ref();
        id.map(ToString::to_string)
    }
}

/// Lays what was observed beside what is listed. `listing` is that of the policy's sources.
pub fn take(
    observed: &Observed,
    policy: &Policy,
    listing: &[ListedEntry],
    settings: &Settings,
) -> Inventory {
    let mut observations: Vec<Observation<'_>> = observed
        .apps
        .iter()
        .map(|(key, seen)| observation(key, seen, policy))
        .collect();
    // The map has no order; listed apps come in the order of the policy.
    observations.sort_by(|a, b| {
        let order = |one: &Observation<'_>| one.entry.unwrap_or(usize::MAX);
        (order(a), &a.name, a.key).cmp(&(order(b), &b.name, b.key))
    });
    let period = observed.all.map(|all| Period {
        first: all.first,
        last: all.last,
    });
    let mut apps = Vec::with_capacity(observations.len());
    let mut findings = Vec::new();
    let mut rest = observations.as_slice();
    for (index, (app, entry)) in policy.apps.iter().zip(listing).enumerate() {
        let count = rest.partition_point(|one| one.entry == Some(index));
        let (own, others) = rest.split_at_checked(count).unwrap_or((rest, &[]));
        rest = others;
        match own {
            [] => apps.push(unseen_row(app)),
            own => apps.extend(own.iter().map(|one| row(one, Some(app)))),
        }
        of_entry(
            &Use {
                app,
                entry,
                own,
                period,
                settings,
            },
            &mut findings,
        );
    }
    for one in rest {
        apps.push(row(one, None));
        of_app(one, period, settings, &mut findings);
    }
    shared_names(&observations, &mut findings);
    shared_addresses(&observations, policy, &mut findings);
    Inventory {
        schema: SCHEMA,
        now: settings.now,
        period,
        sign_ins: observed.sign_in_count(),
        apps,
        findings,
    }
}

fn observation<'o>(key: &'o Key, seen: &'o AppSeen, policy: &Policy) -> Observation<'o> {
    let names = seen.names();
    let select = |name: Option<&str>| {
        policy.select(&SignIn {
            tenant_id: key.tenant.clone(),
            app_id: key.app.clone(),
            service_principal_id: key.service_principal.clone(),
            name: name.map(Into::into),
            ..SignIn::unknown(seen.all.last)
        })
    };
    // By the last of its names; an entry may know an earlier one.
    let entry = match names.as_slice() {
        [] => select(None),
        names => names.iter().find_map(|name| select(Some(name))),
    };
    let id = key.app.as_ref().or(key.service_principal.as_ref());
    let name = names
        .first()
        .map(|name| (*name).to_owned())
        .or(id.map(ToString::to_string));
    Observation {
        key,
        seen,
        entry,
        name: name.unwrap_or_default(),
    }
}

/// The values seen most often, first.
fn most<K: Ord>(values: &Values<K>) -> Vec<(&K, Seen)> {
    let mut most: Vec<(&K, Seen)> = values.seen.iter().map(|(key, seen)| (key, *seen)).collect();
    most.sort_by(|a, b| (Reverse(a.1.count), a.0).cmp(&(Reverse(b.1.count), b.0)));
    most.truncate(SHOWN);
    most
}

fn values<K: Ord>(values: &Values<K>, text: impl Fn(&K) -> String) -> Vec<SeenValue> {
    most(values)
        .into_iter()
        .map(|(key, seen)| value(text(key), seen))
        .collect()
}

fn value(value: String, seen: Seen) -> SeenValue {
    SeenValue {
        value,
        first_seen: seen.first,
        last_seen: seen.last,
        count: seen.count,
    }
}

/// A place as the policy writes it.
pub(super) fn place_text(place: &SignIn<'_>) -> String {
    let parts = [&place.country, &place.state, &place.city];
    let known = parts.iter().rposition(|part| part.is_some());
    let parts: Vec<&str> = parts
        .iter()
        .take(known.map_or(0, |last| last + 1))
        .map(|part| part.as_deref().unwrap_or("?"))
        .collect();
    parts.join("/")
}

pub(super) fn countries(seen: &AppSeen) -> Vec<String> {
    let countries: BTreeSet<String> = seen
        .places()
        .filter_map(|(place, _)| place.country.map(|country| country.into_owned()))
        .collect();
    countries.into_iter().collect()
}

fn row(one: &Observation<'_>, app: Option<&App>) -> AppRow {
    let seen = one.seen;
    let mut places: Vec<SeenValue> = seen
        .places()
        .map(|(place, seen)| value(place_text(&place), seen))
        .collect();
    places.sort_by(|a, b| (Reverse(a.count), &a.value).cmp(&(Reverse(b.count), &b.value)));
    places.truncate(SHOWN);
    let mut credentials: Vec<SeenCredential> = seen
        .credentials
        .seen
        .iter()
        .map(|((id, kind), seen)| SeenCredential {
            key_id: id.to_string(),
            kind: kind.as_ref().map(|kind| kind.as_str().to_owned()),
            first_seen: seen.first,
            last_seen: seen.last,
            count: seen.count,
        })
        .collect();
    credentials.sort_by(|a, b| {
        (Reverse(a.count), &a.key_id, &a.kind).cmp(&(Reverse(b.count), &b.key_id, &b.kind))
    });
    credentials.truncate(SHOWN);
    AppRow {
        name: one.name.clone(),
        other_names: seen.names().into_iter().skip(1).map(Into::into).collect(),
        entry: app.map(|app| app.name.clone()),
        file: app.map(|app| app.file.to_string()),
        line: app.map(|app| app.line),
        tenant_id: one.key.tenant.as_ref().map(ToString::to_string),
        app_id: one.app_id(),
        service_principal_id: one.service_principal_id(),
        category: Some(seen.kind.category()),
        owner: app.and_then(|app| app.owner.clone()),
        purpose: app.and_then(|app| app.purpose.clone()),
        first_seen: Some(seen.all.first),
        last_seen: Some(seen.all.last),
        sign_ins: seen.all.count,
        failures: seen.failures,
        address_count: seen.addresses.seen.len(),
        more_addresses: seen.addresses.more,
        addresses: values(&seen.addresses, IpAddr::to_string),
        countries: countries(seen),
        places,
        resources: values(&seen.resources, |text| text.to_string()),
        credentials,
    }
}

fn unseen_row(app: &App) -> AppRow {
    AppRow {
        name: app.name.clone(),
        other_names: Vec::new(),
        entry: Some(app.name.clone()),
        file: Some(app.file.to_string()),
        line: Some(app.line),
        tenant_id: None,
        app_id: app.app_id.map(|id| id.to_string()),
        service_principal_id: app.service_principal_id.map(|id| id.to_string()),
        category: None,
        owner: app.owner.clone(),
        purpose: app.purpose.clone(),
        first_seen: None,
        last_seen: None,
        sign_ins: 0,
        failures: 0,
        address_count: 0,
        more_addresses: false,
        addresses: Vec::new(),
        countries: Vec::new(),
        places: Vec::new(),
        resources: Vec::new(),
        credentials: Vec::new(),
    }
}

/// One name, several ids: a name is no proof of who it is.
fn shared_names(observations: &[Observation<'_>], findings: &mut Vec<Finding>) {
    // By the folded name: the name as seen, and the ids under it.
    let mut by_name: BTreeMap<String, (&str, BTreeSet<String>)> = BTreeMap::new();
    for one in observations {
        let Some(id) = one.app_id().or_else(|| one.service_principal_id()) else {
            continue;
        };
        for name in one.seen.names() {
            let (_, ids) = by_name
                .entry(name.to_lowercase())
                .or_insert_with(|| (name, BTreeSet::new()));
            ids.insert(id.clone());
        }
    }
    for (name, ids) in by_name.into_values() {
        if ids.len() < 2 {
            continue;
        }
        let ids: Vec<String> = ids.into_iter().collect();
        findings.push(Finding {
            code: Code::NameShared,
            app: Some(name.to_owned()),
            app_id: None,
            file: None,
            line: None,
            message: format!(
                "{} have this name: {}",
                counted(ids.len() as u64, "app id"),
                some(&ids)
            ),
        });
    }
}

/// Several apps from one address. Addresses with the same apps are told together: an office has many.
fn shared_addresses(
    observations: &[Observation<'_>],
    policy: &Policy,
    findings: &mut Vec<Finding>,
) {
    // Apps of one entry are one app here; a number for each keeps a million addresses small.
    let labels: Vec<String> = observations.iter().map(|one| label(one, policy)).collect();
    let sorted: BTreeSet<&str> = labels.iter().map(String::as_str).collect();
    let sorted: Vec<&str> = sorted.into_iter().collect();
    let mut users: HashMap<IpAddr, Vec<usize>> = HashMap::new();
    for (one, label) in observations.iter().zip(&labels) {
        // Microsoft's own apps come from Microsoft's own addresses.
        if one.seen.kind == Kind::MicrosoftServicePrincipal {
            continue;
        }
        let Ok(number) = sorted.binary_search(&label.as_str()) else {
            continue;
        };
        for address in one.seen.addresses.seen.keys() {
            users.entry(*address).or_default().push(number);
        }
    }
    let mut groups: BTreeMap<Vec<usize>, Vec<IpAddr>> = BTreeMap::new();
    for (address, mut users) in users {
        users.sort_unstable();
        users.dedup();
        if users.len() > 1 {
            groups.entry(users).or_default().push(address);
        }
    }
    for (users, mut addresses) in groups {
        let names: Vec<String> = users
            .iter()
            .filter_map(|number| sorted.get(*number))
            .map(|name| (*name).to_owned())
            .collect();
        addresses.sort_unstable();
        let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
        let (verb, from) = match addresses.as_slice() {
            [one] => ("signed in", one.clone()),
            many => (
                "each signed in",
                format!("{} addresses: {}", number(many.len() as u64), some(many)),
            ),
        };
        findings.push(Finding {
            code: Code::SharedAddress,
            app: None,
            app_id: None,
            file: None,
            line: None,
            message: format!(
                "{} {verb} from {from}: {}",
                counted(names.len() as u64, "app"),
                some(&names)
            ),
        });
    }
}

/// What an app is called among others: its entry's name, else its own and its id.
fn label(one: &Observation<'_>, policy: &Policy) -> String {
    if let Some(app) = one.entry.and_then(|entry| policy.apps.get(entry)) {
        return app.name.clone();
    }
    match one.app_id() {
        Some(id) if id != one.name => format!("{} ({id})", one.name),
        _ => one.name.clone(),
    }
}

/// The days that were read.
pub(super) fn period_text(period: Option<Period>) -> String {
    match period {
        None => "which holds no sign-in".to_owned(),
        Some(period) => format!("which covers {} to {}", day(period.first), day(period.last)),
    }
}
