//! Log set-up of the handler: JSON lines, one stream for news and one for trouble.
//!
//! The host takes stdout lines as information and stderr lines as errors, or as warnings where they
//! hold the word (Azure/azure-functions-host `src/WebJobs.Script/Workers/ProcessManagement/WorkerProcess.cs`).

use tracing::Level;
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// Starts logging; `filter` is `SPWATCH_LOG` (default `info`). A second call changes nothing.
pub fn start(filter: Option<&str>) {
    let chosen = filter.unwrap_or("info");
    let filter = EnvFilter::try_new(chosen).unwrap_or_else(|_| EnvFilter::new("info"));
    let news = fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(std::io::stdout)
        .with_filter(filter_fn(|metadata| *metadata.level() > Level::WARN));
    let trouble = fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(std::io::stderr)
        .with_filter(filter_fn(|metadata| *metadata.level() <= Level::WARN));
    // Fails only where a subscriber is there already, as in tests.
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(news)
        .with(trouble)
        .try_init();
}
