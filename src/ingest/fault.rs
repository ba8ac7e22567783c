//! What is wrong with a record, and where.

use std::fmt;

/// What is wrong with a record, a lowercase fragment that says where.
///
/// The place is kept apart from the words: who judges a stretch of a file need not know how many lines are before
/// it, and says so later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    place: Option<Place>,
    text: String,
}

/// Where JSON stops being valid: line and column from 1, and the byte of the source from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: u64,
    pub(super) column: u64,
    pub(super) byte: u64,
}

impl Fault {
    /// Invalid JSON.
    pub(super) fn at(place: Place, text: String) -> Self {
        Self {
            place: Some(place),
            text,
        }
    }

    /// Adds words.
    pub(super) fn and(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self
    }

    /// Moves the place by so many lines.
    pub(crate) fn shift(&mut self, lines: i64) {
        if let Some(place) = &mut self.place {
            place.line = place.line.saturating_add_signed(lines);
        }
    }
}

impl From<String> for Fault {
    fn from(text: String) -> Self {
        Self { place: None, text }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Place { line, column, byte }) = self.place {
            write!(
                f,
                "invalid JSON at line {line}, column {column} (byte {byte}): "
            )?;
        }
        f.write_str(&self.text)
    }
}
