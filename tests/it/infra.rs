//! The Azure side says the same names as the functions, the settings, the documents and the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use spwatch::config::Config;
use spwatch::sign_in::Kind;
use spwatch::state::Location;

use crate::schema::{Binding, FunctionJson, LocalSettings, function_names, read};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below a folder with one of these endings.
fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if endings
                .iter()
                .any(|end| path.to_string_lossy().ends_with(end))
            {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// All of infra's Bicep, without comments.
fn bicep() -> String {
    let files = files("infra", &[".bicep", ".bicepparam.example"]);
    assert!(files.len() >= 10, "{files:?}");
    let texts = files.iter().map(text).collect::<Vec<_>>().join("\n");
    let lines = texts
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// What an expression finds, its first group.
fn found(pattern: &str, text: &str) -> BTreeSet<String> {
    let pattern = Regex::new(pattern).unwrap();
    let found = pattern.captures_iter(text);
    found.map(|found| found[1].to_owned()).collect()
}

/// The default of a parameter that is a text.
fn default_of(parameter: &str, bicep: &str) -> String {
    let pattern = format!(r"(?m)^param {parameter} string = '([^'$]*)'$");
    let found = found(&pattern, bicep);
    assert_eq!(found.len(), 1, "{parameter}: {found:?}");
    found.into_iter().next().unwrap()
}

fn bindings() -> Vec<Binding> {
    let functions = function_names().into_iter().map(|name| {
        let function: FunctionJson = read(&format!("{name}/function.json"));
        function.bindings
    });
    functions.flatten().collect()
}

/// The settings that the README explains, of the platform and ours.
fn documented() -> BTreeSet<String> {
    let readme = text("README.md");
    let (_, settings) = readme.split_once("\n## Settings\n").unwrap();
    let settings = settings.split("\n## ").next().unwrap();
    found(
        r"`((?:SPWATCH|SIGNIN)_[A-Z_]+|SignInEventHub|AzureWebJobsStorage)`",
        settings,
    )
}

#[test]
fn the_settings_of_the_functions_are_set_in_azure() {
    let bicep = bicep();
    for binding in bindings() {
        for setting in binding.settings() {
            let set = Regex::new(&format!(r"(?m)^\s*{setting}: ")).unwrap();
            assert!(set.is_match(&bicep), "{setting} is not set");
        }
        if let Some(connection) = binding.connection() {
            // By identity: NAME__accountName and the like.
            let set = Regex::new(&format!(r"{connection}__[a-zA-Z]+")).unwrap();
            assert!(set.is_match(&bicep), "{connection} is not set");
        }
    }
}

#[test]
fn every_setting_is_known_to_the_code_and_explained() {
    let documented = documented();
    assert!(documented.len() >= 10, "{documented:?}");
    let code: String = files("src", &[".rs"]).iter().map(text).collect();
    let example: LocalSettings = read("local.settings.json.example");
    let named = found(r"\b((?:SPWATCH|SIGNIN)_[A-Z_]+)\b", &bicep());
    let policy = text("policies/demo.toml");
    let of_policy = found("\"env:([A-Z_]+)\"", &policy);
    for setting in named.iter().chain(example.values.keys()) {
        let known = documented.contains(setting)
            || of_policy.contains(setting)
            || setting == "FUNCTIONS_WORKER_RUNTIME";
        assert!(known, "{setting} is explained nowhere");
    }
    for setting in documented.iter().filter(|name| name.starts_with("SPWATCH")) {
        assert!(code.contains(&format!("\"{setting}\"")), "{setting}");
        assert!(
            named.contains(setting) || setting.contains("HEARTBEAT"),
            "{setting} is not in infra"
        );
    }
    // The demo policy's secrets are the ones that the parameters begin with.
    let secrets = found(r"(?m)^  ([A-Z_]+): '[a-z-]+'$", &text("infra/main.bicep"));
    assert_eq!(secrets, of_policy);
    assert_eq!(
        found(
            r"(?m)^  ([A-Z_]+): '[a-z-]+'$",
            &text("infra/main.bicepparam.example")
        ),
        of_policy
    );
}

#[test]
fn the_handler_reads_what_azure_sets() {
    let bicep = text("infra/main.bicep");
    let (policy, state) = (
        default_of("policyLocation", &bicep),
        default_of("stateLocation", &bicep),
    );
    assert!(bicep.contains("SPWATCH_HUB_RETENTION: '${hubRetentionHours}h'"));
    assert!(bicep.contains("SIGNIN_EVENT_HUB_NAME: hub.outputs.hubName"));
    assert!(bicep.contains("SIGNIN_CONSUMER_GROUP: hub.outputs.consumerGroupName"));
    let settings = BTreeMap::from([
        ("AzureWebJobsStorage__accountName", "spwatchabc"),
        ("SPWATCH_POLICY", policy.as_str()),
        ("SPWATCH_STATE", state.as_str()),
        ("SPWATCH_HUB_RETENTION", "72h"),
        ("WEBSITE_SITE_NAME", "spwatch-abc"),
    ]);
    let lookup = |name: &str| settings.get(name).map(|value| (*value).to_owned());
    let config = Config::read(&lookup, None, None, None).unwrap();
    assert!(!config.state_is_fleeting);
    assert_eq!(config.limits.retention_seconds, 72 * 3600);
    let containers = found(
        r"(?m)^var \w+Container = '([a-z-]+)'$",
        &text("infra/modules/storage.bicep"),
    );
    for location in [config.policy, config.state] {
        let Location::Blobs(blobs) = location else {
            panic!("{location:?} is not in a container")
        };
        assert!(containers.contains(&blobs.container), "{}", blobs.container);
    }
}

#[test]
fn queues_and_containers_are_made() {
    let storage = text("infra/modules/storage.bicep");
    let containers = found(r"(?m)^var \w+Container = '([a-z-]+)'$", &storage);
    let (_, queues) = storage.split_once("var queues = [").unwrap();
    let queues = found(r"'([a-z-]+)'", queues.split(']').next().unwrap());
    let mut used = BTreeSet::new();
    for binding in bindings() {
        if let Some(container) = binding.container() {
            assert!(containers.contains(container), "{container}");
        }
        used.extend(binding.queue().map(str::to_owned));
    }
    assert_eq!(queues, used);
    // The name that the host gives to what cannot be delivered.
    assert!(used.contains("spwatch-alerts-poison"));
}

#[test]
fn entra_is_asked_for_what_is_judged() {
    let entra = text("infra/entra/diagnostics.bicep");
    let asked = found("'([A-Za-z]+Logs)'", &entra);
    let judged = [
        Kind::ServicePrincipal,
        Kind::ManagedIdentity,
        Kind::MicrosoftServicePrincipal,
    ];
    let mut known: BTreeSet<String> = judged.map(|kind| kind.category().to_owned()).into();
    known.insert("AuditLogs".to_owned());
    assert_eq!(asked, known);
    // The same by hand, without Microsoft's own.
    known.remove(Kind::MicrosoftServicePrincipal.category());
    let body = found(
        r#""category": "([A-Za-z]+)""#,
        &text("infra/entra/README.md"),
    );
    assert_eq!(body, known);
}

#[test]
fn the_documents_use_the_names_that_are_made() {
    let mut known = found(r"'(spwatch-[a-z-]+|entra-diagnostics)'", &bicep());
    known.extend(
        bindings()
            .iter()
            .filter_map(|each| each.queue().map(str::to_owned)),
    );
    let watch = text("infra/modules/watch.bicep");
    let rules = found(r"(?m)^\s+name: '(?:\$\{namePrefix\}-)?([a-z-]+)'$", &watch);
    known.extend(rules.iter().map(|rule| format!("spwatch-{rule}")));
    // The app's own, by a hash of the group; and the container of the stand-in's tests.
    let documents = [
        "README.md",
        "docs/local.md",
        "docs/operations.md",
        "docs/delivery.md",
        "infra/README.md",
        "infra/entra/README.md",
    ];
    for document in documents {
        for name in found(r"`(spwatch-[a-z-]+|entra-diagnostics)[`/]", &text(document)) {
            assert!(known.contains(&name), "{document}: {name}");
        }
    }
}

#[test]
fn every_parameter_is_described() {
    let described = |bicep: &str| {
        let mut described = false;
        let mut all = Vec::new();
        for line in bicep.lines() {
            if line.starts_with("@description(") {
                described = true;
            } else if let Some(parameter) = line.strip_prefix("param ") {
                let name = parameter.split(' ').next().unwrap().to_owned();
                all.push((name, described));
                described = false;
            }
        }
        all
    };
    let readme = text("infra/README.md");
    for file in files("infra", &[".bicep"]) {
        for (name, described) in described(&text(&file)) {
            assert!(described, "{}: {name}", file.display());
            let main = file.ends_with("infra/main.bicep");
            assert!(!main || readme.contains(&format!("`{name}`")), "{name}");
        }
    }
}

/// The log's words, and where they are said.
fn events() -> BTreeSet<String> {
    let code: String = files("src", &[".rs"])
        .iter()
        .filter(|path| !path.to_string_lossy().contains("devhost"))
        .map(text)
        .collect();
    let said = found("event = \"([a-z-]+)\"", &code);
    let by_macro = found(r#"log!\(\s*(?:info|warn|error),\s*"([a-z-]+)""#, &code);
    said.into_iter().chain(by_macro).collect()
}

#[test]
fn every_log_line_has_an_event_that_is_explained() {
    let line = Regex::new(r"\b(?:debug|info|warn|error)!\(\s*([^\s,]+[^,]*)").unwrap();
    let mut lines = 0;
    for file in files("src", &[".rs"]) {
        let text = text(&file);
        if file.to_string_lossy().contains("devhost") {
            continue;
        }
        for found in line.captures_iter(&text) {
            lines += 1;
            let first = &found[1];
            // `$event` is the word that the macro is given.
            assert!(first.starts_with("event = "), "{}: {first}", file.display());
        }
    }
    assert!(lines >= 30, "{lines}");
    let operations = text("docs/operations.md");
    let (_, table) = operations
        .split_once("| event | level | means | do |")
        .unwrap();
    let table = table.split("\n\n").next().unwrap();
    let mut explained = BTreeSet::new();
    for row in table.lines().filter(|row| row.starts_with("| `")) {
        explained.extend(found("`([a-z-]+)`", row.split('|').nth(1).unwrap()));
    }
    assert_eq!(explained, events());
}

#[test]
fn the_alert_rules_look_for_lines_that_are_written_and_have_a_runbook() {
    let watch = text("infra/modules/watch.bicep");
    let looked_for = found(r"\\'([a-z-]+)\\'", &watch);
    assert!(looked_for.contains("housekeeping-done"));
    let events = events();
    for event in &looked_for {
        assert!(events.contains(event), "{event}");
    }
    let mut rules = found(r"(?m)^    name: '([a-z-]+)'$", &watch);
    rules.extend(found(r"(?m)^  name: '\$\{namePrefix\}-([a-z-]+)'$", &watch));
    assert!(rules.remove("mail"));
    let runbook = found(
        r"(?m)^\| `spwatch-([a-z-]+)` \|",
        &text("docs/operations.md"),
    );
    assert_eq!(runbook, rules);
    let listed = found(r"(?m)^\| `spwatch-([a-z-]+)` \|", &text("infra/README.md"));
    assert_eq!(listed, rules);
}
