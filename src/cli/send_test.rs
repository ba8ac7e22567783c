//! `spwatch send-test`: one marked alert to a sink, and the whole exchange, secrets masked.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use uuid::Uuid;

use super::mask::Mask;
use super::{Exit, PolicyArgument, complain, load_policy, now_or, printable};
use crate::alert::own;
use crate::delivery::prepare;
use crate::policy::{Policy, Sink, nearest};
use crate::sender::{Outcome, Sender};
use crate::sink::{QueuedAlert, Request};
use crate::verdict::Severity;

const EXAMPLES: &str = "\
Examples:
  SOC_WEBHOOK_URL=https://… spwatch send-test --sink soc
  spwatch send-test --sink soc --dry-run     the request, sent nowhere

The sink's settings come from the environment, as they do in the Function App. A token that the sink needs is fetched
for a dry run too. Exit code 1 where the receiver did not take the alert.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    policy: PolicyArgument,
    /// The sink's name in the policy [default: the only one]
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    /// Shows the request and sends nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let now = now_or(None);
    let policy = match load_policy(&arguments.policy.policy, now)? {
        Ok(policy) => policy,
        Err(exit) => return Ok(exit),
    };
    let sink = choose(&policy, arguments.sink.as_deref())?;
    // Every value that is looked up may be a secret: none is shown.
    let secrets = Mutex::new(Vec::new());
    let lookup = |name: &str| {
        let value = std::env::var(name).ok()?;
        let mut secrets = secrets.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.push(value.clone());
        Some(value)
    };
    let alert = own::test(Uuid::new_v4(), sink.min_severity.max(Severity::Low), now);
    let id = alert.id.to_string();
    let json = serde_json::to_string(&alert)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let sender = Sender::new()?;
        let queued = QueuedAlert {
            id: &id,
            json: &json,
        };
        let request = match prepare(sink, &sender, queued, now, &lookup).await {
            Ok(request) => request,
            Err(Outcome::Transient { reason, .. } | Outcome::Permanent { reason }) => {
                anyhow::bail!("sink {}: {reason}", sink.name);
            }
            Err(Outcome::Delivered) => return Ok(Exit::Clean),
        };
        let literals = sink.literal_secrets().map(str::to_owned);
        let mut known: Vec<String> = literals.collect();
        known.append(&mut secrets.lock().unwrap_or_else(PoisonError::into_inner));
        let mask = Mask::new(known, &request);
        let mut out = io::stdout().lock();
        show_request(&mut out, &request, &mask)?;
        if arguments.dry_run {
            writeln!(out, "\nnothing was sent (--dry-run)")?;
            return Ok(Exit::Clean);
        }
        let exchange = sender.exchange(request, sink.insecure).await;
        let elapsed = exchange.elapsed.as_millis();
        match exchange.status {
            Some(status) => writeln!(out, "\n{status} after {elapsed} ms")?,
            None => writeln!(out, "\nno answer after {elapsed} ms")?,
        }
        if !exchange.body.is_empty() {
            let text = String::from_utf8_lossy(&exchange.body);
            for line in mask.hide(&text).lines() {
                writeln!(out, "  {}", printable(line))?;
            }
        }
        match exchange.outcome {
            Outcome::Delivered => {
                writeln!(out, "\ndelivered: look for the alert {id} at the receiver")?;
                Ok(Exit::Clean)
            }
            Outcome::Transient { reason, .. } | Outcome::Permanent { reason } => {
                let reason = mask.hide(&reason);
                complain(&format!("error: sink {}: {reason}", sink.name));
                if let Some(advice) = advice(exchange.status) {
                    complain(&format!("help: {advice}"));
                }
                Ok(Exit::Failed)
            }
        }
    })
}

/// The sink of that name, or the only one.
fn choose<'p>(policy: &'p Policy, name: Option<&str>) -> anyhow::Result<&'p Sink> {
    let names: Vec<&str> = policy.sinks.keys().map(String::as_str).collect();
    let listed = || match names.is_empty() {
        true => "the policy has no sink".to_owned(),
        false => format!("the policy has {}", names.join(", ")),
    };
    let Some(name) = name else {
        let mut all = policy.sinks.values();
        return match (all.next(), all.next()) {
            (Some(only), None) => Ok(only),
            _ => anyhow::bail!("name the sink with --sink: {}", listed()),
        };
    };
    policy.sinks.get(name).ok_or_else(|| {
        let meant = nearest(name, names.iter().copied());
        let meant = meant.map_or(String::new(), |meant| format!("; did you mean {meant}?"));
        anyhow::anyhow!("there is no sink {name:?}: {}{meant}", listed())
    })
}

fn show_request(out: &mut impl Write, request: &Request, mask: &Mask) -> io::Result<()> {
    writeln!(
        out,
        "{} {}",
        request.method.as_str(),
        Mask::address(request.url.reveal())
    )?;
    for (name, value) in &request.headers {
        let shown = match *name {
            "authorization" => {
                let scheme = value.reveal().split(' ').next().unwrap_or_default();
                format!("{scheme} ***")
            }
            _ => mask.hide(value.reveal()),
        };
        writeln!(out, "{name}: {}", printable(&shown))?;
    }
    writeln!(out)?;
    let text = match serde_json::from_slice::<Value>(&request.body) {
        Ok(body) => format!("{body:#}"),
        Err(_) => String::from_utf8_lossy(&request.body).into_owned(),
    };
    for line in mask.hide(&text).lines() {
        writeln!(out, "  {}", printable(line))?;
    }
    Ok(())
}

/// What a refusal usually means.
fn advice(status: Option<u16>) -> Option<&'static str> {
    Some(match status {
        None => {
            "is the address right, and may this machine reach it? A private address or plain http needs `insecure = true`"
        }
        Some(300..=399) => {
            "redirects are not followed: put the address that it leads to into the setting"
        }
        Some(400) => "does the address belong to this type of sink?",
        Some(401 | 403) => {
            "the key or token is wrong or has expired, or the identity lacks its role (docs/sinks.md)"
        }
        Some(404) => "the address is mistyped, or the webhook or rule was removed",
        Some(410) => {
            "the webhook was removed for good: make a new one, or take the sink out of the policy"
        }
        Some(413) => "the receiver takes no body of that size",
        Some(429) => "the receiver asks for patience: `Deliver` waits as it says",
        Some(500..=599) => "the receiver is in trouble: `Deliver` would try again for a day",
        Some(_) => return None,
    })
}
