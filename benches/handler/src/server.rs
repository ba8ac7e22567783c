//! A server under load: started as the host starts it, watched through `/proc`, killed at the end.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::client::Client;
use crate::settings::Settings;

/// A server may take so long until it answers.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two probes. The host's own is 25 ms, too coarse to measure with.
const PROBE: Duration = Duration::from_micros(200);

/// A command that runs on the server's core, where there is pinning.
pub(crate) fn command(settings: &Settings, program: &Path) -> Command {
    match settings.server_core {
        Some(core) => {
            let mut command = Command::new("taskset");
            command.arg("-c").arg(core.to_string()).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    started: Instant,
    complaints: PathBuf,
    ticks: f64,
}

/// Memory of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Resident now, in bytes.
    pub(crate) resident: u64,
    /// The most that ever was.
    pub(crate) peak: u64,
}

impl Server {
    /// Starts `spwatch serve` with a state folder of its own below `folder`.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn spwatch(
        settings: &Settings,
        folder: &Path,
        policy: &Path,
        log: &str,
    ) -> anyhow::Result<Self> {
        let state = folder.join("state");
        if state.exists() {
            fs::remove_dir_all(&state)?;
        }
        let mut command = command(settings, &settings.spwatch);
        command
            .arg("serve")
            .env("FUNCTIONS_APP_ROOT_PATH", folder)
            .env("SPWATCH_POLICY", policy)
            .env("SPWATCH_STATE", state)
            .env("SPWATCH_LOG", log);
        Self::start(settings, command, folder.join("spwatch.log"))
    }

    /// Starts the server that ignores what it reads.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn floor(settings: &Settings, folder: &Path) -> anyhow::Result<Self> {
        let command = command(settings, &settings.floor);
        Self::start(settings, command, folder.join("floor.log"))
    }

    fn start(
        settings: &Settings,
        mut command: Command,
        complaints: PathBuf,
    ) -> anyhow::Result<Self> {
        // Free a moment ago; nobody else is expected to take it.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        command
            .env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&complaints)?);
        let started = Instant::now();
        let child = command
            .spawn()
            .with_context(|| format!("start {}", command.get_program().display()))?;
        Ok(Self {
            child,
            port,
            started,
            complaints,
            ticks: settings.ticks,
        })
    }

    /// Waits for the first 200 of `GET /`, and says how long after the start it came.
    ///
    /// # Errors
    /// The server ended, or never answers.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<Duration> {
        loop {
            if let Ok(mut client) = Client::connect(self.port).await
                && client.probe().await? == 200
            {
                return Ok(self.started.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended ({status}): {}", self.log());
            }
            if self.started.elapsed() > PATIENCE {
                bail!("the server does not answer: {}", self.log());
            }
            tokio::time::sleep(PROBE).await;
        }
    }

    /// Time since the start.
    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// CPU time of all threads so far, of user and system.
    ///
    /// # Errors
    /// The process is gone.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let [user, system, ..] = cpu_ticks(self.child.id().to_string())?;
        Ok(Duration::from_secs_f64((user + system) / self.ticks))
    }

    /// Memory now.
    ///
    /// # Errors
    /// The process is gone.
    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let field = |name: &str| -> anyhow::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kibibytes =
                line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
            Ok(kibibytes.with_context(|| format!("/proc does not tell {name}"))? << 10)
        };
        Ok(Memory {
            resident: field("VmRSS:")?,
            peak: field("VmHWM:")?,
        })
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.complaints).unwrap_or_default()
    }

    /// Ends the server, and complains of errors in its log.
    ///
    /// # Errors
    /// There are some.
    pub(crate) fn end(self) -> anyhow::Result<()> {
        let log = self.log();
        let errors = log.lines().filter(|line| line.contains("\"ERROR\""));
        match errors.take(3).collect::<Vec<_>>().join("\n") {
            errors if errors.is_empty() => Ok(()),
            errors => bail!("the server logged errors:\n{errors}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // As the host stops it. It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time of this process so far.
///
/// # Errors
/// There is no `/proc`.
pub(crate) fn own_cpu(settings: &Settings) -> anyhow::Result<Duration> {
    let [user, system, ..] = cpu_ticks("self")?;
    Ok(Duration::from_secs_f64((user + system) / settings.ticks))
}

/// How much of the machine was in use, to tell what others took of it.
#[derive(Debug)]
pub(crate) struct Usage {
    busy: f64,
    all: f64,
    own: f64,
}

impl Usage {
    /// Usage so far.
    ///
    /// # Errors
    /// There is no `/proc`.
    pub(crate) fn now() -> anyhow::Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        let line = stat
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("cpu "));
        let ticks: Vec<f64> = line
            .context("/proc/stat tells no CPU time")?
            .split_whitespace()
            .take(8)
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let all = ticks.iter().sum();
        // The fourth and fifth are idle time, with and without a disk to wait for.
        let idle: f64 = ticks.iter().skip(3).take(2).sum();
        Ok(Self {
            busy: all - idle,
            all,
            own: cpu_ticks("self")?.iter().sum(),
        })
    }

    /// Share of all cores that other processes took since an earlier look. Servers count as own once
    /// they have ended.
    pub(crate) fn others_since(&self, earlier: &Self) -> f64 {
        let others = (self.busy - earlier.busy) - (self.own - earlier.own);
        (others / (self.all - earlier.all)).max(0.0)
    }
}

/// Ticks of a process: its own in user and system mode, and those of children it waited for.
///
/// # Errors
/// There is no such process.
pub(crate) fn cpu_ticks(process: impl AsRef<OsStr>) -> anyhow::Result<[f64; 4]> {
    let path = Path::new("/proc").join(process.as_ref()).join("stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    // The name of the program, in brackets, may hold anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = fields.split_whitespace().skip(11).map(str::parse::<f64>);
    let mut ticks = [0.0; 4];
    for tick in &mut ticks {
        *tick = fields.next().context("/proc tells no CPU time")??;
    }
    Ok(ticks)
}
