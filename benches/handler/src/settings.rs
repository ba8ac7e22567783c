//! How long, how much and where to: from the environment, with defaults.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use crate::wire::Shape;

/// Settings of a run.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The binary to measure.
    pub(crate) spwatch: PathBuf,
    /// The floor: a server that ignores what it reads.
    pub(crate) floor: PathBuf,
    /// Length of one round at saturation; the open loop runs twice as long.
    pub(crate) duration: Duration,
    /// Rounds at saturation; the median counts.
    pub(crate) rounds: usize,
    /// What is loaded with.
    pub(crate) shapes: Vec<Shape>,
    /// Records to generate.
    pub(crate) records: usize,
    /// Starts that are measured for each policy.
    pub(crate) starts: usize,
    /// Connections at saturation.
    pub(crate) connections: usize,
    /// Length of the soak.
    pub(crate) soak: Duration,
    /// Core of the server, where it is pinned.
    pub(crate) server_core: Option<usize>,
    /// Core of the load generator, where it is pinned (`run.sh` does that).
    pub(crate) client_core: Option<usize>,
    /// `SPWATCH_LOG` of the server.
    pub(crate) log: String,
    /// Clock ticks a second in `/proc`.
    pub(crate) ticks: f64,
}

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    /// A value cannot be read, or `SPWATCH_BIN` is missing.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("find the own program")?;
        let pinned = number::<u8>("PINNED", 0)? == 1;
        let core = |name, default| -> anyhow::Result<Option<usize>> {
            let core = number(name, default)?;
            Ok(pinned.then_some(core))
        };
        Ok(Self {
            spwatch: std::env::var_os("SPWATCH_BIN")
                .map(PathBuf::from)
                .context("SPWATCH_BIN is not set: start this by run.sh")?,
            floor: own.with_file_name("floor"),
            duration: Duration::from_secs_f64(number("DURATION", 5.0)?),
            rounds: number("ROUNDS", 3)?.max(1),
            shapes: shapes()?,
            // Whole batches.
            records: number::<usize>("RECORDS", 100_000)?.div_ceil(100).max(1) * 100,
            starts: number("STARTS", 7)?.max(1),
            connections: number("CONNECTIONS", 4)?.max(1),
            soak: Duration::from_secs_f64(number("SOAK", 600.0)?),
            server_core: core("SERVER_CORE", 0)?,
            client_core: core("CLIENT_CORE", 1)?,
            log: std::env::var("SPWATCH_LOG").unwrap_or_else(|_| "warn".to_owned()),
            ticks: number("CLK_TCK", 100.0)?,
        })
    }
}

fn shapes() -> anyhow::Result<Vec<Shape>> {
    let Ok(names) = std::env::var("SHAPES") else {
        return Ok(Shape::ALL.to_vec());
    };
    let shape = |name: &str| {
        let mut all = Shape::ALL.into_iter();
        all.find(|shape| shape.name() == name)
            .with_context(|| format!("SHAPES names {name:?}; there are binary, string, parsed"))
    };
    names.split_whitespace().map(shape).collect()
}

fn number<T: FromStr>(name: &str, default: T) -> anyhow::Result<T> {
    match std::env::var(name) {
        Err(_) => Ok(default),
        Ok(value) if value.trim().is_empty() => Ok(default),
        Ok(value) => value
            .trim()
            .parse()
            .map_err(|_| anyhow!("{name} is {value:?}, which cannot be read")),
    }
}
