use serde_json::Value;

use super::*;
use crate::finding::Rule;
use crate::ingest::{Context, Habit, Item, read_text};
use crate::policy::{Source, compile};

const POLICY: &str = r#"
version = 1
[defaults]
merge = "1h"
[[app]]
name = "MTPAPI"
app_id = "00000000-1111-2222-3333-444444444444"
owner = "jeffrey@ecorp.example"
permissions = ["Incident.Read.All"]
allow.ips = ["203.0.113.0/29"]
"#;

fn policy(text: &str) -> Policy {
    let source = Source {
        name: "policy.toml".to_owned(),
        text: text.to_owned(),
    };
    let compilation = compile(&[source], None, &[]);
    compilation
        .policy
        .unwrap_or_else(|| panic!("{}", compilation.diagnostics.render_text(false)))
}

fn record(id: &str, time: &str, ip: &str, app: &str, name: &str) -> Value {
    serde_json::json!({
        "time": time, "category": "ServicePrincipalSignInLogs", "resultType": "0",
        "tenantId": "11111111-2222-3333-4444-555555555555",
        "properties": {
            "id": id, "createdDateTime": time, "appId": app, "servicePrincipalName": name, "ipAddress": ip,
            "servicePrincipalId": "99999999-1111-2222-3333-444444444444",
            "servicePrincipalCredentialKeyId": "aaaaaaaa-1111-2222-3333-444444444444",
            "location": { "countryOrRegion": "RU", "state": "Moskva", "city": "Moskva" },
        },
    })
}

fn findings<'p>(policy: &'p Policy, records: &[Value]) -> Vec<Finding<'p>> {
    let text = serde_json::to_vec(&records).unwrap();
    let mut findings = Vec::new();
    read_text(
        &text,
        &Context::default(),
        &mut Habit::default(),
        &mut |position, item| {
            let Item::SignIn(sign_in) = item else {
                panic!("{item:?}")
            };
            let judgement = policy.judge(sign_in);
            findings.push(Finding::new(policy, sign_in, &judgement, position));
        },
    );
    findings
}

fn raise(policy: &Policy, findings: &[Finding<'_>], now: Timestamp) -> Vec<Alert> {
    let raised = super::raise(policy, findings, now);
    raised.into_iter().map(|raised| raised.alert).collect()
}

fn now() -> Timestamp {
    Timestamp::parse("2026-11-24T12:00:00Z").unwrap()
}

const APP: &str = "00000000-1111-2222-3333-444444444444";

#[test]
fn repeats_in_a_window_are_one_alert() {
    let policy = policy(POLICY);
    let records: Vec<Value> = (0..60)
        .rev()
        .map(|minute| {
            record(
                &format!("id-{minute}"),
                &format!("2026-11-24T10:{minute:02}:00Z"),
                "203.0.113.9",
                APP,
                "MTPAPI",
            )
        })
        .chain([record(
            "later",
            "2026-11-24T11:00:00Z",
            "203.0.113.9",
            APP,
            "MTPAPI",
        )])
        .chain([record(
            "other",
            "2026-11-24T10:30:00Z",
            "203.0.113.10",
            APP,
            "MTPAPI",
        )])
        .collect();
    let alerts = raise(&policy, &findings(&policy, &records), now());
    assert_eq!(alerts.len(), 3);
    let first = &alerts[0];
    assert_eq!(
        (first.count, first.evidence.len(), first.evidence_omitted),
        (60, 50, 10)
    );
    assert_eq!(first.evidence[0], "id-0");
    assert_eq!(first.sign_in.as_ref().unwrap().id, "id-0");
    assert_eq!(first.last_seen.to_string(), "2026-11-24T10:59:00.0000000Z");
    // The next window: the same fingerprint, another id.
    let next = alerts
        .iter()
        .find(|alert| alert.sign_in.as_ref().unwrap().id == "later")
        .unwrap();
    assert_eq!(next.fingerprint, first.fingerprint);
    assert_ne!(next.id, first.id);
}

/// Computed with other software (Python's hashlib and uuid) from the documented fields.
#[test]
fn identity_is_as_documented() {
    let policy = policy(POLICY);
    let found = findings(
        &policy,
        &[record(
            "x",
            "2026-11-24T10:30:00Z",
            "203.0.113.9",
            APP,
            "MTPAPI",
        )],
    );
    let alert = &raise(&policy, &found, now())[0];
    assert_eq!(found[0].rule, Rule::OutsidePolicy);
    assert_eq!(
        alert.fingerprint,
        "b5abe240f5d4ff1b63656a86c920efc4eb80c7234aa94f8210d2d77a8e72b1b9"
    );
    assert_eq!(alert.id.to_string(), "edb49a9b-1f73-50fe-bab8-9e3b99f6b035");
}

#[test]
fn without_merging_every_sign_in_has_its_alert() {
    let policy = policy(&POLICY.replace("\"1h\"", "\"0s\""));
    let records = [
        record("a", "2026-11-24T10:00:00Z", "203.0.113.9", APP, "MTPAPI"),
        record("b", "2026-11-24T10:00:00Z", "203.0.113.9", APP, "MTPAPI"),
    ];
    let alerts = raise(&policy, &findings(&policy, &records), now());
    assert_eq!(alerts.len(), 2);
    assert_ne!(alerts[0].id, alerts[1].id);
}

#[test]
fn a_whole_alert_reads_well() {
    let policy = policy(POLICY);
    let found = findings(
        &policy,
        &[record(
            "x",
            "2026-11-24T10:30:00Z",
            "203.0.113.9",
            APP,
            "MTPAPI",
        )],
    );
    insta::assert_json_snapshot!(raise(&policy, &found, now())[0]);
}

#[test]
fn an_unlisted_app_can_be_pasted_into_the_policy() {
    let policy = policy(POLICY);
    let odd = "say \"hi\"\n[[app]]";
    let found = findings(
        &policy,
        &[record(
            "x",
            "2026-11-24T10:30:00Z",
            "203.0.113.9",
            "12345678-1111-2222-3333-444444444444",
            odd,
        )],
    );
    let alert = &raise(&policy, &found, now())[0];
    let block = &alert.next_steps.last().unwrap().text;
    let pasted = format!("version = 1\n{block}\n");
    let compiled = super::tests::policy(&pasted);
    assert_eq!(compiled.apps.len(), 1);
    assert!(!alert.title.contains('\n'), "{}", alert.title);
}

#[test]
fn commands_take_guids_only() {
    let policy = policy(POLICY);
    let mut hostile = record("x", "2026-11-24T10:30:00Z", "203.0.113.9", APP, "MTPAPI");
    hostile["properties"]["servicePrincipalId"] = "x; rm -rf ~".into();
    hostile["properties"]["servicePrincipalCredentialKeyId"] = "$(reboot)".into();
    let alert = &raise(&policy, &findings(&policy, &[hostile]), now())[0];
    for step in alert
        .next_steps
        .iter()
        .filter(|step| step.text.starts_with("az "))
    {
        assert!(
            !step.text.contains("rm -rf") && !step.text.contains("reboot"),
            "{}",
            step.text
        );
    }
}

#[test]
fn the_largest_alert_fits_a_queue_message() {
    let long = "\u{1}\"\\ü".repeat(2_000);
    let many: Vec<String> = (0..500)
        .map(|n| format!("\"{n}{}\"", "p".repeat(900)))
        .collect();
    let text = format!(
        "version = 1\n[[app]]\nname = \"{}\"\nmatch = {{ name_contains = \"ü\" }}\nowner = \"{}\"\npurpose = \"{}\"\npermissions = [{}]\nallow.ips = [\"203.0.113.0/29\"]\n",
        "n".repeat(9000),
        "\\u0001".repeat(9000),
        "p".repeat(9000),
        many.join(",")
    );
    let policy = policy(&text);
    let records: Vec<Value> = (0..200)
        .map(|n| {
            let mut record = record(
                &format!("{n}{long}"),
                "2026-11-24T10:30:00Z",
                "203.0.113.9",
                APP,
                &long,
            );
            record["properties"]["location"] =
                serde_json::json!({"countryOrRegion": "RU", "state": long, "city": long});
            record["properties"]["resourceDisplayName"] = long.clone().into();
            record
        })
        .collect();
    let alerts = raise(&policy, &findings(&policy, &records), now());
    assert_eq!(alerts.len(), 1);
    let size = serde_json::to_vec(&alerts[0]).unwrap().len();
    assert!(size <= MAX_ALERT_BYTES, "{size}");
    assert_eq!(alerts[0].count, 200);
    assert_eq!(
        alerts[0].evidence.len() as u64 + alerts[0].evidence_omitted,
        200
    );
}

#[test]
fn an_alert_reads_back_as_it_was_written() {
    let policy = policy(POLICY);
    let records = [
        record(
            "id-1",
            "2026-11-24T08:00:00.1234567Z",
            "198.51.100.7",
            APP,
            "MTPAPI",
        ),
        record(
            "id-2",
            "2026-11-24T08:01:00Z",
            "2001:db8::7",
            "no guid \u{202e}",
            "x",
        ),
    ];
    let findings = findings(&policy, &records);
    let raised = raise(&policy, &findings, now());
    assert_eq!(raised.len(), 2);
    for alert in raised {
        let json = serde_json::to_string(&alert).unwrap();
        assert_eq!(serde_json::from_str::<Alert>(&json).unwrap(), alert);
    }
}
