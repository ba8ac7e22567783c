//! Instructions that a record takes, counted and held against what they are known to be.
//!
//! Unlike a time, a count is the same on a busy machine. `cargo bench --bench instructions` runs each case under
//! `valgrind --tool=callgrind` on two sizes of input, so that what does not grow with the input drops out, and
//! fails where a count is further from the known one than the margin: above it, something became slower; below it,
//! something became faster, and the count here is to be lowered. The processor must have AVX2: libraries choose
//! their instructions by it.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what a bench has to say"
)]

mod common;

use std::env;
use std::process::{Command, ExitCode};

use spwatch::assess::{Block, Ledger, Period};
use spwatch::ingest::{Context, Habit, Offset, read_lines, read_text};
use spwatch::policy::{Source, compile};

/// How far a count may be from the known one. Compilers differ by a few per cent.
const MARGIN: f64 = 0.10;

/// A case: its name, what it does to so many units, and the instructions that one takes.
struct Case {
    name: &'static str,
    run: fn(u64),
    sizes: (u64, u64),
    known: f64,
}

const CASES: [Case; 5] = [
    Case {
        name: "record, from bytes to counts",
        run: records,
        sizes: (2_000, 6_000),
        known: 8_340.0,
    },
    Case {
        name: "record, of two logs in turns",
        run: mixed,
        sizes: (2_000, 6_000),
        known: 12_640.0,
    },
    Case {
        name: "record of an unknown producer",
        run: strangers,
        sizes: (2_000, 6_000),
        known: 35_700.0,
    },
    Case {
        name: "entry of a policy, loaded",
        run: entries,
        sizes: (200, 600),
        known: 68_400.0,
    },
    Case {
        name: "range of a policy, loaded",
        run: ranges,
        sizes: (2_000, 6_000),
        known: 4_650.0,
    },
];

fn policy(apps: u64, ranges: u64) -> spwatch::policy::Policy {
    let name = "policy.toml".to_owned();
    let text = common::policy(apps, ranges);
    match compile(&[Source { name, text }], None, &[]).policy {
        Some(policy) => policy,
        None => std::process::exit(3),
    }
}

fn records(count: u64) {
    let policy = policy(100, 3);
    // The input is made once, of one size: making it is not counted.
    let text = common::log(2_000, 100, 100, 3);
    let mut ledger = Ledger::new();
    let mut habit = Habit::default();
    for _ in 0..count / 2_000 {
        let mut block = Block::new(&policy, Period::default(), false);
        read_lines(
            text.as_bytes(),
            Offset::default(),
            &Context::default(),
            &mut habit,
            &mut |position, item| block.take(position, item),
        );
        ledger.absorb(block);
    }
    assert_eq!(ledger.counts().violation, 20);
}

fn mixed(count: u64) {
    let text = common::mixed_log(2_000);
    let mut habit = Habit::default();
    let mut seen = 0;
    for _ in 0..count / 2_000 {
        read_lines(
            text.as_bytes(),
            Offset::default(),
            &Context::default(),
            &mut habit,
            &mut |_, _| seen += 1,
        );
    }
    assert_eq!(seen, count);
}

fn strangers(count: u64) {
    let record = common::record(1, 100, 3);
    let mut seen = 0;
    for _ in 0..count {
        read_text(
            record.as_bytes(),
            &Context::default(),
            &mut Habit::default(),
            &mut |_, _| seen += 1,
        );
    }
    assert_eq!(seen, count);
}

fn entries(count: u64) {
    policy(count, 3);
}

fn ranges(count: u64) {
    policy(1, count);
}

/// Instructions of a case on one size of input.
fn counted(case: usize, size: u64) -> Result<f64, String> {
    let this = env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(this)
        .args(["--case", &case.to_string(), &size.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error} (apt-get install valgrind)"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let refs = said.lines().find_map(|line| {
        line.split_once("refs:")?
            .1
            .trim()
            .replace(',', "")
            .parse()
            .ok()
    });
    match refs {
        Some(refs) if output.status.success() => Ok(refs),
        _ => Err(format!("valgrind said: {said}")),
    }
}

fn measure() -> Result<bool, String> {
    println!("| a | instructions | known | |\n|---|--:|--:|--:|");
    let mut all_well = true;
    for (place, case) in CASES.iter().enumerate() {
        let (small, large) = case.sizes;
        let more = counted(place, large)? - counted(place, small)?;
        let each = more / (large - small) as f64;
        let change = each / case.known - 1.0;
        let well = change.abs() <= MARGIN;
        all_well &= well;
        println!(
            "| {} | {each:.0} | {:.0} | {:+.1} %{} |",
            case.name,
            case.known,
            change * 100.0,
            if well { "" } else { ", beyond the margin" }
        );
    }
    Ok(all_well)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--case") {
        let number = |place: usize| arguments.get(at + place)?.parse().ok();
        let case = number(1).and_then(|case: u64| CASES.get(case as usize));
        return match (case, number(2)) {
            (Some(case), Some(size)) => {
                (case.run)(size);
                ExitCode::SUCCESS
            }
            _ => ExitCode::from(2),
        };
    }
    match measure() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("a count is beyond the margin of {:.0} %", MARGIN * 100.0);
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
