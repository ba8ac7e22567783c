//! `spwatch validate`: everything that is wrong with the policy.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Exit, PolicyArgument, counted, now_or, parse_time};
use crate::policy_files::PolicyTexts;
use crate::sign_in::Timestamp;

const EXAMPLES: &str = "\
Examples:
  spwatch validate
  spwatch validate --policy prod/policy.toml --format json | jq '.diagnostics[].code'

Reads no environment variable and opens no connection. Exit code 11 where there is an error.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    policy: PolicyArgument,
    /// How diagnostics are written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The time that counts as now: what is over by then is warned of
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    now: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Source excerpts with carets
    Text,
    /// One document
    Json,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    valid: bool,
    errors: usize,
    warnings: usize,
    diagnostics: &'a RawValue,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let texts = PolicyTexts::read(&arguments.policy.policy)?;
    let compilation = texts.compile(Some(now_or(arguments.now)));
    let diagnostics = &compilation.diagnostics;
    let (errors, warnings) = (diagnostics.error_count(), diagnostics.warning_count());
    let mut out = io::stdout().lock();
    if arguments.format == Format::Json {
        let rendered = RawValue::from_string(diagnostics.render_json())?;
        let document = Document {
            schema: "spwatch/validate/v1",
            valid: compilation.policy.is_some(),
            errors,
            warnings,
            diagnostics: &rendered,
        };
        serde_json::to_writer_pretty(&mut out, &document)?;
        writeln!(out)?;
    } else {
        let text = diagnostics.render_text(out.is_terminal());
        if !text.is_empty() {
            writeln!(out, "{}\n", text.trim_end())?;
        }
        let verdict = format!(
            "{}, {}",
            counted(errors as u64, "error"),
            counted(warnings as u64, "warning")
        );
        match &compilation.policy {
            Some(policy) => writeln!(
                out,
                "{}: valid: {}, {}, {}, {}; {verdict}",
                arguments.policy.policy.display(),
                counted(policy.entry_count() as u64, "app"),
                counted(policy.range_count() as u64, "allowed range"),
                counted(policy.sinks.len() as u64, "sink"),
                counted(policy.test_count() as u64, "test"),
            )?,
            None => writeln!(
                out,
                "{}: invalid: {verdict}",
                arguments.policy.policy.display()
            )?,
        }
    }
    Ok(if compilation.policy.is_some() {
        Exit::Clean
    } else {
        Exit::PolicyInvalid
    })
}
