//! What most sign-ins of an entry are allowed by, in one cache line.
//!
//! A policy of a thousand entries does not fit into the nearest cache, and judging by the whole entry looks at
//! half a dozen places of it. What an app usually does is told by a few numbers.

use std::net::{IpAddr, Ipv6Addr};

use super::entry::Entry;
use super::evaluate::Dimension;
use super::network::{Block, RangeSet};
use super::place::PlaceSet;
use crate::sign_in::{Kind, SignIn};

/// A short form of an entry. What it allows, the entry allows; of the rest it says nothing.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Gist {
    /// Allowed ranges, lower and upper end; what is not in use holds no address.
    v4: [(u32, u32); 4],
    /// The upper halves of the ends of an allowed range that is told by them.
    v6: (u64, u64),
    /// Allowed countries; what is not in use is no country.
    countries: [[u8; 2]; 4],
    asks_ip: bool,
    asks_place: bool,
    /// The entry asks for nothing else.
    is_all: bool,
}

impl Gist {
    pub(super) fn of(entry: &Entry) -> Self {
        let asks = |dimension: Dimension| entry.asked & 1 << dimension as u8 != 0;
        let told = [Dimension::Ip, Dimension::Place];
        let mut gist = Self {
            v4: [(u32::MAX, 0); 4],
            v6: (u64::MAX, 0),
            countries: [[0; 2]; 4],
            asks_ip: asks(Dimension::Ip),
            asks_place: asks(Dimension::Place),
            is_all: entry.deny_ips.is_none()
                && entry.deny_places.is_none()
                && Dimension::ALL
                    .into_iter()
                    .all(|dimension| told.contains(&dimension) || !asks(dimension)),
        };
        let ranges = entry.allow_ips.iter().flat_map(|allow| allow.rule.parts());
        let mut v4 = gist.v4.iter_mut();
        for block in ranges.flat_map(RangeSet::blocks) {
            match block {
                Block::V4(low, high) => {
                    if let Some(free) = v4.next() {
                        *free = (low, high);
                    }
                }
                Block::V6(low, high) => {
                    if gist.v6.0 > gist.v6.1 && low as u64 == 0 && high as u64 == u64::MAX {
                        gist.v6 = ((low >> 64) as u64, (high >> 64) as u64);
                    }
                }
            }
        }
        let places = entry
            .allow_places
            .iter()
            .flat_map(|allow| allow.rule.parts());
        let countries = places.flat_map(PlaceSet::countries);
        for (free, country) in gist.countries.iter_mut().zip(countries) {
            *free = *country;
        }
        gist
    }

    /// Whether the entry surely allows a sign-in of its app; `false` says nothing.
    #[inline]
    pub(super) fn allows(&self, sign_in: &SignIn<'_>) -> bool {
        self.is_all
            && sign_in.kind != Kind::ManagedIdentity
            && (!self.asks_ip || sign_in.ip.is_some_and(|address| self.has_address(address)))
            && (!self.asks_place || self.has_country(sign_in))
    }

    #[inline]
    fn has_address(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => {
                let address = address.to_bits();
                let within = |(low, high): (u32, u32)| low <= address && address <= high;
                // Looking at all of them costs less than guessing which one it is.
                self.v4
                    .into_iter()
                    .fold(false, |any, range| any | within(range))
            }
            IpAddr::V6(address) => {
                let upper = (Ipv6Addr::to_bits(address) >> 64) as u64;
                self.v6.0 <= upper && upper <= self.v6.1
            }
        }
    }

    #[inline]
    fn has_country(&self, sign_in: &SignIn<'_>) -> bool {
        let country = sign_in.country.as_deref().map(str::as_bytes);
        match country {
            Some([first, second]) => self.countries.contains(&[*first, *second]),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{sign_in, with_app};
    use super::*;
    use crate::policy::evaluate::Held;

    #[test]
    fn fits_a_cache_line() {
        assert_eq!(size_of::<Gist>(), 64);
    }

    fn address() -> impl Strategy<Value = String> {
        prop_oneof![
            (0_u8..2, 0_u8..8).prop_map(|(third, fourth)| format!("10.0.{third}.{fourth}")),
            (0_u8..3, 0_u8..3).prop_map(|(fourth, last)| format!("2001:db8:0:{fourth}::{last}")),
            Just("0.0.0.1".to_owned()),
            Just("255.255.255.255".to_owned()),
            Just("::2".to_owned()),
        ]
    }

    fn range() -> impl Strategy<Value = String> {
        (address(), 0_u8..5).prop_map(|(address, wider)| {
            let bits = match address.contains(':') {
                true => 128 - 32 * wider.min(2),
                false => 32 - wider,
            };
            // A range begins at its network, or it is a warning; no rule is meant to be that wide.
            let network: ipnetwork::IpNetwork = format!("{address}/{bits}").parse().unwrap();
            format!("\"{}/{bits}\"", network.network())
        })
    }

    fn list(key: &str, values: Vec<String>) -> String {
        match values.is_empty() {
            true => String::new(),
            false => format!("{key} = [{}]\n", values.join(", ")),
        }
    }

    proptest! {
        #[test]
        fn allows_nothing_that_the_entry_does_not(
            ips in prop::collection::vec(range(), 0..7),
            denied in prop::collection::vec(range(), 0..2),
            places in prop::collection::vec(prop_oneof![
                "\"(CH|DE|FR|AT|IT|US)\"", "\"(CH|DE)/Bern\"",
            ], 0..6),
            resources in prop::collection::vec(Just("\"Graph\"".to_owned()), 0..2),
            logged in prop::option::of(address()),
            country in prop::option::of("CH|DE|US|RU|C|"),
            managed in any::<bool>(),
        ) {
            let lines = list("allow.ips", ips)
                + &list("deny.ips", denied)
                + &list("allow.places", places)
                + &list("allow.resources", resources);
            let policy = with_app(&lines);
            let mut sign_in = sign_in();
            sign_in.ip = logged.map(|address| address.parse().unwrap());
            sign_in.country = country.map(Into::into);
            if managed {
                sign_in.kind = Kind::ManagedIdentity;
            }
            let entry = &policy.entries[0];
            let allowed = Dimension::ALL.into_iter().all(|dimension| {
                !matches!(policy.check(entry, dimension, &sign_in), Held::Failed(_))
            });
            prop_assert!(!policy.gists[0].allows(&sign_in) || allowed);
            prop_assert_eq!(policy.judge(&sign_in).reasons.is_empty(), allowed);
        }
    }

    #[test]
    fn allows_what_most_do() {
        let policy = with_app(
            "allow.ips = [\"203.0.113.0/29\", \"2001:db8::/32\"]\nallow.places = [\"CH\", \"DE\"]",
        );
        let gist = policy.gists[0];
        for (address, country, allowed) in [
            ("203.0.113.7", "DE", true),
            ("203.0.113.8", "DE", false),
            ("203.0.113.7", "FR", false),
            ("2001:db8:ffff::1", "CH", true),
            ("2001:db9::1", "CH", false),
        ] {
            let mut sign_in = sign_in();
            sign_in.ip = Some(address.parse().unwrap());
            sign_in.country = Some(country.into());
            assert_eq!(gist.allows(&sign_in), allowed, "{address} {country}");
        }
    }
}
