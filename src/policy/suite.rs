//! The policy's own tests: sign-ins, and what it is expected to say of them.

use std::sync::Arc;

use super::document::Case;
use super::{Judgement, Policy};
use crate::sign_in::{SignIn, Timestamp};
use crate::verdict::{Reason, ReasonSet, Severity, Verdict};

/// How one `[[test]]` came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseResult {
    /// Its name.
    pub name: String,
    /// File it is in.
    pub file: Arc<str>,
    /// Line of its `[[test]]`, from 1.
    pub line: usize,
    /// Whether the policy says what was expected.
    pub passed: bool,
    /// The verdict that was expected.
    pub expected: Verdict,
    /// The reasons that were expected, where the test pins them.
    pub expected_reasons: Option<ReasonSet>,
    /// Whether an alert was expected, where the test pins it.
    pub expected_due: Option<bool>,
    /// The severity that was expected, where the test pins it.
    pub expected_severity: Option<Severity>,
    /// The verdict.
    pub got: Verdict,
    /// The reasons, with their sentences.
    pub got_reasons: Vec<Reason>,
    /// Whether an alert is due.
    pub got_due: bool,
    /// The severity; none of a sign-in that is allowed.
    pub got_severity: Option<Severity>,
}

/// A case's sign-in at its time, and what the policy says of it.
pub(super) struct Ran<'p> {
    pub(super) case: &'p Case,
    pub(super) line: usize,
    pub(super) sign_in: SignIn<'static>,
    pub(super) judgement: Judgement<'p>,
    /// The reasons that are held against it: not those of what the case leaves out.
    pub(super) held: ReasonSet,
}

impl Policy {
    /// Judges the sign-in of each case.
    pub(super) fn ran_cases(&self, now: Timestamp) -> impl Iterator<Item = Ran<'_>> {
        self.cases.iter().map(move |(case, line)| {
            let mut sign_in = case.sign_in.clone();
            if !case.timed {
                sign_in.time = now;
            }
            let judgement = self.judge(&sign_in);
            Ran {
                case,
                line: *line,
                held: judgement.reasons.without(case.unasked),
                sign_in,
                judgement,
            }
        })
    }

    /// Runs the policy's tests: a check of the API or the credential applies where the case gives
    /// one, or pins the reason. `now` is the time of sign-ins that have none.
    pub fn run_tests(&self, now: Timestamp) -> Vec<CaseResult> {
        let results = self.ran_cases(now).map(|ran| {
            let (case, held) = (ran.case, ran.held);
            let got = match ran.judgement.verdict {
                Verdict::Violation if held.is_empty() => Verdict::Allowed,
                verdict => verdict,
            };
            let found = got != Verdict::Allowed;
            let got_due = found && ran.judgement.is_due();
            let got_severity = found.then_some(ran.judgement.severity);
            let mut got_reasons = self.reasons(&ran.sign_in, &ran.judgement);
            got_reasons.retain(|reason| held.contains(reason.code));
            let reasons = case.reasons.is_none_or(|set| set == held);
            let due = case.due.is_none_or(|due| due == got_due);
            let severity = case.severity.is_none() || case.severity == got_severity;
            CaseResult {
                name: case.name.clone(),
                file: self.files.get(case.spot.file).cloned().unwrap_or_default(),
                line: ran.line,
                passed: got == case.expect && reasons && due && severity,
                expected: case.expect,
                expected_reasons: case.reasons,
                expected_due: case.due,
                expected_severity: case.severity,
                got,
                got_reasons,
                got_due,
                got_severity,
            }
        });
        results.collect()
    }
}
