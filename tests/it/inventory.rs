//! `spwatch inventory` and `inventory import` as people and scripts meet them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::binary::{Ran, run, run_with_input};

const NOW: &str = "2026-11-24T12:00:00Z";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn fixtures() -> PathBuf {
    root().join("tests/fixtures/inventory")
}

/// The samples beside the fixtures' policy.
fn inventory(more: &[&str]) -> Ran {
    let arguments = ["inventory", "--now", NOW, "../../../samples"];
    run(&fixtures(), &[&arguments, more].concat())
}

fn import(more: &[&str]) -> Ran {
    let arguments = ["inventory", "import", "--now", NOW];
    run(&fixtures(), &[&arguments, more].concat())
}

#[test]
fn the_table_of_the_samples() {
    insta::assert_snapshot!("inventory_table", inventory(&[]).text());
}

#[test]
fn the_markdown_of_the_samples() {
    let ran = inventory(&["--format", "markdown"]);
    assert_eq!(ran.code, Some(0));
    insta::assert_snapshot!("inventory_markdown", ran.stdout);
}

#[test]
fn json_and_csv_hold_the_same() {
    let ran = inventory(&["--format", "json"]);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["schema"], "spwatch/inventory/v1");
    for (key, column, more) in [
        ("apps", "name", &["--format", "csv"][..]),
        ("findings", "code", &["--format", "csv", "--findings"]),
    ] {
        let csv = inventory(more).stdout;
        let mut csv = csv::Reader::from_reader(csv.as_bytes());
        let place = csv
            .headers()
            .unwrap()
            .iter()
            .position(|name| name == column);
        let cells: Vec<String> = csv
            .records()
            .map(|row| row.unwrap()[place.unwrap()].to_owned())
            .collect();
        let values: Vec<&str> = document[key]
            .as_array()
            .unwrap()
            .iter()
            .map(|value| value[column].as_str().unwrap())
            .collect();
        assert!(!values.is_empty());
        assert_eq!(cells, values, "{key}");
    }
    let counted: u64 = document["apps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|app| app["sign_ins"].as_u64().unwrap())
        .sum();
    assert_eq!(document["sign_ins"], counted);
}

#[test]
fn fails_on_the_codes_that_are_named() {
    assert_eq!(inventory(&["--fail-on", "unlisted"]).code, Some(10));
    assert_eq!(
        inventory(&["--fail-on", "exception-expired,shared-address"]).code,
        Some(0)
    );
    assert_eq!(inventory(&["--fail-on", "no-such-code"]).code, Some(2));
    assert_eq!(inventory(&["--unseen-for", "soon"]).code, Some(2));
    assert_eq!(run(&fixtures(), &["inventory"]).code, Some(2));
    assert_eq!(run(&fixtures(), &["inventory", "import"]).code, Some(2));
}

#[test]
fn a_period_is_all_there_is() {
    let ran = inventory(&["--format", "json", "--until", "2020-01-01"]);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["sign_ins"], 0);
    assert_eq!(document["period"], Value::Null);
}

#[test]
fn names_of_a_log_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("policy.toml"), "version = 1\n").unwrap();
    let record = r#"{"category":"ServicePrincipalSignInLogs","time":"2026-11-24T12:00:00Z","properties":{"appId":"11111111-0000-4000-8000-000000000001","servicePrincipalName":"=a|b\u001b[31m<i>"}}"#;
    let of = |more: &[&str]| {
        let arguments = [&["inventory", "--now", NOW], more, &["-"]].concat();
        run_with_input(folder.path(), &arguments, record.as_bytes()).stdout
    };
    assert!(!of(&[]).contains('\u{1b}'));
    let markdown = of(&["--format", "markdown"]);
    assert!(
        markdown.contains(r"| =a\|b") && markdown.contains(r"\<i\>"),
        "{markdown}"
    );
    assert!(of(&["--format", "csv"]).contains("'=a|b"));
}

#[test]
fn what_the_directory_adds() {
    let ran = import(&["apps.json", "sps.json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.text());
    insta::assert_snapshot!("inventory_import", ran.text());
    assert!(!ran.text().contains("s3c") && !ran.text().contains("hunter2"));
    assert_eq!(policy_of(&ran), Some(0));
    let forced = import(&["--credentials", "apps.json", "sps.json"]);
    assert_eq!(policy_of(&forced), Some(0));
    assert!(
        forced
            .stdout
            .contains("\n[[app.credential]] # certificate \"CN=payroll\"\n")
    );
}

/// What `validate` says of what was printed.
fn policy_of(ran: &Ran) -> Option<i32> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("policy.toml"), &ran.stdout).unwrap();
    run(folder.path(), &["validate", "--now", NOW]).code
}

#[test]
fn import_reads_standard_input_and_refuses_anything_else() {
    let text = fs::read(fixtures().join("apps.json")).unwrap();
    let arguments = ["inventory", "import", "--now", NOW, "-"];
    let ran = run_with_input(&fixtures(), &arguments, &text);
    assert_eq!(ran.code, Some(0), "{}", ran.text());
    assert_eq!(policy_of(&ran), Some(0));
    let wrong = import(&["policy.toml"]);
    assert_eq!((wrong.code, wrong.stdout.as_str()), (Some(1), ""));
    assert!(wrong.stderr.contains("policy.toml"), "{}", wrong.stderr);
    assert_eq!(import(&["no-such.json"]).code, Some(1));
    assert_eq!(import(&["--file", "x.toml", "apps.json"]).code, Some(1));
}

#[test]
fn an_included_file_is_printed_where_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let write = |name: &str, text: &str| fs::write(at.join(name), text).unwrap();
    write(
        "policy.toml",
        "version = 1\ninclude = [\"apps.d/*.toml\"]\n",
    );
    fs::create_dir(at.join("apps.d")).unwrap();
    let app = "[[app]]\nname = \"x\"\napp_id = \"3c9d2f14-7b1e-4f0a-8c55-0d6e5a2b9c01\"\n";
    write("apps.d/x.toml", app);
    let input = fixtures().join("apps.json");
    let run = |more: &[&str]| {
        let arguments = ["inventory", "import", "--now", NOW, input.to_str().unwrap()];
        run(at, &[&arguments, more].concat())
    };
    let root = run(&[]);
    let name = Path::new("apps.d").join("x.toml");
    let hint = format!("--file {}", name.display());
    assert!(root.stderr.contains(&hint), "{}", root.stderr);
    assert!(root.stdout.starts_with("version = 1\n"));
    let included = run(&["--file", name.to_str().unwrap()]);
    assert!(included.stdout.starts_with(app), "{}", included.text());
    assert!(
        included
            .stdout
            .contains("owner = \"ada@contoso.example\"\n")
    );
}
