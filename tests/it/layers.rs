//! The direction of dependencies, and the purity of the stages, read off the source.

use std::fs;
use std::path::{Path, PathBuf};

/// Each module, and what it may use. Whatever is not named here is an edge: it may use everything,
/// and no stage may use it.
const STAGES: [(&str, &[&str]); 18] = [
    ("build", &[]),
    ("sign_in", &[]),
    ("verdict", &[]),
    ("suggest", &[]),
    ("wording", &[]),
    ("range", &["suggest"]),
    ("feed", &["range", "sign_in", "suggest"]),
    ("ingest", &["sign_in"]),
    ("learn", &["policy", "sign_in", "verdict", "wording"]),
    (
        "policy",
        &["feed", "range", "sign_in", "suggest", "verdict"],
    ),
    ("inventory", &["policy", "sign_in", "wording"]),
    ("finding", &["ingest", "policy", "sign_in", "verdict"]),
    (
        "assess",
        &["finding", "ingest", "policy", "sign_in", "verdict"],
    ),
    ("alert", &["finding", "policy", "sign_in", "verdict"]),
    (
        "backtest",
        &["alert", "finding", "ingest", "policy", "sign_in", "verdict"],
    ),
    ("sink", &["alert", "build", "policy", "sign_in", "verdict"]),
    ("merge", &["alert", "sign_in", "verdict"]),
    ("stream", &["alert", "sign_in"]),
];

/// What a pure stage never names: clocks, files, the environment, the network, threads, logging.
const IMPURE: [&str; 12] = [
    "std::fs",
    "std::env",
    "std::net::Tcp",
    "std::thread",
    "std::process",
    "std::time::Instant",
    "SystemTime",
    "Utc::now",
    "tokio",
    "reqwest",
    "tracing",
    "axum",
];

fn sources(module: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![root.join(format!("{module}.rs"))];
    let mut folders = vec![root.join(module)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// The text without tests, which may use whatever they like, and without comments.
fn code(path: &Path) -> String {
    let name = path.to_string_lossy();
    if name.ends_with("tests.rs") || name.contains("/tests/") {
        return String::new();
    }
    let text = fs::read_to_string(path).unwrap();
    let text = text
        .split("#[cfg(test)]")
        .next()
        .unwrap_or_default()
        .to_owned();
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The top-level modules that a text names after `crate::`, in braces or not.
fn used(text: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for rest in text.split("crate::").skip(1) {
        let names: Vec<&str> = match rest.strip_prefix('{') {
            Some(group) => group
                .split('}')
                .next()
                .unwrap_or_default()
                .split(',')
                .collect(),
            None => vec![rest],
        };
        for name in names {
            let name: String = name
                .trim()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            modules.push(name);
        }
    }
    modules
}

#[test]
fn dependencies_point_one_way() {
    for (module, allowed) in STAGES {
        let files = sources(module);
        assert!(files[0].exists(), "src/{module}.rs is gone: mend the table");
        for file in files {
            for name in used(&code(&file)) {
                assert!(
                    name == module || allowed.contains(&name.as_str()),
                    "{}: uses crate::{name}, which `{module}` may not",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn stages_are_pure() {
    for (module, _) in STAGES {
        for file in sources(module) {
            let code = code(&file);
            for word in IMPURE {
                assert!(!code.contains(word), "{}: names {word}", file.display());
            }
        }
    }
}

#[test]
fn nothing_but_the_command_line_uses_the_stand_in_host() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let module = path.file_stem().unwrap().to_string_lossy().into_owned();
        if ["lib", "main", "cli", "devhost"].contains(&module.as_str()) {
            continue;
        }
        for file in sources(&module).into_iter().filter(|file| file.exists()) {
            let names = used(&code(&file));
            assert!(!names.contains(&"devhost".to_owned()), "{}", file.display());
            assert!(!names.contains(&"cli".to_owned()), "{}", file.display());
        }
    }
}
