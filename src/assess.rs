//! Items of a log → counts, findings and rejects, in two steps that share one meaning of "duplicate".
//!
//! A [`Block`] judges a stretch of a log on its own, so that blocks can be judged on several
//! threads; a [`Ledger`] takes the blocks in input order, lets the first of duplicates count, and
//! drops the rest. Pure: threads and files are the caller's.

mod seen;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::finding::Finding;
use crate::ingest::{Fault, Item, Position};
use crate::policy::{Action, Policy};
use crate::sign_in::Timestamp;
use crate::verdict::Verdict;
use seen::Seen;

/// What was read, counted. `sign_ins` = `success` + `failure` = `allowed` + `violation` +
/// `unknown_app`; `records` = `sign_ins` + `duplicates` + `audit_events` + `rejected` + all others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[expect(
    missing_docs,
    reason = "the fields are the documented output format, and their relation stands above"
)]
pub struct Counts {
    pub records: u64,
    pub sign_ins: u64,
    pub success: u64,
    pub failure: u64,
    pub allowed: u64,
    pub violation: u64,
    pub unknown_app: u64,
    pub duplicates: u64,
    pub audit_events: u64,
    pub rejected: u64,
    pub other_categories: BTreeMap<String, u64>,
}

/// Event times that are judged; sign-ins outside it are as if they were not there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Period {
    /// First instant that counts.
    pub since: Option<Timestamp>,
    /// First instant that no longer counts.
    pub until: Option<Timestamp>,
}

impl Period {
    /// Whether a time is in it.
    pub fn contains(&self, time: Timestamp) -> bool {
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time < until)
    }
}

/// A record that could not be judged, kept whole.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// Where it stands in its source.
    pub position: Position,
    /// What is wrong.
    pub error: Fault,
    /// The record as it arrived.
    pub body: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    key: u128,
    verdict: Verdict,
    success: bool,
}

/// A stretch of one source, judged on its own.
#[derive(Debug)]
pub struct Block<'p> {
    policy: &'p Policy,
    period: Period,
    keep_bodies: bool,
    marks: Vec<Mark>,
    findings: Vec<(usize, Finding<'p>)>,
    rejected: Vec<Rejected>,
    audit_events: u64,
    other_categories: BTreeMap<String, u64>,
}

impl<'p> Block<'p> {
    /// An empty block. `keep_bodies`: whether rejects keep the bytes they were (the handler writes
    /// them out, `check` only names them).
    pub fn new(policy: &'p Policy, period: Period, keep_bodies: bool) -> Self {
        Self {
            policy,
            period,
            keep_bodies,
            marks: Vec::new(),
            findings: Vec::new(),
            rejected: Vec::new(),
            audit_events: 0,
            other_categories: BTreeMap::new(),
        }
    }

    /// Judges one item.
    pub fn take(&mut self, position: Position, item: &Item<'_>) {
        match item {
            Item::SignIn(sign_in) => {
                if !self.period.contains(sign_in.time) {
                    return;
                }
                let judgement = self.policy.judge(sign_in);
                self.marks.push(Mark {
                    key: sign_in.key,
                    verdict: judgement.verdict,
                    success: sign_in.outcome.is_success(),
                });
                if judgement.verdict != Verdict::Allowed && judgement.action != Action::Ignore {
                    let finding = Finding::new(self.policy, sign_in, &judgement, position);
                    self.findings.push((self.marks.len() - 1, finding));
                }
            }
            Item::AuditEvent => self.audit_events += 1,
            Item::Other(category) => match self.other_categories.get_mut(category.as_ref()) {
                Some(count) => *count += 1,
                None => {
                    self.other_categories.insert(category.to_string(), 1);
                }
            },
            Item::Reject(reject) => self.rejected.push(Rejected {
                position,
                error: reject.error.clone(),
                body: if self.keep_bodies {
                    reject.body.to_vec()
                } else {
                    Vec::new()
                },
            }),
        }
    }

    /// Moves what says where something stands: on by the records and lines before the block in its source, or back
    /// by those that its reader had counted before the block.
    pub fn shift(&mut self, records: i64, lines: i64) {
        for position in self.positions() {
            position.record = position.record.saturating_add_signed(records);
            position.line = position.line.saturating_add_signed(lines);
        }
        for rejected in &mut self.rejected {
            rejected.error.shift(lines);
        }
    }

    fn positions(&mut self) -> impl Iterator<Item = &mut Position> {
        let findings = self
            .findings
            .iter_mut()
            .map(|(_, finding)| &mut finding.position);
        findings.chain(
            self.rejected
                .iter_mut()
                .map(|rejected| &mut rejected.position),
        )
    }
}

/// Takes blocks in input order; the first of duplicates counts.
#[derive(Debug, Default)]
pub struct Ledger {
    seen: Seen,
    counts: Counts,
}

impl Ledger {
    /// A ledger that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was counted so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Counts a block, and gives its findings and rejects, duplicates dropped.
    pub fn absorb<'p>(&mut self, block: Block<'p>) -> (Vec<Finding<'p>>, Vec<Rejected>) {
        let counts = &mut self.counts;
        let rejected = block.rejected.len() as u64;
        counts.audit_events += block.audit_events;
        counts.rejected += rejected;
        counts.records += block.audit_events + rejected + block.marks.len() as u64;
        for (category, count) in block.other_categories {
            counts.records += count;
            *counts.other_categories.entry(category).or_default() += count;
        }
        let mut findings = Vec::with_capacity(block.findings.len());
        let mut listed = block.findings.into_iter().peekable();
        self.seen.expect(block.marks.len());
        self.seen.fetch(block.marks.iter().map(|mark| mark.key));
        for (place, mark) in block.marks.iter().enumerate() {
            // A finding is large: it is moved only where there is one.
            let finding = match listed.peek() {
                Some((owner, _)) if *owner == place => listed.next(),
                _ => None,
            };
            if !self.seen.insert(mark.key) {
                counts.duplicates += 1;
                continue;
            }
            counts.sign_ins += 1;
            *(if mark.success {
                &mut counts.success
            } else {
                &mut counts.failure
            }) += 1;
            *match mark.verdict {
                Verdict::Allowed => &mut counts.allowed,
                Verdict::Violation => &mut counts.violation,
                Verdict::UnknownApp => &mut counts.unknown_app,
            } += 1;
            findings.extend(finding.map(|(_, finding)| finding));
        }
        (findings, block.rejected)
    }
}
