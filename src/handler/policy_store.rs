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

use crate::policy::{Policy, Source, compile};
use crate::policy_files::{PolicyTexts, Stamp};
use crate::sign_in::Timestamp;

/// The last accepted policy, as it is kept in the state folder.
#[derive(Serialize, Deserialize)]
struct Accepted {
    version: u32,
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

    /// The policy in force, after a look at the files. Blocks on the disk.
    ///
    /// `None` where there never was a valid one.
    pub fn current(&self) -> Option<Arc<Policy>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = Stamp::of(&self.root, seen.texts.as_ref(), SystemTime::now());
        let same = seen
            .stamp
            .as_ref()
            .is_some_and(|earlier| stamp.is_same(earlier));
        if !same {
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
                self.current.store(Some(Arc::new(policy)));
                self.remember(&texts.sources);
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
    fn remember(&self, sources: &[Source]) {
        let accepted = Accepted {
            version: 1,
            sources: sources.to_vec(),
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
