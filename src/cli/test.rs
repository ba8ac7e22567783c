//! `spwatch test`: the policy's own `[[test]]` cases.

use std::io::{self, Write};

use super::{Exit, PolicyArgument, counted, load_policy, now_or, parse_time, printable};
use crate::policy::CaseResult;
use crate::sign_in::Timestamp;

const EXAMPLES: &str = "\
Examples:
  spwatch test
  spwatch test --policy prod/policy.toml --now 2026-12-31T23:00:00Z

Exit code 10 where a case fails.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    policy: PolicyArgument,
    /// The time of sign-ins that name none
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    now: Option<Timestamp>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let now = now_or(arguments.now);
    let policy = match load_policy(&arguments.policy.policy, now)? {
        Ok(policy) => policy,
        Err(exit) => return Ok(exit),
    };
    let results = policy.run_tests(now);
    let mut out = io::stdout().lock();
    if results.is_empty() {
        writeln!(
            out,
            "{}: the policy has no [[test]]",
            arguments.policy.policy.display()
        )?;
        return Ok(Exit::Clean);
    }
    for result in &results {
        write_case(&mut out, result)?;
    }
    let failed = results.iter().filter(|result| !result.passed).count();
    writeln!(out, "{} passed, {failed} failed", results.len() - failed)?;
    Ok(if failed == 0 {
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
    write!(out, "      expected {}", result.expected.as_str())?;
    if let Some(reasons) = result.expected_reasons {
        let codes: Vec<&str> = reasons.iter().map(|code| code.as_str()).collect();
        write!(
            out,
            " for {}",
            if codes.is_empty() {
                "no reason".to_owned()
            } else {
                codes.join(", ")
            }
        )?;
    }
    writeln!(out, ", got {}", result.got.as_str())?;
    for reason in &result.got_reasons {
        writeln!(out, "      {}: {}", reason.code, printable(&reason.message))?;
    }
    if result.got_reasons.is_empty() {
        writeln!(out, "      with {}", counted(0, "reason"))?;
    }
    Ok(())
}
