//! What the timer brings about, and what `Status` says.

use std::fs;

use serde_json::{Value, json};
use spwatch::devhost::{Event, Reply, Request};

use super::rig::*;

fn away(number: u32) -> String {
    envelope(&[record(&number.to_string(), PAYROLL, AWAY, number)])
}

/// The alerts that the receiver took, with that rule.
pub(super) fn of_rule(rig: &Rig, rule: &str) -> Vec<Value> {
    let received = rig.receiver.received();
    let taken = received
        .iter()
        .filter(|request| request.status == Some(200));
    taken
        .map(alert_of)
        .filter(|alert| alert["rule"] == rule)
        .collect()
}

/// What `Status` answers: the code and the document.
pub(super) async fn status(rig: &Rig) -> (u64, Value) {
    let body = json!({ "Data": { "req": {} }, "Metadata": {} }).to_string();
    let exchange = rig.post(Request::new("Status", body)).await;
    assert_eq!(exchange.status, 200);
    let res = items(&exchange.judged.unwrap(), "res");
    let res: Value = serde_json::from_str(&res[0]).unwrap();
    let body = serde_json::from_str(res["body"].as_str().unwrap()).unwrap();
    (res["statusCode"].as_u64().unwrap(), body)
}

#[tokio::test]
async fn a_refused_policy_is_an_alert_and_is_said_once() {
    let text = policy(SOC);
    let rig = start(&text).await;
    rig.keep_house().await;
    rig.drain().await;
    assert!(rig.receiver.received().is_empty());
    assert_eq!(status(&rig).await.0, 200);
    fs::write(rig.policy_file(), text.replace("allow.ips", "alow.ips")).unwrap();
    for _ in 0..3 {
        rig.keep_house().await;
        rig.drain().await;
    }
    let alerts = of_rule(&rig, "policy-refused");
    assert_eq!(alerts.len(), 1, "{}", rig.log());
    let message = alerts[0]["reasons"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("alow") && message.contains("unknown-key"),
        "{message}"
    );
    assert!(alerts[0]["sign_in"].is_null());
    let (code, body) = status(&rig).await;
    assert_eq!(code, 503);
    assert!(
        body["problems"][0]
            .as_str()
            .unwrap()
            .contains("was refused"),
        "{body}"
    );
    // A new process says it under the same id, which is known.
    let rig = rig.replace_host().await;
    rig.keep_house().await;
    rig.drain().await;
    assert_eq!(of_rule(&rig, "policy-refused").len(), 1);
    fs::write(rig.policy_file(), &text).unwrap();
    rig.keep_house().await;
    assert_eq!(status(&rig).await.0, 200);
}

#[tokio::test]
async fn an_alert_of_the_outbox_survives_what_it_meets() {
    let text = policy(SOC);
    let rig = start(&text).await;
    fs::write(rig.policy_file(), text.replace("allow.ips", "alow.ips")).unwrap();
    // The write fails after our answer, and the host calls again; the receiver is in trouble; the handler dies.
    rig.cloud.queue("spwatch-alerts").fail_puts(0, 1);
    rig.receiver.then([Reply::status(500), Reply::dropped()]);
    rig.keep_house().await;
    rig.host.kill_now().await;
    rig.host.ready().await.unwrap();
    rig.drain().await;
    assert_eq!(of_rule(&rig, "policy-refused").len(), 1, "{}", rig.log());
    // What is marked leaves the outbox.
    let outbox = rig.folder.path().join("state/outbox");
    rig.keep_house_until(|| fs::read_dir(&outbox).map_or(0, Iterator::count) == 0)
        .await;
    assert_eq!(of_rule(&rig, "policy-refused").len(), 1, "{}", rig.log());
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_said_once_until_it_is_back() {
    let rig = Setup::new(Some(&policy(SOC)))
        .await
        .setting("SPWATCH_SILENT_AFTER", "2s")
        .start()
        .await;
    let home = envelope(&[record("home", PAYROLL, HOME, 1)]);
    rig.judge(std::slice::from_ref(&home)).await;
    rig.keep_house().await;
    assert!(of_rule(&rig, "stream-silent").is_empty());
    rig.keep_house_until(|| !of_rule(&rig, "stream-silent").is_empty())
        .await;
    rig.keep_house().await;
    rig.drain().await;
    let silent = of_rule(&rig, "stream-silent");
    assert_eq!(silent.len(), 1);
    let title = silent[0]["title"].as_str().unwrap();
    assert!(title.contains("ServicePrincipalSignInLogs"), "{title}");
    let (_, body) = status(&rig).await;
    assert!(
        body["problems"]
            .to_string()
            .contains("ServicePrincipalSignInLogs"),
        "{body}"
    );
    // It is back, and falls silent again.
    rig.judge(&[home]).await;
    rig.keep_house_until(|| of_rule(&rig, "stream-silent").len() > 1)
        .await;
    let silent = of_rule(&rig, "stream-silent");
    assert_eq!(silent.len(), 2);
    assert_ne!(silent[0]["id"], silent[1]["id"]);
}

#[tokio::test]
async fn a_partition_that_is_read_too_late_is_said_once() {
    let rig = start(&policy(SOC)).await;
    let enqueued = |id: &str, hours: i64| {
        Event::from(envelope(&[record(id, PAYROLL, HOME, 1)]))
            .enqueued_at(chrono::Utc::now() - chrono::TimeDelta::hours(hours))
    };
    for hours in [11, 13, 14] {
        rig.host.send(0, [enqueued("late", hours)]).unwrap();
        rig.drain().await;
        rig.keep_house().await;
        rig.drain().await;
        let said = of_rule(&rig, "stream-lagging").len();
        assert_eq!(said, usize::from(hours > 12), "{hours}");
    }
    let alert = &of_rule(&rig, "stream-lagging")[0];
    assert_eq!(alert["severity"], "critical");
    assert!(
        alert["title"].as_str().unwrap().contains("partition 0"),
        "{alert}"
    );
    let (code, body) = status(&rig).await;
    assert_eq!(code, 503);
    assert!(body["problems"].to_string().contains("read late"), "{body}");
    rig.host.send(0, [enqueued("in time", 0)]).unwrap();
    rig.drain().await;
    rig.keep_house().await;
    assert_eq!(status(&rig).await.0, 200);
}

#[tokio::test]
async fn the_heartbeat_beats_while_all_is_well() {
    let text = policy(SOC);
    let heart = spwatch::devhost::Receiver::start().await.unwrap();
    let rig = Setup::new(Some(&text))
        .await
        .setting("SPWATCH_HEARTBEAT_URL", &heart.url("/ping/T0PSECRETPING"))
        .setting("SPWATCH_HEARTBEAT_INSECURE", "true")
        .start()
        .await;
    rig.keep_house().await;
    let beats = heart.received();
    assert_eq!(beats.len(), 1);
    assert_eq!(
        (beats[0].method.as_str(), beats[0].path.as_str()),
        ("GET", "/ping/T0PSECRETPING")
    );
    fs::write(rig.policy_file(), "version = 1\nnonsense = 1\n").unwrap();
    rig.keep_house().await;
    assert_eq!(heart.received().len(), 1);
    fs::write(rig.policy_file(), &text).unwrap();
    heart.always(Reply::status(500));
    rig.keep_house().await;
    assert_eq!(heart.received().len(), 2);
    let log = rig.log();
    assert!(log.contains("the heartbeat was not taken"), "{log}");
    assert!(!log.contains("T0PSECRETPING"));
}

#[tokio::test]
async fn a_sink_that_the_policy_gets_later_is_waited_for() {
    let text = policy(SOC);
    let rig = start(&text).await;
    rig.judge(&[away(0)]).await;
    // A message for a sink that nobody knows, as after a roll-back of the policy.
    let alert = alert_of(&rig.receiver.received()[0]);
    let message = json!({ "sink": "night", "alert": alert }).to_string();
    rig.cloud
        .queue("spwatch-alerts")
        .put(message.as_bytes())
        .unwrap();
    rig.told(2, answered("Deliver", 503)).await;
    let night = SOC.replace("sinks.soc", "sinks.night");
    fs::write(rig.policy_file(), policy(&format!("{SOC}{night}"))).unwrap();
    rig.drain().await;
    assert_eq!(rig.receiver.received().len(), 2, "{}", rig.log());
    // One that never comes is kept after ten tries.
    let message = json!({ "sink": "never", "alert": alert }).to_string();
    rig.cloud
        .queue("spwatch-alerts")
        .put(message.as_bytes())
        .unwrap();
    rig.drain().await;
    let kept = rig.undelivered();
    assert_eq!(kept.len(), 1);
    assert_eq!(
        (&kept[0]["sink"], &kept[0]["dequeue_count"]),
        (&json!("never"), &json!(10))
    );
}

#[tokio::test]
async fn what_used_up_its_tries_is_kept_with_the_last_error_and_counted() {
    let text = policy(SOC);
    let mut setup = Setup::new(Some(&text)).await;
    setup.max_dequeue_count = Some(3);
    let rig = setup.start().await;
    rig.receiver.always(Reply::status(507));
    rig.judge(&[away(0)]).await;
    let kept = rig.undelivered();
    assert_eq!(kept.len(), 1);
    let reason = kept[0]["reason"].as_str().unwrap();
    assert!(reason.contains("the receiver answered 507"), "{reason}");
    rig.keep_house().await;
    let (_, body) = status(&rig).await;
    assert_eq!(body["housekeeping"]["undelivered"], 1);
}

#[tokio::test]
async fn status_names_a_sink_that_lacks_its_setting() {
    let lacking = "[sinks.lacking]\ntype = \"slack\"\nurl = \"env:NOT_SET_ANYWHERE\"\n";
    let rig = start(&policy(&format!("{SOC}{lacking}"))).await;
    let (code, body) = status(&rig).await;
    assert_eq!(code, 503);
    let problems = body["problems"].to_string();
    assert!(
        problems.contains("sink lacking") && problems.contains("NOT_SET_ANYWHERE"),
        "{body}"
    );
}
