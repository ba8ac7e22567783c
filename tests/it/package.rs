//! What is deployed: the list of `package.sh`, and the same by the rules of the Core Tools.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use regex::Regex;

use crate::schema::{HostJson, function_names, read};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What `./package.sh --list` says.
fn listed() -> BTreeSet<String> {
    let output = Command::new("./package.sh")
        .arg("--list")
        .current_dir(root())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// `.funcignore` as the Core Tools understand it (Azure/azure-functions-core-tools
/// `src/Cli/func/Common/GitIgnoreParser.cs`): each line is a pattern from the root on that ends at the end of a word, a
/// line with `!` beats all others, and the order does not count.
struct FuncIgnore {
    kept: Regex,
    left_out: Regex,
}

impl FuncIgnore {
    fn read(text: &str) -> Self {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let (kept, left_out): (Vec<&str>, Vec<&str>) =
            lines.partition(|line| line.starts_with('!'));
        let pattern = |lines: &[&str]| {
            let alternatives: Vec<String> = lines
                .iter()
                .map(|line| line.trim_start_matches('!'))
                .map(|line| line.strip_prefix('/').unwrap_or(line))
                .map(|line| {
                    let escaped = regex::escape(line);
                    let escaped = escaped.replace(r"\*\*", "(.+)");
                    format!("({})", escaped.replace(r"\*", "([^/]+)"))
                })
                .collect();
            Regex::new(&format!(r"^({})(?-u:\b)", alternatives.join("|"))).unwrap()
        };
        Self {
            kept: pattern(&kept),
            left_out: pattern(&left_out),
        }
    }

    fn accepts(&self, path: &str) -> bool {
        self.kept.is_match(path) || !self.left_out.is_match(path)
    }
}

/// Every file that a developer has there.
fn files() -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .unwrap();
    let tracked = String::from_utf8(output.stdout).unwrap();
    let mut files: Vec<String> = tracked.lines().map(str::to_owned).collect();
    // Without git's list, as in an unpacked archive, the least that is there.
    files.push("host.json".to_owned());
    let built = [
        "target/release/spwatch",
        "target/release/libspwatch.rlib",
        "target/release/deps/spwatch-0123456789abcdef",
        "target/release/build/spwatch-0123/out",
        "target/debug/spwatch",
        "target/package/spwatch.zip",
        "target/package/tree/host.json",
        "target/CACHEDIR.TAG",
        ".azurite/__azurite_db_blob__.json",
        ".spwatch/state/stream",
        "fuzz/target/x",
        "node_modules/azurite/package.json",
    ];
    files.extend(built.map(str::to_owned));
    files
}

#[test]
fn the_package_holds_what_the_host_needs_and_nothing_else() {
    let host: HostJson = read("host.json");
    let executable = host.custom_handler.description.default_executable_path;
    let mut expected: BTreeSet<String> = function_names()
        .iter()
        .map(|name| format!("{name}/function.json"))
        .chain(["host.json".to_owned(), executable])
        .collect();
    let mut found = listed();
    // The policies of this folder, and one of your own with its feeds.
    found.retain(|file| {
        !file.starts_with("policies/")
            && !file.starts_with("feeds/")
            && !["policy.toml", "feeds.lock"].contains(&file.as_str())
    });
    assert_eq!(found, expected);
    expected.insert("policies/demo.toml".to_owned());
    assert!(expected.is_subset(&listed()));
}

#[test]
fn the_core_tools_publish_the_same_files() {
    let ignore = FuncIgnore::read(&fs::read_to_string(root().join(".funcignore")).unwrap());
    // These they leave out whatever the file says.
    let never = [".funcignore", ".gitignore", "local.settings.json"];
    let mut published: BTreeSet<String> = files()
        .into_iter()
        .filter(|file| !never.contains(&file.as_str()) && ignore.accepts(file))
        .collect();
    let listed = listed();
    published.extend(listed.iter().filter(|file| ignore.accepts(file)).cloned());
    assert_eq!(published, listed);
    assert!(ignore.accepts("policy.toml") && ignore.accepts("policies/apps/payroll.toml"));
    assert!(ignore.accepts("feeds.lock") && ignore.accepts("feeds/github-meta.json"));
    // By those rules it would go along: the script takes it away.
    assert!(ignore.accepts("target/release/spwatch.d"));
    let script = fs::read_to_string(root().join("package.sh")).unwrap();
    assert!(script.contains("rm -f \"$executable.d\""));
}

#[test]
fn the_ignore_file_is_understood_as_the_core_tools_do() {
    let ignore = FuncIgnore::read("# a comment\n*\n!keep.json\n\n!/a/**\n");
    for accepted in ["keep.json", "keep.json.bak", "a/b", "a/b/c.txt"] {
        assert!(ignore.accepts(accepted), "{accepted}");
    }
    for denied in ["keep.jsonx", "x/keep.json", "a", "b/a/c", ".git/config"] {
        assert!(!ignore.accepts(denied), "{denied}");
    }
}
