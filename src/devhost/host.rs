//! A running host: one handler, pumps for its triggers, and the means to play with both.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::Utc;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use super::app::App;
use super::client::{Client, Exchange, Framing, Request};
use super::cloud::Cloud;
use super::function_file::{Cardinality, DataType, Function, Trigger};
use super::hub::{Event, HubError};
use super::notice::Observer;
use super::process::{Environment, RestartRules, Stopped, Supervisor};
use super::wire;

mod attempt;
mod event_pump;
mod queue_pump;

/// While a message is in work it is hidden that long.
const LEASE: Duration = Duration::from_secs(600);

/// How a host runs.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What it calls.
    pub target: Target,
    /// Who is told what happens.
    pub observer: Observer,
    /// Factor on retry intervals and on the visibility timeout; `None` is 1, real time.
    pub time_scale: Option<f64>,
    /// How bodies are framed.
    pub framing: Framing,
    /// Which generation of metadata events come with.
    pub metadata: wire::Metadata,
    /// Where batches end.
    pub borders: Borders,
    /// When the host gives up on the handler.
    pub restart: RestartRules,
    /// In place of `functionTimeout`.
    pub function_timeout: Option<Duration>,
    /// How long a message in work is hidden. The host renews it; a dead host does not. `None` is ten minutes, and here
    /// nobody renews it.
    pub lease: Option<Duration>,
}

/// What a host calls.
#[derive(Debug, Clone)]
pub enum Target {
    /// A process, as in `host.json` but for what is given here.
    Process {
        /// In place of `defaultExecutablePath`.
        executable: Option<PathBuf>,
        /// In place of `arguments`.
        arguments: Option<Vec<String>>,
    },
    /// A handler that somebody else runs on 127.0.0.1, at that port.
    Port(u16),
}

/// Where the batches of a partition end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Borders {
    /// As many events as there are, up to `maxEventBatchSize`.
    #[default]
    Full,
    /// A number between one and that, the same sequence for the same seed.
    Varied {
        /// The seed.
        seed: u64,
    },
}

/// Why a host cannot start, or cannot do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The handler is not run, or no longer.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The handler gave an answer with which an invocation never ends.
    #[error("{function} answered so that the invocation would hang until functionTimeout")]
    Hang {
        /// The function.
        function: String,
    },
    /// The time is up and there is still work.
    #[error("after {waited:?} there is still work: {left}")]
    Unsettled {
        /// How long was waited.
        waited: Duration,
        /// What is left.
        left: String,
    },
    /// No such function, or not with such a trigger.
    #[error("there is no function {0:?} with such a trigger")]
    NoFunction(String),
    /// The function listens to a hub that the cloud does not have.
    #[error("{function} listens to the hub {hub:?}, which is not there")]
    NoHub {
        /// The function.
        function: String,
        /// The hub.
        hub: String,
    },
    /// There is no free port.
    #[error("no free port")]
    Port(#[source] std::io::Error),
    /// The invocation got no response.
    #[error("the handler gave no response")]
    NoResponse(#[from] reqwest::Error),
    /// The invocation has no body.
    #[error(transparent)]
    Wire(#[from] wire::WireError),
    /// The hub refused the events.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// A timer's invocation failed, after all retries.
    #[error("{function} failed: {reason}")]
    Failed {
        /// The function.
        function: String,
        /// Why.
        reason: String,
    },
}

/// A running host. Dropped, it is gone as after SIGKILL, and its handler with it.
#[derive(Debug)]
pub struct Host {
    inner: Arc<Inner>,
    pumps: Mutex<JoinSet<()>>,
}

/// What the pumps share.
#[derive(Debug)]
struct Inner {
    app: App,
    cloud: Arc<Cloud>,
    client: Client,
    supervisor: Supervisor,
    observer: Observer,
    time_scale: f64,
    framing: Framing,
    metadata: wire::Metadata,
    borders: Borders,
    function_timeout: Option<Duration>,
    lease: Duration,
    port: u16,
    /// Invocations and listener steps under way.
    busy: AtomicUsize,
    /// Grows with every change that could make a look at the state inconsistent.
    epoch: AtomicU64,
    /// By function and partition, the next event to be read.
    positions: Mutex<BTreeMap<(String, usize), u64>>,
    hung: Mutex<Option<String>>,
    changed: Notify,
}

/// Counts as work under way until dropped.
struct Busy<'a>(&'a Inner);

impl Default for Target {
    fn default() -> Self {
        Self::Process {
            executable: None,
            arguments: None,
        }
    }
}

impl Host {
    /// Starts the handler, waits until it is ready, and lets events and messages flow.
    ///
    /// # Errors
    /// The handler does not start, or the app listens to a hub that the cloud does not have.
    pub async fn start(app: App, cloud: Arc<Cloud>, options: Options) -> Result<Self, HostError> {
        for function in &app.functions {
            if let Trigger::EventHub { hub, .. } = &function.trigger
                && hub != cloud.hub().name()
            {
                return Err(HostError::NoHub {
                    function: function.name.clone(),
                    hub: hub.clone(),
                });
            }
        }
        let port = match options.target {
            Target::Port(port) => port,
            // Chosen once: every restart gets the same.
            Target::Process { .. } => free_port().map_err(HostError::Port)?,
        };
        let client = Client::new(port)?;
        let supervisor = match options.target {
            Target::Port(_) => Supervisor::absent(),
            Target::Process {
                executable,
                arguments,
            } => {
                let mut environment = Environment::of(&app, port);
                if let Some(executable) = executable {
                    environment.executable = executable;
                }
                if let Some(arguments) = arguments {
                    environment.arguments = arguments;
                }
                let observer = options.observer.clone();
                Supervisor::start(environment, options.restart, client.clone(), observer)
            }
        };
        supervisor.settled().await?;
        let inner = Arc::new(Inner {
            function_timeout: options.function_timeout.or(app.function_timeout),
            app,
            cloud,
            client,
            supervisor,
            observer: options.observer,
            time_scale: options.time_scale.unwrap_or(1.0).max(0.0),
            framing: options.framing,
            metadata: options.metadata,
            borders: options.borders,
            lease: options.lease.unwrap_or(LEASE),
            port,
            busy: AtomicUsize::new(0),
            epoch: AtomicU64::new(0),
            positions: Mutex::default(),
            hung: Mutex::default(),
            changed: Notify::new(),
        });
        let mut pumps = JoinSet::new();
        for function in &inner.app.functions {
            match &function.trigger {
                Trigger::EventHub { consumer_group, .. } => {
                    for partition in 0..inner.cloud.hub().partitions() {
                        let start = inner.cloud.hub().checkpoint(consumer_group, partition);
                        inner.set_position(function, partition, start);
                        let function = function.clone();
                        pumps.spawn(event_pump::run(Arc::clone(&inner), function, partition));
                    }
                }
                Trigger::Queue { queue } => {
                    let queue = inner.cloud.any_queue(queue);
                    pumps.spawn(queue_pump::run(Arc::clone(&inner), function.clone(), queue));
                }
                Trigger::Timer | Trigger::Http => {}
            }
        }
        Ok(Self {
            inner,
            pumps: Mutex::new(pumps),
        })
    }

    /// The app that it runs.
    pub fn app(&self) -> &App {
        &self.inner.app
    }

    /// What outlives it.
    pub fn cloud(&self) -> &Arc<Cloud> {
        &self.inner.cloud
    }

    /// Where the handler listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.inner.port))
    }

    /// Sends events to a partition of the hub; the handler gets them in time.
    ///
    /// # Errors
    /// The hub refuses them.
    pub fn send<E: Into<Event>>(
        &self,
        partition: usize,
        events: impl IntoIterator<Item = E>,
    ) -> Result<(), HostError> {
        Ok(self.inner.cloud.hub().send(partition, events)?)
    }

    /// Waits until every event is done with and every queue that a function listens to is empty, or holds only
    /// messages that failed and are hidden for now.
    ///
    /// # Errors
    /// The time is up, the host has stopped, or an answer would have hung.
    pub async fn settle(&self, timeout: Duration) -> Result<(), HostError> {
        self.wait(timeout, false).await
    }

    /// As [`Host::settle`], but no message may be left at all.
    ///
    /// # Errors
    /// The same.
    pub async fn drain(&self, timeout: Duration) -> Result<(), HostError> {
        self.wait(timeout, true).await
    }

    async fn wait(&self, timeout: Duration, hidden_too: bool) -> Result<(), HostError> {
        let deadline = Instant::now() + timeout;
        loop {
            let changed = self.inner.changed.notified();
            if let Some(function) = lock(&self.inner.hung).take() {
                return Err(HostError::Hang { function });
            }
            if let Some(stopped) = self.inner.supervisor.stopped() {
                return Err(stopped.into());
            }
            let left = self.inner.left(hidden_too).await;
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(HostError::Unsettled {
                    waited: timeout,
                    left: left.join(", "),
                });
            }
            // Hidden messages become visible without any change being told, hence the tick.
            let tick = Instant::now() + Duration::from_millis(20);
            let _ = tokio::time::timeout_at(deadline.min(tick), changed).await;
        }
    }

    /// One invocation as it is given: no trigger, no retry, and its outputs are not applied.
    ///
    /// # Errors
    /// There was no response.
    pub async fn invoke(&self, request: Request) -> Result<Exchange, HostError> {
        self.inner.supervisor.settled().await?;
        let outputs = self
            .app()
            .function(&request.function)
            .map(|function| function.outputs.as_slice())
            .unwrap_or_default();
        Ok(self.inner.client.send(request, outputs).await?)
    }

    /// The body that these events would have as one batch of a function, declared and sent in any of the ways
    /// there are: for [`Host::invoke`].
    ///
    /// # Errors
    /// The host could not bind it either, or no Event Hub sets that function off.
    pub fn event_body<E: Into<Event>>(
        &self,
        function: &str,
        events: impl IntoIterator<Item = E>,
        data_type: DataType,
        cardinality: Cardinality,
        metadata: wire::Metadata,
    ) -> Result<Vec<u8>, HostError> {
        let unknown = || HostError::NoFunction(function.into());
        let function = self.app().function(function).ok_or_else(unknown)?;
        let Trigger::EventHub {
            hub,
            consumer_group,
            ..
        } = &function.trigger
        else {
            return Err(unknown());
        };
        let now = Utc::now();
        let batch: Vec<_> = events
            .into_iter()
            .zip(0_u64..)
            .map(|(event, number)| event.into().stored(number, number * 100, now))
            .collect();
        let binding = wire::EventHubBinding {
            name: &function.trigger_name,
            data_type,
            cardinality,
            metadata,
        };
        let partition = wire::Partition {
            namespace: self.cloud().hub().namespace(),
            hub,
            consumer_group,
            id: 0,
        };
        let call = wire::Call {
            function: &function.name,
            now,
            random: Uuid::new_v4(),
            retry: None,
        };
        Ok(wire::event_hub(binding, partition, &batch, &call)?)
    }

    /// Fires a timer function once, with its retry policy, and applies its outputs.
    ///
    /// # Errors
    /// There is no such function, or it failed for good.
    pub async fn fire(&self, function: &str) -> Result<(), HostError> {
        let timer = self.app().function(function);
        let timer = timer.filter(|function| function.trigger == Trigger::Timer);
        let timer = timer.ok_or_else(|| HostError::NoFunction(function.into()))?;
        let _busy = self.inner.busy();
        let done = self
            .inner
            .with_retries(
                timer,
                |call| wire::timer(&timer.trigger_name, call),
                |_, _| {},
            )
            .await?;
        done.map_err(|reason| HostError::Failed {
            function: function.into(),
            reason,
        })
    }

    /// SIGKILLs the handler; the host starts it again as long as its rules allow.
    pub async fn kill_now(&self) {
        self.inner.supervisor.kill().await;
    }

    /// Waits until the handler is ready again.
    ///
    /// # Errors
    /// It will not be.
    pub async fn ready(&self) -> Result<(), HostError> {
        Ok(self.inner.supervisor.settled().await?)
    }

    /// SIGKILLs the handler and abandons all work, as a crash of the machine would. What is in the cloud stays.
    pub async fn stop(self) {
        let mut pumps = std::mem::take(&mut *lock(&self.pumps));
        pumps.shutdown().await;
        self.inner.supervisor.stop().await;
    }
}

impl Inner {
    fn function_positions(&self) -> MutexGuard<'_, BTreeMap<(String, usize), u64>> {
        lock(&self.positions)
    }

    fn set_position(&self, function: &Function, partition: usize, next: u64) {
        self.function_positions()
            .insert((function.name.clone(), partition), next);
        self.stir();
    }

    /// Marks that something has changed.
    fn stir(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    fn busy(&self) -> Busy<'_> {
        self.busy.fetch_add(1, Ordering::SeqCst);
        self.stir();
        Busy(self)
    }

    fn scaled(&self, time: Duration) -> Duration {
        Duration::try_from_secs_f64(time.as_secs_f64() * self.time_scale).unwrap_or(time)
    }

    /// What is still to be done, in words; empty if nothing.
    async fn left(&self, hidden_too: bool) -> Vec<String> {
        let before = self.epoch.load(Ordering::SeqCst);
        let mut left = Vec::new();
        let positions = self.function_positions().clone();
        for ((function, partition), next) in positions {
            let end = self.cloud.hub().end(partition);
            if next < end {
                left.push(format!(
                    "{function}: partition {partition} at {next} of {end}"
                ));
            }
        }
        for function in &self.app.functions {
            if let Trigger::Queue { queue: name } = &function.trigger {
                let count = self.cloud.any_queue(name).count(hidden_too).await;
                if count > 0 {
                    left.push(format!("{name}: {count} messages"));
                }
            }
        }
        let busy = self.busy.load(Ordering::SeqCst);
        if busy > 0 {
            left.push(format!("{busy} invocations under way"));
        }
        // Work that moved from one place to the next in between may have been seen in neither.
        if left.is_empty() && self.epoch.load(Ordering::SeqCst) != before {
            left.push("work on the move".into());
        }
        left
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
        self.0.stir();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A port that nobody listens on and no other host of this process was given.
///
/// Below those that the system gives out by itself: between our look and the handler's binding, a connection that
/// somebody opens could take one of them.
fn free_port() -> std::io::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    // Processes that run side by side begin at different places.
    let start = u16::try_from(std::process::id() % 199).unwrap_or_default() * 100;
    let mut refused = std::io::Error::from(std::io::ErrorKind::AddrInUse);
    for _ in 0..100 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start + step % COUNT) % COUNT;
        match std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

#[cfg(test)]
mod tests;
