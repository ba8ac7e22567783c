//! `spwatch demo`: the main job on this machine, step by step.
//!
//! Everything on the way is real but Azure itself: the handler is this binary, started as the
//! Functions host starts it; batches go through the host's wire protocol; alerts leave over HTTP.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::{Exit, complain, counted, printable};
use crate::alert;
use crate::assess::{Block, Ledger, Period};
use crate::devhost::{
    App, Cloud, Host, Journal, Notice, Options, Received, Receiver, Settings, Target,
};
use crate::ingest::{Context, Habit, Item, read_text};
use crate::policy::{Policy, Source, compile};
use crate::sign_in::Timestamp;
use crate::sink::{Secret, webhook};

/// The function app's files, for where there is no checkout.
const APP_FILES: [(&str, &str); 5] = [
    ("host.json", include_str!("../../host.json")),
    (
        "SignIns/function.json",
        include_str!("../../SignIns/function.json"),
    ),
    (
        "Deliver/function.json",
        include_str!("../../Deliver/function.json"),
    ),
    (
        "Poisoned/function.json",
        include_str!("../../Poisoned/function.json"),
    ),
    (POLICY_NAME, include_str!("../../policies/demo.toml")),
];

const POLICY_NAME: &str = "policies/demo.toml";
const POLICY: &str = include_str!("../../policies/demo.toml");

/// What each sample shows, and the event itself.
const SAMPLES: [(&str, &str, &str); 4] = [
    (
        "samples/1-office.json",
        "The apps sign in from their office; other records come in the same batch.",
        include_str!("../../samples/1-office.json"),
    ),
    (
        "samples/2-stolen-secret.json",
        "Somebody else has the secret of invoice-export, and uses it from two other places.",
        include_str!("../../samples/2-stolen-secret.json"),
    ),
    (
        "samples/3-unlisted-app.json",
        "An app that nobody listed; a managed identity; and a record that Azure sends again.",
        include_str!("../../samples/3-unlisted-app.json"),
    ),
    (
        "samples/4-failed-attempts.json",
        "Wrong secrets are tried; a broken record; Conditional Access stops the right secret.",
        include_str!("../../samples/4-failed-attempts.json"),
    ),
];

const PARTITIONS: usize = 2;
const PATIENCE: Duration = Duration::from_secs(60);
/// A key for this machine and this minute: the receiver checks the signature with it.
const SIGNING_KEY: &str = "whsec_c3B3YXRjaC1kZW1vLXNpZ25pbmcta2V5LW9ubHk=";

const EXAMPLES: &str = "\
Examples:
  spwatch demo               in a checkout: its own host.json and */function.json
  spwatch demo --verbose     with every line of the handler's log

Nothing leaves this machine. Exit code 1 where an alert that is due does not arrive.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Show the handler's own log lines
    #[arg(long, short)]
    verbose: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(demo(arguments))
}

async fn demo(arguments: &Arguments) -> anyhow::Result<Exit> {
    let scratch = tempfile::tempdir().context("make a temporary folder")?;
    let root = app_root(scratch.path())?;
    let receiver = Receiver::start().await.context("open the alert receiver")?;
    let settings = Settings::default()
        .with("AzureWebJobsStorage", "UseDevelopmentStorage=true")
        .with(
            "SignInEventHub",
            "Endpoint=sb://localhost;UseDevelopmentEmulator=true;",
        )
        .with("SIGNIN_EVENT_HUB_NAME", "signins")
        .with("SIGNIN_CONSUMER_GROUP", "$Default")
        .with("SPWATCH_POLICY", POLICY_NAME)
        .with(
            "SPWATCH_STATE",
            scratch.path().join("state").display().to_string(),
        )
        .with("SOC_WEBHOOK_URL", receiver.url("/soc"))
        .with("SOC_WEBHOOK_SECRET", SIGNING_KEY);
    let app = App::load(&root, settings)?;
    let cloud = Cloud::of(&app, PARTITIONS);
    let journal = Journal::default();
    let options = Options {
        // This binary is the handler: in a checkout it is what host.json names, just built.
        target: Target::Process {
            executable: Some(std::env::current_exe()?),
            arguments: None,
        },
        observer: journal.observer(),
        ..Options::default()
    };
    let host = Host::start(app, Arc::clone(&cloud), options).await?;
    let mut stage = Stage {
        policy: policy()?,
        receiver,
        journal,
        host,
        cloud,
        verbose: arguments.verbose,
    };
    let mut out = io::stdout();
    stage.introduce(&mut out, &root)?;
    let mut due = BTreeSet::new();
    for (number, sample) in SAMPLES.iter().enumerate() {
        due.extend(stage.step(&mut out, number, sample).await?);
    }
    stage.conclude(&mut out, &due)
}

/// The checkout that we stand in, else a folder with the files as they were built in.
fn app_root(scratch: &Path) -> anyhow::Result<PathBuf> {
    let here = std::env::current_dir()?;
    if APP_FILES.iter().all(|(name, _)| here.join(name).is_file()) {
        return Ok(here);
    }
    let root = scratch.join("app");
    for (name, text) in APP_FILES {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&root))?;
        fs::write(path, text)?;
    }
    Ok(root)
}

fn policy() -> anyhow::Result<Policy> {
    let source = Source {
        name: POLICY_NAME.to_owned(),
        text: POLICY.to_owned(),
    };
    let compilation = compile(&[source], None, &[]);
    match compilation.policy {
        Some(policy) => Ok(policy),
        None => bail!(
            "the demo's policy is invalid:\n{}",
            compilation.diagnostics.render_text(false)
        ),
    }
}

/// Everything that is running.
struct Stage {
    policy: Policy,
    receiver: Receiver,
    journal: Journal,
    host: Host,
    cloud: Arc<Cloud>,
    verbose: bool,
}

impl Stage {
    fn introduce(&self, out: &mut dyn Write, root: &Path) -> io::Result<()> {
        let ready = self
            .journal
            .notices()
            .into_iter()
            .find_map(|notice| match notice {
                Notice::Ready { elapsed } => Some(elapsed.as_millis()),
                _ => None,
            });
        writeln!(
            out,
            "spwatch demo: log batches in, judged against a policy, alerts out over HTTP\n"
        )?;
        writeln!(
            out,
            "  stand-in host  reads host.json and */function.json in {}",
            root.display()
        )?;
        let ready = ready
            .map(|ready| format!(", ready after {ready} ms"))
            .unwrap_or_default();
        writeln!(
            out,
            "  handler        spwatch serve, {}{ready}",
            self.host.address()
        )?;
        writeln!(
            out,
            "  policy         {POLICY_NAME}: {}",
            counted(self.policy.apps.len() as u64, "app")
        )?;
        writeln!(
            out,
            "  alerts go to   {} (opened for this demo)",
            self.receiver.url("/soc")
        )
    }

    /// Sends one sample, waits until everything that follows from it has happened, and tells it.
    async fn step(
        &mut self,
        out: &mut dyn Write,
        number: usize,
        sample: &(&str, &str, &str),
    ) -> anyhow::Result<BTreeSet<String>> {
        let (name, story, text) = *sample;
        let (told, received) = (self.journal.notices().len(), self.receiver.received().len());
        self.host
            .send(number % PARTITIONS, [text.as_bytes().to_vec()])?;
        if let Err(error) = self.host.drain(PATIENCE).await {
            self.tell_log(told);
            return Err(error).context(format!("{name} was not done with"));
        }
        writeln!(out, "\n{}  {name}\n   {story}", number + 1)?;
        writeln!(out, "   came in   {}", came_in(text))?;
        for notice in self.journal.notices().iter().skip(told) {
            match notice {
                Notice::Answered { function, logs, .. } if function == "SignIns" => {
                    writeln!(out, "   handler   {}", logs.join("; "))?;
                }
                Notice::Output {
                    target, content, ..
                } if target.starts_with("spwatch-rejected") => {
                    writeln!(out, "   rejected  {}", rejected(content))?;
                }
                _ => {}
            }
        }
        if self.verbose {
            self.tell_log(told);
        }
        let mut arrived = self.receiver.received();
        let mut fresh = arrived.split_off(received.min(arrived.len()));
        if fresh.is_empty() {
            writeln!(out, "   alerts    none")?;
        }
        // Deliveries run side by side; a story has an order.
        fresh.sort_by_key(|request| first_seen(request).unwrap_or_default());
        for request in &fresh {
            let id = request.header("webhook-id");
            let again = id.is_some()
                && arrived
                    .iter()
                    .any(|earlier| earlier.header("webhook-id") == id);
            tell_alert(out, request, again)?;
        }
        Ok(self.due(text))
    }

    /// The ids of the alerts that a sample must raise, judged here and not by the handler.
    fn due(&self, text: &str) -> BTreeSet<String> {
        let mut block = Block::new(&self.policy, Period::default(), false);
        read_text(
            text.as_bytes(),
            &Context::default(),
            &mut Habit::default(),
            &mut |position, item| block.take(position, item),
        );
        let (findings, _) = Ledger::new().absorb(block);
        let now = Timestamp::from(chrono::Utc::now());
        alert::raise(&self.policy, &findings, now)
            .iter()
            .map(|raised| raised.alert.id.to_string())
            .collect()
    }

    fn tell_log(&self, from: usize) {
        for notice in self.journal.notices().iter().skip(from) {
            if let Notice::Line { text, .. } = notice {
                complain(&format!("   log       {text}"));
            }
        }
    }

    fn conclude(&self, out: &mut dyn Write, due: &BTreeSet<String>) -> anyhow::Result<Exit> {
        let received = self.receiver.received();
        let arrived: BTreeSet<String> = received
            .iter()
            .filter(|request| is_signed(request))
            .filter_map(|request| request.header("webhook-id"))
            .map(str::to_owned)
            .collect();
        let missing = due.difference(&arrived).count();
        let undelivered = self.cloud.blobs().list("spwatch-undelivered").len();
        writeln!(out)?;
        if missing == 0 && undelivered == 0 && arrived.len() == due.len() {
            writeln!(
                out,
                "Every due alert arrived: {} of {}, each signed. Nothing was lost.",
                arrived.len(),
                due.len()
            )?;
            writeln!(
                out,
                "Next: write a policy.toml of your own and run `spwatch check` on an exported log."
            )?;
            return Ok(Exit::Clean);
        }
        writeln!(
            out,
            "{} of {} due alerts did not arrive; {} arrived, {undelivered} were kept in undelivered.",
            missing,
            due.len(),
            arrived.len()
        )?;
        self.tell_log(0);
        Ok(Exit::Failed)
    }
}

/// What an event holds, by category.
fn came_in(text: &str) -> String {
    let mut categories: Vec<(String, u64)> = Vec::new();
    read_text(
        text.as_bytes(),
        &Context::default(),
        &mut Habit::default(),
        &mut |_, item| {
            let category = match item {
                Item::SignIn(sign_in) => sign_in.kind.category().to_owned(),
                Item::AuditEvent => "AuditLogs".to_owned(),
                Item::Other(category) => category.to_string(),
                Item::Reject(_) => "unreadable".to_owned(),
            };
            match categories.iter_mut().find(|(known, _)| *known == category) {
                Some((_, count)) => *count += 1,
                None => categories.push((category, 1)),
            }
        },
    );
    let parts: Vec<String> = categories
        .iter()
        .map(|(category, count)| format!("{count} {category}"))
        .collect();
    format!("one event: {}", parts.join(", "))
}

fn rejected(content: &[u8]) -> String {
    let text = String::from_utf8_lossy(content);
    let errors: Vec<String> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|line| line.get("error")?.as_str().map(printable))
        .collect();
    format!("kept whole in a blob: {}", errors.join("; "))
}

/// Whether the receiver can trust a request: the signature is made again and compared.
fn is_signed(request: &Received) -> bool {
    let (Some(id), Some(time)) = (
        request.header("webhook-id"),
        request.header("webhook-timestamp"),
    ) else {
        return false;
    };
    let Ok(time) = time.parse() else { return false };
    let secret = Secret::new(SIGNING_KEY.to_owned());
    let Ok(expected) = webhook::sign(id, time, &request.body, &secret) else {
        return false;
    };
    request.header("webhook-signature") == Some(expected.as_str())
}

fn first_seen(request: &Received) -> Option<String> {
    let alert: Value = serde_json::from_slice(&request.body).ok()?;
    Some(alert.get("first_seen")?.as_str()?.to_owned())
}

fn tell_alert(out: &mut dyn Write, request: &Received, again: bool) -> anyhow::Result<()> {
    let alert: Value = serde_json::from_slice(&request.body).context("the receiver got no JSON")?;
    let text = |path: &str| alert.pointer(path).and_then(Value::as_str).map(printable);
    let signature = if is_signed(request) {
        "signature verified"
    } else {
        "NOT SIGNED"
    };
    let id = request.header("webhook-id").unwrap_or("-");
    writeln!(
        out,
        "   alert     POST {}, webhook-id {id}, {signature}",
        request.path
    )?;
    if again {
        writeln!(
            out,
            "             the same id as before: a receiver knows that it has this one"
        )?;
    }
    writeln!(
        out,
        "             {} {}",
        text("/severity").unwrap_or_default().to_uppercase(),
        text("/title").unwrap_or_default()
    )?;
    let reasons = alert
        .get("reasons")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    for message in reasons.filter_map(|reason| reason.get("message")?.as_str()) {
        writeln!(out, "             why    {}", printable(message))?;
    }
    for (path, what) in [
        ("/app/owner", "owner"),
        ("/app/secret", "secret"),
        ("/app/runbook", "book"),
    ] {
        if let Some(value) = text(path) {
            writeln!(out, "             {what:<6} {value}")?;
        }
    }
    let count = alert
        .get("count")
        .and_then(Value::as_u64)
        .unwrap_or_default();
    writeln!(
        out,
        "             seen   {}, first {}",
        counted(count, "sign-in"),
        text("/first_seen").unwrap_or_default()
    )?;
    for step in 0..2 {
        if let Some(command) = text(&format!("/next_steps/{step}/text")) {
            writeln!(out, "             next   {command}")?;
        }
    }
    Ok(())
}
