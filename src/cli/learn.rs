//! `spwatch learn`: history → a proposal for `policy.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

use super::log_files::LogFiles;
use super::{Exit, complain, counted, load_policy, now_or, printable};
use crate::learn::{self, Gaps, History, Options};
use crate::policy::{Source, named_ranges};
use crate::policy_files::PolicyTexts;
use crate::sign_in::SignIn;

const EXAMPLES: &str = "\
Examples:
  spwatch learn last-two-months/ > policy.toml
  spwatch learn --min-days 14 --max-prefix 28,64 export.json
  spwatch learn --sets feeds.toml export.json
  spwatch learn --merge policy.toml last-month/ > proposed.toml && diff policy.toml proposed.toml

Proposes an entry for each application, from successful sign-ins alone. Read it before you use it: what an intruder did in \
that time is in it too. What is still changing is commented out, and so are applications that were seen too seldom. A \
record that was exported twice counts twice.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    log: LogFiles,
    /// Shortest prefixes of proposed ranges, IPv4 and IPv6; no shorter than the default
    #[arg(long, value_name = "V4[,V6]", default_value = "24,48", value_parser = parse_prefixes)]
    max_prefix: (u8, u8),
    /// Applications seen on fewer days are commented out
    #[arg(long, value_name = "N", default_value_t = 7)]
    min_days: u32,
    /// Applications with fewer successful sign-ins are commented out
    #[arg(long, value_name = "N", default_value_t = 20)]
    min_sign_ins: u64,
    /// Proposes changes to this policy, comments and order kept, instead of a new one
    #[arg(long, value_name = "POLICY")]
    merge: Option<PathBuf>,
    /// A policy whose named ranges, feeds included, are recognised: "these are GitHub's addresses"
    #[arg(long, value_name = "POLICY", conflicts_with = "merge")]
    sets: Option<PathBuf>,
    /// Lists credentials for good, so that a new one is a finding
    #[arg(long)]
    credentials: bool,
}

/// Reads `24` or `24,48`.
fn parse_prefixes(text: &str) -> Result<(u8, u8), String> {
    let (v4, v6) = text.split_once(',').unwrap_or((text, "48"));
    let read = |text: &str, widest: u8, longest: u8| {
        let text = text.trim().trim_start_matches('/');
        match text.parse::<u8>() {
            Ok(prefix) if (widest..=longest).contains(&prefix) => Ok(prefix),
            _ => Err(format!("{text:?} is no prefix from {widest} to {longest}")),
        }
    };
    Ok((read(v4, 24, 32)?, read(v6, 48, 128)?))
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let options = Options {
        widest_v4: arguments.max_prefix.0,
        widest_v6: arguments.max_prefix.1,
        min_days: arguments.min_days,
        min_successes: arguments.min_sign_ins,
        credentials: arguments.credentials,
    };
    let Some(root) = &arguments.merge else {
        let mut history = History::default();
        let exit = read(arguments, &mut |sign_in| history.add(sign_in))?;
        anyhow::ensure!(
            !history.is_empty() || exit != Exit::Clean,
            "no sign-in was found"
        );
        let known = match &arguments.sets {
            Some(file) => Some(PolicyTexts::read(file)?),
            None => None,
        };
        let sets = known
            .as_ref()
            .map(|texts| named_ranges(&texts.sources, &texts.feeds));
        let proposal = learn::propose(&history, &options, &sets.unwrap_or_default());
        let definitions = match &known {
            Some(texts) => definitions(&texts.sources, &proposal.sets()),
            None => Vec::new(),
        };
        let text = learn::write(&proposal, &definitions);
        let mut texts = PolicyTexts::alone(root_of(&text));
        texts.feeds = known.map(|texts| texts.feeds).unwrap_or_default();
        check(&texts)?;
        io::stdout().lock().write_all(text.as_bytes())?;
        let entries = &proposal.entries;
        let held_back = entries.iter().filter(|entry| entry.held_back.is_some());
        let held_back = held_back.count();
        complain(&format!(
            "{}: {} proposed, {held_back} commented out",
            counted(entries.len() as u64, "application"),
            entries.len() - held_back
        ));
        return Ok(exit);
    };
    let policy = match load_policy(root, now_or(None))? {
        Ok(policy) => policy,
        Err(exit) => return Ok(exit),
    };
    let mut texts = PolicyTexts::read(root)?;
    let sets = named_ranges(&texts.sources, &texts.feeds);
    let mut gaps = Gaps::default();
    let exit = read(arguments, &mut |sign_in| {
        gaps.add(sign_in, &policy.judge(sign_in));
    })?;
    let Some(source) = texts.sources.first_mut() else {
        anyhow::bail!("the policy {} has no text", root.display());
    };
    let merged = learn::merge(&source.text, &policy, &gaps, &options, &sets);
    source.text.clone_from(&merged.text);
    check(&texts)?;
    io::stdout().lock().write_all(merged.text.as_bytes())?;
    for sentence in &merged.left {
        complain(&format!("left alone: {}", printable(sentence)));
    }
    complain(&format!(
        "{} changed, {} added",
        counted_entries(merged.changed),
        counted_entries(merged.added)
    ));
    Ok(exit)
}

fn counted_entries(count: usize) -> String {
    match count {
        1 => "1 entry".to_owned(),
        count => format!("{count} entries"),
    }
}

/// Shows every sign-in that is to be learnt from.
fn read(arguments: &Arguments, see: &mut dyn FnMut(&SignIn<'_>)) -> anyhow::Result<Exit> {
    let read = arguments.log.read(&mut |_, _, sign_in| see(sign_in))?;
    Ok(match read.is_whole {
        true => Exit::Clean,
        false => Exit::Failed,
    })
}

/// The lines that define these sets, and those that they are made of.
fn definitions(sources: &[Source], used: &BTreeSet<&str>) -> Vec<String> {
    let mut defined: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
    for source in sources {
        let (tree, _) = DeTable::parse_recoverable(&source.text);
        let ranges = tree.get_ref().get("ranges");
        let ranges = ranges.and_then(|ranges| ranges.get_ref().as_table());
        for (key, value) in ranges.into_iter().flat_map(DeTable::iter) {
            let written = |span| source.text.get(span).unwrap_or_default();
            let line = format!("{} = {}", written(key.span()), written(value.span()));
            let members = value
                .get_ref()
                .as_array()
                .into_iter()
                .flat_map(|array| array.iter());
            let members = members.filter_map(|member| match member.get_ref() {
                DeValue::String(text) => text.strip_prefix('@').map(str::to_owned),
                _ => None,
            });
            defined.insert(key.get_ref().to_string(), (line, members.collect()));
        }
    }
    let mut wanted: Vec<&str> = used.iter().copied().collect();
    let mut lines: BTreeMap<&str, &str> = BTreeMap::new();
    while let Some(name) = wanted.pop() {
        if let Some((name, (line, members))) = defined.get_key_value(name)
            && lines.insert(name, line).is_none()
        {
            wanted.extend(members.iter().map(String::as_str));
        }
    }
    lines.into_values().map(str::to_owned).collect()
}

fn root_of(text: &str) -> Source {
    Source {
        name: "proposal".to_owned(),
        text: text.to_owned(),
    }
}

/// A proposal that does not hold is a mistake of ours, and is not handed out.
fn check(texts: &PolicyTexts) -> anyhow::Result<()> {
    let compilation = texts.compile(None);
    anyhow::ensure!(
        compilation.policy.is_some(),
        "the proposal is no valid policy, which is a mistake of spwatch:\n{}",
        compilation.diagnostics.render_text(false)
    );
    Ok(())
}
