//! Any text compiles to a policy or to diagnostics: no panic, no leak, no long wait.

use std::time::Instant;

use proptest::prelude::*;

use super::super::{Policy, Source, compile, includes};
use super::{SAMPLE, at, compile_text, sign_in};

const MISTAKES: &str = include_str!("mistakes.toml");

fn survives(text: &str) {
    let source = Source {
        name: "policy.toml".into(),
        text: text.into(),
    };
    let _ = includes(&source);
    let compilation = compile(&[source], Some(at("2026-11-24T00:00:00Z")), &[]);
    assert_eq!(
        compilation.policy.is_none(),
        compilation.diagnostics.has_errors()
    );
    let _ = compilation.diagnostics.render_text(true);
    let plain = compilation.diagnostics.render_text(false);
    let _ = compilation.diagnostics.render_json();
    for item in &compilation.diagnostics {
        let head = format!("--> {}:{}:{}\n", item.file, item.line, item.column);
        assert!(plain.contains(&head), "{head} in {plain}");
        assert!((item.end_line, item.end_column) >= (item.line, item.column));
    }
    if let Some(policy) = &compilation.policy {
        let made = sign_in();
        let judgement = policy.judge(&made);
        let _ = (policy.reasons(&made, &judgement), policy.checks(&made));
        let _ = policy.run_tests(made.time);
    }
}

/// A valid or a faulty policy with a few stretches replaced.
fn mutated() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just(String::new()),
        Just("\"".to_owned()),
        Just("[[".to_owned()),
        Just("]\n".to_owned()),
        Just("= \n".to_owned()),
        Just("\r\n\u{feff}".to_owned()),
        Just("@".to_owned()),
        Just("ü\t{".to_owned()),
        ".{0,4}",
    ];
    let cut = (any::<prop::sample::Index>(), 0usize..12, piece);
    (prop::bool::ANY, prop::collection::vec(cut, 1..4)).prop_map(|(valid, cuts)| {
        let mut letters: Vec<char> = if valid { SAMPLE } else { MISTAKES }.chars().collect();
        for (place, length, piece) in cuts {
            let start = place.index(letters.len().max(1)).min(letters.len());
            let end = (start + length).min(letters.len());
            letters.splice(start..end, piece.chars());
        }
        letters.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_text(text in "(?s).{0,120}|[\\[\\]a-z=\"'{}.,\n#@0-9 -]{0,120}") {
        survives(&text);
    }

    #[test]
    fn any_damage(text in mutated()) {
        survives(&text);
    }

    #[test]
    fn damage_shows_no_secret(place in any::<prop::sample::Index>(), length in 1usize..6) {
        let secret = "whsec_s3cr3tV4lu3Xy9ZqAb8";
        let policy = format!("version = 1\n[sinks.soc]\ntype = \"webhook\"\nurl = \"env:A\"\nsecret = \"{secret}\"\n[[app]]\nname = \"a\"\n");
        let at = place.index(policy.len() - length);
        let mut text = policy.clone();
        text.replace_range(at..at + length, "");
        let compilation = compile_text(&text);
        // A cut may go through the secret itself: its halves are no less secret.
        let shown = format!("{}{:?}", compilation.diagnostics.render_text(false), compilation);
        prop_assert!(!shown.contains("s3cr3tV4lu3"), "{}\n{}", text, shown);
    }
}

#[test]
fn deep_and_long_chains_do_not_overflow() {
    survives(&format!("version = 1\nx = {}", "[".repeat(100_000)));
    survives(&format!("version = 1\n{}x = 1", "a.".repeat(5_000)));
    let chain: String = (0..20_000)
        .map(|n| format!("s{n} = [\"@s{}\"]\n", n + 1))
        .collect();
    survives(&format!(
        "version = 1\n[ranges]\n{chain}s20000 = [\"@s0\"]\n"
    ));
    survives(&format!(
        "version = 1\n[ranges]\n{chain}s20000 = [\"10.0.0.1\"]\n"
    ));
    // Each set twice the one before, if it were copied.
    let doubling: String = (0..60)
        .map(|n| format!("s{} = [\"@s{n}\", \"@s{n}\"]\n", n + 1))
        .collect();
    survives(&format!(
        "version = 1\n[ranges]\ns0 = [\"10.0.0.1\"]\n{doubling}"
    ));
}

#[test]
fn mistakes_on_one_long_line_are_located_in_time() {
    let ranges = "\"ü\", \"10.0.0.1/8\", ".repeat(50_000);
    let text = format!("version = 1\n[ranges]\nbig = [{ranges}]\n");
    let start = Instant::now();
    let compilation = compile_text(&text);
    assert_eq!(compilation.diagnostics.len(), 100_001);
    let last = compilation.diagnostics.iter().last().unwrap();
    assert_eq!(last.column, 8 + 49_999 * 19 + 5);
    assert!(compilation.diagnostics.render_text(false).len() > 1_000_000);
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

#[test]
fn policies_cross_threads() {
    fn is_send_and_sync<T: Send + Sync + 'static>() {}
    is_send_and_sync::<Policy>();
}

#[test]
fn the_hash_tells_files_apart() {
    let hash = |files: &[(&str, &str)]| {
        let sources: Vec<_> = files
            .iter()
            .map(|(name, text)| Source {
                name: (*name).into(),
                text: (*text).into(),
            })
            .collect();
        compile(&sources, None, &[]).policy.unwrap().hash
    };
    let one = hash(&[("a", "version = 1\n"), ("b", "#\n")]);
    let two = hash(&[("a", "version = 1\n#\n"), ("b", "")]);
    assert_eq!(one.len(), 64);
    assert_ne!(one, two);
    assert_eq!(one, hash(&[("a", "version = 1\n"), ("b", "#\n")]));
}

/// Limits that hold with room to spare even without optimisation; what a release build takes is
/// printed with `--nocapture`.
#[test]
fn large_policies_compile_in_time() {
    let app = |n: usize, lines: &str| {
        format!(
            "[[app]]\nname = \"app {n}\"\napp_id = \"00000000-0000-0000-0000-{n:012x}\"\n{lines}\n"
        )
    };
    let ranges: String = (0..100_000u32)
        .map(|n| format!("\"{}/31\", ", std::net::Ipv4Addr::from(0x0a00_0000 + n * 4)))
        .collect();
    let listed = format!(
        "version = 1\n[ranges]\nbig = [{ranges}]\n{}",
        app(1, "allow.ips = [\"@big\"]")
    );
    let entries: String = (0..10_000)
        .map(|n| app(n, "allow.ips = [\"@home\"]\nallow.places = [\"CH\"]"))
        .collect();
    let many =
        format!("version = 1\n[ranges]\nhome = [\"192.0.2.0/24\", \"198.51.100.0/24\"]\n{entries}");
    for (what, text) in [("100,000 ranges", listed), ("10,000 entries", many)] {
        let start = Instant::now();
        let compilation = compile_text(&text);
        let elapsed = start.elapsed();
        println!("{what}: {elapsed:?}");
        assert!(compilation.diagnostics.is_empty());
        assert!(elapsed.as_secs() < 20, "{what}: {elapsed:?}");
    }
}
