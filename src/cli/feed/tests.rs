//! Feeds added and updated in a folder, with addresses that are answered by a table.

use clap::Parser as _;

use super::*;

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

const POLICY: &str =
    "version = 1\n[ranges]\noffice = { file = \"feeds/office.txt\", format = \"plain\" }\n";
const URL: &str = "https://feeds.example/office";

/// Runs the command in a folder; what is at the address.
fn run_in(
    folder: &Path,
    arguments: &[&str],
    answer: Option<&str>,
) -> (anyhow::Result<Exit>, String) {
    let policy = folder.join("policy.toml");
    let mut line = vec!["feed"];
    line.extend(arguments);
    let policy = policy.to_str().unwrap();
    line.extend(["--policy", policy, "--now", "2026-11-24T08:00:00Z"]);
    let line = Line::try_parse_from(line).unwrap();
    let fetch = |url: &str| match answer {
        Some(text) if url == URL => Ok(text.as_bytes().to_vec()),
        _ => bail!("the server answered 404"),
    };
    let mut out = Vec::new();
    let exit = match &line.arguments.command {
        Command::Add(add) => add.run(&fetch, &mut out),
        Command::Update(update) => update.run(&fetch, &mut out),
    };
    (exit, String::from_utf8(out).unwrap())
}

fn lock(folder: &Path) -> Lock {
    Lock::parse(&fs::read_to_string(folder.join(lock::NAME)).unwrap()).unwrap()
}

#[test]
fn a_feed_is_added_and_updated() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let add = ["add", "office", "--format", "plain", "--url", URL];
    let (exit, text) = run_in(folder, &add, Some("192.0.2.1\n192.0.2.2\n192.0.2.3\n"));
    assert_eq!(exit.unwrap(), Exit::Clean);
    let line = "office = { file = \"feeds/office.txt\", format = \"plain\", max_age = \"30d\" }\n";
    assert!(text.ends_with(line), "{text}");
    assert_eq!(
        lock(folder).pin("feeds/office.txt").unwrap().url.as_deref(),
        Some(URL)
    );
    fs::write(
        folder.join("policy.toml"),
        format!("version = 1\n[ranges]\n{line}"),
    )
    .unwrap();

    let (exit, text) = run_in(
        folder,
        &["update"],
        Some("192.0.2.1\n192.0.2.2\n192.0.2.4\n"),
    );
    assert_eq!(exit.unwrap(), Exit::Clean);
    for part in [
        "written",
        "@office: 3 ranges, 1 added, 1 removed",
        "+ 192.0.2.4",
        "- 192.0.2.3",
    ] {
        assert!(text.contains(part), "{text}");
    }
    // What shrinks, is empty or is not there changes nothing.
    let before = fs::read_to_string(folder.join(lock::NAME)).unwrap();
    for answer in [Some("192.0.2.1\n"), Some(""), Some("<html>"), None] {
        let (exit, text) = run_in(folder, &["update", "office"], answer);
        assert_eq!(exit.unwrap(), Exit::Failed, "{answer:?}: {text}");
        assert_eq!(fs::read_to_string(folder.join(lock::NAME)).unwrap(), before);
    }
    let (exit, text) = run_in(
        folder,
        &["update", "office", "--accept-shrink"],
        Some("192.0.2.1\n"),
    );
    assert_eq!(exit.unwrap(), Exit::Clean, "{text}");
    let (_, text) = run_in(folder, &["update"], Some("192.0.2.1\n"));
    assert!(text.contains("unchanged"), "{text}");
}

#[test]
fn a_download_is_taken_and_keeps_the_address() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("policy.toml"), POLICY).unwrap();
    let download = folder.join("download.txt");
    fs::write(&download, "192.0.2.1\n").unwrap();
    // Nothing is known of where it comes from.
    let (exit, _) = run_in(folder, &["update"], None);
    assert_eq!(exit.unwrap(), Exit::Clean);
    let (exit, _) = run_in(folder, &["update", "office"], None);
    assert_eq!(exit.unwrap(), Exit::Failed);
    let (exit, _) = run_in(
        folder,
        &["update", "office", "--url", URL],
        Some("192.0.2.1\n"),
    );
    assert_eq!(exit.unwrap(), Exit::Clean);
    let file = download.to_str().unwrap();
    let (exit, _) = run_in(folder, &["update", "office", "--file", file], None);
    assert_eq!(exit.unwrap(), Exit::Clean);
    assert_eq!(
        lock(folder).pin("feeds/office.txt").unwrap().url.as_deref(),
        Some(URL)
    );
    // As the diagnostic has it: the file that the policy names, pinned where it lies.
    fs::remove_file(folder.join(lock::NAME)).unwrap();
    let add = [
        "add",
        "office",
        "--format",
        "plain",
        "--file",
        "feeds/office.txt",
    ];
    let (exit, text) = run_in(folder, &add, None);
    assert_eq!(exit.unwrap(), Exit::Clean);
    assert!(
        text.contains("unchanged") && !text.contains("[ranges]"),
        "{text}"
    );
}

#[test]
fn a_set_of_the_policy_is_not_added_as_another() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("policy.toml"), POLICY).unwrap();
    let add = ["add", "office", "--format", "csv", "--url", URL];
    let (exit, _) = run_in(folder, &add, Some("192.0.2.1\n"));
    assert!(
        exit.unwrap_err()
            .to_string()
            .contains("another format or key")
    );
    let (exit, _) = run_in(folder, &["update", "offise"], None);
    assert!(
        exit.unwrap_err()
            .to_string()
            .contains("did you mean office?")
    );
    assert!(
        without_address(&[Wanted {
            name: "a".to_owned(),
            format: Format::AzureServiceTags,
            key: None
        }])
        .contains(AZURE_PAGE)
    );
}
