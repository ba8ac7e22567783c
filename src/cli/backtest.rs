//! `spwatch backtest`: what a change of the policy would add and silence.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::ValueEnum;
use serde::Serialize;

use super::input::Input;
use super::log_files::LogFiles;
use super::table::{table, text};
use super::{Exit, complain, counted, load_policy, now_or, printable};
use crate::backtest::{Backtest, Change, Example, Limit, Load, Said, Totals};
use crate::policy::Policy;

const EXAMPLES: &str = "\
Examples:
  spwatch backtest last-month/ --policy policy.toml --against main/policy.toml
  spwatch backtest export.json --against old.toml --format markdown --fail-on 'removed>0' --fail-on 'added>20'

Judges every sign-in by both policies and shows what differs, by application. added: only the new policy has the finding; \
removed: only the old one; changed: both, with other reasons, severity or fate. due-added and due-removed count what an \
alert is due for. Exit code 10 where --fail-on says so. A record that was exported twice counts twice.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    log: LogFiles,
    /// The new policy
    #[arg(long, short, value_name = "NEW", default_value = "policy.toml")]
    policy: PathBuf,
    /// The policy that it is compared with
    #[arg(long, value_name = "OLD")]
    against: PathBuf,
    /// How the comparison is written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Exit code 10 where there is more: added>N, removed>N, changed>N, due-added>N, due-removed>N
    #[arg(long, value_name = "LIMIT", value_parser = Limit::parse)]
    fail_on: Vec<Limit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// One document
    Json,
    /// For a comment on a pull request
    Markdown,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let now = now_or(None);
    let (new, old) = match (
        load_policy(&arguments.policy, now)?,
        load_policy(&arguments.against, now)?,
    ) {
        (Ok(new), Ok(old)) => (new, old),
        (Err(exit), _) | (_, Err(exit)) => return Ok(exit),
    };
    let mut backtest = Backtest::default();
    let read = arguments.log.read(&mut |file, position, sign_in| {
        backtest.add(&old, &new, sign_in, (file, position));
    })?;
    anyhow::ensure!(
        backtest.load().sign_ins > 0 || !read.is_whole,
        "no sign-in was found: nothing was compared"
    );
    let written = match arguments.format {
        Format::Table => for_people(&backtest),
        Format::Markdown => markdown(&backtest, arguments),
        Format::Json => json(&backtest, (&old, &new), arguments, &read.inputs)?,
    };
    io::stdout().lock().write_all(written.as_bytes())?;
    let totals = backtest.totals();
    let mut exit = Exit::Clean;
    for limit in &arguments.fail_on {
        if limit.is_exceeded(&totals) {
            complain(&format!("too much: {limit}"));
            exit = Exit::Found;
        }
    }
    Ok(match read.is_whole {
        true => exit,
        false => Exit::Failed,
    })
}

/// `nothing`, `recorded` or `high, due`, with the reasons.
fn said(said: Option<Said>, reasons: &[&str]) -> String {
    let Some(said) = said else {
        return "nothing".to_owned();
    };
    let fate = match said.due {
        true => format!("{} alert", said.severity.as_str()),
        false => "recorded".to_owned(),
    };
    format!("{fate}: {}", reasons.join(", "))
}

/// The application as people know it.
fn app(change: &Change) -> String {
    match (change.app.is_empty(), change.app_id.is_empty()) {
        (false, _) => printable(&change.app),
        (true, false) => change.app_id.clone(),
        (true, true) => "(no name)".to_owned(),
    }
}

fn example(example: &Example) -> String {
    format!(
        "{} {} {}{}",
        example.time,
        printable(&example.id),
        example.ip.as_deref().unwrap_or("no address"),
        example
            .country
            .as_deref()
            .map(|country| format!(" {}", printable(country)))
            .unwrap_or_default(),
    )
}

/// As many sign-ins of a change are shown to people.
const SHOWN: usize = 5;

fn for_people(backtest: &Backtest) -> String {
    let mut out = String::new();
    for change in backtest.changes() {
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "{} {} ({})",
            change.kind.as_str(),
            app(&change),
            counted(change.count, "sign-in")
        );
        let _ = writeln!(out, "    before  {}", said(change.old, &change.old_reasons));
        let _ = writeln!(out, "    after   {}", said(change.new, &change.new_reasons));
        for sign_in in change.sign_ins.iter().take(SHOWN) {
            let _ = writeln!(out, "    {}", example(sign_in));
        }
        let more = change.count.saturating_sub(SHOWN as u64);
        if more > 0 {
            let _ = writeln!(out, "    and {more} more");
        }
        out.push('\n');
    }
    out.push_str(&days(backtest));
    let _ = writeln!(out, "\n{}", sentence(&backtest.totals()));
    out
}

fn sentence(totals: &Totals) -> String {
    format!(
        "{} added, {} removed, {} changed; {} become due, {} no longer are",
        counted(totals.added, "finding"),
        totals.removed,
        totals.changed,
        counted(totals.due_added, "alerting finding"),
        totals.due_removed
    )
}

fn days(backtest: &Backtest) -> String {
    let mut rows = table(&[
        "day",
        "sign-ins",
        "due before",
        "due after",
        "alerts before",
        "alerts after",
    ]);
    let mut add = |day: &str, load: &Load| {
        rows.add_row([
            day.to_owned(),
            load.sign_ins.to_string(),
            load.old_due.to_string(),
            load.new_due.to_string(),
            load.old_alerts.to_string(),
            load.new_alerts.to_string(),
        ]);
    };
    for (day, load) in backtest.days() {
        add(day, load);
    }
    add("all", &backtest.load());
    text(rows, &[0])
}

/// A text in a cell of Markdown.
fn cell(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '@' | '~' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

fn markdown(backtest: &Backtest, arguments: &Arguments) -> String {
    let totals = backtest.totals();
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "### Policy backtest\n");
    let (new, old) = (arguments.policy.display(), arguments.against.display());
    let _ = writeln!(
        out,
        "`{}` against `{}`: {}.\n",
        new.to_string().replace('`', "'"),
        old.to_string().replace('`', "'"),
        sentence(&totals)
    );
    let over: Vec<String> = arguments
        .fail_on
        .iter()
        .filter(|limit| limit.is_exceeded(&totals))
        .map(|limit| format!("`{limit}`"))
        .collect();
    if !over.is_empty() {
        let _ = writeln!(out, "**Too much: {}.**\n", over.join(", "));
    }
    if backtest.changes().next().is_some() {
        let _ = writeln!(out, "| | application | sign-ins | before | after |");
        let _ = writeln!(out, "|---|---|--:|---|---|");
        for change in backtest.changes() {
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} |",
                change.kind.as_str(),
                cell(&app(&change)),
                change.count,
                said(change.old, &change.old_reasons),
                said(change.new, &change.new_reasons)
            );
        }
        let _ = writeln!(out, "\n<details><summary>Sign-ins</summary>\n");
        for change in backtest.changes() {
            let name = cell(&app(&change));
            let _ = writeln!(out, "{} {name}:\n", change.kind.as_str());
            for sign_in in change.sign_ins.iter().take(SHOWN * 2) {
                let _ = writeln!(out, "- {}", cell(&example(sign_in)));
            }
            let more = change.count.saturating_sub(SHOWN as u64 * 2);
            if more > 0 {
                let _ = writeln!(out, "- and {more} more");
            }
            out.push('\n');
        }
        let _ = writeln!(out, "</details>\n");
    }
    let _ = writeln!(
        out,
        "| day | sign-ins | due before | due after | alerts before | alerts after |"
    );
    let _ = writeln!(out, "|---|--:|--:|--:|--:|--:|");
    let all = backtest.load();
    for (day, load) in backtest.days().chain([("all", &all)]) {
        let _ = writeln!(
            out,
            "| {day} | {} | {} | {} | {} | {} |",
            load.sign_ins, load.old_due, load.new_due, load.old_alerts, load.new_alerts
        );
    }
    out
}

#[derive(Serialize)]
struct JsonDocument<'a> {
    schema: &'static str,
    old: JsonPolicy<'a>,
    new: JsonPolicy<'a>,
    totals: Totals,
    load: Load,
    days: Vec<JsonDay<'a>>,
    changes: Vec<JsonChange<'a>>,
}

#[derive(Serialize)]
struct JsonPolicy<'a> {
    file: String,
    hash: &'a str,
}

#[derive(Serialize)]
struct JsonDay<'a> {
    day: &'a str,
    #[serde(flatten)]
    load: Load,
}

#[derive(Serialize)]
struct JsonSaid {
    verdict: &'static str,
    due: bool,
    severity: &'static str,
    reasons: Vec<&'static str>,
}

#[derive(Serialize)]
struct JsonChange<'a> {
    kind: &'static str,
    app: String,
    app_id: String,
    old: Option<JsonSaid>,
    new: Option<JsonSaid>,
    count: u64,
    sign_ins: Vec<JsonSignIn<'a>>,
    sign_ins_omitted: u64,
}

#[derive(Serialize)]
struct JsonSignIn<'a> {
    #[serde(flatten)]
    example: Example,
    file: &'a str,
}

fn json(
    backtest: &Backtest,
    (old, new): (&Policy, &Policy),
    arguments: &Arguments,
    inputs: &[Input],
) -> anyhow::Result<String> {
    let told = |said: Option<Said>, reasons: Vec<&'static str>| {
        said.map(|said| JsonSaid {
            verdict: said.verdict,
            due: said.due,
            severity: said.severity.as_str(),
            reasons,
        })
    };
    let document = JsonDocument {
        schema: "spwatch/backtest/v1",
        old: JsonPolicy {
            file: arguments.against.display().to_string(),
            hash: &old.hash,
        },
        new: JsonPolicy {
            file: arguments.policy.display().to_string(),
            hash: &new.hash,
        },
        totals: backtest.totals(),
        load: backtest.load(),
        days: backtest
            .days()
            .map(|(day, load)| JsonDay { day, load: *load })
            .collect(),
        changes: backtest
            .changes()
            .map(|change| JsonChange {
                kind: change.kind.as_str(),
                sign_ins_omitted: change.count.saturating_sub(change.sign_ins.len() as u64),
                old: told(change.old, change.old_reasons),
                new: told(change.new, change.new_reasons),
                app: change.app,
                app_id: change.app_id,
                count: change.count,
                sign_ins: change
                    .sign_ins
                    .into_iter()
                    .map(|example| JsonSignIn {
                        file: inputs.get(example.file).map_or("", |input| &input.name),
                        example,
                    })
                    .collect(),
            })
            .collect(),
    };
    let mut written = serde_json::to_string_pretty(&document)?;
    written.push('\n');
    Ok(written)
}
