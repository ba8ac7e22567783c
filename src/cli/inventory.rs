//! `spwatch inventory`: apps observed against apps listed.

mod import;
mod output;

use std::io::{self, IsTerminal, Write};

use chrono::TimeDelta;
use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::log_files::{LogFiles, Read};
use super::{Exit, PolicyArgument, compile_policy, complain, counted, now_or, parse_time};
use crate::inventory::{self, Code, Inventory, Observed, Settings};
use crate::policy::{listing, parse_duration};
use crate::policy_files::PolicyTexts;
use crate::sign_in::Timestamp;

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
    #[command(flatten)]
    log: LogFiles,
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
    /// The time that counts as now, so that output can be reproduced
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    now: Option<Timestamp>,
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
    let mut observed = Observed::default();
    let read = arguments
        .log
        .read(&mut |_, _, sign_in| observed.add(sign_in))?;
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
        complain(&summary(&inventory, &read, policy.entry_count()));
    }
    let found = inventory
        .findings
        .iter()
        .any(|finding| arguments.fail_on.contains(&finding.code));
    Ok(match (read.is_whole, found) {
        (false, _) => Exit::Failed,
        (true, true) => Exit::Found,
        (true, false) => Exit::Clean,
    })
}

fn summary(inventory: &Inventory, read: &Read, entries: usize) -> String {
    let seen = inventory.apps.iter().filter(|app| app.sign_ins > 0).count();
    let mut text = format!(
        "\n{}: {} of {}",
        counted(read.records, "record"),
        counted(inventory.sign_ins, "sign-in"),
        counted(seen as u64, "app"),
    );
    if let Some(period) = inventory.period {
        let day = |time: Timestamp| time.utc().format("%Y-%m-%d");
        text.push_str(&format!(", {} to {}", day(period.first), day(period.last)));
    }
    if read.rejected > 0 {
        text.push_str(&format!("; {}", counted(read.rejected, "reject")));
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
