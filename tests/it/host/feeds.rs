//! Feeds in the handler: what one held when it was last well stays in use, and somebody is told.

use std::fs;

use super::housekeeping::{of_rule, status};
use super::rig::*;

/// A policy whose entry allows what is in a feed.
fn fed() -> String {
    let text = policy(SOC);
    let head = "version = 1\n";
    assert!(
        text.contains(head) && text.contains("\"203.0.113.0/24\""),
        "{text}"
    );
    let feed = format!("{head}ranges.office = {{ file = \"office.txt\", format = \"plain\" }}\n");
    text.replacen(head, &feed, 1)
        .replace("\"203.0.113.0/24\"", "\"@office\"")
}

#[tokio::test]
async fn a_feed_that_is_unwell_is_said_once_and_what_it_held_stays() {
    let setup = Setup::new(Some(&fed())).await;
    let feed = setup.folder.path().join("office.txt");
    fs::write(&feed, "203.0.113.0/24\n").unwrap();
    let rig = setup.start().await;
    let from = |address: &str, number: u32| {
        envelope(&[record(&number.to_string(), PAYROLL, address, number)])
    };
    rig.judge(&[from(HOME, 1)]).await;
    assert!(rig.receiver.received().is_empty(), "{}", rig.log());
    assert_eq!(status(&rig).await.0, 200);
    fs::remove_file(&feed).unwrap();
    for _ in 0..3 {
        rig.keep_house().await;
        rig.drain().await;
    }
    let alerts = of_rule(&rig, "feed-unwell");
    assert_eq!(alerts.len(), 1, "{}", rig.log());
    assert!(alerts[0]["title"].as_str().unwrap().contains("office.txt"));
    let (code, body) = status(&rig).await;
    assert_eq!(code, 503);
    assert!(
        body["problems"][0].as_str().unwrap().contains("office.txt"),
        "{body}"
    );
    assert!(body["refused"].is_null(), "{body}");
    // Also in a process that never saw it well.
    let rig = rig.replace_host().await;
    rig.judge(&[from(HOME, 2)]).await;
    assert_eq!(rig.receiver.received().len(), 1, "{}", rig.log());
    rig.judge(&[from(AWAY, 3)]).await;
    assert_eq!(of_rule(&rig, "outside-policy").len(), 1, "{}", rig.log());
    fs::write(&feed, "203.0.113.0/24\n").unwrap();
    rig.keep_house().await;
    rig.drain().await;
    assert_eq!(of_rule(&rig, "feed-unwell").len(), 1);
    assert_eq!(status(&rig).await.0, 200);
}
