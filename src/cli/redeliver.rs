//! `spwatch redeliver`: sends kept alerts again.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use super::{Exit, PolicyArgument, complain, counted, load_policy, now_or, printable};
use crate::delivery::{AlertKey, Kept, send};
use crate::merge::{Delivery, Mark, MarkKind};
use crate::policy::Policy;
use crate::sender::{Outcome, Sender};
use crate::sign_in::Timestamp;
use crate::sink::QueuedAlert;
use crate::state::{Location, State};

const EXAMPLES: &str = "\
Examples:
  spwatch redeliver                              all of az://spwatch-undelivered
  spwatch redeliver kept/ --sink soc             files of a folder, all to one sink
  spwatch redeliver --dry-run                    what there is, and why

What is delivered is removed; what is not stays. az:// is the storage account of AzureWebJobsStorage; where SPWATCH_STATE
is set, the delivery is noted there as `Deliver` does. Exit code 1 where something is left.";

/// Where the handler keeps them.
const CONTAINER: &str = "az://spwatch-undelivered";
/// A sink that failed that often in a row is not asked again in this run.
const FAILURES: u32 = 3;
/// A receiver that asks for more patience is left for another run.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Files, folders or az:// addresses with kept alerts [default: az://spwatch-undelivered]
    #[arg(value_name = "SOURCE")]
    sources: Vec<String>,
    #[command(flatten)]
    policy: PolicyArgument,
    /// Sends all of them to this sink, whichever they were for
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    /// Shows what would be sent
    #[arg(long)]
    dry_run: bool,
}

/// A kept document, and how it is removed.
enum Item {
    File(PathBuf),
    Blob { state: State, name: String },
}

impl Item {
    fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Blob { name, .. } => name.clone(),
        }
    }

    async fn read(&self) -> anyhow::Result<Option<Vec<u8>>> {
        match self {
            Self::File(path) => {
                let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
                Ok(Some(bytes))
            }
            Self::Blob { state, name } => {
                Ok(state.read(name).await?.map(|found| found.bytes.to_vec()))
            }
        }
    }

    async fn remove(&self) -> anyhow::Result<()> {
        match self {
            Self::File(path) => {
                fs::remove_file(path).with_context(|| format!("remove {}", path.display()))
            }
            Self::Blob { state, name } => Ok(state.remove(name).await?),
        }
    }
}

/// What became of the kept alerts.
#[derive(Debug, Default)]
struct Sum {
    delivered: u64,
    left: u64,
    foreign: u64,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let policy = match load_policy(&arguments.policy.policy, now_or(None))? {
        Ok(policy) => policy,
        Err(exit) => return Ok(exit),
    };
    if let Some(name) = &arguments.sink
        && !policy.sinks.contains_key(name)
    {
        let names: Vec<&str> = policy.sinks.keys().map(String::as_str).collect();
        anyhow::bail!(
            "there is no sink {name:?}; the policy has {}",
            names.join(", ")
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(redeliver(arguments, &policy))
}

fn lookup(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

async fn redeliver(arguments: &Arguments, policy: &Policy) -> anyhow::Result<Exit> {
    let default = [CONTAINER.to_owned()];
    let sources = match arguments.sources.is_empty() {
        true => &default[..],
        false => &arguments.sources[..],
    };
    let mut items = Vec::new();
    for source in sources {
        items.extend(find(source).await?);
    }
    let marks = match lookup("SPWATCH_STATE") {
        Some(text) => Some(State::open(&Location::read(&text, &lookup)?)?),
        None => None,
    };
    let mut run = Run {
        arguments,
        policy,
        sender: Sender::new()?,
        marks,
        failures: HashMap::new(),
        sum: Sum::default(),
    };
    for item in &items {
        run.take(item).await?;
    }
    let Sum {
        delivered,
        left,
        foreign,
    } = run.sum;
    let mut out = io::stdout().lock();
    let what = if arguments.dry_run {
        "to be sent"
    } else {
        "delivered"
    };
    write!(out, "{} {what}, {left} left", counted(delivered, "alert"))?;
    match foreign {
        0 => writeln!(out)?,
        _ => writeln!(
            out,
            ", {} that cannot be read as an alert",
            counted(foreign, "document")
        )?,
    }
    Ok(match left + foreign {
        0 => Exit::Clean,
        _ => Exit::Failed,
    })
}

async fn find(source: &str) -> anyhow::Result<Vec<Item>> {
    if source.starts_with("az://") {
        let state = State::open(&Location::read(source, &lookup)?)?;
        let mut listed = state.list("").await?;
        listed.sort_by(|a, b| (a.modified, &a.name).cmp(&(b.modified, &b.name)));
        return Ok(listed
            .into_iter()
            .map(|listed| Item::Blob {
                state: state.clone(),
                name: listed.name,
            })
            .collect());
    }
    let path = Path::new(source);
    if !path.is_dir() {
        return Ok(vec![Item::File(path.to_owned())]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).with_context(|| format!("list {source}"))? {
        let path = entry.with_context(|| format!("list {source}"))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files.into_iter().map(Item::File).collect())
}

struct Run<'a> {
    arguments: &'a Arguments,
    policy: &'a Policy,
    sender: Sender,
    marks: Option<State>,
    /// In a row, by sink.
    failures: HashMap<String, u32>,
    sum: Sum,
}

impl Run<'_> {
    async fn take(&mut self, item: &Item) -> anyhow::Result<()> {
        let Some(bytes) = item.read().await? else {
            // Somebody else was faster.
            return Ok(());
        };
        let kept = serde_json::from_slice::<Kept<'_>>(&bytes).ok();
        let alert = kept.as_ref().and_then(|kept| kept.alert);
        let key = alert.and_then(|alert| AlertKey::of(alert).ok());
        let (Some(kept), Some(alert), Some(key)) = (kept, alert, key) else {
            self.sum.foreign += 1;
            complain(&format!("{}: no kept alert, left alone", item.name()));
            return Ok(());
        };
        let name = self
            .arguments
            .sink
            .clone()
            .or(kept.sink)
            .unwrap_or_default();
        let delivery = key.to_sink(&name);
        let line = |word: &str, why: &str| {
            let mut out = io::stdout().lock();
            let shown = if name.is_empty() { "(no sink)" } else { &name };
            writeln!(
                out,
                "{word:<9}  {shown}  {}  {}",
                delivery.id(),
                printable(why)
            )
        };
        let Some(sink) = self.policy.sinks.get(&name) else {
            self.sum.left += 1;
            line(
                "left",
                "the policy has no such sink; name another with --sink",
            )?;
            return Ok(());
        };
        if self.arguments.dry_run {
            self.sum.delivered += 1;
            line("kept", &kept.reason)?;
            return Ok(());
        }
        if self
            .failures
            .get(&name)
            .is_some_and(|failed| *failed >= FAILURES)
        {
            self.sum.left += 1;
            line("left", "the sink failed three times in a row")?;
            return Ok(());
        }
        let id = delivery.id();
        let queued = QueuedAlert {
            id: &id,
            json: alert.get(),
        };
        let mut outcome = send(sink, &self.sender, queued, now_or(None), &lookup).await;
        if let Outcome::Transient {
            retry_after: Some(wait),
            ..
        } = &outcome
            && *wait <= LONGEST_WAIT
        {
            tokio::time::sleep(*wait).await;
            outcome = send(sink, &self.sender, queued, now_or(None), &lookup).await;
        }
        match outcome {
            Outcome::Delivered => {
                self.failures.remove(&name);
                self.sum.delivered += 1;
                // Marked first: should the removal fail, it is sent once more, with the same id.
                self.mark(&delivery, key.count).await;
                item.remove().await?;
                line("delivered", &kept.reason)?;
            }
            Outcome::Transient { reason, .. } => {
                *self.failures.entry(name.clone()).or_default() += 1;
                self.sum.left += 1;
                line("left", &reason)?;
            }
            // The receiver lives, and does not want this one: others may fare better.
            Outcome::Permanent { reason } => {
                self.failures.remove(&name);
                self.sum.left += 1;
                line("left", &reason)?;
            }
        }
        Ok(())
    }

    /// Notes the delivery where `Deliver` would.
    async fn mark(&self, delivery: &Delivery, count: u64) {
        let Some(state) = &self.marks else {
            return;
        };
        let mark = Mark::new(count, Timestamp::from(chrono::Utc::now()));
        let marking = async {
            let json = serde_json::to_vec(&mark)?;
            state
                .create(&delivery.mark_name(MarkKind::Delivered), json)
                .await?;
            state.remove(&delivery.mark_name(MarkKind::Kept)).await?;
            anyhow::Ok(())
        };
        if let Err(error) = marking.await {
            complain(&format!(
                "warning: the delivery is not noted in the state store: {error:#}"
            ));
        }
    }
}
