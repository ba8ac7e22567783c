//! What a feed held when it was well: it stays in use while the feed is not, also across cold starts.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::sync::PoisonError;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{PolicyStore, Seen, Store};
use crate::alert::own::UnwellFeed;
use crate::feed::{MAX_BYTES, sha256};
use crate::policy::{Code, Compilation, FeedFault, FeedFile, FeedFiles};
use crate::policy_files::PolicyTexts;
use crate::sign_in::Timestamp;

/// The document's name.
const NAME: &str = "policy/feeds.json";

/// The contents of feeds are no more than this together, packed: the store is for small documents.
const KEPT_AT_MOST: usize = 16 * 1024 * 1024;

/// The contents of feed files, by file.
pub(super) type Contents = BTreeMap<String, Bytes>;

impl PolicyStore {
    /// The feeds that are not used as they are, or are too old.
    pub fn unwell_feeds(&self, now: Timestamp) -> Vec<UnwellFeed> {
        let unwell = self.unwell.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unwell = unwell.clone();
        let policy = self.current.load();
        for feed in policy.iter().flat_map(|policy| &policy.feeds) {
            if feed.stale(now).is_none() || unwell.iter().any(|known| known.file == feed.file) {
                continue;
            }
            let since = feed.since.map(|since| since.to_string());
            unwell.push(UnwellFeed {
                file: feed.file.clone(),
                sets: vec![feed.set.clone()],
                problem: format!(
                    "it is of {}, which is longer ago than `max_age` allows",
                    since.unwrap_or_default()
                ),
                occurrence: format!("feed-stale {}", feed.sha256),
            });
        }
        unwell
    }

    /// Compiles the texts. Where a feed is unwell, what it held before stands in for it, so that one bad download does
    /// not put the whole policy out of force. The feeds that were used come back too.
    pub(super) async fn compile(
        &self,
        texts: &PolicyTexts,
        seen: &Seen,
    ) -> Option<(Compilation, FeedFiles)> {
        let compilation = compile_apart(texts, &texts.feeds).await?;
        let mut unwell = Vec::new();
        let mut used = (compilation, texts.feeds.clone());
        if !used.0.feed_faults.is_empty() {
            let missing = |file: &str| !seen.good_feeds.contains_key(file);
            let mut good = match used.0.feed_faults.iter().any(|fault| missing(&fault.file)) {
                true => self.kept_feeds().await,
                false => Contents::new(),
            };
            good.extend(seen.good_feeds.clone());
            if let Some(mended) = mend(&texts.feeds, &used.0.feed_faults, &good) {
                let again = compile_apart(texts, &mended).await?;
                if again.policy.is_some() {
                    unwell = unwell_of(&used.0);
                    used = (again, mended);
                }
            }
        }
        if used.0.policy.is_some() {
            for feed in &unwell {
                warn!(
                    event = "feed-unwell",
                    feed.file = feed.file,
                    "what the feed {} held before stays in use: {}",
                    feed.file,
                    feed.problem
                );
            }
            *self.unwell.lock().unwrap_or_else(PoisonError::into_inner) = unwell;
        }
        Some(used)
    }

    /// What the feeds of the last accepted policy held, from the state store.
    pub(super) async fn kept_feeds(&self) -> Contents {
        let found = self.state.read(NAME).await.ok().flatten();
        let kept = found.and_then(|document| document.json::<KeptFeeds>(NAME));
        kept.map_or_else(Contents::new, |kept| kept.unpack(&self.name()))
    }

    /// Keeps what the feeds hold, unless that is kept already.
    pub(super) async fn keep_feeds(&self, seen: &mut Seen, feeds: &FeedFiles, store: Store) {
        let contents = contents_of(feeds);
        if contents == seen.good_feeds {
            return;
        }
        seen.good_feeds = contents.clone();
        // That it is away has been said.
        if store == Store::IsAway {
            return;
        }
        if self.kept_feeds().await == contents {
            return;
        }
        let root = self.name();
        let packing = tokio::task::spawn_blocking(move || {
            serde_json::to_vec(&KeptFeeds::pack(root, &contents)?).ok()
        });
        let problem = match packing.await.ok().flatten() {
            None => "they are too large".to_owned(),
            Some(json) => match self.state.write(NAME, json).await {
                Ok(()) => return,
                Err(problem) => problem.whole(),
            },
        };
        warn!(
            event = "policy-not-kept",
            "the feeds of the accepted policy are not kept for a cold start: {problem}"
        );
    }
}

/// Compiles on a thread of its own; `None` where that stopped.
async fn compile_apart(texts: &PolicyTexts, feeds: &FeedFiles) -> Option<Compilation> {
    let (texts, feeds) = (texts.clone(), feeds.clone());
    let compiling =
        tokio::task::spawn_blocking(move || texts.compile_with(&feeds, Some(super::super::now())));
    compiling.await.ok()
}

/// The feeds of the last accepted policy.
#[derive(Serialize, Deserialize)]
struct KeptFeeds {
    version: u32,
    /// As in the accepted policy.
    root: String,
    files: BTreeMap<String, KeptFile>,
}

#[derive(Serialize, Deserialize)]
struct KeptFile {
    sha256: String,
    /// Gzip, in Base64.
    packed: String,
}

impl KeptFeeds {
    /// `None` where they are too large.
    fn pack(root: String, contents: &Contents) -> Option<Self> {
        let mut left = KEPT_AT_MOST;
        let mut files = BTreeMap::new();
        for (name, bytes) in contents {
            let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
            packer.write_all(bytes).ok()?;
            let packed = STANDARD.encode(packer.finish().ok()?);
            left = left.checked_sub(packed.len())?;
            let sha256 = sha256(bytes);
            files.insert(name.clone(), KeptFile { sha256, packed });
        }
        Some(Self {
            version: 1,
            root,
            files,
        })
    }

    /// What they hold, if they are of that root; a file that is damaged is left out.
    fn unpack(self, root: &str) -> Contents {
        if self.version != 1 || self.root != root {
            return Contents::new();
        }
        let files = self.files.into_iter();
        files
            .filter_map(|(name, file)| Some((name, file.unpack()?)))
            .collect()
    }
}

impl KeptFile {
    fn unpack(&self) -> Option<Bytes> {
        let packed = STANDARD.decode(&self.packed).ok()?;
        let mut bytes = Vec::new();
        let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
        let mut packed = GzDecoder::new(packed.as_slice()).take(limit);
        packed.read_to_end(&mut bytes).ok()?;
        (sha256(&bytes) == self.sha256).then(|| bytes.into())
    }
}

/// What is in the files.
fn contents_of(feeds: &FeedFiles) -> Contents {
    let files = feeds.files.iter();
    files
        .filter_map(|(name, file)| Some((name.clone(), file.as_ref().ok()?.bytes.clone())))
        .collect()
}

/// Feeds that stand in for others.
pub(super) fn stand_ins(contents: Contents) -> FeedFiles {
    let files = contents.into_iter().map(|(name, bytes)| {
        let stands_in = true;
        (name, Ok(FeedFile { bytes, stands_in }))
    });
    FeedFiles {
        files: files.collect(),
        lock: None,
    }
}

/// The feeds with what was good in place of what is not; `None` where there is nothing good to put there.
fn mend(feeds: &FeedFiles, faults: &[FeedFault], good: &Contents) -> Option<FeedFiles> {
    let mut mended = feeds.clone();
    for fault in faults {
        let content = match (good.get(&fault.file), mended.files.get(&fault.file)) {
            (Some(bytes), _) => bytes.clone(),
            // Nothing better is known: fewer ranges are better than none.
            (None, Some(Ok(file))) if fault.code == Code::FeedShrank => file.bytes.clone(),
            _ => return None,
        };
        let file = FeedFile {
            bytes: content,
            stands_in: true,
        };
        mended.files.insert(fault.file.clone(), Ok(file));
    }
    Some(mended)
}

/// What is to be said of feeds that cannot be used, once for each file.
fn unwell_of(compilation: &Compilation) -> Vec<UnwellFeed> {
    let mut unwell: BTreeMap<&str, UnwellFeed> = BTreeMap::new();
    for fault in &compilation.feed_faults {
        let feed = unwell.entry(&fault.file).or_insert_with(|| UnwellFeed {
            file: fault.file.clone(),
            sets: Vec::new(),
            problem: fault.message.clone(),
            occurrence: format!(
                "{} {}",
                fault.code.as_str(),
                fault.sha256.as_deref().unwrap_or("none")
            ),
        });
        feed.sets.push(fault.set.clone());
    }
    unwell.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_whole_or_not_at_all() {
        let contents = Contents::from([
            ("a.txt".to_owned(), Bytes::from_static(b"192.0.2.1\n")),
            ("b.txt".to_owned(), Bytes::from_static(b"192.0.2.2\n")),
        ]);
        let kept = || KeptFeeds::pack("policy.toml".to_owned(), &contents).unwrap();
        assert_eq!(kept().unpack("policy.toml"), contents);
        assert!(kept().unpack("other.toml").is_empty());
        let mut damaged = kept();
        damaged.files.get_mut("a.txt").unwrap().packed = "AAAA".to_owned();
        assert_eq!(damaged.unpack("policy.toml").len(), 1);
    }
}
