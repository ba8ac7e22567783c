//! Sets that come from feed files: which files a policy asks for, what is in them, and whether they are well.
//!
//! A feed that cannot be used is an error at its set: a set that is empty by accident would allow nothing, or deny
//! nothing. What `feeds.lock` records tells an accident of the publisher from a change.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use chrono::TimeDelta;
use toml::de::{DeTable, DeValue};

use super::Source;
use super::collect::Collector;
use super::diagnostic::Code;
use super::document::FeedDocument;
use super::network::WrittenRange;
use super::sets::{Member, Named};
use super::source::{Located, Spot};
use super::suggest::quoted;
use crate::feed::lock::{self, Lock, has_shrunk};
use crate::feed::plan::Wanted;
use crate::feed::{Fault, Feed, Format, sha256};
use crate::sign_in::Timestamp;

/// A feed file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedFile {
    /// Its bytes.
    pub bytes: Bytes,
    /// Whether it was accepted before and stands in for one that is unwell: it is not held against `feeds.lock`.
    pub stands_in: bool,
}

/// Why there are no bytes of a feed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoFeedFile {
    /// It is not there.
    Missing,
    /// It is there and cannot be read; a lowercase fragment.
    Unreadable(String),
}

/// The feed files of a policy, as they were at one time, and `feeds.lock`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeedFiles {
    /// By the name that the policy gives them.
    pub files: BTreeMap<String, Result<FeedFile, NoFeedFile>>,
    /// The text of `feeds.lock`, or why it cannot be read; `None` where there is none.
    pub lock: Option<Result<String, String>>,
}

/// A set of a compiled policy that comes from a feed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFeed {
    /// Name of the set.
    pub set: String,
    /// The file, as the policy names it.
    pub file: String,
    /// SHA-256 of its bytes, hex.
    pub sha256: String,
    /// Its size.
    pub size_bytes: usize,
    /// How many different ranges the set has.
    pub prefixes: usize,
    /// When it was fetched, or published; `None` where nobody knows.
    pub since: Option<Timestamp>,
    /// How old it may be.
    pub max_age: Option<TimeDelta>,
}

impl PolicyFeed {
    /// Its age, where it is older than it may be.
    pub fn stale(&self, now: Timestamp) -> Option<TimeDelta> {
        let age = now.utc() - self.since?.utc();
        self.max_age.filter(|max_age| age > *max_age).map(|_| age)
    }
}

/// A feed that cannot be used as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedFault {
    /// Name of the set.
    pub set: String,
    /// The file, as the policy names it.
    pub file: String,
    /// SHA-256 of its bytes, hex; `None` where there are none.
    pub sha256: Option<String>,
    /// What is wrong.
    pub code: Code,
    /// The same in words.
    pub message: String,
}

/// What came of the feeds.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) feeds: Vec<PolicyFeed>,
    pub(super) faults: Vec<FeedFault>,
}

/// The feed files that a policy asks for, relative to the folder of its root, each once. Whatever is wrong with the
/// texts is left to [`compile`](super::compile()) to say.
pub fn feed_files(sources: &[Source]) -> Vec<String> {
    let mut files = Vec::new();
    for_each_feed(sources, |_, table| {
        files.extend(text(table, "file").map(str::to_owned));
    });
    files.sort();
    files.dedup();
    files
}

/// The sets that a policy makes of each feed file, by file; those that make no sense are left out.
pub fn feed_sets(sources: &[Source]) -> BTreeMap<String, Vec<Wanted>> {
    let mut sets: BTreeMap<String, Vec<Wanted>> = BTreeMap::new();
    for_each_feed(sources, |name, table| {
        if let Some(file) = text(table, "file")
            && let Some(format) = text(table, "format").and_then(Format::parse)
        {
            sets.entry(file.to_owned()).or_default().push(Wanted {
                name: name.to_owned(),
                format,
                key: text(table, "key").map(str::to_owned),
            });
        }
    });
    for sets in sets.values_mut() {
        sets.sort();
    }
    sets
}

fn text<'t>(table: &'t DeTable<'_>, key: &str) -> Option<&'t str> {
    match table.get(key)?.get_ref() {
        DeValue::String(text) if !text.trim().is_empty() => Some(text),
        _ => None,
    }
}

fn for_each_feed(sources: &[Source], mut each: impl FnMut(&str, &DeTable<'_>)) {
    for source in sources {
        // Most policies have no feed; a key may be written with escapes, though.
        let parts = ["file", "\\u", "\\U", "\\x"];
        if !parts.iter().any(|part| source.text.contains(part)) {
            continue;
        }
        let (tree, _) = DeTable::parse_recoverable(&source.text);
        let Some(DeValue::Table(ranges)) = tree.get_ref().get("ranges").map(|node| node.get_ref())
        else {
            continue;
        };
        for (name, value) in ranges.iter() {
            if let DeValue::Table(table) = value.get_ref() {
                each(name.get_ref(), table);
            }
        }
    }
}

/// Fills the sets that come from feeds with what is in the files.
pub(super) fn load(
    named: &mut BTreeMap<String, Named<WrittenRange>>,
    feeds: &FeedFiles,
    now: Option<Timestamp>,
    collector: &mut Collector,
) -> Loaded {
    let mut loaded = Loaded::default();
    let Some(first) = named.values().find(|set| set.feed.is_some()) else {
        return loaded;
    };
    let mut loader = Loader {
        feeds,
        lock: read_lock(feeds, first.spot, collector),
        now,
        parsed: BTreeMap::new(),
        hashes: BTreeMap::new(),
        collector,
    };
    for (name, set) in named.iter_mut() {
        let Some(feed) = &set.feed else {
            continue;
        };
        match loader.load(name, set.spot, feed) {
            Ok((feed, members)) => {
                set.members = Some(members);
                loaded.feeds.push(feed);
            }
            Err(fault) => loaded.faults.push(fault),
        }
    }
    loaded
}

/// The lock; `None` where it cannot be read, which is reported.
fn read_lock(feeds: &FeedFiles, spot: Spot, collector: &mut Collector) -> Option<Lock> {
    let parsed = match &feeds.lock {
        None => return Some(Lock::default()),
        Some(text) => text
            .as_ref()
            .map_err(String::clone)
            .and_then(|text| Lock::parse(text)),
    };
    parsed
        .map_err(|problem| {
            let message = format!("`{}` cannot be read: {problem}", lock::NAME);
            collector
                .report(Code::FeedLock, spot, message)
                .help("take the version before from your repository, or remove it and add each feed again");
        })
        .ok()
}

type Members = Vec<Located<Member<WrittenRange>>>;

/// What is wrong with a feed: the code, where, what, and what would mend it.
struct Wrong {
    code: Code,
    spot: Spot,
    message: String,
    help: String,
}

struct Loader<'a> {
    feeds: &'a FeedFiles,
    lock: Option<Lock>,
    now: Option<Timestamp>,
    /// A file is read once, however many sets are made of it.
    parsed: BTreeMap<(String, Format), Result<Feed, Fault>>,
    hashes: BTreeMap<String, String>,
    collector: &'a mut Collector,
}

impl Loader<'_> {
    fn load(
        &mut self,
        name: &str,
        spot: Spot,
        feed: &FeedDocument,
    ) -> Result<(PolicyFeed, Members), FeedFault> {
        let hash = self.hash(&feed.file.value);
        self.read(name, spot, feed).map_err(|wrong| {
            self.collector
                .report(wrong.code, wrong.spot, wrong.message.as_str())
                .help(wrong.help);
            FeedFault {
                set: name.to_owned(),
                file: feed.file.value.clone(),
                sha256: hash,
                code: wrong.code,
                message: wrong.message,
            }
        })
    }

    fn hash(&mut self, file: &str) -> Option<String> {
        if let Some(hash) = self.hashes.get(file) {
            return Some(hash.clone());
        }
        let found = self.feeds.files.get(file)?.as_ref().ok()?;
        let hash = sha256(&found.bytes);
        self.hashes.insert(file.to_owned(), hash.clone());
        Some(hash)
    }

    fn read(
        &mut self,
        name: &str,
        spot: Spot,
        feed: &FeedDocument,
    ) -> Result<(PolicyFeed, Members), Wrong> {
        let file = &feed.file;
        let key = feed.key.as_ref().map(|key| key.value.as_str());
        let wrong = |code, spot, message: String, help: &str| Wrong {
            code,
            spot,
            message,
            help: help.to_owned(),
        };
        let found = match self.feeds.files.get(&file.value) {
            Some(Ok(found)) => found,
            Some(Err(NoFeedFile::Unreadable(problem))) => {
                let message = format!("the feed {} cannot be read: {problem}", quoted(&file.value));
                return Err(wrong(
                    Code::FeedUnreadable,
                    file.spot,
                    message,
                    "mend or fetch it",
                ));
            }
            Some(Err(NoFeedFile::Missing)) | None => {
                let message = format!("there is no feed {}", quoted(&file.value));
                let help = "the path is relative to the folder of the root file; `spwatch feed add` fetches a feed";
                return Err(wrong(Code::FeedMissing, file.spot, message, help));
            }
        };
        let parsed = self
            .parsed
            .entry((file.value.clone(), feed.format))
            .or_insert_with(|| Feed::parse(feed.format, &found.bytes));
        let unreadable = |fault: &Fault| Wrong {
            code: Code::FeedUnreadable,
            spot: file.spot,
            message: format!("the feed {}: {}", quoted(&file.value), fault.message),
            help: fault.help.clone(),
        };
        let (prefixes, published) = match parsed {
            Ok(parsed) => (parsed.select(key), parsed.published()),
            Err(fault) => return Err(unreadable(fault)),
        };
        let prefixes = match prefixes {
            Ok(prefixes) => prefixes,
            Err(fault) if fault.is_key => {
                let spot = feed.key.as_ref().map_or(spot, |key| key.spot);
                return Err(wrong(Code::FeedKey, spot, fault.message, &fault.help));
            }
            Err(fault) => return Err(unreadable(&fault)),
        };
        if prefixes.is_empty() {
            let message = format!("the feed {} has no range here", quoted(&file.value));
            let help =
                "a set that is empty by accident would allow or deny nothing: is the file whole?";
            return Err(wrong(Code::FeedEmpty, file.spot, message, help));
        }
        if let Some(wide) = prefixes.iter().find(|prefix| prefix.block.is_wide()) {
            let message = format!(
                "the feed has {}, which hardly restricts anything",
                wide.text
            );
            self.collector.report(Code::WideRange, spot, message).help(
                "ranges wider than /8 (IPv6: /16) are seldom meant; see where the file comes from",
            );
        }
        let sha256 = self.hash(&file.value).unwrap_or_default();
        let stands_in = found.stands_in;
        let size_bytes = found.bytes.len();
        let pinned = self.hold_against_lock(name, feed, &sha256, prefixes.len(), stands_in)?;
        let loaded = PolicyFeed {
            set: name.to_owned(),
            file: file.value.clone(),
            sha256,
            size_bytes,
            prefixes: prefixes.len(),
            since: pinned.or(published),
            max_age: feed.max_age,
        };
        if let Some(age) = self.now.and_then(|now| loaded.stale(now)) {
            let message = format!(
                "the feed {} is {} days old",
                quoted(&file.value),
                age.num_days()
            );
            self.collector
                .report(Code::FeedStale, spot, message)
                .help(format!("spwatch feed update {name}"));
        }
        let members = prefixes.into_iter().map(|prefix| Located {
            value: Member::Value(WrittenRange {
                block: prefix.block,
                text: Arc::from(prefix.text),
            }),
            spot,
        });
        Ok((loaded, members.collect()))
    }

    /// When the content was accepted, if it is the one that was. A feed that shrank is refused.
    fn hold_against_lock(
        &mut self,
        name: &str,
        feed: &FeedDocument,
        sha256: &str,
        prefixes: usize,
        stands_in: bool,
    ) -> Result<Option<Timestamp>, Wrong> {
        let file = &feed.file;
        let Some(lock) = &self.lock else {
            return Ok(None);
        };
        let pin = lock.pin(&file.value);
        if let Some(pin) = pin
            && pin.sha256 == sha256
        {
            return Ok(Some(pin.fetched));
        }
        if stands_in {
            return Ok(None);
        }
        let Some(pin) = pin else {
            let message = format!(
                "`{}` does not list the feed {}: a change of it would go unnoticed",
                lock::NAME,
                quoted(&file.value)
            );
            let add = add_command(name, feed);
            self.collector
                .report(Code::FeedUnpinned, file.spot, message)
                .help(add);
            return Ok(None);
        };
        let key = feed.key.as_ref().map(|key| key.value.as_str());
        let count = u64::try_from(prefixes).unwrap_or(u64::MAX);
        if let Some(before) = pin.prefixes(feed.format, key)
            && has_shrunk(before, count)
        {
            return Err(Wrong {
                code: Code::FeedShrank,
                spot: file.spot,
                message: format!(
                    "the feed {} shrank from {before} ranges to {count}",
                    quoted(&file.value)
                ),
                help: format!(
                    "if that is right: spwatch feed update {name} --file {:?} --accept-shrink",
                    file.value
                ),
            });
        }
        let message = format!(
            "the feed {} is not the one that `{}` lists",
            quoted(&file.value),
            lock::NAME
        );
        let help = format!(
            "to accept it: spwatch feed update {name} --file {:?}",
            file.value
        );
        self.collector
            .report(Code::FeedChanged, file.spot, message)
            .help(help);
        Ok(None)
    }
}

/// The command that pins a feed file as it is.
fn add_command(name: &str, feed: &FeedDocument) -> String {
    let key = match &feed.key {
        Some(key) => format!(" --key {:?}", key.value),
        None => String::new(),
    };
    format!(
        "spwatch feed add {name} --format {}{key} --file {:?}",
        feed.format.as_str(),
        feed.file.value
    )
}
