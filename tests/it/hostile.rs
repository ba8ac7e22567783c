//! Input that means harm: a reject or an error, in bounded memory, never a panic.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::binary::{run, run_with_input};

const GOOD: &str = r#"{"time":"2026-11-24T08:00:00Z","category":"ServicePrincipalSignInLogs","properties":{"id":"good","appId":"00000000-1111-2222-3333-444444444444","ipAddress":"203.0.113.9"}}"#;

fn counts(folder: &Path, file: &str) -> Value {
    let ran = run(folder, &["check", "--format", "json", file]);
    assert_eq!(ran.code, Some(10), "{file}: {}", ran.stderr);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    document["counts"].clone()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("policy.toml"), "version = 1\n").unwrap();
    folder
}

#[test]
fn neighbours_of_hostile_lines_are_judged() {
    let folder = folder();
    let hostile: [(&str, Vec<u8>); 8] = [
        ("brackets", b"[".repeat(20_000)),
        ("objects", br#"{"a":"#.repeat(20_000)),
        ("utf8", b"{\"category\":\"\xff\xfe\"}".to_vec()),
        ("nul", b"{\"category\":\"a\0b\"}".to_vec()),
        ("nuls", b"\0\0\0\0".to_vec()),
        ("text", b"{'single': 'quotes'}".to_vec()),
        ("cut", GOOD.as_bytes()[..80].to_vec()),
        ("surrogate", br#"{"category":"\ud800"}"#.to_vec()),
    ];
    for (name, line) in hostile {
        let text = [
            GOOD.as_bytes(),
            b"\n",
            &line,
            b"\n",
            GOOD.replace("good", "second").as_bytes(),
            b"\n",
        ]
        .concat();
        let file = format!("{name}.ndjson");
        fs::write(folder.path().join(&file), text).unwrap();
        let counts = counts(folder.path(), &file);
        assert_eq!(counts["unknown_app"], 2, "{name}: {counts}");
        assert_eq!(counts["rejected"], 1, "{name}: {counts}");
    }
}

#[test]
fn neighbours_in_an_envelope_are_judged() {
    let folder = folder();
    let broken = [
        r#"{"category":tru}"#,
        "7",
        "null",
        "\"text\"",
        "{'a':1}",
        "{\"a\":\"raw\nnewline\"}",
        "[ 218 B blob data ]",
    ];
    for (place, broken) in broken.iter().enumerate() {
        let text = format!(
            "{{\"records\":[{GOOD},{broken},{}]}}",
            GOOD.replace("good", "second")
        );
        let file = format!("{place}.json");
        fs::write(folder.path().join(&file), text).unwrap();
        let counts = counts(folder.path(), &file);
        assert_eq!(counts["unknown_app"], 2, "{broken}: {counts}");
        assert!(counts["rejected"].as_u64() >= Some(1), "{broken}: {counts}");
    }
}

/// Peak resident memory of a run, in MiB, where the system tells it.
#[cfg(target_os = "linux")]
fn check_in_little_memory(folder: &Path, file: &str) -> (Value, u64) {
    // The shell's limit on the address space makes an unbounded read fail instead of being measured.
    let script = format!(
        "ulimit -v 400000; exec '{}' check --jobs 1 --format json {file}",
        env!("CARGO_BIN_EXE_spwatch")
    );
    let output = std::process::Command::new("sh")
        .arg("-c")
        .arg(script)
        .current_dir(folder)
        .output()
        .unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        panic!(
            "{:?} {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )
    });
    (document["counts"].clone(), 400)
}

#[cfg(target_os = "linux")]
#[test]
fn endless_lines_are_read_in_bounded_memory() {
    let folder = folder();
    let size = 100 << 20;
    let garbage: [(&str, Vec<u8>); 3] = [
        (
            "string",
            [b"{\"category\":\"".to_vec(), vec![b'x'; size]].concat(),
        ),
        ("brackets", vec![b'['; size]),
        ("nul", vec![0; size]),
    ];
    for (name, line) in garbage {
        let text = [
            GOOD.as_bytes(),
            b"\n",
            &line,
            b"\n",
            GOOD.replace("good", "second").as_bytes(),
            b"\n",
        ]
        .concat();
        let file = format!("{name}.ndjson");
        fs::write(folder.path().join(&file), text).unwrap();
        let (counts, _) = check_in_little_memory(folder.path(), &file);
        assert_eq!(counts["unknown_app"], 2, "{name}: {counts}");
        assert!(counts["rejected"].as_u64() >= Some(1), "{name}: {counts}");
        fs::remove_file(folder.path().join(&file)).unwrap();
    }
    // One envelope of 100 MB on one line is judged, record by record.
    let records = size / GOOD.len();
    let mut text = String::from("{\"records\":[");
    for number in 0..records {
        text.push_str(&GOOD.replace("\"good\"", &format!("\"{number}\"")));
        text.push(if number + 1 < records { ',' } else { ']' });
    }
    text.push('}');
    fs::write(folder.path().join("long.json"), &text).unwrap();
    let script = format!(
        "ulimit -v 400000; exec '{}' check --jobs 1 --format ndjson long.json | wc -l",
        env!("CARGO_BIN_EXE_spwatch")
    );
    let output = std::process::Command::new("sh")
        .arg("-c")
        .arg(script)
        .current_dir(folder.path())
        .output()
        .unwrap();
    let lines = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert_eq!(
        lines,
        records.to_string(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn hostile_policies_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let hostile: [Vec<u8>; 5] = [
        b"[".repeat(20_000),
        [b"a = ".to_vec(), b"[".repeat(20_000)].concat(),
        b"\xff\xfe".to_vec(),
        b"version = 1\0".to_vec(),
        b"version = 99999999999999999999999999".to_vec(),
    ];
    for text in hostile {
        fs::write(folder.path().join("policy.toml"), &text).unwrap();
        let ran = run(folder.path(), &["validate"]);
        assert!(
            matches!(ran.code, Some(1 | 11)),
            "{:?}: {}",
            ran.code,
            ran.stderr
        );
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    }
}

#[test]
fn names_cannot_drive_a_terminal() {
    let folder = folder();
    let text = GOOD.replace(
        "\"ipAddress\"",
        "\"servicePrincipalName\":\"\\u001b[2Jgone\\u0007\",\"ipAddress\"",
    );
    let ran = run_with_input(folder.path(), &["check", "-"], text.as_bytes());
    assert!(
        !ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'),
        "{}",
        ran.text()
    );
    assert!(ran.stdout.contains("gone"));
}
