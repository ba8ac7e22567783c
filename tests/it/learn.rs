//! `spwatch learn`, on generated history whose truth is known.

mod generate;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::binary::{Ran, run};
use generate::Generated;
pub(crate) use generate::record;

/// Days that are learnt from, of sixty.
const LEARNT: usize = 50;

/// Writes a file for each day.
fn write(folder: &Path, generated: &Generated) {
    for part in ["learnt", "new"] {
        fs::create_dir(folder.join(part)).unwrap();
    }
    for (day, lines) in generated.days.iter().enumerate() {
        let part = if day < LEARNT { "learnt" } else { "new" };
        let file = folder.join(part).join(format!("{day:02}.json"));
        fs::write(file, lines.join("\n")).unwrap();
    }
}

fn learn(folder: &Path, arguments: &[&str]) -> Ran {
    let ran = run(folder, &[&["learn"], arguments].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ran
}

fn check(folder: &Path, part: &str) -> Value {
    let ran = run(folder, &["check", "--format", "json", part]);
    assert!(matches!(ran.code, Some(0 | 10)), "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

/// Findings of successful sign-ins outside the policy.
fn violations(document: &Value) -> Vec<&Value> {
    let findings = document["findings"].as_array().unwrap();
    findings
        .iter()
        .filter(|finding| finding["verdict"] == "violation" && finding["outcome"] == "success")
        .collect()
}

#[test]
fn fifty_days_find_the_compromise_of_the_next_ten_and_little_else() {
    for seed in 1..=3 {
        let generated = generate::history(seed);
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        write(at, &generated);
        let ran = learn(at, &["learnt"]);
        fs::write(at.join("policy.toml"), &ran.stdout).unwrap();
        let validated = run(at, &["validate"]);
        assert_eq!(validated.code, Some(0), "{}", validated.stderr);
        assert!(
            validated.stdout.contains(" 0 warnings"),
            "{}",
            validated.text()
        );

        // What was learnt from is allowed.
        let learnt = check(at, "learnt");
        assert!(
            violations(&learnt).is_empty(),
            "{:?}",
            violations(&learnt).first()
        );

        let new = check(at, "new");
        let found: BTreeSet<&str> = violations(&new)
            .iter()
            .map(|finding| finding["id"].as_str().unwrap())
            .collect();
        let missed = generated
            .compromise
            .iter()
            .filter(|id| !found.contains(id.as_str()));
        assert_eq!(missed.count(), 0, "seed {seed}");
        let raised: BTreeSet<&str> = new["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|finding| finding["due"] == true)
            .map(|finding| finding["app_id"].as_str().unwrap())
            .filter(|app| *app != generated.compromised)
            .collect();
        let clean = generated.apps - 1;
        println!(
            "seed {seed}: {} sign-ins of {} apps; {} of {} sign-ins of the compromise found; {} of {clean} clean apps raised something",
            generated.days.iter().map(Vec::len).sum::<usize>(),
            generated.apps,
            generated.compromise.len(),
            generated.compromise.len(),
            raised.len(),
        );
        assert!(raised.len() * 100 <= clean, "seed {seed}: {raised:?}");
    }
}

#[test]
fn changes_to_a_policy_keep_its_words() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let text = r#"# The inventory of ecorp.
version = 1
include = ["more.toml"]

[ranges]
office = ["203.0.113.0/27"] # ground floor

[[app]] # reads incidents
name = "payroll"
app_id = "00000000-1111-2222-3333-00000000000a"
allow.ips = ["@office"] # nobody else
owner = "hr" # asks for it
allow.places = [
    "CH", # home
]

[[app]]
name = "quiet"
app_id = "00000000-1111-2222-3333-00000000000c"
allow.places = ["DE"]
"#;
    fs::write(at.join("policy.toml"), text).unwrap();
    let more = "[[app]]\nname = \"elsewhere\"\napp_id = \"00000000-1111-2222-3333-00000000000d\"\nallow.ips = [\"192.0.2.1\"]\n";
    fs::write(at.join("more.toml"), more).unwrap();
    let mut lines = Vec::new();
    for day in 1..=20 {
        let mut add = |app: char, ip: &str, country: &str| {
            lines.push(generate::record(
                &format!("{app}{day}{ip}"),
                &format!("00000000-1111-2222-3333-00000000000{app}"),
                &format!("app {app}"),
                &format!("2026-10-{day:02}T08:00:00.0000000Z"),
                (ip, country, "", ""),
                "0",
            ));
            lines.push(generate::record(
                &format!("{app}{day}{ip}again"),
                &format!("00000000-1111-2222-3333-00000000000{app}"),
                &format!("app {app}"),
                &format!("2026-10-{day:02}T18:00:00.0000000Z"),
                (ip, country, "", ""),
                "0",
            ));
        };
        add('a', "203.0.113.9", "CH");
        add('a', "198.51.100.17", "AT");
        add('b', "198.51.100.99", "FR");
        add('d', "198.51.100.5", "CH");
    }
    fs::write(at.join("log.json"), lines.join("\n")).unwrap();
    let ran = learn(at, &["--merge", "policy.toml", "log.json"]);
    insta::assert_snapshot!("changes_to_a_policy", ran.text());
    fs::write(at.join("policy.toml"), &ran.stdout).unwrap();
    let document = check(at, "log.json");
    // The entry of the included file is not this file's to change.
    let left: BTreeSet<&str> = violations(&document)
        .iter()
        .map(|finding| finding["app"].as_str().unwrap())
        .collect();
    assert_eq!(left, ["elsewhere"].into());
    for kept in [
        "# ground floor",
        "# reads incidents",
        "# nobody else",
        "# home",
        "# asks for it",
    ] {
        assert!(ran.stdout.contains(kept), "{kept}");
    }
    // There is nothing more to say.
    let again = learn(at, &["--merge", "policy.toml", "log.json"]);
    assert_eq!(again.stdout, ran.stdout);
}

#[test]
fn a_log_without_sign_ins_and_a_wide_prefix_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("log.json"), "{\"category\":\"Other\"}").unwrap();
    let ran = run(at, &["learn", "log.json"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("no sign-in was found"),
        "{}",
        ran.stderr
    );
    let ran = run(at, &["learn", "--max-prefix", "16", "log.json"]);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr.contains("no prefix from 24 to 32"),
        "{}",
        ran.stderr
    );
}

#[test]
fn known_sets_are_recognised_and_come_along() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let sets = "version = 1\n[ranges]\nrunners = { file = \"runners.txt\", format = \"plain\" }\nunused = [\"192.0.2.0/24\"]\n";
    fs::write(at.join("sets.toml"), sets).unwrap();
    fs::write(at.join("runners.txt"), "198.51.100.0/24\n203.0.113.0/24\n").unwrap();
    let lines: Vec<String> = (0..40_u32)
        .map(|number| {
            record(
                &number.to_string(),
                "00000000-1111-2222-3333-00000000000a",
                "deploy",
                &format!("2026-10-{:02}T08:00:00.0000000Z", number / 2 + 1),
                (&format!("198.51.100.{}", number * 5), "US", "", ""),
                "0",
            )
        })
        .collect();
    fs::write(at.join("log.json"), lines.join("\n")).unwrap();
    let ran = learn(at, &["--sets", "sets.toml", "log.json"]);
    let text = &ran.stdout;
    assert!(
        text.contains("\"@runners\",") && text.contains("40 addresses"),
        "{text}"
    );
    assert!(
        text.contains("\n[ranges]\nrunners = {") && !text.contains("unused"),
        "{text}"
    );
    fs::write(at.join("policy.toml"), text).unwrap();
    let document = check(at, "log.json");
    assert!(violations(&document).is_empty());
    // The same into a policy that has the set.
    let merged = learn(at, &["--merge", "sets.toml", "log.json"]);
    assert!(merged.stdout.contains("\"@runners\","), "{}", merged.stdout);
}
