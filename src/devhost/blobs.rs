//! Blobs that the handler writes through its output bindings: kept in memory, and in a folder if wanted.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use uuid::Uuid;

/// A blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Container, slash, name.
    pub path: String,
    /// Its content.
    pub content: Bytes,
}

/// A blob store.
#[derive(Debug, Default)]
pub struct Blobs {
    folder: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    blobs: BTreeMap<String, Bytes>,
    failing: usize,
}

impl Blobs {
    /// In memory only.
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// In memory, and as files under `folder`, one subfolder a container.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: Some(folder.into()),
            ..Self::default()
        }
    }

    /// Makes the next `count` writes fail.
    pub fn fail_writes(&self, count: usize) {
        self.state().failing = count;
    }

    /// Writes a blob to a binding's path, in which each `{rand-guid}` becomes a fresh id; returns the path.
    pub(crate) fn write(&self, pattern: &str, content: &[u8]) -> std::io::Result<String> {
        let path = pattern.replace("{rand-guid}", &Uuid::new_v4().to_string());
        {
            let mut state = self.state();
            if state.failing > 0 {
                state.failing -= 1;
                return Err(std::io::Error::other(
                    "the write fails because it was told to",
                ));
            }
        }
        if let Some(folder) = &self.folder {
            let file = folder.join(&path);
            if let Some(parent) = file.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(file, content)?;
        }
        self.state()
            .blobs
            .insert(path.clone(), Bytes::copy_from_slice(content));
        Ok(path)
    }

    /// All blobs of a container, by path.
    pub fn list(&self, container: &str) -> Vec<Blob> {
        let prefix = format!("{container}/");
        let state = self.state();
        let blobs = state.blobs.iter();
        blobs
            .filter(|(path, _)| path.starts_with(&prefix))
            .map(|(path, content)| Blob {
                path: path.clone(),
                content: content.clone(),
            })
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_write_has_its_own_blob_and_file() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::in_folder(folder.path());
        blobs.fail_writes(1);
        assert!(blobs.write("c/{rand-guid}.json", b"0").is_err());
        let first = blobs.write("c/{rand-guid}.json", b"1").unwrap();
        let second = blobs.write("c/{rand-guid}.json", b"2").unwrap();
        assert_ne!(first, second);
        assert_eq!(std::fs::read(folder.path().join(first)).unwrap(), b"1");
        assert_eq!(blobs.list("c").len(), 2);
        assert!(blobs.list("other").is_empty());
    }
}
