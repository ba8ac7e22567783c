//! `spwatch serve`: the Functions custom handler.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use tracing::error;

use super::Exit;
use crate::config::{Config, app_root};
use crate::handler::{self, App, PolicySource, PolicyStore, Shared};
use crate::policy_blobs::PolicyBlobs;
use crate::sender::Sender;
use crate::state::{Location, State};
use crate::telemetry;

/// Tasks between two looks at the sockets. Each may be a small batch that is judged on the spot: with tokio's own 61,
/// a new request could wait for as many of them.
const EVENT_INTERVAL: u32 = 16;
/// Threads for what computes or waits for the disk.
const BLOCKING_THREADS: usize = 16;

const EXAMPLES: &str = "\
Examples:
  func start                       the Functions host starts `spwatch serve` itself (host.json)
  spwatch serve --port 8080        by hand, for a look at GET /

Environment: FUNCTIONS_CUSTOMHANDLER_PORT, FUNCTIONS_APP_ROOT_PATH, SPWATCH_POLICY, SPWATCH_STATE, SPWATCH_LOG.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Port on 127.0.0.1, where the host does not name one [default: 8080]
    #[arg(long)]
    port: Option<u16>,
    /// The policy's root file [default: $SPWATCH_POLICY, else policy.toml in the app root]
    #[arg(long, short, value_name = "FILE")]
    policy: Option<PathBuf>,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<Exit> {
    let lookup = |name: &str| std::env::var(name).ok();
    telemetry::start(lookup("SPWATCH_LOG").as_deref());
    let host_json = std::fs::read_to_string(app_root(&lookup).join("host.json")).ok();
    let config = Config::read(
        &lookup,
        arguments.port,
        arguments.policy,
        host_json.as_deref(),
    )?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // As many batches are judged at once at most; with more threads, each batch and each of their heaps waits
        // for a core all the same.
        .max_blocking_threads(BLOCKING_THREADS)
        .event_interval(EVENT_INTERVAL)
        .build()
        .context("start the runtime")?;
    let ended = runtime.block_on(async {
        let state = open_state(&config.state);
        let source = match &config.policy {
            Location::Blobs(blobs) => PolicySource::Blobs(PolicyBlobs::open(blobs)?),
            Location::Directory(path) => PolicySource::File(path.clone()),
            Location::Memory => anyhow::bail!("a policy is never in memory"),
        };
        let policies = PolicyStore::new(source, state.clone());
        let shared = Shared::new(state, config.limits);
        let sender = Sender::new()?;
        let app = App::new(policies, sender, shared, Arc::new(lookup), config.deadline);
        handler::serve(&config, app).await?;
        anyhow::Ok(())
    });
    // A batch that outlived its grace is still being judged: the host will send it again.
    runtime.shutdown_background();
    ended.map(|()| Exit::Clean)
}

/// A store that cannot be opened costs merging, never judging.
fn open_state(location: &Location) -> State {
    State::open(location).unwrap_or_else(|error| {
        error!(
            event = "state-unusable",
            "state is kept in memory only, and lost with this process: {}",
            error.whole()
        );
        State::memory()
    })
}
