//! The policy's lists as they are written: each value with its file and line, each set by its name.
//!
//! What `explain` and the coverage of tests point to. Judging never looks at it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::entry::Line;
use super::network::parse_range;
use super::place::parse_place;
use crate::sign_in::SignIn;

/// A value and where it stands. A set is written `@name`.
#[derive(Debug, Clone)]
pub(super) struct WrittenValue {
    pub(super) text: Arc<str>,
    pub(super) line: Line,
}

/// A list of values.
#[derive(Debug)]
pub(super) struct WrittenList {
    /// Where it begins.
    pub(super) line: Line,
    pub(super) values: Vec<WrittenValue>,
}

/// The lists of an `[[app]]`.
#[derive(Debug)]
pub(super) struct WrittenApp {
    pub(super) allow_ips: Option<WrittenList>,
    pub(super) allow_places: Option<WrittenList>,
    pub(super) allow_resources: Option<WrittenList>,
    pub(super) allow_types: Option<WrittenList>,
    pub(super) deny_ips: Option<WrittenList>,
    pub(super) deny_places: Option<WrittenList>,
    /// INVARIANT: as many as the entry's credentials, in the same order.
    pub(super) credentials: Vec<WrittenCredential>,
    /// INVARIANT: as many as the entry's exceptions, in the same order.
    pub(super) exceptions: Vec<WrittenException>,
}

/// An `[[app.credential]]`.
#[derive(Debug)]
pub(super) struct WrittenCredential {
    pub(super) ips: Option<WrittenList>,
    pub(super) expires: Option<Line>,
}

/// The lists of an `[[app.exception]]`.
#[derive(Debug)]
pub(super) struct WrittenException {
    pub(super) ips: Option<WrittenList>,
    pub(super) places: Option<WrittenList>,
}

/// Where `[defaults]` and those of its keys stand that let unknown values pass.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WrittenDefaults {
    pub(super) table: Option<Line>,
    pub(super) unknown_ip: Option<Line>,
    pub(super) unknown_place: Option<Line>,
    pub(super) unknown_credential: Option<Line>,
}

/// The named sets of a table.
pub(super) type WrittenSets = BTreeMap<String, Vec<WrittenValue>>;

/// Everything that is pointed to.
#[derive(Debug)]
pub(super) struct Written {
    /// INVARIANT: as many as the policy's entries, in the same order.
    pub(super) apps: Vec<WrittenApp>,
    pub(super) ranges: WrittenSets,
    pub(super) places: WrittenSets,
    pub(super) tenants: Option<WrittenList>,
    pub(super) defaults: WrittenDefaults,
}

/// The way from a list to a value: the sets that lead to it, and the value. Never empty.
pub(super) type Trail<'w> = Vec<&'w WrittenValue>;

/// Goes through the values of a list, those of sets included, each set once; stops where it is told to. No recursion:
/// a chain of sets may be as long as the file allows.
fn walk<'w>(
    values: &'w [WrittenValue],
    sets: &'w WrittenSets,
    visit: &mut dyn FnMut(&Trail<'w>) -> bool,
) {
    let mut trail = Trail::new();
    let mut open = vec![values.iter()];
    let mut seen = FxHashSet::default();
    while let Some(values) = open.last_mut() {
        let Some(value) = values.next() else {
            open.pop();
            trail.pop();
            continue;
        };
        trail.push(value);
        if let Some(name) = value.text.strip_prefix('@') {
            match sets.get(name) {
                Some(members) if seen.insert(name) => open.push(members.iter()),
                _ => {
                    trail.pop();
                }
            }
            continue;
        }
        if visit(&trail) {
            return;
        }
        trail.pop();
    }
}

/// Every value of a list that meets a condition.
fn all<'w>(
    values: &'w [WrittenValue],
    sets: &'w WrittenSets,
    condition: &dyn Fn(&str) -> bool,
) -> Vec<Trail<'w>> {
    let mut found = Vec::new();
    walk(values, sets, &mut |trail| {
        if trail.last().is_some_and(|value| condition(&value.text)) {
            found.push(trail.clone());
        }
        false
    });
    found
}

/// Whether any value of a list, its sets included, meets a condition.
fn any(
    values: &[WrittenValue],
    sets: &WrittenSets,
    condition: &mut dyn FnMut(&str) -> bool,
) -> bool {
    let mut found = false;
    walk(values, sets, &mut |trail| {
        found = trail.last().is_some_and(|value| condition(&value.text));
        found
    });
    found
}

fn holds_address(text: &str, address: IpAddr) -> bool {
    parse_range(text).is_ok_and(|range| range.block.distance(address) == Some(0))
}

fn holds_place(text: &str, sign_in: &SignIn<'_>) -> bool {
    parse_place(text).is_ok_and(|place| place.holds(sign_in))
}

impl Written {
    /// The ranges of a list that an address is in.
    pub(super) fn around<'w>(&'w self, list: &'w WrittenList, address: IpAddr) -> Vec<Trail<'w>> {
        all(&list.values, &self.ranges, &|text| {
            holds_address(text, address)
        })
    }

    /// The places of a list that a sign-in is at.
    pub(super) fn at<'w>(&'w self, list: &'w WrittenList, sign_in: &SignIn<'_>) -> Vec<Trail<'w>> {
        all(&list.values, &self.places, &|text| {
            holds_place(text, sign_in)
        })
    }

    /// Whether one of some addresses is in a value of a list of ranges.
    pub(super) fn any_address(&self, value: &WrittenValue, addresses: &[IpAddr]) -> bool {
        any(std::slice::from_ref(value), &self.ranges, &mut |text| {
            addresses
                .iter()
                .any(|address| holds_address(text, *address))
        })
    }

    /// Whether one of some sign-ins is at a value of a list of places.
    pub(super) fn any_place(&self, value: &WrittenValue, sign_ins: &[&SignIn<'_>]) -> bool {
        any(std::slice::from_ref(value), &self.places, &mut |text| {
            sign_ins.iter().any(|sign_in| holds_place(text, sign_in))
        })
    }

    /// The range that is nearest to an address, of the same family, and how far its nearer end is.
    pub(super) fn nearest<'w>(
        &'w self,
        list: &'w WrittenList,
        address: IpAddr,
    ) -> Option<(u128, Trail<'w>)> {
        let mut nearest: Option<(u128, Trail<'w>)> = None;
        walk(&list.values, &self.ranges, &mut |trail| {
            let distance = trail
                .last()
                .and_then(|value| parse_range(&value.text).ok())
                .and_then(|range| range.block.distance(address));
            if let Some(distance) = distance
                && nearest.as_ref().is_none_or(|(least, _)| distance < *least)
            {
                nearest = Some((distance, trail.clone()));
            }
            false
        });
        nearest
    }
}
