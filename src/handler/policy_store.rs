//! The policy in force: re-read when it changes, refused when it has errors, remembered across cold starts.

mod feeds;
mod kept;

use std::path::PathBuf;
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tracing::{error, info, warn};

use crate::alert::own::{RefusedPolicy, UnwellFeed};
use crate::policy::{Compilation, FeedFiles, Policy, compile_with_feeds, feed_files};
use crate::policy_blobs::{BlobStamp, PolicyBlobs, ReadBlobsError};
use crate::policy_files::{PolicyTexts, Stamp};
use crate::sign_in::Timestamp;
use crate::state::State;
use feeds::Contents;
use kept::{Accepted, Refusal};

/// A policy in a container is looked at this often: each look is a request.
const BLOB_LOOKS: Duration = Duration::from_secs(10);
/// Whoever misses something in the policy may have it looked at again this often.
const RELOADS: Duration = Duration::from_secs(2);

/// Where a policy is read.
#[derive(Debug, Clone)]
pub enum PolicySource {
    /// On disk.
    File(PathBuf),
    /// In Azure Blob storage.
    Blobs(PolicyBlobs),
}

/// Holds the policy in force.
#[derive(Debug)]
pub struct PolicyStore {
    source: PolicySource,
    state: State,
    current: ArcSwapOption<Policy>,
    seen: Mutex<Seen>,
    refused: SyncMutex<Option<RefusedPolicy>>,
    since: SyncMutex<Option<Timestamp>>,
    unwell: SyncMutex<Vec<UnwellFeed>>,
}

#[derive(Debug, Default)]
struct Seen {
    stamp: Option<AnyStamp>,
    texts: Option<PolicyTexts>,
    unreadable: Option<String>,
    looked: Option<Instant>,
    /// What the feeds held that the policy in force was made of.
    good_feeds: Contents,
}

#[derive(Debug)]
enum AnyStamp {
    File(Stamp),
    Blobs(BlobStamp),
}

/// Whether the state store answered just now: nobody waits for it twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Store {
    IsThere,
    IsAway,
}

/// What a look at the source found.
enum Look {
    Same,
    Texts(PolicyTexts, AnyStamp),
    /// It cannot be read.
    Problem(String),
    /// Nothing is known of it: the store is away.
    Away(String),
}

impl PolicyStore {
    /// A store for a policy, with `state` for what must outlive the process.
    pub fn new(source: PolicySource, state: State) -> Self {
        Self {
            source,
            state,
            current: ArcSwapOption::empty(),
            seen: Mutex::default(),
            refused: SyncMutex::default(),
            since: SyncMutex::default(),
            unwell: SyncMutex::default(),
        }
    }

    /// The name of the root.
    pub fn name(&self) -> String {
        match &self.source {
            PolicySource::File(path) => path.display().to_string(),
            PolicySource::Blobs(blobs) => blobs.name(),
        }
    }

    /// The policy in force, if what it was read from is as it was: a look at times, and no more. `None` says nothing.
    pub fn unchanged(&self) -> Option<Arc<Policy>> {
        if self.is_watched() {
            return self.current.load_full();
        }
        let seen = self.seen.try_lock().ok()?;
        self.current.load_full().filter(|_| self.is_same(&seen))
    }

    /// Whether nobody needs to look at the source, since [`PolicyStore::watch`] does.
    fn is_watched(&self) -> bool {
        matches!(self.source, PolicySource::Blobs(_))
    }

    /// Looks at a policy in a container from time to time, so that no batch waits for the store. Ends at once for one
    /// on disk, where each batch looks for itself.
    pub async fn watch(&self) {
        while self.is_watched() {
            tokio::time::sleep(BLOB_LOOKS).await;
            let mut seen = self.seen.lock().await;
            if !self.is_same(&seen) {
                self.look(&mut seen).await;
            }
        }
    }

    /// The policy that stays out of force because it has errors or cannot be read.
    pub fn refused(&self) -> Option<RefusedPolicy> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.clone()
    }

    /// When the policy in force was first accepted, by this process or by one before it.
    pub fn in_force_since(&self) -> Option<Timestamp> {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_in_force_since(&self, time: Option<Timestamp>) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = time;
    }

    /// Whether the source is as it was seen.
    fn is_same(&self, seen: &Seen) -> bool {
        match (&self.source, &seen.stamp) {
            (PolicySource::File(root), Some(AnyStamp::File(earlier))) => {
                Stamp::of(root, seen.texts.as_ref(), SystemTime::now()).is_same(earlier)
            }
            (PolicySource::File(_), _) => false,
            (PolicySource::Blobs(_), _) => seen.looked_within(BLOB_LOOKS / 2),
        }
    }

    /// The policy in force, after a look at the source.
    ///
    /// `None` where there never was a valid one.
    pub async fn current(&self) -> Option<Arc<Policy>> {
        if self.is_watched()
            && let Some(policy) = self.current.load_full()
        {
            return Some(policy);
        }
        let mut seen = self.seen.lock().await;
        if !self.is_same(&seen) {
            self.look(&mut seen).await;
        }
        if self.current.load().is_none() {
            self.recall().await;
        }
        self.current.load_full()
    }

    /// As [`PolicyStore::current`], for whoever misses something in it.
    pub async fn reload(&self) -> Option<Arc<Policy>> {
        let mut seen = self.seen.lock().await;
        if !seen.looked_within(RELOADS) {
            self.look(&mut seen).await;
        }
        self.current.load_full()
    }

    async fn look(&self, seen: &mut Seen) {
        let found = match &self.source {
            PolicySource::File(root) => look_at_file(root.clone()).await,
            PolicySource::Blobs(blobs) => look_at_blobs(blobs, seen).await,
        };
        seen.looked = Some(Instant::now());
        let (texts, stamp) = match found {
            Look::Same => return,
            Look::Away(problem) => {
                self.cannot_read(seen, &problem);
                return;
            }
            Look::Problem(problem) => {
                if self.cannot_read(seen, &problem) {
                    self.refuse(0, &problem, &problem).await;
                }
                seen.stamp = None;
                seen.texts = None;
                return;
            }
            Look::Texts(texts, stamp) => (texts, stamp),
        };
        seen.unreadable = None;
        seen.stamp = Some(stamp);
        if seen.texts.as_ref() == Some(&texts) {
            return;
        }
        let Some((compilation, feeds)) = self.compile(&texts, seen).await else {
            error!(
                event = "policy-unreadable",
                "compiling the policy stopped; the one in force stays"
            );
            return;
        };
        if let Some(store) = self.take(&texts, compilation).await {
            self.keep_feeds(seen, &feeds, store).await;
        }
        seen.texts = Some(texts);
    }

    /// Says once that it cannot be read; whether it was not said before.
    fn cannot_read(&self, seen: &mut Seen, problem: &str) -> bool {
        let new = seen.unreadable.as_deref() != Some(problem);
        if new {
            error!(
                event = "policy-unreadable",
                policy.in_force = self.in_force(),
                "cannot {problem}; the policy in force stays"
            );
            seen.unreadable = Some(problem.to_owned());
        }
        new
    }

    /// Puts a policy in force, or refuses it: `None`. Else what the state store is good for.
    async fn take(&self, texts: &PolicyTexts, compilation: Compilation) -> Option<Store> {
        let problems = || compilation.diagnostics.render_text(false);
        let Some(policy) = compilation.policy else {
            let errors = compilation.diagnostics.error_count();
            error!(
                event = "policy-refused",
                policy.in_force = self.in_force(),
                policy.errors = errors,
                "policy refused, the one in force stays:\n{}",
                problems()
            );
            let whole: String = texts
                .sources
                .iter()
                .flat_map(|source| [source.name.as_str(), "\0", source.text.as_str(), "\0"])
                .collect();
            self.refuse(errors, &whole, &problems()).await;
            return None;
        };
        info!(
            event = "policy-accepted",
            policy.hash = policy.hash,
            policy.apps = policy.apps.len(),
            policy.warnings = compilation.diagnostics.warning_count(),
            "policy accepted"
        );
        if !compilation.diagnostics.is_empty() {
            warn!(
                event = "policy-warnings",
                "the policy has warnings:\n{}",
                problems()
            );
        }
        if policy.sinks.is_empty() {
            warn!(
                event = "policy-without-sink",
                "the policy has no sink: every alert will be kept in `undelivered`"
            );
        }
        let now = super::now();
        let kept = Accepted::new(self.name(), &policy, &texts.sources, now);
        self.is_in_force_since(Some(now));
        self.current.store(Some(Arc::new(policy)));
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Some(self.remember(kept).await)
    }

    async fn refuse(&self, errors: usize, what: &str, problems: &str) {
        let digest = Sha256::digest(what);
        let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let refused = RefusedPolicy {
            at: self.first_refused(&hash).await,
            name: self.name(),
            hash,
            in_force: self
                .current
                .load()
                .as_ref()
                .map(|policy| policy.hash.clone()),
            errors,
            problems: problems.to_owned(),
        };
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused);
    }

    /// When the same texts were refused first, by whichever process; now, where that is not known.
    async fn first_refused(&self, hash: &str) -> Timestamp {
        let refusal = Refusal {
            hash: hash.to_owned(),
            at: super::now(),
        };
        let at = refusal.at;
        let noting = self
            .state
            .change(kept::REFUSED, move |known: Option<Refusal>| match known {
                Some(known) if known.hash == refusal.hash => (None, known.at),
                _ => (Some(refusal.clone()), refusal.at),
            });
        noting.await.unwrap_or(at)
    }

    fn in_force(&self) -> String {
        self.current
            .load()
            .as_ref()
            .map_or_else(|| "none".to_owned(), |policy| policy.hash.clone())
    }

    /// Keeps the accepted text, unless it is kept already. A full disk costs the memory of it, not the judging.
    async fn remember(&self, accepted: Option<Accepted>) -> Store {
        let Some(accepted) = accepted else {
            warn!(
                event = "policy-not-kept",
                "the accepted policy is not kept in the state store: a secret in it could not be taken out"
            );
            return Store::IsThere;
        };
        match self.kept().await {
            Ok(Some(known)) if known.is_same(&accepted) => {
                self.is_in_force_since(known.accepted.or(accepted.accepted));
                return Store::IsThere;
            }
            Ok(_) => {}
            // Nobody waits for the store twice.
            Err(()) => return Store::IsAway,
        }
        let Ok(json) = serde_json::to_vec(&accepted) else {
            return Store::IsThere;
        };
        if let Err(problem) = self.state.write(kept::NAME, json).await {
            warn!(
                event = "policy-not-kept",
                "the accepted policy is not kept for a cold start: {}",
                problem.whole()
            );
            return Store::IsAway;
        }
        Store::IsThere
    }

    /// The last accepted text of the state store, whichever policy it was of; an error is logged.
    async fn kept(&self) -> Result<Option<Accepted>, ()> {
        match self.state.read(kept::NAME).await {
            Ok(Some(document)) => Ok(document.json::<Accepted>(kept::NAME)),
            Ok(None) => Ok(None),
            Err(problem) => {
                warn!(
                    event = "policy-not-kept",
                    "the accepted policy is not kept for a cold start, nor an earlier one at hand: {}",
                    problem.whole()
                );
                Err(())
            }
        }
    }

    /// Takes the last accepted text out of the state store.
    async fn recall(&self) {
        let accepted = self.kept().await.ok().flatten();
        let Some(accepted) = accepted.filter(|accepted| accepted.is_of(&self.name())) else {
            return;
        };
        // The includes were found when it was accepted: their texts are among the sources.
        let feeds = match feed_files(&accepted.sources).is_empty() {
            true => FeedFiles::default(),
            false => feeds::stand_ins(self.kept_feeds().await),
        };
        if let Some(policy) = compile_with_feeds(&accepted.sources, None, &[], &feeds).policy {
            warn!(
                event = "policy-recalled",
                policy.hash = policy.hash,
                "the last accepted policy is in force"
            );
            if let Some(refused) = &mut *self.refused.lock().unwrap_or_else(PoisonError::into_inner)
            {
                refused.in_force.get_or_insert(policy.hash.clone());
            }
            self.is_in_force_since(accepted.accepted);
            self.current.store(Some(Arc::new(policy)));
        }
    }
}

impl Seen {
    fn looked_within(&self, time: Duration) -> bool {
        self.looked.is_some_and(|looked| looked.elapsed() < time)
    }
}

async fn look_at_file(root: PathBuf) -> Look {
    let reading = tokio::task::spawn_blocking(move || match PolicyTexts::read(&root) {
        Ok(texts) => {
            // With the includes of what was just read, not of what was there before.
            let stamp = Stamp::of(&root, Some(&texts), SystemTime::now());
            Look::Texts(texts, AnyStamp::File(stamp))
        }
        Err(problem) => Look::Problem(problem.to_string()),
    });
    let stopped = |_| Look::Away("read the policy: the reading stopped".to_owned());
    reading.await.unwrap_or_else(stopped)
}

async fn look_at_blobs(blobs: &PolicyBlobs, seen: &Seen) -> Look {
    let known = match (&seen.stamp, &seen.texts) {
        (Some(AnyStamp::Blobs(stamp)), Some(texts)) => Some((stamp, texts)),
        _ => None,
    };
    match blobs.read(known).await {
        Ok(None) => Look::Same,
        Ok(Some((stamp, texts))) => Look::Texts(texts, AnyStamp::Blobs(stamp)),
        Err(problem @ ReadBlobsError::Away { .. }) => Look::Away(problem.to_string()),
        Err(problem) => Look::Problem(problem.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::state::Location;

    const GOOD: &str =
        "version = 1\n[[app]]\nname = \"a\"\nmatch = { name = \"a\" }\nallow.places = [\"CH\"]\n";

    fn store(folder: &Path) -> PolicyStore {
        let state = State::open(&Location::Directory(folder.join("state"))).unwrap();
        PolicyStore::new(PolicySource::File(folder.join("policy.toml")), state)
    }

    #[tokio::test]
    async fn a_bad_policy_is_refused_and_the_last_good_one_survives_a_cold_start() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.toml");
        let first = store(folder.path());
        assert!(first.current().await.is_none());
        fs::write(&file, GOOD).unwrap();
        let good = first.current().await.unwrap().hash.clone();
        let since = first.in_force_since().unwrap();
        fs::write(&file, GOOD.replace("allow", "alow")).unwrap();
        assert_eq!(first.current().await.unwrap().hash, good);
        assert_eq!(store(folder.path()).current().await.unwrap().hash, good);
        fs::remove_file(&file).unwrap();
        assert_eq!(first.current().await.unwrap().hash, good);
        let cold = store(folder.path());
        assert_eq!(cold.current().await.unwrap().hash, good);
        assert_eq!(
            cold.in_force_since().unwrap().to_string(),
            since.to_string()
        );
        fs::write(&file, GOOD.replace("CH", "DE")).unwrap();
        assert_ne!(first.current().await.unwrap().hash, good);
        assert!(first.in_force_since().unwrap() > since);
        // Taken back, it is a new decision; a restart is none.
        fs::write(&file, GOOD).unwrap();
        assert_eq!(first.current().await.unwrap().hash, good);
        let again = first.in_force_since().unwrap();
        assert!(again > since);
        let restarted = store(folder.path());
        restarted.current().await.unwrap();
        assert_eq!(
            restarted.in_force_since().unwrap().to_string(),
            again.to_string()
        );
    }

    #[tokio::test]
    async fn a_changed_or_new_include_is_noticed() {
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
        assert_eq!(store.current().await.unwrap().apps.len(), 1);
        fs::write(
            apps.join("b.toml"),
            GOOD.replace("version = 1", "").replace("\"a\"", "\"b\""),
        )
        .unwrap();
        assert_eq!(store.current().await.unwrap().apps.len(), 2);
        fs::remove_file(apps.join("a.toml")).unwrap();
        assert_eq!(store.current().await.unwrap().apps.len(), 1);
    }

    #[tokio::test]
    async fn what_a_feed_held_stays_in_use_while_it_is_unwell() {
        let folder = tempfile::tempdir().unwrap();
        let feed = folder.path().join("office.txt");
        let policy = GOOD.replace(
            "version = 1",
            "version = 1\nranges.office = { file = \"office.txt\", format = \"plain\" }",
        );
        fs::write(folder.path().join("policy.toml"), policy).unwrap();
        let now = crate::handler::now();
        // Nothing is known of it yet: the policy cannot be in force.
        let first = store(folder.path());
        assert!(first.current().await.is_none());
        fs::write(&feed, "192.0.2.1\n192.0.2.2\n").unwrap();
        let good = first.current().await.unwrap().hash.clone();
        assert!(first.refused().is_none() && first.unwell_feeds(now).is_empty());
        for (content, word) in [
            (Some("<html>"), "feed-unreadable"),
            (Some(""), "feed-empty"),
            (None, "feed-missing none"),
        ] {
            match content {
                Some(content) => fs::write(&feed, content).unwrap(),
                None => fs::remove_file(&feed).unwrap(),
            }
            // In this process, and in one that starts now.
            for store in [&first, &store(folder.path())] {
                let current = store.current().await.unwrap();
                assert_eq!(current.hash, good, "{word}");
                assert!(store.refused().is_none());
                let unwell = store.unwell_feeds(now);
                assert_eq!(unwell.len(), 1);
                assert!(unwell[0].occurrence.starts_with(word), "{unwell:?}");
            }
        }
        // Without the policy's file too.
        let root = folder.path().join("policy.toml");
        let text = fs::read_to_string(&root).unwrap();
        fs::remove_file(&root).unwrap();
        assert_eq!(store(folder.path()).current().await.unwrap().hash, good);
        fs::write(&root, text).unwrap();
        fs::write(&feed, "192.0.2.3\n").unwrap();
        assert_ne!(first.current().await.unwrap().hash, good);
        assert!(first.unwell_feeds(now).is_empty());
    }

    #[tokio::test]
    async fn kept_texts_hold_no_secret() {
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
        assert!(first.current().await.is_some());
        let kept = fs::read_to_string(folder.path().join("state").join(kept::NAME)).unwrap();
        assert!(
            !kept.contains("T0PSECRET") && !kept.contains("abC8Q") && kept.contains(kept::NOT_KEPT)
        );
        // What is no secret stays as it is, there and wherever else the same letters stand.
        assert!(kept.contains(r#"index = \"a\""#) && kept.contains("[[app]]"));
        fs::remove_file(folder.path().join("policy.toml")).unwrap();
        assert!(store(folder.path()).current().await.is_some());
    }
}
