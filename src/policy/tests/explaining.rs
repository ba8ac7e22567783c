//! `explain`: every check, with the place that decided and what would allow it.

use super::super::{Change, Edit, Point, Policy, Status};
use super::{APP, SAMPLE, at, id, policy, sign_in};
use crate::sign_in::{CredentialType, Kind, SignIn};
use crate::verdict::ReasonCode;

fn shown(policy: &Policy, sign_in: &SignIn<'_>) -> String {
    let mut text = String::new();
    for check in policy.checks(sign_in) {
        let place = match (&check.file, check.line) {
            (Some(file), Some(line)) => format!("{file}:{line}"),
            _ => "-".to_owned(),
        };
        let code = check.code.map_or("", |code| code.as_str());
        text.push_str(&format!(
            "{} {} {place} {code}: {}\n",
            check.name,
            check.status.as_str(),
            check.message
        ));
        let at = |point: &Point| format!("{} at {}:{}", point.text, point.file, point.line);
        if let Some(point) = &check.matched {
            text.push_str(&format!("    matched {}\n", at(point)));
        }
        if let Some(nearest) = &check.nearest {
            let (range, distance) = (at(&nearest.range), nearest.distance);
            text.push_str(&format!("    nearest {range}, {distance} away\n"));
        }
        for change in check.changes.iter().chain(&check.exception) {
            text.push_str(&format!("    => {}\n", change.sentence()));
            if change.is_block() {
                text.push_str(&format!("{}\n", change.text));
            }
        }
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

/// Does to a text what a change says.
fn changed(text: &str, change: &Change) -> String {
    assert_eq!(&*change.file, "policy.toml");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let line = lines[change.line - 1].clone();
    let old = change.old.as_deref().unwrap_or_default();
    let new = &change.text;
    match change.edit {
        Edit::Add => {
            let (start, rest) = line.split_once('[').unwrap();
            let comma = if rest.starts_with(']') { "" } else { ", " };
            lines[change.line - 1] = format!("{start}[{new}{comma}{rest}");
        }
        Edit::Replace => {
            assert!(line.contains(old), "{line} lacks {old}");
            lines[change.line - 1] = line.replacen(old, new, 1);
        }
        Edit::Remove if old == change.key => {
            assert!(line.starts_with(old), "{line} is not {old}");
            lines.remove(change.line - 1);
        }
        Edit::Remove => {
            let rest = line
                .replacen(&format!("{old}, "), "", 1)
                .replacen(old, "", 1);
            assert_ne!(rest, line, "{line} lacks {old}");
            lines[change.line - 1] = rest;
        }
        Edit::Below if change.key == "[defaults]" => lines.insert(change.line, new.clone()),
        // The entry is the last one.
        Edit::Below | Edit::End => lines.push(new.clone()),
    }
    lines.join("\n") + "\n"
}

/// Every reason that a policy can give, with the sign-in that it gives it for.
fn failing() -> Vec<(ReasonCode, String, SignIn<'static>)> {
    use ReasonCode::*;
    let text = format!(
        r#"version = 1
tenants = ["11111111-2222-3333-4444-555555555555"]
[ranges]
office = ["192.0.2.0/26", "2001:db8:77::/48"]
bad = ["192.0.2.12/31", "2001:db8:77::/64", "198.51.100.7"]
[places]
embargo = ["KP", "RU"]
[[app]]
name = "app"
app_id = "{APP}"
allow.ips = ["@office", "203.0.113.0/29"]
allow.places = ["CH"]
allow.resources = ["Microsoft Graph"]
allow.credential_types = ["certificate"]
deny.ips = ["@bad", "192.0.2.8/29"]
deny.places = ["@embargo", "RU/Moskva"]
[[app.credential]]
key_id = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
allow.ips = ["192.0.2.0/28"]
expires = 2027-03-01
"#
    );
    let mut fine = sign_in();
    fine.ip = Some("192.0.2.1".parse().unwrap());
    fine.country = Some("CH".into());
    fine.tenant_id = id("11111111-2222-3333-4444-555555555555");
    fine.resource = Some("Microsoft Graph".into());
    fine.credential_key_id = id("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee");
    fine.credential_type = Some(CredentialType::Certificate);
    assert!(policy(&text).judge(&fine).reasons.is_empty());
    let mut failing = Vec::new();
    let mut with = |code, change: &dyn Fn(&mut SignIn<'static>)| {
        let mut sign_in = fine.clone();
        change(&mut sign_in);
        failing.push((code, text.clone(), sign_in));
    };
    for ip in ["192.0.2.13", "192.0.2.8", "2001:db8:77::1", "198.51.100.7"] {
        with(IpDenied, &|made| made.ip = Some(ip.parse().unwrap()));
    }
    with(IpUnknown, &|made| made.ip = None);
    for ip in ["198.51.100.9", "2001:db8::1"] {
        with(IpNotAllowed, &|made| made.ip = Some(ip.parse().unwrap()));
    }
    with(PlaceDenied, &|made| {
        made.country = Some("RU".into());
        made.state = Some("Moskva".into());
    });
    with(PlaceUnknown, &|made| made.country = None);
    for (state, city) in [
        (None, None),
        (Some("\u{ce}le-de-\"France\""), Some("Biel/Bienne")),
        (None, Some("Paris")),
        (Some("a/b"), Some("Paris")),
        (Some(" "), Some("Paris")),
    ] {
        with(PlaceNotAllowed, &|made| {
            made.country = Some("FR".into());
            made.state = state.map(Into::into);
            made.city = city.map(Into::into);
        });
    }
    with(TenantNotAllowed, &|made| {
        made.tenant_id = id("22222222-2222-3333-4444-555555555555");
    });
    for resource in [Some("Azure \"Key\" \\ 'Vault'\n\u{7f}\u{1}"), None] {
        with(ResourceNotAllowed, &|made| {
            made.resource = resource.map(Into::into);
        });
    }
    with(CredentialNotAllowed, &|made| {
        made.credential_key_id = id("bbbbbbbb-bbbb-cccc-dddd-eeeeeeeeeeee");
    });
    with(CredentialExpired, &|made| {
        made.time = at("2027-03-02T09:00:00Z")
    });
    with(CredentialUnknown, &|made| made.credential_key_id = None);
    with(CredentialIpNotAllowed, &|made| {
        made.ip = Some("192.0.2.20".parse().unwrap());
    });
    for kind in [
        CredentialType::Secret,
        CredentialType::Other("passkey".into()),
    ] {
        with(CredentialTypeNotAllowed, &|made| {
            made.credential_type = Some(kind.clone());
        });
    }
    with(UnknownApp, &|made| {
        made.app_id = id("99999999-1111-2222-3333-444444444444");
    });
    with(UnknownApp, &|made| {
        made.app_id = None;
        made.name = Some("\u{202e}\"x\"".into());
    });
    failing
}

#[test]
fn what_is_proposed_lets_the_check_pass() {
    let mut seen = std::collections::BTreeSet::new();
    for (code, text, sign_in) in failing() {
        seen.insert(code);
        let before = policy(&text);
        let held = |policy: &Policy| policy.judge(&sign_in).reasons;
        assert!(held(&before).contains(code), "{code}");
        let check = before
            .checks(&sign_in)
            .into_iter()
            .find(|check| check.code == Some(code))
            .unwrap();
        assert!(!check.changes.is_empty(), "{code}");
        let mut lines = check.changes.iter().filter(|change| !change.is_block());
        assert!(lines.all(|change| !change.text.contains('\n')), "{code}");
        // From the end, so that lines stay where they are.
        let mut changes = check.changes.clone();
        changes.sort_by_key(|change| std::cmp::Reverse(change.line));
        let after = changes
            .iter()
            .fold(text.clone(), |text, change| changed(&text, change));
        let expected = held(&before).without([code].into_iter().collect());
        let left = held(&policy(&after));
        assert!(
            left.iter().all(|code| expected.contains(code)),
            "{code}: {}\n{after}",
            check.fix().unwrap()
        );
        if let Some(exception) = &check.exception {
            assert!(
                !held(&policy(&changed(&text, exception))).contains(code),
                "{code}"
            );
        }
    }
    assert_eq!(seen.len(), ReasonCode::ALL.len());
}

#[test]
fn the_nearest_range_is_named_with_its_distance() {
    let policy = policy(&format!(
        "version = 1\n[ranges]\nb = [\n  \"203.0.113.0/28\",\n  \"2001:db8::/64\",\n]\na = [\"@b\"]\n[[app]]\nname = \"app\"\napp_id = \"{APP}\"\nallow.ips = [\n  \"203.0.113.128/25\",\n  \"@a\",\n]\n"
    ));
    for (address, expected) in [
        ("203.0.113.17", Some(("@a -> @b -> 203.0.113.0/28", 4, 2))),
        ("203.0.113.127", Some(("203.0.113.128/25", 12, 1))),
        ("203.0.112.255", Some(("@a -> @b -> 203.0.113.0/28", 4, 1))),
        ("2001:db8:0:1::", Some(("@a -> @b -> 2001:db8::/64", 5, 1))),
        (
            "2001:db8:0:2::",
            Some(("@a -> @b -> 2001:db8::/64", 5, (1 << 64) + 1)),
        ),
        ("203.0.113.3", None),
    ] {
        let mut made = sign_in();
        made.ip = Some(address.parse().unwrap());
        let check = policy.checks(&made).remove(1);
        let nearest = check.nearest.as_ref().map(|nearest| {
            let range = &nearest.range;
            (range.text.as_str(), range.line, nearest.distance)
        });
        assert_eq!(nearest, expected, "{address}");
        if expected.is_none() {
            let matched = check.matched.unwrap();
            assert_eq!(
                (matched.text.as_str(), matched.line),
                ("@a -> @b -> 203.0.113.0/28", 4)
            );
            assert_eq!(check.line, Some(13));
        }
    }
}
