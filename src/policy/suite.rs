//! The policy's own tests: sign-ins, and what it is expected to say of them.

use std::sync::Arc;

use super::Policy;
use crate::sign_in::Timestamp;
use crate::verdict::{Reason, ReasonSet, Verdict};

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
    /// The verdict.
    pub got: Verdict,
    /// The reasons, with their sentences.
    pub got_reasons: Vec<Reason>,
}

impl Policy {
    /// Runs the policy's tests: a check of the API or the credential applies where the case gives
    /// one, or pins the reason. `now` is the time of sign-ins that have none.
    pub fn run_tests(&self, now: Timestamp) -> Vec<CaseResult> {
        let mut results = Vec::with_capacity(self.cases.len());
        for (case, line) in &self.cases {
            let mut sign_in = case.sign_in.clone();
            if !case.timed {
                sign_in.time = now;
            }
            let judgement = self.judge(&sign_in);
            let held = judgement.reasons.without(case.unasked);
            let got = match judgement.verdict {
                Verdict::Violation if held.is_empty() => Verdict::Allowed,
                verdict => verdict,
            };
            let mut got_reasons = self.reasons(&sign_in, &judgement);
            got_reasons.retain(|reason| held.contains(reason.code));
            let reasons = case.reasons.is_none_or(|set| set == held);
            results.push(CaseResult {
                name: case.name.clone(),
                file: self.files.get(case.spot.file).cloned().unwrap_or_default(),
                line: *line,
                passed: got == case.expect && reasons,
                expected: case.expect,
                expected_reasons: case.reasons,
                got,
                got_reasons,
            });
        }
        results
    }
}
