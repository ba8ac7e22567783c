//! What the stages cost, each alone: reading, judging, telling duplicates, loading a policy.
//!
//! `cargo bench --bench stages`; a word behind `--` runs the benches whose names contain it.

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]
#![allow(
    clippy::unwrap_used,
    reason = "a bench that cannot be set up is to stop"
)]

mod common;

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use spwatch::assess::{Block, Ledger, Period};
use spwatch::ingest::{Context, Habit, Item, Offset, read_lines, read_text};
use spwatch::policy::{FeedFile, FeedFiles, Policy, Source, compile, compile_with_feeds};
use spwatch::sign_in::SignIn;

const RECORDS: u64 = 2_000;

fn compiled(text: String) -> Policy {
    let name = "policy.toml".to_owned();
    compile(&[Source { name, text }], None, &[]).policy.unwrap()
}

/// Reads lines, and counts the sign-ins.
fn sign_ins_of(text: &str, habit: &mut Habit) -> u64 {
    let mut sign_ins = 0;
    read_lines(
        text.as_bytes(),
        Offset::default(),
        &Context::default(),
        habit,
        &mut |_, item| sign_ins += u64::from(matches!(item, Item::SignIn(_))),
    );
    black_box(sign_ins)
}

/// The same records with habits of none, and with those of their producer; and without any JSON to read.
fn reading(criterion: &mut Criterion) {
    let context = Context::default();
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Elements(RECORDS));
    for per_line in [1, 10, 100] {
        let text = common::log(RECORDS, per_line, 1_000, 3);
        let mut habit = Habit::default();
        group.bench_function(BenchmarkId::new("records a line", per_line), |bench| {
            bench.iter(|| assert_eq!(sign_ins_of(&text, &mut habit), RECORDS));
        });
    }
    // No record is in the order of the one before.
    let text = common::mixed_log(RECORDS);
    let mut habit = Habit::default();
    group.bench_function("two logs in turns", |bench| {
        bench.iter(|| assert_eq!(sign_ins_of(&text, &mut habit), RECORDS / 2));
    });
    // A producer that has just been met: each record is the first one.
    let lines: Vec<String> = (0..RECORDS)
        .map(|number| common::record(number, 1_000, 3))
        .collect();
    group.bench_function("without habit", |bench| {
        bench.iter(|| {
            for line in &lines {
                read_text(
                    line.as_bytes(),
                    &context,
                    &mut Habit::default(),
                    &mut |_, item| {
                        black_box(&item);
                    },
                );
            }
        });
    });
    group.finish();
}

fn sign_ins(apps: u64, ranges: u64) -> Vec<SignIn<'static>> {
    let text = common::log(RECORDS, 100, apps, ranges);
    let mut sign_ins = Vec::new();
    read_text(
        text.as_bytes(),
        &Context::default(),
        &mut Habit::default(),
        &mut |_, item| {
            if let Item::SignIn(sign_in) = item {
                sign_ins.push(sign_in.clone().into_owned());
            }
        },
    );
    sign_ins
}

/// One verdict, over growing policies.
fn judging(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("judge");
    group.throughput(Throughput::Elements(RECORDS));
    for (apps, ranges) in [(10, 3), (1_000, 3), (100_000, 3), (1, 100), (1, 30_000)] {
        let policy = compiled(common::policy(apps, ranges));
        let sign_ins = sign_ins(apps, ranges);
        group.bench_function(format!("{apps} apps of {ranges} ranges"), |bench| {
            bench.iter(|| {
                for sign_in in &sign_ins {
                    black_box(policy.judge(sign_in));
                }
            });
        });
    }
    group.finish();
}

/// Everything from bytes to counts, in memory.
fn whole(criterion: &mut Criterion) {
    let text = common::log(RECORDS, 100, 1_000, 3);
    let policy = compiled(common::policy(1_000, 3));
    let (context, mut habit) = (Context::default(), Habit::default());
    let mut group = criterion.benchmark_group("whole");
    group.throughput(Throughput::Elements(RECORDS));
    group.bench_function("bytes to counts", |bench| {
        bench.iter_batched(
            Ledger::new,
            |mut ledger| {
                let mut block = Block::new(&policy, Period::default(), false);
                read_lines(
                    text.as_bytes(),
                    Offset::default(),
                    &context,
                    &mut habit,
                    &mut |position, item| block.take(position, item),
                );
                ledger.absorb(block);
                assert_eq!(ledger.counts().violation, RECORDS / 100);
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// From text to a policy that judges.
fn loading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("load");
    for (apps, ranges) in [(100, 3), (1_000, 3), (1, 30_000)] {
        let source = Source {
            name: "policy.toml".to_owned(),
            text: common::policy(apps, ranges),
        };
        group.throughput(Throughput::Elements(apps * ranges));
        group.bench_function(format!("{apps} apps of {ranges} ranges"), |bench| {
            bench.iter(|| compile(std::slice::from_ref(&source), None, &[]));
        });
    }
    // A large published list, and the set that is made of it.
    let list = (0_u32..100_000).map(|number| {
        let [_, a, b, c] = (number * 32).to_be_bytes();
        format!(
            "{{\"ip_prefix\":\"10.{a}.{b}.{c}/28\",\"service\":\"S3\",\"region\":\"eu-central-1\"}}"
        )
    });
    let list = format!("{{\"prefixes\":[{}]}}", list.collect::<Vec<_>>().join(","));
    let file = FeedFile {
        bytes: list.into_bytes().into(),
        stands_in: false,
    };
    let feeds = FeedFiles {
        files: [("aws.json".to_owned(), Ok(file))].into(),
        lock: None,
    };
    let source = Source {
        name: "policy.toml".to_owned(),
        text: "version = 1\n[ranges]\naws = { file = \"aws.json\", format = \"aws-ip-ranges\", key = \"S3\" }\n\
               [[app]]\nname = \"a\"\napp_id = \"00000000-1111-2222-3333-444444444444\"\nallow.ips = [\"@aws\"]\n"
            .to_owned(),
    };
    group.throughput(Throughput::Elements(100_000));
    group.bench_function("a feed of 100000 ranges", |bench| {
        bench.iter(|| {
            let compilation = compile_with_feeds(std::slice::from_ref(&source), None, &[], &feeds);
            assert!(compilation.policy.is_some());
        });
    });
    group.finish();
}

criterion_group!(benches, reading, judging, whole, loading);
criterion_main!(benches);
