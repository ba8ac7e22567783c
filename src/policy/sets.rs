//! Named sets: `@name` resolved, small sets copied into the lists that name them, large ones shared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::collect::Collector;
use super::diagnostic::Code;
use super::document::FeedDocument;
use super::network::{RangeSet, WrittenRange};
use super::place::{Place, PlaceSet};
use super::source::{Located, Spot};
use super::suggest::{nearest, quoted};

/// A set with more members than this is compiled once and shared by the entries that name it:
/// a copy in each of 10,000 entries would cost more than a second binary search does.
const COPIED_AT_MOST: usize = 64;

/// What lists are made of.
#[derive(Debug, Clone)]
pub(super) enum Member<T> {
    /// `@name`
    Set(String),
    /// A value written out.
    Value(T),
}

/// A list as the policy has it.
pub(super) type List<T> = Located<Vec<Located<Member<T>>>>;

/// A named set as the policy has it.
pub(super) struct Named<T> {
    /// Its key.
    pub(super) spot: Spot,
    /// Its members; `None` where it is a feed that could not be read, which was reported.
    pub(super) members: Option<Vec<Located<Member<T>>>>,
    /// The feed that its members come from.
    pub(super) feed: Option<FeedDocument>,
}

/// A kind of value that sets are made of.
pub(super) trait Item: Clone {
    type Set;
    /// Table of the policy that names such sets.
    const TABLE: &'static str;
    fn build(items: &[Self]) -> Self::Set;
    /// How the policy writes it.
    fn text(&self) -> &Arc<str>;
}

impl Item for WrittenRange {
    type Set = RangeSet;
    const TABLE: &'static str = "ranges";
    fn build(items: &[Self]) -> RangeSet {
        RangeSet::build(items)
    }
    fn text(&self) -> &Arc<str> {
        &self.text
    }
}

impl Item for Place {
    type Set = PlaceSet;
    const TABLE: &'static str = "places";
    fn build(items: &[Self]) -> PlaceSet {
        PlaceSet::build(items)
    }
    fn text(&self) -> &Arc<str> {
        &self.text
    }
}

/// A list with its sets resolved.
#[derive(Debug, Clone)]
pub(super) struct Rule<S> {
    own: S,
    shared: Vec<Arc<S>>,
}

impl<S> Rule<S> {
    /// The values that the list does not share with others.
    pub(super) fn own(&self) -> &S {
        &self.own
    }

    /// The large sets that it shares.
    pub(super) fn shared(&self) -> &[Arc<S>] {
        &self.shared
    }

    /// The sets that make up the list.
    pub(super) fn parts(&self) -> impl Iterator<Item = &S> {
        std::iter::once(&self.own).chain(self.shared.iter().map(|set| &**set))
    }
}

/// What a set or a list comes to.
struct Resolved<T: Item> {
    few: Vec<T>,
    shared: Vec<Arc<T::Set>>,
}

impl<T: Item> Default for Resolved<T> {
    fn default() -> Self {
        Self {
            few: Vec::new(),
            shared: Vec::new(),
        }
    }
}

/// The named sets of one table, resolved.
pub(super) struct Sets<'n, T: Item> {
    named: &'n BTreeMap<String, Named<T>>,
    resolved: FxHashMap<&'n str, Resolved<T>>,
    used: BTreeSet<&'n str>,
}

impl<'n, T: Item> Sets<'n, T> {
    /// Resolves the sets, those without references first; what is left over at the end is in, or
    /// hangs on, a cycle. No recursion: a chain of sets may be as long as the file allows.
    pub(super) fn resolve(
        named: &'n BTreeMap<String, Named<T>>,
        collector: &mut Collector,
    ) -> Self {
        let mut sets = Self {
            named,
            resolved: FxHashMap::default(),
            used: BTreeSet::new(),
        };
        let mut waits: FxHashMap<&str, usize> = FxHashMap::default();
        let mut wanted_by: FxHashMap<&str, Vec<&str>> = FxHashMap::default();
        let mut ready = Vec::new();
        for (name, set) in named {
            let references: FxHashSet<&str> = references(set)
                .filter(|(target, _)| named.contains_key(*target))
                .map(|(target, _)| target)
                .collect();
            for target in &references {
                wanted_by.entry(target).or_default().push(name);
            }
            if references.is_empty() {
                ready.push(name.as_str());
            }
            waits.insert(name, references.len());
        }
        while let Some(name) = ready.pop() {
            waits.remove(name);
            if let Some(members) = named.get(name).and_then(|set| set.members.as_deref()) {
                let mut resolved = sets.flatten(members, collector);
                if resolved.few.len() > COPIED_AT_MOST {
                    let set = Arc::new(T::build(&std::mem::take(&mut resolved.few)));
                    resolved.shared.push(set);
                }
                sets.resolved.insert(name, resolved);
            }
            for waiting in wanted_by.remove(name).unwrap_or_default() {
                if let Some(left) = waits.get_mut(waiting) {
                    *left = left.saturating_sub(1);
                    if *left == 0 {
                        ready.push(waiting);
                    }
                }
            }
        }
        report_cycles(named, &waits, collector);
        // What is in a cycle is in use by what closes it: one mistake is enough.
        for (name, set) in named
            .iter()
            .filter(|(name, _)| waits.contains_key(name.as_str()))
        {
            sets.used.insert(name);
            for (target, _) in references(set) {
                sets.used.insert(target);
            }
        }
        sets
    }

    /// Resolves a list of an entry.
    pub(super) fn rule(&mut self, list: &List<T>, collector: &mut Collector) -> Rule<T::Set> {
        let resolved = self.flatten(&list.value, collector);
        Rule {
            own: T::build(&resolved.few),
            shared: resolved.shared,
        }
    }

    /// Reports the sets that nothing refers to.
    pub(super) fn report_unused(&self, collector: &mut Collector) {
        for (name, set) in self.named {
            if !self.used.contains(name.as_str()) {
                let message = format!("nothing uses the set {}", quoted(name));
                collector
                    .report(Code::UnusedSet, set.spot, message)
                    .help(format!("use it as {:?} or remove it", format!("@{name}")));
            }
        }
    }

    fn flatten(
        &mut self,
        members: &[Located<Member<T>>],
        collector: &mut Collector,
    ) -> Resolved<T> {
        let mut list = Resolved::default();
        let mut seen = FxHashSet::default();
        for member in members {
            let name = match &member.value {
                Member::Value(value) => {
                    list.few.push(value.clone());
                    continue;
                }
                Member::Set(name) => name,
            };
            let Some((name, _)) = self.named.get_key_value(name.as_str()) else {
                self.report_unknown(name, member.spot, collector);
                continue;
            };
            self.used.insert(name);
            if !seen.insert(name) {
                continue;
            }
            let Some(resolved) = self.resolved.get(name.as_str()) else {
                continue;
            };
            list.few.extend_from_slice(&resolved.few);
            for shared in &resolved.shared {
                if !list.shared.iter().any(|other| Arc::ptr_eq(other, shared)) {
                    list.shared.push(Arc::clone(shared));
                }
            }
        }
        list
    }

    fn report_unknown(&mut self, name: &str, spot: Spot, collector: &mut Collector) {
        let message = format!("[{}] has no set {}", T::TABLE, quoted(name));
        let names = self.named.keys().map(String::as_str);
        let help = match nearest(name, names) {
            Some(near) => {
                // Meant here, it is in use.
                if let Some((near, _)) = self.named.get_key_value(near) {
                    self.used.insert(near);
                }
                format!("did you mean \"@{near}\"?")
            }
            None if self.named.is_empty() => format!("there is no set in [{}]", T::TABLE),
            None => {
                let some: Vec<_> = self.named.keys().take(8).map(String::as_str).collect();
                format!("known sets: {}", some.join(", "))
            }
        };
        collector.report(Code::UnknownSet, spot, message).help(help);
    }
}

fn references<T>(set: &Named<T>) -> impl Iterator<Item = (&str, Spot)> {
    let members = set.members.as_deref().unwrap_or_default();
    members.iter().filter_map(|member| match &member.value {
        Member::Set(name) => Some((name.as_str(), member.spot)),
        Member::Value(_) => None,
    })
}

/// Follows, from each set that could not be resolved, the first reference to another such set
/// until one comes up again.
fn report_cycles<T>(
    named: &BTreeMap<String, Named<T>>,
    left: &FxHashMap<&str, usize>,
    collector: &mut Collector,
) {
    let mut done: FxHashSet<&str> = FxHashSet::default();
    for start in named.keys() {
        let mut path: Vec<(&str, Spot)> = Vec::new();
        let mut position: FxHashMap<&str, usize> = FxHashMap::default();
        let mut name = start.as_str();
        while left.contains_key(name) && done.insert(name) {
            let Some((key, set)) = named.get_key_value(name) else {
                break;
            };
            let next = references(set).find(|(target, _)| left.contains_key(target));
            let Some((next, spot)) = next else { break };
            position.insert(key, path.len());
            path.push((key, spot));
            name = next;
        }
        let Some(round) = position.get(name).and_then(|from| path.get(*from..)) else {
            continue;
        };
        let Some((_, spot)) = round.first() else {
            continue;
        };
        let mut names: Vec<_> = round.iter().take(8).map(|(name, _)| *name).collect();
        names.push(if round.len() > 8 { "…" } else { name });
        let message = format!("sets contain one another: {}", names.join(" → "));
        collector.report(Code::SetCycle, *spot, message);
    }
}
