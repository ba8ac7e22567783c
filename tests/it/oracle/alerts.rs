//! The alerts that due findings make: identity and merging, written down a second time.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::generate::TICKS;
use super::judge::Finding;
use super::model::Policy;

/// What an alert must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alert {
    pub(super) fingerprint: String,
    pub(super) rule: String,
    pub(super) severity: String,
    pub(super) outcome: String,
    pub(super) count: u64,
    pub(super) first_seen: String,
    pub(super) last_seen: String,
    pub(super) evidence: BTreeSet<String>,
}

fn fingerprint(finding: &Finding) -> String {
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut fields = vec![
        or_empty(&finding.tenant),
        finding.rule.to_owned(),
        finding.outcome.to_owned(),
    ];
    if finding.rule == "unknown-app" {
        fields.push(or_empty(&finding.app_id));
        fields.push(or_empty(&finding.service_principal_id));
    } else {
        fields.push(or_empty(&finding.app));
        fields.push(or_empty(&finding.app_id));
        fields.push(or_empty(&finding.service_principal_id));
        // A BTreeSet of text is sorted.
        fields.extend(finding.reasons.iter().map(|code| (*code).to_owned()));
        fields.push(or_empty(&finding.ip));
        fields.push(or_empty(&finding.country));
    }
    let digest = Sha256::digest(fields.join("\u{1f}").as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The due findings, merged, by alert id. `ids` are the findings' ids as the binary gave them.
pub(super) fn alerts(
    policy: &Policy,
    findings: &[Finding],
    ids: &[String],
) -> BTreeMap<String, Alert> {
    let namespace = Uuid::new_v5(&Uuid::NAMESPACE_URL, b"urn:spwatch:alert:v1");
    let merge = policy.defaults.merge.map_or(3_600, |(_, seconds)| seconds);
    let mut alerts: BTreeMap<String, Alert> = BTreeMap::new();
    for (finding, sign_in_id) in findings.iter().zip(ids) {
        if !finding.due {
            continue;
        }
        let fingerprint = fingerprint(finding);
        let window = if merge == 0 {
            sign_in_id.clone()
        } else {
            let second = finding.ticks.div_euclid(TICKS);
            (second - second.rem_euclid(merge)).to_string()
        };
        let name = format!("{fingerprint}\u{1f}{window}");
        let id = Uuid::new_v5(&namespace, name.as_bytes()).to_string();
        let alert = alerts.entry(id).or_insert_with(|| Alert {
            fingerprint,
            rule: finding.rule.to_owned(),
            severity: finding.severity.to_owned(),
            outcome: finding.outcome.to_owned(),
            count: 0,
            first_seen: finding.time.clone(),
            last_seen: finding.time.clone(),
            evidence: BTreeSet::new(),
        });
        alert.count += 1;
        alert.first_seen = finding.time.clone().min(alert.first_seen.clone());
        alert.last_seen = finding.time.clone().max(alert.last_seen.clone());
        alert.evidence.insert(sign_in_id.clone());
    }
    alerts
}
