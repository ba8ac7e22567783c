//! `spwatch test`: the policy's own `[[test]]` cases, and what of the policy they touch.

mod junit;

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

use super::{Exit, PolicyArgument, counted, load_policy, now_or, parse_time, printable};
use crate::policy::{CaseResult, Coverage, EntryCoverage, Point};
use crate::sign_in::Timestamp;
use crate::verdict::{Reason, ReasonSet};

const EXAMPLES: &str = "\
Examples:
  spwatch test
  spwatch test --policy prod/policy.toml --now 2026-12-31T23:00:00Z
  spwatch test --coverage --coverage-min 80
  spwatch test --format junit > results.xml

Exit code 10 where a case fails, or less than --coverage-min is touched.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    policy: PolicyArgument,
    /// How results are written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Says which entries, values and reasons no case touches
    #[arg(long)]
    coverage: bool,
    /// How many of a hundred entries, values and reasons must be touched
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    coverage_min: Option<u8>,
    /// The time of sign-ins that name none
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    now: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line for each case
    Text,
    /// One document
    Json,
    /// JUnit XML, as CI systems read it
    Junit,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let now = now_or(arguments.now);
    let policy = match load_policy(&arguments.policy.policy, now)? {
        Ok(policy) => policy,
        Err(exit) => return Ok(exit),
    };
    let results = policy.run_tests(now);
    let wanted = arguments.coverage || arguments.coverage_min.is_some();
    let coverage = wanted.then(|| policy.coverage(now));
    let failed = results.iter().filter(|result| !result.passed).count();
    let least = arguments.coverage_min.map(usize::from);
    let short = least
        .zip(coverage.as_ref())
        .is_some_and(|(least, coverage)| !coverage.reaches(least));
    let mut out = io::stdout().lock();
    match arguments.format {
        Format::Text => {
            if results.is_empty() {
                let name = arguments.policy.policy.display();
                writeln!(out, "{name}: the policy has no [[test]]")?;
            } else {
                for result in &results {
                    write_case(&mut out, result)?;
                }
                writeln!(out, "{} passed, {failed} failed", results.len() - failed)?;
            }
            if let Some(coverage) = &coverage {
                writeln!(out)?;
                write_coverage(&mut out, coverage)?;
            }
        }
        Format::Json => write_json(&mut out, results, failed, coverage.as_ref())?,
        Format::Junit => {
            let text = coverage.as_ref().map(coverage_text).transpose()?;
            out.write_all(&junit::document(&results, text.as_deref())?)?;
        }
    }
    if let Some(least) = least.filter(|_| short) {
        super::complain(&format!("less than {least} % of the policy is tested"));
    }
    Ok(if failed == 0 && !short {
        Exit::Clean
    } else {
        Exit::Found
    })
}

fn write_case(out: &mut dyn Write, result: &CaseResult) -> io::Result<()> {
    if result.passed {
        return writeln!(out, "ok    {}", printable(&result.name));
    }
    writeln!(
        out,
        "FAIL  {} ({}:{})",
        printable(&result.name),
        result.file,
        result.line
    )?;
    writeln!(out, "      {}", difference(result))?;
    for reason in &result.got_reasons {
        writeln!(out, "      {}: {}", reason.code, printable(&reason.message))?;
    }
    if result.got_reasons.is_empty() {
        writeln!(out, "      with {}", counted(0, "reason"))?;
    }
    Ok(())
}

/// What was expected, and what came of it.
fn difference(result: &CaseResult) -> String {
    let mut expected = result.expected.as_str().to_owned();
    let mut got = result.got.as_str().to_owned();
    if let Some(reasons) = result.expected_reasons {
        let codes = codes(reasons);
        expected += &format!(
            " for {}",
            if codes.is_empty() {
                "no reason".to_owned()
            } else {
                codes.join(", ")
            }
        );
    }
    // Beside what is pinned alone: a case says what it is about, and no more.
    let word = |due| if due { ", due" } else { ", not due" };
    if let Some(due) = result.expected_due {
        expected += word(due);
        got += word(result.got_due);
    }
    if let Some(severity) = result.expected_severity {
        expected += &format!(", of severity {severity}");
        if let Some(severity) = result.got_severity {
            got += &format!(", of severity {severity}");
        }
    }
    format!("expected {expected}, got {got}")
}

fn codes(reasons: ReasonSet) -> Vec<&'static str> {
    reasons.iter().map(|code| code.as_str()).collect()
}

fn coverage_text(coverage: &Coverage) -> anyhow::Result<String> {
    let mut text = Vec::new();
    write_coverage(&mut text, coverage)?;
    Ok(String::from_utf8(text)?)
}

fn write_coverage(out: &mut dyn Write, coverage: &Coverage) -> io::Result<()> {
    writeln!(
        out,
        "coverage: {:.1} % ({} of {} entries, values and reasons)",
        coverage.percent(),
        coverage.covered,
        coverage.total
    )?;
    let at = |point: &Point| {
        let Point { text, file, line } = point;
        format!("{} ({file}:{line})", printable(text))
    };
    for app in &coverage.untested {
        writeln!(out, "untested  {}", at(app))?;
    }
    for entry in &coverage.entries {
        if entry.covered == entry.total {
            continue;
        }
        writeln!(
            out,
            "partly    {}: {} of {}",
            at(&entry.app),
            entry.covered,
            entry.total
        )?;
        for missed in &entry.missed {
            writeln!(out, "          {}: {}", missed.key, at(&missed.value))?;
        }
        for code in codes(entry.reasons) {
            writeln!(out, "          never {code}")?;
        }
    }
    for code in codes(coverage.reasons) {
        writeln!(out, "untested  {code}, of any app")?;
    }
    Ok(())
}

#[derive(Serialize)]
struct JsonDocument {
    schema: &'static str,
    passed: usize,
    failed: usize,
    tests: Vec<JsonCase>,
    coverage: Option<JsonCoverage>,
}

#[derive(Serialize)]
struct JsonCase {
    name: String,
    file: String,
    line: usize,
    passed: bool,
    expected: JsonExpected,
    got: JsonGot,
}

#[derive(Serialize)]
struct JsonExpected {
    verdict: &'static str,
    reasons: Option<Vec<&'static str>>,
    due: Option<bool>,
    severity: Option<&'static str>,
}

#[derive(Serialize)]
struct JsonGot {
    verdict: &'static str,
    reasons: Vec<Reason>,
    due: bool,
    severity: Option<&'static str>,
}

#[derive(Serialize)]
struct JsonCoverage {
    percent: f64,
    covered: usize,
    total: usize,
    untested: Vec<JsonApp>,
    entries: Vec<JsonEntry>,
    reasons: Vec<&'static str>,
}

#[derive(Serialize)]
struct JsonApp {
    app: String,
    file: String,
    line: usize,
}

#[derive(Serialize)]
struct JsonEntry {
    app: String,
    file: String,
    line: usize,
    covered: usize,
    total: usize,
    missed: Vec<JsonMissed>,
    reasons: Vec<&'static str>,
}

#[derive(Serialize)]
struct JsonMissed {
    key: &'static str,
    value: String,
    file: String,
    line: usize,
}

impl From<CaseResult> for JsonCase {
    fn from(result: CaseResult) -> Self {
        Self {
            name: result.name,
            file: result.file.to_string(),
            line: result.line,
            passed: result.passed,
            expected: JsonExpected {
                verdict: result.expected.as_str(),
                reasons: result.expected_reasons.map(codes),
                due: result.expected_due,
                severity: result.expected_severity.map(|severity| severity.as_str()),
            },
            got: JsonGot {
                verdict: result.got.as_str(),
                reasons: result.got_reasons,
                due: result.got_due,
                severity: result.got_severity.map(|severity| severity.as_str()),
            },
        }
    }
}

impl From<&Point> for JsonApp {
    fn from(app: &Point) -> Self {
        Self {
            app: app.text.clone(),
            file: app.file.to_string(),
            line: app.line,
        }
    }
}

impl From<&EntryCoverage> for JsonEntry {
    fn from(entry: &EntryCoverage) -> Self {
        let missed = entry.missed.iter().map(|missed| JsonMissed {
            key: missed.key,
            value: missed.value.text.clone(),
            file: missed.value.file.to_string(),
            line: missed.value.line,
        });
        Self {
            app: entry.app.text.clone(),
            file: entry.app.file.to_string(),
            line: entry.app.line,
            covered: entry.covered,
            total: entry.total,
            missed: missed.collect(),
            reasons: codes(entry.reasons),
        }
    }
}

fn write_json(
    out: &mut dyn Write,
    results: Vec<CaseResult>,
    failed: usize,
    coverage: Option<&Coverage>,
) -> anyhow::Result<()> {
    let document = JsonDocument {
        schema: "spwatch/test/v1",
        passed: results.len() - failed,
        failed,
        tests: results.into_iter().map(Into::into).collect(),
        coverage: coverage.map(|coverage| JsonCoverage {
            percent: coverage.percent(),
            covered: coverage.covered,
            total: coverage.total,
            untested: coverage.untested.iter().map(Into::into).collect(),
            entries: coverage.entries.iter().map(Into::into).collect(),
            reasons: codes(coverage.reasons),
        }),
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)?;
    Ok(())
}
