//! Which entry a sign-in falls under.
//!
//! Which selectors an entry has, and so how specific it is, does not depend on the sign-in: entries
//! are ranked once, and choosing is finding the best-ranked one that matches.

use super::entry::{Entry, lower_name};
use crate::sign_in::{Id, SignIn};
use aho_corasick::AhoCorasick;
use rustc_hash::FxHashMap;

/// A GUID, in two numbers: they are hashed sooner than sixteen bytes.
type Key = (u64, u64);

/// Entries that have one selector in common, best first.
#[derive(Debug)]
struct Candidates {
    best: usize,
    /// The best one has no other selector: nothing is left to be compared.
    sure: bool,
    others: Vec<usize>,
}

impl Candidates {
    fn add<K: Eq + std::hash::Hash>(
        map: &mut FxHashMap<K, Self>,
        key: K,
        index: usize,
        sure: bool,
    ) {
        map.entry(key)
            .and_modify(|candidates| candidates.others.push(index))
            .or_insert(Self {
                best: index,
                sure,
                others: Vec::new(),
            });
    }

    #[inline]
    fn choose(&self, entries: &[Entry], sign_in: &SignIn<'_>) -> Option<usize> {
        if self.sure {
            return Some(self.best);
        }
        let matches = |index: &usize| {
            entries
                .get(*index)
                .is_some_and(|entry| entry.selectors.match_all(sign_in))
        };
        let mut all = std::iter::once(self.best).chain(self.others.iter().copied());
        all.find(matches)
    }
}

/// Finds the entry of a sign-in.
#[derive(Debug)]
pub(super) struct Chooser {
    /// Entries that have this selector and none more specific, best first.
    by_service_principal: FxHashMap<Key, Candidates>,
    by_app: FxHashMap<Key, Candidates>,
    by_name: FxHashMap<Box<str>, Candidates>,
    /// Entries by a part of the name alone, best first; the automaton's patterns in that order.
    by_part: Vec<usize>,
    parts: Option<AhoCorasick>,
}

impl Chooser {
    /// Ranks the entries. `None` where the parts of names are too many for an automaton, which
    /// takes gigabytes of them.
    pub(super) fn build(entries: &[Entry]) -> Option<Self> {
        let mut ranked: Vec<usize> = (0..entries.len()).collect();
        // Stable: equally specific entries stay in file order.
        ranked.sort_by_key(|index| {
            std::cmp::Reverse(
                entries
                    .get(*index)
                    .map(|entry| entry.selectors.precedence()),
            )
        });
        let mut chooser = Self {
            by_service_principal: FxHashMap::default(),
            by_app: FxHashMap::default(),
            by_name: FxHashMap::default(),
            by_part: Vec::new(),
            parts: None,
        };
        let mut parts = Vec::new();
        for index in ranked {
            let Some(entry) = entries.get(index) else {
                continue;
            };
            let selectors = &entry.selectors;
            let sure = selectors.count() == 1;
            if let Some(id) = selectors.service_principal_id {
                Candidates::add(
                    &mut chooser.by_service_principal,
                    id.as_u64_pair(),
                    index,
                    sure,
                );
            } else if let Some(id) = selectors.app_id {
                Candidates::add(&mut chooser.by_app, id.as_u64_pair(), index, sure);
            } else if let Some(name) = &selectors.name {
                Candidates::add(&mut chooser.by_name, name.clone(), index, sure);
            } else if let Some(part) = &selectors.contains {
                chooser.by_part.push(index);
                parts.push(part);
            }
        }
        if !parts.is_empty() {
            let automaton = AhoCorasick::new(parts.iter().map(|part| part.as_bytes()));
            chooser.parts = Some(automaton.ok()?);
        }
        Some(chooser)
    }

    /// The entry of a sign-in. Allocates only where its display name is not ASCII or very long.
    pub(super) fn choose(&self, entries: &[Entry], sign_in: &SignIn<'_>) -> Option<usize> {
        let first = |candidates: Option<&Candidates>| candidates?.choose(entries, sign_in);
        let guid = |id: &Option<Id<'_>>| Some(id.as_ref()?.guid()?.as_u64_pair());
        if !self.by_service_principal.is_empty()
            && let Some(id) = guid(&sign_in.service_principal_id)
            && let Some(found) = first(self.by_service_principal.get(&id))
        {
            return Some(found);
        }
        if let Some(id) = guid(&sign_in.app_id)
            && let Some(found) = first(self.by_app.get(&id))
        {
            return Some(found);
        }
        if self.by_name.is_empty() && self.parts.is_none() {
            return None;
        }
        let name = sign_in.name.as_deref()?;
        with_lower(name, |lower| {
            first(self.by_name.get(lower)).or_else(|| self.choose_by_part(lower))
        })
    }

    fn choose_by_part(&self, name: &str) -> Option<usize> {
        let best = self
            .parts
            .as_ref()?
            .find_overlapping_iter(name)
            .map(|found| found.pattern().as_usize())
            .min()?;
        self.by_part.get(best).copied()
    }
}

/// Lower-cases a name, on the stack where it is ASCII and of usual length.
fn with_lower<T>(name: &str, run: impl FnOnce(&str) -> T) -> T {
    let mut buffer = [0; 256];
    if name.is_ascii()
        && let Some(lower) = buffer.get_mut(..name.len())
    {
        lower.copy_from_slice(name.as_bytes());
        lower.make_ascii_lowercase();
        if let Ok(lower) = std::str::from_utf8(lower) {
            return run(lower);
        }
    }
    run(&lower_name(name))
}
