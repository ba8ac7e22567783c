//! The command line: arguments, exit codes, and one module for each command. An edge.

mod backtest;
mod check;
mod demo;
mod explain;
mod feed;
mod input;
mod inventory;
mod learn;
mod log_files;
mod mask;
mod progress;
mod redeliver;
mod scan;
mod schema;
mod send_test;
mod serve;
mod table;
mod test;
mod validate;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

use crate::policy::Policy;
use crate::policy_files::PolicyTexts;
use crate::sign_in::{Id, Kind, Timestamp};

/// How a command ended. The numbers are a contract with users' scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Nothing to report.
    Clean = 0,
    /// The command could not do its work.
    Failed = 1,
    /// The command line is wrong (clap's own number).
    Usage = 2,
    /// A due finding, a failing policy test, too little of the policy tested, or what `--fail-on` names.
    Found = 10,
    /// The policy has errors.
    PolicyInvalid = 11,
}

const ABOUT: &str = "Watches Entra ID service-principal sign-ins against per-application policies";

const EXAMPLES: &str = "\
Examples:
  spwatch demo                               see the whole way, on this machine
  spwatch check export.json                  judge an exported log against policy.toml
  az … | spwatch check --format ndjson -     judge standard input, a finding a line
  spwatch validate                           every mistake in the policy, at once
  spwatch explain --id 6f2c… export.json     why one sign-in is judged as it is
  spwatch inventory archive/                 which apps are there, and what the policy says of them

Exit codes: 0 clean, 1 failed, 2 usage, 10 a due finding, a failing policy test or too little tested, 11 policy invalid.";

#[derive(Debug, Parser)]
#[command(name = "spwatch", version = crate::build::version(), about = ABOUT, after_help = EXAMPLES, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves as the Azure Functions custom handler
    Serve(serve::Arguments),
    /// Shows the main job on this machine: samples in, alerts out over HTTP
    Demo(demo::Arguments),
    /// Judges exported sign-in logs against the policy
    Check(check::Arguments),
    /// Checks the policy, and says everything that is wrong with it
    Validate(validate::Arguments),
    /// Runs the test cases of the policy, and says what they do not touch
    Test(test::Arguments),
    /// Explains one sign-in: every check, passing and failing
    Explain(explain::Arguments),
    /// Proposes a policy from history
    Learn(learn::Arguments),
    /// Shows what a change of the policy would add and silence
    Backtest(backtest::Arguments),
    /// Prints the JSON Schema of policy.toml, for editors
    Schema(schema::Arguments),
    /// Lays the apps of a log beside the apps of the policy
    Inventory(inventory::Arguments),
    /// Sends a marked test alert to a sink and shows the exchange
    SendTest(send_test::Arguments),
    /// Sends alerts again that are kept in `spwatch-undelivered`
    Redeliver(redeliver::Arguments),
    /// Fetches feeds of address ranges, and pins them in `feeds.lock`
    Feed(feed::Arguments),
    /// Prints shell completions
    Completions {
        /// The shell to complete for
        shell: clap_complete::Shell,
    },
}

/// Where the policy is.
#[derive(Debug, clap::Args)]
struct PolicyArgument {
    /// The policy's root file
    #[arg(long, short, value_name = "FILE", default_value = "policy.toml")]
    policy: PathBuf,
}

/// The word for `--kind`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindWord {
    ServicePrincipal,
    ManagedIdentity,
    Microsoft,
}

impl From<KindWord> for Kind {
    fn from(word: KindWord) -> Self {
        match word {
            KindWord::ServicePrincipal => Self::ServicePrincipal,
            KindWord::ManagedIdentity => Self::ManagedIdentity,
            KindWord::Microsoft => Self::MicrosoftServicePrincipal,
        }
    }
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = match arguments.command {
        Command::Serve(arguments) => serve::run(arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Validate(arguments) => validate::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Learn(arguments) => learn::run(&arguments),
        Command::Backtest(arguments) => backtest::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Inventory(arguments) => inventory::run(&arguments),
        Command::SendTest(arguments) => send_test::run(&arguments),
        Command::Redeliver(arguments) => redeliver::run(&arguments),
        Command::Feed(arguments) => feed::run(&arguments),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "spwatch", &mut script);
            io::stdout()
                .write_all(&script)
                .map(|()| Exit::Clean)
                .map_err(anyhow::Error::from)
        }
    };
    let exit = ended.unwrap_or_else(|error| {
        // Whoever reads our output has had enough, as in `spwatch check … | head`.
        if is_broken_pipe(&error) {
            return Exit::Clean;
        }
        complain(&format!("error: {error:#}"));
        Exit::Failed
    });
    ExitCode::from(exit as u8)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
            || matches!(
                cause.downcast_ref::<csv::Error>().map(csv::Error::kind),
                Some(csv::ErrorKind::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe
            )
            || cause
                .downcast_ref::<serde_json::Error>()
                .and_then(serde_json::Error::io_error_kind)
                == Some(io::ErrorKind::BrokenPipe)
    })
}

/// Writes a line to standard error; where that is gone there is nobody left to tell.
fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Reads and compiles the policy for a command that needs it; complains and gives the exit code
/// where it cannot be used. Warnings are left to `validate`.
fn load_policy(root: &Path, now: Timestamp) -> anyhow::Result<Result<Policy, Exit>> {
    Ok(compile_policy(&PolicyTexts::read(root)?, root, now))
}

/// Compiles a policy that was read; complains as [`load_policy`] does.
fn compile_policy(texts: &PolicyTexts, root: &Path, now: Timestamp) -> Result<Policy, Exit> {
    let compilation = texts.compile(Some(now));
    match compilation.policy {
        Some(policy) => Ok(policy),
        None => {
            complain(
                compilation
                    .diagnostics
                    .render_text(io::stderr().is_terminal())
                    .trim_end(),
            );
            let errors = compilation.diagnostics.error_count();
            complain(&format!(
                "\n{}: the policy is invalid ({})",
                root.display(),
                counted(errors as u64, "error")
            ));
            Err(Exit::PolicyInvalid)
        }
    }
}

/// A number and its noun.
fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The clock, or what `--now` says instead.
fn now_or(now: Option<Timestamp>) -> Timestamp {
    now.unwrap_or_else(|| Timestamp::from(chrono::Utc::now()))
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    // A bare date is what people type: it means its first instant, in UTC.
    if text.len() == 10
        && let Ok(time) = Timestamp::parse(&format!("{text}T00:00:00Z"))
    {
        return Ok(time);
    }
    Timestamp::parse(text).map_err(|error| error.to_string())
}

fn parse_id(text: &str) -> Result<Id<'static>, String> {
    match Id::parse(text.to_owned().into()) {
        Some(id @ Id::Guid(_)) => Ok(id),
        _ => Err("expected a GUID such as 00000000-1111-2222-3333-444444444444".to_owned()),
    }
}

/// Text from a log, made safe for a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|letter| {
            if crate::alert::is_unprintable(letter) {
                '\u{fffd}'
            } else {
                letter
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn takes_dates_and_times() {
        assert_eq!(
            parse_time("2026-11-24").unwrap(),
            parse_time("2026-11-24T00:00:00Z").unwrap()
        );
        assert!(parse_time("yesterday").unwrap_err().contains("yesterday"));
    }
}
