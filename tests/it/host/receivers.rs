//! What becomes of an alert whose receiver does not take it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use spwatch::devhost::{Notice, Reply};

use super::rig::*;

fn event(number: u32) -> String {
    let ip = format!("198.51.100.{number}");
    envelope(&[record(&number.to_string(), PAYROLL, &ip, number)])
}

fn sent(notice: &Notice) -> bool {
    matches!(notice, Notice::MessageSent { function, .. } if function == "Deliver")
}

#[tokio::test]
async fn a_receiver_in_trouble_is_asked_until_it_takes_the_alert() {
    let text = policy(SOC);
    let rig = start(&text).await;
    rig.receiver.then([
        Reply::status(500),
        Reply::status(503),
        Reply::status(429),
        Reply::status(408),
        Reply::status(425),
        Reply::dropped(),
    ]);
    rig.judge(&[event(1)]).await;
    let received = rig.receiver.received();
    let statuses: Vec<_> = received.iter().map(|request| request.status).collect();
    assert_eq!(
        statuses,
        [
            Some(500),
            Some(503),
            Some(429),
            Some(408),
            Some(425),
            None,
            Some(200)
        ]
    );
    // The receiver can tell that it is the same alert: one id, one body.
    assert_eq!(rig.received_ids(), due(&text, &[event(1)]));
    let bodies: BTreeSet<_> = received.iter().map(|request| &request.body).collect();
    assert_eq!(bodies.len(), 1);
    assert!(rig.undelivered().is_empty());
}

#[tokio::test]
async fn a_receiver_that_is_not_there_gets_the_alert_when_it_is_back() {
    let text = policy(SOC);
    let mut rig = start(&text).await;
    let address = rig.receiver.address();
    // Nobody listens at the address for a while: the new receiver is elsewhere, then back.
    rig.receiver = spwatch::devhost::Receiver::start().await.unwrap();
    rig.host.send(0, [event(1)]).unwrap();
    rig.told(2, answered("Deliver", 503)).await;
    assert!(rig.receiver.received().is_empty());
    rig.receiver = loop {
        // The old connections must be gone first.
        match spwatch::devhost::Receiver::start_on(address).await {
            Ok(receiver) => break receiver,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    rig.drain().await;
    assert_eq!(rig.received_ids(), due(&text, &[event(1)]));
}

#[tokio::test]
async fn retry_after_is_obeyed() {
    let text = policy(SOC);
    let rig = start(&text).await;
    rig.receiver.then([Reply::status(429).retry_after(1)]);
    rig.judge(&[event(1)]).await;
    let received = rig.receiver.received();
    assert_eq!(received.len(), 2);
    let waited = received[1].at - received[0].at;
    assert!(waited >= Duration::from_secs(1), "{waited:?}");
    // The host came back long before that, and the handler let it wait.
    let delay = |notice: &Notice| matches!(notice, Notice::Released { delay, .. } if *delay < Duration::from_millis(100));
    assert!(rig.journal.count(delay) >= 1);
    assert_eq!(rig.received_ids(), due(&text, &[event(1)]));
}

#[tokio::test]
async fn an_answer_that_no_retry_mends_is_kept_with_its_reason() {
    let text = policy(SOC);
    let rig = start(&text).await;
    let elsewhere = rig.receiver.url("/elsewhere");
    let codes = [400, 404, 410, 301, 302];
    rig.receiver.then(codes.map(|code| {
        let reply = Reply::status(code);
        match code {
            301 | 302 => reply.with_header("location", elsewhere.as_str()),
            _ => reply,
        }
    }));
    let events: Vec<String> = (1..=5).map(event).collect();
    rig.judge(&events).await;
    let received = rig.receiver.received();
    assert_eq!(received.len(), codes.len());
    assert!(received.iter().all(|request| request.path == HOOK));
    let kept = rig.undelivered();
    let ids: BTreeSet<String> = kept
        .iter()
        .map(|kept| kept["alert"]["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids, due(&text, &events));
    for request in &received {
        let alert = alert_of(request);
        let kept: Vec<&Value> = kept.iter().filter(|kept| kept["alert"] == alert).collect();
        assert_eq!(kept.len(), 1);
        let reason = kept[0]["reason"].as_str().unwrap();
        let code = request.status.unwrap().to_string();
        assert!(reason.contains(&code), "{code}: {reason}");
        assert_eq!(kept[0]["sink"], "soc");
        assert_eq!(kept[0]["dequeue_count"], 1);
    }
}

#[tokio::test]
async fn a_receiver_that_fails_for_ever_leaves_the_alert_in_undelivered() {
    let text = policy(SOC);
    let mut setup = Setup::new(Some(&text)).await;
    setup.max_dequeue_count = Some(3);
    let rig = setup.start().await;
    rig.receiver.always(Reply::status(500));
    rig.judge(&[event(1)]).await;
    assert_eq!(rig.receiver.received().len(), 3);
    let poisoned = |notice: &Notice| matches!(notice, Notice::Poisoned { .. });
    assert_eq!(rig.journal.count(poisoned), 1);
    let kept = rig.undelivered();
    assert_eq!(kept.len(), 1);
    let reason = kept[0]["reason"].as_str().unwrap();
    assert!(reason.contains("every delivery"), "{reason}");
    assert_eq!(kept[0]["sink"], "soc");
    assert_eq!(kept[0]["alert"], alert_of(&rig.receiver.received()[0]));
    assert!(rig.cloud.queue("spwatch-alerts-poison").is_empty());
}

#[tokio::test]
async fn a_sink_without_its_secret_waits_alone() {
    let sinks = [
        ("missing", "url = \"env:SPWATCH_TEST_NOT_SET\""),
        ("vault", "url = \"env:SPWATCH_TEST_VAULT\""),
        (
            "unsigned",
            "url = \"env:SPWATCH_TEST_URL\"\nsecret = \"env:SPWATCH_TEST_VAULT\"",
        ),
    ];
    let sinks = sinks.map(|(name, keys)| {
        format!("[sinks.{name}]\ntype = \"webhook\"\ninsecure = true\n{keys}\n")
    });
    let text = policy(&format!("{SOC}{}", sinks.concat()));
    let setup = Setup::new(Some(&text)).await;
    let url = setup.receiver.url("/late");
    let vault = "@Microsoft.KeyVault(SecretUri=https://v.example/secrets/hook/)";
    let mut rig = setup
        .setting("SPWATCH_TEST_VAULT", vault)
        .setting("SPWATCH_TEST_URL", &url)
        .start()
        .await;
    rig.host.send(0, [event(1)]).unwrap();
    rig.told(6, answered("Deliver", 503)).await;
    rig.told(1, answered("Deliver", 200)).await;
    let received = rig.receiver.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].path, HOOK);
    assert_eq!(rig.cloud.queue("spwatch-alerts").len(), 3);
    assert!(rig.undelivered().is_empty());
    let log = rig.log();
    for name in ["SPWATCH_TEST_NOT_SET", "SPWATCH_TEST_VAULT"] {
        assert!(log.contains(name), "{log}");
    }
    assert!(!log.contains("v.example"), "{log}");
    // With the settings mended the app starts again, as in Azure; nothing was lost.
    rig.settings.set("SPWATCH_TEST_NOT_SET", url.as_str());
    rig.settings.set("SPWATCH_TEST_VAULT", url.as_str());
    let rig = rig.replace_host().await;
    // A URL is no signing secret: that sink goes on waiting.
    rig.receiver.wait_for(3, PATIENCE).await;
    rig.told(2, answered("Deliver", 200)).await;
    let late = rig.receiver.received().split_off(1);
    assert!(late.iter().all(|request| request.path == "/late"));
    assert_eq!(ids(&late), due(&text, &[event(1)]));
    assert!(!rig.log().contains("/late"));
}

#[tokio::test]
async fn without_a_sink_the_alert_is_kept() {
    let text = policy("");
    let rig = start(&text).await;
    rig.judge(&[event(1)]).await;
    let kept = rig.undelivered();
    assert_eq!(kept.len(), 1);
    assert!(kept[0]["reason"].as_str().unwrap().contains("no sink"));
    let id = kept[0]["alert"]["id"].as_str().unwrap().to_owned();
    assert_eq!(BTreeSet::from([id]), due(&text, &[event(1)]));
}

#[tokio::test]
async fn a_sink_that_the_policy_does_not_know_is_waited_for_and_then_given_up() {
    let rig = start(&policy(SOC)).await;
    let alert = json!({"id": "a0000000-0000-5000-8000-000000000001", "more": [1, 2]});
    let message = json!({"sink": "gone", "alert": alert}).to_string();
    rig.cloud
        .queue("spwatch-alerts")
        .put(message.as_bytes())
        .unwrap();
    rig.drain().await;
    assert_eq!(rig.journal.count(sent), 10);
    let kept = rig.undelivered();
    assert_eq!(kept.len(), 1);
    assert!(kept[0]["reason"].as_str().unwrap().contains("gone"));
    assert_eq!(kept[0]["alert"], alert);
    assert_eq!(kept[0]["dequeue_count"], 10);
    // A policy that names it in time has it delivered.
    rig.cloud
        .queue("spwatch-alerts")
        .put(message.as_bytes())
        .unwrap();
    rig.told(12, sent).await;
    std::fs::write(rig.policy_file(), policy(&SOC.replace(".soc", ".gone"))).unwrap();
    rig.drain().await;
    assert_eq!(rig.undelivered().len(), 1);
    assert_eq!(rig.receiver.received().len(), 1);
    assert_eq!(alert_of(&rig.receiver.received()[0]), alert);
}

#[tokio::test]
async fn a_message_that_is_no_alert_is_kept_as_it_came() {
    let rig = start(&policy(SOC)).await;
    let messages = ["words", "{\"sink\":\"soc\"}", "[1,2]", "{\"alert\":{}}"];
    for message in messages {
        rig.cloud
            .queue("spwatch-alerts")
            .put(message.as_bytes())
            .unwrap();
    }
    rig.drain().await;
    let kept = rig.undelivered();
    let kept: BTreeSet<_> = kept
        .iter()
        .map(|kept| kept["message"].as_str().unwrap())
        .collect();
    assert_eq!(kept, BTreeSet::from(messages));
    assert!(rig.receiver.received().is_empty());
}

#[tokio::test]
async fn plain_http_and_loopback_are_refused_unless_the_sink_allows_them() {
    let text = policy(&format!(
        "{}{}",
        SOC.replace("insecure = true", ""),
        SOC.replace("insecure = true", "")
            .replace(".soc", ".tls")
            .replace("env:SOC_WEBHOOK_URL", "env:TLS_URL"),
    ));
    let setup = Setup::new(Some(&text)).await;
    let url = setup.receiver.url(HOOK).replace("http:", "https:");
    let rig = setup.setting("TLS_URL", &url).start().await;
    rig.judge(&[event(1)]).await;
    assert!(rig.receiver.received().is_empty());
    let kept = rig.undelivered();
    let reasons: BTreeSet<(&str, bool)> = kept
        .iter()
        .map(|kept| {
            let reason = kept["reason"].as_str().unwrap();
            assert!(!reason.contains(HOOK), "{reason}");
            let word = match kept["sink"].as_str().unwrap() {
                "soc" => "https",
                _ => "loopback",
            };
            (word, reason.contains(word))
        })
        .collect();
    assert_eq!(
        reasons,
        BTreeSet::from([("https", true), ("loopback", true)])
    );
}

#[tokio::test]
async fn a_sink_that_hangs_holds_up_no_other() {
    let owner =
        "[sinks.owner]\ntype = \"webhook\"\nurl = \"env:OWNER_WEBHOOK_URL\"\ninsecure = true\n";
    let text = policy(&format!("{SOC}{owner}"));
    let dead = spwatch::devhost::Receiver::start().await.unwrap();
    dead.always(Reply::status(200).after(PATIENCE * 10));
    let rig = Setup::new(Some(&text))
        .await
        .setting("OWNER_WEBHOOK_URL", &dead.url("/owner"))
        .start()
        .await;
    // More than the host has slots for.
    let events: Vec<String> = (0..45).map(event).collect();
    let started = std::time::Instant::now();
    rig.host.send(0, events.clone()).unwrap();
    let expected = due(&text, &events);
    until(
        || rig.received_ids() == expected,
        || format!("{} of {}", rig.received_ids().len(), expected.len()),
    )
    .await;
    // Well before the first request to the dead one is given up.
    assert!(
        started.elapsed() < Duration::from_secs(19),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(dead.received().len(), 8);
}

#[tokio::test]
async fn a_sink_that_is_down_is_asked_by_one_at_a_time() {
    let text = policy(SOC);
    let rig = start(&text).await;
    rig.receiver.always(Reply::status(500));
    let events: Vec<String> = (0..40).map(event).collect();
    rig.host.send(0, events.clone()).unwrap();
    // The host brings each of them again every 60 ms, the sink hears little of it.
    rig.told(400, answered("Deliver", 503)).await;
    let asked = rig.receiver.received().len();
    assert!(asked < 40, "{asked}");
    let log = rig.log();
    assert!(
        log.contains("deliveries in a row failed, the last: the receiver answered 500"),
        "{log}"
    );
    rig.receiver.always(Reply::status(200));
    rig.drain().await;
    assert!(rig.received_ids().is_superset(&due(&text, &events)));
}
