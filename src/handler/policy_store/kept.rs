//! The last accepted policy as it is kept: its texts, without the secrets that were written into them.

use serde::{Deserialize, Serialize};

use crate::policy::{Policy, Sink, Source, looks_like_secret};
use crate::sign_in::Timestamp;

/// The document's name.
pub(super) const NAME: &str = "policy/accepted.json";

/// The document that says what was refused last.
pub(super) const REFUSED: &str = "policy/refused.json";

/// A policy that was refused, and when that was so first.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Refusal {
    pub(super) hash: String,
    pub(super) at: Timestamp,
}

/// The last accepted policy.
#[derive(Serialize, Deserialize)]
pub(super) struct Accepted {
    version: u32,
    /// The root that it was read from: a state folder may serve several policies in turn.
    root: String,
    pub(super) sources: Vec<Source>,
    /// The hash it had.
    #[serde(default)]
    hash: String,
    /// When it was first accepted.
    #[serde(default)]
    pub(super) accepted: Option<Timestamp>,
}

impl Accepted {
    /// `None` where a secret cannot be taken out.
    pub(super) fn new(
        root: String,
        policy: &Policy,
        sources: &[Source],
        now: Timestamp,
    ) -> Option<Self> {
        Some(Self {
            version: 1,
            root,
            sources: without_secrets(policy, sources)?,
            hash: policy.hash.clone(),
            accepted: Some(now),
        })
    }

    /// Whether it is the same policy, accepted at another time.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.is_of(&other.root) && self.hash == other.hash && self.sources == other.sources
    }

    /// Whether it is the policy of that root.
    pub(super) fn is_of(&self, root: &str) -> bool {
        self.version == 1 && self.root == root
    }
}

/// Stands in kept texts for a secret that was written into the policy. A sink that needs it waits,
/// as with any setting that is missing, until the policy itself can be read again.
pub(super) const NOT_KEPT: &str = "env:SPWATCH_SECRET_NOT_KEPT";

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
    sink.literal_secrets()
        .filter(|value| !is_local_test(sink, value))
}

/// A loopback address of a local test leads nobody anywhere.
fn is_local_test(sink: &Sink, value: &str) -> bool {
    sink.insecure
        && ["http://127.0.0.1:", "http://localhost:", "http://[::1]:"]
            .iter()
            .any(|start| value.starts_with(start))
}
