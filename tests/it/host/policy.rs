//! The policy changes while the handler runs.

use std::fs;

use spwatch::devhost::{Level, Notice};

use super::rig::*;

/// The policy under which an address that was foreign is at home.
fn wider(text: &str) -> String {
    text.replace("203.0.113.0/24\"", "203.0.113.0/24\", \"198.51.100.0/24\"")
}

fn away(number: u32) -> String {
    envelope(&[record(&number.to_string(), PAYROLL, AWAY, number * 3600)])
}

fn refused(line: &str) -> bool {
    line.contains("policy refused") && line.contains("unknown-key")
}

/// The handler's lines of trouble.
fn trouble(rig: &Rig) -> Vec<String> {
    let mut lines = rig.lines(Some(Level::Error));
    lines.extend(rig.lines(Some(Level::Warning)));
    lines
}

#[tokio::test]
async fn the_policy_that_is_there_judges_and_a_bad_one_is_refused() {
    let strict = policy(SOC);
    let wide = wider(&strict);
    assert_ne!(strict, wide);
    let rig = start(&strict).await;
    rig.judge(&[away(1)]).await;
    assert_eq!(rig.receiver.received().len(), 1);
    // The new one judges the next batch.
    fs::write(rig.policy_file(), &wide).unwrap();
    rig.judge(&[away(2)]).await;
    assert_eq!(rig.receiver.received().len(), 1);
    // A bad one is refused, with the place, and the last good one stays.
    fs::write(rig.policy_file(), strict.replace("allow.ips", "alow.ips")).unwrap();
    rig.judge(&[away(3)]).await;
    assert_eq!(rig.receiver.received().len(), 1);
    let lines = trouble(&rig);
    let told: Vec<_> = lines.iter().filter(|line| refused(line)).collect();
    assert_eq!(told.len(), 1, "{lines:?}");
    assert!(told[0].contains("policy.toml:"), "{}", told[0]);
    assert!(told[0].contains("alow"), "{}", told[0]);
    // So it is after a crash of the handler, and of everything.
    rig.host.kill_now().await;
    rig.host.ready().await.unwrap();
    rig.judge(&[away(4)]).await;
    let rig = rig.replace_host().await;
    rig.judge(&[away(5)]).await;
    assert_eq!(rig.receiver.received().len(), 1);
    let lines = trouble(&rig);
    assert_eq!(lines.iter().filter(|line| refused(line)).count(), 3);
    assert!(
        lines
            .iter()
            .any(|line| line.contains("last accepted policy is in force")),
        "{lines:?}"
    );
    // So it is with one that is no text.
    fs::write(rig.policy_file(), b"version = 1 # \xff\xfe").unwrap();
    rig.judge(&[away(8)]).await;
    assert_eq!(rig.receiver.received().len(), 1);
    // A file that is gone changes nothing; one that is good again judges.
    fs::remove_file(rig.policy_file()).unwrap();
    rig.judge(&[away(6)]).await;
    assert_eq!(rig.receiver.received().len(), 1);
    fs::write(rig.policy_file(), &strict).unwrap();
    rig.judge(&[away(7)]).await;
    assert_eq!(rig.receiver.received().len(), 2);
    assert_eq!(alert_of(&rig.receiver.received()[1])["sign_in"]["id"], "7");
}

#[tokio::test]
async fn without_any_policy_the_batch_waits_until_there_is_one() {
    let setup = Setup::new(None).await;
    // What a crash may leave where the last accepted one is kept.
    let kept = setup.folder.path().join("state/policy");
    fs::create_dir_all(&kept).unwrap();
    fs::write(kept.join("accepted.json"), "{\"version\":1,\"sour").unwrap();
    let rig = setup.start().await;
    rig.host.send(0, [away(1)]).unwrap();
    rig.told(2, answered("SignIns", 503)).await;
    let retried = |notice: &Notice| matches!(notice, Notice::BatchSent { retry: 1.., .. });
    assert!(rig.journal.count(retried) >= 1);
    assert_eq!(rig.cloud.hub().checkpoint("$Default", 0), 0);
    // An invalid one is none.
    fs::write(rig.policy_file(), "version = 1\nunknown = 2\n").unwrap();
    let so_far = rig.journal.count(answered("SignIns", 503));
    rig.told(so_far + 2, answered("SignIns", 503)).await;
    assert!(
        trouble(&rig).iter().any(|line| refused(line)),
        "{}",
        rig.log()
    );
    let text = policy(SOC);
    fs::write(rig.policy_file(), &text).unwrap();
    rig.drain().await;
    assert_eq!(rig.received_ids(), due(&text, &[away(1)]));
    assert_eq!(rig.cloud.hub().checkpoint("$Default", 0), 1);
}

#[tokio::test]
async fn without_a_place_for_state_sign_ins_are_judged_all_the_same() {
    let text = policy(SOC);
    let setup = Setup::new(Some(&text)).await;
    let below_a_file = setup.folder.path().join("policy.toml/state");
    let rig = setup
        .setting("SPWATCH_STATE", &below_a_file.display().to_string())
        .start()
        .await;
    rig.judge(&[away(1)]).await;
    assert_eq!(rig.received_ids(), due(&text, &[away(1)]));
    let lines = trouble(&rig);
    assert!(
        lines
            .iter()
            .any(|line| line.contains("state is kept in memory only")),
        "{lines:?}"
    );
}
