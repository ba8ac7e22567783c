//! The policy in force: re-read when its files change, refused when it has errors, remembered
//! across cold starts.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use serde::{Deserialize, Serialize};
use tracing::{error, info, warn};

use crate::policy::{Policy, SecretRef, Sink, Source, compile, looks_like_secret};
use crate::policy_files::{PolicyTexts, Stamp};
use crate::sign_in::Timestamp;

/// The last accepted policy, as it is kept in the state folder.
#[derive(Serialize, Deserialize)]
struct Accepted {
    version: u32,
    /// The root file it was read from: a state folder may serve several policies in turn.
    root: PathBuf,
    sources: Vec<Source>,
}

/// Holds the policy in force.
#[derive(Debug)]
pub struct PolicyStore {
    root: PathBuf,
    kept: PathBuf,
    current: ArcSwapOption<Policy>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    stamp: Option<Stamp>,
    texts: Option<PolicyTexts>,
    unreadable: Option<String>,
}

impl PolicyStore {
    /// A store for a root file, with `state` as the folder for what must outlive the process.
    pub fn new(root: PathBuf, state: &Path) -> Self {
        Self {
            root,
            kept: state.join("policy").join("accepted.json"),
            current: ArcSwapOption::empty(),
            seen: Mutex::default(),
        }
    }

    /// The policy in force, if its files are as they were: a look at their times, and no more. `None` says nothing.
    pub fn unchanged(&self) -> Option<Arc<Policy>> {
        let seen = self.seen.try_lock().ok()?;
        self.current.load_full().filter(|_| self.is_same(&seen))
    }

    /// Whether the files are as they were seen.
    fn is_same(&self, seen: &Seen) -> bool {
        let stamp = Stamp::of(&self.root, seen.texts.as_ref(), SystemTime::now());
        let earlier = seen.stamp.as_ref();
        earlier.is_some_and(|earlier| stamp.is_same(earlier))
    }

    /// The policy in force, after a look at the files. Blocks on the disk.
    ///
    /// `None` where there never was a valid one.
    pub fn current(&self) -> Option<Arc<Policy>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_same(&seen) {
            self.look(&mut seen);
            // With the includes of what was just read, not of what was there before.
            seen.stamp = Some(Stamp::of(
                &self.root,
                seen.texts.as_ref(),
                SystemTime::now(),
            ));
        }
        if self.current.load().is_none() {
            self.recall();
        }
        self.current.load_full()
    }

    fn look(&self, seen: &mut Seen) {
        let texts = match PolicyTexts::read(&self.root) {
            Ok(texts) => texts,
            Err(problem) => {
                let problem = problem.to_string();
                if seen.unreadable.as_ref() != Some(&problem) {
                    error!(
                        policy.in_force = self.in_force(),
                        "cannot {problem}; the policy in force stays"
                    );
                }
                seen.unreadable = Some(problem);
                seen.texts = None;
                return;
            }
        };
        seen.unreadable = None;
        if seen.texts.as_ref() == Some(&texts) {
            return;
        }
        let compilation = texts.compile(Some(Timestamp::from(chrono::Utc::now())));
        match compilation.policy {
            Some(policy) => {
                info!(
                    policy.hash = policy.hash,
                    policy.apps = policy.apps.len(),
                    policy.warnings = compilation.diagnostics.warning_count(),
                    "policy accepted"
                );
                if !compilation.diagnostics.is_empty() {
                    warn!(
                        "the policy has warnings:\n{}",
                        compilation.diagnostics.render_text(false)
                    );
                }
                if policy.sinks.is_empty() {
                    warn!("the policy has no sink: every alert will be kept in `undelivered`");
                }
                self.remember(&policy, &texts.sources);
                self.current.store(Some(Arc::new(policy)));
            }
            None => error!(
                policy.in_force = self.in_force(),
                policy.errors = compilation.diagnostics.error_count(),
                "policy refused, the one in force stays:\n{}",
                compilation.diagnostics.render_text(false)
            ),
        }
        seen.texts = Some(texts);
    }

    fn in_force(&self) -> String {
        self.current
            .load()
            .as_ref()
            .map_or_else(|| "none".to_owned(), |policy| policy.hash.clone())
    }

    /// Keeps the accepted text. A full disk costs the memory of it, not the judging.
    fn remember(&self, policy: &Policy, sources: &[Source]) {
        let Some(sources) = without_secrets(policy, sources) else {
            warn!(
                "the accepted policy is not kept in the state folder: a secret in it could not be taken out"
            );
            return;
        };
        let accepted = Accepted {
            version: 1,
            root: self.root.clone(),
            sources,
        };
        let kept = serde_json::to_vec(&accepted).map_err(io::Error::other);
        if let Err(problem) = kept.and_then(|json| replace_file(&self.kept, &json)) {
            warn!("cannot keep the accepted policy in the state folder: {problem}");
        }
    }

    /// Takes the last accepted text out of the state folder.
    fn recall(&self) {
        let Ok(json) = fs::read(&self.kept) else {
            return;
        };
        let accepted: Accepted = match serde_json::from_slice(&json) {
            Ok(accepted) => accepted,
            Err(problem) => {
                warn!("the kept policy cannot be read: {problem}");
                return;
            }
        };
        if accepted.root != self.root {
            return;
        }
        // The includes were found when it was accepted: their texts are among the sources.
        if let Some(policy) = compile(&accepted.sources, None, &[]).policy {
            warn!(
                policy.hash = policy.hash,
                "the last accepted policy is in force"
            );
            self.current.store(Some(Arc::new(policy)));
        }
    }
}

/// Stands in kept texts for a secret that was written into the policy. A sink that needs it waits,
/// as with any setting that is missing, until the policy itself can be read again.
const NOT_KEPT: &str = "env:SPWATCH_SECRET_NOT_KEPT";

/// The sources without the secrets that were written into them; `None` where one cannot be found as
/// it stands (it is spelt with escapes).
fn without_secrets(policy: &Policy, sources: &[Source]) -> Option<Vec<Source>> {
    let mut sources = sources.to_vec();
    let misplaced = sources
        .iter()
        .flat_map(misplaced_secrets)
        .collect::<Vec<_>>();
    let secrets = policy.sinks.values().flat_map(literals).map(str::to_owned);
    for secret in secrets.chain(misplaced) {
        let mut found = false;
        for source in &mut sources {
            found |= source.text.contains(&secret);
            source.text = source.text.replace(&secret, NOT_KEPT);
        }
        if !found {
            return None;
        }
    }
    Some(sources)
}

/// What stands in an app's `secret`, where its place is asked for, and looks like the secret itself.
fn misplaced_secrets(source: &Source) -> Vec<String> {
    let Ok(table) = source
        .text
        .trim_start_matches('\u{feff}')
        .parse::<toml::Table>()
    else {
        return Vec::new();
    };
    let apps = table
        .get("app")
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten();
    apps.filter_map(|app| app.get("secret")?.as_str())
        .filter(|secret| looks_like_secret(secret))
        .map(str::to_owned)
        .collect()
}

fn literals(sink: &Sink) -> impl Iterator<Item = &str> {
    let references = sink
        .url
        .iter()
        .chain(&sink.secret)
        .chain(sink.secret_settings());
    references.filter_map(move |reference| match reference {
        SecretRef::Literal(value) if !value.is_empty() && !is_local_test(sink, value) => {
            Some(value.as_str())
        }
        _ => None,
    })
}

/// A loopback address of a local test leads nobody anywhere.
fn is_local_test(sink: &Sink, value: &str) -> bool {
    sink.insecure
        && ["http://127.0.0.1:", "http://localhost:", "http://[::1]:"]
            .iter()
            .any(|start| value.starts_with(start))
}

/// Writes a file so that a crash leaves the old one or the new one, whole.
fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path
        .parent()
        .ok_or_else(|| io::Error::other("a path without a folder"))?;
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "version = 1\n[[app]]\nname = \"a\"\nmatch = { name = \"a\" }\nallow.places = [\"CH\"]\n";

    fn store(folder: &Path) -> PolicyStore {
        PolicyStore::new(folder.join("policy.toml"), &folder.join("state"))
    }

    #[test]
    fn a_bad_policy_is_refused_and_the_last_good_one_survives_a_cold_start() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.toml");
        let first = store(folder.path());
        assert!(first.current().is_none());
        fs::write(&file, GOOD).unwrap();
        let good = first.current().unwrap().hash.clone();
        fs::write(&file, GOOD.replace("allow", "alow")).unwrap();
        assert_eq!(first.current().unwrap().hash, good);
        assert_eq!(store(folder.path()).current().unwrap().hash, good);
        fs::remove_file(&file).unwrap();
        assert_eq!(first.current().unwrap().hash, good);
        assert_eq!(store(folder.path()).current().unwrap().hash, good);
        fs::write(&file, GOOD.replace("CH", "DE")).unwrap();
        assert_ne!(first.current().unwrap().hash, good);
    }

    #[test]
    fn a_changed_or_new_include_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let apps = folder.path().join("apps");
        fs::create_dir(&apps).unwrap();
        fs::write(
            folder.path().join("policy.toml"),
            "version = 1\ninclude = [\"apps/*.toml\"]\n",
        )
        .unwrap();
        fs::write(apps.join("a.toml"), GOOD.replace("version = 1", "")).unwrap();
        let store = store(folder.path());
        assert_eq!(store.current().unwrap().apps.len(), 1);
        fs::write(
            apps.join("b.toml"),
            GOOD.replace("version = 1", "").replace("\"a\"", "\"b\""),
        )
        .unwrap();
        assert_eq!(store.current().unwrap().apps.len(), 2);
        fs::remove_file(apps.join("a.toml")).unwrap();
        assert_eq!(store.current().unwrap().apps.len(), 1);
    }

    #[test]
    fn kept_texts_hold_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let misplaced = "secret = \"abC8Q~dEfGh1jKlM2nOpQr3sTuVwX4yZaBcDeF5g\"\n";
        let sink = "[sinks.soc]\ntype = \"webhook\"\nurl = \"https://hook.example/T0PSECRET\"\n\
            [sinks.splunk]\ntype = \"splunk\"\nurl = \"env:HEC\"\ntoken = \"T0PSECRETTOKEN\"\nindex = \"a\"\n";
        fs::write(
            folder.path().join("policy.toml"),
            format!("{GOOD}{misplaced}{sink}"),
        )
        .unwrap();
        let first = store(folder.path());
        assert!(first.current().is_some());
        let kept = fs::read_to_string(&first.kept).unwrap();
        assert!(!kept.contains("T0PSECRET") && !kept.contains("abC8Q") && kept.contains(NOT_KEPT));
        // What is no secret stays as it is, there and wherever else the same letters stand.
        assert!(kept.contains(r#"index = \"a\""#) && kept.contains("[[app]]"));
        fs::remove_file(folder.path().join("policy.toml")).unwrap();
        assert!(store(folder.path()).current().is_some());
    }
}
