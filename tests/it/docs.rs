//! The documents say what the program does: codes, commands, examples and links are held to it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use spwatch::inventory;
use spwatch::policy::{Code, Compilation, FeedFile, FeedFiles, Source, compile_with_feeds};
use spwatch::sign_in::Timestamp;
use spwatch::verdict::ReasonCode;

use crate::binary::run;

const DOCUMENTS: [&str; 20] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "docs/ci.md",
    "docs/delivery.md",
    "docs/living.md",
    "docs/inventory.md",
    "docs/local.md",
    "docs/logs.md",
    "docs/operations.md",
    "docs/performance.md",
    "docs/policy.md",
    "docs/reasons.md",
    "docs/sinks.md",
    "infra/README.md",
    "infra/entra/README.md",
    "infra/sentinel/README.md",
    "benches/README.md",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn compiled(text: String) -> Compilation {
    let source = Source {
        name: "policy.toml".to_owned(),
        text,
    };
    // The feed that the examples name.
    let actions = FeedFile {
        bytes: br#"{"actions":["192.0.2.0/24"]}"#.to_vec().into(),
        stands_in: false,
    };
    let feeds = FeedFiles {
        files: [("feeds/github-meta.json".to_owned(), Ok(actions))].into(),
        lock: None,
    };
    compile_with_feeds(&[source], None, &[], &feeds)
}

/// The fenced blocks of a document in one language.
pub(crate) fn blocks(document: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in document.lines() {
        open = match (open, line.strip_prefix("```")) {
            (None, Some(name)) => Some((name == language, String::new())),
            (None, None) => None,
            (Some((wanted, block)), Some(_)) => {
                if wanted {
                    blocks.push(block);
                }
                None
            }
            (Some((wanted, block)), None) => Some((wanted, block + line + "\n")),
        };
    }
    assert!(open.is_none(), "a block of {language} is not closed");
    blocks
}

/// The lines of a document outside of its fenced blocks.
fn prose(document: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    document.lines().filter(move |line| {
        let fence = line.starts_with("```");
        inside ^= fence;
        !inside && !fence
    })
}

/// The text under a heading, up to the next heading of its level.
fn section<'d>(document: &'d str, heading: &str) -> &'d str {
    let start = format!("\n{heading}\n");
    let (_, rest) = document
        .split_once(&start)
        .unwrap_or_else(|| panic!("there is no heading {heading}"));
    rest.split("\n## ").next().unwrap_or(rest)
}

/// What stands in backticks at the start of each row of the tables in a text.
fn rows(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(cell, _)| cell)
        .collect()
}

#[test]
fn every_reason_code_has_its_heading() {
    let document = read("docs/reasons.md");
    let headings: Vec<&str> = prose(&document)
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    let expected: Vec<String> = ReasonCode::ALL
        .iter()
        .map(|code| format!("`{code}`"))
        .collect();
    assert_eq!(headings, expected);
    for code in ReasonCode::ALL {
        let section = section(&document, &format!("## `{code}`"));
        for part in [
            "**Means.**",
            "**Usual causes.**",
            "**What to do.**",
            "**To allow it.**",
        ] {
            assert!(section.contains(part), "{code} lacks {part}");
        }
    }
}

/// A sign-in for each reason, as a test of the policy in `docs/reasons.md`.
const EXAMPLES: [(ReasonCode, &str); 14] = {
    use ReasonCode::*;
    [
        (
            UnknownApp,
            r#"app_id = "3c6e9f12-5a8b-4d70-91e4-b27f0a6d8c35", name = "Backup runner""#,
        ),
        (IpDenied, r#"ip = "192.0.2.13""#),
        (IpUnknown, r#"place = "CH""#),
        (IpNotAllowed, r#"ip = "203.0.113.9""#),
        (PlaceDenied, r#"place = "KP/Pyongyang""#),
        (PlaceUnknown, r#"ip = "192.0.2.9""#),
        (PlaceNotAllowed, r#"place = "NL/Noord-Holland/Amsterdam""#),
        (
            TenantNotAllowed,
            r#"tenant = "99999999-8888-7777-6666-555555555555""#,
        ),
        (ResourceNotAllowed, r#"resource = "Azure Key Vault""#),
        (
            CredentialNotAllowed,
            r#"credential = "7a4c0e95-2d68-4b13-9f70-e85b6c1d3a24""#,
        ),
        (
            CredentialExpired,
            r#"credential = "0c5d8a10-7f2b-4c69-9e41-3b6f2d5a8e70", time = 2027-03-02T00:00:00Z"#,
        ),
        (CredentialUnknown, r#"ip = "192.0.2.9""#),
        (
            CredentialIpNotAllowed,
            r#"ip = "192.0.2.9", credential = "5e9b1d37-84c2-4a06-b7f5-c1302e6d9a48""#,
        ),
        (CredentialTypeNotAllowed, r#"credential_type = "secret""#),
    ]
};

#[test]
fn the_example_messages_are_real() {
    let document = read("docs/reasons.md");
    let mut policy = blocks(&document, "toml").remove(0);
    for (code, sign_in) in EXAMPLES {
        let app = if sign_in.starts_with("app_id") {
            ""
        } else {
            r#"app_id = "8d3f1c52-6b0e-4d17-a2c9-51e7f0b4d6a3", "#
        };
        // Pinned, so that what the sign-in leaves out is asked for as well.
        policy += &format!(
            "[[test]]\nname = \"{code}\"\nsign_in = {{ {app}{sign_in} }}\nexpect = \"violation\"\nreasons = [\"{code}\"]\n"
        );
    }
    let compilation = compiled(policy);
    let policy = compilation
        .policy
        .unwrap_or_else(|| panic!("{}", compilation.diagnostics.render_text(false)));
    let now = Timestamp::parse("2026-11-24T10:00:00Z").unwrap();
    for ((code, _), result) in EXAMPLES.into_iter().zip(policy.run_tests(now)) {
        let reason = result
            .got_reasons
            .iter()
            .find(|reason| reason.code == code)
            .unwrap_or_else(|| panic!("{code}: got {:?}", result.got_reasons));
        let shown = blocks(section(&document, &format!("## `{code}`")), "text");
        assert_eq!(shown, [format!("{}\n", reason.message)], "{code}");
    }
}

#[test]
fn every_diagnostic_code_has_its_row() {
    let document = read("docs/policy.md");
    let table = section(&document, "## Diagnostics");
    let expected: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(rows(table), expected);
    for code in Code::ALL {
        let row = format!("| `{code}` | {} | ", code.level().as_str());
        assert!(table.contains(&row), "{code} is of another level");
    }
}

#[test]
fn every_finding_of_the_inventory_has_its_row() {
    let document = read("docs/inventory.md");
    let expected: Vec<&str> = inventory::Code::ALL
        .iter()
        .map(|code| code.as_str())
        .collect();
    assert_eq!(rows(section(&document, "## Findings")), expected);
}

/// An example is a policy of its own, once it has its version.
#[test]
fn the_example_policies_are_valid() {
    let mut count = 0;
    for name in DOCUMENTS {
        for block in blocks(&read(name), "toml") {
            let text = match block.starts_with("version") {
                true => block,
                false => format!("version = 1\n{block}"),
            };
            let compilation = compiled(text);
            let policy = compilation.policy.unwrap_or_else(|| {
                panic!("{name}:\n{}", compilation.diagnostics.render_text(false))
            });
            let now = Timestamp::parse("2026-11-24T10:00:00Z").unwrap();
            for result in policy.run_tests(now) {
                assert!(result.passed, "{name}: {result:?}");
            }
            count += 1;
        }
    }
    assert!(count >= 7, "{count}");
}

/// The commands that the help lists.
fn commands(help: &str) -> BTreeSet<&str> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect()
}

#[test]
fn the_commands_are_those_of_the_help() {
    let help = run(root(), &["--help"]).stdout;
    let commands = commands(&help);
    let readme = read("README.md");
    let listed: BTreeSet<&str> = rows(section(&readme, "## Commands"))
        .into_iter()
        .filter_map(|cell| cell.strip_prefix("spwatch ")?.split(' ').next())
        .collect();
    assert_eq!(listed, commands);
}

/// The commands and options of the pipelines are there; those of a command that this build has not are let be.
#[test]
fn the_pipelines_call_what_there_is() {
    let help = run(root(), &["--help"]).stdout;
    let commands = commands(&help);
    let mut called = BTreeSet::new();
    for block in blocks(&read("docs/ci.md"), "yaml") {
        for line in block.replace("\\\n", " ").lines() {
            let Some((_, rest)) = line.split_once("spwatch ") else {
                continue;
            };
            let words: Vec<&str> = rest.split_whitespace().collect();
            let Some(command) = words.first().filter(|_| {
                // As a command, not in a title, a path or a list of them.
                let start = line.trim_start();
                ["spwatch ", "run: spwatch ", "- bash: spwatch "]
                    .iter()
                    .any(|form| start.starts_with(form))
            }) else {
                continue;
            };
            called.insert((*command).to_owned());
            if !commands.contains(command) {
                assert_eq!(*command, "backtest", "{line}");
                continue;
            }
            let help = run(root(), &[command, "--help"]).stdout;
            for option in words.iter().filter(|word| word.starts_with("--")) {
                let known = help.split([' ', '\n', '=']).any(|word| word == *option);
                assert!(known, "{command} has no {option}");
            }
        }
    }
    let expected = ["backtest", "test", "validate"].map(str::to_owned);
    assert_eq!(called, BTreeSet::from(expected));
}

/// What the documents show of the demo policy is what comes of it.
#[test]
fn the_shown_output_is_real() {
    let mut count = 0;
    for name in ["docs/policy.md", "docs/reasons.md"] {
        for block in blocks(&read(name), "console") {
            let (command, shown) = block.split_once('\n').unwrap();
            let words: Vec<&str> = command.split_whitespace().skip(2).collect();
            if !words.contains(&"policies/demo.toml") {
                continue;
            }
            assert_eq!(shown, run(root(), &words).stdout, "{name}: {command}");
            count += 1;
        }
    }
    assert_eq!(count, 2);
}

#[test]
fn the_replaced_query_and_check_agree_as_shown() {
    let folder = "tests/fixtures/sentinel-query";
    let arguments = ["check", "--policy", "policy.toml", "signins.json"];
    let ran = run(&root().join(folder), &arguments);
    assert_eq!(ran.code, Some(10));
    let readme = read("README.md");
    let section = section(&readme, "## What it replaces");
    let shown = format!(
        "$ spwatch check --policy policy.toml signins.json\n{}{}",
        ran.stdout, ran.stderr
    );
    assert_eq!(blocks(section, "console"), [shown]);
    assert_eq!(
        blocks(section, "toml"),
        [read(&format!("{folder}/policy.toml"))]
    );
}

/// The shown alert leaves lines out; it adds none.
#[test]
fn the_shown_alert_is_real() {
    let arguments = [
        "check",
        "--policy",
        "policies/demo.toml",
        "--format",
        "json",
        "samples",
    ];
    let output = run(root(), &arguments).stdout;
    fn line(text: &str) -> &str {
        text.trim().trim_end_matches(',')
    }
    let real: BTreeSet<&str> = output.lines().map(line).collect();
    let shown = blocks(section(&read("README.md"), "## An alert"), "json").remove(0);
    for shown in shown.lines().map(line) {
        assert!(real.contains(shown), "no alert has the line {shown}");
    }
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["schema"], "spwatch/alert/v1");
}

/// The anchor that a heading gets on the usual forges.
fn anchor(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'))
        .map(|letter| if letter == ' ' { '-' } else { letter })
        .collect()
}

#[test]
fn links_lead_somewhere() {
    for name in DOCUMENTS {
        let document = read(name);
        let targets = prose(&document)
            .flat_map(|line| line.split("](").skip(1))
            .filter_map(|rest| Some(rest.split_once(')')?.0))
            .filter(|target| !target.contains("://"));
        for target in targets {
            let (file, wanted) = target.split_once('#').unwrap_or((target, ""));
            let path: PathBuf = match file {
                "" => root().join(name),
                file => root().join(name).parent().unwrap().join(file),
            };
            assert!(path.exists(), "{name}: {target}");
            if !wanted.is_empty() {
                let page = fs::read_to_string(&path).unwrap();
                let found = prose(&page)
                    .filter(|line| line.starts_with('#'))
                    .any(|line| anchor(line) == wanted);
                assert!(found, "{name}: {target}");
            }
        }
    }
}

/// Each crash point of docs/delivery.md names the test that kills the handler there.
#[test]
fn the_points_of_delivery_are_tested() {
    let page = read("docs/delivery.md");
    let section = section(&page, "## What happens when a process dies");
    let points = section.lines().filter(|line| {
        let cell = line.split('|').nth(1).unwrap_or_default().trim();
        cell.len() == 1 && cell.chars().all(|letter| letter.is_ascii_uppercase())
    });
    let named: Vec<&str> = points
        .map(|line| line.rsplit('|').nth(1).unwrap().trim().trim_matches('`'))
        .collect();
    assert_eq!(named.len(), 15);
    let folder = root().join("tests/it/host");
    let sources: String = fs::read_dir(folder)
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    for name in named {
        assert!(sources.contains(&format!("async fn {name}()")), "{name}");
    }
}
