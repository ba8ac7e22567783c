//! Log bytes → [`SignIn`] values, counts of everything else, and rejects. Pure.
//!
//! Every shape in which sign-in logs leave Azure becomes the same [`SignIn`]; what a record is, is told
//! by its content. The stage owns its JSON reader (`json`), which checks every byte of a record and
//! keeps only the fields that are judged; nothing is read twice, and nothing is dropped silently: a
//! byte that is not white space or structure is part of exactly one [`Item`].
//!
//! [`read_text`] reads a text that is in memory. Files of any size go through [`sniff`] to
//! [`read_lines`], [`Document`] or [`Csv`], which hold no more than a window. Elements of an Event Hub
//! batch become texts by [`event_bytes`].

mod csv;
mod document;
mod event;
mod fault;
mod field;
mod habit;
mod identity;
mod interpret;
mod json;
mod levels;
mod lines;
mod place;
mod record;
mod recover;
mod shape;
mod track;
mod value;
mod whereabouts;

use std::borrow::Cow;

use crate::sign_in::{Id, Kind, SignIn, Timestamp};

pub use csv::Csv;
pub use document::{Document, MAX_RECORD};
pub use event::{EventError, GunzipError, MAX_EVENT, event_bytes, gunzip, is_gzip};
pub use fault::Fault;
pub use habit::Habit;
pub use lines::read_lines;
pub use shape::{Shape, sniff};

/// One record of a log.
#[expect(
    clippy::large_enum_variant,
    reason = "the common variant is the large one; items are visited on the stack and never stored"
)]
#[derive(Debug, Clone, PartialEq)]
pub enum Item<'a> {
    /// A sign-in of one of the three judged categories.
    SignIn(SignIn<'a>),
    /// A record of `AuditLogs`.
    AuditEvent,
    /// A record of any other category, by its name as logged.
    Other(Cow<'a, str>),
    /// Something that cannot be read as a record.
    Reject(Reject<'a>),
}

/// A record that cannot be judged: why, and what it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Reject<'a> {
    /// What is wrong and where.
    pub error: Fault,
    /// The record as it arrived; only its beginning where it is longer than [`MAX_RECORD`], and
    /// nothing where a container is cut off between two records.
    pub body: Cow<'a, [u8]>,
}

/// Where a record stands in its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Ordinal of the record in its source, from 1.
    pub record: u64,
    /// Line on which the record starts, from 1.
    pub line: u64,
}

/// How much of a source has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offset {
    /// Records, of any kind.
    pub records: u64,
    /// Line breaks.
    pub lines: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What the source itself cannot tell.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// When the Event Hub took the event: the time of a record that has none of its own.
    pub enqueued: Option<Timestamp>,
    /// The tenant of records that do not name theirs (`--tenant`).
    pub tenant: Option<Id<'static>>,
    /// The kind of sign-in where an export cannot tell (`--kind`).
    pub kind: Option<Kind>,
}

/// Reads a text that is whole in memory, in any of the shapes: one event of a batch, or a small file.
///
/// ```
/// # use spwatch::ingest::{Context, Habit, Item, read_text};
/// let text = br#"{"records":[{"category":"AuditLogs","properties":{}}, 7]}"#;
/// let mut items = Vec::new();
/// read_text(text, &Context::default(), &mut Habit::default(), &mut |position, item| {
///     items.push((position.record, matches!(item, Item::AuditEvent)));
/// });
/// assert_eq!(items, [(1, true), (2, false)]);
/// ```
pub fn read_text(
    bytes: &[u8],
    context: &Context,
    habit: &mut Habit,
    visit: &mut dyn FnMut(Position, &Item<'_>),
) {
    // An event is a single line as a rule, and a document reads that as well as lines would.
    let single = shape::line_end(bytes.trim_ascii(), 0) == bytes.trim_ascii().len();
    let begins_json = matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'['));
    let shape = match single && begins_json {
        true => Shape::Document,
        false => sniff(bytes, true),
    };
    match shape {
        Shape::Lines => {
            read_lines(bytes, Offset::default(), context, habit, visit);
        }
        Shape::Document => {
            let mut document = Document::new(context).with_habit(std::mem::take(habit));
            document.set_within_line(single);
            document.read(bytes, true, visit);
            *habit = document.into_habit();
        }
        Shape::Csv => {
            Csv::new(context).read(bytes, true, visit);
        }
    }
}

/// The byte order mark of UTF-8.
const UTF8_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Says what a source is that is no UTF-8 text at all.
fn foreign_encoding(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => {
            Some("the text is UTF-16; convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)")
        }
        _ if is_gzip(bytes) => Some("gzip data where text was expected; decompress it"),
        _ => None,
    }
}

/// The beginning of a text, for an error: at most 64 characters.
fn excerpt(bytes: &[u8]) -> String {
    const SHOWN: usize = 64;
    let beginning = bytes.get(..SHOWN * 4).unwrap_or(bytes);
    let text = String::from_utf8_lossy(beginning);
    let shown: String = text
        .chars()
        .take(SHOWN)
        .flat_map(char::escape_debug)
        .collect();
    let more = if text.chars().nth(SHOWN).is_some() || beginning.len() < bytes.len() {
        "…"
    } else {
        ""
    };
    format!("`{shown}{more}`")
}

#[cfg(test)]
mod tests;
