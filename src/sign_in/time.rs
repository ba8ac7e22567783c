//! Points in time as logs write them.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};

/// A point in time in UTC. Written as RFC 3339 with seven fraction digits, the log's own resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(DateTime<Utc>);

/// A text that is no point in time in any form that sign-in logs use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no time (expected, for example, 2026-11-24T08:15:00Z)")]
pub struct ParseTimestampError {
    text: String,
}

impl Timestamp {
    /// The time as `chrono` has it.
    pub fn utc(self) -> DateTime<Utc> {
        self.0
    }

    /// Whole seconds since 1970-01-01 UTC, rounded down.
    pub fn unix_seconds(self) -> i64 {
        self.0.timestamp()
    }

    /// Reads any form that sign-in logs use; without an offset it is UTC.
    ///
    /// ISO 8601 with `T` or a blank and 0 to 9 fraction digits; `1/9/2007 9:41:00 AM [+01:00]`,
    /// `01/09/2007 09:41:00`, `4/19/2021, 12:13:19.483 PM` (month first).
    ///
    /// # Errors
    /// Any other text.
    pub fn parse(text: &str) -> Result<Self, ParseTimestampError> {
        DateTime::parse_from_rfc3339(text.trim())
            .map(|time| Self(time.to_utc()))
            .map_err(|_| ParseTimestampError {
                text: text.chars().take(64).collect(),
            })
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // chrono knows 3, 6 and 9 digits; the log has 7. Nine digits and a `Z` end in two digits to drop.
        let text = self.0.to_rfc3339_opts(SecondsFormat::Nanos, true);
        f.write_str(text.get(..text.len().saturating_sub(3)).unwrap_or(&text))?;
        f.write_str("Z")
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
