//! `feeds.lock`, beside the policy: which content of each feed file was accepted. Written by `spwatch feed` alone.

use serde::{Deserialize, Serialize};

use super::Format;
use crate::sign_in::Timestamp;

/// Its name, in the folder of the policy's root.
pub const NAME: &str = "feeds.lock";

const HEAD: &str = "\
# Which content of each feed file was accepted, and when it was fetched.
# Written by `spwatch feed`; keep it with the policy and do not edit it.
";

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    version: u32,
    /// By file.
    #[serde(default, rename = "feed")]
    pins: Vec<Pin>,
}

/// What was accepted of one feed file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// As the policy names it.
    pub file: String,
    /// Where it was fetched, if it was.
    pub url: Option<String>,
    /// SHA-256 of its bytes, hex.
    pub sha256: String,
    /// When it was fetched, or taken from a download.
    pub fetched: Timestamp,
    /// Its size.
    pub size_bytes: u64,
    /// The sets that are made of it, by format and key.
    #[serde(default, rename = "set")]
    pub sets: Vec<PinnedSet>,
}

/// How large a set was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PinnedSet {
    /// The word for its format.
    pub format: String,
    /// Its key.
    pub key: Option<String>,
    /// How many different ranges it had.
    pub prefixes: u64,
}

impl Default for Lock {
    fn default() -> Self {
        Self {
            version: 1,
            pins: Vec::new(),
        }
    }
}

impl Lock {
    /// Reads it.
    ///
    /// # Errors
    /// It is no such file, as a lowercase fragment.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lock: Self = toml::from_str(text.trim_start_matches('\u{feff}'))
            .map_err(|error| error.to_string().trim_end().replace('\n', " "))?;
        match lock.version {
            1 => Ok(lock),
            version => Err(format!("it is of version {version}, this spwatch reads 1")),
        }
    }

    /// Writes it: the same content gives the same text.
    ///
    /// # Errors
    /// It cannot be written as TOML, which does not happen.
    pub fn to_text(&self) -> Result<String, toml::ser::Error> {
        let mut sorted = self.clone();
        sorted.pins.sort_by(|a, b| a.file.cmp(&b.file));
        for pin in &mut sorted.pins {
            pin.sets.sort();
        }
        Ok(format!("{HEAD}{}", toml::to_string(&sorted)?))
    }

    /// What was accepted of a file.
    pub fn pin(&self, file: &str) -> Option<&Pin> {
        self.pins.iter().find(|pin| pin.file == file)
    }

    /// Accepts a file's content in place of what was accepted before.
    pub fn accept(&mut self, pin: Pin) {
        self.pins.retain(|known| known.file != pin.file);
        self.pins.push(pin);
    }
}

impl Pin {
    /// How large a set was when the content was accepted.
    pub fn prefixes(&self, format: Format, key: Option<&str>) -> Option<u64> {
        let mut sets = self.sets.iter();
        let set = sets.find(|set| set.format == format.as_str() && set.key.as_deref() == key)?;
        Some(set.prefixes)
    }
}

/// Whether a set is less than half of what it was: a publisher's accident rather than a change.
pub fn has_shrunk(before: u64, now: u64) -> bool {
    now.saturating_mul(2) < before
}
