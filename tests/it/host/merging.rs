//! People hear of a thing once, and of its repeats once more, whatever is retried meanwhile.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use spwatch::devhost::{Notice, Reply};

use super::rig::*;

/// The policy with other defaults: all sign-ins of a test fall into one window of ten days.
pub(super) fn merging(merge: &str, more: &str) -> String {
    policy(SOC).replace(
        "[defaults]\n",
        &format!("[defaults]\nmerge = \"{merge}\"\n{more}\n"),
    )
}

fn away(number: u32) -> String {
    envelope(&[record(&number.to_string(), PAYROLL, AWAY, number)])
}

fn queued(notice: &Notice) -> bool {
    matches!(notice, Notice::Output { target, .. } if target == "spwatch-alerts")
}

/// The documents of a folder of the state.
fn documents(rig: &Rig, folder: &str) -> Vec<Value> {
    fn walk(folder: &Path, found: &mut Vec<Value>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(&path, found),
                false => found.push(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()),
            }
        }
    }
    let mut found = Vec::new();
    walk(&rig.folder.path().join("state").join(folder), &mut found);
    found
}

#[tokio::test]
async fn repeats_are_held_back_and_told_once_when_the_window_closes() {
    let rig = start(&merging("4s", "")).await;
    rig.judge(&[away(0)]).await;
    let first = alert_of(&rig.receiver.received()[0]);
    assert_eq!(
        (&first["count"], &first["update"]),
        (&json!(1), &json!(false))
    );
    rig.judge(&[away(1), away(1), away(2)]).await;
    assert_eq!(rig.receiver.received().len(), 1);
    assert_eq!(rig.journal.count(queued), 1);
    assert!(rig.log().contains("\"batch.held_back\":1"), "{}", rig.log());
    rig.keep_house_until(|| rig.receiver.received().len() > 1)
        .await;
    rig.drain().await;
    rig.keep_house().await;
    rig.keep_house().await;
    let received = rig.receiver.received();
    assert_eq!(received.len(), 2, "{}", rig.log());
    let id = first["id"].as_str().unwrap();
    assert_eq!(received[1].header("webhook-id"), Some(&*format!("{id}.u1")));
    let update = alert_of(&received[1]);
    assert_eq!(update["id"], first["id"]);
    assert_eq!(update["update"], true);
    assert_eq!(update["count"], 3);
    assert_eq!(update["evidence"], json!(["0", "1", "2"]));
    assert_eq!(update["last_seen"], "2026-11-23T00:00:02.1234567Z");
    assert_eq!(update["raised"], first["raised"]);
    assert!(documents(&rig, "windows").is_empty());
    // Whatever comes again of that window is known.
    rig.judge(&[away(0), away(1), away(3)]).await;
    rig.keep_house().await;
    rig.drain().await;
    assert_eq!(rig.receiver.received().len(), 2);
}

#[tokio::test]
async fn without_repeats_there_is_no_later_word() {
    let rig = start(&merging("2s", "")).await;
    rig.judge(&[away(0)]).await;
    rig.keep_house_until(|| documents(&rig, "windows").is_empty())
        .await;
    rig.drain().await;
    assert_eq!(rig.receiver.received().len(), 1);
}

#[tokio::test]
async fn until_the_first_is_out_every_batch_brings_it_again() {
    let text = merging("10d", "");
    let rig = start(&text).await;
    rig.receiver.always(Reply::status(503));
    for number in 0..3 {
        rig.host.send(0, [away(number)]).unwrap();
        let enough = usize::try_from(number).unwrap() + 1;
        rig.told(enough, queued).await;
    }
    let messages: Vec<Value> = rig
        .journal
        .notices()
        .into_iter()
        .filter_map(|notice| match notice {
            Notice::Output {
                target, content, ..
            } if target == "spwatch-alerts" => serde_json::from_slice(&content).ok(),
            _ => None,
        })
        .collect();
    // Each with all that is known by then, under one id.
    let counts: Vec<_> = messages
        .iter()
        .map(|m| m["alert"]["count"].clone())
        .collect();
    assert_eq!(counts, [1, 2, 3]);
    let ids: BTreeSet<_> = messages
        .iter()
        .map(|m| m["alert"]["id"].to_string())
        .collect();
    assert_eq!(ids.len(), 1);
    rig.receiver.always(Reply::status(200));
    rig.drain().await;
    let taken: Vec<_> = rig
        .receiver
        .received()
        .into_iter()
        .filter(|request| request.status == Some(200))
        .collect();
    assert_eq!(taken.len(), 1);
    assert!(rig.log().contains("the sink has it already"));
    // And now repeats are held back.
    rig.judge(&[away(4)]).await;
    assert_eq!(rig.journal.count(queued), 3);
}

#[tokio::test]
async fn what_one_sink_has_the_other_still_gets() {
    let owner =
        "[sinks.owner]\ntype = \"webhook\"\nurl = \"env:OWNER_WEBHOOK_URL\"\ninsecure = true\n";
    let text = merging("10d", "").replace(SOC, &format!("{SOC}{owner}"));
    let receiver = spwatch::devhost::Receiver::start().await.unwrap();
    let rig = Setup::new(Some(&text))
        .await
        .setting("OWNER_WEBHOOK_URL", &receiver.url("/owner"))
        .start()
        .await;
    receiver.always(Reply::status(500));
    rig.host.send(0, [away(0)]).unwrap();
    rig.receiver.wait_for(1, PATIENCE).await;
    receiver.wait_for(1, PATIENCE).await;
    rig.host.send(0, [away(1)]).unwrap();
    rig.told(3, queued).await;
    receiver.always(Reply::status(200));
    rig.drain().await;
    assert_eq!(rig.receiver.received().len(), 1);
    let taken = receiver.received();
    let taken = taken.iter().filter(|request| request.status == Some(200));
    assert_eq!(taken.count(), 1);
}

#[tokio::test]
async fn a_kept_alert_is_out_too() {
    let rig = start(&merging("10d", "")).await;
    rig.receiver.always(Reply::status(400));
    rig.judge(&[away(0)]).await;
    rig.judge(&[away(1)]).await;
    assert_eq!(rig.undelivered().len(), 1);
    rig.keep_house().await;
    assert!(rig.log().contains("1 alerts are kept in `undelivered`"));
}

#[tokio::test]
async fn a_storm_is_one_more_alert_and_counts_what_it_holds_back() {
    let text = merging("10d", "max_alerts_per_hour = 3");
    let rig = start(&text).await;
    let from = |number: u32| {
        let ip = format!("198.51.100.{number}");
        envelope(&[record(&number.to_string(), PAYROLL, &ip, number)])
    };
    rig.judge(&(0..8).map(from).collect::<Vec<_>>()).await;
    let received: Vec<Value> = rig.receiver.received().iter().map(alert_of).collect();
    assert_eq!(received.len(), 4, "{}", rig.log());
    let storms: Vec<_> = received
        .iter()
        .filter(|alert| alert["rule"] == "alert-storm")
        .collect();
    assert_eq!(storms.len(), 1);
    let storm = storms[0];
    assert_eq!(storm["count"], 5);
    assert_eq!(storm["severity"], "critical");
    assert_eq!(storm["evidence"], json!(["3", "4", "5", "6", "7"]));
    assert_eq!(storm["app"]["name"], "payroll");
    let message = storm["reasons"][0]["message"].as_str().unwrap();
    assert!(message.contains("5 further alerts"), "{message}");
    // More of the same hour, some of it again: counted, not sent.
    rig.judge(&(5..12).map(from).collect::<Vec<_>>()).await;
    assert_eq!(rig.receiver.received().len(), 4);
    let windows = documents(&rig, "windows");
    let window = windows
        .iter()
        .find(|window| window["alert"]["rule"] == "alert-storm")
        .unwrap();
    assert_eq!(window["alert"]["count"], 9);
    let message = window["alert"]["reasons"][0]["message"].as_str().unwrap();
    assert!(message.contains("9 further alerts"), "{message}");
    // Another application and another hour have their own.
    let other = envelope(&[record("other", EXPORTER, AWAY, 9)]);
    let later = envelope(&[record("later", PAYROLL, "198.51.100.200", 3601)]);
    rig.judge(&[other, later]).await;
    assert_eq!(rig.receiver.received().len(), 6);
}

#[tokio::test]
async fn without_a_cap_every_alert_is_sent() {
    let text = merging("10d", "max_alerts_per_hour = 0");
    let rig = start(&text).await;
    let events: Vec<String> = (0..80)
        .map(|number| {
            let ip = format!("198.51.100.{number}");
            envelope(&[record(&number.to_string(), PAYROLL, &ip, number)])
        })
        .collect();
    rig.judge(&events).await;
    assert_eq!(rig.received_ids(), due(&text, &events));
}

#[tokio::test]
async fn while_the_state_store_is_away_alerts_go_out_unmerged() {
    // Nobody listens there.
    let away_store = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=AAAA;BlobEndpoint=http://127.0.0.1:9/a";
    let rig = Setup::new(Some(&merging("10d", "max_alerts_per_hour = 1")))
        .await
        .setting("AzureWebJobsStorage", away_store)
        .setting("SPWATCH_STATE", "az://state/spwatch")
        .start()
        .await;
    for number in 0..3 {
        rig.judge(&[away(number)]).await;
    }
    let received = rig.receiver.received();
    assert_eq!(received.len(), 3, "{}", rig.log());
    assert_eq!(ids(&received).len(), 1);
    // The host is not told of a failure, and the log says it once.
    let log = rig.log();
    assert_eq!(log.matches("the state store is away").count(), 1, "{log}");
    rig.keep_house().await;
}

#[tokio::test]
async fn without_merging_each_sign_in_is_sent_once() {
    let rig = start(&merging("0s", "")).await;
    rig.judge(&[away(0), away(1)]).await;
    assert_eq!(rig.receiver.received().len(), 2);
    rig.judge(&[away(1), away(2)]).await;
    assert_eq!(rig.receiver.received().len(), 3);
    assert!(documents(&rig, "windows").is_empty());
}
