//! `spwatch check`: exported logs → findings.

mod output;
mod reader;

use std::io::{self, IsTerminal, Write};
use std::thread;

use clap::ValueEnum;

use super::input::inputs;
use super::log_files::{LogFiles, SHOWN_REJECTS};
use super::{Exit, PolicyArgument, complain, counted, load_policy, now_or, parse_time, progress};
use crate::assess::Counts;
use crate::finding::Finding;
use crate::sign_in::Timestamp;

const EXAMPLES: &str = "\
Examples:
  spwatch check signins.json
  spwatch check --since 2026-11-01 --format csv archive/ > findings.csv
  zcat PT1H.json.gz | spwatch check --format ndjson - | jq .ip

Reads diagnostic records (Event Hub envelopes, storage archives), Log Analytics rows, Microsoft Graph \
pages and the portal's downloads, as JSON, NDJSON or CSV, packed with gzip or not; what a file is, is \
told by its content. The table has the columns of the Sentinel query that it replaces.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    log: LogFiles,
    #[command(flatten)]
    policy: PolicyArgument,
    /// How findings are written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// The time that counts as now, so that output can be reproduced
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    now: Option<Timestamp>,
    /// Threads [default: all cores]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    jobs: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Columns for people; everything else goes to standard error
    Table,
    /// One document: counts, findings, alerts, rejects
    Json,
    /// A finding a line, in the order of the input
    Ndjson,
    /// All fields of each finding
    Csv,
}

/// A reject, with the file it was read from.
struct Refused {
    file: usize,
    record: u64,
    error: String,
}

/// Everything that `check` found.
#[derive(Default)]
struct Report<'p> {
    findings: Vec<(usize, Finding<'p>)>,
    rejected: Vec<Refused>,
    counts: Counts,
    due: u64,
    listed: u64,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let now = now_or(arguments.now);
    let policy = match load_policy(&arguments.policy.policy, now)? {
        Ok(policy) => policy,
        Err(exit) => return Ok(exit),
    };
    let inputs = inputs(&arguments.log.files)?;
    let names: Vec<String> = inputs.iter().map(|input| input.name.clone()).collect();
    let jobs = match arguments.jobs {
        Some(jobs) => usize::from(jobs),
        None => thread::available_parallelism().map_or(1, usize::from),
    };
    let task = reader::Task {
        policy: &policy,
        context: arguments.log.context(),
        period: arguments.log.period(),
        jobs,
    };
    let bar = progress::bar(inputs.iter().map(|input| input.size).sum());
    let mut report = Report::default();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut written = Ok(());
    let stream = arguments.format == Format::Ndjson;
    let read = reader::read(&task, &inputs, &bar, &mut |file, findings, rejected| {
        report.due += findings.iter().filter(|finding| finding.due).count() as u64;
        report.listed += findings.len() as u64;
        if stream {
            let name = names.get(file).map_or("", String::as_str);
            written = findings
                .iter()
                .try_for_each(|finding| output::line(&mut out, finding, name));
        } else {
            report
                .findings
                .extend(findings.into_iter().map(|finding| (file, finding)));
        }
        // Only the document lists them all; a file of nothing but garbage has millions.
        let room = match arguments.format {
            Format::Json => usize::MAX,
            _ => (SHOWN_REJECTS as usize).saturating_sub(report.rejected.len()),
        };
        let kept = rejected.into_iter().take(room).map(|reject| Refused {
            file,
            record: reject.position.record,
            error: reject.error.to_string(),
        });
        report.rejected.extend(kept);
        written.is_ok()
    });
    bar.finish_and_clear();
    written?;
    report.counts = read.counts;
    report
        .findings
        .sort_by_key(|(_, finding)| finding.sign_in.time);
    match arguments.format {
        Format::Table => output::table(&mut out, &report)?,
        Format::Json => output::json(&mut out, &policy, &report, &names, now)?,
        Format::Csv => output::csv(&mut out, &report, &names)?,
        Format::Ndjson => {}
    }
    out.flush()?;
    if arguments.format != Format::Json {
        complain_of_rejects(&report, &names);
    }
    if arguments.format == Format::Table || io::stderr().is_terminal() {
        complain(&output::summary(&report));
    }
    for (file, error) in &read.failures {
        let name = names.get(*file).map_or("", String::as_str);
        complain(&format!(
            "error: read {name}: {error}; what stands before it was judged"
        ));
    }
    Ok(match (read.failures.is_empty(), report.due) {
        (false, _) => Exit::Failed,
        (true, 0) => Exit::Clean,
        (true, _) => Exit::Found,
    })
}

fn complain_of_rejects(report: &Report<'_>, names: &[String]) {
    for reject in report.rejected.iter().take(SHOWN_REJECTS as usize) {
        let name = names.get(reject.file).map_or("", String::as_str);
        complain(&format!(
            "{name}: record {}: rejected: {}",
            reject.record,
            super::printable(&reject.error)
        ));
    }
    let more = report.counts.rejected.saturating_sub(SHOWN_REJECTS);
    if more > 0 {
        complain(&format!(
            "and {} more (--format json lists them all)",
            counted(more, "reject")
        ));
    }
}
