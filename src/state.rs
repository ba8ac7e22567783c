//! Small documents that outlive the process, and that several instances share. An edge.
//!
//! The same few operations over a directory, Azure Blob storage and memory. What several instances decide at once,
//! one of two operations settles: [`State::create`], which the first of them wins, and [`State::replace`], which
//! nobody wins who has not seen the document as it is.

mod location;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, RetryConfig, UpdateVersion,
};

use tracing::warn;

pub use location::{Access, BlobLocation, Location, LocationError, StorageAccount};

/// Alerts wait for state: what does not answer within this time is away.
const TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// As often is a document read and written anew while others write it.
const MAX_RACES: usize = 16;

/// What went wrong with state.
#[derive(Debug, thiserror::Error)]
#[error("{doing} in the state store")]
pub struct StateError {
    doing: String,
    #[source]
    source: Problem,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Store(#[from] object_store::Error),
    #[error(transparent)]
    Lock(#[from] std::io::Error),
    #[error("others keep changing it")]
    Races,
    #[error("it cannot be written as JSON: {0}")]
    Content(String),
}

impl StateError {
    /// What happened and why, on one line.
    pub fn whole(&self) -> String {
        format!("{self}: {}", self.source)
    }

    fn new(doing: &str, name: &str, source: impl Into<Problem>) -> Self {
        Self {
            doing: format!("{doing} {name}"),
            source: source.into(),
        }
    }
}

/// Which state of a document was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(UpdateVersion);

impl Version {
    fn of(meta: &ObjectMeta) -> Self {
        Self(UpdateVersion {
            e_tag: meta.e_tag.clone(),
            version: meta.version.clone(),
        })
    }
}

/// A document as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its content.
    pub bytes: Bytes,
    /// Which state of it that is.
    pub version: Version,
}

impl Document {
    /// What it says; `None` where it is no JSON of that kind and version, which is logged.
    pub fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&self.bytes)
            .inspect_err(|error| {
                warn!(
                    event = "document-unreadable",
                    "the document {name} in the state store is passed over: {error}"
                );
            })
            .ok()
    }
}

/// A document's name and when it was last written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// When it was last written.
    pub modified: DateTime<Utc>,
    /// Which state of it that is.
    pub version: Version,
}

/// What reading a document anew found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reread {
    /// It is as it was.
    Same,
    /// It is not there.
    Gone,
    /// It is another.
    Changed(Document),
}

/// Documents by name. Names are parts joined by `/`, and parts are ASCII letters, digits, `-`, `_` and `.`.
#[derive(Debug, Clone)]
pub struct State {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// A directory has no conditional writes: whoever replaces a document in it locks this file meanwhile.
    lock: Option<PathBuf>,
}

impl State {
    /// Opens a location. A directory is made if it is not there; nothing else is touched yet.
    ///
    /// # Errors
    /// The directory cannot be made, or the settings of the account are no possible ones.
    pub fn open(location: &Location) -> Result<Self, StateError> {
        let failed = |source: Problem| StateError {
            doing: format!("open {location}"),
            source,
        };
        let (store, prefix, lock): (Arc<dyn ObjectStore>, _, _) = match location {
            Location::Memory => return Ok(Self::memory()),
            Location::Directory(path) => {
                std::fs::create_dir_all(path).map_err(|source| failed(source.into()))?;
                let store = LocalFileSystem::new_with_prefix(path)
                    .map_err(|source| failed(source.into()))?
                    .with_automatic_cleanup(true)
                    .with_fsync(true);
                (
                    Arc::new(store),
                    Path::default(),
                    Some(path.join(".spwatch-lock")),
                )
            }
            Location::Blobs(blobs) => {
                let store = open_blobs(blobs).map_err(|source| failed(source.into()))?;
                (store, Path::from(blobs.prefix.as_str()), None)
            }
        };
        Ok(Self {
            store,
            prefix,
            lock,
        })
    }

    /// A store in the memory of this process.
    pub fn memory() -> Self {
        Self {
            store: Arc::new(InMemory::new()),
            prefix: Path::default(),
            lock: None,
        }
    }

    fn path(&self, name: &str) -> Path {
        let parts = name.split('/').filter(|part| !part.is_empty());
        parts.fold(self.prefix.clone(), |path, part| path.join(part))
    }

    /// Reads a document; `None` if there is none.
    ///
    /// # Errors
    /// The store is away or refuses.
    pub async fn read(&self, name: &str) -> Result<Option<Document>, StateError> {
        match self.read_again(name, None).await? {
            Reread::Changed(document) => Ok(Some(document)),
            Reread::Same | Reread::Gone => Ok(None),
        }
    }

    /// Reads a document unless it is still as it was seen.
    ///
    /// # Errors
    /// The store is away or refuses.
    pub async fn read_again(
        &self,
        name: &str,
        seen: Option<&Version>,
    ) -> Result<Reread, StateError> {
        let failed = |source: object_store::Error| StateError::new("read", name, source);
        let options = GetOptions {
            if_none_match: seen.and_then(|seen| seen.0.e_tag.clone()),
            ..GetOptions::default()
        };
        let found = match self.store.get_opts(&self.path(name), options).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(Reread::Gone),
            Err(object_store::Error::NotModified { .. }) => return Ok(Reread::Same),
            found => found.map_err(failed)?,
        };
        let version = Version::of(&found.meta);
        match found.bytes().await {
            Err(object_store::Error::NotFound { .. }) => Ok(Reread::Gone),
            bytes => Ok(Reread::Changed(Document {
                bytes: bytes.map_err(failed)?,
                version,
            })),
        }
    }

    /// Whether a document is there.
    ///
    /// # Errors
    /// The store is away or refuses.
    pub async fn exists(&self, name: &str) -> Result<bool, StateError> {
        match self.store.head(&self.path(name)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(source) => Err(StateError::new("look for", name, source)),
        }
    }

    /// Writes a document that is not there yet. `None`: it was.
    ///
    /// # Errors
    /// The store is away or refuses.
    pub async fn create(&self, name: &str, bytes: Vec<u8>) -> Result<Option<Version>, StateError> {
        match self.put(name, bytes, PutMode::Create).await {
            Ok(version) => Ok(Some(version)),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(None),
            Err(source) => Err(StateError::new("create", name, source)),
        }
    }

    /// Writes a document, whatever was there before.
    ///
    /// # Errors
    /// The store is away or refuses.
    pub async fn write(&self, name: &str, bytes: Vec<u8>) -> Result<(), StateError> {
        match self.put(name, bytes, PutMode::Overwrite).await {
            Ok(_) => Ok(()),
            Err(source) => Err(StateError::new("write", name, source)),
        }
    }

    /// Writes a document that is still as it was seen. `None`: it was not.
    ///
    /// # Errors
    /// The store is away or refuses.
    pub async fn replace(
        &self,
        name: &str,
        bytes: Vec<u8>,
        seen: &Version,
    ) -> Result<Option<Version>, StateError> {
        let failed = |source: Problem| StateError::new("replace", name, source);
        let Some(lock) = &self.lock else {
            return match self.put(name, bytes, PutMode::Update(seen.0.clone())).await {
                Ok(version) => Ok(Some(version)),
                Err(
                    object_store::Error::Precondition { .. } | object_store::Error::NotFound { .. },
                ) => Ok(None),
                Err(source) => Err(failed(source.into())),
            };
        };
        let lock = lock.clone();
        let locked = tokio::task::spawn_blocking(move || {
            let file = File::options().create(true).append(true).open(lock)?;
            file.lock()?;
            Ok::<_, std::io::Error>(file)
        });
        // It is unlocked when it is closed.
        let _locked = locked
            .await
            .map_err(|error| failed(std::io::Error::other(error).into()))?
            .map_err(|error| failed(error.into()))?;
        match self.store.head(&self.path(name)).await {
            Ok(meta) if meta.e_tag == seen.0.e_tag => {}
            Ok(_) | Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(failed(source.into())),
        }
        let put = self.put(name, bytes, PutMode::Overwrite).await;
        put.map(Some).map_err(|source| failed(source.into()))
    }

    async fn put(
        &self,
        name: &str,
        bytes: Vec<u8>,
        mode: PutMode,
    ) -> object_store::Result<Version> {
        let options = PutOptions::from(mode);
        let path = self.path(name);
        let put = self.store.put_opts(&path, bytes.into(), options).await?;
        Ok(Version(put.into()))
    }

    /// Changes a JSON document, or makes it: `change` is given what is there and says what is to be there; with
    /// `None` nothing is written. It is asked again whenever another instance was faster. A document that cannot be
    /// read, or is of another version, is as if it were not there.
    ///
    /// # Errors
    /// The store is away or refuses.
    pub async fn change<T, R>(
        &self,
        name: &str,
        change: impl FnMut(Option<T>) -> (Option<T>, R),
    ) -> Result<R, StateError>
    where
        T: serde::Serialize + serde::de::DeserializeOwned,
    {
        let (result, _) = self.change_known(name, None, change).await?;
        Ok(result)
    }

    /// As [`State::change`], beginning with a document as it was seen before, which saves reading it where nobody has
    /// changed it since. What is there afterwards comes back, where that is known.
    ///
    /// # Errors
    /// The store is away or refuses.
    pub async fn change_known<T, R>(
        &self,
        name: &str,
        known: Option<(T, Version)>,
        mut change: impl FnMut(Option<T>) -> (Option<T>, R),
    ) -> Result<(R, Option<(T, Version)>), StateError>
    where
        T: serde::Serialize + serde::de::DeserializeOwned,
    {
        let content = |error: serde_json::Error| {
            StateError::new("write", name, Problem::Content(error.to_string()))
        };
        let mut known = known;
        for _ in 0..MAX_RACES {
            let (old, version) = match known.take() {
                Some((value, version)) => (Some(value), Some(version)),
                None => match self.read(name).await? {
                    Some(document) => (document.json(name), Some(document.version)),
                    None => (None, None),
                },
            };
            let (new, result) = change(old);
            let Some(new) = new else {
                return Ok((result, None));
            };
            let bytes = serde_json::to_vec(&new).map_err(content)?;
            let won = match version {
                Some(version) => self.replace(name, bytes, &version).await?,
                None => self.create(name, bytes).await?,
            };
            if let Some(version) = won {
                return Ok((result, Some((new, version))));
            }
        }
        Err(StateError::new("change", name, Problem::Races))
    }

    /// Removes a document, if it is there.
    ///
    /// # Errors
    /// The store is away or refuses.
    pub async fn remove(&self, name: &str) -> Result<(), StateError> {
        match self.store.delete(&self.path(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(StateError::new("remove", name, source)),
        }
    }

    /// The documents whose names begin with `folder/`, in no order; all of them where it is empty.
    ///
    /// # Errors
    /// The store is away or refuses.
    pub async fn list(&self, folder: &str) -> Result<Vec<Listed>, StateError> {
        let path = self.path(folder);
        let known = self.prefix.parts_count();
        let found: Vec<_> = self
            .store
            .list(Some(&path))
            .try_collect()
            .await
            .map_err(|source| StateError::new("list", folder, source))?;
        let name = |path: &Path| {
            let parts: Vec<_> = path.parts().skip(known).collect();
            let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
            parts.join("/")
        };
        Ok(found
            .iter()
            .map(|meta| Listed {
                name: name(&meta.location),
                modified: meta.last_modified,
                version: Version::of(meta),
            })
            .collect())
    }
}

fn open_blobs(blobs: &BlobLocation) -> object_store::Result<Arc<dyn ObjectStore>> {
    let account = &blobs.account;
    let plain = account.blobs.starts_with("http://");
    let builder = MicrosoftAzureBuilder::new()
        .with_account(&account.name)
        .with_endpoint(account.blobs.clone())
        .with_container_name(&blobs.container)
        .with_client_options(
            ClientOptions::new()
                // As the setting says: emulators are spoken to in the clear, and Azure refuses it by default.
                .with_allow_http(plain)
                .with_timeout(TIMEOUT)
                .with_connect_timeout(CONNECT_TIMEOUT),
        )
        .with_retry(RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(50),
                max_backoff: Duration::from_secs(1),
                base: 2.0,
            },
            max_retries: 3,
            retry_timeout: TIMEOUT,
        });
    let builder = match &account.access {
        Access::Key(key) => builder.with_access_key(key.reveal()),
        Access::Identity {
            endpoint,
            client_id,
        } => {
            let builder = match endpoint {
                Some(endpoint) => builder.with_msi_endpoint(endpoint),
                None => builder,
            };
            match client_id {
                Some(id) => builder.with_client_id(id),
                None => builder,
            }
        }
    };
    Ok(Arc::new(builder.build()?))
}
