//! What of a history is steady enough to be written down.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use uuid::Uuid;

use super::history::{Address, Api, App, AppKey, History, MOST_VALUES, Sight, Values, Where};
use super::ranges::{Network, Range, Widest, collapse, neighbourhood};
use super::steady::Steadiness;
use crate::policy::{NamedRanges, is_place};

/// A longer list than this is no list that anybody reads.
const MOST_LISTED: usize = 60;
/// As many addresses of an application make a named set out of them; fewer may be there by chance.
const MEMBERS_OF_SET: usize = 3;

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

/// An element of `allow.ips`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Allowed {
    Range(Range),
    /// A named set, and what was seen of it.
    Set {
        name: String,
        addresses: usize,
        sight: Sight,
    },
}

impl Allowed {
    /// As the policy has it.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Range(range) => range.network.to_string(),
            Self::Set { name, .. } => format!("@{name}"),
        }
    }

    pub(super) fn addresses(&self) -> usize {
        match self {
            Self::Range(range) => range.addresses,
            Self::Set { addresses, .. } => *addresses,
        }
    }

    pub(super) fn sight(&self) -> Sight {
        match self {
            Self::Range(range) => range.sight,
            Self::Set { sight, .. } => *sight,
        }
    }
}

/// Takes the addresses of known sets out, those of the set with the most of them first.
fn take_sets(addresses: &mut BTreeMap<IpAddr, Sight>, sets: &[NamedRanges]) -> Vec<Allowed> {
    let mut found = Vec::new();
    loop {
        let members = sets.iter().map(|set| {
            let members = addresses
                .iter()
                .filter(|(address, _)| set.contains(**address));
            let members: Vec<(IpAddr, Sight)> =
                members.map(|(address, sight)| (*address, *sight)).collect();
            (set, members)
        });
        let most = members.reduce(|a, b| if b.1.len() > a.1.len() { b } else { a });
        let Some((set, members)) = most.filter(|(_, members)| members.len() >= MEMBERS_OF_SET)
        else {
            return found;
        };
        let sight = members.iter().map(|(_, sight)| *sight).reduce(Sight::join);
        let Some(sight) = sight else { return found };
        for (address, _) in &members {
            addresses.remove(address);
        }
        found.push(Allowed::Set {
            name: set.name.clone(),
            addresses: members.len(),
            sight,
        });
    }
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
    fn of(values: Vec<T>, steadiness: Steadiness) -> Self {
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

fn ips(
    app: &App,
    all: &Sight,
    evidence: &BTreeMap<IpAddr, &Address>,
    options: &Options,
    sets: &[NamedRanges],
) -> List<Allowed> {
    if app.without_address > 0 {
        return List::Untold(app.without_address);
    }
    if app.addresses.is_empty() {
        return List::None;
    }
    if app.addresses.overflowed() {
        return List::TooLong;
    }
    let widest = Widest {
        v4: options.widest_v4,
        v6: options.widest_v6,
    };
    let mut addresses: BTreeMap<IpAddr, Sight> = app
        .addresses
        .iter()
        .map(|(address, sight)| (*address, *sight))
        .collect();
    let mut allowed = take_sets(&mut addresses, sets);
    let countries: BTreeSet<&str> = app
        .places
        .iter()
        .map(|(place, _)| place.country.as_str())
        .collect();
    let is_against = |network: Network| {
        let (first, last) = network.ends();
        evidence.range(first..=last).any(|(address, known)| {
            app.addresses.get(address).is_none()
                && (!known.worked
                    || app.failing.get(address).is_some()
                    || is_elsewhere(known, &countries))
        })
    };
    // In a neighbourhood where addresses still appear, those that are not there yet are no news.
    let mut by_neighbourhood: BTreeMap<Network, Vec<Sight>> = BTreeMap::new();
    for (address, sight) in &addresses {
        let network = neighbourhood(*address, widest);
        by_neighbourhood.entry(network).or_default().push(*sight);
    }
    let still_coming = |network: Network| {
        let sights = by_neighbourhood.get(&network);
        sights.is_some_and(|sights| !Steadiness::of(all, sights).is_steady())
    };
    let ranges = collapse(&addresses, widest, &is_against, &still_coming);
    // An address that is new in a set is no news.
    let of_sets = allowed.iter().map(Allowed::sight);
    let joined: Vec<Sight> = by_neighbourhood
        .values()
        .filter_map(|sights| sights.iter().copied().reduce(Sight::join))
        .chain(of_sets)
        .collect();
    let mut steadiness = Steadiness::of(all, &joined);
    // New addresses where a whole neighbourhood could not be taken are news, though.
    for (network, sights) in &by_neighbourhood {
        if still_coming(*network) && !ranges.iter().any(|range| range.network == *network) {
            let inside = Steadiness::of(all, sights);
            steadiness.late += inside.late;
            steadiness.newest = steadiness.newest.max(inside.newest);
        }
    }
    allowed.extend(ranges.into_iter().map(Allowed::Range));
    List::of(allowed, steadiness)
}

fn is_elsewhere(known: &Address, countries: &BTreeSet<&str>) -> bool {
    !known.countries.is_empty()
        && !countries.is_empty()
        && !known
            .countries
            .iter()
            .any(|country| countries.contains(country.as_str()))
}

/// Ranges for addresses that an entry lacks: as few as [`collapse`] makes of them, and none beyond what was seen.
pub(super) fn lacking_ranges(
    lacking: &Values<IpAddr>,
    evidence: &BTreeMap<IpAddr, &Address>,
    options: &Options,
    sets: &[NamedRanges],
) -> Vec<Allowed> {
    let mut addresses: BTreeMap<IpAddr, Sight> = lacking
        .iter()
        .map(|(address, sight)| (*address, *sight))
        .collect();
    let mut allowed = take_sets(&mut addresses, sets);
    let is_against = |network: Network| {
        let (first, last) = network.ends();
        let mut inside = evidence.range(first..=last);
        inside.any(|(address, known)| !addresses.contains_key(address) && !known.worked)
    };
    let widest = Widest {
        v4: options.widest_v4,
        v6: options.widest_v6,
    };
    let ranges = collapse(&addresses, widest, &is_against, &|_| false);
    allowed.extend(ranges.into_iter().map(Allowed::Range));
    allowed
}

/// The countries of places that an entry lacks.
pub(super) fn country_places(lacking: &Values<Where>) -> BTreeMap<String, Sight> {
    let mut countries: BTreeMap<String, Sight> = BTreeMap::new();
    for (place, sight) in lacking.iter() {
        if let Some(text) = Level::Country.text(place) {
            let joined = countries
                .get(&text)
                .map_or(*sight, |known| known.join(*sight));
            countries.insert(text, joined);
        }
    }
    countries
}

/// How exactly a place is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    City,
    State,
    Country,
}

impl Level {
    /// The place at this level; `None` where it is not told so exactly, or not in words that a policy can hold.
    fn text(self, place: &Where) -> Option<String> {
        let parts: &[&str] = match self {
            Self::City => &[&place.country, &place.state, &place.city],
            Self::State => &[&place.country, &place.state],
            Self::Country => &[&place.country],
        };
        let well = parts
            .iter()
            .all(|part: &&str| !part.is_empty() && part.trim() == *part)
            && !(self != Self::Country && place.state.contains('/'))
            && !parts.iter().any(|part| part.contains(char::is_control));
        let text = parts.join("/");
        (well && is_place(&text)).then_some(text)
    }
}

/// Places as exactly as they are steady. Where addresses are listed, a country is enough beside them.
fn places(app: &App, all: &Sight, has_ips: bool) -> List<String> {
    if app.without_country > 0 {
        return List::Untold(app.without_country);
    }
    if app.places.is_empty() {
        return List::None;
    }
    let levels: &[Level] = match has_ips {
        true => &[Level::Country],
        false => &[Level::City, Level::State, Level::Country],
    };
    let mut coarsest = List::None;
    for level in levels {
        let mut sights: BTreeMap<String, Sight> = BTreeMap::new();
        let mut told = true;
        for (place, sight) in app.places.iter() {
            match level.text(place) {
                Some(text) => {
                    let joined = sights.get(&text).map_or(*sight, |known| known.join(*sight));
                    sights.insert(text, joined);
                }
                None => told = false,
            }
        }
        if !told {
            continue;
        }
        let mut steadiness = Steadiness::of(all, sights.values());
        if app.places.overflowed() {
            steadiness.late += MOST_VALUES;
        }
        coarsest = List::of(sights.into_keys().collect(), steadiness);
        if coarsest.is_steady() {
            break;
        }
    }
    coarsest
}

/// Where it was seen most, for people.
fn cities(app: &App) -> Vec<String> {
    let mut places: Vec<(&Where, &Sight)> = app.places.iter().collect();
    places.sort_by(|(a, seen_a), (b, seen_b)| (seen_b.count, *a).cmp(&(seen_a.count, *b)));
    let names = places.into_iter().map(|(place, _)| {
        let parts = [&place.city, &place.state, &place.country];
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        parts.cloned().collect::<Vec<_>>().join(", ")
    });
    names.take(4).collect()
}
