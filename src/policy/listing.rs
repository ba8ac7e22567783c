//! The policy's lists as they are written, value by value, for the inventory.
//!
//! Judging needs ranges sorted and merged, and forgets what stood where. Whoever asks which of them are used needs each
//! as it is written; reading it anew, when it is asked for, costs the handler nothing.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::NaiveDate;
use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::collect::Collector;
use super::document::{AppDocument, Document};
use super::entry::{AddressRule, CredentialWord, PlaceRule, day_after};
use super::feeds::FeedFiles;
use super::network::{Block, RangeSet, WrittenRange};
use super::place::{Place, PlaceSet};
use super::sets::{Item, List, Member, Rule, Sets};
use super::source::{Located, Spot};
use super::{Policy, Source};
use crate::sign_in::{SignIn, Timestamp};

/// A file of the policy and a line in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileLine {
    /// Name of the file, as given.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
}

/// How much a list's value allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extent {
    /// Addresses of IPv4.
    pub v4: u64,
    /// Networks of IPv6, each a /64: as many addresses as one site may use count once.
    pub v6: u64,
}

/// A range, or a named set of them, as one value of a list.
#[derive(Debug, Clone)]
pub struct ListedRanges {
    /// As written: `203.0.113.0/24`, or `@office`.
    pub text: String,
    /// Where.
    pub at: FileLine,
    rule: Arc<AddressRule>,
}

impl ListedRanges {
    /// Whether it allows an address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.rule.contains(address)
    }

    /// How much it allows; what two large sets share counts twice.
    pub fn extent(&self) -> Extent {
        let mut extent = Extent::default();
        for block in self.rule.parts().flat_map(RangeSet::blocks) {
            match block {
                Block::V4(low, high) => {
                    let size = u64::from(high - low) + 1;
                    extent.v4 = extent.v4.saturating_add(size);
                }
                Block::V6(low, high) => {
                    let networks = u64::try_from((high >> 64) - (low >> 64)).unwrap_or(u64::MAX);
                    extent.v6 = extent.v6.saturating_add(networks.saturating_add(1));
                }
            }
        }
        extent
    }
}

/// A place, or a named set of them, as one value of a list.
#[derive(Debug, Clone)]
pub struct ListedPlaces {
    /// As written: `CH/Zurich`, or `@benelux`.
    pub text: String,
    /// Where.
    pub at: FileLine,
    rule: Arc<PlaceRule>,
}

impl ListedPlaces {
    /// Whether a sign-in is there.
    pub fn contains(&self, sign_in: &SignIn<'_>) -> bool {
        self.rule.contains(sign_in)
    }
}

/// One `[[app.credential]]`.
#[derive(Debug, Clone)]
pub struct ListedCredential {
    /// The key id, or the federated credential's id.
    pub key_id: Uuid,
    /// The last day on which it is valid.
    pub expires: Option<NaiveDate>,
    /// The first instant at which it no longer is.
    pub expired_from: Option<Timestamp>,
    /// Where.
    pub at: FileLine,
}

/// One `[[app.exception]]`.
#[derive(Debug, Clone)]
pub struct ListedException {
    /// When it ends.
    pub until: Timestamp,
    /// Why it was made.
    pub reason: String,
    /// Its ranges.
    pub ranges: Vec<ListedRanges>,
    /// Its places.
    pub places: Vec<ListedPlaces>,
    /// Where.
    pub at: FileLine,
}

/// One `[[app]]` as its lists are written.
#[derive(Debug, Clone)]
pub struct ListedEntry {
    /// `allow.ips`
    pub ranges: Vec<ListedRanges>,
    /// `allow.places`
    pub places: Vec<ListedPlaces>,
    /// `[[app.credential]]`
    pub credentials: Vec<ListedCredential>,
    /// `[[app.exception]]`
    pub exceptions: Vec<ListedException>,
    /// Whether `allow.credential_types` leaves only what has no secret to keep; `None` without that list.
    pub keeps_no_secret: Option<bool>,
}

impl Policy {
    /// The entry that selects a sign-in's app, by its place in [`Policy::apps`].
    pub fn select(&self, sign_in: &SignIn<'_>) -> Option<usize> {
        self.entry(sign_in).map(|(index, _)| index)
    }
}

/// Reads the lists of each entry: as many as the [`Policy`] of the same sources has, in the same order. Of sources that
/// do not compile it gives what can be read.
pub fn listing(sources: &[Source], feeds: &FeedFiles) -> Vec<ListedEntry> {
    let mut collector = Collector::new(sources);
    let mut document = Document::read(sources, &mut collector);
    let (mut ranges, places) = (
        std::mem::take(&mut document.ranges),
        std::mem::take(&mut document.places),
    );
    super::feeds::load(&mut ranges, feeds, None, &mut collector);
    let mut lister = Lister {
        files: sources
            .iter()
            .map(|source| source.name.as_str().into())
            .collect(),
        ranges: Named::new(Sets::resolve(&ranges, &mut collector)),
        places: Named::new(Sets::resolve(&places, &mut collector)),
        collector,
    };
    document.apps.iter().map(|app| lister.entry(app)).collect()
}

/// A set of `[ranges]`.
#[derive(Debug, Clone)]
pub struct NamedRanges {
    /// Its name, without the `@`.
    pub name: String,
    rule: Arc<AddressRule>,
}

impl NamedRanges {
    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.rule.contains(address)
    }
}

/// The sets of `[ranges]`, feeds included, in the order of their names.
pub fn named_ranges(sources: &[Source], feeds: &FeedFiles) -> Vec<NamedRanges> {
    let mut collector = Collector::new(sources);
    let mut document = Document::read(sources, &mut collector);
    let mut ranges = std::mem::take(&mut document.ranges);
    super::feeds::load(&mut ranges, feeds, None, &mut collector);
    let spots = ranges.iter().map(|(name, set)| (name.clone(), set.spot));
    let spots: Vec<_> = spots.collect();
    let mut named = Named::new(Sets::resolve(&ranges, &mut collector));
    let sets = spots.into_iter().map(|(name, spot)| {
        let member = Located {
            value: Member::Set(name.clone()),
            spot,
        };
        let rule = named.rule(&member, &mut collector);
        NamedRanges { name, rule }
    });
    sets.collect()
}

/// The named sets of one kind; each is made once, whoever names it.
struct Named<'n, T: Item> {
    sets: Sets<'n, T>,
    made: FxHashMap<String, Arc<Rule<T::Set>>>,
}

impl<'n, T: Item> Named<'n, T> {
    fn new(sets: Sets<'n, T>) -> Self {
        Self {
            sets,
            made: FxHashMap::default(),
        }
    }

    fn rule(
        &mut self,
        member: &Located<Member<T>>,
        collector: &mut Collector,
    ) -> Arc<Rule<T::Set>> {
        let Member::Set(name) = &member.value else {
            return Arc::new(self.made_of(member, collector));
        };
        if let Some(rule) = self.made.get(name) {
            return Arc::clone(rule);
        }
        let rule = Arc::new(self.made_of(member, collector));
        self.made.insert(name.clone(), Arc::clone(&rule));
        rule
    }

    fn made_of(&mut self, member: &Located<Member<T>>, collector: &mut Collector) -> Rule<T::Set> {
        let list = Located {
            value: vec![member.clone()],
            spot: member.spot,
        };
        self.sets.rule(&list, collector)
    }
}

struct Lister<'n> {
    files: Vec<Arc<str>>,
    ranges: Named<'n, WrittenRange>,
    places: Named<'n, Place>,
    collector: Collector,
}

impl Lister<'_> {
    fn at(&self, spot: Spot) -> FileLine {
        FileLine {
            file: self.files.get(spot.file).cloned().unwrap_or_default(),
            line: self.collector.line(spot),
        }
    }

    fn ranges(&mut self, list: Option<&List<WrittenRange>>) -> Vec<ListedRanges> {
        let members = list.map(|list| list.value.as_slice()).unwrap_or_default();
        let mut listed = Vec::with_capacity(members.len());
        for member in members {
            let text = match &member.value {
                Member::Set(name) => format!("@{name}"),
                Member::Value(range) => range.text.to_string(),
            };
            let rule: Arc<Rule<RangeSet>> = self.ranges.rule(member, &mut self.collector);
            let at = self.at(member.spot);
            listed.push(ListedRanges { text, at, rule });
        }
        listed
    }

    fn places(&mut self, list: Option<&List<Place>>) -> Vec<ListedPlaces> {
        let members = list.map(|list| list.value.as_slice()).unwrap_or_default();
        let mut listed = Vec::with_capacity(members.len());
        for member in members {
            let text = match &member.value {
                Member::Set(name) => format!("@{name}"),
                Member::Value(place) => place.text.to_string(),
            };
            let rule: Arc<Rule<PlaceSet>> = self.places.rule(member, &mut self.collector);
            let at = self.at(member.spot);
            listed.push(ListedPlaces { text, at, rule });
        }
        listed
    }

    fn entry(&mut self, app: &AppDocument) -> ListedEntry {
        let mut credentials = Vec::new();
        for credential in &app.credentials {
            let Some(key_id) = &credential.key_id else {
                continue;
            };
            let expires = credential.expires.as_ref().map(|day| day.value);
            credentials.push(ListedCredential {
                key_id: key_id.value,
                expires,
                expired_from: expires.and_then(day_after),
                at: self.at(credential.spot),
            });
        }
        let mut exceptions = Vec::new();
        for exception in &app.exceptions {
            let Some(until) = &exception.until else {
                continue;
            };
            exceptions.push(ListedException {
                until: until.value,
                reason: exception.reason.clone().unwrap_or_default(),
                ranges: self.ranges(exception.allow_ips.as_ref()),
                places: self.places(exception.allow_places.as_ref()),
                at: self.at(exception.spot),
            });
        }
        let keyless = |word: &CredentialWord| {
            matches!(
                word,
                CredentialWord::Federated | CredentialWord::ManagedIdentity
            )
        };
        ListedEntry {
            ranges: self.ranges(app.allow_ips.as_ref()),
            places: self.places(app.allow_places.as_ref()),
            credentials,
            exceptions,
            keeps_no_secret: app
                .allow_types
                .as_ref()
                .map(|types| types.value.iter().all(|word| keyless(&word.value))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_each_value_as_it_is_written() {
        let text = r#"version = 1
[ranges]
office = ["192.0.2.0/24", "2001:db8::/47"]
all = ["@office", "198.51.100.1"]
[places]
benelux = ["BE", "NL", "LU"]
[[app]]
name = "a"
app_id = "11111111-0000-4000-8000-000000000001"
allow.ips = [
  "203.0.113.0/25",
  "@all",
  "203.0.113.64/26",
]
allow.places = ["CH/Zurich", "@benelux"]
allow.credential_types = ["federated"]
"#;
        let source = Source {
            name: "policy.toml".into(),
            text: text.into(),
        };
        let listed = listing(&[source], &FeedFiles::default());
        let entry = &listed[0];
        let ranges: Vec<_> = entry
            .ranges
            .iter()
            .map(|range| (range.text.as_str(), range.at.line, range.extent()))
            .collect();
        let extent = |v4, v6| Extent { v4, v6 };
        assert_eq!(
            ranges,
            [
                ("203.0.113.0/25", 11, extent(128, 0)),
                ("@all", 12, extent(257, 131_072)),
                ("203.0.113.64/26", 13, extent(64, 0)),
            ]
        );
        assert!(entry.ranges[1].contains("198.51.100.1".parse().unwrap()));
        assert!(!entry.ranges[1].contains("198.51.100.2".parse().unwrap()));
        let sign_in = SignIn {
            country: Some("NL".into()),
            ..SignIn::unknown(Timestamp::parse("2026-11-24T12:00:00Z").unwrap())
        };
        let there: Vec<bool> = entry.places.iter().map(|p| p.contains(&sign_in)).collect();
        assert_eq!(there, [false, true]);
        assert_eq!(entry.keeps_no_secret, Some(true));
    }
}
