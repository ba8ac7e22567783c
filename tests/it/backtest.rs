//! `spwatch backtest`: two policies, one log.

use std::fs;

use serde_json::Value;

use crate::binary::run;
use crate::learn::record;

const OLD: &str = "version = 1
[[app]]
name = \"payroll\"
app_id = \"00000000-1111-2222-3333-00000000000a\"
allow.ips = [\"203.0.113.0/28\"]
";

fn line(id: &str, app: char, second: u32, ip: &str) -> String {
    record(
        id,
        &format!("00000000-1111-2222-3333-00000000000{app}"),
        &format!("app | {app}"),
        &format!("2026-11-23T10:00:{second:02}.0000000Z"),
        (ip, "CH", "Zurich", "Zurich"),
        "0",
    )
}

#[test]
fn a_change_is_shown_in_every_format_and_can_fail_a_pipeline() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("old.toml"), OLD).unwrap();
    let new = OLD.replace("203.0.113.0/28", "203.0.113.16/28");
    fs::write(
        at.join("policy.toml"),
        format!("{new}[defaults]\nunknown_app = \"record\"\n"),
    )
    .unwrap();
    let log = [
        line(
            "aaaaaaaa-0000-4000-8000-000000000001",
            'a',
            1,
            "203.0.113.9",
        ),
        line(
            "aaaaaaaa-0000-4000-8000-000000000002",
            'a',
            2,
            "203.0.113.9",
        ),
        line(
            "aaaaaaaa-0000-4000-8000-000000000003",
            'a',
            3,
            "203.0.113.20",
        ),
        line(
            "aaaaaaaa-0000-4000-8000-000000000004",
            'a',
            4,
            "198.51.100.1",
        ),
        line(
            "aaaaaaaa-0000-4000-8000-000000000005",
            'b',
            5,
            "198.51.100.1",
        ),
        "{\"category\":\"ServicePrincipalSignInLogs\"".to_owned(),
    ];
    fs::write(at.join("log.json"), log.join("\n")).unwrap();
    let against = ["backtest", "log.json", "--against", "old.toml"];
    let ran = run(at, &against);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    insta::assert_snapshot!("backtest_table", ran.text());
    let ran = run(
        at,
        &[
            &against[..],
            &["--format", "markdown", "--fail-on", "removed>0"],
        ]
        .concat(),
    );
    assert_eq!(ran.code, Some(10));
    insta::assert_snapshot!("backtest_markdown", ran.text());
    let ran = run(
        at,
        &[&against[..], &["--format", "json", "--fail-on", "added>2"]].concat(),
    );
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["schema"], "spwatch/backtest/v1");
    assert_eq!(document["totals"]["added"], 2);
    assert_eq!(document["totals"]["removed"], 1);
    // No longer due: the stranger is recorded, the address is allowed.
    assert_eq!(document["totals"]["due_removed"], 2);
    let added = &document["changes"][0];
    assert_eq!(added["app"], "payroll");
    assert_eq!(added["sign_ins"][1]["record"], 2);
    assert_eq!(added["sign_ins"][0]["file"], "log.json");
    // The same policy on both sides differs in nothing.
    let same = run(
        at,
        &[
            "backtest",
            "log.json",
            "--policy",
            "old.toml",
            "--against",
            "old.toml",
            "--fail-on",
            "changed>0",
        ],
    );
    assert_eq!(same.code, Some(0));
    let wrong = run(
        at,
        &[
            "backtest",
            "log.json",
            "--against",
            "old.toml",
            "--fail-on",
            "more>0",
        ],
    );
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("is not counted"), "{}", wrong.stderr);
    // A pipeline whose export is empty has compared nothing.
    fs::write(at.join("empty.json"), "").unwrap();
    let empty = run(at, &["backtest", "empty.json", "--against", "old.toml"]);
    assert_eq!(empty.code, Some(1));
    assert!(
        empty.stderr.contains("nothing was compared"),
        "{}",
        empty.stderr
    );
    fs::write(at.join("old.toml"), "version = 2").unwrap();
    assert_eq!(run(at, &against).code, Some(11));
}
