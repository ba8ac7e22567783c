//! What the handler writes into its log, at the most talkative.

use std::fs;

use spwatch::devhost::{Notice, Reply};

use super::rig::*;

#[tokio::test]
async fn no_log_line_holds_a_secret_or_an_address() {
    let literal = "https://127.0.0.1:9/hooks/L1TERALSECRET";
    let text = policy(&format!(
        "{SOC}[sinks.literal]\ntype = \"webhook\"\nurl = \"{literal}\"\n"
    ));
    let rig = Setup::new(Some(&text))
        .await
        .setting("SPWATCH_LOG", "trace")
        .start()
        .await;
    // Every way that a delivery and a batch can go.
    rig.receiver.then([
        Reply::status(500),
        Reply::dropped(),
        Reply::status(302).with_header("location", rig.receiver.url("/L0CATION").as_str()),
        Reply::status(200),
    ]);
    for number in 1..4 {
        let ip = format!("198.51.100.{number}");
        let good = record(&number.to_string(), PAYROLL, &ip, number);
        let broken = format!("{{\"ipAddress\":\"{AWAY}\", broken");
        rig.judge(&[envelope(&[good]), broken]).await;
    }
    fs::write(rig.policy_file(), text.replace("allow.ips", "alow.ips")).unwrap();
    rig.judge(&[envelope(&[record("9", STRANGER, AWAY, 9)])])
        .await;
    assert!(rig.receiver.received().len() >= 6);
    let mut lines = rig.lines(None);
    // What an answer logs goes to the same place.
    for notice in rig.journal.notices() {
        if let Notice::Answered { logs, .. } = notice {
            lines.extend(logs);
        }
    }
    // At that level the libraries speak too.
    assert!(
        lines.iter().any(|line| line.contains("\"TRACE\"")),
        "{lines:?}"
    );
    assert!(
        lines.iter().any(|line| line.contains("policy refused")),
        "{lines:?}"
    );
    let key = SIGNING_KEY.strip_prefix("whsec_").unwrap();
    for secret in [
        "T0PSECRETPATH",
        "L1TERALSECRET",
        "L0CATION",
        key,
        "198.51.100.",
        HOME,
    ] {
        let found: Vec<_> = lines.iter().filter(|line| line.contains(secret)).collect();
        assert!(found.is_empty(), "{secret}: {found:?}");
    }
}
