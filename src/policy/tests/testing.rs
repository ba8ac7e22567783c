//! `[[test]]`: what a case can pin, and what it cannot expect.

use super::{APP, at, codes, policy};
use crate::verdict::Severity;

const APPS: &str = r#"version = 1
[defaults]
severity = "medium"
microsoft_owned = "ignore"
[[app]]
name = "app"
app_id = "00000000-1111-2222-3333-444444444444"
allow.ips = ["192.0.2.0/24"]
allow.credential_types = ["certificate"]
"#;

fn case(sign_in: &str, more: &str) -> String {
    format!("{APPS}[[test]]\nname = \"t\"\nsign_in = {{ {sign_in} }}\n{more}\n")
}

#[test]
fn a_case_pins_what_becomes_of_the_finding() {
    let outside = format!("app_id = \"{APP}\", ip = \"198.51.100.9\"");
    let failed = format!("{outside}, outcome = \"failure\"");
    let blocked = format!("{outside}, outcome = \"blocked-by-ca\"");
    let unlisted = "app_id = \"99999999-1111-2222-3333-444444444444\"";
    let microsoft = format!("{unlisted}, owner_tenant = \"72f988bf-86f1-41af-91ab-2d7cd011db47\"");
    let inside = format!("app_id = \"{APP}\", ip = \"192.0.2.9\"");
    for (sign_in, verdict, due, severity) in [
        (outside.as_str(), "violation", true, Some("medium")),
        (&failed, "violation", false, Some("medium")),
        (&blocked, "violation", true, Some("high")),
        (unlisted, "unknown-app", true, Some("medium")),
        (&microsoft, "unknown-app", false, Some("medium")),
        (&inside, "allowed", false, None),
    ] {
        let run = |due: bool, severity: Option<&str>| {
            let severity = severity
                .map(|word| format!("severity = {word:?}"))
                .unwrap_or_default();
            let more = format!("expect = {verdict:?}\ndue = {due}\n{severity}");
            let mut results = policy(&case(sign_in, &more)).run_tests(at("2026-11-24T00:00:00Z"));
            results.pop().unwrap()
        };
        let result = run(due, severity);
        assert!(result.passed, "{sign_in}: {result:?}");
        assert_eq!(result.got_due, due, "{sign_in}");
        if verdict != "allowed" {
            assert!(!run(!due, severity).passed, "{sign_in}");
            assert!(!run(due, Some("low")).passed, "{sign_in}");
            assert_eq!(run(due, None).expected_severity, None::<Severity>);
        }
    }
}

#[test]
fn a_reason_that_the_case_does_not_ask_for_makes_nothing_due() {
    // The record tells no type of credential; the case does not say that it should.
    let sign_in = format!("app_id = \"{APP}\", ip = \"192.0.2.9\"");
    let more = "expect = \"allowed\"\ndue = false";
    let result = policy(&case(&sign_in, more)).run_tests(at("2026-11-24T00:00:00Z"));
    assert!(result[0].passed, "{result:?}");
    assert_eq!(result[0].got_severity, None);
}

#[test]
fn what_cannot_be_is_refused() {
    let sign_in = format!("app_id = \"{APP}\", time = 2026-11-24T00:00:00Z");
    for (more, expected) in [
        (
            "expect = \"allowed\"\ndue = true",
            Some("14:1 impossible-test"),
        ),
        (
            "expect = \"allowed\"\nseverity = \"low\"",
            Some("14:1 impossible-test"),
        ),
        (
            "expect = \"allowed\"\nreasons = [\"ip-denied\"]",
            Some("14:1 impossible-test"),
        ),
        (
            "expect = \"violation\"\ntime = 2026-11-25T00:00:00Z",
            Some("14:1 impossible-test"),
        ),
        (
            "expect = \"violation\"\ndue = \"yes\"",
            Some("14:7 wrong-type"),
        ),
        (
            "expect = \"violation\"\nseverity = \"grave\"",
            Some("14:12 unknown-word"),
        ),
        ("expect = \"allowed\"\ndue = false", None),
        (
            "expect = \"violation\"\ndue = true\nseverity = \"low\"",
            None,
        ),
    ] {
        let found = codes(&case(&sign_in, more));
        assert_eq!(
            found.first().map(String::as_str),
            expected,
            "{more}: {found:?}"
        );
        assert!(found.len() < 2, "{found:?}");
    }
}
