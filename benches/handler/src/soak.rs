//! The soak: half load for long, and whether memory stays where it is.

use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::time::MissedTickBehavior;

use crate::data::Data;
use crate::load::{self, OPEN_CONNECTIONS, Target};
use crate::report::{Table, mebibytes, median, milliseconds, percent, quantile, whole};
use crate::server::{Server, Usage};
use crate::settings::Settings;
use crate::wire::{Framing, Shape};
use crate::{Folder, cycle, tell};

/// Growth that is none: an allocator keeps now more, now less.
const MARGIN_BYTES: f64 = 4.0 * 1024.0 * 1024.0;
/// The same, as a share of what was there.
const MARGIN_SHARE: f64 = 0.05;
/// What is printed; a sample is taken every second.
const PRINTED: Duration = Duration::from_secs(30);

/// Runs `binary` at half load, and prints memory as it goes.
///
/// # Errors
/// An answer is wrong, or memory grows.
pub(crate) async fn soak() -> anyhow::Result<()> {
    let settings = Settings::read()?;
    tell("generating records");
    let data = Data::generate(settings.records);
    let folder = Folder::new()?;
    let policy = folder.policy("policy.toml", &data.policy)?;
    let cycle = cycle(&data.records, Shape::Binary, Framing::AZURE, 1);
    drop(data);
    let before = Usage::now()?;
    let mut server = Server::spwatch(&settings, &folder.0, &policy, &settings.log)?;
    server.ready().await?;
    tell("warming up");
    load::verify_all(server.port, &cycle, Target::Spwatch).await?;
    let warm = load::saturate(
        server.port,
        &cycle,
        Target::Spwatch,
        settings.connections,
        settings.duration,
    )
    .await?;
    let rate = warm.batches_per_second() / 2.0;
    // As many at once as the open loop may have under way: memory for them is not growth.
    load::saturate(
        server.port,
        &cycle,
        Target::Spwatch,
        OPEN_CONNECTIONS,
        settings.duration,
    )
    .await?;
    println!("# Soak: `binary`, 1 x 100, {:?}\n", settings.soak);
    println!("Half load: {} batches/s.\n", whole(rate));
    let steady = load::steady(server.port, &cycle, rate, settings.soak);
    tokio::pin!(steady);
    let started = Instant::now();
    let every = PRINTED.min(settings.soak / 5);
    let mut printed = Duration::ZERO;
    let mut samples = vec![server.memory()?.resident as f64];
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    println!("| seconds | resident, MiB |");
    println!("|--------:|--------------:|");
    let line = |elapsed: Duration, bytes: u64| {
        println!(
            "| {:>7.0} | {:>13} |",
            elapsed.as_secs_f64(),
            mebibytes(bytes)
        );
    };
    line(Duration::ZERO, server.memory()?.resident);
    let mut done = loop {
        tokio::select! {
            done = &mut steady => break done?,
            _ = seconds.tick() => {
                let resident = server.memory()?.resident;
                samples.push(resident as f64);
                if started.elapsed() >= printed + every {
                    printed += every;
                    line(started.elapsed(), resident);
                }
            }
        }
    };
    let last = server.memory()?;
    samples.push(last.resident as f64);
    server.end()?;
    done.latencies.sort_unstable();
    let latency = |share| milliseconds(quantile(&done.latencies, share));
    let mut table = Table::new(&[
        "records judged",
        "answered/s",
        "p50, ms",
        "p99, ms",
        "max, ms",
        "first, MiB",
        "last, MiB",
        "most, MiB",
    ]);
    println!();
    let first = samples.first().copied().unwrap_or_default();
    let most = samples.iter().copied().fold(0.0, f64::max);
    table.row(vec![
        whole(done.records as f64),
        whole(done.batches_per_second()),
        latency(0.5),
        latency(0.99),
        latency(1.0),
        mebibytes(first as u64),
        mebibytes(last.resident),
        mebibytes(most.max(last.peak as f64) as u64),
    ]);
    table.print();
    println!(
        "Every answer was right. Other processes took {} of the cores meanwhile.",
        percent(Usage::now()?.others_since(&before))
    );
    verdict(&samples)
}

/// Flat: the last quarter's median is not above the first quarter's by more than the margin.
fn verdict(samples: &[f64]) -> anyhow::Result<()> {
    let quarter = samples.len().div_ceil(4);
    let before = median(&samples[..quarter]);
    let after = median(&samples[samples.len() - quarter..]);
    let margin = MARGIN_BYTES.max(before * MARGIN_SHARE);
    let shown = |bytes: f64| mebibytes(bytes.max(0.0) as u64);
    let figures = format!(
        "median of the first quarter {} MiB, of the last {} MiB; margin {} MiB",
        shown(before),
        shown(after),
        shown(margin)
    );
    ensure!(after <= before + margin, "memory grows: {figures}");
    println!("Flat: {figures}.");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_seen_and_noise_is_not() {
        let mebibytes = |values: [f64; 8]| values.map(|value| value * 1048576.0);
        assert!(verdict(&mebibytes([30.0, 33.0, 31.0, 30.0, 33.0, 31.0, 32.0, 33.0])).is_ok());
        assert!(verdict(&mebibytes([30.0, 31.0, 33.0, 35.0, 37.0, 39.0, 41.0, 43.0])).is_err());
    }
}
