//! Whatever dies at whatever instant, every due alert arrives, and no other.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use spwatch::devhost::{Borders, Notice, Reply};

use super::rig::*;

const PARTITIONS: usize = 4;
const EVENTS: u32 = 400;

/// Four hundred events: quiet ones, due ones, repeats of both, and rubbish in between.
fn events(random: &mut Random) -> Vec<String> {
    let one = |random: &mut Random, number: u32| -> Value {
        let second = u32::try_from(random.below(86_400)).unwrap();
        let host = random.below(40);
        let id = format!("sign-in {number}");
        match random.below(5) {
            0 => record(&id, PAYROLL, &format!("198.51.100.{host}"), second),
            1 => record(&id, STRANGER, &format!("192.0.2.{host}"), second),
            2 => record(&id, EXPORTER, &format!("203.0.113.{host}"), second),
            _ => record(&id, PAYROLL, HOME, second),
        }
    };
    let mut events: Vec<String> = Vec::new();
    for number in 0..EVENTS {
        let event = match random.below(12) {
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
    Handler,
    Host,
    Queue,
    Receiver,
}

/// Faults until nothing is left to do. Answers and messages so far say when: a fault is due once
/// some more have been seen, so that it falls into the middle of work, wherever that is.
async fn play(seed: u64) {
    let mut random = Random::new(seed);
    let text = policy(SOC);
    let events = events(&mut random);
    let expected = due(&text, &events);
    assert!(expected.len() > 60, "{}", expected.len());
    let mut setup = Setup::new(Some(&text)).await;
    setup.partitions = PARTITIONS;
    setup.options.borders = Borders::Varied { seed };
    setup
        .receiver
        .always(Reply::status(200).after(Duration::from_millis(2)));
    let mut rig = setup.start().await;
    let mut parts: Vec<Vec<String>> = vec![Vec::new(); PARTITIONS];
    for (number, event) in events.into_iter().enumerate() {
        parts[number % PARTITIONS].push(event);
    }
    // Half of it is there at the start, the rest comes while things go wrong.
    let mut rest = Vec::new();
    for (partition, events) in parts.iter().enumerate() {
        let (now, later) = events.split_at(events.len() / 2);
        rig.host.send(partition, now.to_vec()).unwrap();
        rest.push((partition, later.to_vec()));
    }
    let faults = [
        Fault::Handler,
        Fault::Queue,
        Fault::Receiver,
        Fault::Host,
        Fault::Handler,
        Fault::Queue,
        Fault::Host,
        Fault::Handler,
        Fault::Handler,
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let seen = rig.journal.count(|_| true);
        let more = random.index(120);
        let at_once = random.below(3) == 0;
        until(
            // Where there is less left to do than that, the fault comes after it.
            || at_once || rig.journal.count(|_| true) >= seen + more || idle(&rig),
            String::new,
        )
        .await;
        // Within an invocation, not only between two.
        for _ in 0..random.below(50) {
            tokio::task::yield_now().await;
        }
        match fault {
            Fault::Handler => rig.host.kill_now().await,
            Fault::Host => rig = rig.replace_host().await,
            Fault::Queue => {
                let passing = random.index(4);
                rig.cloud.queue("spwatch-alerts").fail_puts(passing, 3);
            }
            Fault::Receiver => {
                rig.receiver
                    .then([Reply::status(500), Reply::dropped(), Reply::status(503)])
            }
        }
        if number % 2 == 0
            && let Some((partition, events)) = rest.pop()
        {
            rig.host.send(partition, events).unwrap();
        }
    }
    assert!(rest.is_empty());
    rig.drain().await;
    let accepted: BTreeSet<String> = rig
        .receiver
        .received()
        .iter()
        .filter(|request| request.status == Some(200))
        .map(|request| request.header("webhook-id").unwrap().to_owned())
        .collect();
    let lost: Vec<_> = expected.difference(&accepted).collect();
    assert!(lost.is_empty(), "seed {seed}: lost {lost:?}");
    let foreign: Vec<_> = accepted.difference(&expected).collect();
    assert!(foreign.is_empty(), "seed {seed}: not due {foreign:?}");
    for partition in 0..PARTITIONS {
        let hub = rig.cloud.hub();
        assert_eq!(hub.checkpoint("$Default", partition), hub.end(partition));
    }
    assert!(rig.undelivered().is_empty());
    assert!(rig.processes().len() > 3, "{:?}", rig.processes());
}

fn idle(rig: &Rig) -> bool {
    let hub = rig.cloud.hub();
    rig.cloud.queue("spwatch-alerts").is_empty()
        && (0..PARTITIONS)
            .all(|partition| hub.checkpoint("$Default", partition) == hub.end(partition))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_due_alert_outlives_every_crash() {
    for seed in [0x5eed_0001, 0x5eed_0002] {
        play(seed).await;
    }
}

/// The instants that matter most, each for certain: a delivery is out and not answered yet.
#[tokio::test]
async fn a_death_between_the_request_and_its_answer_repeats_the_delivery() {
    let text = policy(SOC);
    let mut rig = start(&text).await;
    let event = envelope(&[record("1", PAYROLL, AWAY, 1)]);
    // Nobody waits that long: the handler is dead before the answer.
    let slow = Reply::status(200).after(PATIENCE * 10);
    rig.receiver.then([slow.clone(), slow]);
    rig.host.send(0, [event.clone()]).unwrap();
    assert_eq!(rig.receiver.wait_for(1, PATIENCE).await.len(), 1);
    rig.host.kill_now().await;
    assert_eq!(rig.receiver.wait_for(2, PATIENCE).await.len(), 2);
    let lost = |notice: &Notice| matches!(notice, Notice::Answered { function, status: None, .. } if function == "Deliver");
    assert_eq!(rig.journal.count(lost), 1);
    // And once more with the host itself, which had the message hidden.
    rig = rig.replace_host().await;
    rig.drain().await;
    let received = rig.receiver.received();
    assert_eq!(received.len(), 3);
    assert_eq!(ids(&received), due(&text, &[event]));
    assert_eq!(received[0].body, received[2].body);
}

#[tokio::test]
async fn a_failed_write_after_our_answer_loses_nothing() {
    let text = policy(SOC);
    let rig = start(&text).await;
    let events: Vec<String> = (0..10)
        .map(|number| {
            let ip = format!("198.51.100.{number}");
            envelope(&[record(&number.to_string(), PAYROLL, &ip, number)])
        })
        .collect();
    // Three messages are out when the write fails, twice; then the blob's write fails too.
    rig.cloud.queue("spwatch-alerts").fail_puts(3, 2);
    rig.cloud.blobs().fail_writes(1);
    let mut all = events.clone();
    all.push("rubbish".into());
    rig.judge(&all).await;
    assert_eq!(rig.received_ids(), due(&text, &events));
    let failed = |notice: &Notice| {
        matches!(
            notice,
            Notice::Answered {
                failure: Some(_),
                status: Some(200),
                ..
            }
        )
    };
    assert!(rig.journal.count(failed) >= 2);
    assert!(!rig.blobs("spwatch-rejected").is_empty());
    // What was sent more than once had the same id each time.
    assert!(rig.receiver.received().len() >= events.len());
}

#[tokio::test]
async fn redelivery_with_other_borders_gives_the_same_ids() {
    let text = policy(SOC);
    let mut rig = start(&text).await;
    let events: Vec<String> = (0..40)
        .map(|number| {
            let ip = format!("198.51.100.{}", number % 7);
            envelope(&[record(&number.to_string(), PAYROLL, &ip, number * 60)])
        })
        .collect();
    rig.judge(&events).await;
    let expected = due(&text, &events);
    assert_eq!(rig.received_ids(), expected);
    // The checkpoint is lost: everything comes again, cut elsewhere.
    rig.cloud.hub().set_checkpoint("$Default", 0, 5);
    let before = rig.receiver.received().len();
    rig.options.borders = Borders::Varied { seed: 7 };
    rig = rig.replace_host().await;
    rig.drain().await;
    // And as all of it is marked as delivered, none is sent again.
    assert_eq!(rig.receiver.received().len(), before);
    assert_eq!(rig.received_ids(), expected);
    // Without the marks it is, under the same ids.
    std::fs::remove_dir_all(rig.folder.path().join("state")).unwrap();
    rig.cloud.hub().set_checkpoint("$Default", 0, 5);
    let rig = rig.replace_host().await;
    rig.drain().await;
    assert!(rig.receiver.received().len() > before);
    assert_eq!(rig.received_ids(), expected);
}
