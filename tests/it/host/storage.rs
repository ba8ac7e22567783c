//! The whole way on real parts: queues, blobs, state and policy in a storage account (Azurite).

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use spwatch::devhost::{Notice, Reply, Storage as _};
use spwatch::state::{Location, State};

use super::housekeeping::status;
use super::merging::merging;
use super::rig::*;
use crate::azurite::{Account, Azurite};

fn away(number: u32) -> String {
    let ip = format!("198.51.100.{}", number + 1);
    envelope(&[record(&number.to_string(), PAYROLL, &ip, number)])
}

/// An account with the containers that a deployment makes.
async fn azurite() -> (Azurite, Account) {
    let azurite = Azurite::start().await;
    for container in ["spwatch-state", "spwatch-policy"] {
        azurite.create_container(container).await;
    }
    let account = azurite.account();
    (azurite, account)
}

async fn kept(account: &Account) -> Vec<Value> {
    let blobs = account.blobs("spwatch-undelivered").await.into_iter();
    blobs
        .map(|(name, text)| {
            assert!(name.ends_with(".json"), "{name}");
            serde_json::from_str(&text).unwrap()
        })
        .collect()
}

async fn is_empty(account: &Account) -> bool {
    let alerts = account.count("spwatch-alerts", true).await.unwrap();
    let poison = account.count("spwatch-alerts-poison", true).await.unwrap();
    alerts + poison == 0
}

#[tokio::test]
async fn from_a_batch_to_receiver_and_containers() {
    let (azurite, account) = azurite().await;
    let text = merging("4s", "");
    let rig = Setup::new(Some(&text)).await.on(&azurite).start().await;
    let repeat = |number: u32| envelope(&[record(&format!("r{number}"), PAYROLL, AWAY, number)]);
    rig.receiver.then([Reply::status(400)]);
    rig.judge(&[away(0)]).await;
    let due_later = [repeat(40), repeat(41)];
    let home = envelope(&[record("home", PAYROLL, HOME, 3)]);
    rig.judge(&[home, "rubbish".into(), due_later[0].clone()])
        .await;
    rig.judge(&due_later[1..]).await;
    // One refused for good and kept, one delivered, its repeat held back, one reject.
    let kept = kept(&account).await;
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0]["alert"]["sign_in"]["id"], "0");
    let rejected = account.blobs("spwatch-rejected").await;
    assert_eq!(rejected.len(), 1);
    assert!(rejected[0].1.contains("rubbish"), "{rejected:?}");
    assert_eq!(rig.receiver.received().len(), 2, "{}", rig.log());
    assert!(is_empty(&account).await);
    rig.keep_house_until(|| rig.receiver.received().len() > 2)
        .await;
    let update = alert_of(&rig.receiver.received()[2]);
    assert_eq!(
        (&update["count"], &update["update"]),
        (&json!(2), &json!(true))
    );
    let (_, body) = status(&rig).await;
    assert_eq!(body["housekeeping"]["undelivered"], 1, "{body}");
}

#[tokio::test]
async fn a_message_comes_back_until_it_is_taken_or_its_tries_are_used_up() {
    let (azurite, account) = azurite().await;
    let text = policy(SOC);
    let mut setup = Setup::new(Some(&text)).await.on(&azurite);
    setup.max_dequeue_count = Some(3);
    let rig = setup.start().await;
    rig.receiver.then([Reply::status(500), Reply::dropped()]);
    rig.judge(&[away(0)]).await;
    assert_eq!(rig.receiver.received().len(), 3);
    let counts: Vec<u32> = rig
        .journal
        .notices()
        .into_iter()
        .filter_map(|notice| match notice {
            Notice::MessageSent { dequeue_count, .. } => Some(dequeue_count),
            _ => None,
        })
        .collect();
    assert_eq!(counts, [1, 2, 3]);
    rig.receiver.always(Reply::status(502));
    rig.judge(&[away(1)]).await;
    let kept = kept(&account).await;
    assert_eq!(kept.len(), 1, "{}", rig.log());
    let reason = kept[0]["reason"].as_str().unwrap();
    assert!(reason.contains("the receiver answered 502"), "{reason}");
    assert!(is_empty(&account).await);
    // What is no alert at all, and what is not even Base64.
    rig.receiver.always(Reply::status(200));
    account.put("spwatch-alerts", "bm8gYWxlcnQ=").await.unwrap();
    account.put("spwatch-alerts", "{not base64}").await.unwrap();
    until_async(
        async || self::kept(&account).await.len() == 2 && is_empty(&account).await,
        || rig.log(),
    )
    .await;
}

async fn until_async(so: impl AsyncFn() -> bool, otherwise: impl Fn() -> String) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !so().await {
        assert!(std::time::Instant::now() < deadline, "{}", otherwise());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_host_that_dies_with_a_message_in_work_leaves_it_to_the_next() {
    let (azurite, account) = azurite().await;
    let text = policy(SOC);
    let mut setup = Setup::new(Some(&text)).await.on(&azurite);
    setup.options.lease = Some(Duration::from_secs(2));
    let rig = setup.start().await;
    rig.receiver.then([Reply::status(200).after(PATIENCE * 10)]);
    rig.host.send(0, [away(0)]).unwrap();
    assert_eq!(rig.receiver.wait_for(1, PATIENCE).await.len(), 1);
    let rig = rig.replace_host().await;
    rig.drain().await;
    let received = rig.receiver.received();
    assert_eq!(received.len(), 2);
    assert_eq!(ids(&received), due(&text, &[away(0)]));
    assert!(is_empty(&account).await);
}

#[tokio::test]
async fn a_policy_in_a_container_is_read_again_when_it_changes() {
    let (azurite, _) = azurite().await;
    let text = policy(SOC);
    let (root, apps) = text.split_at(text.find("[[app]]").unwrap());
    let including = format!("include = [\"apps/*.toml\"]\n{root}");
    let place = Location::read("az://spwatch-policy/live", &azurite.settings()).unwrap();
    let container = State::open(&place).unwrap();
    let write = async |name: &str, text: &str| {
        container.write(name, text.into()).await.unwrap();
    };
    write("apps/all.toml", apps).await;
    write("policy.toml", &including).await;
    let rig = Setup::new(None)
        .await
        .on(&azurite)
        .setting("SPWATCH_POLICY", "az://spwatch-policy/live/policy.toml")
        .start()
        .await;
    let from = |number: u32| envelope(&[record(&number.to_string(), PAYROLL, AWAY, number * 3600)]);
    rig.judge(&[from(1)]).await;
    let first = alert_of(&rig.receiver.received()[0]);
    let entry = &first["app"]["entry"];
    assert_eq!(entry["file"], "az://spwatch-policy/live/apps/all.toml");
    // An include changes, the root does not.
    let accepted = |count: usize| {
        let log = rig.log();
        log.matches("policy accepted").count() >= count
    };
    write(
        "apps/all.toml",
        &apps.replace("203.0.113.0/24", "198.51.100.0/24"),
    )
    .await;
    until_async(
        async || {
            rig.keep_house().await;
            accepted(2)
        },
        || rig.log(),
    )
    .await;
    rig.judge(&[from(2)]).await;
    assert_eq!(rig.receiver.received().len(), 1);
    // A root with an error is refused, is an alert, and after a cold start the last good texts judge.
    write("policy.toml", &including.replace("[defaults]", "[defalts]")).await;
    rig.keep_house_until(|| rig.receiver.received().len() > 1)
        .await;
    let refused = alert_of(&rig.receiver.received()[1]);
    assert_eq!(refused["rule"], "policy-refused");
    let rig = rig.replace_host().await;
    rig.judge(&[from(3)]).await;
    rig.judge(&[envelope(&[record("s", STRANGER, AWAY, 1)])])
        .await;
    let rules: BTreeSet<String> = rig
        .receiver
        .received()
        .iter()
        .map(|request| alert_of(request)["rule"].to_string())
        .collect();
    assert_eq!(rig.receiver.received().len(), 3, "{}", rig.log());
    assert!(rules.contains("\"unknown-app\""), "{rules:?}");
}
