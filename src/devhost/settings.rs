//! App settings.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::app::FileError;

/// App settings: environment of the handler, and what `%NAME%` in the files stands for.
///
/// The handler inherits this process's environment too, as it inherits the host's; these entries win.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<String, String>);

impl Settings {
    /// The `Values` of a `local.settings.json`.
    ///
    /// # Errors
    /// The file cannot be read, or is not of that shape.
    pub fn from_file(path: &Path) -> Result<Self, FileError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct File {
            values: BTreeMap<String, String>,
        }
        let broken = |reason: String| FileError {
            file: path.to_owned(),
            reason,
        };
        let text = std::fs::read_to_string(path).map_err(|error| broken(error.to_string()))?;
        let file: File = serde_json::from_str(&text).map_err(|error| broken(error.to_string()))?;
        Ok(Self(file.values))
    }

    /// With one more entry.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// Sets an entry.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// The entries.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of a setting, else of the environment variable of that name.
    pub fn lookup(&self, name: &str) -> Option<String> {
        self.0
            .get(name)
            .cloned()
            .or_else(|| std::env::var(name).ok())
    }

    /// Replaces each `%NAME%`; `Err` holds the first name without a value.
    pub(crate) fn resolve(&self, text: &str) -> Result<String, String> {
        self.substitute(text, |name| Err(name.to_owned()))
    }

    /// As [`Settings::resolve`], but a name without a value vanishes: so it is for the command line.
    pub(crate) fn expand(&self, text: &str) -> String {
        self.substitute(text, |_| Ok(String::new()))
            .unwrap_or_default()
    }

    fn substitute(
        &self,
        text: &str,
        unset: impl Fn(&str) -> Result<String, String>,
    ) -> Result<String, String> {
        let mut resolved = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            resolved.push_str(before);
            let Some((name, tail)) = after.split_once('%') else {
                resolved.push('%');
                rest = after;
                continue;
            };
            match self.lookup(name) {
                Some(value) => resolved.push_str(&value),
                None => resolved.push_str(&unset(name)?),
            }
            rest = tail;
        }
        resolved.push_str(rest);
        Ok(resolved)
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Settings {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(entries: I) -> Self {
        Self(
            entries
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}
