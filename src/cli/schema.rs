//! `spwatch schema`: the JSON Schema of `policy.toml`, for editors.

use std::io::{self, Write};

use super::Exit;

const EXAMPLES: &str = "\
Examples:
  spwatch schema > policy.schema.json        then `#:schema ./policy.schema.json` as the policy's first line

Taplo and Even Better TOML read it: draft-07 of JSON Schema.";

/// As it is committed; a test holds it to what the policy's reader knows.
const SCHEMA: &str = include_str!("../../policy.schema.json");

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {}

pub(super) fn run(_arguments: &Arguments) -> anyhow::Result<Exit> {
    io::stdout().write_all(SCHEMA.as_bytes())?;
    Ok(Exit::Clean)
}
