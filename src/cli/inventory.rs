//! `spwatch inventory`: apps observed against apps listed.

mod import;
mod output;

use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use chrono::TimeDelta;
use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::input::inputs;
use super::scan::scan;
use super::{
    Exit, KindWord, PolicyArgument, compile_policy, complain, counted, now_or, parse_id,
    parse_time, printable, progress,
};
use crate::ingest::{Context, Item};
use crate::inventory::{self, Code, Inventory, Observed, Settings};
use crate::policy::{listing, parse_duration};
use crate::policy_files::PolicyTexts;
use crate::sign_in::{Id, Timestamp};

const EXAMPLES: &str = "\
Examples:
  spwatch inventory signins.json
  spwatch inventory --since 2026-08-01 --format markdown archive/ > inventory.md
  spwatch inventory --format csv --findings archive/ > findings.csv
  spwatch inventory --fail-on unlisted,credential-expired archive/
  az ad app list --all -o json | spwatch inventory import - > policy.new.toml

Reads what `check` reads, and keeps distinct values of each app instead of records: a record that comes \
twice counts twice. Only successful sign-ins count as use of a range, place or credential. \
docs/inventory.md says what each finding means.

Exit code 0 unless it fails; 10 where --fail-on names a code that was found.";

#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    import: Option<Command>,
    /// Log files, folders of them, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    policy: PolicyArgument,
    /// How the inventory is written; csv holds the apps, or with --findings the findings
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Only the findings, without the apps (json always holds both)
    #[arg(long)]
    findings: bool,
    /// Exit code 10 where one of these was found
    #[arg(long, value_name = "CODE", value_delimiter = ',', value_parser = codes())]
    fail_on: Vec<Code>,
    /// Not used for this long, up to --now or the newest sign-in, is no longer used
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = duration)]
    unseen_for: TimeDelta,
    /// A credential that ends within this time is told
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = duration)]
    expires_within: TimeDelta,
    /// Only sign-ins from this time on (RFC 3339, or a date in UTC)
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Timestamp>,
    /// Only sign-ins before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Timestamp>,
    /// The time that counts as now, so that output can be reproduced
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    now: Option<Timestamp>,
    /// Tenant of records that do not say theirs
    #[arg(long, value_name = "GUID", value_parser = parse_id)]
    tenant: Option<Id<'static>>,
    /// Kind of sign-in where an export cannot tell (the portal's CSV)
    #[arg(long, value_enum)]
    kind: Option<KindWord>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Fills owners, permissions and credentials of the policy from `az ad app list` and `az ad sp list`
    Import(import::Arguments),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Columns for people; everything else goes to standard error
    Table,
    /// One document: apps and findings
    Json,
    /// A row an app, or with --findings a row a finding
    Csv,
    /// Two tables, for a wiki or a ticket
    Markdown,
}

fn codes() -> impl TypedValueParser<Value = Code> {
    PossibleValuesParser::new(Code::ALL.map(Code::as_str)).try_map(|word| {
        let code = Code::ALL.into_iter().find(|code| code.as_str() == word);
        code.ok_or_else(|| format!("there is no code {word}"))
    })
}

fn duration(text: &str) -> Result<TimeDelta, String> {
    parse_duration(text)
        .ok_or_else(|| "expected a number and a unit, such as 90d or 12h".to_owned())
}

/// As many rejects are told one by one on standard error.
const SHOWN_REJECTS: u64 = 10;

/// What was read besides sign-ins.
#[derive(Default)]
struct Counts {
    records: u64,
    rejected: u64,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    if let Some(Command::Import(arguments)) = &arguments.import {
        return import::run(arguments);
    }
    let now = now_or(arguments.now);
    let root = &arguments.policy.policy;
    let texts = PolicyTexts::read(root)?;
    let policy = match compile_policy(&texts, root, now) {
        Ok(policy) => policy,
        Err(exit) => return Ok(exit),
    };
    let (observed, counts, failed) = observe(arguments)?;
    let inventory = inventory::take(
        &observed,
        &policy,
        &listing(&texts.sources, &texts.feeds),
        &Settings {
            now,
            seen_until: arguments.now,
            unseen_for: arguments.unseen_for,
            expires_within: arguments.expires_within,
        },
    );
    let mut out = io::BufWriter::new(io::stdout().lock());
    let apps = !arguments.findings;
    match arguments.format {
        Format::Table => output::table(&mut out, &inventory, apps)?,
        Format::Json => output::json(&mut out, &inventory)?,
        Format::Csv if apps => output::csv_of_apps(&mut out, &inventory)?,
        Format::Csv => output::csv_of_findings(&mut out, &inventory)?,
        Format::Markdown => output::markdown(&mut out, &inventory, apps)?,
    }
    out.flush()?;
    if arguments.format == Format::Table || io::stderr().is_terminal() {
        complain(&summary(&inventory, &counts, policy.entry_count()));
    }
    let found = inventory
        .findings
        .iter()
        .any(|finding| arguments.fail_on.contains(&finding.code));
    Ok(match (failed, found) {
        (true, _) => Exit::Failed,
        (false, true) => Exit::Found,
        (false, false) => Exit::Clean,
    })
}

/// Reads the logs; also whether one could not be read to its end.
fn observe(arguments: &Arguments) -> anyhow::Result<(Observed, Counts, bool)> {
    let inputs = inputs(&arguments.files)?;
    let context = Context {
        tenant: arguments.tenant.clone(),
        kind: arguments.kind.map(Into::into),
        ..Context::default()
    };
    let bar = progress::bar(inputs.iter().map(|input| input.size).sum());
    let name = |file: usize| inputs.get(file).map_or("", |input| input.name.as_str());
    let mut observed = Observed::default();
    let mut counts = Counts::default();
    let failures = scan(&inputs, &context, &bar, &mut |file, position, item| {
        counts.records += 1;
        match item {
            Item::SignIn(sign_in) => {
                let early = arguments.since.is_some_and(|since| sign_in.time < since);
                let late = arguments.until.is_some_and(|until| sign_in.time >= until);
                if !early && !late {
                    observed.add(sign_in);
                }
            }
            Item::Reject(reject) => {
                counts.rejected += 1;
                if counts.rejected <= SHOWN_REJECTS {
                    let error = printable(&reject.error.to_string());
                    let record = position.record;
                    bar.suspend(|| {
                        complain(&format!(
                            "{}: record {record}: rejected: {error}",
                            name(file)
                        ));
                    });
                }
            }
            Item::AuditEvent | Item::Other(_) => {}
        }
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    for (file, error) in &failures {
        complain(&format!(
            "error: read {}: {error}; what stands before it was read",
            name(*file)
        ));
    }
    Ok((observed, counts, !failures.is_empty()))
}

fn summary(inventory: &Inventory, counts: &Counts, entries: usize) -> String {
    let seen = inventory.apps.iter().filter(|app| app.sign_ins > 0).count();
    let mut text = format!(
        "\n{}: {} of {}",
        counted(counts.records, "record"),
        counted(inventory.sign_ins, "sign-in"),
        counted(seen as u64, "app"),
    );
    if let Some(period) = inventory.period {
        let day = |time: Timestamp| time.utc().format("%Y-%m-%d");
        text.push_str(&format!(", {} to {}", day(period.first), day(period.last)));
    }
    if counts.rejected > 0 {
        text.push_str(&format!("; {}", counted(counts.rejected, "reject")));
    }
    let listed = match entries {
        1 => "1 entry".to_owned(),
        entries => format!("{entries} entries"),
    };
    text.push_str(&format!(
        "\n{listed} in the policy; {}",
        counted(inventory.findings.len() as u64, "finding")
    ));
    text
}
