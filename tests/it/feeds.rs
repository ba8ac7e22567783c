//! Policies with feeds, as the commands see them.

use std::fs;
use std::path::Path;

use crate::binary::run;

const APP: &str = "8d3f1c52-6b0e-4d17-a2c9-51e7f0b4d6a3";
const OFFICE: &str = "192.0.2.0/28\n203.0.113.7 # the branch\n198.51.100.1\n";

fn policy(folder: &Path) {
    let text = format!(
        "version = 1\n[ranges]\noffice = {{ file = \"feeds/office.txt\", format = \"plain\", max_age = \"30d\" }}\n\
         [[app]]\nname = \"Payroll\"\napp_id = \"{APP}\"\nallow.ips = [\"@office\"]\n"
    );
    fs::write(folder.join("policy.toml"), text).unwrap();
}

/// A folder with a policy, and its feed pinned on that day.
fn pinned() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    policy(folder.path());
    fs::write(folder.path().join("download.txt"), OFFICE).unwrap();
    let arguments = [
        "feed",
        "add",
        "office",
        "--format",
        "plain",
        "--file",
        "download.txt",
        "--now",
        "2026-11-01",
    ];
    let ran = run(folder.path(), &arguments);
    assert_eq!(ran.code, Some(0), "{}", ran.text());
    assert!(
        ran.stdout.contains("@office: 3 ranges, 3 added, 0 removed"),
        "{}",
        ran.text()
    );
    folder
}

/// What `validate` finds, as `line:column code`.
fn validate(folder: &Path, now: &str) -> (Option<i32>, Vec<String>) {
    let ran = run(folder, &["validate", "--format", "json", "--now", now]);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let found = document["diagnostics"].as_array().unwrap().iter();
    let found = found.map(|item| {
        let code = item["code"].as_str().unwrap();
        format!("{}:{} {code}", item["line"], item["column"])
    });
    (ran.code, found.collect())
}

#[test]
fn validate_says_what_is_wrong_with_a_feed() {
    let folder = pinned();
    let folder = folder.path();
    let feed = folder.join("feeds/office.txt");
    let found = |now: &str| validate(folder, now);
    assert_eq!(found("2026-11-24"), (Some(0), vec![]));
    assert_eq!(
        found("2026-12-24"),
        (Some(0), vec!["3:1 feed-stale".to_owned()])
    );
    for (content, code, expected) in [
        (Some("192.0.2.1\n"), 11, "3:19 feed-shrank"),
        (Some("192.0.2.1\n192.0.2.2\n"), 0, "3:19 feed-changed"),
        (Some(""), 11, "3:19 feed-empty"),
        (Some("no range\n"), 11, "3:19 feed-unreadable"),
        (None, 11, "3:19 feed-missing"),
    ] {
        match content {
            Some(content) => fs::write(&feed, content).unwrap(),
            None => fs::remove_file(&feed).unwrap(),
        }
        assert_eq!(found("2026-11-24"), (Some(code), vec![expected.to_owned()]));
    }
    let ran = run(folder, &["validate"]);
    assert!(ran.stdout.contains("policy.toml:3:19"), "{}", ran.text());
    assert!(ran.stdout.contains("spwatch feed add"), "{}", ran.text());
    fs::write(&feed, OFFICE).unwrap();
    fs::remove_file(folder.join("feeds.lock")).unwrap();
    assert_eq!(
        found("2026-11-24"),
        (Some(0), vec!["3:19 feed-unpinned".to_owned()])
    );
}

#[test]
fn check_judges_by_a_feed() {
    let folder = pinned();
    let record = |ip: &str| {
        format!(
            "{{\"category\":\"ServicePrincipalSignInLogs\",\"time\":\"2026-11-24T08:00:00Z\",\"properties\":{{\"id\":\"{ip}\",\
             \"createdDateTime\":\"2026-11-24T08:00:00Z\",\"appId\":\"{APP}\",\"ipAddress\":\"{ip}\",\"status\":{{\"errorCode\":0}}}}}}\n"
        )
    };
    let log = record("192.0.2.9") + &record("203.0.113.7") + &record("203.0.113.8");
    fs::write(folder.path().join("log.json"), log).unwrap();
    let ran = run(folder.path(), &["check", "--format", "json", "log.json"]);
    assert_eq!(ran.code, Some(10), "{}", ran.text());
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["counts"]["allowed"], 2);
    assert_eq!(document["findings"][0]["ip"], "203.0.113.8");
    // Without the feed there is no policy to judge by.
    fs::remove_file(folder.path().join("feeds/office.txt")).unwrap();
    let ran = run(folder.path(), &["check", "log.json"]);
    assert_eq!(ran.code, Some(11), "{}", ran.text());
    assert!(ran.stderr.contains("feed-missing"), "{}", ran.text());
}

#[test]
fn a_feed_is_fetched_over_https_from_public_addresses_only() {
    let folder = tempfile::tempdir().unwrap();
    policy(folder.path());
    for url in [
        "http://feeds.example/a",
        "https://127.0.0.1/a",
        "https://localhost/a",
    ] {
        let ran = run(
            folder.path(),
            &["feed", "add", "office", "--format", "plain", "--url", url],
        );
        assert_eq!(ran.code, Some(1), "{}", ran.text());
        assert!(
            ran.stderr.contains("its address is not https and public"),
            "{}",
            ran.text()
        );
    }
    assert!(!folder.path().join("feeds.lock").exists());
    let ran = run(folder.path(), &["feed", "update", "office"]);
    assert_eq!(ran.code, Some(1), "{}", ran.text());
    let ran = run(
        folder.path(),
        &["feed", "add", "office", "--format", "plain"],
    );
    assert_eq!(ran.code, Some(2), "{}", ran.text());
}
