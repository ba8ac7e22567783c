//! What of a history is steady enough to be written down.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use uuid::Uuid;

use super::addresses::{Allowed, ips};
use super::history::{Address, Api, App, AppKey, History, MOST_VALUES, Sight, Values};
use super::places::{cities, places};
use super::steady::Steadiness;
use crate::policy::NamedRanges;

/// A longer list than this is no list that anybody reads.
const MOST_LISTED: usize = 60;

/// How much is asked of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The shortest prefix of an IPv4 range.
    pub widest_v4: u8,
    /// The shortest prefix of an IPv6 range.
    pub widest_v6: u8,
    /// An application seen on fewer days is left commented out.
    pub min_days: u32,
    /// An application with fewer successes is left commented out.
    pub min_successes: u64,
    /// Whether credentials are listed for good; else they are commented out.
    pub credentials: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            widest_v4: 24,
            widest_v6: 48,
            min_days: 7,
            min_successes: 20,
            credentials: false,
        }
    }
}

/// What is proposed.
#[derive(Debug)]
pub struct Proposal {
    /// One for each application, in the order of their names.
    pub entries: Vec<Entry>,
    /// The tenants, where every success told its own.
    pub(super) tenants: Vec<Uuid>,
    /// When sign-ins were seen.
    pub(super) all: Option<Sight>,
    /// Sign-ins of Microsoft's applications.
    pub(super) microsoft: u64,
    pub(super) options: Options,
}

/// What is proposed for an application.
#[derive(Debug)]
pub struct Entry {
    /// Its label.
    pub name: String,
    /// Why it stays commented out; `None` where it does not.
    pub held_back: Option<HeldBack>,
    pub(super) key: AppKey,
    pub(super) other_names: Vec<String>,
    pub(super) service_principals: Vec<Uuid>,
    pub(super) successes: Option<Sight>,
    pub(super) failures: u64,
    pub(super) ips: List<Allowed>,
    /// Distinct addresses.
    pub(super) addresses: usize,
    pub(super) places: List<String>,
    /// Cities, for the comment.
    pub(super) cities: Vec<String>,
    pub(super) resources: List<(Api, Sight)>,
    pub(super) credential_types: List<&'static str>,
    pub(super) credentials: Vec<(Uuid, &'static str, Sight)>,
    /// Whether every success told its credential, and so they may be listed.
    pub(super) tells_credentials: bool,
}

/// Why an entry stays commented out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldBack {
    /// It was seen too seldom.
    TooLittle,
    /// It has no id that a policy could name.
    NoId,
    /// Nothing about it is steady.
    NothingSteady,
    /// Its service principal is that of an application that is listed by its own id: an entry for it would be taken
    /// before that one.
    OfAnother,
}

/// A list of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum List<T> {
    /// Steady since then (seconds since 1970).
    Steady(Vec<T>, i64),
    /// New values keep coming: the last of so many at that time.
    Changing {
        values: Vec<T>,
        late: usize,
        newest: i64,
    },
    /// So many successes did not tell it, and a list would be against them.
    Untold(u64),
    /// Longer than anybody reads.
    TooLong,
    /// Nothing of the kind was seen, or it does not apply.
    None,
}

impl<T> List<T> {
    pub(super) fn of(values: Vec<T>, steadiness: Steadiness) -> Self {
        if values.is_empty() {
            return Self::None;
        }
        if values.len() > MOST_LISTED {
            return Self::TooLong;
        }
        match steadiness.is_steady() {
            true => Self::Steady(values, steadiness.newest),
            false => Self::Changing {
                values,
                late: steadiness.late,
                newest: steadiness.newest,
            },
        }
    }

    pub(super) fn is_steady(&self) -> bool {
        matches!(self, Self::Steady(..))
    }
}

impl Proposal {
    /// The sets that are used, without the `@`.
    pub fn sets(&self) -> BTreeSet<&str> {
        let entries = self
            .entries
            .iter()
            .filter(|entry| entry.held_back.is_none());
        let lists = entries.filter_map(|entry| match &entry.ips {
            List::Steady(ips, _) => Some(ips),
            _ => None,
        });
        let names = lists.flatten().filter_map(|allowed| match allowed {
            Allowed::Set { name, .. } => Some(name.as_str()),
            Allowed::Range(_) => None,
        });
        names.collect()
    }
}

/// Proposes entries for everything that a history holds; addresses of these sets are named by them.
pub fn propose(history: &History, options: &Options, sets: &[NamedRanges]) -> Proposal {
    let evidence: BTreeMap<IpAddr, &Address> = history
        .addresses
        .iter()
        .map(|(address, known)| (*address, known))
        .collect();
    let of_apps: BTreeSet<Uuid> = history
        .apps
        .iter()
        .filter(|(key, _)| matches!(key, AppKey::AppId(_)))
        .flat_map(|(_, app)| app.service_principals.iter().map(|(id, _)| *id))
        .collect();
    let mut entries: Vec<Entry> = history
        .apps
        .iter()
        .filter(|(_, app)| app.ours)
        .map(|(key, app)| {
            let mut entry = entry(key, app, &evidence, options, sets);
            if let AppKey::ServicePrincipal(id) = key
                && of_apps.contains(id)
            {
                entry.held_back = Some(HeldBack::OfAnother);
            }
            entry
        })
        .collect();
    entries.sort_by(|a, b| {
        let folded = |entry: &Entry| entry.name.to_lowercase();
        (folded(a), &a.key).cmp(&(folded(b), &b.key))
    });
    name_apart(&mut entries);
    let mut tenants: Vec<Uuid> = match history.without_tenant {
        0 if !history.tenants.overflowed() => history.tenants.iter().map(|(id, _)| *id).collect(),
        _ => Vec::new(),
    };
    tenants.sort();
    Proposal {
        entries,
        tenants,
        all: history.all,
        microsoft: history
            .apps
            .values()
            .filter(|app| !app.ours)
            .map(|app| app.sign_ins)
            .sum(),
        options: *options,
    }
}

/// Labels are unique: those that share one get the first digits of their ids.
fn name_apart(entries: &mut [Entry]) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for entry in entries.iter() {
        *counts.entry(entry.name.clone()).or_default() += 1;
    }
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for entry in entries {
        if counts.get(&entry.name).is_some_and(|count| *count > 1)
            && let AppKey::AppId(id) | AppKey::ServicePrincipal(id) = entry.key
        {
            let digits: String = id.simple().to_string().chars().take(8).collect();
            entry.name = format!("{} ({digits})", entry.name);
        }
        let plain = entry.name.clone();
        let mut number = 2;
        while !taken.insert(entry.name.clone()) {
            entry.name = format!("{plain} #{number}");
            number += 1;
        }
    }
}

/// A name as a label: one line, and not empty.
fn label(name: Option<&str>, key: &AppKey) -> String {
    let shown: String = name
        .unwrap_or_default()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let shown = shown.trim();
    match (shown.is_empty(), key) {
        (false, _) => shown.to_owned(),
        (true, AppKey::AppId(id) | AppKey::ServicePrincipal(id)) => format!("app {id}"),
        (true, AppKey::Name(_)) => "an app without a name".to_owned(),
    }
}

fn entry(
    key: &AppKey,
    app: &App,
    evidence: &BTreeMap<IpAddr, &Address>,
    options: &Options,
    sets: &[NamedRanges],
) -> Entry {
    let name = app.name();
    let mut entry = Entry {
        name: label(name, key),
        held_back: None,
        key: key.clone(),
        other_names: app
            .names
            .keys()
            .filter(|other| Some(other.as_str()) != name)
            .cloned()
            .collect(),
        service_principals: sorted(app.service_principals.iter().map(|(id, _)| *id)),
        successes: app.successes,
        failures: app.failures,
        ips: List::None,
        addresses: app.addresses.len(),
        places: List::None,
        cities: Vec::new(),
        resources: List::None,
        credential_types: List::None,
        credentials: sorted(
            app.credentials
                .iter()
                .map(|((id, word), sight)| (sight.first, *id, *word, *sight)),
        )
        .into_iter()
        .map(|(_, id, word, sight)| (id, word, sight))
        .collect(),
        tells_credentials: app.without_credential == 0 && !app.credentials.overflowed(),
    };
    let Some(all) = app.successes else {
        entry.held_back = Some(HeldBack::TooLittle);
        return entry;
    };
    if app.is_managed_identity() {
        // It carries neither address nor place, and need not tell its kind of credential.
        entry.credential_types = told(app.nameless_credential_type, || {
            let words = app.credential_types.iter().map(|(word, _)| *word);
            List::Steady(sorted(words.chain(["managed-identity"])), all.first)
        });
    } else {
        entry.ips = ips(app, &all, evidence, options, sets);
        entry.places = places(app, &all, entry.ips.is_steady());
        entry.cities = cities(app);
        entry.credential_types = told(app.without_credential_type, || {
            let words = sorted(app.credential_types.iter().map(|(word, _)| *word));
            List::of(words, steadiness(&all, &app.credential_types))
        });
    }
    entry.resources = told(app.without_resource, || {
        let apis = app
            .resources
            .iter()
            .map(|(api, sight)| (api.clone(), *sight));
        let mut apis: Vec<(Api, Sight)> = apis.collect();
        apis.sort_by(|(a, _), (b, _)| a.cmp(b));
        List::of(apis, steadiness(&all, &app.resources))
    });
    entry.held_back = held_back(&entry, &all, options);
    entry
}

fn sorted<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    let values: BTreeSet<T> = values.collect();
    values.into_iter().collect()
}

impl PartialOrd for Sight {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Sight {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.first, self.last, self.count).cmp(&(other.first, other.last, other.count))
    }
}

fn held_back(entry: &Entry, all: &Sight, options: &Options) -> Option<HeldBack> {
    if matches!(entry.key, AppKey::Name(_)) {
        return Some(HeldBack::NoId);
    }
    if all.days() < options.min_days || all.count < options.min_successes {
        return Some(HeldBack::TooLittle);
    }
    let asks_something = entry.ips.is_steady()
        || entry.places.is_steady()
        || entry.resources.is_steady()
        || entry.credential_types.is_steady();
    (!asks_something).then_some(HeldBack::NothingSteady)
}

fn told<T>(untold: u64, list: impl FnOnce() -> List<T>) -> List<T> {
    match untold {
        0 => list(),
        count => List::Untold(count),
    }
}

/// More values than are told apart are never steady.
fn steadiness<K: std::hash::Hash + Eq>(all: &Sight, values: &Values<K>) -> Steadiness {
    let mut steadiness = Steadiness::of(all, values.iter().map(|(_, sight)| sight));
    if values.overflowed() {
        steadiness.late += MOST_VALUES;
    }
    steadiness
}
