//! Addresses → few ranges, none of them wider than what was seen allows.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::history::Sight;

/// The widest ranges that are proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Widest {
    pub(super) v4: u8,
    pub(super) v6: u8,
}

/// A network, and what was seen from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) network: Network,
    pub(super) addresses: usize,
    pub(super) sight: Sight,
}

/// A network: the first address and the length of the prefix. In 128 bits for both families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Network {
    v6: bool,
    base: u128,
    prefix: u8,
}

impl Network {
    pub(super) fn of(address: IpAddr, prefix: u8) -> Self {
        let (v6, bits) = match address {
            IpAddr::V4(v4) => (false, u128::from(u32::from(v4))),
            IpAddr::V6(v6) => (true, u128::from(v6)),
        };
        let network = Self {
            v6,
            base: 0,
            prefix,
        };
        Self {
            base: bits & !network.hosts(),
            ..network
        }
    }

    fn longest(self) -> u8 {
        if self.v6 { 128 } else { 32 }
    }

    /// The bits right of the prefix.
    fn hosts(self) -> u128 {
        let bits = u32::from(self.longest().saturating_sub(self.prefix));
        match bits {
            128.. => u128::MAX,
            bits => (1 << bits) - 1,
        }
    }

    pub(super) fn contains(self, address: IpAddr) -> bool {
        Self::of(address, self.prefix) == self
    }

    pub(super) fn is_single(self) -> bool {
        self.prefix == self.longest()
    }

    /// How many addresses it has, as far as a number of 64 bits can say.
    pub(super) fn size(self) -> u64 {
        u64::try_from(self.hosts()).map_or(u64::MAX, |hosts| hosts.saturating_add(1))
    }

    /// Its first and its last address.
    pub(super) fn ends(self) -> (IpAddr, IpAddr) {
        let last = Self {
            base: self.base | self.hosts(),
            ..self
        };
        (self.first(), last.first())
    }

    fn first(self) -> IpAddr {
        match self.v6 {
            true => IpAddr::V6(Ipv6Addr::from(self.base)),
            // INVARIANT: the base of an IPv4 network has 32 bits.
            false => IpAddr::V4(Ipv4Addr::from(u32::try_from(self.base).unwrap_or_default())),
        }
    }

    fn halves(self) -> Option<[Self; 2]> {
        let prefix = self.prefix.checked_add(1)?;
        let half = Self { prefix, ..self };
        (prefix <= self.longest()).then(|| {
            let upper = Self {
                base: self.base | (half.hosts() + 1),
                ..half
            };
            [half, upper]
        })
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let address = self.first();
        match self.is_single() {
            true => write!(f, "{address}"),
            false => write!(f, "{address}/{}", self.prefix),
        }
    }
}

/// The widest network around an address that may be proposed: what is new in it is no news.
pub(super) fn neighbourhood(address: IpAddr, widest: Widest) -> Network {
    match address {
        IpAddr::V4(_) => Network::of(address, widest.v4),
        IpAddr::V6(_) => Network::of(address, widest.v6),
    }
}

/// Collapses addresses into ranges.
///
/// `is_against` says whether something is known that speaks against allowing an address: then no range holds it.
/// `still_coming` says whether new addresses still came in a neighbourhood: then it is taken whole, if nothing is
/// against it.
pub(super) fn collapse(
    addresses: &BTreeMap<IpAddr, Sight>,
    widest: Widest,
    is_against: &dyn Fn(Network) -> bool,
    still_coming: &dyn Fn(Network) -> bool,
) -> Vec<Range> {
    let mut neighbourhoods: BTreeMap<Network, Vec<(IpAddr, Sight)>> = BTreeMap::new();
    for (address, sight) in addresses {
        let network = neighbourhood(*address, widest);
        neighbourhoods
            .entry(network)
            .or_default()
            .push((*address, *sight));
    }
    let mut ranges = Vec::new();
    for (network, members) in neighbourhoods {
        let whole = members.len() > 1 && still_coming(network);
        split(network, &members, whole, is_against, &mut ranges);
    }
    ranges
}

/// As few addresses as this in a wide range say nothing of the rest of it.
const FEW: usize = 3;
/// A range of at most that many addresses is taken whole for two of them.
const SMALL: u64 = 8;

fn split(
    network: Network,
    members: &[(IpAddr, Sight)],
    whole: bool,
    is_against: &dyn Fn(Network) -> bool,
    ranges: &mut Vec<Range>,
) {
    let Some((first, rest)) = members.split_first() else {
        return;
    };
    let network = match (whole, rest.is_empty()) {
        (true, false) => network,
        _ => tightest(network, members),
    };
    let worth = rest.is_empty() || members.len() >= FEW || network.size() <= SMALL;
    if network.is_single() || (worth && !is_against(network)) {
        let sight = rest
            .iter()
            .fold(first.1, |sum, (_, sight)| sum.join(*sight));
        ranges.push(Range {
            network,
            addresses: members.len(),
            sight,
        });
        return;
    }
    // INVARIANT: a network that is not single has halves, and each is smaller: it ends at single addresses.
    for half in network.halves().into_iter().flatten() {
        let inside: Vec<(IpAddr, Sight)> = members
            .iter()
            .filter(|(address, _)| half.contains(*address))
            .copied()
            .collect();
        split(half, &inside, whole, is_against, ranges);
    }
}

/// The smallest network that holds them all.
fn tightest(mut network: Network, members: &[(IpAddr, Sight)]) -> Network {
    while let Some(halves) = network.halves() {
        let holds_all = |half: &Network| members.iter().all(|(address, _)| half.contains(*address));
        match halves.into_iter().find(holds_all) {
            Some(half) => network = half,
            None => break,
        }
    }
    network
}
