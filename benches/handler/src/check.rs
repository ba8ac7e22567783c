//! The plain rate: `spwatch check --jobs 1` on the same records in a file, the whole process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::data::Data;
use crate::server::{command, cpu_ticks};
use crate::settings::Settings;

/// An alert is due: `check`'s exit code for it.
const FOUND: i32 = 10;

/// A file to check.
#[derive(Debug)]
pub(crate) struct Check {
    file: PathBuf,
    policy: PathBuf,
    /// Bytes of the file.
    pub(crate) bytes: usize,
    records: usize,
    findings: usize,
    /// Records a second, of each run.
    pub(crate) rates: Vec<f64>,
    cpu: Duration,
}

impl Check {
    /// Writes the records to a file.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn new(data: &Data, folder: &Path, policy: &Path) -> anyhow::Result<Self> {
        let file = folder.join("records.ndjson");
        let text = data.ndjson();
        fs::write(&file, &text).with_context(|| format!("write {}", file.display()))?;
        Ok(Self {
            file,
            policy: policy.to_owned(),
            bytes: text.len(),
            records: data.records.len(),
            findings: data.findings(),
            rates: Vec::new(),
            cpu: Duration::ZERO,
        })
    }

    /// Runs once without a clock, and counts what is found.
    ///
    /// # Errors
    /// It finds something else than it should.
    pub(crate) fn verify(&self, settings: &Settings, folder: &Path) -> anyhow::Result<()> {
        let findings = folder.join("findings.ndjson");
        self.once(settings, File::create(&findings)?.into())?;
        let found = fs::read_to_string(&findings)?.lines().count();
        ensure!(
            found == self.findings,
            "check finds {found}, not {}",
            self.findings
        );
        Ok(())
    }

    /// Runs some times more.
    ///
    /// # Errors
    /// A run fails.
    pub(crate) fn measure(&mut self, settings: &Settings, times: usize) -> anyhow::Result<()> {
        let before = children_cpu(settings)?;
        for _ in 0..times {
            let started = Instant::now();
            self.once(settings, Stdio::null())?;
            self.rates
                .push(self.records as f64 / started.elapsed().as_secs_f64());
        }
        self.cpu += children_cpu(settings)? - before;
        Ok(())
    }

    /// Records for each second of CPU time, over all runs.
    pub(crate) fn records_per_cpu_second(&self) -> f64 {
        (self.records * self.rates.len()) as f64 / self.cpu.as_secs_f64()
    }

    fn once(&self, settings: &Settings, out: Stdio) -> anyhow::Result<()> {
        let status = command(settings, &settings.spwatch)
            .args(["check", "--jobs", "1", "--format", "ndjson", "--policy"])
            .arg(&self.policy)
            .arg(&self.file)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(Stdio::null())
            .status()
            .context("start spwatch check")?;
        ensure!(
            status.code() == Some(FOUND),
            "check ended with {status}, not {FOUND}"
        );
        Ok(())
    }
}

/// CPU time of the children that have ended.
fn children_cpu(settings: &Settings) -> anyhow::Result<Duration> {
    let [.., user, system] = cpu_ticks("self")?;
    Ok(Duration::from_secs_f64((user + system) / settings.ticks))
}
