//! Reads a policy, its includes and its feeds from Azure Blob storage. An edge: what the texts mean is [`policy`](crate::policy)'s.

use std::collections::{BTreeMap, BTreeSet};

use crate::feed::{MAX_BYTES, lock};
use crate::policy::{FeedFile, FeedFiles, Include, NoFeedFile, Source, feed_files, includes};
use crate::policy_files::{PolicyTexts, too_large};
use crate::state::{BlobLocation, Document, Listed, Location, Reread, State, StateError, Version};

/// A policy in a container.
#[derive(Debug, Clone)]
pub struct PolicyBlobs {
    /// The folder that the root lies in.
    folder: State,
    /// What stands before a blob's name where it is shown: `az://container/folder/`.
    shown: String,
    /// The root's name in the folder.
    root: String,
}

/// A policy that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadBlobsError {
    /// There is no such blob.
    #[error("read the policy {name}: there is no such blob (SPWATCH_POLICY names it)")]
    Gone {
        /// Its address.
        name: String,
    },
    /// It is no text.
    #[error("read the policy {name}: it is not UTF-8 (byte {byte}); save it as UTF-8")]
    Encoding {
        /// Its address.
        name: String,
        /// Offset of the first bad byte.
        byte: usize,
    },
    /// The storage account is away, or refuses. It says nothing of the policy.
    #[error("read the policy {name}: {}", .source.whole())]
    Away {
        /// Its address.
        name: String,
        /// What is wrong with the store.
        source: StateError,
    },
}

/// Which texts were seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobStamp {
    root: Version,
    included: Vec<(String, Version)>,
    /// Feed files and their lock, those that are there.
    feeds: BTreeMap<String, Version>,
}

impl PolicyBlobs {
    /// The policy at that place: the last part of its prefix is the root's name.
    ///
    /// # Errors
    /// The settings of the storage account are no possible ones.
    pub fn open(place: &BlobLocation) -> Result<Self, StateError> {
        let (folder, root) = match place.prefix.rsplit_once('/') {
            Some((folder, root)) => (folder, root),
            None => ("", place.prefix.as_str()),
        };
        let shown = match folder {
            "" => format!("az://{}/", place.container),
            folder => format!("az://{}/{folder}/", place.container),
        };
        let location = Location::Blobs(BlobLocation {
            prefix: folder.to_owned(),
            ..place.clone()
        });
        Ok(Self {
            folder: State::open(&location)?,
            shown,
            root: root.to_owned(),
        })
    }

    /// The root's address.
    pub fn name(&self) -> String {
        self.shown(&self.root)
    }

    fn shown(&self, name: &str) -> String {
        format!("{}{name}", self.shown)
    }

    /// Reads the texts, unless they are as they were seen.
    ///
    /// # Errors
    /// The root is not there or no text, or the store is away; a missing include is a diagnostic instead.
    pub async fn read(
        &self,
        seen: Option<(&BlobStamp, &PolicyTexts)>,
    ) -> Result<Option<(BlobStamp, PolicyTexts)>, ReadBlobsError> {
        let away = |source| ReadBlobsError::Away {
            name: self.name(),
            source,
        };
        let known = seen.map(|(stamp, _)| &stamp.root);
        let found = self.folder.read_again(&self.root, known).await;
        let (root, version) = match (found.map_err(away)?, seen) {
            (Reread::Gone, _) => return Err(ReadBlobsError::Gone { name: self.name() }),
            (Reread::Changed(document), _) => {
                let version = document.version.clone();
                (self.source(&self.root, &document)?, version)
            }
            (Reread::Same, Some((stamp, texts))) => {
                let listed = self.list(texts.includes()).await.map_err(away)?;
                let included = BlobStamp::included(&listed);
                let names = texts.feeds.files.keys().cloned().collect::<Vec<_>>();
                let feeds = self.list_feeds(&names).await.map_err(away)?;
                let root = texts.sources.first().cloned();
                match root {
                    Some(root) if included != stamp.included || feeds != stamp.feeds => {
                        (root, stamp.root.clone())
                    }
                    _ => return Ok(None),
                }
            }
            (Reread::Same, None) => return Ok(None),
        };
        let includes = includes(&root);
        let listed = self.list(&includes).await.map_err(away)?;
        let included = BlobStamp::included(&listed);
        let mut files: BTreeMap<String, Result<Source, String>> = BTreeMap::new();
        for name in listed.into_values().flatten().map(|listed| listed.name) {
            if files.contains_key(&name) {
                continue;
            }
            let file = match self.folder.read(&name).await.map_err(away)? {
                Some(document) => self
                    .source(&name, &document)
                    .map_err(|error| error.to_string()),
                None => Err("it was removed while it was read".to_owned()),
            };
            files.insert(name, file);
        }
        let mut texts = PolicyTexts::of(root, includes, |include| {
            let pattern = pattern(include)?;
            let found: Vec<_> = files
                .iter()
                .filter(|(name, _)| self.fits(&pattern, name))
                .map(|(_, file)| file.clone())
                .collect();
            match found.is_empty() {
                true => Err("it matches no blob".to_owned()),
                false => Ok(found),
            }
        });
        let names = feed_files(&texts.sources);
        // Listed before they are read: what changes meanwhile is seen at the next look.
        let stamp = BlobStamp {
            root: version,
            included,
            feeds: self.list_feeds(&names).await.map_err(away)?,
        };
        texts.feeds = self.read_feeds(names).await.map_err(away)?;
        Ok(Some((stamp, texts)))
    }

    /// Which of the feed files are there, and their lock.
    async fn list_feeds(&self, names: &[String]) -> Result<BTreeMap<String, Version>, StateError> {
        let mut found = BTreeMap::new();
        if names.is_empty() {
            return Ok(found);
        }
        let names: BTreeSet<&str> = names
            .iter()
            .map(String::as_str)
            .chain([lock::NAME])
            .collect();
        let folders: BTreeSet<&str> = names
            .iter()
            .map(|name| name.rsplit_once('/').map_or("", |(folder, _)| folder))
            .collect();
        for folder in folders {
            for listed in self.folder.list(folder).await? {
                if names.contains(listed.name.as_str()) {
                    found.insert(listed.name, listed.version);
                }
            }
        }
        Ok(found)
    }

    async fn read_feeds(&self, names: Vec<String>) -> Result<FeedFiles, StateError> {
        let mut feeds = FeedFiles::default();
        if names.is_empty() {
            return Ok(feeds);
        }
        feeds.lock = self.folder.read(lock::NAME).await?.map(|document| {
            let text = String::from_utf8(document.bytes.into());
            text.map_err(|_| "it is not UTF-8".to_owned())
        });
        for name in names {
            let file = match self.folder.read(&name).await? {
                None => Err(NoFeedFile::Missing),
                Some(document) if document.bytes.len() > MAX_BYTES => Err(too_large()),
                Some(document) => Ok(FeedFile {
                    bytes: document.bytes,
                    stands_in: false,
                }),
            };
            feeds.files.insert(name, file);
        }
        Ok(feeds)
    }

    fn source(&self, name: &str, document: &Document) -> Result<Source, ReadBlobsError> {
        match std::str::from_utf8(&document.bytes) {
            Ok(text) => Ok(Source {
                name: self.shown(name),
                text: text.to_owned(),
            }),
            Err(error) => Err(ReadBlobsError::Encoding {
                name: self.shown(name),
                byte: error.valid_up_to(),
            }),
        }
    }

    /// The blobs that each include finds, by the include's place among them.
    async fn list(&self, includes: &[Include]) -> Result<BTreeMap<usize, Vec<Listed>>, StateError> {
        let mut found = BTreeMap::new();
        for (place, include) in includes.iter().enumerate() {
            // What is wrong with it, the diagnostics say.
            let Ok(pattern) = pattern(include) else {
                continue;
            };
            let folder = include
                .pattern
                .split(['*', '?', '['])
                .next()
                .and_then(|fixed| fixed.rsplit_once('/'))
                .map_or("", |(folder, _)| folder);
            let mut listed = self.folder.list(folder).await?;
            listed.retain(|listed| self.fits(&pattern, &listed.name));
            listed.sort_by(|a, b| a.name.cmp(&b.name));
            found.insert(place, listed);
        }
        Ok(found)
    }

    fn fits(&self, pattern: &glob::Pattern, name: &str) -> bool {
        // As on disk: a star stays within its folder, and the root does not include itself.
        let options = glob::MatchOptions {
            require_literal_separator: true,
            ..glob::MatchOptions::default()
        };
        name != self.root && pattern.matches_with(name, options)
    }
}

impl BlobStamp {
    fn included(listed: &BTreeMap<usize, Vec<Listed>>) -> Vec<(String, Version)> {
        let listed = listed.values().flatten();
        listed
            .map(|listed| (listed.name.clone(), listed.version.clone()))
            .collect()
    }
}

fn pattern(include: &Include) -> Result<glob::Pattern, String> {
    glob::Pattern::new(&include.pattern).map_err(|error| format!("it is no pattern: {}", error.msg))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_feed_beside_the_policy_is_read_again_when_it_changes() {
        let folder = State::memory();
        let blobs = PolicyBlobs {
            folder: folder.clone(),
            shown: "az://policy/".to_owned(),
            root: "policy.toml".to_owned(),
        };
        let write = async |name: &str, text: &str| {
            folder.write(name, text.into()).await.unwrap();
        };
        let policy = "version = 1\nranges.a = { file = \"feeds/a.txt\", format = \"plain\" }\n";
        write("policy.toml", policy).await;
        write("feeds/other.txt", "192.0.2.1\n").await;
        let (stamp, texts) = blobs.read(None).await.unwrap().unwrap();
        assert_eq!(texts.feeds.files["feeds/a.txt"], Err(NoFeedFile::Missing));
        assert_eq!(texts.feeds.lock, None);
        assert!(blobs.read(Some((&stamp, &texts))).await.unwrap().is_none());
        write("feeds/a.txt", "192.0.2.1\n").await;
        write(lock::NAME, "version = 1\n").await;
        let (stamp, texts) = blobs.read(Some((&stamp, &texts))).await.unwrap().unwrap();
        let file = texts.feeds.files["feeds/a.txt"].as_ref().unwrap();
        assert_eq!(&file.bytes[..], b"192.0.2.1\n");
        assert_eq!(texts.feeds.lock, Some(Ok("version = 1\n".to_owned())));
        // What the policy does not name is not looked at.
        write("feeds/other.txt", "192.0.2.2\n").await;
        assert!(blobs.read(Some((&stamp, &texts))).await.unwrap().is_none());
        write("feeds/a.txt", "192.0.2.3\n").await;
        assert!(blobs.read(Some((&stamp, &texts))).await.unwrap().is_some());
    }
}
