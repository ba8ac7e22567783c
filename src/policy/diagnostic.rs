//! Diagnostics as data: what is wrong with a policy, where, and what would mend it.
//!
//! They hold no secret: the texts kept for showing are copies in which literal secrets are
//! blotted out, and no message quotes one.

use std::fmt;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::source::{Spot, Text};

/// Whether the policy can be used nevertheless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// The policy is refused.
    Error,
    /// The policy is accepted; this is probably not what was meant.
    Warning,
}

impl Level {
    /// The word used in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// The stable codes, with whether each is an error.
macro_rules! codes {
    ($($(#[$doc:meta])+ $name:ident = $text:literal, $level:ident;)+) => {
        /// What kind of mistake a diagnostic is about. Stable, kebab-case.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $($(#[$doc])+ $name,)+
        }

        impl Code {
            /// Every code, errors first.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The stable code.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// Whether it refuses the policy.
            pub fn level(self) -> Level {
                match self {
                    $(Self::$name => Level::$level,)+
                }
            }
        }
    };
}

codes! {
    /// The file is not TOML.
    Syntax = "syntax", Error;
    /// A key that the policy does not know.
    UnknownKey = "unknown-key", Error;
    /// A key that must be there is not.
    MissingKey = "missing-key", Error;
    /// A key that belongs in the root file alone.
    MisplacedKey = "misplaced-key", Error;
    /// A number where a text belongs, and the like.
    WrongType = "wrong-type", Error;
    /// `version` is not 1.
    UnsupportedVersion = "unsupported-version", Error;
    /// A word that is none of those allowed here.
    UnknownWord = "unknown-word", Error;
    /// An id that is no GUID.
    InvalidGuid = "invalid-guid", Error;
    /// Neither an address, nor a CIDR, nor a range of addresses.
    InvalidRange = "invalid-range", Error;
    /// An address that is none.
    InvalidAddress = "invalid-address", Error;
    /// `@name` that names no set.
    UnknownSet = "unknown-set", Error;
    /// Sets that contain one another.
    SetCycle = "set-cycle", Error;
    /// No ISO 3166-1 alpha-2 country code.
    UnknownCountry = "unknown-country", Error;
    /// Not of the form `country[/state[/city]]`.
    InvalidPlace = "invalid-place", Error;
    /// Not of the form `30m`, `1h`, `7d`.
    InvalidDuration = "invalid-duration", Error;
    /// A number out of its limits.
    InvalidNumber = "invalid-number", Error;
    /// A point in time without an offset, or none at all.
    InvalidTime = "invalid-time", Error;
    /// An empty text where one that says something belongs.
    Empty = "empty", Error;
    /// The same name, set, sink or credential twice.
    Duplicate = "duplicate", Error;
    /// Two entries that select the same sign-ins by the same selectors.
    DuplicateSelector = "duplicate-selector", Error;
    /// An entry without any selector.
    MissingSelector = "missing-selector", Error;
    /// `notify` names no sink.
    UnknownSink = "unknown-sink", Error;
    /// Neither `env:NAME` nor, for an address, an http(s) URL.
    InvalidReference = "invalid-reference", Error;
    /// A setting of a sink that cannot be what it stands for.
    InvalidSetting = "invalid-setting", Error;
    /// Plain http without `insecure = true`.
    InsecureUrl = "insecure-url", Error;
    /// A reason code that does not exist.
    UnknownReason = "unknown-reason", Error;
    /// A test that expects what cannot be.
    ImpossibleTest = "impossible-test", Error;
    /// A feed file that is not there.
    FeedMissing = "feed-missing", Error;
    /// A feed file that cannot be read, or is not of its format.
    FeedUnreadable = "feed-unreadable", Error;
    /// A key that the feed file does not have.
    FeedKey = "feed-key", Error;
    /// A feed without any range.
    FeedEmpty = "feed-empty", Error;
    /// A feed that has less than half of the ranges that `feeds.lock` records.
    FeedShrank = "feed-shrank", Error;
    /// An include pattern that brought no file, or one that cannot be read.
    IncludeFailed = "include-failed", Error;
    /// Bits set to the right of the prefix.
    HostBits = "host-bits", Warning;
    /// A range so wide that it hardly restricts.
    WideRange = "wide-range", Warning;
    /// An entry that is found by a display name alone.
    NameOnly = "name-only", Warning;
    /// An exception that adds nothing.
    ExceptionShadowed = "exception-shadowed", Warning;
    /// An exception whose time is over.
    ExceptionExpired = "exception-expired", Warning;
    /// A credential whose time is over.
    CredentialExpired = "credential-expired", Warning;
    /// A named set that nothing refers to.
    UnusedSet = "unused-set", Warning;
    /// A secret written into the policy.
    LiteralSecret = "literal-secret", Warning;
    /// An entry that allows everything.
    NoAllow = "no-allow", Warning;
    /// An empty list, which allows nothing.
    AllowsNothing = "allows-nothing", Warning;
    /// `deny` covers all that `allow` allows.
    DenyCoversAllow = "deny-covers-allow", Warning;
    /// A feed file that was fetched longer ago than `max_age`.
    FeedStale = "feed-stale", Warning;
    /// A feed file that `feeds.lock` does not list.
    FeedUnpinned = "feed-unpinned", Warning;
    /// A feed file that is another than `feeds.lock` lists.
    FeedChanged = "feed-changed", Warning;
    /// `feeds.lock` cannot be read.
    FeedLock = "feed-lock", Warning;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A second place that a diagnostic points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// What is there.
    pub message: String,
    /// File it is in.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    pub(super) spot: Spot,
}

/// One mistake, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub level: Level,
    /// The stable code.
    pub code: Code,
    /// What is wrong, a lowercase fragment.
    pub message: String,
    /// File it is in, as the source is named.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1; a tab counts as one.
    pub column: usize,
    /// Line of the first character after it.
    pub end_line: usize,
    /// Column of the first character after it.
    pub end_column: usize,
    /// What would mend it.
    pub help: Option<String>,
    /// A second place, such as the first of two definitions.
    pub label: Option<Label>,
    pub(super) spot: Spot,
}

impl Serialize for Diagnostic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Diagnostic", 9)?;
        fields.serialize_field("severity", self.level.as_str())?;
        fields.serialize_field("code", self.code.as_str())?;
        fields.serialize_field("message", &self.message)?;
        fields.serialize_field("file", &self.file)?;
        fields.serialize_field("line", &self.line)?;
        fields.serialize_field("column", &self.column)?;
        fields.serialize_field("end_line", &self.end_line)?;
        fields.serialize_field("end_column", &self.end_column)?;
        fields.serialize_field("help", &self.help)?;
        fields.end()
    }
}

/// `file:line:column: error[code]: message`, on one line.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}: {}[{}]: {}",
            self.file,
            self.line,
            self.column,
            self.level.as_str(),
            self.code,
            self.message
        )
    }
}

/// All that is to be said of a policy, in the order of its files and lines.
#[derive(Clone, Default)]
pub struct Diagnostics {
    pub(super) items: Vec<Diagnostic>,
    pub(super) texts: Vec<Text>,
}

impl Diagnostics {
    /// The diagnostics, by file and position.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.items.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many refuse the policy.
    pub fn error_count(&self) -> usize {
        self.count(Level::Error)
    }

    /// How many only warn.
    pub fn warning_count(&self) -> usize {
        self.count(Level::Warning)
    }

    /// Whether the policy is refused.
    pub fn has_errors(&self) -> bool {
        self.error_count() > 0
    }

    /// The diagnostics as a JSON array of objects, indented.
    pub fn render_json(&self) -> String {
        // Serialising plain texts and numbers into memory cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    fn count(&self, level: Level) -> usize {
        self.items.iter().filter(|item| item.level == level).count()
    }
}

impl<'d> IntoIterator for &'d Diagnostics {
    type Item = &'d Diagnostic;
    type IntoIter = std::slice::Iter<'d, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Serialize for Diagnostics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.items)
    }
}

/// The items alone: the texts are whole files.
impl fmt::Debug for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.items).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_kebab_case() {
        let mut seen = std::collections::BTreeSet::new();
        for code in Code::ALL {
            let text = code.as_str();
            assert!(seen.insert(text), "{text} twice");
            assert!(
                text.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'-'),
                "{text}"
            );
        }
    }
}
