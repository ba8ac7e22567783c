//! `spwatch feed`: fetches feed files and pins them in `feeds.lock`. The policy itself is never written.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::{Exit, PolicyArgument, complain, counted, now_or, parse_time, printable};
use crate::feed::lock::{self, Lock};
use crate::feed::plan::{Change, Fetched, Plan, Wanted, plan};
use crate::feed::{Format, MAX_BYTES};
use crate::policy::{feed_sets, nearest};
use crate::policy_files::{PolicyTexts, folder};
use crate::sender::download;
use crate::sign_in::Timestamp;

const EXAMPLES: &str = "\
Examples:
  spwatch feed add github --format github-meta --key actions --url https://api.github.com/meta
  spwatch feed add azure --format azure-service-tags --key AzureCloud.westeurope --file tags.json
  spwatch feed update                         every feed that has an address
  spwatch feed update azure --file tags.json  a download

Feeds are fetched by this command alone, over https. Service tags have no lasting address:
Microsoft gives the file a new name each week, so download it first.
Exit code 1 where a feed was not taken.";

/// Where Microsoft offers the service tags.
const AZURE_PAGE: &str = "https://www.microsoft.com/download/details.aspx?id=56519";
/// As many ranges of a change are shown.
const SHOWN: usize = 10;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fetches a feed, pins it, and prints the line to paste into `[ranges]`
    #[command(after_help = EXAMPLES)]
    Add(Add),
    /// Fetches feeds of the policy anew
    #[command(after_help = EXAMPLES)]
    Update(Update),
}

#[derive(Debug, clap::Args)]
struct Add {
    #[command(flatten)]
    policy: PolicyArgument,
    /// The set's name in `[ranges]`
    name: String,
    /// How the file is laid out
    #[arg(long, value_parser = format_parser())]
    format: Format,
    /// The part of the file that is meant, where the format has parts
    #[arg(long)]
    key: Option<String>,
    #[command(flatten)]
    source: Source,
    /// Where it is kept, relative to the policy's folder [default: feeds/NAME with the format's ending]
    #[arg(long, value_name = "FILE")]
    to: Option<String>,
    /// How old it may become, such as 30d; it goes into the printed line
    #[arg(long, value_name = "AGE", default_value = "30d", value_parser = parse_age)]
    max_age: String,
    /// Takes it even if a set shrinks to less than half
    #[arg(long)]
    accept_shrink: bool,
    /// The time that counts as now
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    now: Option<Timestamp>,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// Fetches it from there, over https
    #[arg(long)]
    url: Option<String>,
    /// Takes a download
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Update {
    #[command(flatten)]
    policy: PolicyArgument,
    /// The sets whose files are fetched [default: all that have an address]
    names: Vec<String>,
    /// Fetches from there, and from now on
    #[arg(long, requires = "names", conflicts_with = "file")]
    url: Option<String>,
    /// Takes a download
    #[arg(long, value_name = "FILE", requires = "names")]
    file: Option<PathBuf>,
    /// Takes it even if a set shrinks to less than half
    #[arg(long)]
    accept_shrink: bool,
    /// The time that counts as now
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    now: Option<Timestamp>,
}

fn format_parser() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::as_str))
        .try_map(|word| Format::parse(&word).ok_or("no such format"))
}

fn parse_age(text: &str) -> Result<String, String> {
    match crate::policy::parse_duration(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("expected a duration such as 12h, 30d or 4w".to_owned()),
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let fetch = |url: &str| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(runtime.block_on(download(url, false, MAX_BYTES))?)
    };
    let mut out = io::stdout().lock();
    match &arguments.command {
        Command::Add(add) => add.run(&fetch, &mut out),
        Command::Update(update) => update.run(&fetch, &mut out),
    }
}

/// Gets what is at an address.
type Fetch<'a> = &'a dyn Fn(&str) -> anyhow::Result<Vec<u8>>;

/// A file that is to be replaced, and by what.
struct Task<'a> {
    file: &'a str,
    sets: &'a [Wanted],
    from: From<'a>,
    accept_shrink: bool,
    now: Timestamp,
}

enum From<'a> {
    Url(&'a str),
    File(&'a Path),
}

impl Add {
    fn run(&self, fetch: Fetch<'_>, out: &mut dyn Write) -> anyhow::Result<Exit> {
        let root = &self.policy.policy;
        let mut house = House::open(root)?;
        let wanted = Wanted {
            name: self.name.clone(),
            format: self.format,
            key: self.key.clone(),
        };
        // A set that the policy has already is kept where the policy says.
        let mut of_policy = house.sets.iter();
        let known = of_policy
            .find_map(|(file, sets)| Some((file, sets.iter().find(|set| set.name == self.name)?)));
        let file = match (known, &self.to) {
            (Some((_, known)), _) if *known != wanted => {
                bail!(
                    "the policy has a feed @{} of another format or key",
                    self.name
                )
            }
            (Some((file, _)), Some(to)) if to != file => {
                bail!("the policy has @{} in {file}", self.name)
            }
            (Some((file, _)), _) => file.clone(),
            (None, Some(to)) => to.clone(),
            (None, None) => format!(
                "feeds/{}.{}",
                file_name(&self.name),
                self.format.extension()
            ),
        };
        let mut sets = house.sets.get(&file).cloned().unwrap_or_default();
        let is_new = known.is_none();
        if is_new {
            sets.push(wanted);
        }
        let from = match (&self.source.url, &self.source.file) {
            (Some(url), _) => From::Url(url),
            (None, Some(file)) => From::File(file),
            (None, None) => bail!("give --url or --file"),
        };
        let task = Task {
            file: &file,
            sets: &sets,
            from,
            accept_shrink: self.accept_shrink,
            now: now_or(self.now),
        };
        house.take(&task, fetch, out)?;
        if is_new {
            writeln!(out, "\nThe line for [ranges] of {}:\n", root.display())?;
            writeln!(out, "{}", self.line(&file))?;
        }
        Ok(Exit::Clean)
    }

    /// What is pasted into the policy.
    fn line(&self, file: &str) -> String {
        let text = |text: &str| toml::Value::from(text).to_string();
        let is_bare = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
        let name = match !self.name.is_empty() && self.name.chars().all(is_bare) {
            true => self.name.clone(),
            false => text(&self.name),
        };
        let key = match &self.key {
            Some(key) => format!(", key = {}", text(key)),
            None => String::new(),
        };
        format!(
            "{name} = {{ file = {}, format = \"{}\"{key}, max_age = \"{}\" }}",
            text(file),
            self.format.as_str(),
            self.max_age
        )
    }
}

/// A set's name as part of a path.
fn file_name(name: &str) -> String {
    let letters = name.chars().map(|letter| match letter {
        letter if letter.is_ascii_alphanumeric() || "-_".contains(letter) => letter,
        _ => '-',
    });
    letters.collect()
}

impl Update {
    fn run(&self, fetch: Fetch<'_>, out: &mut dyn Write) -> anyhow::Result<Exit> {
        let mut house = House::open(&self.policy.policy)?;
        let all: BTreeSet<&str> = house
            .sets
            .values()
            .flatten()
            .map(|set| set.name.as_str())
            .collect();
        for name in &self.names {
            if !all.contains(name.as_str()) {
                let help = nearest(name, all.iter().copied())
                    .map_or(String::new(), |near| format!(" (did you mean {near}?)"));
                bail!("[ranges] has no feed {name:?}{help}");
            }
        }
        let chosen: Vec<(String, Vec<Wanted>)> = house
            .sets
            .iter()
            .filter(|(_, sets)| {
                let mut names = sets.iter().map(|set| &set.name);
                self.names.is_empty() || names.any(|name| self.names.contains(name))
            })
            .map(|(file, sets)| (file.clone(), sets.clone()))
            .collect();
        if chosen.is_empty() {
            writeln!(out, "the policy has no feed")?;
        }
        if chosen.len() > 1 && (self.url.is_some() || self.file.is_some()) {
            bail!(
                "one source cannot be {} files: name the sets of one",
                chosen.len()
            );
        }
        let mut exit = Exit::Clean;
        for (file, sets) in &chosen {
            let pinned = house.lock.pin(file).and_then(|pin| pin.url.clone());
            let from = match (&self.file, self.url.as_ref().or(pinned.as_ref())) {
                (Some(download), _) => From::File(download),
                (None, Some(url)) => From::Url(url),
                (None, None) => {
                    complain(&format!("{file}: {}", without_address(sets)));
                    // Asked for by name, it is missed.
                    if !self.names.is_empty() {
                        exit = Exit::Failed;
                    }
                    continue;
                }
            };
            let task = Task {
                file,
                sets,
                from,
                accept_shrink: self.accept_shrink,
                now: now_or(self.now),
            };
            if let Err(error) = house.take(&task, fetch, out) {
                complain(&format!("error: {error:#}"));
                exit = Exit::Failed;
            }
        }
        Ok(exit)
    }
}

fn without_address(sets: &[Wanted]) -> String {
    let is_azure = |set: &Wanted| set.format == Format::AzureServiceTags;
    let page = match sets.iter().any(is_azure) {
        true => format!(" from {AZURE_PAGE}"),
        false => String::new(),
    };
    let name = sets.first().map_or("NAME", |set| &set.name);
    format!("no address is known: download it{page} and say spwatch feed update {name} --file FILE")
}

/// The policy's folder, its feeds and their lock.
struct House {
    folder: PathBuf,
    sets: std::collections::BTreeMap<String, Vec<Wanted>>,
    lock: Lock,
}

impl House {
    fn open(root: &Path) -> anyhow::Result<Self> {
        // Feeds may be there before the policy is.
        let sets = match root.exists() {
            true => feed_sets(&PolicyTexts::read(root)?.sources),
            false => Default::default(),
        };
        let folder = folder(root).to_owned();
        let path = folder.join(lock::NAME);
        let lock = match fs::read_to_string(&path) {
            Ok(text) => Lock::parse(&text)
                .map_err(anyhow::Error::msg)
                .with_context(|| format!("read {}", path.display()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Lock::default(),
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        Ok(Self { folder, sets, lock })
    }

    /// Replaces a file, if every set can be made of the new one.
    fn take(
        &mut self,
        task: &Task<'_>,
        fetch: Fetch<'_>,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let path = self.folder.join(task.file);
        let pin = self.lock.pin(task.file);
        let (bytes, url) = match task.from {
            From::Url(url) => {
                let bytes = fetch(url).with_context(|| format!("fetch {}", task.file))?;
                (bytes, Some(url.to_owned()))
            }
            From::File(download) => {
                let bytes = self.read(download)?;
                (bytes, pin.and_then(|pin| pin.url.clone()))
            }
        };
        let old = fs::read(&path).ok();
        let fetched = Fetched {
            file: task.file,
            bytes: &bytes,
            url: url.as_deref(),
            at: task.now,
        };
        let plan = plan(fetched, old.as_deref(), pin, task.sets)
            .with_context(|| format!("take {}: nothing was changed", task.file))?;
        if !task.accept_shrink
            && let Some((change, before)) = plan
                .changes
                .iter()
                .find_map(|change| Some((change, change.shrunk_from?)))
        {
            bail!(
                "take {}: @{} would shrink from {before} ranges to {}; nothing was changed (--accept-shrink takes it)",
                task.file,
                change.name,
                change.prefixes
            );
        }
        let is_same = old.as_deref() == Some(bytes.as_slice());
        if !is_same {
            write_whole(&path, &bytes)?;
        }
        report(&plan, is_same, out)?;
        self.lock.accept(plan.pin);
        let text = self.lock.to_text()?;
        write_whole(&self.folder.join(lock::NAME), text.as_bytes())
    }

    /// Reads a download: where it is, or where the policy would say it is.
    fn read(&self, download: &Path) -> anyhow::Result<Vec<u8>> {
        let in_folder = self.folder.join(download);
        let path = match download.exists() {
            true => download,
            false => &in_folder,
        };
        let failed = || format!("read {}", path.display());
        let size = fs::metadata(path).with_context(failed)?.len();
        if usize::try_from(size).is_ok_and(|size| size <= MAX_BYTES) {
            return fs::read(path).with_context(failed);
        }
        bail!(
            "{}: it is larger than {} MiB",
            path.display(),
            MAX_BYTES >> 20
        )
    }
}

fn report(plan: &Plan, is_same: bool, out: &mut dyn Write) -> io::Result<()> {
    let pin = &plan.pin;
    writeln!(
        out,
        "{}: {}, {}, SHA-256 {}",
        printable(&pin.file),
        if is_same { "unchanged" } else { "written" },
        counted(pin.size_bytes, "byte"),
        pin.sha256
    )?;
    for change in &plan.changes {
        let Change { added, removed, .. } = change;
        let count = u64::try_from(change.prefixes).unwrap_or(u64::MAX);
        writeln!(
            out,
            "  @{}: {}, {} added, {} removed",
            printable(&change.name),
            counted(count, "range"),
            added.len(),
            removed.len()
        )?;
        for (sign, ranges) in [('+', added), ('-', removed)] {
            for range in ranges.iter().take(SHOWN) {
                writeln!(out, "    {sign} {}", printable(range))?;
            }
            if ranges.len() > SHOWN {
                writeln!(out, "    {sign} … and {} more", ranges.len() - SHOWN)?;
            }
        }
    }
    Ok(())
}

/// Writes a file in one step: whoever reads it meanwhile has the old one or the new one.
fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let failed = || format!("write {}", path.display());
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).with_context(failed)?;
    let mut builder = tempfile::Builder::new();
    // A feed is no secret, and the policy's other readers need it.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o644));
    }
    let mut file = builder.tempfile_in(folder).with_context(failed)?;
    file.write_all(bytes).with_context(failed)?;
    file.as_file().sync_all().with_context(failed)?;
    file.persist(path).with_context(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests;
