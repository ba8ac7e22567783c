//! The command line as people and scripts meet it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::binary::{run, run_with_input};

const NOW: &str = "2026-11-24T12:00:00Z";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

const SAMPLES: [&str; 5] = ["check", "--policy", "policies/demo.toml", "--now", NOW];

fn check(more: &[&str]) -> crate::binary::Ran {
    run(&root(), &[&SAMPLES, more].concat())
}

#[test]
fn the_table_of_the_samples() {
    insta::assert_snapshot!(check(&["samples"]).text());
}

#[test]
fn the_document_of_the_samples() {
    let ran = check(&["--format", "json", "samples"]);
    assert_eq!(ran.code, Some(10));
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    insta::assert_json_snapshot!(document, { ".policy.hash" => "[hash]" });
}

#[test]
fn csv_and_ndjson_hold_the_same_findings() {
    let document: Value =
        serde_json::from_str(&check(&["--format", "json", "samples"]).stdout).unwrap();
    let ids = |values: &[Value]| {
        values
            .iter()
            .map(|value| value["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let findings = document["findings"].as_array().unwrap();
    let lines = check(&["--format", "ndjson", "samples"]).stdout;
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(ids(&lines), ids(findings));
    let csv = check(&["--format", "csv", "samples"]).stdout;
    let mut csv = csv::Reader::from_reader(csv.as_bytes());
    let rows: Vec<String> = csv
        .records()
        .map(|row| row.unwrap()[0].to_owned())
        .collect();
    assert_eq!(rows, ids(findings));
}

#[test]
fn any_number_of_threads_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let line = fs::read_to_string(root().join("samples/2-stolen-secret.json"))
        .unwrap()
        .replace('\n', "");
    // Several blocks, every line with ids of its own.
    let lines: Vec<String> = (0..2000)
        .map(|n| line.replace("\"id\": \"5100", &format!("\"id\": \"{n:04x}")))
        .collect();
    fs::write(folder.path().join("log.ndjson"), lines.join("\r\n")).unwrap();
    let path = folder.path().join("log.ndjson");
    let with = |jobs| check(&["--format", "json", "--jobs", jobs, path.to_str().unwrap()]);
    let one = with("1");
    let document: Value = serde_json::from_str(&one.stdout).unwrap();
    assert_eq!(document["counts"]["records"], 8000);
    assert_eq!(document["counts"]["violation"], 6000);
    assert_eq!(one.stdout, with("2").stdout);
    assert_eq!(one.stdout, with("7").stdout);
}

#[test]
fn rejects_are_found_by_line_in_files_of_many_windows() {
    let folder = tempfile::tempdir().unwrap();
    let other = format!(
        r#"{{"category":"AuditLogs","padding":"{}"}}"#,
        "x".repeat(2_000)
    );
    // A line of its own that no window holds, broken in its midst.
    let long = format!(
        r#"{{"records":[{}]}}"#,
        [
            vec![other.as_str(); 1500],
            vec!["{oops}"],
            vec![other.as_str(); 1500]
        ]
        .concat()
        .join(",")
    );
    let mut lines = vec![other.as_str(); 4000];
    let broken = [1, 2, 700, 2000, 3999];
    for line in broken {
        lines[line] = "{oops}";
    }
    lines[1500] = &long;
    let text = lines.join("\n");
    fs::write(folder.path().join("a.ndjson"), &text).unwrap();
    fs::write(folder.path().join("b.ndjson"), &text).unwrap();
    let paths = ["a.ndjson", "b.ndjson"].map(|name| folder.path().join(name));
    let paths = paths.each_ref().map(|path| path.to_str().unwrap());
    for jobs in ["1", "3"] {
        let ran = check(&[&["--format", "json", "--jobs", jobs], &paths[..]].concat());
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        let rejects = document["rejected"].as_array().unwrap();
        let of_line = |line: usize| {
            let place = text
                .lines()
                .take(line)
                .map(|line| line.len() + 1)
                .sum::<usize>();
            let column = lines[line].find("oops").unwrap();
            let byte = place + column;
            let line = line + 1;
            format!(
                "invalid JSON at line {line}, column {} (byte {byte}): ",
                column + 1
            )
        };
        let mut expected = vec![1, 2, 700, 1500, 2000, 3999];
        expected.extend(expected.clone());
        assert_eq!(rejects.len(), expected.len(), "{rejects:?}");
        for (reject, line) in rejects.iter().zip(expected) {
            let error = reject["error"].as_str().unwrap();
            assert!(error.starts_with(&of_line(line)), "{error}, line {line}");
        }
        // The long line holds 3,001 of them.
        assert_eq!(rejects[4]["source"]["record"], 2001 + 3000);
    }
}

#[test]
fn a_period_is_judged_and_the_rest_is_not_there() {
    let ran = check(&[
        "--format",
        "json",
        "--since",
        "2026-11-23T07:40:00Z",
        "--until",
        "2026-11-23T08:00:00Z",
        "samples",
    ]);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["counts"]["sign_ins"], 3);
}

#[test]
fn reads_standard_input() {
    let text = fs::read(root().join("samples/2-stolen-secret.json")).unwrap();
    let ran = run_with_input(
        &root(),
        &[&SAMPLES[..], &["--format", "ndjson", "-"]].concat(),
        &text,
    );
    assert_eq!(
        (ran.code, ran.stdout.lines().count()),
        (Some(10), 3),
        "{}",
        ran.text()
    );
    assert!(ran.stdout.contains("\"file\":\"-\""));
}

#[test]
fn says_what_it_cannot_do() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let missing_policy = run(at, &["check", "log.json"]);
    assert_eq!(missing_policy.code, Some(1));
    assert!(
        missing_policy.stderr.contains("policy.toml") && missing_policy.stderr.contains("--policy")
    );
    fs::write(at.join("policy.toml"), "version = 1\n").unwrap();
    let missing_log = run(at, &["check", "log.json"]);
    assert_eq!(missing_log.code, Some(1));
    assert!(
        missing_log.stderr.contains("log.json"),
        "{}",
        missing_log.stderr
    );
    assert_eq!(run(at, &["check"]).code, Some(2));
    assert_eq!(run(at, &["check", "--no-such-flag", "x"]).code, Some(2));
    assert_eq!(run(at, &["explain"]).code, Some(1));
    assert_eq!(
        run(at, &["explain", "--ip", "nonsense", "--name", "x"]).code,
        Some(1)
    );
    fs::create_dir(at.join("empty")).unwrap();
    assert_eq!(run(at, &["check", "empty"]).code, Some(1));
    fs::write(at.join("empty.json"), "").unwrap();
    assert_eq!(run(at, &["check", "empty.json"]).code, Some(0));
    fs::write(at.join("policy.toml"), "version = 2\n").unwrap();
    let invalid = run(at, &["check", "empty.json"]);
    assert_eq!(invalid.code, Some(11));
    assert!(
        invalid.stderr.contains("policy.toml:1:11"),
        "{}",
        invalid.stderr
    );
    for command in ["validate", "test"] {
        assert_eq!(run(at, &[command]).code, Some(11), "{command}");
    }
}

#[test]
fn a_broken_archive_is_judged_as_far_as_it_goes() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read(root().join("samples/2-stolen-secret.json")).unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    packed.write_all(&text).unwrap();
    let packed = packed.finish().unwrap();
    let path = folder.path().join("cut.json.gz");
    fs::write(&path, &packed[..packed.len() * 3 / 4]).unwrap();
    let ran = check(&["--format", "json", path.to_str().unwrap()]);
    assert_eq!(ran.code, Some(1), "{}", ran.text());
    assert!(ran.stderr.contains("cut.json.gz"));
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(document["counts"]["violation"].as_u64().unwrap() >= 2);
}

#[test]
fn ten_mistakes_are_ten_diagnostics() {
    let folder = tempfile::tempdir().unwrap();
    let policy = r#"version = 1
[defaults]
severity = "hihg"
[rangse]
[ranges]
office = ["203.0.113.0/33"]
[sinks.soc]
type = "webhook"
url = "env:SOC"
[[app]]
name = "a"
app_id = "not-a-guid"
ower = "x"
notify = ["sok"]
allow.ips = ["@ofice", "203.0.113.9-203.0.113.1"]
allow.places = ["XX"]
[[app.exception]]
allow.ips = ["203.0.113.0/24"]
until = 2026-12-31T00:00:00
reason = "x"
"#;
    fs::write(folder.path().join("policy.toml"), policy).unwrap();
    let ran = run(folder.path(), &["validate", "--now", NOW]);
    assert_eq!(ran.code, Some(11), "{}", ran.text());
    insta::assert_snapshot!(ran.text());
    let json: Value =
        serde_json::from_str(&run(folder.path(), &["validate", "--format", "json"]).stdout)
            .unwrap();
    assert!(json["errors"].as_u64().unwrap() >= 10, "{json}");
}

#[test]
fn explains_a_record_and_a_question() {
    let id = "51000005-5a1e-4c0d-8f00-000000000005";
    let ran = run(
        &root(),
        &[
            "explain",
            "--policy",
            "policies/demo.toml",
            "--now",
            NOW,
            "--id",
            id,
            "samples",
        ],
    );
    insta::assert_snapshot!("explains_a_record", ran.text());
    let ran = run(
        &root(),
        &[
            "explain",
            "--policy",
            "policies/demo.toml",
            "--now",
            NOW,
            "--app-id",
            "3c9d2f14-7b1e-4f0a-8c55-0d6e5a2b9c01",
            "--ip",
            "203.0.113.4",
            "--place",
            "ch/Zürich",
            "--credential-type",
            "certificate",
        ],
    );
    insta::assert_snapshot!("explains_a_question", ran.text());
    let ran = run(
        &root(),
        &[
            "explain",
            "--policy",
            "policies/demo.toml",
            "--id",
            "no-such-id",
            "samples",
        ],
    );
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("no-such-id"));
}

#[test]
fn failing_policy_tests_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(root().join("policies/demo.toml")).unwrap();
    fs::write(
        folder.path().join("policy.toml"),
        text.replacen("expect  = \"allowed\"", "expect  = \"violation\"", 1),
    )
    .unwrap();
    let ran = run(folder.path(), &["test", "--now", NOW]);
    assert_eq!(ran.code, Some(10));
    insta::assert_snapshot!(ran.text());
    assert_eq!(
        run(&root(), &["test", "--policy", "policies/demo.toml"]).code,
        Some(0)
    );
}

/// A failing case, one that names what XML has to escape, and one of an included file.
fn tested() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let case = |name: &str, address: &str, more: &str| {
        format!(
            "[[test]]\nname = {name}\nsign_in = {{ app_id = \"{APP}\", ip = \"{address}\" }}\n{more}\n"
        )
    };
    let policy = format!(
        "version = 1\ninclude = [\"more.toml\"]\n[ranges]\noffice = [\"192.0.2.0/26\"]\n[[app]]\nname = \"app\"\napp_id = \"{APP}\"\nallow.ips = [\"@office\", \"2001:db8::/64\"]\n{}{}",
        case(
            "\"office <&> \\\"quoted\\\" \\u0007\"",
            "192.0.2.9",
            "expect = \"allowed\""
        ),
        case(
            "\"elsewhere\"",
            "198.51.100.9",
            "expect = \"violation\"\ndue = false\nseverity = \"low\""
        ),
    );
    fs::write(folder.path().join("policy.toml"), policy).unwrap();
    let more = format!(
        "[[app]]\nname = \"other\"\napp_id = \"8d3f1c52-6b0e-4d17-a2c9-51e7f0b4d6a3\"\nallow.places = [\"CH\"]\n{}",
        case("\"more\"", "2001:db8::1", "expect = \"allowed\"")
    );
    fs::write(folder.path().join("more.toml"), more).unwrap();
    folder
}

const APP: &str = "3c9d2f14-7b1e-4f0a-8c55-0d6e5a2b9c01";

#[test]
fn coverage_says_what_no_case_touches() {
    let folder = tested();
    let ran = run(folder.path(), &["test", "--now", NOW, "--coverage"]);
    assert_eq!(ran.code, Some(10));
    insta::assert_snapshot!("coverage", ran.text());
    let ran = run(
        folder.path(),
        &["test", "--now", NOW, "--coverage", "--format", "json"],
    );
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    insta::assert_json_snapshot!("coverage_json", document);
    let demo = |least: &str| {
        let arguments = ["test", "--policy", "policies/demo.toml", "--now", NOW];
        run(
            &root(),
            &[&arguments[..], &["--coverage-min", least]].concat(),
        )
    };
    let document = run(
        &root(),
        &[
            "test",
            "--policy",
            "policies/demo.toml",
            "--coverage",
            "--format",
            "json",
        ],
    );
    let document: Value = serde_json::from_str(&document.stdout).unwrap();
    let percent = document["coverage"]["percent"].as_f64().unwrap().floor();
    assert_eq!(demo(&percent.to_string()).code, Some(0));
    let short = demo(&(percent + 1.0).to_string());
    assert_eq!(short.code, Some(10), "{}", short.text());
    assert!(short.stderr.contains("% of the policy is tested"));
    assert_eq!(demo("101").code, Some(2));
}

/// JUnit XML as its readers take it.
mod junit {
    use serde::Deserialize;

    #[derive(Deserialize)]
    pub(super) struct Suites {
        #[serde(rename = "@tests")]
        pub(super) tests: usize,
        #[serde(rename = "@failures")]
        pub(super) failures: usize,
        #[serde(rename = "testsuite")]
        pub(super) suites: Vec<Suite>,
    }

    #[derive(Deserialize)]
    pub(super) struct Suite {
        #[serde(rename = "@name")]
        pub(super) name: String,
        #[serde(rename = "@tests")]
        pub(super) tests: usize,
        #[serde(rename = "@failures")]
        pub(super) failures: usize,
        #[serde(rename = "testcase", default)]
        pub(super) cases: Vec<Case>,
        #[serde(rename = "system-out")]
        pub(super) output: Option<String>,
    }

    #[derive(Deserialize)]
    pub(super) struct Case {
        #[serde(rename = "@name")]
        pub(super) name: String,
        #[serde(rename = "@file")]
        pub(super) file: String,
        #[serde(rename = "@line")]
        pub(super) line: usize,
        pub(super) failure: Option<Failure>,
    }

    #[derive(Deserialize)]
    pub(super) struct Failure {
        #[serde(rename = "@message")]
        pub(super) message: String,
        #[serde(rename = "$text")]
        pub(super) text: String,
    }
}

#[test]
fn results_are_junit_xml() {
    let folder = tested();
    let arguments = ["test", "--now", NOW, "--coverage", "--format", "junit"];
    let ran = run(folder.path(), &arguments);
    assert_eq!(ran.code, Some(10));
    insta::assert_snapshot!("junit", ran.stdout);
    let suites: junit::Suites = quick_xml::de::from_str(&ran.stdout).unwrap();
    assert_eq!((suites.tests, suites.failures), (3, 1));
    let [root, more, coverage] = &suites.suites[..] else {
        panic!("{}", ran.stdout);
    };
    assert_eq!((root.tests, root.failures), (2, 1));
    assert_eq!((more.name.as_str(), more.tests), ("more.toml", 1));
    assert!(coverage.output.as_ref().unwrap().starts_with("coverage: "));
    let names: Vec<&str> = root.cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names, ["office <&> \"quoted\" \u{fffd}", "elsewhere"]);
    let failed = &root.cases[1];
    assert_eq!((failed.file.as_str(), failed.line), ("policy.toml", 13));
    let failure = failed.failure.as_ref().unwrap();
    assert_eq!(
        failure.message,
        "expected violation, not due, of severity low, got violation, due, of severity high"
    );
    assert!(
        failure
            .text
            .contains("ip-not-allowed: 198.51.100.9 is in none")
    );
    assert!(root.cases[0].failure.is_none());
}

#[test]
fn explanations_are_a_document_too() {
    let arguments = [
        "explain",
        "--policy",
        "policies/demo.toml",
        "--now",
        NOW,
        "--format",
        "json",
        "--id",
        "51000005-5a1e-4c0d-8f00-000000000005",
        "samples",
    ];
    let ran = run(&root(), &arguments);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    insta::assert_json_snapshot!("explains_as_json", document);
}

#[test]
fn secrets_of_the_environment_are_never_read() {
    // `env:` references stay what they are: these commands run where the secrets are not.
    for command in [&["validate"][..], &["test"], &["check", "samples"]] {
        let ran = run(
            &root(),
            &[command, &["--policy", "policies/demo.toml"]].concat(),
        );
        assert!(!ran.stderr.contains("SOC_WEBHOOK"), "{}", ran.text());
    }
}

#[test]
fn completions_are_there_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = run(Path::new("."), &["completions", shell]);
        assert!(
            ran.code == Some(0) && ran.stdout.contains("spwatch"),
            "{shell}"
        );
    }
}
