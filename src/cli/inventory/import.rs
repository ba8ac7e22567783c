//! `spwatch inventory import`: the policy with what the directory knows of its apps.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::cli::{
    Exit, PolicyArgument, compile_policy, complain, counted, now_or, parse_time, printable,
};
use crate::inventory::directory::Directory;
use crate::inventory::import::{Options, Proposal, propose};
use crate::policy::{compile, listing};
use crate::policy_files::PolicyTexts;
use crate::sign_in::Timestamp;

const EXAMPLES: &str = "\
Examples:
  az ad app list --all -o json > apps.json
  az ad sp list --all -o json > sps.json
  spwatch inventory import apps.json sps.json > policy.new.toml
  az rest --url 'https://graph.microsoft.com/v1.0/applications?$expand=owners' | spwatch inventory import -

Prints the policy with what is missing filled in for the entries that select by id, and commented-out \
entries for apps that are not listed. Nothing of what the policy says is changed, and no file is written. \
Owners are in the input only where they were asked for, as in the last example; without them none are \
filled in. Permissions are those that the app registration asks for; their names are in the list of \
service principals.

An app with a credential that is listed may use no other: credentials are written as comments unless \
--credentials is given.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Output of `az ad app list` or `az ad sp list` as JSON, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    policy: PolicyArgument,
    /// Add credentials in force, not as comments
    #[arg(long)]
    credentials: bool,
    /// Which of the policy's files to print, where it has several [default: the root]
    #[arg(long, value_name = "NAME")]
    file: Option<PathBuf>,
    /// The time that counts as now: what has ended by then is left out
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    now: Option<Timestamp>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let now = now_or(arguments.now);
    let root = &arguments.policy.policy;
    let texts = PolicyTexts::read(root)?;
    let policy = match compile_policy(&texts, root, now) {
        Ok(policy) => policy,
        Err(exit) => return Ok(exit),
    };
    let mut directory = Directory::default();
    for file in &arguments.files {
        let bytes = read(file).with_context(|| format!("read {}", file.display()))?;
        let read = directory.read(&bytes);
        read.with_context(|| format!("read {}", file.display()))?;
    }
    let options = Options {
        credentials: arguments.credentials,
        now,
    };
    let listing = listing(&texts.sources, &texts.feeds);
    let proposal = propose(&texts.sources, &policy, &listing, &directory, &options);
    // What is printed is meant to replace the policy: a proposal that would not do is no proposal.
    anyhow::ensure!(
        compile(&proposal.sources, None, &[]).policy.is_some(),
        "the policy would be invalid with what was found; nothing is printed"
    );
    let wanted = match &arguments.file {
        None => proposal.sources.first(),
        Some(file) => proposal
            .sources
            .iter()
            .find(|source| Path::new(&source.name) == file),
    };
    let Some(wanted) = wanted else {
        let names: Vec<&str> = texts.sources.iter().map(|one| one.name.as_str()).collect();
        anyhow::bail!("--file: the policy's files are {}", names.join(", "));
    };
    io::stdout().lock().write_all(wanted.text.as_bytes())?;
    complain(&summary(&proposal, &directory, &wanted.name, arguments));
    Ok(Exit::Clean)
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    if file.as_os_str() == "-" {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    fs::read(file)
}

fn summary(
    proposal: &Proposal,
    directory: &Directory,
    printed: &str,
    arguments: &Arguments,
) -> String {
    let tally = &proposal.tally;
    let mut lines: Vec<String> = proposal.notes.iter().map(|note| printable(note)).collect();
    let entries = |count: u64| match count {
        1 => "1 entry".to_owned(),
        count => format!("{count} entries"),
    };
    lines.push(format!(
        "{} in the input; {} of the policy among them",
        counted(directory.apps.len() as u64, "app"),
        entries(tally.matched)
    ));
    let how = match arguments.credentials {
        true => "in force",
        false => "as comments",
    };
    lines.push(format!(
        "added: {}, {} of permissions, {} {how}, {} of listed ones; {} as comments",
        counted(tally.owners, "owner"),
        counted(tally.permissions, "list"),
        counted(tally.credentials, "credential"),
        counted(tally.expiries, "expiry date"),
        match tally.new_entries {
            1 => "1 new entry".to_owned(),
            count => format!("{count} new entries"),
        },
    ));
    for (count, noun, why) in [
        (tally.expired, "credential", "expired"),
        (tally.of_microsoft, "unlisted app", "Microsoft's own"),
        (directory.passed_over, "object", "without an app id"),
    ] {
        if count > 0 {
            lines.push(format!("left out: {}, {why}", counted(count, noun)));
        }
    }
    for (source, changed) in proposal.sources.iter().zip(&proposal.changed) {
        if *changed && source.name != printed {
            lines.push(format!(
                "{} has additions too: print it with --file {0}",
                printable(&source.name)
            ));
        }
    }
    lines.join("\n")
}
