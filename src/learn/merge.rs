//! A history beside a policy that is there: what its entries lack, and a text that has it, comments and order kept.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::addresses::lacking_ranges;
use super::history::{Address, Api, History, Values, Where, see_address};
use super::places::country_places;
use super::propose::{Options, Proposal, propose};
use super::splice::Splices;
use super::write::{block, sight};
use crate::policy::{Judgement, NamedRanges, Policy};
use crate::sign_in::SignIn;
use crate::verdict::{ReasonCode, Verdict};
use crate::wording::remark;
use rustc_hash::FxHashMap;

/// What a history has that a policy does not allow.
#[derive(Debug, Default)]
pub struct Gaps {
    entries: BTreeMap<String, Lacking>,
    unlisted: History,
    addresses: FxHashMap<IpAddr, Address>,
}

/// What an entry lacks.
#[derive(Debug, Default)]
struct Lacking {
    /// The entry's file and line.
    at: (String, usize),
    ips: Values<IpAddr>,
    places: Values<Where>,
    resources: Values<Api>,
    /// Reasons that no list mends, and how often.
    others: BTreeMap<&'static str, u64>,
}

/// A proposal for a policy that is there.
#[derive(Debug)]
pub struct Merged {
    /// The root file's text, with what is proposed.
    pub text: String,
    /// Entries that were changed.
    pub changed: usize,
    /// Applications that were added, commented out or not.
    pub added: usize,
    /// What was not done, and why: a sentence each.
    pub left: Vec<String>,
}

impl Gaps {
    /// Takes in a sign-in and what the policy says of it.
    pub fn add(&mut self, sign_in: &SignIn<'_>, judgement: &Judgement<'_>) {
        see_address(&mut self.addresses, sign_in);
        let Some(app) = judgement.app else {
            self.unlisted.add(sign_in);
            return;
        };
        if judgement.verdict != Verdict::Violation || !sign_in.outcome.is_success() {
            return;
        }
        let lacking = self.entries.entry(app.name.clone()).or_default();
        lacking.at = (app.file.to_string(), app.line);
        let time = sign_in.time.unix_seconds();
        for code in judgement.reasons.iter() {
            match (code, sign_in.ip) {
                (ReasonCode::IpNotAllowed, Some(address)) => lacking.ips.see(address, time),
                (ReasonCode::PlaceNotAllowed, _) => {
                    lacking.places.see(Where::of(sign_in), time);
                }
                (ReasonCode::ResourceNotAllowed, _) => {
                    lacking.resources.see(Api::of(sign_in), time);
                }
                _ => *lacking.others.entry(code.as_str()).or_default() += 1,
            }
        }
    }

    /// Whether the policy allows all of it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.unlisted.is_empty()
    }
}

/// Proposes the text of the root file with what its entries lack and the applications it does not list.
pub fn merge(
    root: &str,
    policy: &Policy,
    gaps: &Gaps,
    options: &Options,
    sets: &[NamedRanges],
) -> Merged {
    let mut splices = Splices::default();
    let mut merged = Merged {
        text: String::new(),
        changed: 0,
        added: 0,
        left: Vec::new(),
    };
    let evidence: BTreeMap<IpAddr, &Address> = gaps
        .addresses
        .iter()
        .map(|(address, known)| (*address, known))
        .collect();
    for (name, lacking) in &gaps.entries {
        let additions = lacking.additions(&evidence, options, sets);
        for (reason, count) in &lacking.others {
            merged.left.push(format!(
                "{name}: {count} x {reason}: no list of addresses, places or resources mends that"
            ));
        }
        if additions.iter().all(|(_, values)| values.is_empty()) {
            continue;
        }
        match splices.add(root, name, &additions) {
            true => merged.changed += 1,
            false => {
                let (file, line) = &lacking.at;
                let values = additions.iter().flat_map(|(key, values)| {
                    values
                        .iter()
                        .map(move |(value, _)| format!("{key} {value}"))
                });
                let values: Vec<String> = values.collect();
                merged.left.push(format!(
                    "{name} is in {file}:{line}, which is not this file; it lacks {}",
                    values.join(", ")
                ));
            }
        }
    }
    merged.text = splices.into_text(root);
    let mut proposal = propose(&gaps.unlisted, options, sets);
    rename(&mut proposal, policy);
    merged.added = proposal.entries.len();
    for entry in &proposal.entries {
        let mut added = block(entry, &proposal);
        if !merged.text.ends_with('\n') {
            added.insert(0, '\n');
        }
        added.insert(0, '\n');
        if root.contains("\r\n") {
            added = added.replace('\n', "\r\n");
        }
        merged.text.push_str(&added);
    }
    merged
}

/// Labels that the policy has already get a number.
fn rename(proposal: &mut Proposal, policy: &Policy) {
    let mut taken: BTreeSet<String> = policy.apps.iter().map(|app| app.name.clone()).collect();
    for entry in &mut proposal.entries {
        let plain = entry.name.clone();
        let mut number = 2;
        while !taken.insert(entry.name.clone()) {
            entry.name = format!("{plain} #{number}");
            number += 1;
        }
    }
}

/// Values for a list, each with its remark.
type Additions = [(&'static str, Vec<(String, String)>); 3];

impl Lacking {
    fn additions(
        &self,
        evidence: &BTreeMap<IpAddr, &Address>,
        options: &Options,
        sets: &[NamedRanges],
    ) -> Additions {
        let ips = lacking_ranges(&self.ips, evidence, options, sets);
        let ips = ips
            .iter()
            .map(|allowed| (allowed.text(), sight(&allowed.sight())));
        let places = country_places(&self.places);
        let places = places
            .into_iter()
            .map(|(place, seen)| (place, sight(&seen)));
        let mut resources: Vec<(String, String)> = self
            .resources
            .iter()
            .map(|(api, seen)| match &api.id {
                Some(id) => (
                    id.to_string(),
                    format!("{}: {}", remark(&api.name), sight(seen)),
                ),
                None => (api.name.clone(), sight(seen)),
            })
            .collect();
        resources.sort();
        resources.dedup_by(|(a, _), (b, _)| a == b);
        [
            ("ips", ips.collect()),
            ("places", places.collect()),
            ("resources", resources),
        ]
    }
}
