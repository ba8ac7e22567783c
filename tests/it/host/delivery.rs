//! From a batch to signed requests, one for each sink that wants the alert.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use spwatch::devhost::{Event, Notice, Received, Reply};

use super::rig::*;

/// Checks a request as a receiver would that follows the Standard Webhooks scheme.
fn assert_signed(request: &Received) {
    let id = request.header("webhook-id").unwrap();
    let timestamp = request.header("webhook-timestamp").unwrap();
    let sent: i64 = timestamp.parse().unwrap();
    assert!((request.time.timestamp() - sent).abs() <= 60, "{timestamp}");
    let key = STANDARD
        .decode(SIGNING_KEY.strip_prefix("whsec_").unwrap())
        .unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(id.as_bytes());
    mac.update(b".");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(&request.body);
    let signature = request.header("webhook-signature").unwrap();
    let signature = STANDARD
        .decode(signature.strip_prefix("v1,").unwrap())
        .unwrap();
    mac.verify_slice(&signature).unwrap();
}

#[tokio::test]
async fn an_alert_leaves_signed_and_whole() {
    let text = policy(SOC);
    let rig = start(&text).await;
    let event = envelope(&[
        record("home", PAYROLL, HOME, 1),
        record("away", PAYROLL, AWAY, 2),
    ]);
    rig.judge(std::slice::from_ref(&event)).await;
    let received = rig.receiver.received();
    assert_eq!(received.len(), 1);
    let request = &received[0];
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("POST", HOOK)
    );
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert!(
        request
            .header("user-agent")
            .unwrap()
            .starts_with("spwatch/")
    );
    assert_signed(request);
    assert_eq!(rig.received_ids(), due(&text, &[event]));
    // The body is the alert that the queue held, byte for byte.
    let queued = rig.journal.notices().into_iter().find_map(|notice| {
        let Notice::Output {
            content, target, ..
        } = notice
        else {
            return None;
        };
        (target == "spwatch-alerts").then_some(content)
    });
    let queued: Value = serde_json::from_slice(&queued.unwrap()).unwrap();
    let alert = alert_of(request);
    assert_eq!(queued, json!({"sink": "soc", "alert": alert}));
    assert_eq!(alert["schema"], "spwatch/alert/v1");
    assert_eq!(alert["id"], request.header("webhook-id").unwrap());
    assert_eq!(alert["rule"], "outside-policy");
    assert_eq!(alert["severity"], "critical");
    assert_eq!(alert["sign_in"]["id"], "away");
    assert_eq!(alert["sign_in"]["ip"], AWAY);
    assert_eq!(alert["reasons"][0]["code"], "ip-not-allowed");
    assert_eq!(alert["update"], false);
    assert!(rig.undelivered().is_empty());
}

#[tokio::test]
async fn repeats_in_a_batch_are_one_alert_that_counts() {
    let text = policy(SOC);
    let rig = start(&text).await;
    // Two windows of an hour, and one record that comes twice.
    let records: Vec<Value> = [1, 2, 3, 3600]
        .map(|second| record(&second.to_string(), PAYROLL, AWAY, second))
        .to_vec();
    let events = [envelope(&records[..2]), envelope(&records[1..])];
    rig.judge(&events).await;
    let received = rig.receiver.received();
    let mut alerts: Vec<Value> = received.iter().map(alert_of).collect();
    alerts.sort_by_key(|alert| alert["first_seen"].to_string());
    assert_eq!(alerts.len(), 2);
    assert_eq!(alerts[0]["count"], 3);
    assert_eq!(alerts[0]["evidence"], json!(["1", "2", "3"]));
    assert_eq!(alerts[0]["first_seen"], "2026-11-23T00:00:01.1234567Z");
    assert_eq!(alerts[0]["last_seen"], "2026-11-23T00:00:03.1234567Z");
    assert_eq!(alerts[1]["count"], 1);
    assert_eq!(alerts[0]["fingerprint"], alerts[1]["fingerprint"]);
    assert_eq!(rig.received_ids(), due(&text, &events));
}

#[tokio::test]
async fn each_sink_gets_what_it_wants_once() {
    let sink = |name: &str, more: &str| {
        let variable = name.to_uppercase();
        format!(
            "[sinks.{name}]\ntype = \"webhook\"\nurl = \"env:{variable}_URL\"\ninsecure = true\n{more}\n"
        )
    };
    // Exporter's own choice goes before the default, and its severity is below what `grave` asks for.
    let text = format!(
        "{}\n[[app]]\nname = \"mailer\"\napp_id = \"{MAILER}\"\nallow.ips = [\"203.0.113.0/24\"]\nnotify = [\"owner\", \"grave\"]\nseverity = \"low\"\n",
        policy(&format!(
            "notify = [\"soc\", \"grave\"]\n{SOC}{}{}{}",
            sink("grave", "min_severity = \"high\""),
            sink("owner", ""),
            sink("nobody", ""),
        ))
    );
    let mut setup = Setup::new(Some(&text)).await;
    for name in ["grave", "owner", "nobody"] {
        let url = setup.receiver.url(&format!("/{name}"));
        setup = setup.setting(&format!("{}_URL", name.to_uppercase()), &url);
    }
    let rig = setup.start().await;
    rig.judge(&[envelope(&[
        record("critical", PAYROLL, AWAY, 1),
        record("low", EXPORTER, AWAY, 2),
        record("own", MAILER, AWAY, 3),
    ])])
    .await;
    let mut got: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for request in rig.receiver.received() {
        let alert = alert_of(&request);
        let sign_in = alert["sign_in"]["id"].as_str().unwrap().to_owned();
        // A sink without a secret gets no signature.
        assert_eq!(
            request.header("webhook-signature").is_some(),
            request.path == HOOK
        );
        got.entry(request.path).or_default().push(sign_in);
    }
    for sign_ins in got.values_mut() {
        sign_ins.sort();
    }
    let expected = [
        (HOOK, vec!["critical", "low"]),
        ("/grave", vec!["critical"]),
        ("/owner", vec!["own"]),
    ];
    let expected: BTreeMap<String, Vec<String>> = expected
        .into_iter()
        .map(|(path, ids)| {
            (
                path.to_owned(),
                ids.into_iter().map(str::to_owned).collect(),
            )
        })
        .collect();
    assert_eq!(got, expected);
    // One message for each alert and sink, no more.
    let queued = rig.journal.count(
        |notice| matches!(notice, Notice::Output { target, .. } if target == "spwatch-alerts"),
    );
    assert_eq!(queued, 4);
}

/// A queue takes 64 KiB of Base64; an alert that it refused would hold its partition up for ever.
#[tokio::test]
async fn the_wordiest_record_fits_the_queue() {
    let text = policy(SOC);
    let rig = start(&text).await;
    // The dearest characters: as JSON, as UTF-8, and both escaped and not.
    for (number, filler) in ["\u{1}", "\u{10ffff}", "\"", "\u{fdfa}", "x"]
        .into_iter()
        .enumerate()
    {
        let number = u32::try_from(number).unwrap();
        let long = filler.repeat(10_000);
        let mut wordy = record("wordy", PAYROLL, AWAY, number * 3600);
        let properties = &mut wordy["properties"];
        for key in [
            "id",
            "servicePrincipalName",
            "resourceDisplayName",
            "servicePrincipalId",
            "servicePrincipalCredentialKeyId",
            "clientCredentialType",
            "correlationId",
        ] {
            properties[key] = long.as_str().into();
        }
        properties["status"] = json!({"errorCode": long});
        properties["location"] = json!({"city": long, "state": long, "countryOrRegion": long});
        let mut second = wordy.clone();
        second["properties"]["appId"] = long.as_str().into();
        wordy["resultType"] = "0".into();
        rig.judge(&[envelope(&[wordy]), envelope(&[second])]).await;
    }
    // And one alert of many sign-ins whose ids are long.
    let many = (0..60).map(|number| {
        let id = format!("{number}{}", "\u{1}".repeat(1_500));
        record(&id, STRANGER, AWAY, 80_000 + number)
    });
    rig.judge(&[envelope(&many.collect::<Vec<_>>())]).await;
    let received = rig.receiver.received();
    assert!(received.len() >= 6, "{}", received.len());
    let counts = received
        .iter()
        .map(|request| alert_of(request)["count"].as_u64());
    assert_eq!(counts.max(), Some(Some(60)));
    for request in &received {
        assert_eq!(alert_of(request)["schema"], "spwatch/alert/v1");
        assert!(request.body.len() <= 40 * 1024, "{}", request.body.len());
    }
    assert!(rig.undelivered().is_empty());
}

/// What Entra ID back-fills when a log is first switched on is history: listed, not sent.
#[tokio::test]
async fn an_old_sign_in_is_not_sent() {
    let text = policy(SOC).replace("max_event_age = \"3650d\"", "max_event_age = \"7d\"");
    let rig = start(&text).await;
    let now = chrono::Utc::now();
    let at = |id: &str, age: chrono::TimeDelta| {
        let mut record = record(id, PAYROLL, AWAY, 0);
        let time = (now - age).to_rfc3339();
        record["time"] = time.as_str().into();
        record["properties"]["createdDateTime"] = time.into();
        record
    };
    let hours = chrono::TimeDelta::hours;
    rig.judge(&[envelope(&[
        at("young", hours(6 * 24)),
        at("old", hours(7 * 24 + 1)),
    ])])
    .await;
    // Without a time of its own, a sign-in has the hub's.
    let timeless = |id: &str| {
        let mut record = record(id, STRANGER, AWAY, 0);
        record.as_object_mut().unwrap().remove("time");
        let properties = record["properties"].as_object_mut().unwrap();
        properties.remove("createdDateTime");
        envelope(&[record])
    };
    let event = |id: &str, age| Event::new(timeless(id)).enqueued_at(now - age);
    rig.host
        .send(
            0,
            [
                event("young in the hub", hours(1)),
                event("old in the hub", hours(8 * 24)),
            ],
        )
        .unwrap();
    rig.drain().await;
    let received = rig.receiver.received();
    let sent: BTreeSet<String> = received
        .iter()
        .map(|request| {
            alert_of(request)["sign_in"]["id"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(sent.len(), received.len());
    assert!(sent.iter().eq(["young", "young in the hub"]), "{sent:?}");
    let log = rig.log();
    assert_eq!(log.matches("\"batch.too_old\":1").count(), 2, "{log}");
}

/// Judging and delivering do not wait for one another.
#[tokio::test]
async fn receivers_that_hang_hold_up_no_judging() {
    let rig = start(&policy(SOC)).await;
    rig.receiver.always(Reply::status(200).after(PATIENCE * 10));
    let event = |number: u32| {
        let ip = format!("198.51.100.{number}");
        envelope(&[record(&number.to_string(), PAYROLL, &ip, number)])
    };
    rig.host.send(0, (0..32).map(event)).unwrap();
    // As many as one sink may have under way; the host calls with more, and they are sent away.
    let hanging = rig.receiver.wait_for(8, PATIENCE).await;
    assert_eq!(hanging.len(), 8);
    rig.told(1, answered("Deliver", 503)).await;
    let judged = rig.journal.count(answered("SignIns", 200));
    rig.host.send(0, [event(33)]).unwrap();
    rig.told(judged + 1, answered("SignIns", 200)).await;
}

const MAILER: &str = "00000000-1111-2222-3333-00000000000c";
