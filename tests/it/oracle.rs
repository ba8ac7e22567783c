//! `check` against an independent reading of the contract, on random policies and logs.
//!
//! The judge in [`judge`] knows the generator's values, never their text, and shares no code
//! with the crate. `SPWATCH_ORACLE_CASES` runs more cases, `SPWATCH_ORACLE_SEED` starts at
//! another seed; a failure prints its seed and the smallest case that still fails.

mod alerts;
mod generate;
mod judge;
mod model;
mod shapes;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use alerts::Alert;
use judge::Finding;
use model::Case;

const RULES: [&str; 3] = ["outside-policy", "failed-outside-policy", "unknown-app"];

#[test]
fn check_agrees_with_an_independent_reading_of_the_contract() {
    let number = |name: &str, otherwise: u64| {
        std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
    };
    let first = number("SPWATCH_ORACLE_SEED", 1);
    let cases = number("SPWATCH_ORACLE_CASES", 70);
    let home = tempfile::tempdir().unwrap();
    let mut seen = BTreeSet::new();
    for seed in first..first + cases {
        let case = generate::case(seed);
        match compare(&case, home.path()) {
            Ok(reasons) => seen.extend(reasons),
            Err(_) => {
                let case = shrink(case, home.path());
                let complaint = compare(&case, home.path()).unwrap_err();
                panic!("seed {seed}\n{complaint}\n{}", show(&case));
            }
        }
    }
    // Agreement on nothing would prove nothing.
    if cases >= 60 {
        assert_eq!(seen.len(), 14, "reasons met: {seen:?}");
    }
}

/// Leaves out records and entries for as long as the two still disagree.
fn shrink(mut case: Case, home: &Path) -> Case {
    let mut attempts = 600;
    loop {
        let mut smaller: Vec<Case> = Vec::new();
        for file in 0..case.files.len() {
            let mut less = case.clone();
            less.files.remove(file);
            smaller.push(less);
            for item in 0..case.files[file].items.len() {
                let mut less = case.clone();
                less.files[file].items.remove(item);
                smaller.push(less);
            }
        }
        for entry in 0..case.policy.entries.len() {
            let mut less = case.clone();
            less.policy.entries.remove(entry);
            smaller.push(less);
        }
        let next = smaller.into_iter().find(|less| {
            attempts -= 1;
            attempts > 0 && !less.files.is_empty() && compare(less, home).is_err()
        });
        match next {
            Some(less) => case = less,
            None => return case,
        }
    }
}

fn show(case: &Case) -> String {
    let mut out = format!("--- policy\n{}", case.policy.to_toml());
    if let Some(tenant) = &case.tenant {
        let _ = writeln!(out, "--- --tenant {tenant}");
    }
    for file in &case.files {
        let (mut bytes, name) = shapes::write(file);
        if name.ends_with(".gz") {
            let mut text = Vec::new();
            std::io::copy(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut text).unwrap();
            bytes = text;
        }
        let _ = writeln!(out, "--- {name}\n{}", String::from_utf8_lossy(&bytes));
    }
    out
}

/// Runs the binary on a case. Ok are the reasons met, an error says what differs.
fn compare(case: &Case, home: &Path) -> Result<BTreeSet<&'static str>, String> {
    let policy = home.join("policy.toml");
    std::fs::write(&policy, case.policy.to_toml()).unwrap();
    let mut files = Vec::new();
    for (index, file) in case.files.iter().enumerate() {
        let (bytes, name) = shapes::write(file);
        let path = home.join(format!("{index}-{name}"));
        std::fs::write(&path, bytes).unwrap();
        files.push(path);
    }
    let run = |more: &[&str]| check(&policy, case.tenant.as_deref(), &files, more);
    let expected = judge::judge(case);

    let one = run(&["--format", "json", "--jobs", "1"]);
    let due = expected.findings.iter().any(|finding| finding.due);
    let status = if due { 10 } else { 0 };
    if one.status.code() != Some(status) {
        return Err(format!(
            "exit {:?}, expected {status}: {}",
            one.status.code(),
            String::from_utf8_lossy(&one.stderr)
        ));
    }
    if run(&["--format", "json", "--jobs", "2"]).stdout != one.stdout {
        return Err("--jobs 1 and --jobs 2 differ".to_owned());
    }
    let document: Value = serde_json::from_slice(&one.stdout).map_err(|e| e.to_string())?;
    compare_counts(&expected, &document)?;

    let lines = run(&["--format", "ndjson"]).stdout;
    let lines: Vec<Value> = serde_json::Deserializer::from_slice(&lines)
        .into_iter::<Value>()
        .map(|line| line.map_err(|e| format!("ndjson: {e}")))
        .collect::<Result<_, _>>()?;
    differ(
        &expected
            .findings
            .iter()
            .map(line_of_expected)
            .collect::<Vec<_>>(),
        &lines.iter().map(line_of_found).collect::<Vec<_>>(),
        "ndjson, in input order",
    )?;

    let listed = document["findings"].as_array().ok_or("no findings")?;
    if !listed.is_sorted_by_key(|finding| text(&finding["time"])) {
        return Err("findings are not in event-time order".to_owned());
    }
    let sorted = |mut lines: Vec<String>| {
        lines.sort();
        lines
    };
    differ(
        &sorted(expected.findings.iter().map(line_of_expected).collect()),
        &sorted(listed.iter().map(line_of_found).collect()),
        "json",
    )?;

    let ids: Vec<String> = lines
        .iter()
        .map(|line| text(&line["id"]).unwrap_or_default())
        .collect();
    compare_alerts(
        &alerts::alerts(&case.policy, &expected.findings, &ids),
        &document,
    )?;

    let table = run(&["--format", "csv"]).stdout;
    let mut reader = csv::Reader::from_reader(&table[..]);
    let column = reader
        .headers()
        .unwrap()
        .iter()
        .position(|name| name == "id");
    let column = column.ok_or("csv has no column id")?;
    let mut in_csv: Vec<String> = reader
        .records()
        .map(|row| row.unwrap()[column].to_owned())
        .collect();
    let mut ids = ids;
    ids.sort();
    in_csv.sort();
    if ids != in_csv {
        return Err(format!("csv has ids {in_csv:?}, ndjson {ids:?}"));
    }
    let reasons = expected.findings.into_iter();
    Ok(reasons.flat_map(|finding| finding.reasons).collect())
}

fn check(policy: &Path, tenant: Option<&str>, files: &[PathBuf], more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spwatch"));
    command
        .env_clear()
        .args(["check", "--now", "2026-04-01T00:00:00Z", "--policy"])
        .arg(policy)
        .args(more);
    if let Some(tenant) = tenant {
        command.args(["--tenant", tenant]);
    }
    command.args(files).output().unwrap()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// The finding's id; `None` for one made up of 32 hex digits.
fn id_of(finding: &Value) -> Option<String> {
    text(&finding["id"]).filter(|id| id.len() != 32 || !id.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn compare_counts(expected: &judge::Expected, document: &Value) -> Result<(), String> {
    let found = &document["counts"];
    for (name, number) in &expected.counts {
        if found[*name] != *number {
            return Err(format!(
                "counts.{name} is {}, expected {number}; {found}; rejected {}",
                found[*name], document["rejected"]
            ));
        }
    }
    let others: BTreeMap<String, u64> =
        serde_json::from_value(found["other_categories"].clone()).map_err(|e| e.to_string())?;
    if others != expected.other_categories {
        return Err(format!(
            "other categories {others:?}, expected {:?}",
            expected.other_categories
        ));
    }
    let rejected = document["rejected"].as_array().map_or(0, Vec::len) as u64;
    if rejected != expected.counts["rejected"] {
        return Err(format!(
            "{rejected} rejects are listed: {}",
            document["rejected"]
        ));
    }
    Ok(())
}

fn differ(expected: &[String], found: &[String], what: &str) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    let mut complaint = format!("findings differ ({what})\n");
    for line in expected.iter().filter(|line| !found.contains(line)) {
        let _ = writeln!(complaint, "  expected {line}");
    }
    for line in found.iter().filter(|line| !expected.contains(line)) {
        let _ = writeln!(complaint, "  found    {line}");
    }
    Err(complaint)
}

fn line_of_expected(finding: &Finding) -> String {
    format!(
        "{} {:?} {} {} due={} {} {} app={:?} {:?} {:?} {:?} {:?} ip={:?} {:?}/{:?}/{:?} {:?}",
        finding.time,
        finding.id,
        finding.verdict,
        finding.outcome,
        finding.due,
        finding.severity,
        finding.rule,
        finding.app,
        finding.reasons,
        finding.app_id,
        finding.service_principal_id,
        finding.name,
        finding.ip,
        finding.country,
        finding.state,
        finding.city,
        finding.resource,
    )
}

fn line_of_found(finding: &Value) -> String {
    let word = |name: &str| text(&finding[name]).unwrap_or_else(|| "?".to_owned());
    let maybe = |name: &str| text(&finding[name]);
    let mut reasons: Vec<String> = finding["reasons"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|reason| text(&reason["code"]))
        .collect();
    // Kept as a list, so that a reason said twice shows.
    reasons.sort();
    format!(
        "{} {:?} {} {} due={} {} {} app={:?} {} {:?} {:?} {:?} ip={:?} {:?}/{:?}/{:?} {:?}",
        word("time"),
        id_of(finding),
        word("verdict"),
        word("outcome"),
        finding["due"],
        word("severity"),
        word("rule"),
        maybe("app"),
        format!("{reasons:?}").replace('[', "{").replace(']', "}"),
        maybe("app_id"),
        maybe("service_principal_id"),
        maybe("service_principal_name"),
        maybe("ip"),
        maybe("country"),
        maybe("state"),
        maybe("city"),
        maybe("resource"),
    )
}

fn compare_alerts(expected: &BTreeMap<String, Alert>, document: &Value) -> Result<(), String> {
    let mut found = BTreeMap::new();
    for alert in document["alerts"].as_array().ok_or("no alerts")? {
        let word = |name: &str| text(&alert[name]).unwrap_or_default();
        if !RULES.contains(&word("rule").as_str()) {
            continue;
        }
        let evidence: BTreeSet<String> = alert["evidence"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(text)
            .collect();
        let value = Alert {
            fingerprint: word("fingerprint"),
            rule: word("rule"),
            severity: word("severity"),
            outcome: text(&alert["sign_in"]["outcome"]).unwrap_or_default(),
            count: alert["count"].as_u64().unwrap_or_default(),
            first_seen: word("first_seen"),
            last_seen: word("last_seen"),
            evidence,
        };
        let omitted = alert["evidence_omitted"].as_u64().unwrap_or_default();
        if value.evidence.len() as u64 + omitted != value.count {
            return Err(format!(
                "evidence and count disagree: {value:?}, {omitted} omitted"
            ));
        }
        if found.insert(word("id"), value).is_some() {
            return Err(format!("alert {} is listed twice", word("id")));
        }
    }
    let agree = |id: &String, wanted: &Alert| {
        found.get(id).is_some_and(|alert| {
            let shown = alert.evidence.iter();
            let cut = wanted.count > 50
                && alert.evidence.len() == 50
                && shown.clone().all(|id| wanted.evidence.contains(id));
            let evidence = if cut {
                &alert.evidence
            } else {
                &wanted.evidence
            };
            let wanted = Alert {
                evidence: evidence.clone(),
                ..wanted.clone()
            };
            *alert == wanted
        })
    };
    if expected.len() == found.len() && expected.iter().all(|(id, alert)| agree(id, alert)) {
        return Ok(());
    }
    let mut complaint = String::from("alerts differ\n");
    for (id, alert) in expected
        .iter()
        .filter(|(id, alert)| found.get(*id) != Some(alert))
    {
        let _ = writeln!(complaint, "  expected {id} {alert:?}");
    }
    for (id, alert) in found
        .iter()
        .filter(|(id, alert)| expected.get(*id) != Some(alert))
    {
        let _ = writeln!(complaint, "  found    {id} {alert:?}");
    }
    Err(complaint)
}
