//! Loads `spwatch serve` over loopback as the Functions host would, and prints what it measured.
//!
//! `run.sh` builds and starts it. What the numbers mean is in `benches/README.md`.

mod check;
mod client;
mod data;
mod load;
mod report;
mod server;
mod settings;
mod soak;
mod wire;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use tokio::signal::unix::{SignalKind, signal};

use check::Check;
use client::Client;
use data::{APPS, BATCH, Data, MANY_RANGES, Record};
use load::{Cycle, Done, Target};
use report::{Table, mebibytes, median, milliseconds, percent, quantile, spread, whole};
use server::{Memory, Server, Usage};
use settings::Settings;
use wire::{Framing, Shape};

/// As many bytes of bodies keep the caches from knowing them.
const ENOUGH_BYTES: usize = 64 << 20;
/// Rounds of the floor are shorter: there is less to be seen.
const FLOOR_SHARE: f64 = 0.5;
/// Records of a variant: enough for bodies of 64 MiB, and few enough where a batch takes long.
const VARIANT_RECORDS: usize = 36_000;
/// Runs of `check` before everything else, and again after it.
const CHECKS: usize = 5;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = match (runtime, std::env::args().nth(1).as_deref()) {
        (Err(error), _) => Err(error.into()),
        (Ok(runtime), None) => runtime.block_on(or_signal(measure())),
        (Ok(runtime), Some("soak")) => runtime.block_on(or_signal(soak::soak())),
        (Ok(_), Some(other)) => Err(anyhow::anyhow!("there is no {other:?}; there is soak")),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Ends early at a signal, so that servers and files go as at any other end.
async fn or_signal(run: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = run => ended,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

/// Says what is going on; the tables are on standard output.
fn tell(what: &str) {
    eprintln!("# {what}");
}

/// A folder for the run, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let name = format!("handler-load-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self(path))
    }

    /// Writes a policy that has been there for a while: one that has just changed is read again
    /// with each batch.
    fn policy(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.0.join(name);
        fs::write(&path, text)?;
        let file = File::options().write(true).open(&path)?;
        file.set_modified(SystemTime::now() - Duration::from_secs(3600))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left in a temporary folder is the system's to clean up.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One line of the measured matrix.
struct Row {
    shape: Shape,
    events: usize,
    body_bytes: f64,
    log_bytes: f64,
    spwatch: Saturation,
    floor: Saturation,
    steady: Done,
    steady_rate: f64,
    start: Memory,
    after: Memory,
}

impl Row {
    fn name(&self) -> String {
        name(self.shape, self.events)
    }
}

fn name(shape: Shape, events: usize) -> String {
    format!("{}, {events} x {}", shape.name(), BATCH / events)
}

/// All rounds of one server at saturation.
#[derive(Default)]
struct Saturation {
    rates: Vec<f64>,
    batches: Vec<f64>,
    records: usize,
    cpu: Duration,
    /// CPU time of the load generator.
    own_cpu: Duration,
    elapsed: Duration,
}

impl Saturation {
    async fn round(
        &mut self,
        settings: &Settings,
        server: &Server,
        cycle: &Arc<Cycle>,
        target: Target,
    ) -> anyhow::Result<()> {
        let duration = match target {
            Target::Spwatch => settings.duration,
            Target::Floor => settings.duration.mul_f64(FLOOR_SHARE),
        };
        let (before, own_before) = (server.cpu()?, server::own_cpu(settings)?);
        let done =
            load::saturate(server.port, cycle, target, settings.connections, duration).await?;
        self.cpu += server.cpu()? - before;
        self.own_cpu += server::own_cpu(settings)? - own_before;
        self.rates.push(done.records_per_second());
        self.batches.push(done.batches_per_second());
        self.records += done.records;
        self.elapsed += done.elapsed;
        Ok(())
    }

    /// Share of the time in which the server computed, and the load generator. With neither near
    /// 100 %, something else had the cores.
    fn busy(&self) -> String {
        let elapsed = self.elapsed.as_secs_f64();
        let [server, own] = [self.cpu, self.own_cpu].map(|cpu| cpu.as_secs_f64() / elapsed);
        format!("{} / {}", percent(server), percent(own))
    }

    fn records_per_cpu_second(&self) -> f64 {
        self.records as f64 / self.cpu.as_secs_f64()
    }

    fn microseconds_of_record(&self) -> String {
        format!("{:.2}", 1e6 / self.records_per_cpu_second())
    }
}

async fn measure() -> anyhow::Result<()> {
    let settings = Settings::read()?;
    tell("generating records");
    let data = Data::generate(settings.records);
    let folder = Folder::new()?;
    let policy = folder.policy("policy.toml", &data.policy)?;
    let many = folder.policy("many.toml", &data.policy_of_many_ranges)?;
    let mut check = Check::new(&data, &folder.0, &policy)?;
    print_head(&settings, &data, &check);
    let before = Usage::now()?;

    start_up(&settings, &data, &folder.0, [&policy, &many]).await?;

    tell("check: the plain rate");
    check.verify(&settings, &folder.0)?;
    check.measure(&settings, CHECKS)?;

    let mut rows = Vec::new();
    for &shape in &settings.shapes {
        for events in [1, 10] {
            rows.push(row(&settings, &data, &folder.0, &policy, shape, events).await?);
        }
    }
    tell("check again");
    check.measure(&settings, CHECKS)?;

    print_saturation(&rows);
    print_steady(&rows);
    print_memory(&rows);
    print_against(&rows, &check);
    if let Some(row) = rows.iter().find(|row| row.shape == Shape::Binary) {
        variants(&settings, &data, &folder, [&policy, &many], row).await?;
    }
    println!(
        "Every answer was right. Other processes took {} of the cores meanwhile; beyond a few percent, \
         trust the CPU columns more, and run again.",
        percent(Usage::now()?.others_since(&before))
    );
    Ok(())
}

fn print_head(settings: &Settings, data: &Data, check: &Check) {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("# Handler under load\n");
    match (settings.server_core, settings.client_core) {
        (Some(server), Some(client)) => println!(
            "Pinned: the server to core {server} (one worker), the load generator to core {client}. CPU: {cpu}."
        ),
        _ => println!(
            "Not pinned: server and load generator share {cores} cores, and rates say little. CPU: {cpu}."
        ),
    }
    println!(
        "Records: {} of {} bytes, {} of them outside the policy. Policy: {} entries. Batches of {BATCH} records.",
        whole(data.records.len() as f64),
        whole(check.bytes as f64 / data.records.len() as f64),
        whole(data.findings() as f64),
        whole(APPS as f64),
    );
    println!(
        "Saturation: closed loop of {} connections, {} rounds of {:?}. SPWATCH_LOG={}.\n",
        settings.connections, settings.rounds, settings.duration, settings.log,
    );
}

/// From the start of the process to its first answers.
async fn start_up(
    settings: &Settings,
    data: &Data,
    folder: &Path,
    policies: [&Path; 2],
) -> anyhow::Result<()> {
    tell("start-up");
    let first = data.records.get(..BATCH).unwrap_or(&data.records);
    let mut requests = wire::requests(Shape::Binary, Framing::AZURE, first, 1);
    let request = requests.pop().context("there is no batch")?;
    let mut table = Table::new(&[
        "start-up with",
        "`GET /` is 200, ms",
        "first batch answered, ms",
        "then resident, MiB",
    ]);
    let names = [
        format!("{} entries", whole(APPS as f64)),
        format!("{} ranges in them", whole(MANY_RANGES as f64)),
    ];
    for (name, policy) in names.into_iter().zip(policies) {
        let (mut ready, mut answered, mut resident) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..settings.starts {
            let mut server = Server::spwatch(settings, folder, policy, &settings.log)?;
            ready.push(server.ready().await?.as_secs_f64() * 1e3);
            let mut client = Client::connect(server.port).await?;
            request.forget_answer();
            load::exchange(&mut client, &request, Target::Spwatch).await?;
            answered.push(server.age().as_secs_f64() * 1e3);
            resident.push(server.memory()?.resident as f64);
            server.end()?;
        }
        let show = |value| format!("{value:.1}");
        table.row(vec![
            name,
            spread(&ready, show),
            spread(&answered, show),
            mebibytes(median(&resident) as u64),
        ]);
    }
    table.print();
    Ok(())
}

async fn row(
    settings: &Settings,
    data: &Data,
    folder: &Path,
    policy: &Path,
    shape: Shape,
    events: usize,
) -> anyhow::Result<Row> {
    tell(&name(shape, events));
    let cycle = cycle(&data.records, shape, Framing::AZURE, events);
    let (server, floor) = servers(settings, folder, policy, &settings.log).await?;
    // The first batch waits for the policy: memory before the load is memory after it.
    let mut client = Client::connect(server.port).await?;
    let first = cycle.requests.first().context("there is no batch")?;
    load::exchange(&mut client, first, Target::Spwatch).await?;
    let start = server.memory()?;
    let (spwatch_rounds, floor_rounds) = rounds(settings, &server, &floor, &cycle).await?;
    let steady_rate = median(&spwatch_rounds.batches) / 2.0;
    let mut steady = load::steady(server.port, &cycle, steady_rate, settings.duration * 2).await?;
    steady.latencies.sort_unstable();
    let after = server.memory()?;
    server.end()?;
    floor.end()?;
    let batches = cycle.requests.len() as f64;
    let log_bytes: usize = cycle.requests.iter().map(|request| request.log_bytes).sum();
    Ok(Row {
        shape,
        events,
        body_bytes: cycle.body_bytes() as f64 / batches,
        log_bytes: log_bytes as f64 / data.records.len() as f64,
        spwatch: spwatch_rounds,
        floor: floor_rounds,
        steady,
        steady_rate,
        start,
        after,
    })
}

/// Starts spwatch, and the floor beside it.
async fn servers(
    settings: &Settings,
    folder: &Path,
    policy: &Path,
    log: &str,
) -> anyhow::Result<(Server, Server)> {
    let mut server = Server::spwatch(settings, folder, policy, log)?;
    server.ready().await?;
    let mut floor = Server::floor(settings, folder)?;
    floor.ready().await?;
    Ok((server, floor))
}

/// Every body once, then rounds of both in turn, so that what disturbs one disturbs the other.
async fn rounds(
    settings: &Settings,
    server: &Server,
    floor: &Server,
    cycle: &Arc<Cycle>,
) -> anyhow::Result<(Saturation, Saturation)> {
    load::verify_all(server.port, cycle, Target::Spwatch).await?;
    load::verify_all(floor.port, cycle, Target::Floor).await?;
    let mut judging = Saturation::default();
    let mut ignoring = Saturation::default();
    for _ in 0..settings.rounds {
        judging
            .round(settings, server, cycle, Target::Spwatch)
            .await?;
        ignoring
            .round(settings, floor, cycle, Target::Floor)
            .await?;
    }
    Ok((judging, ignoring))
}

fn cycle(records: &[Record], shape: Shape, framing: Framing, events: usize) -> Arc<Cycle> {
    let cycle = Cycle::new(wire::requests(shape, framing, records, events));
    if cycle.body_bytes() < ENOUGH_BYTES {
        tell("the bodies are below 64 MiB: caches may know them, take more RECORDS");
    }
    Arc::new(cycle)
}

fn print_saturation(rows: &[Row]) {
    println!("## At saturation\n");
    let mut table = Table::new(&[
        "shape, events x records",
        "body, KiB",
        "records/s",
        "log MB/s",
        "busy: server / load",
        "records/CPU s",
        "CPU us/record",
        "of it floor",
    ]);
    let mut floor = Table::new(&[
        "floor: body read, ignored",
        "records/s",
        "busy: server / load",
        "records/CPU s",
        "CPU us/record",
    ]);
    for row in rows {
        let (spwatch, ignoring) = (&row.spwatch, &row.floor);
        table.row(vec![
            row.name(),
            whole(row.body_bytes / 1024.0),
            spread(&spwatch.rates, whole),
            whole(median(&spwatch.rates) * row.log_bytes / 1e6),
            spwatch.busy(),
            whole(spwatch.records_per_cpu_second()),
            spwatch.microseconds_of_record(),
            ignoring.microseconds_of_record(),
        ]);
        floor.row(vec![
            row.name(),
            spread(&ignoring.rates, whole),
            ignoring.busy(),
            whole(ignoring.records_per_cpu_second()),
            ignoring.microseconds_of_record(),
        ]);
    }
    table.print();
    floor.print();
}

fn print_steady(rows: &[Row]) {
    println!("## Latency of a batch at half of that load, ms\n");
    let mut table = Table::new(&[
        "shape, events x records",
        "due batches/s",
        "answered/s",
        "p50",
        "p90",
        "p99",
        "max",
    ]);
    for row in rows {
        let latency = |share| milliseconds(quantile(&row.steady.latencies, share));
        table.row(vec![
            row.name(),
            whole(row.steady_rate),
            whole(row.steady.batches_per_second()),
            latency(0.5),
            latency(0.9),
            latency(0.99),
            latency(1.0),
        ]);
    }
    table.print();
}

fn print_memory(rows: &[Row]) {
    println!("## Resident memory, MiB\n");
    let mut table = Table::new(&[
        "shape, events x records",
        "after the first batch",
        "after the load",
        "peak",
    ]);
    for row in rows {
        table.row(vec![
            row.name(),
            mebibytes(row.start.resident),
            mebibytes(row.after.resident),
            mebibytes(row.after.peak),
        ]);
    }
    table.print();
}

/// Against `check`, which has the same records in a file and no host.
fn print_against(rows: &[Row], check: &Check) {
    println!("## Against `check --jobs 1`, the plain rate\n");
    let plain = median(&check.rates);
    println!(
        "`check`: {} records/s, {} records/CPU s, {} MB/s; whole process, start-up included.\n",
        spread(&check.rates, whole),
        whole(check.records_per_cpu_second()),
        whole(plain * rows.first().map_or(0.0, |row| row.log_bytes) / 1e6),
    );
    let mut table = Table::new(&[
        "shape, events x records",
        "records/s, of plain",
        "records/CPU s, of plain",
        "cost of a record, x plain",
        "beyond the floor, x plain",
    ]);
    for row in rows {
        let spwatch = row.spwatch.records_per_cpu_second();
        let cost = check.records_per_cpu_second() / spwatch;
        let floor = check.records_per_cpu_second() / row.floor.records_per_cpu_second();
        table.row(vec![
            row.name(),
            percent(median(&row.spwatch.rates) / plain),
            percent(1.0 / cost),
            format!("{cost:.2}"),
            format!("{:.2}", cost - floor),
        ]);
    }
    table.print();
    let cost = |shape| {
        let row = rows
            .iter()
            .find(|row| row.shape == shape && row.events == 1)?;
        Some(check.records_per_cpu_second() / row.spwatch.records_per_cpu_second())
    };
    if let Some(cost) = cost(Shape::String) {
        println!("Doubly encoded (`string`, 1 x {BATCH}) over plain, CPU: {cost:.2} x.\n");
    }
}

/// What else a host or a setting may change, by the shape that `SignIns/function.json` asks for.
async fn variants(
    settings: &Settings,
    data: &Data,
    folder: &Folder,
    [policy, many]: [&Path; 2],
    as_above: &Row,
) -> anyhow::Result<()> {
    let split = folder.policy("split.toml", data::POLICY_OF_INCLUDE)?;
    folder.policy(data::INCLUDED, data.entries())?;
    let records = data.records.get(..VARIANT_RECORDS).unwrap_or(&data.records);
    let azure = cycle(records, Shape::Binary, Framing::AZURE, 1);
    let large = cycle(records, Shape::Binary, Framing::Chunked(64 << 10), 1);
    let length = cycle(records, Shape::Binary, Framing::ContentLength, 1);

    let mut table = Table::new(&[
        "variant",
        "records/s",
        "records/CPU s",
        "CPU us/record",
        "of it floor",
    ]);
    let mut add = |name: &str, judging: &Saturation, ignoring: &Saturation| {
        table.row(vec![
            name.to_owned(),
            spread(&judging.rates, whole),
            whole(judging.records_per_cpu_second()),
            judging.microseconds_of_record(),
            ignoring.microseconds_of_record(),
        ]);
    };
    add(
        "as above: chunks of 1 KiB",
        &as_above.spwatch,
        &as_above.floor,
    );
    let many_name = format!("{} ranges", whole(MANY_RANGES as f64));
    for (name, cycle, policy, log) in [
        ("chunks of 64 KiB", &large, policy, settings.log.as_str()),
        ("Content-Length", &length, policy, &settings.log),
        ("`SPWATCH_LOG=info`", &azure, policy, "info"),
        ("entries in an included file", &azure, &split, &settings.log),
        (&many_name, &azure, many, &settings.log),
    ] {
        tell(name);
        cycle.forget_answers();
        let (server, floor) = servers(settings, &folder.0, policy, log).await?;
        let (judging, ignoring) = rounds(settings, &server, &floor, cycle).await?;
        server.end()?;
        floor.end()?;
        add(name, &judging, &ignoring);
    }
    println!("## Variants of `binary`, 1 x {BATCH}, at saturation\n");
    table.print();
    Ok(())
}
