//! A stand-in for the Azure Functions host, for `spwatch demo` and for tests.
//!
//! It does to the handler what the host does: reads `host.json` and `*/function.json` ([`App`]), starts the
//! process and restarts it by the host's rules, posts invocations in the host's own encoding ([`wire`]), judges
//! the answers as .NET would ([`answer`]), applies outputs to queues and blobs, retries, checkpoints, redelivers,
//! and moves what cannot be processed to the poison queue. What Azure would keep ([`Cloud`]: an Event Hub, queues,
//! blobs) outlives a [`Host`], so that a crash of everything at any instant can be played through.
//!
//! # What it does not prove
//! It is our reading of the public source, mostly of Azure/azure-functions-host (`src/WebJobs.Script/Workers/Http`,
//! `Workers/MessageExtensions`, `Workers/ProcessManagement`, `src/WebJobs.Script/Binding`), Azure/azure-webjobs-sdk
//! and the Event Hubs and Storage extensions in Azure/azure-sdk-for-net. Where reading and host differ, the host is
//! right. Known gaps: one host instance owns every partition (no rebalancing, no lease loss); leases, checkpoints
//! and messages are in memory; JSON is read strictly where Json.NET forgives; HTTP triggers are not served; it
//! judges hanging answers at once instead of waiting for `functionTimeout`.
//!
//! ```text
//! Hub ──batch──▶ wire ──POST──▶ handler ──answer──▶ answer ──outputs──▶ Queue, Blobs
//!  ▲ checkpoint, retry                                                   │ queueTrigger
//!  └──────────────────────────────── Host ◀──────────────────────────────┘
//! ```

pub mod answer;
pub mod wire;

mod app;
mod blobs;
mod client;
mod cloud;
mod function_file;
mod host;
mod hub;
mod notice;
mod process;
mod queue;
mod receiver;
mod settings;
mod storage;

pub use app::{App, AppError, Extensions, FileError, HandlerCommand, QueueSettings};
pub use blobs::{Blob, Blobs};
pub use client::{Exchange, Framing, Request};
pub use cloud::Cloud;
pub use function_file::{
    Cardinality, DataType, Function, OutputBinding, OutputKind, Retry, RetryStrategy, Trigger,
};
pub use host::{Borders, Host, HostError, Options, Target};
pub use hub::{Event, Hub, HubError, StoredEvent};
pub use notice::{Journal, Level, Notice, Observer};
pub use process::{Environment, RestartRules, Stopped};
pub use queue::{Encoding, Message, Queue, QueueError, Receipt};
pub use receiver::{Received, Receiver, Reply};
pub use settings::Settings;
pub use storage::{RemoteMessage, Storage, StorageError};
