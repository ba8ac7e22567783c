//! What accepting a new content of a feed file would change: every set that is made of it, and its pin.

use std::collections::BTreeSet;

use super::lock::{Pin, PinnedSet, has_shrunk};
use super::{Fault, Feed, Format, Prefix, sha256};
use crate::sign_in::Timestamp;

/// A set that is made of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// Its name in the policy.
    pub name: String,
    /// The format.
    pub format: Format,
    /// The key.
    pub key: Option<String>,
}

/// What becomes of a set.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// Its name in the policy.
    pub name: String,
    /// How many ranges it will have.
    pub prefixes: usize,
    /// Ranges that it did not have.
    pub added: Vec<String>,
    /// Ranges that it will not have any more.
    pub removed: Vec<String>,
    /// How many it had, where less than half of them are left.
    pub shrunk_from: Option<u64>,
}

/// What accepting the content would do.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// The new pin.
    pub pin: Pin,
    /// By set.
    pub changes: Vec<Change>,
}

/// A set that the new content does not give.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the set {name}: {}; {}", .fault.message, .fault.help)]
pub struct PlanError {
    /// Its name in the policy.
    pub name: String,
    /// What is wrong.
    pub fault: Fault,
}

/// A new content, and where it comes from.
#[derive(Debug, Clone, Copy)]
pub struct Fetched<'a> {
    /// The file as the policy names it.
    pub file: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Where it was fetched, if it was.
    pub url: Option<&'a str>,
    /// When.
    pub at: Timestamp,
}

/// Looks at a new content with the eyes of every set. `old` is what is there now, `pin` what was accepted.
///
/// # Errors
/// A set cannot be made of it, or would be empty.
pub fn plan(
    new: Fetched<'_>,
    old: Option<&[u8]>,
    pin: Option<&Pin>,
    sets: &[Wanted],
) -> Result<Plan, PlanError> {
    let mut changes = Vec::new();
    let mut pinned = Vec::new();
    for set in sets {
        let key = set.key.as_deref();
        let failed = |fault| PlanError {
            name: set.name.clone(),
            fault,
        };
        let prefixes = select(set, new.bytes).map_err(failed)?;
        if prefixes.is_empty() {
            return Err(failed(Fault {
                is_key: false,
                message: "it would be empty".to_owned(),
                help: "is it the right file, and whole?".to_owned(),
            }));
        }
        // What is there may be anything.
        let before = old.and_then(|old| select(set, old).ok());
        let recorded = pin.and_then(|pin| pin.prefixes(set.format, key));
        let known = recorded.or_else(|| u64::try_from(before.as_ref()?.len()).ok());
        let count = u64::try_from(prefixes.len()).unwrap_or(u64::MAX);
        let old_texts = texts(before.as_deref().unwrap_or_default());
        let new_texts = texts(&prefixes);
        let difference = |of: &BTreeSet<&str>, without: &BTreeSet<&str>| {
            let texts = of.difference(without);
            texts.map(|text| (*text).to_owned()).collect()
        };
        changes.push(Change {
            name: set.name.clone(),
            prefixes: prefixes.len(),
            added: difference(&new_texts, &old_texts),
            removed: difference(&old_texts, &new_texts),
            shrunk_from: known.filter(|known| has_shrunk(*known, count)),
        });
        pinned.push(PinnedSet {
            format: set.format.as_str().to_owned(),
            key: set.key.clone(),
            prefixes: count,
        });
    }
    pinned.sort();
    pinned.dedup();
    Ok(Plan {
        pin: Pin {
            file: new.file.to_owned(),
            url: new.url.map(str::to_owned),
            sha256: sha256(new.bytes),
            fetched: new.at,
            size_bytes: u64::try_from(new.bytes.len()).unwrap_or(u64::MAX),
            sets: pinned,
        },
        changes,
    })
}

fn select(set: &Wanted, bytes: &[u8]) -> Result<Vec<Prefix>, Fault> {
    Feed::parse(set.format, bytes)?.select(set.key.as_deref())
}

fn texts(prefixes: &[Prefix]) -> BTreeSet<&str> {
    prefixes.iter().map(|prefix| &*prefix.text).collect()
}
