//! Hundreds of random schedules of faults: whatever happens, every due alert arrives or is kept, no other does, and the
//! counts come out right.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use spwatch::devhost::{Borders, Reply};
use spwatch::sign_in::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::rig::*;

/// How many schedules there are, unless `SPWATCH_FAULT_SCHEDULES` says otherwise.
const SCHEDULES: u64 = 200;
/// Schedules under way at once: each has processes of its own.
const AT_ONCE: usize = 16;
const PARTITIONS: usize = 2;
const EVENTS: u32 = 24;
const FAULTS: usize = 6;

/// The receiver has a second address.
const OWNER_HOOK: &str = "/hooks/0WNER";
const OWNER: &str = r#"
[sinks.owner]
type     = "webhook"
url      = "env:OWNER_WEBHOOK_URL"
insecure = true
"#;

/// Two sinks, for one of the apps only one; windows so long that none closes by itself.
fn text() -> String {
    let text = policy(&format!("{SOC}{OWNER}"));
    let text = text.replace(
        "[defaults]\n",
        "[defaults]\nmerge = \"100d\"\nmax_alerts_per_hour = 0\n",
    );
    let exporter = "severity  = \"low\"\n";
    assert!(text.contains(exporter));
    text.replace(exporter, &format!("{exporter}notify = [\"owner\"]\n"))
}

fn events(random: &mut Random) -> Vec<String> {
    let one = |random: &mut Random, number: u32| -> Value {
        let second = u32::try_from(random.below(86_400)).unwrap();
        let host = random.below(3);
        let id = format!("sign-in {number}");
        match random.below(5) {
            0 => record(&id, PAYROLL, &format!("198.51.100.{host}"), second),
            1 => record(&id, STRANGER, &format!("192.0.2.{host}"), second),
            2 => record(&id, EXPORTER, &format!("192.0.2.{host}"), second),
            3 => record(&id, EXPORTER, &format!("203.0.113.{host}"), second),
            _ => record(&id, PAYROLL, HOME, second),
        }
    };
    let mut events: Vec<String> = Vec::new();
    for number in 0..EVENTS {
        let event = match random.below(10) {
            0 => "{\"category\": broken".to_owned(),
            1 if !events.is_empty() => events[random.index(events.len())].clone(),
            2 => envelope(&[one(random, number), one(random, number + EVENTS)]),
            _ => envelope(&[one(random, number)]),
        };
        events.push(event);
    }
    events
}

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The handler dies.
    Handler,
    /// The host dies with its handler, and another goes on.
    Host,
    /// All batches come again, with other borders.
    Redelivery,
    /// The queue refuses writes after our answer; so does the blob store.
    Writes,
    /// The receiver drops, delays, refuses, hangs, cuts off.
    Receiver,
    /// The state store is away, and back a moment later.
    State,
    /// The timer fires in the middle.
    Timer,
}

const ALL: [Fault; 7] = [
    Fault::Handler,
    Fault::Host,
    Fault::Redelivery,
    Fault::Writes,
    Fault::Receiver,
    Fault::State,
    Fault::Timer,
];

fn trouble(random: &mut Random) -> Reply {
    match random.below(36) {
        // Beyond the sender's patience.
        9 => Reply::status(200).after(Duration::from_secs(25)),
        number => refusal(number % 9),
    }
}

fn refusal(number: u64) -> Reply {
    match number {
        0 => Reply::status(500),
        1 => Reply::status(503),
        2 => Reply::dropped(),
        3 => Reply::status(429).retry_after(1),
        4 => Reply::status(200).after(Duration::from_millis(40)),
        5 => Reply::status(200).cut_short(),
        6 => Reply::status(502).cut_short(),
        7 => Reply::status(400),
        _ => Reply::status(408),
    }
}

/// What one schedule came to.
#[derive(Debug, Default)]
struct Outcome {
    due: usize,
    accepted: usize,
    kept: usize,
    duplicates: usize,
}

async fn play(seed: u64) -> Outcome {
    let mut random = Random::new(seed);
    let text = text();
    let events = events(&mut random);
    let expected = expected(&text, &events);
    let mut setup = Setup::new(Some(&text)).await;
    let owner = setup.receiver.url(OWNER_HOOK);
    setup.settings.set("OWNER_WEBHOOK_URL", owner);
    setup.partitions = PARTITIONS;
    setup.options.borders = Borders::Varied { seed };
    let mut rig = setup.start().await;
    // Now and then two hosts have the whole hub and the whole queue, as while partitions change hands.
    let mut second = match random.below(3) {
        0 => Some(rig.another_host().await),
        _ => None,
    };
    let mut parts: Vec<Vec<String>> = vec![Vec::new(); PARTITIONS];
    for (number, event) in events.into_iter().enumerate() {
        parts[number % PARTITIONS].push(event);
    }
    let mut rest = Vec::new();
    for (partition, events) in parts.into_iter().enumerate() {
        let (now, later) = events.split_at(events.len() / 2);
        rig.host.send(partition, now.to_vec()).unwrap();
        rest.push((partition, later.to_vec()));
    }
    let mut state_was_away = false;
    for number in 0..FAULTS {
        let seen = rig.journal.count(|_| true);
        let more = random.index(25);
        let at_once = random.below(3) == 0;
        until(
            || at_once || rig.journal.count(|_| true) >= seen + more || idle(&rig),
            String::new,
        )
        .await;
        // Within an invocation, not only between two.
        for _ in 0..random.below(50) {
            tokio::task::yield_now().await;
        }
        match ALL[random.index(ALL.len())] {
            Fault::Handler => rig.host.kill_now().await,
            Fault::Host => {
                if let Some(host) = second.take() {
                    host.stop().await;
                }
                rig = rig.replace_host().await;
            }
            Fault::Redelivery => {
                for partition in 0..PARTITIONS {
                    rig.cloud.hub().set_checkpoint("$Default", partition, 0);
                }
                rig.options.borders = Borders::Varied {
                    seed: random.below(1 << 40),
                };
                if let Some(host) = second.take() {
                    host.stop().await;
                }
                rig = rig.replace_host().await;
            }
            Fault::Writes => {
                let passing = random.index(4);
                rig.cloud.queue("spwatch-alerts").fail_puts(passing, 2);
                rig.cloud.blobs().fail_writes(random.index(3));
            }
            Fault::Receiver => {
                let count = random.index(5) + 1;
                let replies: Vec<_> = (0..count).map(|_| trouble(&mut random)).collect();
                rig.receiver.then(replies);
            }
            Fault::State => {
                state_was_away = true;
                let state = rig.folder.path().join("state");
                let aside = rig.folder.path().join("aside");
                fs::rename(&state, &aside).unwrap();
                // A process that starts at that moment makes a folder of its own there.
                let _ = fs::write(&state, "in the way");
                tokio::time::sleep(Duration::from_millis(random.below(60))).await;
                while fs::rename(&aside, &state).is_err() {
                    let _ = fs::remove_file(&state);
                    let _ = fs::remove_dir_all(&state);
                }
            }
            Fault::Timer => {
                // It may meet a handler that has just died.
                let _ = rig.host.fire("Housekeeping").await;
            }
        }
        if number % 2 == 1
            && let Some((partition, events)) = rest.pop()
        {
            rig.host.send(partition, events).unwrap();
        }
    }
    for (partition, events) in rest {
        rig.host.send(partition, events).unwrap();
    }
    rig.drain().await;
    if let Some(host) = second {
        host.drain(PATIENCE).await.unwrap();
        host.stop().await;
    }
    // The faults are over, and so is the time of all windows.
    let rig = rig.replace_host().await;
    rig.drain().await;
    close_windows(&rig);
    rig.cloud.queue("spwatch-alerts").fail_puts(0, 0);
    rig.cloud.blobs().fail_writes(0);
    rig.keep_house_until(|| files(&rig, "windows").is_empty())
        .await;
    rig.drain().await;
    check(seed, &rig, &expected, state_was_away)
}

/// The alerts that are due, by sink's path: how many sign-ins each is about.
type Due = BTreeMap<(&'static str, String), u64>;

fn expected(text: &str, events: &[String]) -> Due {
    let mut expected = Due::new();
    for (id, app, count) in counted(text, events) {
        if app != EXPORTER {
            expected.insert((HOOK, id.clone()), count);
        }
        expected.insert((OWNER_HOOK, id), count);
    }
    assert!(expected.len() > 3, "{expected:?}");
    expected
}

fn check(seed: u64, rig: &Rig, expected: &Due, state_was_away: bool) -> Outcome {
    let received = rig.receiver.received();
    let mut accepted: BTreeMap<(&str, String), Vec<u64>> = BTreeMap::new();
    for request in received
        .iter()
        .filter(|request| request.status == Some(200))
    {
        let path = if request.path == HOOK {
            HOOK
        } else {
            OWNER_HOOK
        };
        let id = request.header("webhook-id").unwrap().to_owned();
        let count = alert_of(request)["count"].as_u64().unwrap();
        accepted.entry((path, id)).or_default().push(count);
    }
    let kept: BTreeSet<(&str, String)> = rig
        .undelivered()
        .iter()
        .map(|kept| {
            let path = if kept["sink"] == "soc" {
                HOOK
            } else {
                OWNER_HOOK
            };
            (path, kept["alert"]["id"].as_str().unwrap().to_owned())
        })
        .collect();
    let first = |key: &(&'static str, String)| accepted.get(key);
    for key in expected.keys() {
        assert!(
            first(key).is_some() || kept.contains(key),
            "seed {seed}: lost {key:?}\n{}",
            rig.log()
        );
    }
    for (path, id) in accepted.keys().chain(&kept) {
        let id = id.strip_suffix(".u1").unwrap_or(id);
        let known = expected.contains_key(&(*path, id.to_owned()));
        assert!(known, "seed {seed}: {id} at {path} is not due");
    }
    // With the state store there all the time, what was said in the end is exact.
    if !state_was_away {
        for ((path, id), count) in expected {
            if kept.contains(&(*path, id.clone())) {
                continue;
            }
            let said = [id.clone(), format!("{id}.u1")]
                .into_iter()
                .filter_map(|id| accepted.get(&(*path, id)))
                .flatten()
                .max();
            assert_eq!(
                said,
                Some(count),
                "seed {seed}: {id} at {path}: {accepted:#?}\n{}",
                rig.log()
            );
        }
    }
    for partition in 0..PARTITIONS {
        let hub = rig.cloud.hub();
        assert_eq!(hub.checkpoint("$Default", partition), hub.end(partition));
    }
    Outcome {
        due: expected.len(),
        accepted: accepted.len(),
        kept: kept.len(),
        duplicates: accepted.values().map(|counts| counts.len() - 1).sum(),
    }
}

fn files(rig: &Rig, folder: &str) -> Vec<std::path::PathBuf> {
    let folder = rig.folder.path().join("state").join(folder);
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries
        .map(|entry| entry.unwrap().path())
        // What a dead process was about to write is no document yet.
        .filter(|path| !path.to_string_lossy().contains('#'))
        .collect()
}

/// The merge time passes.
fn close_windows(rig: &Rig) {
    for path in files(rig, "windows") {
        let mut window: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        window["closes"] = json!(Timestamp::from(chrono::Utc::now()));
        fs::write(&path, window.to_string()).unwrap();
    }
}

fn idle(rig: &Rig) -> bool {
    let hub = rig.cloud.hub();
    rig.cloud.queue("spwatch-alerts").is_empty()
        && (0..PARTITIONS)
            .all(|partition| hub.checkpoint("$Default", partition) == hub.end(partition))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_schedule_of_faults_loses_an_alert_or_invents_one() {
    let schedules = std::env::var("SPWATCH_FAULT_SCHEDULES")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(SCHEDULES);
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut playing = JoinSet::new();
    for seed in 1..=schedules {
        let places = Arc::clone(&places);
        playing.spawn(async move {
            let _place = places.acquire_owned().await.unwrap();
            play(seed).await
        });
    }
    let mut sum = Outcome::default();
    while let Some(outcome) = playing.join_next().await {
        let outcome = outcome.unwrap();
        sum.due += outcome.due;
        sum.accepted += outcome.accepted;
        sum.kept += outcome.kept;
        sum.duplicates += outcome.duplicates;
    }
    // Past the test harness, which keeps the output of tests that pass to itself.
    let mut stderr = std::io::stderr();
    writeln!(
        stderr,
        "{schedules} schedules of faults: {} alerts due, {} accepted (later words included), {} kept, {} duplicates",
        sum.due, sum.accepted, sum.kept, sum.duplicates
    )
    .unwrap();
}
