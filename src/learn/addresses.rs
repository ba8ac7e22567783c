//! The addresses of an application: which named sets and ranges hold them, and whether new ones still come.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::history::{Address, App, Sight, Values};
use super::propose::{List, Options};
use super::ranges::{Network, Range, Widest, collapse, neighbourhood};
use super::steady::Steadiness;
use crate::policy::NamedRanges;

/// As many addresses of an application make a named set out of them; fewer may be there by chance.
const MEMBERS_OF_SET: usize = 3;

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

/// What `allow.ips` may hold.
pub(super) fn ips(
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
