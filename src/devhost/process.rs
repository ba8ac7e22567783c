//! The handler's process: started, probed, listened to, restarted and killed as the host does it.
//! (host: src/WebJobs.Script/Workers/ProcessManagement/WorkerProcess.cs, Workers/Http/HttpFunctionInvocationDispatcher.cs)

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::app::App;
use super::client::Client;
use super::notice::{Level, Notice, Observer};
use super::settings::Settings;

const PROBE_INTERVAL: Duration = Duration::from_millis(25);
/// After its end, a process's last lines are waited for that long: a grandchild may hold the pipe.
const LAST_LINES: Duration = Duration::from_secs(1);
const EXIT_RESTART: i32 = 200;

/// What a process is started with.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The program.
    pub executable: PathBuf,
    /// Words after it.
    pub arguments: Vec<String>,
    /// Its working directory.
    pub directory: PathBuf,
    /// `FUNCTIONS_APP_ROOT_PATH`.
    pub app_root: PathBuf,
    /// App settings, on top of the inherited environment.
    pub settings: Settings,
    /// Where it is to listen, the same after each restart.
    pub port: u16,
    /// How long it may take to answer `GET /`.
    pub initialization_timeout: Duration,
}

/// When the host gives up on a handler that keeps failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartRules {
    /// The failure with that number within the window stops the host.
    pub limit: usize,
    /// A failure that much later than the one before is the first again.
    pub window: Duration,
}

impl Default for RestartRules {
    fn default() -> Self {
        Self {
            limit: 3,
            window: Duration::from_secs(30 * 60),
        }
    }
}

/// Why a host no longer runs its handler.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// The process cannot be started at all.
    #[error("the handler {executable} cannot be started: {reason}", executable = .executable.display())]
    Start {
        /// The program.
        executable: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// It failed too often.
    #[error("the handler failed {0} times, the host stops itself")]
    TooManyFailures(usize),
    /// The owner stopped the host.
    #[error("the host was stopped")]
    Asked,
}

/// What has become of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Status {
    Starting,
    /// Ready, and which start this is.
    Ready(u32),
    /// It exited with 0: the host goes on without it, and every invocation fails.
    Gone,
    Stopped(Stopped),
}

#[derive(Debug, Clone, Copy)]
enum Order {
    /// SIGKILL, and let the rules decide.
    Kill,
    /// SIGKILL and start again, as after a function time-out; no failure.
    Restart,
    Stop,
}

/// How one life of the process ended.
enum End {
    Exit(Option<i32>),
    NotReady,
    Restart,
    Stop,
    Unstartable(Stopped),
}

#[derive(Debug)]
pub(crate) struct Supervisor {
    orders: mpsc::UnboundedSender<Order>,
    status: watch::Receiver<Status>,
    task: JoinHandle<()>,
}

impl Environment {
    /// As `host.json` of the app has it.
    pub fn of(app: &App, port: u16) -> Self {
        Self {
            executable: app.command.executable.clone(),
            arguments: app.command.arguments.clone(),
            directory: app.command.directory.clone(),
            app_root: app.root.clone(),
            settings: app.settings.clone(),
            port,
            initialization_timeout: app.command.initialization_timeout,
        }
    }

    fn command(&self, worker: &str) -> Command {
        let port = self.port.to_string();
        let mut command = Command::new(&self.executable);
        command
            .args(&self.arguments)
            .current_dir(&self.directory)
            .envs(self.settings.iter())
            .env("FUNCTIONS_CUSTOMHANDLER_PORT", &port)
            .env("FUNCTIONS_HTTPWORKER_PORT", &port)
            .env("FUNCTIONS_CUSTOMHANDLER_WORKER_ID", worker)
            .env("FUNCTIONS_HTTPWORKER_ID", worker)
            .env("FUNCTIONS_APP_ROOT_PATH", &self.app_root)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

impl Supervisor {
    pub(crate) fn start(
        environment: Environment,
        rules: RestartRules,
        client: Client,
        observer: Observer,
    ) -> Self {
        let (orders, inbox) = mpsc::unbounded_channel();
        let (sender, status) = watch::channel(Status::Starting);
        let life = Life {
            environment,
            client,
            observer,
            inbox,
            status: sender,
            starts: 0,
        };
        Self {
            orders,
            status,
            task: tokio::spawn(life.run(rules)),
        }
    }

    /// For a handler that somebody else runs: it is simply there.
    pub(crate) fn absent() -> Self {
        let (orders, mut inbox) = mpsc::unbounded_channel();
        let (sender, status) = watch::channel(Status::Ready(1));
        let task = tokio::spawn(async move {
            let mut starts = 1;
            while let Some(order) = inbox.recv().await {
                if matches!(order, Order::Stop) {
                    sender.send_replace(Status::Stopped(Stopped::Asked));
                    return;
                }
                // Nothing to kill; whoever waits for the next start has it.
                starts += 1;
                sender.send_replace(Status::Ready(starts));
            }
        });
        Self {
            orders,
            status,
            task,
        }
    }

    /// Waits until the process can be called, or will not be; `Gone` counts as the former.
    pub(crate) async fn settled(&self) -> Result<(), Stopped> {
        let mut status = self.status.clone();
        let settled = status
            .wait_for(|status| *status != Status::Starting)
            .await
            .map(|status| status.clone());
        match settled {
            Ok(Status::Stopped(stopped)) => Err(stopped),
            Ok(_) => Ok(()),
            Err(_) => Err(Stopped::Asked),
        }
    }

    pub(crate) fn stopped(&self) -> Option<Stopped> {
        match &*self.status.borrow() {
            Status::Stopped(stopped) => Some(stopped.clone()),
            _ => None,
        }
    }

    #[cfg(test)]
    fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// SIGKILLs the process and waits until it is gone; the rules say what then.
    pub(crate) async fn kill(&self) {
        self.order(Order::Kill).await;
    }

    /// SIGKILLs the process and starts it again.
    pub(crate) async fn restart(&self) {
        self.order(Order::Restart).await;
    }

    async fn order(&self, order: Order) {
        let mut status = self.status.clone();
        let before = status.borrow_and_update().clone();
        if matches!(before, Status::Stopped(_)) || self.orders.send(order).is_err() {
            return;
        }
        if matches!(before, Status::Ready(_)) && !self.task.is_finished() {
            // An error means that the supervisor has ended, and the process with it.
            let _ = status.wait_for(|status| *status != before).await;
        }
    }

    /// SIGKILLs the process for good.
    pub(crate) async fn stop(&self) {
        if self.orders.send(Order::Stop).is_ok() {
            let mut status = self.status.clone();
            let _ = status
                .wait_for(|status| matches!(status, Status::Stopped(_)))
                .await;
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // The child is killed when the task's future goes.
        self.task.abort();
    }
}

struct Life {
    environment: Environment,
    client: Client,
    observer: Observer,
    inbox: mpsc::UnboundedReceiver<Order>,
    status: watch::Sender<Status>,
    starts: u32,
}

impl Life {
    async fn run(mut self, rules: RestartRules) {
        let mut failures = 0;
        let mut last = None::<Instant>;
        loop {
            self.status.send_replace(Status::Starting);
            match self.live().await {
                End::Restart | End::Exit(Some(EXIT_RESTART)) => {}
                End::Exit(Some(0)) => {
                    self.status.send_replace(Status::Gone);
                    if !self.revived().await {
                        return self.end(Stopped::Asked);
                    }
                }
                End::Exit(_) | End::NotReady => {
                    if last.is_some_and(|last| last.elapsed() > rules.window) {
                        failures = 0;
                    }
                    failures += 1;
                    last = Some(Instant::now());
                    if failures >= rules.limit {
                        return self.end(Stopped::TooManyFailures(failures));
                    }
                }
                End::Stop => return self.end(Stopped::Asked),
                End::Unstartable(stopped) => return self.end(stopped),
            }
        }
    }

    fn end(&self, stopped: Stopped) {
        self.observer.tell(&Notice::Stopped(stopped.clone()));
        self.status.send_replace(Status::Stopped(stopped));
    }

    /// After an exit with 0 only a function time-out starts the process again.
    async fn revived(&mut self) -> bool {
        while let Some(order) = self.inbox.recv().await {
            match order {
                Order::Kill => {}
                Order::Restart => return true,
                Order::Stop => return false,
            }
        }
        false
    }

    async fn live(&mut self) -> End {
        let worker = uuid::Uuid::new_v4().to_string();
        let mut child = match self.environment.command(&worker).spawn() {
            Ok(child) => child,
            Err(error) => {
                return End::Unstartable(Stopped::Start {
                    executable: self.environment.executable.clone(),
                    reason: error.to_string(),
                });
            }
        };
        self.starts += 1;
        self.observer.tell(&Notice::Started {
            process: child.id(),
            port: self.environment.port,
        });
        let out = child
            .stdout
            .take()
            .map(|pipe| tokio::spawn(lines(pipe, false, self.observer.clone())));
        let err = child
            .stderr
            .take()
            .map(|pipe| tokio::spawn(lines(pipe, true, self.observer.clone())));
        let end = self.watch(&mut child).await;
        // The host kills; it does not ask. Waiting for the end frees the port for the next start.
        let _ = child.kill().await;
        for reader in [out, err].into_iter().flatten() {
            let stop = reader.abort_handle();
            if tokio::time::timeout(LAST_LINES, reader).await.is_err() {
                stop.abort();
            }
        }
        end
    }

    async fn watch(&mut self, child: &mut Child) -> End {
        let started = Instant::now();
        let mut ready = false;
        let mut ticks = tokio::time::interval(PROBE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let probe = async {
                if ready {
                    std::future::pending::<bool>().await
                } else {
                    ticks.tick().await;
                    self.client.probe().await
                }
            };
            let left = self
                .environment
                .initialization_timeout
                .saturating_sub(started.elapsed());
            tokio::select! {
                biased;
                order = self.inbox.recv() => match order {
                    Some(Order::Kill) => {
                        let _ = child.start_kill();
                    }
                    Some(Order::Restart) => return End::Restart,
                    Some(Order::Stop) | None => return End::Stop,
                },
                exit = child.wait() => {
                    let code = exit.ok().and_then(|status| status.code());
                    self.observer.tell(&Notice::Exited { code });
                    return End::Exit(code);
                }
                answered = probe => if answered {
                    ready = true;
                    self.observer.tell(&Notice::Ready { elapsed: started.elapsed() });
                    self.status.send_replace(Status::Ready(self.starts));
                },
                () = tokio::time::sleep(left), if !ready => return End::NotReady,
            }
        }
    }
}

async fn lines(pipe: impl AsyncRead + Unpin, errors: bool, observer: Observer) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    while let Ok(1..) = pipe.read_until(b'\n', &mut line).await {
        let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
        let level = match errors {
            false => Level::Information,
            true if text.to_ascii_lowercase().contains("warn") => Level::Warning,
            true => Level::Error,
        };
        observer.tell(&Notice::Line { level, text });
        line.clear();
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
