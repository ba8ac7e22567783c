//! Findings as people and programs want them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::Report;
use crate::alert::{self, Alert};
use crate::assess::Counts;
use crate::cli::{counted, printable, table};
use crate::finding::{Finding, FindingRow, FindingSource};
use crate::policy::Policy;
use crate::sign_in::Timestamp;
use crate::verdict::Verdict;

/// The columns of the query that the table replaces.
const COLUMNS: [&str; 6] = [
    "TimeGenerated",
    "ServicePrincipalName",
    "countryOrRegion",
    "state",
    "city",
    "IPAddress",
];
const UNLISTED_COLUMNS: [&str; 4] = ["Unlisted app", "AppId", "SignIns", "Last"];
/// An empty cell: something to see, so that columns can be told apart.
const NOTHING: &str = "-";
/// As many sentences are shown of each app.
const SHOWN_REASONS: usize = 5;

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    now: String,
    policy: PolicyRow<'a>,
    counts: &'a Counts,
    findings: Vec<FindingRow<'a>>,
    alerts: Vec<Alert>,
    rejected: Vec<RejectedRow<'a>>,
}

#[derive(Serialize)]
struct PolicyRow<'a> {
    hash: &'a str,
}

#[derive(Serialize)]
struct RejectedRow<'a> {
    source: FindingSource<'a>,
    error: &'a str,
}

fn name(names: &[String], file: usize) -> &str {
    names.get(file).map_or("", String::as_str)
}

/// One document with everything in it.
pub(super) fn json(
    out: &mut dyn Write,
    policy: &Policy,
    report: &Report<'_>,
    names: &[String],
    now: Timestamp,
) -> anyhow::Result<()> {
    let findings: Vec<Finding<'_>> = report
        .findings
        .iter()
        .map(|(_, finding)| finding.clone())
        .collect();
    let document = Document {
        schema: "spwatch/check/v1",
        now: now.to_string(),
        policy: PolicyRow { hash: &policy.hash },
        counts: &report.counts,
        findings: report
            .findings
            .iter()
            .map(|(file, finding)| FindingRow::new(finding, name(names, *file)))
            .collect(),
        alerts: alert::raise(policy, &findings, now)
            .into_iter()
            .map(|raised| raised.alert)
            .collect(),
        rejected: report
            .rejected
            .iter()
            .map(|reject| RejectedRow {
                source: FindingSource {
                    file: name(names, reject.file),
                    record: reject.record,
                },
                error: &reject.error,
            })
            .collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)?;
    Ok(())
}

/// One finding as a line of JSON.
pub(super) fn line(out: &mut dyn Write, finding: &Finding<'_>, file: &str) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *out, &FindingRow::new(finding, file))?;
    writeln!(out)?;
    Ok(())
}

/// Every field of each finding; reasons joined by `;`.
pub(super) fn csv(
    out: &mut dyn Write,
    report: &Report<'_>,
    names: &[String],
) -> anyhow::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record([
        "id",
        "time",
        "verdict",
        "outcome",
        "due",
        "severity",
        "rule",
        "app",
        "app_id",
        "service_principal_id",
        "service_principal_name",
        "ip",
        "country",
        "state",
        "city",
        "resource",
        "reasons",
        "messages",
        "file",
        "record",
    ])?;
    for (file, finding) in &report.findings {
        let row = FindingRow::new(finding, name(names, *file));
        let codes: Vec<&str> = row
            .reasons
            .iter()
            .map(|reason| reason.code.as_str())
            .collect();
        let messages: Vec<&str> = row
            .reasons
            .iter()
            .map(|reason| reason.message.as_str())
            .collect();
        csv.write_record([
            cell(&row.id).as_str(),
            &row.time,
            row.verdict,
            row.outcome,
            if row.due { "true" } else { "false" },
            row.severity,
            row.rule,
            &cell(row.app.unwrap_or_default()),
            &cell(&row.app_id.unwrap_or_default()),
            &cell(&row.service_principal_id.unwrap_or_default()),
            &cell(row.service_principal_name.unwrap_or_default()),
            &row.ip.unwrap_or_default(),
            &cell(row.country.unwrap_or_default()),
            &cell(row.state.unwrap_or_default()),
            &cell(row.city.unwrap_or_default()),
            &cell(row.resource.unwrap_or_default()),
            &codes.join(";"),
            &cell(&messages.join("; ")),
            &cell(row.source.file),
            &row.source.record.to_string(),
        ])?;
    }
    csv.flush()?;
    Ok(())
}

/// A spreadsheet would run a cell that begins like a formula, and names are anybody's choice.
fn cell(text: &str) -> String {
    match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r') => format!("'{text}"),
        _ => text.to_owned(),
    }
}

/// What the Sentinel query shows, and below it the apps that no entry selects, one line each.
pub(super) fn table(out: &mut dyn Write, report: &Report<'_>) -> io::Result<()> {
    let short = io::stdout().is_terminal();
    let mut rows = table::table(&COLUMNS);
    let violations = report
        .findings
        .iter()
        .map(|(_, finding)| finding)
        .filter(|finding| finding.verdict == Verdict::Violation);
    for finding in violations {
        let sign_in = &finding.sign_in;
        let time = sign_in.time_generated.unwrap_or(sign_in.time);
        rows.add_row([
            if short {
                time.utc().format("%Y-%m-%d %H:%M").to_string()
            } else {
                time.to_string()
            },
            shown(sign_in.name.as_deref()),
            shown(sign_in.country.as_deref()),
            shown(sign_in.state.as_deref()),
            shown(sign_in.city.as_deref()),
            shown(sign_in.ip.map(|ip| ip.to_string()).as_deref()),
        ]);
    }
    let some = !rows.is_empty();
    if some {
        out.write_all(table::text(rows, &[0, 2, 5]).as_bytes())?;
    }
    let unlisted = unlisted(report);
    if !unlisted.is_empty() {
        if some {
            writeln!(out)?;
        }
        let mut rows = table::table(&UNLISTED_COLUMNS);
        for ((name, id), (count, last)) in unlisted {
            rows.add_row([
                name,
                id,
                count.to_string(),
                last.utc().format("%Y-%m-%d").to_string(),
            ]);
        }
        out.write_all(table::text(rows, &[1, 2, 3]).as_bytes())?;
    }
    Ok(())
}

fn shown(text: Option<&str>) -> String {
    text.map_or_else(|| NOTHING.to_owned(), printable)
}

fn unlisted(report: &Report<'_>) -> BTreeMap<(String, String), (u64, Timestamp)> {
    let mut apps = BTreeMap::new();
    for (_, finding) in &report.findings {
        if finding.verdict == Verdict::UnknownApp {
            let sign_in = &finding.sign_in;
            let id = sign_in
                .app_id
                .as_ref()
                .or(sign_in.service_principal_id.as_ref());
            let key = (
                shown(sign_in.name.as_deref()),
                shown(id.map(ToString::to_string).as_deref()),
            );
            let (count, last) = apps.entry(key).or_insert((0, sign_in.time));
            *count += 1;
            *last = sign_in.time.max(*last);
        }
    }
    apps
}

/// Why, by app, and what was read: for standard error.
pub(super) fn summary(report: &Report<'_>) -> String {
    let mut text = String::new();
    for (app, (count, reasons)) in why(report) {
        let _ = writeln!(
            text,
            "\n{app}: {} outside its entry",
            counted(count, "sign-in")
        );
        for (message, count) in reasons.iter().take(SHOWN_REASONS) {
            let _ = writeln!(text, "  {count:>5} x  {message}");
        }
        if reasons.len() > SHOWN_REASONS {
            let _ = writeln!(
                text,
                "           and {} more",
                counted((reasons.len() - SHOWN_REASONS) as u64, "reason")
            );
        }
    }
    let counts = &report.counts;
    let others: u64 = counts.other_categories.values().sum();
    let _ = write!(
        text,
        "\n{}: {} judged ({} allowed, {} outside the policy, {} of unlisted apps)",
        counted(counts.records, "record"),
        counted(counts.sign_ins, "sign-in"),
        counts.allowed,
        counts.violation,
        counts.unknown_app,
    );
    let rest = [
        (counts.duplicates, "duplicate"),
        (counts.audit_events, "audit event"),
        (others, "record"),
        (counts.rejected, "reject"),
    ];
    for (count, noun) in rest {
        if count > 0 {
            let _ = write!(text, ", {}", counted(count, noun));
            if noun == "record" {
                let categories: Vec<String> = counts
                    .other_categories
                    .keys()
                    .map(|name| printable(name))
                    .take(4)
                    .collect();
                let _ = write!(text, " of other categories ({})", categories.join(", "));
            }
        }
    }
    let recorded = report.listed - report.due;
    let _ = write!(
        text,
        "\n{} due, {} recorded only",
        counted(report.due, "alerting finding"),
        recorded
    );
    text
}

/// The sentences of each app, most frequent first.
fn why(report: &Report<'_>) -> BTreeMap<String, (u64, Vec<(String, u64)>)> {
    let mut apps: BTreeMap<String, (u64, BTreeMap<&str, u64>)> = BTreeMap::new();
    for (_, finding) in &report.findings {
        let (Some(app), Verdict::Violation) = (finding.app, finding.verdict) else {
            continue;
        };
        let (count, reasons) = apps
            .entry(format!("{} ({}:{})", app.name, app.file, app.line))
            .or_default();
        *count += 1;
        for reason in &finding.reasons {
            *reasons.entry(reason.message.as_str()).or_default() += 1;
        }
    }
    apps.into_iter()
        .map(|(app, (count, reasons))| {
            let mut reasons: Vec<(String, u64)> = reasons
                .into_iter()
                .map(|(message, count)| (printable(message), count))
                .collect();
            reasons.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            (app, (count, reasons))
        })
        .collect()
}
