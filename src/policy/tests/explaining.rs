//! `explain`: every check, with the place that decided and what would allow it.

use super::super::{Policy, Status};
use super::{SAMPLE, at, id, policy, sign_in};
use crate::sign_in::{CredentialType, Kind, SignIn};

fn shown(policy: &Policy, sign_in: &SignIn<'_>) -> String {
    let mut text = String::new();
    for check in policy.checks(sign_in) {
        let place = match (&check.file, check.line) {
            (Some(file), Some(line)) => format!("{file}:{line}"),
            _ => "-".to_owned(),
        };
        let code = check.code.map_or("", |code| code.as_str());
        let fix = check
            .fix
            .map(|fix| format!(" => {fix}"))
            .unwrap_or_default();
        text.push_str(&format!(
            "{} {} {place} {code}: {}{fix}\n",
            check.name,
            check.status.as_str(),
            check.message
        ));
    }
    text
}

#[test]
fn shows_every_check() {
    let policy = policy(SAMPLE);
    let mut made = sign_in();
    made.ip = Some("203.0.113.9".parse().unwrap());
    made.country = Some("CH".into());
    made.tenant_id = id("11111111-2222-3333-4444-555555555555");
    made.resource = Some("Microsoft Graph".into());
    made.credential_key_id = id("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee");
    made.credential_type = Some(CredentialType::Certificate);
    insta::assert_snapshot!("explain_excepted", shown(&policy, &made));
    made.time = at("2027-03-02T00:00:00Z");
    made.country = Some("RU".into());
    made.tenant_id = id("22222222-2222-3333-4444-555555555555");
    made.resource = None;
    made.credential_type = Some(CredentialType::Secret);
    insta::assert_snapshot!("explain_violation", shown(&policy, &made));
    made.kind = Kind::ManagedIdentity;
    made.ip = None;
    made.credential_key_id = None;
    insta::assert_snapshot!("explain_managed_identity", shown(&policy, &made));
    made.app_id = id("99999999-1111-2222-3333-444444444444");
    insta::assert_snapshot!("explain_unlisted", shown(&policy, &made));
    made.kind = Kind::MicrosoftServicePrincipal;
    let checks = policy.checks(&made);
    assert_eq!(checks.len(), 1);
    assert_eq!(checks[0].status, Status::NotApplicable);
}

#[test]
fn failing_tests_of_a_policy_say_what_they_got() {
    let policy = policy(&format!(
        "{SAMPLE}\n[[test]]\nname = \"wrong\"\nsign_in = {{ name = \"Elsewhere\" }}\nexpect = \"allowed\"\n"
    ));
    let now = at("2026-11-24T00:00:00Z");
    let last = policy.run_tests(now).pop().unwrap();
    assert!(!last.passed);
    assert_eq!((last.got.as_str(), last.line), ("unknown-app", 75));
    assert_eq!(
        last.got_reasons[0].message,
        "no entry of the policy selects app \"Elsewhere\""
    );
}
