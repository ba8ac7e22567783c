//! Sets that come from feed files: good ones, and everything that may be wrong with one.

use std::collections::BTreeMap;

use super::{APP, at};
use crate::feed::lock::{Lock, Pin, PinnedSet};
use crate::feed::sha256;
use crate::policy::{
    Code, Compilation, FeedFile, FeedFiles, NoFeedFile, Source, compile_with_feeds, feed_files,
    feed_sets,
};
use crate::sign_in::SignIn;

const FILE: &str = "feeds/office.txt";
const OFFICE: &str = "192.0.2.0/28\n203.0.113.7\n";

fn source(keys: &str) -> Source {
    let text = format!(
        "version = 1\n[ranges]\noffice = {{ file = \"{FILE}\", format = \"plain\"{keys} }}\n[[app]]\nname = \"a\"\napp_id = \"{APP}\"\nallow.ips = [\"@office\"]\n"
    );
    Source {
        name: "policy.toml".to_owned(),
        text,
    }
}

fn files(content: Result<&str, NoFeedFile>, lock: Option<String>) -> FeedFiles {
    let file = content.map(|text| FeedFile {
        bytes: text.as_bytes().to_vec().into(),
        stands_in: false,
    });
    FeedFiles {
        files: BTreeMap::from([(FILE.to_owned(), file)]),
        lock: lock.map(Ok),
    }
}

fn locked(text: &str, prefixes: u64) -> Option<String> {
    let mut lock = Lock::default();
    lock.accept(Pin {
        file: FILE.to_owned(),
        url: None,
        sha256: sha256(text.as_bytes()),
        fetched: at("2026-11-01T00:00:00Z"),
        size_bytes: 1,
        sets: vec![PinnedSet {
            format: "plain".to_owned(),
            key: None,
            prefixes,
        }],
    });
    Some(lock.to_text().unwrap())
}

fn compiled(keys: &str, files: &FeedFiles) -> Compilation {
    compile_with_feeds(
        &[source(keys)],
        Some(at("2026-11-24T00:00:00Z")),
        &[],
        files,
    )
}

fn codes(keys: &str, files: &FeedFiles) -> Vec<String> {
    let compilation = compiled(keys, files);
    let faults = compilation.feed_faults.len();
    let codes: Vec<String> = compilation
        .diagnostics
        .iter()
        .map(|item| format!("{}:{} {}", item.line, item.column, item.code))
        .collect();
    assert_eq!(faults == 0, compilation.policy.is_some(), "{codes:?}");
    codes
}

#[test]
fn a_feed_is_a_set_like_any_other() {
    let compilation = compiled("", &files(Ok(OFFICE), locked(OFFICE, 2)));
    assert!(
        compilation.diagnostics.is_empty(),
        "{:?}",
        compilation.diagnostics
    );
    let policy = compilation.policy.unwrap();
    for (address, allowed) in [
        ("192.0.2.9", true),
        ("203.0.113.7", true),
        ("192.0.2.16", false),
    ] {
        let sign_in = SignIn {
            ip: address.parse().ok(),
            ..super::sign_in()
        };
        let judgement = policy.judge(&sign_in);
        assert_eq!(
            judgement.verdict == crate::verdict::Verdict::Allowed,
            allowed,
            "{address}"
        );
    }
    let feed = &policy.feeds[0];
    assert_eq!((feed.set.as_str(), feed.prefixes), ("office", 2));
    assert_eq!(feed.since, Some(at("2026-11-01T00:00:00Z")));
}

#[test]
fn says_what_is_wrong_with_a_feed() {
    let table = [
        (
            files(Err(NoFeedFile::Missing), None),
            "",
            "3:19 feed-missing",
        ),
        (FeedFiles::default(), "", "3:19 feed-missing"),
        (
            files(Err(NoFeedFile::Unreadable("x".into())), None),
            "",
            "3:19 feed-unreadable",
        ),
        (files(Ok("<html>"), None), "", "3:19 feed-unreadable"),
        (
            files(Ok(OFFICE), locked(OFFICE, 2)),
            ", key = \"a\"",
            "3:63 feed-key",
        ),
        (files(Ok("# none\n"), None), "", "3:19 feed-empty"),
        (files(Ok(OFFICE), locked("", 5)), "", "3:19 feed-shrank"),
        (files(Ok(OFFICE), locked("", 4)), "", "3:19 feed-changed"),
        (files(Ok(OFFICE), None), "", "3:19 feed-unpinned"),
        (
            files(Ok(OFFICE), locked(OFFICE, 2)),
            ", max_age = \"22d\"",
            "3:1 feed-stale",
        ),
        (
            files(Ok(OFFICE), Some("version = 9".into())),
            "",
            "3:1 feed-lock",
        ),
    ];
    for (files, keys, expected) in table {
        assert_eq!(codes(keys, &files), [expected]);
    }
    assert!(codes(", max_age = \"23d\"", &files(Ok(OFFICE), locked(OFFICE, 2))).is_empty());
    // A feed that allows everyone is no restriction.
    let wide = "0.0.0.0/0\n";
    assert_eq!(
        codes("", &files(Ok(wide), locked(wide, 1))),
        ["3:1 wide-range"]
    );
}

#[test]
fn what_stands_in_is_not_held_against_the_lock() {
    let mut files = files(Ok(OFFICE), locked("", 100));
    if let Some(Ok(file)) = files.files.get_mut(FILE) {
        file.stands_in = true;
    }
    assert!(codes("", &files).is_empty());
}

#[test]
fn the_hash_of_a_policy_is_that_of_its_feeds_too() {
    let hash = |text: &str| compiled("", &files(Ok(text), None)).policy.unwrap().hash;
    assert_eq!(hash(OFFICE), hash(OFFICE));
    assert_ne!(hash(OFFICE), hash("192.0.2.0/28\n"));
}

#[test]
fn a_bad_feed_is_named_with_its_code() {
    let compilation = compiled("", &files(Ok(OFFICE), locked("", 5)));
    let fault = &compilation.feed_faults[0];
    assert_eq!(
        (fault.set.as_str(), fault.file.as_str(), fault.code),
        ("office", FILE, Code::FeedShrank)
    );
    assert_eq!(
        fault.sha256.as_deref(),
        Some(sha256(OFFICE.as_bytes()).as_str())
    );
}

#[test]
fn finds_the_files_and_the_sets_that_are_made_of_them() {
    let second = Source {
        name: "b.toml".to_owned(),
        text: "[ranges]\nb = { \"f\\u0069le\" = \"b.csv\", format = \"csv\", key = \"net\" }\nc = { file = 3 }\nd = [\"192.0.2.1\"]\n".to_owned(),
    };
    let sources = [source(""), second];
    assert_eq!(feed_files(&sources), ["b.csv", FILE]);
    let sets = feed_sets(&sources);
    assert_eq!(sets["b.csv"][0].key.as_deref(), Some("net"));
    assert_eq!(sets[FILE][0].name, "office");
    assert!(feed_files(&[]).is_empty());
}

/// Prints the time; machines differ too much to hold it to one.
#[test]
fn a_hundred_thousand_ranges_compile() {
    let lines = (0_u32..100_000).map(|number| {
        let [_, a, b, c] = (number * 32).to_be_bytes();
        format!("10.{a}.{b}.{c}/28\n")
    });
    let text: String = lines.collect();
    let files = files(Ok(&text), None);
    let started = std::time::Instant::now();
    let policy = compiled("", &files).policy.unwrap();
    println!("100,000 ranges in {:?}", started.elapsed());
    assert_eq!(policy.range_count(), 100_000);
}
